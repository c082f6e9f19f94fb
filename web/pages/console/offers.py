"""The staff console: offers of companies, decided by staff before anybody is told."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.clock import utc_now
from notifications import offers, reaching
from web.access import Db, Setup
from web.inputs import Id
from web.pages.filters import After
from web.pages.offer_views import offer_facts
from web.pages.page import locale_of, page

router = APIRouter(prefix="/console/offers")
SHOWN = 25


@router.get("")
def show_offers(request: Request, db: Db, _caller: Setup, after: After = None) -> Response:
    locale = locale_of(request)
    found = offers.list_offers(db, before=after, limit=SHOWN + 1)
    return page(
        request,
        "console/offers.html",
        offers=[offer_facts(locale, one) for one in found[:SHOWN]],
        paged=after is not None,
        next_id=found[SHOWN - 1].id if len(found) > SHOWN else None,
    )


@router.get("/{offer_id}")
def show_offer(request: Request, offer_id: Id, db: Db, _caller: Setup) -> Response:
    """Show what is to be decided: its words in both languages, and whom it reaches."""
    offer = offers.find_offer(db, offer_id)
    return page(
        request,
        "console/offer.html",
        one=offer_facts(locale_of(request), offer),
        reached=reaching.reached(db, offer),
        readers=offers.readers(db, offer, now=utc_now()),
        most=offers.MOST_IN,
    )
