"""The demo city's books are those of a city that was there all the time."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from billing.bills import list_bills, parse_ref
from billing.homes.households import visible_accounts
from billing.views import BillState, BillView
from cli import demo
from core.clock import billing_date
from core.db import transaction
from identity.people import find_person
from payments.figures import unreconciled
from payments.quotes import offers_for
from payments.reconciliation.bank.desk import How, Wanted, find_entries
from payments.reconciliation.bank.suggesting import suggest
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway import days as day_list
from payments.reconciliation.gateway.days import DayState
from payments.reconciliation.models import BreakKind
from payments.verification import verify
from simulator.journal import Journal
from simulator.utility import journal_path
from simulator.utility_books import UtilityBooks
from tests.conftest import NOW, empty_city

TODAY = billing_date(NOW)


@pytest.fixture(scope="module")
def seeded(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    memory = tmp_path_factory.mktemp("far-side")
    demo.seed(households=3, months=6, months_before=7, memory=memory, now=NOW)
    yield memory
    empty_city()


def bills_of(contact: str) -> list[BillView]:
    with transaction() as session:
        person = find_person(session, contact)
        assert person is not None
        assert person.id is not None
        return list_bills(session, visible_accounts(session, person.id), today=TODAY)


def our_receipts() -> set[str]:
    with transaction() as session:
        return set(session.execute(text("SELECT utility_ref FROM payment_item")).scalars())


def codes_of(bill: BillView) -> list[str | None]:
    with transaction() as session:
        return [offer.code for offer in offers_for(session, parse_ref(bill.ref), now=NOW)]


def find(bills: list[BillView], code: str, ending: str = "2") -> BillView:
    """Return the newest bill of a company whose number ends so."""
    return next(
        bill for bill in bills
        if bill.account.provider_code == code and bill.bill_no.endswith(ending)
    )  # fmt: skip


@pytest.mark.usefixtures("seeded")
class TestItsBooks:
    def test_no_bill_is_paid_before_it_was_issued(self):
        with transaction() as session:
            evenings = session.execute(
                text("SELECT day, code, total_debit_fen - total_credit_fen FROM ledger_day_balance "
                     "JOIN ledger_account a ON a.id = ledger_account_id "
                     "WHERE code LIKE 'receivable:%'")
            ).all()  # fmt: skip

        assert len({day for day, _, _ in evenings}) > 30
        assert [one for one in evenings if one[2] < 0] == []

    def test_days_are_closed_up_to_the_one_before_yesterday(self):
        with transaction() as session:
            last, gaps = session.execute(
                text("SELECT max(day), max(day) - min(day) + 1 - count(*) FROM ledger_day")
            ).one()

        assert (last, gaps) == (date(2026, 11, 18), 0)

    def test_every_day_is_reconciled_with_the_shops_file_and_all_but_one_balance(self):
        with transaction() as session:
            runs = day_list.list_days(session, day_list.Wanted(), gateways=["counter"], today=TODAY)
            assert unreconciled(session, gateways=["counter"], today=TODAY) == []

        assert len(runs) > 5
        [odd] = [run for run in runs if run.state is not DayState.BALANCED]
        with transaction() as session:
            [found] = list_breaks(session, "counter", odd.day)
        assert (found.kind, found.theirs_fen) == (BreakKind.OTHER_ROUTE, None)
        assert sum(not run.matched for run in runs) == 1  # the day after it, on which nobody paid

    def test_the_bank_leaves_money_to_place_one_of_it_in_two_sums(self):
        with transaction() as session:
            entries = find_entries(session, Wanted(How.OPEN))
            proposed = [one for line in entries for one in suggest(session, line.entry)]

        assert len(entries) == 6  # a fee, a stranger's, a payment's, late money, two halves of it
        assert sorted(len(one.also_ids) for one in proposed) == [0, 1, 1]
        assert {one.off_fen for one in proposed} == {0}

    def test_no_company_asks_for_what_is_confirmed(self, seeded):
        paid = 0
        for contact in ("19900000001", "19900000002"):
            ours = {(one.account_no, one.bill_no): one for one in bills_of(contact)}
            for code in demo.COMPANIES:
                journal = Journal(journal_path(seeded, code))
                books = UtilityBooks(code, journal)
                asked = {
                    (bill.account_no, bill.bill_no)
                    for account_no in {no for no, _ in ours}
                    for bill in books.open_bills(account_no, now=NOW).bills
                }
                receipts = {one.verdict.receipt for one in books.latest(1_000)}
                journal.close()
                paid += len(receipts)
                assert receipts <= our_receipts()
                assert not {ours[key].state for key in asked & ours.keys()} & {BillState.CONFIRMED}
        assert paid > 20

    def test_every_invariant_is_true(self):
        with transaction() as session:
            assert [check for check in verify(session) if not check.ok] == []


@pytest.mark.usefixtures("seeded")
class TestTheFirstResident:
    def test_can_hold_a_year_against_the_one_before(self):
        months = {
            bill.billing_month for bill in bills_of("19900000001")
            if bill.account.provider_code == "power"
        }  # fmt: skip

        assert len(months) == 13
        assert {date(2025, 10, 1), date(2026, 10, 1)} <= months

    def test_paid_what_it_had_from_before_when_the_city_began(self):
        with transaction() as session:
            first = session.execute(text("SELECT min(day) FROM ledger_day")).scalar_one()

        assert first == date(2026, 6, 1)

    def test_owes_the_newest_bill_of_each_company_and_nothing_else(self):
        payable = [bill for bill in bills_of("19900000001") if bill.state.payable]

        assert sorted(bill.account.provider_code for bill in payable) == [
            "gas", "power", "telecom", "water",
        ]  # fmt: skip
        assert {bill.adjusted_fen + bill.credited_fen + bill.paid_fen for bill in payable} == {0}


@pytest.mark.usefixtures("seeded")
class TestTheSecondResident:
    @pytest.fixture
    def bills(self) -> list[BillView]:
        return bills_of("19900000002")

    def test_may_pay_less_early(self, bills):
        assert codes_of(find(bills, "telecom", "-B")) == [None, "early"]

    def test_may_pay_in_instalments(self, bills):
        assert codes_of(find(bills, "telecom", "-P")) == [
            None, "instalment-1", "instalment-2", "instalment-3",
        ]  # fmt: skip

    def test_had_a_credit_that_covered_a_part(self, bills):
        assert find(bills, "telecom", "-C").state is BillState.CREDIT_USED
        assert find(bills, "telecom").credited_fen == 1_200

    def test_was_reminded_of_a_bill_that_is_late(self, bills):
        late = next(bill for bill in bills if bill.state is BillState.OVERDUE)

        assert (late.account.provider_code, late.billing_month) == ("water", date(2026, 7, 1))
        with transaction() as session:
            fee_fen = session.execute(
                text("SELECT interest_fen FROM bill_late_fee f WHERE f.bill_id = :id"),
                {"id": parse_ref(late.ref)[1]},
            ).scalar_one()
        assert fee_fen > 0
        assert late.adjusted_fen == 500 + fee_fen

    def test_has_paid_a_part(self, bills):
        power = find(bills, "power")

        assert 0 < power.paid_fen < power.amount_fen
        assert power.state.payable


@pytest.mark.usefixtures("city")
def test_a_city_is_seeded_again_when_its_days_are_closed(tmp_path):
    for later in (0, 40):
        demo.seed(households=2, months=2, memory=tmp_path, now=NOW + timedelta(days=later))

    with transaction() as session:
        assert [check for check in verify(session) if not check.ok] == []
