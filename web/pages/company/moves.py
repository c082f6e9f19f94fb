"""A utility's own pages: who moves, what they ask for, and what the company says to it."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing.homes import move_requests
from billing.homes.models import Asked
from core.clock import utc_now
from core.db import transaction
from identity import audit
from web import look
from web.access import Caller, Db, Operator
from web.exports import Cell, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/company/moves")
SHOWN = 25
Words = Annotated[str, Form(max_length=500, pattern=PLAIN)]


def _code(caller: Caller) -> str:
    assert caller.provider_code is not None  # the rule has seen to it
    return caller.provider_code


@router.get("")
def show_moves(
    request: Request,
    db: Db,
    caller: Operator,
    after: After = None,
    waiting: Annotated[bool, Query()] = False,
) -> Response:
    """List what residents who move ask for, the newest first."""
    code = _code(caller)
    found = move_requests.list_for_company(db, code, after=after, waiting=waiting, limit=SHOWN + 1)
    return page(
        request,
        "company/moves.html",
        company_name=provider_name(locale_of(request), code),
        rows=found[:SHOWN],
        waiting=waiting,
        paged=after is not None,
        next_id=found[SHOWN - 1].id if len(found) > SHOWN else None,
    )


@router.get(".{kind}")
def export_moves(
    request: Request,
    kind: FileKind,
    db: Db,
    caller: Operator,
    waiting: Annotated[bool, Query()] = False,
) -> StreamingResponse:
    """Give the list as a file, with whole account numbers: they are the company's own."""
    locale, code = locale_of(request), _code(caller)
    audit.note_export(db, caller.id, "moves", kind, "waiting=1" if waiting else "", now=utc_now())
    words = {
        Asked.CLOSE: look.say(locale, "Last reading and bill"),
        Asked.OPEN: look.say(locale, "An account at the new home"),
    }

    def read(session: Session) -> Iterator[list[Cell]]:
        for one in move_requests.every_request(session, code, waiting=waiting):
            yield [
                one.id, words[one.asks], one.account_no, one.address, one.leaves_on,
                one.new_address, one.phone, one.asked_at, one.answer, one.answered_at,
            ]  # fmt: skip

    head = [
        look.say(locale, "Number"), look.say(locale, "What is asked"),
        look.say(locale, "Account number"), look.say(locale, "Address"),
        look.say(locale, "Moving day"), look.say(locale, "New address"),
        look.say(locale, "Phone"), look.say(locale, "Asked"), look.say(locale, "Answer"),
        look.say(locale, "Answered"),
    ]  # fmt: skip
    return export(kind, name="moves", head=head, rows=read_rows(read))


@router.post("/{request_id}/answer")
def answer(
    request: Request, request_id: Id, caller: Operator, csrf: Csrf, words: Words = ""
) -> Response:
    """Say what was done, or when; the resident sees it on their plan."""
    check_form(request, csrf)
    with transaction() as session:
        move_requests.answer(session, _code(caller), request_id, words, by=caller.id, now=utc_now())
    return go(f"/company/moves#r{request_id}")
