"""Samples of spreadsheets, JSON and XML, shaped like what real companies send; the people are not.

The JSON of water, gas and telecom has the keys and the traps of public responses: JSON in a text,
a month without its zero, a total that is not the sum of its lines, fen beside yuan.
"""

import io
import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import openpyxl
import xlwt

from providers.base import LineItem
from providers.profiles import Profile
from tests.providers.contract import SAMPLES, Sample, bill, profile_of
from tests.providers.samples_text import CELLS as TEXTS
from tests.providers.samples_text import COLUMNS, NAMES

Table = Sequence[Sequence[Any]]
RULE: Final = '[account_no]\npattern = "[0-9]{10}"\nwords = "10 digits"\n'
CELLS: Final = (
    "1000000001", "张珅", "示例路1号", "202610", "B-1", date(2026, 10, 1), date(2026, 10, 31),
    date(2026, 11, 1), "20261120", 25, 86.5,
)  # fmt: skip
BAD: Final = (1000000001.5, *CELLS[1:])


def xlsx(*sheets: Table, hidden: int = 0) -> bytes:
    """Make a workbook; the first ``hidden`` sheets cannot be seen."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for at, rows in enumerate(sheets):
        sheet = book.create_sheet(f"表{at + 1}")
        if at < hidden:
            sheet.sheet_state = "hidden"
        for row in rows:
            sheet.append(list(row))
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def xls(rows: Table) -> bytes:
    book = xlwt.Workbook(encoding="utf-8")
    sheet = book.add_sheet("明细")
    day = xlwt.easyxf(num_format_str="YYYY-MM-DD")
    for row_no, row in enumerate(rows):
        for at, cell in enumerate(row):
            style = [day] if isinstance(cell, date) else []
            sheet.write(row_no, at, cell, *style)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def sheet_profile(more: str = "", shape: str = "") -> Profile:
    return profile_of(f'{COLUMNS}\n[file]\nformat = "spreadsheet"\n{shape}\n{RULE}\n{more}')


FOOTED: Final = sheet_profile(
    '[trailer]\nfields = [{ name = "合计", must_be = "合计" },'
    ' { name = "笔数", holds = "row_count" }, { name = "总额", holds = "amount_sum" }]',
    'skip = ["小计", "制表人"]',
)
PREAMBLE: Final = (
    ("示例水务公司2026年10月账单",),
    (),
    ("单位：元", None, "制表日期", date(2026, 11, 1)),
)
FOOTER: Final = (
    ("小计", *[None] * 9, 86.5),
    ("合计", None, 2, *[None] * 7, 173.0),
    ("制表人：赵",),
)
TOTAL: Final = (*FOOTER[:1], ("合计", None, 1, *[None] * 7, 86.5), *FOOTER[2:])

JSON_COLUMNS: Final = """
usage = ["水量"]
usage_unit = "m³"
columns = [
    { name = "户号", path = "account.no", holds = "account_no" },
    { name = "户名", path = "account.names[0]", holds = "holder_name" },
    { name = "地址", path = "address", holds = "address" },
    { name = "账期", holds = "billing_month" },
    { name = "账单号", path = "no", holds = "bill_no" },
    { name = "起", path = "period[0]", holds = "period_from" },
    { name = "止", path = "period[1]", holds = "period_to" },
    { name = "出账", path = "issued", holds = "issued" },
    { name = "截止", path = "due", holds = "due" },
    { name = "水量", path = "used", holds = "quantity" },
    { name = "金额", path = "amount", holds = "amount" },
]
"""
OBJECT: Final[dict[str, Any]] = {
    "account": {"no": "1000000001", "names": ["张珅"]}, "address": "示例路1号", "账期": 202610,
    "no": "B-1", "period": ["20261001", "20261031"], "issued": "20261101", "due": 20261120,
    "used": 25.0, "amount": 86.49999999999999,
}  # fmt: skip
BAD_OBJECT: Final = OBJECT | {"account": ["1000000001"]}


def json_profile(shape: str, more: str = "", columns: str = JSON_COLUMNS) -> Profile:
    return profile_of(f"{columns}\n[file]\n{shape}\n{RULE}\n{more}")


def dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


LISTED: Final = json_profile('format = "json"')
IN_A_DOCUMENT: Final = json_profile(
    'format = "json"\nrows = "data.bills"',
    '[header]\nkind = "record"\nfields = [{ name = "结果", path = "code", must_be = "0" },'
    ' { name = "序号", path = "head.no", holds = "sequence" }]\n'
    '[trailer]\nfields = [{ name = "笔数", path = "data.count", holds = "row_count" },'
    ' { name = "总额", path = "data.sum", holds = "amount_sum" }]',
)
LINES: Final = json_profile('format = "json_lines"')
OF_LISTS: Final = json_profile(
    'format = "json"\nrows = "rows"\nlisted = true\nnames = "names"', '[header]\nkind = "names"',
    COLUMNS,
)  # fmt: skip

WATER_COLUMNS: Final = """
usage = ["WATERNUM"]
usage_unit = "m³"
rounding_item = "尾差"
columns = [
    { name = "ACCOUNTNO", holds = "account_no" },
    { name = "YEAR", holds = "billing_year", format = "yyyy" },
    { name = "MONTH", holds = "billing_month", format = "m" },
    { name = "SUMPAY", holds = "amount" },
    { name = "WATERNUM", holds = "quantity" },
    { name = "WATERFEE", holds = "charge" },
    { name = "DIRTYFEE", holds = "charge" },
    { name = "COPYMETERDATE", holds = "issued", format = "datetime" },
]
items = [{ name = "水费", amount = "WATERFEE", quantity = "WATERNUM", unit = "m³" },
         { name = "排水费", amount = "DIRTYFEE" }]
"""
WATER: Final = json_profile(
    'format = "json"\ninner = "data"',
    '[header]\nkind = "record"\nfields = [{ name = "code", must_be = "1" }]\n'
    '[defaults]\ndue_days = 15\nperiod = "previous_month"\nbill_no = "account_month"',
    WATER_COLUMNS,
)
WATER_ITEM: Final = {
    "ACCOUNTNO": "1000000001", "YEAR": "2026", "MONTH": "3", "SUMPAY": "109.3",
    "COPYMETERSTATUS": "正常", "PREVMETERDATA": "825", "METERDATA": "3", "WATERNUM": "27",
    "DIRTYNUM": "24.3", "WATERFEE": "60.75", "DIRTYFEE": "48.60", "WATERPRICE": "2.25",
    "PAYTIME": "2026/3/2 0:00:00", "BILLSTATUS": "0", "COPYMETERDATE": "2026-03-02 08:49:09",
}  # fmt: skip

GAS: Final = json_profile(
    'format = "json"\nrows = "bills"',
    '[header]\nkind = "record"\nfields = [{ name = "resultCode", must_be = "0000" }]\n'
    '[dates]\nday = "yyyy-mm-dd"\nmonth = "yyyy-mm"\n'
    '[defaults]\nperiod = "billing_month"\nbill_no = "account_month"',
    """
usage = ["consumption"]
usage_unit = "m³"
columns = [
    { name = "accountNo", path = "/accountNo", holds = "account_no" },
    { name = "billYM", holds = "billing_month" },
    { name = "money", holds = "amount" },
    { name = "billingDate", holds = "issued" },
    { name = "lastPayday", holds = "due" },
    { name = "consumption", holds = "quantity" },
]
""",
)
GAS_ITEM: Final = {
    "billYM": "2026-09", "money": 86.5, "paymentStatus": "未付款", "billingDate": "2026-10-01",
    "billingType": "正常", "lastReading": 825, "currentReading": 850, "consumption": 25,
    "lastPayday": "2026-10-20", "firstGear": 310, "firstCount": 25, "firstMoney": 86.5,
}  # fmt: skip

TELECOM: Final = json_profile(
    'format = "json"\nrows = "bills"',
    '[dates]\nmonth = "yyyymm"\n[items_from]\npath = "billInfoGroup[0].feeInfo"\nname = "name"\n'
    'amount = "value"\namount_unit = "yuan"\n'
    '[defaults]\ndue_days = 20\nperiod = "billing_month"\nbill_no = "account_month"',
    """
columns = [
    { name = "号码", path = "number", holds = "account_no" },
    { name = "账期", path = "month", holds = "billing_month" },
    { name = "应付", path = "acctFeeInfo.shouldPayFee", holds = "amount", unit = "fen" },
    { name = "出账", path = "issued", holds = "issued" },
]
""",
)
TELECOM_ITEM: Final = {
    "number": "1000000001", "month": "202610", "issued": "20261101",
    "acctFeeInfo": {"usedFee": 9650, "paidFee": 0, "shouldPayFee": 8650},
    "billInfoGroup": [{"feeInfo": [
        {"name": "套餐月基本费", "value": "89.00", "level": 1},
        {"name": "短信费", "value": 7.5, "level": 1},
        {"name": "优惠费", "value": "-10.00", "level": 1},
    ]}],
}  # fmt: skip

XML_COLUMNS: Final = """
usage = ["水量"]
usage_unit = "m³"
columns = [
    { name = "户号", path = "b:Account/@no", holds = "account_no" },
    { name = "户名", path = "b:Account/b:Holder", holds = "holder_name" },
    { name = "地址", path = "b:Account/b:Line[2]", holds = "address" },
    { name = "账期", path = "@month", holds = "billing_month" },
    { name = "账单号", path = "@no", holds = "bill_no" },
    { name = "起", path = "b:Period/@from", holds = "period_from" },
    { name = "止", path = "b:Period/@to", holds = "period_to" },
    { name = "出账", path = "b:Issued", holds = "issued" },
    { name = "截止", path = "b:Due", holds = "due" },
    { name = "水量", path = "b:Used", holds = "quantity" },
    { name = "金额", path = "b:Amount", holds = "amount" },
]
"""
XML_ROW: Final = """
<u:Bill month="202610" no="B-1"><u:Account no="{}"><u:Holder> 张珅
</u:Holder><u:Line>上海</u:Line><u:Line>示例路1号</u:Line></u:Account>
<u:Period from="20261001" to="20261031"/><u:Issued>20261101</u:Issued>
<u:Due><![CDATA[20261120]]></u:Due>
<u:Used>25</u:Used><!-- 立方米 --><u:Amount>86.50</u:Amount></u:Bill>"""
XML: Final = profile_of(
    f'{XML_COLUMNS}\n[file]\nformat = "xml"\nrows = "b:BillFile/b:Bills/b:Bill"\n'
    f'namespaces = {{ b = "urn:sample:bills" }}\n{RULE}\n'
    '[header]\nkind = "record"\nfields = [{ name = "序号", path = "b:BillFile/@no",'
    ' holds = "sequence" }]\n'
    '[trailer]\nfields = [{ name = "笔数", path = "b:BillFile/b:End/@count",'
    ' holds = "row_count" }]\noptional = true'
)


def xml(*rows: str, count: int | None = None, declared: str = "UTF-8") -> str:
    end = "" if count is None else f'<u:End count="{count}"/>'
    return (
        f'<?xml version="1.0" encoding="{declared}"?>\n<u:BillFile xmlns:u="urn:sample:bills"'
        f' no="42"><u:Bills>{"".join(rows)}\n</u:Bills>{end}</u:BillFile>'
    )


NESTED: Final = profile_of(
    """
columns = [
    { name = "户号", path = "/Export/Account/No", holds = "account_no" },
    { name = "户名", path = "/Export/Account/Person/@name", holds = "holder_name" },
    { name = "账期", path = "Month", holds = "billing_month" },
    { name = "账单号", path = "@id", holds = "bill_no" },
    { name = "出账", path = "/Export/@issued", holds = "issued" },
    { name = "金额", path = "Total", holds = "amount" },
]
[file]
format = "xml"
rows = "Export/Account/Bills/Bill"
[items_from]
path = "Items/Item"
name = "@name"
amount = "@fen"
amount_unit = "fen"
[defaults]
due_days = 15
period = "billing_month"
"""
)
NESTED_BILL: Final = (
    '<Bill id="{}"><Month>202610</Month><Items><Item name="水费" fen="6150"/>'
    '<Item name="排水费" fen="2500"/></Items><Total>86.50</Total></Bill>'
)
NESTED_FILE: Final = (
    '<Export issued="20261101" xmlns="urn:any">'
    "<Account><No>1000000001</No><Person name='张珅'/><Bills>"
    f"{NESTED_BILL.format('B-1')}{NESTED_BILL.format('B-2')}</Bills></Account>\n"
    "<Account><No>1000000002</No><Person name='李瑋'/><Bills>"
    f"{NESTED_BILL.format('B-3')}</Bills></Account></Export>"
)
PRINTED: Final = (LineItem("水费", None, "", 6_150), LineItem("排水费", None, "", 2_500))


def nested(line_no: int, bill_no: str, account: str, holder: str) -> Any:
    return bill(
        line_no, account_no=account, holder_name=holder, address="", bill_no=bill_no,
        due_on=date(2026, 11, 16), usage=None, usage_unit="", items=PRINTED,
    )  # fmt: skip


def _add(name: str, profile: Profile, data: bytes, *expected: Any, **more: Any) -> None:
    SAMPLES.append(Sample(name, profile, data, tuple(expected), **more))


_add("a workbook with preamble and footer", FOOTED,
     xlsx([*PREAMBLE, NAMES, CELLS, BAD, *FOOTER]), bill(5), rejects=1)  # fmt: skip
_add("an old workbook", FOOTED, xls([NAMES, CELLS, *TOTAL]), bill(2))
_add("a JSON list", LISTED, dumped([OBJECT, BAD_OBJECT, OBJECT]), bill(1), bill(3), rejects=1,
     row=dumped(OBJECT) + b", ")  # fmt: skip
_add("a JSON document", IN_A_DOCUMENT,
     dumped({"code": 0, "head": {"no": 42}, "data": {"bills": [OBJECT, OBJECT], "count": 2,
                                                     "sum": 173.0}}),
     bill(1), bill(2))  # fmt: skip
_add("JSON whose rows are lists", OF_LISTS,
     dumped({"names": NAMES, "rows": [TEXTS, TEXTS[1:], TEXTS]}), bill(1), bill(3), rejects=1,
     row=dumped(TEXTS) + b", ")  # fmt: skip
_add("JSON Lines", LINES, dumped(OBJECT) + b"\n\n" + dumped(BAD_OBJECT) + b"\n{\n", bill(1),
     rejects=2, row=dumped(OBJECT) + b"\n")  # fmt: skip
_add("water's JSON in JSON", WATER,
     dumped({"code": "1", "data": json.dumps([WATER_ITEM])}),
     bill(1, holder_name="", address="", billing_month=date(2026, 3, 1),
          bill_no="1000000001-202603", period_from_on=date(2026, 2, 1),
          period_to_on=date(2026, 2, 28), issued_on=date(2026, 3, 2), due_on=date(2026, 3, 17),
          usage=Decimal(27), amount_fen=10_930,
          items=(LineItem("水费", Decimal(27), "m³", 6_075),
                 LineItem("排水费", None, "", 4_860), LineItem("尾差", None, "", -5))))  # fmt: skip
_add("gas's JSON", GAS,
     dumped({"resultCode": "0000", "accountNo": "1000000001", "bills": [GAS_ITEM]}),
     bill(1, holder_name="", address="", billing_month=date(2026, 9, 1),
          bill_no="1000000001-202609", period_from_on=date(2026, 9, 1),
          period_to_on=date(2026, 9, 30), issued_on=date(2026, 10, 1), due_on=date(2026, 10, 20),
          items=(LineItem("money", Decimal(25), "m³", 8_650),)))  # fmt: skip
_add("telecom's JSON of fen and yuan", TELECOM, dumped({"bills": [TELECOM_ITEM]}),
     bill(1, holder_name="", address="", bill_no="1000000001-202610", due_on=date(2026, 11, 21),
          usage=None, usage_unit="",
          items=(LineItem("套餐月基本费", None, "", 8_900), LineItem("短信费", None, "", 750),
                 LineItem("优惠费", None, "", -1_000))))  # fmt: skip
ROW: Final = XML_ROW.format("1000000001")
_add("XML with namespaces and attributes", XML, xml(ROW, XML_ROW.format("x"), ROW).encode(),
     bill(3), bill(13), rejects=1, row=ROW.encode())  # fmt: skip
for encoding in ("gb18030", "gbk", "utf-16"):
    _add(f"XML in {encoding}", XML, xml(ROW, count=1, declared=encoding).encode(encoding), bill(3))
_add("XML in big5", XML,
     xml(ROW.replace("张珅", "張東").replace("号", "號"), declared="Big5").encode("big5"),
     bill(3, holder_name="張東", address="示例路1號"))  # fmt: skip
_add("XML of bills by account", NESTED, NESTED_FILE.encode(),
     nested(1, "B-1", "1000000001", "张珅"), nested(1, "B-2", "1000000001", "张珅"),
     nested(2, "B-3", "1000000002", "李瑋"), row=NESTED_BILL.format("B-2").encode())  # fmt: skip
