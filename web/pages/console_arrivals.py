"""The staff console: which files of gateways and companies are here, expected or late."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.clock import utc_now
from payments.reconciliation.arrivals import Arrival, list_arrivals
from payments.reconciliation.models import ArrivalState, Leg
from web import look
from web.access import Db, Staff
from web.pages.page import locale_of, page

router = APIRouter(prefix="/console/arrivals")


@router.get("")
def show_arrivals(request: Request, db: Db, _caller: Staff, late: bool = False) -> Response:
    found = list_arrivals(db, now=utc_now())
    return page(
        request,
        "console/arrivals.html",
        rows=[_row(one, locale_of(request)) for one in found if one.late or not late],
        only_late=late,
        late=sum(one.late for one in found),
    )


def _row(one: Arrival, locale: str) -> dict[str, Any]:
    here = one.leg is Leg.GATEWAY and one.state is not ArrivalState.WAITING
    return {
        "source": one.source, "day": one.day, "due_at": one.due_at, "asked_at": one.asked_at,
        "status": "late" if one.late else one.state.value,
        "told": _told(locale, one.answer),
        "href": f"/console/reconciliations/{one.source}/{one.day}" if here else None,
    }  # fmt: skip


def _told(locale: str, answer: str | None) -> str:
    """Say what somebody answered when last asked for a file."""
    if answer is None:
        return ""
    return {
        "not_yet": look.say(locale, "They say: not yet."),
        "unknown": look.say(locale, "Their answer made no sense."),
        "unreachable": look.say(locale, "They could not be reached."),
    }.get(answer, answer.removeprefix("refused: "))
