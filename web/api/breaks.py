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
from payments.reconciliation.bank import acts as bank_acts
from payments.reconciliation.gateway import leftovers
from payments.reconciliation.models import (
    BreakKind,
    BreakState,
    FoundBy,
    Leg,
    ReconciliationBreak,
)
from payments.reconciliation.repair import acts as repair_acts
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import workbench
from payments.reconciliation.repair.deciding import Limits, Shown
from payments.reconciliation.repair.models import Act, ActState, BreakAct
from payments.reconciliation.repair.workbench import Filter
from providers.clients.loading import taking_back
from web.access import Db, Finance
from web.inputs import MAX_FEN, PLAIN, Day, Id, Named

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
    elsewhere: str | None
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
    target: Annotated[str, Field(max_length=100, pattern=PLAIN)] = ""
    amount_fen: Annotated[int, Field(strict=True, ge=1, le=MAX_FEN)] | None = None


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
    target: str | None
    refund_no: str | None
    return_no: str | None
    break_state: BreakState


class MatchOut(BaseModel):
    """A match that was not made by our number of the same day; `parts` names both sides."""

    id: int
    source: str
    parts: str
    found_by: FoundBy
    first_on: date
    amount_fen: int
    made_at: datetime


class OwnerIn(BaseModel):
    person_id: Annotated[int, Field(strict=True, ge=1, lt=1 << 63)]


def limits() -> Limits:
    """Return what the city allows."""
    city = settings()
    return Limits(
        city.break_approval_above_fen, city.break_tolerance_fen,
        refund_approval_above_fen=city.refund_approval_above_fen,
        taking_back=taking_back(city.utilities),
    )  # fmt: skip


@router.get("/breaks")
def list_breaks(
    db: Db,
    _caller: Finance,
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
def resolve(source: str, day: Day, break_id: Id, body: ActIn, caller: Finance) -> ActOut:
    """Do an act about a difference; above the city's threshold it is only proposed.

    `kind`, `ours_fen` and `theirs_fen` must be those of the difference, else 409. The same body
    sent again by the same person changes nothing. `accept`, `write_off_difference`, `rematch`,
    `suspend` and `return_money` resolve it; `query_again`, `resend_write_off`, `refund` and
    `reverse_write_off`, which always needs a colleague, ask somebody.
    `rematch` takes the number of our payment or refund as `target`; about a payment of ours, the
    name of what settled it: `alipay 2026-11-20 X1`, a gateway, its day and reference, or
    `account-1 2026-11-20 E7`, an account of ours, the day and the bank's number. `refund` takes
    the number of a write-off, and `amount_fen`.
    """
    with transaction() as session:
        _of(session, source, day, break_id)
        act = repair.resolve(
            session, break_id, body.act,
            shown=Shown(body.kind, body.ours_fen, body.theirs_fen), reason=body.reason,
            by=caller.id, limits=limits(), target=body.target, wanted_fen=body.amount_fen,
            now=utc_now(),
        )  # fmt: skip
        return _out(session, act)


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/approval")
def decide(source: str, day: Day, break_id: Id, body: DecisionIn, caller: Finance) -> ActOut:
    """Approve what a colleague proposed, or decline it; one's own can only be withdrawn."""
    act_on = repair.approve if body.approve else repair.decline
    with transaction() as session:
        _of(session, source, day, break_id)
        act = act_on(session, _standing(session, break_id), by=caller.id, now=utc_now())
        return _out(session, act)


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/undo", status_code=201)
def undo(source: str, day: Day, break_id: Id, body: UndoIn, caller: Finance) -> ActOut:
    """Take a resolution back by a counter-act: the difference is open again, as old as it was."""
    with transaction() as session:
        _of(session, source, day, break_id)
        standing = _standing(session, break_id)
        act = repair.undo(session, standing, reason=body.reason, by=caller.id, now=utc_now())
        return _out(session, act)


@router.post("/reconciliations/{source}/{day}/breaks/{break_id}/owner", status_code=204)
def take(source: str, day: Day, break_id: Id, caller: Finance) -> Response:
    """Make a difference one's own to explain."""
    with transaction() as session:
        _of(session, source, day, break_id)
        workbench.take(session, break_id, by=caller.id)
    return Response(status_code=204)


@router.put("/reconciliations/{source}/{day}/breaks/{break_id}/owner", status_code=204)
def assign(source: str, day: Day, break_id: Id, body: OwnerIn, _caller: Finance) -> Response:
    """Make a difference a colleague's to explain, whoever had it."""
    with transaction() as session:
        _of(session, source, day, break_id)
        workbench.assign(session, break_id, body.person_id)
    return Response(status_code=204)


@router.get("/reconciliations/{source}/{day}/matches")
def list_matches(db: Db, source: Named, day: Day, _caller: Finance) -> list[MatchOut]:
    """Return what of a gateway's day was matched otherwise than by our number of that day."""
    found = leftovers.list_matches(db, source, day)
    return [MatchOut.model_validate(one, from_attributes=True) for one in found]


@router.post("/reconciliations/{source}/{day}/matches/{match_id}/undo", status_code=204)
def undo_match(source: Named, day: Day, match_id: Id, body: UndoIn, caller: Finance) -> Response:
    """Say that a match is wrong: both sides are differences again, and no run makes it anew."""
    with transaction() as session:
        if match_id not in {one.id for one in leftovers.list_matches(session, source, day)}:
            raise NotFound("there is no such match")
        leftovers.undo_match(session, match_id, by=caller.id, reason=body.reason, now=utc_now())
    return Response(status_code=204)


@router.delete("/reconciliations/{source}/{day}/breaks/{break_id}/owner", status_code=204)
def release(source: str, day: Day, break_id: Id, _caller: Finance) -> Response:
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
    refund, held = repair_acts.refund_of(session, act), bank_acts.find_suspense(session, act.id)
    return ActOut(
        id=act.id, act=act.act, state=act.state, reason=act.reason, amount_fen=act.amount_fen,
        needs_two=act.needs_two, target=act.target,
        refund_no=None if refund is None else refund.refund_no,
        return_no=bank_acts.return_no(held) if held and act.act is Act.RETURN_MONEY else None,
        break_state=repair.get_break(session, act.break_id).state,
    )  # fmt: skip
