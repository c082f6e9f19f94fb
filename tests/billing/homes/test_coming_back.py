"""Who moved away and comes back has their own bills again, and nobody's of the time between."""

from datetime import date, timedelta

import psycopg
import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st

from billing.homes import moving
from billing.homes.accounts import bind, last_departure, list_accounts, remove, restore
from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.households import create_household, visible_accounts
from billing.homes.moving import Plan
from billing.homes.pay_grants import may_pay
from billing.homes.spans import Span, may_see
from billing.household_statement import hidden_bills, months_of
from billing.models import Bill
from cli.upgrading import alembic_config
from core.clock import add_months, billing_date
from core.db import transaction
from core.keys import named_key
from core.money import yuan_text
from tests.factories import NOW, Home, a_home, a_person, a_record, bring_in

pytestmark = pytest.mark.usefixtures("city")
SECRET = "keeps names out of the database"
FIRST, SECOND, THIRD = date(2026, 12, 31), date(2027, 3, 20), date(2027, 6, 20)
FEN = {"MINE": 2_001, "THEIRS": 2_002, "BACK": 2_003, "LATER": 2_004}


def a_moment(day: date):
    return NOW + (day - billing_date(NOW))


def came(home: Home, bill_no: str, month: date) -> None:
    """A bill of a month, known by its amount."""
    last_on = add_months(month, 1) - timedelta(days=1)
    bring_in(
        "water",
        a_record(
            home.account_nos[0], bill_no, billing_month=month, period_from_on=month,
            period_to_on=last_on, issued_on=last_on, due_on=last_on + timedelta(days=20),
            amount_fen=FEN[bill_no],
        ),
        now=a_moment(last_on),
    )  # fmt: skip


def leave(person_id: int, household_id: int, account_id: int, day: date, *, now=None) -> None:
    with transaction() as session:
        plan = Plan(day, "南京路8号", "139 0000 0000", [account_id])
        now = now or a_moment(day)
        moving.make(session, person_id, household_id, plan, secret=SECRET, now=now)


def add(person_id: int, household_id: int, home: Home, bill_no: str, day: date) -> None:
    """Add the account by the amount of a bill."""
    now = a_moment(day)
    with transaction() as session:
        told = read_answer(
            session, "water", home.account_nos[0], amount_yuan=yuan_text(FEN[bill_no]), name="",
            now=now,
        )  # fmt: skip
    passed = pass_challenge(told, client=bill_no, person_id=person_id, secret=SECRET, now=now)
    with transaction() as session:
        bind(session, person_id, household_id, passed, now=now)


def numbers(person_id: int, home: Home) -> set[str]:
    with transaction() as session:
        accounts = visible_accounts(session, person_id)
        bills = {no: session.get(Bill, (home.refs[0][0], _key(no))) for no in ("B1", *FEN)}
        seen = {no for no, bill in bills.items() if bill and may_see(accounts, bill)}
        refs = {no: (home.refs[0][0], _key(no)) for no, bill in bills.items() if bill}
        for no, ref in refs.items():  # paying asks in SQL
            assert may_pay(session, person_id, [ref], now=NOW) is (no in seen)
        return seen


MONTHS = {
    "B1": date(2026, 10, 1), "MINE": date(2026, 12, 1), "THEIRS": date(2027, 2, 1),
    "BACK": date(2027, 4, 1), "LATER": date(2027, 8, 1),
}  # fmt: skip


def _key(bill_no: str) -> int:
    return named_key(MONTHS[bill_no], bill_no)


def back_again(*, gone: bool = False) -> tuple[Home, int, int]:
    """A home that left, a tenant who came and left, and the home that came back.

    Args:
        gone: the account was taken off the home in between.
    """
    home = a_home(8_650, billing_month=MONTHS["B1"])
    account_id = home.refs[0][0]
    came(home, "MINE", MONTHS["MINE"])
    leave(home.owner_id, home.household_id, account_id, FIRST)
    came(home, "THEIRS", MONTHS["THEIRS"])
    tenant = a_person(name="李雷")
    with transaction() as session:
        theirs = create_household(session, name="李家", owner_id=tenant, now=NOW).id or 0
    add(tenant, theirs, home, "THEIRS", date(2027, 3, 1))
    if gone:
        with transaction() as session:
            remove(session, home.owner_id, home.household_id, account_id, now=a_moment(SECOND))
    leave(tenant, theirs, account_id, SECOND)
    came(home, "BACK", MONTHS["BACK"])
    add(home.owner_id, home.household_id, home, "BACK", date(2027, 5, 2))
    return home, tenant, theirs


class TestComingBack:
    @pytest.mark.parametrize("gone", [False, True])
    def test_one_sees_ones_own_bills_of_both_times_and_not_the_tenants(self, gone):
        home, tenant, _ = back_again(gone=gone)

        assert numbers(home.owner_id, home) == {"B1", "MINE", "BACK"}
        assert numbers(tenant, home) == {"THEIRS"}
        with transaction() as session:
            hidden = hidden_bills(session, [home.household_id])
            months = months_of(session, home.household_id, today=date(2027, 6, 1))
        assert hidden == {home.household_id: [(home.refs[0][0], _key("THEIRS"))]}
        assert date(2026, 12, 1) in months
        assert date(2027, 2, 1) not in months

    def test_taken_off_and_put_back_it_is_as_it_was(self):
        home, _, _ = back_again()
        at = home.owner_id, home.household_id, home.refs[0][0]
        with transaction() as session:
            remove(session, *at, now=NOW)
        assert numbers(home.owner_id, home) == set()
        with transaction() as session:
            restore(session, *at, now=NOW)

        assert numbers(home.owner_id, home) == {"B1", "MINE", "BACK"}

    def test_leaving_again_and_coming_back_again_keeps_both_times(self):
        home, tenant, _ = back_again()
        leave(home.owner_id, home.household_id, home.refs[0][0], THIRD)
        came(home, "LATER", MONTHS["LATER"])

        assert numbers(home.owner_id, home) == {"B1", "MINE", "BACK"}
        add(home.owner_id, home.household_id, home, "LATER", date(2027, 9, 2))
        assert numbers(home.owner_id, home) == {"B1", "MINE", "BACK", "LATER"}
        assert numbers(tenant, home) == {"THEIRS"}

    def test_a_plan_to_leave_again_and_calling_it_off_leave_the_first_time_a_line(self):
        home, _, _ = back_again()
        account_id, today = home.refs[0][0], date(2027, 6, 1)

        def line() -> date | None:
            with transaction() as session:
                return last_departure(session, account_id, today=today)

        assert line() == SECOND
        with transaction() as session:  # as if the tenant had told nobody
            session.connection().exec_driver_sql(
                f"DELETE FROM account_departure WHERE household_id <> {home.household_id}"
            )
        leave(home.owner_id, home.household_id, account_id, THIRD, now=a_moment(today))
        assert line() == FIRST
        with transaction() as session:
            moving.cancel(session, home.owner_id, home.household_id, now=a_moment(today))

        assert line() == FIRST
        assert numbers(home.owner_id, home) == {"B1", "MINE", "BACK"}

    def test_another_home_of_the_same_person_begins_anew(self):
        home, _, _ = back_again()
        with transaction() as session:
            remove(session, home.owner_id, home.household_id, home.refs[0][0], now=NOW)
            other = create_household(session, name="新家", owner_id=home.owner_id, now=NOW).id or 0
        add(home.owner_id, other, home, "BACK", date(2027, 5, 3))

        assert numbers(home.owner_id, home) == {"BACK"}
        with transaction() as session:
            (one,) = list_accounts(session, home.owner_id, now=a_moment(date(2027, 5, 4)))
        assert one.since_on == SECOND


DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@given(since_on=st.none() | DAYS, left_on=DAYS, from_on=DAYS, days=st.integers(0, 90))
def test_a_stay_that_is_kept_shows_what_its_span_showed(since_on, left_on, from_on, days):
    span, to_on = Span(since_on, left_on), from_on + timedelta(days=days)

    kept = [Span.of_stay(stay) for stay in span.stay()]

    if since_on is None or since_on < left_on:
        assert kept == [span]
    else:  # of no day: nothing is kept of it
        assert kept == []
        assert to_on <= left_on or not span.shows(from_on, to_on) or from_on <= left_on


def test_an_upgrade_gives_who_came_back_already_their_earlier_bills(servers):
    servers.create_database("before_coming_back")
    url = servers.database_url("before_coming_back")
    config = alembic_config(url)
    command.upgrade(config, "0028")
    with psycopg.connect(url) as connection:
        connection.execute("""
            INSERT INTO utility_account (provider_code, account_no, holder_name, address,
                                         created_at)
            VALUES ('water', '1', 'x', 'x', now());
            INSERT INTO person (role, name, contact, locale, created_at)
            VALUES ('resident', 'x', '19900000001', 'zh_CN', now());
            INSERT INTO household (name, created_at) VALUES ('a', now()), ('b', now());
            INSERT INTO household_member (household_id, person_id, role)
            SELECT h.id, p.id, 'manage' FROM household h, person p;
            INSERT INTO account_departure (account_id, household_id, left_on, holder_mark)
            SELECT a.id, h.id, CASE h.name WHEN 'a' THEN date '2026-03-01' ELSE '2026-06-01' END,
                   'x' FROM utility_account a, household h;
            INSERT INTO household_account (household_id, account_id, bound_at, since_on, left_on)
            SELECT h.id, a.id, now(), CASE h.name WHEN 'a' THEN date '2026-06-01'
                                                  ELSE '2026-03-01' END,
                   CASE h.name WHEN 'b' THEN date '2026-06-01' END
            FROM utility_account a, household h;
        """)

    command.upgrade(config, "0029")

    with psycopg.connect(url) as connection:
        rows = connection.execute("""
            SELECT h.name, d.since_on, x.earlier::text
            FROM household h JOIN account_departure d ON d.household_id = h.id
            JOIN household_account x ON x.household_id = h.id ORDER BY h.name
        """).fetchall()
    command.downgrade(config, "0028")
    assert rows == [("a", None, "{(,2026-03-02)}"), ("b", date(2026, 3, 1), "{}")]
