"""Samples of text files, each with a trap that real companies' files have."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from providers.base import BillRecord, LineItem, MeterReading, RecordKind
from providers.profiles import load_profile
from providers.registry import PROFILES
from tests.providers.contract import SAMPLES, Sample, bill, profile_of

COLUMNS = """
usage = ["水量"]
usage_unit = "m³"
columns = [
    { name = "户号", holds = "account_no" },
    { name = "户名", holds = "holder_name" },
    { name = "地址", holds = "address" },
    { name = "账期", holds = "billing_month" },
    { name = "账单号", holds = "bill_no" },
    { name = "起", holds = "period_from" },
    { name = "止", holds = "period_to" },
    { name = "出账", holds = "issued" },
    { name = "截止", holds = "due" },
    { name = "水量", holds = "quantity" },
    { name = "金额", holds = "amount" },
]
"""
NAMES = ("户号", "户名", "地址", "账期", "账单号", "起", "止", "出账", "截止", "水量", "金额")
CELLS = ("1000000001", "张珅", "示例路1号", "202610", "B-1", "20261001", "20261031", "20261101",
         "20261120", "25", "86.50")  # fmt: skip
BAD = ("x", *CELLS[1:])


def sample(
    name: str, toml: str, data: str | bytes, *expected: object, encoding: str = "utf-8", **more: int
) -> None:
    raw = data.encode(encoding) if isinstance(data, str) else data
    SAMPLES.append(Sample(name, profile_of(toml), raw, tuple(expected), **more))  # type: ignore[arg-type]


def lines(delimiter: str, *rows: tuple[str, ...]) -> str:
    return "\n".join(delimiter.join(row) for row in rows) + "\n"


def by_names(delimiter: str, encoding: str, more: str = "") -> str:
    return (
        f"{COLUMNS}\n[file]\nformat = 'delimited'\nencoding = '{encoding}'\n"
        f'delimiter = "{delimiter}"\n{more}\n[header]\nkind = "names"\n'
        '[account_no]\npattern = "[0-9]{10}"\nwords = "10 digits"\n'
    )


for order in ("utf-16", "utf-16-le", "utf-16-be"):
    sample(f"tabs in {order}", by_names("\\t", "utf-16"), lines("\t", NAMES, CELLS, BAD),
           bill(2), encoding=order, rejects=1)  # fmt: skip

for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
    sample(f"detected {encoding}", by_names(",", "detect"), lines(",", NAMES, CELLS),
           bill(2), encoding=encoding)  # fmt: skip

TRADITIONAL = str.maketrans("户号账单额", "戶號帳單額")
sample(
    "several characters between cells, in Big5",
    by_names("~|~", "big5").translate(TRADITIONAL).replace("m³", "度"),
    lines("~|~", NAMES, ("1000000001", "張東億", "示例路一號", *CELLS[3:])).translate(TRADITIONAL),
    bill(2, holder_name="張東億", address="示例路一號", usage_unit="度",
         items=(LineItem("金額", Decimal(25), "度", 8_650),)),
    encoding="big5",
)  # fmt: skip

sample(
    "a western bill: decimal comma, points between thousands, days first",
    by_names(";", "cp1252").replace('["水量"]', '["Menge"]')
    .replace("户号", "Konto").replace("户名", "Inhaber").replace("地址", "Anschrift")
    .replace("账期", "Monat").replace("账单号", "Nr").replace('"起"', '"von"')
    .replace('"止"', '"bis"').replace("出账", "am").replace("截止", "bis zum")
    .replace("水量", "Menge").replace("金额", "Betrag")
    + '[dates]\nday = "dd.mm.yyyy"\nmonth = "mm/yyyy"\n'
    '[numbers]\ndecimal = ","\nthousands = "."\nmarks = ["€"]\nsigns = ["leading", "trailing"]\n',
    'Konto;Inhaber;Anschrift;Monat;Nr;von;bis;am;bis zum;Menge;Betrag\n'
    "1000000001;Müller;Große Straße 1;10/2026;B-1;01.10.2026;31.10.2026;01.11.2026;20.11.2026;"
    "1.025,5;1.234,50 €\n"
    "1000000001;Müller;Große Straße 1;10/2026;B-2;01.10.2026;31.10.2026;01.11.2026;20.11.2026;"
    "0;12,30-\n",
    bill(2, holder_name="Müller", address="Große Straße 1", usage=Decimal("1025.5"),
         amount_fen=123_450, items=(LineItem("Betrag", Decimal("1025.5"), "m³", 123_450),)),
    bill(3, holder_name="Müller", address="Große Straße 1", bill_no="B-2", usage=Decimal(0),
         amount_fen=-1_230, items=(LineItem("Betrag", Decimal(0), "m³", -1_230),)),
    encoding="cp1252",
)  # fmt: skip

BATCH = """
amount_unit = "fen"
columns = [
    { name = "用户编号", holds = "account_no" },
    { name = "扣款账号", holds = "unused" },
    { name = "金额", holds = "amount" },
    { name = "电费月份", holds = "billing_month" },
]
[file]
format = "delimited"
encoding = "gb18030"
delimiter = "|"
trim = true
trailing_delimiter = true
[header]
kind = "record"
fields = [
    { name = "电费月" }, { name = "总记录数", holds = "row_count" },
    { name = "总金额", holds = "amount_sum" }, { name = "划款日期", holds = "day" },
]
[account_no]
pattern = '[0-9]{1,16}\\.[0-9]{4}'
words = "digits, a point and 4 digits"
[defaults]
bill_no = "account_month"
issued = "file_day"
due_days = 10
period = "previous_month"
"""
sample(
    "a bank's batch: padded cells, a delimiter at the end, totals in the header",
    BATCH,
    "  2010|2|20000|20261101|\n"
    "      123456.0505|      6222 |       10000|  202610|\n"
    "      123457.0505|      6222 |       10000|  202610|\n",
    *(
        bill(
            line_no, account_no=account, holder_name="", address="", bill_no=f"{account}-202610",
            period_from_on=date(2026, 9, 1), period_to_on=date(2026, 9, 30), usage=None,
            due_on=date(2026, 11, 11), usage_unit="", amount_fen=10_000,
            items=(LineItem("金额", None, "", 10_000),),
        )
        for line_no, account in ((2, "123456.0505"), (3, "123457.0505"))
    ),
    encoding="gb18030",
)  # fmt: skip

sample(
    "preamble, other names, columns of no use, subtotals and a footer",
    COLUMNS.replace('{ name = "户号"', '{ name = "户号", also = ["Account No."]')
    + '[file]\nformat = "delimited"\ndelimiter = ","\ntrim = true\nskip = ["小计", "合计", "#"]\n'
    '[header]\nkind = "names"\nsearch_lines = 5\nextra = "ignore"\n',
    "示例水务,,\n2026年10月,,\n\n"
    + lines(",", ("序号", "\u00a0ACCOUNT  no.", *NAMES[1:], "", "备注"),
            ("1", *CELLS, "", "x"), ("小计", "1"), ("2", *CELLS, "", ""), ("合计", "2"),
            ("# 制表人：某",)),
    bill(5), bill(7),
)  # fmt: skip

sample(
    "quoted cells over line breaks, and marks that are never closed",
    by_names(",", "utf-8", "quoted = true\nmultiline = true\nescape = '\\'"),
    lines(",", NAMES, (CELLS[0], '"张\n珅"', '"示例路, \\"东\\"座"', *CELLS[3:]),
          (CELLS[0], '"x', *CELLS[2:]), CELLS),
    bill(2, holder_name="张 珅", address='示例路, "东"座'), bill(5), rejects=1,
)  # fmt: skip

GROUPED = (
    by_names(",", "utf-8").replace(
        '{ name = "金额", holds = "amount" }',
        '{ name = "项目", holds = "item_name" }, { name = "金额", holds = "amount" }',
    )
    + '[rows]\ngroup_by = ["户号", "账单号"]\n'
)
HEAD, WATER, WASTE = (*NAMES[:10], "项目", "金额"), (*CELLS[:9], "25", "水费", "48.25"), (
    *CELLS[:9], "0", "污水费", "38.25")  # fmt: skip
sample(
    "one bill in several rows",
    GROUPED,
    lines(",", HEAD, WATER, WASTE, ("1000000001", *WATER[1:4], "B-2", *WATER[5:]),
          ("1000000001", *WATER[1:4], "B-2", *WATER[5:11], "1e3"), WATER, WASTE),
    *(bill(line_no, items=(LineItem("水费", Decimal(25), "m³", 4_825),
                           LineItem("污水费", Decimal(0), "m³", 3_825)))
      for line_no in (2, 6)),
    rejects=2,
)  # fmt: skip

SEGMENTED = """
columns = [
    { name = "类型", holds = "row_type", must_be = "B" },
    { name = "户号", holds = "account_no" }, { name = "账单号", holds = "bill_no" },
    { name = "账期", holds = "billing_month" }, { name = "出账", holds = "issued" },
    { name = "应缴", holds = "amount" },
]
rounding_item = "尾差"
[file]
format = "delimited"
delimiter = "|"
[header]
kind = "none"
[defaults]
period = "billing_month"
due_days = 19
[trailer]
fields = [
    { name = "类型", must_be = "Z" }, { name = "户数", holds = "row_count" },
    { name = "行数", holds = "line_count" }, { name = "合计", holds = "amount_sum" },
]
[[segments]]
mark = "L"
is_a = "item"
columns = [
    { name = "类型", holds = "row_type", must_be = "L" }, { name = "项目", holds = "item_name" },
    { name = "费用", holds = "charge" },
]
[[segments]]
mark = "S"
is_a = "subtotal"
columns = [
    { name = "类型", holds = "row_type", must_be = "S" }, { name = "小计", holds = "amount" },
]
"""
sample(
    "a bill's line, its items, its subtotal",
    SEGMENTED,
    "B|1000000001|B-1|202610|20261101|86.50\nL|水费|48.25\nL|污水费|38.20\nS|86.45\n"
    "B|1000000001|B-2|202610|20261101|1.00\nL|水费|1.00\nS|2.00\nZ|2|7|87.50\n",
    bill(1, holder_name="", address="", usage=None, usage_unit="",
         items=(LineItem("水费", None, "", 4_825), LineItem("污水费", None, "", 3_820),
                LineItem("尾差", None, "", 5))),
    rejects=3,
)  # fmt: skip

REPEATED = """
columns = [
    { name = "户号", holds = "account_no" }, { name = "出账", holds = "issued" },
    { name = "账期1", holds = "billing_month" }, { name = "金额1", holds = "amount" },
    { name = "账期2", holds = "billing_month" }, { name = "金额2", holds = "amount" },
]
[[repeat]]
columns = ["账期1", "金额1"]
[[repeat]]
columns = ["账期2", "金额2"]
[file]
format = "delimited"
delimiter = ","
[header]
kind = "none"
[defaults]
period = "billing_month"
due_days = 19
bill_no = "account_month"
holder_name = "某户"
"""


def repeated(line_no: int, month: date, end: date, name: str, amount_fen: int) -> object:
    return bill(
        line_no, holder_name="某户", address="", billing_month=month, period_from_on=month,
        period_to_on=end, bill_no=f"1000000001-{month:%Y%m}", usage=None, usage_unit="",
        amount_fen=amount_fen, items=(LineItem(name, None, "", amount_fen),),
    )  # fmt: skip


sample(
    "several bills in one row, a blank one among them",
    REPEATED,
    "1000000001,20261101,202609,1.00,202610,2.00\n1000000001,20261101,,,202610,3.00\n",
    repeated(1, date(2026, 9, 1), date(2026, 9, 30), "金额1", 100),
    repeated(1, date(2026, 10, 1), date(2026, 10, 31), "金额2", 200),
    repeated(2, date(2026, 10, 1), date(2026, 10, 31), "金额2", 300),
)

FIXED = """
amount_unit = "yuan"
columns = [
    { name = "户号", holds = "account_no", at = 0, bytes = 10 },
    { name = "户名", holds = "holder_name", at = 10, bytes = 4 },
    { name = "账期", holds = "billing_month", at = 14, bytes = 6 },
    { name = "出账", holds = "issued", at = 20, bytes = 10, format = "dd/mm/yyyy" },
    { name = "金额", holds = "amount", at = 30, bytes = 9, scale = 4 },
    { name = "备注", holds = "unused", at = 39, bytes = 5 },
]
[file]
format = "fixed_width"
row_bytes = 44
WIDTHS
[defaults]
period = "billing_month"
due_days = 19
bill_no = "account_month"
[numbers]
leading_zeros = true
"""
FIXED_BILL = bill(1, address="", bill_no="1000000001-202610", usage=None, usage_unit="",
                  items=(LineItem("金额", None, "", 8_650),))  # fmt: skip
sample(
    "fixed places in characters, short rows, no header",
    FIXED.replace("WIDTHS", 'widths = "characters"\nshort_rows = true'),
    "1000000001张珅  202610 1/11/2026000865000\r\n"
    "1000000001张珅  202610 1/11/2026000865000备注   \r\n\x1a",
    FIXED_BILL._replace(issued_on=date(2026, 11, 1)), FIXED_BILL._replace(line_no=2),
)  # fmt: skip
BLOCK = "1000000001张珅202610 1/11/2026000865000     ".encode("gb18030")
sample(
    "fixed places in bytes, no line breaks",
    FIXED.replace("WIDTHS", 'line_breaks = false\nencoding = "gbk"'),
    BLOCK + BLOCK + b"\x1a", FIXED_BILL, FIXED_BILL._replace(line_no=2),
)  # fmt: skip

sample(
    "a reversal is a negative amount, a credit bears CR, the month stands in two cells",
    COLUMNS.replace('{ name = "账期", holds = "billing_month" }',
                    '{ name = "年", holds = "billing_year" },'
                    '{ name = "月", holds = "billing_month", format = "m" }')
    + '[file]\nformat = "delimited"\ndelimiter = "\\u001f"\n[header]\nkind = "none"\n'
    '[dates]\nday = "datetime"\n[corrections]\nnegative = "cancel"\n'
    '[numbers]\nsigns = ["cr_is_minus"]\nnulls = ["/"]\nthousands = ","\n'
    '[account_no]\nlength = 10\npad = true\nstrip = "-\'"\n',
    lines("\x1f", ("'1000-000-001", "张珅", "示例路1号", "2026", "10", "B-1", "2026/10/1 0:00:00",
                   "2026-10-31", "2026-10-31T16:30:00Z", "2026-11-20 23:59", "25.000",
                   "1,086.5000CR")),
    bill(1, kind=RecordKind.CANCEL, amount_fen=-108_650,
         items=(LineItem("金额", Decimal(25), "m³", -108_650),)),
)  # fmt: skip

DEBITS = """
amount_unit = "fen"
columns = [
    { name = "codigo", holds = "row_type", must_be = "E", at = 0, bytes = 1 },
    { name = "cliente", holds = "account_no", at = 1, bytes = 25 },
    { name = "vencimento", holds = "due", at = 26, bytes = 8 },
    { name = "valor", holds = "amount", at = 34, bytes = 15 },
    { name = "resto", holds = "unused", at = 49, bytes = 101 },
]
[file]
format = "fixed_width"
encoding = "latin-1"
row_bytes = 150
short_rows = true
[header]
kind = "record"
fields = [
    { name = "A", must_be = "A", at = 0, bytes = 1 },
    { name = "data", holds = "day", at = 7, bytes = 8 },
]
[trailer]
fields = [
    { name = "Z", must_be = "Z", at = 0, bytes = 1 },
    { name = "total", holds = "line_count", at = 1, bytes = 6 },
    { name = "soma", holds = "amount_sum", at = 7, bytes = 17 },
]
[defaults]
issued = "file_day"
billing_month = "previous_of_issued"
period = "billing_month"
bill_no = "account_month"
"""
sample(
    "a bank's direct debits: 150 bytes, blanks at the end cut off, a sum of 17 digits",
    DEBITS,
    "A00004220261101\r\n" + "E" + "123-4".ljust(25) + "20261120" + "000000000008650\r\n"
    + "Z000001" + "00000000000008650".ljust(143) + "\r\n",
    bill(2, account_no="123-4", holder_name="", address="", bill_no="123-4-202610", usage=None,
         usage_unit="", items=(LineItem("valor", None, "", 8_650),)),
    encoding="latin-1",
)  # fmt: skip

EXPORTED = """
columns = [
    { name = "Account Number", holds = "account_no", also = ["户号"] },
    { name = "Bill Date", holds = "issued" },
    { name = "Amount Due (元)", holds = "amount" },
    { name = "Due", holds = "due", optional = true },
    { name = "Flag", holds = "status", optional = true },
]
[file]
format = "delimited"
delimiter = ","
encoding = "detect"
quoted = true
trim = true
skip = ["Total"]
[header]
kind = "names"
search_lines = 10
extra = "ignore"
[account_no]
strip = "='\\""
[numbers]
thousands = ","
marks = ["¥", "元"]
signs = ["leading", "parentheses"]
[dates]
day = "yyyy/mm/dd"
[defaults]
due_days = 19
billing_month = "previous_of_issued"
period = "billing_month"
bill_no = "account_month"
[status]
"" = "bill"
"X" = "cancel"
"""
SHEET = """\ufeffSpring Gas,,,,
Printed 2026/11/1,,,,
,,,,
ACCOUNT NUMBER,bill  date,"Amount due（元）",Name,DUE
="0001234",2026/11/1,"¥1,086.50",张三,2026/11/20
'0001235\t,2026/11/01,(12.3),张三,
0001236,2026/13/01,12.3,张三,
0001237,2026/11/01,"12,3",张三,
,,,,
Total,,"1,086.50",,
"""
for encoding in ("utf-8", "utf-16", "gb18030"):
    sample(
        f"what a spreadsheet exports, in {encoding}",
        EXPORTED,
        SHEET if encoding == "utf-8" else SHEET[1:],
        *(
            bill(line_no, account_no=account, holder_name="", address="", usage=None,
                 usage_unit="", bill_no=f"{account}-202610", amount_fen=fen,
                 items=(LineItem("Amount Due (元)", None, "", fen),))
            for line_no, account, fen in ((5, "0001234", 108_650), (6, "0001235", -1_230))
        ),
        encoding=encoding, rejects=2,
    )  # fmt: skip

ONE_ROW = lines(",", CELLS).encode()
SAMPLES.append(
    Sample("a long file", profile_of(by_names(",", "detect", "trim = true")),
           lines(",", NAMES).encode() + ONE_ROW, (bill(2),), row=ONE_ROW),
)  # fmt: skip

DATA = Path(__file__).parents[1] / "data" / "providers"


def record_of(stated: dict[str, Any]) -> BillRecord:
    """Read a record as ``expected.json`` writes it."""
    dates = {name: date.fromisoformat(stated[name]) for name in stated if name.endswith("_on")}
    items = tuple(
        LineItem(name, None if quantity is None else Decimal(quantity), unit, fen)
        for name, quantity, unit, fen in stated["items"]
    )
    return BillRecord(
        **stated
        | dates
        | {
            "kind": RecordKind(stated["kind"]),
            "billing_month": date.fromisoformat(stated["billing_month"]),
            "usage": None if stated["usage"] is None else Decimal(stated["usage"]),
            "items": items,
            "reading": None if stated["reading"] is None else reading_of(*stated["reading"]),
        }
    )


def reading_of(before: str, after: str, read_on: str | None, *rest: str | None) -> MeterReading:
    """Read what it says of the meter: of our samples the gas file alone, and figures alone."""
    assert (read_on, *rest) == (None, None, "")
    return MeterReading(Decimal(before), Decimal(after))


for path in sorted(PROFILES.glob("*.toml")):
    (file,) = (DATA / path.stem).glob("sample.*")
    stated = json.loads((DATA / path.stem / "expected.json").read_text("utf-8"))
    bills = [row for row in stated if "amount_fen" in row]
    SAMPLES.append(
        Sample(f"the profile {path.stem}", load_profile(path), file.read_bytes(),
               tuple(map(record_of, bills)), rejects=len(stated) - len(bills))
    )  # fmt: skip
