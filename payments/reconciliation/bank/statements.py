"""Bank statements kept once: a file whole or not at all, each statement and each entry one time.

Files may come in any order, so a statement that does not open with what the one before it closed
with is kept, and told of as a gap until that one is here.
"""

import hashlib
from dataclasses import replace
from datetime import date, datetime
from typing import BinaryIO, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.db import driver
from core.errors import Conflict
from core.masking import mask_no
from core.money import yuan_text
from payments.statements.base import Statement, StatementFileError
from payments.statements.profiles import BankProfile
from payments.statements.reading import read_statements

_INTERIM = ("camt.052", "camt.054")  # what they tell is told again, under other numbers


class Taken(NamedTuple):
    """A statement of a file that was taken; of one we had before nothing is new."""

    account_masked: str
    statement_no: str
    begins_on: date | None  # the day of its first entry
    covers_to: date | None
    entries: int
    new_entries: int
    is_new: bool


def take_statement(
    session: Session,
    stream: BinaryIO,
    *,
    name: str,
    profile: BankProfile | None,
    now: datetime,
) -> list[Taken]:
    """Keep a file's statements with their booked entries; the same again changes nothing.

    Raises:
        StatementFileError: the file is refused.
        Conflict: an entry we have came again with another amount or day.
    """
    statements = read_statements(stream, name=name, profile=profile)
    for one in statements:
        if one.source_format in _INTERIM:
            raise StatementFileError(
                f"a {one.source_format} tells what a statement tells again: take the day's"
                " statement (camt.053) instead",
                file_name=name[:80],
                line_no=one.line_no,
            )
        if one.is_interim:
            raise StatementFileError(
                "the day is not over, and its own file tells all of it again: take that one",
                file_name=name[:80],
                line_no=one.line_no,
            )
    lock_bank(session)
    return [_take(session, one, file_name=name[:200], now=now) for one in statements]


def lock_bank(session: Session) -> None:
    """Let one at a time take, match or undo: what an entry is depends on all the others."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('bank'), 0)"))


_ACCOUNT = text("""
    WITH new AS (
        INSERT INTO bank_account (account_no) VALUES (:account_no)
        ON CONFLICT (account_no) DO NOTHING RETURNING id
    )
    SELECT id FROM new UNION ALL SELECT id FROM bank_account WHERE account_no = :account_no
""")
_STATEMENT = text("""
    INSERT INTO bank_statement (account_id, digest, statement_no, sequence_no, page_no,
        source_format, from_on, covers_to, opening_fen, closing_fen, entries, file_name, taken_at)
    VALUES (:account_id, :digest, :statement_no, :sequence_no, :page_no, :source_format, :from_on,
            :covers_to, :opening_fen, :closing_fen, :entries, :file_name, :now)
    ON CONFLICT (account_id, digest) DO NOTHING
    RETURNING id
""")


def _take(session: Session, statement: Statement, *, file_name: str, now: datetime) -> Taken:
    digest, statement = _digest(statement), _masked(statement)
    booked = statement.entries
    days = [one.booked_on for one in booked]
    covers_to = statement.to_on or max(days, default=statement.from_on)
    account_id = session.execute(_ACCOUNT, {"account_no": statement.account_no}).scalar_one()
    statement_id = session.execute(
        _STATEMENT,
        {
            "account_id": account_id, "digest": digest, "covers_to": covers_to,
            "entries": len(booked), "file_name": file_name, "now": now,
            **{name: getattr(statement, name) for name in (
                "statement_no", "sequence_no", "page_no", "source_format", "from_on",
                "opening_fen", "closing_fen",
            )},
        },
    ).scalar()  # fmt: skip
    new = 0
    if statement_id is not None:
        new = _keep_entries(
            session, account_id, statement_id, replace(statement, entries=tuple(booked))
        )
    return Taken(
        mask_no(statement.account_no), statement.statement_no, min(days, default=None), covers_to,
        len(booked), new, statement_id is not None,
    )  # fmt: skip


def _digest(statement: Statement) -> str:
    """Return the SHA-256 of all a statement says, wherever in a file it stands."""
    entries = tuple(replace(one, line_no=0) for one in statement.entries)
    said = repr(replace(statement, line_no=0, entries=entries))
    return hashlib.sha256(said.encode()).hexdigest()


def _masked(statement: Statement) -> Statement:
    """Return what is booked, without account numbers in what is shown: banks make numbers of them.

    No two numbers of an account become one by it.
    """
    ours = statement.account_no
    entries = tuple(
        replace(
            one,
            entry_no=_hidden(one.entry_no, ours),
            references=tuple(
                _hidden(_hidden(ref, ours), one.other_account_no) for ref in one.references
            ),
        )
        for one in statement.entries
        if one.is_booked and one.amount_fen
    )
    return replace(statement, statement_no=_hidden(statement.statement_no, ours), entries=entries)


def _hidden(text_: str, number: str) -> str:
    return text_.replace(number, mask_no(number)) if len(number) > 4 else text_


_DIFFERS = text("""
    SELECT e.entry_no, e.booked_on, e.amount_fen, c.booked_on, c.amount_fen
    FROM bank_coming c JOIN bank_entry e ON (e.account_id, e.entry_no) = (:account_id, c.entry_no)
    WHERE (e.booked_on, e.amount_fen) <> (c.booked_on, c.amount_fen)
    ORDER BY e.entry_no LIMIT 1
""")


def _keep_entries(
    session: Session, account_id: int, statement_id: int, statement: Statement
) -> int:
    session.execute(
        text("""
            CREATE TEMPORARY TABLE bank_coming (entry_no text, booked_on date, amount_fen bigint,
                refs text[], other_name text, other_account_no text, words text, bank_code text
            ) ON COMMIT DROP
        """)
    )
    with driver(session).cursor().copy("COPY bank_coming FROM STDIN") as copy:
        for one in statement.entries:
            copy.write_row(
                (one.entry_no, one.booked_on, one.amount_fen, list(one.references), one.other_name,
                 one.other_account_no, one.words, one.bank_code)
            )  # fmt: skip
    differs = session.execute(_DIFFERS, {"account_id": account_id}).first()
    if differs is not None:
        entry_no, had_on, had_fen, said_on, said_fen = differs
        raise Conflict(
            f"entry {entry_no} was {yuan_text(had_fen)} of {had_on} in an earlier statement and is"
            f" {yuan_text(said_fen)} of {said_on} in this one: ask the bank which is right",
            code="bank_entry.differs",
        )
    kept = session.execute(
        text("""
            INSERT INTO bank_entry (account_id, statement_id, entry_no, booked_on, amount_fen, refs,
                                    other_name, other_account_no, words, bank_code)
            SELECT :account_id, :statement_id, entry_no, booked_on, amount_fen, refs, other_name,
                   other_account_no, words, bank_code
            FROM bank_coming
            ON CONFLICT (account_id, entry_no) DO NOTHING
            RETURNING id
        """),
        {"account_id": account_id, "statement_id": statement_id},
    ).all()
    session.execute(text("DROP TABLE bank_coming"))
    return len(kept)
