"""The staff console: payments their payers' banks dispute, with the days that matter."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.clock import utc_now
from payments.gateways import gateway_label
from payments.returns import chargebacks
from web.access import Db, Staff
from web.pages.page import page

router = APIRouter(prefix="/console/chargebacks")


@router.get("")
def show_chargebacks(request: Request, db: Db, _caller: Staff) -> Response:
    now, gateways = utc_now(), request.app.state.gateways
    listed = chargebacks.list_chargebacks(db)
    order_nos = chargebacks.order_nos(db, listed)
    return page(
        request,
        "console/chargebacks.html",
        rows=[
            {
                "one": one,
                "order_no": order_nos[one.payment_id],
                "gateway_name": gateway_label(gateways, one.gateway),
                "urgent": chargebacks.is_urgent(one, now=now),
            }
            for one in listed
        ],
    )
