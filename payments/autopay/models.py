"""Rows of autopay: what payers have agreed to, and what became of each bill under it."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from core.clock import billing_date
from core.db import UtcDateTime, text_enum
from core.errors import NotFound
from payments.autopay.rules import CapKind, FirstBill, NotPaid, PayDay, Rules
from payments.autopay.states import (
    MANDATE_MOVES,
    RUN_MOVES,
    MandateNews,
    MandateStatus,
    RunNews,
    RunState,
)

_LIVE = text("status IN ('open', 'active', 'paused')")


class Mandate(SQLModel, table=True):
    """A person's leave to have bills debited: those of one account, or of a whole household.

    ``enrolled_at`` is when the payer first agreed: bills from before it are not covered (rule 41).
    ``reason`` says why it is paused, ended or refused.
    """

    __tablename__ = "mandate"
    __table_args__ = (
        CheckConstraint("num_nonnulls(account_id, household_id) = 1", name="one_scope"),
        CheckConstraint("(cap_kind = 'none') = (cap_fen IS NULL)", name="cap_has_amount"),
        CheckConstraint("cap_fen > 0", name="cap_positive"),
        CheckConstraint("first_factor BETWEEN 2 AND 3", name="first_factor_range"),
        CheckConstraint("(pay_day = 'due') = (pay_day_n IS NULL)", name="pay_day_has_number"),
        CheckConstraint(
            "status NOT IN ('active', 'paused') OR (enrolled_at IS NOT NULL AND mandate_ref"
            " IS NOT NULL)",
            name="agreed_says_when",
        ),
        UniqueConstraint("person_id", "request_key"),
        # Two at once for the same bills would announce them twice.
        Index("ix_mandate_account", "account_id", unique=True, postgresql_where=_LIVE),
        Index("ix_mandate_household", "household_id", unique=True, postgresql_where=_LIVE),
    )

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    person_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False, index=True)
    )
    account_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("utility_account.id"))
    )
    household_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("household.id"))
    )
    gateway: str
    mandate_ref: str | None = None
    sign_url: str | None = None
    return_url: str
    status: MandateStatus = Field(
        default=MandateStatus.OPEN, sa_column=Column(text_enum(MandateStatus), nullable=False)
    )
    status_at: datetime = Field(sa_type=UtcDateTime)
    reason: str | None = None
    cap_kind: CapKind = Field(sa_column=Column(text_enum(CapKind), nullable=False))
    cap_fen: int | None = Field(default=None, sa_type=BigInteger)
    first_bill: FirstBill = Field(sa_column=Column(text_enum(FirstBill), nullable=False))
    first_factor: int
    pay_day: PayDay = Field(sa_column=Column(text_enum(PayDay), nullable=False))
    pay_day_n: int | None = None
    in_parts: bool
    # What the payer let the gateway take at most in one debit; a cap may be lowered, or raised up
    # to this, without signing again.
    signed_most_fen: int | None = Field(default=None, sa_type=BigInteger)
    request_key: str | None = None
    request_sha256: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    enrolled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def mandate_no(self) -> str:
        """Return its name at the gateway."""
        return f"M{billing_date(self.created_at):%y%m}{self.id:012d}"

    @property
    def rules(self) -> Rules:
        return Rules(
            cap_kind=self.cap_kind, cap_fen=self.cap_fen, first_bill=self.first_bill,
            first_factor=self.first_factor, pay_day=self.pay_day, pay_day_n=self.pay_day_n,
            in_parts=self.in_parts,
        )  # fmt: skip

    def hear(self, news: MandateNews, *, now: datetime, reason: str | None = None) -> bool:
        """Change state by the table; tells whether it did. The only writer of ``status``."""
        after = MANDATE_MOVES[self.status].get(news)
        if after is None:
            return False
        self.status, self.status_at, self.reason = after, now, reason
        if news is MandateNews.AGREED:
            self.enrolled_at = now
        return True


class AutopayRun(SQLModel, table=True):
    """One version of one bill under one mandate, from the plan to its end: once, by its key.

    ``amount_fen`` is what was announced, the fee included: never more than it is debited.
    ``first`` marks the account's first bill under the mandate (rule 41).
    """

    __tablename__ = "autopay_run"
    __table_args__ = (
        UniqueConstraint("mandate_id", "account_id", "bill_id", "version"),
        ForeignKeyConstraint(["account_id", "bill_id"], ["bill.account_id", "bill.id"]),
        CheckConstraint(
            "state IN ('planned', 'skipped') OR announced_at IS NOT NULL", name="announced_before"
        ),
        CheckConstraint(
            "state IN ('planned', 'skipped', 'told') OR amount_fen > 0", name="amount_announced"
        ),
        # Never before the notice period is over (rule 42).
        CheckConstraint(
            "payment_id IS NULL OR debit_on - (announced_at AT TIME ZONE 'Asia/Shanghai')::date"
            " >= 3",
            name="notice_kept",
        ),
        CheckConstraint("state <> 'debiting' OR payment_id IS NOT NULL", name="debit_has_payment"),
        CheckConstraint(
            "state NOT IN ('told', 'skipped', 'failed') OR reason IS NOT NULL", name="no_says_why"
        ),
        Index(
            "ix_autopay_run_tell_on", "tell_on", "id", postgresql_where=text("state = 'planned'")
        ),
        Index(
            "ix_autopay_run_debit_on", "debit_on",
            postgresql_where=text("state IN ('announced', 'retry')"),
        ),
        Index("ix_autopay_run_bill", "account_id", "bill_id"),
        # A payment is the debit of one run.
        Index(
            "ix_autopay_run_payment", "payment_id", unique=True,
            postgresql_where=text("payment_id IS NOT NULL"),
        ),
        # What may still be dropped, what may still be paid, and what may be paid after all.
        Index(
            "ix_autopay_run_waiting", "account_id", "bill_id",
            postgresql_where=text("state IN ('planned', 'announced', 'retry')"),
        ),
        Index(
            "ix_autopay_run_tried", "payment_id",
            postgresql_where=text("state IN ('debiting', 'retry')"),
        ),
        Index(
            "ix_autopay_run_ended", "state_at",
            postgresql_where=text("state IN ('skipped', 'failed') AND payment_id IS NOT NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    mandate_id: int = Field(sa_column=Column(BigInteger, ForeignKey("mandate.id"), nullable=False))
    account_id: int = Field(sa_type=BigInteger)
    bill_id: int = Field(sa_type=BigInteger)
    version: int
    first: bool
    state: RunState = Field(
        default=RunState.PLANNED, sa_column=Column(text_enum(RunState), nullable=False)
    )
    state_at: datetime = Field(sa_type=UtcDateTime)
    reason: NotPaid | None = Field(default=None, sa_column=Column(text_enum(NotPaid)))
    pay_by_on: date
    tell_on: date
    debit_on: date  # of the next try
    first_debit_on: date | None = None  # of the first try
    asked_on: date | None = None  # the last day a debit was asked for
    amount_fen: int | None = Field(default=None, sa_type=BigInteger)
    announced_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    tries: int = 0
    payment_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("payment.id"))
    )  # the last try's

    def hear(self, news: RunNews, *, now: datetime, reason: NotPaid | None = None) -> bool:
        """Change state by the table; tells whether it did."""
        after = RUN_MOVES[self.state].get(news)
        if after is None:
            return False
        self.state, self.state_at, self.reason = after, now, reason
        return True


def lock_mandate(session: Session, mandate_id: int) -> Mandate:
    """Return a mandate as it is now, locked until the transaction ends.

    Raises:
        NotFound: no such mandate.
    """
    mandate = session.get(Mandate, mandate_id, with_for_update=True, populate_existing=True)
    if mandate is None:
        raise NotFound("there is no such mandate")
    return mandate


def get_own_mandate(session: Session, mandate_id: int, person_id: int) -> Mandate:
    """Return a mandate its payer asks for.

    Raises:
        NotFound: no such mandate, or somebody else's.
    """
    mandate = session.exec(
        select(Mandate).where(Mandate.id == mandate_id, Mandate.person_id == person_id)
    ).one_or_none()
    if mandate is None:
        raise NotFound("there is no such mandate")
    return mandate


def list_mandates(session: Session, person_id: int) -> list[Mandate]:
    """Return a person's mandates, the newest first; those never agreed to only while they wait."""
    wanted = select(Mandate).where(Mandate.person_id == person_id)
    return list(session.exec(wanted.order_by(col(Mandate.id).desc()).limit(50)))
