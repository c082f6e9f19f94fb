"""A tenant sees bills from the first day of the lease on; earlier ones if the manager says so."""

from datetime import date, timedelta

import pytest

from billing.bills import get_bill, list_bills
from billing.homes import invitations, people
from billing.homes.accounts import standings_of
from billing.homes.households import visible_accounts
from billing.homes.pay_grants import may_pay
from billing.household_statement import months_of, statement_of
from billing.models import HouseholdMember, MemberRole
from core.db import transaction
from core.errors import NotFound
from core.keys import named_key
from identity.people import get_person
from tests.factories import NOW, Home, a_home, a_person, a_record, bring_in

pytestmark = pytest.mark.usefixtures("city")
OLD_FEN, NEW_FEN = 31_415, 27_182
FIRST = date(2026, 11, 1)  # of the lease
BEFORE, SINCE = date(2026, 10, 1), date(2026, 11, 1)  # billing months
LATER = NOW + timedelta(days=30)


def a_let_home() -> Home:
    """A home with a bill of October and one of November."""
    home = a_home(OLD_FEN, billing_month=BEFORE, period_from_on=BEFORE,
                  period_to_on=date(2026, 10, 31))  # fmt: skip
    bring_in(
        "water",
        a_record(
            home.account_nos[0], "NEW", billing_month=SINCE, period_from_on=SINCE,
            period_to_on=date(2026, 11, 19), issued_on=date(2026, 11, 20), amount_fen=NEW_FEN,
        ),
        now=NOW + timedelta(days=1),
    )  # fmt: skip
    return home


def invited(home: Home, *, from_on: date | None = FIRST, earlier_bills: bool = False, now=NOW):
    """Somebody who came by an invitation; returns who."""
    me = a_person(name="李雷")
    with transaction() as session:
        made = invitations.invite(
            session, home.owner_id, home.household_id,
            contact=get_person(session, me).contact or "", role=MemberRole.PAY, from_on=from_on,
            until_on=date(2027, 10, 31), earlier_bills=earlier_bills, now=now,
        )  # fmt: skip
        invitations.accept(session, me, made.id or 0, now=now)
    return me


def numbers(person_id: int, home: Home) -> set[str]:
    refs = {"B1": home.refs[0], "NEW": (home.refs[0][0], named_key(SINCE, "NEW"))}
    with transaction() as session:
        accounts = visible_accounts(session, person_id)
        listed = list_bills(session, accounts, today=date(2026, 12, 20))
        for number, ref in refs.items():
            seen = number in {bill.bill_no for bill in listed}
            assert may_pay(session, person_id, [ref], now=LATER) is seen
            if not seen:
                with pytest.raises(NotFound):
                    get_bill(session, ref, accounts, today=date(2026, 12, 20))
        return {bill.bill_no for bill in listed}


class TestTenants:
    def test_a_tenant_sees_bills_from_the_first_day_on(self):
        home = a_let_home()

        assert numbers(invited(home), home) == {"NEW"}
        assert numbers(home.owner_id, home) == {"B1", "NEW"}

    def test_with_the_tick_also_earlier_ones(self):
        home = a_let_home()

        assert numbers(invited(home, earlier_bills=True), home) == {"B1", "NEW"}

    def test_a_bill_across_the_first_day_is_theirs_too(self):
        home = a_let_home()

        assert numbers(invited(home, from_on=date(2026, 10, 31)), home) == {"B1", "NEW"}

    def test_without_a_first_day_it_is_the_day_they_are_invited(self):
        home = a_let_home()
        me = invited(home, from_on=None)

        with transaction() as session:
            member = session.get_one(HouseholdMember, (home.household_id, me))
            assert (member.earlier_bills, member.from_on) == (False, date(2026, 11, 20))
        assert numbers(me, home) == set()

    def test_the_manager_may_change_it_later(self):
        home = a_let_home()
        me = invited(home)

        def change(role: MemberRole, **changes) -> None:
            with transaction() as session:
                people.change_role(
                    session, home.owner_id, home.household_id, me, role=role, now=NOW, **changes
                )

        change(MemberRole.SEE, from_on=FIRST)  # nothing said of earlier bills
        assert numbers_seen(me) == {"NEW"}
        change(MemberRole.PAY, from_on=FIRST, earlier_bills=True)
        assert numbers(me, home) == {"B1", "NEW"}
        change(MemberRole.PAY, from_on=FIRST, earlier_bills=False)
        assert numbers(me, home) == {"NEW"}
        change(MemberRole.MANAGE)
        assert numbers(me, home) == {"B1", "NEW"}

    def test_in_another_home_of_theirs_they_see_what_that_home_sees(self):
        home = a_let_home()
        me = invited(home)
        with transaction() as session:
            session.add(HouseholdMember(
                household_id=a_shared_home(home), person_id=me, role=MemberRole.SEE
            ))  # fmt: skip

        assert numbers_seen(me) == {"B1", "NEW"}


def a_shared_home(home: Home) -> int:
    """Another home with the same account."""
    other = a_home(100)
    with transaction() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO household_account (household_id, account_id, bound_at)"
            f" VALUES ({other.household_id}, {home.refs[0][0]}, now())"
        )
    return other.household_id


def numbers_seen(person_id: int) -> set[str]:
    with transaction() as session:
        accounts = visible_accounts(session, person_id)
        listed = list_bills(session, accounts, today=date(2026, 12, 20))
        return {bill.bill_no for bill in listed if bill.amount_fen != 100}


class TestSums:
    def test_what_is_open_and_statements_count_what_the_tenant_sees(self):
        home = a_let_home()
        me, account_id = invited(home), home.refs[0][0]

        with transaction() as session:
            home_id = home.household_id
            whole = standings_of(session, home_id)[account_id]
            mine = standings_of(session, home_id, person_id=me)[account_id]
            host = standings_of(session, home_id, person_id=home.owner_id)[account_id]
            told = statement_of(session, home_id, SINCE, person_id=me).total
            all_of_it = statement_of(session, home_id, SINCE, person_id=home.owner_id).total
            months = months_of(session, home_id, person_id=me, today=date(2026, 12, 20))

        assert (mine.open_count, mine.open_fen) == (1, NEW_FEN)
        assert whole == host == (2, OLD_FEN + NEW_FEN, 0)
        assert (told.before_fen, told.billed_fen, told.bills) == (0, NEW_FEN, 1)
        assert all_of_it.billed_fen == OLD_FEN + NEW_FEN
        assert months == [SINCE]
