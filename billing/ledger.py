"""Double entry, append only. ``docs/ledger.md`` is the chart and the postings of every act.

A transfer is about a bill: ``(account_id, subject_id)``. Its ``entry_key`` says why the money moved
and makes it move once, because it ends the primary key.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from core.errors import AmountMismatch


def receivable(provider_code: str) -> str:
    """What residents owe a company."""
    return f"receivable:{provider_code}"


def uncollected(provider_code: str) -> str:
    """What a company has billed and we have not yet written off for it."""
    return f"uncollected:{provider_code}"


def payable(provider_code: str) -> str:
    """What we collected for a company and owe it: bills it has confirmed as written off."""
    return f"payable:{provider_code}"


def gateway(code: str) -> str:
    """What a gateway took for us and has not yet settled."""
    return f"gateway:{code}"


RETURNS = "returns"  # money on its way back to who paid it


class Move(NamedTuple):
    """One transfer to post; the amount is positive, the two ledger accounts differ."""

    account_id: int
    subject_id: int
    entry_key: str
    debit: str
    credit: str
    amount_fen: int


def account_ids(session: Session, codes: Iterable[str]) -> dict[str, int]:
    """Return the ids of ledger accounts by code, opening those that are not there yet."""
    wanted = sorted(set(codes))
    find = text("SELECT code, id FROM ledger_account WHERE code = ANY(:codes)")
    found = {row.code: row.id for row in session.execute(find, {"codes": wanted})}
    if len(found) < len(wanted):
        session.execute(
            text(
                "INSERT INTO ledger_account (code) SELECT unnest(CAST(:codes AS text[])) "
                "ON CONFLICT (code) DO NOTHING"
            ),
            {"codes": [code for code in wanted if code not in found]},
        )
        found = {row.code: row.id for row in session.execute(find, {"codes": wanted})}
    return found


_POST = text("""
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT u.account_id, u.subject_id, u.entry_key, u.debit, u.credit, u.fen, :posted_on, :now
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:subject_ids AS bigint[]),
                CAST(:entry_keys AS text[]), CAST(:debits AS int[]), CAST(:credits AS int[]),
                CAST(:amounts AS bigint[]))
         AS u (account_id, subject_id, entry_key, debit, credit, fen)
    ON CONFLICT DO NOTHING
""")

_SAME = text("""
    SELECT count(*)
    FROM ledger_transfer t
    JOIN unnest(CAST(:account_ids AS bigint[]), CAST(:subject_ids AS bigint[]),
                CAST(:entry_keys AS text[]), CAST(:debits AS int[]), CAST(:credits AS int[]),
                CAST(:amounts AS bigint[]))
         AS u (account_id, subject_id, entry_key, debit, credit, fen)
      ON (t.account_id, t.subject_id, t.entry_key) = (u.account_id, u.subject_id, u.entry_key)
     AND (t.debit_account_id, t.credit_account_id, t.amount_fen) = (u.debit, u.credit, u.fen)
""")


def post(session: Session, moves: Sequence[Move], *, now: datetime) -> int:
    """Append transfers in one statement; those already posted are left as they are.

    Returns:
        How many were new.

    Raises:
        AmountMismatch: an entry key was posted before with another amount or other accounts.
    """
    if not moves:
        return 0
    ids = account_ids(session, {code for move in moves for code in (move.debit, move.credit)})
    rows = {
        "account_ids": [move.account_id for move in moves],
        "subject_ids": [move.subject_id for move in moves],
        "entry_keys": [move.entry_key for move in moves],
        "debits": [ids[move.debit] for move in moves],
        "credits": [ids[move.credit] for move in moves],
        "amounts": [move.amount_fen for move in moves],
    }
    posted = session.execute(_POST, rows | {"posted_on": billing_date(now), "now": now})
    new = posted.rowcount  # type: ignore[attr-defined]
    if new < len(moves) and session.execute(_SAME, rows).scalar_one() != len(moves):
        raise AmountMismatch(
            "an entry was posted before with other figures", code="ledger.conflict"
        )
    return int(new)


def balances(session: Session) -> list[tuple[str, int, int]]:
    """Return (code, debits, credits) of every ledger account, in fen, by code."""
    rows = session.execute(
        text("""
            SELECT a.code, coalesce(d.fen, 0), coalesce(c.fen, 0)
            FROM ledger_account a
            LEFT JOIN (SELECT debit_account_id AS id, sum(amount_fen)::bigint AS fen
                       FROM ledger_transfer GROUP BY 1) d USING (id)
            LEFT JOIN (SELECT credit_account_id AS id, sum(amount_fen)::bigint AS fen
                       FROM ledger_transfer GROUP BY 1) c USING (id)
            ORDER BY a.code
        """)
    )
    return [(code, debit_fen, credit_fen) for code, debit_fen, credit_fen in rows]


def balance_fen(session: Session, code: str) -> int:
    """Return debits less credits of one ledger account, in fen."""
    return next((d - c for name, d, c in balances(session) if name == code), 0)
