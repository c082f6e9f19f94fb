"""A utility's own pages: who moves, what they ask for, and what the company says to it."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from billing.homes import moving
from core.clock import utc_now
from core.db import transaction
from web.access import Caller, Db, Operator
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After
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
    found = moving.list_for_company(db, code, after=after, waiting=waiting, limit=SHOWN + 1)
    return page(
        request,
        "company/moves.html",
        company_name=provider_name(locale_of(request), code),
        rows=found[:SHOWN],
        waiting=waiting,
        paged=after is not None,
        next_id=found[SHOWN - 1].id if len(found) > SHOWN else None,
    )


@router.post("/{request_id}/answer")
def answer(
    request: Request, request_id: Id, caller: Operator, csrf: Csrf, words: Words = ""
) -> Response:
    """Say what was done, or when; the resident sees it on their plan."""
    check_form(request, csrf)
    with transaction() as session:
        moving.answer(session, _code(caller), request_id, words, by=caller.id, now=utc_now())
    return go(f"/company/moves#r{request_id}")
