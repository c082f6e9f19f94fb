"""How gateways' files, and the programs people open them with, write the same thing otherwise.

What is read here has one meaning or is refused: nothing is guessed about money or days.
"""

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import Final

from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan

# Headers are written in either script; these are the characters that stand in them.
SIMPLE = str.maketrans(
    "時間單號戶額幣種類費備註態應結訂總數銀聯機構業務簡稱賬帳實際優惠隊門編終對方個發繳開賣買"
    "商協議屬轉說記資動餘變證憑據滿減紅條請權標識設備支給匯入進經營員級稅條碼網點聯絡項營輸續報關區達從劃撥還線閉錢審購",
    "时间单号户额币种类费备注态应结订总数银联机构业务简称账账实际优惠队门编终对方个发缴开卖买"
    "商协议属转说记资动余变证凭据满减红条请权标识设备支给汇入进经营员级税条码网点联络项营输续报关区达从划拨还线闭钱审购",
)
_STRETCH = 1 << 20  # bytes
_INVISIBLE = re.compile("[\\s\\u200b-\\u200f\\u2060\\ufeff]+")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,12})\.[0-9]{2}(?<!-0\.00)")
_BEHIND = re.compile(r"(.+[0-9])-")
_IN_BRACKETS = re.compile(r"\((.*)\)")
_MARKS = ("CNY", "RMB", "¥", "￥")
_MINUS = str.maketrans("−－", "--")
_TIME = re.compile(
    r"([0-9]{4})([-/.年])([0-9]{1,2})(?:\2|月)([0-9]{1,2})日?"
    r"(?:[ T]*([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]{1,9})?)?)"
    r" ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
_USUAL_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_STAMP: Final = re.compile(r"([0-9]{4})()([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})()")


def as_lines(raw: bytes) -> tuple[bytes, str]:
    r"""Return a file's bytes with lines that end in \n, and the encoding its lines are in.

    Raises:
        SettlementFileError: it is text in no encoding we know.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raw, encoding = _decode(raw, "utf-16").encode(), "utf-8"
    elif raw[1:2] == b"\x00" or raw[:1] == b"\x00":
        wide = "utf-16-le" if raw[1:2] == b"\x00" else "utf-16-be"
        raw, encoding = _decode(raw, wide).encode(), "utf-8"
    else:
        raw, encoding = raw.removeprefix(codecs.BOM_UTF8), "utf-8" if _is_utf8(raw) else "gb18030"
    raw = raw.removesuffix(b"\x1a")
    return (raw if b"\n" in raw else raw.replace(b"\r", b"\n")), encoding


def _is_utf8(raw: bytes) -> bool:
    """Tell whether bytes are UTF-8, without keeping what they say."""
    reader = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(raw), _STRETCH):
            reader.decode(raw[start : start + _STRETCH])
        reader.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def decoded(raw: bytes) -> str:
    r"""Return a file's text with lines that end in \n.

    Raises:
        SettlementFileError: it is text in no encoding we know.
    """
    lines, encoding = as_lines(raw)
    return _decode(lines, encoding).replace("\r\n", "\n")


def _decode(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as wrong:
        raise SettlementFileError(
            f"it is text in no encoding we know (UTF-8, UTF-16, GBK): {wrong.reason} at byte"
            f" {wrong.start}: send the file as it was downloaded"
        ) from wrong


def plain_header(name: str) -> str:
    """Return a column's name as we know it: half width, simplified, without blanks and units."""
    name = unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)).strip("\"'`:").translate(SIMPLE)
    return re.sub(r"\((?:\+|-)?(?:元|人民币|CNY|RMB)\)$", "", name)


def table(text: str, *, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV with the line each ends in; lines with nothing on them are none.

    Commas or tabs part the cells, as the first line with either says. Cells are bare of blanks.

    Raises:
        SettlementFileError: quotation marks that do not match.
    """
    lines = text.split("\n")
    first = next((line for line in lines if "," in line or "\t" in line), "")
    delimiter = "\t" if first.count("\t") > first.count(",") else ","
    reader = csv.reader((f"{line}\n" for line in lines), strict=True, delimiter=delimiter)
    try:
        for cells in reader:
            bare = [cell.strip() for cell in cells]
            if any(bare):
                yield first_line + reader.line_num - 1, bare
    except csv.Error as wrong:
        raise SettlementFileError(
            f"unreadable row: {wrong}", line_no=first_line + reader.line_num - 1
        ) from wrong


class Header:
    """A row of columns by name; behind it a spreadsheet may have put empty cells, as many as rows.

    Args:
        named: what a column is called, of what it was called in other editions of the file.
    """

    def __init__(
        self, cells: Sequence[str], *, line_no: int, named: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        plain = trimmed([plain_header(name) for name in cells])
        self.names = [named.get(name, name) for name in plain]
        self.line_no, self._most = line_no, len(cells)
        self.at = {name: at for at, name in enumerate(self.names) if name}
        if len(self.at) != len([name for name in self.names if name]):
            twice = next(name for name in self.names if name and self.names.count(name) > 1)
            raise SettlementFileError(f"a column stands there twice: {twice}", line_no=line_no)

    def fit(self, cells: Sequence[str], line_no: int) -> Sequence[str]:
        """Return a row's cells, as many as there are columns.

        Raises:
            SettlementFileError: it has more, or fewer.
        """
        width = len(self.names)
        if len(cells) == self._most > width and not any(cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            raise SettlementFileError(
                f"{len(cells)} fields where the header has {width}: is the file whole, or is there"
                " a comma in a name?",
                line_no=line_no,
            )
        return cells


def trimmed(cells: Sequence[str]) -> list[str]:
    """Return a row without the empty cells behind it, which spreadsheets add."""
    kept = list(cells)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def yuan(text: str) -> int:
    """Read an amount in yuan as programs write it.

    Thousands in threes, brackets or a minus behind for what is below zero, a sign of yuan before.

    Raises:
        Invalid: not an amount, or finer than a fen.
    """
    if _PLAIN.fullmatch(text):  # as nearly all are
        return parse_yuan(text)
    bare = text.strip().translate(_MINUS)
    sign = ""
    if match := _IN_BRACKETS.fullmatch(bare) or _BEHIND.fullmatch(bare):
        bare, sign = match[1], "-"
    elif bare.startswith(("-", "+")):
        bare, sign = bare[1:], bare[0].replace("+", "")
    for mark in _MARKS:
        bare = bare.removeprefix(mark)
    bare = without_thousands(bare.removesuffix("元").strip(" "))
    if re.fullmatch(r"\.[0-9]+", bare):
        bare = f"0{bare}"
    if bare[:1] in ("-", "+"):
        raise Invalid(f"the amount {text[:32]!r} has two signs", code="money.malformed")
    fen = parse_yuan(bare)
    return -fen if sign else fen


def without_thousands(text: str) -> str:
    """Return a number without its separators, where they part thousands; else as it is."""
    if "," in text and _THOUSANDS.fullmatch(text.lstrip("-")):
        return text.replace(",", "")
    return text


def moment(text: str, zone: tzinfo | None) -> datetime:
    """Read a moment in UTC; where it does not say its zone, it is ``zone``'s.

    Raises:
        ValueError: it is none, or of no zone.
    """
    if zone is not None and _USUAL_TIME.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    match = _TIME.fullmatch(text.strip()) or _STAMP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:32]!r} is not a time such as 2026-11-20 12:00:03")
    year, _, month, day, hour, minute, second, said = match.groups()
    where = _zone(said) if said else zone
    if where is None:
        raise ValueError(f"{text[:32]!r} does not say its zone: write 2026-11-20T12:00:03+08:00")
    local = datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=where
    )
    return local.astimezone(UTC)


def is_day(text: str, day: date) -> bool:
    """Tell whether a text means a day: 2026-11-20, 20261120, 2026/11/20, 2026年11月20日."""
    match = re.fullmatch(
        r"([0-9]{4})(?:[-/.年])?([0-9]{1,2})(?:[-/.月])?([0-9]{1,2})日?", text.strip()
    )
    found = [int(part) for part in match.groups()] if match else []
    return found == [day.year, day.month, day.day]


def _zone(said: str) -> tzinfo:
    if said.upper() in ("Z", "UTC"):
        return UTC
    hours, minutes = int(said[1:3]), int(said[-2:])
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if said[0] == "-" else ahead)
