"""A chunk's new bills, with their accounts and first postings: in sets, never row by row."""

import io
from collections.abc import Iterable
from datetime import UTC
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg
from sqlalchemy import text
from sqlmodel import Session

from billing.corrections import BY_INDEX, Chunk
from billing.files.first_postings import COPY_TRANSFERS, binary_transfers
from billing.files.holders import DIFFERS
from core.clock import billing_date
from core.db import driver
from providers.base import RecordKind

_NULL: Final = "\x01"  # in no text of ours
_SHORT_DAY: Final = "%Y%m%d"  # what the database reads fastest: a third off each
_SHORT_MOMENT: Final = "%Y%m%d %H%M%S.%fZ"


def may_be_new(chunk: Chunk) -> bool:
    """Tell whether a chunk has nothing but bills of today or earlier, each of them once."""
    rows = chunk.rows
    return bool(
        (rows["kind"] == RecordKind.BILL.value).all()
        and (rows["issued_on"] <= billing_date(chunk.now)).all()
        and (
            rows["id"].n_unique() == rows.height  # a tenth of the price, and nearly always enough
            or not rows.select("account_no", "id").is_duplicated().any()
        )
    )


class Arrived(NamedTuple):
    """What came with a chunk; ``renamed``: a holder's name is not the one we held."""

    created: int
    total_fen: int
    renamed: bool


def copy_in(session: Session, chunk: Chunk) -> Arrived:
    """Take a chunk in as new bills.

    Raises:
        psycopg.errors.UniqueViolation: one of them is not new.
    """
    connection = driver(session)
    known = _accounts(connection, chunk)
    bills = chunk.rows.join(known, on="account_no", how="left").sort("account_id", "id")
    assert bills["account_id"].null_count() == 0, "every account was looked up or made"
    _copy(connection, "bill", bills.select(*_bill_columns(chunk)))
    with connection.cursor().copy(COPY_TRANSFERS) as copy:
        copy.write(binary_transfers(bills, chunk))
    renamed = bool(bills.select(DIFFERS.any()).item())
    return Arrived(bills.height, int(bills["amount_fen"].sum()), renamed)


def _bill_columns(chunk: Chunk) -> Iterable[pl.Expr]:
    said = (
        "id", "amount_fen", "billing_month", "period_from_on", "period_to_on", "issued_on",
        "due_on", "version", "usage", "bill_no", "usage_unit", "items", "pay_terms",
    )  # fmt: skip
    return (
        pl.col("account_id"),
        *map(pl.col, said),
        pl.lit(chunk.bill_file_id).alias("bill_file_id"),
        pl.lit(f"{chunk.now.astimezone(UTC):{_SHORT_MOMENT}}").alias("recorded_at"),
        pl.col("line_no").alias("file_line_no"),
    )


def _copy(connection: psycopg.Connection[Any], table: str, rows: pl.DataFrame) -> None:
    """COPY rows into a table whose columns have the frame's names."""
    query = f"COPY {table} ({', '.join(rows.columns)}) FROM STDIN (NULL '{_NULL}')"
    with connection.cursor().copy(query.encode()) as copy:
        copy.write(copy_text(rows))


def copy_text(rows: pl.DataFrame) -> bytes:
    """Return rows as COPY reads them; no text may hold a control character."""
    buffer = io.BytesIO()
    rows.with_columns(*map(_worded, rows.select(pl.selectors.by_dtype(pl.Date)))).write_csv(
        buffer, include_header=False, separator="\t", quote_style="never", null_value=_NULL
    )
    return buffer.getvalue().replace(b"\\", b"\\\\")


def _worded(days: pl.Series) -> pl.Series:
    """Return days as text: there are few in a chunk, and writing them one by one takes longest."""
    each = days.unique()
    return days.replace_strict(each, each.dt.strftime(_SHORT_DAY), return_dtype=pl.String)


_KNOWN: Final = """
    SELECT string_agg(account_no, E'\\n'), string_agg(id::text, E'\\n'),
           string_agg(translate(holder_name, E'\\n', ''), E'\\n')
    FROM utility_account
    WHERE provider_code = %s AND account_no = ANY (string_to_array(%s, E'\\n'))
"""

_MAKE: Final = """
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT %s, *, %s FROM unnest(%s::text[], %s::text[], %s::text[])
    ON CONFLICT (provider_code, account_no) DO NOTHING
"""


def _accounts(connection: psycopg.Connection[Any], chunk: Chunk) -> pl.DataFrame:
    """Return the ids of a chunk's accounts, making those that are new."""
    nos = chunk.rows["account_no"].unique(maintain_order=True)
    known = known_accounts(connection, chunk.provider_code, nos)
    if known.height == nos.len():
        return known
    missing = (
        chunk.rows.unique("account_no", keep="first", maintain_order=True)
        .join(known, on="account_no", how="anti")
        .sort("account_no")
    )
    told = [missing[name].to_list() for name in ("account_no", "holder_name", "address")]
    connection.execute(_MAKE, [chunk.provider_code, chunk.now, *told])
    made = known_accounts(connection, chunk.provider_code, missing["account_no"])
    return pl.concat([known, made])


def known_accounts(
    connection: psycopg.Connection[Any], provider_code: str, nos: pl.Series
) -> pl.DataFrame:
    """Look accounts up (``account_no``, ``account_id``, ``held_name``).

    Their numbers hold no line break, which is what parts them here.
    """
    asked = nos.str.join("\n").item()
    found = connection.execute(_KNOWN, [provider_code, asked]).fetchone()
    texts = found if found is not None and found[0] is not None else None
    columns = [pl.Series([text]).str.split("\n").explode() for text in texts or ()]
    return pl.DataFrame(
        columns or [pl.Series([], dtype=pl.String)] * 3,
        schema=["account_no", "account_id", "held_name"],
    ).cast({"account_id": pl.Int64})


_INCOMING: Final = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
        row_no int, line_no int, kind text, account_no text, holder_name text, address text,
        id bigint, bill_no text, billing_month date, version smallint, period_from_on date,
        period_to_on date, issued_on date, due_on date, usage numeric(12,3), usage_unit text,
        amount_fen bigint, items text, original_no text, original_id bigint, pay_terms text,
        reading text, is_early boolean DEFAULT false
    );
    TRUNCATE incoming
""")

# What stands in the file before the bill it is about: that one is not there yet, whether it comes
# with this chunk or with the next.
_MARK_EARLY: Final = text("""
    UPDATE incoming e SET is_early = true
    FROM (SELECT account_no, id, min(row_no) AS row_no FROM incoming
          WHERE kind = 'bill' AND issued_on <= :posted_on GROUP BY account_no, id) n
    WHERE e.account_no = n.account_no AND coalesce(e.original_id, e.id) = n.id
      AND e.row_no < n.row_no
      AND NOT EXISTS (
        SELECT FROM utility_account a JOIN bill b ON b.account_id = a.id
        WHERE a.provider_code = :provider_code AND a.account_no = n.account_no
          AND b.id = n.id AND b.id BETWEEN :first_id AND :last_id)
""")


def load(session: Session, chunk: Chunk) -> None:
    """Bring a chunk into the temporary table ``incoming``, which nobody else sees."""
    session.execute(_INCOMING)
    numbered = chunk.rows.with_row_index("row_no", offset=chunk.after + 1)
    _copy(driver(session), "incoming", numbered)
    session.execute(text("ANALYZE incoming (row_no, account_no, id)"))


_ACCOUNTS = text("""
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT DISTINCT ON (i.account_no) :provider_code, i.account_no, i.holder_name, i.address, :now
    FROM incoming i
    LEFT JOIN utility_account a
      ON a.provider_code = :provider_code AND a.account_no = i.account_no
    WHERE i.kind = 'bill' AND a.id IS NULL AND i.issued_on <= :posted_on
    ORDER BY i.account_no, i.row_no
    ON CONFLICT (provider_code, account_no) DO NOTHING
""")

_BILLS = text("""
    WITH fresh AS (
        INSERT INTO bill (account_id, id, bill_file_id, amount_fen, recorded_at, billing_month,
                          period_from_on, period_to_on, issued_on, due_on, file_line_no, version,
                          usage, bill_no, usage_unit, items, pay_terms)
        SELECT a.id, i.id, :bill_file_id, i.amount_fen, :now, i.billing_month, i.period_from_on,
               i.period_to_on, i.issued_on, i.due_on, i.line_no, i.version, i.usage, i.bill_no,
               i.usage_unit, i.items::json, i.pay_terms::json
        FROM incoming i
        JOIN utility_account a
          ON a.provider_code = :provider_code AND a.account_no = i.account_no
        WHERE i.kind = 'bill' AND i.issued_on <= :posted_on
        ORDER BY a.id, i.id, i.row_no
        ON CONFLICT DO NOTHING
        RETURNING account_id, id, version, amount_fen
    ), posted AS (
        INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                     credit_account_id, amount_fen, posted_on, posted_at)
        SELECT account_id, id, 'issued.' || version,
               CASE WHEN amount_fen > 0 THEN CAST(:receivable_id AS int) ELSE :uncollected_id END,
               CASE WHEN amount_fen > 0 THEN CAST(:uncollected_id AS int) ELSE :receivable_id END,
               abs(amount_fen), :posted_on, :now
        FROM fresh WHERE amount_fen <> 0
    )
    SELECT count(*), coalesce(sum(amount_fen), 0)::bigint FROM fresh
""")


def insert_new(session: Session, chunk: Chunk) -> tuple[int, int]:
    """Take in those bills of ``incoming`` that are new; returns how many and their sum in fen."""
    session.execute(BY_INDEX)
    today, kinds = billing_date(chunk.now), chunk.rows["kind"]
    if (kinds != RecordKind.BILL.value).any() or (chunk.rows["issued_on"] > today).any():
        session.execute(_MARK_EARLY, chunk.values())
    session.execute(_ACCOUNTS, chunk.values())
    created, total_fen = session.execute(_BILLS, chunk.values()).one()
    return created, total_fen
