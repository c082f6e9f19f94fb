"""Plant differences of every class among clean rows, and find exactly those: ``make plant``.

A million payments agree with their gateway's file to the fen, as many write-offs with their
company's list, as many transfers with the bank's statement. Then so many of each class are planted,
and each leg is run. Every one must be found, under its class, and nothing else. What payers' banks
take back is planted in a day of its own (``tests.planted_disputes``).

    python -m tests.planted [--rows N] [--company N] [--bank N] [--disputes N] [--each M] [--seed S]
"""

import argparse
import io
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text

from bench.reconcile_city import (
    DAY,
    FIRST,
    GATEWAY,
    NOW,
    ORDER_NO,
    copied,
    make_payments,
    settled_rows,
    settlement_file,
    yuan,
)
from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core.db import transaction
from core.settings import AgreedFee, SourceTerms
from payments.gateways.base import Gateway
from payments.gateways.sandbox import Sandbox
from payments.reconciliation.bank.matching import match_bank
from payments.reconciliation.bank.statements import take_statement
from payments.reconciliation.company.lists import reconcile_company, reconcile_none_written_off
from payments.reconciliation.gateway.matching import reconcile
from payments.reconciliation.models import KINDS, BreakKind, Leg
from tests.conftest import ROOT
from tests.kill import bound
from tests.payments.reconciliation.banking import ACCOUNT, PROFILE
from tests.planted_disputes import DisputeLeg
from tests.planting import Break, Day, Planter, Row, as_owner, more

FILES = Sandbox("http://127.0.0.1:9", "no secret is needed to read a file")
FEES = {GATEWAY: SourceTerms(fee=AgreedFee(fixed_fen=6))}
COMPANY = "water"


# The gateway's file: kind, order_no, gateway_ref, refund_no, refund_ref, amount, fee, happened_at.
def gateway_alone(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        day.besides([*_renamed(day.row(number), f"CB-nobodys-{number}")])
        yield f"CB-nobodys-{number}"


def _renamed(row: Row, order_no: str) -> Row:
    return [row[0], order_no, f"sbx_{order_no}", *row[3:]]


def we_alone(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        yield day.row(number)[1]
        day.instead(number)


def one_fen_off(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, [*row[:5], more(row[5], 1 if number % 2 else -1), *row[6:]])
        yield row[1]


def listed_twice(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, row, row)
        yield row[1]


def books_off(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    ids = [FIRST + number for number in numbers]
    as_owner(day, "UPDATE ledger_transfer SET amount_fen = amount_fen + 1 WHERE subject_id = ANY("
              "%(ids)s) AND entry_key LIKE 'paid:%%'", ids=ids[::2])  # fmt: skip
    as_owner(day, "DELETE FROM ledger_transfer WHERE subject_id = ANY(%(ids)s) AND entry_key LIKE "
              "'paid:%%'", ids=ids[1::2])  # fmt: skip
    for number in numbers:
        yield day.row(number)[1]


def another_fee(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, [*row[:6], more(row[6], 1), row[7]])
        yield row[1]


def before_midnight(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    """Paid minutes before midnight: the next day's file, which is not here, may still have it."""
    as_owner(day, "UPDATE payment SET paid_at = date_trunc('day', paid_at AT TIME ZONE "
              "'Asia/Shanghai') AT TIME ZONE 'Asia/Shanghai' + interval '23:57' "
              "WHERE id = ANY(%(ids)s)", ids=[FIRST + number for number in numbers])  # fmt: skip
    yield from we_alone(day, numbers)


def by_another_order(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    """Another order of ours for the same bill, which we hold for unpaid, took the money."""
    far = 10**11
    as_owner(day, f"""
        INSERT INTO payment (id, payer_id, gateway, order_no, return_url, amount_fen, status,
                             created_at, status_at, expires_at)
        SELECT {FIRST + far} + n, 1, '{GATEWAY}', {ORDER_NO.format(n=f"{far} + n")}, '',
               p.amount_fen, 'expired', p.created_at, p.created_at, p.created_at
        FROM unnest(CAST(%(ids)s AS bigint[])) n JOIN payment p ON p.id = {FIRST} + n
    """, ids=list(numbers))  # fmt: skip
    as_owner(day, f"""
        INSERT INTO payment_item (payment_id, account_id, bill_id, amount_fen, write_off_no,
                                  outcome, outcome_at)
        SELECT {FIRST + far} + n, account_id, bill_id, amount_fen, 'W-far-' || n, 'not_paid',
               outcome_at
        FROM unnest(CAST(%(ids)s AS bigint[])) n JOIN payment_item i ON i.payment_id = {FIRST} + n
    """, ids=list(numbers))  # fmt: skip
    for number in numbers:
        row = day.row(number)
        other = f"CB2611{far + number:012d}"
        day.instead(number, _renamed(row, other))
        yield row[1]
        yield other


def refund_of_one_side(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers[::2]:
        row = day.row(number)
        name = f"R-nobodys-{number}"
        day.besides(["refund", row[1], row[2], name, f"rf-{name}", f"-{row[5]}", "0.00", row[7]])
        yield name
    _refund(day, numbers[1::2])
    for number in numbers[1::2]:
        yield f"R2611{number:012d}-01"


def refunded_here_and_there(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    """No difference: a refund both sides know of."""
    _refund(day, numbers)
    for number in numbers:
        row = day.row(number)
        name = f"R2611{number:012d}-01"
        day.besides(["refund", row[1], row[2], name, f"rf-{name}", f"-{row[5]}", "0.00", row[7]])
    yield from ()


def _refund(day: Day, numbers: Sequence[int]) -> None:
    """Have a payment's money sent back on the day, and the books say so."""
    as_owner(day, """
        INSERT INTO ledger_account (code) VALUES ('returns') ON CONFLICT DO NOTHING
    """)  # fmt: skip
    as_owner(day, """
        INSERT INTO refund (refund_no, payment_id, account_id, bill_id, amount_fen, reason, status,
                            gateway_ref, requested_at, succeeded_at)
        SELECT 'R' || substr(i.write_off_no, 2), i.payment_id, i.account_id, i.bill_id,
               i.amount_fen, 'a test', 'succeeded', 'rf-R' || substr(i.write_off_no, 2),
               i.outcome_at, i.outcome_at
        FROM payment_item i WHERE payment_id = ANY(%(ids)s)
    """, ids=[FIRST + number for number in numbers])  # fmt: skip
    as_owner(day, f"""
        INSERT INTO ledger_transfer (account_id, subject_id, entry_key, debit_account_id,
                                     credit_account_id, amount_fen, posted_on, posted_at)
        SELECT i.account_id, i.bill_id, 'returned:' || i.payment_id,
               (SELECT id FROM ledger_account WHERE code = 'returns'),
               (SELECT id FROM ledger_account WHERE code = 'gateway:{GATEWAY}'),
               i.amount_fen, '{DAY}', i.outcome_at
        FROM payment_item i WHERE payment_id = ANY(%(ids)s)
    """, ids=[FIRST + number for number in numbers])  # fmt: skip


GATEWAY_PLANTERS: Mapping[BreakKind | None, Planter] = {
    None: refunded_here_and_there,
    BreakKind.MISSING_HERE: gateway_alone,
    BreakKind.MISSING_AT_GATEWAY: we_alone,
    BreakKind.AMOUNT_DIFFERS: one_fen_off,
    BreakKind.DUPLICATE: listed_twice,
    BreakKind.LEDGER_DIFFERS: books_off,
    BreakKind.FEE_DIFFERS: another_fee,
    BreakKind.LATE: before_midnight,
    BreakKind.OTHER_ROUTE: by_another_order,
    BreakKind.REFUND_UNMATCHED: refund_of_one_side,
}


# The company's list: write-off no, account, bill, receipt, amount, time, kind, reason.
def list_alone(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.besides([f"W-nobodys-{number}", row[1], f"B-NONE-{number}", *row[3:]])
        yield f"W-nobodys-{number}"


def not_in_the_list(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        yield day.row(number)[0]
        day.instead(number)


def written_off_otherwise(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, [*row[:4], more(row[4], 1 if number % 2 else -1), *row[5:]])
        yield row[0]


def written_off_twice(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, row, [*row[:3], f"{row[3]}-again", *row[4:]])
        yield row[0]


COMPANY_PLANTERS: Mapping[BreakKind | None, Planter] = {
    BreakKind.WRITTEN_OFF_UNPAID: list_alone,
    BreakKind.PAID_NOT_WRITTEN_OFF: not_in_the_list,
    BreakKind.AMOUNT_DIFFERS: written_off_otherwise,
    BreakKind.DUPLICATE: written_off_twice,
}


# The bank's statement: day, entry no, amount, name, account, reference, our account.
def _credit(day: Day, numbers: Sequence[int], sign: str) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        name = f"N-unknown-{sign}{number}"
        day.besides([row[0], name, f"{sign}9{number:08d}.01", "", "", f"x{name}", row[6]])
        yield name


def nobody_announced(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    return _credit(day, numbers, "")


def nobody_sent(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    return _credit(day, numbers, "-")


def not_in_the_statement(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        yield day.row(number)[5]
        day.instead(number)


def another_sum(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, [*row[:2], more(row[2], 1 if number % 2 else -1), *row[3:]])
        yield row[5]


def booked_twice(day: Day, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        row = day.row(number)
        day.instead(number, row, [row[0], f"{row[1]}-again", *row[2:]])
        yield f"{row[1]}-again"


BANK_PLANTERS: Mapping[BreakKind | None, Planter] = {
    BreakKind.UNKNOWN_CREDIT: nobody_announced,
    BreakKind.UNKNOWN_DEBIT: nobody_sent,
    BreakKind.NOT_SETTLED: not_in_the_statement,
    BreakKind.AMOUNT_DIFFERS: another_sum,
    BreakKind.DUPLICATE: booked_twice,
}


class Planted(NamedTuple):
    """A leg's day with differences in it, and what must be found."""

    told: list[bytes]
    breaks: list[Break]


class Found(NamedTuple):
    leg: Leg
    rows: int
    planted: int
    missed: list[Break]
    invented: list[Break]
    seconds: float


def plant(
    day: Day, planters: Mapping[BreakKind | None, Planter], rows: int, each: int, seed: int
) -> Planted:
    """Plant so many of each class at random places, no two at one."""
    chosen = random.Random(seed).sample(range(rows), each * len(planters))
    breaks: list[Break] = []
    for at, (kind, planter) in enumerate(planters.items()):
        for reference in planter(day, chosen[at * each : (at + 1) * each]):
            assert kind is not None, reference
            breaks.append((kind.value, reference))
    return Planted(list(day.told()), breaks)


def compare(leg: Leg, planted: Planted, rows: int, *, seconds: float) -> Found:
    """Lay what was found beside what was planted."""
    with transaction() as session:
        told = session.execute(_OPEN, {"leg": leg.value})
        found: list[Break] = [(kind, reference) for kind, reference in told]
    wanted = set(planted.breaks)
    assert len(wanted) == len(planted.breaks), "planted twice under one name"
    twice = [one for one, times in Counter(found).items() if times > 1]
    return Found(
        leg, rows, len(wanted), sorted(wanted - set(found)),
        sorted([*(set(found) - wanted), *twice]), seconds,
    )  # fmt: skip


_OPEN = text("SELECT kind, reference FROM reconciliation_break WHERE leg = :leg AND state = 'open'")


class GatewayLeg:
    name, leg, planters, classes = "gateway", Leg.GATEWAY, GATEWAY_PLANTERS, KINDS[Leg.GATEWAY]

    @staticmethod
    def clean(connection: psycopg.Connection[Any], rows: int) -> list[bytes]:
        """Make what agrees with our books, row by row."""
        make_payments(connection, rows)
        return settled_rows(connection)

    @staticmethod
    def file(told: Sequence[bytes]) -> bytes:
        return settlement_file(told)

    @staticmethod
    def run(content: bytes, gateway: Gateway = FILES) -> None:
        with transaction() as session:
            reconcile(session, gateway, io.BytesIO(content), day=DAY, file_name="planted.csv",
                      now=NOW, sources=FEES)  # fmt: skip


class CompanyLeg:
    name, leg, planters, classes = "company", Leg.COMPANY, COMPANY_PLANTERS, KINDS[Leg.COMPANY]

    @staticmethod
    def clean(connection: psycopg.Connection[Any], rows: int) -> list[bytes]:
        make_payments(connection, rows)
        return lines_of(connection, _LISTED)

    @staticmethod
    def file(told: Sequence[bytes]) -> bytes:
        fen = sum(_fen(row.split(b",")[4]) for row in told)
        head = "平台流水号,户号,账单号,公司回执号,金额,处理时间,处理结果,原因\r\n".encode()
        tail = f"合计,{DAY:%Y%m%d},{len(told)},{yuan(fen)}\r\n".encode()
        return head + b"".join(told) + tail

    @staticmethod
    def run(content: bytes) -> None:
        with transaction() as session:
            taken = reconcile_company(
                session, COMPANY, io.BytesIO(content), day=DAY, file_name="w.csv", now=NOW
            )
        assert taken.rejected == 0
        with transaction() as session:
            reconcile_none_written_off(session, COMPANY, day=DAY + timedelta(days=1), now=NOW)


class BankLeg:
    name, leg, planters, classes = "bank", Leg.BANK, BANK_PLANTERS, KINDS[Leg.BANK]

    @staticmethod
    def clean(connection: psycopg.Connection[Any], rows: int) -> list[bytes]:
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(_TRANSFERS.encode(), {"rows": rows})
        connection.execute("ANALYZE bank_transfer")
        return lines_of(connection, _BOOKED)

    @staticmethod
    def file(told: Sequence[bytes]) -> bytes:
        return b"day,no,amount,name,account,ref,ours\r\n" + b"".join(told)

    @staticmethod
    def run(content: bytes) -> None:
        with transaction() as session:
            take_statement(session, io.BytesIO(content), name="s.csv", profile=PROFILE, now=NOW)
        with transaction() as session:
            match_bank(session, DAY, now=NOW)


_LISTED = f"""
    SELECT i.write_off_no, a.account_no, b.bill_no, 'R' || i.payment_id,
           trunc(i.amount_fen / 100.0, 2)::numeric(20, 2),
           to_char(i.outcome_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI:SS'), '成功', NULL
    FROM payment_item i
    JOIN utility_account a ON a.id = i.account_id AND a.provider_code = '{COMPANY}'
    JOIN bill b ON (b.account_id, b.id) = (i.account_id, i.bill_id) ORDER BY i.payment_id
"""
# The last is sent a week later: the statement covers what should have come by then.
_TRANSFERS = f"""
    INSERT INTO bank_transfer (number, amount_fen, why, opened_at, needs_two, sent_by, sent_at,
                               bank_ref, payee_name, payee_bank, payee_account_sealed,
                               payee_account_masked, payee_by, payee_at)
    SELECT 'T' || lpad(n::text, 12, '0'), 1000 + n * 7919 %% 9000, 'refused', at, false, 1, at,
           'BR' || lpad(n::text, 12, '0'), '', '', '', '', 1, at
    FROM generate_series(0, %(rows)s::bigint) n,
         LATERAL (SELECT timestamptz '{DAY} 04:00+00'
                         + CASE n WHEN %(rows)s THEN interval '7 days' ELSE '0' END) t (at)
"""
_BOOKED = f"""
    SELECT CAST(sent_at AS date), 'N' || number, trunc(-amount_fen / 100.0, 2)::numeric(20, 2),
           NULL, NULL, number, '{ACCOUNT}'
    FROM bank_transfer ORDER BY number
"""


def lines_of(connection: psycopg.Connection[Any], query: str) -> list[bytes]:
    """Return a query's rows as lines of CSV."""
    content = b"".join(copied(connection, query, "FORMAT csv"))
    return [line + b"\r\n" for line in content.split(b"\n")[:-1]]


def _fen(amount: bytes) -> int:
    return int(amount.replace(b".", b"").replace(b'"', b""))


LegOf = type[GatewayLeg] | type[CompanyLeg] | type[BankLeg] | type[DisputeLeg]
LEGS: tuple[LegOf, ...] = (GatewayLeg, CompanyLeg, BankLeg)
DAYS: tuple[LegOf, ...] = (*LEGS, DisputeLeg)


def spoilt(
    connection: psycopg.Connection[Any], leg: LegOf, rows: int, each: int, seed: int
) -> Planted:
    """Make a leg's clean day, and plant in it."""
    clean = leg.clean(connection, rows)
    return plant(Day(connection, clean), leg.planters, rows, each, seed)


def prove_leg(url: str, leg: LegOf, rows: int, each: int, seed: int) -> Found:
    """Plant and find on one leg of an empty city."""
    assert {one for one in leg.planters if one} == leg.classes, "a class that nobody plants"
    with psycopg.connect(url, autocommit=True) as owner:
        planted = spoilt(owner, leg, rows, each, seed)
    content = leg.file(planted.told)
    began = time.perf_counter()
    leg.run(content)
    return compare(leg.leg, planted, rows, seconds=time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--company", type=int, default=200_000, help="rows of its list, at most")
    parser.add_argument("--bank", type=int, default=100_000, help="entries, at most")
    parser.add_argument("--disputes", type=int, default=100_000, help="payments, at most")
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    sys.stderr.write(f"seed {chosen.seed}\n")
    base = default_data_dir(ROOT)
    folder, wrong = base.with_name(f"{base.name}-plant-{os.getpid()}"), False
    try:
        with Servers(folder) as servers:
            most = (chosen.rows, chosen.company, chosen.bank, chosen.disputes)
            for kind, rows in zip(DAYS, most, strict=True):
                name, rows = kind.name, min(rows, chosen.rows)
                servers.create_database(name)
                url = servers.database_url(name)
                migrate(url, today=DAY)
                with bound(url):
                    found = prove_leg(url, kind, rows, chosen.each, chosen.seed)
                wrong |= bool(found.missed or found.invented)
                sys.stdout.write(
                    f"{name:8} {found.rows:>9,} rows, {found.planted:>5,} planted: "
                    f"{len(found.missed)} missed {found.missed[:3]}, "
                    f"{len(found.invented)} invented {found.invented[:3]}; {found.seconds:.1f} s\n"
                )
                sys.stdout.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
