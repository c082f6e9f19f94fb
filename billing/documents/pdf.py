"""A bill as a PDF: A4, with a stub to pay at a counter or by phone; alone or in a volume.

It is a bill (账单) and never a tax invoice (发票), and says so. Alone it is drawn when somebody
asks for it: nobody should make forty million in advance. A volume is for printing and posting.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from billing.documents.bill_head import (
    draw_details,
    draw_footer,
    draw_header,
    draw_header_again,
    draw_parties,
)
from billing.documents.bill_lines import Row, draw_chart, draw_rows, draw_total, paginate
from billing.documents.bill_sheet import FLOOR, HEAD, RIGHT, STUB_TOP, Printed, Sheet
from billing.documents.bill_sheet import day_text as day_text
from billing.documents.bill_stub import draw_stub
from billing.documents.charts import month_text
from billing.documents.fonts import TYPESETTING
from billing.documents.paper import CHINESE, Paper, Properties
from billing.documents.typesetting import Term
from billing.rules.payable import Offer
from billing.views import BillView


def bill_pdf(
    bill: BillView,
    *,
    biller_no: str,
    phone: str,
    pay_url: str,
    now: datetime,
    history: Sequence[tuple[date, int]] = (),
    offers: Sequence[Offer] = (),
) -> bytes:
    """Return a bill as a PDF; the same arguments give the same bytes. They are ``Printed``'s.

    A bill that can be paid carries a barcode of what is still open. Where its account number or
    month does not fit a barcode there is none, and the stub says what to show instead.

    Raises:
        Invalid: ``biller_no`` is not four digits.
    """
    company = bill.account.provider_name
    about = Properties(
        title=f"账单 Bill {bill.bill_no} {company}", author=company, lang=CHINESE, made_at=now,
        subject=f"{company} {month_text(bill.billing_month)}账单",
    )  # fmt: skip
    printed = Printed(
        bill=bill, biller_no=biller_no, phone=phone, pay_url=pay_url, now=now, history=history,
        offers=offers,
    )  # fmt: skip
    with TYPESETTING:
        paper = Paper(about)
        draw_bill(Sheet.of(paper, printed), f"账单 Bill {bill.bill_no}")
        return paper.save()


def bill_volume(bills: Iterable[Printed], about: Properties) -> bytes:
    """Return many bills one after another in one PDF, the outline naming each by its account.

    Others may draw in between: what is drawn is kept by document.

    Raises:
        Invalid: a company's number in the barcode is not four digits.
    """
    paper = Paper(about, volume=True)
    for one in bills:
        with TYPESETTING, paper.tags.group("Part"):
            draw_bill(Sheet.of(paper, one), f"{one.bill.account_no} · {one.bill.bill_no}")
    with TYPESETTING:
        return paper.save()


def draw_bill(sheet: Sheet, name: str) -> None:
    """Lay a bill out: everything on the first page, items that do not fit on the next ones."""
    paper, tags = sheet.paper, sheet.tags
    paper.bookmark(name)
    draw_header(sheet)
    top = draw_details(sheet, draw_parties(sheet) - 22)
    rows = [Row.of(item) for item in sheet.bill.items]
    pages = paginate(rows, first=top - STUB_TOP, later=HEAD - FLOOR, foot=sheet.foot)
    paper.bookmark("费用明细 Items", top, level=1)
    table = tags.start("Table")
    for number, page in enumerate(pages, start=1):
        last = number == len(pages)
        if number > 1:
            draw_header_again(sheet)
            top = HEAD
        y = draw_rows(sheet, table, page, top, again=number > 1)
        if last:
            y = draw_total(sheet, table, y)
            draw_chart(sheet, top=y, floor=STUB_TOP if number == 1 else FLOOR)
        else:
            with tags.artifact("Pagination"):
                sheet.pen.label(RIGHT, y - 16, Term("续下页", "Continued"), right=True)
        if number == 1:
            draw_stub(sheet)
        draw_footer(sheet, number=number, count=len(pages))
        paper.end_page()
