"""Rows of the payments room. Amounts are integer fen."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from core.db import UtcDateTime, json_text, text_enum
from core.errors import IllegalTransition, NotFound
from payments.gateways.base import Asked, CallbackKind
from payments.states import (
    OUTCOME_MOVES,
    PAYMENT_MOVES,
    ItemNews,
    News,
    Outcome,
    PaymentStatus,
)


class Payment(SQLModel, table=True):
    """One attempt by a person to pay, through one gateway. ``order_no`` is its name there."""

    __tablename__ = "payment"
    __table_args__ = (
        # Nothing to pay (rule 7) asks no gateway: it is ``none``.
        CheckConstraint(
            "CASE WHEN gateway = 'none' THEN amount_fen = 0 ELSE amount_fen > 0 END",
            name="amount_positive",
        ),
        CheckConstraint(
            "fee_fen >= 0 AND fee_tax_fen >= 0 AND fee_fen + fee_tax_fen <= amount_fen",
            name="fee_within",
        ),
        CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name="paid_says_when"),
        CheckConstraint("payer_id IS NOT NULL OR gateway = 'counter'", name="payer_known"),
        UniqueConstraint("gateway", "gateway_ref"),
        Index(
            "ix_payment_gateway_paid_at", "gateway", "paid_at",
            postgresql_include=["amount_fen"],  # a day's money is summed up by the index alone
            postgresql_where=text("paid_at IS NOT NULL"),
        ),
        Index(
            "ix_payment_to_collect", "gateway",
            postgresql_where=text("status = 'open' AND mandate_ref IS NOT NULL"),
        ),
        # Staff page through them, the newest first (payments.desk.listing).
        Index("ix_payment_created_at", "created_at", "id"),
        Index("ix_payment_amount_fen", "amount_fen", "created_at", "id"),
        Index(
            "ix_payment_not_paid", "status", "created_at", "id",
            postgresql_where=text("status <> 'paid'"),
        ),
    )  # fmt: skip

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    # None: cash at a counter, of whoever laid it down.
    payer_id: int | None = Field(
        sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True, index=True)
    )
    gateway: str
    order_no: str = Field(unique=True)
    gateway_ref: str | None = None
    pay_url: str | None = None
    pay_code: str | None = None  # shown as a QR code
    # What a script hands to the wallet, or a form posts to pay_url.
    pay_fields: dict[str, str] | None = Field(default=None, sa_column=Column(json_text()))
    return_url: str
    channel: str = Field(
        default="web", sa_column=Column(String, nullable=False, server_default="web")
    )
    mode: str = Field(
        default="wallet", sa_column=Column(String, nullable=False, server_default="wallet")
    )
    amount_fen: int = Field(sa_type=BigInteger)  # the bills and the fee with its tax
    fee_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    fee_tax_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    mandate_ref: str | None = None  # of a debit: the payer is not there
    status: PaymentStatus = Field(
        default=PaymentStatus.CREATED, sa_column=Column(text_enum(PaymentStatus), nullable=False)
    )
    created_at: datetime = Field(sa_type=UtcDateTime)
    status_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    paid_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    def asked(self) -> Asked:
        """Return the order as its gateway is asked about it."""
        return Asked(
            order_no=self.order_no, amount_fen=self.amount_fen, asked_at=self.created_at,
            mode=self.mode, gateway_ref=self.gateway_ref,
        )  # fmt: skip

    def hear(self, news: News, *, now: datetime) -> bool:
        """Change state by the table; tells whether it did. The only writer of ``status``."""
        after = PAYMENT_MOVES[self.status].get(news)
        if after is None:
            return False
        self.status, self.status_at = after, now
        return True


class PaymentItem(SQLModel, table=True):
    """One bill in a payment, and what became of it.

    ``amount_fen`` less ``advance_fen`` goes to the bill. ``adjust_fen`` is what the chosen option
    changes of the bill: below zero a discount, above zero a surcharge. ``returned_fen`` is what
    refunds, from their proposal on, and lost chargebacks have taken of it: never more than all.
    """

    __tablename__ = "payment_item"
    __table_args__ = (
        CheckConstraint("amount_fen >= 0", name="amount_not_negative"),
        CheckConstraint("advance_fen BETWEEN 0 AND amount_fen", name="advance_within"),
        CheckConstraint("returned_fen BETWEEN 0 AND amount_fen", name="returned_within"),
        CheckConstraint(
            "adjust_fen = 0 OR (option_code IS NOT NULL AND advance_fen = 0)",
            name="adjusted_by_option",
        ),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
        Index("ix_payment_item_account_id_bill_id", "account_id", "bill_id"),
        Index(
            "ix_payment_item_unanswered", "outcome_at", postgresql_where=text("outcome = 'paid'")
        ),
        # An instalment is paid once (rule 15).
        Index(
            "ix_payment_item_option", "account_id", "bill_id", "option_code", unique=True,
            postgresql_where=text(
                "option_code LIKE 'instalment-%' AND outcome IN ('waiting', 'paid', 'written_off')"
            ),
        ),
    )  # fmt: skip

    payment_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("payment.id"), primary_key=True)
    )
    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    amount_fen: int = Field(sa_type=BigInteger)
    advance_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    adjust_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    returned_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    option_code: str | None = None
    write_off_no: str = Field(unique=True)  # the idempotency key at the company
    outcome: Outcome = Field(
        default=Outcome.WAITING, sa_column=Column(text_enum(Outcome), nullable=False)
    )
    outcome_at: datetime = Field(sa_type=UtcDateTime)
    utility_ref: str | None = None
    reason: str | None = None
    # When its company was last told in vain, and for how long it had been by then.
    tried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    tried_seconds: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )

    def hear(self, news: ItemNews, *, now: datetime) -> None:
        """Change the outcome by the table; the only writer of ``outcome``.

        Raises:
            IllegalTransition: what is heard cannot be true of an item in this state.
        """
        after = OUTCOME_MOVES[self.outcome].get(news)
        if after is None:
            raise IllegalTransition(f"an item that is {self.outcome} cannot be {news}")
        self.outcome, self.outcome_at = after, now


def refund_no_of(write_off_no: str) -> str:
    """Return the number under which a gateway sends back by itself what a bill cannot take."""
    return f"R{write_off_no[1:]}"


class ReceiptState(StrEnum):
    """What became of money that came unasked, twice, or in another amount."""

    SUSPENDED = "suspended"  # ours to explain; its way back is under way
    RETURNED = "returned"


class Receipt(SQLModel, table=True):
    """Money that arrived and is on no bill: a row of its own before anything is done with it.

    ``source`` is the institution it came through and ``source_ref`` that institution's own number,
    so the same number of two institutions is two moneys and the same of one is one (rule 38).
    """

    __tablename__ = "receipt"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint(
            "(state = 'returned') = (returned_at IS NOT NULL)", name="return_says_when"
        ),
        CheckConstraint("charged_back_fen BETWEEN 0 AND amount_fen", name="charged_back_within"),
        CheckConstraint("came_back_of IS NULL OR asked_at IS NULL", name="never_by_gateway"),
        UniqueConstraint("source", "source_ref"),
        Index("ix_receipt_suspended", "received_at", postgresql_where=text("state = 'suspended'")),
    )

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    source: str
    source_ref: str
    payment_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("payment.id"), nullable=False, index=True)
    )
    amount_fen: int = Field(sa_type=BigInteger)
    reason: str
    # Of money that had gone back and came back to its gateway: the number it had been sent under.
    came_back_of: str | None = Field(default=None, unique=True)
    state: ReceiptState = Field(
        default=ReceiptState.SUSPENDED, sa_column=Column(text_enum(ReceiptState), nullable=False)
    )
    received_at: datetime = Field(sa_type=UtcDateTime)
    # Of it, what the payer's bank took back before it was sent.
    charged_back_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    # When the gateway was first asked to send it back.
    asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    return_ref: str | None = None
    returned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def to_send_fen(self) -> int:
        return self.amount_fen - self.charged_back_fen


class GatewayCallback(SQLModel, table=True):
    """What a gateway told us, as it came, once; processed afterwards."""

    __tablename__ = "gateway_callback"
    __table_args__ = (
        UniqueConstraint("gateway", "external_id"),
        Index("ix_gateway_callback_reference", "reference"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    gateway: str
    external_id: str
    kind: CallbackKind = Field(
        default=CallbackKind.PAYMENT, sa_column=Column(text_enum(CallbackKind), nullable=False)
    )
    reference: str
    body: bytes = Field(sa_type=LargeBinary)
    received_at: datetime = Field(sa_type=UtcDateTime)
    processed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class IdempotentRequest(SQLModel, table=True):
    """The answer a request with an Idempotency-Key got, for 24 hours."""

    __tablename__ = "idempotent_request"

    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), primary_key=True))
    key: str = Field(primary_key=True)
    request_sha256: str
    payment_id: int = Field(sa_column=Column(BigInteger, ForeignKey("payment.id"), nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime)


def lock_payment(session: Session, payment_id: int) -> Payment:
    """Return a payment, locked until the transaction ends.

    Raises:
        NotFound: no such payment.
    """
    payment = session.get(Payment, payment_id, with_for_update=True)
    if payment is None:
        raise NotFound("there is no such payment")
    return payment


def get_payment(session: Session, payment_id: int) -> Payment:
    """Return a payment as it is now, whatever this session saw of it before.

    Raises:
        NotFound: no such payment.
    """
    payment = session.get(Payment, payment_id, populate_existing=True)
    if payment is None:
        raise NotFound("there is no such payment")
    return payment


def find_payment_by_order(session: Session, order_no: str) -> Payment | None:
    """Return the payment a gateway knows as ``order_no``."""
    return session.exec(select(Payment).where(Payment.order_no == order_no)).one_or_none()


def list_items(session: Session, payment_id: int) -> list[PaymentItem]:
    """Return a payment's items in the order of their write-off numbers."""
    wanted = select(PaymentItem).where(PaymentItem.payment_id == payment_id)
    return list(session.exec(wanted.order_by(col(PaymentItem.write_off_no))).all())


def list_receipts(session: Session, payment_id: int) -> list[Receipt]:
    """Return money that came for a payment, or came back, and is on no bill; oldest first."""
    wanted = select(Receipt).where(Receipt.payment_id == payment_id)
    return list(session.exec(wanted.order_by(col(Receipt.received_at), col(Receipt.id))).all())
