"""The staff console: refunds proposed, approved, and sent by transfer where no gateway can."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.bills import format_ref, parse_ref
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from core.money import parse_yuan
from core.settings import settings
from identity.audit import Deed, Subject
from identity.people import get_person
from payments.models import Payment, Receipt, get_payment, list_items
from payments.reconciliation.bank import acts as bank_acts
from payments.returns import gone_gateways, staff_refunds, transfers
from payments.returns.desk import case_of, cases_of, desk, find_payments
from payments.returns.models import BankTransfer, Refund, RefundReason, is_disputed
from payments.returns.receipts import receipt_of
from payments.returns.refunds import get_refund
from payments.returns.staff_refunds import Wish
from payments.returns.suspense import get_receipt
from payments.states import Outcome
from payments.views import view as payment_view
from web.access import Caller, Db, Service
from web.errors import status_of
from web.inputs import MAX_FEN, PLAIN, Csrf, Id, Text
from web.pages import looking
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.gateways import gateway_of
from web.pages.words.refunds import refusal

router = APIRouter(prefix="/console/refunds")
Line = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Number = Annotated[str, Path(max_length=80, pattern=r"^[RSB][0-9A-Za-z-]+$")]
Shown = Annotated[int, Form(ge=0, le=MAX_FEN)]


@router.get("")
def show_desk(request: Request, db: Db, _caller: Service) -> Response:
    return _desk_page(request, db, "", [])


@router.post("")
def search(request: Request, db: Db, caller: Service, csrf: Csrf, wanted: Line) -> Response:
    """Find a payment; in the body, because addresses are kept by browsers and proxies."""
    check_form(request, csrf)
    found = find_payments(db, wanted, request.app.state.gateways, now=utc_now())
    if wanted.strip():
        looking.note_look(db, caller, Deed.RESIDENTS_SOUGHT, None, payments=len(found))
    return _desk_page(request, db, wanted, found)


def _desk_page(request: Request, session: Session, wanted: str, found: list[Payment]) -> Response:
    gateways, now, paid_with = request.app.state.gateways, utc_now(), gateway_of(request)
    return page(
        request,
        "console/refunds.html",
        desk=desk(session, gateways, now=now),
        wanted=wanted,
        found=[{"payment": one, "gateway_name": paid_with(one.gateway)} for one in found],
        now=now,
    )


@router.get("/of/{payment_id}")
def show_payment(request: Request, payment_id: Id, db: Db, caller: Service) -> Response:
    return _payment_page(request, db, caller, payment_id, typed=None, refused=None)


@router.post("/of/{payment_id}")
def propose(
    request: Request,
    payment_id: Id,
    db: Db,
    caller: Service,
    csrf: Csrf,
    bill: Text,
    amount: Line,
    refundable_fen: Shown,
    reason: Line,
    words: Words,
    key: Text,
) -> Response:
    check_form(request, csrf)
    typed = {"bill": bill, "amount": amount, "reason": reason, "words": words}
    try:
        wish = Wish(
            payment_id, parse_ref(bill), _fen(amount), refundable_fen, _reason(reason), words
        )
        with transaction() as session:
            refund = staff_refunds.propose(
                session, wish, by=caller.id, key=key,
                approval_above_fen=settings().refund_approval_above_fen, now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        return _payment_page(request, db, caller, payment_id, typed=typed, refused=refused)
    return go(f"/console/refunds/{refund.refund_no}")


def _fen(amount: str) -> int:
    try:
        return parse_yuan(amount.strip())
    except CityBillError:
        raise Invalid("write the amount in yuan, as 86.50", code="refund.amount") from None


def _reason(code: str) -> RefundReason:
    if code not in {*RefundReason}:
        raise Invalid("choose a reason", code="refund.no_reason")
    return RefundReason(code)


def _payment_page(
    request: Request,
    session: Session,
    caller: Caller,
    payment_id: int,
    *,
    typed: dict[str, str] | None,
    refused: CityBillError | None,
) -> Response:
    """Show a payment's bills, what is left of each, and the form for a refund."""
    payment, gateways, now = get_payment(session, payment_id), request.app.state.gateways, utc_now()
    looking.note_look(session, caller, Deed.PAYMENT_SEEN, Subject("payment", str(payment_id)))
    label = gateway_of(request)(payment.gateway)
    shown = payment_view(session, payment, gateway_name=label, today=billing_date(now))
    items = list_items(session, payment.id)
    return page(
        request,
        "console/refund_payment.html",
        status_code=status_of(refused) if refused else 200,
        payment=shown,
        order_no=payment.order_no,
        lines=[
            {
                "view": one,
                "ref": format_ref((item.account_id, item.bill_id)),
                "left_fen": item.amount_fen - item.returned_fen,
                "open": item.outcome is Outcome.WRITTEN_OFF and item.returned_fen < item.amount_fen,
            }
            for one, item in zip(shown.items, items, strict=True)
        ],
        cases=cases_of(session, payment, gateways, now=now),
        disputed=is_disputed(session, payment.id),
        threshold_fen=settings().refund_approval_above_fen,
        reasons=[one.value for one in RefundReason],
        typed=typed or {"bill": "", "amount": "", "reason": "", "words": ""},
        key=secrets.token_urlsafe(16),
        error=refusal(locale_of(request), refused),
    )


@router.get("/{number}")
def show_refund(request: Request, number: Number, db: Db, caller: Service) -> Response:
    if bank_acts.suspense_of(number) is not None:  # of no payment: its difference has it all
        return go(f"/console/breaks/{bank_acts.break_of(db, number)}")
    return _refund_page(request, db, number, caller, refused=None)


@router.post("/{number}/approval")
def approve(request: Request, number: Number, db: Db, caller: Service, csrf: Csrf) -> Response:
    check_form(request, csrf)
    act = partial(staff_refunds.approve, by=caller.id, now=utc_now())
    return _do(request, db, number, caller, act)


@router.post("/{number}/decline")
def decline(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, reason: Words
) -> Response:
    check_form(request, csrf)
    act = partial(staff_refunds.decline, by=caller.id, reason=reason, now=utc_now())
    return _do(request, db, number, caller, act)


@router.post("/{number}/by-bank")
def send_by_bank(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, reason: Words
) -> Response:
    """Have our bank send what a gateway that is not installed any more was asked for."""
    check_form(request, csrf)
    act = partial(
        gone_gateways.send_by_bank, gateways=request.app.state.gateways, reason=reason,
        by=caller.id, now=utc_now(),
    )  # fmt: skip
    return _do(request, db, number, caller, act)


@router.post("/{number}/payee")
def enter_payee(
    request: Request,
    number: Number,
    db: Db,
    caller: Service,
    csrf: Csrf,
    name: Line,
    bank: Line,
    account: Line,
) -> Response:
    check_form(request, csrf)
    act = partial(
        transfers.enter_payee, name=name, bank=bank, account=account, by=caller.id,
        secret_key=settings().secret_key.get_secret_value(),
        approval_above_fen=settings().refund_approval_above_fen, now=utc_now(),
    )  # fmt: skip
    return _do(request, db, number, caller, act)


@router.post("/{number}/payee/none")
def clear_payee(request: Request, number: Number, db: Db, caller: Service, csrf: Csrf) -> Response:
    check_form(request, csrf)
    return _do(request, db, number, caller, transfers.clear_payee)


@router.post("/{number}/payee/whole")
def show_account(request: Request, number: Number, db: Db, caller: Service, csrf: Csrf) -> Response:
    """Show the payee's whole account to who is about to send the money; that is noted."""
    check_form(request, csrf)
    secret_key = settings().secret_key.get_secret_value()
    try:
        with transaction() as session:
            account = transfers.show_account(
                session, number, by=caller.id, secret_key=secret_key, now=utc_now()
            )
    except CityBillError as refused:
        return _refund_page(request, db, number, caller, refused=refused)
    return _refund_page(request, db, number, caller, refused=None, account=account)


@router.post("/{number}/sent")
def confirm_sent(
    request: Request, number: Number, db: Db, caller: Service, csrf: Csrf, bank_ref: Line
) -> Response:
    check_form(request, csrf)
    act = partial(staff_refunds.confirm_sent, bank_ref=bank_ref, by=caller.id, now=utc_now())
    return _do(request, db, number, caller, act)


def _do(
    request: Request, db: Session, number: str, caller: Caller, act: Callable[..., object]
) -> Response:
    """Do one thing to a refund, and show what came of it or why not."""
    try:
        with transaction() as session:
            act(session, number)
    except CityBillError as refused:
        return _refund_page(request, db, number, caller, refused=refused)
    return go(f"/console/refunds/{number}")


def _refund_page(
    request: Request,
    session: Session,
    number: str,
    caller: Caller,
    *,
    refused: CityBillError | None,
    account: str | None = None,
) -> Response:
    """Show one refund, or suspended money, with what may be done."""
    row = _find(session, number)
    refund = row if isinstance(row, Refund) else None
    payment = get_payment(session, row.payment_id)
    looking.note_look(session, caller, Deed.PAYMENT_SEEN, Subject("payment", str(payment.id)))
    transfer = transfers.find_transfer(session, number)
    return page(
        request,
        "console/refund.html",
        status_code=status_of(refused) if refused else 200,
        number=number,
        payment=payment,
        refund=refund,
        case=case_of(session, row, payment, request.app.state.gateways, now=utc_now()),
        transfer=transfer,
        waits=transfers.is_waiting(transfer),
        stuck=gone_gateways.is_stuck(session, row, payment, request.app.state.gateways),
        account=account,
        names=_names(session, refund, transfer),
        may=_may(payment, refund, transfer, caller),
        disputed=is_disputed(session, payment.id),
        error=refusal(locale_of(request), refused),
    )


def _find(session: Session, number: str) -> Refund | Receipt:
    receipt_id = receipt_of(number)
    return get_refund(session, number) if receipt_id is None else get_receipt(session, receipt_id)


def _names(
    session: Session, refund: Refund | None, transfer: BankTransfer | None
) -> dict[str, str]:
    """Return who did what, by what they did."""
    rows = [(refund, ("proposed_by", "approved_by", "declined_by"))] if refund else []
    rows += [(transfer, ("payee_by", "sent_by"))] if transfer else []  # type: ignore[list-item]
    who = {name: getattr(row, name) for row, names in rows for name in names}
    return {name: get_person(session, one).name for name, one in who.items() if one is not None}


def _may(
    payment: Payment, refund: Refund | None, transfer: BankTransfer | None, caller: Caller
) -> dict[str, bool]:
    """Return what this person may do: the page offers no more, and the rules hold all the same."""
    own = refund is not None and refund.proposed_by == caller.id
    same = transfer is not None and transfer.needs_two and transfer.payee_by == caller.id
    approve = not own and payment.payer_id != caller.id
    return {"approve": approve, "withdraw": own, "confirm": not same}
