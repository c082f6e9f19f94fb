"""Leave to pay an account by what only its papers say: for guests, and for somebody else's bill."""

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from billing.homes.challenges import pass_challenge, read_answer
from billing.homes.pay_grants import GRANT_TIME, admit, list_granted_bills
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity.guests import receipt_address
from web.access import Visitor
from web.inputs import PLAIN
from web.pages.guest import client_of

router = APIRouter(tags=["payments"])


class ProofIn(BaseModel):
    """An account and one thing its papers say: `amount_yuan` or `holder_name`."""

    provider: str = Field(default="", max_length=40, pattern=PLAIN)
    account_no: str = Field(
        max_length=64,
        pattern=PLAIN,
        description="as on the bill, or the thirty digits under its barcode, without a provider",
    )
    amount_yuan: str = Field(
        default="", max_length=20, pattern=PLAIN, description="of one of the last three bills"
    )
    holder_name: str = Field(default="", max_length=200, pattern=PLAIN)
    email: str = Field(
        default="", max_length=200, pattern=PLAIN, description="where a guest's receipt goes"
    )


class OpenBillOut(BaseModel):
    bill_id: str
    provider: str
    account_no_masked: str
    billing_month: str
    pay_by_on: str
    open_fen: int
    in_payment: bool


class PayGrantOut(BaseModel):
    """`token` is a new guest's: send it as `Authorization: Bearer …`; null: you had one."""

    token: str | None
    expires_at: datetime
    bills: list[OpenBillOut]


@router.post("/pay-grants", status_code=201)
def create(request: Request, body: ProofIn, caller: Visitor) -> PayGrantOut:
    """Let the caller pay an account for half an hour; without a session, as a guest.

    An unknown account, a wrong proof and one that was tried five times today are the same 404.
    """
    now, address = utc_now(), receipt_address(body.email)
    with transaction() as session:
        told = read_answer(
            session, body.provider, body.account_no, amount_yuan=body.amount_yuan,
            name=body.holder_name, now=now,
        )  # fmt: skip
    secret = settings().secret_key.get_secret_value()
    passed = pass_challenge(
        told, client=client_of(request), person_id=caller.id if caller else None, secret=secret,
        now=now,
    )  # fmt: skip
    with transaction() as session:
        admitted = admit(
            session, passed, person_id=caller.id if caller else None, email=address,
            locale="zh_CN", now=now,
        )  # fmt: skip
        bills = list_granted_bills(session, admitted.person_id, now=now)
    return PayGrantOut(
        token=admitted.token,
        expires_at=now + GRANT_TIME,
        bills=[
            OpenBillOut(
                bill_id=bill.ref,
                provider=bill.account.provider_code,
                account_no_masked=bill.account.account_no_masked,
                billing_month=f"{bill.billing_month:%Y-%m}",
                pay_by_on=bill.pay_by_on.isoformat(),
                open_fen=bill.open_fen,
                in_payment=not bill.state.payable,
            )
            for bill in bills
        ],
    )
