"""What one row's dates and amounts must be to one another, and the words when they are not."""

from datetime import MAXYEAR, date
from typing import Final

from core.clock import add_months
from providers.base import Reject

RAW_LIMIT: Final = 500


def reject(line_no: int, column: str, reason: str, raw: str) -> Reject:
    return Reject(line_no, column, _whole(reason), shown_raw(raw))


def shown_raw(raw: str) -> str:
    """Return as much of a row as a reject shows."""
    return _whole(raw[:RAW_LIMIT])


def _whole(text: str) -> str:
    """Put a question mark for half of a character, as an escape of JSON may leave one."""
    return text.encode("utf-8", "replace").decode()


class Window:
    """The months a bill may be for: not before ``earliest``, not too long after it was issued."""

    def __init__(self, earliest: date, months_after_issue: int) -> None:
        self.earliest = earliest
        self._months = months_after_issue

    def latest(self, issued_on: date) -> date:
        if issued_on.year >= MAXYEAR - self._months // 12 - 1:
            return date.max
        return add_months(issued_on, self._months)

    def complaint(self, month: date, issued_on: date) -> str | None:
        if month < self.earliest:
            return f"the billing month {month:%Y-%m} lies before {self.earliest:%Y-%m}: correct it"
        if month > self.latest(issued_on):
            return (
                f"the billing month {month:%Y-%m} lies more than {self._months} months"
                f" after the issue date {issued_on}: correct the one or the other"
            )
        return None


def period_complaint(from_on: date, to_on: date) -> str | None:
    if to_on < from_on:
        return f"the period ends {to_on}, before it begins {from_on}: correct one of the dates"
    return None


def due_complaint(issued_on: date, due_on: date) -> str | None:
    if due_on < issued_on:
        return (
            f"the bill is due {due_on}, before it is issued {issued_on}: correct one of the dates"
        )
    if due_on == issued_on:
        return f"the bill is due on {due_on}, the day it is issued: leave at least a day to pay"
    return None


def items_complaint(items_fen: int, amount_fen: int) -> str:
    return (
        f"the lines add up to {items_fen} fen but the amount is {amount_fen} fen: correct the row"
    )
