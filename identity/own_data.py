"""A person's own data, to take along: each room says in one query what it holds of somebody.

A room's ``SECTIONS`` are read one after the other and row by row, so that a long life fits in no
more memory than a short one. What they leave out, and why, is in docs/privacy.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import Session

Row = dict[str, Any]
_ROWS_AT_ONCE: Final = 200


def as_it_is(row: Row) -> Row:
    """Return a row as it was read."""
    return row


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of what we hold: SQL about ``:person_id``, whose rows ``shape`` may change."""

    name: str
    sql: str
    shape: Callable[[Row], Row] = as_it_is


def read(session: Session, section: Section, person_id: int) -> Iterator[Row]:
    """Yield the rows of a section, a few at a time in memory."""
    found = session.execute(
        text(section.sql),
        {"person_id": person_id},
        execution_options={"yield_per": _ROWS_AT_ONCE},
    )
    for row in found.mappings():
        yield section.shape(dict(row))


SECTIONS: Final[Sequence[Section]] = (
    Section(
        "person",
        """SELECT id, name, contact, email, locale, created_at FROM person
           WHERE id = :person_id""",
    ),
    Section(
        "erasure",
        """SELECT asked_at, erase_at FROM person_erasure WHERE person_id = :person_id""",
    ),
    Section(
        "sessions",
        """SELECT created_at, seen_at, ended_at FROM web_session WHERE person_id = :person_id
           ORDER BY created_at, token_hash""",
    ),
    Section(
        "sign_in_codes",
        """SELECT issued_at, used_at, tries FROM sign_in_code WHERE person_id = :person_id
           ORDER BY id""",
    ),
    Section(
        "televisions",
        """SELECT paired_at, seen_at, ended_at FROM television WHERE person_id = :person_id
           ORDER BY id""",
    ),
    Section(
        "calendar_links",
        """SELECT made_at, last_read_at, shows_amounts, ended_at FROM calendar_link
           WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "copies",
        """SELECT made_at FROM data_export WHERE person_id = :person_id
           ORDER BY made_on, turn""",
    ),
)
