"""The staff console: a resident found, and all there is about them: what they see, and when what.

Nothing of anybody is shown before the look is in the audit log. What is masked is shown whole by
an act of its own, which the log knows too.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.homes.households import account_view
from billing.models import UtilityAccount
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from core.masking import mask_address, mask_contact, mask_name
from identity.audit import Deed, person_subject
from identity.finding import get_citizen
from identity.looking import Looking
from identity.models import Person
from notifications import again
from payments.autopay import mandates
from payments.autopay.views import list_views
from payments.desk import finding
from payments.desk.finding import Found
from payments.desk.timeline import open_matters
from payments.models import Payment
from web.access import Caller, Db, Service
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages import looking
from web.pages.household import home_of_person
from web.pages.page import check_form, go, locale_of, page
from web.pages.resident_story import story
from web.pages.words.gateways import gateway_of
from web.pages.words.residents import company_of, refusal

router = APIRouter(prefix="/console/residents")
Line = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Typed = Annotated[str, Query(max_length=100, pattern=PLAIN)]
NOTICES = 20


@router.get("")
def show_search(request: Request, db: Db, caller: Service, q: Typed = "") -> Response:
    return _search(request, db, caller, q)


@router.post("")
def search(request: Request, db: Db, caller: Service, csrf: Csrf, q: Line) -> Response:
    """Find by what was typed; in the body, because addresses are kept by browsers and proxies."""
    check_form(request, csrf)
    return _search(request, db, caller, q)


def _search(request: Request, session: Session, caller: Caller, typed: str) -> Response:
    """List who fits, masked, or go to the only one there is."""
    found = finding.find(session, typed, request.app.state.gateways, now=utc_now())
    if typed.strip():
        looking.note_look(
            session, caller, Deed.RESIDENTS_SOUGHT, None,
            people=len(found.people), accounts=len(found.accounts), payments=len(found.payments),
        )  # fmt: skip
    if found.hits == 1 and not found.more:
        return go(_straight_to(session, found))
    return page(
        request,
        "console/residents.html",
        typed=typed,
        found=found,
        people=[_person_row(session, one) for one in found.people],
        accounts=[_account_row(session, one) for one in found.accounts],
        payments=[_payment_row(request, one) for one in found.payments],
    )


def _straight_to(session: Session, found: Found) -> str:
    """Return the page of the only one found; an account's is its only resident's."""
    for person in found.people:
        return f"/console/residents/{person.id}"
    for account in found.accounts:
        members = finding.members_of(session, account.id or 0)
        if len(members) == 1:
            return f"/console/residents/{members[0].person_id}"
        return f"/console/accounts/{account.id}"
    return f"/console/payments/{found.payments[0].id}"


def _person_row(session: Session, person: Person) -> dict[str, Any]:
    homes = finding.accounts_of(session, person.id or 0)
    first = next((account for accounts in homes.values() for account in accounts), None)
    return {
        "id": person.id,
        "name": mask_name(person.name),
        "guest": person.role.value == "guest",
        "contact": mask_contact(person.contact or person.email or ""),
        "address": mask_address(first.address) if first else "",
        "accounts": sum(map(len, homes.values())),
    }


def _account_row(session: Session, account: UtilityAccount) -> dict[str, Any]:
    return {
        "view": account_view(account),
        "address": mask_address(account.address),
        "members": len(finding.members_of(session, account.id or 0)),
    }


def _payment_row(request: Request, payment: Payment) -> dict[str, Any]:
    return {"payment": payment, "gateway_name": gateway_of(request)(payment.gateway)}


@router.get("/{person_id}")
def show_resident(
    request: Request, person_id: Id, db: Db, caller: Service, until: Typed = ""
) -> Response:
    return _resident_page(request, db, caller, person_id, cursor=until)


@router.post("/{person_id}/reason")
def say_why(
    request: Request,
    person_id: Id,
    db: Db,
    caller: Service,
    csrf: Csrf,
    reason: Line,
    words: Words,
    back: Line,
) -> Response:
    check_form(request, csrf)
    get_citizen(db, person_id)
    return looking.take_reason(
        request, db, caller, person_subject(person_id), at=f"/console/residents/{person_id}",
        back=back, reason=reason, words=words,
    )  # fmt: skip


@router.post("/{person_id}/contact")
def show_contact(
    request: Request, person_id: Id, db: Db, caller: Service, csrf: Csrf
) -> Response:  # fmt: skip
    """Show the whole phone and e-mail, for a call back; the log says who saw them."""
    check_form(request, csrf)
    return _resident_page(request, db, caller, person_id, deed=Deed.CONTACT_SEEN)


@router.post("/{person_id}/notices/{notice_id}/again")
def send_again(
    request: Request, person_id: Id, notice_id: Id, db: Db, caller: Service, csrf: Csrf
) -> Response:
    check_form(request, csrf)

    def do(session: Session, reason: Looking) -> None:
        sent = again.send_again(session, person_id, notice_id, by=caller.id, now=utc_now())
        looking.note_look(
            session, caller, Deed.NOTICE_AGAIN, person_subject(person_id), reason,
            notice=notice_id, time=sent.time_no,
        )  # fmt: skip

    return _do(request, db, caller, person_id, do, "notices")


@router.post("/{person_id}/autopay/{mandate_id}/pause")
def pause_autopay(
    request: Request,
    person_id: Id,
    mandate_id: Id,
    db: Db,
    caller: Service,
    csrf: Csrf,
    words: Words,
) -> Response:
    """Stop debiting because the resident asks for it; only they can let it go on."""
    check_form(request, csrf)

    def do(session: Session, reason: Looking) -> None:
        if not words.strip():
            raise Invalid("say why: the resident may ask", code="resident.no_reason")
        mandates.pause(session, mandate_id, person_id, why="by_staff", now=utc_now())
        looking.note_look(
            session, caller, Deed.AUTOPAY_PAUSED, person_subject(person_id), reason,
            mandate=mandate_id, words=words.strip(),
        )  # fmt: skip

    return _do(request, db, caller, person_id, do, "autopay")


def _do(
    request: Request,
    db: Session,
    caller: Caller,
    person_id: int,
    act: Callable[[Session, Looking], None],
    where: str,
) -> Response:
    """Do one thing for a resident somebody looks at, and show what came of it or why not."""
    get_citizen(db, person_id)
    reason = looking.reason_for(db, caller, person_subject(person_id))
    if reason is None:
        return go(f"/console/residents/{person_id}")
    try:
        with transaction() as session:
            act(session, reason)
    except CityBillError as refused:
        return _resident_page(request, db, caller, person_id, refused=refused)
    return go(f"/console/residents/{person_id}#{where}")


def _resident_page(
    request: Request,
    session: Session,
    caller: Caller,
    person_id: int,
    *,
    cursor: str = "",
    deed: Deed = Deed.RESIDENT_SEEN,
    refused: CityBillError | None = None,
) -> Response:
    """Show a resident once the look is in the log; who has not said why is asked first."""
    person, subject = get_citizen(session, person_id), person_subject(person_id)
    reason = looking.reason_for(session, caller, subject)
    if reason is None:
        return looking.ask_why(
            request, f"/console/residents/{person_id}", back=f"/console/residents/{person_id}"
        )
    looking.note_look(session, caller, deed, subject, reason)
    homes = finding.accounts_of(session, person_id)
    account_ids = {one.id: one for home in homes.values() for one in home if one.id is not None}
    return page(
        request,
        "console/resident.html",
        status_code=status_of(refused) if refused else 200,
        one=person,
        name_masked=mask_name(person.name),
        contact=_contact(person, whole=deed is Deed.CONTACT_SEEN),
        reason=reason,
        homes=_homes(homes),
        home=home_of_person(session, person_id),
        matters=open_matters(
            session, person_id=person_id, account_ids=account_ids, now=utc_now()
        ),
        mandates=list_views(session, person_id, now=utc_now()),
        gateway_of=gateway_of(request),
        notices=again.list_notices(session, person_id, limit=NOTICES),
        story=story(session, person_id=person_id, account_ids=account_ids, cursor=cursor),
        paged=bool(cursor),
        company_of=company_of(request),
        error=refusal(locale_of(request), refused),
    )  # fmt: skip


def _contact(person: Person, *, whole: bool) -> dict[str, Any]:
    shown = (lambda text: text) if whole else mask_contact
    email = person.email if person.email != person.contact else None
    return {
        "sign_in": shown(person.contact) if person.contact else None,
        "email": shown(email) if email else None,
        "whole": whole,
    }


def _homes(homes: Mapping[int, list[UtilityAccount]]) -> list[list[dict[str, Any]]]:
    """Return the accounts of each household, masked."""
    return [
        [{"view": account_view(one), "address": mask_address(one.address)} for one in accounts]
        for accounts in homes.values()
    ]
