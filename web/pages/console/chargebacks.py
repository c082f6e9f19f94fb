"""The staff console: payments their payers' banks dispute, with the days that matter."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from identity import audit
from payments.returns import chargebacks
from payments.returns.lists import PAGE, ChargebackFilter, every_chargeback, find_chargebacks
from payments.returns.models import ChargebackState
from web import look
from web.access import Db, Service
from web.exports import Cell, Yuan, export, read_rows
from web.pages.filters import After, FileKind, Word, one_of, query_of
from web.pages.page import locale_of, page
from web.pages.words.gateways import gateway_choices, gateway_of

router = APIRouter(prefix="/console/chargebacks")
_ANY = "any"  # none in the address means open


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, state: Word = "", gateway: Word = "") -> None:
        self.typed = {"state": state, "gateway": gateway}
        chosen = one_of(ChargebackState, state) if state != _ANY else None
        self.wanted = ChargebackFilter(
            state=chosen if state else ChargebackState.OPEN, gateway=gateway or None
        )

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_chargebacks(
    request: Request, db: Db, _caller: Service, asked: Filter, after: After = None
) -> Response:
    now, locale, paid_with = utc_now(), locale_of(request), gateway_of(request)
    found = find_chargebacks(db, asked.wanted, after=after, limit=PAGE + 1)
    shown = found[:PAGE]
    order_nos = chargebacks.order_nos(db, shown)
    return page(
        request,
        "console/chargebacks.html",
        rows=[
            {
                "one": one,
                "order_no": order_nos[one.payment_id],
                "gateway_name": paid_with(one.gateway),
                "urgent": chargebacks.is_urgent(one, now=now),
            }
            for one in shown
        ],
        states=[(one.value, _state(locale, one)) for one in ChargebackState],
        gateways=gateway_choices(request, request.app.state.gateways.values()),
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > PAGE else None,
    )


def _state(locale: str, state: ChargebackState) -> str:
    return look.macro_text(locale, "parts/refunds.html", "chargeback_pill", state.value)


@router.get(".{kind}")
def export_chargebacks(
    request: Request, kind: FileKind, db: Db, caller: Service, asked: Filter
) -> StreamingResponse:
    locale, paid_with = locale_of(request), gateway_of(request)
    audit.note_export(db, caller.id, "chargebacks", kind, asked.query(), now=utc_now())

    def read(session: Session) -> Iterator[list[Cell]]:
        for some in every_chargeback(session, asked.wanted):
            order_nos = chargebacks.order_nos(session, some)
            for one in some:
                yield [
                    one.dispute_ref, paid_with(one.gateway),
                    order_nos[one.payment_id], Yuan(one.amount_fen), Yuan(one.fee_fen),
                    Yuan(one.fee_returned_fen), Yuan(one.borne_fen), _state(locale, one.state),
                    one.reason, one.opened_at, one.evidence_due_at, one.decided_at,
                ]  # fmt: skip

    head = [
        look.say(locale, "Dispute"), look.say(locale, "Gateway"), look.say(locale, "Order"),
        look.say(locale, "Amount"), look.say(locale, "The gateway’s fee"),
        look.say(locale, "Fee given back"), look.say(locale, "Lost to us"),
        look.say(locale, "State"), look.say(locale, "Reason"), look.say(locale, "Opened"),
        look.say(locale, "Evidence until"), look.say(locale, "Decided"),
    ]  # fmt: skip
    return export(kind, name="chargebacks", head=head, rows=read_rows(read))
