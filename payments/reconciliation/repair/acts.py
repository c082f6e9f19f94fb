"""What each act does when it is done, and what its counter-act takes back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, select

from billing.ledger import books, postings
from core import outbox
from core.db import HotStatement
from core.errors import AmountMismatch, Conflict, Invalid, NotFound
from core.money import yuan_text
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import PaymentItem, find_payment_by_order, list_items, lock_payment
from payments.reconciliation.bank import acts as bank_acts
from payments.reconciliation.bank.statements import lock_bank
from payments.reconciliation.gateway.leftovers import lock_leftovers, match_leftovers
from payments.reconciliation.models import Leg, ReconciliationBreak
from payments.reconciliation.repair import reversing
from payments.reconciliation.repair.models import Act, BreakAct
from payments.returns import staff_refunds, suspense
from payments.returns.models import Refund, RefundReason
from payments.states import PENDING, Outcome

_OF_THE_BANK = frozenset({Act.SUSPEND, Act.RETURN_MONEY, Act.WRITE_OFF_DIFFERENCE})
FAR_DAYS = 8  # a row is no payment of a day further away


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
            payment_id_of(session, found)
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
            _reroute(session, found, act, undone=False, now=now)
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
            _reroute(session, found, act, undone=True, now=now)
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


def payment_id_of(session: Session, found: ReconciliationBreak) -> int:
    """Return the payment a gateway's row is about.

    Raises:
        NotFound: it is none of ours.
    """
    if found.row_kind == "refund":
        refund = session.get(Refund, found.reference)
        if refund is not None:
            return refund.payment_id
    payment = find_payment_by_order(session, found.reference)
    if payment is None:
        raise NotFound("this order is none of ours: find out who paid", code="break.not_ours")
    return payment.id


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
        act.id, payment_id_of(session, found), found.source, more_fen, undone=undone
    )
    books.post(session, moves, now=now)


def _return_taken(session: Session, found: ReconciliationBreak, *, now: datetime) -> None:
    """Take a gateway's word that it has money of an order of ours, and have it sent back."""
    payment = lock_payment(session, payment_id_of(session, found))
    if payment.status in PENDING:
        raise Conflict(
            "this payment is under way: ask the gateway again, and its money is booked",
            code="break.pending",
        )
    reply = GatewayReply(
        status=GatewayStatus.PAID, amount_fen=found.theirs_fen, gateway_ref=found.their_ref,
        paid_at=found.happened_at,
    )  # fmt: skip
    suspense.suspend(session, payment.id, reply, reason="in its gateway's file only", now=now)


# A refund goes back the way its payment came: its row is of the same gateway.
_OURS = text("""
    SELECT l.source, l.ours_fen, p.id AS payment_id
    FROM settlement_left l
    LEFT JOIN payment p ON l.row_kind = 'payment' AND p.order_no = l.reference
    WHERE (l.row_kind, l.reference, l.verdict) = (:row_kind, :target, 'ours')
      AND l.day BETWEEN :day - :far AND :day + :far
      AND (l.row_kind = 'payment' OR l.source = :source)
      -- Another row of theirs is this already, as a person said: its money moves once.
      AND NOT EXISTS (
          SELECT FROM break_act a JOIN reconciliation_break b ON b.id = a.break_id
          WHERE (a.act, a.target, b.row_kind) = ('rematch', :target, :row_kind)
            AND a.done_at IS NOT NULL AND a.undone_at IS NULL AND a.break_id <> :break_id)
    ORDER BY l.day
""")


def check_target(session: Session, found: ReconciliationBreak, target: str | None) -> None:
    """See that what a row of theirs is said to be is ours, waits for a row, and is the same sum.

    Raises:
        Invalid: nothing is named.
        NotFound: no payment or refund of ours under that number waits for a row of these days.
        AmountMismatch: it is another sum.
    """
    if not target:
        raise Invalid("say which payment or refund it is", code="break.no_target")
    rows = _ours(session, found, target)
    if len(rows) != 1:
        raise NotFound(
            "none of ours under this number waits for a row of these days", code="break.no_target"
        )
    if rows[0].ours_fen != found.theirs_fen:
        raise AmountMismatch(
            f"ours is {yuan_text(rows[0].ours_fen)}, theirs {yuan_text(found.theirs_fen or 0)}:"
            " they are not the same money",
            code="break.other_sum",
        )


def _ours(session: Session, found: ReconciliationBreak, target: str) -> Sequence[Any]:
    values = {"row_kind": found.row_kind, "target": target, "day": found.day, "far": FAR_DAYS,
              "source": found.source, "break_id": found.id}  # fmt: skip
    return session.execute(_OURS, values).all()


def _reroute(
    session: Session, found: ReconciliationBreak, act: BreakAct, *, undone: bool, now: datetime
) -> None:
    """Move the money to the gateway that has it, if that is another one than we thought."""
    assert act.id is not None
    assert act.target is not None
    if undone:
        posted = session.execute(_REROUTED, {"key": f"rerouted:{act.id}", "target": act.target})
        way = posted.first()
    else:
        check_target(session, found, act.target)
        ours = _ours(session, found, act.target)[0]
        way = None if ours.source == found.source else ours
    if way is not None:
        moves = postings.rerouted(
            act.id, way.payment_id, way.source, found.source, act.theirs_fen or 0, undone=undone
        )
        books.post(session, moves, now=now)


_REROUTED = text("""
    SELECT t.subject_id AS payment_id, split_part(a.code, ':', 2) AS source
    FROM payment p
    JOIN ledger_transfer t ON (t.account_id, t.subject_id, t.entry_key) = (0, p.id, :key)
    JOIN ledger_account a ON a.id = t.credit_account_id
    WHERE p.order_no = :target
""")


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
    items = list_items(session, payment_id_of(session, found))
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


def same_refund(acts: Sequence[BreakAct], wish: BreakAct) -> BreakAct | None:
    """Return the act that asked for this refund already, as happens when a form is sent twice."""
    wanted = (wish.act, wish.proposed_by, wish.target, wish.reason)
    return next(
        (one for one in acts if (one.act, one.proposed_by, one.target, one.reason) == wanted), None
    )


def refund_key(act: BreakAct) -> str:
    """Return the key under which an act's refund is proposed, and found again."""
    return f"difference {act.break_id} act {act.id}"


def refund_of(session: Session, act: BreakAct) -> Refund | None:
    """Return the refund an act has proposed."""
    wanted = select(Refund).where(
        Refund.proposed_by == act.proposed_by, Refund.idempotency_key == refund_key(act)
    )
    return session.exec(wanted).one_or_none()
