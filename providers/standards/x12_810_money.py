"""The money, the quantities and the dates of an 810.

TDS and SAC write amounts in hundredths without a point (N2), IT1 and TXI with one (R). The total is
the company's own; lines are shown in the way that comes to it, for a summary often says again what
the lines have said.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from core.errors import Invalid
from providers.base import LineItem
from providers.formats.cells import date_reader, shown
from providers.formats.rows import RowFault
from providers.standards.drafts import flat, line_item, read_decimal
from providers.standards.x12 import Segment

_HUNDREDTHS: Final = re.compile(r"[+-]?[0-9]{1,15}")
_SHORT_YEAR: Final = 70  # two digits from here on are of the last century
_NAMES: Final = {
    "C310": "discount", "D240": "freight", "G830": "shipping and handling", "H090": "handling",
    "H850": "tax", "F050": "credit", "D360": "goods and services tax",
}  # fmt: skip
_UNITS: Final = {
    "KH": ("kWh", Decimal(1)), "KWH": ("kWh", Decimal(1)), "T9": ("kWh", Decimal(1000)),
    "TD": ("therm", Decimal(1)), "HH": ("ft³", Decimal(100)), "CF": ("ft³", Decimal(1)),
    "FC": ("ft³", Decimal(1000)), "TZ": ("ft³", Decimal(1000)), "CR": ("m³", Decimal(1)),
    "MTQ": ("m³", Decimal(1)), "CO": ("m³", Decimal(1)), "GA": ("gal", Decimal(1)),
    "TG": ("gal", Decimal(1000)), "DTH": ("therm", Decimal(10)), "BY": ("BTU", Decimal(1)),
}  # fmt: skip
_WORDS: Final = {"K1": "kW", "K3": "kvarh", "K2": "kvar", "DA": "day", "MO": "month"}
_CONSUMED, _TOTAL = ("PRQ", "PP"), "51"
_NO_LINE: Final = ("O", "I")  # TXI07: for information, or in the price already

_yyyymmdd = date_reader("yyyymmdd")
_Lines = list[tuple[str, Decimal, Decimal | None, str]]


def read_day(words: str) -> date | None:
    """Read CCYYMMDD, or YYMMDD as the older versions write it; blank is None.

    Raises:
        Invalid: it is no date.
    """
    if not words:
        return None
    if len(words) == 6 and words.isascii() and words.isdigit():
        words = ("19" if int(words[:2]) >= _SHORT_YEAR else "20") + words
    return _yyyymmdd(words)


def read_hundredths(words: str) -> Decimal:
    """Read an amount in hundredths (N2), as units of the currency.

    Raises:
        Invalid: anything else; a decimal point among it, which would make it a hundredth.
    """
    if _HUNDREDTHS.fullmatch(words) is None:
        if "." in words:
            raise Invalid(
                f"{shown(words)} has a decimal point, but the amount is in hundredths: write 12345"
                " for 123.45"
            )
        raise Invalid(f"{shown(words)} is not an amount in hundredths: write 12345 for 123.45")
    return Decimal(int(words)).scaleb(-2)


def read_amount(segments: Sequence[Segment]) -> Decimal:
    """Return the total the invoice asks for.

    Raises:
        RowFault: there is none, there are two, or it cannot be read.
    """
    totals = [segment for segment in segments if segment.name == "TDS"]
    if not totals:
        raise RowFault("TDS01", "the invoice states no total: add a TDS with its amount")
    if len(totals) > 1:
        raise RowFault("TDS01", f"the invoice states {len(totals)} totals: one TDS, one total")
    return _hundredths("TDS01", totals[0].get(1))


def _hundredths(column: str, words: str) -> Decimal:
    try:
        return read_hundredths(words)
    except Invalid as wrong:
        raise RowFault(column, wrong.message) from None


def _decimal(column: str, words: str) -> Decimal:
    try:
        return read_decimal(words)
    except Invalid as wrong:
        raise RowFault(column, wrong.message) from None


def items_of(segments: Sequence[Segment], amount: Decimal, *, chinese: bool) -> list[LineItem]:
    """Return the lines, in the first way to read them that comes to the total.

    Raises:
        RowFault: an amount of theirs cannot be read.
        Invalid: one is beyond any bill's.
    """
    sign = -1 if amount < 0 else 1
    usual: _Lines | None = None
    for way in _ways(segments):
        usual = way if usual is None else usual
        for flip in dict.fromkeys((1, sign)):
            if _sum(way) * flip == amount:
                return _lines(way, flip, chinese=chinese)
    return _lines(usual or [], sign, chinese=chinese)


def _ways(segments: Sequence[Segment]) -> Iterator[_Lines]:
    """Yield the ways to read an invoice's lines, the usual ones first.

    A tax may stand as a SAC and as a TXI, a charge with its line and again in the summary, and an
    allowance may be one that is taken off only when it is paid.
    """
    priced = _priced(segments)
    charges = _charges(segments, in_summary=False), _charges(segments, in_summary=True)
    taxes = _taxes(segments, in_summary=False), _taxes(segments, in_summary=True)
    neither: _Lines = []
    for allowed in (True, False):
        within, after = ([line for line in each if allowed or line[1] > 0] for each in charges)
        for of_goods in (priced, neither):
            for charged in (within, after, within + after, neither):
                for taxed in (sum(taxes, neither), *taxes, neither):
                    if of_goods or charged or taxed:
                        yield of_goods + charged + taxed


def _sum(lines: _Lines) -> Decimal:
    return sum((amount for _, amount, _, _ in lines), Decimal(0))


def _lines(lines: _Lines, sign: int, *, chinese: bool) -> list[LineItem]:
    nameless = "费用" if chinese else "Charge"
    return [
        line_item(name or nameless, amount * sign, _kept(quantity), unit if quantity else "")
        for name, amount, quantity, unit in lines
        if amount
    ]


def _kept(quantity: Decimal | None) -> Decimal | None:
    """Return a quantity as fine as it is kept; one that is no use of anything is left out."""
    if quantity is None or not 0 < quantity < 10**8:
        return None
    return quantity.quantize(Decimal("0.001"), ROUND_HALF_UP).normalize() + Decimal(0)


def _priced(segments: Sequence[Segment]) -> _Lines:
    """Return the IT1 lines that have a price, named by the PID that follows."""
    lines: _Lines = []
    names: list[str] = []
    open_line = False
    for segment in segments:
        if segment.name == "IT1":
            open_line = bool(segment.get(4))
            if open_line:
                quantity = _decimal("IT102", segment.get(2) or "1")
                amount = quantity * _decimal("IT104", segment.get(4))
                unit = _unit(segment.get(3))
                lines.append(("", amount, quantity if unit else None, unit))
                names.append(flat(segment.get(7)) if segment.get(6) else "")
        elif segment.name == "PID" and open_line:
            names[-1], open_line = flat(segment.get(5)) or names[-1], False
    return [(name, *line[1:]) for name, line in zip(names, lines, strict=True)]


def _charges(segments: Sequence[Segment], *, in_summary: bool) -> _Lines:
    """Return what SAC segments charge and allow, before the total or after it."""
    lines: _Lines = []
    for segment in _part(segments, "SAC", in_summary=in_summary):
        if segment.get(1) not in ("C", "A") or not segment.get(5):
            continue
        amount = _hundredths("SAC05", segment.get(5))
        if segment.get(1) == "A":
            amount = -abs(amount)
        unit = _unit(segment.get(9))
        quantity = _decimal("SAC10", segment.get(10)) if unit and segment.get(10) else None
        lines.append((_name_of(segment), amount, quantity, unit))
    return lines


def _taxes(segments: Sequence[Segment], *, in_summary: bool) -> _Lines:
    return [
        (f"Tax {flat(segment.get(1))}".strip(), _decimal("TXI02", segment.get(2)), None, "")
        for segment in _part(segments, "TXI", in_summary=in_summary)
        if segment.get(2) and segment.get(7) not in _NO_LINE
    ]


def _part(segments: Sequence[Segment], name: str, *, in_summary: bool) -> list[Segment]:
    at = next((at for at, segment in enumerate(segments) if segment.name == "TDS"), len(segments))
    part = segments[at:] if in_summary else segments[:at]
    return [segment for segment in part if segment.name == name]


def _name_of(segment: Segment) -> str:
    code = segment.get(2)
    return flat(segment.get(15)) or _NAMES.get(code) or flat(segment.get(4)) or code


def _unit(code: str) -> str:
    code = code.split(":")[0].split(">")[0]
    return _UNITS[code][0] if code in _UNITS else _WORDS.get(code, "")


def usage_of(segments: Sequence[Segment]) -> tuple[Decimal | None, str]:
    """Return what was used: measured, or else the most that a line charges for.

    Raises:
        RowFault: a figure of it cannot be read.
    """
    measured = [
        segment
        for segment in segments
        if segment.name == "MEA" and segment.get(2) in _CONSUMED and segment.get(3)
    ]
    whole = [segment for segment in measured if segment.get(7) == _TOTAL]
    found = [("MEA03", s.get(3), s.get(4)) for s in whole or measured]
    adds = bool(_used(found))
    if not adds:
        found = [("QTY02", s.get(2), s.get(3)) for s in segments if s.name == "QTY"]
    if not _used(found):
        found = [("SAC10", s.get(10), s.get(9)) for s in segments if s.name == "SAC"]
        found += [("IT102", s.get(2), s.get(3)) for s in segments if s.name == "IT1"]
    used = _used(found)
    if not used:
        return None, ""
    unit = used[0][1]
    figures = [quantity for quantity, each in used if each == unit]
    return (sum(figures, Decimal(0)) if adds else max(figures)), unit


def _used(found: Sequence[tuple[str, str, str]]) -> list[tuple[Decimal, str]]:
    used = []
    for column, words, code in found:
        name, factor = _UNITS.get(re.split("[:>^]", code)[0], ("", Decimal(1)))
        if name and words:
            used.append((_decimal(column, words) * factor, name))
    return used
