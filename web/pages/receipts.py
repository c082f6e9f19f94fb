"""The paper of a payment, for whoever made it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from billing.homes.households import visible_accounts
from core.clock import billing_date, utc_now
from core.errors import NotFound
from core.settings import settings
from identity.people import get_person
from payments.checkout import get_own_payment
from payments.receipt_paper import Paid, receipt_pdf
from payments.views import as_payer_sees, view
from web import access
from web.access import Db
from web.inputs import Id
from web.pages.page import locale_of
from web.pages.words.gateways import gateway_of

router = APIRouter()


@router.get("/payments/{payment_id}/receipt.pdf")
def receipt(request: Request, payment_id: Id, db: Db, caller: access.Payer) -> Response:
    """Give a payment's paper once it was made."""
    payment, now = get_own_payment(db, payment_id, caller.id), utc_now()
    if payment.paid_at is None:
        raise NotFound("there is no receipt: nothing was paid")
    label = gateway_of(request)(payment.gateway)
    shown = view(db, payment, gateway_name=label, today=billing_date(now))
    paid = Paid(
        shown=as_payer_sees(shown, visible_accounts(db, caller.id)), paid_at=payment.paid_at,
        payer_name=get_person(db, caller.id).name, order_no=payment.order_no,
        gateway_ref=payment.gateway_ref, page_url=f"{settings().public_url}/payments/{payment.id}",
        now=now,
    )  # fmt: skip
    return Response(
        receipt_pdf(paid, locale=locale_of(request)),
        media_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="receipt-{payment.order_no}.pdf"'},
    )
