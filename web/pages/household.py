"""A household's bills: all of them on one page, and each on its own."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import Markup
from sqlmodel import Session

from billing import bills
from billing.documents.barcodes import barcode_digits, code_128_svg, grouped
from billing.documents.charts import usage_chart_svg
from billing.documents.pdf import bill_pdf
from billing.households import account_view, find_household, visible_accounts
from billing.models import UtilityAccount
from billing.rules.payable import Offer
from billing.views import BillState, BillView
from core.clock import billing_date, utc_now
from core.errors import Invalid
from core.settings import settings
from identity.models import Role
from notifications.notices import list_inbox, mark_read
from payments.autopay.views import find_run_of_bill
from payments.quotes import offers_shown
from payments.views import find_payment_of_bill
from providers.registry import get_provider
from web import look
from web.access import Db, Resident
from web.pages.page import go, locale_of, page

router = APIRouter()
_UNDER_WAY = {BillState.IN_PAYMENT, BillState.PAID}


@router.get("/")
def home(request: Request, db: Db, caller: Resident) -> Response:
    household = find_household(db, caller.id)
    if household is None and caller.role is Role.STAFF:
        return go("/console")
    accounts = visible_accounts(db, caller.id)
    shown = bills.list_bills(db, accounts, today=billing_date(utc_now()))
    due = sorted((bill for bill in shown if bill.state.payable), key=lambda bill: bill.pay_by_on)
    credits_fen = _credits_left(shown)
    return page(
        request,
        "home.html",
        household_name=household.name if household else "",
        due_total_fen=sum(bill.open_fen for bill in due),
        due_count=len(due),
        next_due_on=due[0].pay_by_on if due else None,
        credits_fen=credits_fen,
        credit_fen=sum(credits_fen.values()),
        due=due,
        in_progress=[bill for bill in shown if bill.state in _UNDER_WAY],
        settled=[b for b in shown if not b.state.payable and b.state not in _UNDER_WAY],
        accounts=[account_view(account) for account in accounts.values()],
    )


def _credits_left(shown: list[BillView]) -> dict[int, int]:
    """Return by account what companies owe: never taken off what is due, only shown beside it."""
    left: dict[int, int] = {}
    for bill in shown:
        if bill.state is BillState.CREDIT:
            account_id = bill.account.account_id
            left[account_id] = left.get(account_id, 0) - bill.open_fen
    return left


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
        history=[(one.billing_month, one.amount_fen) for one in history],
        offers=offers,
    )
    name = f"{provider.code}-{bill.billing_month:%Y-%m}-{bill.bill_no}.pdf"
    return Response(
        content,
        media_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{name}"'},
    )


@router.get("/bills/{ref}")
def show_bill(request: Request, ref: str, db: Db, caller: Resident) -> Response:
    today = billing_date(utc_now())
    accounts = visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    key = bills.parse_ref(bill.ref)  # a reminder's reference leads to its bill
    history = _history(db, bill, accounts)
    at = next((n for n, one in enumerate(history) if one.ref == bill.ref), 0)
    points = [(one.billing_month, max(one.amount_fen, 0)) for one in history]
    label = look.say(locale_of(request), "Amounts of the last bills")
    return page(
        request,
        "bill.html",
        bill=bill,
        offers=offers_shown(db, [bill], now=utc_now())[bill.ref],
        versions=bills.list_versions(db, key),
        reminders=bills.list_reminders(db, key),
        previous=history[at - 1] if at > 0 else None,
        chart_svg=look.plain_svg(usage_chart_svg(points, label=label)) if at > 0 else None,
        payment_ref=find_payment_of_bill(db, key, caller.id),
        autopay=find_run_of_bill(db, key, caller.id),
        counter=_counter_code(request, bill),
    )


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


def _history(db: Session, bill: BillView, accounts: dict[int, UtilityAccount]) -> list[BillView]:
    account = accounts[bill.account.account_id]
    return bills.list_history(db, bill, account, today=billing_date(utc_now()))


@router.get("/notices")
def show_notices(request: Request, db: Db, caller: Resident) -> Response:
    found = list_inbox(db, caller.id)
    shown = [
        {
            "subject": one.title,
            "body": one.body,
            "created_at": one.created_at,
            "unread": one.read_at is None,
        }
        for one in found
    ]
    mark_read(db, found, now=utc_now())
    return page(request, "notices.html", notices=shown)
