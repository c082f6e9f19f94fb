"""What the cells of one column have in common: layouts of dates, how numbers are written."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, cached_property
from typing import Final

from core.errors import Invalid
from providers.formats.dates import MONTHLY, DateFormat, date_reader
from providers.formats.mainframe import unpunched
from providers.formats.numerals import WIDE

_DAYS: Final[tuple[DateFormat, ...]] = (
    "yyyymmdd", "yyyy-mm-dd", "yyyy/mm/dd", "yyyy.mm.dd", "yyyy年mm月dd日", "dd/mm/yyyy",
    "mm/dd/yyyy", "dd.mm.yyyy", "dd-mm-yyyy", "mm-dd-yyyy", "ddmmyyyy", "mmddyyyy", "datetime",
    "yyyy-m-d", "dd-mon-yyyy", "mon-dd-yyyy",
    "dd/mm/yy", "民國yyy/mm/dd",
    "mm/dd/yy", "dd.mm.yy", "yyyyddd", "yymmdd", "epoch_milliseconds", "epoch_seconds", "excel",
)  # fmt: skip
_MONTHS: Final[tuple[DateFormat, ...]] = (
    "yyyymm",
    "yyyy-mm",
    "yyyy-m",
    "民國yyy/mm",
    "yyyy/mm",
    "yyyy.mm",
    "mm/yyyy",
    "mon-yyyy",
    "yyyy年mm月",
    "yymm",
)
# Layouts of bare digits that much else looks like: taken only where a name speaks for a date.
WEAK: Final = frozenset(
    ("yyyyddd", "ddmmyyyy", "mmddyyyy", "yymmdd", "yymm", "epoch_milliseconds", "epoch_seconds",
     "excel", "民國yyy/mm/dd", "民國yyy/mm")
)  # fmt: skip
_EARLIEST, _LATEST = 2005, 2040
_CELL_LIMIT: Final = 64
FOREIGN: Final = ("€", "HK$", "NT$", "US$", "$", "£", "₹", "Rs.", "円", "EUR", "USD", "HKD", "TWD")
_MARKS: Final = (*FOREIGN, "CN¥", "¥", "￥", "元", "圆", "CNY", "RMB", "Rmb", "分")
_NUMBER = re.compile(r"[0-9][0-9.,'\u2019 \u00a0\u2007\u2009\u202f]*[0-9]|\.?[0-9]+")
_PUNCHED = re.compile(r"[0-9]{2,}[0-9{}A-R]")
_CJK = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_SETTLED: Final = 200  # cells are enough to tell
_CODE: Final = 5
_NOISY: Final = 8  # decimals, which nobody writes by hand
_ALIKE: Final = str.maketrans("\u00a0\u2007\u2009\u202f\u2019", "    '")


def nearly_all(held: Sequence[bool]) -> bool:
    """Tell whether something holds but for the odd row: samples have wrong rows in them, too."""
    return bool(held) and held.count(False) <= len(held) // 20 + (len(held) >= 4)


@cache
def _reader(layout: DateFormat) -> object:
    return date_reader(layout)


def read_day(text: str, layout: DateFormat) -> date | None:
    """Read a date by a layout; None where it is none, or in another age."""
    if len(text) > _CELL_LIMIT:
        return None
    try:
        day: date = _reader(layout)(text)  # type: ignore[operator]
    except Invalid:
        return None
    return day if _EARLIEST <= day.year <= _LATEST else None


@dataclass(frozen=True, slots=True)
class Style:
    """How the numbers of a column are written.

    ``ambiguous`` where 1,234 may be a thousand or one and a bit.
    """

    decimal: str = "."
    thousands: str = ""
    signs: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()
    decimals: int = 0
    leading_zeros: bool = False
    ambiguous: bool = False
    long_fraction: bool = False  # more decimals are written than an amount has
    wide: bool = False  # full-width figures, or dashes that mean minus
    bare_point: bool = False  # .50
    binary_noise: bool = False  # 86.50000000000001
    punched: bool = False  # 0000865} is -8650


class Facts:
    """The cells of one column that are not blank."""

    def __init__(self, cells: Sequence[str]) -> None:
        self.all = len(cells)
        self.aligned = list(cells[:_SETTLED])  # row by row, blank ones among them
        self.cells = [cell for cell in cells if cell][:_SETTLED]
        self.filled = sum(bool(cell) for cell in cells)
        self.distinct = set(self.cells)

    @cached_property
    def lengths(self) -> set[int]:
        counts = Counter(len(cell) for cell in self.cells)
        odd = len(self.cells) // 20 + (len(self.cells) >= 4)
        usual, rest = counts.most_common(1)[0][0] if counts else 0, dict(counts)
        rest.pop(usual, None)
        return {usual} if counts and sum(rest.values()) <= odd else set(counts)

    @cached_property
    def are_digits(self) -> bool:
        return nearly_all([cell.isascii() and cell.isdigit() for cell in self.cells])

    @cached_property
    def layouts(self) -> list[DateFormat]:
        """The layouts by which every cell is a day or a month, the likeliest first."""
        known = {
            layout: [read_day(cell, layout) is not None for cell in self.cells]
            for layout in (*_DAYS, *_MONTHS)
        }
        whole = [layout for layout, held in known.items() if held and all(held)]
        return whole or [layout for layout, held in known.items() if nearly_all(held)]

    @cached_property
    def style(self) -> Style | None:
        """How the numbers are written; None where not all cells are numbers."""
        if not self.cells or any(len(cell) > _CELL_LIMIT for cell in self.cells):
            return None
        if self.are_punched:
            return Style(punched=True)
        said = [cell for cell in self.cells if cell not in ("/", "-", "--")]
        figures = [cell for cell in said if _bare_number(cell, set(), set()) is not None]
        if not nearly_all([True] * len(figures) + [False] * (len(said) - len(figures))):
            return None
        return _style(figures)

    @cached_property
    def are_punched(self) -> bool:
        """Whether all are figures whose last one bears the sign: braces, or many letters."""
        if not self.cells or len(self.lengths) > 1:
            return False
        lasts = {cell[-1] for cell in self.cells if _PUNCHED.fullmatch(cell)}
        odd = lasts - set("0123456789")
        long = len(odd) > 3 and min(self.lengths) > _CODE  # much else is figures and a letter
        return (bool(odd & set("{}")) or long) and nearly_all(
            [_PUNCHED.fullmatch(cell) is not None for cell in self.cells]
        )

    @cached_property
    def has_chinese(self) -> bool:
        return nearly_all([_CJK.search(cell) is not None for cell in self.cells])

    @cached_property
    def width(self) -> int:
        """The mean length of a cell."""
        return sum(map(len, self.cells)) // len(self.cells) if self.cells else 0

    def days(self, layout: DateFormat) -> list[date | None]:
        return [read_day(cell, layout) if cell else None for cell in self.aligned]


def is_month(layout: DateFormat) -> bool:
    return layout in MONTHLY


def _style(cells: Sequence[str]) -> Style | None:
    signs: set[str] = set()
    marks: set[str] = set()
    bodies = []
    for cell in cells:
        body = _bare_number(cell, signs, marks)
        if body is None:
            return None
        bodies.append(body)
    if not bodies:
        return None
    decimal, thousands, ambiguous = _separators(bodies)
    fractions = [body.partition(decimal)[2] for body in bodies]
    if any(thousands and thousands in fraction for fraction in fractions):
        return None
    if any(body.count(decimal) > 1 for body in bodies):
        return None
    decimals = max((len(fraction.rstrip("0")) for fraction in fractions), default=0)
    zeros = any(len(body) > 1 and body[0] == "0" and body[1].isdigit() for body in bodies)
    written = any(fractions)
    return Style(
        decimal, thousands, frozenset(signs), frozenset(marks),
        max(decimals, int(written)), zeros, ambiguous,
        any(len(fraction) > 2 for fraction in fractions),
        any(cell.translate(WIDE) != cell for cell in cells),
        any(body.startswith(decimal) for body in bodies),
        any(len(fraction.rstrip("0")) > _NOISY for fraction in fractions),
    )  # fmt: skip


def _bare_number(cell: str, signs: set[str], marks: set[str]) -> str | None:
    """Take signs and currency marks off a number; None where something else is left."""
    text = cell.strip().translate(WIDE).translate(_ALIKE)
    for mark in _MARKS:
        if text.startswith(mark) or text.endswith(mark):
            marks.add(mark)
            text = text.removeprefix(mark).removesuffix(mark).strip()
    if text.startswith(("-", "\u2212")):
        signs.add("leading")
        text = text[1:].strip()
    elif text.startswith("+"):
        signs.add("plus")
        text = text[1:].strip()
    elif text.endswith(("-", "\u2212")):
        signs.add("trailing")
        text = text[:-1].strip()
    elif text.startswith("(") and text.endswith(")"):
        signs.add("parentheses")
        text = text[1:-1].strip()
    elif text[-2:].upper() in ("CR", "DR"):
        signs.add(text[-2:].upper())
        text = text[:-2].strip()
    for mark in _MARKS:  # between the sign and the figures: -¥12.00, (12.00 CNY)
        if text.startswith(mark) or text.endswith(mark):
            marks.add(mark)
            text = text.removeprefix(mark).removesuffix(mark).strip()
    return text if _NUMBER.fullmatch(text) else None


def is_number(cell: str) -> bool:
    """Tell whether a cell is figures, with or without signs and marks around them."""
    return len(cell) <= _CELL_LIMIT and _bare_number(cell, set(), set()) is not None


def _separators(bodies: Sequence[str]) -> tuple[str, str, bool]:
    """Return the decimal mark, the mark between thousands, and whether nobody could tell."""
    points = {mark for body in bodies for mark in body if not mark.isdigit()}
    others = sorted(points - {".", ","})
    if others:
        decimal = "," if "," in points else "."
        return decimal, others[0], False
    if points == {".", ","}:
        last = next((body for body in bodies if "." in body and "," in body), None)
        if last is not None:
            return (".", ",", False) if last.rindex(".") > last.rindex(",") else (",", ".", False)
        return _by_groups(bodies)
    if points == {","}:
        grouped = all(_is_grouped(body, ",") for body in bodies if "," in body)
        several = any(body.count(",") > 1 for body in bodies)
        return (".", ",", not several) if grouped else (",", "", False)
    if points == {"."} and any(body.count(".") > 1 for body in bodies):
        return ",", ".", False
    return ".", "", False


def _by_groups(bodies: Sequence[str]) -> tuple[str, str, bool]:
    """Tell 1.234 beside 12,50 from 1,234 beside 12.50: what never stands before three figures."""
    points = all(_is_grouped(body, ".") for body in bodies if "." in body)
    commas = all(_is_grouped(body, ",") for body in bodies if "," in body)
    if points and not commas:
        return ",", ".", False
    return ".", ",", points and commas


def _is_grouped(body: str, mark: str) -> bool:
    first, *groups = body.split(mark)
    if not 1 <= len(first) <= 3 or first[0] == "0":
        return False
    *others, last = groups
    indian = bool(others) and len(first) < 3 and all(len(group) == 2 for group in others)
    return len(last) == 3 and (indian or all(len(group) == 3 for group in others))


def figure(cell: str, style: Style) -> Decimal | None:
    """Read a cell as a number written in a style."""
    if style.punched:
        return Decimal(unpunched(cell)) if _PUNCHED.fullmatch(cell) else None
    signs: set[str] = set()
    body = _bare_number(cell, signs, set()) if len(cell) <= _CELL_LIMIT else None
    if body is None:
        return None
    if style.thousands:
        body = body.replace(style.thousands, "")
    body = body.replace(style.decimal, ".")
    if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+", body):
        return None
    value = Decimal(body)
    return -value if signs & {"leading", "trailing", "parentheses", "CR"} else value
