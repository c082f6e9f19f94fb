"""Day files of our own layout: a title, a header row, rows, and a last row with count and sum."""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TypeVar

from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan

Row = TypeVar("Row")


def read_day_file(
    content: bytes,
    *,
    title: str,
    day: date,
    columns: Sequence[str],
    read_row: Callable[[dict[str, str], int], Row],
    amount_of: Callable[[Row], int],
) -> list[Row]:
    """Read a day file whole; its totals are checked before anybody sees a row.

    Args:
        title: the first field of the first line; the day is the second.
        read_row: makes a row of a line's fields by column and its number; what it raises of
            Invalid or ValueError is told with the line.

    Raises:
        SettlementFileError: not this day's file, malformed, or its totals do not add up.
    """
    lines = _lines(content)
    if not lines or lines[0] != [title, day.isoformat()]:
        raise SettlementFileError(
            f"the first line must be '{title},{day}': is it another day's file?", line_no=1
        )
    if len(lines) < 3 or lines[1] != list(columns) or lines[-1][:1] != ["#TOTAL"]:
        raise SettlementFileError(
            f"the second line must be '{','.join(columns)}' and the last one #TOTAL: is the file"
            " whole?",
            line_no=2,
        )
    rows = []
    for line_no, line in enumerate(lines[2:-1], start=3):
        try:
            if not "".join(line).isprintable():
                raise ValueError("a control character")
            rows.append(read_row(dict(zip(columns, line, strict=True)), line_no))
        except (Invalid, ValueError, KeyError) as wrong:
            raise SettlementFileError(f"unreadable row: {wrong}", line_no=line_no) from wrong
    _check_total(lines[-1], len(rows), sum(amount_of(row) for row in rows), line_no=len(lines))
    return rows


def _lines(content: bytes) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise SettlementFileError(f"not a UTF-8 CSV file: {wrong}") from wrong


def _check_total(total: list[str], rows: int, amount_fen: int, *, line_no: int) -> None:
    try:
        told = int(total[1]), parse_yuan(total[2])
    except (Invalid, ValueError, IndexError) as wrong:
        raise SettlementFileError(
            f"unreadable #TOTAL row: {wrong}; write #TOTAL,rows,amount", line_no=line_no
        ) from wrong
    for name, ours, theirs in zip(("rows", "fen"), (rows, amount_fen), told, strict=True):
        if ours != theirs:
            raise SettlementFileError(
                f"#TOTAL says {theirs} {name}, the rows add up to {ours}: ask for the file again",
                line_no=line_no,
            )


def moment(text: str) -> datetime:
    """Read a time; ValueError for one that does not say its zone."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(f"{text!r} does not say its zone: write 2026-11-20T12:00:03+08:00")
    return read
