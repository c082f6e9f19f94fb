"""Rows of a bill file that meet a bill we already hold.

Each row gets one verdict, in words its sender can act on:

- *unchanged*: the same version with the same content, or a version we have already replaced;
- *superseded*: a higher version of an unpaid bill: the old one is kept, its posting is reversed and
  the new one posted;
- *cancelled*: the bill is void, its posting reversed;
- *reminded*: another paper for the bill (``billing.reminders``);
- *waiting*: a payment of the bill is under way, and decides (rule 13, ``billing.waiting``);
- anything else is a reject. A bill that is paid or covered, even in part, is frozen (rule 12).

Rows about the same bill are taken one after the other, in file order: what stands before its bill
finds none. Whatever lateness had added to a version goes with it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import text
from sqlmodel import Session

from billing import late_fees, readings, reminders
from core.clock import billing_date

COUNTED = ("unchanged", "superseded", "cancelled", "reminded", "waiting", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows ``after`` < row_no ≤ ``upto`` of a file, as ``billing.files.staging`` has them."""

    bill_file_id: int
    provider_code: str
    rows: pl.DataFrame
    after: int
    upto: int
    first_id: int  # the bills' keys lie between these two, so that their months are known
    last_id: int
    receivable_id: int
    uncollected_id: int
    now: datetime

    def values(self) -> dict[str, Any]:
        """Return the chunk as parameters of a statement."""
        return {
            "bill_file_id": self.bill_file_id,
            "provider_code": self.provider_code,
            "after": self.after,
            "upto": self.upto,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "receivable_id": self.receivable_id,
            "uncollected_id": self.uncollected_id,
            "now": self.now,
            "posted_on": billing_date(self.now),
        }


# A chunk looks each of its rows up by index, so its cost stays the same however large the tables
# grow; left to itself the planner reads whole tables to save a few milliseconds on small ones.
BY_INDEX = text("""
    SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
           set_config('enable_seqscan', 'off', true)
""")

_SAME_CONTENT = """
    (b.amount_fen, b.due_on, b.issued_on, b.period_from_on, b.period_to_on, b.usage,
     b.usage_unit, b.items::text, b.bill_no, b.pay_terms::text)
    IS NOT DISTINCT FROM
    (c.amount_fen, c.due_on, c.issued_on, c.period_from_on, c.period_to_on, c.usage,
     c.usage_unit, c.items, c.bill_no, c.pay_terms)
"""

# What ``bill_correction.row`` keeps of a row: enough to take it up again. Nested JSON stays text,
# because content is compared by the letter.
ROW_COLUMNS = {
    "kind": "text", "id": "bigint", "bill_no": "text", "billing_month": "date",
    "version": "smallint", "period_from_on": "date", "period_to_on": "date", "issued_on": "date",
    "due_on": "date", "usage": "numeric(12,3)", "usage_unit": "text", "amount_fen": "bigint",
    "items": "text", "original_no": "text", "original_id": "bigint", "pay_terms": "text",
    "reading": "text",
}  # fmt: skip


def _row_json(alias: str) -> str:
    """Return the SQL of the object that keeps a row."""
    columns = ", ".join(f"'{name}', {alias}.{name}" for name in ROW_COLUMNS)
    return f"jsonb_build_object({columns})"


# Rows that did not land as new bills and are not simply what we hold already, numbered by turn
# where a bill comes more than once, or an account has one number for several reminders. Most rows
# of a file that comes again end here, unlocked. A row that is what we hold is judged all the same
# if one before it is about the same bill.
_CONTESTED = text(f"""
    CREATE TEMPORARY TABLE contested ON COMMIT DROP AS
    WITH met AS (
        SELECT c.*, a.id AS account_id,
               CASE WHEN NOT c.is_early THEN coalesce(c.original_id, c.id) END AS about_id,
               NOT c.is_early AND coalesce(
                   c.kind IN ('bill', 'correct') AND b.version = c.version
                   AND b.cancelled_at IS NULL AND {_SAME_CONTENT}, false) AS is_held
        FROM incoming c
        LEFT JOIN utility_account a
          ON a.provider_code = :provider_code AND a.account_no = c.account_no
        LEFT JOIN bill b
          ON b.account_id = a.id AND b.id = c.id AND b.id BETWEEN :first_id AND :last_id
    ), placed AS (
        SELECT *, bool_or(NOT is_held) OVER (PARTITION BY account_no, about_id
                                             ORDER BY row_no) AS is_contested,
               count(*) OVER (PARTITION BY account_no, kind, id) AS alike
        FROM met
    ), grouped AS (
        SELECT *, bool_or(kind = 'remind' AND alike > 1) OVER (PARTITION BY account_no) AS by_one
        FROM placed WHERE is_contested
    )
    SELECT *, row_number() OVER (PARTITION BY account_no, CASE WHEN NOT by_one THEN about_id END
                                 ORDER BY row_no) AS turn
    FROM grouped
""")  # noqa: S608  our own text above

_LOCK = text("""
    SELECT count(*) FROM (
        SELECT FROM bill b JOIN contested c ON c.account_id = b.account_id AND c.about_id = b.id
        WHERE b.id BETWEEN :first_id AND :last_id
        ORDER BY b.account_id, b.id
        FOR UPDATE OF b) locked
""")

_JUDGE = text(f"""
    CREATE TEMPORARY TABLE verdict ON COMMIT DROP AS
    SELECT c.*, b.version AS held_version, b.amount_fen AS held_fen,
        CASE
          WHEN c.issued_on > :posted_on THEN 'future'
          WHEN c.kind = 'remind' THEN {reminders.JUDGE}
          WHEN b.id IS NULL AND c.kind = 'correct' THEN 'nothing_to_correct'
          WHEN b.id IS NULL THEN 'no_such_bill'
          WHEN b.bill_no <> c.bill_no THEN 'key_collision'
          WHEN c.kind = 'cancel' AND b.cancelled_at IS NOT NULL AND c.version <= b.version
            THEN 'unchanged'
          WHEN c.version < b.version AND (c.kind = 'cancel' OR NOT EXISTS (
                 SELECT FROM bill_version v
                 WHERE (v.account_id, v.id, v.version) = (b.account_id, b.id, c.version)))
            THEN 'stale'
          WHEN c.version < b.version THEN 'unchanged'
          WHEN c.kind <> 'cancel' AND c.version = b.version AND {_SAME_CONTENT}
            THEN CASE WHEN b.cancelled_at IS NULL OR b.paid_elsewhere_at IS NOT NULL
                      THEN 'unchanged' ELSE 'was_cancelled' END
          WHEN c.kind <> 'cancel' AND c.version = b.version THEN 'same_version'
          WHEN b.paid_fen > 0 OR b.credited_fen <> 0 THEN 'frozen'
          WHEN b.held_by IS NOT NULL THEN 'waiting'
          WHEN c.kind = 'cancel' THEN 'cancelled'
          ELSE 'superseded'
        END AS verdict
    FROM contested c
    LEFT JOIN bill b ON b.account_id = c.account_id AND b.id = c.about_id
                    AND b.id BETWEEN :first_id AND :last_id
    WHERE c.turn = :turn
""")  # noqa: S608  our own text above

# The same again while it waits is no second one.
_WAITS_ALREADY = text(f"""
    UPDATE verdict v SET verdict = 'unchanged'
    WHERE v.verdict = 'waiting' AND EXISTS (
        SELECT FROM bill_correction w
        WHERE w.account_id = v.account_id AND w.bill_id = v.about_id AND w.state = 'waiting'
          AND w.row::jsonb - 'line_no' = {_row_json("v")})
""")  # noqa: S608  our own text above

_WAIT = text(f"""
    INSERT INTO bill_correction (account_id, bill_id, bill_file_id, row_no, row, state, received_at)
    SELECT v.account_id, v.about_id, :bill_file_id, v.row_no,
           {_row_json("v")} || jsonb_build_object('line_no', v.line_no), 'waiting', :now
    FROM verdict v WHERE v.verdict = 'waiting' ORDER BY v.row_no
""")  # noqa: S608  our own text above

_KEEP_OLD = text("""
    INSERT INTO bill_version (account_id, id, version, bill_file_id, amount_fen, due_on, usage,
                              items, replaced_at)
    SELECT b.account_id, b.id, b.version, b.bill_file_id, b.amount_fen, b.due_on, b.usage,
           b.items, :now
    FROM bill b JOIN verdict v ON v.account_id = b.account_id AND v.id = b.id
    WHERE v.verdict IN ('superseded', 'cancelled')
      AND (b.cancelled_at IS NULL
           OR v.verdict = 'superseded' AND b.paid_elsewhere_at IS NOT NULL)
""")

# The counter-posting of the version that goes, unless a cancellation has made it already; a credit
# (negative) runs the other way.
_REVERSE = text("""
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT v.account_id, v.id, 'reversed.' || v.held_version,
           CASE WHEN v.held_fen > 0 THEN CAST(:uncollected_id AS int) ELSE :receivable_id END,
           CASE WHEN v.held_fen > 0 THEN CAST(:receivable_id AS int) ELSE :uncollected_id END,
           abs(v.held_fen), :posted_on, :now
    FROM verdict v JOIN bill b ON b.account_id = v.account_id AND b.id = v.id
    WHERE v.verdict IN ('superseded', 'cancelled') AND v.held_fen <> 0 AND b.cancelled_at IS NULL
""")

# Late fees and reminders' fees were the old version's; a discount runs the other way.
_WAIVE = text("""
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT v.account_id, v.id, 'waived:v' || v.held_version,
           CASE WHEN b.adjusted_fen > 0 THEN CAST(:uncollected_id AS int) ELSE :receivable_id END,
           CASE WHEN b.adjusted_fen > 0 THEN CAST(:receivable_id AS int) ELSE :uncollected_id END,
           abs(b.adjusted_fen), :posted_on, :now
    FROM verdict v JOIN bill b ON b.account_id = v.account_id AND b.id = v.id
    WHERE v.verdict IN ('superseded', 'cancelled') AND b.adjusted_fen <> 0
""")

_FORGET_LATENESS = text("""
    DELETE FROM bill_late_fee f USING verdict v
    WHERE v.verdict IN ('superseded', 'cancelled')
      AND f.account_id = v.account_id AND f.bill_id = v.id
""")

# Since when a corrected bill owes again what had been paid of it: days on which it stood paid are
# no version's lateness.
_OWES_SINCE = text("""
    SELECT v.account_id, v.id, max(t.posted_on)
    FROM verdict v JOIN ledger_transfer t ON t.account_id = v.account_id AND t.subject_id = v.id
    WHERE v.verdict = 'superseded' AND t.subject_id BETWEEN :first_id AND :last_id
      AND (t.entry_key LIKE 'unpaid:%' OR t.entry_key LIKE 'owes_again:%')
    GROUP BY v.account_id, v.id
""")

_POST_NEW = text("""
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT account_id, id, 'issued.' || version,
           CASE WHEN amount_fen > 0 THEN CAST(:receivable_id AS int) ELSE :uncollected_id END,
           CASE WHEN amount_fen > 0 THEN CAST(:uncollected_id AS int) ELSE :receivable_id END,
           abs(amount_fen), :posted_on, :now
    FROM verdict WHERE verdict = 'superseded' AND amount_fen <> 0
""")

_REPLACE = text("""
    UPDATE bill b SET version = v.version, amount_fen = v.amount_fen, due_on = v.due_on,
        issued_on = v.issued_on, period_from_on = v.period_from_on, period_to_on = v.period_to_on,
        usage = v.usage, usage_unit = v.usage_unit, items = v.items::json,
        pay_terms = v.pay_terms::json, adjusted_fen = 0,
        bill_file_id = :bill_file_id, file_line_no = v.line_no, cancelled_at = NULL,
        paid_elsewhere_at = NULL
    FROM verdict v
    WHERE v.verdict = 'superseded' AND b.account_id = v.account_id AND b.id = v.id
""")

# A cancelled bill keeps its amount: it says what was asked; ``cancelled_at``, that it no longer is.
# It takes the version it was cancelled with, so that an older one, come late, cannot revive it.
_CANCEL = text("""
    UPDATE bill b SET cancelled_at = :now, adjusted_fen = 0, version = v.version
    FROM verdict v
    WHERE v.verdict = 'cancelled' AND b.account_id = v.account_id AND b.id = v.id
""")

REASONS = reminders.REASONS | {
    "future": "it is dated in the future: send it on the day it is issued, or correct the date",
    "no_such_bill": "cancels a bill we do not hold: check the account, the month and the bill no",
    "nothing_to_correct": "corrects a bill we do not hold: name the bill that was first sent",
    "key_collision": "another bill of this account and month has this key: send it under a new no",
    "stale": "we already hold a higher version of this bill",
    "same_version": "same version as the bill we hold, other content: send a higher version",
    "was_cancelled": "this version was cancelled: send a higher version to bill it again",
    "frozen": "this bill is paid, in whole or in part: correct it with a bill of the difference",
}

_REJECT = text("""
    INSERT INTO bill_file_reject (bill_file_id, reject_no, line_no, column_name, reason, raw)
    SELECT :bill_file_id,
           row_number() OVER (ORDER BY v.row_no) + coalesce(
               (SELECT max(reject_no) FROM bill_file_reject WHERE bill_file_id = :bill_file_id), 0),
           v.line_no, '', r.reason, concat_ws(' ', v.account_no, v.billing_month, v.bill_no)
    FROM verdict v
    JOIN unnest(CAST(:verdicts AS text[]), CAST(:reasons AS text[])) AS r (verdict, reason)
      USING (verdict)
""")


def settle(session: Session, chunk: Chunk, *, met: int) -> dict[str, int]:
    """Judge and carry out every row of ``incoming`` that is not a new bill.

    Args:
        met: how many such rows there are.

    Returns:
        How many rows of each verdict in ``COUNTED``, ``met`` in all.
    """
    values = chunk.values()
    session.execute(_CONTESTED, values)
    contested, turns = session.execute(
        text("SELECT count(*), coalesce(max(turn), 0) FROM contested")
    ).one()
    counts = dict.fromkeys(COUNTED, 0) | {"unchanged": met - contested}
    if contested:
        session.execute(text("ANALYZE contested"))
        session.execute(_LOCK, values)
    for turn in range(1, turns + 1):
        found = take_turn(session, values | {"turn": turn})
        if found.keys() & REASONS.keys():
            named = {"verdicts": list(REASONS), "reasons": list(REASONS.values())}
            session.execute(_REJECT, values | named)
        session.execute(text("DROP TABLE verdict"))
        for verdict, rows in found.items():
            counts[verdict if verdict in counts else "rejected"] += rows
    session.execute(text("DROP TABLE contested"))
    return counts


def take_turn(session: Session, values: dict[str, Any]) -> dict[str, int]:
    """Judge the rows of ``contested`` whose turn it is and carry out what is to be done.

    Returns:
        How many there are of each verdict; the table ``verdict`` is left for the caller to drop.
    """
    session.execute(_JUDGE, values)
    count = text("SELECT verdict, count(*) AS rows FROM verdict GROUP BY 1")
    found = {row.verdict: row.rows for row in session.execute(count)}
    if "waiting" in found:
        session.execute(_WAITS_ALREADY)
        session.execute(_WAIT, values)
        found = {row.verdict: row.rows for row in session.execute(count)}
    if found.keys() & {"superseded", "cancelled"}:
        for act in (_KEEP_OLD, _REVERSE, _WAIVE, _FORGET_LATENESS, _POST_NEW, _REPLACE, _CANCEL):
            session.execute(act, values)
        for account_id, bill_id, since_on in session.execute(_OWES_SINCE, values).all():
            late_fees.reopened(session, (account_id, bill_id), on=since_on)
        session.execute(readings.KEEP_OF_VERDICT, values)
    if "reminded" in found:
        for act in reminders.ACTS:
            session.execute(act, values)
    return found
