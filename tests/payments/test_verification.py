"""Every invariant of the books: true of a city at work, and seen to fail when it is broken."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from billing.late_fees import assess
from billing.ledger.days import close_day
from core import db
from core.db import transaction
from payments import verification, write_offs
from payments.gateways.base import DisputeState, GatewayStatus, RefundReply, RefundState
from payments.models import list_receipts
from payments.returns import refunds, suspense
from payments.verification import verify
from tests.conftest import empty_city
from tests.factories import (
    ACCEPTED,
    NOW,
    REFUSED,
    a_home,
    a_paid_payment,
    a_payment,
    book,
    items_of,
    the_terms,
)
from tests.payments.reconciliation.banking import Line, bank_says, takes
from tests.payments.remittance import remitting
from tests.payments.returns.returning import (
    SENT,
    Disputed,
    a_confirmed_payment,
    a_wish,
    confirm_sent,
    decline,
    enter_payee,
    propose,
    staff,
)


@pytest.fixture(scope="module")
def worked_city(database_url: str) -> Iterator[None]:
    """A city in which everything has happened once."""
    for replies, refunded in (
        ([], False), ([ACCEPTED], False), ([REFUSED], False), ([REFUSED], True),
    ):  # fmt: skip
        item = items_of(a_paid_payment(a_home(8_650)))[0]
        with transaction() as session:
            for reply in replies:
                write_offs.book(session, item.write_off_no, reply, now=NOW)
        if refunded:
            with transaction() as session:
                number = f"R{item.write_off_no[1:]}"
                refunds.book(session, number, RefundReply(state=RefundState.SENT), now=NOW)
    held = a_home(1_000)
    a_payment(held)
    held.correct(0, version=2, amount_fen=900)
    home = a_home(2_000)
    late = book(a_payment(home), GatewayStatus.CLOSED)
    a_paid_payment(home)
    book(late, GatewayStatus.PAID, gateway_ref="late")
    book(a_payment(a_home(4_000)), GatewayStatus.PAID, amount_fen=3_999)
    twice = a_paid_payment(a_home(5_000))
    book(twice, GatewayStatus.PAID, gateway_ref="twice")
    with transaction() as session:
        (receipt,) = list_receipts(session, twice.id)
        suspense.book_returned(session, receipt.id, "sent", NOW, now=NOW)
    staff_and_banks_send_back()
    a_home(-500, 0, 3_000).cancel(2)
    somebody_is_late()
    takes("sandbox", 0, 10_000, 52)
    bank_says(Line(9_948))
    with transaction() as session:
        close_day(session, NOW.date(), closed_by="li", now=NOW + timedelta(days=1))
    water_is_paid_and_its_bank_says_no()
    yield
    empty_city()


def somebody_is_late() -> None:
    """Counted, taken back in part, and begun anew where a correction came between."""
    the_terms(
        "power", "[late_fee]\nonce_fen = 300\npenalty_ppm = 10000\ninterest_ppm_per_day = 500\n"
    )
    home, corrected = (a_home(1_000, 10_000, due_on=date(2026, 11, 10)) for _ in range(2))
    assess("power", date(2026, 11, 15), now=NOW)
    book(a_payment(home, home.refs[1]), GatewayStatus.PAID, paid_at=NOW - timedelta(days=8))
    corrected.correct(1, version=2, amount_fen=9_000, due_on=date(2026, 11, 10))
    assess("power", date(2026, 11, 19), now=NOW)


def water_is_paid_and_its_bank_says_no() -> None:
    """Gross, so that refunds and lost disputes are claimed; one payment of it came back."""
    remitting.terms('basis = "gross"')
    remittance = remitting.propose()
    assert remittance is not None
    remitting.sent(remittance)
    remitting.bring_back(remitting.payments_of(remittance)[0])


def staff_and_banks_send_back() -> None:
    """Refunds by staff in every state, one by transfer, and disputes that ended in every way."""
    (one, other), far = staff(), Disputed()
    part = a_confirmed_payment(8_650)
    decline(propose(a_wish(part, 7_000), one), other)
    numbers = []
    for amount_fen, reply in ((1_000, SENT), (900, RefundReply(state=RefundState.REFUSED))):
        far.refund_replies = [reply]
        numbers.append(propose(a_wish(part, amount_fen), one).refund_no)
        refunds.send(numbers[-1], {"sandbox": far}, now=NOW)
    enter_payee(numbers[1], one)
    confirm_sent(numbers[1], other)
    far.refund_replies = [RefundReply(state=RefundState.REFUSED)]
    refunds.look(numbers[0], far, NOW)  # it came back
    refunds.send(propose(a_wish(part, 800), one).refund_no, {}, now=NOW)
    propose(a_wish(part, 700), one)
    propose(a_wish(part), one)
    for at, state in enumerate(DisputeState):
        disputed = a_confirmed_payment(1_000, 2_000)
        propose(a_wish(disputed, 300), one)
        far.says(disputed, state, ref=f"dp-{at}", fee_fen=1_500)


@pytest.fixture
def books(worked_city: None) -> Iterator[Session]:
    """That city in a transaction that may break anything."""
    with db.engine().connect() as connection:
        transaction_ = connection.begin()
        with Session(connection) as session:
            session.execute(text("SET LOCAL ROLE NONE"))
            session.execute(text("SET LOCAL session_replication_role = replica"))
            yield session
        transaction_.rollback()


def broken(session: Session) -> set[str]:
    return {check.name for check in verify(session) if not check.ok}


BILL = "every bill's open amount is what its transfers say"
WRITTEN_OFF = "what is written off on bills is what we owe the companies"
SUM = "a payment's amount is the sum of its bills and its fee"
SUSPENDED = "suspended money is what stands in suspense"
CLEARED = "credits pass through their clearing accounts and leave nothing there"
UNTIED = "ALTER TABLE ledger_transfer DROP CONSTRAINT ck_ledger_transfer_its_own_day;"
CAME_BACK = "money that came back had been sent by its gateway, as much, and goes by it no more"
STATE = "every payment's state is what its transfers say"
OUTCOME = "every paid bill's outcome is what its transfers say"
REFUNDS = "refunds wait in the ledger until they are sent"
WAITS = "a correction waits only while its bill is being paid"
HELD = "a bill is held only by a payment that may still become paid"
DAY = "every transfer stands on the Shanghai day it was posted"
EQUAL = "debits equal credits on every day"
ROWS = "every row of every imported file is accounted for"
CREDITED = "what credits covered is what their transfers say"
ROLLUP = "every rollup is its day's transfers on top of the day before"
UNCLOSED = "no transfer stands on an unclosed day before a closed one"
SEALS = "every seal is what its transfers hash to"
BACK = "what went back of a payment's bill is what its refunds and disputes took"
REFUND = "every refund's state is what its transfers say"
TRANSFER = "a transfer from our bank is of a refund or receipt that waits for it, or went by it"
RECEIPT = "every receipt's state is what its transfers say"
DISPUTE = "every chargeback's state is what its transfers say"
DISPUTED = "open chargebacks are what stands on their account"
MATCHED = "each matched bank entry is what its transfers say"
PAYOUT = "every payout in the ledger is matched with the bank"
KEPT = "what a bank's suspended entry stands for is what its transfers say"
MOVED = "each remittance is what its days moved"
SUMS_UP = "each remittance sums up and goes on from the one before"
SENT_ONCE = "every payment to a company is in the books as it was sent"
OWED = "what we owe each company is what waits to be remitted"
ISSUED = "every bill asks for what its version was issued for"
LATE = "what lateness cost a bill is what its transfers say"
WAYS = [
    (ISSUED, "UPDATE bill SET version = version + 1"),
    (ISSUED, "UPDATE bill SET amount_fen = amount_fen + 1, adjusted_fen = adjusted_fen - 1 "
             "WHERE cancelled_at IS NULL"),
    *((LATE, f"UPDATE bill_late_fee SET {kind} = {kind} + 1")
      for kind in ("once_fen", "penalty_fen", "interest_fen", "waived_fen")),
    (LATE, "UPDATE bill_late_fee SET bill_id = bill_id + 1"),
    (MOVED, "UPDATE remittance_line SET amount_fen = amount_fen + 1 WHERE kind = 'collected'"),
    (MOVED, "DELETE FROM remittance_line WHERE kind = 'refunded'"),
    (SUMS_UP, "UPDATE remittance SET gross_fen = gross_fen + 1, net_fen = net_fen + 1"),
    (SUMS_UP, "UPDATE remittance_payment SET amount_fen = amount_fen - 1 "
              "WHERE returned_at IS NULL"),
    (SENT_ONCE, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'remitted_undone:%'"),
    (SENT_ONCE, "UPDATE remittance_payment SET amount_fen = amount_fen + 1 "
                "WHERE returned_at IS NOT NULL"),
    (OWED, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'remitted:%'"),
    (OWED, "UPDATE remittance SET gross_fen = gross_fen + 1, net_fen = net_fen + 1"),
    (BACK, "UPDATE payment_item SET returned_fen = returned_fen - 1 WHERE returned_fen > 0"),
    (BACK, "UPDATE payment_item SET returned_fen = 1 WHERE outcome = 'paid'"),
    (BACK, "DELETE FROM refund WHERE status = 'proposed'"),
    (BACK, "DELETE FROM chargeback_part"),
    (REFUND, "UPDATE refund SET refund_no = refund_no || 'x' WHERE proposed_by IS NOT NULL"),
    (REFUND, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'refunded:%'"),
    (REFUND, "UPDATE refund SET advance_fen = 1 WHERE status = 'succeeded'"),
    (REFUND, "UPDATE refund SET status = 'pending', succeeded_at = NULL "
             "WHERE status = 'succeeded'"),
    (REFUND, "DELETE FROM bank_transfer WHERE sent_at IS NOT NULL"),
    (RECEIPT, "UPDATE ledger_transfer SET subject_id = subject_id + 1 "
              "WHERE entry_key LIKE 'suspense_in:%'"),
    (RECEIPT, "UPDATE receipt SET charged_back_fen = 1"),
    (RECEIPT, "UPDATE ledger_transfer SET credit_account_id = "
              "(SELECT id FROM ledger_account WHERE code = 'bank') "
              "WHERE account_id = 0 AND entry_key LIKE 'returned:%'"),
    (TRANSFER, "UPDATE bank_transfer SET amount_fen = amount_fen + 1"),
    (TRANSFER, "UPDATE bank_transfer SET number = number || 'x'"),
    (TRANSFER, "UPDATE refund SET status = 'pending' WHERE status = 'by_transfer'"),
    (DISPUTE, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'chargeback_lost:%'"),
    (DISPUTE, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'chargeback_won:%'"),
    (DISPUTE, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'taken_back:%'"),
    (DISPUTE, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'dispute_fee:%'"),
    (DISPUTE, "UPDATE chargeback SET state = 'open', decided_at = NULL WHERE state = 'won'"),
    (DISPUTED, "UPDATE chargeback SET amount_fen = amount_fen + 1 WHERE state = 'open'"),
    (DISPUTED, "UPDATE ledger_account SET code = 'losses' WHERE code = 'chargebacks'"),
    (BILL, "UPDATE bill SET adjusted_fen = 1 WHERE amount_fen > 0 AND adjusted_fen = 0 "
           "AND cancelled_at IS NULL"),
    (BILL, "UPDATE bill SET credited_fen = 1 WHERE amount_fen > 0 AND paid_fen = 0 "
           "AND cancelled_at IS NULL"),
    (CREDITED, "UPDATE bill SET credited_fen = -1 WHERE amount_fen < 0"),
    (ROLLUP, "UPDATE ledger_day_balance SET debit_fen = debit_fen + 1"),
    (ROLLUP, "DELETE FROM ledger_day_balance"),
    (UNCLOSED, UNTIED + "UPDATE ledger_transfer SET posted_on = posted_on - 1 "
               "WHERE entry_key = 'issued.1'"),
    (SEALS, "UPDATE ledger_day SET closed_by = 'wang'"),
    (SEALS, "UPDATE ledger_transfer SET posted_at = posted_at + interval '1 us'"),
    (BILL, "UPDATE bill SET amount_fen = amount_fen + 1 WHERE paid_fen > 0"),
    (BILL, "UPDATE bill SET cancelled_at = now() WHERE paid_fen = 0 AND amount_fen > 0 "
           "AND adjusted_fen = 0"),
    (BILL, "DELETE FROM ledger_transfer WHERE entry_key = 'reversed.1'"),
    (BILL, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'issued.%'"),
    (BILL, "DELETE FROM bill WHERE amount_fen < 0"),
    (WRITTEN_OFF, "UPDATE bill SET written_off_fen = 0"),
    (WRITTEN_OFF, "UPDATE bill SET written_off_fen = 1 WHERE paid_fen > 0 AND written_off_fen = 0"),
    (WRITTEN_OFF, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'written_off:%'"),
    (SUM, "UPDATE payment SET amount_fen = amount_fen - 1"),
    (SUM, "DELETE FROM payment_item"),
    (SUM, "UPDATE payment SET fee_fen = 1"),
    (SUSPENDED, "UPDATE receipt SET state = 'returned', returned_at = now()"),
    (SUSPENDED, "UPDATE receipt SET amount_fen = amount_fen + 1"),
    (CAME_BACK, "UPDATE receipt SET came_back_of = 'R0' WHERE came_back_of IS NOT NULL"),
    (CAME_BACK, "UPDATE receipt SET source = 'other' WHERE came_back_of IS NOT NULL"),
    (CAME_BACK, "UPDATE refund SET amount_fen = amount_fen + 1 WHERE status = 'succeeded'"),
    (CAME_BACK, "UPDATE bank_transfer SET dropped_at = now() WHERE why = 'came_back'"),
    (CAME_BACK, "UPDATE receipt SET state = 'returned', returned_at = now()"),
    (SUSPENDED, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'suspense_in:%'"),
    (CLEARED, "UPDATE ledger_account SET code = 'credits:water' WHERE code = 'returns'"),
    (STATE, "UPDATE payment SET status = 'expired', paid_at = NULL WHERE status = 'paid'"),
    (STATE, "UPDATE payment SET status = 'paid', paid_at = now() WHERE status = 'created'"),
    (STATE, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'stray:%'"),
    (OUTCOME, "UPDATE payment_item SET outcome = 'written_off' WHERE outcome = 'paid'"),
    (OUTCOME, "UPDATE payment_item SET outcome = 'not_paid' WHERE outcome = 'returned'"),
    (OUTCOME, "UPDATE payment_item SET outcome = 'paid' WHERE outcome = 'waiting'"),
    (OUTCOME, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'returned:%'"),
    (OUTCOME, "UPDATE payment_item SET advance_fen = 1 WHERE outcome = 'paid'"),
    (REFUNDS, "UPDATE refund SET status = 'succeeded', succeeded_at = now() "
              "WHERE status = 'requested'"),
    (REFUNDS, "UPDATE refund SET amount_fen = amount_fen + 1 WHERE status = 'requested'"),
    (REFUNDS, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'unpaid:%'"),
    (HELD, "UPDATE bill SET held_by = (SELECT min(id) FROM payment WHERE status = 'paid')"),
    (HELD, "UPDATE bill SET held_by = 9"),
    (MATCHED, "UPDATE bank_entry SET amount_fen = amount_fen + 1"),
    (MATCHED, "UPDATE bank_due SET fee_fen = fee_fen + 1"),
    (MATCHED, "DELETE FROM ledger_transfer WHERE entry_key LIKE 'gateway_fee:%'"),
    (MATCHED, "UPDATE bank_match SET written_off_fen = 1"),
    (PAYOUT, "DELETE FROM bank_match"),
    (
        KEPT,
        "INSERT INTO bank_suspense (id, entry_id, act_id, amount_fen, suspended_at, is_returned)"
        " VALUES (7, 1, 1, 100, now(), false)",
    ),
    (WAITS, "UPDATE bill SET held_by = NULL"),
    (DAY, UNTIED + "UPDATE ledger_transfer SET posted_on = posted_on - 1"),
    (DAY, UNTIED + "UPDATE ledger_transfer SET posted_at = posted_at + interval '12 hours'"),
    (EQUAL, "UPDATE ledger_transfer SET debit_account_id = 999"),
    (EQUAL, "DELETE FROM ledger_account WHERE code LIKE 'uncollected:%'"),
    (ROWS, "ALTER TABLE bill_file DROP CONSTRAINT ck_bill_file_every_row_accounted_for;"
           "UPDATE bill_file SET rows = rows + 1"),
]  # fmt: skip


class TestVerify:
    def test_books_in_which_everything_has_happened_hold(self, books):
        checks = verify(books)

        assert [check.name for check in checks if not check.ok] == []
        assert {(check.violations, check.detail) for check in checks} == {(0, "")}

    @pytest.mark.parametrize(("name", "breakage"), WAYS)
    def test_a_breakage_is_found_and_named(self, books, name, breakage):
        books.execute(text(breakage))

        assert name in broken(books)

    def test_every_invariant_is_among_those_seen_to_fail(self, books):
        assert {name for name, _ in WAYS} == {check.name for check in verify(books)}
        assert {name for name, _ in WAYS} == set(verification.NAMES)

    def test_a_finding_counts_what_is_wrong_and_shows_the_first(self, books):
        books.execute(text("UPDATE bill SET held_by = 9"))
        bills = books.execute(text("SELECT count(*) FROM bill")).scalar_one()

        (found,) = [check for check in verify(books) if check.name == HELD]

        assert (found.ok, found.violations) == (False, bills)
        assert "is held by payment 9, which is not there" in found.detail
