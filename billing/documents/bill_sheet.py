"""What every part of a bill on paper draws with, and where the parts stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from billing.documents.charts import month_text
from billing.documents.paper import Paper
from billing.documents.statements import SumLine, sum_lines
from billing.documents.tagging import Tags
from billing.documents.typesetting import Pen
from billing.rules.payable import Offer
from billing.views import BillView
from core.clock import billing_date

# Points from the lower left corner of an A4 page.
LEFT, RIGHT = 54, 541
ACROSS: Final = RIGHT - LEFT
HEAD = 748  # where the content of every page starts
STUB_TOP = 218  # the lower part of the first page
FLOOR = 78  # above the footer
TOTAL_ROW, SUM_ROW = 34, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A bill, and what else its paper says.

    Args:
        biller_no: the company's four digits in the barcode.
        phone: whom to call about the bill.
        pay_url: the page of this bill; the QR code leads there.
        now: aware; the document says what was true then.
        history: first days of months and billed fen, oldest first; the latest that fit are drawn.
        offers: what may be paid for the bill on that day.
    """

    bill: BillView
    biller_no: str
    phone: str
    pay_url: str
    now: datetime
    history: Sequence[tuple[date, int]] = ()
    offers: Sequence[Offer] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A bill being drawn."""

    paper: Paper
    printed: Printed
    sums: Sequence[SumLine]  # under the total

    @classmethod
    def of(cls, paper: Paper, printed: Printed) -> "Sheet":
        return cls(paper, printed, sum_lines(printed.bill, printed.offers))

    @property
    def pen(self) -> Pen:
        return self.paper.pen

    @property
    def tags(self) -> Tags:
        return self.paper.tags

    @property
    def bill(self) -> BillView:
        return self.printed.bill

    @property
    def printed_on(self) -> date:
        return billing_date(self.printed.now)

    @property
    def foot(self) -> int:
        """How much room the total and what is under it take."""
        return TOTAL_ROW + SUM_ROW * len(self.sums)


def day_text(day: date) -> str:
    """Return a day as a resident writes it: 2026年11月30日."""
    return f"{month_text(day)}{day.day}日"
