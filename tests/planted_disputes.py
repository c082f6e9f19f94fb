"""Disputes planted in a day's report of Stripe's, and in our books: money payers' banks take back.

A row of theirs: its number, when, currency, gross, fee, net, what it is, of what, of which payment,
order no, refund no.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from bench.reconcile_city import DAY, FIRST, GATEWAY, NOW, copied, make_payments
from core.db import transaction
from core.settings import AgreedFee, SourceTerms
from payments.gateways.base import Gateway
from payments.gateways.stripe import Stripe
from payments.reconciliation.gateway.matching import reconcile
from payments.reconciliation.models import BreakKind, Leg
from tests.planting import Day, Planter, Row, as_owner, more

SOURCE = "stripe"
FILES = Stripe("no key is needed", "to read a file", "http://127.0.0.1:9")
FEES = {SOURCE: SourceTerms(fee=AgreedFee(fixed_fen=6))}
_HEAD = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
    "payment_intent_id,payment_metadata[order_no],refund_metadata[refund_no]\r\n"
)
_AS_STRIPE = f"""
    UPDATE payment SET gateway = '{SOURCE}';
    UPDATE ledger_account SET code = 'gateway:{SOURCE}' WHERE code = 'gateway:{GATEWAY}'
"""
_CHARGES = f"""
    SELECT 'txn_' || id, to_char(paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), 'cny',
           trunc(amount_fen / 100.0, 2)::numeric(20, 2), '0.06',
           trunc((amount_fen - 6) / 100.0, 2)::numeric(20, 2), 'charge', gateway_ref, gateway_ref,
           order_no, NULL
    FROM payment WHERE gateway = '{SOURCE}' ORDER BY id
"""


def _taken(row: Row, *, fen: int = 0, again: str = "", back: bool = False) -> Row:
    """Return the row that says that a payment's bank took all of it back, or gave it again."""
    gross = more(row[3] if back else f"-{row[3]}", fen)
    of = f"dp_{row[0]}"
    kind = "dispute_reversal" if back else "dispute"
    return [f"{of}{again}-{kind}", *row[1:3], gross, "0.00", gross, kind, of, *row[8:]]


def _disputed(
    day: Day, numbers: Sequence[int], *, at: str = "p.paid_at", won: bool = False
) -> None:
    """Have payers' banks take payments back, as our books say; won on the same day, if so."""
    ids = [FIRST + number for number in numbers]
    as_owner(day, "INSERT INTO ledger_account (code) VALUES ('chargebacks') ON CONFLICT DO NOTHING")
    as_owner(day, f"""
        INSERT INTO chargeback (id, gateway, dispute_ref, payment_id, amount_fen, fee_fen,
                                fee_returned_fen, state, opened_at, decided_at, bills_fen,
                                waiting_fen, service_fee_fen, service_tax_fen, borne_fen)
        SELECT p.id - {FIRST} + 1, '{SOURCE}', 'dp_txn_' || p.id, p.id, p.amount_fen, 0, 0,
               '{"won" if won else "open"}', {at}, {"p.paid_at" if won else "NULL"}, 0, 0, 0, 0, 0
        FROM payment p WHERE p.id = ANY(%(ids)s)
    """, ids=ids)  # fmt: skip
    for key, debit, credit in (
        ("chargeback", "chargebacks", f"gateway:{SOURCE}"),
        *([("chargeback_won", f"gateway:{SOURCE}", "chargebacks")] if won else []),
    ):
        as_owner(day, f"""
            INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                         credit_account_id, amount_fen, posted_on, posted_at)
            SELECT 0, c.payment_id, '{key}:' || c.id,
                   (SELECT id FROM ledger_account WHERE code = '{debit}'),
                   (SELECT id FROM ledger_account WHERE code = '{credit}'),
                   c.amount_fen, '{DAY}', c.opened_at
            FROM chargeback c WHERE c.payment_id = ANY(%(ids)s)
        """, ids=ids)  # fmt: skip


def on_both_sides(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    """No difference: one that goes on, one without our number, and one that was won at once."""
    third = len(numbers) // 3 or 1
    _disputed(day, numbers[: 2 * third])
    _disputed(day, numbers[2 * third :], won=True)
    for place, number in enumerate(numbers):
        row = day.row(number)
        there = _taken(row)
        day.besides([*there[:9], "", ""] if place < third else there)
        if place >= 2 * third:
            day.besides(_taken(row, back=True))
    yield from ()


def they_alone(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.besides(_taken(row))
        yield row[9]


def we_alone(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    _disputed(day, numbers)
    for number in numbers:
        yield day.row(number)[9]


def one_fen_off(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    _disputed(day, numbers)
    for number in numbers:
        row = day.row(number)
        day.besides(_taken(row, fen=1 if number % 2 else -1))
        yield row[9]


def listed_twice(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    _disputed(day, numbers)
    for number in numbers:
        row = day.row(number)
        day.besides(_taken(row))
        day.besides(_taken(row, again="-again"))
        yield row[9]


def books_off(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    _disputed(day, numbers)
    ids = [FIRST + number for number in numbers]
    as_owner(day, "UPDATE ledger_transfer SET amount_fen = amount_fen + 1 WHERE subject_id = ANY("
             "%(ids)s) AND entry_key LIKE 'chargeback:%%'", ids=ids[::2])  # fmt: skip
    as_owner(day, "DELETE FROM ledger_transfer WHERE subject_id = ANY(%(ids)s) AND entry_key LIKE "
             "'chargeback:%%'", ids=ids[1::2])  # fmt: skip
    for number in numbers:
        row = day.row(number)
        day.besides(_taken(row))
        yield row[9]


def before_midnight(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    """Opened minutes before midnight: the next day's report, which is not here, may have it."""
    _disputed(day, numbers, at=f"timestamptz '{DAY} 23:57+08'")
    for number in numbers:
        yield day.row(number)[9]


class DisputeLeg:
    """A gateway's day again, of one that lists disputes; what else differs is planted elsewhere."""

    name, leg = "disputes", Leg.GATEWAY
    planters: Mapping[BreakKind | None, Planter] = {
        None: on_both_sides,
        BreakKind.MISSING_HERE: they_alone,
        BreakKind.MISSING_AT_GATEWAY: we_alone,
        BreakKind.AMOUNT_DIFFERS: one_fen_off,
        BreakKind.DUPLICATE: listed_twice,
        BreakKind.LEDGER_DIFFERS: books_off,
        BreakKind.LATE: before_midnight,
    }
    classes = frozenset(planters) - {None}

    @staticmethod
    def clean(connection: psycopg.Connection[Any], rows: int) -> list[bytes]:
        make_payments(connection, rows)
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(_AS_STRIPE.encode())
        content = b"".join(copied(connection, _CHARGES, "FORMAT csv"))
        return [line + b"\r\n" for line in content.split(b"\n")[:-1]]

    @staticmethod
    def file(told: Sequence[bytes]) -> bytes:
        return _HEAD.encode() + b"".join(told)

    @staticmethod
    def run(content: bytes, gateway: Gateway = FILES) -> None:
        with transaction() as session:
            reconcile(session, gateway, io.BytesIO(content), day=DAY, file_name="disputes.csv",
                      now=NOW, sources=FEES)  # fmt: skip
