"""Telling at once what was gathered: several companies' bills of a household in one notice."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session, col, select

from core.db import HotStatement
from identity.models import Person
from notifications.gathering import read
from notifications.still_so import Told, no_longer_so
from notifications.telling import Telling, tell_gathered
from notifications.wording.rendering import Facts


class _Digest(NamedTuple):
    id: int
    person_id: int
    household_id: int
    event: str


_CLAIM = HotStatement("""
    WITH due AS MATERIALIZED (
        SELECT id FROM digest WHERE flushed_at IS NULL AND flush_at <= :now
        ORDER BY flush_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE digest SET flushed_at = :now FROM due WHERE digest.id = due.id
    RETURNING digest.id, person_id, household_id, event
""")

_ENTRIES = HotStatement("""
    SELECT digest_id, event, person_id, subject_ref, facts FROM digest_entry
    WHERE digest_id = ANY(:digest_ids) ORDER BY digest_id, entered_at, subject_ref
""")

_LEAVE = HotStatement("""
    UPDATE digest_entry SET left_reason = gone.reason
    FROM unnest(CAST(:events AS text[]), CAST(:person_ids AS bigint[]), CAST(:refs AS text[]),
                CAST(:reasons AS text[])) AS gone (event, person_id, subject_ref, reason)
    WHERE digest_entry.event = gone.event AND digest_entry.person_id = gone.person_id
      AND digest_entry.subject_ref = gone.subject_ref
    RETURNING digest_id
""")


def flush_due(session: Session, *, public_url: str, now: datetime, limit: int = 500) -> int:
    """Tell each digest whose time has come; returns how many digests were done with.

    What is no longer so leaves, with its reason. Of what is left one is told as itself, several
    as one notice, and none is not told.
    """
    digests = sorted(_Digest(*row) for row in _CLAIM.rows(session, {"now": now, "limit": limit}))
    if not digests:
        return 0
    entries: dict[int, list[tuple[Told, dict[str, Any]]]] = {one.id: [] for one in digests}
    for digest_id, *told, kept in _ENTRIES.rows(session, {"digest_ids": list(entries)}):
        entries[digest_id].append((Told(*told), kept))
    gone = no_longer_so(session, [told for own in entries.values() for told, _ in own])
    _leave(session, gone)
    found = select(Person).where(col(Person.id).in_({one.person_id for one in digests}))
    people = {one.id: one for one in session.exec(found)}
    tellings = [
        _telling(one, people[one.person_id], left, public_url)
        for one in digests
        if (left := [(told, kept) for told, kept in entries[one.id] if told not in gone])
    ]
    tell_gathered(session, tellings, now=now)
    return len(digests)


def _leave(session: Session, gone: Mapping[Told, str]) -> None:
    if gone:
        events, person_ids, refs = zip(*gone, strict=True)
        values = {
            "events": list(events), "person_ids": list(person_ids), "refs": list(refs),
            "reasons": list(gone.values()),
        }  # fmt: skip
        _LEAVE.rows(session, values)


def _telling(
    digest: _Digest, person: Person, left: Sequence[tuple[Told, dict[str, Any]]], public_url: str
) -> Telling:
    read_again = [read(kept) for _, kept in left]
    if len(left) == 1:
        [(told, _)], [(facts, expires_at)] = left, read_again
        return Telling(
            event=told.event, person=person, subject_ref=told.subject_ref, facts=facts,
            household_id=digest.household_id, expires_at=expires_at,
        )  # fmt: skip
    companies = dict.fromkeys(facts.values["company"] for facts, _ in read_again)
    ends = [expires_at for _, expires_at in read_again if expires_at]
    return Telling(
        event=f"{digest.event}.many", person=person, subject_ref=f"digest-{digest.id}",
        facts=Facts(
            values={
                "count": str(len(left)),
                "companies": ("、" if person.locale == "zh_CN" else ", ").join(companies),
            },
            lines=[line for facts, _ in read_again for line in facts.lines],
            link=f"{public_url}/",
        ),
        household_id=digest.household_id, expires_at=max(ends) if ends else None,
    )  # fmt: skip
