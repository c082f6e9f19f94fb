"""The staff console: a resident's own pages as they see them. Nothing can be done on them."""

from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.masking import mask_name
from identity.audit import Deed, person_subject
from identity.finding import get_citizen
from web.access import Caller, Db, Service
from web.inputs import Id
from web.pages import looking
from web.pages.bill import bill_of_person
from web.pages.household import home_of_person
from web.pages.page import page

router = APIRouter(prefix="/console/residents/{person_id}")


class Seen(NamedTuple):
    """Whose page it is, and where links of it lead: to pages that are looked at the same way."""

    name_masked: str
    base: str


@router.get("/home")
def show_home(request: Request, person_id: Id, db: Db, caller: Service) -> Response:
    seen = _look(db, caller, person_id, "home")
    if seen is None:
        return looking.ask_why(request, f"/console/residents/{person_id}")
    return page(request, "home.html", seen=seen, **home_of_person(db, person_id))


@router.get("/bills/{ref}")
def show_bill(request: Request, person_id: Id, ref: str, db: Db, caller: Service) -> Response:
    seen = _look(db, caller, person_id, "bill")
    if seen is None:
        return looking.ask_why(request, f"/console/residents/{person_id}")
    shown = bill_of_person(request, db, ref, person_id)
    return page(request, "bill.html", seen=seen, counter=None, **shown)


def _look(session: Session, caller: Caller, person_id: int, which: str) -> Seen | None:
    """Write down that somebody sees a resident's page; None: they have not said why."""
    person = get_citizen(session, person_id)
    subject = person_subject(person_id)
    reason = looking.reason_for(session, caller, subject)
    if reason is None:
        return None
    looking.note_look(session, caller, Deed.SEEN_AS, subject, reason, page=which)
    return Seen(mask_name(person.name), f"/console/residents/{person_id}")
