"""Double entry, append only. ``docs/ledger.md`` is the chart and the postings of every act.

A transfer is about a bill: ``(account_id, subject_id)``. Its ``entry_key`` says why the money moved
and makes it move once, because it ends the primary key.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import seals
from core.clock import billing_date, day_bounds
from core.db import count_changed
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


def advance(provider_code: str) -> str:
    """What was paid above a bill and belongs to its company as a prepayment."""
    return f"advance:{provider_code}"


def credits(provider_code: str) -> str:
    """Through which a company's credits cover its bills; always level."""
    return f"credits:{provider_code}"


def suspense(source: str) -> str:
    """Money that came through a source and is on no bill."""
    return f"suspense:{source}"


RETURNS = "returns"  # money on its way back to who paid it
BANK = "bank"  # our own account, into which gateways settle and from which we remit
FEES = "fees"  # convenience fees we earned
FEE_TAX = "fee_tax"  # the tax on them, owed to the state
GATEWAY_FEES = "gateway_fees"  # what gateways kept for their work
CHARGEBACKS = "chargebacks"  # taken back from us, and not decided yet
DIFFERENCES = "differences"  # what gateways counted otherwise, a few fen each, written off
LOSSES = "losses"  # taken back from us of what had gone back already: nobody else bears it


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


# Appends transfers whose accounts are there; ``move_values`` gives its values. A fragment, so that
# a larger statement can hold it: who gets fewer rows back than moves calls ``post`` for the rest.
INSERT_MOVES = """
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT m.account_id, m.subject_id, m.entry_key, d.id, c.id, m.fen, :posted_on, :posted_at
    FROM unnest(CAST(:move_accounts AS bigint[]), CAST(:move_subjects AS bigint[]),
                CAST(:move_keys AS text[]), CAST(:move_debits AS text[]),
                CAST(:move_credits AS text[]), CAST(:move_fen AS bigint[]))
         AS m (account_id, subject_id, entry_key, debit, credit, fen)
    JOIN ledger_account d ON d.code = m.debit
    JOIN ledger_account c ON c.code = m.credit
    ON CONFLICT DO NOTHING
"""
_POST = text(INSERT_MOVES)

_SAME = text("""
    SELECT count(*)
    FROM unnest(CAST(:move_accounts AS bigint[]), CAST(:move_subjects AS bigint[]),
                CAST(:move_keys AS text[]), CAST(:move_debits AS text[]),
                CAST(:move_credits AS text[]), CAST(:move_fen AS bigint[]))
         AS m (account_id, subject_id, entry_key, debit, credit, fen)
    JOIN ledger_transfer t
      ON (t.account_id, t.subject_id, t.entry_key) = (m.account_id, m.subject_id, m.entry_key)
    JOIN ledger_account d ON d.id = t.debit_account_id
    JOIN ledger_account c ON c.id = t.credit_account_id
    WHERE (d.code, c.code, t.amount_fen) = (m.debit, m.credit, m.fen)
""")


def move_values(moves: Sequence[Move], *, now: datetime) -> dict[str, Any]:
    """Return the values of ``INSERT_MOVES``."""
    return {
        "move_accounts": [move.account_id for move in moves],
        "move_subjects": [move.subject_id for move in moves],
        "move_keys": [move.entry_key for move in moves],
        "move_debits": [move.debit for move in moves],
        "move_credits": [move.credit for move in moves],
        "move_fen": [move.amount_fen for move in moves],
        "posted_on": billing_date(now),
        "posted_at": now,
    }


def post(session: Session, moves: Sequence[Move], *, now: datetime) -> int:
    """Append transfers in one statement; those already posted are left as they are.

    Returns:
        How many were new.

    Raises:
        AmountMismatch: an entry key was posted before with another amount or other accounts.
    """
    if not moves:
        return 0
    values = move_values(moves, now=now)
    new = count_changed(session.execute(_POST, values))
    if new < len(moves):
        account_ids(session, {code for move in moves for code in (move.debit, move.credit)})
        new += count_changed(session.execute(_POST, values))
    if new < len(moves) and session.execute(_SAME, values).scalar_one() != len(moves):
        raise AmountMismatch(
            "an entry was posted before with other figures", code="ledger.conflict"
        )
    return int(new)


EVER = datetime(1, 1, 1, tzinfo=UTC)  # before any transfer


def last_closed(session: Session, *, before: date | None = None) -> date | None:
    """Return the newest closed day, or the newest before a day; None while none is closed."""
    found: date | None = session.execute(
        text("SELECT max(day) FROM ledger_day WHERE day < coalesce(:before, 'infinity'::date)"),
        {"before": before},
    ).scalar_one()
    return found


_BALANCES = text(f"""
    SELECT a.code, coalesce(r.total_debit_fen, 0) + coalesce(t.debit_fen, 0),
           coalesce(r.total_credit_fen, 0) + coalesce(t.credit_fen, 0)
    FROM ledger_account a
    LEFT JOIN ledger_day_balance r ON r.ledger_account_id = a.id AND r.day = :closed_on
    LEFT JOIN ({seals.MOVED.replace(seals.PERIOD, "posted_at >= :start")}) t
         ON t.ledger_account_id = a.id
    ORDER BY a.code
""")  # noqa: S608  our own text


def balances(session: Session) -> list[tuple[str, int, int]]:
    """Return (code, debits, credits) of every ledger account, in fen, by code.

    The last closed day's totals and the transfers since: what is closed is not read again.
    """
    closed_on = last_closed(session)
    start = day_bounds(closed_on)[1] if closed_on else EVER
    rows = session.execute(_BALANCES, {"closed_on": closed_on, "start": start})
    return [(code, debit_fen, credit_fen) for code, debit_fen, credit_fen in rows]


def balance_fen(session: Session, code: str) -> int:
    """Return debits less credits of one ledger account, in fen."""
    return next((d - c for name, d, c in balances(session) if name == code), 0)
