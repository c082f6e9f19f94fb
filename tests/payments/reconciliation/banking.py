"""Makers of bank statements, gateways' days and transfers, for tests of the bank leg."""

import csv
import io
from datetime import date, timedelta
from itertools import count
from typing import Any, NamedTuple

from sqlalchemy import text

from core.db import transaction
from core.money import yuan_text
from payments.reconciliation.bank import by_hand as bank_by_hand
from payments.reconciliation.bank import matching as bank
from payments.reconciliation.bank import statements as bank_statements
from payments.reconciliation.bank.models import BankEntry, BankMatch
from payments.statements.profiles import parse_bank_profile
from tests.factories import NOW

DAY = date(2026, 11, 20)  # a Friday
ACCOUNT = "6200000000000000001"
PROFILE = parse_bank_profile(
    """
    code = "plain"
    name = "a test's"
    columns = [
        { name = "day", holds = "booked_on" }, { name = "no", holds = "entry_no" },
        { name = "amount", holds = "amount" }, { name = "name", holds = "other_name" },
        { name = "account", holds = "other_account_no" }, { name = "ref", holds = "reference" },
        { name = "ours", holds = "account_no" },
    ]
    [dates]
    day = "yyyy-mm-dd"
    """,
    "plain.toml",
)
_files = count(1)


class Line(NamedTuple):
    """An entry as a test writes it; ``on`` counts days from Friday."""

    fen: int
    on: int = 1
    no: str = ""
    ref: str = ""
    name: str = ""
    account: str = ""


def a_statement(*lines: Line, ours: str = ACCOUNT) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["day", "no", "amount", "name", "account", "ref", "ours"])
    for at, line in enumerate(lines):
        day = DAY + timedelta(days=line.on)
        no = line.no or f"N{day:%m%d}-{line.fen}-{at}"
        amount = yuan_text(line.fen)
        writer.writerow([day, no, amount, line.name, line.account, line.ref, ours])
    return out.getvalue().encode()


def a_day_of_ours(
    on: int, opens_fen: int, *fens: int, ours: str = ACCOUNT, number: int = 1
) -> bytes:
    """A statement of one day with its balances, as MT940; ``on`` counts days from Friday."""
    day = DAY + timedelta(days=on)

    def amount(fen: int) -> str:
        return f"{abs(fen) // 100},{abs(fen) % 100:02d}"

    lines = [
        ":20:S", f":25:{ours}", f":28C:{number}/1",
        f":60F:C{day - timedelta(days=1):%y%m%d}CNY{amount(opens_fen)}",
        *(f":61:{day:%y%m%d}{day:%m%d}{'C' if fen > 0 else 'D'}{amount(fen)}NTRFNONREF//"
          f"B{day:%m%d}-{number}-{at}" for at, fen in enumerate(fens)),
        f":62F:C{day:%y%m%d}CNY{amount(opens_fen + sum(fens))}", "-", "",
    ]  # fmt: skip
    return "\n".join(lines).encode()


def take(content: bytes, **changes: Any) -> list[bank_statements.Taken]:
    told = {"name": "s.csv", "profile": PROFILE, "now": NOW} | changes
    with transaction() as session:
        return bank_statements.take_statement(session, io.BytesIO(content), **told)


def match(**changes: Any) -> bank.Matching:
    with transaction() as session:
        return bank.match_bank(session, DAY, now=NOW, **changes)


def bank_says(*lines: Line) -> bank.Matching:
    take(a_statement(*lines))
    return match()


def a_day(source: str, on: int, *rows: tuple[Any, ...]) -> None:
    """A gateway's day as its file has it, rows of kind, fen, fee and reference."""
    day = DAY + timedelta(days=on)
    with transaction() as session:
        file_id = session.execute(
            text("""
                INSERT INTO settlement_file (source, day, sha256, file_name, received_at)
                VALUES (:source, :day, :sha256, 'f', :now) RETURNING id
            """),
            {"source": source, "day": day, "sha256": f"{next(_files)}", "now": NOW},
        ).scalar_one()
        for at, row in enumerate(rows):
            kind, fen, fee_fen, ref = (*row, 0, "")[:4] if len(row) < 4 else row
            session.execute(
                text("""
                    INSERT INTO settlement_row (settlement_file_id, line_no, kind, reference,
                        gateway_ref, amount_fen, fee_fen, happened_at)
                    VALUES (:file, :at, :kind, '', :ref, :fen, :fee, :now)
                """),
                {"file": file_id, "at": at, "kind": kind, "fen": fen, "fee": fee_fen, "ref": ref,
                 "now": NOW},
            )  # fmt: skip
        session.execute(
            text("""
                INSERT INTO reconciliation VALUES (:source, :day, :file, 0, 0, 0, 0, 0, 0, :now)
                ON CONFLICT (source, day) DO UPDATE
                SET settlement_file_id = excluded.settlement_file_id
            """),
            {"source": source, "day": day, "file": file_id, "now": NOW},
        )


def takes(source: str, on: int, fen: int, fee_fen: int = 0) -> None:
    """A gateway took so much on a day, and keeps a fee of it."""
    a_day(source, on, ("payment", fen, fee_fen, "x"))


def left() -> list[tuple[Any, ...]]:
    """The open differences of the bank leg: source, day from Friday, kind, reference, fen, fen."""
    with transaction() as session:
        rows = session.execute(
            text("""
                SELECT source, day - :day, kind, reference, ours_fen, theirs_fen
                FROM reconciliation_break WHERE leg = 'bank' AND state = 'open'
                ORDER BY source, day, reference
            """),
            {"day": DAY},
        )
        return [tuple(row) for row in rows]


def matched() -> list[tuple[str, list[int], list[int], int]]:
    """The matches that stand: by what, entries' and dues' fen, and the fee posted."""
    with transaction() as session:
        rows = session.execute(
            text("""
                SELECT matched_by,
                       (SELECT array_agg(amount_fen ORDER BY booked_on, amount_fen)
                        FROM bank_entry WHERE match_id = m.id),
                       (SELECT array_agg(amount_fen ORDER BY day, amount_fen) FROM bank_due
                        WHERE match_id = m.id), fee_fen
                FROM bank_match m WHERE undone_at IS NULL
                ORDER BY first_on, amount_fen, source
            """)
        )
        return [tuple(row) for row in rows]


def transfers() -> int:
    with transaction() as session:
        return session.execute(text("SELECT count(*) FROM ledger_transfer")).scalar_one()


def the_entry(fen: int) -> BankEntry:
    with transaction() as session:
        found = session.execute(
            text("SELECT id FROM bank_entry WHERE amount_fen = :fen"), {"fen": fen}
        ).scalar_one()
        return session.get_one(BankEntry, found)


def due_ids(*fen: int) -> list[int]:
    with transaction() as session:
        found = session.execute(
            text("SELECT id FROM bank_due WHERE amount_fen = ANY(:fen) ORDER BY day"),
            {"fen": list(fen)},
        )
        return list(found.scalars())


def match_by_hand(entry: BankEntry, *fen: int, by: int, reason: str = "called them") -> BankMatch:
    assert entry.id is not None
    with transaction() as session:
        return bank_by_hand.match_by_hand(
            session, entry.id, due_ids(*fen), by=by, reason=reason, now=NOW
        )


def undo(match_id: int, by: int, reason: str = "it was another") -> BankMatch:
    with transaction() as session:
        return bank_by_hand.undo_match(session, match_id, by=by, reason=reason, now=NOW)


def the_match() -> int:
    with transaction() as session:
        return session.execute(
            text("SELECT id FROM bank_match WHERE undone_at IS NULL")
        ).scalar_one()
