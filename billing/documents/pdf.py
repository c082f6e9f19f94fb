"""A bill as a PDF: one A4 page, with a stub to pay at a counter or by phone.

It is a bill (账单) and never a tax invoice (发票), and says so. Drawn on demand: at about
fifteen milliseconds each, nobody should make forty million in advance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO

from reportlab.graphics import renderPDF
from reportlab.pdfgen.canvas import Canvas

from billing.documents.barcodes import (
    CODE_128_WIDTH,
    QrCode,
    barcode_digits,
    draw_code_128,
    grouped,
)
from billing.documents.charts import month_text, usage_drawing
from billing.documents.fonts import MAIN, TYPESETTING, printable, require_fonts
from billing.documents.statements import NOT_PAYABLE, NOTHING_TO_PAY, STATES, SumLine, sum_lines
from billing.documents.typesetting import (
    ACCENT,
    ALERT,
    INK,
    MUTED,
    Fitted,
    Pen,
    Term,
    fitted,
    text_width,
)
from billing.rules.payable import Offer
from billing.views import BillState, BillView
from core.clock import billing_date
from core.errors import Invalid
from core.money import format_yuan
from providers.base import LineItem

# Points from the lower left corner of an A4 page.
_WIDTH, _HEIGHT = 595, 842
_LEFT, _RIGHT = 54, 541
_ACROSS = _RIGHT - _LEFT
_HEAD = 748  # where the content of every page starts
_STUB_TOP = 218  # the lower part of the first page
_FLOOR = 78  # above the footer
_NAME_WIDTH, _QUANTITY, _UNIT = 232, 372, 384
_ROW, _TOTAL_ROW, _SUM_ROW = 21, 34, 16
_CHART_MONTHS, _CHART_ROW = 13, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """What every part of one document draws with."""

    pen: Pen
    bill: BillView
    biller_no: str
    phone: str
    pay_url: str
    printed_on: date
    sums: Sequence[SumLine]  # under the total

    @property
    def foot(self) -> int:
        """How much room the total and what is under it take."""
        return _TOTAL_ROW + _SUM_ROW * len(self.sums)


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
    """Return the bill as a PDF; the same arguments give the same bytes.

    A bill that can be paid carries a barcode of what is still open. Where its account number or
    month does not fit a barcode there is none, and the stub says what to show instead.

    Args:
        biller_no: the company's four digits in the barcode.
        phone: whom to call about the bill.
        pay_url: the page of this bill; the QR code leads there.
        now: aware; the document says what was true then.
        history: first days of months and billed fen, oldest first; the latest that fit are drawn.
        offers: what may be paid for the bill on that day.

    Raises:
        Invalid: ``biller_no`` is not four digits.
    """
    buffer = BytesIO()
    with TYPESETTING:
        require_fonts()
        canvas = Canvas(
            buffer,
            pagesize=(_WIDTH, _HEIGHT),
            invariant=1,
            lang="zh-CN",
            initialFontName=MAIN,
        )
        _describe(canvas, bill, now=now)
        sheet = _Sheet(
            pen=Pen(canvas),
            bill=bill,
            biller_no=biller_no,
            phone=phone,
            pay_url=pay_url,
            printed_on=billing_date(now),
            sums=sum_lines(bill, offers),
        )
        _pages(sheet, history)
        canvas.save()
    return buffer.getvalue()


def _describe(canvas: Canvas, bill: BillView, *, now: datetime) -> None:
    """Write the document's own description."""
    company = bill.account.provider_name
    canvas.setTitle(printable(f"账单 Bill {bill.bill_no} {company}"))
    canvas.setAuthor(printable(company))
    canvas.setSubject(printable(f"{company} {month_text(bill.billing_month)}账单"))
    canvas.setCreator("CityBill")
    canvas.setDateFormatter(lambda *_: f"D:{now.strftime('%Y%m%d%H%M%S%z')}")
    canvas.setViewerPreference("DisplayDocTitle", "true")


def day_text(day: date) -> str:
    """Return a day as a resident writes it: 2026年11月30日."""
    return f"{month_text(day)}{day.day}日"


def _pages(sheet: _Sheet, history: Sequence[tuple[date, int]]) -> None:
    """Lay the bill out: everything on the first page, items that do not fit on the next ones."""
    canvas = sheet.pen.canvas
    _header(sheet)
    top = _details(sheet, _parties(sheet) - 22)
    rows = [_Row.of(item) for item in sheet.bill.items]
    pages = _paginate(rows, first=top - _STUB_TOP, later=_HEAD - _FLOOR, foot=sheet.foot)
    for number, page in enumerate(pages, start=1):
        last = number == len(pages)
        if number > 1:
            _header_again(sheet)
            top = _HEAD
        floor = _STUB_TOP if number == 1 else _FLOOR
        y = _items(sheet, page, top)
        if last:
            y = _total(sheet, y)
            _chart(sheet, history, top=y, floor=floor)
        else:
            sheet.pen.label(_RIGHT, y - 16, Term("续下页", "Continued"), right=True)
        if number == 1:
            _stub(sheet)
        _footer(sheet, number=number, count=len(pages))
        canvas.showPage()


def _header(sheet: _Sheet) -> None:
    pen, account = sheet.pen, sheet.bill.account
    _band(pen)
    pen.text(_LEFT, 776, "账单", 28, colour=ACCENT)
    pen.text(_LEFT + 66, 776, "Bill", 18, colour=MUTED)
    size = 14 if text_width(account.provider_name, 14) <= 330 else 11
    name = fitted(account.provider_name, width=330, sizes=(size,), lines=2)
    english = fitted(account.provider_name_en, width=330, sizes=(9, 8), lines=2)
    below = 768 + english.height - english.leading
    pen.block(_RIGHT, below + 14 + name.height - name.leading, name, right=True)
    pen.block(_RIGHT, below, english, colour=MUTED, right=True)
    pen.rule(_LEFT, 756, _ACROSS)


def _header_again(sheet: _Sheet) -> None:
    pen, bill = sheet.pen, sheet.bill
    _band(pen)
    pen.text(_LEFT, 776, "账单", 16, colour=ACCENT)
    pen.text(_LEFT + 40, 776, "Bill", 12, colour=MUTED)
    of = f"{bill.account.provider_name} · {bill.bill_no}"
    pen.block(_RIGHT, 776, fitted(of, width=380, sizes=(10, 9, 8)), right=True)
    pen.rule(_LEFT, 764, _ACROSS)


def _band(pen: Pen) -> None:
    pen.canvas.setFillColor(ACCENT)
    pen.canvas.rect(0, _HEIGHT - 6, _WIDTH, 6, stroke=0, fill=1)


def _parties(sheet: _Sheet) -> int:
    """Write who is billed, and beside it how much; return the lowest point of both."""
    pen, account = sheet.pen, sheet.bill.account
    y = _HEAD - 22
    for term, text, sizes, lines in (
        (Term("户名", "Account holder"), account.holder_masked, (13, 11, 10), 2),
        (Term("户号", "Account no."), sheet.bill.account_no, (13, 11, 9), 2),
        (Term("用户地址", "Address"), account.address, (10, 9), 3),
    ):
        pen.label(_LEFT, y, term)
        block = fitted(text or "—", width=236, sizes=sizes, lines=lines)
        y = pen.block(_LEFT, y - block.size - 6, block) - 7
    return min(y + 10, _amount_panel(sheet))


def _amount_panel(sheet: _Sheet) -> int:
    """Write the amount large, by when it is due and how the bill stands."""
    pen, bill = sheet.pen, sheet.bill
    height = 142
    left, right, bottom = 316, _RIGHT - 16, _HEAD - 10 - height
    pen.panel(left, bottom, _RIGHT - left, height)
    x = left + 16
    pen.label(x, bottom + 120, Term("本期账单金额", "Amount billed"))
    amount = fitted(format_yuan(bill.amount_fen), width=right - x, sizes=(34, 30, 26, 22, 18, 14))
    pen.block(x, bottom + 78, amount)
    pen.rule(x, bottom + 62, right - x)
    pen.label(x, bottom + 41, Term("缴费截止", "Due by"))
    due = day_text(bill.pay_by_on) if bill.amount_fen > 0 else "—"
    pen.text(right, bottom + 41, due, 12, right=True)
    if bill.pay_by_on != bill.due_on and bill.amount_fen > 0:
        rolled = f"原定{day_text(bill.due_on)}，遇休息日调整 · moved for a day off"
        pen.text(right, bottom + 30, rolled, 8, colour=MUTED, right=True)
    pen.label(x, bottom + 18, Term("状态", "Status"))
    state = STATES[bill.state]
    colour = ALERT if bill.state in {BillState.OVERDUE, BillState.CANCELLED} else INK
    pen.text(right, bottom + 18, state.en, 8, colour=MUTED, right=True)
    beside = right - text_width(state.en, 8) - 6
    pen.text(beside, bottom + 18, state.zh, 12, colour=colour, right=True)
    return bottom


def _details(sheet: _Sheet, top: int) -> int:
    """Write the facts of the bill in three columns; return the lowest point."""
    bill = sheet.bill
    edition = f"（第{bill.version}版）" if bill.version > 1 else ""
    period = f"{day_text(bill.period_from_on)} 至 {day_text(bill.period_to_on)}"
    usage = "—" if bill.usage is None else f"{_number(bill.usage)} {bill.usage_unit}"
    low = top
    for terms in (
        (
            (Term("账期", "Billing month"), month_text(bill.billing_month)),
            (Term("出账日", "Issued"), day_text(bill.issued_on)),
            (Term("计费周期", "Period"), period),
        ),
        (
            (Term("用量", "Usage"), usage),
            (Term("客服电话", "Enquiries"), sheet.phone),
            (Term("账单号", "Bill no."), f"{bill.bill_no}{edition}"),
        ),
    ):
        for x, width, (term, text) in zip((_LEFT, 192, 330), (128, 128, 211), terms, strict=True):
            sheet.pen.label(x, top, term)
            block = fitted(text, width=width, sizes=(11, 10, 9), lines=2)
            low = min(low, sheet.pen.block(x, top - 16, block))
        top = low - 6
    return low + 2


@dataclass(frozen=True, slots=True)
class _Row:
    item: LineItem
    name: Fitted

    @classmethod
    def of(cls, item: LineItem) -> "_Row":
        return cls(item, fitted(item.name, width=_NAME_WIDTH, sizes=(10,), lines=3))

    @property
    def height(self) -> int:
        return _ROW + self.name.height - self.name.leading


def _paginate(rows: Sequence[_Row], *, first: int, later: int, foot: int) -> list[list[_Row]]:
    """Share the rows out over pages, with room for the heading and the total on each."""
    pages: list[list[_Row]] = [[]]
    room = first - _ROW - foot
    for row in rows:
        if row.height > room:
            pages.append([])
            room = later - _ROW - foot
        pages[-1].append(row)
        room -= row.height
    return pages


def _items(sheet: _Sheet, rows: Sequence[_Row], top: int) -> int:
    """Write a table of line items from ``top`` down; return its lowest point."""
    pen = sheet.pen
    if not rows:
        pen.rule(_LEFT, top - 1, _ACROSS)
        return top - 1
    y = top - 14
    pen.label(_LEFT, y, Term("项目", "Item"))
    pen.label(_QUANTITY, y, Term("数量", "Quantity"), right=True)
    pen.label(_UNIT, y, Term("单位", "Unit"))
    pen.label(_RIGHT, y, Term("金额", "Amount"), right=True)
    y = top - _ROW
    pen.rule(_LEFT, y, _ACROSS, colour=MUTED)
    for row in rows:
        item, baseline = row.item, y - 14
        pen.block(_LEFT, baseline, row.name)
        if item.quantity is not None:
            quantity = fitted(_number(item.quantity), width=80, sizes=(10, 9, 8))
            pen.block(_QUANTITY, baseline, quantity, right=True)
        pen.block(_UNIT, baseline, fitted(item.unit, width=50, sizes=(10, 9, 8)))
        amount = fitted(format_yuan(item.amount_fen), width=104, sizes=(10, 9, 8))
        pen.block(_RIGHT, baseline, amount, right=True)
        y -= row.height
        pen.rule(_LEFT, y, _ACROSS)
    return y


def _total(sheet: _Sheet, y: int) -> int:
    """Write the company's own total, never recomputed from the lines, and what follows from it."""
    sheet.pen.text(_LEFT, y - 19, "合计", 11)
    sheet.pen.text(_LEFT + 27, y - 19, "Total", 8, colour=MUTED)
    sheet.pen.text(_RIGHT, y - 19, format_yuan(sheet.bill.amount_fen), 13, right=True)
    y -= _TOTAL_ROW
    for line in sheet.sums:
        sheet.pen.label(_LEFT, y - 6, line.term)
        sheet.pen.text(_RIGHT, y - 6, format_yuan(line.amount_fen), 10, right=True)
        y -= _SUM_ROW
    return y


def _number(number: Decimal) -> str:
    return f"{number:,f}"


def _chart(sheet: _Sheet, history: Sequence[tuple[date, int]], *, top: int, floor: int) -> None:
    """Draw the latest months that fit between the total and what is below; fewer than two, none."""
    count = min(len(history), _CHART_MONTHS, (top - floor - 34) // _CHART_ROW)
    if count < 2:
        return
    sheet.pen.label(_LEFT, top - 14, Term("近期账单", "Recent bills"))
    drawing = usage_drawing(history[-count:], width=_ACROSS, row=_CHART_ROW, size=9)
    renderPDF.draw(drawing, sheet.pen.canvas, _LEFT, top - 22 - drawing.height)


def _stub(sheet: _Sheet) -> None:
    """Draw the part to pay with: a barcode for counters and a QR code for phones."""
    pen, bill = sheet.pen, sheet.bill
    pen.dashes(_LEFT, _STUB_TOP - 8, _ACROSS)
    payable = bill.state.payable and bill.open_fen > 0
    code = QrCode.of(sheet.pay_url)
    left, top = _RIGHT - code.side, _STUB_TOP - 24
    code.draw(pen.canvas, x=left, top=top)
    area = (left, top - code.side, _RIGHT, top)
    pen.canvas.linkURL(sheet.pay_url, area, relative=0)
    scan = Term("扫码缴费", "Scan to pay") if payable else Term("扫码查看", "Scan to view")
    pen.label(_RIGHT, top - code.side - 14, scan, right=True)
    if not payable:
        say = NOT_PAYABLE.get(bill.state, NOTHING_TO_PAY)
        pen.text(_LEFT, top - 12, say.zh, 13)
        pen.text(_LEFT, top - 28, say.en, 9, colour=MUTED)
        return
    pen.text(_LEFT, top - 10, "缴费", 13, colour=ACCENT)
    pen.text(_LEFT + 33, top - 10, "Payment", 9, colour=MUTED)
    pen.label(_LEFT + 96, top - 10, Term("应缴", "To pay"))
    pen.text(_LEFT + 160, top - 10, format_yuan(bill.open_fen), 13)
    _counter(sheet, top - 36)


def _counter(sheet: _Sheet, top: int) -> None:
    """Draw the barcode and its digits, or say what a counter needs where none is possible."""
    pen, bill = sheet.pen, sheet.bill
    try:
        digits = barcode_digits(sheet.biller_no, bill.account_no, bill.billing_month, bill.open_fen)
    except Invalid as wrong:
        if wrong.code == "barcode.biller_no":  # ours to mend, not the bill's doing
            raise
        pen.text(_LEFT, top - 10, "在柜台缴费请出示户号", 10)
        pen.text(_LEFT, top - 24, "At a counter, show the account number", 8, colour=MUTED)
        return
    draw_code_128(pen.canvas, digits, x=_LEFT, y=top - 46, height=46)
    text = grouped(digits)
    pen.text(_LEFT + (CODE_128_WIDTH - text_width(text, 9)) // 2, top - 60, text, 9)
    pen.label(_LEFT, top - 78, Term("柜台、便利店扫描条码", "For counters and shops"))


def _footer(sheet: _Sheet, *, number: int, count: int) -> None:
    pen = sheet.pen
    pen.rule(_LEFT, 62, _ACROSS)
    pen.text(_LEFT, 48, "本账单不是税务发票。如需发票，请向出账公司索取。", 8, colour=MUTED)
    english = "This bill is not a tax invoice. For one, please ask the company."
    pen.text(_LEFT, 36, english, 8, colour=MUTED)
    pen.text(
        _RIGHT, 48, f"第{number}页，共{count}页 · {number} of {count}", 8, colour=MUTED, right=True
    )
    as_of = f"截至{day_text(sheet.printed_on)} · As of that day"
    pen.text(_RIGHT, 36, as_of, 8, colour=MUTED, right=True)
