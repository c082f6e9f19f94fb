"""Why somebody of the staff looks at a resident: asked once about each, in each of their sessions.

What they then look at stands in the audit log, look by look; this is only the reason they gave.
"""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, ForeignKey, String
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, col, select

from core import crypto
from core.db import UtcDateTime, text_enum
from core.errors import Invalid


class LookReason(StrEnum):
    ASKED = "asked"  # the resident asked us, by phone or at a counter
    COMPLAINT = "complaint"
    REFUND = "refund"
    FRAUD = "fraud"
    DIFFERENCE = "difference"  # the books do not agree
    OTHER = "other"


class Looking(SQLModel, table=True):
    """The reason one session gave for looking at one subject: ``person:17``, ``account:4``."""

    __tablename__ = "looking"
    __table_args__ = (
        CheckConstraint("reason <> 'other' OR words ~ '[^[:space:]]'", name="other_says_what"),
    )

    session_hash: str = Field(
        sa_column=Column(
            String, ForeignKey("web_session.token_hash", ondelete="CASCADE"), primary_key=True
        )
    )
    subject: str = Field(primary_key=True)
    reason: LookReason = Field(sa_column=Column(text_enum(LookReason), nullable=False))
    words: str = ""
    stated_at: datetime = Field(sa_type=UtcDateTime)

    @property
    def said(self) -> str:
        """Return the reason as the audit log keeps it: ``"refund: 来电"``."""
        return f"{self.reason}: {self.words}" if self.words else self.reason.value


def state_reason(
    session: Session, token: str, subject: str, *, reason: str, words: str, now: datetime
) -> None:
    """Say why; said again, the first reason stands.

    Raises:
        Invalid: no reason, or "another" without words.
    """
    if reason not in {*LookReason}:
        raise Invalid("choose why you look", code="looking.no_reason")
    if reason == LookReason.OTHER and not words.strip():
        raise Invalid("say why in a few words", code="looking.no_words")
    session.execute(
        insert(Looking)
        .values(
            session_hash=crypto.fingerprint(token), subject=subject, reason=LookReason(reason),
            words=words.strip(), stated_at=now,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip


def find_reason(session: Session, token: str, subjects: Collection[str]) -> Looking | None:
    """Return the reason this session gave for looking at one of these, if it did."""
    given = select(Looking).where(
        Looking.session_hash == crypto.fingerprint(token), col(Looking.subject).in_(subjects)
    )
    return session.exec(given.order_by(col(Looking.stated_at)).limit(1)).first()
