"""Autopay by API: agree once, and bills are debited on their day."""

from contextlib import suppress
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field

from billing.homes.households import find_household
from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid, NotFound, UpstreamUnavailable
from core.settings import settings
from payments.autopay import mandates, views
from payments.autopay.mandates import Scope
from payments.autopay.models import get_own_mandate
from payments.autopay.rules import CapKind, FirstBill, NotPaid, PayDay, Rules
from payments.autopay.states import MandateStatus, RunState
from payments.autopay.views import MandateView, RunView
from payments.callbacks import notify_url
from web.access import Caller, Db, Resident
from web.inputs import MAX_FEN, PLAIN, Id

router = APIRouter(tags=["mandates"])
CapFen = Annotated[int, Field(strict=True, ge=1, le=MAX_FEN)]


class MandateIn(BaseModel):
    """What somebody agrees to; `docs/autopay.md` explains each rule."""

    account_id: int | None = Field(
        default=None, ge=1, lt=1 << 63,
        description="the part of a bill's id before the dot; left out: all of the household's",
    )  # fmt: skip
    gateway: str = Field(max_length=40)
    cap: CapKind
    cap_fen: CapFen | None = None
    first_bill: FirstBill = FirstBill.SAME
    first_factor: int = Field(default=2, ge=2, le=3)
    pay_day: PayDay = PayDay.DUE
    pay_day_n: int | None = Field(default=None, ge=1, le=28)
    in_parts: bool = Field(default=False, description="half, when there is not enough for all")
    return_url: str | None = Field(
        default=None, max_length=500, pattern=PLAIN,
        description="must be on this service's own address",
    )  # fmt: skip

    def rules(self) -> Rules:
        return Rules(
            cap_kind=self.cap, cap_fen=self.cap_fen, first_bill=self.first_bill,
            first_factor=self.first_factor, pay_day=self.pay_day, pay_day_n=self.pay_day_n,
            in_parts=self.in_parts,
        )  # fmt: skip


class MandateChange(BaseModel):
    """Pause, resume, or another cap; what is left out stays."""

    paused: bool | None = None
    cap_fen: CapFen | None = None


class RunOut(BaseModel):
    bill_id: str
    state: RunState
    reason: NotPaid | None
    amount_fen: int | None
    paid_fen: int | None
    debit_on: date
    announced_at: datetime | None
    payment_id: str | None


class MandateOut(BaseModel):
    id: str
    status: MandateStatus
    reason: str | None
    account_id: int | None
    gateway: str
    cap: CapKind
    cap_fen: int | None
    first_bill: FirstBill
    first_factor: int
    pay_day: PayDay
    pay_day_n: int | None
    in_parts: bool
    sign_url: str | None
    created_at: datetime
    enrolled_at: datetime | None
    ahead: list[RunOut]
    past: list[RunOut]


@router.post("/mandates", status_code=201)
def create(
    request: Request,
    body: MandateIn,
    caller: Resident,
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255, pattern=PLAIN)],
) -> MandateOut:
    """Set autopay up; send the payer to `sign_url`, where they agree.

    The same `Idempotency-Key` with the same body is the same mandate for 24 hours; with another
    body it is refused.
    """
    gateway, now = mandates.debiting(request.app.state.gateways, body.gateway), utc_now()
    url = settings().public_url
    if body.return_url is not None and not body.return_url.startswith(f"{url}/"):
        raise Invalid("return_url must be on this service's own address", code="return_url.foreign")
    with transaction() as session:
        scope = Scope(account_id=body.account_id)
        if body.account_id is None:
            household = find_household(session, caller.id)
            if household is None:
                raise NotFound("there is no such account or household")
            scope = Scope(household_id=household.id)
        made = mandates.create_mandate(
            session, person_id=caller.id, scope=scope, gateway=body.gateway, rules=body.rules(),
            return_url=body.return_url or f"{url}/autopay/{{mandate}}", key=idempotency_key,
            now=now,
        )  # fmt: skip
    with suppress(UpstreamUnavailable):  # its job asks on: read it again for the page
        mandates.sign(made.id or 0, gateway, notify_url=notify_url(url, body.gateway), now=now)
    return _read(caller, made.id or 0)


@router.get("/mandates")
def list_all(db: Db, caller: Resident) -> list[MandateOut]:
    """Return one's mandates, the newest first, each with what comes next and what became."""
    return [_out(one) for one in views.list_views(db, caller.id, now=utc_now())]


@router.get("/mandates/{mandate_id}")
def read(mandate_id: Id, caller: Resident) -> MandateOut:
    """Return a mandate."""
    return _read(caller, mandate_id)


@router.patch("/mandates/{mandate_id}")
def change(mandate_id: Id, body: MandateChange, caller: Resident) -> MandateOut:
    """Pause or resume a mandate, or change its cap up to what was signed."""
    now = utc_now()
    with transaction() as session:
        if body.cap_fen is not None:
            mandates.change_cap(session, mandate_id, caller.id, body.cap_fen, now=now)
        if body.paused is not None:
            act = mandates.pause if body.paused else mandates.resume
            act(session, mandate_id, caller.id, now=now)
    return _read(caller, mandate_id)


@router.delete("/mandates/{mandate_id}")
def end(mandate_id: Id, caller: Resident) -> MandateOut:
    """End a mandate for good: nothing more is debited by it."""
    with transaction() as session:
        mandates.end(session, mandate_id, caller.id, now=utc_now())
    return _read(caller, mandate_id)


def _read(caller: Caller, mandate_id: int) -> MandateOut:
    with transaction() as session:
        mandate = get_own_mandate(session, mandate_id, caller.id)
        return _out(views.view(session, mandate, now=utc_now()))


def _out(one: MandateView) -> MandateOut:
    rules = one.rules
    return MandateOut(
        id=str(one.id), status=one.status, reason=one.reason,
        account_id=one.account.account_id if one.account else None, gateway=one.gateway,
        cap=rules.cap_kind, cap_fen=rules.cap_fen, first_bill=rules.first_bill,
        first_factor=rules.first_factor, pay_day=rules.pay_day, pay_day_n=rules.pay_day_n,
        in_parts=rules.in_parts, sign_url=one.sign_url, created_at=one.created_at,
        enrolled_at=one.enrolled_at, ahead=[_run_out(run) for run in one.ahead],
        past=[_run_out(run) for run in one.past],
    )  # fmt: skip


def _run_out(run: RunView) -> RunOut:
    return RunOut(
        bill_id=run.bill.ref, state=run.state, reason=run.reason, amount_fen=run.amount_fen,
        paid_fen=run.paid_fen, debit_on=run.debit_on, announced_at=run.announced_at,
        payment_id=str(run.payment_id) if run.payment_id else None,
    )  # fmt: skip
