"""The staff console: which files of gateways and companies are here, expected or late."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.errors import Invalid
from identity import audit
from payments.reconciliation.gateway.arrivals import (
    LATE,
    Arrival,
    ArrivalFilter,
    ArrivalPlace,
    count_late,
    every_arrival,
    list_arrivals,
)
from payments.reconciliation.gateway.sources import with_files
from payments.reconciliation.models import ArrivalState, Leg
from providers.registry import PROVIDERS
from web import look
from web.access import Db, Finance
from web.exports import Cell, export, read_rows
from web.pages.file_views import provider_name
from web.pages.filters import FileKind, Word, day_of, one_of, query_of
from web.pages.page import locale_of, page
from web.pages.words.files import said
from web.pages.words.gateways import gateway_choices

PAGE = 50
router = APIRouter(prefix="/console/arrivals")
_STATUSES = ("waiting", LATE, "arrived", "no_data")


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, of: Word = "", status: Word = "", first: Word = "", last: Word = "") -> None:
        if status and status not in _STATUSES:
            raise Invalid("there is no such choice", code="request.malformed")
        self.typed = {"of": of, "status": status, "first": first, "last": last}
        self.wanted = ArrivalFilter(of or None, status or None, day_of(first), day_of(last))

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_arrivals(
    request: Request, db: Db, _caller: Finance, asked: Filter, after: Word = ""
) -> Response:
    locale, now = locale_of(request), utc_now()
    found = list_arrivals(db, asked.wanted, now=now, after=_place(after), limit=PAGE + 1)
    last = found[PAGE - 1].place if len(found) > PAGE else None
    return page(
        request,
        "console/arrivals.html",
        rows=[_row(one, locale) for one in found[:PAGE]],
        sources=_sources(request),
        statuses=[(one, _status(locale, one)) for one in _STATUSES],
        late=count_late(db, now=now),
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=bool(after),
        next_place=last and f"{last.day}:{last.leg}:{last.source}",
    )


def _place(typed: str) -> ArrivalPlace | None:
    """Read where a page begins: ``2026-11-20:gateway:sandbox``."""
    day, _, rest = typed.partition(":")
    leg, _, source = rest.partition(":")
    on, of = day_of(day), one_of(Leg, leg)
    return None if on is None or of is None else ArrivalPlace(on, of, source)


def _sources(request: Request) -> list[tuple[str, str]]:
    """Return whose files may be looked for: gateways and companies, by code."""
    gateways = gateway_choices(request, with_files(request.app.state.gateways).values())
    return gateways + [(code, provider_name(locale_of(request), code)) for code in PROVIDERS]


def _status(locale: str, status: str) -> str:
    return look.macro_text(locale, "parts/ui.html", "arrival_pill", status)


@router.get(".{kind}")
def export_arrivals(
    request: Request, kind: FileKind, db: Db, caller: Finance, asked: Filter
) -> StreamingResponse:
    locale, now = locale_of(request), utc_now()
    audit.note_export(db, caller.id, "arrivals", kind, asked.query(), now=now)

    def read(session: Session) -> Iterator[list[Cell]]:
        for one in every_arrival(session, asked.wanted, now=now):
            status = LATE if one.late else one.state.value
            yield [
                one.day, one.source, _status(locale, status), one.due_at, one.asked_at,
                told(locale, one.answer),
            ]  # fmt: skip

    head = [
        look.say(locale, "Day"), look.say(locale, "Source"), look.say(locale, "State"),
        look.say(locale, "Expected from"), look.say(locale, "Last asked"),
        look.say(locale, "What they said"),
    ]  # fmt: skip
    return export(kind, name="arrivals", head=head, rows=read_rows(read))


def _row(one: Arrival, locale: str) -> dict[str, Any]:
    return {
        "source": one.source, "day": one.day, "due_at": one.due_at, "asked_at": one.asked_at,
        "status": "late" if one.late else one.state.value,
        "told": told(locale, one.answer),
        "href": _page_of(one),
    }  # fmt: skip


def _page_of(one: Arrival) -> str | None:
    if one.leg is Leg.COMPANY:
        return f"/console/company-lists/{one.source}/{one.day}"
    here = one.state is not ArrivalState.WAITING
    return f"/console/reconciliations/{one.source}/{one.day}" if here else None


def told(locale: str, answer: str | None) -> str:
    """Say what somebody answered when last asked for a file."""
    if answer is None:
        return ""
    state, _, why = answer.partition(": ")
    words = {
        "not_yet": look.say(locale, "They say: not yet."),
        "unknown": look.say(locale, "Their answer made no sense."),
        "unreachable": look.say(locale, "They could not be reached."),
    }.get(state)
    if words is None:
        return said(locale, answer.removeprefix("refused: "))
    return f"{words} {said(locale, why)}".strip()
