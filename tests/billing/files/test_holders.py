"""Whose an account is: a newer bill with another name says so, an older one does not."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from billing.homes import moving
from billing.homes.challenges import pass_challenge, read_answer
from core.clock import add_months
from core.db import engine, transaction
from core.errors import NotFound
from providers.base import BillRecord, RecordKind
from tests.factories import MONTH, NOW, a_home, a_record, bring_in

pytestmark = pytest.mark.usefixtures("city")
NO = "8800000001"


def named(
    name: str, *, months: int = 0, bill_no: str = "B1", no: str = NO, **changes
) -> BillRecord:
    """A bill of so many months after the first, with a holder's name."""
    month = add_months(MONTH, months)
    days = {"billing_month": month, "issued_on": month + timedelta(days=9)}
    return a_record(no, bill_no, holder_name=name, **days | changes)


def holder(no: str = NO, company: str = "water") -> str:
    with transaction() as session:
        found = session.execute(
            text("SELECT holder_name FROM utility_account"
                 " WHERE provider_code = :company AND account_no = :no"),
            {"company": company, "no": no},
        )  # fmt: skip
        return found.scalar_one()


class TestNewNames:
    def test_a_newer_bill_with_another_name_changes_it(self):
        bring_in("water", named("王珅", months=-2))
        bring_in("water", named("李雷", months=-1))

        assert holder() == "李雷"

    def test_an_older_bill_that_comes_late_does_not(self):
        bring_in("water", named("李雷", months=-1))
        bring_in("water", named("王珅", months=-3))

        assert holder() == "李雷"

    def test_of_two_in_one_file_the_newer_stands_in_whichever_order(self):
        bring_in("water", named("李雷", months=-1), named("王珅", months=-2, bill_no="B0"))

        assert holder() == "李雷"

    def test_another_companys_account_of_the_same_number_keeps_its_name(self):
        bring_in("gas", named("王珅", months=-2))
        bring_in("water", named("李雷", months=-1))

        assert (holder(company="gas"), holder(company="water")) == ("王珅", "李雷")

    @pytest.mark.parametrize("kind", [RecordKind.BILL, RecordKind.CORRECT])
    def test_a_bill_that_is_the_same_but_for_the_name_brings_it(self, kind):
        bring_in("water", named("王珅", months=-1))
        again = bring_in("water", named("李雷", months=-1, kind=kind))

        assert again.unchanged == 1
        assert holder() == "李雷"

    def test_a_higher_version_brings_it_and_an_old_version_does_not_take_it_back(self):
        bring_in("water", named("王珅", months=-1))
        bring_in("water", named("李雷", months=-1, version=2, amount_fen=1_234))
        assert holder() == "李雷"

        bring_in("water", named("王珅", months=-1), named("x", months=-1, no="8800000002"))
        assert holder() == "李雷"

    @pytest.mark.parametrize("name", ["", "王*", "*珅"])
    def test_no_name_and_one_with_stars_that_fits_say_nothing_new(self, name):
        bring_in("water", named("王珅", months=-2))
        bring_in("water", named(name, months=-1))

        assert holder() == "王珅"

    def test_one_with_stars_that_does_not_fit_is_somebody_else(self):
        bring_in("water", named("王珅", months=-2))
        bring_in("water", named("李*", months=-1))

        assert holder() == "李*"


NAMES = st.sampled_from(["王珅", "李雷", "韩*", "", "O'Neil\\x"])
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-4, -1), NAMES),
    min_size=1, max_size=8, unique_by=lambda row: row[:2],
)  # fmt: skip


class TestTwice:
    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(first=ROWS, second=ROWS, nonce=st.integers(0, 10**9))
    def test_the_same_rows_again_change_nothing(self, first, second, nonce):
        def rows(told: list[tuple[int, int, str]]) -> list[BillRecord]:
            return [named(name, months=month, no=f"{nonce:010d}{account}")
                    for account, month, name in told]  # fmt: skip

        def held() -> list[tuple[str, str]]:
            with transaction() as session:
                found = session.execute(
                    text("SELECT account_no, holder_name FROM utility_account ORDER BY account_no")
                )
                return [(one.account_no, one.holder_name) for one in found]

        bring_in("water", *rows(first))
        bring_in("water", *rows(second))
        once = held()
        bring_in("water", *rows(second))

        assert held() == once


class TestTheCost:
    @pytest.mark.parametrize("known", [False, True])
    def test_a_file_of_the_same_names_costs_not_one_statement(self, known):
        said: list[str] = []

        def note(_connection, _cursor, statement, *_rest) -> None:
            said.append(statement)

        bring_in("water", named("王珅", months=-2), named("李雷", months=-2, no="8800000002"))
        event.listen(engine(), "before_cursor_execute", note)
        try:
            bring_in(
                "water", named("王珅", months=-2 + (not known)),
                named("李雷", months=-2 + (not known), no="8800000002"),
            )  # fmt: skip
            assert not [one for one in said if "SET holder_name" in one]
            bring_in("water", named("韩梅梅", months=0 if not known else -2))
            assert len([one for one in said if "SET holder_name" in one]) == 1
        finally:
            event.remove(engine(), "before_cursor_execute", note)


class TestTheProof:
    def test_the_new_holders_name_opens_the_account_and_the_old_one_no_more(self):
        home = a_home(8_650)
        left_on = date(2026, 11, 25)
        with transaction() as session:
            plan = moving.Plan(left_on, "南京路8号", "139 0000 0000", [home.refs[0][0]])
            moving.make(session, home.owner_id, home.household_id, plan, secret="x", now=NOW)
        number, after = home.account_nos[0], NOW + timedelta(days=50)
        month = date(2026, 12, 1)
        bring_in(
            "water",
            a_record(number, "NEXT", holder_name="李雷", billing_month=month,
                     period_from_on=month, issued_on=date(2026, 12, 28),
                     period_to_on=date(2026, 12, 27), due_on=date(2027, 1, 20)),
            now=after,
        )  # fmt: skip

        def prove(name: str):
            with transaction() as session:
                told = read_answer(session, "water", number, amount_yuan="", name=name, now=after)
            return pass_challenge(told, client=name, secret="x", now=after)

        assert prove("李雷").left_on is None
        with pytest.raises(NotFound):
            prove("王珅")
