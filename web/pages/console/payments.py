"""The staff console: every payment, by what it is, and what we know of each behind the counter."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Invalid
from core.masking import mask_name
from identity import audit
from identity.audit import Deed, Subject
from identity.people import get_person
from payments.desk import listing
from payments.desk.facts import facts_of
from payments.desk.listing import Filter, Row
from payments.models import Payment, get_payment
from payments.returns.desk import cases_of
from payments.returns.models import is_disputed
from payments.states import PaymentStatus
from payments.views import view as payment_view
from providers.registry import PROVIDERS
from web.access import Caller, Db, Either
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import Id
from web.pages import looking
from web.pages.console.reconciliations import ledger_name
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind, Word, day_of, fen_of, one_of, query_of
from web.pages.page import locale_of, page
from web.pages.words.gateways import gateway_choices, gateway_of
from web.pages.words.residents import company_of

router = APIRouter(prefix="/console")
_HEAD = (
    "payment", "order_no", "status", "amount_yuan", "fee_yuan", "bills", "companies", "gateway",
    "gateway_ref", "channel", "started_at", "paid_at",
)  # fmt: skip


class Asked:
    """What the address asks for; what is left empty is not asked.

    What cannot be read is told on the page, and then nothing is looked for.
    """

    def __init__(
        self, state: Word = "", gateway: Word = "", company: Word = "", amount: Word = "",
        from_on: Word = "", to_on: Word = "", payer: Word = "", needs: Word = "",
    ) -> None:  # fmt: skip
        self.typed = {
            "state": state, "gateway": gateway, "company": company, "amount": amount,
            "from_on": from_on, "to_on": to_on, "payer": payer, "needs": needs,
        }  # fmt: skip

    def filter(self) -> Filter:
        """Return what is looked for.

        Raises:
            Invalid: no such state, no amount, no day, or nobody's number.
        """
        typed = self.typed
        payer = typed["payer"]
        if payer and not re.fullmatch(r"[0-9]{1,18}", payer):
            raise Invalid("a payer is a number", code="request.malformed")
        return Filter(
            status=one_of(PaymentStatus, typed["state"]),
            gateway=typed["gateway"] or None,
            from_on=day_of(typed["from_on"]),
            to_on=day_of(typed["to_on"]),
            amount_fen=fen_of(typed["amount"]),
            company=typed["company"] or None,
            payer_id=int(payer) if payer else None,
            needs_a_person=bool(typed["needs"]),
        )

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Wanted = Annotated[Asked, Depends(Asked)]


@router.get("/payments")
def show_payments(
    request: Request,
    db: Db,
    _caller: Either,
    asked: Wanted,
    after: After = None,
) -> Response:
    try:
        wanted, refused = asked.filter(), None
    except Invalid as wrong:
        wanted, refused = Filter(), wrong
    found = [] if refused else listing.find_payments(
        db, wanted, after=after, limit=listing.PAGE + 1
    )  # fmt: skip
    shown = found[: listing.PAGE]
    return page(
        request,
        "console/payments.html",
        status_code=422 if refused else 200,
        rows=shown,
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].payment.id if len(found) > listing.PAGE else None,
        states=[one.value for one in PaymentStatus],
        gateways=gateway_choices(request, request.app.state.gateways.values()),
        companies=[(code, provider_name(locale_of(request), code)) for code in PROVIDERS],
        gateway_of=gateway_of(request),
        company_of=company_of(request),
        refused=refused is not None,
    )


@router.get("/payments.{kind}")
def export_payments(caller: Either, asked: Wanted, kind: FileKind) -> StreamingResponse:
    """Answer with all that is filtered as a file; the log knows who has it."""
    wanted = asked.filter()
    with transaction() as session:
        audit.note_export(session, caller.id, "payments", kind, asked.query(), now=utc_now())
    rows = read_rows(lambda session: _cells(listing.every_payment(session, wanted)))
    return export(kind, name="payments", head=_HEAD, rows=rows)


def _cells(rows: Iterator[Row]) -> Iterator[list[Cell]]:
    for payment, companies, bills in rows:
        yield [
            str(payment.id), payment.order_no, payment.status.value, Yuan(payment.amount_fen),
            Yuan(payment.fee_fen + payment.fee_tax_fen), bills, " ".join(companies),
            payment.gateway, payment.gateway_ref, payment.channel, payment.created_at,
            payment.paid_at,
        ]  # fmt: skip


@router.get("/payments/{payment_id}")
def show_payment(request: Request, payment_id: Id, db: Db, caller: Either) -> Response:
    payment = get_payment(db, payment_id)
    looking.note_look(db, caller, Deed.PAYMENT_SEEN, Subject("payment", str(payment_id)))
    gateways, now = request.app.state.gateways, utc_now()
    label = gateway_of(request)(payment.gateway)
    shown = payment_view(db, payment, gateway_name=label, today=billing_date(now))
    return page(
        request,
        "console/payment.html",
        payment=payment,
        shown=shown,
        payer=_payer(db, payment, caller),
        facts=facts_of(db, payment),
        cases=cases_of(db, payment, gateways, now=now),
        disputed=is_disputed(db, payment_id),
        gateway_of=gateway_of(request),
        account_name=partial(ledger_name, locale_of(request)),
    )


def _payer(session: Session, payment: Payment, caller: Caller) -> dict[str, Any] | None:
    """Return who paid, masked; nobody of ours where cash was laid down."""
    if payment.payer_id is None:
        return None
    person = get_person(session, payment.payer_id)
    may_open = any(duty.value == "service" for duty in caller.duties)
    return {"id": person.id, "name": mask_name(person.name), "may_open": may_open}
