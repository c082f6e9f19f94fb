"""Each company's list of a day's write-offs as it writes it: docs/wire/confirmations.md."""

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from xml.etree import ElementTree

from core.clock import BILLING_ZONE
from core.money import yuan_text
from simulator.confirmations import DayList, Row
from simulator.workbooks import workbook

_WATER_NAMES = (
    "平台流水号", "户号", "账单号", "公司回执号", "金额", "处理时间", "处理结果", "原因",
)  # fmt: skip
_WATER_WORDS = {"done": "成功", "reversed": "冲正", "refused": "拒绝"}
_GAS_WORDS = {"done": "PAY", "reversed": "REV", "refused": "REJ"}
_TELECOM_NAMES = ("订单号", "号码", "账单号", "流水号", "金额", "时间", "说明")


def water_file(told: DayList) -> bytes:
    """Write City Water's: comma-separated, in UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_WATER_NAMES)
    for row in told.rows:
        writer.writerow([
            row.write_off_no, row.account_no, row.bill_no, row.receipt, yuan_text(row.amount_fen),
            _plainly(row.at), _WATER_WORDS[row.kind], row.reason,
        ])  # fmt: skip
    sum_text = yuan_text(_sum_fen(told.rows))
    writer.writerow(["合计", f"{told.day:%Y%m%d}", len(told.rows), sum_text])
    return text.getvalue().encode()


def power_file(told: DayList) -> bytes:
    """Write City Power's: fixed width, counted in bytes of GB18030."""
    rows = [row for row in told.rows if row.kind != "refused"]
    lines = [b"1CITYPOWR" + f"{told.day:%Y%m%d}".encode()]
    lines += [_power_line(row) for row in rows]
    sum_text = yuan_text(_sum_fen(rows))
    lines.append(f"9{len(rows):08d}{sum_text:>16}".encode())
    return b"".join(line + b"\r\n" for line in lines)


def _power_line(row: Row) -> bytes:
    cells = (
        ("2", 1), (row.write_off_no, 64), (row.account_no, 13), (row.bill_no, 20),
        (row.receipt, 24), (f"{yuan_text(row.amount_fen):>14}", 14), (_packed(row.at), 14),
        ("1" if row.kind == "reversed" else "0", 1), (row.reason, 40),
    )  # fmt: skip
    return b"".join(_padded(text, width) for text, width in cells)


def _padded(text: str, width: int) -> bytes:
    """Return a field; what is too long is cut by whole characters."""
    while len(field := text.encode("gb18030")) > width:
        text = text[:-1]
    return field.ljust(width)


def gas_file(told: DayList) -> bytes:
    """Write City Gas's: XML in GB18030."""
    facts = {
        "company": "CITYGAS", "day": f"{told.day:%Y%m%d}", "count": str(len(told.rows)),
        "sum": str(_sum_fen(told.rows)),
    }  # fmt: skip
    root = ElementTree.Element("Confirmations", facts)
    for row in told.rows:
        element = ElementTree.SubElement(
            root, "Row", {"serial": row.write_off_no, "type": _GAS_WORDS[row.kind]}
        )
        ElementTree.SubElement(element, "AccountNo").text = row.account_no
        ElementTree.SubElement(element, "Bill", {"no": row.bill_no})
        for name, text in (
            ("ReceiptNo", row.receipt), ("Amount", str(row.amount_fen)),
            ("Time", _packed(row.at)), ("Msg", row.reason),
        ):  # fmt: skip
            ElementTree.SubElement(element, name).text = text
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="GB18030"?>\n{text}'.encode("gb18030")


def telecom_file(told: DayList) -> bytes:
    """Write City Telecom's: a workbook."""
    rows = [row for row in told.rows if row.kind != "refused"]
    cells = [
        (row.write_off_no, row.account_no, row.bill_no, row.receipt, _yuan(row.amount_fen),
         _plainly(row.at), row.reason)
        for row in rows
    ]  # fmt: skip
    last = ("合计", f"{told.day:%Y%m%d}", len(rows), _yuan(_sum_fen(rows)))
    return workbook("对账", [_TELECOM_NAMES, *cells, last])


def _sum_fen(rows: Iterable[Row]) -> int:
    return sum(row.amount_fen for row in rows)


def _yuan(amount_fen: int) -> Decimal:
    return Decimal(yuan_text(amount_fen))


def _plainly(moment: datetime) -> str:
    return f"{moment.astimezone(BILLING_ZONE):%Y-%m-%d %H:%M:%S}"


def _packed(moment: datetime) -> str:
    return f"{moment.astimezone(BILLING_ZONE):%Y%m%d%H%M%S}"
