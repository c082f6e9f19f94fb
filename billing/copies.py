"""A chunk's bills as COPY reads and writes them: taken in as new, or held against what we hold."""

import io
from typing import Any, Final

import polars as pl
import psycopg
from sqlmodel import Session

from billing.corrections import Chunk
from billing.first_postings import (
    COPY_BILLS,
    COPY_TRANSFERS,
    binary_bills,
    binary_transfers,
)
from core.db import driver

_SAID: Final = (
    "account_id", "id", "amount_fen", "billing_month", "period_from_on", "period_to_on",
    "issued_on", "due_on", "version", "usage", "bill_no", "usage_unit", "items", "pay_terms",
)  # fmt: skip

# By the index in its order, whatever the planner believes of a table that is a moment old. The
# arrays are told by subqueries: the planner weighs every element of one that it can see.
_IN_ORDER: Final = """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)
"""
_HELD: Final = r"""
    SELECT string_agg(concat_ws(E'\t', account_id, id, amount_fen, billing_month, period_from_on,
                                period_to_on, issued_on, due_on, version,
                                coalesce(usage::text, '\N'), bill_no, usage_unit, items,
                                coalesce(pay_terms::text, '\N')), E'\n')
    FROM (
        SELECT * FROM bill
        WHERE account_id = ANY ((SELECT %s::bigint[])::bigint[])
          AND id = ANY ((SELECT %s::bigint[])::bigint[])
          AND id BETWEEN %s AND %s AND cancelled_at IS NULL
        ORDER BY account_id, id
    ) held
"""


def copy_in(session: Session, chunk: Chunk) -> tuple[int, int]:
    """Take a chunk in as new bills; returns how many and their sum in fen.

    Raises:
        psycopg.errors.UniqueViolation: one of them is not new.
    """
    connection = driver(session)
    bills = _of_accounts(chunk, _accounts(connection, chunk))
    for statement, rows in (
        (COPY_BILLS, binary_bills(bills, chunk)),
        (COPY_TRANSFERS, binary_transfers(bills, chunk)),
    ):
        with connection.cursor().copy(statement) as copy:
            copy.write(rows)
    return bills.height, int(bills["amount_fen"].sum())


def are_held(session: Session, chunk: Chunk) -> bool:
    """Tell whether every row of a chunk is exactly a bill we hold, letter by letter."""
    connection, rows = driver(session), chunk.rows
    known = _known(connection, chunk.provider_code, rows["account_no"].unique())
    bills = _of_accounts(chunk, known)
    if bills["account_id"].null_count():
        return False
    said = _as_text(bills.select(_SAID).cast({"usage": pl.Decimal(12, 3)}))
    connection.execute(_IN_ORDER)
    asked = [_array(known["account_id"]), _array(rows["id"]), chunk.first_id, chunk.last_id]
    found = connection.execute(_HELD, asked).fetchone()
    return found is not None and f"{found[0]}\n".encode() == said


def _array(ids: pl.Series) -> str:
    return "{" + ",".join(map(str, ids.to_list())) + "}"


def _as_text(rows: pl.DataFrame) -> bytes:
    """Return rows as lines of cells, parted by tabs; no cell holds a tab or a line break."""
    buffer = io.BytesIO()
    rows.write_csv(
        buffer, include_header=False, separator="\t", quote_style="never", null_value="\\N"
    )
    return buffer.getvalue()


def _of_accounts(chunk: Chunk, accounts: pl.DataFrame) -> pl.DataFrame:
    """Return a chunk's rows with their accounts, in the order of the bills' key."""
    return chunk.rows.join(accounts, on="account_no", how="left").sort("account_id", "id")


_KNOWN: Final = """
    SELECT string_agg(account_no, E'\\n'), string_agg(id::text, E'\\n') FROM utility_account
    WHERE provider_code = %s AND account_no = ANY (string_to_array(%s, E'\\n'))
"""

# One empty text makes no array at all, so beside its account it stands as null.
_MAKE: Final = """
    INSERT INTO utility_account (provider_code, account_no, holder_name, address, created_at)
    SELECT %s, account_no, coalesce(holder_name, ''), coalesce(address, ''), %s
    FROM unnest(string_to_array(%s, E'\\n'), string_to_array(%s, E'\\n'),
                string_to_array(%s, E'\\n')) AS told (account_no, holder_name, address)
    ON CONFLICT (provider_code, account_no) DO NOTHING
"""


def _accounts(connection: psycopg.Connection[Any], chunk: Chunk) -> pl.DataFrame:
    """Return the ids of a chunk's accounts, making those that are new."""
    nos = chunk.rows["account_no"].unique(maintain_order=True)
    known = _known(connection, chunk.provider_code, nos)
    if known.height == nos.len():
        return known
    missing = (
        chunk.rows.unique("account_no", keep="first", maintain_order=True)
        .join(known, on="account_no", how="anti")
        .sort("account_no")
    )
    told = ["\n".join(missing[name]) for name in ("account_no", "holder_name", "address")]
    connection.execute(_MAKE, [chunk.provider_code, chunk.now, *told])
    made = _known(connection, chunk.provider_code, missing["account_no"])
    return pl.concat([known, made])


def _known(connection: psycopg.Connection[Any], provider_code: str, nos: pl.Series) -> pl.DataFrame:
    """Look accounts up; no text of a row holds a line break, so that parts them."""
    asked = "\n".join(nos.to_list())
    found = connection.execute(_KNOWN, [provider_code, asked]).fetchone()
    texts, ids = found if found is not None and found[0] is not None else ("", "")
    return pl.DataFrame(
        {
            "account_no": texts.split("\n") if ids else [],
            "account_id": pl.Series(ids.split("\n") if ids else [], dtype=pl.String).cast(pl.Int64),
        },
        schema={"account_no": pl.String, "account_id": pl.Int64},
    )
