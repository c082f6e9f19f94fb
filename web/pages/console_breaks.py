"""The staff console: differences of all days, found, explained, decided by two, and undone."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid, NotFound
from identity.people import get_person
from payments.gateways import gateway_label
from payments.reconciliation import repair, workbench
from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak
from payments.reconciliation.repair import Shown
from payments.reconciliation.repair_many import accept_many
from payments.reconciliation.repair_models import Act
from payments.reconciliation.stories import payment_of, story_of
from payments.reconciliation.workbench import Age, Filter
from providers.registry import PROVIDERS
from web.access import Caller, Db, Staff
from web.api.breaks import limits
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages.break_words import refusal, remedy
from web.pages.file_views import provider_name
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/console")
Word = Annotated[str, Query(max_length=100, pattern=PLAIN)]
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Count = Annotated[int | None, Query(ge=0, le=1_000_000)]
_PROPOSED = "proposed"  # waits for a second person
_NO_STATE = {"any", _PROPOSED}  # none in the address means open
_CELLS = (
    "id", "leg", "source", "day", "kind", "row_kind", "reference", "their_ref", "ours_fen",
    "theirs_fen", "happened_at", "found_at", "due_at", "state", "closed_at", "owner_id",
)  # fmt: skip


E = TypeVar("E", bound=StrEnum)


class Decision(StrEnum):
    """What is decided about an act that stands."""

    APPROVE = "approval"
    DECLINE = "decline"
    UNDO = "undo"


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(
        self, leg: Word = "", source: Word = "", kind: Word = "", state: Word = "", mine: Word = "",
        age: Word = "",
    ) -> None:  # fmt: skip
        self.typed = {
            "leg": leg, "source": source, "kind": kind, "state": state, "mine": mine, "age": age,
        }  # fmt: skip
        self._filter = Filter(
            leg=_one_of(Leg, leg), source=source or None, kind=_one_of(BreakKind, kind),
            state=None if state in _NO_STATE else _one_of(BreakState, state) or BreakState.OPEN,
            age=_one_of(Age, age), proposed=state == _PROPOSED,
        )  # fmt: skip

    def by(self, caller: Caller) -> Filter:
        """Return the filter; "mine" depends on who asks."""
        return self._filter._replace(owner_id=caller.id if self.typed["mine"] else None)

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return urlencode({k: v for k, v in (self.typed | changes).items() if v not in {"", None}})


def _one_of(kind: type[E], word: str) -> E | None:
    if word and word not in {*kind}:
        raise Invalid("there is no such choice", code="request.malformed")
    return kind(word) if word else None


Wanted = Annotated[Asked, Depends(Asked)]


@router.get("/breaks")
def show_breaks(
    request: Request,
    db: Db,
    caller: Staff,
    asked: Wanted,
    after: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    resolved: Count = None,
    proposed: Count = None,
    left: Count = None,
) -> Response:
    done = {"resolved": resolved or 0, "proposed": proposed or 0, "left": left or 0}
    return _list_page(request, db, caller, asked, after=after, done=done)


@router.post("/breaks")
def accept(
    request: Request,
    db: Db,
    caller: Staff,
    asked: Wanted,
    csrf: Csrf,
    reason: Words,
    chosen: Annotated[list[str], Form(max_length=workbench.PAGE, default_factory=list)],
) -> Response:
    """Accept what was ticked, with one reason."""
    check_form(request, csrf)
    try:
        wanted = dict(_read_chosen(one) for one in chosen)
        if not wanted:
            raise Invalid("nothing was ticked", code="break.none_chosen")
        with transaction() as session:
            done = accept_many(
                session, wanted, reason=reason, by=caller.id, limits=limits(), now=utc_now()
            )
    except CityBillError as refused:
        return _list_page(request, db, caller, asked, refused=refused, chosen=chosen, reason=reason)
    return go(f"/console/breaks?{asked.query(**done._asdict())}")


def _list_page(
    request: Request,
    session: Session,
    caller: Caller,
    asked: Asked,
    *,
    after: int | None = None,
    done: dict[str, int] | None = None,
    refused: CityBillError | None = None,
    chosen: Sequence[str] = (),
    reason: str = "",
) -> Response:
    now, wanted = utc_now(), asked.by(caller)
    rows = workbench.find_breaks(session, wanted, now=now, after=after, limit=workbench.PAGE + 1)
    shown = rows[: workbench.PAGE]
    counted = workbench.count_open(session, wanted, now=now)
    return page(
        request,
        "console/breaks.html",
        status_code=status_of(refused) if refused else 200,
        rows=[_row(request, session, one, caller, now) for one in shown],
        waiting=workbench.proposed_among(session, [one.id for one in shown]),
        proposals=workbench.count_proposed(session),
        counted=counted,
        ages=[sum(getattr(one, age.value) for one in counted) for age in Age],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(rows) > workbench.PAGE else None,
        sources=[(one, _whose(request, one)) for one in workbench.list_sources(session)],
        done=done or {"resolved": 0, "proposed": 0, "left": 0},
        chosen=set(chosen),
        reason=reason,
        limits=limits(),
        error=refusal(locale_of(request), refused),
    )


def _row(
    request: Request, session: Session, found: ReconciliationBreak, caller: Caller, now: datetime
) -> dict[str, Any]:
    """Return a difference as the templates show it."""
    owner = None if found.owner_id is None else get_person(session, found.owner_id).name
    return {
        "one": found,
        "shown": _shown_text(found),
        "whose": _whose(request, found.source),
        "age_days": workbench.age_of(found, now=now),
        "owner": owner,
        "mine": found.owner_id == caller.id,
        "difference_fen": repair.difference_fen(found),
        "late": found.state is BreakState.OPEN and found.due_at < now,
    }


def _whose(request: Request, source: str) -> str:
    """Return the name of a company, a gateway, or an account at a bank."""
    if source in PROVIDERS:
        return provider_name(locale_of(request), source)
    return gateway_label(request.app.state.gateways, source)


def _shown_text(found: ReconciliationBreak) -> str:
    """Return a difference as a form sends it back: ``17:amount_differs:8650:``."""
    cells = (found.id, found.kind.value, found.ours_fen, found.theirs_fen)
    return ":".join("" if cell is None else str(cell) for cell in cells)


_SHOWN = re.compile(r"([0-9]{1,18}):([a-z_]{1,32}):(-?[0-9]{1,15})?:(-?[0-9]{1,15})?")


def _read_chosen(chosen: str) -> tuple[int, Shown]:
    match = _SHOWN.fullmatch(chosen)
    if match is None or match[2] not in {*BreakKind}:
        raise Invalid("the form is out of date: reload the page", code="break.changed")
    ours, theirs = (None if cell is None else int(cell) for cell in match.group(3, 4))
    return int(match[1]), Shown(BreakKind(match[2]), ours, theirs)


@router.get("/breaks.csv")
def export(caller: Staff, asked: Wanted) -> StreamingResponse:
    """Stream what is filtered as CSV that opens well in spreadsheets."""
    return StreamingResponse(
        _csv_lines(asked.by(caller), now=utc_now()),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="differences.csv"'},
    )


def _csv_lines(wanted: Filter, *, now: datetime) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(_CELLS)
    with transaction() as session:
        for found in workbench.every_break(session, wanted, now=now):
            writer.writerow([_plain(getattr(found, name)) for name in _CELLS])
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _plain(cell: object) -> str:
    """Return a cell; text that a spreadsheet would run as a formula is quoted for it."""
    said = "" if cell is None else str(cell)
    return f"'{said}" if isinstance(cell, str) and said[:1] in {*"=+-@\t\r"} else said


@router.get("/breaks/{break_id}")
def show_break(request: Request, break_id: Id, db: Db, caller: Staff) -> Response:
    return _break_page(request, db, break_id, caller)


@router.post("/breaks/{break_id}/act")
def act(
    request: Request,
    break_id: Id,
    db: Db,
    caller: Staff,
    csrf: Csrf,
    shown: Words,
    reason: Words,
    what: Annotated[str, Form(max_length=40, pattern=PLAIN, default_factory=str)],
) -> Response:
    check_form(request, csrf)

    def do(session: Session) -> None:
        if what not in {*Act}:
            raise Invalid("choose what to do", code="break.no_act")
        repair.resolve(
            session, break_id, Act(what), shown=_read_chosen(shown)[1], reason=reason,
            by=caller.id, limits=limits(), now=utc_now(),
        )  # fmt: skip

    return _do(request, db, break_id, caller, do, typed={"what": what, "reason": reason})


@router.post("/breaks/{break_id}/acts/{act_id}/{decision}")
def decide(
    request: Request,
    break_id: Id,
    act_id: Id,
    decision: Annotated[str, Path(max_length=20, pattern=r"^[a-z0-9]+$")],
    db: Db,
    caller: Staff,
    csrf: Csrf,
    reason: Words,
) -> Response:
    """Approve, decline or undo an act."""
    check_form(request, csrf)
    if decision not in {*Decision}:
        raise NotFound("there is no such decision")

    def do(session: Session) -> None:
        now = utc_now()
        match Decision(decision):
            case Decision.APPROVE:
                repair.approve(session, act_id, by=caller.id, now=now)
            case Decision.DECLINE:
                repair.decline(session, act_id, by=caller.id, now=now)
            case Decision.UNDO:
                repair.undo(session, act_id, reason=reason, by=caller.id, now=now)

    return _do(request, db, break_id, caller, do)


@router.post("/breaks/{break_id}/owner")
def own(
    request: Request, break_id: Id, db: Db, caller: Staff, csrf: Csrf, give_up: Words
) -> Response:
    """Take a difference, or let it go."""
    check_form(request, csrf)

    def do(session: Session) -> None:
        if give_up:
            workbench.release(session, break_id)
        else:
            workbench.take(session, break_id, by=caller.id)

    return _do(request, db, break_id, caller, do)


def _do(
    request: Request,
    db: Session,
    break_id: int,
    caller: Caller,
    act: Callable[[Session], None],
    *,
    typed: dict[str, str] | None = None,
) -> Response:
    """Do one thing to a difference, and show what came of it or why not."""
    try:
        with transaction() as session:
            act(session)
    except CityBillError as refused:
        return _break_page(request, db, break_id, caller, refused=refused, typed=typed)
    return go(f"/console/breaks/{break_id}")


def _break_page(
    request: Request,
    session: Session,
    break_id: int,
    caller: Caller,
    *,
    refused: CityBillError | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    """Show one difference: what it is, what may be done, and the life of what it is about."""
    found, now = repair.get_break(session, break_id), utc_now()
    standing = repair.live_act(session, break_id)
    proposer = None if standing is None else get_person(session, standing.proposed_by).name
    city = limits()
    return page(
        request,
        "console/break.html",
        status_code=status_of(refused) if refused else 200,
        **_row(request, session, found, caller, now),
        remedy=remedy(locale_of(request), found.kind),
        standing=standing,
        proposer=proposer,
        own=standing is not None and standing.proposed_by == caller.id,
        acts=repair.acts_for(found, city) if found.state is BreakState.OPEN else [],
        needs_two=repair.difference_fen(found) > city.approval_above_fen,
        story=story_of(session, found),
        payment_id=payment_of(session, found.reference),
        typed=typed or {"what": "", "reason": ""},
        error=refusal(locale_of(request), refused),
    )
