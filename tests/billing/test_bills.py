"""What a bill is to a resident, what it is called, and whose it is."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing import bills
from billing.bills import (
    format_ref,
    get_bill,
    list_bills,
    list_history,
    parse_ref,
    state_of,
    view,
)
from billing.homes.households import visible_accounts
from billing.models import Bill, UtilityAccount
from billing.rules.terms import parse_terms
from billing.views import BillState
from core.clock import add_months
from core.db import transaction
from core.errors import NotFound
from tests.factories import MONTH, NOW, a_home, a_person, a_record, bring_in

DUE = date(2026, 11, 30)
TODAY = date(2026, 11, 20)


def a_bill(**facts: object) -> Bill:
    return Bill(**{"amount_fen": 8_650, "paid_fen": 0, "written_off_fen": 0, "due_on": DUE} | facts)


class TestStates:
    @pytest.mark.parametrize(
        ("days_left", "state"),
        [
            (400, BillState.OPEN),
            (8, BillState.OPEN),
            (7, BillState.DUE_SOON),
            (1, BillState.DUE_SOON),
            (0, BillState.DUE_SOON),
            (-1, BillState.OVERDUE),
            (-400, BillState.OVERDUE),
        ],
    )
    def test_an_unpaid_bill_follows_the_calendar(self, days_left, state):
        assert state_of(a_bill(), pay_by_on=DUE, today=DUE - timedelta(days=days_left)) is state

    @pytest.mark.parametrize(
        ("facts", "state"),
        [
            ({"held_by": 1}, BillState.IN_PAYMENT),
            ({"paid_fen": 8_650}, BillState.PAID),
            ({"paid_fen": 8_650, "written_off_fen": 8_649}, BillState.PAID),
            ({"paid_fen": 8_650, "written_off_fen": 8_650}, BillState.CONFIRMED),
            ({"amount_fen": -1}, BillState.CREDIT),  # rule 8
            ({"amount_fen": 0}, BillState.NOTHING_DUE),  # rule 7
            ({"cancelled_at": NOW}, BillState.CANCELLED),
            ({"cancelled_at": NOW, "amount_fen": -1}, BillState.CANCELLED),
        ],
    )
    @pytest.mark.parametrize("days_left", [8, 7, 0, -1])
    def test_any_other_state_is_stronger_than_the_calendar(self, facts, state, days_left):
        assert (
            state_of(a_bill(**facts), pay_by_on=DUE, today=DUE - timedelta(days=days_left)) is state
        )

    def test_a_part_paid_bill_still_falls_due(self):
        assert state_of(a_bill(paid_fen=8_649), pay_by_on=DUE, today=DUE) is BillState.DUE_SOON
        assert (
            state_of(a_bill(paid_fen=8_649, held_by=1), pay_by_on=DUE, today=DUE)
            is BillState.IN_PAYMENT
        )

    def test_only_bills_that_owe_and_are_free_can_be_paid(self):
        payable = {state for state in BillState if state.payable}

        assert payable == {BillState.OPEN, BillState.DUE_SOON, BillState.OVERDUE}


NUMBER = st.integers(0, (1 << 63) - 1)


class TestNames:
    @given(NUMBER, NUMBER)
    def test_a_name_leads_back_to_its_bill(self, account_id, bill_id):
        assert parse_ref(format_ref((account_id, bill_id))) == (account_id, bill_id)

    @given(
        st.one_of(
            st.text(),
            st.from_regex(r"[0-9.\-+_eE١１ \n]*", fullmatch=True),
            st.integers().map(str),
            st.tuples(st.integers(), st.integers()).map(lambda two: f"{two[0]}.{two[1]}"),
            st.floats().map(str),
            st.integers(1 << 63, 10**60).map(lambda big: f"1.{big}"),
            st.binary().map(lambda raw: raw.decode("latin-1")),
        )
    )
    def test_junk_is_a_bill_nobody_has_and_nothing_worse(self, junk):
        try:
            account_id, bill_id = parse_ref(junk)
        except NotFound:
            return
        assert 0 <= account_id < 1 << 63
        assert 0 <= bill_id < 1 << 63
        assert junk.isascii()

    @pytest.mark.parametrize(
        "junk",
        [
            *("", ".", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "1 .2", "１.2", "1.2\n", "1e1.2"),
            *(f"1.{1 << 63}", "0" * 39 + "1.1", "²..1", "1.²"),
        ],
    )
    def test_names_that_only_look_like_one(self, junk):
        with pytest.raises(NotFound):
            parse_ref(junk)


@pytest.mark.usefixtures("city")
class TestReading:
    def test_a_bill_of_ones_own_is_seen_masked(self):
        home = a_home(8_650)

        with transaction() as session:
            seen = get_bill(
                session, home.refs[0], visible_accounts(session, home.owner_id), today=TODAY
            )

        assert (seen.ref, seen.amount_fen, seen.open_fen) == (
            format_ref(home.refs[0]),
            8_650,
            8_650,
        )
        assert (seen.state, seen.days_left) == (BillState.OPEN, 10)
        assert home.account_nos[0] not in seen.account.account_no_masked
        assert seen.account.account_no_masked.endswith(home.account_nos[0][-4:])
        assert seen.account.holder_masked == "王*"

    def test_somebody_elses_bill_and_one_that_is_not_there_are_told_apart_by_nobody(self):
        mine, theirs = a_home(), a_home()
        refusals = []

        with transaction() as session:
            accounts = visible_accounts(session, mine.owner_id)
            for ref in (theirs.refs[0], (mine.refs[0][0], mine.refs[0][1] + 1), (10**9, 10**9)):
                with pytest.raises(NotFound) as refused:
                    get_bill(session, ref, accounts, today=TODAY)
                refusals.append((str(refused.value), refused.value.code, refused.value.facts))

        assert refusals[0] == refusals[1] == refusals[2]

    @pytest.mark.parametrize(("amount_fen", "open_fen"), [(-500, -500), (0, 0), (1, 1)])
    def test_a_credit_owes_nothing_and_what_is_left_of_it_is_seen(
        self, amount_fen, open_fen
    ):  # rule 8
        home = a_home(amount_fen)

        with transaction() as session:
            accounts = visible_accounts(session, home.owner_id)
            seen = get_bill(session, home.refs[0], accounts, today=TODAY)

        assert (seen.amount_fen, seen.open_fen) == (amount_fen, open_fen)

    def test_a_cancelled_bill_owes_nothing(self):
        home = a_home()
        home.cancel(0)

        with transaction() as session:
            accounts = visible_accounts(session, home.owner_id)
            seen = get_bill(session, home.refs[0], accounts, today=TODAY)

        assert (seen.state, seen.open_fen) == (BillState.CANCELLED, 0)


def _twelve_months(now: datetime) -> int:
    """A household of three accounts with twelve months of bills, two in each; gives its owner."""
    home = a_home(100, 200, 300, now=now)
    for at, company in enumerate(home.companies):
        rows = [
            a_record(home.account_nos[at], f"B{n}", billing_month=add_months(MONTH, -back))
            for back in range(12)
            for n in (1, 2)
            if (back, n) != (0, 1)
        ]
        bring_in(company, *rows, now=now)
    return home.owner_id


@pytest.mark.usefixtures("city")
class TestLists:
    @pytest.mark.parametrize("limit", [1, 7, 24, 72, 200])
    def test_pages_hold_every_bill_once_newest_month_first(self, now, limit):
        owner_id = _twelve_months(now)

        with transaction() as session:
            accounts = visible_accounts(session, owner_id)
            found, after = [], None
            while page := list_bills(session, accounts, today=TODAY, limit=limit, after=after):
                assert len(page) <= limit
                found += page
                after = parse_ref(page[-1].ref)

        assert len({bill.ref for bill in found}) == len(found) == 72
        months = [bill.billing_month for bill in found]
        assert months == sorted(months, reverse=True)

    def test_at_home_are_the_last_months_and_what_is_older_and_not_over(self, now):
        owner_id = _twelve_months(now)
        paid = "UPDATE bill SET paid_fen = amount_fen, written_off_fen = amount_fen"

        with transaction() as session:
            accounts = visible_accounts(session, owner_id)
            every = list_bills(session, accounts, today=TODAY)
            to_pay, unconfirmed = every[-1], every[-2]
            session.execute(text(f"{paid} WHERE bill_no <> :no"), {"no": to_pay.bill_no})
            session.execute(
                text(
                    "UPDATE bill SET written_off_fen = 0 WHERE (account_id, id) = (:account, :id)"
                ),
                dict(zip(("account", "id"), parse_ref(unconfirmed.ref), strict=True)),
            )
            session.expire_all()
            home = bills.list_at_home(session, accounts, today=TODAY)
            session.rollback()

        recent = [one.ref for one in every if one.billing_month >= date(2026, 8, 1)]
        shown = [one.ref for one in home]
        older = {one.ref for one in home[len(recent) :]}
        assert shown[: len(recent)] == recent
        assert {to_pay.ref, unconfirmed.ref} <= older
        assert all(one.open_fen or one.ref == unconfirmed.ref for one in home if one.ref in older)

    def test_somebody_without_accounts_has_no_bills(self, session):
        assert list_bills(session, {}, today=TODAY) == []

    def test_bills_of_others_are_in_no_list(self):
        mine, _theirs = a_home(1, 2), a_home(3, 4)

        with transaction() as session:
            seen = list_bills(session, visible_accounts(session, mine.owner_id), today=TODAY)

        assert {bill.ref for bill in seen} == {format_ref(ref) for ref in mine.refs}

    def test_a_list_goes_back_as_far_as_asked(self):
        home = a_home(100)
        old = add_months(MONTH, -bills.ONLINE_MONTHS)
        bring_in("water", a_record(home.account_nos[0], "OLD", billing_month=old))

        with transaction() as session:
            accounts = visible_accounts(session, home.owner_id)
            today = list_bills(session, accounts, today=date(2026, 10, 31))
            tomorrow = list_bills(session, accounts, today=date(2026, 11, 1))

        assert [bill.bill_no for bill in today] == ["B1", "OLD"]
        assert [bill.bill_no for bill in tomorrow] == ["B1"]

    def test_a_history_is_one_accounts_oldest_first_without_what_was_cancelled(self, now):
        owner_id = _twelve_months(now)

        with transaction() as session:
            accounts = visible_accounts(session, owner_id)
            newest = list_bills(session, accounts, today=TODAY, limit=1)[0]
            account = accounts[newest.account.account_id]
            history = list_history(session, newest, accounts, today=TODAY)

        assert len(history) == 13
        assert {bill.account.account_id for bill in history} == {account.id}
        months = [bill.billing_month for bill in history]
        assert months == sorted(months)
        assert newest.ref in {bill.ref for bill in history}

    def test_a_person_who_belongs_nowhere_sees_nothing(self, session):
        assert visible_accounts(session, a_person()) == {}


@pytest.mark.usefixtures("city")
def test_a_history_leaves_out_credits_and_other_bills_of_the_same_month():
    home = a_home(8_650)
    before, other = add_months(MONTH, -1), "B2"
    for number, month, fen in (
        ("A1", before, 5_000), ("A2", before, -300), (other, MONTH, 99), ("C1", MONTH, -1),
    ):  # fmt: skip
        record = a_record(home.account_nos[0], number, billing_month=month, amount_fen=fen)
        bring_in("water", record)

    with transaction() as session:
        accounts = visible_accounts(session, home.owner_id)
        bill = get_bill(session, home.refs[0], accounts, today=TODAY)
        history = list_history(session, bill, accounts, today=TODAY)

    assert [one.amount_fen for one in history] == [5_000, 8_650]


@pytest.mark.usefixtures("city")
class TestHeads:
    """Rules 9 and 36: what paid for what follows from the sums, so any payment can be undone."""

    @pytest.mark.parametrize(
        ("heads", "paid_fen", "late_fee_fen"),
        [
            ('["charge", "late_fee"]', 8_000, 0),
            ('["charge", "late_fee"]', 8_700, 50),
            ('["late_fee", "charge"]', 60, 60),
            ('["late_fee", "charge"]', 8_000, 87),
        ],
    )
    def test_the_company_says_what_money_covers_first(self, heads, paid_fen, late_fee_fen):
        terms = parse_terms(f"[apportion]\nheads = {heads}\n")
        home = a_home(8_650)
        with transaction() as session:
            bill = session.get_one(Bill, home.refs[0])
            account = session.get_one(UtilityAccount, home.refs[0][0])
            bill.adjusted_fen, bill.paid_fen = 87, paid_fen
            seen = view(bill, account, terms=terms, today=TODAY)
            session.rollback()

        assert seen.paid_late_fee_fen == late_fee_fen
