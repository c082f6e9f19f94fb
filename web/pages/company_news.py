"""What a company told a resident, as its notice leads to it: an outage, planned work, an offer."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlmodel import Session, select

from core.errors import NotFound
from notifications.models import Notice, Offer, ServiceMessage
from web.access import Db, Resident
from web.inputs import Id
from web.pages.offer_views import offer_facts
from web.pages.outage_views import message_facts
from web.pages.page import locale_of, page

router = APIRouter()


@router.get("/service-messages/{message_id}")
def show_message(request: Request, message_id: Id, db: Db, caller: Resident) -> Response:
    """Show a message of a company to whom it was told: where, from when until when, or over."""
    _check_told(db, caller.id, "outage.announced", message_id)
    one = message_facts(locale_of(request), db.get_one(ServiceMessage, message_id))
    return page(request, "company_message.html", one=one)


@router.get("/offers/{offer_id}")
def show_offer(request: Request, offer_id: Id, db: Db, caller: Resident) -> Response:
    """Show a company's offer to whom it was told, with the way out of offers."""
    _check_told(db, caller.id, "offer.made", offer_id)
    one = offer_facts(locale_of(request), db.get_one(Offer, offer_id))
    return page(request, "company_offer.html", one=one)


def _check_told(session: Session, person_id: int, event: str, number: int) -> None:
    told = select(Notice.id).where(
        Notice.event == event, Notice.person_id == person_id, Notice.subject_ref == str(number)
    )
    if session.exec(told.limit(1)).first() is None:
        raise NotFound("there is no such message")
