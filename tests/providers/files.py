"""Bill files made by the wire note (docs/wire/bill-files.md), never by our readers.

A maker knows one company's layout. A row is a mapping of the note's own column names to text, so
that a test can put any text into any column.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from xml.sax.saxutils import escape, quoteattr

Row = dict[str, str]
GAS_FIELDS = (
    ("类型", 1), ("户号", 12), ("户名", 40), ("地址", 60), ("账期", 6), ("账单号", 16), ("版本", 2),
    ("类别", 1), ("起", 8), ("止", 8), ("上次读数", 8), ("本次读数", 8),
    ("用气量", 7), ("应缴", 10), ("出账", 7), ("截止", 7),
)  # fmt: skip
GAS_TEXTS = {"户号", "户名", "地址", "账单号"}


@dataclass(frozen=True)
class Maker:
    """Makes one company's files; ``names`` maps what a test means to the note's column."""

    code: str
    encoding: str
    suffix: str
    row: Row
    names: dict[str, str]
    dates: dict[str, str]  # 2026-11-20 and such, as this company writes them, by our layout word
    has_totals: bool = True
    header: bytes = b""

    def line(self, row: Row) -> bytes:
        raise NotImplementedError

    def trailer(self, count: object, total: str) -> bytes:
        raise NotImplementedError

    def total(self, rows: Sequence[Row]) -> str:
        """Sum the amounts that can be summed, in the trailer's own unit."""
        return str(sum(Decimal(row[self.names["amount"]]) for row in rows))

    def file(self, *changes: Row, **totals: object) -> bytes:
        """Make a file of one row per change; ``count`` and ``total`` overrule the true ones."""
        rows = [self.row | change for change in changes]
        lines = [self.header, *(self.line(row) for row in rows)]
        if self.has_totals:
            total = str(totals["total"]) if "total" in totals else self.total(rows)
            lines.append(self.trailer(totals.get("count", len(rows)), total))
        return b"\n".join(lines) + b"\n"


class WaterMaker(Maker):
    def line(self, row: Row) -> bytes:
        return "|".join(("D", *row.values())).encode(self.encoding)

    def trailer(self, count: object, total: str) -> bytes:
        return f"T|{count}|{total}".encode()


class PowerMaker(Maker):
    def line(self, row: Row) -> bytes:
        return ",".join(map(_csv, row.values())).encode()


class GasMaker(Maker):
    def line(self, row: Row) -> bytes:
        parts = []
        for name, width in GAS_FIELDS:
            cell = {"类型": "2", **row}[name].encode(self.encoding)
            parts.append(cell.ljust(width) if name in GAS_TEXTS else cell.rjust(width, b"0"))
        return b"".join(parts)

    def trailer(self, count: object, total: str) -> bytes:
        return f"9{int(str(count)):08d}{int(total):014d}".encode()


class TelecomMaker(Maker):
    def line(self, row: Row) -> bytes:
        r = {name: escape(text) for name, text in row.items()}
        items = row["amount_fen"].split()
        shown = "".join(
            f'<Item code="c" name={quoteattr(row["name"])} amount_fen={quoteattr(fen)}/>'
            for fen in items
        )
        return (
            f"<Bill action={quoteattr(row['action'])}><AccountNo>{r['AccountNo']}</AccountNo>"
            f"<Holder>{r['Holder']}</Holder><Address>{r['Address']}</Address>"
            f"<BillNo>{r['BillNo']}</BillNo><Version>{r['Version']}</Version>"
            f"<Period month={quoteattr(row['month'])} from={quoteattr(row['from'])}"
            f" to={quoteattr(row['to'])}/><Issued>{r['Issued']}</Issued><Due>{r['Due']}</Due>"
            f"<Items>{shown}</Items><Total>{r['Total']}</Total></Bill>"
        ).encode()

    def trailer(self, count: object, total: str) -> bytes:
        return f'<Summary count="{count}" total="{total}"/></BillFile>'.encode()


def _csv(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') else cell


WATER = WaterMaker(
    code="water", encoding="gb18030", suffix="txt", header=b"H|WATER|42|20261101",
    row={
        "户号": "1000000001", "户名": "张珅", "地址": "示例路1号", "账期": "202610",
        "账单号": "W-202610-1", "版本": "1", "状态": "N", "起始日": "20260901",
        "截止日": "20261031", "用水量": "25", "供水费": "48.25", "排水费": "38.25",
        "应缴金额": "86.50", "出账日": "20261101", "最后缴费日": "20261120",
    },
    names={
        "account": "户号", "holder": "户名", "address": "地址", "month": "账期", "bill": "账单号",
        "version": "版本", "status": "状态", "from": "起始日", "to": "截止日", "amount": "应缴金额",
        "charge": "供水费", "issued": "出账日", "due": "最后缴费日", "quantity": "用水量",
    },
    dates={"impossible": "20260230", "august": "20260831", "october": "20261031", "1999": "199912",
           "2028": "202801", "month 13": "202613"},
)  # fmt: skip
POWER = PowerMaker(
    code="power", encoding="utf-8", suffix="csv", has_totals=False,
    header=codecs.BOM_UTF8 + (
        "户号,户名,用电地址,电费年月,账单编号,版本号,冲销标志,抄表起,抄表止,峰电量,谷电量,峰电费,"
        "谷电费,应收电费,发行日期,缴费截止日期"
    ).encode(),
    row={
        "户号": "3100000000001", "户名": "李瑋", "用电地址": '示例路2号, "东"座',
        "电费年月": "2026-10", "账单编号": "P-202610-1", "版本号": "1", "冲销标志": "0",
        "抄表起": "2026-10-01", "抄表止": "2026-10-31", "峰电量": "100", "谷电量": "50.5",
        "峰电费": "61.70", "谷电费": "24.80", "应收电费": "86.50", "发行日期": "2026-11-01",
        "缴费截止日期": "2026-11-20",
    },
    names={
        "account": "户号", "holder": "户名", "address": "用电地址", "month": "电费年月",
        "bill": "账单编号", "version": "版本号", "status": "冲销标志", "from": "抄表起",
        "to": "抄表止", "amount": "应收电费", "charge": "峰电费", "issued": "发行日期",
        "due": "缴费截止日期", "quantity": "峰电量",
    },
    dates={"impossible": "2026-02-30", "august": "2026-08-31", "october": "2026-10-31",
           "1999": "1999-12", "2028": "2028-01", "month 13": "2026-13"},
)  # fmt: skip
GAS = GasMaker(
    code="gas", encoding="gb18030", suffix="dat", header=b"1CITYGAS 0000004220261101",
    row={
        "户号": "200000000001", "户名": "王䶮", "地址": "示例路3号", "账期": "202610",
        "账单号": "G-202610-1", "版本": "01", "类别": "0", "起": "20260901", "止": "20261031",
        "上次读数": "00000825", "本次读数": "00000003", "用气量": "24", "应缴": "8650",
        "出账": "2026305", "截止": "2026324",
    },
    names={
        "account": "户号", "holder": "户名", "address": "地址", "month": "账期", "bill": "账单号",
        "version": "版本", "status": "类别", "from": "起", "to": "止", "amount": "应缴",
        "issued": "出账", "due": "截止", "quantity": "用气量",
    },
    dates={"impossible": "20260230", "august": "20260831", "october": "2026304", "1999": "199912",
           "2028": "202801", "month 13": "202613"},
)  # fmt: skip
TELECOM = TelecomMaker(
    code="telecom", encoding="utf-8", suffix="xml",
    header=b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<BillFile xmlns="urn:citytelecom:bill:1" sequence="42" created="2026-11-01">',
    row={
        "action": "issue", "AccountNo": "80000001", "Holder": "赵𠮷", "Address": "示例路4号 & 5号",
        "BillNo": "T-202610-1", "Version": "1", "month": "2026-10", "from": "2026-10-01",
        "to": "2026-10-31", "Issued": "2026-11-01", "Due": "2026-11-20", "name": "套餐月基本费",
        "amount_fen": "9650 -1000", "Total": "86.50",
    },
    names={
        "account": "AccountNo", "holder": "Holder", "address": "Address", "month": "month",
        "bill": "BillNo", "version": "Version", "status": "action", "from": "from", "to": "to",
        "amount": "Total", "charge": "amount_fen", "issued": "Issued", "due": "Due",
    },
    dates={"impossible": "2026-02-30", "august": "2026-08-31", "october": "2026-10-31",
           "1999": "1999-12", "2028": "2028-01", "month 13": "2026-13"},
)  # fmt: skip
MAKERS: tuple[Maker, ...] = (WATER, POWER, GAS, TELECOM)
FIRST_ROW = {"water": 2, "power": 2, "gas": 2, "telecom": 3}
