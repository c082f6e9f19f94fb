"""Which bills a mandate covers, when it debits, and up to how much. Rules 41, 42 and 43.

Pure: no database, no clock. Days are the city's, moments are aware.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from billing.rules.calendars import add_working_days, counts_on
from billing.rules.terms import Terms
from core.clock import BILLING_ZONE, billing_date
from core.errors import Invalid
from payments.gateways.collecting import CALENDAR

NOTICE = timedelta(days=3)  # between telling and debiting, in full
ANNOUNCE_AHEAD = timedelta(days=5)  # when we tell if we can: two days to spare
DEADLINE_WORKING_DAYS = 2  # to enrol before a bill's last day to pay
RETRY_DAYS = 6
MAX_DAYS_BEFORE = 15
LAST_DAY_OF_MONTH = 28
MAX_FACTOR = 3
_DEBIT_AT = time(8)  # the city is awake, and no company's cut-off is near
_NOON = time(12)
_DAY = timedelta(days=1)


class CapKind(StrEnum):
    FIXED = "fixed"  # bills of exactly this amount
    MAX = "max"  # bills of up to this amount
    NONE = "none"


class FirstBill(StrEnum):
    """What the first bill of an account may be: it often holds two periods (rule 41)."""

    SAME = "same"  # within the cap like any other
    MORE = "more"  # up to the cap so many times
    TELL = "tell"  # never debited: only told of


class PayDay(StrEnum):
    DUE = "due"  # the last day to pay
    BEFORE = "before"  # so many days before it
    DAY = "day"  # a day of the month; the last day to pay if that is later (rule 42)


class NotPaid(StrEnum):
    """Why a bill is not debited; public, and stored."""

    OVER_CAP = "over_cap"
    NOT_FIXED = "not_fixed"  # another amount than the fixed one
    FIRST_BILL = "first_bill"
    TOO_LATE = "too_late"  # the notice would end after the last day to pay
    ENROLLED_LATE = "enrolled_late"
    NOT_TAKEN = "not_taken"  # the company does not let itself be paid so
    PAID = "paid"  # elsewhere, or nothing is owed
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    CHANGED = "changed"  # more than was announced
    PAUSED = "paused"
    ENDED = "ended"
    NOT_ALLOWED = "not_allowed"  # the payer may no longer pay this account's bills
    SHORT = "short_of_funds"
    NO_ANSWER = "no_answer"  # its gateway never said what became of the debit
    RETURNED = "returned"  # what was debited could not be kept, and goes back


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a payer has agreed to.

    ``first_factor`` is of ``FirstBill.MORE``; ``pay_day_n`` the days before, or the day of the
    month; ``in_parts`` lets half be taken when the whole cannot.
    """

    cap_kind: CapKind = CapKind.MAX
    cap_fen: int | None = None
    first_bill: FirstBill = FirstBill.SAME
    first_factor: int = 2
    pay_day: PayDay = PayDay.DUE
    pay_day_n: int | None = None
    in_parts: bool = False

    def check(self) -> None:
        """Refuse what does not fit together (Invalid)."""
        if (self.cap_kind is CapKind.NONE) != (self.cap_fen is None):
            raise Invalid("a cap has an amount, and without a cap there is none", code="cap.amount")
        if self.cap_fen is not None and self.cap_fen <= 0:
            raise Invalid("a cap is above zero", code="cap.amount")
        if self.first_bill is FirstBill.MORE and self.cap_kind is not CapKind.MAX:
            raise Invalid("more for the first bill goes with a maximum", code="first_bill.no_cap")
        if not 2 <= self.first_factor <= MAX_FACTOR:
            raise Invalid(f"first_factor is 2 to {MAX_FACTOR}", code="first_bill.factor")
        most = {PayDay.BEFORE: MAX_DAYS_BEFORE, PayDay.DAY: LAST_DAY_OF_MONTH}.get(self.pay_day)
        if (most is None) != (self.pay_day_n is None):
            raise Invalid("pay_day_n goes with 'before' and 'day'", code="pay_day.number")
        if most is not None and not 1 <= (self.pay_day_n or 0) <= most:
            raise Invalid(f"pay_day_n is 1 to {most}", code="pay_day.number")

    def most_fen(self, *, first: bool) -> int | None:
        """Return what one debit may take at most; None: there is no cap."""
        if self.cap_fen is not None and first and self.first_bill is FirstBill.MORE:
            return self.cap_fen * self.first_factor
        return self.cap_fen

    def why_not(self, amount_fen: int, *, first: bool, whole: bool = True) -> NotPaid | None:
        """Tell why an amount is not debited (rule 41).

        Args:
            first: it is the account's first bill under the mandate.
            whole: it is all that is owed: a part need not be the fixed amount.
        """
        if first and self.first_bill is FirstBill.TELL:
            return NotPaid.FIRST_BILL
        most_fen = self.most_fen(first=first)
        if most_fen is not None and amount_fen > most_fen:
            return NotPaid.OVER_CAP
        if self.cap_kind is CapKind.FIXED and whole and amount_fen != self.cap_fen:
            return NotPaid.NOT_FIXED
        return None

    def signed_most_fen(self) -> int | None:
        """Return what the payer lets the gateway take at most in one debit."""
        return self.most_fen(first=True)


def debit_moment(day: date) -> datetime:
    """Return when a day's debits begin."""
    return datetime.combine(day, _DEBIT_AT, tzinfo=BILLING_ZONE)


def earliest_debit_on(told_at: datetime) -> date:
    """Return the first day whose debits begin three full days after somebody was told (42)."""
    free_at = told_at + NOTICE
    day = billing_date(free_at)
    return day if debit_moment(day) >= free_at else day + _DAY


def debit_day(
    rules: Rules,
    terms: Terms,
    *,
    issued_on: date,
    pay_by_on: date,
    told_at: datetime,
    collect_after: int = 0,
) -> date | None:
    """Return the day a bill is debited if its payer is told of it at ``told_at`` (rule 42).

    Never so that the money counts after the last day to pay, by the company's own count of days;
    None: there is no such day.

    Args:
        collect_after: working days until the money is taken, of a gateway that collects in batches.
    """
    last = _last_day(terms, pay_by_on, collect_after)
    earliest = earliest_debit_on(told_at)
    match rules.pay_day:
        case PayDay.DUE:
            wanted = last
        case PayDay.BEFORE:
            wanted = pay_by_on - (rules.pay_day_n or 0) * _DAY
        case PayDay.DAY:
            wanted = _day_of_month(rules.pay_day_n or 1, max(issued_on, earliest))
    day = min(max(wanted, earliest), last)
    return day if day >= earliest else None


def _last_day(terms: Terms, pay_by_on: date, collect_after: int) -> date:
    """Return the last day on which a debit still counts in time (rule 21)."""
    day = pay_by_on
    while counts_on(taken_at(day, collect_after), terms) > pay_by_on:
        day -= _DAY
    return day


def taken_at(day: date, collect_after: int) -> datetime:
    """Return when the money of a day's debits leaves the payers' accounts."""
    if collect_after == 0:
        return debit_moment(day)
    return datetime.combine(add_working_days(CALENDAR, day, collect_after), _NOON, BILLING_ZONE)


def _day_of_month(number: int, start: date) -> date:
    """Return the first day with this number that is not before ``start``."""
    day = start
    while day.day != number:
        day += _DAY
    return day


def is_in_time(calendar: str, *, enrolled_on: date, pay_by_on: date) -> bool:
    """Tell whether somebody enrolled two working days before a bill's last day to pay (42)."""
    return add_working_days(calendar, enrolled_on, DEADLINE_WORKING_DAYS) <= pay_by_on


def last_try_on(first_try_on: date) -> date:
    """Return the last day on which a bill is debited that was first to be on ``first_try_on``."""
    return first_try_on + RETRY_DAYS * _DAY


def next_try_on(first_try_on: date, today: date) -> date | None:
    """Return when a debit that found no money is tried again: daily up to six days (rule 43)."""
    tomorrow = today + _DAY
    return tomorrow if tomorrow <= last_try_on(first_try_on) else None


def half_fen(owed_fen: int) -> int:
    """Return the least part that may be taken of a bill: half of it, a fen rounded up (43)."""
    return owed_fen - owed_fen // 2
