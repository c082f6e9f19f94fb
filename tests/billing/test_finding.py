"""Finding one's own bills: by what they are, never beyond what one may see, page by page."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing.bills import list_bills, parse_ref
from billing.finding import (
    STATES,
    Shown,
    Wanted,
    every_bill,
    find_accounts,
    find_bills,
    latest_due,
    places_of,
    sum_months,
)
from billing.homes.households import visible_accounts
from billing.homes.spans import Accounts, Span
from billing.rules.calendars import pay_by
from billing.rules.terms import Due, Roll
from billing.views import BillState
from core.clock import add_months
from core.db import transaction
from tests.factories import (
    MONTH,
    NOW,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    a_record,
    bring_in,
    the_terms,
)

TODAY = date(2026, 11, 20)


def accounts_of(person_id: int) -> Accounts:
    with transaction() as session:
        return visible_accounts(session, person_id)


def found(home: Home, *, today: date = TODAY, **wanted: object) -> list[str]:
    """The bill numbers a person finds, in order."""
    with transaction() as session:
        accounts = visible_accounts(session, home.owner_id)
        shown = find_bills(session, accounts, Wanted(**wanted), today=today, limit=500)
    return [f"{one.account.provider_code} {one.billing_month:%y-%m} {one.bill_no}" for one in shown]


def more_months(home: Home, at: int, months: int, **changes: object) -> None:
    """Bills of the months before, of one account."""
    bring_in(
        home.companies[at],
        *(
            a_record(home.account_nos[at], billing_month=add_months(MONTH, -back), **changes)
            for back in range(1, months + 1)
        ),
    )


@pytest.mark.usefixtures("city")
class TestFilters:
    def test_the_newest_month_comes_first(self):
        home = a_home(100, 200)
        more_months(home, 1, 2)

        assert found(home) == [
            "water 26-10 B1", "power 26-10 B1", "power 26-09 B1", "power 26-08 B1",
        ]  # fmt: skip

    def test_by_company(self):
        assert found(a_home(100, 200, 300), provider="power") == ["power 26-10 B1"]

    def test_from_a_month_until_another(self):
        home = a_home(100)
        more_months(home, 0, 5)

        asked = found(home, from_month=date(2026, 7, 1), to_month=date(2026, 8, 1))

        assert asked == ["water 26-08 B1", "water 26-07 B1"]

    def test_by_place(self):
        home = a_home(100)
        a_home(200, owner_id=home.owner_id, address="南京路9号")

        assert len(found(home)) == 2
        assert len(found(home, place="南京路9号")) == 1
        assert [name for _, name in places_of(accounts_of(home.owner_id))] == [
            "南京路9号", "汉口路1弄2号",
        ]  # fmt: skip

    def test_a_bill_of_a_month_that_is_far_ahead_is_found(self):
        home = a_home(
            100, billing_month=date(2027, 5, 1), issued_on=date(2026, 11, 5),
            due_on=date(2026, 11, 30),
        )  # fmt: skip

        assert found(home) == ["water 27-05 B1"]

    def test_bills_older_than_two_years_are_not_online(self):
        home = a_home(100)
        more_months(home, 0, 30)

        assert len(found(home)) == 24
        assert found(home, from_month=date(2020, 1, 1)) == found(home)

    @pytest.mark.parametrize(
        ("words", "fits"),
        [
            ("w-202610-00042", True), ("0042", True), ("  00042 ", True), ("2026", False),
            ("污水", True), ("排水", False), ("自来水", True), ("water", True), ("汉口路", True),
            ("%", False), ("_", False), ("'", False),
        ],
    )  # fmt: skip
    def test_by_the_end_of_a_number_or_by_words(self, words, fits):
        item = a_record("1").items[0]._replace(name="污水处理费")
        home = a_home(100)
        bring_in(
            "water",
            a_record(
                home.account_nos[0], "W-202610-00042", items=(item._replace(amount_fen=8_650),)
            ),
        )
        every = found(home, words=words)

        assert ("water 26-10 W-202610-00042" in every) is fits

    def test_by_the_end_of_an_accounts_number(self):
        home = a_home(100, 200)

        assert found(home, words=home.account_nos[1][-4:]) == ["power 26-10 B1"]

    def test_by_an_amount(self):
        assert found(a_home(100, 8_650), words="86.50", amount_fen=8_650) == ["power 26-10 B1"]

    def test_of_somebody_without_accounts_there_are_none(self, session):
        assert find_bills(session, Accounts(), Wanted(), today=TODAY) == []
        assert sum_months(session, Accounts(), Wanted(), today=TODAY) == []


@pytest.mark.usefixtures("city")
class TestStates:
    def test_each_state_of_the_sql_is_that_of_the_page(self, session):
        home = _home_of_all_states()
        accounts = visible_accounts(session, home.owner_id)

        everything = list_bills(session, accounts, today=TODAY)
        assert {one.state for one in everything} == set(BillState)
        for state in BillState:
            wanted = Wanted(states=frozenset({state}))
            shown = find_bills(session, accounts, wanted, today=TODAY, limit=50)
            expected = {one.ref for one in everything if one.state is state}
            assert {one.ref for one in shown} == expected, state

    def test_every_state_is_looked_for_in_one_way(self):
        assert sorted(state for states in STATES.values() for state in states) == sorted(BillState)
        assert set(STATES) == set(Shown)

    def test_what_is_due_follows_the_terms_of_its_company(self):  # rule 19
        the_terms("water", '[due]\nroll = "next_working_day"\n')
        home = a_home(100, due_on=date(2026, 11, 21))  # a Saturday

        monday, tuesday = date(2026, 11, 23), date(2026, 11, 24)
        late = frozenset({BillState.OVERDUE})
        assert found(home, today=monday, states=late) == []
        assert found(home, today=tuesday, states=late) == ["water 26-10 B1"]


def _home_of_all_states() -> Home:
    """A bill in each state there is."""
    home = a_home(*([1_000] * 9), -500, -500, 0)
    a_paid_payment(home, home.refs[3])
    a_payment(home, home.refs[4])
    sets = {
        0: "due_on = '2026-12-30'", 1: "due_on = '2026-11-25'",
        2: "issued_on = '2026-10-30', due_on = '2026-11-10'",
        5: "paid_fen = 1000, written_off_fen = 1000", 6: "credited_fen = 1000",
        7: "cancelled_at = now()", 8: "cancelled_at = now(), paid_elsewhere_at = now()",
        10: "credited_fen = -500",
    }  # fmt: skip
    with transaction() as session:
        for at, change in sets.items():
            account_id, bill_id = home.refs[at]
            values = {"account_id": account_id, "bill_id": bill_id}
            session.execute(
                text(f"UPDATE bill SET {change} WHERE account_id = :account_id AND id = :bill_id"),
                values,
            )
    return home


@given(
    roll=st.sampled_from(Roll), today=st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    days=st.integers(-40, 40),
)  # fmt: skip
def test_the_latest_due_day_parts_those_that_are_payable_by_then(roll, today, days):
    due = Due(roll=roll)

    latest = latest_due(due, today)

    printed = today + timedelta(days=days)
    assert (pay_by(printed, due) <= today) == (printed <= latest)


@pytest.mark.usefixtures("city")
class TestPages:
    def test_pages_hold_every_bill_once_and_sums_are_of_all(self, session):
        home = a_home(100, 200, 300)
        for at in range(3):
            more_months(home, at, 4)
        accounts = visible_accounts(session, home.owner_id)
        seen, after = [], None
        while page := find_bills(
            session, accounts, Wanted(), today=TODAY, after=after, limit=4
        ):  # fmt: skip
            seen += [one.ref for one in page]
            after = parse_ref(page[-1].ref)

        all_at_once = list(every_bill(session, accounts, Wanted(), today=TODAY))
        assert seen == [one.ref for one in all_at_once]
        assert len(set(seen)) == len(seen) == 15
        sums = sum_months(session, accounts, Wanted(), today=TODAY)
        assert [(one.month, one.bills) for one in sums] == [
            (add_months(MONTH, -back), 3) for back in range(5)
        ]
        assert (sums[0].amount_fen, sums[0].open_fen) == (600, 600)

    def test_sums_leave_out_what_nobody_pays(self, session):
        home = a_home(100, 200, -50)
        home.cancel(1, version=2)
        accounts = visible_accounts(session, home.owner_id)

        (sums,) = sum_months(session, accounts, Wanted(), today=TODAY)

        assert (sums.bills, sums.amount_fen, sums.open_fen) == (3, 50, 100)

    def test_who_has_left_sees_no_bill_of_a_period_that_began_later(self, session):
        home = a_home(100)
        more_months(home, 0, 2)
        seen = visible_accounts(session, home.owner_id)
        (account,) = seen.values()
        left = Accounts()
        left.let_see(account, Span(None, date(2026, 9, 15)))

        shown = find_bills(session, left, Wanted(), today=TODAY)

        assert [f"{one.billing_month:%m}" for one in shown] == ["09", "08"]
        assert sum(one.bills for one in sum_months(session, left, Wanted(), today=TODAY)) == 2


@pytest.mark.usefixtures("city")
def test_accounts_are_found_by_end_company_and_place_and_by_nothing_of_nothing():
    home = a_home(100, 200)
    accounts = accounts_of(home.owner_id)

    assert [one.account_no for one in find_accounts(accounts, home.account_nos[0][-4:])] == [
        home.account_nos[0]
    ]
    assert len(find_accounts(accounts, "汉口路")) == 2
    assert find_accounts(accounts, "  ") == []
    assert find_accounts(accounts_of(a_person(now=NOW)), home.account_nos[0]) == []
