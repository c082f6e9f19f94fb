"""A water company's night: what it sent before, what it sends now, and what must be left of it.

The file of the night has everything an import can meet: new bills and accounts, bills we hold
already, corrections and cancellations of both, one row twice, credits, bills of nothing, rows that
are wrong, and bills that are paid or being paid at this moment.
"""

import hashlib
import io
import random
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from billing.files.bill_files import register
from billing.files.importing import ImportResult, import_bills
from billing.files.landing import Progress
from billing.homes.households import bind_accounts, create_household
from core.db import transaction
from core.keys import named_key
from payments.gateways.base import GatewayStatus
from providers.registry import reader_for
from tests.factories import MONTH, NOW, Home, a_payment, a_person, book
from tests.providers.files import WATER, Row

BEING_PAID, PAID = 4, 2  # of the bills held first, the first so many and the next so many
_NOT_YET = {"出账日": "20261125", "最后缴费日": "20261220"}


@dataclass(frozen=True)
class Night:
    """Two files of one company: ``before`` was imported some nights ago, ``tonight`` comes now."""

    before: bytes
    tonight: bytes
    first: tuple[Row, ...]  # of ``before``: those that are paid or being paid


def a_night(rows: int, *, seed: int) -> Night:
    """Make a night whose file has so many rows; the same seed makes the same night."""
    chosen = random.Random(seed)
    held = [_bill(chosen, number) for number in range(rows // 3 + BEING_PAID + PAID)]
    first = [row | {"应缴金额": "86.50"} for row in held[: BEING_PAID + PAID]]
    known = held[BEING_PAID + PAID :]
    sent: list[Row] = []
    made: list[Row] = []
    while len(made) < rows - 2 * len(first):
        stretch = chosen.choice(["new", "new", "known", "mixed"])
        for _ in range(chosen.randrange(rows // 40, rows // 8)):
            row = _next(chosen, stretch, known, sent, 5_000_000 + len(made))
            made.append(row)
    made = made[: rows - 2 * len(first)]
    for row in first:
        for changed in (_corrected(chosen, row), row | {"版本": "3", "状态": "C"}):
            made.insert(chosen.randrange(len(made)), changed)
    return Night(_file(41, [*first, *known]), _file(42, made), tuple(first))


def _next(
    chosen: random.Random, stretch: str, known: list[Row], sent: list[Row], number: int
) -> Row:
    """Return one more row of a stretch in which all rows are new, or all known, or any."""
    fresh = _bill(chosen, number)
    if stretch == "new" or not sent:
        sent.append(fresh)
        return fresh
    if stretch == "known":
        return chosen.choice(known)
    if chosen.random() < 0.2:
        sent.append(fresh)
        return fresh
    of = chosen.choice(chosen.choice([known, sent]))
    return chosen.choice(
        [
            of,
            _corrected(chosen, of),
            of | {"版本": "2", "状态": "C"},
            of | {"应缴金额": "1.00"},  # the same version, other content
            of | {"账单号": f"X-{number}"},  # a new bill of an account we know
            of | {"版本": "5", "状态": "C", "账单号": f"Y-{number}"},  # of a bill nobody holds
            fresh | {"起始日": "20260230"},
            fresh | {"户号": "12"},
            fresh | _NOT_YET,
        ]
    )


def _bill(chosen: random.Random, number: int) -> Row:
    amount = chosen.choice(["86.50", "86.50", "120.07", "0.00", "-12.30"])
    holder = chosen.choice(["张珅", "赵\\N", "王㛃", "李瑋"])
    own = {"户号": f"{number:010d}", "账单号": f"W-{number}", "应缴金额": amount, "户名": holder}
    return WATER.row | own


def _corrected(chosen: random.Random, row: Row) -> Row:
    version = str(int(row["版本"]) + chosen.randrange(1, 3))
    return row | {"版本": version, "应缴金额": f"{chosen.randrange(1, 300)}.40"}


def _file(sequence: int, rows: list[Row]) -> bytes:
    return replace(WATER, header=f"H|WATER|{sequence}|20261101".encode()).file(*rows)


def begin(night: Night) -> int:
    """Take in what came before, pay some of it, and register tonight's file; returns its id."""
    import_whole(a_file(night.before), night.before)
    home = _one_household(night.first)
    being_paid, paid = home.refs[:BEING_PAID], home.refs[BEING_PAID:]
    a_payment(home, *being_paid)
    book(a_payment(home, *paid), GatewayStatus.PAID)
    return a_file(night.tonight)


def _one_household(rows: tuple[Row, ...]) -> Home:
    owner_id, numbers = a_person(), tuple(row["户号"] for row in rows)
    with transaction() as session:
        household = create_household(session, name="汉口路", owner_id=owner_id, now=NOW)
        assert household.id is not None
        bind_accounts(session, household.id, [("water", number) for number in numbers], now=NOW)
        query = text("SELECT account_no, id FROM utility_account WHERE account_no = ANY(:numbers)")
        found = session.execute(query, {"numbers": list(numbers)})
        ids = {row.account_no: row.id for row in found}
    refs = tuple((ids[row["户号"]], named_key(MONTH, row["账单号"])) for row in rows)
    return Home(owner_id, household.id, refs, numbers, ("water",) * len(rows))


def a_file(data: bytes) -> int:
    """Register a file; returns its id."""
    with transaction() as session:
        bill_file, _ = register(
            session, "water", sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data),
            file_name="bills", received_via="test", now=NOW,
        )  # fmt: skip
    assert bill_file.id is not None
    return bill_file.id


def import_whole(
    bill_file_id: int, data: bytes, *, progress: Progress = lambda done, rows: None
) -> ImportResult:
    return import_bills(
        bill_file_id, reader_for("water"), lambda: io.BytesIO(data), now=NOW, progress=progress
    )


_OF_ACCOUNTS = " JOIN utility_account a ON a.id = account_id"
_KEPT = {
    "utility_account": "provider_code, account_no, holder_name, address",
    f"bill {_OF_ACCOUNTS}": "account_no, bill.id, bill_no, bill_file_id, version, amount_fen,"
    " billing_month, period_from_on, period_to_on, issued_on, due_on, usage, usage_unit,"
    " items::text, pay_terms::text, file_line_no, cancelled_at, paid_fen, credited_fen,"
    " adjusted_fen, held_by IS NULL, recorded_at",
    f"bill_version {_OF_ACCOUNTS}": "account_no, bill_version.id, version, bill_file_id,"
    " amount_fen, due_on, usage, items::text",
    f"bill_correction {_OF_ACCOUNTS}": "account_no, bill_id, bill_file_id, row_no, row::text,"
    " state",
    f"ledger_transfer {_OF_ACCOUNTS} WHERE entry_key NOT LIKE 'paid%'": "account_no, subject_id,"
    " entry_key, debit_account_id, credit_account_id, amount_fen, posted_on, posted_at",
    "bill_file_reject": "bill_file_id, reject_no, line_no, column_name, reason, raw",
    "bill_file": "id, status, sequence_no, rows, rows_done, created, unchanged, superseded,"
    " cancelled, reminded, waiting, rejected, total_fen",
    "outbox_event WHERE topic LIKE 'bill%'": "topic, subject_id, facts::text",
}


def kept() -> dict[str, list[str]]:
    """Return all there is of bills; accounts by their numbers: a lost race uses up ids."""
    with transaction() as session:
        return {
            table.split()[0]: sorted(
                map(repr, session.execute(text(f"SELECT {columns} FROM {table}")))
            )
            for table, columns in _KEPT.items()
        }


def differences(found: dict[str, Any], clean: dict[str, Any]) -> list[str]:
    """Return which tables differ, each with one row that only one of the two has."""
    told = []
    for table, rows in clean.items():
        more, less = set(found[table]) - set(rows), set(rows) - set(found[table])
        if found[table] != rows:
            told.append(f"{table}: {len(more)} too many, {len(less)} missing: {[*more, *less][:1]}")
    return told
