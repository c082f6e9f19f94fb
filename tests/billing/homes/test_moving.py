"""Moving house: the day is a line between two homes, and neither sees over it."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing.bills import get_bill, list_at_home, list_bills, list_history
from billing.homes import move_requests, moving
from billing.homes.accounts import bind, list_accounts, remove, restore
from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.households import create_household, visible_accounts
from billing.homes.moving import Plan, Stage
from billing.homes.pay_grants import grant, list_granted_bills, may_pay
from billing.homes.spans import Span
from billing.household_statement import months_of, statement_of
from billing.models import MemberRole
from core.clock import billing_date
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from core.keys import named_key
from identity.models import Role
from tests.factories import (
    NOW,
    Home,
    a_guest,
    a_home,
    a_paid_payment,
    a_person,
    a_record,
    bring_in,
    join,
)
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SECRET = "keeps names out of the database"
DAY = date(2026, 11, 25)
AFTER = NOW + timedelta(days=50)  # 9 January: the next tenant's first bill is here
LAST, NEXT = date(2026, 11, 1), date(2026, 12, 1)  # billing months
NEXT_FEN = 31_415


def a_plan(home: Home, **changes) -> Plan:
    plan = Plan(DAY, "南京路8号", "139 0000 0000", [home.refs[0][0]], ["gas"])
    return plan._replace(**changes)


def moved(home: Home, *, now=NOW, **changes):
    with transaction() as session:
        return moving.make(
            session, home.owner_id, home.household_id, a_plan(home, **changes), secret=SECRET,
            now=now,
        )  # fmt: skip


def bills_come(home: Home) -> None:
    """The last bill, to the moving day, and the first of who comes after."""
    number = home.account_nos[0]
    bring_in(
        "water",
        a_record(number, "LAST", billing_month=LAST, period_to_on=DAY, amount_fen=2_000),
        now=NOW + timedelta(days=20),
    )
    bring_in(
        "water",
        a_record(
            number, "NEXT", billing_month=NEXT, period_from_on=DAY + timedelta(days=1),
            period_to_on=date(2026, 12, 24), amount_fen=NEXT_FEN,
        ),
        now=AFTER,
    )  # fmt: skip


def numbers(person_id: int, *, now=AFTER) -> set[str]:
    with transaction() as session:
        accounts = visible_accounts(session, person_id)
        today = billing_date(now)
        at_home = list_at_home(session, accounts, today=today)
        listed = list_bills(session, accounts, today=today)
        assert {bill.ref for bill in at_home} == {bill.ref for bill in listed}
        return {bill.bill_no for bill in listed}


def proven(home: Home, *, amount: str = "", name: str = "", now=AFTER, by: int | None = None):
    with transaction() as session:
        told = read_answer(
            session, "water", home.account_nos[0], amount_yuan=amount, name=name, now=now
        )
    return pass_challenge(
        told, client=f"{amount}{name}{by}", person_id=by, secret=SECRET, now=now
    )  # fmt: skip


def a_newcomer(home: Home, *, amount: str = "314.15") -> tuple[int, int]:
    """Somebody who moves in and binds the account with their first bill."""
    me = a_person(name="李雷")
    what = proven(home, amount=amount, by=me)
    with transaction() as session:
        mine = create_household(session, name="李家", owner_id=me, now=AFTER)
        bind(session, me, mine.id or 0, what, now=AFTER)
        return me, mine.id or 0


NEXT_REF = named_key(NEXT, "NEXT")


class TestTheLine:
    def test_who_left_sees_the_last_bill_and_not_the_next_ones(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)

        assert numbers(home.owner_id) == {"B1", "LAST"}
        with transaction() as session:
            accounts = visible_accounts(session, home.owner_id)
            with pytest.raises(NotFound):
                get_bill(session, (home.refs[0][0], NEXT_REF), accounts, today=DAY)

    def test_who_comes_sees_their_own_and_not_those_before(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)

        me, _ = a_newcomer(home)

        assert numbers(me) == {"NEXT"}
        with transaction() as session:
            accounts = visible_accounts(session, me)
            bill = get_bill(
                session, (home.refs[0][0], NEXT_REF), accounts, today=billing_date(AFTER)
            )
            history = list_history(session, bill, accounts, today=billing_date(AFTER))
        assert [one.bill_no for one in history] == ["NEXT"]

    def test_a_bill_across_the_day_is_both_homes_to_see(self):
        home = a_home(8_650)
        moved(home)
        bring_in(
            "water",
            a_record(home.account_nos[0], "ACROSS", billing_month=LAST,
                     period_to_on=date(2026, 12, 10), amount_fen=777),
            now=AFTER,
        )  # fmt: skip
        bills_come(home)
        me, _ = a_newcomer(home)

        assert "ACROSS" in numbers(home.owner_id)
        assert "ACROSS" in numbers(me)

    def test_a_landlord_who_keeps_the_account_sees_all_of_it(self):
        home, landlord = a_home(8_650), a_person()
        with transaction() as session:
            own = create_household(session, name="房东", owner_id=landlord, now=NOW)
            bind(session, landlord, own.id or 0, proven(home, amount="86.50", now=NOW), now=NOW)
        moved(home)
        bills_come(home)

        assert numbers(landlord) == {"B1", "LAST", "NEXT"}

    def test_the_last_bill_can_be_paid_and_the_next_cannot(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)
        account_id = home.refs[0][0]

        with transaction() as session:
            for ref, may in (("LAST", True), ("NEXT", False)):
                month = LAST if may else NEXT
                key = (account_id, named_key(month, ref))
                assert may_pay(session, home.owner_id, [key], now=AFTER) is may

    def test_a_monthly_statement_holds_neither_side_of_the_other(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)
        _, mine = a_newcomer(home)

        with transaction() as session:
            old = statement_of(session, home.household_id, date(2026, 12, 1))
            older = statement_of(session, home.household_id, date(2027, 1, 1))
            new = statement_of(session, mine, date(2027, 1, 1))
            assert months_of(session, mine, today=date(2027, 2, 5)) == [date(2027, 1, 1)]
            with pytest.raises(NotFound):
                statement_of(session, mine, date(2026, 12, 1))

        assert [line.amount_fen for line in old.lines] == [2_000]
        assert (older.lines, older.total.after_fen) == ((), 10_650)
        assert [line.amount_fen for line in new.lines] == [NEXT_FEN]
        assert (new.total.before_fen, new.total.after_fen) == (0, NEXT_FEN)

    @given(
        since=st.none() | st.integers(0, 60), left=st.none() | st.integers(0, 60),
        begin=st.integers(0, 60), length=st.integers(0, 40),
    )  # fmt: skip
    def test_two_homes_one_after_the_other_leave_no_bill_to_nobody(
        self, since, left, begin, length
    ):
        first = date(2026, 1, 1)
        from_on, to_on = first + timedelta(begin), first + timedelta(begin + length)
        day = None if left is None else first + timedelta(left)
        before = Span(None if since is None else first + timedelta(since), day)

        seen_before = Span(None, day).shows(from_on, to_on)
        assert not before.shows(from_on, to_on) or seen_before
        if day is not None:
            assert seen_before or Span(day, None).shows(from_on, to_on)


class TestProofsAfterALeave:
    """What an old tenant knows is no key to the next one's bills."""

    @pytest.mark.parametrize("amount", ["86.50", "20.00"])  # of before, and the last bill
    def test_an_amount_from_before_binds_nothing(self, amount):
        home = a_home(8_650)
        moved(home)
        bills_come(home)

        assert proven(home, amount=amount, by=home.owner_id).left_on == DAY

    def test_nor_does_the_name_while_the_company_has_no_other(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)

        assert proven(home, name="王珅").left_on == DAY

    def test_the_name_of_the_next_holder_does(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)
        with transaction() as session:
            session.execute(text("UPDATE utility_account SET holder_name = '李雷'"))

        assert proven(home, name="李雷").left_on is None

    def test_until_the_day_everything_counts_as_before(self):
        home = a_home(8_650)
        moved(home)

        assert proven(home, amount="86.50", now=NOW).left_on is None

    def test_a_guest_with_an_old_bill_sees_the_old_ones_to_pay_and_not_the_new(self):
        home, guest = a_home(8_650), a_guest()
        moved(home)
        bills_come(home)

        for amount, shown in (("86.50", {"B1", "LAST"}), ("314.15", {"NEXT"})):
            with transaction() as session:
                grant(session, guest, proven(home, amount=amount), now=AFTER)
                bills = list_granted_bills(session, guest, now=AFTER)
            assert {bill.bill_no for bill in bills} == shown

    def test_a_guest_with_a_bill_of_their_own_sees_no_debt_of_who_was_there_before(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)
        me = a_guest()
        with transaction() as session:
            grant(session, me, proven(home, amount="314.15"), now=AFTER)
            shown = list_granted_bills(session, me, now=AFTER)
            assert {bill.bill_no for bill in shown} == {"NEXT"}
            account_id = home.refs[0][0]
            assert may_pay(session, me, [(account_id, NEXT_REF)], now=AFTER)
            assert not may_pay(session, me, [home.refs[0]], now=AFTER)

    def test_who_left_and_comes_back_binds_anew_and_sees_what_is_and_was_theirs(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)
        again = proven(home, amount="314.15", by=home.owner_id)

        with transaction() as session:
            bind(session, home.owner_id, home.household_id, again, now=AFTER)

        assert numbers(home.owner_id) == {"B1", "LAST", "NEXT"}


class TestThePlan:
    def test_the_companies_are_asked_and_answer_and_the_last_bill_comes_and_is_paid(self):
        home, clerk = a_home(8_650), a_person(Role.OPERATOR)
        move = moved(home)

        def stages(now=AFTER) -> list[tuple[str, Stage]]:
            with transaction() as session:
                return [(one.provider_code, one.stage) for one in moving.steps_of(session, move)]

        assert stages() == [("water", Stage.ASKED), ("gas", Stage.ASKED)]
        with transaction() as session:
            (asked,) = move_requests.list_for_company(session, "water")
            assert (asked.account_no, asked.phone) == (home.account_nos[0], "139 0000 0000")
            move_requests.answer(session, "water", asked.id, "25日上门抄表", by=clerk, now=NOW)
            with pytest.raises(NotFound):
                move_requests.answer(session, "gas", asked.id, "x", by=clerk, now=NOW)
        assert stages()[0] == ("water", Stage.ANSWERED)
        bills_come(home)
        assert stages()[0] == ("water", Stage.LAST_BILL)
        a_paid_payment(home, (home.refs[0][0], named_key(LAST, "LAST")), now=AFTER)
        assert stages()[0] == ("water", Stage.PAID)

    def test_until_the_day_it_can_be_changed_and_called_off(self):
        home = a_home(8_650)
        moved(home)
        later = DAY + timedelta(days=5)
        with transaction() as session:
            plan = a_plan(home, leaves_on=later)
            moving.change(session, home.owner_id, home.household_id, plan, secret=SECRET, now=NOW)
            assert list_accounts(session, home.owner_id, now=NOW)[0].left_on == later
            moving.cancel(session, home.owner_id, home.household_id, now=NOW)
        bills_come(home)

        assert numbers(home.owner_id) == {"B1", "LAST", "NEXT"}
        assert proven(home, amount="86.50").left_on is None
        with transaction() as session:
            assert move_requests.list_for_company(session, "water") == []

    @pytest.mark.parametrize("off", [True, False])
    def test_what_is_put_back_is_as_the_plan_has_it_by_then(self, off):
        home = a_home(8_650)
        moved(home)
        at = home.owner_id, home.household_id, home.refs[0][0]
        with transaction() as session:
            remove(session, *at, now=NOW)
        with transaction() as session:
            if off:
                moving.cancel(session, *at[:2], now=NOW)
            restore(session, *at, now=NOW)
        bills_come(home)

        assert ("NEXT" in numbers(home.owner_id)) is off

    def test_what_is_added_anew_before_the_day_is_left_on_it_all_the_same(self):
        home = a_home(8_650)
        moved(home)
        at = home.owner_id, home.household_id, home.refs[0][0]
        with transaction() as session:
            remove(session, *at, now=NOW)
        knows = proven(home, amount="86.50", now=NOW, by=home.owner_id)
        with transaction() as session:
            bind(session, *at[:2], knows, now=NOW)
        bills_come(home)

        assert numbers(home.owner_id) == {"B1", "LAST"}

    def test_from_the_day_on_nobody_takes_it_back(self):
        home = a_home(8_650)
        moved(home)
        plan, home_id = a_plan(home, leaves_on=billing_date(AFTER)), home.household_id

        with transaction() as session, pytest.raises(Conflict):
            moving.cancel(session, home.owner_id, home_id, now=AFTER)
        with transaction() as session, pytest.raises(Conflict):
            moving.change(session, home.owner_id, home_id, plan, secret=SECRET, now=AFTER)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [({"leaves_on": date(2026, 10, 20)}, "move.day"),
         ({"leaves_on": date(2027, 6, 1)}, "move.day"),
         ({"new_address": " "}, "move.address"), ({"new_address": "x" * 121}, "move.address"),
         ({"phone": "none"}, "move.phone"), ({"close": [], "open": []}, "move.nothing"),
         ({"close": [], "open": ["nobody"]}, "move.nothing")],
    )  # fmt: skip
    def test_what_cannot_be_is_said(self, changes, code):
        with pytest.raises(Invalid) as refused:
            moved(a_home(8_650), **changes)

        assert refused.value.code == code

    def test_one_plan_of_a_home_at_a_time_however_many_ask(self):
        home = a_home(8_650)

        def ask(_: int) -> str:
            try:
                moved(home)
            except CityBillError as refused:
                return refused.code
            return "made"

        assert sorted(at_once(6, ask)) == ["made"] + ["move.under_way"] * 5

    def test_only_who_manages_the_home_plans_and_only_with_its_accounts(self):
        home, other, me = a_home(8_650), a_home(100), a_person()
        join(home, me, MemberRole.PAY)

        with transaction() as session, pytest.raises(NotAllowed):
            moving.make(session, me, home.household_id, a_plan(home), secret=SECRET, now=NOW)
        with pytest.raises(NotFound):
            moved(home, close=[other.refs[0][0]])


class TestLettingGo:
    def test_long_after_and_once_nothing_is_open_the_account_is_gone(self):
        home = a_home(8_650)
        moved(home)
        bills_come(home)
        late = NOW + timedelta(days=5) + moving.KEPT_FOR + timedelta(days=1)

        def let_go(now) -> list[int]:
            with transaction() as session:
                return moving.let_go(session, now=now)

        assert let_go(late) == []  # two bills are open
        for ref in (home.refs[0], (home.refs[0][0], named_key(LAST, "LAST"))):
            a_paid_payment(home, ref, now=AFTER)
        assert let_go(late - timedelta(days=2)) == []
        assert let_go(late) == [home.refs[0][0]]
        assert let_go(late) == []
        assert numbers(home.owner_id) == set()
        assert proven(home, amount="20.00").left_on == DAY  # what they knew stays without a use
        with transaction() as session:
            rows = session.execute(
                text("SELECT deed, by FROM home_account_deed ORDER BY id")
            ).all()  # fmt: skip
        assert [tuple(row) for row in rows] == [("left", home.owner_id), ("gone", None)]


class TestForgetting:
    @pytest.mark.parametrize("done", [True, False])
    def test_a_month_after_a_move_nobody_can_read_where_they_went(self, done):
        home = a_home(8_650)
        moved(home)
        other = a_home(100)
        moved(other)
        ended = NOW + timedelta(days=100) if done else NOW
        with transaction() as session:
            moving.let_go(session, now=ended)
            if not done:
                moving.cancel(session, home.owner_id, home.household_id, now=ended)

        def forget(now) -> int:
            with transaction() as session:
                return moving.forget_reached(session, now=now)

        late = ended + moving.REACHED_FOR + timedelta(seconds=1)
        assert forget(late - timedelta(seconds=2)) == 0
        assert forget(late) == (2 if done else 1)
        assert forget(late) == 0
        with transaction() as session:
            kept = session.execute(text("SELECT new_address, phone FROM house_move ORDER BY id"))
            reached = ("南京路8号", "139 0000 0000")
            assert [tuple(row) for row in kept] == [("-", ""), ("-", "") if done else reached]
            shown = move_requests.list_for_company(session, "water")
        assert {(one.new_address, one.phone) for one in shown} == {("", "") if done else reached}
