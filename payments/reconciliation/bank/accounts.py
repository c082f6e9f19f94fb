"""Our accounts, what their statements cover and lack, and how their money stands to the ledger."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.ledger import books
from core.errors import Invalid, NotFound
from core.masking import mask_no
from payments.reconciliation.bank.models import SAID_BEFORE, BankAccount

PAGE = 50
LONGEST_LABEL = 60


class KeptStatement(NamedTuple):
    """A statement as staff see it, and what lies between it and the one before, if anything.

    ``gap_fen``: what it opens with above the close before it. None: it follows, or nobody can
    tell, because it is the first, tells no balances, or tells the same days again. ``missing_from``
    and ``missing_to`` are the days between the two, where there are any. ``first_on`` is the first
    day it tells of: some banks date the opening balance with the day before.
    """

    id: int
    account_id: int
    account_masked: str
    label: str
    statement_no: str
    page_no: int | None
    source_format: str
    from_on: date | None
    first_on: date | None
    covers_to: date | None
    opening_fen: int | None
    closing_fen: int | None
    entries: int
    file_name: str
    taken_at: datetime
    gap_fen: int | None
    missing_from: date | None
    missing_to: date | None

    @property
    def follows(self) -> bool:
        return self.gap_fen is None and self.missing_from is None


# In the order in which they follow one another. An MT940 opens on the evening before its first day.
_STATEMENTS = """
    WITH told AS (
        SELECT s.*, CASE WHEN s.source_format = 'mt940' THEN s.from_on + 1 ELSE s.from_on END
               AS first_on,
               row_number() OVER (PARTITION BY s.account_id ORDER BY s.covers_to, s.sequence_no,
                                  s.page_no, s.from_on, s.statement_no, s.id) AS place
        FROM bank_statement s
    ), stood AS (
        SELECT t.*, b.closing_fen AS before_fen, b.covers_to AS before_on,
               t.first_on <= b.covers_to AND NOT (t.first_on = b.first_on
                                                  AND t.covers_to = b.covers_to) AS is_again
        FROM told t LEFT JOIN told b ON (b.account_id, b.place) = (t.account_id, t.place - 1)
    ), judged AS (
        SELECT s.*, coalesce(covers_to, '-infinity') AS k1, coalesce(sequence_no, 0) AS k2,
               coalesce(page_no, 0) AS k3,
               CASE WHEN is_again IS NOT TRUE THEN nullif(opening_fen - before_fen, 0) END
               AS gap_fen,
               first_on > before_on + 1 AND (opening_fen - before_fen) IS DISTINCT FROM 0
               AS lacks_days
        FROM stood s
    )
    SELECT j.id, j.account_id, a.account_no, a.label, j.statement_no, j.page_no, j.source_format,
           j.from_on, j.first_on, j.covers_to, j.opening_fen, j.closing_fen, j.entries,
           j.file_name, j.taken_at, j.gap_fen,
           CASE WHEN lacks_days THEN before_on + 1 END,
           CASE WHEN lacks_days THEN first_on - 1 END
    FROM judged j JOIN bank_account a ON a.id = j.account_id
"""
_LIST = text(f"""
    {_STATEMENTS}
    WHERE CAST(:after AS bigint) IS NULL
       OR (k1, k2, k3, j.id) < (SELECT k1, k2, k3, id FROM judged WHERE id = :after)
    ORDER BY k1 DESC, k2 DESC, k3 DESC, j.id DESC
    LIMIT :limit
""")  # noqa: S608  our own texts
_GAPS = text(f"""
    {_STATEMENTS} WHERE gap_fen IS NOT NULL OR lacks_days
    ORDER BY k1 DESC, k2 DESC, k3 DESC, j.id DESC
    LIMIT :limit
""")


def list_statements(
    session: Session, *, after: int | None = None, limit: int = PAGE
) -> list[KeptStatement]:
    """Return statements, the newest first; ``after`` is the last one of the page before."""
    return [_kept(row) for row in session.execute(_LIST, {"after": after, "limit": limit})]


def every_statement(session: Session) -> Iterator[KeptStatement]:
    """Yield all statements, the newest first."""
    after: int | None = None
    while rows := list_statements(session, after=after, limit=1_000):
        yield from rows
        after = rows[-1].id


def list_gaps(session: Session, *, limit: int = PAGE) -> list[KeptStatement]:
    """Return the statements that do not follow the one before, the newest first."""
    return [_kept(row) for row in session.execute(_GAPS, {"limit": limit})]


def _kept(row: Any) -> KeptStatement:
    statement_id, account_id, account_no, *rest = row
    return KeptStatement(statement_id, account_id, mask_no(account_no), *rest)


class OurAccount(NamedTuple):
    """An account of ours, as its statements tell of it; ``balance_fen`` is of ``balance_on``."""

    id: int
    masked: str
    label: str
    statements: int
    covers_to: date | None
    taken_at: datetime | None
    balance_fen: int | None
    balance_on: date | None
    open_entries: int


_ACCOUNTS = text("""
    SELECT a.id, a.account_no, a.label, s.times, s.covers_to, s.taken_at, b.closing_fen,
           b.covers_to,
           (SELECT count(*) FROM bank_entry e WHERE e.account_id = a.id AND e.match_id IS NULL
               AND NOT EXISTS (SELECT FROM bank_suspense s
                               WHERE s.entry_id = e.id AND (s.ended_at IS NULL OR s.is_returned)))
    FROM bank_account a
    LEFT JOIN LATERAL (
        SELECT count(*) AS times, max(covers_to) AS covers_to, max(taken_at) AS taken_at
        FROM bank_statement WHERE account_id = a.id) s ON true
    LEFT JOIN LATERAL (
        SELECT closing_fen, covers_to FROM bank_statement
        WHERE account_id = a.id AND closing_fen IS NOT NULL
        ORDER BY covers_to DESC NULLS LAST, sequence_no DESC NULLS LAST, page_no DESC NULLS LAST,
                 id DESC LIMIT 1) b ON true
    ORDER BY a.id
""")


def list_accounts(session: Session) -> list[OurAccount]:
    """Return our accounts, in the order in which they became known."""
    return [
        OurAccount(account_id, mask_no(account_no), *rest)
        for account_id, account_no, *rest in session.execute(_ACCOUNTS)
    ]


def name_account(session: Session, account_id: int, label: str) -> BankAccount:
    """Have an account called something; blank: by its number alone. Twice changes nothing.

    Raises:
        NotFound: there is no such account.
        Invalid: the name is too long.
    """
    said = " ".join(label.split())
    if len(said) > LONGEST_LABEL:
        raise Invalid(f"a name has at most {LONGEST_LABEL} characters", code="bank_account.label")
    account = session.get(BankAccount, account_id)
    if account is None:
        raise NotFound("there is no such account of ours")
    account.label = said
    session.flush()
    return account


class Position(NamedTuple):
    """What moved by the statements against what the ledger says of ``bank``, of all accounts."""

    ledger_fen: int
    unmatched_fen: int  # in statements, and nobody knows yet what it is
    unmatched: int
    on_way_fen: int  # in the ledger, and in no statement yet: out below zero
    moved_fen: int  # all entries together

    @property
    def off_fen(self) -> int:
        """What is left unexplained."""
        return self.moved_fen - (self.ledger_fen + self.unmatched_fen - self.on_way_fen)


_POSITION = text("""
    SELECT coalesce(sum(amount_fen) FILTER (WHERE is_open), 0)::bigint,
           count(*) FILTER (WHERE is_open),
           (SELECT coalesce(sum(amount_fen), 0)::bigint FROM bank_due
            WHERE source = ANY(:said) AND match_id IS NULL),
           coalesce(sum(amount_fen), 0)::bigint
    FROM (SELECT amount_fen, match_id IS NULL AND NOT EXISTS (
              SELECT FROM bank_suspense s
              WHERE s.entry_id = e.id AND (s.ended_at IS NULL OR s.is_returned)) AS is_open
          FROM bank_entry e) e
""")


def position(session: Session) -> Position:
    """Return how the ledger's bank account and the statements stand to one another."""
    found = session.execute(_POSITION, {"said": sorted(SAID_BEFORE)}).one()
    return Position(books.balance_fen(session, books.BANK), *found)
