"""The upper part of a bill on paper: whose it is, how much, by when; and the foot of each page."""

from typing import Final

from billing.documents.bill_lines import number_text
from billing.documents.bill_sheet import ACROSS, HEAD, LEFT, RIGHT, Sheet, day_text
from billing.documents.charts import month_text
from billing.documents.paper import HEIGHT, WIDTH
from billing.documents.statements import STATES
from billing.documents.typesetting import (
    ACCENT,
    ALERT,
    INK,
    MUTED,
    Pen,
    Term,
    fitted,
    text_width,
)
from billing.views import BillState
from core.money import format_yuan

_NO_INVOICE: Final = "本账单不是税务发票。如需发票，请向出账公司索取。"
_NO_INVOICE_ENGLISH: Final = "This bill is not a tax invoice. For one, please ask the company."


def draw_header(sheet: Sheet) -> None:
    """Write what it is and who sends it."""
    pen, tags, account = sheet.pen, sheet.tags, sheet.bill.account
    _band(pen)
    with tags.content("H1"):
        pen.text(LEFT, 776, "账单", 28, colour=ACCENT)
        pen.english(LEFT + 66, 776, "Bill", 18)
    size = 14 if text_width(account.provider_name, 14) <= 330 else 11
    name = fitted(account.provider_name, width=330, sizes=(size,), lines=2)
    english = fitted(account.provider_name_en, width=330, sizes=(9, 8), lines=2)
    below = 768 + english.height - english.leading
    with tags.content("P"):
        pen.block(RIGHT, below + 14 + name.height - name.leading, name, right=True)
    with tags.content("P", "/Lang(en)"):
        pen.block(RIGHT, below, english, colour=MUTED, right=True)
    pen.rule(LEFT, 756, ACROSS)


def draw_header_again(sheet: Sheet) -> None:
    """Write the same small, on a further page."""
    pen, bill = sheet.pen, sheet.bill
    _band(pen)
    with sheet.tags.artifact("Pagination"):
        pen.text(LEFT, 776, "账单", 16, colour=ACCENT)
        pen.text(LEFT + 40, 776, "Bill", 12, colour=MUTED)
        of = f"{bill.account.provider_name} · {bill.bill_no}"
        pen.block(RIGHT, 776, fitted(of, width=380, sizes=(10, 9, 8)), right=True)
    pen.rule(LEFT, 764, ACROSS)


def _band(pen: Pen) -> None:
    pen.fill(0, HEIGHT - 6, WIDTH, 6, colour=ACCENT)


def draw_parties(sheet: Sheet) -> int:
    """Write who is billed, and beside it how much; return the lowest point of both."""
    pen, account = sheet.pen, sheet.bill.account
    y = HEAD - 22
    for term, text, sizes, lines in (
        (Term("户名", "Account holder"), account.holder_masked, (13, 11, 10), 2),
        (Term("户号", "Account no."), sheet.bill.account_no, (13, 11, 9), 2),
        (Term("用户地址", "Address"), account.address, (10, 9), 3),
    ):
        with sheet.tags.content("P"):
            pen.label(LEFT, y, term)
            block = fitted(text or "—", width=236, sizes=sizes, lines=lines)
            y = pen.block(LEFT, y - block.size - 6, block) - 7
    return min(y + 10, _amount_panel(sheet))


def _amount_panel(sheet: Sheet) -> int:
    """Write the amount large, by when it is due and how the bill stands."""
    pen, bill = sheet.pen, sheet.bill
    height = 142
    left, right, bottom = 316, RIGHT - 16, HEAD - 10 - height
    pen.panel(left, bottom, RIGHT - left, height)
    x = left + 16
    with sheet.tags.content("P"):
        pen.label(x, bottom + 120, Term("本期账单金额", "Amount billed"))
        amount = fitted(
            format_yuan(bill.amount_fen), width=right - x, sizes=(34, 30, 26, 22, 18, 14)
        )
        pen.block(x, bottom + 78, amount)
    pen.rule(x, bottom + 62, right - x)
    with sheet.tags.content("P"):
        _due(sheet, x, right, bottom)
    with sheet.tags.content("P"):
        pen.label(x, bottom + 18, Term("状态", "Status"))
        state = STATES[bill.state]
        colour = ALERT if bill.state in {BillState.OVERDUE, BillState.CANCELLED} else INK
        beside = right - text_width(state.en, 8) - 6
        pen.text(beside, bottom + 18, state.zh, 12, colour=colour, right=True)
        pen.english(right, bottom + 18, state.en, 8, right=True)
    return bottom


def _due(sheet: Sheet, x: int, right: int, bottom: int) -> None:
    pen, bill = sheet.pen, sheet.bill
    pen.label(x, bottom + 41, Term("缴费截止", "Due by"))
    due = day_text(bill.pay_by_on) if bill.amount_fen > 0 else "—"
    pen.text(right, bottom + 41, due, 12, right=True)
    if bill.pay_by_on != bill.due_on and bill.amount_fen > 0:
        rolled = f"原定{day_text(bill.due_on)}，遇休息日调整 · moved for a day off"
        pen.text(right, bottom + 30, rolled, 8, colour=MUTED, right=True)


def draw_details(sheet: Sheet, top: int) -> int:
    """Write the facts of the bill in three columns; return the lowest point."""
    bill = sheet.bill
    edition = f"（第{bill.version}版）" if bill.version > 1 else ""
    period = f"{day_text(bill.period_from_on)} 至 {day_text(bill.period_to_on)}"
    usage = "—" if bill.usage is None else f"{number_text(bill.usage)} {bill.usage_unit}"
    low = top
    for terms in (
        (
            (Term("账期", "Billing month"), month_text(bill.billing_month)),
            (Term("出账日", "Issued"), day_text(bill.issued_on)),
            (Term("计费周期", "Period"), period),
        ),
        (
            (Term("用量", "Usage"), usage),
            (Term("客服电话", "Enquiries"), sheet.printed.phone),
            (Term("账单号", "Bill no."), f"{bill.bill_no}{edition}"),
        ),
    ):
        for x, width, (term, text) in zip((LEFT, 192, 330), (128, 128, 211), terms, strict=True):
            with sheet.tags.content("P"):
                sheet.pen.label(x, top, term)
                block = fitted(text, width=width, sizes=(11, 10, 9), lines=2)
                low = min(low, sheet.pen.block(x, top - 16, block))
        top = low - 6
    return low + 2


def draw_footer(sheet: Sheet, *, number: int, count: int) -> None:
    """Write that it is no invoice, which page it is, and of which day."""
    pen = sheet.pen
    pen.rule(LEFT, 62, ACROSS)
    first = number == 1  # what each page repeats is read once
    with sheet.tags.content("P") if first else sheet.tags.artifact("Pagination"):
        pen.text(LEFT, 48, _NO_INVOICE, 8, colour=MUTED)
        pen.english(LEFT, 36, _NO_INVOICE_ENGLISH, 8)
    with sheet.tags.content("P") if first else sheet.tags.artifact("Pagination"):
        as_of = f"截至{day_text(sheet.printed_on)} · As of that day"
        pen.text(RIGHT, 36, as_of, 8, colour=MUTED, right=True)
    with sheet.tags.artifact("Pagination"):
        pages = f"第{number}页，共{count}页 · {number} of {count}"
        pen.text(RIGHT, 48, pages, 8, colour=MUTED, right=True)
