"""Where the lines of a text file come from, and how each is cut into cells."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, Protocol, TypeVar

from core.errors import BillFileError
from providers.formats.mainframe import EBCDIC, SIGNED_IN, unpacked
from providers.formats.rows import RowFault
from providers.formats.splitting import splitter, whole_rows
from providers.formats.text import (
    numbered_byte_lines,
    numbered_lines,
    refuse_not_text,
    undecodable,
)
from providers.profile_tables import Place
from providers.profiles import Profile

L = TypeVar("L")
_BLOCK: Final = 64 * 1024
_BLANKS: Final = " \u3000"
_ENDS_OF_FILE: Final = b" \r\n\t\x1a"


class Source(Protocol[L]):
    """Lines of one kind of text."""

    def lines(self, stream: BinaryIO) -> Iterator[tuple[int, L]]:
        """Yield every line that is not empty, with its number.

        Raises:
            BillFileError: this is no text, or not in the agreed encoding.
        """
        ...

    def cells(self, line: L, places: Sequence[Place], line_no: int) -> list[str]:
        """Cut a line into the cells of its kind.

        Raises:
            RowFault: it cannot be cut.
            BillFileError: it is in another encoding.
        """
        ...

    def mark(self, line: L) -> str:
        """Return the beginning of a line, by which its kind is told."""
        ...

    def text(self, line: L) -> str:
        """Return a line to be shown."""
        ...


class DelimitedSource:
    """Cells between delimiters."""

    def __init__(self, profile: Profile) -> None:
        self._shape = profile.file
        self._split = splitter(profile.file)

    def lines(self, stream: BinaryIO) -> Iterator[tuple[int, str]]:
        lines = numbered_lines(stream, self._shape.codec)
        return whole_rows(lines, self._shape, self._split) if self._shape.multiline else lines

    def cells(self, line: str, _places: Sequence[Place], _line_no: int) -> list[str]:
        cells = self._split(line)
        if cells is None:
            raise RowFault("", "the quotation marks do not match: close each in its line")
        return cells

    def mark(self, line: str) -> str:
        assert self._shape.delimiter is not None
        if not (self._shape.quoted and line.lstrip().startswith(self._shape.quote)):
            return line.split(self._shape.delimiter, 1)[0]
        cells = self._split(line)
        return cells[0] if cells else line

    def text(self, line: str) -> str:
        return line


class CharacterSource:
    """Fields at fixed places, counted in characters."""

    def __init__(self, profile: Profile) -> None:
        self._shape = profile.file

    def lines(self, stream: BinaryIO) -> Iterator[tuple[int, str]]:
        return numbered_lines(stream, self._shape.codec)

    def cells(self, line: str, places: Sequence[Place], _line_no: int) -> list[str]:
        line = _fitted(line, places, short=self._shape.short_rows, unit="characters", blank=" ")
        return [line[place.span].strip(_BLANKS) for place in places]

    def mark(self, line: str) -> str:
        return line

    def text(self, line: str) -> str:
        return line


class ByteSource:
    """Fields at fixed places, counted in bytes as banks do."""

    def __init__(self, profile: Profile) -> None:
        self._shape = profile.file
        self._places = profile.places

    def lines(self, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
        if self._shape.line_breaks:
            return numbered_byte_lines(stream, self._shape.codec)
        assert self._shape.row_bytes is not None
        packed = any(place.style == "packed" for place in self._places)
        any_byte = packed or self._shape.codec in EBCDIC
        return _blocks_of(stream, self._shape.row_bytes, any_byte=any_byte)

    def cells(self, line: bytes, places: Sequence[Place], line_no: int) -> list[str]:
        line = _fitted(line, places, short=self._shape.short_rows, unit="bytes", blank=b" ")
        return [self._field(line, place, line_no) for place in places]

    def _field(self, line: bytes, place: Place, line_no: int) -> str:
        field, codec = line[place.span], self._shape.codec
        if place.style == "packed":
            return unpacked(field)
        if place.style == "overpunch" and codec in EBCDIC:
            codec = SIGNED_IN
        try:
            return field.decode(codec).strip(_BLANKS)
        except UnicodeDecodeError as wrong:
            if wrong.reason.startswith(("incomplete", "unexpected end")):
                raise RowFault(
                    place.name,
                    f"the field of {len(field)} bytes ends in the middle of a character:"
                    " shorten the text by whole characters and pad with spaces",
                ) from None
            raise undecodable(line_no, line, place.span.start + wrong.start, codec) from None

    def mark(self, line: bytes) -> str:
        return self.text(line)

    def text(self, line: bytes) -> str:
        return line.decode(self._shape.codec, "replace")


B = TypeVar("B", str, bytes)


def _fitted(line: B, places: Sequence[Place], *, short: bool, unit: str, blank: B) -> B:
    """Return a line of the length its fields need: blanks at its end do not count.

    Raises:
        RowFault: it is too short or too long.
    """
    wanted = max(place.span.stop for place in places)
    if len(line) < wanted and short:
        return line.ljust(wanted, blank)
    if len(line) < wanted or line[wanted:].strip(blank):
        raise RowFault(
            "",
            f"the row is {len(line)} {unit} long instead of {wanted}: pad every field to its width"
            f" in {unit}",
        )
    return line


def _blocks_of(
    stream: BinaryIO, size: int, *, any_byte: bool = False
) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of ``size`` bytes of a file that has no line breaks, numbered from 1.

    Args:
        stream: the file.
        size: of one block.
        any_byte: whether what would be NUL or a line break may be a part of a number.
    """
    number, rest = 1, b""
    while chunk := stream.read(_BLOCK):
        if number == 1 and not rest:
            refuse_not_text(chunk)
        rest += chunk
        whole = len(rest) - len(rest) % size
        for at in range(0, whole, size):
            block = rest[at : at + size]
            if not any_byte and (b"\0" in block or b"\n" in block):
                what = "a NUL byte" if b"\0" in block else "a line break"
                raise BillFileError(
                    f"{what} stands in block {number}, but the file is blocks of {size} bytes"
                    " without any: send it again as its system wrote it",
                    line_no=number,
                )
            yield number, block
            number += 1
        rest = rest[whole:]
    if rest.strip(_ENDS_OF_FILE):
        yield number, rest
    elif number == 1:
        raise BillFileError("the file is empty: send it again with its bills in it", line_no=1)


def plain_name(name: str) -> str:
    """Return a column's name as names are compared: without spaces, marks nobody sees and case."""
    text = unicodedata.normalize("NFKC", name)
    seen = "".join(mark for mark in text if unicodedata.category(mark) not in ("Cf", "Cc"))
    return "".join(seen.split()).casefold()
