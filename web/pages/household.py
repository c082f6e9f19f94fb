"""A household's bills: all of them on one page, and each on its own."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from billing.charts import usage_chart_svg
from billing.documents import bill_pdf
from billing.households import account_view, find_household, visible_accounts
from billing.models import UtilityAccount
from billing.views import BillState, BillView
from core.clock import billing_date, utc_now
from core.settings import settings
from identity.models import Role
from notifications.notices import list_inbox, mark_read
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
    due = sorted((bill for bill in shown if bill.state.payable), key=lambda bill: bill.due_on)
    return page(
        request,
        "home.html",
        household_name=household.name if household else "",
        due_total_fen=sum(bill.open_fen for bill in due),
        due_count=len(due),
        next_due_on=due[0].due_on if due else None,
        due=due,
        in_progress=[bill for bill in shown if bill.state in _UNDER_WAY],
        settled=[b for b in shown if not b.state.payable and b.state not in _UNDER_WAY],
        accounts=[account_view(account) for account in accounts.values()],
    )


@router.get("/bills/{ref}.pdf")
def bill_document(ref: str, db: Db, caller: Resident) -> Response:
    today = billing_date(utc_now())
    accounts = visible_accounts(db, caller.id)
    bill = bills.get_bill(db, bills.parse_ref(ref), accounts, today=today)
    return pdf_response(bill, _history(db, bill, accounts))


def pdf_response(bill: BillView, history: list[BillView]) -> Response:
    """Answer with a bill as PDF, to be shown or kept under a name that says what it is."""
    provider = get_provider(bill.account.provider_code)
    content = bill_pdf(
        bill,
        biller_no=provider.biller_no,
        phone=provider.phone,
        pay_url=f"{settings().public_url}/bills/{bill.ref}",
        now=utc_now(),
        history=[(one.billing_month, one.amount_fen) for one in history],
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
    key = bills.parse_ref(ref)
    bill = bills.get_bill(db, key, accounts, today=today)
    history = _history(db, bill, accounts)
    at = next((n for n, one in enumerate(history) if one.ref == bill.ref), 0)
    points = [(one.billing_month, max(one.amount_fen, 0)) for one in history]
    label = look.say(locale_of(request), "Amounts of the last bills")
    return page(
        request,
        "bill.html",
        bill=bill,
        previous=history[at - 1] if at > 0 else None,
        chart_svg=look.plain_svg(usage_chart_svg(points, label=label)) if at > 0 else None,
        payment_ref=find_payment_of_bill(db, key, caller.id),
    )


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
