"""Day files of our own layout: a title, a header row, rows, and a last row with count and sum."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import NamedTuple, TypeVar

from core.errors import Invalid, SettlementFileError
from core.progress import tell
from payments.gateways import as_written
from payments.gateways.as_written import (
    Header,
    decoded,
    is_day,
    table,
    trimmed,
    without_thousands,
    yuan,
)
from payments.packed import unpacked

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
    frame = read_frame(content, title=title, day=day, columns=columns)
    rows = []
    for at, (line_no, fields) in enumerate(frame.rows, start=1):
        tell(at, len(frame.rows))
        try:
            rows.append(read_row(fields, line_no))
        except (Invalid, ValueError, KeyError) as wrong:
            raise SettlementFileError(f"unreadable row: {wrong}", line_no=line_no) from wrong
    line_no, total = frame.total
    _check_total(total, len(rows), sum(amount_of(row) for row in rows), line_no=line_no)
    return rows


class Frame(NamedTuple):
    """What stands between a file's title and its last line, by column; and that line's cells."""

    rows: list[tuple[int, dict[str, str]]]
    total: tuple[int, list[str]]


def read_frame(content: bytes, *, title: str, day: date, columns: Sequence[str]) -> Frame:
    """Take a day file apart: packed or not, its columns in any order, others among them.

    Raises:
        SettlementFileError: not this day's file, or malformed.
    """
    texts = [decoded(member.raw) for member in unpacked(content)]
    titled = [text for text in texts if text.lstrip('\n \t"').startswith(title)]
    lines = list(table(titled[0] if len(titled) == 1 else texts[0])) if texts else []
    first = trimmed(lines[0][1]) if lines else []
    if len(titled) > 1 or len(first) != 2 or first[0] != title or not is_day(first[1], day):
        raise SettlementFileError(
            f"the first line must be '{title},{day}': is it another day's file?", line_no=1
        )
    header = Header(lines[1][1], line_no=lines[1][0]) if len(lines) > 1 else None
    whole = header is not None and all(name in header.at for name in columns)
    if header is None or not whole or len(lines) < 3 or lines[-1][1][:1] != ["#TOTAL"]:
        raise SettlementFileError(
            f"the second line must be '{','.join(columns)}' and the last one #TOTAL: is the file"
            " whole?",
            line_no=2,
        )
    rows = []
    for line_no, line in lines[2:-1]:
        cells = header.fit(line, line_no)
        if not "".join(cells).isprintable():
            raise SettlementFileError("unreadable row: a control character", line_no=line_no)
        rows.append((line_no, {name: cells[header.at[name]] for name in columns}))
    return Frame(rows, (lines[-1][0], trimmed(lines[-1][1])))


def _check_total(total: list[str], rows: int, amount_fen: int, *, line_no: int) -> None:
    try:
        told = int(without_thousands(total[1])), yuan(total[2])
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
    """Read a time in UTC; ValueError for one that does not say its zone."""
    return as_written.moment(text, None)
