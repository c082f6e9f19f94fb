"""The row is the job; Redis is only its doorbell."""

from datetime import datetime
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
from sqlmodel import Field, Session, SQLModel, col, func, select

from core.db import UtcDateTime, text_enum


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"  # tried too often; visible, and can be set to waiting again


class Job(SQLModel, table=True):
    """One thing to do, once, about one subject.

    ``lease_until`` is how long the worker that runs it is believed to be alive; after it, any other
    may take over. ``attempts`` also fences: only the last who took the job may finish it.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("event_id", "task"),
        UniqueConstraint("schedule_key"),
        CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL)", name="running_is_leased"
        ),
        Index("ix_job_due_at", "due_at", postgresql_where=text("state IN ('waiting', 'running')")),
        Index("ix_job_dead", "id", postgresql_where=text("state = 'dead'")),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    task: str
    subject_id: str
    event_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("outbox_event.id"))
    )
    schedule_key: str | None = None  # "maintenance.partitions:2026-11-21": once a period
    request_id: str | None = None
    state: JobState = Field(
        default=JobState.WAITING, sa_column=Column(text_enum(JobState), nullable=False)
    )
    attempts: int = 0
    due_at: datetime = Field(sa_type=UtcDateTime)
    rung_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_error: str | None = None


def count_dead(session: Session) -> int:
    """Return how many jobs gave up and wait for a person."""
    return session.exec(select(func.count(col(Job.id))).where(Job.state == JobState.DEAD)).one()
