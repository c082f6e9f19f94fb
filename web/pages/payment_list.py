"""A person's payments, each with its receipt, and as a file."""

from collections.abc import Iterator
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from payments import own
from web import look
from web.access import Db, Resident
from web.exports import Cell, Yuan, export, read_rows
from web.pages.filters import After, FileKind, Word, query_of
from web.pages.page import locale_of, page
from web.pages.words.gateways import gateway_of
from web.pages.words.residents import company_of

router = APIRouter()


@router.get("/payments")
def show_payments(
    request: Request, db: Db, caller: Resident, q: Word = "", after: After = None
) -> Response:
    """Show a page of them; ``q`` is the end of a number that stands on one."""
    ending = "".join(q.split())
    found = own.list_payments(db, caller.id, ending=ending, after=after, limit=own.PAGE + 1)
    shown, more = found[: own.PAGE], len(found) > own.PAGE
    return page(
        request,
        "payments.html",
        rows=shown,
        company_of=company_of(request),
        gateway_of=gateway_of(request),
        q=q,
        first=f"/payments?{query_of({'q': q})}",
        next=f"/payments?{query_of({'q': q}, after=shown[-1].id)}" if more else None,
        paged=after is not None,
    )


@router.get("/payments.{kind}")
def export_payments(request: Request, caller: Resident, kind: FileKind) -> StreamingResponse:
    """Answer with all of somebody's own payments as a file."""
    locale = locale_of(request)
    head = [
        look.say(locale, "Payment no."), look.say(locale, "Order no."), look.say(locale, "State"),
        look.say(locale, "Amount"), look.say(locale, "Fee"), look.say(locale, "Bills"),
        look.say(locale, "Companies"), look.say(locale, "Paid with"),
        look.say(locale, "Started"), look.say(locale, "Paid at"),
    ]  # fmt: skip
    rows = read_rows(partial(_rows, request, caller.id))
    return export(kind, name=look.say(locale, "My payments"), head=head, rows=rows)


def _rows(request: Request, person_id: int, session: Session) -> Iterator[list[Cell]]:
    locale, named, paid_with = locale_of(request), company_of(request), gateway_of(request)
    for one in own.every_payment(session, person_id):
        yield [
            str(one.id), one.order_no,
            look.macro_text(locale, "parts/ui.html", "payment_pill", one.status.value),
            Yuan(one.amount_fen), Yuan(one.fee_fen), one.bills,
            " ".join(named(code) for code in one.companies),
            paid_with(one.gateway), one.created_at, one.paid_at,
        ]  # fmt: skip
