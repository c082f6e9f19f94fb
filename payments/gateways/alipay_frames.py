"""Alipay's bill files as they come: the ZIP, the encoding, the frame around the rows.

Source: docs/wire/alipay.md, "The business bill".
"""

import csv
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan

ZIP = b"PK\x03\x04"
MAX_MEMBERS = 100
MAX_BYTES = 512 << 20  # of all members, unpacked
# What the standard library raises of a ZIP that is damaged, locked, or packed in a rare way.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip
_BOM = b"\xef\xbb\xbf"
_HALF_WIDTH = str.maketrans("（），：", "(),:")
_PERIOD = re.compile(
    r"#起始日期:\[([0-9]{4})年([0-9]{2})月([0-9]{2})日 00:00:00\]\s*"
    r"终止日期:\[([0-9]{4})年([0-9]{2})月([0-9]{2})日 00:00:00\]"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One list of a bill: its columns by name, its rows with their lines, what stands below."""

    columns: dict[str, int]
    rows: list[tuple[int, list[str]]]
    below: list[tuple[int, str]]
    last_line: int

    def cell(self, row: Sequence[str], *names: str, default: str | None = None) -> str:
        """Return a row's cell by the first of these names that is a column, without blanks.

        Raises:
            KeyError: none is.
        """
        for name in names:
            if name in self.columns:
                return row[self.columns[name]].strip()
        if default is None:
            raise KeyError(names[0])
        return default

    def total(self, pattern: str) -> tuple[int, int, int]:
        """Return the line, the count and the fen of a total below the list.

        Args:
            pattern: matches the whole line, half width, and finds the count and the yuan.

        Raises:
            SettlementFileError: there is not exactly one such line, or it cannot be read.
        """
        found = [
            (line_no, match) for line_no, text in self.below if (match := re.match(pattern, text))
        ]
        if len(found) != 1:
            what = pattern.partition(":")[0]
            raise SettlementFileError(
                f"the total {what!r} is missing below the list, or is there twice: ask for the "
                "file again",
                line_no=self.last_line,
            )
        line_no, match = found[0]
        try:
            return line_no, int(match[1]), yuan(match[2])
        except Invalid as wrong:
            raise SettlementFileError(
                f"the total cannot be read: {wrong}", line_no=line_no
            ) from wrong


def unpack(content: bytes) -> list[str]:
    """Return the texts in a bill as it was downloaded; nothing is written to any disk.

    Raises:
        SettlementFileError: no ZIP or text of Alipay's, or one that is built to do harm.
    """
    if not content.startswith(ZIP):
        return [_decode(content)]
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [_decode(raw) for raw in _members(archive)]
    except _BROKEN as wrong:
        raise SettlementFileError(
            f"the ZIP cannot be unpacked ({wrong}): fetch it again"
        ) from wrong


def choose(texts: Sequence[str], marker: str) -> str | None:
    """Return the text whose first line is this marker; None where none is.

    Raises:
        SettlementFileError: several are.
    """
    found = [text for text in texts if text.startswith(f"#{marker}")]
    if len(found) > 1:
        raise SettlementFileError(f"{marker} is in the ZIP {len(found)} times")
    return found[0] if found else None


def read_frame(text: str, name: str, *, day: date, seller_id: str) -> Frame:
    """Read the list called ``name`` in a text that begins with it.

    Raises:
        SettlementFileError: another account's or day's, or its list does not end.
    """
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    numbered = list(enumerate(lines, start=1))
    head = [line.translate(_HALF_WIDTH).strip().rstrip(",") for _, line in numbered[:3]]
    if len(head) < 3 or head[1] != f"#账号:[{seller_id}0156]":
        raise SettlementFileError(
            f"the second line must name our account {seller_id} and 0156: is it another's bill?",
            line_no=2,
        )
    period = _PERIOD.match(head[2])
    after = day + timedelta(days=1)
    wanted = tuple(f"{one:%Y%m%d}" for one in (day, after))
    if period is None or ("".join(period.groups()[:3]), "".join(period.groups()[3:])) != wanted:
        raise SettlementFileError(
            f"the third line must say from {day} to {after}: is it another day's bill?", line_no=3
        )
    starts = [n for n, line in numbered if re.fullmatch(rf"#-+{name}列表-+,*", line.strip())]
    ends = [n for n, line in numbered if re.fullmatch(rf"#-+{name}列表结束-+,*", line.strip())]
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0] + 2:
        raise SettlementFileError(
            f"the list {name} does not begin and end once: is the file cut short?",
            line_no=len(numbered),
        )
    listed = [line for _, line in numbered[starts[0] : ends[0] - 1]]
    below = [(n, line.translate(_HALF_WIDTH).strip()) for n, line in numbered[ends[0] :]]
    columns, rows = _table(listed, first_line=starts[0] + 1)
    return Frame(columns, rows, below, len(numbered))


def yuan(text: str) -> int:
    """Read a yuan amount of Alipay's, which writes a zero below zero at times. Raises Invalid."""
    return 0 if re.fullmatch(r"-0(\.0{1,2})?", text) else parse_yuan(text)


def _members(archive: zipfile.ZipFile) -> Iterator[bytes]:
    """Read each CSV of a ZIP, and no more bytes than a bill can have."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise SettlementFileError(f"the ZIP has more than {MAX_MEMBERS} files in it")
    left = MAX_BYTES
    for info in infos:
        name = info.filename
        if not info.flag_bits & 0x800:  # its name is GBK, which the format takes for cp437
            name = name.encode("cp437").decode("gb18030", "replace")
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name:
            raise SettlementFileError("the ZIP holds a file that would land outside its folder")
        if info.is_dir() or not name.lower().endswith(".csv"):
            continue
        with archive.open(info) as member:
            raw = member.read(left + 1)  # what it really unpacks to, whatever it says of itself
        left -= len(raw)
        if left < 0:
            raise SettlementFileError(f"the ZIP unpacks to more than {MAX_BYTES >> 20} MB")
        yield raw


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if raw.startswith(_BOM) else "gb18030")
    except UnicodeDecodeError as wrong:
        raise SettlementFileError(
            f"neither GBK nor UTF-8 with a byte order mark: {wrong}"
        ) from wrong


def _table(
    listed: list[str], *, first_line: int
) -> tuple[dict[str, int], list[tuple[int, list[str]]]]:
    """Split a list into its columns and rows."""
    reader = csv.reader(listed, strict=True)
    table: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            table.append((first_line + reader.line_num - 1, cells))
    except csv.Error as wrong:
        at = first_line + reader.line_num - 1
        raise SettlementFileError(f"unreadable row: {wrong}", line_no=at) from wrong
    names = [name.strip().translate(_HALF_WIDTH) for name in table[0][1]]
    if len(set(names)) != len(names):
        raise SettlementFileError("a column stands there twice", line_no=first_line)
    rows = table[1:]
    for line_no, cells in rows:
        if len(cells) != len(names):
            raise SettlementFileError(
                f"{len(cells)} fields where the header has {len(names)}: is there a comma in a "
                "name of goods?",
                line_no=line_no,
            )
    return {name: at for at, name in enumerate(names)}, rows
