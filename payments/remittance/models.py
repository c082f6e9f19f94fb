"""Rows of remittance: what a company is paid, of which days, to which accounts, in which file.

Amounts are integer fen. ``docs/remitting.md`` works one through.
"""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from billing.rules.terms import Basis
from core.db import UtcDateTime, text_enum
from core.errors import IllegalTransition, NotFound
from core.masking import mask_no

__all__ = [
    "Act", "Basis", "LineKind", "Remittance", "RemittanceAct", "RemittanceFile", "RemittanceLine",
    "RemittancePayment", "RemittanceState",
]  # fmt: skip


class RemittanceState(StrEnum):
    PROPOSED = "proposed"  # worked out; waits for somebody to release it
    RELEASED = "released"  # above the threshold: waits for a second person
    APPROVED = "approved"  # goes out with the next file
    SENT = "sent"  # in a file for the bank, and in the books
    RETURNED = "returned"  # the bank brought some of it back; that waits to be released again
    CARRIED = "carried"  # nothing is paid: too little, or below zero; the next one has it


_S = RemittanceState
MOVES: dict[RemittanceState, frozenset[RemittanceState]] = {
    _S.PROPOSED: frozenset({_S.RELEASED, _S.APPROVED}),
    _S.RELEASED: frozenset({_S.APPROVED, _S.PROPOSED, _S.RETURNED}),
    _S.APPROVED: frozenset({_S.SENT, _S.PROPOSED, _S.RETURNED}),
    _S.SENT: frozenset({_S.RETURNED}),
    _S.RETURNED: frozenset({_S.RELEASED, _S.APPROVED}),
    _S.CARRIED: frozenset(),
}
TO_RELEASE = frozenset({_S.PROPOSED, _S.RETURNED})


class LineKind(StrEnum):
    """Why money of a company moved on a day."""

    COLLECTED = "collected"  # bills it has confirmed
    ADVANCE = "advance"  # paid above a bill
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"  # disputes that were lost
    FEE = "fee"  # ours, where the company bears it
    FEE_TAX = "fee_tax"
    OTHER = "other"

    @property
    def about_no_bill(self) -> bool:
        return self in {LineKind.FEE, LineKind.FEE_TAX}


class Remittance(SQLModel, table=True):
    """What one company gets for some closed days, which follow those of the one before.

    Each is about the days after its ``previous_id`` up to ``to_on``, so no day is in two. Its id is
    a key that knows its month, because it is the subject of the transfers of its fee.
    """

    __tablename__ = "remittance"
    __table_args__ = (
        UniqueConstraint("provider_code", "to_on"),
        Index(
            "ix_remittance_first", "provider_code", unique=True,
            postgresql_where=text("previous_id IS NULL"),
        ),
        CheckConstraint("from_on <= to_on AND to_on <= due_on", name="days_in_order"),
        CheckConstraint(
            "least(gross_fen, deducted_fen, held_fen, released_fen) >= 0",
            name="amounts_not_negative",
        ),
        CheckConstraint(
            "claimed_fen = CASE basis WHEN 'gross' THEN deducted_fen ELSE 0 END",
            name="claims_when_gross",
        ),
        CheckConstraint(
            "net_fen = gross_fen - deducted_fen + claimed_fen + carried_fen + released_fen"
            " - held_fen", name="sums_up",
        ),
        CheckConstraint("state = 'carried' OR net_fen > 0", name="pays_something"),
        CheckConstraint("num_nulls(released_by, released_at) IN (0, 2)", name="release_says_when"),
        CheckConstraint("num_nulls(approved_by, approved_at) IN (0, 2)", name="approval_says_when"),
        CheckConstraint("approved_by <> released_by", name="two_people"),
        CheckConstraint(
            "state NOT IN ('approved', 'sent') OR (released_by IS NOT NULL AND"
            " (NOT needs_two OR approved_by IS NOT NULL))", name="approved_if_needed",
        ),
        Index("ix_remittance_under_way", "provider_code",
              postgresql_where=text("state NOT IN ('sent', 'carried')")),
    )  # fmt: skip

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    number: str = Field(unique=True)
    provider_code: str
    previous_id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, ForeignKey("remittance.id"), unique=True, nullable=True),
    )
    from_on: date
    to_on: date
    due_on: date
    basis: Basis = Field(sa_column=Column(text_enum(Basis), nullable=False))
    gross_fen: int = Field(sa_type=BigInteger)
    deducted_fen: int = Field(sa_type=BigInteger)  # gross basis: not subtracted, but claimed
    carried_fen: int = Field(sa_type=BigInteger)  # from the one before; may be below zero
    released_fen: int = Field(sa_type=BigInteger)  # what the one before held back
    held_fen: int = Field(sa_type=BigInteger)  # disputed by payers' banks
    net_fen: int = Field(sa_type=BigInteger)
    claimed_fen: int = Field(sa_type=BigInteger)
    state: RemittanceState = Field(sa_column=Column(text_enum(RemittanceState), nullable=False))
    state_at: datetime = Field(sa_type=UtcDateTime)
    made_at: datetime = Field(sa_type=UtcDateTime)
    needs_two: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    released_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    released_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    approved_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    def move_to(self, state: RemittanceState, *, now: datetime) -> None:
        """Change state, or raise IllegalTransition; the only writer of ``state``."""
        if state not in MOVES[self.state]:
            raise IllegalTransition(
                f"a remittance that is {self.state} cannot become {state}: look at it again",
                code="remittance.state",
            )
        self.state, self.state_at = state, now

    @property
    def paid_fen(self) -> int:
        """What the company is paid by it."""
        return 0 if self.state is RemittanceState.CARRIED else self.net_fen


class RemittanceLine(SQLModel, table=True):
    """What a closed day moved for a company, of one kind; a day is in one remittance only.

    Above zero the company gets it, below zero it lessens that.
    """

    __tablename__ = "remittance_line"
    __table_args__ = (
        CheckConstraint("transfers > 0 AND amount_fen <> 0", name="moves_something"),
        Index("ix_remittance_line_remittance_id", "remittance_id"),
    )

    provider_code: str = Field(primary_key=True)
    day: date = Field(primary_key=True)
    kind: LineKind = Field(sa_column=Column(text_enum(LineKind), primary_key=True))
    remittance_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("remittance.id"), nullable=False)
    )
    transfers: int = Field(sa_type=BigInteger)
    amount_fen: int = Field(sa_type=BigInteger)


class RemittanceFile(SQLModel, table=True):
    """A file of payments for our bank; with its payments it says the same bytes every time."""

    __tablename__ = "remittance_file"
    __table_args__ = (CheckConstraint("payments > 0 AND total_fen > 0", name="pays_something"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    number: str = Field(unique=True)  # the MsgId
    pays_on: date
    payments: int
    total_fen: int = Field(sa_type=BigInteger)
    debtor_name: str
    debtor_account: str
    debtor_bank: str
    made_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    made_at: datetime = Field(sa_type=UtcDateTime)

    @property
    def debtor_masked(self) -> str:
        return mask_no(self.debtor_account)


class RemittancePayment(SQLModel, table=True):
    """One transfer to one account of a company. One that came back stays; its successor is new.

    Its id is a key that knows its month: it is the subject of its transfers in the ledger.
    """

    __tablename__ = "remittance_payment"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("place BETWEEN 1 AND 5", name="at_most_five"),
        CheckConstraint("num_nulls(file_id, sent_at) IN (0, 2)", name="sent_whole"),
        CheckConstraint("returned_at IS NULL OR sent_at IS NOT NULL", name="sent_before_returned"),
        CheckConstraint(
            "num_nulls(returned_at, returned_by, return_reason, was_debited) IN (0, 4)",
            name="return_whole",
        ),
        UniqueConstraint("remittance_id", "place", "attempt"),
        # Never the same money twice: a place has one payment that was not brought back.
        Index("ix_remittance_payment_live", "remittance_id", "place", unique=True,
              postgresql_where=text("returned_at IS NULL")),
        Index("ix_remittance_payment_file_id", "file_id"),
    )  # fmt: skip

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    remittance_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("remittance.id"), nullable=False)
    )
    place: int  # among the company's accounts; 1 is its primary
    attempt: int
    account_ref: str
    account_name: str
    account_no: str  # shown masked
    bank_code: str
    amount_fen: int = Field(sa_type=BigInteger)
    end_to_end_id: str = Field(unique=True)
    file_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("remittance_file.id"))
    )
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    returned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    returned_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    return_reason: str | None = None
    was_debited: bool | None = None  # it left our account and came back; false: it never left

    @property
    def account_masked(self) -> str:
        return mask_no(self.account_no)


class Act(StrEnum):
    """What happened to a remittance."""

    PROPOSED = "proposed"
    CARRIED = "carried"
    CHANGED = "changed"  # the company's accounts are others now
    RELEASED = "released"
    APPROVED = "approved"
    DECLINED = "declined"
    SENT = "sent"
    RETURNED = "returned"


class RemittanceAct(SQLModel, table=True):
    """One step of a remittance's history; only added to. Nobody: a job did it."""

    __tablename__ = "remittance_act"
    __table_args__ = (Index("ix_remittance_act_remittance_id", "remittance_id"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    remittance_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("remittance.id"), nullable=False)
    )
    act: Act = Field(sa_column=Column(text_enum(Act), nullable=False))
    at: datetime = Field(sa_type=UtcDateTime)
    by: int | None = Field(default=None, sa_column=Column(BigInteger, ForeignKey("person.id")))
    note: str | None = None


def get_remittance(session: Session, remittance_id: int) -> Remittance:
    """Return a remittance as it is now.

    Raises:
        NotFound: there is none.
    """
    found = session.get(Remittance, remittance_id, populate_existing=True)
    if found is None:
        raise NotFound("there is no such remittance")
    return found


def lock_remittance(session: Session, remittance_id: int) -> Remittance:
    """Return a remittance, locked until the transaction ends.

    Raises:
        NotFound: there is none.
    """
    found = session.get(
        Remittance, remittance_id, with_for_update=True, populate_existing=True
    )  # fmt: skip
    if found is None:
        raise NotFound("there is no such remittance")
    return found


def live_payments(session: Session, remittance_id: int) -> list[RemittancePayment]:
    """Return the payments of a remittance that were not brought back, by place."""
    return [one for one in all_payments(session, remittance_id) if one.returned_at is None]


def all_payments(session: Session, remittance_id: int) -> list[RemittancePayment]:
    """Return every payment there was of a remittance, by place and attempt."""
    wanted = (
        select(RemittancePayment)
        .where(RemittancePayment.remittance_id == remittance_id)
        .order_by(col(RemittancePayment.place), col(RemittancePayment.attempt))
    )
    return list(session.exec(wanted.execution_options(populate_existing=True)))


def note(
    session: Session,
    remittance_id: int,
    act: Act,
    *,
    now: datetime,
    by: int | None = None,
    words: str | None = None,
) -> None:
    """Write a step of a remittance's history down."""
    session.add(RemittanceAct(remittance_id=remittance_id, act=act, at=now, by=by, note=words))
    session.flush()
