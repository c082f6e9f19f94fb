"""Who of the staff did what, and looked at whom: written once, and changed by nobody.

What has rows of its own that say who (refunds, terms, differences, closed days) is not said again.
Not partitioned: a city's staff write some ten thousand entries a day, each found by an index.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, tuple_
from sqlmodel import Field, Session, SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core import log
from core.clock import day_bounds
from core.db import UtcDateTime, json_text
from core.errors import NotFound
from core.masking import mask_no

PAGE = 50
_LONG = re.compile(r"[0-9]{7,}")


class Deed(StrEnum):
    """What somebody did. The column is plain text, so that a new one needs no migration."""

    SIGNED_IN = "signed_in"  # staff and operators
    SIGN_IN_FAILED = "sign_in_failed"  # a wrong code for somebody of the staff, or an operator
    RESIDENTS_SOUGHT = "residents_sought"  # detail: what was found; never what was typed
    RESIDENT_SEEN = "resident_seen"  # subject: the person
    CONTACT_SEEN = "contact_seen"  # somebody's whole phone and e-mail
    SEEN_AS = "seen_as"  # a resident's own page, as they see it
    ACCOUNT_SEEN = "account_seen"  # subject: a company's account
    PAYMENT_SEEN = "payment_seen"
    NOTICE_AGAIN = "notice_again"  # sent once more
    NOTICE_SEEN = "notice_seen"  # subject: the person
    CARRIER_STOPPED = "carrier_stopped"  # subject: the carrier, of messages
    CARRIER_RESUMED = "carrier_resumed"
    CARRIER_PACED = "carrier_paced"  # detail: its messages a minute; 0: as fast as we can
    AUTOPAY_PAUSED = "autopay_paused"  # on a resident's behalf
    COMPLAINT_SEEN = "complaint_seen"  # subject: the complaint, by its number
    PAYEE_SEEN = "payee_seen"  # the whole account number of who gets a transfer
    SENT_BY_BANK = "sent_by_bank"  # a refund whose gateway is gone; detail: how they know
    LIST_EXPORTED = "list_exported"  # subject: the list; detail: format and filter
    DOCUMENTS_ORDERED = "documents_ordered"  # papers in volumes; subject: the batch
    DOCUMENTS_CANCELLED = "documents_cancelled"
    PAPERS_SENT = "papers_sent"  # a company's own, by hand; detail: files, refused
    DOCUMENTS_TAKEN = "documents_taken"  # detail: which volume, or all
    INVITED = "invited"
    DUTY_PROPOSED = "duty_proposed"
    DUTY_GIVEN = "duty_given"
    DUTY_DECLINED = "duty_declined"  # a proposal, by another admin or taken back
    DUTY_TAKEN = "duty_taken"
    ENDED = "ended"  # somebody's access, at once
    LET_IN_AGAIN = "let_in_again"
    SESSION_ENDED = "session_ended"  # by an admin


class Subject(NamedTuple):
    """What it was done to: ``Subject("person", "17")``, ``Subject("list", "refunds")``."""

    kind: str
    id: str


def person_subject(person_id: int) -> Subject:
    """Return somebody as a subject."""
    return Subject("person", str(person_id))


class AuditEntry(SQLModel, table=True):
    """One deed. The database refuses to change or to delete it."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index("ix_audit_entry_at_id", "at", "id"),
        Index("ix_audit_entry_person_id_at_id", "person_id", "at", "id"),
        Index("ix_audit_entry_what_at_id", "what", "at", "id"),
        Index("ix_audit_entry_subject", "subject_kind", "subject_id", "at", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    at: datetime = Field(sa_type=UtcDateTime)
    # Who; none: the command line, or a try to sign in, of which nobody knows who it was.
    person_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=True)
    )
    what: str
    subject_kind: str = ""
    subject_id: str = ""
    detail: dict[str, Any] = Field(sa_column=Column(json_text(), nullable=False))
    request_id: str | None = None  # as in the log


def note(
    session: Session,
    who: int | None,
    what: Deed,
    *,
    subject: Subject | None = None,
    detail: Mapping[str, str | int] | None = None,
    now: datetime,
) -> None:
    """Write down what somebody did, in the transaction of the deed.

    Args:
        detail: what else tells what was done; never a secret, a whole account number or a code.
    """
    kind, subject_id = subject or ("", "")
    session.add(
        AuditEntry(
            at=now, person_id=who, what=what.value, subject_kind=kind, subject_id=subject_id,
            detail=dict(detail or {}), request_id=log.request_id(),
        )
    )  # fmt: skip


def note_export(
    session: Session, who: int, name: str, kind: str, query: str, *, now: datetime
) -> None:
    """Write down that somebody took a list out, as which file, and what it was filtered by.

    What may be a phone or an account number among it is masked.
    """
    masked = _LONG.sub(lambda found: mask_no(found[0]), query)
    note(
        session, who, Deed.LIST_EXPORTED, subject=Subject("list", name),
        detail={"format": kind, "filter": masked}, now=now,
    )  # fmt: skip


class Wanted(NamedTuple):
    """Which entries; what is None does not matter."""

    person_id: int | None = None
    what: Deed | None = None
    subject: Subject | None = None
    first_on: date | None = None
    last_on: date | None = None


def find_entries(
    session: Session, wanted: Wanted, *, after: int | None = None, limit: int = PAGE
) -> list[AuditEntry]:
    """Return entries, the newest first.

    Args:
        after: the id of the last entry of the page before.

    Raises:
        NotFound: there is no such entry.
    """
    entries = _matching(wanted)
    if after is not None:
        last = session.get(AuditEntry, after)
        if last is None:
            raise NotFound("there is no such entry")
        entries = entries.where(tuple_(col(AuditEntry.at), col(AuditEntry.id)) < (last.at, after))
    return list(session.exec(entries.limit(limit)))


def every_entry(session: Session, wanted: Wanted) -> Iterator[Sequence[AuditEntry]]:
    """Yield all of them, the newest first, a thousand in each list."""
    yield from session.exec(_matching(wanted).execution_options(yield_per=1_000)).partitions()


def _matching(wanted: Wanted) -> SelectOfScalar[AuditEntry]:
    entries = select(AuditEntry).order_by(col(AuditEntry.at).desc(), col(AuditEntry.id).desc())
    if wanted.person_id is not None:
        entries = entries.where(AuditEntry.person_id == wanted.person_id)
    if wanted.what is not None:
        entries = entries.where(AuditEntry.what == wanted.what.value)
    if wanted.subject is not None:
        kind, subject_id = wanted.subject
        entries = entries.where(
            AuditEntry.subject_kind == kind, AuditEntry.subject_id == subject_id
        )
    if wanted.first_on is not None:
        entries = entries.where(AuditEntry.at >= day_bounds(wanted.first_on)[0])
    if wanted.last_on is not None:
        entries = entries.where(AuditEntry.at < day_bounds(wanted.last_on)[1])
    return entries
