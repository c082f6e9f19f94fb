"""Facts to announce, written in the same transaction as the change they announce.

The scheduler turns each event into jobs and marks it (``workers/relay.py``), so news reaches the
rooms that come later in the flow without anyone importing them.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from sqlalchemy import BigInteger, Column, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel

from core.db import HotStatement, UtcDateTime


class OutboxEvent(SQLModel, table=True):
    """One fact: what happened (``topic``), to what (``subject_id``)."""

    __tablename__ = "outbox_event"
    __table_args__ = (
        Index("ix_outbox_event_waiting", "id", postgresql_where=text("relayed_at IS NULL")),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    topic: str
    subject_id: str
    facts: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    request_id: str | None = None
    emitted_at: datetime = Field(sa_type=UtcDateTime)
    relayed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def emit(
    session: Session, topic: str, subject_id: object, *, now: datetime, **facts: object
) -> None:
    """Record an event; what follows from it happens after this transaction commits.

    Args:
        topic: a noun and a past participle, ``payment.paid``.
        facts: small JSON values a follower needs beside the subject; never personal data.
    """
    values = {
        "topic": topic, "subject_id": str(subject_id), "facts": json.dumps(facts),
        "request_id": structlog.contextvars.get_contextvars().get("request_id"), "now": now,
    }  # fmt: skip
    _EMIT.rows(session, values)


# The same for several events inside a larger statement, whose values ``event_values`` gives.
INSERT_EVENTS = """
    INSERT INTO outbox_event (topic, subject_id, request_id, emitted_at)
    SELECT topic, subject_id, :event_request_id, :event_at
    FROM unnest(CAST(:event_topics AS text[]), CAST(:event_subjects AS text[]))
         AS told (topic, subject_id)
"""


_EMIT = HotStatement("""
    INSERT INTO outbox_event (topic, subject_id, facts, request_id, emitted_at)
    VALUES (:topic, :subject_id, CAST(:facts AS jsonb), :request_id, :now)
    RETURNING id
""")


class Event(NamedTuple):
    """One fact of several that a larger statement records."""

    topic: str
    subject_id: object


def event_values(events: Sequence[Event], *, now: datetime) -> dict[str, Any]:
    """Return the values of ``INSERT_EVENTS``."""
    return {
        "event_topics": [event.topic for event in events],
        "event_subjects": [str(event.subject_id) for event in events],
        "event_request_id": structlog.contextvars.get_contextvars().get("request_id"),
        "event_at": now,
    }
