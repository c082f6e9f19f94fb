"""A utility's own pages: offers to its customers, told once the city's staff have said yes."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from notifications import offers, reaching
from notifications.models import Reach
from notifications.offers import Draft
from web.access import Caller, Db, Operator
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.offer_views import offer_facts, refusal
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/company/offers")
SHOWN = 25
_Line = Annotated[str, Form(max_length=100, pattern=PLAIN)]
_Words = Annotated[str, Form(max_length=1_000, pattern=PLAIN)]
_Numbers = Annotated[str, Form(max_length=200_000, pattern=PLAIN)]


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


@dataclass(frozen=True, slots=True)
class Typed:
    """An offer as it was typed."""

    words_zh: str = ""
    words_en: str = ""
    ends_on: str = ""
    reach: str = Reach.ALL
    address_prefix: str = ""
    account_nos: str = ""

    def draft(self) -> Draft:
        """Read it.

        Raises:
            Invalid: a day is none, or a choice was made up.
        """
        if self.reach not in {*Reach}:
            raise Invalid("there is no such choice", code="request.malformed")
        try:
            ends_on = date.fromisoformat(self.ends_on)
        except ValueError:
            raise Invalid("say until when it holds", code="offer.ends") from None
        return Draft(
            self.words_zh, self.words_en, ends_on, Reach(self.reach), self.address_prefix,
            self.account_nos.split(),
        )  # fmt: skip


def _typed(
    words_zh: _Words = "",
    words_en: _Words = "",
    ends_on: _Line = "",
    reach: _Line = "",
    address_prefix: _Line = "",
    account_nos: _Numbers = "",
) -> Typed:
    return Typed(words_zh, words_en, ends_on, reach, address_prefix, account_nos)


@router.get("")
def show_offers(request: Request, db: Db, caller: Operator, after: After = None) -> Response:
    code, locale = _code(caller), locale_of(request)
    found = offers.list_offers(db, provider_code=code, before=after, limit=SHOWN + 1)
    return page(
        request,
        "company/offers.html",
        company_name=provider_name(locale, code),
        offers=[offer_facts(locale, one) for one in found[:SHOWN]],
        paged=after is not None,
        next_id=found[SHOWN - 1].id if len(found) > SHOWN else None,
    )


@router.get("/new")
def show_form(request: Request, caller: Operator) -> Response:
    return _form(request, caller, Typed())


def _form(
    request: Request, caller: Caller, typed: Typed, *, refused: CityBillError | None = None
) -> Response:
    locale = locale_of(request)
    return page(
        request,
        "company/offer_new.html",
        status_code=422 if refused else 200,
        company_name=provider_name(locale, _code(caller)),
        typed=asdict(typed),
        error=refusal(locale, refused),
        most_words=offers.MOST_WORDS,
    )


@router.post("")
def write(
    request: Request, db: Db, caller: Operator, csrf: Csrf,
    typed: Annotated[Typed, Depends(_typed)],
) -> Response:  # fmt: skip
    """Keep an offer; nobody is told before staff have said yes."""
    check_form(request, csrf)
    try:
        offer = offers.write(db, _code(caller), typed.draft(), made_by=caller.id, now=utc_now())
    except Invalid as refused:
        return _form(request, caller, typed, refused=refused)
    return go(f"/company/offers/{offer.id}")


@router.get("/{offer_id}")
def show_offer(request: Request, offer_id: Id, db: Db, caller: Operator) -> Response:
    return _offer_page(request, db, caller, offer_id)


def _offer_page(
    request: Request, session: Session, caller: Caller, offer_id: int, *,
    refused: CityBillError | None = None,
) -> Response:  # fmt: skip
    locale, now = locale_of(request), utc_now()
    offer = offers.find_offer(session, offer_id, _code(caller))
    return page(
        request,
        "company/offer.html",
        status_code=status_of(refused) if refused else 200,
        company_name=provider_name(locale, _code(caller)),
        one=offer_facts(locale, offer),
        reached=reaching.reached(session, offer),
        readers=offers.readers(session, offer, now=now),
        most=offers.MOST_IN,
        error=refusal(locale, refused),
    )


@router.post("/{offer_id}/{act}")
def act(
    request: Request, offer_id: Id, act: str, db: Db, caller: Operator, csrf: Csrf
) -> Response:  # fmt: skip
    """Ask staff to let it be told, or withdraw it."""
    check_form(request, csrf)
    acts = {"proposal": offers.propose, "withdrawal": offers.withdraw}
    if act not in acts:
        raise Invalid("there is no such choice", code="request.malformed")
    try:
        with transaction() as session:
            acts[act](session, offer_id, _code(caller), now=utc_now())
    except CityBillError as refused:
        return _offer_page(request, db, caller, offer_id, refused=refused)
    return go(f"/company/offers/{offer_id}")
