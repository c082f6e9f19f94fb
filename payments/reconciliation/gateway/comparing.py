"""What of a gateway's day plainly agrees, and what has to be looked at.

Almost all of a million rows are one row of the file, one payment of ours and one sum in the ledger.
One pass tells them from the rest; only that is grouped, summed up and judged, by ``matching``.
What follows goes by temporary tables, each planned for the rows that are there: a day's rows are in
no statistics yet, and a plan for one row takes hours for a million.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

# A hash of a million rows fits into it; the usual 4 MB send them to the disk in pieces.
_MEMORY = "SET LOCAL work_mem = '128MB'"
# A file that has just come is in no statistics: taken for a row, it would be one process's alone.
_SHARED = """
    SET LOCAL min_parallel_table_scan_size = {size}; SET LOCAL min_parallel_index_scan_size = {size}
"""

_OF_THE_DAY = "p.gateway = :source AND p.paid_at >= :started AND p.paid_at < :ended"
_PAID = f"SELECT p.id, p.amount_fen FROM payment p WHERE {_OF_THE_DAY}"  # noqa: S608  our own texts

# By how much what the ledger moved into the gateway's account about a payment, for its bills and
# for itself, is off what was paid.
_INTO = """
    t.debit_account_id = (SELECT id FROM ledger_account WHERE code = :gateway_account)
    AND t.entry_key IN ('paid:' || p.id, 'advance:' || p.id, 'stray:' || p.id, 'fee:' || p.id,
                        'fee_tax:' || p.id)
"""
_BILLS = f"""
    SELECT p.id, coalesce(sum(t.amount_fen), 0)::bigint - min(p.amount_fen) AS fen
    FROM matching_paid p
    LEFT JOIN (payment_item i JOIN ledger_transfer t
               ON t.account_id = i.account_id AND t.subject_id = i.bill_id)
      ON i.payment_id = p.id AND {_INTO}
    GROUP BY p.id HAVING coalesce(sum(t.amount_fen), 0) <> min(p.amount_fen)
"""  # noqa: S608  our own texts
_ITSELF = f"""
    SELECT p.id, t.amount_fen AS fen
    FROM matching_paid p
    JOIN ledger_transfer t ON t.account_id = 0 AND t.subject_id = p.id AND {_INTO}
"""  # noqa: S608  our own texts
_OFF = """
    SELECT id, sum(fen)::bigint AS fen
    FROM (SELECT id, fen FROM matching_bills UNION ALL SELECT id, fen FROM matching_itself) moved
    GROUP BY id HAVING sum(fen) <> 0
"""

# Of the few that are no payments, each is looked up.
_MOVED = """
    SELECT coalesce(sum(t.amount_fen), 0)
    FROM ({subjects}) s (account_id, subject_id)
    JOIN ledger_transfer t ON t.account_id = s.account_id AND t.subject_id = s.subject_id
     AND t.entry_key IN ({keys})
    JOIN ledger_account a ON a.id = t.{side}_account_id AND a.code = :gateway_account
"""
# The fee goes back with one refund of the payment, whose ``fee_fen`` says so.
_REFUNDED = _MOVED.format(
    side="credit",
    subjects="SELECT r.account_id, r.bill_id UNION ALL SELECT 0, r.payment_id WHERE r.fee_fen > 0",
    keys="'returned:' || r.payment_id, 'returned:' || r.refund_no",
)
_SUSPENDED = _MOVED.format(side="debit", subjects="SELECT 0, m.id", keys="'suspense_in:' || m.id")
_RELEASED = _MOVED.format(side="credit", subjects="SELECT 0, m.id", keys="'returned:' || m.id")
_DISPUTED = _MOVED.format(
    side="credit", subjects="SELECT 0, c.payment_id", keys="'chargeback:' || c.id"
)
_REGAINED = _MOVED.format(
    side="debit", subjects="SELECT 0, c.payment_id", keys="'chargeback_won:' || c.id"
)

# What the gateway says it took or sent back that day beside payments of bills: refunds, money that
# is suspended (sent back under ``receipts.return_no``), and what payers' banks took back and gave
# again. An order may be taken twice, and disputed in parts. What was sent back and came back to the
# gateway is a second row of that refund, with the other sign.
_OTHER = f"""
    SELECT 'refund' AS kind, r.refund_no AS reference, r.charged_back_fen - r.amount_fen AS fen,
           -({_REFUNDED}) AS ledger_fen, r.succeeded_at AS happened_at
    FROM refund r JOIN payment p ON p.id = r.payment_id
    WHERE p.gateway = :source AND r.succeeded_at >= :started AND r.succeeded_at < :ended
      AND NOT EXISTS (SELECT FROM bank_transfer t
                      WHERE t.number = r.refund_no AND t.sent_at IS NOT NULL)
    UNION ALL
    SELECT CASE WHEN m.came_back_of IS NULL THEN 'payment' ELSE 'refund' END,
           coalesce(m.came_back_of, p.order_no), m.amount_fen, ({_SUSPENDED}), m.received_at
    FROM receipt m JOIN payment p ON p.id = m.payment_id
    WHERE m.source = :source AND m.received_at >= :started AND m.received_at < :ended
    UNION ALL
    SELECT 'refund', 'S' || m.id, m.charged_back_fen - m.amount_fen, -({_RELEASED}), m.returned_at
    FROM receipt m
    WHERE m.source = :source AND m.returned_at >= :started AND m.returned_at < :ended
      AND m.charged_back_fen < m.amount_fen
      AND NOT EXISTS (SELECT FROM bank_transfer t
                      WHERE t.number = 'S' || m.id AND t.sent_at IS NOT NULL)
    UNION ALL
    SELECT 'chargeback', p.order_no, -c.amount_fen, -({_DISPUTED}), c.opened_at
    FROM chargeback c JOIN payment p ON p.id = c.payment_id
    WHERE c.gateway = :source AND c.opened_at >= :started AND c.opened_at < :ended
    UNION ALL
    SELECT 'chargeback', p.order_no, c.amount_fen, ({_REGAINED}), c.decided_at
    FROM chargeback c JOIN payment p ON p.id = c.payment_id
    WHERE c.gateway = :source AND c.state = 'won'
      AND c.decided_at >= :started AND c.decided_at < :ended
"""  # noqa: S608  our own texts

# Payouts and fees are the bank's to settle.
_THEIRS = """SELECT * FROM settlement_row
             WHERE settlement_file_id = :file_id AND kind NOT IN ('payout', 'fee')"""
# How a row is called that has no number of ours.
_NAME = "coalesce(nullif({row}.gateway_ref, ''), 'line ' || {row}.line_no)"

# The one pass: what both sides sum up to, and whatever is not one row, one payment and the fee that
# is agreed. It is read from no temporary table, so several processes may share it; it needs no
# statistics, as there is but one way to join all with all. A payment that stands in several rows
# counts as often.
_DIFFERS = """(t.kind IN ('payout', 'fee')) IS NOT TRUE
    AND ((o.amount_fen = t.amount_fen) IS NOT TRUE
         OR abs(t.fee_fen - :fixed_fen - (t.amount_fen * :rate_ppm + 500000) / 1000000)
            > :fee_tolerance_fen)"""
_SEEN = f"""
    SELECT count(o.id) AS paid, coalesce(sum(o.id), 0) AS ids,
           coalesce(sum(o.amount_fen), 0)::bigint AS paid_fen, count(t.line_no) AS rows,
           coalesce(sum(t.amount_fen), 0)::bigint AS fen,
           coalesce(sum(t.fee_fen), 0)::bigint AS fee_fen,
           array_agg(coalesce(t.kind, 'payment')) FILTER (WHERE {_DIFFERS}) AS kinds,
           array_agg(coalesce(nullif(t.reference, ''), o.order_no, {_NAME.format(row="t")}))
               FILTER (WHERE {_DIFFERS}) AS numbers
    FROM (SELECT p.id, p.order_no, p.amount_fen FROM payment p WHERE {_OF_THE_DAY}) o
    FULL JOIN (SELECT * FROM settlement_row WHERE settlement_file_id = :file_id) t
      ON t.reference = o.order_no AND t.kind = 'payment'
"""  # noqa: S608  our own texts

# Of payments that stand in the file more than once, each row may agree, and all of them do not.
_REPEATED = """
    SELECT kind, reference FROM settlement_row
    WHERE CAST(:repeats AS boolean) AND settlement_file_id = :file_id AND kind = 'payment'
      AND reference <> ''
    GROUP BY 1, 2 HAVING count(*) > 1
"""

_OPEN = """
    SELECT o.kind, o.reference FROM matching_seen s, unnest(s.kinds, s.numbers) o (kind, reference)
    UNION
    SELECT 'payment', p.order_no FROM matching_off f JOIN payment p USING (id)
    UNION
    SELECT kind, reference FROM matching_repeated
    UNION
    SELECT kind, reference FROM matching_other
"""

_OURS = f"""
    SELECT kind, reference, count(*) AS times, sum(fen)::bigint AS fen,
           sum(ledger_fen)::bigint AS ledger_fen, min(happened_at) AS happened_at
    FROM (
        SELECT o.kind, o.reference, p.amount_fen AS fen,
               p.amount_fen + coalesce(f.fen, 0) AS ledger_fen, p.paid_at AS happened_at
        FROM matching_open o JOIN payment p ON p.order_no = o.reference
        LEFT JOIN matching_off f USING (id)
        WHERE o.kind = 'payment' AND {_OF_THE_DAY}
        UNION ALL
        SELECT * FROM matching_other
    ) every
    GROUP BY kind, reference
"""  # noqa: S608  our own texts

_TOLD = """
    SELECT o.kind, o.reference, r.reference <> '' AS is_named, r.gateway_ref, r.payer, r.amount_fen,
           r.fee_fen, r.happened_at
"""
# Their rows of what is open: those with our number by it, and the few that have none.
TOLD = f"""
    {_TOLD}
    FROM matching_open o JOIN ({_THEIRS}) r ON (r.kind, r.reference) = (o.kind, o.reference)
    UNION ALL
    {_TOLD}
    FROM ({_THEIRS}) r
    JOIN matching_open o ON (o.kind, o.reference) = (r.kind, {_NAME.format(row="r")})
    WHERE r.reference = ''
"""

_SUMS = {"bills": _BILLS, "itself": _ITSELF, "off": _OFF}
_REST = {"other": _OTHER, "repeated": _REPEATED, "open": _OPEN, "ours": _OURS}
TABLES = ", ".join(f"matching_{name}" for name in ("seen", "paid", *_SUMS, *_REST))


def make_seen(session: Session, values: Mapping[str, Any]) -> None:
    """Make ``matching_seen``, one row: the file and our payments, laid side by side."""
    session.execute(text(_SHARED.format(size="0")))
    _make(session, "seen", _SEEN, values)
    session.execute(text(_SHARED.format(size="DEFAULT")))


def make_paid(session: Session, values: Mapping[str, Any]) -> None:
    """Make ``matching_paid``, what was paid that day by our books."""
    _make(session, "paid", _PAID, values)


def make_off(session: Session, values: Mapping[str, Any]) -> None:
    """Make ``matching_off`` of it: by how much the ledger is off, for each of which it is."""
    for name, sql in _SUMS.items():
        # Payments come in their order: summed up as they come, it takes half the work of a hash.
        session.execute(text(f"SET LOCAL enable_hashagg = {'off' if name == 'bills' else 'on'}"))
        _make(session, name, sql, values)


def make_open(session: Session, values: Mapping[str, Any]) -> None:
    """Make ``matching_open``, what is to be looked at, and ``matching_ours`` of it.

    ``TABLES`` are to be dropped afterwards, as far as they are there.
    """
    for name, sql in _REST.items():
        _make(session, name, sql, values)


def _make(session: Session, name: str, sql: str, values: Mapping[str, Any]) -> None:
    session.execute(text(_MEMORY))
    session.execute(text(f"CREATE TEMPORARY TABLE matching_{name} ON COMMIT DROP AS {sql}"), values)
    session.execute(text(f"ANALYZE matching_{name}"))
