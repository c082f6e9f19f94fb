"""Rows of cash taken by agents. Amounts are integer fen."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum


class CashState(StrEnum):
    """What became of cash that lies in an agent's drawer."""

    BOOKED = "booked"  # a bill or order took it
    SUSPENDED = "suspended"  # recorded, and on no bill: to be given back
    UNMATCHED = "unmatched"  # no bill or order of ours: the agent's to explain
    RETURNED = "returned"  # the agent gave it back, with our leave


class CounterPayment(SQLModel, table=True):
    """Cash an agent took, once and for ever (rules 38, 39): the row is made whatever becomes of it.

    ``source_ref`` is its name in the books: of the payment, or of the receipt it is suspended as.
    """

    __tablename__ = "counter_payment"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("(state = 'unmatched') = (payment_id IS NULL)", name="payment_if_matched"),
        CheckConstraint(
            "(state = 'returned') = (returned_at IS NOT NULL AND return_no IS NOT NULL)",
            name="return_says_when",
        ),
        CheckConstraint("(state = 'booked') = (reason IS NULL)", name="no_bill_says_why"),
        CheckConstraint("received_via IN ('api', 'file')", name="received_via"),
        Index("ix_counter_payment_agent_paid_at", "agent", "paid_at"),
    )

    agent: str = Field(primary_key=True)
    agent_txn_no: str = Field(primary_key=True)
    barcode: str
    amount_fen: int = Field(sa_type=BigInteger)
    paid_at: datetime = Field(sa_type=UtcDateTime)
    received_at: datetime = Field(sa_type=UtcDateTime)
    received_via: str
    state: CashState = Field(sa_column=Column(text_enum(CashState), nullable=False))
    reason: str | None = None  # why it is on no bill: a code of docs/counter.md
    payment_id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, ForeignKey("payment.id"), nullable=True, index=True),
    )
    return_no: str | None = None
    returned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class CounterHold(SQLModel, table=True):
    """Whose cash a payment waits for: the agent that asked about its bill."""

    __tablename__ = "counter_hold"

    payment_id: int = Field(
        sa_column=Column(
            BigInteger, ForeignKey("payment.id"), primary_key=True, autoincrement=False
        )
    )
    agent: str
