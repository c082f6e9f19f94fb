"""What staff find of the bank's entries, what each tells, and what should come or go."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import NotFound
from core.settings import SourceTerms
from identity.models import Role
from payments.reconciliation.bank import by_hand as bank_by_hand
from payments.reconciliation.bank import desk as bank_desk
from payments.reconciliation.bank import expected as bank_expected
from payments.reconciliation.bank.desk import EntryView, How, Wanted
from payments.reconciliation.bank.expected import DueState, late_before
from payments.reconciliation.bank.models import DueKind
from payments.reconciliation.models import BreakState
from tests.factories import NOW, a_person
from tests.payments.reconciliation.banking import (
    DAY,
    Line,
    a_day,
    bank_says,
    left,
    match,
    match_by_hand,
    takes,
    the_entry,
    the_match,
    undo,
)

pytestmark = pytest.mark.usefixtures("city")
SENDER = "6222020000001234"


@pytest.fixture
def li() -> int:
    return a_person(Role.STAFF)


def find(**wanted: object) -> list[int]:
    """The amounts found, the newest first."""
    with transaction() as session:
        found = bank_desk.find_entries(session, Wanted(**wanted))  # type: ignore[arg-type]
        return [one.entry.amount_fen for one in found]


def view(fen: int) -> EntryView:
    entry = the_entry(fen)
    assert entry.id is not None
    with transaction() as session:
        return bank_desk.view_entry(session, entry.id)


class TestFinding:
    def test_by_whether_and_how_it_is_matched(self, li):
        takes("alpha", 0, 10_000)
        takes("beta", 0, 700)
        a_day("gamma", 0, ("payout", -500, 0, "po_1"))
        bank_says(Line(10_000), Line(500, ref="po_1"), Line(700, on=13), Line(55))
        match_by_hand(the_entry(700), 700, by=li)

        assert sorted(find(how=How.OPEN)) == [55]
        assert sorted(find(how=How.MATCHED)) == [500, 700, 10_000]
        assert find(how=How.AMOUNT) == [10_000]
        assert find(how=How.REFERENCE) == [500]
        assert find(how=How.PERSON) == [700]
        assert find(how=How.RULE) == []

    def test_by_day_amount_both_ways_and_words_with_no_wildcards(self):
        bank_says(
            Line(100, on=0, name="王小明"), Line(-100, on=2, ref="CB_77"),
            Line(300, on=4, no="X%1"),
        )  # fmt: skip

        assert find(from_on=DAY + timedelta(days=1), to_on=DAY + timedelta(days=2)) == [-100]
        assert sorted(find(amount_fen=100)) == [-100, 100]
        assert find(words="小明") == [100]
        assert find(words=" cb_7 ") == [-100]
        assert find(words="x%1") == [300]
        assert find(words="%") == [300]
        assert find(words="_77") == [-100]
        assert find(account_id=99) == []

    def test_pages_hold_each_once(self):
        bank_says(*(Line(fen, on=fen % 3) for fen in range(1, 12)))

        with transaction() as session:
            shown, after = [], None
            while page := bank_desk.find_entries(session, Wanted(), after=after, limit=4):
                shown += [one.entry.id for one in page]
                after = shown[-1]
            every = [one.entry.id for one in bank_desk.every_entry(session, Wanted())]

        assert sorted(shown) == sorted(set(shown)) == sorted(every)
        assert (len(shown), shown) == (11, every)
        with transaction() as session, pytest.raises(NotFound):
            bank_desk.find_entries(session, Wanted(), after=99)


class TestOneEntry:
    def test_it_says_what_it_is_and_what_it_taught(self, li):
        takes("alpha", 0, 10_000)
        takes("beta", 0, 10_000)
        bank_says(Line(10_000, account=SENDER, no="a"), Line(7))
        entry = the_entry(10_000)
        with transaction() as session:
            due_id = session.execute(text("SELECT min(id) FROM bank_due")).scalar_one()
        match_with(entry.id, due_id, li)

        found = view(10_000)

        assert found.match is not None
        assert (found.match.match.made_by, found.match.match.reason) == (li, "asked them")
        assert [one.id for one in found.match.dues] == [due_id]
        assert found.match.taught is not None
        assert SENDER not in repr(found.match.taught)
        assert view(7).match is None

    def test_what_it_was_taken_for_stays_told(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000))
        first = the_match()
        undo(first, li, "it was beta's")
        match()

        found = view(10_000)

        assert (found.match, [one.id for one in found.undone]) == (None, [first])
        assert found.undone[0].undo_reason == "it was beta's"
        assert found.difference is not None
        assert found.difference.kind == "unknown_credit"

    def test_another_entrys_past_is_not_its_own(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000), *(Line(fen) for fen in range(1, 12)))
        undo(the_match(), li)

        assert [len(view(fen).undone) for fen in (10_000, 1, 11)] == [1, 0, 0]

    def test_matched_by_hand_its_difference_is_no_more_at_once(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000, on=13))
        assert {one[2] for one in left()} == {"unknown_credit", "not_settled"}

        match_by_hand(the_entry(10_000), 10_000, by=li)

        assert left() == []
        found = view(10_000).difference
        assert found is not None
        assert found.state is BreakState.EXPLAINED
        assert match().open == 0

    def test_a_decision_has_the_bank_matched_again(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000))
        undo(the_match(), li)

        with transaction() as session:
            asked = session.execute(
                text("SELECT subject_id FROM outbox_event WHERE topic = 'bank_match.decided'")
            ).scalars()
            assert list(asked) == [str(the_entry(10_000).booked_on)]


def match_with(entry_id: int | None, due_id: int, by: int) -> None:
    assert entry_id is not None
    with transaction() as session:
        bank_by_hand.match_by_hand(session, entry_id, [due_id], by=by, reason="asked them", now=NOW)


class TestExpected:
    def expected(self, *, later: int = 0, sources=None, **wanted: object):
        with transaction() as session:
            return [
                (one.due.source, one.due.amount_fen, one.state, len(one.entry_ids))
                for one in bank_expected.find_dues(
                    session, bank_expected.Wanted(**wanted), today=DAY + timedelta(days=later),
                    sources=sources or {},
                )
            ]  # fmt: skip

    def test_what_is_in_no_statement_is_expected_then_late(self):
        takes("alpha", 0, 10_000)
        bank_says(Line(1))

        assert self.expected(later=5) == [("alpha", 10_000, DueState.OPEN, 0)]
        assert self.expected(later=6) == [("alpha", 10_000, DueState.LATE, 0)]
        assert self.expected(later=5, state=DueState.LATE) == []
        assert len(self.expected(later=6, state=DueState.LATE)) == 1
        assert len(self.expected(later=6, state=DueState.OPEN)) == 1

    def test_of_a_source_with_terms_of_its_own_it_is_late_by_those(self):
        takes("alpha", 0, 10_000)
        takes("beta", 0, 500)
        bank_says(Line(1))
        terms = {"alpha": SourceTerms(late_after_days=1)}

        late = self.expected(later=2, sources=terms, state=DueState.LATE)

        assert late == [("alpha", 10_000, DueState.LATE, 0)]
        with transaction() as session:
            counted = bank_expected.count_open(
                session, today=DAY + timedelta(days=2), sources=terms
            )
        assert [(one.source, one.sum_fen, one.late) for one in counted] == [
            ("alpha", 10_000, 1), ("beta", 500, 0),
        ]  # fmt: skip
        assert late_before("alpha", terms, DAY) > late_before("beta", terms, DAY)

    def test_what_came_names_its_entries_also_when_they_are_several(self):
        takes("alpha", 0, 10_000)
        bank_says(Line(4_000, account=SENDER, no="a"), Line(6_000, account=SENDER, no="b"))

        assert self.expected(state=DueState.MATCHED) == [("alpha", 10_000, DueState.MATCHED, 2)]
        assert self.expected(state=DueState.OPEN) == []

    def test_of_a_gateway_that_pays_out_its_days_are_no_sums_and_nothing_is_none(self):
        a_day("stripe", 0, ("payment", 10_000, 0, "a"), ("payout", -9_000, 0, "po_1"))
        takes("alpha", 0, 0)
        bank_says(Line(1))

        assert self.expected() == [("stripe", 9_000, DueState.OPEN, 0)]
        assert self.expected(kind=DueKind.NET) == []
        assert self.expected(source="alpha") == []

    def test_pages_hold_each_once(self):
        for on in range(5):
            takes("alpha", on, 100 + on)
            takes("beta", on, 200 + on)
        bank_says(Line(1))

        with transaction() as session:
            shown, after = [], None
            while page := bank_expected.find_dues(
                session, bank_expected.Wanted(), today=DAY, after=after, limit=3
            ):
                shown += [one.due.id for one in page]
                after = shown[-1]

        assert (len(shown), len(set(shown))) == (10, 10)
