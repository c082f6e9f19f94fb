"""What people did about differences: a row each act, undone by another and never edited away."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, text
from sqlmodel import Field, SQLModel

from core.db import UtcDateTime, text_enum
from payments.reconciliation.models import BreakKind


class Act(StrEnum):
    """What is done about a difference; ``docs/repairs.md`` says when each is right."""

    ACCEPT = "accept"  # explained in words; nothing moves
    WRITE_OFF_DIFFERENCE = "write_off_difference"  # a few fen, posted to ``differences``
    REMATCH = "rematch"  # ``target``: our number of what this row of theirs is
    SUSPEND = "suspend"  # money in our bank that nobody announced, until it is known
    RETURN_MONEY = "return_money"  # to who sent it; ``target``: the number it goes under
    REFUND = "refund"  # proposed to staff; ``target``: its number
    RESEND_WRITE_OFF = "resend_write_off"
    REVERSE_WRITE_OFF = "reverse_write_off"  # the company is asked to take it back
    QUERY_AGAIN = "query_again"
    UNDO = "undo"


# The others only ask somebody.
CLOSING = frozenset(
    {Act.ACCEPT, Act.WRITE_OFF_DIFFERENCE, Act.REMATCH, Act.SUSPEND, Act.RETURN_MONEY}
)
# Changes another's books, so two people want it whatever the amount.
BY_TWO = frozenset({Act.REVERSE_WRITE_OFF})
SETTLED_BY = "settled_by"
_LIVE = (
    "act IN ('accept', 'write_off_difference', 'rematch', 'suspend', 'return_money')"
    " AND declined_at IS NULL AND undone_at IS NULL"
)


class ActState(StrEnum):
    """Where an act stands."""

    PROPOSED = "proposed"  # waits for a second person
    DONE = "done"
    DECLINED = "declined"
    UNDONE = "undone"


class BreakAct(SQLModel, table=True):
    """One act about one difference, which it keeps as it was shown to who did it."""

    __tablename__ = "break_act"
    __table_args__ = (
        CheckConstraint("reason ~ '[^[:space:]]'", name="reason_given"),
        CheckConstraint("amount_fen >= 0", name="amount_not_negative"),
        CheckConstraint("approved_by <> proposed_by", name="two_people"),
        CheckConstraint("num_nulls(approved_by, approved_at) IN (0, 2)", name="approval_whole"),
        CheckConstraint("num_nulls(declined_by, declined_at) IN (0, 2)", name="decline_whole"),
        CheckConstraint("undone_by IS NULL OR undone_at IS NOT NULL", name="undoing_whole"),
        CheckConstraint("declined_at IS NULL OR done_at IS NULL", name="not_both"),
        CheckConstraint("approved_at IS NULL OR done_at IS NOT NULL", name="approved_is_done"),
        CheckConstraint(
            "NOT needs_two OR done_at IS NULL OR approved_at IS NOT NULL", name="approved_if_needed"
        ),
        CheckConstraint("undone_at IS NULL OR done_at IS NOT NULL", name="undone_was_done"),
        CheckConstraint("(act = 'undo') = (undoes_id IS NOT NULL)", name="undo_of_something"),
        CheckConstraint("act <> 'rematch' OR target IS NOT NULL", name="rematch_says_what"),
        Index(
            "ix_break_act_live", "break_id", unique=True, postgresql_where=text(_LIVE)
        ),  # one act at a time resolves a difference
        Index(
            "ix_break_act_reversal", "break_id", unique=True,
            postgresql_where=text(
                "act = 'reverse_write_off' AND declined_at IS NULL AND answered_at IS NULL"
            ),
        ),  # a company is asked one thing at a time
        Index("ix_break_act_break_id", "break_id"),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    break_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("reconciliation_break.id"), nullable=False)
    )
    act: Act = Field(sa_column=Column(text_enum(Act), nullable=False))
    reason: str
    amount_fen: int = Field(sa_type=BigInteger)  # by how much the two sides differ
    kind: BreakKind = Field(sa_column=Column(text_enum(BreakKind), nullable=False))
    ours_fen: int | None = Field(default=None, sa_type=BigInteger)
    theirs_fen: int | None = Field(default=None, sa_type=BigInteger)
    target: str | None = None
    needs_two: bool = Field(default=False)
    proposed_by: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    proposed_at: datetime = Field(sa_type=UtcDateTime)
    approved_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    approved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    declined_by: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    declined_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    undone_by: int | None = Field(  # None: by a run, which found the difference gone
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"))
    )
    undone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    undoes_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("break_act.id"), unique=True)
    )
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    answer: str | None = None  # what the gateway or company said, of what asks it

    @property
    def word(self) -> str:
        """Which act it is; a payment of ours is *settled by* what it is matched with."""
        ours = self.act is Act.REMATCH and self.ours_fen is not None
        return SETTLED_BY if ours else self.act.value

    @property
    def state(self) -> ActState:
        if self.undone_at is not None:
            return ActState.UNDONE
        if self.declined_at is not None:
            return ActState.DECLINED
        return ActState.PROPOSED if self.done_at is None else ActState.DONE


class BankSuspense(SQLModel, table=True):
    """An entry of the bank whose money stands in suspense, by an act, until it ends.

    Its id is a key that knows its month, because it is the subject of its transfers. While it
    stands, no run matches the entry. It ends when the act is undone, or the money was sent back.
    """

    __tablename__ = "bank_suspense"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        CheckConstraint("is_returned IS FALSE OR ended_at IS NOT NULL", name="returned_is_over"),
        Index(
            "ix_bank_suspense_entry_id", "entry_id", unique=True,
            postgresql_where=text("ended_at IS NULL OR is_returned"),
        ),
        Index("ix_bank_suspense_act_id", "act_id", unique=True),
    )  # fmt: skip

    id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    entry_id: int = Field(sa_column=Column(BigInteger, ForeignKey("bank_entry.id"), nullable=False))
    act_id: int = Field(sa_column=Column(BigInteger, ForeignKey("break_act.id"), nullable=False))
    amount_fen: int = Field(sa_type=BigInteger)
    suspended_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    is_returned: bool = Field(default=False)
