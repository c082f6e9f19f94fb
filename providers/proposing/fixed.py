"""Lines of one length into fields: where all rows are blank, where figures begin, where a day is.

Widths are counted in bytes where that is what the lines have in common, else in characters.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from core.errors import BillFileError
from providers.proposing.grids import ROWS_LIMIT, Grid, Row, Said
from providers.proposing.values import nearly_all, read_day

_LEAST: Final = 20
_JUDGED: Final = 200
_FIGURES: Final = frozenset("0123456789.-/:+,")
_DIGITS: Final = frozenset("0123456789")
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
    codec = {"detect": "ascii", "utf-16": "utf-8"}.get(encoding, encoding)
    texts = [(no, line.decode(codec, "replace")) for no, line in lines]
    in_bytes = Counter(len(line) for _, line in lines)
    in_characters = Counter(len(text) for _, text in texts)
    by_bytes = encoding != "utf-16" and (
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
    bills = [line for line in units if len(line[1]) == length]
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
        grid.mark = marks.pop()
    if first in ends:
        grid.header_places = fields_of([first[1]], marked=grid.mark is not None)
        grid.header = cells_at(first[1], grid.header_places, "")
    if last in ends and last != first:
        grid.trailer_places = fields_of([last[1]], marked=grid.mark is not None)
        grid.trailer = cells_at(last[1], grid.trailer_places, "")


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
            or (here <= _DIGITS and " " in before)
            or (before <= _DIGITS and _begins_text(here) and _is_run(columns, starts, at))
        ):
            starts.add(at)
    spans = []
    for start, stop in zip(sorted(starts), [*sorted(starts)[1:], length], strict=True):
        pieces = [line[start:stop] for line in lines]
        spans += [(start + at, width) for at, width in _figures(pieces)]
    return spans


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
        return [(0, width)]
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
    ordered = sorted(cuts)
    return [(start, stop - start) for start, stop in pairwise(ordered)]


def _are_days(pieces: Sequence[str], at: int, size: int, layout: str, width: int) -> bool:
    if at + size > width:
        return False
    if size == 7 and (width - at) % 7:  # only at the end of a run: much looks like such a day
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
