"""The staff console: carriers of messages: stopped, let go on, and how fast they are asked."""

from collections.abc import Callable
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from identity.colleagues import people_among
from notifications.sending import stopping
from web import look
from web.access import Db, Setup
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Named
from web.pages.filters import number_of
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/console/carriers")
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Number = Annotated[str, Form(max_length=20, pattern=PLAIN, default_factory=str)]


@router.get("")
def show_carriers(request: Request, db: Db, _caller: Setup) -> Response:
    return _page(request, db)


@router.post("/{code}/stop")
def stop(
    request: Request, code: Named, db: Db, caller: Setup, csrf: Csrf, words: Words
) -> Response:  # fmt: skip
    """Stop a carrier at once: nobody has to wait for a second person while messages are lost."""
    check_form(request, csrf)

    def act(session: Session) -> None:
        stopping.stop(session, code, by=caller.id, reason=words, now=utc_now())

    return _do(request, db, (code, "stop"), act, words)


@router.post("/{code}/resume")
def resume(
    request: Request, code: Named, db: Db, caller: Setup, csrf: Csrf, words: Words
) -> Response:  # fmt: skip
    check_form(request, csrf)

    def act(session: Session) -> None:
        stopping.resume(session, code, by=caller.id, reason=words, now=utc_now())

    return _do(request, db, (code, "resume"), act, words)


@router.post("/{code}/pace")
def pace(
    request: Request, code: Named, db: Db, caller: Setup, csrf: Csrf, per_minute: Number
) -> Response:  # fmt: skip
    check_form(request, csrf)

    def act(session: Session) -> None:
        rate = number_of(per_minute.strip())
        if per_minute.strip() and rate is None:
            raise Invalid("a rate is a whole number, or none", code="carrier.rate")
        stopping.pace(session, code, per_minute=rate, by=caller.id, now=utc_now())

    return _do(request, db, (code, "pace"), act, per_minute)


def _do(
    request: Request,
    db: Session,
    what: tuple[str, str],
    act: Callable[[Session], None],
    typed: str,
) -> Response:
    try:
        with transaction() as session:
            act(session)
    except CityBillError as refused:
        return _page(request, db, refused=refused, what=what, typed=typed)
    return go("/console/carriers")


def _page(
    request: Request,
    session: Session,
    *,
    refused: CityBillError | None = None,
    what: tuple[str, str] = ("", ""),
    typed: str = "",
) -> Response:
    states = stopping.list_states(session)
    people = people_among(session, {one.stopped_by for one in states if one.stopped_by})
    return page(
        request,
        "console/carriers.html",
        status_code=status_of(refused) if refused else 200,
        channels=[
            {
                "code": channel,
                "carriers": [
                    {"state": one, "stopped_by": people[one.stopped_by].name}
                    if one.stopped_by
                    else {"state": one, "stopped_by": None}
                    for one in some
                ],
            }
            for channel, some in groupby(states, key=lambda one: one.channel)
        ],
        refused_code=what[0],
        refused_act=what[1],
        typed=typed,
        error=_refusal(locale_of(request), refused),
    )


def _refusal(locale: str, refused: CityBillError | None) -> str | None:
    if refused is None:
        return None
    return {
        "carrier.no_reason": look.say(locale, "Say why: colleagues read it."),
        "carrier.stopped": look.say(locale, "This carrier is stopped already."),
        "carrier.not_stopped": look.say(locale, "This carrier is not stopped."),
        "carrier.rate": look.say(
            locale, "Type a whole number from 1 to 100,000, or leave it empty."
        ),
    }.get(refused.code, str(refused))
