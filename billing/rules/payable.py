"""Which amounts may be paid for one bill: its option decides, then the bill, then the company.

Rules 2, 3, 7 and 15. Pure: the caller holds the bill's lock and says which day it is. Two promises:
everything ``offers`` shows ``choose`` takes on the same day, and an open bill is never left without
an amount that may be paid, unless it is smaller than the multiple its company insists on.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from billing.rules.terms import Surplus, Terms
from core.errors import Conflict, Invalid
from core.money import format_yuan
from providers.base import AmountRule, Exactness, OptionKind, PayOption, PayTerms

_EXACT = AmountRule(Exactness.EXACT)
_AT_LEAST = AmountRule(Exactness.EXACT_AND_ABOVE)
_STORED = TypeAdapter(PayTerms)
_CODE = re.compile(r"[a-z0-9-]{1,32}")
_INSTALMENT_CODE = re.compile(r"instalment-[1-9][0-9]{0,3}")


class Payable(NamedTuple):
    """One bill as it stands, under its lock."""

    amount_fen: int
    adjusted_fen: int
    paid_fen: int
    credited_fen: int
    due_on: date  # the last day to pay, already rolled over days off
    pay_terms: PayTerms | None  # the bill's own
    taken: frozenset[str]  # codes of the instalments that are paid or being paid
    waiting_fen: int = 0  # of those being paid: what their payments will bring

    @property
    def open_fen(self) -> int:
        return self.amount_fen + self.adjusted_fen - self.paid_fen - self.credited_fen

    @property
    def options(self) -> tuple[PayOption, ...]:
        return self.pay_terms.options if self.pay_terms else ()

    @property
    def rest_fen(self) -> int:
        """What is open to another payment: an instalment under way has taken its part already."""
        return self.open_fen - self.waiting_fen

    @property
    def is_untouched(self) -> bool:
        """Whether early and late amounts still stand for the whole of the bill."""
        return not (self.paid_fen or self.credited_fen or self.taken)

    @property
    def has_instalments_left(self) -> bool:
        parts = {option.code for option in self.options if option.kind is OptionKind.INSTALMENT}
        return not parts <= self.taken


class Offer(NamedTuple):
    """What a resident can choose today, and what may be typed instead of its amount."""

    code: str | None  # none: the open amount itself
    kind: OptionKind | None
    name: str
    amount_fen: int
    until_on: date | None
    minimum_fen: int  # equal to the maximum: the amount is fixed
    maximum_fen: int | None
    multiple_fen: int | None


class Chosen(NamedTuple):
    """What a payment does to one bill."""

    amount_fen: int  # what the payer pays for this bill
    advance_fen: int  # of it, above what is owed: a prepayment to the company
    adjust_fen: int  # what the option changes of the bill: a discount below zero, or a surcharge
    option_code: str | None


class _Way(NamedTuple):
    """One way to pay a bill, its figures settled; the amounts it takes are ``lowest..highest``."""

    rule: AmountRule
    reference_fen: int  # what the rule's "exact" is
    owed_fen: int  # what would settle the bill, or the instalment
    adjust_fen: int
    surplus: bool  # whether more than is owed may become an advance

    @property
    def multiple_fen(self) -> int | None:
        return self.rule.multiple_fen if self.rule.mode is Exactness.MULTIPLE_OF else None

    @property
    def lowest_fen(self) -> int:
        if self.rule.mode in {Exactness.EXACT, Exactness.EXACT_AND_ABOVE}:
            return self.reference_fen
        # A rest below the minimum may be paid whole: nothing may become unpayable by being small.
        lowest = max(1, min(self.rule.minimum_fen or 1, self.nearest_fen))
        return lowest + -lowest % (self.multiple_fen or 1)

    @property
    def highest_fen(self) -> int | None:
        mode, highest = self.rule.mode, self.rule.maximum_fen
        if mode is Exactness.EXACT:
            return self.reference_fen
        if mode is Exactness.EXACT_AND_ABOVE and highest is not None:
            highest = max(highest, self.reference_fen)
        if mode is Exactness.EXACT_AND_BELOW:
            highest = _least(highest, self.reference_fen)
        if not self.surplus:
            highest = _least(highest, self.owed_fen)
        return highest if highest is None else highest - highest % (self.multiple_fen or 1)

    @property
    def nearest_fen(self) -> int:
        """The reference, or the multiple below it."""
        return self.reference_fen - self.reference_fen % (self.multiple_fen or 1)

    @property
    def is_open(self) -> bool:
        """Whether any amount may be paid this way."""
        return self.highest_fen is None or self.lowest_fen <= self.highest_fen

    @property
    def usual_fen(self) -> int:
        """What is paid when nothing is typed."""
        return _least(self.highest_fen, max(self.nearest_fen, self.lowest_fen))


def _least(bound: int | None, amount_fen: int) -> int:
    return amount_fen if bound is None else min(bound, amount_fen)


def offers(bill: Payable, terms: Terms, *, on: date) -> tuple[Offer, ...]:
    """Return what may be chosen on a local day: the open amount first, then options as stated.

    A zero or negative bill has one offer, of nothing (rule 7); a paid one has none.
    """
    if _is_nothing(bill):
        return (Offer(None, None, "", 0, None, 0, 0, None),)
    shown = []
    for option in (None, *bill.options):
        if _refusal(bill, option, on) is not None:
            continue
        way = _way(bill, terms, option)
        code, kind, name = (option.code, option.kind, option.name) if option else (None, None, "")
        until_on = option.until_on if option and kind is not OptionKind.LATE else None
        typed = (way.lowest_fen, way.highest_fen, way.multiple_fen)
        if way.is_open:
            shown.append(Offer(code, kind, name, way.usual_fen, until_on, *typed))
    return tuple(shown)


def choose(
    bill: Payable, terms: Terms, *, option_code: str | None, amount_fen: int | None, on: date
) -> Chosen:
    """Decide what a payment of this bill is, on the local day it counts.

    Args:
        option_code: of one of the bill's options; none: the open amount.
        amount_fen: what the payer typed; none: the amount the offer shows.

    Raises:
        Invalid: the option or the amount is not one that may be paid.
        Conflict: it may be, but not as the bill stands or not on this day.
    """
    option = _find_option(bill, option_code)
    if amount_fen is not None and type(amount_fen) is not int:  # True and 1.0 equal 1
        raise Invalid("an amount is a whole number of fen", code="money.malformed")
    if option is None and _is_nothing(bill) and amount_fen in {None, 0}:
        return Chosen(0, 0, 0, None)
    if (refused := _refusal(bill, option, on)) is not None:
        raise refused
    way = _way(bill, terms, option)
    pays_fen = way.usual_fen if amount_fen is None else amount_fen
    _check_amount(bill, way, pays_fen)
    return Chosen(pays_fen, max(0, pays_fen - way.owed_fen), way.adjust_fen, option_code)


def _is_nothing(bill: Payable) -> bool:
    """Whether the bill itself asks for nothing; a paid bill is another thing."""
    return bill.amount_fen + bill.adjusted_fen <= 0


def _find_option(bill: Payable, code: str | None) -> PayOption | None:
    if code is None:
        return None
    for option in bill.options:
        if option.code == code:
            return option
    raise Invalid("the bill has no such option: choose one it shows", code="option.unknown")


def _refusal(bill: Payable, option: PayOption | None, on: date) -> Conflict | None:
    """Return why an option, or the open amount, cannot be chosen as things stand."""
    if bill.rest_fen <= 0:
        return Conflict(
            "nothing is due on this bill: it is paid, or a payment under way covers it",
            code="amount.nothing_due", open_fen=bill.open_fen,
        )  # fmt: skip
    if option is not None and option.kind is OptionKind.INSTALMENT:
        if option.code in bill.taken:
            told = f"{option.name} is paid, or being paid, already: choose another"
            return Conflict(told, code="option.taken")
        if bill.paid_fen and not bill.taken:
            return Conflict(
                "a part of this bill was paid without instalments: pay the open amount",
                code="option.full_begun", open_fen=bill.open_fen,
            )  # fmt: skip
    elif bill.taken and bill.has_instalments_left:
        told = "this bill is being paid in instalments: choose one that is left"
        return Conflict(told, code="option.instalments_begun")
    if option is not None and not _is_in_time(bill, option, on):
        return Conflict(
            f"{option.name} cannot be chosen as things stand: look again at what the bill offers",
            code="option.not_now", open_fen=bill.open_fen,
        )  # fmt: skip
    late = _late_option(bill, on)
    if late is not None and option != late:
        return Conflict(
            f"the due date has passed: choose the late amount of {format_yuan(late.amount_fen)}",
            code="option.late_applies", option_code=late.code, late_fen=late.amount_fen,
        )  # fmt: skip
    return None


def _is_in_time(bill: Payable, option: PayOption, on: date) -> bool:
    """Whether an option's own dates let it be chosen; both ends are days on which they do."""
    match option.kind:
        case OptionKind.INSTALMENT:
            return True  # its dates say when it is due; one missed is still to be paid
        case OptionKind.LATE:  # it has no end, and a surcharge never makes a bill cheaper
            begun = _late_from(bill, option) <= on
            return begun and bill.is_untouched and option.amount_fen >= bill.open_fen
        case OptionKind.EARLY:  # without an end nobody can tell: the base amount stands
            if option.until_on is None or not bill.is_untouched:
                return False
            if option.amount_fen > bill.open_fen:  # a correction has made it no discount
                return False
    return (option.from_on or on) <= on <= (option.until_on or on)


def _late_option(bill: Payable, on: date) -> PayOption | None:
    """Return the late amount that is owed: of several steps, the one that began last."""
    late = [option for option in bill.options if option.kind is OptionKind.LATE]
    return max(
        (option for option in late if _is_in_time(bill, option, on)),
        key=lambda option: (_late_from(bill, option), option.amount_fen, option.code),
        default=None,
    )


def _late_from(bill: Payable, option: PayOption) -> date:
    """Return the first day of a late amount: nobody is late by the (rolled) due date."""
    late_on = bill.due_on + timedelta(days=1)
    return max(late_on, option.from_on or late_on)


def _way(bill: Payable, terms: Terms, option: PayOption | None) -> _Way:
    """Settle the figures of a way to pay that is not refused."""
    advance = terms.surplus is Surplus.ADVANCE
    rest_fen = bill.rest_fen
    if option is None:
        rule = (bill.pay_terms or PayTerms()).rule or AmountRule(**dict(terms.amount))
        return _Way(rule, rest_fen, rest_fen, 0, advance)
    part_fen = min(option.amount_fen, rest_fen)
    match option.kind:
        case OptionKind.INSTALMENT:
            return _Way(_EXACT, part_fen, part_fen, 0, surplus=False)
        case OptionKind.MINIMUM:
            surplus = advance and option.rule is not None
            return _Way(option.rule or _AT_LEAST, part_fen, rest_fen, 0, surplus)
    # A discount is for who settles the bill, so an early amount is fixed whatever its rule says.
    rule = option.rule if option.kind is OptionKind.LATE and option.rule else _EXACT
    adjust_fen = option.amount_fen - bill.open_fen
    surplus = advance and adjust_fen == 0
    return _Way(rule, option.amount_fen, option.amount_fen, adjust_fen, surplus)


def _check_amount(bill: Payable, way: _Way, amount_fen: int) -> None:
    facts = {"asked_fen": amount_fen, "open_fen": bill.open_fen}
    lowest, highest, multiple = way.lowest_fen, way.highest_fen, way.multiple_fen
    if way.rule.mode is Exactness.EXACT and amount_fen != way.reference_fen:
        told, code = f"pay exactly {format_yuan(way.reference_fen)}", "amount.not_exact"
    elif multiple is not None and not way.is_open:
        told = f"only multiples of {format_yuan(multiple)} are taken, and what is open is less"
        code = "amount.not_multiple"
    elif multiple is not None and amount_fen % multiple:
        told, code = f"pay a multiple of {format_yuan(multiple)}", "amount.not_multiple"
    elif amount_fen < lowest:
        told, code = f"pay at least {format_yuan(lowest)}", "amount.below"
    elif highest is not None and amount_fen > highest:
        told, code = f"pay at most {format_yuan(highest)}", "amount.above"
    else:
        return
    raise Invalid(told, code=code, **facts)


def pay_terms_json(terms: PayTerms | None) -> dict[str, Any] | None:
    """Return a bill's own way of being paid as JSON, without what is not stated."""
    return None if terms is None else _plain(terms)


def _plain(value: Any) -> Any:
    match value:
        case AmountRule() | PayOption() | PayTerms():
            stated = value._asdict().items()
            return {key: _plain(one) for key, one in stated if one is not None}
        case tuple():
            return [_plain(one) for one in value]
        case StrEnum():
            return value.value
        case date():
            return value.isoformat()
    return value


def read_pay_terms(stored: Mapping[str, Any] | None) -> PayTerms | None:
    """Read what ``pay_terms_json`` wrote; anything else is our own mistake and a ValueError."""
    return None if stored is None else _STORED.validate_python(stored)


def check_pay_terms(
    terms: PayTerms, *, amount_fen: int, issued_on: date, due_on: date
) -> str | None:
    """Return the first thing wrong with what a company states of one bill, or None.

    Args:
        due_on: as the company stated it, before it is rolled over days off.
    """
    return next(_complaints(terms, amount_fen, issued_on, due_on), None)


def _complaints(terms: PayTerms, amount_fen: int, issued_on: date, due_on: date) -> Iterator[str]:
    yield from _rule_complaints(terms.rule, "the bill's rule")
    codes = [option.code for option in terms.options]
    if amount_fen <= 0 and codes:
        yield "a bill of nothing, or a credit, has no options: leave them out"
    if twice := [code for code in codes if codes.count(code) > 1]:
        yield f"option {twice[0]!r} is stated twice: give each its own code"
    for option in terms.options:
        told = f"option {option.code!r}"
        for wrong in _option_complaints(option, amount_fen, issued_on, due_on):
            yield f"{told}: {wrong}"
        yield from _rule_complaints(option.rule, told)
    parts = [option for option in terms.options if option.kind is OptionKind.INSTALMENT]
    total_fen = sum(option.amount_fen for option in parts)
    if parts and total_fen != amount_fen:
        yield f"the instalments add up to {total_fen} fen, the bill is {amount_fen} fen"
    if parts and any(option.kind is OptionKind.MINIMUM for option in terms.options):
        yield "instalments and a minimum exclude each other: state one of them"


def _option_complaints(
    option: PayOption, amount_fen: int, issued_on: date, due_on: date
) -> Iterator[str]:
    if not _CODE.fullmatch(option.code):
        yield "a code is 1 to 32 of a-z, 0-9 and hyphen"
    is_part = option.kind is OptionKind.INSTALMENT
    if is_part != (_INSTALMENT_CODE.fullmatch(option.code) is not None):
        yield "instalments, and nothing else, have the codes instalment-1, instalment-2 and so on"
    if not option.name.strip():
        yield "it has no name: say what residents shall read"
    if option.amount_fen <= 0:
        yield f"its amount is {option.amount_fen} fen: state one above zero"
    if option.kind is OptionKind.LATE and option.amount_fen < amount_fen:
        yield f"a late amount is not below the bill's {amount_fen} fen"
    if option.kind in {OptionKind.EARLY, OptionKind.MINIMUM} and option.amount_fen > amount_fen:
        yield f"an amount of this kind is not above the bill's {amount_fen} fen"
    fixed = option.kind in {OptionKind.EARLY, OptionKind.INSTALMENT}
    if fixed and option.rule is not None and option.rule.mode is not Exactness.EXACT:
        yield "an early amount or an instalment is paid as it stands: leave its rule out"
    if option.from_on and option.until_on and option.until_on < option.from_on:
        yield "it ends before it begins"
    if option.until_on is not None and option.until_on < issued_on:
        yield f"it ends before the bill is issued on {issued_on}"
    if option.kind is OptionKind.LATE and option.from_on is not None and option.from_on <= due_on:
        yield f"a late amount begins after the due date {due_on}"


def _rule_complaints(rule: AmountRule | None, told: str) -> Iterator[str]:
    if rule is None:
        return
    figures = (rule.minimum_fen, rule.maximum_fen, rule.multiple_fen)
    if any(figure is not None and figure < 0 for figure in figures) or rule.multiple_fen == 0:
        yield f"{told}: the figures of a rule are above zero"
    if rule.mode is Exactness.RANGE and None in figures[:2]:
        yield f"{told}: mode 'range' needs a minimum and a maximum"
    if (rule.mode is Exactness.MULTIPLE_OF) != (rule.multiple_fen is not None):
        yield f"{told}: mode 'multiple_of' and a multiple go together"
    if None not in figures[:2] and (rule.minimum_fen or 0) > (rule.maximum_fen or 0):
        yield f"{told}: its minimum is above its maximum"
