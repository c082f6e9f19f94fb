"""Handing approved remittances to our bank, in a file, and what the bank brings back of them.

A payment is in the books from its file on. One that comes back is countered there, and its money
goes again as a new payment under a new number: a place of a remittance has one that lives.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.ledger import books, postings
from billing.rules.workdays import next_working_day
from core import outbox
from core.clock import billing_date
from core.errors import Conflict, Invalid, NotFound
from payments.reconciliation.bank.models import REMITTANCES, BankDue, BankEntry, DueKind
from payments.remittance.deciding import hold_back, to_send
from payments.remittance.models import (
    Act,
    Remittance,
    RemittanceFile,
    RemittancePayment,
    RemittanceState,
    live_payments,
    lock_remittance,
    note,
)
from payments.remittance.shares import again

CALENDAR = "CN"  # our bank's


class Debtor(NamedTuple):
    """Our own account, from which companies are paid."""

    name: str
    account_no: str
    bank_code: str


def make_file(session: Session, debtor: Debtor, *, by: int, now: datetime) -> RemittanceFile:
    """Put every approved remittance into a file for our bank, and into the books, once.

    Raises:
        Conflict: none is approved, or our own account is not set up.
    """
    if not all(debtor):
        raise Conflict(
            "our own account is not set up: set CITYBILL_REMITTANCE_ACCOUNT and"
            " CITYBILL_REMITTANCE_BANK",
            code="remittance.no_debtor",
        )
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('remittance_file'))"))
    approved = _lock_approved(session)
    if not approved:
        raise Conflict(
            "no remittance is approved: release one, and have it approved",
            code="remittance.none_approved",
        )
    payments = {one.id: to_send(live_payments(session, one.id)) for one in approved}
    whole = [payment for of_one in payments.values() for payment in of_one]
    today = billing_date(now)
    file = RemittanceFile(
        number=_next_number(session, f"RM{today:%y%m%d}"),
        pays_on=next_working_day(CALENDAR, today), payments=len(whole),
        total_fen=sum(payment.amount_fen for payment in whole), debtor_name=debtor.name,
        debtor_account=debtor.account_no, debtor_bank=debtor.bank_code, made_by=by, made_at=now,
    )  # fmt: skip
    session.add(file)
    session.flush()
    for one in approved:
        _send(session, one, payments[one.id], file, by=by, now=now)
    return file


def _lock_approved(session: Session) -> list[Remittance]:
    approved = (
        select(Remittance)
        .where(Remittance.state == RemittanceState.APPROVED)
        .order_by(col(Remittance.id))
        .with_for_update()
    )
    return list(session.exec(approved.execution_options(populate_existing=True)))


def _next_number(session: Session, stem: str) -> str:
    of_day = select(RemittanceFile.number).where(col(RemittanceFile.number).startswith(stem))
    return f"{stem}F{len(session.exec(of_day).all()) + 1:02d}"


def _send(
    session: Session, one: Remittance, payments: list[RemittancePayment], file: RemittanceFile,
    *, by: int, now: datetime,
) -> None:  # fmt: skip
    for payment in payments:
        payment.file_id, payment.sent_at = file.id, now
        moves = postings.remitted(payment.id, one.provider_code, payment.amount_fen)
        books.post(session, moves, now=now)
    one.move_to(RemittanceState.SENT, now=now)
    note(session, one.id, Act.SENT, now=now, by=by, words=file.number)
    outbox.emit(session, "remittance.sent", one.id, now=now)


def list_files(session: Session, *, limit: int = 20) -> list[RemittanceFile]:
    """Return files for our bank, the newest first."""
    return list(
        session.exec(select(RemittanceFile).order_by(col(RemittanceFile.id).desc()).limit(limit))
    )


def get_file(session: Session, file_id: int) -> tuple[RemittanceFile, list[RemittancePayment]]:
    """Return a file with its payments, in the order in which it has them.

    Raises:
        NotFound: there is none.
    """
    file = session.get(RemittanceFile, file_id)
    if file is None:
        raise NotFound("there is no such file")
    of_file = select(RemittancePayment).where(RemittancePayment.file_id == file_id)
    return file, list(session.exec(of_file.order_by(col(RemittancePayment.end_to_end_id))))


def bring_back(
    session: Session,
    payment_id: int,
    *,
    reason: str,
    was_debited: bool,
    by: int,
    now: datetime,
) -> Remittance:
    """Enter that the bank did not pay: the books are countered, and the money waits to go again.

    The same payment again changes nothing.

    Args:
        was_debited: it left our account and came back; else it never left.

    Raises:
        NotFound: there is no such payment.
        Invalid: no reason.
        Conflict: it was never sent, or the bank's statement says that it left our account.
    """
    if not reason.strip():
        raise Invalid(
            "say what the bank says: the company is asked by it", code="remittance.reason"
        )
    found = session.get(RemittancePayment, payment_id)
    if found is None:
        raise NotFound("there is no such payment")
    one = lock_remittance(session, found.remittance_id)
    session.refresh(found)
    if found.returned_at is not None:
        return one
    if found.sent_at is None:
        raise Conflict("this payment was never sent", code="remittance.not_sent")
    if not was_debited and _was_debited(session, found):
        raise Conflict(
            "the bank's statement has this payment: it left our account",
            code="remittance.was_debited",
        )
    found.returned_at, found.returned_by = now, by
    found.return_reason, found.was_debited = reason.strip(), was_debited
    session.flush()
    moves = postings.unremitted(found.id, one.provider_code, found.amount_fen)
    books.post(session, moves, now=now)
    again(session, one, found, now=now)
    hold_back(session, one, now=now)
    words = f"{found.end_to_end_id}: {found.return_reason}"
    note(session, one.id, Act.RETURNED, now=now, by=by, words=words)
    outbox.emit(session, "remittance.returned", found.id, now=now)
    return one


def _was_debited(session: Session, payment: RemittancePayment) -> bool:
    """Tell whether our bank's statement has a debit under a payment's number, matched or not."""
    assert payment.sent_at is not None
    debit = select(BankEntry.id).where(
        BankEntry.booked_on >= billing_date(payment.sent_at), BankEntry.amount_fen < 0,
        col(BankEntry.refs).contains([payment.end_to_end_id]),
    )  # fmt: skip
    return is_found(session, payment) or session.exec(debit.limit(1)).first() is not None


def is_found(session: Session, payment: RemittancePayment) -> bool:
    """Tell whether a payment stands in our bank's statement."""
    due = select(BankDue.match_id).where(
        BankDue.source == REMITTANCES, BankDue.kind == DueKind.REMITTANCE,
        BankDue.reference == payment.end_to_end_id,
    )  # fmt: skip
    return session.exec(due).first() is not None
