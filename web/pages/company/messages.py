"""A utility's own pages: what it has to say about its service, and whom that reaches."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import BILLING_ZONE, utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from notifications import outage_notices, reaching
from notifications.models import Reach, ServiceKind, ServiceMessage
from notifications.outage_notices import Draft
from web import look
from web.access import Caller, Db, Operator
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After
from web.pages.outage_views import message_facts
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/company/messages")
SHOWN = 25
_Line = Annotated[str, Form(max_length=100, pattern=PLAIN)]
_Words = Annotated[str, Form(max_length=1_000, pattern=PLAIN)]
_Numbers = Annotated[str, Form(max_length=200_000, pattern=PLAIN)]


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


@dataclass(frozen=True, slots=True)
class Typed:
    """A message as it was typed; moments are the city's, as a browser writes them."""

    kind: str = ServiceKind.OUTAGE
    words_zh: str = ""
    words_en: str = ""
    from_at: str = ""
    until_at: str = ""
    reach: str = Reach.ALL
    address_prefix: str = ""
    account_nos: str = ""

    def draft(self) -> Draft:
        """Read it.

        Raises:
            Invalid: a moment is none, or a choice was made up.
        """
        if self.kind not in {*ServiceKind} or self.reach not in {*Reach}:
            raise Invalid("there is no such choice", code="request.malformed")
        return Draft(
            kind=ServiceKind(self.kind), words_zh=self.words_zh, words_en=self.words_en,
            from_at=_moment(self.from_at),
            until_at=_moment(self.until_at) if self.until_at else None,
            reach=Reach(self.reach), address_prefix=self.address_prefix,
            account_nos=self.account_nos.split(),
        )  # fmt: skip


def _moment(typed: str) -> datetime:
    try:
        moment = datetime.fromisoformat(typed)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or not 2000 <= moment.year < 2100:
        raise Invalid("say when it begins: a day and an hour", code="service_message.from")
    return moment.replace(tzinfo=BILLING_ZONE)


def _typed(
    kind: _Line = "",
    words_zh: _Words = "",
    words_en: _Words = "",
    from_at: _Line = "",
    until_at: _Line = "",
    reach: _Line = "",
    address_prefix: _Line = "",
    account_nos: _Numbers = "",
) -> Typed:
    return Typed(
        kind, words_zh, words_en, from_at, until_at, reach, address_prefix, account_nos
    )  # fmt: skip


@router.get("")
def show_messages(request: Request, db: Db, caller: Operator, after: After = None) -> Response:
    code = _code(caller)
    found = outage_notices.list_messages(db, provider_code=code, before=after, limit=SHOWN + 1)
    locale = locale_of(request)
    return page(
        request,
        "company/messages.html",
        company_name=provider_name(locale, code),
        messages=[message_facts(locale, one) for one in found[:SHOWN]],
        paged=after is not None,
        next_id=found[SHOWN - 1].id if len(found) > SHOWN else None,
    )


@router.get("/new")
def show_form(request: Request, caller: Operator) -> Response:
    now = utc_now().astimezone(BILLING_ZONE)
    return _form(request, caller, Typed(from_at=f"{now:%Y-%m-%dT%H:%M}"))


def _form(
    request: Request, caller: Caller, typed: Typed, *, refused: CityBillError | None = None
) -> Response:
    locale = locale_of(request)
    return page(
        request,
        "company/message_new.html",
        status_code=422 if refused else 200,
        company_name=provider_name(locale, _code(caller)),
        typed=asdict(typed),
        error=look.say_known(locale, refused.message) if refused else None,
        most_words=outage_notices.MOST_WORDS,
    )


@router.post("")
def write(
    request: Request,
    db: Db,
    caller: Operator,
    csrf: Csrf,
    typed: Annotated[Typed, Depends(_typed)],
) -> Response:
    """Keep a message; nobody is told before it is looked at and sent."""
    check_form(request, csrf)
    try:
        message = outage_notices.write(
            db, _code(caller), typed.draft(), made_by=caller.id, now=utc_now()
        )
    except Invalid as refused:
        return _form(request, caller, typed, refused=refused)
    return go(f"/company/messages/{message.id}")


@router.get("/{message_id}")
def show_message(request: Request, message_id: Id, db: Db, caller: Operator) -> Response:
    return _message_page(request, db, caller, message_id)


def _message_page(
    request: Request,
    session: Session,
    caller: Caller,
    message_id: int,
    *,
    refused: CityBillError | None = None,
) -> Response:
    locale = locale_of(request)
    message = outage_notices.find_message(session, message_id, _code(caller))
    return page(
        request,
        "company/message.html",
        status_code=409 if refused else 200,
        company_name=provider_name(locale, _code(caller)),
        one=message_facts(locale, message),
        reached=reaching.reached(session, message),
        previews=_previews(message),
        error=look.say_known(locale, refused.message) if refused else None,
    )


def _previews(message: ServiceMessage) -> list[dict[str, Any]]:
    """Return how it will read, in both languages."""
    return [
        {"lang": lang, **outage_notices.message_values(message, locale)}
        for lang, locale in (("zh-CN", "zh_CN"), ("en", "en"))
    ]


@router.post("/{message_id}/{act}")
def act(
    request: Request, message_id: Id, act: str, db: Db, caller: Operator, csrf: Csrf
) -> Response:
    """Send a message, withdraw it, or say that it is over."""
    check_form(request, csrf)
    acts = {
        "sending": outage_notices.send, "withdrawal": outage_notices.withdraw,
        "end": outage_notices.end,
    }  # fmt: skip
    if act not in acts:
        raise Invalid("there is no such choice", code="request.malformed")
    try:
        with transaction() as session:
            acts[act](session, message_id, _code(caller), now=utc_now())
    except CityBillError as refused:
        return _message_page(request, db, caller, message_id, refused=refused)
    return go(f"/company/messages/{message_id}")
