"""Who lets a remittance go: one of the staff releases it, above a threshold another approves."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from core.errors import CityBillError, Conflict, Invalid, NotAllowed
from payments.remittance.models import (
    TO_RELEASE,
    Act,
    Remittance,
    RemittancePayment,
    RemittanceState,
    live_payments,
    lock_remittance,
    note,
)
from payments.remittance.shares import refresh

_S = RemittanceState


def to_send(payments: Sequence[RemittancePayment]) -> list[RemittancePayment]:
    """Return those of a remittance's payments that are still to be sent."""
    return [one for one in payments if one.sent_at is None and one.returned_at is None]


def shown(payments: Sequence[RemittancePayment]) -> str:
    """Return what tells payments somebody looked at from others: accounts and amounts."""
    said = [
        (one.end_to_end_id, one.account_name, one.account_no, one.bank_code, one.amount_fen)
        for one in to_send(payments)
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def release(
    session: Session,
    remittance_id: int,
    *,
    seen: str,
    by: int,
    approval_above_fen: int,
    now: datetime,
) -> Remittance:
    """Let a remittance go; up to the threshold it is approved by that. Again changes nothing.

    What the bank brought back takes two people, however little: one alone, who says that it came
    back, could send the same money again and again.

    Args:
        seen: ``shown`` of the payments somebody looked at.

    Raises:
        NotFound: there is no such remittance.
        Conflict: it is not to be released, has no account, or its accounts have changed since.
    """
    one = lock_remittance(session, remittance_id)
    if one.released_by == by and one.state in {_S.RELEASED, _S.APPROVED}:
        return one
    refresh(session, one.id, now=now)
    payments = to_send(live_payments(session, one.id))
    refused = why_not_release(one, payments)
    if refused is not None:
        raise refused
    if shown(payments) != seen:
        raise Conflict(
            "the company's accounts have changed since: look at them again",
            code="remittance.changed",
        )
    one.released_by, one.released_at = by, now
    one.needs_two = needs_two(payments, approval_above_fen=approval_above_fen)
    one.move_to(_S.RELEASED if one.needs_two else _S.APPROVED, now=now)
    note(session, one.id, Act.RELEASED, now=now, by=by)
    return one


def needs_two(payments: Sequence[RemittancePayment], *, approval_above_fen: int) -> bool:
    """Tell whether a second person approves payments before they are sent."""
    went_before = any(one.attempt > 1 for one in payments)
    return went_before or sum(one.amount_fen for one in payments) > approval_above_fen


def why_not_release(one: Remittance, payments: Sequence[RemittancePayment]) -> CityBillError | None:
    """Return why a remittance cannot be let go; of one that can: None."""
    if one.state not in TO_RELEASE:
        return Conflict(
            "this remittance is released already, or nothing of it is paid",
            code="remittance.released",
        )
    if not to_send(payments):
        return Conflict(
            "the company's terms name no account: propose terms with [remit.account]",
            code="remittance.no_account",
        )
    return None


def approve(session: Session, remittance_id: int, *, by: int, now: datetime) -> Remittance:
    """Let a released remittance into the next file; the same person again changes nothing.

    Raises:
        NotFound: there is no such remittance.
        NotAllowed: who released it cannot approve it.
        Conflict: it waits for no second person.
    """
    one = lock_remittance(session, remittance_id)
    if one.approved_by == by and one.state in {_S.APPROVED, _S.SENT}:
        return one
    if one.state is not _S.RELEASED:
        raise Conflict("this remittance waits for no approval", code="remittance.not_released")
    if one.released_by == by:
        raise NotAllowed(
            "who releases a remittance cannot approve it: ask a colleague",
            code="remittance.same_person",
        )
    one.approved_by, one.approved_at = by, now
    one.move_to(_S.APPROVED, now=now)
    note(session, one.id, Act.APPROVED, now=now, by=by)
    return one


def decline(
    session: Session, remittance_id: int, *, by: int, reason: str, now: datetime
) -> Remittance:
    """Take the release of a remittance back that is not sent yet; then it waits for another.

    Raises:
        NotFound: there is no such remittance.
        Invalid: a no to a colleague without a reason.
        Conflict: it is not released, or sent already.
    """
    one = lock_remittance(session, remittance_id)
    if one.state not in {_S.RELEASED, _S.APPROVED}:
        raise Conflict("this remittance is not waiting to be sent", code="remittance.not_released")
    if by != one.released_by and not reason.strip():
        raise Invalid("say why: your colleague decides by it", code="remittance.reason")
    hold_back(session, one, now=now)
    note(session, one.id, Act.DECLINED, now=now, by=by, words=reason.strip() or None)
    return one


def hold_back(session: Session, one: Remittance, *, now: datetime) -> None:
    """Let a locked remittance wait to be released, whoever had let it go."""
    was_sent = any(payment.attempt > 1 for payment in live_payments(session, one.id))
    state = _S.RETURNED if was_sent else _S.PROPOSED
    if one.state is not state:
        one.move_to(state, now=now)
    one.released_by = one.released_at = one.approved_by = one.approved_at = None
    one.needs_two = False
    session.flush()
