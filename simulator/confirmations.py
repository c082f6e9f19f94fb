"""A company's list of what it wrote off on a day, from its own books alone.

Source: docs/wire/confirmations.md. How each company writes it: simulator/confirmation_files.py.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from core.clock import day_bounds
from simulator.faults import Fault
from simulator.utility_books import Reversal, UtilityBooks, WriteOff, closed_number

_REVERSED = "重复缴费"


class Row(NamedTuple):
    """``kind`` is done, reversed or refused; a reversal's amount is negative."""

    kind: str
    write_off_no: str
    account_no: str
    bill_no: str
    receipt: str
    amount_fen: int
    at: datetime
    reason: str = ""


class DayList(NamedTuple):
    """What a company tells of a day."""

    day: date
    rows: tuple[Row, ...]


def list_day(books: UtilityBooks, day: date, fault: Fault, *, now: datetime) -> DayList | None:
    """Return a day's list, today's as far as it has come; None when there is none yet."""
    begins, _ = day_bounds(day)
    if now < begins or fault is Fault.NOT_YET:
        return None
    rows = [_row(one) for one in books.booked_on(day, now=now)]
    rows += [_taken_back(one) for one in books.reversed_on(day)]
    return DayList(day, tuple(_spoilt(rows, fault, day, books.company)))


def _row(one: WriteOff) -> Row:
    request, verdict = one.request, one.verdict
    kind = "done" if verdict.result == "accepted" else "refused"
    return Row(
        kind, request.write_off_no, request.account_no, request.bill_no, verdict.receipt,
        request.amount_fen, one.received_at, verdict.reason,
    )  # fmt: skip


def _taken_back(one: Reversal) -> Row:
    asked = one.request
    return Row(
        "reversed", asked.write_off_no, asked.account_no, asked.bill_no, one.verdict.receipt,
        -asked.amount_fen, one.received_at, _REVERSED,
    )  # fmt: skip


def _spoilt(rows: Sequence[Row], fault: Fault, day: date, company: str) -> list[Row]:
    """Make the rows wrong in the way that is asked for, always the same one."""
    done = [row for row in rows if row.kind == "done"]
    if fault is Fault.EXTRA:
        noon = day_bounds(day)[0] + timedelta(hours=12)
        number, bill_no = f"unknown-{day:%Y%m%d}", f"{company[0].upper()}-UNKNOWN"
        return [*rows, Row("done", number, closed_number(company), bill_no, "X1", 1_234, noon)]
    if fault is Fault.TWICE:
        return [row for row in rows for _ in range(2)]
    if not done:
        return list(rows)
    first, last = done[0], done[-1]
    match fault:
        case Fault.MISSING:
            return [row for row in rows if row is not last]
        case Fault.WRONG_AMOUNT:
            more = first._replace(amount_fen=first.amount_fen + 1)
            return [more if row is first else row for row in rows]
        case Fault.REVERSED:
            back = first._replace(kind="reversed", amount_fen=-first.amount_fen, reason=_REVERSED)
            return [*rows, back]
    return list(rows)
