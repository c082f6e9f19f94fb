"""What each act does when it is done, and what its counter-act takes back."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, select

from billing.ledger import books, postings
from core import outbox
from core.db import HotStatement
from core.errors import Conflict, Invalid, NotFound
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import PaymentItem, list_items, lock_payment
from payments.reconciliation.bank import acts as bank_acts
from payments.reconciliation.bank.statements import lock_bank
from payments.reconciliation.gateway.differences import payment_id_of
from payments.reconciliation.gateway.leftovers import lock_leftovers, match_leftovers
from payments.reconciliation.models import Leg, ReconciliationBreak
from payments.reconciliation.repair import joining, reversing
from payments.reconciliation.repair.models import Act, BreakAct
from payments.returns import staff_refunds, suspense
from payments.returns.models import Refund, RefundReason, RefundStatus
from payments.states import PENDING, Outcome, PaymentStatus

_OF_THE_BANK = frozenset({
    Act.SUSPEND, Act.RETURN_MONEY, Act.WRITE_OFF_DIFFERENCE, Act.REMATCH,
})  # fmt: skip


def lock_room(session: Session, *acts: Act) -> None:
    """Lock what acts change beside their difference: always before that, as runs do."""
    if not _OF_THE_BANK.isdisjoint(acts):
        lock_bank(session)
    if Act.REMATCH in acts:
        lock_leftovers(session)


def do(session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime) -> None:
    """Do what an act says; the difference is locked and as the act has it."""
    assert found.id is not None
    act.done_at = now
    session.flush()
    match act.act:
        case Act.QUERY_AGAIN:
            _payment_id_of(session, found)
            outbox.emit(session, "break.questioned", str(act.id), now=now)
        case Act.RESEND_WRITE_OFF:
            _send_again(session, found, now=now)
        case Act.REVERSE_WRITE_OFF:
            reversing.check(session, found)
            outbox.emit(session, "reversal.due", str(act.id), now=now)
        case Act.REFUND:
            pass  # proposed when it was asked for: it has two people of its own
        case _:
            _close(session, found, act, now=now)
    session.refresh(found)


def _close(session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime) -> None:
    assert found.id is not None
    match act.act:
        case Act.WRITE_OFF_DIFFERENCE if found.leg is Leg.BANK:
            bank_acts.write_off(session, found, act, by=act.proposed_by, now=now)
        case Act.WRITE_OFF_DIFFERENCE:
            _post(session, found, act, undone=False, now=now)
        case Act.SUSPEND:
            bank_acts.suspend(session, found, act, now=now)
        case Act.RETURN_MONEY if found.leg is Leg.BANK:
            bank_acts.send_back(session, found, act, now=now)
        case Act.RETURN_MONEY:
            _return_taken(session, found, now=now)
        case Act.REMATCH:
            joining.join(session, found, act, now=now)
    close(session, [found.id], now=now)
    if act.act is Act.REMATCH:
        match_leftovers(session, found.day, now=now)


def undo(session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime) -> None:
    """Take back what a closing act did, and open its difference again.

    Raises:
        Conflict: the money has gone, and nothing brings it back.
    """
    match act.act:
        case Act.WRITE_OFF_DIFFERENCE if found.leg is Leg.BANK:
            bank_acts.take_back(session, found, now=now)
        case Act.WRITE_OFF_DIFFERENCE:
            _post(session, found, act, undone=True, now=now)
        case Act.RETURN_MONEY if found.leg is Leg.GATEWAY:
            raise Conflict("this money is on its way back already", code="break.money_gone")
        case Act.SUSPEND | Act.RETURN_MONEY:
            bank_acts.unsuspend(session, act, now=now)
        case Act.REMATCH:
            joining.part(session, found, act, now=now)
    _REOPEN.rows(session, {"id": act.break_id})
    if act.act is Act.REMATCH:
        match_leftovers(session, found.day, now=now)
    session.refresh(found)


_CLOSE = HotStatement("""
    UPDATE reconciliation_break SET state = 'resolved', closed_at = :now
    WHERE id = ANY(:ids) AND state = 'open' RETURNING id
""")
_REOPEN = HotStatement("""
    UPDATE reconciliation_break SET state = 'open', closed_at = NULL
    WHERE id = :id AND state = 'resolved' RETURNING id
""")


def close(session: Session, break_ids: Sequence[int], *, now: datetime) -> None:
    """Resolve differences that are locked and open; the only writer of that state."""
    closed = _CLOSE.rows(session, {"ids": list(break_ids), "now": now})
    assert len(closed) == len(break_ids), break_ids


def _payment_id_of(session: Session, found: ReconciliationBreak) -> int:
    return payment_id_of(session, found.row_kind, found.reference)


def _send_again(session: Session, found: ReconciliationBreak, *, now: datetime) -> None:
    wanted = select(PaymentItem).where(PaymentItem.write_off_no == found.reference)
    item = session.exec(wanted).one_or_none()
    if item is None:
        raise NotFound("there is no such write-off", code="break.not_ours")
    if item.outcome is not Outcome.PAID:
        raise Conflict(
            "the company has answered this write-off already: ask it why its list says otherwise",
            code="break.answered",
        )
    outbox.emit(session, "write_off.due", item.write_off_no, now=now)


def _post(
    session: Session, found: ReconciliationBreak, act: BreakAct, *, undone: bool, now: datetime
) -> None:
    assert act.id is not None
    more_fen = (act.ours_fen or 0) - (act.theirs_fen or 0)
    moves = postings.difference_written_off(
        act.id, _payment_id_of(session, found), found.source, more_fen, undone=undone
    )
    books.post(session, moves, now=now)


def _return_taken(session: Session, found: ReconciliationBreak, *, now: datetime) -> None:
    """Take a gateway's word that it has money of an order of ours, and have it sent back."""
    payment = lock_payment(session, _payment_id_of(session, found))
    if payment.status in PENDING:
        raise Conflict(
            "this payment is under way: ask the gateway again, and its money is booked",
            code="break.pending",
        )
    paid_by = payment.gateway, payment.gateway_ref
    if payment.status is PaymentStatus.PAID and (found.source, found.their_ref) == paid_by:
        raise Conflict(
            "by this money the payment is paid: accept the difference, or refund a bill of it",
            code="break.paid_by_it",
        )
    reply = GatewayReply(
        status=GatewayStatus.PAID, amount_fen=found.theirs_fen, gateway_ref=found.their_ref,
        paid_at=found.happened_at,
    )  # fmt: skip
    suspense.suspend(
        session, payment.id, reply, reason="in its gateway's file only", source=found.source,
        now=now,
    )  # fmt: skip


def propose_refund(
    session: Session,
    found: ReconciliationBreak,
    act: BreakAct,
    *,
    wanted_fen: int | None,
    approval_above_fen: int,
    now: datetime,
) -> Refund:
    """Propose a staff's refund of a bill of the payment; it has a second person of its own.

    Raises:
        Invalid: which bill, or how much, is not said.
        Conflict: the company has not confirmed the bill, or less is left of it.
    """
    items = list_items(session, _payment_id_of(session, found))
    item = next((one for one in items if one.write_off_no == act.target), None)
    if item is None or wanted_fen is None:
        raise Invalid("say which bill, and how much goes back", code="break.no_target")
    wish = staff_refunds.Wish(
        item.payment_id, (item.account_id, item.bill_id), wanted_fen,
        item.amount_fen - item.returned_fen, RefundReason.OTHER, act.reason,
    )  # fmt: skip
    return staff_refunds.propose(
        session, wish, by=act.proposed_by, key=refund_key(act),
        approval_above_fen=approval_above_fen, now=now,
    )  # fmt: skip


def same_refund(
    session: Session, acts: Sequence[BreakAct], wish: BreakAct, wanted_fen: int | None
) -> BreakAct | None:
    """Return the act that asked for this refund already, as happens when a form is sent twice.

    Of another amount it is another refund, and so is one after a colleague's no.
    """
    wanted = (wish.act, wish.proposed_by, wish.target, wish.reason)
    for one in acts:
        if (one.act, one.proposed_by, one.target, one.reason) != wanted:
            continue
        refund = refund_of(session, one)
        stands = refund is not None and refund.status is not RefundStatus.DECLINED
        if refund is not None and stands and refund.item_fen == wanted_fen:
            return one
    return None


def refund_key(act: BreakAct) -> str:
    """Return the key under which an act's refund is proposed, and found again."""
    return f"difference {act.break_id} act {act.id}"


def refund_of(session: Session, act: BreakAct) -> Refund | None:
    """Return the refund an act has proposed."""
    wanted = select(Refund).where(
        Refund.proposed_by == act.proposed_by, Refund.idempotency_key == refund_key(act)
    )
    return session.exec(wanted).one_or_none()
