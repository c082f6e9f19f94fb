"""Rows of money on its way back: refunds, transfers from our own bank, and chargebacks."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, exists, select

from core.db import UtcDateTime, text_enum
from core.errors import Conflict, IllegalTransition
from payments.gateways.base import RefundOrder
from payments.models import Payment


class RefundStatus(StrEnum):
    PROPOSED = "proposed"  # waits for a second person; nothing is in the books
    REQUESTED = "requested"  # in the books; nobody outside has been asked
    PENDING = "pending"  # the gateway has been asked, and is asked again until it says
    BY_TRANSFER = "by_transfer"  # the gateway cannot: our own bank sends it
    SUCCEEDED = "succeeded"
    DECLINED = "declined"  # by a second person, or withdrawn by the first
    CHARGED_BACK = "charged_back"  # the payer's bank took it before it was sent


_S = RefundStatus
REFUND_MOVES: dict[RefundStatus, frozenset[RefundStatus]] = {
    _S.PROPOSED: frozenset({_S.REQUESTED, _S.DECLINED}),
    _S.REQUESTED: frozenset({_S.PENDING, _S.BY_TRANSFER, _S.SUCCEEDED, _S.CHARGED_BACK}),
    _S.PENDING: frozenset({_S.REQUESTED, _S.BY_TRANSFER, _S.SUCCEEDED}),
    _S.BY_TRANSFER: frozenset({_S.SUCCEEDED, _S.CHARGED_BACK}),
    _S.SUCCEEDED: frozenset(),
    _S.DECLINED: frozenset(),
    _S.CHARGED_BACK: frozenset(),
}
UNDER_WAY = frozenset({_S.REQUESTED, _S.PENDING, _S.BY_TRANSFER})  # it stands on ``returns``


class RefundReason(StrEnum):
    """Why staff send money back; the resident is told this and not their own words."""

    PAID_TWICE = "paid_twice"  # here and elsewhere
    WRONG_BILL = "wrong_bill"
    BILLED_TOO_MUCH = "billed_too_much"
    ACCOUNT_CLOSED = "account_closed"
    NOT_BY_PAYER = "not_by_payer"  # somebody else used their card or wallet
    OTHER = "other"


_TOLD: dict[RefundReason, str] = {
    RefundReason.PAID_TWICE: "重复缴费 · paid twice",
    RefundReason.WRONG_BILL: "缴错账单 · the wrong bill was paid",
    RefundReason.BILLED_TOO_MUCH: "账单多计 · billed too much",
    RefundReason.ACCOUNT_CLOSED: "户号已销户 · the account is closed",
    RefundReason.NOT_BY_PAYER: "非本人支付 · not paid by the owner of the card or wallet",
    RefundReason.OTHER: "经人工核定 · decided by our staff",
}


_BEGAN_AT = text("coalesce(proposed_at, requested_at)")


class Refund(SQLModel, table=True):
    """Money of one payment item on its way back to who paid. ``refund_no`` is its name there.

    One that nobody proposed is automatic: the bill could not take the money. Of ``amount_fen``,
    ``advance_fen`` was paid above the bill and ``fee_fen`` is the payment's fee with its tax, which
    goes back with the last of the payment's bills. ``charged_back_fen`` of it the payer's bank took
    before it was sent: the rest is to send.
    """

    __tablename__ = "refund"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("fee_fen BETWEEN 0 AND amount_fen", name="fee_within"),
        CheckConstraint("advance_fen BETWEEN 0 AND amount_fen - fee_fen", name="advance_within"),
        CheckConstraint(
            "(status = 'succeeded') = (succeeded_at IS NOT NULL)", name="success_says_when"
        ),
        CheckConstraint(
            "num_nulls(proposed_by, proposed_at, reason_code, idempotency_key, request_sha256)"
            " IN (0, 5)", name="proposed_whole",
        ),
        CheckConstraint(
            "(requested_at IS NULL) = (status IN ('proposed', 'declined'))", name="in_books_when"
        ),
        CheckConstraint("proposed_by IS NOT NULL OR requested_at IS NOT NULL", name="by_somebody"),
        CheckConstraint("approved_by <> proposed_by", name="two_people"),
        CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="approval_says_when"),
        CheckConstraint(
            "NOT needs_two OR requested_at IS NULL OR approved_by IS NOT NULL",
            name="approved_if_needed",
        ),
        CheckConstraint(
            "(status = 'declined') = (declined_at IS NOT NULL)", name="decline_says_when"
        ),
        CheckConstraint("charged_back_fen BETWEEN 0 AND amount_fen", name="charged_back_within"),
        CheckConstraint(
            "(status = 'charged_back') = (charged_back_fen = amount_fen)", name="charged_back_whole"
        ),
        Index(
            "ix_refund_automatic", "payment_id", "account_id", "bill_id", unique=True,
            postgresql_where=text("proposed_by IS NULL"),
        ),
        Index("ix_refund_payment_id", "payment_id"),
        Index(
            "ix_refund_under_way", "status",
            postgresql_where=text("status NOT IN ('succeeded', 'declined', 'charged_back')"),
        ),
        # The console's list, whole and by state.
        Index("ix_refund_began", _BEGAN_AT, "refund_no"),
        Index("ix_refund_of_status", "status", _BEGAN_AT, "refund_no"),
        UniqueConstraint("proposed_by", "idempotency_key"),
        ForeignKeyConstraint(
            ["payment_id", "account_id", "bill_id"],
            ["payment_item.payment_id", "payment_item.account_id", "payment_item.bill_id"],
        ),
    )  # fmt: skip

    refund_no: str = Field(primary_key=True)
    payment_id: int = Field(sa_type=BigInteger)
    account_id: int = Field(sa_type=BigInteger)
    bill_id: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)
    fee_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    advance_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    reason: str
    reason_code: RefundReason | None = Field(
        default=None, sa_column=Column(text_enum(RefundReason))
    )
    status: RefundStatus = Field(
        default=RefundStatus.REQUESTED, sa_column=Column(text_enum(RefundStatus), nullable=False)
    )
    needs_two: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    proposed_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    proposed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    idempotency_key: str | None = None
    request_sha256: str | None = None
    approved_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    declined_by: int | None = Field(  # none: nobody, a lost dispute left nothing to send back
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    declined_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    decline_reason: str | None = None
    requested_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    asked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    gateway_ref: str | None = None
    succeeded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    charged_back_fen: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )

    @property
    def item_key(self) -> tuple[int, int, int]:
        return self.payment_id, self.account_id, self.bill_id

    @property
    def item_fen(self) -> int:
        """What of it was paid for the bill, or above it."""
        return self.amount_fen - self.fee_fen

    @property
    def to_send_fen(self) -> int:
        return self.amount_fen - self.charged_back_fen

    @property
    def told(self) -> str:
        """The reason as the payer and the gateway are told it: what staff wrote stays here."""
        return self.reason if self.reason_code is None else _TOLD[self.reason_code]

    def order(self, payment: Payment) -> RefundOrder:
        """Return what the payment's gateway is asked to send back, as of when it first was."""
        assert self.asked_at is not None
        return RefundOrder(
            refund_no=self.refund_no, amount_fen=self.to_send_fen or self.amount_fen,
            reason=self.told,
            asked_at=self.asked_at, paid=payment.asked(),
        )  # fmt: skip

    def move_to(self, status: RefundStatus) -> None:
        """Change state, or raise IllegalTransition; the only writer of ``status``."""
        if status not in REFUND_MOVES[self.status]:
            raise IllegalTransition(
                f"a refund that is {self.status} cannot become {status}: look at it again",
                code="refund.state",
            )
        self.status = status


class TransferReason(StrEnum):
    """Why money does not go back the way it came."""

    CASH = "cash"
    NEVER = "never"  # this gateway sends nothing back
    WINDOW_SHUT = "window_shut"
    NO_PARTS = "no_parts"  # it sends back all or nothing
    TOO_MANY = "too_many"  # of one order
    REFUSED = "refused"  # it said no, for good
    NO_GATEWAY = "no_gateway"  # it is not installed any more
    UNKNOWN = "unknown"  # it came into our bank, and nobody knows what for
    CAME_BACK = "came_back"  # it had been sent, and came back to the gateway


class BankTransfer(SQLModel, table=True):
    """Money that goes back from our own bank account: staff send it, and say that they have.

    ``number`` is a refund's, a suspended receipt's, or that of a bank's entry, which is of no
    payment. The payee's account is sealed.
    """

    __tablename__ = "bank_transfer"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint(
            "num_nulls(payee_name, payee_bank, payee_account_sealed, payee_account_masked,"
            " payee_by, payee_at) IN (0, 6)", name="payee_whole",
        ),
        CheckConstraint("num_nulls(sent_by, sent_at, bank_ref) IN (0, 3)", name="sent_whole"),
        CheckConstraint("sent_at IS NULL OR payee_at IS NOT NULL", name="sent_to_somebody"),
        CheckConstraint("NOT needs_two OR sent_by <> payee_by", name="two_people"),
        CheckConstraint("sent_at IS NULL OR dropped_at IS NULL", name="not_both"),
        Index(
            "ix_bank_transfer_waiting", "opened_at",
            postgresql_where=text("sent_at IS NULL AND dropped_at IS NULL"),
        ),
    )  # fmt: skip

    number: str = Field(primary_key=True)
    payment_id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, ForeignKey("payment.id"), nullable=True, index=True),
    )
    amount_fen: int = Field(sa_type=BigInteger)
    why: TransferReason = Field(sa_column=Column(text_enum(TransferReason), nullable=False))
    gateway_said: str | None = None
    opened_at: datetime = Field(sa_type=UtcDateTime)
    needs_two: bool = Field(default=False)
    payee_name: str | None = None
    payee_bank: str | None = None
    payee_account_sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    payee_account_masked: str | None = None
    payee_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    payee_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    sent_by: int | None = Field(default=None, sa_column=Column(BigInteger, ForeignKey("person.id")))
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    bank_ref: str | None = Field(default=None, unique=True)
    dropped_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # it went another way


class ChargebackState(StrEnum):
    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Chargeback(SQLModel, table=True):
    """Money a payer's bank took back from the gateway, and the gateway from us.

    Of a lost one the last five amounts say who bore it: bills' companies, money that was on its way
    back anyway, our fee and the tax on it, and what had gone back before: our own loss.
    """

    __tablename__ = "chargeback"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("fee_returned_fen BETWEEN 0 AND fee_fen", name="fee_within"),
        CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="decided_says_when"),
        CheckConstraint(
            "least(bills_fen, waiting_fen, service_fee_fen, service_tax_fen, borne_fen) >= 0"
            " AND bills_fen + waiting_fen + service_fee_fen + service_tax_fen + borne_fen"
            " = CASE WHEN state = 'lost' THEN amount_fen ELSE 0 END", name="borne_whole",
        ),
        UniqueConstraint("gateway", "dispute_ref"),
        # The console's lists: of open ones by the last day for evidence, of all by their beginning.
        Index(
            "ix_chargeback_open", text("coalesce(evidence_due_at, 'infinity')"), "id",
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_chargeback_opened_at", "opened_at", "id"),
    )  # fmt: skip

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    gateway: str
    dispute_ref: str
    payment_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("payment.id"), nullable=False, index=True)
    )
    amount_fen: int = Field(sa_type=BigInteger)
    fee_fen: int = Field(default=0, sa_type=BigInteger)  # the gateway's, for the dispute
    fee_returned_fen: int = Field(default=0, sa_type=BigInteger)
    reason: str | None = None
    state: ChargebackState = Field(
        default=ChargebackState.OPEN, sa_column=Column(text_enum(ChargebackState), nullable=False)
    )
    opened_at: datetime = Field(sa_type=UtcDateTime)
    evidence_due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    bills_fen: int = Field(default=0, sa_type=BigInteger)
    waiting_fen: int = Field(default=0, sa_type=BigInteger)
    service_fee_fen: int = Field(default=0, sa_type=BigInteger)
    service_tax_fen: int = Field(default=0, sa_type=BigInteger)
    borne_fen: int = Field(default=0, sa_type=BigInteger)


class ChargebackPart(SQLModel, table=True):
    """What a lost chargeback took of one bill; ``advance_fen`` of it was paid above the bill."""

    __tablename__ = "chargeback_part"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("advance_fen BETWEEN 0 AND amount_fen", name="advance_within"),
        ForeignKeyConstraint(
            ["payment_id", "account_id", "bill_id"],
            ["payment_item.payment_id", "payment_item.account_id", "payment_item.bill_id"],
        ),
        Index("ix_chargeback_part_payment_id", "payment_id"),
    )

    chargeback_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("chargeback.id"), primary_key=True)
    )
    payment_id: int = Field(sa_type=BigInteger)
    account_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    bill_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    amount_fen: int = Field(sa_type=BigInteger)
    advance_fen: int = Field(sa_type=BigInteger)


def is_disputed(session: Session, payment_id: int) -> bool:
    """Tell whether a payer's bank has taken money of a payment back and nothing is decided yet."""
    is_open = exists().where(
        col(Chargeback.payment_id) == payment_id, col(Chargeback.state) == ChargebackState.OPEN
    )
    return session.exec(select(is_open)).one()


def check_undisputed(session: Session, payment_id: int) -> None:
    """Refuse to send back what the payer's bank has taken already, as far as we know (Conflict)."""
    if is_disputed(session, payment_id):
        raise Conflict(
            "the payer's bank has taken this payment's money back: wait for the decision",
            code="refund.disputed",
        )


def list_refunds(session: Session, payment_id: int) -> list[Refund]:
    """Return a payment's refunds in the order of their numbers, as they are now."""
    wanted = select(Refund).where(Refund.payment_id == payment_id).order_by(col(Refund.refund_no))
    return list(session.exec(wanted.execution_options(populate_existing=True)).all())
