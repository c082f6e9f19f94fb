"""Staff work through differences by API: list, resolve, approve, undo, take."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import NotFound
from core.settings import settings
from payments.reconciliation import repair, workbench
from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak
from payments.reconciliation.repair import Limits, Shown
from payments.reconciliation.repair_models import Act, ActState, BreakAct
from payments.reconciliation.workbench import Filter
from web.access import Db, Staff
from web.inputs import MAX_FEN, PLAIN, Day, Id

router = APIRouter(tags=["reconciliation"])
Whole = Annotated[int, Field(strict=True, ge=-MAX_FEN, le=MAX_FEN)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=PLAIN)]


class OpenBreakOut(BaseModel):
    """A difference; `kind`, `ours_fen` and `theirs_fen` come back with an act about it."""

    id: int
    leg: Leg
    source: str
    day: date
    kind: BreakKind
    row_kind: str
    reference: str
    their_ref: str | None
    ours_fen: int | None
    theirs_fen: int | None
    happened_at: datetime | None
    found_at: datetime
    due_at: datetime
    state: BreakState
    closed_at: datetime | None
    owner_id: int | None


class BreaksOut(BaseModel):
    breaks: list[OpenBreakOut]
    next_cursor: int | None


class ActIn(BaseModel):
    act: Act
    reason: Reason
    kind: BreakKind
    ours_fen: Whole | None
    theirs_fen: Whole | None


class DecisionIn(BaseModel):
    approve: bool


class UndoIn(BaseModel):
    reason: Reason


class ActOut(BaseModel):
    """An act; `proposed` waits for a colleague's approval."""

    id: int
    act: Act
    state: ActState
    reason: str
    amount_fen: int
    needs_two: bool
    break_state: BreakState


def limits() -> Limits:
    """Return what the city allows."""
    city = settings()
    return Limits(city.break_approval_above_fen, city.break_tolerance_fen)


@router.get("/breaks")
def list_breaks(
    db: Db,
    _caller: Staff,
    leg: Leg | None = None,
    source: Annotated[str | None, Query(max_length=100, pattern=PLAIN)] = None,
    kind: BreakKind | None = None,
    state: BreakState | None = None,
    owner: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    cursor: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
) -> BreaksOut:
    """Return differences of all days, the longest due first."""
    wanted = Filter(leg=leg, source=source, kind=kind, state=state, owner_id=owner)
    now, limit = utc_now(), workbench.PAGE
    found = workbench.find_breaks(db, wanted, now=now, after=cursor, limit=limit)
    return BreaksOut(
        breaks=[OpenBreakOut.model_validate(one, from_attributes=True) for one in found],
        next_cursor=found[-1].id if len(found) == limit else None,
    )


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/resolution", status_code=201)
def resolve(source: str, day: Day, break_id: Id, body: ActIn, caller: Staff) -> ActOut:
    """Do an act about a difference; above the city's threshold it is only proposed.

    `kind`, `ours_fen` and `theirs_fen` must be those of the difference, else 409. The same body
    sent again by the same person changes nothing. `accept` and `write_off_difference` resolve it;
    `query_again` and `resend_write_off` ask somebody, and a later run explains it.
    """
    with transaction() as session:
        _of(session, source, day, break_id)
        act = repair.resolve(
            session, break_id, body.act,
            shown=Shown(body.kind, body.ours_fen, body.theirs_fen), reason=body.reason,
            by=caller.id, limits=limits(), now=utc_now(),
        )  # fmt: skip
        return _out(session, act)


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/approval")
def decide(source: str, day: Day, break_id: Id, body: DecisionIn, caller: Staff) -> ActOut:
    """Approve what a colleague proposed, or decline it; one's own can only be withdrawn."""
    act_on = repair.approve if body.approve else repair.decline
    with transaction() as session:
        _of(session, source, day, break_id)
        act = act_on(session, _standing(session, break_id), by=caller.id, now=utc_now())
        return _out(session, act)


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/undo", status_code=201)
def undo(source: str, day: Day, break_id: Id, body: UndoIn, caller: Staff) -> ActOut:
    """Take a resolution back by a counter-act: the difference is open again, as old as it was."""
    with transaction() as session:
        _of(session, source, day, break_id)
        standing = _standing(session, break_id)
        act = repair.undo(session, standing, reason=body.reason, by=caller.id, now=utc_now())
        return _out(session, act)


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/owner", status_code=204)
def take(source: str, day: Day, break_id: Id, caller: Staff) -> Response:
    """Make a difference one's own to explain."""
    with transaction() as session:
        _of(session, source, day, break_id)
        workbench.take(session, break_id, by=caller.id)
    return Response(status_code=204)


@router.delete("/reconciliations/{source}/{day}/breaks/{break_id}/owner", status_code=204)
def release(source: str, day: Day, break_id: Id, _caller: Staff) -> Response:
    """Make a difference nobody's again."""
    with transaction() as session:
        _of(session, source, day, break_id)
        workbench.release(session, break_id)
    return Response(status_code=204)


def _of(session: Session, source: str, day: date, break_id: int) -> ReconciliationBreak:
    found = repair.get_break(session, break_id)
    if (found.source, found.day) != (source, day):
        raise NotFound("there is no such difference")
    return found


def _standing(session: Session, break_id: int) -> int:
    act = repair.live_act(session, break_id)
    if act is None or act.id is None:
        raise NotFound("no act stands about this difference", code="break.no_act")
    return act.id


def _out(session: Session, act: BreakAct) -> ActOut:
    assert act.id is not None
    return ActOut(
        id=act.id, act=act.act, state=act.state, reason=act.reason, amount_fen=act.amount_fen,
        needs_two=act.needs_two, break_state=repair.get_break(session, act.break_id).state,
    )  # fmt: skip
