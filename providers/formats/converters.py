"""What reads the cells of a profile's columns: one converter a column."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeVar

from core.clock import month_start
from core.errors import Invalid
from providers.base import ReadingKind, RecordKind
from providers.formats import stated
from providers.formats.cells import (
    Remembered,
    as_number_complaint,
    number_reader,
    read_quantity,
    read_text,
    read_version,
    shown,
)
from providers.formats.dates import MONTHLY, DateFormat, date_reader
from providers.formats.digits import check_digit_holds
from providers.formats.mainframe import plain_reader
from providers.formats.numerals import AmountUnit, Written, amount_reader, quantity_reader
from providers.profile_tables import Numbers
from providers.profiles import Column, Profile, Role, Rule

Convert = Callable[[str], Any]
V = TypeVar("V")
DATED: Final[tuple[Role, ...]] = (
    "billing_year", "billing_month", "period_from", "period_to", "issued", "due", "early_until",
    "read_on",
)  # fmt: skip
# Roles whose cell may be empty where the profile composes the value or takes none.
_MAY_BE_NOTHING: Final[tuple[Role, ...]] = ("charge", "quantity", "item_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Converters:
    """The converters of a profile, by the name of the column."""

    by_name: dict[str, Convert]
    amounts: dict[str, Remembered[int]]  # of the columns that hold an amount or a charge
    quantities: dict[str, Remembered[Decimal]]


class _Shared:
    """The memories that columns of one kind have in common."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._written: Written | None = None if profile.numbers == Numbers() else profile.numbers
        self._amounts: dict[tuple[AmountUnit, int | None, str | None], Remembered[int]] = {}
        self._quantities: dict[tuple[int | None, str | None], Remembered[Decimal]] = {}
        self._dates: dict[tuple[DateFormat, bool], Remembered[date]] = {}

    def amount(self, column: Column) -> Remembered[int]:
        key = (self._profile.unit_of(column), column.scale, column.style)
        if key not in self._amounts:
            read = amount_reader(key[0], self._written, column.scale)
            self._amounts[key] = Remembered(_styled(read, column))
        return self._amounts[key]

    def quantity(self, column: Column) -> Remembered[Decimal]:
        key = (column.scale, column.style)
        if key not in self._quantities:
            read = quantity_reader(read_quantity, self._written, column.scale)
            self._quantities[key] = Remembered(_styled(read, column))
        return self._quantities[key]

    def day(self, column: Column) -> Remembered[date]:
        layout: DateFormat = self._profile.date_format(column)
        if column.holds == "billing_year" and column.format is None:
            layout = "yyyy"
        to_month = column.holds == "billing_month" and layout not in MONTHLY
        if (layout, to_month) not in self._dates:
            read = date_reader(layout)
            self._dates[layout, to_month] = Remembered(
                (lambda text: month_start(read(text))) if to_month else read
            )
        return self._dates[layout, to_month]


def _styled(read: Callable[[str], V], column: Column) -> Callable[[str], V]:
    """Return a converter of numbers that reads those of mainframes where the column says so."""
    if column.style is None:
        return read
    plain = plain_reader(column.style)
    return lambda text: read(plain(text))


def converters_of(profile: Profile, *, fills: bool) -> Converters:
    """Return what reads a profile's columns.

    Args:
        profile: the company's.
        fills: whether a cell that says nothing may be filled in; it then reads as None.
    """
    shared = _Shared(profile)
    amounts = {c.name: shared.amount(c) for c in profile.columns if c.holds in ("amount", "charge")}
    quantities = {c.name: shared.quantity(c) for c in profile.columns if c.holds == "quantity"}
    found: dict[str, Convert] = {}
    for column in profile.columns:
        if column.holds == "unused":
            if column.must_be is not None:
                found[column.name] = _constant_reader(column.must_be)
            continue
        convert = _converter(profile, shared, column)
        if fills and _may_be_nothing(profile, column):
            convert = _or_nothing(convert, frozenset(("", *profile.numbers.nulls)))
        elif profile.numbers.nulls and column.holds in ("holder_name", "address"):
            convert = _or_blank_text(convert, frozenset(profile.numbers.nulls))
        found[column.name] = convert
    return Converters(by_name=found, amounts=amounts, quantities=quantities)


def _may_be_nothing(profile: Profile, column: Column) -> bool:
    if column.holds in profile.defaults.supplies:
        return True
    return column.holds in _MAY_BE_NOTHING and (column.optional or bool(profile.numbers.nulls))


def _or_nothing(convert: Convert, nothing: frozenset[str]) -> Convert:
    return lambda text: None if text.strip() in nothing else convert(text)


def _or_blank_text(convert: Convert, nothing: frozenset[str]) -> Convert:
    return lambda text: convert("" if text in nothing else text)


def _converter(profile: Profile, shared: _Shared, column: Column) -> Convert:
    role = column.holds
    if role == "row_type":
        return _constant_reader(column.must_be or "")
    if role in ("account_no", "bill_no"):
        rule = profile.account_no if role == "account_no" else profile.bill_no
        return rule_reader("account number" if role == "account_no" else "bill number", rule)
    if role == "original_no":
        return stated.or_blank(rule_reader("original bill number", profile.bill_no), "")
    if role in ("holder_name", "address", "item_name"):
        return read_text
    if role == "version":
        return Remembered(read_version).__getitem__
    if role == "status":
        flags = {
            flag: RecordKind.BILL if kind == "credit" else RecordKind(kind)
            for flag, kind in profile.status.items()
        }
        return Remembered(_flag_reader(flags)).__getitem__
    if role == "quantity":
        return shared.quantity(column).__getitem__
    if role in ("reading_before", "reading_after"):
        return stated.or_blank(shared.quantity(column).__getitem__, None)
    if role == "reading_kind":
        kinds = {word: ReadingKind(kind) for word, kind in profile.reading_kinds.items()}
        return stated.or_blank(Remembered(_word_reader(kinds)).__getitem__, None)
    if role == "meter_no":
        return stated.or_blank(_METER_NO, "")
    if role in DATED:
        day: Convert = shared.day(column).__getitem__
        return stated.or_blank(day, None) if role in ("early_until", "read_on") else day
    amount: Convert = shared.amount(column).__getitem__
    return amount if role in ("amount", "charge") else stated.or_blank(amount, 0)


def rule_reader(what: str, rule: Rule) -> Callable[[str], str]:
    """Return the check of an identifier by the whole of its rule."""
    check = number_reader(what, rule.pattern, rule.words)
    if rule == Rule():
        return _plain_number_reader(what, check)
    if not (rule.length or rule.check != "none" or rule.pad or rule.strip):
        return check
    stripped = str.maketrans("", "", rule.strip)
    length = rule.length

    def read(text: str) -> str:
        number = text.translate(stripped)
        if rule.pad and length is not None and number:
            number = number.rjust(length, "0")
        check(number)
        if length is not None and len(number) != length:
            raise Invalid(
                f"the {what} {shown(text)} has {len(number)} characters instead of {length}:"
                f" write {rule.words}"
            )
        if not check_digit_holds(rule.check, number):
            raise Invalid(
                f"the check digit of the {what} {shown(text)} is wrong ({rule.check}):"
                " a digit was changed or two changed places; copy it again"
            )
        return number

    return read


def _plain_number_reader(what: str, check: Callable[[str], str]) -> Callable[[str], str]:
    """Return the check of a number without a rule: it may be all but a number of a spreadsheet."""

    def read(text: str) -> str:
        check(text)
        lost = as_number_complaint(what, text) if "." in text else None
        if lost is not None:
            raise Invalid(lost)
        return text

    return read


def _flag_reader(flags: dict[str, RecordKind]) -> Callable[[str], RecordKind]:
    known = ", ".join(repr(flag) for flag in flags)

    def read(text: str) -> RecordKind:
        kind = flags.get(text)
        if kind is None:
            raise Invalid(f"the status {shown(text)} is unknown: write one of {known}")
        return kind

    return read


_METER_NO: Final[Convert] = rule_reader("meter number", Rule())


def _word_reader(kinds: dict[str, ReadingKind]) -> Callable[[str], ReadingKind]:
    known = ", ".join(repr(word) for word in kinds)

    def read(text: str) -> ReadingKind:
        kind = kinds.get(text)
        if kind is None:
            raise Invalid(f"{shown(text)} is no kind of reading: write one of {known}")
        return kind

    return read


def _constant_reader(wanted: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text != wanted:
            raise Invalid(f"{shown(text)} stands where {wanted} must in every row")
        return text

    return read
