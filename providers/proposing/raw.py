"""The raw text of a row, by the line number that its reader gave it."""

import json
import re
from decimal import Decimal
from typing import Any, BinaryIO, Final

from core.errors import BillFileError
from providers.formats.unwrapping import unwrapped
from providers.formats.workbook import Workbook
from providers.profiles import Profile
from providers.proposing.json_documents import json_rows
from providers.proposing.sheets import shown
from providers.proposing.sniffing import Sample

_ROWS: Final = 3_000
_LINES_OF_A_ROW: Final = 12
_TAIL: Final = 64 * 1024
_BLOCK: Final = 1024 * 1024


class RawText:
    """The beginning of one file, to be looked up; ``first`` and ``last`` are its end lines."""

    def __init__(self, profile: Profile, sample: Sample, stream: BinaryIO) -> None:
        self._profile = profile
        self._lines: list[str] = []
        self._numbered: dict[int, str] = {}
        self._elements: list[tuple[int, int, str]] = []
        self._given = -1
        self.first = self.last = b""
        shape = profile.file
        if shape.format == "spreadsheet":
            self._numbered = _sheet(stream, shape.sheet)
        elif shape.format == "json":
            self._numbered = _objects(profile, sample)
        elif not shape.line_breaks and shape.row_bytes:
            size = shape.row_bytes
            for at in range(0, min(len(sample.data), size * _ROWS), size):
                block = sample.data[at : at + size]
                self._numbered[at // size + 1] = block.decode(shape.codec, "replace")
        else:
            self._lines = [line.removesuffix("\r") for line in sample.text.split("\n")]
            if shape.format == "xml" and shape.rows:
                self._elements = _elements(sample.text, shape.rows)
            self._take_ends(sample, stream)

    def of(self, line_no: int, next_no: int) -> str:
        """Return a row's text; it ends before line ``next_no``, where that is known."""
        if self._numbered:
            return self._numbered.get(line_no, "")
        if self._elements:
            return self._element(line_no)
        if not 0 < line_no <= len(self._lines):
            return ""
        end = line_no + 1
        shape = self._profile.file
        several = (
            shape.multiline or self._profile.rows or self._profile.segments
            or shape.format not in ("delimited", "fixed_width", "json_lines")
        )  # fmt: skip
        if several:
            end = next_no if next_no > line_no else line_no + _LINES_OF_A_ROW
        return "\n".join(self._lines[line_no - 1 : min(end - 1, line_no + _LINES_OF_A_ROW)])

    def _element(self, line_no: int) -> str:
        """Return the next element that begins on a line: there may be several."""
        for at in range(self._given + 1, len(self._elements)):
            begin, end, text = self._elements[at]
            if begin <= line_no <= end:
                self._given = at
                return text
        return ""

    def _take_ends(self, sample: Sample, stream: BinaryIO) -> None:
        lines = [line for line in sample.data.split(b"\n") if line.strip(b"\r \x1a")]
        self.first = lines[0].removesuffix(b"\r") if lines else b""
        self.last = lines[-1].removesuffix(b"\r") if lines else b""
        if sample.whole or sample.encoding == "utf-16":
            return
        tail = b""
        try:
            with unwrapped(stream) as plain:
                while block := plain.read(_BLOCK):
                    tail = (tail + block)[-_TAIL:]
        except BillFileError:
            return  # what its reader said of it is said already
        ended = [line for line in tail.split(b"\n") if line.strip(b"\r \x1a")]
        self.last = ended[-1].removesuffix(b"\r") if ended else b""


def _sheet(stream: BinaryIO, wanted: str | int | None) -> dict[int, str]:
    """Return the rows of the sheet that is read, of all that can be seen the fullest."""
    best: dict[int, str] = {}
    try:
        with unwrapped(stream, takes_zip=True) as plain, Workbook(plain) as book:
            for sheet in book.sheets:
                if wanted not in (None, sheet.name, sheet.place + 1) or (
                    wanted is None and not sheet.visible
                ):
                    continue
                rows = {
                    row_no: " | ".join(map(shown, cells))
                    for row_no, cells in list(book.rows(sheet, _ROWS))
                }
                best = max(best, rows, key=lambda one: sum(map(len, one.values())))
    except BillFileError:
        return {}
    return best


def _objects(profile: Profile, sample: Sample) -> dict[int, str]:
    shape = profile.file
    try:
        rows = json_rows(
            sample.text,
            shape.inner,
            shape.rows,
            listed=shape.listed,
            whole=sample.whole,
            relaxed=shape.relaxed,
        )
    except BillFileError:
        return {}
    return {at: _dumped(row) for at, row in enumerate(rows[:_ROWS], 1)}


def _dumped(row: Any) -> str:
    """Write a value as JSON; a number keeps the figures that it came with."""
    if isinstance(row, dict):
        return "{" + ", ".join(f"{_dumped(key)}: {_dumped(row[key])}" for key in row) + "}"
    if isinstance(row, list):
        return "[" + ", ".join(map(_dumped, row)) + "]"
    return str(row) if isinstance(row, Decimal) else json.dumps(row, ensure_ascii=False)


def _elements(text: str, rows: str) -> list[tuple[int, int, str]]:
    """Return where each element of the bills begins and the begin tag ends, and its text."""
    name = re.escape(rows.rpartition("/")[2].rpartition(":")[2])
    opening = re.compile(rf"<((?:[\w.-]+:)?{name})(?=[\s>/])[^<>]*>")
    found = []
    line_no, counted = 1, 0
    for match in opening.finditer(text):
        line_no += text.count("\n", counted, match.start())
        counted = match.start()
        end = match.end()
        if not match[0].endswith("/>"):
            close = text.find(f"</{match[1]}", match.end())
            end = text.find(">", close) + 1 if close > 0 else len(text)
        found.append((line_no, line_no + match[0].count("\n"), text[match.start() : end]))
        if len(found) >= _ROWS:
            break
    return found
