"""The staff console: refunds of all time, by how far they have come and when they began."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from identity import audit
from identity.colleagues import names_of
from payments.models import Payment
from payments.returns.lists import PAGE, RefundFilter, every_refund, find_refunds
from payments.returns.models import Refund, RefundStatus
from web import look
from web.access import Db, Service
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN
from web.pages.filters import FileKind, Word, day_of, one_of, query_of
from web.pages.page import locale_of, page
from web.pages.words.gateways import gateway_of

router = APIRouter(prefix="/console/refunds")
After = Annotated[str | None, Query(max_length=80, pattern=PLAIN)]


class By(StrEnum):
    """Who began a refund."""

    STAFF = "staff"
    ITSELF = "itself"


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, status: Word = "", by: Word = "", first: Word = "", last: Word = "") -> None:
        self.typed = {"status": status, "by": by, "first": first, "last": last}
        wanted_by = one_of(By, by)
        self.wanted = RefundFilter(
            status=one_of(RefundStatus, status), first_on=day_of(first), last_on=day_of(last),
            automatic=None if wanted_by is None else wanted_by is By.ITSELF,
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("/all")
def show_refunds(
    request: Request, db: Db, _caller: Service, asked: Filter, after: After = None
) -> Response:
    locale, paid_with = locale_of(request), gateway_of(request)
    found = find_refunds(db, asked.wanted, after=after, limit=PAGE + 1)
    shown = found[:PAGE]
    names = names_of(db, [one.refund.proposed_by for one in shown])
    return page(
        request,
        "console/refund_list.html",
        rows=[
            {
                "refund": one.refund,
                "order_no": one.payment.order_no,
                "gateway_name": paid_with(one.payment.gateway),
                "proposer": names.get(one.refund.proposed_by or 0),
                "came_back_at": one.came_back_at,
            }
            for one in shown
        ],
        statuses=[(one.value, _status(locale, one)) for one in RefundStatus],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_no=shown[-1].refund.refund_no if len(found) > PAGE else None,
    )


def _status(locale: str, status: RefundStatus) -> str:
    return look.macro_text(locale, "parts/refunds.html", "refund_pill", status.value)


def _reason(locale: str, refund: Refund) -> str:
    if refund.reason_code is not None:
        code = refund.reason_code.value
        return look.macro_text(locale, "parts/refunds.html", "reason_words", code)
    return look.macro_text(locale, "parts/refunds.html", "automatic_words", refund.reason)


@router.get("/all.{kind}")
def export_refunds(
    request: Request, kind: FileKind, db: Db, caller: Service, asked: Filter
) -> StreamingResponse:
    locale, paid_with = locale_of(request), gateway_of(request)
    audit.note_export(db, caller.id, "refunds", kind, asked.query(), now=utc_now())

    def row(refund: Refund, payment: Payment, came_back_at: datetime | None) -> list[Cell]:
        return [
            refund.refund_no, payment.order_no, paid_with(payment.gateway),
            refund.gateway_ref, Yuan(refund.amount_fen), Yuan(refund.to_send_fen),
            _status(locale, refund.status), _reason(locale, refund), refund.proposed_at,
            refund.approved_at, refund.requested_at, refund.succeeded_at, refund.declined_at,
            came_back_at,
        ]  # fmt: skip

    def read(session: Session) -> Iterator[list[Cell]]:
        for found in every_refund(session, asked.wanted):
            yield row(*found)

    head = [
        look.say(locale, "Refund"), look.say(locale, "Order"), look.say(locale, "Paid with"),
        look.say(locale, "Their reference"), look.say(locale, "Amount"),
        look.say(locale, "To send"), look.say(locale, "State"), look.say(locale, "Reason"),
        look.say(locale, "Proposed"), look.say(locale, "Approved"), look.say(locale, "Requested"),
        look.say(locale, "Sent"), look.say(locale, "Declined"), look.say(locale, "Came back to us"),
    ]  # fmt: skip
    return export(kind, name="refunds", head=head, rows=read_rows(read))
