"""The records of a BAI2 file: lines, and those that continue them, cut into fields.

Source: docs/wire/bank-statements.md, BAI2.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from payments.statements.base import StatementFileError

_CONTINUES: Final = "88"
_NARROWEST: Final = 20  # a shorter "record length" is no length of records


@dataclass(slots=True)
class Record:
    """A record with its continuations; ``parts`` are its lines, each ended by a slash or not."""

    line_no: int
    code: str
    parts: list[tuple[str, bool]]
    lines: int = 1
    width: int = 0  # of a full line, which goes on in the next without a blank
    _cells: list[str] | None = None

    def cell(self, at: int) -> str:
        """Return a field by its place after the record code; "" where it is not there."""
        cells = self.cells
        return cells[at].strip() if at < len(cells) else ""

    @property
    def cells(self) -> list[str]:
        if self._cells is None:
            self._cells = self._joined(self.parts).split(",")
        return self._cells

    @property
    def text(self) -> str:
        """The record as its lines, for what banks label at the beginning of one."""
        return "\n".join(text for text, _ in self.parts)

    def after(self, at: int) -> list[str]:
        """Return the fields from a place on."""
        return self.cells[at:]

    def pieces(self, at: int) -> Iterator[list[str]]:
        """Yield the fields between slashes, of the first piece from a place on.

        Some banks leave a comma out before a slash and some do not: what goes on after one begins
        anew.
        """
        piece: list[tuple[str, bool]] = []
        for part in self.parts:
            piece.append(part)
            if part[1]:
                yield self._fields(piece, at)
                piece, at = [], 0
        if piece:
            yield self._fields(piece, at)

    def of(self, cells: list[str]) -> "Record":
        """Return a record of some of its fields."""
        return Record(self.line_no, self.code, [], _cells=cells)

    def wrong(self, message: str) -> StatementFileError:
        return StatementFileError(message, line_no=self.line_no, column=f"record {self.code}")

    def _fields(self, piece: list[tuple[str, bool]], at: int) -> list[str]:
        return [cell.strip() for cell in self._joined(piece).split(",")[at:]]

    def _joined(self, parts: list[tuple[str, bool]]) -> str:
        """Join lines: after a slash the next field comes, else the same one goes on."""
        joined = ""
        for at, (text, ended) in enumerate(parts):
            joined += text
            if at + 1 < len(parts):
                is_full = 0 < self.width <= len(text) + len("88,")
                joined += "," if ended else "" if is_full else " "
        return joined


def records(lines: Iterable[tuple[int, str]]) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        StatementFileError: a line is none, or continues nothing.
    """
    current: Record | None = None
    width = 0
    for line_no, raw in lines:
        line = raw.strip("\r\x1a").lstrip()
        if not line:
            continue
        code, comma, text = line[:2], line[2:3], line[3:]
        if comma not in (",", "/", "") or not (code.isascii() and code.isdigit()):
            raise StatementFileError(
                f"{line[:16]!r} is no record of BAI2: it begins with two digits and a comma",
                line_no=line_no,
            )
        part = (text.rstrip()[:-1], True) if text.rstrip().endswith("/") else (text, False)
        if code == _CONTINUES:
            if current is None:
                raise StatementFileError("it continues no record", line_no=line_no)
            current.parts.append(part)
            current.lines += 1
            continue
        if current is not None:
            yield current
        current = Record(line_no, code, [part], width=width)
        if code == "01":
            told = current.cell(5)
            width = int(told) if told.isascii() and told.isdigit() and len(told) < 6 else 0
            width = width if width >= _NARROWEST else 0
    if current is not None:
        yield current
