"""Secret links by which a calendar program reads somebody's calendar without a sign-in.

Whoever has a link reads; of it only the fingerprint is kept, so it is shown once and can be neither
shown again nor guessed. A link ends when its person ends it, signs out everywhere else, loses their
access or is erased, and by itself when nothing has read it for half a year.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Identity,
    Index,
    func,
    text,
)
from sqlmodel import Field, Session, SQLModel, col, select

from core import crypto
from core.db import HotStatement, UtcDateTime, count_changed, transaction
from core.errors import Conflict, NotFound, TooMany
from identity import misses
from identity.misses import Of
from identity.models import Person

MOST: Final = 5  # links of one person
READS_AN_HOUR: Final = 60  # of one link: several devices, and somebody who tries it out
MISSES_AN_HOUR: Final = 60  # links that are none, from one address
UNREAD: Final = timedelta(days=180)
_KEPT: Final = timedelta(days=90)  # what has ended stays listed in the copy of one's data


class CalendarLink(SQLModel, table=True):
    """A link somebody made, in the language of the page on which they did."""

    __tablename__ = "calendar_link"
    __table_args__ = (
        CheckConstraint("token_hash ~ '^[0-9a-f]{64}$'", name="hash_whole"),
        CheckConstraint("last_read_at >= made_at", name="read_after_made"),
        CheckConstraint("ended_at >= made_at", name="ended_after_made"),
        CheckConstraint("reads >= 0", name="reads_counted"),
        Index("ix_calendar_link_live", "person_id", postgresql_where=text("ended_at IS NULL")),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    person_id: int = Field(sa_column=Column(BigInteger, ForeignKey("person.id"), nullable=False))
    token_hash: str = Field(unique=True)
    locale: str
    shows_amounts: bool
    made_at: datetime = Field(sa_type=UtcDateTime)
    last_read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    counted_from_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reads: int = 0  # within the hour from ``counted_from_at``


class Read(NamedTuple):
    """What a link opens: the calendar of a person."""

    person_id: int
    locale: str
    shows_amounts: bool


def make_link(
    session: Session, person_id: int, *, locale: str, shows_amounts: bool, now: datetime
) -> str:
    """Make a link and return its token, which is stored nowhere.

    Raises:
        Conflict: they have five links already.
    """
    session.get_one(Person, person_id, with_for_update=True)
    if len(list_links(session, person_id, now=now)) >= MOST:
        raise Conflict(
            f"{MOST} links read this calendar already: end one of them first",
            code="calendar.too_many",
        )
    token = crypto.new_token()
    session.add(
        CalendarLink(
            person_id=person_id, token_hash=crypto.fingerprint(token), locale=locale,
            shows_amounts=shows_amounts, made_at=now,
        )
    )  # fmt: skip
    session.flush()
    return token


def list_links(session: Session, person_id: int, *, now: datetime) -> list[CalendarLink]:
    """Return somebody's links that can be read, the newest first."""
    mine = select(CalendarLink).where(CalendarLink.person_id == person_id, _live(now))
    return list(session.exec(mine.order_by(col(CalendarLink.id).desc())))


def _live(now: datetime) -> ColumnElement[bool]:
    used_at = func.coalesce(CalendarLink.last_read_at, CalendarLink.made_at)
    return col(CalendarLink.ended_at).is_(None) & (used_at > now - UNREAD)


def end_link(session: Session, person_id: int, link_id: int, *, now: datetime) -> None:
    """Let nothing read by this link any more; idempotent.

    Raises:
        NotFound: it is not theirs.
    """
    row = session.get(CalendarLink, link_id, with_for_update=True)
    if row is None or row.person_id != person_id:
        raise NotFound("there is no such link")
    row.ended_at = row.ended_at or max(now, row.made_at)


def end_links(session: Session, person_id: int, *, now: datetime) -> int:
    """End all links of somebody; returns of how many."""
    ended = session.execute(
        text(
            "UPDATE calendar_link SET ended_at = greatest(:now, made_at)"
            " WHERE person_id = :person_id AND ended_at IS NULL"
        ),
        {"person_id": person_id, "now": now},
    )
    return count_changed(ended)


_READ = HotStatement("""
    UPDATE calendar_link l
    SET last_read_at = greatest(:now, made_at),
        reads = CASE WHEN counted_from_at > CAST(:hour_ago AS timestamptz)
                     THEN reads + 1 ELSE 1 END,
        counted_from_at = CASE WHEN counted_from_at > CAST(:hour_ago AS timestamptz)
                               THEN counted_from_at ELSE :now END
    FROM person p
    WHERE l.token_hash = :token_hash AND p.id = l.person_id
      AND l.ended_at IS NULL AND p.ended_at IS NULL
      AND coalesce(l.last_read_at, l.made_at) > :unread_since
    RETURNING l.person_id, l.locale, l.shows_amounts, l.reads
""")


def read_link(token: str, *, client: str, secret: str, now: datetime) -> Read:
    """Count that a link is read and return what it opens; the count stays, whatever comes of it.

    An address that asks for links there are none of is held up. It still gets what a true link
    opens: the calendars of a whole city may be read from the few addresses of one program's maker.

    Args:
        client: the address it comes from.

    Raises:
        NotFound: no such link, or one that has ended: not told apart.
        TooMany: this link was read too often, or this address asked for too many that are none.
    """
    values = {
        "token_hash": crypto.fingerprint(token), "now": now,
        "hour_ago": now - timedelta(hours=1), "unread_since": now - UNREAD,
    }  # fmt: skip
    with transaction() as session:
        found = _READ.rows(session, values)
    if not found:
        if misses.one_more(Of.CALENDAR, client, secret=secret, now=now) > MISSES_AN_HOUR:
            raise TooMany("too many links that are none: try again later", code="calendar.misses")
        raise NotFound("there is no such calendar", code="calendar.no_link")
    person_id, locale, shows_amounts, reads = found[0]
    if reads > READS_AN_HOUR:
        raise TooMany("this calendar is read too often: try again later", code="calendar.reads")
    return Read(person_id, locale, shows_amounts)


def forget(session: Session, *, now: datetime) -> None:
    """Forget links that ended long ago."""
    session.execute(
        text("DELETE FROM calendar_link WHERE ended_at < :before"), {"before": now - _KEPT}
    )
