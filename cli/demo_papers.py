"""What the demo's companies send beside the residents' newest bills: readings, a photo, invoices.

Every paper says that it is a specimen: nobody is to take it for an invoice.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final

from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfgen.canvas import Canvas
from sqlmodel import Session

from billing.bills import list_bills, parse_ref
from billing.documents.fonts import MAIN, TYPESETTING, require_fonts
from billing.homes.households import visible_accounts
from billing.models import Bill
from billing.papers import Paper, put_paper
from billing.readings import put_reading
from billing.views import BillView
from core.clock import billing_date
from core.db import transaction
from core.money import format_yuan
from providers.base import MeterReading, ReadingKind

_SPECIMEN: Final = "演示样张，不是发票 · Specimen, not an invoice"
_METER_BEGAN_AT: Final = Decimal(500)


def send_papers(residents: Iterable[int], *, now: datetime) -> None:
    """Let the water company tell of its meters, and the gas company send its newest e-invoice."""
    for person_id in residents:
        with transaction() as session:
            accounts = visible_accounts(session, person_id)
            shown = list_bills(session, accounts, today=billing_date(now))
            bills = [one for one in shown if one.amount_fen > 0]
            _tell_readings(session, [one for one in bills if _is(one, "water")], now=now)
            for bill in [one for one in bills if _is(one, "gas")][:1]:
                for paper in _invoices(bill):
                    put_paper(session, _row(session, bill), paper, now=now)


def _is(bill: BillView, company: str) -> bool:
    return bill.account.provider_code == company


def _row(session: Session, bill: BillView) -> Bill:
    return session.get_one(Bill, parse_ref(bill.ref))


def _tell_readings(session: Session, newest_first: list[BillView], *, now: datetime) -> None:
    """Tell what the meter showed; the newest was estimated, and the one before photographed."""
    after = _METER_BEGAN_AT
    for back, bill in sorted(enumerate(newest_first), reverse=True):
        before, after = after, after + (bill.usage or Decimal(0))
        kind = ReadingKind.ESTIMATED if back == 0 else ReadingKind.READ
        reading = MeterReading(before, after, bill.period_to_on, kind, "SW-20-004417")
        put_reading(session, _row(session, bill), reading, now=now)
        if back == 1:
            photo = Paper("image/png", _photo(after))
            put_paper(session, _row(session, bill), photo, now=now)


def _photo(figure: Decimal) -> bytes:
    """Draw a meter's dial that shows a figure."""
    image = Image.new("RGB", (480, 320), "#8a9499")
    draw = ImageDraw.Draw(image)
    draw.ellipse((90, 10, 390, 310), fill="#f4f1e6", outline="#3c474c", width=10)
    draw.rectangle((135, 120, 345, 185), fill="#14181a")
    font = ImageFont.load_default(46)
    draw.text((240, 152), f"{int(figure):06d}", fill="#ffffff", font=font, anchor="mm")
    draw.text((240, 225), "m3", fill="#3c474c", font=ImageFont.load_default(28), anchor="mm")
    draw.text((240, 262), "SPECIMEN", fill="#a33a2c", font=ImageFont.load_default(18), anchor="mm")
    stored = io.BytesIO()
    image.save(stored, "PNG", optimize=True)
    return stored.getvalue()


def _invoices(bill: BillView) -> Iterator[Paper]:
    # Year, Shanghai, a number: the same for the same bill, so that a city may be seeded again.
    number = f"{bill.issued_on:%y}31{parse_ref(bill.ref)[0]:014d}{bill.issued_on:%m}"
    lines = [
        _SPECIMEN, f"发票号码 {number}", f"开票日期 {bill.issued_on}", bill.account.provider_name,
        f"账单 {bill.bill_no}", f"价税合计 {format_yuan(bill.amount_fen)}",
    ]  # fmt: skip
    for media_type, content in (
        ("application/pdf", _pdf(lines)),
        ("application/ofd", _ofd(lines, number)),
        ("application/xml", _xml(bill, number)),
    ):
        yield Paper(media_type, content, number, bill.issued_on)


def _pdf(lines: list[str]) -> bytes:
    stored = io.BytesIO()
    with TYPESETTING:
        require_fonts()
        canvas = Canvas(
            stored, pagesize=(420, 280), initialFontName=MAIN, lang="zh-CN", invariant=1
        )
        canvas.setTitle(lines[0])
        canvas.setFont(MAIN, 13)
        for at, line in enumerate(lines):
            canvas.drawString(40, 230 - at * 30, line)
        canvas.save()
    return stored.getvalue()


def _xml(bill: BillView, number: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<EInvoice><Note>{_SPECIMEN}</Note><InvoiceNumber>{number}</InvoiceNumber>"
        f"<IssueDate>{bill.issued_on}</IssueDate><SellerName>{bill.account.provider_name}"
        f"</SellerName><TotalFen>{bill.amount_fen}</TotalFen></EInvoice>\n"
    ).encode()


def _ofd(lines: list[str], number: str) -> bytes:
    """Write one page as GB/T 33190 has it: a zip archive of XML."""
    space = 'xmlns:ofd="http://www.ofdspec.org/2016"'
    texts = "".join(
        f'<ofd:TextObject ID="{10 + at}" Boundary="15 {20 + at * 10} 120 8" Font="3" Size="4">'
        f'<ofd:TextCode X="0" Y="4">{line}</ofd:TextCode></ofd:TextObject>'
        for at, line in enumerate(lines)
    )
    members = {
        "OFD.xml": f'<ofd:OFD {space} Version="1.0" DocType="OFD"><ofd:DocBody><ofd:DocInfo>'
        f'<ofd:CustomDatas><ofd:CustomData Name="发票号码">{number}</ofd:CustomData>'
        "</ofd:CustomDatas></ofd:DocInfo><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot>"
        "</ofd:DocBody></ofd:OFD>",
        "Doc_0/Document.xml": f"<ofd:Document {space}><ofd:CommonData><ofd:MaxUnitID>99"
        "</ofd:MaxUnitID><ofd:PageArea><ofd:PhysicalBox>0 0 148 100</ofd:PhysicalBox>"
        "</ofd:PageArea><ofd:PublicRes>PublicRes.xml</ofd:PublicRes></ofd:CommonData><ofd:Pages>"
        '<ofd:Page ID="1" BaseLoc="Page_0.xml"/></ofd:Pages></ofd:Document>',
        "Doc_0/PublicRes.xml": f'<ofd:Res {space} BaseLoc="Res"><ofd:Fonts><ofd:Font ID="3"'
        ' FontName="宋体"/></ofd:Fonts></ofd:Res>',
        "Doc_0/Page_0.xml": f'<ofd:Page {space}><ofd:Content><ofd:Layer ID="2">{texts}'
        "</ofd:Layer></ofd:Content></ofd:Page>",
    }
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            member = zipfile.ZipInfo(name)  # of no day: the same bytes whenever it is made
            archive.writestr(member, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}')
    return stored.getvalue()
