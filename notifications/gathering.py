"""What several companies send a household within the hour waits here, to be told at once.

A thing is told alone or in a digest, never both and never twice: an entry is unique by event,
person and subject for ever, and whoever tells what may be gathered holds the person's row while
looking what was done before.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlmodel import Session

from core.db import HotStatement
from notifications.wording.rendering import Facts


class Key(NamedTuple):
    """What a telling is unique by, whatever its channels."""

    event: str
    person_id: int
    subject_ref: str


class Entry(NamedTuple):
    """One thing that waits; ``flush_at`` counts for the first of a digest alone."""

    key: Key
    household_id: int
    facts: Facts
    expires_at: datetime | None
    flush_at: datetime


# No lock a foreign key's check would wait for; in one order, so that two never wait for each other.
_HOLD = HotStatement("""
    SELECT id FROM person WHERE id = ANY(:person_ids) ORDER BY id FOR NO KEY UPDATE
""")

_ENTERED = HotStatement("""
    SELECT event, person_id, subject_ref FROM digest_entry
    JOIN unnest(CAST(:events AS text[]), CAST(:person_ids AS bigint[]), CAST(:refs AS text[]))
         AS asked (event, person_id, subject_ref) USING (event, person_id, subject_ref)
""")

# A digest that is being told at this moment is waited for, and then a new one begun.
_ENTER = HotStatement("""
    WITH fresh AS (
        SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
            event text, person_id bigint, subject_ref text, household_id bigint, facts jsonb,
            flush_at timestamptz)
        WHERE NOT EXISTS (
            SELECT FROM notice n WHERE n.event = r.event AND n.person_id = r.person_id
                                   AND n.subject_ref = r.subject_ref)
    ), opened AS (
        INSERT INTO digest (person_id, household_id, event, flush_at)
        SELECT person_id, household_id, event, min(flush_at) FROM fresh
        GROUP BY person_id, household_id, event ORDER BY person_id, household_id, event
        ON CONFLICT (person_id, household_id, event) WHERE flushed_at IS NULL
        DO UPDATE SET flush_at = digest.flush_at
        RETURNING id, person_id, household_id, event
    )
    INSERT INTO digest_entry (digest_id, event, person_id, subject_ref, facts, entered_at)
    SELECT opened.id, event, person_id, subject_ref, facts, :now
    FROM fresh JOIN opened USING (person_id, household_id, event)
    ON CONFLICT (event, person_id, subject_ref) DO NOTHING
    RETURNING digest_id
""")


def entered(session: Session, keys: Sequence[Key]) -> set[Key]:
    """Return which of these a digest has, or had; holds their people until the commit."""
    people = sorted({key.person_id for key in keys})
    _HOLD.rows(session, {"person_ids": people})
    events, person_ids, refs = zip(*keys, strict=True)
    values = {"events": list(events), "person_ids": list(person_ids), "refs": list(refs)}
    return {Key(*row) for row in _ENTERED.rows(session, values)}


def enter(session: Session, entries: Sequence[Entry], *, now: datetime) -> None:
    """Let each wait in its household's digest; what was told alone before stays out."""
    rows = [
        {
            **one.key._asdict(), "household_id": one.household_id,
            "facts": written(one.facts, one.expires_at), "flush_at": one.flush_at,
        }
        for one in entries
    ]  # fmt: skip
    if rows:
        _ENTER.rows(session, {"rows": json.dumps(rows, default=str), "now": now})


def written(facts: Facts, expires_at: datetime | None) -> dict[str, Any]:
    """Return facts as a digest keeps them."""
    kept = {"values": dict(facts.values), "lines": list(facts.lines), "link": facts.link}
    return kept | {"expires_at": expires_at.isoformat() if expires_at else None}


def read(kept: dict[str, Any]) -> tuple[Facts, datetime | None]:
    """Return facts again, and until when they are of use."""
    expires_at = kept["expires_at"]
    lines = [(what, how_much) for what, how_much in kept["lines"]]
    return (
        Facts(kept["values"], lines, kept["link"]),
        datetime.fromisoformat(expires_at) if expires_at else None,
    )
