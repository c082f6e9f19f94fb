"""The lower part of a bill on paper: a barcode for counters and a QR code for phones."""

from billing.documents.barcodes import (
    CODE_128_WIDTH,
    QrCode,
    barcode_digits,
    draw_code_128,
    grouped,
)
from billing.documents.bill_sheet import ACROSS, LEFT, RIGHT, STUB_TOP, Sheet
from billing.documents.statements import NOT_PAYABLE, NOTHING_TO_PAY
from billing.documents.tagging import alt
from billing.documents.typesetting import ACCENT, Term, text_width
from core.errors import Invalid
from core.money import format_yuan
from providers.base import OptionKind


def draw_stub(sheet: Sheet) -> None:
    """Draw what the bill is paid with, or say why there is nothing to pay."""
    pen, bill = sheet.pen, sheet.bill
    pen.dashes(LEFT, STUB_TOP - 8, ACROSS)
    payable = bill.state.payable and bill.open_fen > 0
    top = STUB_TOP - 24
    if payable:
        sheet.paper.bookmark("缴费 Payment", STUB_TOP, level=1)
        with sheet.tags.content("H2"):
            pen.text(LEFT, top - 10, "缴费", 13, colour=ACCENT)
            pen.english(LEFT + 33, top - 10, "Payment", 9)
        with sheet.tags.content("P"):
            pen.label(LEFT + 96, top - 10, Term("应缴", "To pay"))
            pen.text(LEFT + 160, top - 10, format_yuan(_to_pay_fen(sheet)), 13)
        _counter(sheet, top - 36)
    else:
        say = NOT_PAYABLE.get(bill.state, NOTHING_TO_PAY)
        with sheet.tags.content("P"):
            pen.text(LEFT, top - 12, say.zh, 13)
            pen.english(LEFT, top - 28, say.en, 9)
    _phone(sheet, top, payable=payable)


def _to_pay_fen(sheet: Sheet) -> int:
    """Return what is to pay: what is open, or the late amount once it alone is taken (rule 3).

    A counter asks us what it takes; the barcode always says what is open, by which it is found.
    """
    match sheet.printed.offers:
        case [late] if late.kind is OptionKind.LATE:
            return late.amount_fen
    return sheet.bill.open_fen


def _phone(sheet: Sheet, top: int, *, payable: bool) -> None:
    """Draw the QR code; on a screen it is a link."""
    url = sheet.printed.pay_url
    scan = Term("扫码缴费", "Scan to pay") if payable else Term("扫码查看", "Scan to view")
    code = QrCode.of(url)
    left, bottom = RIGHT - code.side, top - code.side
    with sheet.tags.content("Link", alt(f"二维码：{scan.zh} {url}")):
        code.draw(sheet.pen.canvas, x=left, top=top)
        sheet.tags.link(url, (left, bottom, RIGHT, top), scan.zh)
    with sheet.tags.content("P"):
        sheet.pen.label(RIGHT, bottom - 14, scan, right=True)


def _counter(sheet: Sheet, top: int) -> None:
    """Draw the barcode and its digits, or say what a counter needs where none is possible."""
    pen, bill, tags = sheet.pen, sheet.bill, sheet.tags
    biller_no = sheet.printed.biller_no
    try:
        digits = barcode_digits(biller_no, bill.account_no, bill.billing_month, bill.open_fen)
    except Invalid as wrong:
        if wrong.code == "barcode.biller_no":  # ours to mend, not the bill's doing
            raise
        with tags.content("P"):
            pen.text(LEFT, top - 10, "在柜台缴费请出示户号", 10)
            pen.english(LEFT, top - 24, "At a counter, show the account number", 8)
        return
    with tags.figure(f"条形码：{digits}"):
        draw_code_128(pen.canvas, digits, x=LEFT, y=top - 46, height=46)
    text = grouped(digits)
    with tags.content("P"):
        pen.text(LEFT + (CODE_128_WIDTH - text_width(text, 9)) // 2, top - 60, text, 9)
    with tags.content("P"):
        pen.label(LEFT, top - 78, Term("柜台、便利店扫描条码", "For counters and shops"))
