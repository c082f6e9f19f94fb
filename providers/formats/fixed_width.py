"""Files of one bill a line, fields at fixed places counted in bytes, as a profile describes them.

Source: docs/wire/bill-files.md, gas.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.rows import RowFault, Rows, reject
from providers.formats.text import numbered_byte_lines, undecodable
from providers.formats.totals import (
    Totals,
    checked,
    prove_trailer,
    prove_without_trailer,
    read_heading,
    refuse_more,
)
from providers.profiles import METERED, STATED, Cell, Profile

# Padded on the right with spaces; every other field is a number and fills its width.
_LEFT_ALIGNED: Final = frozenset(
    {"row_type", "holder_name", "address", "bill_no", "unused", *STATED, *METERED}
)
# Decoded, for they may hold characters of more than one byte; the others are digits or wrong.
_TEXTS: Final = frozenset(
    {
        "account_no",
        "holder_name",
        "address",
        "bill_no",
        "status",
        "original_no",
        "reading_kind",
        "meter_no",
    }
)


class FixedWidthReader:
    """Reads a fixed-width bill file; see `BillFileReader`."""

    def __init__(self, profile: Profile) -> None:
        assert profile.file.row_bytes is not None
        self._profile = profile
        self._columns = profile.columns
        self._width = profile.file.row_bytes
        self._encoding = profile.file.codec
        row_type = profile.column("row_type")
        self._detail = b"" if row_type is None else (row_type.must_be or "").encode()
        trailer = profile.trailer
        self._mark = b"" if trailer is None else (trailer.fields[0].must_be or "").encode()

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        lines = numbered_byte_lines(stream, self._encoding)
        line_no, line = next(lines, (1, b""))
        fields = self._profile.header.fields
        cells = self._fields(line, fields, "header", line_no)
        checked(self._profile, cells, fields, "header", line_no)
        heading = read_heading(cells, fields)
        if heading is not None:
            yield heading
        rows, totals, cut = Rows(self._profile), Totals(), self._cutter()
        build, blank = rows.build, rows.padding[len(self._columns)]
        detail, width = self._detail, self._width
        for line_no, line in lines:
            if self._mark and line.startswith(self._mark):
                self._trailer(line, totals, line_no)
                refuse_more(((no, more.decode("latin-1")) for no, more in lines), totals)
                return
            if len(line) != width or not line.startswith(detail):
                yield self._malformed(totals, line_no, line)
                continue
            try:
                cells = cut(line_no, line)
                record = build(line_no, cells + blank)
            except RowFault as fault:
                yield self._faulty(rows, totals, line_no, line, fault)
            except Invalid as wrong:
                if isinstance(wrong, BillFileError):
                    raise
                yield self._faulty(rows, totals, line_no, line, None)
            else:
                totals.count += 1
                totals.sum_fen += record.amount_fen
                yield record
        prove_without_trailer(self._profile, totals, line_no)

    def _cutter(self) -> Callable[[int, bytes], list[str]]:
        """Return what cuts a row into cells; raises RowFault where a character is cut in two."""
        encoding = self._encoding
        fields = [
            (column.name, column.span, column.holds in _LEFT_ALIGNED, column.holds in _TEXTS)
            for column in self._columns
        ]

        def cut(line_no: int, line: bytes) -> list[str]:
            places = line.decode("latin-1")  # one character a byte, so that places still hold
            cells = []
            for name, span, left_aligned, is_text in fields:
                if is_text:
                    try:
                        text = line[span].decode(encoding)
                    except UnicodeDecodeError as wrong:
                        raise _broken_text(line_no, line, name, span, wrong) from None
                    cells.append(text.rstrip(" "))
                elif left_aligned:
                    cells.append(places[span].rstrip(" "))
                else:
                    cells.append(places[span])
            return cells

        return cut

    def _fields(self, line: bytes, fields: tuple[Cell, ...], what: str, line_no: int) -> list[str]:
        """Cut a header or trailer line."""
        wanted = max(field.span.stop for field in fields)
        if len(line) != wanted:
            raise BillFileError(
                f"the {what} is {len(line)} bytes long instead of {wanted}:"
                f" check that this is the bill file of {self._profile.name} ({self._profile.code})",
                line_no=line_no,
            )
        places = line.decode("latin-1")
        return [places[field.span].rstrip(" ") for field in fields]

    def _trailer(self, line: bytes, totals: Totals, line_no: int) -> None:
        trailer = self._profile.trailer
        assert trailer is not None
        cells = self._fields(line, trailer.fields, "trailer", line_no)
        prove_trailer(self._profile, trailer, cells, totals, line_no)

    def _faulty(
        self, rows: Rows, totals: Totals, line_no: int, line: bytes, fault: RowFault | None
    ) -> Reject:
        """Say what is wrong with a row of the right length, and count it."""
        raw = line.decode(self._encoding, "replace")
        cells = [line[column.span].decode(self._encoding, "replace") for column in self._columns]
        for at, column in enumerate(self._columns):
            if column.holds in _LEFT_ALIGNED:
                cells[at] = cells[at].rstrip(" ")
        cells.append("")
        if fault is None:
            rejected = rows.explain(line_no, cells, raw)
        else:
            rejected = reject(line_no, fault.column, fault.reason, raw)
        totals.add(line_no, rows.amount_column, rows.amount_cell(cells), rows.read_amount)
        return rejected

    def _malformed(self, totals: Totals, line_no: int, line: bytes) -> Reject:
        """Say what is wrong with a line that is no row, and count it when it means to be one."""
        raw = line.decode(self._encoding, "replace")
        if not line.startswith(self._detail):
            name, wanted = self._columns[0].name, self._detail.decode()
            reason = f"{raw[:1]!r} is no kind of line: bill rows begin with {wanted}"
            return reject(line_no, name, reason, raw)
        reason = (
            f"the row is {len(line)} bytes long instead of {self._width}: pad every field"
            " to its width in bytes, a Chinese character being two or four"
        )
        fault = reject(line_no, "", reason, raw)
        totals.add_unread(fault)
        return fault


def _broken_text(
    line_no: int, line: bytes, name: str, span: slice, wrong: UnicodeDecodeError
) -> RowFault | BillFileError:
    """Tell a character cut by the end of its field (the row's fault) from another encoding."""
    if wrong.reason.startswith("incomplete"):
        return RowFault(
            name,
            f"the field of {span.stop - span.start} bytes ends in the middle of a character:"
            " shorten the text by whole characters and pad with spaces",
        )
    return undecodable(line_no, line, span.start + wrong.start, wrong.encoding)
