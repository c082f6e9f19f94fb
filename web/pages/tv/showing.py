"""What a television shows: the household's bills, masked; amounts only once somebody asked.

A page holds what a screen holds, so nothing scrolls; where one is stands in the address, so that
BACK returns and nothing is remembered. After three minutes it is a neutral page.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from billing.documents.charts import usage_chart_svg
from billing.homes.households import find_household, visible_accounts
from billing.views import BillView
from core.clock import billing_date, utc_now
from core.errors import NotSignedIn
from core.masking import mask_name
from core.settings import settings
from notifications import television as television_news
from payments.checkout import MAX_BILLS
from web import look
from web.access import Anyone, Db, Television, Viewer, television
from web.inputs import Id
from web.pages.page import go, locale_of, page
from web.pages.pay_codes import pay_code_svg
from web.pages.usage_charts import Page
from web.pages.words.reasons import why_of

router = APIRouter()
A_SCREEN = 4  # bills
REST_SECONDS = 180
_MONTHS = 13  # the same month a year before is the first; more cannot be read from a sofa
_CHART = (760, 30, 22)  # a drawing as large as its place, so that nothing is drawn smaller
Shown = Annotated[bool, Query(alias="show")]
Refs = Annotated[list[str], Query(alias="bill", max_length=MAX_BILLS)]


@router.get("/tv/bills")
def list_bills(
    request: Request,
    db: Db,
    viewer: Television,
    at: Annotated[int, Query(ge=0, le=10_000)] = 0,
    show: Shown = False,
) -> Response:
    """Show what is to pay first, then what is under way and settled, a screen at a time."""
    found = _bills(db, viewer.person_id)
    due = [one for one in found if one.state.payable]
    ordered = [*sorted(due, key=lambda one: one.pay_by_on), *(b for b in found if b not in due)]
    household = find_household(db, viewer.person_id)
    return _screen(
        request, db, viewer, "tv/bills.html", bills=ordered[at : at + A_SCREEN], at=at, show=show,
        before=at - A_SCREEN if at else None,
        after=at + A_SCREEN if len(ordered) > at + A_SCREEN else None,
        count=len(ordered), due_count=len(due), due_fen=sum(one.open_fen for one in due),
        pay_path=_pay_path(due), household=mask_name(household.name) if household else "",
        screen=A_SCREEN,
    )  # fmt: skip


def _bills(session: Session, person_id: int) -> list[BillView]:
    accounts = visible_accounts(session, person_id)
    return bills.list_at_home(session, accounts, today=billing_date(utc_now()))


def _pay_path(due: Sequence[BillView]) -> str:
    return "/tv/pay?" + urlencode([("bill", one.ref) for one in due[:MAX_BILLS]]) if due else ""


@router.get("/tv/bills/{ref}")
def show_bill(
    request: Request, ref: str, db: Db, viewer: Television, at: int = 0, show: Shown = False
) -> Response:
    """Show one bill; its amounts once somebody asked."""
    facts = _of_bill(request, db, viewer, ref)
    return _screen(request, db, viewer, "tv/bill.html", at=at, show=show, **facts)


@router.get("/tv/bills/{ref}/chart")
def show_chart(
    request: Request, ref: str, db: Db, viewer: Television, at: int = 0, show: Shown = False
) -> Response:
    """Show what the account was billed month by month."""
    facts = _of_bill(request, db, viewer, ref)
    return _screen(request, db, viewer, "tv/chart.html", at=at, show=show, **facts)


def _of_bill(request: Request, db: Session, viewer: Television, ref: str) -> dict[str, Any]:
    today = billing_date(utc_now())
    accounts = visible_accounts(db, viewer.person_id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    history = bills.list_history(db, bill, accounts, today=today)
    points = [(one.billing_month, max(one.amount_fen, 0)) for one in history[-_MONTHS:]]
    locale = locale_of(request)
    label, month = look.say(locale, "Amounts of the last bills"), Page(locale, elder=False).month
    svg = usage_chart_svg(points, label=label, month=month, measures=_CHART)
    why = why_of(db, locale, bill, history)
    return {
        "bill": bill,
        "chart_svg": look.plain_svg(svg),
        "pay_path": _pay_path([bill]) if bill.state.payable else "",
        "why": why.last_month,
        "year": why.last_year,
    }


@router.get("/tv/pay")
def hand_over(request: Request, db: Db, viewer: Television, refs: Refs) -> Response:
    """Hand bills over to the phone, and say how far they are: the bills themselves tell it."""
    wanted = set(refs)
    chosen = [one for one in _bills(db, viewer.person_id) if one.ref in wanted]
    if not chosen:
        return go("/tv/bills")
    left = [one for one in chosen if one.state.payable]
    url = f"{settings().public_url}/pay/now?" + urlencode([("bill", one.ref) for one in left])
    return _screen(
        request, db, viewer, "tv/pay.html", bills=chosen, left=left,
        qr=pay_code_svg(url) if left else None,
        paying=[one for one in chosen if one.state == "in_payment"],
        site=settings().public_url.partition("://")[2],
    )  # fmt: skip


@router.get("/tv/notices/{notice_id}")
def show_notice(request: Request, notice_id: Id, db: Db, viewer: Television) -> Response:
    """Show what somebody pressed OK for, amounts and all; it is read from then on."""
    notice = television_news.read(db, viewer.person_id, notice_id, now=utc_now())
    return _screen(
        request, db, viewer, "tv/notice.html",
        title=notice.title, body=notice.body, words_lang=notice.locale.replace("_", "-"),
        created_at=notice.created_at,
    )  # fmt: skip


@router.get("/tv/rest", dependencies=[Anyone])
def rest(request: Request, db: Db) -> Response:
    """Show nothing of anybody, but that something waits for whose television it is."""
    try:
        viewer = television(request)
    except NotSignedIn:
        return page(request, "tv/rest.html", news=None, look_again=False)
    news = television_news.news(db, viewer.person_id, now=utc_now())
    return page(request, "tv/rest.html", news=news, look_again=True)


def _screen(
    request: Request, session: Session, viewer: Viewer, name: str, **context: Any
) -> Response:
    """Render a page of somebody's, with what there is to tell them."""
    news = television_news.news(session, viewer.person_id, now=utc_now())
    return page(request, name, news=news, rest_seconds=REST_SECONDS, **context)
