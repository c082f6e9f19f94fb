"""An invoice in the terms of EN 16931, which UBL and CII write each in its own way; and its draft.

Here is what the two have in common: what a type code means, which sign an amount has, what of the
totals is shown as a line, and how much was used. docs/standards.md says why it is so.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from core.errors import Invalid
from providers.base import LineItem, RecordKind
from providers.profiles import Profile
from providers.standards.drafts import Draft, line_item

# UNTDID 1001, as far as it is not simply an invoice.
CREDIT_NOTES: Final = frozenset({"81", "83", "262", "296", "308", "381", "396", "420", "458",
                                     "503", "532"})  # fmt: skip
CORRECTIONS: Final = frozenset({"384", "472"})
# Written by who pays for who is paid: by the company for a customer it owes, as for solar power.
SELF_BILLED: Final = frozenset({"389", "500", "501"})
_BACKWARDS: Final = frozenset({"261", "471", "473", "502", "527"})  # corrections of such
NO_DEMAND: Final = {"310": "an offer", "325": "a pro-forma invoice"}
# National lists, told apart by nothing in the document: one country's invoice is another's credit.
_AMBIGUOUS: Final = frozenset({"02", "04", "11", "12", "13", "IADE", "TEVKIFATIADE"})

# BT-9 may be absent. 30 days is what European law gives where nothing was agreed.
_DUE_DAYS: Final = 30

# UN/ECE Recommendation 20: a word of ours, and how many of it one is.
_ONE: Final = Decimal(1)
_UNITS: Final[dict[str, tuple[str, Decimal]]] = {
    "KWH": ("kWh", _ONE), "MWH": ("kWh", Decimal(1000)), "WHR": ("kWh", Decimal("0.001")),
    "MTQ": ("m³", _ONE), "LTR": ("m³", Decimal("0.001")), "DMQ": ("m³", Decimal("0.001")),
}  # fmt: skip
_WORDS: Final = {
    "KWH": "kWh", "MWH": "MWh", "WHR": "Wh", "KWT": "kW", "KVR": "kvar", "KVA": "kVA",
    "K3": "kvarh", "KVH": "kvarh", "GV": "GJ", "3B": "MJ", "MTQ": "m³", "LTR": "L", "DMQ": "dm³",
    "HUR": "h",
    "MIN": "min", "SEC": "s", "DAY": "day", "WEE": "week", "MON": "month", "QAN": "quarter",
    "ANN": "year", "E34": "GB", "4L": "MB", "AD": "byte", "P1": "%", "KGM": "kg", "MTR": "m",
    "C62": "", "EA": "", "H87": "", "PCE": "", "NAR": "", "NPR": "", "LS": "", "ZZ": "", "XPP": "",
    "1": "", "P": "",
}  # fmt: skip
METERED: Final[dict[str, tuple[str, ...]]] = {
    "power": ("kWh",), "water": ("m³",), "gas": ("m³", "kWh"), "telecom": (),
}  # fmt: skip


class Reference(NamedTuple):
    """A preceding invoice (BG-3)."""

    number: str  # BT-25
    issued_on: date | None  # BT-26
    version: int  # of it that is corrected; 1 where nothing is said


class Line(NamedTuple):
    """A line (BG-25), an allowance or a charge (BG-20, BG-21); a taking-off is negative."""

    name: str
    amount: Decimal
    quantity: Decimal | None = None
    unit_code: str = ""


@dataclass(kw_only=True, slots=True)
class Invoice:
    """One invoice or credit note, every figure as it is printed; BT numbers are EN 16931's.

    Args:
        is_credit_note: by its own form, whatever the type code says.
        accounts: as in `Draft`.
        places: as in `Draft`.
    """

    line_no: int
    root: str
    is_credit_note: bool = False
    number: str  # BT-1
    type_code: str  # BT-3
    currency: str  # BT-5
    issued_on: date | None = None  # BT-2
    due_on: date | None = None  # BT-9
    period_from_on: date | None = None  # BT-73, BT-134
    period_to_on: date | None = None  # BT-74, BT-135
    references: list[Reference] = field(default_factory=list)
    accounts: list[tuple[str, str]]
    holder_name: str = ""
    address: str = ""
    lines: list[Line] = field(default_factory=list)
    tax_name: str = ""
    tax: Decimal | None = None  # BT-110
    prepaid: Decimal | None = None  # BT-113
    rounding: Decimal | None = None  # BT-114
    payable: Decimal | None  # BT-115
    places: Mapping[str, str]


def draft_of(profile: Profile, invoice: Invoice) -> Draft:
    """Return an invoice's draft: the same in our words, with our signs.

    Raises:
        RowFault: it is no demand for money, or cannot be told to be one.
    """
    draft = Draft(
        line_no=invoice.line_no,
        raw=raw_of(invoice),
        accounts=invoice.accounts,
        bill_no=invoice.number,
        holder_name=invoice.holder_name,
        address=invoice.address,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        due_days=_DUE_DAYS,
        period_from_on=invoice.period_from_on,
        period_to_on=invoice.period_to_on,
        currency=invoice.currency,
        places=invoice.places,
    )
    sign = _sign(draft, invoice)
    negative = invoice.payable is not None and sign * invoice.payable < 0
    if negative and profile.corrections.negative == "cancel":
        draft.kind = RecordKind.CANCEL
        _name_original(draft, invoice, "a credit that takes a bill back")
    elif invoice.type_code in CORRECTIONS and not negative:
        _name_original(draft, invoice, "a corrected invoice (384)")
    if invoice.payable is not None:
        draft.amount = sign * invoice.payable
    try:
        draft.items = _items(profile, invoice, sign)
    except Invalid as wrong:
        raise draft.fault("items", wrong.message) from None
    if sign > 0:
        draft.usage, draft.usage_unit = usage_of(profile, invoice.lines)
    return draft


def each_once(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return numbers with their places, without blanks and repetitions, in order."""
    each: dict[str, str] = {}
    for number, place in found:
        if number:
            each.setdefault(number, place)
    return list(each.items())


def raw_of(invoice: Invoice) -> str:
    """Return what a reject shows of an invoice."""
    words = (invoice.root, invoice.number, invoice.type_code, str(invoice.issued_on or ""),
             str(invoice.payable or ""), invoice.currency)  # fmt: skip
    return " ".join(word for word in words if word)


def _sign(draft: Draft, invoice: Invoice) -> int:
    """Return 1 for a demand and -1 for a credit note, whose amounts are what is given back."""
    code = invoice.type_code
    if code in _BACKWARDS:
        raise draft.fault(
            "type_code",
            f"type {code} corrects a self-billed document: send an invoice (380) of what is owed or"
            " a credit note (381) of what is given back",
        )
    if code in NO_DEMAND:
        raise draft.fault(
            "type_code", f"type {code} is {NO_DEMAND[code]}, no demand for money: leave it out"
        )
    if code in _AMBIGUOUS and not invoice.is_credit_note:
        raise draft.fault(
            "type_code",
            f"type {code} is an invoice in one country and gives money back in another: write 380"
            " for what is owed or 381 for what is given back",
        )
    if not (invoice.is_credit_note or code in CREDIT_NOTES or code in SELF_BILLED):
        return 1
    if invoice.payable is not None and invoice.payable < 0:
        raise draft.fault(
            "amount",
            f"a credit of {invoice.payable} says minus twice: give what is credited a positive"
            " amount, or send an invoice (380) of what is owed",
        )
    return -1


def _name_original(draft: Draft, invoice: Invoice, what: str) -> None:
    """Make the draft the next version of the bill it corrects, or the end of that bill.

    Under a number of its own it would be a second bill beside the wrong one, and both would be
    asked for. So it must name that one, and only that one.
    """
    named = dict.fromkeys(reference.number for reference in invoice.references)
    if len(named) != 1:
        said = f"names {len(named)} invoices" if named else "does not name the invoice it is for"
        raise draft.fault(
            "reference",
            f"{what} {said}: name the one, or send a credit note (381) of what is given back and"
            " an invoice (380) of what is owed",
        )
    original = invoice.references[0]
    draft.bill_no, draft.version = original.number, original.version + 1
    draft.corrects, draft.corrected_on = True, original.issued_on


def _items(profile: Profile, invoice: Invoice, sign: int) -> list[LineItem]:
    """Return the lines, and what of the totals stands between them and the amount."""
    chinese = profile.currency == "CNY"
    items = [
        line_item(line.name, sign * line.amount, line.quantity, unit_word(line.unit_code))
        for line in invoice.lines
    ]
    if not items:
        return []
    if invoice.tax:
        name = invoice.tax_name or ("税额" if chinese else "Tax")
        items.append(line_item(name, sign * invoice.tax))
    if invoice.prepaid:
        items.append(line_item("已付" if chinese else "Already paid", -sign * invoice.prepaid))
    if invoice.rounding:
        name = profile.rounding_item or ("尾差" if chinese else "Rounding")
        items.append(line_item(name, sign * invoice.rounding))
    return items


def unit_word(code: str) -> str:
    """Return our word for a unit of UN/ECE Recommendation 20; the code where we have none."""
    return _WORDS.get(code.upper(), code[:16])


def usage_of(profile: Profile, lines: list[Line]) -> tuple[Decimal | None, str]:
    """Return how much was used, and in what unit, as far as the lines tell.

    ``usage`` in the profile names the lines that count. Where it names none, all lines in a unit
    of the company's service do, unless they are in two units, or two state the same quantity
    (energy and the grid's fee for it are two lines about one kilowatt hour), or one is negative:
    what solar cells fed in was not used less.
    """
    wanted = METERED[profile.service]
    found: list[tuple[str, Decimal]] = []
    for line in lines:
        unit, factor = _UNITS.get(line.unit_code.upper(), ("", _ONE))
        if line.quantity is None or unit not in wanted:
            continue
        if not profile.usage or line.name in profile.usage:
            found.append((unit, line.quantity * factor))
    units = {unit for unit, _ in found}
    counts = Counter(quantity for _, quantity in found if quantity)
    unsure = max(counts.values(), default=1) > 1 or min(counts, default=0) < 0
    if len(units) != 1 or (unsure and not profile.usage):
        return None, ""
    return sum((quantity for _, quantity in found), Decimal(0)), units.pop()
