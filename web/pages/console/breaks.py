"""The staff console: differences of all days, found, and many of them worked on at once."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session, select

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from core.masking import mask_no
from identity import audit, colleagues
from identity.duties import Duty
from identity.people import get_person
from payments.reconciliation.bank.models import BankAccount
from payments.reconciliation.models import BreakKind, BreakState, Leg, ReconciliationBreak
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import workbench
from payments.reconciliation.repair.deciding import Shown
from payments.reconciliation.repair.many import accept_many, ask_many, own_many
from payments.reconciliation.repair.models import Act
from payments.reconciliation.repair.workbench import Age, Filter
from web import look
from web.access import Caller, Db, Finance
from web.api.breaks import limits
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf
from web.pages.filters import After, FileKind, Word, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import source_name
from web.pages.words.breaks import columns, kind_name, refusal, state_name

router = APIRouter(prefix="/console")
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Choice = Annotated[str, Form(max_length=40, pattern=PLAIN, default_factory=str)]
Count = Annotated[int | None, Query(ge=0, le=1_000_000)]
_PROPOSED = "proposed"  # waits for a second person
_NO_STATE = {"any", _PROPOSED}  # none in the address means open
MANY = (Act.ACCEPT, Act.QUERY_AGAIN, Act.RESEND_WRITE_OFF)
_OWN = "own"
_COLLEAGUES = 200


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
            leg=one_of(Leg, leg), source=source or None, kind=one_of(BreakKind, kind),
            state=None if state in _NO_STATE else one_of(BreakState, state) or BreakState.OPEN,
            age=one_of(Age, age), proposed=state == _PROPOSED,
        )  # fmt: skip

    def by(self, caller: Caller) -> Filter:
        """Return the filter; "mine" depends on who asks."""
        return self._filter._replace(owner_id=caller.id if self.typed["mine"] else None)

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Wanted = Annotated[Asked, Depends(Asked)]


class Done(NamedTuple):
    """What was done about what was ticked, as the address tells the page after it."""

    resolved: int = 0
    proposed: int = 0
    asked: int = 0
    owned: int = 0
    left: int = 0


def _done(
    resolved: Count = None, proposed: Count = None, asked: Count = None, owned: Count = None,
    left: Count = None,
) -> Done:  # fmt: skip
    return Done(*(count or 0 for count in (resolved, proposed, asked, owned, left)))


class Typed(NamedTuple):
    """A form that was refused, as it is shown again."""

    chosen: Sequence[str] = ()
    what: str = Act.ACCEPT
    reason: str = ""


_NOTHING, _UNTYPED = Done(), Typed()


@router.get("/breaks")
def show_breaks(
    request: Request,
    db: Db,
    caller: Finance,
    asked: Wanted,
    done: Annotated[Done, Depends(_done)],
    after: After = None,
) -> Response:
    return _list_page(request, db, caller, asked, after=after, done=done)


@router.post("/breaks")
def act_on_many(
    request: Request,
    db: Db,
    caller: Finance,
    asked: Wanted,
    csrf: Csrf,
    reason: Words,
    what: Choice,
    do: Choice,
    owner: Choice,
    chosen: Annotated[list[str], Form(max_length=workbench.PAGE, default_factory=list)],
) -> Response:
    """Do one thing about all that was ticked: an act with one reason, or give it to somebody."""
    check_form(request, csrf)
    try:
        wanted = dict(read_shown(one) for one in chosen)
        if not wanted:
            raise Invalid("nothing was ticked", code="break.none_chosen")
        with transaction() as session:
            if do == _OWN:
                done = _give(session, wanted, owner, caller)
            else:
                done = _act(session, wanted, what or Act.ACCEPT, reason, caller)
    except CityBillError as refused:
        typed = Typed(chosen, what, reason)
        return _list_page(request, db, caller, asked, refused=refused, typed=typed)
    return go(f"/console/breaks?{asked.query(**{k: n for k, n in done._asdict().items() if n})}")


def _act(
    session: Session, wanted: dict[int, Shown], what: str, reason: str, caller: Caller
) -> Done:
    if what not in MANY:
        raise Invalid("choose what to do", code="break.no_act")
    now = utc_now()
    if what == Act.ACCEPT:
        made = accept_many(session, wanted, reason=reason, by=caller.id, limits=limits(), now=now)
        return Done(**made._asdict())
    asked = ask_many(session, Act(what), wanted, reason=reason, by=caller.id, now=now)
    return Done(asked=asked.done, left=asked.left)


def _give(session: Session, wanted: dict[int, Shown], owner: str, caller: Caller) -> Done:
    owner_id = int(owner) if owner.isdecimal() and len(owner) <= 18 else caller.id
    given = own_many(session, wanted.keys(), owner_id, by=caller.id)
    return Done(owned=given.done, left=given.left)


def _list_page(
    request: Request,
    session: Session,
    caller: Caller,
    asked: Asked,
    *,
    after: int | None = None,
    done: Done = _NOTHING,
    refused: CityBillError | None = None,
    typed: Typed = _UNTYPED,
) -> Response:
    now, wanted, locale = utc_now(), asked.by(caller), locale_of(request)
    rows = workbench.find_breaks(session, wanted, now=now, after=after, limit=workbench.PAGE + 1)
    shown = rows[: workbench.PAGE]
    counted, name = workbench.count_open(session, wanted, now=now), namer(request, session)
    return page(
        request,
        "console/breaks.html",
        status_code=status_of(refused) if refused else 200,
        rows=[row_of(session, one, caller, name(one.source), now=now) for one in shown],
        waiting=workbench.proposed_among(session, [one.id for one in shown]),
        proposals=workbench.count_proposed(session),
        counted=counted,
        ages=[sum(getattr(one, age.value) for one in counted) for age in Age],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(rows) > workbench.PAGE else None,
        sources=[(one, name(one)) for one in workbench.list_sources(session)],
        kinds=[(one, kind_name(locale, one)) for one in BreakKind],
        owners=owners(session, caller),
        done=done,
        acts=MANY,
        typed=typed,
        chosen=set(typed.chosen),
        limits=limits(),
        error=refusal(locale, refused),
    )


def owners(session: Session, caller: Caller) -> list[tuple[int, str]]:
    """Return colleagues who explain differences: id and name."""
    found = colleagues.find_colleagues(
        session, colleagues.Wanted(duty=Duty.FINANCE), limit=_COLLEAGUES
    )
    return [(one.id, one.name) for one in found if one.id is not None and one.id != caller.id]


def row_of(
    session: Session, found: ReconciliationBreak, caller: Caller, whose: str, *, now: datetime
) -> dict[str, Any]:
    """Return a difference as the templates show it."""
    owner = None if found.owner_id is None else get_person(session, found.owner_id).name
    return {
        "one": found,
        "shown": shown_text(found),
        "whose": whose,
        "age_days": workbench.age_of(found, now=now),
        "owner": owner,
        "mine": found.owner_id == caller.id,
        "difference_fen": repair.difference_fen(found),
        "late": found.state is BreakState.OPEN and found.due_at < now,
    }


def namer(request: Request, session: Session) -> Callable[[str], str]:
    """Return what names a company, a gateway, or an account of ours at a bank."""
    ours = {f"account-{one.id}": one for one in session.exec(select(BankAccount))}

    def name(source: str) -> str:
        account = ours.get(source)
        if account is None:
            return source_name(request, source)
        return account.label or mask_no(account.account_no)

    return name


def shown_text(found: ReconciliationBreak) -> str:
    """Return a difference as a form sends it back: ``17:amount_differs:8650:``."""
    cells = (found.id, found.kind.value, found.ours_fen, found.theirs_fen)
    return ":".join("" if cell is None else str(cell) for cell in cells)


_SHOWN = re.compile(r"([0-9]{1,18}):([a-z_]{1,32}):(-?[0-9]{1,15})?:(-?[0-9]{1,15})?")


def read_shown(chosen: str) -> tuple[int, Shown]:
    """Return which difference a form is about, and as what it was shown.

    Raises:
        Invalid: it is none that we wrote.
    """
    match = _SHOWN.fullmatch(chosen)
    if match is None or match[2] not in {*BreakKind}:
        raise Invalid("the form is out of date: reload the page", code="break.changed")
    ours, theirs = (None if cell is None else int(cell) for cell in match.group(3, 4))
    return int(match[1]), Shown(BreakKind(match[2]), ours, theirs)


@router.get("/breaks.{form}")
def export_breaks(
    request: Request, form: FileKind, db: Db, caller: Finance, asked: Wanted
) -> StreamingResponse:
    """Download all differences the address asks for."""
    locale, wanted, now = locale_of(request), asked.by(caller), utc_now()
    audit.note_export(db, caller.id, "breaks", form, asked.query(), now=now)

    def rows(session: Session) -> Iterator[list[Cell]]:
        whose, person = namer(request, session), cache(partial(get_person, session))
        for one in workbench.every_break(session, wanted, now=now):
            ours, theirs = (
                None if fen is None else Yuan(fen) for fen in (one.ours_fen, one.theirs_fen)
            )
            yield [
                one.id, kind_name(locale, one.kind), whose(one.source), one.day,
                one.row_kind, one.reference, one.their_ref, ours, theirs, one.happened_at,
                one.found_at, one.due_at, state_name(locale, one.state), one.closed_at,
                None if one.owner_id is None else person(one.owner_id).name,
            ]  # fmt: skip

    name = look.say(locale, "Differences")
    return export(form, name=name, head=columns(locale), rows=read_rows(rows))
