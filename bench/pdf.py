"""How near a bill's PDF comes to the same marks made straight on reportlab's canvas.

*Ours*: ``bill_pdf`` with Chinese text, a chart, a barcode and a QR code: measured, wrapped, tagged
and bookmarked. *Limit*: those very marks, at places already known, with ``drawString`` and its like
on a bare canvas in the same fonts: no measuring, no tags. *Volume*: the same bills a thousand to a
PDF, as they are made to print. Each bill is another one; by turns in this run, in seconds of
processor, because a document waits for nothing else.

    python -m bench.pdf [--rows N] [--repeats K] [--json]
    python -m bench.pdf --volumes N [--json]    a batch of N bills, made whole as workers make it
"""

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import Any

import reportlab
from reportlab.graphics.shapes import Rect, String
from reportlab.lib.colors import Color
from reportlab.pdfgen.canvas import Canvas

from bench.bill_import import spread, told
from bench.reconcile import ratio
from bench.volumes import make_volumes
from billing.documents.barcodes import QrCode, barcode_digits, draw_code_128
from billing.documents.bill_sheet import ACROSS, LEFT, RIGHT, STUB_TOP, Printed, Sheet
from billing.documents.charts import usage_drawing
from billing.documents.fonts import MAIN, register_fonts
from billing.documents.paper import CHINESE, HEIGHT, WIDTH, Paper, Properties
from billing.documents.pdf import bill_pdf, bill_volume, draw_bill
from billing.documents.typesetting import HAIRLINE, INK, TINT, Pen
from billing.views import AccountView, BillState, BillView
from providers.base import LineItem

NOW, MONTH = datetime(2026, 11, 18, 3, tzinfo=UTC), date(2026, 11, 1)
HISTORY = [(date(2026, month, 1), 9_000 + month * 417) for month in range(1, 12)]
VOLUME = 1_000
_HOLDERS, _STREETS = "赵钱孙李周吴郑王冯陈褚卫", ("南京西路", "汉口路", "四川北路", "世纪大道")
Mark = Callable[[Canvas], object]


def printed(at: int) -> Printed:
    """Return the ``at``-th bill of a made-up city: three lines, eleven months before it."""
    number = f"31000{at:08d}"
    street = _STREETS[at % len(_STREETS)]
    account = AccountView(
        account_id=at, provider_code="power", provider_name="海城市电力有限公司",
        provider_name_en="Haicheng Power Co., Ltd.", account_no_masked=f"****{at:04d}",
        holder_masked=f"{_HOLDERS[at % len(_HOLDERS)]}*珅",
        address=f"海城市静安区{street}{at % 2000}号恒隆花园{at % 7 + 1}幢1单元{at % 30 + 1}02室",
    )  # fmt: skip
    amount_fen = 15_339 + at % 10_000
    bill = BillView(
        ref=f"{at}.91", account=account, account_no=number, billing_month=MONTH,
        bill_no=f"P202611{at:08d}", version=1, period_from_on=date(2026, 10, 11),
        period_to_on=date(2026, 11, 10), issued_on=date(2026, 11, 12),
        due_on=date(2026, 11, 30), pay_by_on=date(2026, 11, 30), usage=Decimal(286),
        usage_unit="kWh", amount_fen=amount_fen, adjusted_fen=0, credited_fen=0, paid_fen=0,
        paid_late_fee_fen=0, open_fen=amount_fen, state=BillState.OPEN, days_left=12,
        items=(
            LineItem("峰时电量 第一档", Decimal(180), "kWh", amount_fen - 4_233),
            LineItem("谷时电量 第一档", Decimal("80.50"), "kWh", 4_733),
            LineItem("上期余额抵扣", None, "", -500),
        ),
    )  # fmt: skip
    return Printed(
        bill=bill, biller_no="0002", phone="95598", now=NOW, history=HISTORY,
        pay_url=f"https://pay.haicheng.example/bills/{at}.91",
    )  # fmt: skip


def ours(one: Printed) -> bytes:
    return bill_pdf(
        one.bill, biller_no=one.biller_no, phone=one.phone, pay_url=one.pay_url, now=one.now,
        history=one.history,
    )  # fmt: skip


def straight(marks: list[Mark]) -> bytes:
    """Make known marks on a bare canvas."""
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=(WIDTH, HEIGHT), pageCompression=1, invariant=1)
    for mark in marks:
        mark(canvas)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


class Recorder(Pen):
    """Draws as its like does, and notes each mark as it is made on a bare canvas."""

    def __init__(self, paper: Paper) -> None:
        super().__init__(paper.canvas, paper.tags)
        self.marks: list[Mark] = []

    def text(
        self, x: int, y: int, text: str, size: int, *, colour: Color = INK, right: bool = False
    ) -> None:
        def mark(canvas: Canvas) -> None:
            canvas.setFillColor(colour)
            canvas.setFont(MAIN, size)
            (canvas.drawRightString if right else canvas.drawString)(x, y, text)

        self.marks.append(mark)
        super().text(x, y, text, size, colour=colour, right=right)

    def rule(self, x: int, y: int, width: int, *, colour: Color = HAIRLINE) -> None:
        self._note_rect(x, y, width, 1, colour)
        super().rule(x, y, width, colour=colour)

    def fill(self, x: int, y: int, width: int, height: int, *, colour: Color = TINT) -> None:
        self._note_rect(x, y, width, height, colour)
        super().fill(x, y, width, height, colour=colour)

    def panel(self, x: int, y: int, width: int, height: int) -> None:
        def mark(canvas: Canvas) -> None:
            canvas.setFillColor(TINT)
            canvas.roundRect(x, y, width, height, 6, stroke=0, fill=1)

        self.marks.append(mark)
        super().panel(x, y, width, height)

    def _note_rect(self, x: int, y: int, width: int, height: int, colour: Color) -> None:
        def mark(canvas: Canvas) -> None:
            canvas.setFillColor(colour)
            canvas.rect(x, y, width, height, stroke=0, fill=1)

        self.marks.append(mark)

    def note_chart(self, history: Sequence[tuple[date, int]], top: int) -> None:
        """Note the marks of a chart whose upper edge is at ``top``."""
        drawing = usage_drawing(history, width=ACROSS, row=14, size=9)
        left, bottom = LEFT, top - int(drawing.height)
        for one in drawing.contents:
            if isinstance(one, Rect):
                x, y = left + one.x, bottom + one.y
                self._note_rect(x, y, one.width, one.height, one.fillColor)
            elif isinstance(one, String):
                self._note_line(left + one.x, bottom + one.y, one)

    def _note_line(self, x: int, y: int, of: String) -> None:
        def mark(canvas: Canvas) -> None:
            canvas.setFillColor(of.fillColor)
            canvas.setFont(MAIN, of.fontSize)
            canvas.drawString(x, y, of.text)

        self.marks.append(mark)


def recorded(one: Printed) -> list[Mark]:
    """Return the marks of a bill; its QR code is encoded when it is made, as ours is."""
    about = Properties(title="", author="", subject="", lang=CHINESE, made_at=one.now)
    paper = Paper(about)
    pen = paper.pen = Recorder(paper)
    draw_bill(Sheet.of(paper, one), "")
    pen.note_chart(one.history[-9:], 330)  # as many as ours has room for
    bill = one.bill
    digits = barcode_digits(one.biller_no, bill.account_no, bill.billing_month, bill.open_fen)

    def codes(canvas: Canvas) -> None:
        code = QrCode.of(one.pay_url)
        code.draw(canvas, x=RIGHT - code.side, top=STUB_TOP - 24)
        draw_code_128(canvas, digits, x=LEFT, y=STUB_TOP - 106, height=46)

    return [*pen.marks, codes]


def volume(bills: list[Printed]) -> bytes:
    about = Properties(title="v", author="v", subject="v", lang=CHINESE, made_at=NOW)
    return bill_volume(bills, about)


def seconds_of(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def measure(rows: int, repeats: int) -> dict[str, Any]:
    register_fonts()
    ours_s, limits_s, volumes_s = [], [], []
    sizes = {"one": 0, "straight": 0, "in_volume": 0}
    for turn in range(repeats + 1):  # the first turn warms up
        bills = [printed(turn * rows + at) for at in range(rows)]
        marks = [recorded(one) for one in bills]
        mine = limit = volumes = 0.0
        for one, of in zip(bills, marks, strict=True):  # by turns, so that both have the same noise
            mine += seconds_of(partial(ours, one))
            limit += seconds_of(partial(straight, of))
        for at in range(0, rows, VOLUME):
            volumes += seconds_of(partial(volume, bills[at : at + VOLUME]))
        told(f"turn {turn}: {mine:.2f} s, limit {limit:.2f} s, in volumes {volumes:.2f} s")
        if turn:
            ours_s.append(mine)
            limits_s.append(limit)
            volumes_s.append(volumes)
        sizes = {
            "one": len(ours(bills[0])), "straight": len(straight(marks[0])),
            "in_volume": len(volume(bills[:VOLUME])) // min(rows, VOLUME),
        }  # fmt: skip
    return {
        "name": "pdf",
        "ours": spread([rows / one for one in ours_s], "PDFs/s of one processor"),
        "limit": spread([rows / one for one in limits_s], "PDFs/s straight on the canvas"),
        "ratio": ratio(limits_s, ours_s),
        "volume": spread([rows / one for one in volumes_s], "documents/s in volumes"),
        "volume_ratio": ratio(limits_s, volumes_s),
        "bytes": sizes,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "rows": rows,
        "repeats": repeats,
        "versions": {"python": platform.python_version(), "reportlab": reportlab.__version__},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--volumes", type=int, metavar="N")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.volumes:
        print(json.dumps(make_volumes(chosen.volumes), indent=None if chosen.json else 2))
        return
    found = measure(chosen.rows, chosen.repeats)
    if chosen.json:
        print(json.dumps(found))
        return
    print(f"{found['name']}: {found['ratio']} of the limit, {found['rows']:,} documents a turn")
    for side in ("ours", "limit", "volume"):
        one = found[side]
        print(f"  {side:<7}{one['median']:>7,} {one['unit']}  ({one['min']:,} to {one['max']:,})")
    print(f"  in volumes {found['volume_ratio']} of the limit; bytes {found['bytes']};", end="")
    print(f" peak memory {found['peak_mb']} MB")


if __name__ == "__main__":
    main()
