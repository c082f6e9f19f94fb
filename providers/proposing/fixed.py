"""Lines of one length into fields: where all rows are blank, where figures begin, where a day is.

Widths are counted in bytes where that is what the lines have in common, else in characters.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from core.errors import BillFileError
from providers.formats.mainframe import EBCDIC
from providers.proposing.grids import ROWS_LIMIT, Grid, Row, Said
from providers.proposing.values import nearly_all, read_day

_LEAST: Final = 20
_JUDGED: Final = 200
_BODY_LEAST: Final = 2
_FIGURES: Final = frozenset("0123456789.-/:+,")
_DIGITS: Final = frozenset("0123456789")
_USUAL_MARKS: Final = ("1", "2")  # of bills, between a header and a trailer with figures, too
_SIGNED: Final = frozenset("0123456789{}ABCDEFGHIJKLMNOPQR")
_DAY, _MONTH = 8, 6
_WIDTHS: Final = "hold the places of all fields against the company's interface note"
_BLANKS: Final = " \u3000"
Span = tuple[int, int]


def cut_fixed(data: bytes, encoding: str) -> Grid:
    """Cut lines of one length into fields.

    Raises:
        BillFileError: the lines have no length in common.
    """
    lines = [
        (no, line.rstrip(b"\r"))
        for no, line in enumerate(data.split(b"\n"), 1)
        if line.strip(b" \r\t\x1a")
    ][:ROWS_LIMIT]
    if not lines:
        raise BillFileError("the file holds no line: send a sample with some bills in it")
    codec = "utf-8" if encoding in ("utf-16", *EBCDIC) else encoding.replace("detect", "ascii")
    texts = [(no, line.decode(codec, "replace")) for no, line in lines]
    in_bytes = Counter(len(line) for _, line in lines)
    in_characters = Counter(len(text) for _, text in texts)
    by_bytes = encoding not in ("utf-16", *EBCDIC) and (
        in_bytes.most_common(1)[0][1] >= in_characters.most_common(1)[0][1]
    )
    # A byte stands for itself, so that one place is one byte; it is decoded when it was cut.
    units = [(no, line.decode("latin-1")) for no, line in lines] if by_bytes else texts
    length, count = _usual(in_bytes if by_bytes else in_characters)
    if length < _LEAST or 2 * count < len(units):
        raise BillFileError(
            "the lines are of no delimiter and of no common length: is this a bill file?"
            " If it is, write its profile by hand: docs/adding-a-provider.md",
            line_no=lines[0][0],
        )
    grid = Grid(format="fixed_width")
    unit = "bytes" if by_bytes else "characters"
    grid.shape["row_bytes"] = Said(length, f"{count} of {len(units)} lines are so long in {unit}")
    grid.shape["widths"] = Said(unit, f"that is what lines have in common: {unit}")
    grid.questions.append(_WIDTHS)
    bills = _without_ends([line for line in units if len(line[1]) == length])
    _take_ends(grid, units, bills)
    judged = [text for _, text in bills[:_JUDGED]]
    grid.places = fields_of(judged, marked=grid.mark is not None)
    grid.names = [f"field at {start}" for start, _ in grid.places]
    back = codec if by_bytes else ""
    grid.rows = [Row(no, cells_at(text, grid.places, back)) for no, text in bills]
    return grid


def _usual(lengths: Counter[int]) -> tuple[int, int]:
    return max(lengths.items(), key=lambda item: (item[1], item[0]))


def _take_ends(grid: Grid, units: list[tuple[int, str]], bills: list[tuple[int, str]]) -> None:
    """Take the first and the last line for a header and a trailer where they are no bills."""
    marks = {text[0] for _, text in bills}
    first, last = units[0], units[-1]
    ends = [end for end in (first, last) if end not in bills and len(units) > 1]
    if len(marks) == 1 and ends and all(end[1][:1] not in marks for end in ends):
        grid.mark = _mark(grid, marks.pop(), [text for _, text in bills], ends)
    if first in ends:
        grid.header_places = fields_of([first[1]], marked=grid.mark is not None)
        grid.header = cells_at(first[1], grid.header_places, "")
    if last in ends and last != first:
        grid.trailer_places = fields_of([last[1]], marked=grid.mark is not None)
        grid.trailer = cells_at(last[1], grid.trailer_places, "")


def _mark(
    grid: Grid, mark: str, bills: Sequence[str], ends: Sequence[tuple[int, str]]
) -> str | None:
    """Return what every bill begins with; None where it may well be a figure of their numbers."""
    if mark not in _DIGITS or not all(text[1] in _DIGITS for text in bills):
        return mark
    if mark in _USUAL_MARKS and any(text[:1] in _DIGITS for _, text in ends):
        return mark
    grid.doubtful_mark = mark
    return None


def _without_ends(bills: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out a first and a last line that are as long as bills and of another kind."""
    body = [text for _, text in bills[1:-1]]
    if len(body) < _BODY_LEAST or len({text[0] for text in body}) > 1:
        return bills
    ends = [end for end in (bills[0], bills[-1]) if is_of_another_kind(end[1], body)]
    return [bill for bill in bills if bill not in ends]


def is_of_another_kind(line: str, body: Sequence[str]) -> bool:
    """Tell a header or a trailer from a bill: another mark, and other characters where theirs are.

    A mark alone may be the first figure of an account number.
    """
    if line[0] == body[0][0]:
        return False
    others = sum(
        _kind(mark) not in {_kind(one[at]) for one in body[:_JUDGED]}
        for at, mark in enumerate(line)
    )
    return 4 * others > len(line)


def _kind(mark: str) -> str:
    return "0" if mark in _DIGITS else " " if mark == " " else "x"


def cells_at(line: str, places: Sequence[Span], codec: str) -> list[str]:
    cells = [line[start : start + width] for start, width in places]
    if codec:
        cells = [cell.encode("latin-1").decode(codec, "replace") for cell in cells]
    return [cell.strip(_BLANKS) for cell in cells]


def fields_of(lines: Sequence[str], *, marked: bool) -> list[Span]:
    """Return where fields stand in lines of one length."""
    length = len(lines[0])
    columns = [_usual_marks([line[at] for line in lines]) for at in range(length)]
    starts = {0}
    if marked:
        starts.add(1)
    for at in range(1, length):
        here, before = columns[at], columns[at - 1]
        if (
            (before == {" "} and here != {" "})
            or (here <= _DIGITS and " " in before and not _is_aligned_right(columns, at))
            or (before <= _DIGITS and _begins_text(here) and _is_run(columns, starts, at))
        ):
            starts.add(at)
    spans = []
    for start, stop in zip(sorted(starts), [*sorted(starts)[1:], length], strict=True):
        pieces = [line[start:stop] for line in lines]
        spans += [(start + at, width) for at, width in _figures(pieces)]
    return spans


def _is_aligned_right(columns: Sequence[set[str]], at: int) -> bool:
    """Tell a number's figures that some rows lack, to the left of a place, from text before it."""
    at -= 1
    while at >= 0 and " " in columns[at] and columns[at] <= _FIGURES | {" "}:
        if columns[at] == {" "}:
            return columns[at + 1] != {" "}
        at -= 1
    return at < 0


def _usual_marks(marks: list[str]) -> set[str]:
    """Return the characters of one place; the odd sign among figures does not count."""
    found = set(marks)
    digits = [mark for mark in marks if mark in _DIGITS]
    if found - _DIGITS <= {"-", "+"} and nearly_all([mark in _DIGITS for mark in marks]):
        return set(digits)
    return found


def _begins_text(marks: set[str]) -> bool:
    return not marks & (_FIGURES | {" "})


def _is_run(columns: Sequence[set[str]], starts: set[int], at: int) -> bool:
    """Tell whether figures only stand between the last start and a place."""
    begin = max(start for start in starts if start < at)
    return all(columns[place] <= _FIGURES for place in range(begin, at))


def _figures(pieces: Sequence[str]) -> list[Span]:
    """Cut a run of figures where days stand in it, and where numbers padded with zeros begin."""
    width = len(pieces[0])
    figures = [piece for piece in pieces if piece.isascii() and piece.isdigit()]
    if width < 9 or not nearly_all([piece in figures for piece in pieces]):
        return _mixed(pieces)
    pieces = figures
    cuts = {0, width}
    at = 0
    while at < width:
        size = next((size for size, layout in ((8, "yyyymmdd"), (7, "yyyyddd"))
                     if _are_days(pieces, at, size, layout, width)), 0)  # fmt: skip
        cuts |= {at, at + size} if size else set()
        at += size or 1
    for begin, end in pairwise(sorted(cuts)):
        if end - begin > 8 and len(cuts) > 2:  # no account number is cut at its zeros
            cuts |= _padded(pieces, begin, end)
    for begin, end in pairwise(sorted(cuts)):
        cuts |= {end - _MONTH} if _ends_in_month(pieces, begin, end) else set()
    ordered = sorted(cuts)
    return [(start, stop - start) for start, stop in pairwise(ordered)]


def _mixed(pieces: Sequence[str]) -> list[Span]:
    """Cut figures and letters where two days stand side by side, and behind a signed figure.

    One day alone may be a part of a bill's number.
    """
    width = len(pieces[0])
    cuts, at = {0, width}, 0
    while at + 2 * _DAY <= width:
        two = all(_are_days(pieces, at + more, _DAY, "yyyymmdd", width) for more in (0, _DAY))
        cuts |= {at, at + _DAY, at + 2 * _DAY} if two else set()
        at += 2 * _DAY if two else 1
    for at in range(1, width - 1):
        lasts = {piece[at] for piece in pieces}
        if lasts & {"{", "}"} and lasts <= _SIGNED and all(p[at - 1].isdigit() for p in pieces):
            cuts.add(at + 1)
    return [(start, stop - start) for start, stop in pairwise(sorted(cuts))]


def _ends_in_month(pieces: Sequence[str], begin: int, end: int) -> bool:
    """Tell whether figures that differ end in the same month everywhere."""
    if end - begin < 2 * _MONTH:
        return False
    months = {piece[end - _MONTH : end] for piece in pieces}
    numbers = {piece[begin : end - _MONTH] for piece in pieces}
    return len(months) == 1 < len(numbers) and read_day(months.pop(), "yyyymm") is not None


def _are_days(pieces: Sequence[str], at: int, size: int, layout: str, width: int) -> bool:
    if at + size > width:
        return False
    if size == 7 and (width - at) % 7:  # only at the end of a run: much looks like such a day
        return False
    if not any(piece[at : at + size].isdigit() for piece in pieces[:3]):
        return False
    days = [read_day(piece[at : at + size], layout) for piece in pieces]  # type: ignore[arg-type]
    return nearly_all([day is not None for day in days])


def _padded(pieces: Sequence[str], begin: int, end: int) -> set[int]:
    """Return where zeros begin in all rows right after other figures, three of them or more."""
    cuts = set()
    for at in range(begin + 1, end - 2):
        zeros = all(piece[at : at + 3] == "000" for piece in pieces)
        if zeros and any(piece[at - 1] != "0" for piece in pieces):
            cuts.add(at)
    return cuts
