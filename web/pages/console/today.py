"""The staff console's first page: what needs a person, and the city's money at a glance."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from sqlmodel import Session

from billing.documents.day_charts import Point, columns_drawing, hours_drawing
from billing.documents.fonts import require_fonts
from billing.documents.svg import as_svg
from billing.files.gaps import find_gaps
from core.backlog import MOST, NEWS, Behind, find_behind
from core.clock import billing_date, day_bounds, utc_now
from core.jobs import count_dead
from core.money import format_yuan
from identity.duties import Duty
from payments.figures import attention, today_figures
from payments.reconciliation import standing
from payments.reconciliation.gateway.sources import with_files
from payments.reconciliation.models import BreakKind, Leg
from payments.reconciliation.repair import workbench
from payments.takings import DayTaken, days_taken, taken_by_now
from providers.registry import PROVIDERS
from support.listing import count_overdue
from web import look
from web.access import Caller, Db, Staff
from web.pages.file_views import missing_numbers
from web.pages.page import locale_of, page
from web.pages.words.gateways import gateway_of

router = APIRouter(prefix="/console")
TREND_DAYS = 14
WEEK = 7
BEHIND_AFTER = timedelta(minutes=1)  # what waits for so long, waits for a worker
_CHART = {"width": 340, "height": 150, "size": 11}


@router.get("")
def home(request: Request, db: Db, caller: Staff) -> Response:
    now = utc_now()
    today = billing_date(now)
    counted = workbench.glance(db, now=now)
    return page(
        request,
        "console/home.html",
        attention=_attention(request, db, caller, today, _breaks(counted)),
        figures=today_figures(db),
        money=_money(request, db, now),
        yesterday=today - timedelta(days=1),
        legs=_legs(db, today - timedelta(days=1), now),
        bill_files=standing.bill_files_between(db, *day_bounds(today)),
        counted=counted,
        most=workbench.MOST,
        queues=[_queue(one, now) for one in find_behind(db, now=now)],
        shown_at=now,
    )


class Notice(NamedTuple):
    """Something that waits for a person; ``what`` names the sentence that counts it.

    ``told``: which ones, where that is short.
    """

    what: str
    kind: str
    how_many: int
    href: str | None
    duties: frozenset[Duty] = frozenset(Duty)  # whose page it leads to
    or_more: bool = False  # so many were counted, and no further
    told: str = ""


_MONEY, _CARE, _SETUP = (frozenset({one}) for one in (Duty.FINANCE, Duty.SERVICE, Duty.SETUP))


def _breaks(counted: Sequence[workbench.Counted]) -> Notice:
    """Count differences to explain: what is only late is none."""
    wanted = [one for one in counted if one.kind is not BreakKind.LATE]
    return Notice(
        "breaks", "warning", sum(one.all for one in wanted), "/console/breaks", _MONEY,
        or_more=any(one.or_more for one in wanted),
    )  # fmt: skip


def _missing_files(locale: str, session: Session) -> Notice:
    gaps = find_gaps(session, PROVIDERS, now=utc_now())
    return Notice(
        "missing_files", "warning", sum(gap.how_many for gap in gaps), "/console/bill-files",
        _SETUP, told=missing_numbers(locale, gaps, named=True),
    )  # fmt: skip


def _attention(
    request: Request, session: Session, caller: Caller, today: date, breaks: Notice
) -> list[Notice]:
    """List what somebody should look at, worst first; links only where the caller may go."""
    sources = with_files(request.app.state.gateways)
    found = attention(session, gateways=sources, today=today)
    refused_at = f"/console/bill-files/{found.refused_in_file}"
    wanted = [
        Notice("dead_jobs", "error", count_dead(session), None),
        breaks,
        Notice("refused_files", "warning", found.refused_files, "/console/bill-files", _SETUP),
        _missing_files(locale_of(request), session),
        Notice("refused_corrections", "warning", found.refused_corrections, refused_at, _SETUP),
        Notice("missing_bills", "warning", found.missing_bills, None),
        Notice("overdue_complaints", "warning", count_overdue(session, now=utc_now()),
               "/console/complaints?overdue=1", _CARE),
        Notice("open_chargebacks", "warning", found.open_chargebacks, "/console/chargebacks",
               _CARE),
        Notice("waiting_transfers", "warning", found.waiting_transfers, "/console/refunds", _CARE),
        Notice("proposed_refunds", "info", found.proposed_refunds, "/console/refunds", _CARE),
        Notice("remittances", "info", found.remittances, "/console/remittances", _MONEY),
        Notice("proposed_terms", "info", found.proposed_terms, "/console/terms", _SETUP),
        Notice("unclosed_days", "info", found.unclosed_days, "/console/days", _MONEY),
        Notice("unreconciled_days", "info", found.unreconciled_days, "/console/reconciliations",
               _MONEY),
    ]  # fmt: skip
    return [
        one if caller.duties & one.duties else one._replace(href=None)
        for one in wanted
        if one.how_many
    ]


def _money(request: Request, session: Session, now: datetime) -> dict[str, Any]:
    """Return what came in today, beside other days until this time, and the last fortnight."""
    locale = locale_of(request)
    trend = days_taken(session, billing_date(now), days=TREND_DAYS)
    before_fen = taken_by_now(session, (1, WEEK), now=now)
    today, yesterday = trend[-1], trend[-2]
    return {
        "amount_fen": today.amount_fen,
        "payments": today.payments,
        "compared": [
            {"days": days, "amount_fen": fen, "percent": _percent(today.amount_fen, fen)}
            for days, fen in zip((1, WEEK), before_fen, strict=True)
        ],
        "gateways": [
            one._asdict() | {"name": gateway_of(request)(one.gateway)} for one in today.by_gateway
        ],
        "hours_svg": _hours(locale, today, yesterday),
        "trend_svg": _trend(locale, trend),
    }


def _percent(amount_fen: int, of_fen: int) -> int | None:
    """Return by how many percent more or less an amount is; None beside nothing."""
    return (amount_fen - of_fen) * 100 // of_fen if of_fen else None


def _hours(locale: str, today: DayTaken, before: DayTaken) -> Markup:
    require_fonts()
    label = look.say(locale, "Money in by hour: today as columns, yesterday as a line")
    drawn = hours_drawing(today.by_hour_fen, before.by_hour_fen, **_CHART)
    told = [f"{hour}:00 {format_yuan(fen)}" for hour, fen in enumerate(today.by_hour_fen) if fen]
    return look.plain_svg(as_svg(drawn, label=label, figures="; ".join(told)))


def _trend(locale: str, days: Sequence[DayTaken]) -> Markup:
    require_fonts()
    label = look.say(locale, "Money in by day, the last fourteen days")
    points = [Point(f"{one.day.month}-{one.day.day}", one.amount_fen) for one in days]
    drawn = columns_drawing(points, strong=len(points) - 1, **_CHART)
    told = [f"{one.day} {format_yuan(one.amount_fen)}" for one in days]
    return look.plain_svg(as_svg(drawn, label=label, figures="; ".join(told)))


_AT = {
    Leg.GATEWAY: "/console/reconciliations",
    Leg.COMPANY: "/console/company-lists",
    Leg.BANK: "/console/bank",
}


def _legs(session: Session, day: date, now: datetime) -> list[dict[str, Any]]:
    """Return how yesterday stands with each leg: what is matched, and which files are here."""
    matched = standing.matched_on(session, day)
    return [
        {
            "leg": files.leg.value,
            "href": _AT[files.leg],
            "matched": standing.together(matched, files.leg),
            "files": files,
        }
        for files in standing.files_of(session, day, now=now)
    ]


def _queue(one: Behind, now: datetime) -> dict[str, Any]:
    waited = now - one.oldest_at
    return {
        "name": one.queue,
        "is_news": one.queue == NEWS,
        "how_many": one.how_many,
        "or_more": one.how_many >= MOST,
        "minutes": int(waited.total_seconds()) // 60,
        "behind": waited > BEHIND_AFTER,
    }
