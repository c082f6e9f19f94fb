"""Is a chunk exactly what we hold? Asked of every chunk of a file that comes again.

The bills we hold of the chunk's accounts are read in stretches of the primary key and written out
by the database as one text, the chunk's own rows by us, and the two are compared to the letter. A
number written another way than ours differs too: such a chunk is judged row by row, like every
other that differs, so being wrong here costs time and never a bill.
"""

import io
from typing import Final, NamedTuple

import polars as pl
from sqlmodel import Session

from billing.corrections import Chunk
from billing.files.arrivals import known_accounts
from billing.files.holders import DIFFERS
from core.db import driver

_NONE: Final = "\x01"  # in no text of ours, like the tab and the line break that part the rows

# Account ids of a company lie together, and to read on costs a seventh of a look-up. There is
# but one plan for this, whatever is known of a month's table that an hour ago was not there.
_HELD: Final = rf"""
    SELECT convert_to(string_agg(concat_ws(E'\t',
               b.account_id, b.id, b.amount_fen, b.version, b.due_on - date '1970-01-01',
               b.issued_on - date '1970-01-01', b.period_from_on - date '1970-01-01',
               b.period_to_on - date '1970-01-01', coalesce(trim_scale(b.usage)::text, '{_NONE}'),
               b.usage_unit, b.bill_no, b.items, coalesce(b.pay_terms::text, '{_NONE}')
           ) || E'\n', ''), 'UTF8')
    FROM unnest(CAST(%(first)s AS bigint[]), CAST(%(last)s AS bigint[])) AS s (first, last)
    CROSS JOIN LATERAL (
        SELECT * FROM bill h
        WHERE h.account_id BETWEEN s.first AND s.last
          AND h.id BETWEEN %(first_id)s AND %(last_id)s AND h.cancelled_at IS NULL
        ORDER BY h.account_id, h.id) b
"""  # noqa: S608  our own text


class Held(NamedTuple):
    """A chunk we hold to the letter; ``renamed``: but for the name of a holder."""

    renamed: bool


def held(session: Session, chunk: Chunk) -> Held | None:
    """Compare a chunk of bills, each of them once, with what we hold; None when they differ."""
    connection = driver(session)
    known = known_accounts(connection, chunk.provider_code, chunk.rows["account_no"].unique())
    rows = chunk.rows.join(known, on="account_no", how="left").sort("account_id", "id")
    if rows["account_id"].null_count():
        return None
    stretches = _stretches(rows["account_id"])
    asked = {
        "first": _array(stretches["first"]),
        "last": _array(stretches["last"]),
        "first_id": chunk.first_id,
        "last_id": chunk.last_id,
    }
    found = connection.execute(_HELD, asked, binary=True).fetchone()
    if found is None or not _same(rows, found[0] or b""):
        return None
    return Held(renamed=bool(rows.select(DIFFERS.any()).item()))


def _same(rows: pl.DataFrame, found: bytes) -> bool:
    """Tell whether rows are the bills found, or those of them that they speak of."""
    ours = _text(rows)
    if len(found) <= len(ours):
        return found == ours
    lines = pl.Series([found.decode().removesuffix("\n")]).str.split("\n").explode()
    if (lines.str.count_matches("\t", literal=True) != ours.count(b"\t") // rows.height).any():
        return False  # a text that we hold has a line break in it
    asked = rows.select(pl.concat_str("account_id", "id", separator="\t")).to_series()
    about = lines.filter(lines.str.extract(r"^([0-9]+\t[0-9]+)\t").is_in(asked.implode()))
    told: str = about.str.join("\n").item() + "\n"
    return told.encode() == ours


def _stretches(account_ids: pl.Series) -> pl.DataFrame:
    """Return the ``first`` and ``last`` of each run of account ids without a gap."""
    ids = account_ids.unique().sort().alias("id")
    run = (ids.diff().fill_null(1) > 1).cum_sum().alias("run")
    return (
        pl.DataFrame([ids, run])
        .group_by("run", maintain_order=True)
        .agg(pl.col("id").first().alias("first"), pl.col("id").last().alias("last"))
    )


def _array(values: pl.Series) -> str:
    return f"{{{values.cast(pl.String).str.join(',').item()}}}"


def _text(rows: pl.DataFrame) -> bytes:
    """Return rows as ``_HELD`` writes those we hold."""
    usage = pl.col("usage")
    trimmed = usage.str.strip_chars_end("0").str.strip_chars_end(".")
    buffer = io.BytesIO()
    rows.select(
        "account_id",
        "id",
        "amount_fen",
        "version",
        pl.col("due_on", "issued_on", "period_from_on", "period_to_on").cast(pl.Int32),
        pl.when(usage.str.contains(".", literal=True)).then(trimmed).otherwise(usage),
        "usage_unit",
        "bill_no",
        "items",
        "pay_terms",
    ).write_csv(buffer, include_header=False, separator="\t", quote_style="never", null_value=_NONE)
    return buffer.getvalue()
