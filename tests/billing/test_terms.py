"""A company's terms: two people, from a day ahead on, once a day, and for ever once approved."""

import re
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from billing import terms
from billing.rules.terms import Terms, parse_terms
from billing.terms import ProviderTerms, TermsState
from core.clock import billing_date
from core.db import transaction
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from identity.models import Role
from tests.factories import NOW, a_person, at_once

pytestmark = pytest.mark.usefixtures("city")

ROOT = Path(__file__).parents[2]
TODAY = billing_date(NOW)
TOMORROW = TODAY + timedelta(days=1)
LATE = "[late_fee]\nonce_fen = 500\n"


@pytest.fixture
def people() -> tuple[int, int, int]:
    one, two, three = (a_person(Role.STAFF) for _ in range(3))
    return one, two, three


def proposed(by: int, content: str = LATE, on: date = TOMORROW, **changes: Any) -> int:
    with transaction() as session:
        row = terms.propose(
            session,
            **{
                "provider_code": "water", "content": content, "effective_on": on,
                "reason": "the tariff of 2027", "proposed_by": by, "now": NOW,
            } | changes,
        )  # fmt: skip
    assert row.id is not None
    return row.id


def approved(terms_id: int, by: int, now: Any = NOW) -> ProviderTerms:
    with transaction() as session:
        return terms.approve(session, terms_id, approved_by=by, now=now)


def withdrawn(terms_id: int, by: int) -> ProviderTerms:
    with transaction() as session:
        return terms.withdraw(session, terms_id, by=by, now=NOW)


def first(people: tuple[int, ...], content: str = LATE, **changes: Any) -> ProviderTerms:
    with transaction() as session:
        return terms.put_first_terms(
            session, **{
                "provider_code": "water", "content": content, "proposed_by": people[0],
                "approved_by": people[1], "effective_on": date(2024, 1, 1), "now": NOW,
            } | changes,
        )  # fmt: skip


def on(day: date, company: str = "water") -> Terms:
    with transaction() as session:
        return terms.terms_on(session, company, day)


class TestProposing:
    def test_a_proposal_changes_nothing_and_waits(self, people):
        terms_id = proposed(people[0])

        assert on(TOMORROW) == Terms()
        with transaction() as session:
            row = terms.get_terms(session, terms_id)
            assert terms.state_of(session, row, today=TODAY) is TermsState.PROPOSED

    def test_what_a_browser_sends_is_kept_as_a_file_would_say_it(self, people):
        terms_id = proposed(people[0], "[late_fee]\r\nonce_fen = 500\r\n\r\n", reason="  why ")

        with transaction() as session:
            row = terms.get_terms(session, terms_id)
        assert (row.content, row.reason) == (LATE, "why")

    @pytest.mark.parametrize("day", [TODAY, TODAY - timedelta(days=400)])
    def test_the_first_day_is_ahead(self, people, day):
        with pytest.raises(Invalid) as refused:
            proposed(people[0], on=day)

        assert refused.value.code == "terms.too_late"

    def test_the_day_is_the_citys(self, people):
        """Rule 23: in the evening of UTC the city has tomorrow already."""
        with pytest.raises(Invalid):
            proposed(people[0], now=NOW + timedelta(hours=13))

    def test_wrong_terms_are_refused_by_table_and_key(self, people):
        with pytest.raises(Invalid, match=r"late_fee\.onec_fen: there is no such key"):
            proposed(people[0], "[late_fee]\nonec_fen = 500")

    def test_no_reason_is_refused(self, people):
        with pytest.raises(Invalid) as refused:
            proposed(people[0], reason=" \t")

        assert refused.value.code == "terms.reason"

    def test_a_company_nobody_knows_is_refused(self, people):
        with pytest.raises(NotFound):
            proposed(people[0], provider_code="wasser")


class TestApproving:
    def test_a_second_person_brings_them_into_force_on_their_day(self, people):
        row = approved(proposed(people[0]), people[1])

        assert (row.approved_by, row.approved_at) == (people[1], NOW)
        assert on(TODAY) == Terms()
        assert on(TOMORROW).late_fee.once_fen == 500
        assert on(TOMORROW, "gas") == Terms()

    def test_the_same_person_again_changes_nothing(self, people):
        terms_id = proposed(people[0])
        approved(terms_id, people[1])

        again = approved(terms_id, people[1], now=NOW + timedelta(days=30))

        assert again.approved_at == NOW

    def test_a_third_person_afterwards_is_told(self, people):
        terms_id = proposed(people[0])
        approved(terms_id, people[1])

        with pytest.raises(Conflict) as refused:
            approved(terms_id, people[2])
        assert refused.value.code == "terms.approved"

    def test_the_proposer_is_refused_by_the_code(self, people):
        terms_id = proposed(people[0])

        with pytest.raises(NotAllowed) as refused:
            approved(terms_id, people[0])
        assert refused.value.code == "terms.same_person"
        assert on(TOMORROW) == Terms()

    def test_the_proposer_is_refused_by_the_database(self, people):
        terms_id = proposed(people[0])

        with pytest.raises(IntegrityError, match="two_people"), transaction() as session:
            session.execute(
                text("UPDATE provider_terms SET approved_by = proposed_by, approved_at = now()"
                     " WHERE id = :id"),
                {"id": terms_id},
            )  # fmt: skip
        assert on(TOMORROW) == Terms()

    def test_terms_whose_day_has_come_are_too_late(self, people):
        terms_id = proposed(people[0])

        with pytest.raises(Conflict) as refused:
            approved(terms_id, people[1], now=NOW + timedelta(days=1))
        assert refused.value.code == "terms.too_late"

    def test_withdrawn_terms_are_refused(self, people):
        terms_id = proposed(people[0])
        withdrawn(terms_id, people[0])

        with pytest.raises(Conflict) as refused:
            approved(terms_id, people[1])
        assert refused.value.code == "terms.withdrawn"

    def test_terms_there_are_not(self, people):
        with pytest.raises(NotFound):
            approved(404, people[1])

    def test_a_day_has_one_page_a_company_and_the_other_is_told_what_to_do(self, people):
        approved(proposed(people[0]), people[1])
        other = proposed(people[0], "")

        with pytest.raises(Conflict, match="another day") as refused:
            approved(other, people[1])
        assert refused.value.code == "terms.day_taken"
        assert on(TOMORROW).late_fee.once_fen == 500

    def test_two_approvers_at_one_moment_are_one_approval(self, people):
        terms_id = proposed(people[0])

        told = at_once(
            [lambda: approved(terms_id, people[1]), lambda: approved(terms_id, people[2])]
        )

        done = [one for one in told if isinstance(one, ProviderTerms)]
        refused = [one for one in told if isinstance(one, Conflict)]
        assert (len(done), [one.code for one in refused]) == (1, ["terms.approved"])
        with transaction() as session:
            assert terms.get_terms(session, terms_id).approved_by == done[0].approved_by

    def test_two_proposals_of_a_day_approved_at_one_moment_are_one_in_force(self, people):
        ids = [proposed(people[0], f"[late_fee]\nonce_fen = {fen}") for fen in range(1, 7)]

        told = at_once([lambda one=one: approved(one, people[1]) for one in ids])

        done = [one for one in told if isinstance(one, ProviderTerms)]
        assert len(done) == 1
        assert {one.code for one in told if isinstance(one, Conflict)} == {"terms.day_taken"}
        assert on(TOMORROW) == parse_terms(done[0].content)

    @pytest.mark.parametrize(
        "act",
        [
            "UPDATE provider_terms SET approved_at = now() + interval '1 day'",
            "UPDATE provider_terms SET approved_by = NULL, approved_at = NULL",
            "UPDATE provider_terms SET content = ''",
            "DELETE FROM provider_terms",
        ],
    )
    def test_approved_terms_are_for_ever(self, people, act):
        approved(proposed(people[0]), people[1])

        with (
            pytest.raises(Exception, match=r"never changed|permission denied"),
            transaction() as db,
        ):
            db.execute(text(act))


class TestWithdrawing:
    def test_a_proposal_is_taken_back_once(self, people):
        terms_id = proposed(people[0])

        assert withdrawn(terms_id, people[1]).withdrawn_at == NOW
        with transaction() as session:
            again = terms.withdraw(session, terms_id, by=people[0], now=NOW + timedelta(hours=1))
            assert again.withdrawn_at == NOW
            assert terms.state_of(session, again, today=TODAY) is TermsState.WITHDRAWN

    def test_approved_terms_are_not(self, people):
        terms_id = proposed(people[0])
        approved(terms_id, people[1])

        with pytest.raises(Conflict, match="later day"):
            withdrawn(terms_id, people[0])

    def test_approving_and_withdrawing_at_one_moment_is_one_of_the_two(self, people):
        terms_id = proposed(people[0])

        told = at_once(
            [lambda: approved(terms_id, people[1]), lambda: withdrawn(terms_id, people[0])]
        )

        assert len([one for one in told if isinstance(one, ProviderTerms)]) == 1
        assert len([one for one in told if isinstance(one, Conflict)]) == 1


class TestTheFirst:
    def test_may_be_in_force_from_a_past_day(self, people):
        first(people)

        assert on(date(2023, 12, 31)) == Terms()
        assert on(date(2024, 1, 1)).late_fee.once_fen == 500

    def test_take_two_people_too(self, people):
        with pytest.raises(NotAllowed):
            first((people[0], people[0]))

    @pytest.mark.parametrize("then", ["proposed", "withdrawn", "approved"])
    def test_are_refused_once_there_are_any(self, people, then):
        terms_id = proposed(people[0])
        if then != "proposed":
            (withdrawn if then == "withdrawn" else approved)(terms_id, people[1])

        with pytest.raises(Conflict) as refused:
            first(people)
        assert refused.value.code == "terms.not_first"

    def test_are_checked_like_any(self, people):
        with pytest.raises(Invalid):
            first(people, "nonsense")
        with pytest.raises(NotFound):
            first(people, provider_code="wasser")

    def test_twice_at_one_moment_is_once(self, people):
        days = [date(2024, 1, at) for at in range(1, 6)]

        told = at_once([lambda day=day: first(people, effective_on=day) for day in days])

        assert len([one for one in told if isinstance(one, ProviderTerms)]) == 1
        assert {one.code for one in told if isinstance(one, Conflict)} == {"terms.not_first"}


class TestReading:
    def test_several_companies_at_once_are_what_each_is_alone(self, people):
        first(people)
        approved(proposed(people[0], "[late_fee]\nonce_fen = 700"), people[1])
        first(people, "surplus = 'refuse'\n[quote]\nminutes = 9", provider_code="gas")
        proposed(people[0], provider_code="power")

        for day in (date(2023, 1, 1), TODAY, TOMORROW, TOMORROW + timedelta(days=99)):
            with transaction() as session:
                together = terms.terms_of(session, ["water", "gas", "power", "water"], day)
            assert list(together) == ["water", "gas", "power"]
            assert together == {code: on(day, code) for code in together}

    def test_of_no_company_there_are_none(self, session):
        assert terms.terms_of(session, [], TODAY) == {}

    def test_history_says_where_each_stands(self, people):
        first(people)
        approved(proposed(people[0], on=TOMORROW), people[1])
        approved(proposed(people[0], on=TODAY + timedelta(days=10)), people[1])
        proposed(people[0], on=TODAY + timedelta(days=5))
        withdrawn(proposed(people[0], on=TODAY + timedelta(days=20)), people[0])

        def states(day: date) -> list[str]:
            with transaction() as session:
                return [state for _, state in terms.history(session, "water", today=day)]

        assert states(TODAY) == ["withdrawn", "coming", "proposed", "coming", "in_force"]
        assert states(TODAY + timedelta(days=5)) == [
            "withdrawn", "coming", "lapsed", "in_force", "past",
        ]  # fmt: skip

    def test_what_is_ahead_is_listed_the_nearest_first(self, people):
        first(people)
        later = proposed(people[0], on=TODAY + timedelta(days=9), provider_code="gas")
        sooner = proposed(people[0])
        withdrawn(proposed(people[0]), people[1])

        with transaction() as session:
            ahead = terms.list_ahead(session, today=TODAY)

        assert [(row.id, state) for row, state in ahead] == [
            (sooner, TermsState.PROPOSED), (later, TermsState.PROPOSED),
        ]  # fmt: skip

    def test_a_list_is_of_one_company_or_of_all(self, people):
        first(people)
        first(people, provider_code="gas")

        with transaction() as session:
            assert [one.provider_code for one in terms.list_terms(session)] == ["gas", "water"]
            assert [one.provider_code for one in terms.list_terms(session, "gas")] == ["gas"]


class TestDifferences:
    def test_the_same_terms_do_not_differ(self):
        assert terms.differences(parse_terms(LATE), parse_terms(LATE)) == []

    def test_every_key_that_changes_is_named_with_both_values(self):
        after = parse_terms("""
            [cut_off]
            at = 17:00:00
            working_days = true
            [fee]
            slabs = [{ upto_fen = 100, fixed_fen = 1 }, { rate_ppm = 5 }]
            [apportion]
            heads = ["late_fee", "charge"]
            [[limits]]
            mode = "card"
            channels = ["counter", "tv"]
        """)

        told = {one.key: (one.before, one.after) for one in terms.differences(Terms(), after)}

        assert told == {
            "cut_off.at": (None, "17:00:00"),
            "cut_off.working_days": ("false", "true"),
            "fee.slabs.0.upto_fen": (None, "100"),
            "fee.slabs.0.fixed_fen": (None, "1"),
            "fee.slabs.0.rate_ppm": (None, "0"),
            "fee.slabs.1.fixed_fen": (None, "0"),
            "fee.slabs.1.rate_ppm": (None, "5"),
            "apportion.heads": ("charge, late_fee", "late_fee, charge"),
            "limits.0.mode": (None, "card"),
            "limits.0.channels": (None, "counter, tv"),
        }

    def test_what_a_list_loses_is_told(self):
        before = parse_terms("[[limits]]\nmode = 'cash'\nchannels = ['counter']")

        told = terms.differences(before, Terms())

        assert [tuple(one) for one in told] == [
            ("limits.0.mode", "cash", None), ("limits.0.channels", "counter", None),
        ]  # fmt: skip

    def test_changes_are_against_the_eve_of_the_first_day(self, people):
        first(people)
        terms_id = proposed(people[0], "[late_fee]\nonce_fen = 700")

        with transaction() as session:
            told = terms.changes(session, terms.get_terms(session, terms_id))

        assert [tuple(one) for one in told] == [("late_fee.once_fen", "500", "700")]


def keys_of(model: type[BaseModel], path: str = "") -> list[str]:
    """Every key of a table and of those within it, as ``table.key``."""
    found = []
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        tables = [one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)]
        if tables:
            found += keys_of(tables[0], f"{path}{name}.")
        if not tables or get_args(field.annotation):
            found.append(f"{path}{name}")
    return found


class TestTheManual:
    MANUAL = (ROOT / "docs" / "terms.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("key", keys_of(Terms))
    def test_every_key_is_explained(self, key):
        tables = {"limits", "splits"}  # headed by their [[table]]
        assert f"`[[{key}]]`" in self.MANUAL if key in tables else f"| `{key}` |" in self.MANUAL

    def test_no_key_is_explained_that_there_is_not(self):
        told = re.findall(r"^\| `([a-z_.]+)` \|", self.MANUAL, re.MULTILINE)

        assert sorted(told) == sorted(set(keys_of(Terms)) - {"limits", "splits"})

    @pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL))
    def test_every_example_can_be_proposed(self, example):
        assert parse_terms(example) != Terms()

    def test_the_plain_values_are_the_plain_ones(self):
        plain = dict(terms._flat(Terms().model_dump(mode="json")))
        told = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]+?) \|", self.MANUAL, re.MULTILINE))

        for key, value in plain.items():
            said = told[key].strip("`[]").replace('"', "").replace("_", "")
            assert said.startswith(value.replace("_", "")), key


class TestTheDemo:
    FILES = sorted((ROOT / "cli" / "demo_terms").glob("*.toml"))

    def test_each_company_has_its_own(self):
        assert [path.stem for path in self.FILES] == ["gas", "power", "telecom", "water"]
        assert len({parse_terms(path.read_text(encoding="utf-8")) for path in self.FILES}) == 4

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
    def test_residents_of_the_demo_pay_no_fee(self, path):
        """The demo's pages say so, and its story pays to the fen."""
        shown = parse_terms(path.read_text(encoding="utf-8")).fee

        assert not shown.slabs or shown.paid_by == "company"

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
    def test_every_line_is_explained(self, path):
        """Each key is on a line with a note, or is plain by its name in docs/terms.md."""
        content = path.read_text(encoding="utf-8")

        assert content.startswith("# City ")
        assert content.count("#") >= len(tomllib.loads(content))
