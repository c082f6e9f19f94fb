"""A city on a day that is over: payments in the books, and what others say of the same day.

All of it agrees; whoever wants differences plants them. Made set-based, without triggers and
foreign keys, by the owner of the database.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from core.clock import day_bounds
from core.keys import month_key

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
STARTED, ENDED = day_bounds(DAY)
FIRST = month_key(DAY, 1)  # the first payment's id, and its bill's: payment n is FIRST + n
COMPANY, GATEWAY = "water", "sandbox"
ORDER_NO = "'CB2611' || lpad(({n})::text, 12, '0')"
WRITE_OFF_NO = "'W2611' || lpad(({n})::text, 12, '0') || '-01'"
_EACH = "generate_series(%(start)s::bigint, %(stop)s::bigint - 1) n"
_FEN = "1000 + n * 7919 %% 9000"
# Every payment of the day in its own moment, the last some minutes before midnight.
_AT = "%(started)s::timestamptz + n * (interval '1435 minutes' / %(rows)s)"

_ONCE = f"""
    INSERT INTO person (role, name, contact, locale, created_at)
    VALUES ('resident', 'bench', 'bench', 'zh_CN', %(started)s) ON CONFLICT DO NOTHING;
    INSERT INTO ledger_account (code)
    VALUES ('receivable:{COMPANY}'), ('gateway:{GATEWAY}'), ('payable:{COMPANY}'),
           ('uncollected:{COMPANY}')
    ON CONFLICT DO NOTHING;
"""

_ROWS = f"""
    INSERT INTO utility_account (id, provider_code, account_no, holder_name, address, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT n + 1, '{COMPANY}', lpad(n::text, 10, '0'), '', '', %(started)s FROM {_EACH};
    INSERT INTO bill (account_id, id, bill_file_id, amount_fen, recorded_at, billing_month,
                      period_from_on, period_to_on, issued_on, due_on, file_line_no, version,
                      bill_no, usage_unit, items, paid_fen)
    SELECT n + 1, {FIRST} + n, 1, {_FEN}, %(started)s, '2026-11-01', '2026-10-01', '2026-10-31',
           '2026-11-01', '2026-11-30', 1, 1, 'W202611' || lpad(n::text, 9, '0'), 'm3', '[]', {_FEN}
    FROM {_EACH};
    INSERT INTO payment (id, payer_id, gateway, order_no, gateway_ref, return_url, amount_fen,
                         status, created_at, status_at, expires_at, paid_at)
    SELECT {FIRST} + n, 1, '{GATEWAY}', {ORDER_NO.format(n="n")}, 'sbx_' || md5(n::text), '',
           {_FEN}, 'paid', {_AT}, {_AT}, {_AT}, {_AT}
    FROM {_EACH};
    INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, write_off_no, outcome,
                              outcome_at)
    SELECT {FIRST} + n, n + 1, {FIRST} + n, {_FEN}, {WRITE_OFF_NO.format(n="n")}, 'written_off',
           {_AT}
    FROM {_EACH};
    INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                 credit_account_id, amount_fen, posted_on, posted_at)
    SELECT n + 1, {FIRST} + n, why || CASE why WHEN 'issued.1' THEN '' ELSE {FIRST} + n || '' END,
           d.id, c.id, {_FEN}, '{DAY}', {_AT}
    FROM (VALUES ('issued.1', 'receivable:{COMPANY}', 'uncollected:{COMPANY}'),
                 ('paid:', 'gateway:{GATEWAY}', 'receivable:{COMPANY}'),
                 ('written_off:', 'uncollected:{COMPANY}', 'payable:{COMPANY}'))
         AS w (why, debit, credit)
    JOIN ledger_account d ON d.code = w.debit JOIN ledger_account c ON c.code = w.credit,
    {_EACH};
"""


def make_payments(connection: psycopg.Connection[Any], rows: int) -> None:
    """Have so many payments of the day paid, booked and written off, of one bill each."""
    connection.execute("SET session_replication_role = replica")
    _run(connection, _ONCE, {"started": STARTED})
    for start in range(0, rows, 250_000):
        stop = min(start + 250_000, rows)
        values = {"start": start, "stop": stop, "rows": rows, "started": STARTED}
        _run(connection, _ROWS, values)
    connection.execute("RESET session_replication_role")
    for table in ("utility_account", "bill", "payment", "payment_item", "ledger_transfer"):
        connection.execute(f"VACUUM ANALYZE {table}".encode())


def _run(connection: psycopg.Connection[Any], statements: str, values: dict[str, object]) -> None:
    for statement in statements.split(";")[:-1]:
        connection.execute(statement.encode(), values)


_SETTLED = f"""
    SELECT 'payment', order_no, gateway_ref, '', '',
           trunc(amount_fen / 100.0, 2)::numeric(20, 2), '0.06',
           to_char(paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    FROM payment WHERE gateway = '{GATEWAY}' ORDER BY id
"""


def settled_rows(connection: psycopg.Connection[Any]) -> list[bytes]:
    """Return the rows of the sandbox's settlement file of all payments, each with its line end."""
    text = b"".join(copied(connection, _SETTLED, "FORMAT csv")).replace(b'""', b"")
    return [line + b"\r\n" for line in text.split(b"\n")[:-1]]


def settlement_file(rows: Sequence[bytes]) -> bytes:
    """Write a settlement file of these rows. Source: docs/wire/sandbox-gateway.md."""
    sums = [0, 0]
    for row in rows:
        _, amount, fee, _ = row.rsplit(b",", 3)
        sums[0] += int(amount.replace(b".", b""))
        sums[1] += int(fee.replace(b".", b""))
    head = (
        f"#SANDBOX SETTLEMENT,{DAY}\r\n"
        "kind,order_no,gateway_ref,refund_no,refund_ref,amount,fee,happened_at\r\n"
    )
    total = f"#TOTAL,{len(rows)},{yuan(sums[0])},{yuan(sums[1])}\r\n"
    return b"".join((head.encode(), *rows, total.encode()))


def copied(connection: psycopg.Connection[Any], query: str, how: str) -> Iterator[bytes]:
    """Yield what COPY writes of a query."""
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT ({how})".encode()) as copy:
        for piece in copy:
            yield bytes(piece)


def yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"
