"""When a bill is due, and on which day a payment counts. Rules 19, 20, 21 and 23.

Pure. Days are the city's; moments are aware. What days are worked is ``billing.rules.workdays``.
"""

from datetime import date, datetime, timedelta

from billing.rules.terms import Due, Roll, Terms
from billing.rules.workdays import (
    add_working_days,
    check_calendar,
    is_working_day,
    known_through,
    last_working_day_of_month,
    next_working_day,
)
from core.clock import BILLING_ZONE, billing_date

__all__ = [
    "add_working_days",
    "check_calendar",
    "counts_on",
    "is_working_day",
    "known_through",
    "last_working_day_of_month",
    "next_working_day",
    "pay_by",
]


def pay_by(due_on: date, due: Due) -> date:
    """Return the last day to pay a bill that its company states as due on ``due_on`` (rule 19).

    Only ``last_working_day_of_month`` can be earlier: 2026-05-31, a Sunday, becomes the 29th.
    """
    match due.roll:
        case Roll.NONE:
            return due_on
        case Roll.NEXT_WORKING_DAY:
            return next_working_day(due.calendar, due_on)
        case Roll.LAST_WORKING_DAY_OF_MONTH:
            return last_working_day_of_month(due.calendar, due_on)


def counts_on(moment: datetime, terms: Terms) -> date:
    """Return the effective date of a payment: the day its company counts it as made (rule 21).

    Before the cut-off that is the day itself, else the next; where the company counts working days
    only, a payment on a day off counts on the next one, at whatever hour it was made.
    """
    day, calendar = billing_date(moment), terms.due.calendar
    at = terms.cut_off.at
    if terms.cut_off.working_days and not is_working_day(calendar, day):
        return next_working_day(calendar, day)
    if at is None or moment.astimezone(BILLING_ZONE).time() < at:
        return day
    if terms.cut_off.working_days:
        return add_working_days(calendar, day, 1)
    return day + timedelta(days=1)
