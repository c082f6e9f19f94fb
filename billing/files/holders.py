"""Whose an account is, as the company last said: a newer bill with another name changes it.

What is compared costs a chunk nothing of its own: ``arrivals`` and ``corrections`` read the
accounts anyway, and tell whether a name differs. Only then is ``keep`` asked.
"""

from typing import Final

import polars as pl
from sqlalchemy import text
from sqlmodel import Session

from billing.corrections import Chunk
from core.clock import billing_date
from core.db import count_changed

DIFFERS: Final = (pl.col("holder_name") != "") & (pl.col("holder_name") != pl.col("held_name"))

# A name with stars that fits the one we hold says nothing new. Accounts are locked in one order,
# so that two files at once wait for each other and no more.
_KEEP = text("""
    WITH told AS (
        SELECT a.id, n.holder_name
        FROM unnest(CAST(:account_nos AS text[]), CAST(:names AS text[]), CAST(:days AS date[]),
                    CAST(:ids AS bigint[]), CAST(:versions AS int[]))
             AS n (account_no, holder_name, issued_on, bill_id, version)
        JOIN utility_account a
          ON a.provider_code = :provider_code AND a.account_no = n.account_no
        WHERE a.holder_name <> n.holder_name
          AND NOT (n.holder_name LIKE '%*%'
                   AND a.holder_name LIKE replace(n.holder_name, '*', '%'))
          AND NOT EXISTS (
              SELECT FROM bill b WHERE b.account_id = a.id
              AND (b.issued_on > n.issued_on OR (b.id = n.bill_id AND b.version > n.version)))
        ORDER BY a.id FOR NO KEY UPDATE OF a
    )
    UPDATE utility_account a SET holder_name = told.holder_name FROM told WHERE a.id = told.id
""")


def keep(session: Session, chunk: Chunk) -> int:
    """Keep the names of a chunk's newest bills where we hold no newer bill; returns how many."""
    newest = (
        chunk.rows.filter(
            pl.col("kind").is_in(["bill", "correct"]),
            pl.col("holder_name") != "",
            pl.col("issued_on") <= billing_date(chunk.now),
        )
        .sort("issued_on", "version", maintain_order=True)
        .unique("account_no", keep="last", maintain_order=True)
    )
    if newest.is_empty():
        return 0
    columns = {
        "account_nos": "account_no", "names": "holder_name", "days": "issued_on", "ids": "id",
        "versions": "version",
    }  # fmt: skip
    values = {name: newest[column].to_list() for name, column in columns.items()}
    return count_changed(session.execute(_KEEP, values | {"provider_code": chunk.provider_code}))
