"""A line of delimited text into cells, by whatever delimiter and quoting the profile names."""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from providers.formats.text import LINE_LIMIT
from providers.profiles import Shape

# Blanks, and the marks nobody sees that copying out of a window or a page leaves behind.
PADDING: Final = " \t\u00a0\u3000\u200b\u200e\u200f\u202a\u202c\u2060\ufeff"
NOTHING: Final = f"{PADDING}\r\x1a"  # a line of these says nothing; 0x1A ends a file of DOS
_LINES_OF_A_ROW: Final = 100
_RULED: Final = frozenset("-=+:_|,;\t ")
# What tools for databases write below a table: 6 rows selected. / (6 rows) / 已选择6行。
_COUNTED = re.compile(
    r"\(?([0-9,]{1,15}) (?:rows?|row\(s\)|record\(s\)|records?)"
    r"(?: (?:selected|affected|retrieved|in set)\.?)?\)?(?:, [0-9]+ warnings?)?"
    r"(?: \([0-9.]+ sec\))?"
    r"|已选择 ?([0-9]{1,15}) ?行。?|[((]([0-9]{1,15}) ?行(?:记录|受影响)?[))]"
)
_END_OF_COPY: Final = "\\."  # of PostgreSQL
_MAY_END: Final = frozenset("-=+|:, \t.))。行ds")  # few rows do: they are looked at no further
Split = Callable[[str], list[str] | None]


def is_tool_line(line: str) -> bool:
    """Tell a line that a tool drew around a table from a row: a rule of dashes, 6 rows selected."""
    if line[-1:] not in _MAY_END:
        return False
    if line == _END_OF_COPY:
        return True
    if "---" in line or "===" in line:
        return _RULED.issuperset(line.strip())
    return count_of_tool(line) is not None


def count_of_tool(line: str) -> int | None:
    """Return how many rows a tool says that it printed; None of a line that says no such thing."""
    found = _COUNTED.fullmatch(line.strip())
    said = "" if found is None else next(filter(None, found.groups())).replace(",", "")
    return int(said) if said else None


def splitter(shape: Shape) -> Split:
    """Return what cuts a line into cells, or answers None where its quoting is broken."""
    assert shape.delimiter is not None
    split = _cutter(shape, shape.delimiter)
    if not (shape.trim or shape.trailing_delimiter or shape.excel_text):
        return split

    def tidied(line: str) -> list[str] | None:
        cells = split(line)
        if cells is None:
            return None
        if shape.trailing_delimiter and len(cells) > 1 and not cells[-1].strip(PADDING):
            del cells[-1]
        if shape.trim:
            cells = [cell.strip(PADDING) for cell in cells]
        return [undressed(cell) for cell in cells] if shape.excel_text else cells

    return tidied


def undressed(cell: str) -> str:
    """Take off what makes a spreadsheet keep figures as text: ="0310", '0310, `0310."""
    if cell.startswith('="') and cell.endswith('"') and len(cell) > 2:
        return cell[2:-1]
    return cell[1:] if cell.startswith(("'", "`")) else cell


def _cutter(shape: Shape, delimiter: str) -> Split:
    if not shape.quoted and shape.escape is None:
        return lambda line: line.split(delimiter)

    blanks = "".join(blank for blank in " \t" if blank not in delimiter)
    late = re.compile(f"{re.escape(shape.quote)}[{blanks or ' '}]+(?={re.escape(delimiter)}|$)")

    def cut(line: str) -> list[str] | None:
        cells = cut_strictly(line)
        if cells is None and shape.quoted and shape.escape is None:
            cells = cut_strictly(late.sub(shape.quote, line))  # "86.50" ,: blanks behind the mark
        return cells

    def cut_strictly(line: str) -> list[str] | None:
        one, single = line, delimiter
        if len(delimiter) > 1:  # the csv module knows one character: lend it one that is not there
            single = _unused(line)
            one = line.replace(delimiter, single)
        try:
            cells = next(
                csv.reader(
                    [one],
                    delimiter=single,
                    quotechar=shape.quote if shape.quoted else None,
                    quoting=csv.QUOTE_MINIMAL if shape.quoted else csv.QUOTE_NONE,
                    escapechar=shape.escape,
                    skipinitialspace=shape.trim and single != " ",
                    strict=True,
                ),
                [],
            )
        except csv.Error:
            return None
        if single != delimiter:
            cells = [cell.replace(single, delimiter) for cell in cells]
        return cells

    return cut


def _unused(line: str) -> str:
    return next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark not in line)


def whole_rows(
    lines: Iterator[tuple[int, str]], shape: Shape, split: Split
) -> Iterator[tuple[int, str]]:
    """Join the lines of a row whose quoted cells reach over line breaks; a break becomes a space.

    A quotation mark that is never closed costs its own line only: the lines after it are looked
    at again.
    """
    waiting: deque[tuple[int, str]] = deque()
    while True:
        first = waiting.popleft() if waiting else next(lines, None)
        if first is None:
            return
        taken = [first]
        size = len(first[1])
        while _is_open(taken, shape) and size < LINE_LIMIT and len(taken) < _LINES_OF_A_ROW:
            more = waiting.popleft() if waiting else next(lines, None)
            if more is None:
                break
            taken.append(more)
            size += len(more[1])
        joined = " ".join(line for _, line in taken)
        if len(taken) > 1 and (_is_open(taken, shape) or split(joined) is None):
            waiting.extendleft(reversed(taken[1:]))
            joined = first[1]
        yield first[0], joined


def _is_open(taken: list[tuple[int, str]], shape: Shape) -> bool:
    marks = sum(line.count(shape.quote) for _, line in taken)
    if shape.escape is not None and shape.escape != shape.quote:
        marks -= sum(line.count(shape.escape + shape.quote) for _, line in taken)
    return marks % 2 == 1
