"""What an entry may be that no run could place: proposals with a reason and a confidence."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from payments.reconciliation.bank.desk import open_beside
from payments.reconciliation.bank.matching import LONGEST_CHAIN, LOOK_BACK_DAYS
from payments.reconciliation.bank.models import SAID_BEFORE, BankEntry

_NEAR_PERCENT = 1  # by which a sum may be off and still be shown


class Suggestion(NamedTuple):
    """Money an entry may be, and why; ``confidence`` in percent.

    ``off_fen``: what the entry has above it. ``days_after`` its last day, below zero before it.
    ``is_known``: this counterparty has paid for the same source before. ``also_ids``: the entries
    that make up the sum with it, of the same sender.
    """

    source: str
    due_ids: tuple[int, ...]
    references: tuple[str, ...]
    amount_fen: int
    off_fen: int
    days_after: int
    is_known: bool
    confidence: int
    also_ids: tuple[int, ...] = ()


_OPEN = text("""
    SELECT d.id, d.source, d.day, d.reference, d.amount_fen, d.match_id IS NULL AS is_open
    FROM bank_due d
    WHERE d.amount_fen <> 0 AND d.day BETWEEN :from_on AND :to_on
      AND (d.kind <> 'net' OR NOT EXISTS (
          SELECT FROM bank_due p WHERE (p.source, p.kind) = (d.source, 'payout')))
    ORDER BY d.source, d.day, d.reference
""")
# What this counterparty's money was before, by its account or, without one, by its name.
_KNOWN = text("""
    SELECT m.source, count(*) FROM bank_entry e JOIN bank_match m ON m.id = e.match_id
    WHERE e.id <> :entry_id AND CASE WHEN :account <> '' THEN e.other_account_no = :account
                                     ELSE :name <> '' AND e.other_name = :name END
    GROUP BY m.source
""")


def suggest(session: Session, entry: BankEntry, *, limit: int = 5) -> list[Suggestion]:
    """Return what an entry may be, the likeliest first: by sum, days between, and counterparty."""
    known = {
        row[0]
        for row in session.execute(
            _KNOWN,
            {"entry_id": entry.id, "account": entry.other_account_no, "name": entry.other_name},
        )
    }
    from_on = entry.booked_on - timedelta(days=LOOK_BACK_DAYS)
    dues = session.execute(
        _OPEN, {"from_on": from_on, "to_on": entry.booked_on + timedelta(days=3)}
    ).all()
    ways = [[entry], *_in_parts(session, entry)]
    found = [
        one
        for source, of_source in groupby(dues, key=lambda due: due.source)
        for chain in _chains(list(of_source))
        for came in ways
        if (one := _judge(came, entry, source, chain, known=source in known)) is not None
    ]
    return sorted(found, key=lambda one: (-one.confidence, one.source, one.due_ids))[:limit]


def _in_parts(session: Session, entry: BankEntry) -> list[list[BankEntry]]:
    """Return an entry with its sender's open ones right before and after it, in every way."""
    if not entry.other_account_no and not entry.other_name:
        return []
    beside = open_beside(session, entry)
    senders = [
        one for one in beside
        if (one.other_account_no, one.other_name) == (entry.other_account_no, entry.other_name)
    ]  # fmt: skip
    line = sorted([entry, *senders], key=lambda one: (one.booked_on, one.id))
    at = line.index(entry)
    runs = [
        line[start:end]
        for start in range(at + 1)
        for end in range(at + 1, len(line) + 1)
        if 1 < end - start <= LONGEST_CHAIN
    ]
    return [run for run in runs if (run[-1].booked_on - run[0].booked_on).days <= LONGEST_CHAIN]


def _chains(dues: Sequence[Any]) -> list[Sequence[Any]]:
    """Return open dues, each alone, and a gateway's also as chains without a hole."""
    longest = 1 if dues[0].source in SAID_BEFORE else LONGEST_CHAIN
    return [
        dues[start:end]
        for start in range(len(dues))
        for end in range(start + 1, min(start + longest, len(dues)) + 1)
        if all(due.is_open for due in dues[start:end])
    ]


def _judge(
    came: Sequence[BankEntry], entry: BankEntry, source: str, chain: Sequence[Any], *, known: bool
) -> Suggestion | None:  # fmt: skip
    came_fen = sum(one.amount_fen for one in came)
    sum_fen = sum(due.amount_fen for due in chain)
    off_fen = came_fen - sum_fen
    if (sum_fen > 0) != (came_fen > 0) or abs(off_fen) * 100 > abs(sum_fen) * _NEAR_PERCENT:
        return None
    if len(came) > 1 and off_fen:
        return None
    days = (came[-1].booked_on - chain[-1].day).days
    confidence = 60 if off_fen == 0 else 20
    confidence += max(20 - 2 * abs(days), 0)
    confidence -= 10 * ((len(chain) > 1) + (len(came) > 1))
    confidence += 19 if known else 0
    return Suggestion(
        source, tuple(due.id for due in chain), tuple(due.reference for due in chain), sum_fen,
        off_fen, days, known, confidence,
        also_ids=tuple(one.id or 0 for one in came if one is not entry),
    )  # fmt: skip
