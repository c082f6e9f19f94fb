"""Each company's list of a day's write-offs, written anew from docs/wire/confirmations.md."""

import io
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import openpyxl
from lxml import etree

from providers.base import Confirmation, ConfirmationKind

DAY = date(2026, 11, 20)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=ZoneInfo("Asia/Shanghai"))
DONE, BACK, REFUSED = (
    ConfirmationKind.WRITTEN_OFF, ConfirmationKind.REVERSED, ConfirmationKind.REFUSED,
)  # fmt: skip
ACCOUNTS = {"water": "2018008869", "power": "3100018008869", "gas": "660018008869",
            "telecom": "18008869"}  # fmt: skip


class Told(NamedTuple):
    """One row as the company means it; ``fen`` is negative of a reversal."""

    number: str = "W2611000000000042-01"
    kind: ConfirmationKind = DONE
    fen: int = 8_650
    seconds: int = 43_203  # after midnight in Shanghai
    account: str = ""
    bill: str = "B-202610-1"
    receipt: str = "R2026112000000001"
    reason: str = ""

    @property
    def at(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self.seconds)


def yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def water(rows: Sequence[Told], *, count: int = 0, fen: int = 0, day: date = DAY) -> bytes:
    """Write City Water's; ``count`` and ``fen`` are how far its totals are off."""
    words = {DONE: "成功", BACK: "冲正", REFUSED: "拒绝"}
    lines = ["平台流水号,户号,账单号,公司回执号,金额,处理时间,处理结果,原因"]
    for row in rows:
        cells = [row.number, row.account, row.bill, row.receipt, yuan(row.fen),
                 f"{row.at:%Y-%m-%d %H:%M:%S}", words[row.kind], row.reason]  # fmt: skip
        lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
    sum_fen = sum(row.fen for row in rows) + fen
    lines.append(f"合计,{day:%Y%m%d},{len(rows) + count},{yuan(sum_fen)}")
    return "\r\n".join([*lines, ""]).encode()


def power(rows: Sequence[Told], *, count: int = 0, fen: int = 0, day: date = DAY) -> bytes:
    """Write City Power's."""
    lines = [f"1CITYPOWR{day:%Y%m%d}".encode()]
    for row in rows:
        fields = [("2", 1), (row.number, 64), (row.account, 13), (row.bill, 20), (row.receipt, 24)]
        line = b"".join(text.encode("gb18030").ljust(width) for text, width in fields)
        line += yuan(row.fen).rjust(14).encode() + f"{row.at:%Y%m%d%H%M%S}".encode()
        line += b"1" if row.kind is BACK else b"0"
        lines.append(line + row.reason.encode("gb18030").ljust(40))
        assert len(lines[-1]) == 191
    sum_fen = sum(row.fen for row in rows) + fen
    lines.append(f"9{len(rows) + count:08d}{yuan(sum_fen).rjust(16)}".encode())
    return b"".join(line + b"\n" for line in lines)


def gas(rows: Sequence[Told], *, count: int = 0, fen: int = 0, day: date = DAY) -> bytes:
    """Write City Gas's."""
    words = {DONE: "PAY", BACK: "REV", REFUSED: "REJ"}
    root = etree.Element(
        "Confirmations", company="CITYGAS", day=f"{day:%Y%m%d}", count=str(len(rows) + count),
        sum=str(sum(row.fen for row in rows) + fen),
    )  # fmt: skip
    for row in rows:
        one = etree.SubElement(root, "Row", serial=row.number, type=words[row.kind])
        etree.SubElement(one, "AccountNo").text = row.account
        etree.SubElement(one, "Bill", no=row.bill)
        etree.SubElement(one, "ReceiptNo").text = row.receipt
        etree.SubElement(one, "Amount").text = str(row.fen)
        etree.SubElement(one, "Time").text = f"{row.at:%Y%m%d%H%M%S}"
        etree.SubElement(one, "Msg").text = row.reason
    return etree.tostring(root, encoding="GB18030", xml_declaration=True)


def telecom(rows: Sequence[Told], *, count: int = 0, fen: int = 0, day: date = DAY) -> bytes:
    """Write City Telecom's."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "对账"
    sheet.append(["订单号", "号码", "账单号", "流水号", "金额", "时间", "说明"])
    for row in rows:
        sheet.append([row.number, row.account, row.bill, row.receipt, row.fen / 100,
                      f"{row.at:%Y-%m-%d %H:%M:%S}", row.reason])  # fmt: skip
    sum_fen = sum(row.fen for row in rows) + fen
    sheet.append(["合计", f"{day:%Y%m%d}", len(rows) + count, sum_fen / 100])
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


Writer = Callable[..., bytes]
WRITERS: dict[str, Writer] = {"water": water, "power": power, "gas": gas, "telecom": telecom}
TELLS_REFUSALS = ("water", "gas")


def expected(rows: Sequence[Told]) -> list[Confirmation]:
    """Return what must be read of rows that are all sound."""
    seen: set[tuple[str, str]] = set()
    found = []
    for at, row in enumerate(rows, 1):
        key = (row.kind, row.number)
        found.append(Confirmation(
            row_no=at, line_no=0, kind=row.kind, write_off_no=row.number, account_no=row.account,
            bill_no=row.bill, receipt_no=row.receipt, amount_fen=row.fen, written_off_on=DAY,
            written_off_at=row.at.astimezone(UTC), reason=row.reason, is_repeated=key in seen,
        ))  # fmt: skip
        seen.add(key)
    return found
