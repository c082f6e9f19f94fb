"""The staff console: the inbox of what waits for a second person, decided where it stands."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, NotAllowed, NotFound
from identity.duties import Duty
from identity.people import get_person
from notifications import offer_approving
from notifications.wording import approving
from payments.desk import approvals
from payments.desk.approvals import Answer, Kind, Waiting
from web.access import Caller, Db, Staff
from web.errors import status_of
from web.inputs import PLAIN, Csrf
from web.pages import offer_views
from web.pages.approval_rooms import ROOMS
from web.pages.console.breaks import namer
from web.pages.page import check_form, go, locale_of, page
from web.pages.words import breaks, refunds, remittances, staff, terms, wordings
from web.pages.words.residents import company_of
from web.pages.words.staff import duty_name

router = APIRouter(prefix="/console/approvals")
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Key = Annotated[str, Path(max_length=80, pattern=r"^[0-9A-Za-z-]+$")]
Word = Annotated[str, Path(max_length=20, pattern=r"^[a-z_]+$")]
# Where the whole matter is.
_PAGES = {
    Kind.REFUND: "/console/refunds/{}", Kind.TRANSFER: "/console/refunds/{}",
    Kind.BREAK_ACT: "/console/breaks/{}", Kind.TERMS: "/console/terms/changes/{}",
    Kind.REMITTANCE: "/console/remittances/{}", Kind.DUTY: "/console/users/{}",
    approving.KIND: "/console/wording/versions/{}", offer_approving.KIND: "/console/offers/{}",
}  # fmt: skip
# What each room says against it.
_REFUSALS = {
    Kind.REFUND: refunds.refusal, Kind.TRANSFER: refunds.refusal,
    Kind.BREAK_ACT: breaks.refusal, Kind.TERMS: terms.refusal,
    Kind.DUTY: staff.refusal, Kind.REMITTANCE: remittances.refusal,
    approving.KIND: wordings.refusal, offer_approving.KIND: offer_views.refusal,
}  # fmt: skip


@router.get("")
def show_inbox(
    request: Request,
    db: Db,
    caller: Staff,
    done: Annotated[str, Query(max_length=20, pattern=PLAIN)] = "",
) -> Response:
    return _inbox(request, db, caller, done=done)


@router.post("/{kind}/{key}/{decision}")
def decide(
    request: Request,
    kind: Word,
    key: Key,
    decision: Word,
    db: Db,
    caller: Staff,
    csrf: Csrf,
    words: Words,
) -> Response:
    """Say yes or no; the room of the thing has the last word."""
    check_form(request, csrf)
    if kind not in ROOMS or decision not in {"approval", "decline"}:
        raise NotFound("there is nothing like this to decide")
    duty = ROOMS[kind].duty
    if duty not in caller.duties:
        raise NotAllowed(
            f"this needs the duty {duty}: ask an admin for it", code="duty.missing", duty=duty
        )
    yes = decision == "approval"
    answer = Answer(key, caller.id, words, utc_now())
    try:
        with transaction() as session:
            approvals.decide(session, kind, answer, yes=yes, rooms=ROOMS)
    except CityBillError as refused:
        return _inbox(request, db, caller, kind=kind, refused=refused, typed={key: words})
    return go(f"/console/approvals?done={decision}")


def _inbox(
    request: Request,
    session: Session,
    caller: Caller,
    *,
    done: str = "",
    kind: str | None = None,
    refused: CityBillError | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    """Show what waits, the oldest first; ``kind`` is of what was refused."""
    locale, now = locale_of(request), utc_now()
    waiting = approvals.list_waiting(session, caller.duties, now=now, rooms=ROOMS)
    said = _REFUSALS[kind] if kind else refunds.refusal
    name = namer(request, session)
    return page(
        request,
        "console/approvals.html",
        status_code=status_of(refused) if refused else 200,
        rows=[_row(session, one, caller) for one in waiting],
        row_of=lambda target: breaks.row_words(locale, target, name),
        to_decide=sum(approvals.may_decide(one, caller.id) for one in waiting),
        now=now,
        done=done,
        typed=typed or {},
        company_of=company_of(request),
        duty_of=lambda duty: duty_name(locale, Duty(duty)),
        error=said(locale, refused),
    )


def _row(session: Session, one: Waiting, caller: Caller) -> dict[str, Any]:
    """Return one thing as the inbox shows it."""
    of_whom = get_person(session, int(one.matter)).name if one.kind is Kind.DUTY else None
    return {
        "one": one,
        "at": f"/console/approvals/{one.kind}/{one.key}",
        "href": _PAGES[one.kind].format(one.matter or one.key),
        "of_whom": of_whom,
        "proposer": None if one.by is None else get_person(session, one.by).name,
        "own": one.by == caller.id,
        "may": approvals.may_decide(one, caller.id),
        "room": ROOMS[one.kind],
    }
