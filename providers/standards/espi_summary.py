"""One ``UsageSummary`` of a Green Button feed: its money, its usage and its period.

Money is in hundred-thousandths of a currency unit, but not everywhere: some feeds scale every line
by its own ``measurement/powerOfTenMultiplier`` and the total by a thousand, some leave the total 0
and say it by the lines alone. Lines that are balances and payments are charges nowhere.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from core.errors import Invalid
from providers.base import LineItem
from providers.formats.cells import shown
from providers.formats.rows import RowFault
from providers.standards.drafts import flat, line_item
from providers.standards.espi_time import EARLIEST, LATEST, read_seconds
from providers.standards.xml_guard import Element, every, first, text

_SCALE: Final = -5
_OTHER_SCALE: Final = -3  # of a total beside lines that have scales of their own
_CENT: Final = Decimal("0.01")
_MONEY, _PAYMENT, _INFORMATION = "80", "9", "10"
_CONSUMED: Final = ("1", "3")  # item kinds that are priced by what the meter said
_INT48: Final = re.compile(r"[+-]?[0-9]{1,15}")
_ESTIMATED: Final = frozenset({"7", "8", "9", "11", "12", "13"})
_BALANCE: Final = re.compile(
    r"(?:balance|amount|bal) (?:carried )?(?:forward|brought forward|fwd)"
    r"|(?:previous|prior|opening|past due|last|outstanding|account|current) (?:bill |account )?"
    r"(?:balance|amount|bill)(?: due)?|balance(?: due| from .*)?"
    r"|payments?(?: received.*| since .*| thank you| made.*)?|less payments?.*"
    r"|(?:total )?amount (?:due|owing|payable)|total(?: bill| due| charges| amount| payable)?"
    r"|(?:total )?(?:new|current) charges(?: this period)?|sub ?total|please pay|amount enclosed"
)
_UNITS: Final = {
    "72": ("kWh", Decimal("0.001")), "42": ("m³", Decimal(1)), "166": ("m³", Decimal(1)),
    "167": ("m³", Decimal(1)), "134": ("m³", Decimal("0.001")), "119": ("ft³", Decimal(1)),
    "120": ("ft³", Decimal(1)), "121": ("ft³", Decimal(1)), "169": ("therm", Decimal(1)),
    "128": ("gal", Decimal(1)), "130": ("gal (UK)", Decimal(1)), "132": ("BTU", Decimal(1)),
    "31": ("J", Decimal(1)),
}  # fmt: skip
_SHORTEST: Final = 20 * 3_600  # a day without an hour or three
_LONGEST: Final = 3 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Line:
    """A ``costAdditionalDetailLastPeriod`` with an amount."""

    name: str
    amount: Decimal
    kind: str
    scaled: bool  # by its own multiplier

    @property
    def is_charge(self) -> bool:
        words = " ".join(re.findall(r"[a-z0-9]+", self.name.lower()))
        return self.kind != _PAYMENT and _BALANCE.fullmatch(words) is None


def read_lines(summary: Element) -> list[Line]:
    """Read the lines of a summary that have an amount.

    Raises:
        RowFault: one cannot be read.
    """
    lines = []
    for detail in every(summary, "costAdditionalDetailLastPeriod"):
        raw = _money(detail, "amount")
        if not raw:
            continue
        name = flat(text(detail, "note")) or f"itemKind {text(detail, 'itemKind') or 'unknown'}"
        measured = first(detail, "measurement")
        scaled = (
            measured is not None
            and text(measured, "uom") == _MONEY
            and first(measured, "powerOfTenMultiplier") is not None
            and not text(measured, "value").strip("0")
        )
        scale = _multiplier(measured) if scaled and measured is not None else _SCALE
        lines.append(Line(name, Decimal(raw).scaleb(scale), text(detail, "itemKind"), scaled))
    return lines


def _money(element: Element, name: str) -> int | None:
    words = text(element, name)
    if not words:
        return None
    if _INT48.fullmatch(words) is None:
        raise RowFault(name, f"{shown(words)} is not a whole number: write an Int48 of 1/100000")
    return int(words)


def _multiplier(measured: Element) -> int:
    words = text(measured, "powerOfTenMultiplier") or "0"
    if re.fullmatch(r"-?[0-9]{1,2}", words) is None or abs(int(words)) > 12:
        raise RowFault(
            "powerOfTenMultiplier", f"{shown(words)} is no power of ten: write -12 to 12"
        )
    return int(words)


def read_amount(summary: Element, lines: list[Line]) -> Decimal:
    """Return what the bill asks for, in units of the currency.

    Raises:
        RowFault: it says no amount, or two that differ.
    """
    raw = _money(summary, "billLastPeriod")
    charges = [line for line in _charges(lines) if line.amount]
    itemised = sum((line.amount for line in charges), Decimal(0))
    if any(line.scaled for line in lines):
        return _scaled_amount(raw, lines, itemised)
    if raw:
        return _to_cents(Decimal(raw).scaleb(_SCALE))
    if charges:
        return _to_cents(itemised)
    if raw is None or _money(summary, "costAdditionalLastPeriod"):
        raise RowFault(
            "billLastPeriod",
            "the summary states no amount of the bill: write billLastPeriod, in 1/100000 of the"
            " currency, or the lines it is made of",
        )
    return Decimal(0)


def _scaled_amount(raw: int | None, lines: list[Line], itemised: Decimal) -> Decimal:
    """Tell the scale of a total by its lines, which say their own."""
    stated = {line.amount for line in lines if not line.is_charge} | {itemised}
    for scale in (_OTHER_SCALE, _SCALE):
        total = Decimal(raw or 0).scaleb(scale)
        if raw and any(abs(total - other) <= _CENT for other in stated):
            return _to_cents(total)
    if not raw and itemised:
        return _to_cents(itemised)
    raise RowFault(
        "billLastPeriod",
        f"{raw} is neither in 1/1000 nor in 1/100000 what the lines add up to"
        f" ({itemised.normalize():f}): correct the one or the others",
    )


def _charges(lines: list[Line]) -> list[Line]:
    """Leave out balances, payments and, where other lines are charges, mere information."""
    charges = [line for line in lines if line.is_charge]
    told = [line for line in charges if line.kind != _INFORMATION]
    return told or charges


def _to_cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_UP)


def items_of(
    summary: Element, lines: list[Line], amount: Decimal, usage: tuple[Decimal | None, str],
    *, chinese: bool,
) -> list[LineItem]:  # fmt: skip
    """Return a bill's lines; what was estimated says so in its name.

    Raises:
        Invalid: an amount is beyond any bill's.
    """
    mark = ("（估计）" if chinese else " (estimated)") if is_estimated(summary) else ""
    charges = _charges(lines)
    if not charges:
        name = "本期用量" if chinese else "Consumption"
        quantity, unit = usage
        return [line_item(name + mark, amount, quantity, unit)] if amount else []
    metered = [line for line in charges if line.kind in _CONSUMED] or charges
    return [line_item(line.name + (mark if line in metered else ""), line.amount)
            for line in charges]  # fmt: skip


def is_estimated(summary: Element) -> bool:
    return text(summary, "qualityOfReading") in _ESTIMATED


def read_usage(summary: Element) -> tuple[Decimal | None, str]:
    """Return what was used and its unit; (None, "") where it is not said in one we know.

    Raises:
        RowFault: it cannot be read.
    """
    measured = first(summary, "overallConsumptionLastPeriod")
    words = text(measured, "value")
    unit = _UNITS.get(text(measured, "uom"))
    if measured is None or not words or unit is None:
        return None, ""
    if _INT48.fullmatch(words) is None:
        raise RowFault("overallConsumptionLastPeriod", f"{shown(words)} is not a whole number")
    name, factor = unit
    usage = Decimal(int(words)).scaleb(_multiplier(measured)) * factor
    if not 0 <= usage < 10**8:
        return None, ""
    return usage.quantize(Decimal("0.001"), ROUND_HALF_UP).normalize() + Decimal(0), name


def read_period(summary: Element) -> tuple[int, int]:
    """Return the first moment of the billing period and the first after it.

    Raises:
        RowFault: it has none, or one that no bill can have.
    """
    try:
        start = read_seconds(text(summary, "billingPeriod/start"))
        duration = read_seconds(text(summary, "billingPeriod/duration"))
    except Invalid as wrong:
        raise RowFault("billingPeriod", wrong.message) from None
    if not EARLIEST <= start <= LATEST:
        raise RowFault(
            "billingPeriod",
            f"the period begins at {start}, which is no moment a bill can begin at: write seconds"
            " since 1970, and send no summary that is a placeholder",
        )
    if not _SHORTEST <= duration <= _LONGEST:
        raise RowFault(
            "billingPeriod", f"the period lasts {duration} seconds: a bill's is 1 day to 3 years"
        )
    return start, start + duration
