"""Text of lines into cells: by which delimiter, with which quoting, and what each line is."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from core.errors import BillFileError
from providers.formats.splitting import PADDING, splitter, undressed, whole_rows
from providers.profile_tables import Shape
from providers.proposing.filled_down import note_filled_down
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Row, Said
from providers.proposing.rows_of_tables import arrange

_CANDIDATES: Final = (
    "\t", "|", ";", ",", "\x1f", "\x01", "\x02", "→", "^", "~", "#", "&", "$", "!", "，",
    "、", "；", "｜", "@", "*", "`", "¦", "§", "¶",
)  # fmt: skip
_SHOWN: Final = {"\t": "a tab", "\x1f": "the separator 0x1F", "\x01": "the byte 0x01",
                 "\x02": "the byte 0x02"}  # fmt: skip
_JUDGED: Final = 300
_COLUMNS_LEAST: Final = 3
_LINE_LIMIT: Final = 64 * 1024
_END_OF_FILE: Final = "\x1a"
_QUOTED = re.compile(r'(?:^|[^\w\s])\s*"(?:[^"]|"")*"\s*(?:[^\w\s]|$)')
_SINGLE = re.compile(r"\s*'[^']*'\s*[^\w\s'].*'\s*")
_OPENED = re.compile(r'(?:^|[^\w\s"])"[^"]*$')
_TEXT = {mark: re.compile(f"{mark}(?:[^{mark}]|{mark}{mark})*{mark}") for mark in "\"'"}
_DRESSED = re.compile(r"=\"[^\"]*\"|['`][^'`]*")


def cut_delimited(text: str) -> Grid | None:
    """Cut text into cells; None where no delimiter makes a table of it.

    Raises:
        BillFileError: a line is too long to be looked at.
    """
    lines = [
        (no, line.removesuffix("\r"))
        for no, line in enumerate(text.split("\n"), 1)
        if line.strip("\r \t\u3000") and line.strip() != _END_OF_FILE
    ][:ROWS_LIMIT]
    long = next((no for no, line in lines if len(line) > _LINE_LIMIT), None)
    if long is not None:
        raise BillFileError(
            f"the line is longer than {_LINE_LIMIT} characters, as no bill is:"
            " check that rows end in a line break",
            line_no=long,
        )
    judged = [line for _, line in lines[:_JUDGED]]
    quote = _quote(judged)
    delimiter, why = _delimiter(judged, quote)
    if delimiter is None:
        return None
    shape: dict[str, Said] = {"delimiter": Said(delimiter, why)}
    settings: dict[str, object] = {"format": "delimited", "delimiter": delimiter}
    if quote:
        settings["quoted"] = True
        shape["quoted"] = Said(True, "cells stand in quotation marks")
        if quote != '"':
            settings["quote"] = quote
            shape["quote"] = Said(quote, "the marks are single ones")
        elif any('\\"' in line for line in judged):
            settings["escape"] = "\\"
            shape["escape"] = Said("\\", 'a mark within a cell is written \\"')
        if any(_marks(line, quote) % 2 for line in judged):
            settings["multiline"] = True
            shape["multiline"] = Said(True, "a quoted cell reaches over a line break")
    form = Shape.model_validate(settings)
    split = splitter(form)
    source = whole_rows(iter(lines), form, split) if form.multiline else iter(lines)
    rows = [Row(no, _cells(split(line), line, delimiter)) for no, line in source]
    _note_endings(rows, shape)
    grid = Grid(format="delimited", shape=shape)
    arrange(grid, rows)
    note_filled_down(grid)
    return grid


def _cells(cells: list[str] | None, line: str, delimiter: str) -> list[str]:
    return (line.split(delimiter) if cells is None else cells)[:COLUMNS_LIMIT]


def _marks(line: str, quote: str) -> int:
    return line.count(quote) - line.count(f"\\{quote}")


def _quote(lines: Sequence[str]) -> str:
    """Return the mark that cells stand in, "" where they stand in none."""
    if sum(bool(_QUOTED.search(line)) for line in lines) * 20 >= max(len(lines), 1):
        return '"'
    whole = sum(bool(_SINGLE.fullmatch(line)) for line in lines)
    if 2 * whole >= max(len(lines), 1):
        return "'"
    # A cell that reaches over a line break begins with a mark that its line does not close.
    return '"' if any(line.count('"') % 2 and _OPENED.search(line) for line in lines) else ""


def _delimiter(lines: Sequence[str], quote: str) -> tuple[str | None, str]:
    """Return the delimiter that cuts most lines into equally many cells, and why."""
    whole = "\n".join(lines)
    bare = (_TEXT[quote].sub("x", whole) if quote else whole).split("\n")
    several = _of_several(bare)
    if several is not None:
        return several, f"{several!r} stands between all cells"
    best: tuple[int, str, int, int] | None = None
    for mark in _CANDIDATES:
        counts = Counter(line.count(mark) + 1 for line in bare if mark in line)
        wide = {count: lines for count, lines in counts.items() if count >= _COLUMNS_LEAST}
        if not wide:
            continue
        cells, agreeing = max(wide.items(), key=lambda item: (item[1] * item[0], item[0]))
        # Marked lines (a bill, its items …) have few cells or many: near counts agree as well.
        share = 100 * sum(wide.values()) // len(bare)
        if share < 40:
            continue
        score = (100 * agreeing // len(bare) + share) * min(cells, 12)
        if best is None or score > best[0]:
            best = score, mark, cells, agreeing
    if best is None:
        return None, ""
    _, mark, cells, agreeing = best
    shown = _SHOWN.get(mark, repr(mark))
    return mark, f"{shown} cuts {agreeing} of {len(bare)} lines into {cells} cells"


def _of_several(lines: Sequence[str]) -> str | None:
    """Return a delimiter of several characters: one that stands in most lines and whole."""
    text = "\n".join(lines)
    found = Counter(re.findall(r"[^\w\s\"'.,\-/()\u3000-\u303f\uff00-\uffef]{2,4}", text))
    marks: list[str] = [mark for mark, _ in found.most_common(3)]
    for mark in marks:
        whole = all(text.count(one) == text.count(mark) * mark.count(one) for one in set(mark))
        if whole and 10 * sum(line.count(mark) >= 2 for line in lines) >= 6 * len(lines):
            return None if _cuts_more(lines, mark) else mark
    return None


def _cuts_more(lines: Sequence[str], mark: str) -> bool:
    """Tell whether one character cuts most lines into more cells, as 622**88,1.00 is by a comma."""
    usual = Counter(line.count(mark) for line in lines).most_common(1)[0][0]
    for one in _CANDIDATES:
        count, agreeing = Counter(line.count(one) for line in lines).most_common(1)[0]
        if one not in mark and count > usual and 10 * agreeing >= 8 * len(lines):
            return True
    return False


def _note_endings(rows: Sequence[Row], shape: dict[str, Said]) -> None:
    """Note a delimiter at the end of every row, and blanks around cells; cells become bare."""
    wide = max((len(row.cells) for row in rows), default=0)
    ended = [row for row in rows if len(row.cells) > 1]
    if ended and len(ended[0].cells) == wide - 1 and ended[0].cells[-1].strip():
        ended = [row for row in ended[1:] if len(row.cells) == wide]  # names end without one
    if wide > 1 and ended and all(not row.cells[-1].strip() for row in ended):
        shape["trailing_delimiter"] = Said(True, "every row ends with a delimiter")
        for row in ended:
            del row.cells[-1]
    if any(
        cell != cell.strip(PADDING) and cell.strip(PADDING) for row in rows for cell in row.cells
    ):
        shape["trim"] = Said(True, "cells have blanks around them")
    for row in rows:
        row.cells[:] = [cell.strip(PADDING) for cell in row.cells]
    note_dress(rows, shape)


def note_dress(rows: Sequence[Row], shape: dict[str, Said]) -> None:
    """Note what makes a spreadsheet keep figures as text, and take it off."""
    if 2 * sum(any(map(_DRESSED.fullmatch, row.cells)) for row in rows) > len(rows):
        shape["excel_text"] = Said(True, 'cells are written ="0310", \'0310 or `0310')
        for row in rows:
            row.cells[:] = map(undressed, row.cells)
