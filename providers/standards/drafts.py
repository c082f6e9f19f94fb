"""What a standard's document says, before the company's profile has judged it.

A standard fixes where things stand, not what a company writes there: which of a document's numbers
is the customer's, or when a bill is due that does not say. So its reader collects a `Draft` and
`Judge` makes the bill of it, by the profile: docs/standards.md.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from core.clock import add_months, month_start
from core.errors import Invalid
from providers.base import BillRecord, LineItem, RecordKind, Reject
from providers.formats import stated
from providers.formats.cells import date_reader, read_text, shown
from providers.formats.converters import rule_reader
from providers.formats.rows import RowFault, Window, due_complaint, period_complaint, reject
from providers.formats.text import unseen_character
from providers.profiles import Profile

_LIMIT: Final = Decimal(10) ** 13  # units of a currency, as core.money has it
_LIMIT_USAGE: Final = Decimal(10) ** 9  # what a bill's column holds
_SMALL_FEN: Final = 100  # what rounding can come to; more than that has another name
_HUNDREDTH, _THOUSANDTH = Decimal("0.01"), Decimal("0.001")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,24}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})")
_LATEST: Final = date(MAXYEAR - 2, 1, 1)  # so that a year and a month may be added


@dataclass(kw_only=True, slots=True)
class Draft:
    """One document's bill in our words, not yet judged.

    Args:
        line_no: where in the file, from 1.
        raw: what a reject shows of it: short, never the whole document.
        accounts: ``(number, place it was found in)`` of all that may be the customer's, best first:
            the first that is as ``[account_no]`` says is taken. A place whose number is "" is
            only told of where none is.
        amount: in units of the currency, exact; or give ``amount_fen``.
        places: what the standard calls what plays a role here (``due``, ``amount`` …): the column
            of a reject.
    """

    line_no: int
    raw: str
    accounts: Sequence[tuple[str, str]]
    bill_no: str = ""
    kind: RecordKind = RecordKind.BILL
    original_no: str = ""
    version: int = 1
    holder_name: str = ""
    address: str = ""
    issued_on: date | None = None
    due_on: date | None = None
    due_days: int | None = None  # where neither the document nor the profile says when it is due
    period_from_on: date | None = None
    period_to_on: date | None = None
    billing_month: date | None = None
    usage: Decimal | None = None
    usage_unit: str = ""
    currency: str = ""  # ISO 4217; "" where the standard has none
    amount: Decimal | None = None
    amount_fen: int | None = None
    items: list[LineItem] = field(default_factory=list)
    corrects: bool = False  # takes the place of the bill it names, in that bill's month
    corrected_on: date | None = None  # when that bill was issued, where it is said
    places: Mapping[str, str] = field(default_factory=dict)

    def fault(self, role: str, reason: str) -> RowFault:
        """Return a complaint about what plays ``role``, under the standard's own name for it."""
        return RowFault(self.places.get(role, role), reason)


def read_decimal(text: str) -> Decimal:
    """Read a number as XML Schema writes a decimal: no exponent, no separator of thousands.

    Raises:
        Invalid: anything else.
    """
    number = text.strip(" \t\r\n")
    if _NUMBER.fullmatch(number) is None:
        if not number:
            raise Invalid("the number is blank: write digits such as 86.50")
        raise Invalid(f"{shown(number)} is not a number: write digits such as 86.50")
    return Decimal(number)


def flat(text: str | None) -> str:
    """Return a text in one line: runs of blanks are one, invisible characters are gone."""
    line = " ".join((text or "").split())
    if line.isprintable():
        return line
    return "".join(mark for mark in line if unseen_character(mark) is None).strip()


def line_item(
    name: str, amount: Decimal, quantity: Decimal | None = None, unit: str = ""
) -> LineItem:
    """Return a printed line; what is finer than a fen is left to the bill's rounding line.

    Raises:
        Invalid: the amount is beyond any bill's.
    """
    if abs(amount) >= _LIMIT:
        raise Invalid(f"the amount {shown(str(amount))} is beyond any bill's: correct it")
    fen = int(amount.quantize(_HUNDREDTH, ROUND_HALF_UP).scaleb(2))
    return LineItem(name, quantity, unit, fen)


def exact_fen(amount: Decimal) -> int:
    """Return an amount in fen.

    Raises:
        Invalid: it is finer than a fen, or beyond any bill's.
    """
    if abs(amount) >= _LIMIT:
        raise Invalid(f"the amount {shown(str(amount))} is beyond any bill's: correct it")
    cut = amount.quantize(_HUNDREDTH)
    if cut != amount:
        raise Invalid(
            f"the amount {shown(str(amount))} is finer than a hundredth: at most two decimals"
        )
    return int(cut.scaleb(2))


def last_of_month(day: date) -> date:
    """Return the last day of the month a day lies in."""
    return date.max if day > _LATEST else add_months(day, 1) - timedelta(days=1)


def judge(profile: Profile, draft: Draft) -> BillRecord | Reject:
    """Judge one draft; a reader of many keeps a `Judge`."""
    return Judge(profile)(draft)


class Judge:
    """Makes bills of drafts as one company's profile says."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._account = rule_reader("account number", profile.account_no)
        self._bill_no = rule_reader("bill number", profile.bill_no)
        self._window = Window(
            date_reader("yyyy-mm")(profile.billing_months.earliest),
            profile.billing_months.months_after_issue,
        )

    def __call__(self, draft: Draft) -> BillRecord | Reject:
        try:
            return self._record(draft)
        except RowFault as fault:
            return reject(draft.line_no, fault.column, fault.reason, draft.raw)

    def _record(self, draft: Draft) -> BillRecord:
        self._check_currency(draft)
        amount_fen = self._amount_fen(draft)
        issued_on = self._issued_on(draft)
        due_on = self._due_on(draft, issued_on, amount_fen)
        month = self._billing_month(draft, issued_on)
        from_on, to_on = self._period(draft, month)
        account_no = self._account_no(draft)
        for role, complaint in (
            ("billing_month", self._window.complaint(month, issued_on)),
            ("period_to", period_complaint(from_on, to_on)),
            ("original_no", stated.original_complaint(draft.kind, draft.original_no)),
            ("version", None if 1 <= draft.version <= 99 else "the version is not from 1 to 99"),
        ):
            if complaint is not None:
                raise draft.fault(role, complaint)
        corrects = draft.corrects and draft.kind is RecordKind.BILL
        return BillRecord(
            line_no=draft.line_no,
            kind=RecordKind.CORRECT if corrects else draft.kind,
            account_no=account_no,
            holder_name=self._text(
                draft, "holder_name", draft.holder_name or self._profile.defaults.holder_name
            ),
            address=self._text(draft, "address", draft.address or self._profile.defaults.address),
            billing_month=month,
            bill_no=self._number(draft, account_no, month),
            version=draft.version,
            period_from_on=from_on,
            period_to_on=to_on,
            issued_on=issued_on,
            due_on=due_on,
            usage=_usage(draft),
            usage_unit=draft.usage_unit,
            amount_fen=amount_fen,
            items=self._items(draft, amount_fen),
            original_no=draft.original_no,
        )

    def _check_currency(self, draft: Draft) -> None:
        own = self._profile.currency
        if draft.currency and draft.currency != own:
            raise draft.fault(
                "currency",
                f"the bill is in {shown(draft.currency)} but the company bills in {own}: correct"
                f' it, or set currency = "{draft.currency[:3]}" in the profile',
            )

    def _amount_fen(self, draft: Draft) -> int:
        if draft.amount_fen is not None:
            return draft.amount_fen
        if draft.amount is None:
            raise draft.fault("amount", "the bill states no amount due: add it")
        try:
            return exact_fen(draft.amount)
        except Invalid as wrong:
            raise draft.fault("amount", wrong.message) from None

    def _issued_on(self, draft: Draft) -> date:
        if draft.issued_on is not None:
            return draft.issued_on
        if self._profile.defaults.issued == "period_end" and draft.period_to_on is not None:
            return draft.period_to_on
        raise draft.fault("issued", "the bill states no issue date: add it")

    def _due_on(self, draft: Draft, issued_on: date, amount_fen: int) -> date:
        """Return the last day to pay: stated, or the profile's days after issue.

        Due on the day of issue means "at once", which no resident can, and a credit has nobody to
        hurry: both have a day at least.
        """
        stated_on, days = draft.due_on, self._profile.defaults.due_days or draft.due_days
        if stated_on is not None and stated_on > issued_on:
            return stated_on
        if days is None and (stated_on == issued_on or amount_fen <= 0):
            days = 1
        if days is not None and issued_on < _LATEST:
            return issued_on + timedelta(days=days)
        complaint = "the bill states no due date: add it"
        if stated_on is not None:
            complaint = due_complaint(issued_on, stated_on) or complaint
        raise draft.fault("due", f"{complaint}, or set due_days in the profile's [defaults]")

    def _billing_month(self, draft: Draft, issued_on: date) -> date:
        """Return the month stated; or as the profile says; or that of the period's end or of issue.

        A correction lies in the month of the bill it corrects, or there would be two of them.
        """
        if draft.billing_month is not None:
            return draft.billing_month
        if draft.corrects and draft.corrected_on is not None:
            issued_on = draft.corrected_on
        rule = self._profile.defaults.billing_month
        end = None if draft.period_to_on is None else month_start(draft.period_to_on)
        if end is not None and rule in ("period_end", None):
            if rule is not None or self._window.complaint(end, issued_on) is None:
                return end
        elif rule == "period_end":
            raise draft.fault("period_to", "the bill states no period: add it")
        if draft.corrects and draft.corrected_on is None:
            raise draft.fault(
                "corrected_on",
                "the month of the bill it corrects cannot be told, and a bill in another month"
                " would be asked for twice: add the date that bill was issued on",
            )
        month = month_start(issued_on)
        return add_months(month, -1) if rule == "previous_of_issued" else month

    def _period(self, draft: Draft, month: date) -> tuple[date, date]:
        """Return the period stated, or the whole of the billing month or of the one before."""
        from_on, to_on = draft.period_from_on, draft.period_to_on
        if self._profile.defaults.period == "previous_month" and month > date.min:
            month = add_months(month, -1)
        last = last_of_month(month)
        if from_on is None:
            from_on = month if to_on is None or month <= to_on else month_start(to_on)
        if to_on is None:
            to_on = max(last, from_on)
        return from_on, to_on

    def _account_no(self, draft: Draft) -> str:
        for number in (number for number, _ in draft.accounts if number):
            try:
                return self._account(read_text(number))
            except Invalid:
                continue
        told = draft.accounts[:5]
        found = "; ".join(f"{place} {shown(number)}" if number else place for number, place in told)
        words = self._profile.account_no.words
        raise draft.fault(
            "account_no",
            f"no number in it is a customer's ({words}). There is {found or 'none'}:"
            " correct the document, or [account_no] in the profile",
        )

    def _number(self, draft: Draft, account_no: str, month: date) -> str:
        if not draft.bill_no and self._profile.defaults.bill_no is not None:
            return f"{account_no}-{month:%Y%m}"
        return self._checked(
            draft, "bill_no", self._bill_no, self._text(draft, "bill_no", draft.bill_no)
        )

    def _checked(self, draft: Draft, role: str, check: Callable[[str], str], text: str) -> str:
        try:
            return check(text)
        except Invalid as wrong:
            raise draft.fault(role, wrong.message) from None

    def _text(self, draft: Draft, role: str, text: str) -> str:
        return self._checked(draft, role, read_text, text)

    def _items(self, draft: Draft, amount_fen: int) -> tuple[LineItem, ...]:
        """Return the lines, with one more where they do not add up: the amount is the truth."""
        for item in draft.items:
            self._text(draft, "items", item.name)
        left_fen = amount_fen - sum(item.amount_fen for item in draft.items)
        if not left_fen:
            return tuple(draft.items)
        chinese = self._profile.currency == "CNY"
        name = self._profile.rounding_item
        if not draft.items:
            name = "应缴金额" if chinese else "Amount due"
        elif name is None and abs(left_fen) < _SMALL_FEN:
            name = "尾差" if chinese else "Rounding"
        elif name is None:
            name = "其他" if chinese else "Other amounts"
        return (*draft.items, LineItem(name, None, "", left_fen))


def _usage(draft: Draft) -> Decimal | None:
    """Return what was used, as fine as it is kept; a taking-back used nothing."""
    if draft.usage is None or not 0 <= draft.usage < _LIMIT_USAGE - 1:
        return None
    exponent = draft.usage.as_tuple().exponent
    if isinstance(exponent, int) and -3 <= exponent <= 0:
        return draft.usage
    return draft.usage.quantize(_THOUSANDTH, ROUND_HALF_UP)
