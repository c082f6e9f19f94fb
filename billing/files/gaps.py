"""Numbers of a company's files that never came, though later ones did: somebody has to ask.

Only of files whose header has a number (rule 40), and only where these run by one: a file may also
be numbered by its day, or by tens.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

SHOWN_FOR: Final = timedelta(days=100)  # after the later file: some numbers are never used
_MOST_MISSING: Final = 20  # of one gap: beyond it, the company has begun another count


class Gap(NamedTuple):
    """Numbers of one company without a file, from the first to the last of them."""

    provider_code: str
    first_no: int
    last_no: int

    @property
    def how_many(self) -> int:
        return self.last_no - self.first_no + 1

    def __str__(self) -> str:
        return f"{self.first_no}" if self.how_many == 1 else f"{self.first_no}–{self.last_no}"


# Through the index of numbers, which most rows of the table are not in: bills that are pushed are
# bill files, too. A number that begins with a month or a day of this century is a date.
_GAPS = text("""
    WITH numbered AS (
        SELECT provider_code, CAST(sequence_no AS bigint) AS no, received_at
        FROM bill_file
        WHERE provider_code = ANY(:companies) AND sequence_no >= '0' AND status <> 'refused'
          AND sequence_no ~ '^[0-9]{1,18}$'
          AND sequence_no !~ '^(20[0-9]{2}(0[1-9]|1[0-2])|2[0-9](0[1-9]|1[0-2])[0-3][0-9])'
    ), stepped AS (
        SELECT provider_code, no, received_at,
               lag(no) OVER (PARTITION BY provider_code ORDER BY no) AS before
        FROM numbered
    ), judged AS (
        SELECT *, count(*) FILTER (WHERE no - before = 1) OVER w + 2
                  >= count(*) FILTER (WHERE no - before > 1) OVER w AS runs_by_one
        FROM stepped WINDOW w AS (PARTITION BY provider_code)
    )
    SELECT provider_code, before + 1, no - 1 FROM judged
    WHERE runs_by_one AND no - before BETWEEN 2 AND :widest AND received_at > :since
    ORDER BY provider_code, no
""")


def find_gaps(session: Session, companies: Collection[str], *, now: datetime) -> list[Gap]:
    """Return the numbers that are missing between those of files we have taken in."""
    values = {
        "companies": list(companies), "widest": _MOST_MISSING + 1, "since": now - SHOWN_FOR,
    }  # fmt: skip
    return [Gap(*row) for row in session.execute(_GAPS, values)]
