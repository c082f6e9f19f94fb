"""Files of mainframes: told from their bytes, and their records cut into fields.

EBCDIC has its figures at 0xF0 to 0xF9 and its blank at 0x40, and no other encoding has. Records
mostly have one length and no line ends.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from core.errors import BillFileError
from providers.formats.mainframe import EBCDIC, SIGNED_IN, unpacked
from providers.proposing.fixed import Span, cells_at, fields_of, is_of_another_kind
from providers.proposing.grids import ROWS_LIMIT, Grid, Row, Said
from providers.proposing.values import nearly_all

LINE_ENDS: Final = (b"\x15", b"\x25")  # NEL, and what LF becomes
ENCODING_ASKED: Final = "which EBCDIC is it: cp037 (US), cp273 (German), cp500 or cp1140 (with €)?"
_DIGITS: Final = frozenset(range(0xF0, 0xFA))
_LETTERS: Final = frozenset(
    [*range(0xC1, 0xCA), *range(0xD1, 0xDA), *range(0xE2, 0xEA),
     *range(0x81, 0x8A), *range(0x91, 0x9A), *range(0xA2, 0xAA)]
)  # fmt: skip
_OTHERS: Final = frozenset(b"\x40\x4b\x4c\x4d\x4e\x50\x5c\x5d\x60\x61\x6b\x6d\x6f\x7a\x7d\x7e\x7f")
_JUDGED: Final = 16 * 1024
_LEAST, _MOST = 20, 4_000
_RECORDS: Final = 200
_ENOUGH: Final = 5  # records
_SHIFTS: Final = b"\x0e\x0f"  # what stands around characters of two bytes
_KINDS: Final = bytes(
    1 if mark in _DIGITS else 2 if mark == 0x40 else 3 if mark in _LETTERS else 4
    for mark in range(256)
)
_PACKED_BYTES: Final = 8


def is_ebcdic(data: bytes) -> bool:
    """Tell whether a file is in EBCDIC: its figures say so, and there are none of ASCII."""
    opening = data[:_JUDGED]
    if len(opening) < _LEAST:
        return False
    digits = sum(mark in _DIGITS for mark in opening)
    known = digits + sum(mark in _LETTERS or mark in _OTHERS for mark in opening)
    ascii_digits = sum(0x30 <= mark <= 0x39 for mark in opening)
    return 8 * digits > len(opening) and 2 * known > len(opening) and 8 * ascii_digits < digits


def has_lines(data: bytes) -> bool:
    """Tell whether a file in EBCDIC has line ends, which a packed number may have bytes of, too."""
    opening = data[:_JUDGED]
    return any(
        opening.count(end) > 1
        and all(_is_text(line) for line in opening.split(end)[:-1])
        for end in LINE_ENDS
    )  # fmt: skip


def _is_text(line: bytes) -> bool:
    return all(mark >= 0x40 or mark in b"\x05\x0d\x0e\x0f" for mark in line)


def likely_encoding(data: bytes) -> str:
    """Return which EBCDIC it may be: German where its umlauts stand before letters."""
    small = frozenset(range(0x81, 0xAA))
    umlauts = sum(
        mark in (0xC0, 0xD0, 0x6A, 0x4A, 0x5A, 0xE0, 0xA1) and after in small
        for mark, after in pairwise(data[:_JUDGED])
    )
    return "cp273" if umlauts else SIGNED_IN


def record_length(data: bytes, *, whole: bool) -> int:
    """Return after how many bytes a file repeats itself.

    Raises:
        BillFileError: it does not.
    """
    kinds = data[: 2 * _JUDGED].translate(_KINDS)
    found: list[tuple[int, int]] = []
    for length in range(_LEAST, min(_MOST, len(data) // 3) + 1):
        if whole and len(data) % length:
            continue
        skip = length if len(data) >= _ENOUGH * length else 0  # a header and a trailer
        end = len(kinds) - skip if len(data) <= len(kinds) else len(kinds)
        window = min(end - skip - length, _JUDGED)
        one = int.from_bytes(kinds[skip : skip + window], "big")
        other = int.from_bytes(kinds[skip + length : skip + length + window], "big")
        alike = (one ^ other).to_bytes(window, "big").count(0)
        found.append((100 * alike // window, length))
    best = max(found, default=(0, 0))[0]
    if best < 70:
        raise BillFileError(
            "the file is in EBCDIC, of a mainframe, but has no line ends and no length after which"
            " it repeats itself: have it sent as text with line ends"
        )
    return min(length for alike, length in found if alike >= best - 3)


def cut_records(data: bytes, encoding: str, *, whole: bool) -> Grid:
    """Cut records of one length, which have no line ends, into fields.

    Raises:
        BillFileError: there is no such length, or the file has characters of two bytes.
    """
    if any(shift in data[:_JUDGED] for shift in _SHIFTS) and _is_shifted(data[:_JUDGED]):
        raise BillFileError(
            "the file has characters of two bytes in EBCDIC (such as cp935), which are not read:"
            " have it sent in GB18030 or UTF-8"
        )
    size = record_length(data, whole=whole)
    records = [
        (at // size + 1, data[at : at + size]) for at in range(0, len(data) - size + 1, size)
    ][:ROWS_LIMIT]
    grid = Grid(format="fixed_width", whole=whole)
    grid.shape["row_bytes"] = Said(size, f"after {size} bytes the file repeats itself")
    grid.shape["line_breaks"] = Said(False, "records follow one another without line ends")
    grid.questions += [ENCODING_ASKED, "hold the places of all fields against the record's layout"]
    bills = _take_ends(grid, records)
    judged = [record for _, record in bills[:_RECORDS]]
    packed = _packed_spans(judged)
    grid.places = _places(judged, packed, marked=grid.mark is not None)
    grid.names = [f"field at {start}" for start, _ in grid.places]
    grid.styles = {
        name: "packed" for name, place in zip(grid.names, grid.places, strict=True)
        if place in packed
    }  # fmt: skip
    grid.rows = [Row(no, _cells(record, grid.places, packed, encoding)) for no, record in bills]
    return grid


def _is_shifted(data: bytes) -> bool:
    return data.count(0x0E) == data.count(0x0F) > 1


def _take_ends(grid: Grid, records: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Take the first and the last record for a header and a trailer; returns the others."""
    marks = Counter(record[0] for _, record in records)
    mark, count = marks.most_common(1)[0]
    if len(marks) == 1 or len(records) - count > 2 or len(records) < _ENOUGH - 1:
        return records
    first, last = records[0], records[-1]
    body = [record.decode(SIGNED_IN) for _, record in records[1:-1]]
    ends = [end for end in (first, last) if is_of_another_kind(end[1].decode(SIGNED_IN), body)]
    if len(ends) < len(records) - count:
        return records
    grid.mark = bytes([mark]).decode(SIGNED_IN)
    for end in ends:
        text = end[1].decode(SIGNED_IN)
        places = fields_of([text], marked=True)
        cells = cells_at(text, places, "")
        if not _is_text(end[1]):
            places, cells = [(0, 1), (1, len(text) - 1)], [text[0], ""]
            grid.questions.append(f"what do the packed numbers of record {end[0]} say?")
        if end is first:
            grid.header, grid.header_places = cells, places
        else:
            grid.trailer, grid.trailer_places = cells, places
    return [record for record in records if record not in ends]


def _packed_spans(records: Sequence[bytes]) -> list[Span]:
    """Return where packed numbers stand: figures by the half byte, and a sign at their end."""
    size = len(records[0])
    signs = [
        nearly_all([record[at] & 15 in (12, 13, 15) and record[at] < 0xA0 for record in records])
        for at in range(size)
    ]
    spans: list[Span] = []
    end = 0
    for at in range(size):
        if not signs[at]:
            continue
        start = at
        while start > end and at - start < _PACKED_BYTES - 1 and _are_figures(records, start - 1):
            start -= 1
        spans.append((start, at + 1 - start))
        end = at + 1
    return spans


def _are_figures(records: Sequence[bytes], at: int) -> bool:
    marks = {record[at] for record in records}
    if marks == {0x40}:
        return False
    return nearly_all([record[at] & 15 < 10 and record[at] < 0xA0 for record in records])


def _places(records: Sequence[bytes], packed: Sequence[Span], *, marked: bool) -> list[Span]:
    places: list[Span] = []
    begin = 0
    for start, width in [*packed, (len(records[0]), 0)]:
        if start > begin:
            texts = [record[begin:start].decode(SIGNED_IN) for record in records]
            own = fields_of(texts, marked=marked and not begin)
            places += [(begin + at, size) for at, size in own]
        if width:
            places.append((start, width))
        begin = start + width
    return places


def _cells(
    record: bytes, places: Sequence[Span], packed: Sequence[Span], encoding: str
) -> list[str]:
    cells = []
    for place in places:
        field = record[place[0] : place[0] + place[1]]
        if place in packed:
            cells.append(unpacked(field))
        else:
            text = field.decode(encoding if encoding in EBCDIC else SIGNED_IN)
            punched = field.decode(SIGNED_IN).strip()
            is_figures = any(mark in punched for mark in "{}") and punched[:-1].isdigit()
            cells.append(punched if is_figures else text.strip())
    return cells
