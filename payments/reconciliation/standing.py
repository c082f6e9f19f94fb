"""How a day stands with each leg: how much of it is matched, and which of its files are here."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from payments.reconciliation.gateway.arrivals import LATE_AFTER
from payments.reconciliation.models import Leg

_THOUSAND = 1_000


class Matched(NamedTuple):
    """A source's day: how many of how many are matched; of the bank, entries of an account."""

    leg: Leg
    source: str
    matched: int
    of: int

    @property
    def per_mille(self) -> int | None:
        """Rounded down, so that 1,000 means all of them; None where there was nothing."""
        return self.matched * _THOUSAND // self.of if self.of else None


# What may stand in the company's next list is not counted against this one.
_MATCHED = text("""
    SELECT 'gateway' AS leg, source, matched + matched_elsewhere AS matched,
           greatest(our_count, their_count) AS of
    FROM reconciliation WHERE day = :day
    UNION ALL
    SELECT 'company', provider_code, matched, greatest(our_count - awaited, matched)
    FROM confirmation_arrival WHERE day = :day AND run_at IS NOT NULL
    UNION ALL
    SELECT 'bank', 'account-' || account_id, count(match_id), count(*)
    FROM bank_entry WHERE booked_on = :day GROUP BY account_id
    ORDER BY 1, 2
""")


def matched_on(session: Session, day: date) -> list[Matched]:
    """Return what is matched of a day, source by source; one whose file is not here is not in."""
    rows = session.execute(_MATCHED, {"day": day})
    return [Matched(Leg(leg), *rest) for leg, *rest in rows]


def together(found: list[Matched], leg: Leg) -> Matched:
    """Return a whole leg's day."""
    own = [one for one in found if one.leg is leg]
    return Matched(leg, "", sum(one.matched for one in own), sum(one.of for one in own))


class Files(NamedTuple):
    """Which of a day's files of a leg are here; ``late`` counts those of earlier days as well."""

    leg: Leg
    expected: int
    here: int
    late: int


_FILES = text("""
    SELECT 'gateway', count(*) FILTER (WHERE day = :day),
           count(*) FILTER (WHERE day = :day AND state <> 'waiting'),
           count(*) FILTER (WHERE state = 'waiting' AND due_at < :late_since)
    FROM settlement_arrival WHERE day = :day OR state = 'waiting'
    UNION ALL
    SELECT 'company', count(*) FILTER (WHERE day = :day),
           count(*) FILTER (WHERE day = :day AND state <> 'waiting'),
           count(*) FILTER (WHERE state = 'waiting' AND due_at < :late_since)
    FROM confirmation_arrival WHERE day = :day OR state = 'waiting'
    UNION ALL
    SELECT 'bank', count(*), count(*) FILTER (WHERE covers_to >= :day),
           count(*) FILTER (WHERE covers_to < :bank_late)
    FROM (SELECT (SELECT max(s.covers_to) FROM bank_statement s WHERE s.account_id = a.id)
                 AS covers_to
          FROM bank_account a) accounts
""")


def files_of(session: Session, day: date, *, now: datetime) -> list[Files]:
    """Return which files of a day are here, leg by leg; of the bank an account is one file."""
    values = {
        "day": day, "late_since": now - LATE_AFTER, "bank_late": day - timedelta(days=1)
    }  # fmt: skip
    return [Files(Leg(leg), *rest) for leg, *rest in session.execute(_FILES, values)]


class BillFiles(NamedTuple):
    """Companies' bill files of a day, and companies we cannot fetch from."""

    received: int
    imported: int
    refused: int
    rows: int
    unreachable: int


_BILL_FILES = text("""
    SELECT count(*), count(*) FILTER (WHERE status = 'imported'),
           count(*) FILTER (WHERE status = 'refused'), coalesce(sum(rows), 0)::bigint,
           (SELECT count(*) FROM delivery_poll WHERE failures > 0)
    FROM bill_file WHERE received_at >= :started AND received_at < :ended
""")


def bill_files_between(session: Session, started: datetime, ended: datetime) -> BillFiles:
    """Return how companies' bill files came in a time."""
    row = session.execute(_BILL_FILES, {"started": started, "ended": ended}).one()
    return BillFiles(*row)
