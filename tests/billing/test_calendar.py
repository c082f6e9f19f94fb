"""A household's calendar: what is known on its day, what usually comes about then, nothing else."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import Kind, bill_entries, days_off_calendar, usual_days
from billing.cycles import is_billed
from billing.homes.households import visible_accounts
from billing.homes.spans import Accounts, Span
from billing.rules.terms import Cycle
from billing.rules.workdays import holiday_name, is_marked
from core.clock import add_months
from tests.factories import MONTH, Home, a_home, a_record, bring_in, the_terms

TODAY = date(2026, 11, 20)
FIRST, LAST = date(2026, 11, 1), date(2026, 12, 31)


def entries(session, home: Home, *, first=FIRST, last=LAST, today=TODAY) -> list[str]:
    accounts = visible_accounts(session, home.owner_id)
    found = bill_entries(session, accounts, first, last, today=today)
    return sorted(f"{one.on:%m-%d} {one.kind} {one.account.provider_code}" for one in found)


@pytest.mark.usefixtures("city")
class TestKnown:
    def test_a_bill_stands_on_its_day_of_issue_and_on_the_last_day_to_pay(self, session):
        home = a_home(8_650, issued_on=date(2026, 11, 5), due_on=date(2026, 11, 30))

        assert entries(session, home, last=date(2026, 11, 30)) == [
            "11-05 issued water", "11-30 due water",
        ]  # fmt: skip

    def test_a_bill_of_a_month_that_is_far_ahead_stands_on_its_days_too(self, session):
        home = a_home(
            100, billing_month=date(2027, 5, 1), issued_on=date(2026, 11, 5),
            due_on=date(2026, 11, 30),
        )  # fmt: skip

        assert entries(session, home, last=date(2026, 11, 30)) == [
            "11-05 issued water", "11-30 due water",
        ]  # fmt: skip

    def test_a_due_day_off_moves_as_the_company_says_and_tells_what_is_printed(self, session):
        the_terms("water", '[due]\nroll = "next_working_day"\n')
        home = a_home(8_650, issued_on=date(2026, 11, 5), due_on=date(2026, 11, 29))  # a Sunday
        accounts = visible_accounts(session, home.owner_id)

        found = bill_entries(session, accounts, FIRST, date(2026, 11, 30), today=TODAY)

        (due,) = (one for one in found if one.kind is Kind.DUE)
        assert (due.on, due.printed_on) == (date(2026, 11, 30), date(2026, 11, 29))

    def test_a_credit_is_due_on_no_day_and_a_cancelled_bill_is_not_there(self, session):
        home = a_home(-500, 100, issued_on=date(2026, 11, 5))
        home.cancel(1, version=2)

        assert entries(session, home, last=date(2026, 11, 30)) == ["11-05 issued water"]

    def test_other_peoples_bills_are_not_in_it(self, session):
        a_home(8_650)
        home = a_home(100)

        assert all("water" in one for one in entries(session, home))
        assert entries(session, home) == entries(session, a_home(100))


@pytest.mark.usefixtures("city")
class TestExpected:
    def test_a_bill_is_expected_about_when_those_before_it_came(self, session):
        home = a_home(100)  # October's, issued thirty-one days after its first

        assert "12-02 expected water" in entries(session, home)

    def test_every_second_month_is_no_bill_normal(self, session):  # rule 22
        the_terms("water", "[cycle]\nmonths = 2\nanchor_month = 2\n")
        home = a_home(100)  # October's

        told = entries(session, home, last=date(2027, 3, 31))

        assert [one for one in told if "expected" in one] == [
            "01-01 expected water", "03-04 expected water",
        ]  # fmt: skip

    def test_of_an_account_that_was_left_nothing_is_expected(self, session):
        home = a_home(100)
        (account,) = visible_accounts(session, home.owner_id).values()
        left = Accounts()
        left.let_see(account, Span(None, date(2026, 11, 1)))

        found = bill_entries(session, left, FIRST, LAST, today=TODAY)

        assert {one.kind for one in found} == {Kind.ISSUED, Kind.DUE}


@given(
    months=st.sampled_from([1, 2, 3]), lag=st.integers(1, 45), back=st.integers(0, 6),
    ahead=st.integers(0, 200),
)  # fmt: skip
def test_expected_days_lie_ahead_in_cycle_and_are_never_of_a_bill_that_came(
    months, lag, back, ahead
):
    cycle = Cycle(months=months, anchor_month=10)
    month = add_months(MONTH, -back)
    last_on = TODAY + timedelta(days=ahead)

    told = list(usual_days(cycle, [(month, month + timedelta(days=lag))], last_on, today=TODAY))

    assert all(TODAY <= on <= last_on and one > month for one, on in told)
    assert all(is_billed(cycle, one) for one, _ in told)
    assert len({one for one, _ in told}) == len(told)


def test_an_account_that_has_ended_is_waited_for_no_more():
    came = [(date(2026, 5, 1), date(2026, 6, 1))]

    assert list(usual_days(Cycle(), came, date(2027, 3, 1), today=TODAY)) == []


@pytest.mark.usefixtures("city")
def test_the_days_off_are_those_of_the_companies_terms(session):
    home = a_home(100, 200, 300)
    the_terms("water", '[due]\ncalendar = "DE"\n')
    accounts = visible_accounts(session, home.owner_id)

    assert days_off_calendar(session, accounts, today=TODAY) == "CN"
    one = accounts.only(lambda account: account.provider_code == "water")
    assert days_off_calendar(session, one, today=TODAY) == "DE"
    assert days_off_calendar(session, {}, today=TODAY) == "CN"


@pytest.mark.parametrize(
    ("day", "marked", "name"),
    [
        (date(2026, 10, 1), True, "国庆节"),  # a Thursday
        (date(2026, 10, 10), True, ""),  # a Saturday that is worked
        (date(2026, 10, 11), False, ""),  # a Sunday
        (date(2026, 10, 12), False, ""),
        (date(2026, 2, 20), True, "休息日"),
    ],
)
def test_days_are_marked_that_are_not_what_their_weekday_is(day, marked, name):
    assert is_marked("CN", day) is marked
    assert holiday_name("CN", day, "zh_CN") == name


@pytest.mark.usefixtures("city")
def test_a_bill_far_before_is_still_due_in_its_month(session):
    home = a_home(100)
    bring_in(
        "water",
        a_record(
            home.account_nos[0],
            "B0",
            billing_month=date(2026, 2, 1),
            issued_on=date(2026, 3, 1),
            due_on=date(2026, 12, 15),
        ),
    )

    assert "12-15 due water" in entries(session, home)
