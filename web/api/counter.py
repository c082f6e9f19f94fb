"""Agents take cash for us: they ask about a bill, tell of the cash, and of cash given back."""

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlmodel import Session

from core.clock import BILLING_ZONE, billing_date, utc_now
from core.settings import settings
from payments.counter import holds, over_the_counter
from payments.counter.holds import Rules
from payments.counter.models import CashState, CounterPayment
from payments.counter.over_the_counter import Cash
from payments.gateways.counter import AGENT_TXN_NO
from web.access import Agent, Db
from web.inputs import MAX_FEN, ShownAt

router = APIRouter(tags=["counter"], prefix="/counter")
Barcode = Annotated[
    str, Field(pattern=r"^[0-9 ]{18,40}$", examples=["900100000012345672610000086505"])
]
TxnNo = Annotated[str, Field(pattern=f"^{AGENT_TXN_NO}$")]


class CounterBillOut(BaseModel):
    """Whether cash may be taken for a code now. `reason` says why not; it is null when it may."""

    barcode: str
    payable: bool
    reason: str | None
    amount_fen: int | None = Field(description="to take from the payer, the fee in it")
    fee_fen: int
    company: str | None
    account_no_masked: str | None
    billing_month: date | None
    due_on: date | None
    held_until: datetime | None = Field(
        description="payable: the bill waits for you until then; being_paid: it is free again then"
    )


class CashIn(BaseModel):
    """Cash that is in your drawer."""

    barcode: Barcode
    amount_fen: int = Field(strict=True, ge=1, le=MAX_FEN)
    agent_txn_no: TxnNo
    paid_at: ShownAt


class CashOut(BaseModel):
    """What became of it. `give_back`: it is on no bill; give it back now and tell us so."""

    agent_txn_no: str
    state: CashState
    give_back: bool
    reason: str | None
    amount_fen: int
    payment_id: str | None
    received_at: datetime
    return_no: str | None = Field(description="of cash you gave back: write it into the day file")
    returned_at: datetime | None


@router.get("/bills/{barcode}")
def ask(barcode: Annotated[str, Path(max_length=60)], agent: Agent, db: Db) -> CounterBillOut:
    """Say whether a bill or order may be paid in cash now, and hold it for you if so."""
    found = holds.stand(db, barcode, _rules(agent), now=utc_now())
    return CounterBillOut(
        barcode=barcode,
        payable=found.reason is None,
        reason=found.reason,
        amount_fen=found.amount_fen,
        fee_fen=found.fee_fen,
        company=found.company,
        account_no_masked=found.account_no_masked,
        billing_month=found.billing_month,
        due_on=found.due_on,
        held_until=found.held_until,
    )


@router.post("/payments")
def report(body: CashIn, agent: Agent, db: Db) -> CashOut:
    """Tell of cash you took; the same `agent_txn_no` again is the same payment, for ever."""
    cash = Cash(
        agent_txn_no=body.agent_txn_no, barcode=body.barcode, amount_fen=body.amount_fen,
        paid_at=body.paid_at,
    )  # fmt: skip
    return _out(db, over_the_counter.take(db, agent, cash, now=utc_now()))


@router.get("/payments/{agent_txn_no}")
def read(agent_txn_no: Annotated[TxnNo, Path()], agent: Agent, db: Db) -> CashOut:
    """Say what became of cash you told us of, and whether we heard of it at all."""
    return _out(db, over_the_counter.get_cash(db, agent, agent_txn_no))


@router.post("/payments/{agent_txn_no}/reversal")
def give_back(agent_txn_no: Annotated[TxnNo, Path()], agent: Agent, db: Db) -> CashOut:
    """Tell that you give cash back that is on no bill; on its own day, before the cut-off."""
    until = _until(over_the_counter.get_cash(db, agent, agent_txn_no))
    return _out(db, over_the_counter.give_back(db, agent, agent_txn_no, until=until, now=utc_now()))


def _until(cash: CounterPayment) -> datetime:
    """Return the last moment at which an agent may give cash back."""
    day = billing_date(cash.paid_at)
    return datetime.combine(day, settings().counter_reversal_until, BILLING_ZONE)


def _rules(agent: str) -> Rules:
    chosen = settings()
    own = chosen.counter_agents[agent]
    return Rules(
        agent=agent, hold_minutes=chosen.counter_hold_minutes, most_fen=own.most_fen,
        days_after_due=chosen.counter_days_after_due, float_fen=own.float_fen,
    )  # fmt: skip


def _out(session: Session, cash: CounterPayment) -> CashOut:
    until, now = _until(cash), utc_now()
    return CashOut(
        agent_txn_no=cash.agent_txn_no,
        state=cash.state,
        give_back=over_the_counter.may_give_back(session, cash, until=until, now=now),
        reason=cash.reason,
        amount_fen=cash.amount_fen,
        payment_id=None if cash.payment_id is None else str(cash.payment_id),
        received_at=cash.received_at,
        return_no=cash.return_no,
        returned_at=cash.returned_at,
    )
