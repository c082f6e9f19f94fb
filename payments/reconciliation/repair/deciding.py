"""What people do about differences: named acts, each with a reason, each undone by a counter-act.

A closing act resolves its difference; over a threshold it is only proposed, and a colleague
approves it. An asking act leaves the difference open: a later run explains it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from payments.reconciliation.bank.models import DueKind
from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak
from payments.reconciliation.repair import acts as repair_acts
from payments.reconciliation.repair import joining, reversing
from payments.reconciliation.repair.models import BY_TWO, CLOSING, Act, ActState, BreakAct
from payments.reconciliation.source_terms import AGREED, Sources

_K = BreakKind
# Which acts can help with what, on which leg; where several can, the first is suggested.
HELPS: Mapping[Act, frozenset[BreakKind]] = {
    Act.REMATCH: frozenset({
        _K.OTHER_ROUTE, _K.REFUND_UNMATCHED, _K.MISSING_HERE, _K.MISSING_AT_GATEWAY,
    }),
    Act.SUSPEND: frozenset({_K.UNKNOWN_CREDIT}),
    Act.WRITE_OFF_DIFFERENCE: frozenset({_K.AMOUNT_DIFFERS}),
    Act.QUERY_AGAIN: frozenset({
        _K.MISSING_HERE, _K.MISSING_AT_GATEWAY, _K.AMOUNT_DIFFERS, _K.DUPLICATE, _K.LATE,
        _K.OTHER_ROUTE, _K.REFUND_UNMATCHED,
    }),
    Act.RESEND_WRITE_OFF: frozenset({_K.PAID_NOT_WRITTEN_OFF}),
    Act.REVERSE_WRITE_OFF: frozenset({_K.WRITTEN_OFF_UNPAID}),
    Act.REFUND: frozenset({_K.DUPLICATE, _K.AMOUNT_DIFFERS, _K.OTHER_ROUTE}),
    Act.RETURN_MONEY: frozenset({_K.UNKNOWN_CREDIT, _K.MISSING_HERE}),
    Act.ACCEPT: frozenset(BreakKind),
}  # fmt: skip
_GATEWAY, _BANK = frozenset({Leg.GATEWAY}), frozenset({Leg.BANK})
_LEGS: Mapping[Act, frozenset[Leg]] = {
    Act.REMATCH: _GATEWAY, Act.QUERY_AGAIN: _GATEWAY, Act.REFUND: _GATEWAY, Act.SUSPEND: _BANK,
    Act.WRITE_OFF_DIFFERENCE: _GATEWAY | _BANK, Act.RETURN_MONEY: _GATEWAY | _BANK,
}  # fmt: skip
_OF_PAYMENTS = frozenset({Act.QUERY_AGAIN, Act.REFUND, Act.RETURN_MONEY})
_OF_REFUNDS = frozenset({Act.QUERY_AGAIN})  # it may have come back, and nobody told us
_OF_SUMS = frozenset({DueKind.NET, DueKind.PAYOUT})  # what a bank's difference is written off of
# Wherever it stands in ``HELPS``, for these it is better to ask first, or to wait.
_ASK_FIRST = frozenset({_K.MISSING_HERE, _K.MISSING_AT_GATEWAY, _K.REFUND_UNMATCHED})


class Shown(NamedTuple):
    """A difference as somebody saw it: an act about another one is refused."""

    kind: BreakKind
    ours_fen: int | None
    theirs_fen: int | None


class Limits(NamedTuple):
    """What the city allows; above the first a second person approves."""

    approval_above_fen: int
    tolerance_fen: int  # the largest difference that is written off; of a source, if its is larger
    sources: Sources = AGREED
    refund_approval_above_fen: int = 0
    taking_back: frozenset[str] = frozenset()  # companies that can be asked to

    def tolerance_of(self, source: str) -> int:
        terms = self.sources.get(source)
        return max(self.tolerance_fen, terms.tolerance_fen if terms else 0)


def as_shown(found: ReconciliationBreak | BreakAct) -> Shown:
    """Return what is shown of a difference and sent back with an act about it."""
    return Shown(found.kind, found.ours_fen, found.theirs_fen)


def difference_fen(found: ReconciliationBreak | BreakAct | Shown) -> int:
    """Return by how much the two sides differ, never below zero."""
    return abs((found.ours_fen or 0) - (found.theirs_fen or 0))


def acts_for(found: ReconciliationBreak, limits: Limits, *, is_ours: bool = True) -> list[Act]:
    """Return which acts can help with a difference, the one that is suggested first.

    Args:
        is_ours: a gateway's row is about a payment of ours.
    """
    acts = [act for act in HELPS if _why_no_help(found, act, limits) is None]
    if found.leg is Leg.GATEWAY and not is_ours:
        acts = [act for act in acts if act not in _OF_PAYMENTS]
    first = Act.QUERY_AGAIN if found.kind in _ASK_FIRST else None
    return sorted(acts, key=lambda act: act is not first)


def _why_no_help(found: ReconciliationBreak, act: Act, limits: Limits) -> CityBillError | None:
    fits = act in HELPS and found.kind in HELPS[act] and found.leg in _LEGS.get(act, {*Leg})
    if found.leg is Leg.GATEWAY and act in _OF_PAYMENTS:
        asked = act in _OF_REFUNDS and found.row_kind == "refund"
        fits = fits and (found.row_kind == "payment" or asked)
    if found.leg is Leg.BANK and act is Act.WRITE_OFF_DIFFERENCE:
        fits = fits and found.row_kind in _OF_SUMS
    if act is Act.REMATCH:
        fits = fits and (found.ours_fen is None or found.row_kind == "payment")
    if act is Act.REVERSE_WRITE_OFF:
        fits = fits and found.source in limits.taking_back
    if not fits:
        return Invalid("this act does not help with this difference", code="break.wrong_act")
    too_much = difference_fen(found) > limits.tolerance_of(found.source)
    if act is Act.WRITE_OFF_DIFFERENCE and too_much:
        return Invalid(
            "this difference is too large to be written off: find out where it comes from",
            code="break.above_tolerance",
        )
    return None


def is_listed_after_all(found: ReconciliationBreak, standing: BreakAct | None) -> bool:
    """Tell whether a gateway lists a payment that a person matched with something else.

    Nothing else is done about it until that match is undone.
    """
    return (
        found.kind is BreakKind.DUPLICATE and standing is not None
        and (standing.act, standing.state) == (Act.REMATCH, ActState.DONE)
    )  # fmt: skip


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
    """Return the act that resolves a difference, or one that waits for a second person."""
    return next((one for one in list_acts(session, break_id) if _is_live(one)), None)


def _is_live(act: BreakAct) -> bool:
    if act.act in BY_TWO:
        return act.state is ActState.PROPOSED
    return act.act in CLOSING and act.state in {ActState.PROPOSED, ActState.DONE}


def resolve(
    session: Session,
    break_id: int,
    act: Act,
    *,
    shown: Shown,
    reason: str,
    by: int,
    limits: Limits,
    target: str = "",
    wanted_fen: int | None = None,
    now: datetime,
) -> BreakAct:
    """Do an act about an open difference; a closing one over the threshold is only proposed.

    The same act by the same person for the same reason changes nothing while it stands.

    Args:
        target: of ``rematch`` the other side's number or name, of ``refund`` a write-off's number.
        wanted_fen: of ``refund``, how much goes back.

    Raises:
        NotFound: no such difference, or nothing of ours or theirs it is about.
        Invalid: no reason, an act that does not help here, or too much to be written off.
        AmountMismatch: what it is matched with is another sum.
        Conflict: it is resolved or explained, waits for approval, or is another than was shown.
    """
    check_reason(reason)
    _lock_rooms(session, break_id, act)
    found = lock_break(session, break_id)
    standing = live_act(session, break_id)
    if standing is not None and _is_same(found, standing, act, shown, reason, by):
        return standing
    _check_open(found, standing, shown)
    refused = _why_no_help(found, act, limits)
    if refused is not None:
        raise refused
    wish = BreakAct(
        break_id=break_id, act=act, reason=reason.strip(), amount_fen=difference_fen(found),
        **shown._asdict(), target=target.strip() or None, proposed_by=by, proposed_at=now,
        needs_two=_needs_two(found, act, limits),
    )  # fmt: skip
    if act is Act.REMATCH:
        joining.check_target(session, found, wish.target)
    if act is Act.REVERSE_WRITE_OFF:
        reversing.check(session, found)
        _check_not_asked(list_acts(session, break_id))
    if standing is not None:  # it resolved another difference, which a run found changed
        _undo(session, standing, by=by, reason=reason, now=now)
    return _enter(session, found, wish, wanted_fen=wanted_fen, limits=limits, now=now)


def _needs_two(found: ReconciliationBreak, act: Act, limits: Limits) -> bool:
    much = difference_fen(found) > limits.approval_above_fen
    return act in BY_TWO or (act in CLOSING and much)


def _check_not_asked(acts: Sequence[BreakAct]) -> None:
    """Refuse to ask a company for something while it has not answered the last time."""
    for one in acts:
        if one.act in BY_TWO and one.state is ActState.DONE and one.answered_at is None:
            raise Conflict(
                "the company has been asked and has not answered yet", code="break.asked"
            )


def _lock_rooms(session: Session, break_id: int, act: Act) -> None:
    standing = live_act(session, break_id)
    repair_acts.lock_room(session, act, *([standing.act] if standing else []))


def _enter(
    session: Session, found: ReconciliationBreak, wish: BreakAct, *, wanted_fen: int | None,
    limits: Limits, now: datetime,
) -> BreakAct:  # fmt: skip
    """Keep an act, and do it unless a second person approves it first."""
    if wish.act is Act.REFUND:
        acts = list_acts(session, wish.break_id)
        before = repair_acts.same_refund(session, acts, wish, wanted_fen)
        if before is not None:
            return before
    session.add(wish)
    session.flush()
    if wish.act is Act.REFUND:
        repair_acts.propose_refund(
            session, found, wish, wanted_fen=wanted_fen,
            approval_above_fen=limits.refund_approval_above_fen, now=now,
        )  # fmt: skip
    if not wish.needs_two:
        repair_acts.do(session, found, wish, now=now)
    return wish


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
    if is_listed_after_all(found, standing):
        raise Conflict(
            "it is matched with something else, and its gateway lists it: undo that match first",
            code="break.listed_after_all",
        )


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
    repair_acts.do(session, found, act, now=now)
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
        Conflict: it is not done, was undone, only asked somebody, or the money has gone.
    """
    check_reason(reason)
    _, act = _lock_act(session, act_id)
    if act.act not in CLOSING or act.state is not ActState.DONE:
        raise Conflict("there is nothing to undo: look again", code="break.nothing_to_undo")
    return _undo(session, act, by=by, reason=reason, now=now)


def _undo(session: Session, act: BreakAct, *, by: int, reason: str, now: datetime) -> BreakAct:
    counter = BreakAct(
        break_id=act.break_id, act=Act.UNDO, reason=reason.strip(), amount_fen=act.amount_fen,
        **as_shown(act)._asdict(), proposed_by=by, proposed_at=now, done_at=now, undoes_id=act.id,
    )  # fmt: skip
    act.undone_by, act.undone_at = by, now
    session.add(counter)
    session.flush()
    found = get_break(session, act.break_id)
    repair_acts.undo(session, found, act, now=now)
    return counter


def _lock_act(session: Session, act_id: int) -> tuple[ReconciliationBreak, BreakAct]:
    """Return an act and its difference, locked: first the difference, as everybody does."""
    act = session.get(BreakAct, act_id)
    if act is None:
        raise NotFound("there is no such act")
    repair_acts.lock_room(session, act.act)
    found = lock_break(session, act.break_id)
    session.refresh(act, with_for_update=True)
    return found, act


def _check_proposed(act: BreakAct) -> None:
    if act.state is not ActState.PROPOSED:
        raise Conflict("this act is decided already: look again", code="break.decided")
