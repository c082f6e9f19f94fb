"""Money that goes back from our own bank account, because its gateway cannot send it.

Staff enter the payee's account, send the money at the bank, and say so with the bank's reference;
above a threshold these are two people. The account is sealed, and shown masked.
"""

import re
from datetime import datetime

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from core import crypto, outbox
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from core.masking import mask_no
from identity import audit
from identity.audit import Deed, Subject
from payments.models import Payment, lock_payment
from payments.returns.models import BankTransfer, TransferReason, check_undisputed

_ACCOUNT = re.compile(r"[0-9A-Z]{6,34}")
_REF = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{2,63}")


def open_transfer(
    session: Session,
    payment: Payment | None,
    number: str,
    amount_fen: int,
    why: TransferReason,
    *,
    gateway_said: str | None = None,
    now: datetime,
) -> None:
    """Ask staff to send money back, once for each number; its payment, if any, is locked."""
    if session.get(BankTransfer, number) is None:
        session.add(
            BankTransfer(
                number=number, payment_id=payment.id if payment else None, amount_fen=amount_fen,
                why=why,
                gateway_said=gateway_said, opened_at=now,
            )
        )  # fmt: skip
        outbox.emit(session, "transfer.opened", number, now=now)
        session.flush()


def get_transfer(session: Session, number: str) -> BankTransfer:
    """Return a transfer.

    Raises:
        NotFound: there is none of that number.
    """
    found = find_transfer(session, number)
    if found is None:
        raise NotFound("there is no such transfer")
    return found


def find_transfer(session: Session, number: str, *, lock: bool = False) -> BankTransfer | None:
    """Return the transfer of a refund or receipt as it is now, if it goes that way."""
    return session.get(BankTransfer, number, populate_existing=True, with_for_update=lock or None)


def is_waiting(transfer: BankTransfer | None) -> bool:
    """Tell whether a transfer is there and still to be sent."""
    return transfer is not None and transfer.sent_at is None and transfer.dropped_at is None


def has_payee(transfer: BankTransfer | None) -> bool:
    """Tell whether staff may have sent a transfer already and not said so yet."""
    return transfer is not None and is_waiting(transfer) and transfer.payee_at is not None


def list_waiting(session: Session, *, limit: int = 200) -> list[BankTransfer]:
    """Return transfers that are not sent yet, the oldest first."""
    waiting = (
        select(BankTransfer)
        .where(col(BankTransfer.sent_at).is_(None), col(BankTransfer.dropped_at).is_(None))
        .order_by(col(BankTransfer.opened_at), col(BankTransfer.number))
    )
    return list(session.exec(waiting.limit(limit)))


def count_waiting(session: Session) -> int:
    """Count transfers that are not sent yet."""
    waiting = select(func.count()).select_from(BankTransfer)
    return session.exec(
        waiting.where(col(BankTransfer.sent_at).is_(None), col(BankTransfer.dropped_at).is_(None))
    ).one()


def lock_waiting(session: Session, number: str) -> BankTransfer:
    """Return a transfer that is not sent yet, its payment and it locked.

    Raises:
        NotFound: there is none of that number.
        Conflict: it was sent, or the money went another way.
    """
    transfer = get_transfer(session, number)
    if transfer.payment_id is not None:
        lock_payment(session, transfer.payment_id)
    session.refresh(transfer, with_for_update=True)
    if transfer.sent_at is not None:
        raise Conflict("this transfer was sent already", code="transfer.sent")
    if transfer.dropped_at is not None:
        raise Conflict("this money went back another way: send nothing", code="transfer.dropped")
    return transfer


def enter_payee(
    session: Session,
    number: str,
    *,
    name: str,
    bank: str,
    account: str,
    by: int,
    secret_key: str,
    approval_above_fen: int,
    now: datetime,
) -> BankTransfer:
    """Say to whom a transfer goes; the same again changes nothing.

    Another one is refused: a colleague may be sending it at this moment. Take that out first.

    Raises:
        NotFound: there is no such transfer.
        Invalid: the name, the bank or the account cannot be right.
        Conflict: another payee is entered, it was sent, went another way, or the payer's bank
            disputes the payment.
    """
    plain = re.sub(r"[ -]", "", account).upper()
    if not name.strip() or not bank.strip():
        raise Invalid("say whose account it is, and at which bank", code="transfer.payee")
    if not _ACCOUNT.fullmatch(plain):
        raise Invalid(
            "an account has 6 to 34 digits or letters A to Z: compare it with what the payer sent",
            code="transfer.account",
        )
    transfer = lock_waiting(session, number)
    if transfer.payment_id is not None:
        check_undisputed(session, transfer.payment_id)
    payee = name.strip(), bank.strip()
    if transfer.payee_account_sealed is not None:
        known = transfer.payee_name, transfer.payee_bank, _unseal(transfer, secret_key)
        if known != (*payee, plain):
            raise Conflict(
                "another account is entered for this transfer: ask who entered it",
                code="transfer.has_payee",
            )
        return transfer
    transfer.payee_name, transfer.payee_bank = payee
    transfer.payee_account_sealed = crypto.seal(secret_key, plain, about=_about(number))
    transfer.payee_account_masked = mask_no(plain)
    transfer.payee_by, transfer.payee_at = by, now
    transfer.needs_two = transfer.amount_fen > approval_above_fen
    session.flush()
    return transfer


def clear_payee(session: Session, number: str) -> BankTransfer:
    """Take the payee out again: the transfer was not sent, and will not be to this account.

    Raises:
        NotFound: there is no such transfer.
        Conflict: it was sent, or went another way.
    """
    transfer = lock_waiting(session, number)
    transfer.payee_name = transfer.payee_bank = transfer.payee_account_masked = None
    transfer.payee_account_sealed = transfer.payee_by = transfer.payee_at = None
    session.flush()
    return transfer


def show_account(
    session: Session, number: str, *, by: int, secret_key: str, now: datetime
) -> str:  # fmt: skip
    """Return the payee's whole account to who is about to send the money; the audit log has it.

    Raises:
        NotFound: there is no such transfer.
        Conflict: no account was entered, it was sent, or the money went another way.
    """
    transfer = lock_waiting(session, number)
    if transfer.payee_account_sealed is None:
        raise _no_payee()
    audit.note(session, by, Deed.PAYEE_SEEN, subject=Subject("transfer", number), now=now)
    return _unseal(transfer, secret_key)


def _unseal(transfer: BankTransfer, secret_key: str) -> str:
    assert transfer.payee_account_sealed is not None
    about = _about(transfer.number)
    return crypto.unseal(secret_key, transfer.payee_account_sealed, about=about)


def _no_payee() -> Conflict:
    return Conflict("enter first to whom the money goes", code="transfer.no_payee")


def mark_sent(
    session: Session, transfer: BankTransfer, *, bank_ref: str, by: int, now: datetime
) -> None:
    """Write down that the bank has sent a transfer, which is locked and waiting.

    Raises:
        Invalid: that is no reference.
        Conflict: no payee was entered, or the reference is another transfer's.
        NotAllowed: who entered the payee cannot say so, above the threshold.
    """
    if not _REF.fullmatch(bank_ref):
        raise Invalid("copy the bank's reference as it stands there", code="transfer.bank_ref")
    if transfer.payee_at is None:
        raise _no_payee()
    if transfer.needs_two and transfer.payee_by == by:
        raise NotAllowed(
            "who entered the account cannot confirm a transfer of this amount: ask a colleague",
            code="transfer.same_person",
        )
    # Two transfers with one reference at the same moment: the second waits here for the first.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:ref, 0))"),
        {"ref": f"transfer {bank_ref}"},
    )
    taken = select(BankTransfer.number).where(BankTransfer.bank_ref == bank_ref)
    if session.exec(taken).first() is not None:
        raise Conflict(
            "this reference belongs to another transfer: look at the bank's list again",
            code="transfer.ref_taken",
        )
    transfer.sent_by, transfer.sent_at, transfer.bank_ref = by, now, bank_ref
    session.flush()


def give_way(session: Session, number: str, *, taken_by_bank: bool, now: datetime) -> None:
    """Drop a transfer that waits, because the money has gone back the way it came after all.

    Raises:
        Conflict: the money went another way before, or may have: a person must look.
    """
    transfer = find_transfer(session, number)
    if taken_by_bank or (transfer is not None and transfer.sent_at is not None):
        raise Conflict(
            "the gateway says it sent money that had gone back another way: ask it to correct that",
            code="refund.sent_twice",
        )
    if has_payee(transfer):
        raise Conflict(
            "the gateway says it sent money that our bank may have sent as well: if it has not,"
            " take the account out of the transfer and try again",
            code="refund.may_be_sent_twice",
        )
    if transfer is not None and is_waiting(transfer):
        transfer.dropped_at = now
        session.flush()


def lessen(session: Session, number: str, amount_fen: int, *, now: datetime) -> None:
    """Let a transfer that waits send so much only; of nothing it is dropped."""
    transfer = find_transfer(session, number)
    if transfer is None or not is_waiting(transfer):
        return
    if amount_fen == 0:
        transfer.dropped_at = now
    else:
        transfer.amount_fen = amount_fen
    session.flush()


def _about(number: str) -> str:
    return f"transfer {number}"
