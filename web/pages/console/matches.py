"""The staff console: what of gateways' files was matched otherwise than by our number."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from identity import audit
from payments.reconciliation.gateway import leftovers
from web import look
from web.access import Db, Finance
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.filters import After, FileKind
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import source_name
from web.pages.words.breaks import found_by, refusal

router = APIRouter(prefix="/console/breaks/matches")
Reason = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
_PAGE = 50


@router.get("")
def show_matches(request: Request, db: Db, _caller: Finance, after: After = None) -> Response:
    return _page(request, db, after=after)


@router.post("/{match_id}/undo")
def undo(
    request: Request, match_id: Id, db: Db, caller: Finance, csrf: Csrf, reason: Reason
) -> Response:
    """Say that a match is wrong: both sides are differences again."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            leftovers.undo_match(session, match_id, by=caller.id, reason=reason, now=utc_now())
    except CityBillError as refused:
        return _page(request, db, refused=refused, match_id=match_id)
    return go("/console/breaks/matches")


def _page(
    request: Request,
    session: Session,
    *,
    after: int | None = None,
    refused: CityBillError | None = None,
    match_id: int | None = None,
) -> Response:
    rows, locale = leftovers.list_matches(session, after=after, limit=_PAGE + 1), locale_of(request)
    return page(
        request,
        "console/matches.html",
        status_code=status_of(refused) if refused else 200,
        rows=[
            {"one": one, "whose": source_name(request, one.source),
             "how": found_by(locale, one.found_by)}
            for one in rows[:_PAGE]
        ],
        paged=after is not None,
        next_id=rows[_PAGE - 1].id if len(rows) > _PAGE else None,
        match_id=match_id,
        error=refusal(locale, refused),
    )  # fmt: skip


@router.get(".{form}")
def export_matches(request: Request, form: FileKind, db: Db, caller: Finance) -> StreamingResponse:
    """Download all of them."""
    locale = locale_of(request)
    audit.note_export(db, caller.id, "matches", form, "", now=utc_now())
    head = [
        look.say(locale, "Day"), look.say(locale, "Whose books"), look.say(locale, "How"),
        look.say(locale, "Amount"), look.say(locale, "Both sides"), look.say(locale, "Found"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        for one in leftovers.every_match(session):
            yield [
                one.first_on, source_name(request, one.source), found_by(locale, one.found_by),
                Yuan(one.amount_fen), one.parts, one.made_at,
            ]  # fmt: skip

    name = look.say(locale, "Matched without our number")
    return export(form, name=name, head=head, rows=read_rows(rows))
