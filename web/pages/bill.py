"""A bill on its own: the page a person understands, and the paper of it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from markupsafe import Markup
from sqlmodel import Session

from billing import bills
from billing.documents.barcodes import barcode_digits, code_128_svg, grouped
from billing.documents.charts import usage_chart_svg
from billing.documents.pdf import bill_pdf
from billing.homes.at_home import look_at_home
from billing.homes.households import visible_accounts
from billing.papers import BillPaper, PaperKind, get_paper, list_papers
from billing.readings import get_reading
from billing.rows import AnyAccount
from billing.rules.payable import Offer
from billing.views import BillView
from core.clock import billing_date, utc_now
from core.errors import Invalid
from core.settings import settings
from payments.autopay.views import find_run_of_bill
from payments.quotes import offers_shown
from payments.traces import find_traces
from payments.views import find_payment_of_bill
from providers.registry import get_provider
from web import look
from web.access import Db, Looker, Resident
from web.inputs import PLAIN
from web.pages.page import edition_of, locale_of, page
from web.pages.usage_charts import Page
from web.pages.words.reasons import why_of

router = APIRouter()
Sha256 = Annotated[str, Path(max_length=64, pattern=PLAIN)]
_CHARTED: Final = 13
_CHART: Final = {"plain": (330, 28, 15), "elder": (330, 36, 20)}  # its measures
_COMPARED: Final = 26  # a year back, however many bills a month has


@router.get("/bills/{ref}.pdf")
def bill_document(ref: str, db: Db, caller: Resident) -> Response:
    today = billing_date(utc_now())
    accounts = visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    return pdf_response(
        bill, _history(db, bill, accounts), offers_shown(db, [bill], now=utc_now())[bill.ref]
    )


def pdf_response(
    bill: BillView, history: list[BillView], offers: tuple[Offer, ...] = ()
) -> Response:
    """Answer with a bill as PDF, to be shown or kept under a name that says what it is."""
    provider = get_provider(bill.account.provider_code)
    content = bill_pdf(
        bill,
        biller_no=provider.biller_no,
        phone=provider.phone,
        pay_url=f"{settings().public_url}/bills/{bill.ref}",
        now=utc_now(),
        history=[(one.billing_month, one.amount_fen) for one in history[-_CHARTED:]],
        offers=offers,
    )
    name = f"{provider.code}-{bill.billing_month:%Y-%m}-{bill.bill_no}.pdf"
    coded = quote(name, safe="")  # a company numbers its bills as it likes
    said = f'filename="{name}"' if coded == name else f"filename*=UTF-8''{coded}"
    return Response(
        content,
        media_type="application/pdf",
        headers={"Content-Disposition": f"inline; {said}"},
    )


@router.get("/bills/{ref}")
def show_bill(request: Request, ref: str, look: Looker) -> Response:
    with look() as (db, caller):
        shown = bill_of_person(request, db, ref, caller.id)
    counter = _counter_code(request, shown["bill"]) if shown["may_pay"] else None
    return page(request, "bill.html", **shown, counter=counter)


def bill_of_person(request: Request, session: Session, ref: str, person_id: int) -> dict[str, Any]:
    """Return what the page of one of somebody's bills shows, but the code to pay it by.

    Raises:
        NotFound: no such bill, or not one of theirs.
    """
    today, locale = billing_date(utc_now()), locale_of(request)
    mine = look_at_home(session, person_id)
    bill, history = bills.get_with_history(
        session, bills.parse_ref(ref), mine.accounts, today=today, limit=_COMPARED
    )
    key = bills.parse_ref(bill.ref)  # a reminder's reference leads to its bill
    has = find_traces(session, key)
    earlier = [one for one in history if one.ref != bill.ref]
    points = [(one.billing_month, max(one.amount_fen, 0)) for one in history[-_CHARTED:]]
    label = look.say(locale, "Amounts of the last bills")
    papers = list_papers(session, key) if has.papers else []
    return {
        "bill": bill,
        "may_pay": bill.account.account_id in mine.payable,
        "offers": offers_shown(session, [bill], now=utc_now())[bill.ref],
        "versions": bills.list_versions(session, key) if has.versions else [],
        "reminders": bills.list_reminders(session, key) if has.reminders else [],
        "why": why_of(session, locale, bill, history),
        "chart_svg": _chart(request, points, label) if earlier else None,
        "payment_ref": find_payment_of_bill(session, key, person_id) if has.payment else None,
        "autopay": find_run_of_bill(session, key, person_id) if has.autopay else None,
        "reading": get_reading(session, key, bill.version) if has.reading else None,
        "invoices": [one for one in papers if one.kind.is_invoice],
        "photo": next((one for one in papers if not one.kind.is_invoice), None),
    }


@router.get("/bills/{ref}/papers/{sha256}")
def show_paper(ref: str, sha256: Sha256, db: Db, caller: Resident) -> Response:
    """Hand out one of the company's papers, as it came."""
    accounts = visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=billing_date(utc_now()))
    paper = get_paper(db, bills.parse_ref(bill.ref), sha256, accounts)
    name = paper_name(bill, paper)
    # What a browser might run is never shown in it; a PDF has a viewer of its own.
    way = "inline" if paper.kind is PaperKind.INVOICE_PDF else "attachment"
    return Response(
        paper.content,
        media_type=paper.media_type,
        headers={"Content-Disposition": f'{way}; filename="{name}"'},
    )


def paper_name(bill: BillView, paper: BillPaper) -> str:
    """Return the name a paper is kept under: whose it is, of which month, its number."""
    what = paper.invoice_no or "meter"
    return f"{bill.account.provider_code}-{bill.billing_month:%Y-%m}-{what}.{paper.end}"


def _counter_code(request: Request, bill: BillView) -> tuple[str, Markup] | None:
    """Return the digits and the bars to pay a bill by at a counter, where it has a barcode."""
    if not bill.state.payable or bill.open_fen <= 0:
        return None
    biller_no = get_provider(bill.account.provider_code).biller_no
    try:
        digits = barcode_digits(biller_no, bill.account_no, bill.billing_month, bill.open_fen)
    except Invalid:
        return None  # its account number does not fit: the counter asks for it
    label = look.say(locale_of(request), "Barcode for counters and shops")
    return grouped(digits), look.plain_svg(code_128_svg(digits, label=label))


def _chart(request: Request, points: Sequence[tuple[date, int]], label: str) -> Markup:
    edition = edition_of(request)
    who = Page(locale_of(request), elder=edition == "elder")
    svg = usage_chart_svg(points, label=label, month=who.month, measures=_CHART[edition])
    return look.plain_svg(svg)


def _history(db: Session, bill: BillView, accounts: Mapping[int, AnyAccount]) -> list[BillView]:
    today = billing_date(utc_now())
    return bills.list_history(db, bill, accounts, today=today, limit=_COMPARED)
