"""What a person says of an entry: a proposal to choose from, a match, what it teaches, its end."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import AmountMismatch, CityBillError, Conflict, Invalid, NotFound
from identity.models import Role
from payments.reconciliation.bank import by_hand as bank_by_hand
from payments.reconciliation.bank.desk import list_rules, open_beside
from payments.reconciliation.bank.models import BankEntry, BankMatch, BankRule
from payments.reconciliation.bank.suggesting import Suggestion, suggest
from tests.factories import NOW, a_person, at_once, balances, violations
from tests.payments.reconciliation.banking import (
    DAY,
    Line,
    a_day,
    bank_says,
    left,
    match,
    match_by_hand,
    matched,
    takes,
    the_entry,
    the_match,
    transfers,
    undo,
)

pytestmark = pytest.mark.usefixtures("city")
SENDER = "6222020000001234"


@pytest.fixture
def li() -> int:
    return a_person(Role.STAFF)


def suggestions(entry: BankEntry) -> list[Suggestion]:
    with transaction() as session:
        return suggest(session, entry)


def two_gateways_of_one_sum() -> BankEntry:
    takes("alpha", 0, 10_000, 10)
    takes("beta", 0, 10_000, 10)
    bank_says(Line(9_990, account=SENDER))
    return the_entry(9_990)


def rules() -> list[tuple[str, bool]]:
    with transaction() as session:
        rows = session.execute(text("SELECT source, ended_at IS NULL FROM bank_rule ORDER BY id"))
        return [tuple(row) for row in rows]


class TestSuggestions:
    def test_the_nearest_sum_and_day_come_first_with_their_reasons(self):
        takes("alpha", -4, 10_000)
        takes("beta", 0, 10_050)
        takes("gamma", 0, 99)
        bank_says(Line(10_000, on=8))

        first, second = suggestions(the_entry(10_000))

        assert (first.source, first.off_fen, first.days_after, first.confidence) == (
            "alpha", 0, 12, 60
        )  # fmt: skip
        assert (second.source, second.off_fen, second.days_after) == ("beta", -50, 8)
        assert second.confidence < first.confidence

    def test_days_together_are_proposed_and_another_way_of_money_is_not(self):
        for on, fen in ((0, 6_000), (1, 4_000), (2, -10_000)):
            takes("alpha", on, fen)
        bank_says(Line(10_000, on=15))

        (only,) = suggestions(the_entry(10_000))

        assert (only.amount_fen, len(only.due_ids)) == (10_000, 2)
        assert only.references == ("alpha 2026-11-20", "alpha 2026-11-21")

    def test_a_senders_sums_that_make_it_up_together_are_proposed_with_each(self):
        takes("alpha", 0, 10_000)
        bank_says(
            Line(3_000, on=12, name="某店"), Line(5_000, on=12, name="别人"),
            Line(7_000, on=13, name="某店"),
        )  # fmt: skip

        for fen, other_fen in ((3_000, 7_000), (7_000, 3_000)):
            (one,) = suggestions(the_entry(fen))
            assert one.also_ids == (the_entry(other_fen).id,)
            assert (one.source, one.amount_fen, one.off_fen, one.days_after) == (
                "alpha", 10_000, 0, 13
            )  # fmt: skip
            assert one.confidence == 50
        assert suggestions(the_entry(5_000)) == []

    def test_sums_together_are_proposed_to_the_fen_alone_and_never_of_nobody(self):
        takes("alpha", 0, 10_000)
        takes("beta", 0, 20_001)
        bank_says(
            Line(3_000, on=12), Line(7_000, on=12),
            Line(8_000, on=12, name="某店"), Line(12_000, on=13, name="某店"),
        )  # fmt: skip

        assert [suggestions(the_entry(fen)) for fen in (3_000, 8_000)] == [[], []]

    def test_who_has_paid_before_is_likelier(self):
        two_gateways_of_one_sum()
        takes("beta", -8, 500)
        bank_says(Line(500, on=-1, account=SENDER))

        first, second = suggestions(the_entry(9_990))

        assert (first.source, second.source) == ("beta", "alpha")
        assert (first.is_known, second.is_known) == (True, False)
        assert 100 >= first.confidence > second.confidence


class TestByHand:
    def test_it_is_posted_and_stays_in_every_later_run(self, li):
        entry = two_gateways_of_one_sum()
        assert balances() == {}

        made = by_hand(entry, "beta", li)

        assert (made.reason, made.made_by) == ("called them", li)
        assert match() == (0, 0, 0)
        assert matched() == [("person", [9_990], [9_990], 10)]
        assert balances() == {"bank": 9_990, "gateway:beta": -10_000, "gateway_fees": 10}
        assert violations() == []

    def test_a_corrected_file_ends_it_when_the_sums_part(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        takes("beta", 0, 10_001, 10)

        # The other gateway's day is of that sum, but this account brings the money of this one.
        assert match() == (0, 1, 1)

        assert (balances(), violations()) == ({}, [])

    def test_a_corrected_fee_is_posted_anew_in_the_persons_name(self, li):
        a_day("stripe", 1, ("payout", -500, 0, "po_1"), ("payout", -500, 0, "po_2"))
        bank_says(Line(500, on=3))
        with transaction() as session:
            due = session.execute(text("SELECT min(id) FROM bank_due WHERE kind = 'payout'"))
            bank_by_hand.match_by_hand(
                session, the_entry(500).id, [due.scalar_one()], by=li, reason="seen", now=NOW
            )
        takes("stripe", 0, 510, 10)

        assert match()[:2] == (1, 1)

        assert matched() == [("person", [500], [500], 10)]
        assert violations() == []

    @pytest.mark.parametrize("fen", [9_989, 9_991])
    def test_one_fen_off_is_refused(self, li, fen):
        takes("alpha", 0, fen)
        bank_says(Line(9_990))

        with pytest.raises(AmountMismatch):
            match_by_hand(the_entry(9_990), fen, by=li)

        assert (matched(), balances()) == ([], {})

    def test_said_again_it_changes_nothing_and_said_otherwise_it_is_refused(self, li):
        entry = two_gateways_of_one_sum()
        made = by_hand(entry, "beta", li)
        posted = transfers()

        assert by_hand(entry, "beta", li).id == made.id
        for by, to in ((a_person(Role.STAFF), "beta"), (li, "alpha")):
            with pytest.raises(Conflict):
                by_hand(entry, to, by)
        assert (transfers(), matched()) == (posted, [("person", [9_990], [9_990], 10)])

    def test_what_is_matched_or_not_there_or_unexplained_is_refused(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000), Line(55))

        for entry, fen, reason, error in (
            (the_entry(10_000), [10_000], "why", Conflict),
            (the_entry(55), [10_000], " ", Invalid),
            (the_entry(55), [], "why", Invalid),
        ):
            with pytest.raises(error):
                match_by_hand(entry, *fen, by=li, reason=reason)
        with transaction() as session, pytest.raises(NotFound):
            bank_by_hand.match_by_hand(session, 99, [1], by=li, reason="why", now=NOW)

    def test_a_day_of_a_gateway_that_pays_out_is_no_money_of_its_own(self, li):
        a_day("stripe", 0, ("payment", 10_000, 0, "a"), ("payout", -9_000, 0, "po_1"))
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000, on=-1))
        entry = the_entry(10_000)

        with pytest.raises(Conflict, match="match its payout"):
            by_hand(entry, "stripe", li)
        with pytest.raises(Conflict, match="several sources"):
            match_by_hand(entry, 9_000, 10_000, by=li)
        assert [one.source for one in suggestions(entry)] == ["alpha"]

    def test_two_people_at_once_match_once(self, li):
        entry = two_gateways_of_one_sum()

        done = at_once([lambda to=to: by_hand(entry, to, li) for to in ("alpha", "beta")])

        assert sum(isinstance(one, CityBillError) for one in done) == 1
        assert balances()["bank"] == 9_990


def by_hand(entry: BankEntry, source: str, by: int):
    with transaction() as session:
        due = session.execute(
            text("SELECT id FROM bank_due WHERE source = :source AND amount_fen = :fen"),
            {"source": source, "fen": entry.amount_fen},
        ).scalar_one()
        return bank_by_hand.match_by_hand(
            session, entry.id, [due], by=by, reason="called them", now=NOW
        )


class TestInSeveralSums:
    @pytest.fixture
    def came(self) -> list[int]:
        """Two entries of two senders, and two gateways whose day is of their sum."""
        for source in ("alpha", "beta"):
            takes(source, 0, 10_000, 10)
        bank_says(Line(6_990, account=SENDER), Line(3_000, on=2, account="6222020000005678"))
        return [the_entry(fen).id or 0 for fen in (6_990, 3_000)]

    def say(self, ids: list[int], by: int, *, source: str = "beta", on: int = 0) -> BankMatch:
        with transaction() as session:
            dues = session.execute(
                text("SELECT id FROM bank_due WHERE source = :source AND day = :day"),
                {"source": source, "day": DAY + timedelta(days=on)},
            )
            return bank_by_hand.match_by_hand(
                session, ids[0], list(dues.scalars()), also=ids[1:], by=by, reason="called them",
                now=NOW,
            )  # fmt: skip

    def test_they_are_one_sum_that_was_waited_for_and_stay_it(self, li, came):
        assert matched() == []

        self.say([came[1], came[0]], li)

        assert matched() == [("person", [6_990, 3_000], [9_990], 10)]
        assert (match()[:2], left()) == ((0, 0), [])
        assert balances() == {"bank": 9_990, "gateway:beta": -10_000, "gateway_fees": 10}
        assert violations() == []

    def test_undone_each_is_open_again(self, li, came):
        undo(self.say(came, li).id, li)

        assert match()[:2] == (0, 0)
        assert [one[4:] for one in left() if one[0] == "account-1"] == [
            (None, 6_990), (None, 3_000),
        ]  # fmt: skip
        assert (balances(), violations()) == ({}, [])

    def test_each_sender_is_known_by_it(self, li, came):
        self.say(came, li)

        assert rules() == [("beta", True), ("beta", True)]

    def test_said_again_it_changes_nothing_and_of_fewer_it_is_refused(self, li, came):
        made, posted = self.say(came, li), transfers()

        assert self.say(came[::-1], li).id == made.id
        with pytest.raises(Conflict):
            self.say(came[:1], li)
        assert transfers() == posted

    def test_one_fen_off_is_refused(self, li, came):
        bank_says(Line(1, on=2))

        for ids in (came[:1], [*came, the_entry(1).id or 0]):
            with pytest.raises(AmountMismatch):
                self.say(ids, li)

        assert (matched(), balances()) == ([], {})

    def test_what_is_not_there_taken_or_far_is_refused(self, li, came):
        bank_says(Line(500, on=2 + 31), Line(501, on=3))
        with pytest.raises(NotFound):
            self.say([came[0], 99], li)
        with pytest.raises(Conflict, match="from each other"):
            self.say([came[0], the_entry(500).id or 0], li)
        takes("gamma", 2, 501)
        match()
        with pytest.raises(Conflict, match="matched already"):
            self.say([came[0], the_entry(501).id or 0], li)

    def test_several_days_may_come_in_several_sums(self, li, came):
        takes("beta", 1, 500)
        bank_says(Line(500, on=2, account="6222020000009999"), Line(500, on=2, account="other"))

        with transaction() as session:
            dues = session.execute(text("SELECT id FROM bank_due WHERE source = 'beta'")).scalars()
            extra = session.execute(text("SELECT max(id) FROM bank_entry")).scalar_one()
            bank_by_hand.match_by_hand(
                session, came[0], list(dues), also=[came[1], extra], by=li, reason="a weekend",
                now=NOW,
            )  # fmt: skip

        [(how, came_fen, due_fen, _)] = matched()
        assert (how, sorted(came_fen), due_fen) == ("person", [500, 3_000, 6_990], [9_990, 500])
        assert violations() == []

    def test_the_nearest_of_the_same_sender_are_offered_first(self, came):
        bank_says(Line(70, on=9, account=SENDER), Line(-5, on=1), Line(60, on=40))

        with transaction() as session:
            found = open_beside(session, the_entry(6_990))

        assert [one.amount_fen for one in found] == [70, 3_000]

    def test_two_people_at_once_match_once(self, li, came):
        done = at_once([lambda to=to: self.say(came, li, source=to) for to in ("alpha", "beta")])

        assert sum(isinstance(one, CityBillError) for one in done) == 1
        assert (balances()["bank"], violations()) == (9_990, [])


class TestRules:
    def test_a_match_teaches_whose_money_an_account_brings(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        takes("alpha", 2, 700)
        takes("beta", 2, 700)

        assert bank_says(Line(700, on=3, account=SENDER)).made == 1

        assert matched()[1] == ("rule", [700], [700], 0)
        assert balances()["gateway:beta"] == -10_700
        with transaction() as session:
            assert SENDER not in str(session.execute(text("SELECT * FROM bank_rule")).all())

    def test_another_account_learns_nothing_of_it(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        takes("alpha", 2, 700)
        takes("beta", 2, 700)

        assert bank_says(Line(700, on=3, account=SENDER[:-1])).made == 0

    def test_it_dies_when_a_match_by_it_is_undone(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        takes("beta", 2, 700)
        takes("alpha", 2, 700)
        bank_says(Line(700, on=3, account=SENDER))
        with transaction() as session:
            by_rule = session.execute(
                text("SELECT id FROM bank_match WHERE matched_by = 'rule'")
            ).scalar_one()

        undo(by_rule, li)

        assert rules() == [("beta", False)]
        # What is left for it: the one that was not refused.
        assert match().made == 1
        assert balances()["gateway:alpha"] == -700
        assert violations() == []

    def test_a_person_ends_it_once_with_a_reason_and_the_next_run_does_without(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        (rule_id,) = rule_ids()
        takes("alpha", 2, 700)
        takes("beta", 2, 700)

        with pytest.raises(Invalid):
            end(rule_id, li, " ")
        ended = end(rule_id, li, "it was sold")

        assert (ended.ended_by, ended.end_reason) == (li, "it was sold")
        assert end(rule_id, li, "it was sold").ended_at == ended.ended_at
        with pytest.raises(Conflict):
            end(rule_id, li, "for another reason")
        with pytest.raises(NotFound):
            end(99, li, "why")
        assert bank_says(Line(700, on=3, account=SENDER)).made == 0
        assert matched() == [("person", [9_990], [9_990], 10)]

    def test_ended_at_once_by_several_it_is_one_persons(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        (rule_id,) = rule_ids()

        done = at_once([lambda why=why: end(rule_id, li, why) for why in ("a", "b", "c")])

        assert sum(isinstance(one, Conflict) for one in done) == 2

    def test_who_undid_the_match_ended_its_rule(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)

        undo(the_match(), li)

        with transaction() as session:
            (line,) = list_rules(session)
        assert (line.rule.ended_by, line.rule.end_reason) == (li, "it was another")
        assert (line.taught_by, line.other_masked) == (li, "************1234")

    def test_an_account_that_brought_two_sources_money_tells_nothing(self, li):
        by_hand(two_gateways_of_one_sum(), "beta", li)
        takes("alpha", 2, 700)
        bank_says(Line(700, on=3, account=SENDER))
        by_hand(the_entry(700), "alpha", li)

        assert rules() == [("beta", False)]


def rule_ids() -> list[int]:
    with transaction() as session:
        return list(session.execute(text("SELECT id FROM bank_rule ORDER BY id")).scalars())


def end(rule_id: int, by: int, reason: str) -> BankRule:
    with transaction() as session:
        return bank_by_hand.end_rule(session, rule_id, by=by, reason=reason, now=NOW)


class TestUndoing:
    def test_it_restores_the_books_and_no_run_makes_it_again(self, li):
        takes("alpha", 0, 10_000, 10)
        bank_says(Line(9_990))

        undone = undo(the_match(), li)

        assert (undone.undone_by, undone.undo_reason) == (li, "it was another")
        assert match() == (0, 0, 1)
        assert (matched(), balances(), violations()) == ([], {}, [])
        assert [one[2] for one in left()] == ["unknown_credit"]

    def test_undone_and_matched_again_by_hand_it_stands_once(self, li):
        takes("alpha", 0, 10_000, 10)
        bank_says(Line(9_990))
        undo(the_match(), li)

        match_by_hand(the_entry(9_990), 9_990, by=li)

        assert match() == (0, 0, 0)
        assert balances() == {"bank": 9_990, "gateway:alpha": -10_000, "gateway_fees": 10}
        assert violations() == []

    def test_an_undone_reference_is_two_differences_again(self, li):
        a_day("stripe", -6, ("payout", -500, 0, "po_1"))
        bank_says(Line(500, on=-3, ref="po_1"), Line(-1, on=5, no="late"))
        undo(the_match(), li)
        match()

        assert {one[2] for one in left()} == {"unknown_credit", "unknown_debit", "not_settled"}

    def test_twice_or_without_a_reason_is_refused(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000))
        made = the_match()
        with pytest.raises(Invalid):
            undo(made, li, " ")
        undone_at = undo(made, li).undone_at

        assert undo(made, li).undone_at == undone_at  # a form sent twice
        with pytest.raises(Conflict):
            undo(made, li, "for another reason")
        with pytest.raises(Conflict):
            undo(made, a_person(Role.STAFF))
        with pytest.raises(NotFound):
            undo(1, li)

    def test_two_at_once_counter_once(self, li):
        takes("alpha", 0, 10_000)
        bank_says(Line(10_000))
        made = the_match()

        done = at_once([lambda why=why: undo(made, li, why) for why in ("a", "b", "c")])

        assert sum(isinstance(one, Conflict) for one in done) == 2
        assert (balances(), violations()) == ({}, [])
