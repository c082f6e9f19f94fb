"""What people do about differences: named acts, each with a reason, each undone by a counter-act.

A closing act resolves its difference; over a threshold it is only proposed, and a colleague
approves it. An asking act leaves the difference open: a later run explains it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from billing import ledger, postings
from core import outbox
from core.db import HotStatement
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from payments.models import PaymentItem, find_payment_by_order
from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak
from payments.reconciliation.repair_models import CLOSING, Act, ActState, BreakAct
from payments.returns.models import Refund
from payments.states import Outcome

_K = BreakKind
# Which acts can help with what; of differences with gateways alone but for the first and the last.
HELPS: Mapping[Act, frozenset[BreakKind]] = {
    Act.ACCEPT: frozenset(BreakKind),
    Act.WRITE_OFF_DIFFERENCE: frozenset({_K.AMOUNT_DIFFERS}),
    Act.QUERY_AGAIN: frozenset(
        {_K.MISSING_HERE, _K.MISSING_AT_GATEWAY, _K.AMOUNT_DIFFERS, _K.DUPLICATE}
    ),
    Act.RESEND_WRITE_OFF: frozenset({_K.PAID_NOT_WRITTEN_OFF}),
}
_OF_GATEWAYS = frozenset({Act.WRITE_OFF_DIFFERENCE, Act.QUERY_AGAIN})


class Shown(NamedTuple):
    """A difference as somebody saw it: an act about another one is refused."""

    kind: BreakKind
    ours_fen: int | None
    theirs_fen: int | None


class Limits(NamedTuple):
    """What the city allows; above the first a second person approves."""

    approval_above_fen: int
    tolerance_fen: int  # the largest difference that is written off


def as_shown(found: ReconciliationBreak | BreakAct) -> Shown:
    """Return what is shown of a difference and sent back with an act about it."""
    return Shown(found.kind, found.ours_fen, found.theirs_fen)


def difference_fen(found: ReconciliationBreak | BreakAct | Shown) -> int:
    """Return by how much the two sides differ, never below zero."""
    return abs((found.ours_fen or 0) - (found.theirs_fen or 0))


def acts_for(found: ReconciliationBreak, limits: Limits) -> list[Act]:
    """Return which acts can help with a difference, the plainest first."""
    return [act for act in HELPS if _why_no_help(found, act, limits) is None]


def _why_no_help(found: ReconciliationBreak, act: Act, limits: Limits) -> CityBillError | None:
    with_gateway = found.leg is Leg.GATEWAY or act not in _OF_GATEWAYS
    asks_order = act is not Act.QUERY_AGAIN or found.row_kind == "payment"
    if act not in HELPS or found.kind not in HELPS[act] or not (with_gateway and asks_order):
        return Invalid("this act does not help with this difference", code="break.wrong_act")
    if act is Act.WRITE_OFF_DIFFERENCE and difference_fen(found) > limits.tolerance_fen:
        return Invalid(
            "this difference is too large to be written off: find out where it comes from",
            code="break.above_tolerance",
        )
    return None


def get_break(session: Session, break_id: int) -> ReconciliationBreak:
    """Return a difference.

    Raises:
        NotFound: there is none of that id.
    """
    found = session.get(ReconciliationBreak, break_id, populate_existing=True)
    if found is None:
        raise NotFound("there is no such difference")
    return found


def lock_break(session: Session, break_id: int) -> ReconciliationBreak:
    """Return a difference, locked until the transaction ends.

    Raises:
        NotFound: there is none of that id.
    """
    wanted = select(ReconciliationBreak).where(ReconciliationBreak.id == break_id)
    found = session.exec(
        wanted.with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFound("there is no such difference")
    return found


def list_acts(session: Session, break_id: int) -> list[BreakAct]:
    """Return what people did about a difference, in order."""
    of_it = select(BreakAct).where(BreakAct.break_id == break_id).order_by(col(BreakAct.id))
    return list(session.exec(of_it.execution_options(populate_existing=True)))


def live_act(session: Session, break_id: int) -> BreakAct | None:
    """Return the act that resolves a difference, or would once it is approved."""
    return next(
        (
            one for one in list_acts(session, break_id)
            if one.act in CLOSING and one.state in {ActState.PROPOSED, ActState.DONE}
        ),
        None,
    )  # fmt: skip


def resolve(
    session: Session,
    break_id: int,
    act: Act,
    *,
    shown: Shown,
    reason: str,
    by: int,
    limits: Limits,
    now: datetime,
) -> BreakAct:
    """Do an act about an open difference; a closing one over the threshold is only proposed.

    The same act by the same person for the same reason changes nothing while it stands.

    Raises:
        NotFound: no such difference, or nothing of ours it is about.
        Invalid: no reason, an act that does not help here, or too much to be written off.
        Conflict: it is resolved or explained, waits for approval, or is another than was shown.
    """
    check_reason(reason)
    found = lock_break(session, break_id)
    standing = live_act(session, break_id)
    if standing is not None and _is_same(found, standing, act, shown, reason, by):
        return standing
    _check_open(found, standing, shown)
    refused = _why_no_help(found, act, limits)
    if refused is not None:
        raise refused
    if standing is not None:  # it resolved another difference, which a run found changed
        _undo(session, standing, by=by, reason=reason, now=now)
    amount_fen = difference_fen(found)
    needs_two = act in CLOSING and amount_fen > limits.approval_above_fen
    made = BreakAct(
        break_id=break_id, act=act, reason=reason.strip(), amount_fen=amount_fen,
        **shown._asdict(), needs_two=needs_two, proposed_by=by, proposed_at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    if not needs_two:
        _do(session, found, made, now=now)
    return made


def _is_same(
    found: ReconciliationBreak, standing: BreakAct, act: Act, shown: Shown, reason: str, by: int
) -> bool:
    """Tell whether an act that stands is asked for again, as happens when a form is sent twice."""
    stands = standing.state is ActState.PROPOSED or found.state is BreakState.RESOLVED
    said = (standing.act, as_shown(standing), standing.reason, standing.proposed_by)
    return stands and said == (act, shown, reason.strip(), by)


def check_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid("say why: whoever looks later knows it by this alone", code="break.reason")


def _check_open(found: ReconciliationBreak, standing: BreakAct | None, shown: Shown) -> None:
    if found.state is BreakState.RESOLVED:
        raise Conflict("this difference is resolved already: look again", code="break.resolved")
    if found.state is BreakState.EXPLAINED:
        raise Conflict("a later run has explained this difference", code="break.explained")
    if as_shown(found) != shown:
        raise Conflict(
            "this difference has changed since it was shown: look again", code="break.changed"
        )
    if standing is not None and standing.state is ActState.PROPOSED:
        raise Conflict("an act about it waits for approval: decide that first",
                       code="break.proposed")  # fmt: skip


def _do(session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime) -> None:
    """Do what an act says; the difference is locked and as the act has it."""
    assert found.id is not None
    act.done_at = now
    session.flush()
    match act.act:
        case Act.QUERY_AGAIN:
            _payment_id(session, found)
            outbox.emit(session, "break.questioned", str(act.id), now=now)
        case Act.RESEND_WRITE_OFF:
            _send_again(session, found, now=now)
        case Act.WRITE_OFF_DIFFERENCE:
            _post(session, found, act, undone=False, now=now)
            close(session, [found.id], now=now)
        case _:
            close(session, [found.id], now=now)
    session.refresh(found)


_CLOSE = HotStatement("""
    UPDATE reconciliation_break SET state = 'resolved', closed_at = :now
    WHERE id = ANY(:ids) AND state = 'open' RETURNING id
""")


def close(session: Session, break_ids: Sequence[int], *, now: datetime) -> None:
    """Resolve differences that are locked and open; the only writer of that state."""
    closed = _CLOSE.rows(session, {"ids": list(break_ids), "now": now})
    assert len(closed) == len(break_ids), break_ids


def _payment_id(session: Session, found: ReconciliationBreak) -> int:
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
        act.id, _payment_id(session, found), found.source, more_fen, undone=undone
    )
    ledger.post(session, moves, now=now)


def approve(session: Session, act_id: int, *, by: int, now: datetime) -> BreakAct:
    """Let a proposed act be done; the same person again changes nothing.

    Raises:
        NotFound: no such act.
        NotAllowed: who proposed it cannot approve it.
        Conflict: it is decided, or the difference is closed or another by now.
    """
    found, act = _lock_act(session, act_id)
    if act.approved_by == by:
        return act
    _check_proposed(act)
    if act.proposed_by == by:
        raise NotAllowed(
            "who proposes an act cannot approve it: ask a colleague", code="break.same_person"
        )
    _check_open(found, None, as_shown(act))
    act.approved_by, act.approved_at = by, now
    _do(session, found, act, now=now)
    return act


def decline(session: Session, act_id: int, *, by: int, now: datetime) -> BreakAct:
    """Say no to a proposed act; by who proposed it that withdraws it. Again changes nothing.

    Raises:
        NotFound: no such act.
        Conflict: it is decided already.
    """
    _, act = _lock_act(session, act_id)
    if act.declined_by == by:
        return act
    _check_proposed(act)
    act.declined_by, act.declined_at = by, now
    session.flush()
    return act


def undo(session: Session, act_id: int, *, reason: str, by: int, now: datetime) -> BreakAct:
    """Take a closing act back by a counter-act: the difference is open again, as old as it was.

    Raises:
        NotFound: no such act.
        Invalid: no reason.
        Conflict: it is not done, was undone, or only asked somebody.
    """
    check_reason(reason)
    _, act = _lock_act(session, act_id)
    if act.act not in CLOSING or act.state is not ActState.DONE:
        raise Conflict("there is nothing to undo: look again", code="break.nothing_to_undo")
    return _undo(session, act, by=by, reason=reason, now=now)


_REOPEN = HotStatement("""
    UPDATE reconciliation_break SET state = 'open', closed_at = NULL
    WHERE id = :id AND state = 'resolved' RETURNING id
""")


def _undo(session: Session, act: BreakAct, *, by: int, reason: str, now: datetime) -> BreakAct:
    counter = BreakAct(
        break_id=act.break_id, act=Act.UNDO, reason=reason.strip(), amount_fen=act.amount_fen,
        **as_shown(act)._asdict(), proposed_by=by, proposed_at=now, done_at=now, undoes_id=act.id,
    )  # fmt: skip
    act.undone_by, act.undone_at = by, now
    session.add(counter)
    session.flush()
    found = get_break(session, act.break_id)
    if act.act is Act.WRITE_OFF_DIFFERENCE:
        _post(session, found, act, undone=True, now=now)
    _REOPEN.rows(session, {"id": act.break_id})
    session.refresh(found)
    return counter


def _lock_act(session: Session, act_id: int) -> tuple[ReconciliationBreak, BreakAct]:
    """Return an act and its difference, locked: first the difference, as everybody does."""
    act = session.get(BreakAct, act_id)
    if act is None:
        raise NotFound("there is no such act")
    found = lock_break(session, act.break_id)
    session.refresh(act, with_for_update=True)
    return found, act


def _check_proposed(act: BreakAct) -> None:
    if act.state is not ActState.PROPOSED:
        raise Conflict("this act is decided already: look again", code="break.decided")
