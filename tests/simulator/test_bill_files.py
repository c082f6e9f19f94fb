"""The four files, byte for byte as the notes draw them."""

import csv
import io
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from lxml import etree
from typer.testing import CliRunner

from core.errors import Invalid
from core.money import parse_yuan
from simulator.__main__ import app
from simulator.bill_files import write_gas, write_power, write_telecom, write_water
from simulator.bills import GasBill, PowerBill, TelecomBill, TelecomItem, WaterBill
from simulator.city import City

MONTH = date(2026, 9, 1)
COMMON = {
    "holder": "王瑋",
    "address": "上海市梧桐里路1弄",
    "billing_month": MONTH,
    "version": 1,
    "is_cancellation": False,
    "from_on": date(2026, 8, 1),
    "to_on": date(2026, 9, 30),
    "issued_on": date(2026, 10, 6),
    "due_on": date(2026, 10, 25),
}
WATER = WaterBill(
    **COMMON,
    account_no="0012345678",
    bill_no="W-1",
    amount_fen=10_930,
    usage_m3=Decimal("27.125"),
    supply_fen=6_075,
    drainage_fen=4_860,
)
POWER = PowerBill(
    **COMMON,
    account_no="0100012345678",
    bill_no="P-1",
    amount_fen=11_500,
    peak_kwh=161,
    valley_kwh=51,
    peak_fen=9_934,
    valley_fen=1_566,
)
GAS = GasBill(
    **COMMON,
    account_no="066012345678",
    bill_no="G-1",
    amount_fen=8_100,
    last_reading_m3=278,
    this_reading_m3=305,
    usage_m3=27,
)
TELECOM = TelecomBill(
    **COMMON,
    account_no="01234567",
    bill_no="T-1",
    amount_fen=8_900,
    items=(
        TelecomItem("plan", "套餐月基本费", 9_900),
        TelecomItem("discount", "优惠费用", -1_000),
    ),
)


def written(write, *bills):
    stream = io.BytesIO()
    totals = write(stream, bills, 42, date(2026, 10, 6))
    return stream.getvalue(), totals


class TestWater:
    def test_byte_for_byte(self):
        cancelled = replace(WATER, bill_no="W-2", version=2, is_cancellation=True, amount_fen=5)

        file, totals = written(write_water, WATER, cancelled)

        assert file == (
            "H|WATER|42|20261006\n"
            "D|0012345678|王瑋|上海市梧桐里路1弄|202609|W-1|1|N|20260801|20260930|27.125"
            "|60.75|48.60|109.30|20261006|20261025\n"
            "D|0012345678|王瑋|上海市梧桐里路1弄|202609|W-2|2|C|20260801|20260930|27.125"
            "|60.75|48.60|0.05|20261006|20261025\n"
            "T|2|109.35\n"
        ).encode("gb18030")
        assert totals == (2, 10_935)

    def test_a_character_may_hold_the_byte_of_a_bar(self):
        file, _ = written(write_water, WATER)

        assert file.count(b"|") > file.decode("gb18030").count("|")

    @pytest.mark.parametrize("holder", ["王|明", "王\n明", "王\r明", "王\u2028明"])
    def test_a_cell_the_format_cannot_carry_is_refused(self, holder):
        with pytest.raises(Invalid):
            written(write_water, replace(WATER, holder=holder))

    def test_a_reminder_names_its_bill_in_a_last_cell(self):
        reminder = replace(WATER, bill_no="W-1-R", original_no="W-1", amount_fen=500)

        file, totals = written(write_water, WATER, reminder)

        plain, reminding = file.decode("gb18030").splitlines()[1:3]
        assert (plain.count("|"), plain.split("|")[7]) == (15, "N")
        assert (reminding.count("|"), reminding.split("|")[7]) == (16, "R")
        assert reminding.endswith("|20261025|W-1")
        assert totals == (2, 11_430)


class TestPower:
    def test_byte_for_byte(self):
        quoted = replace(POWER, address='1弄,"东"', is_cancellation=True, version=2)

        file, totals = written(write_power, POWER, quoted)

        assert file.startswith(b"\xef\xbb\xbf")
        assert file[3:].decode() == (
            "户号,户名,用电地址,电费年月,账单编号,版本号,冲销标志,抄表起,抄表止,峰电量,谷电量,"
            "峰电费,谷电费,应收电费,发行日期,缴费截止日期\r\n"
            "0100012345678,王瑋,上海市梧桐里路1弄,2026-09,P-1,1,0,2026-08-01,2026-09-30,161,51,"
            "99.34,15.66,115.00,2026-10-06,2026-10-25\r\n"
            '0100012345678,王瑋,"1弄,""东""",2026-09,P-1,2,1,2026-08-01,2026-09-30,161,51,'
            "99.34,15.66,115.00,2026-10-06,2026-10-25\r\n"
        )
        assert totals == (2, 23_000)


class TestGas:
    def test_byte_for_byte(self):
        negative = replace(GAS, bill_no="G-2", amount_fen=-10_000, is_cancellation=True, version=2)

        file, totals = written(write_gas, GAS, negative)

        header, first, second, trailer = file.split(b"\n")[:4]
        assert header == b"1CITYGAS 0000004220261006"
        assert first == (
            b"2066012345678"
            + "王瑋".encode("gb18030").ljust(40)
            + "上海市梧桐里路1弄".encode("gb18030").ljust(60)
            + b"202609G-1             0102026080120260930"
            + b"0000027800000305"
            + b"0000027"
            + b"0000008100"
            + b"20262792026298"
        )
        assert second[119:138] == b"G-2             029"
        assert second[177:187] == b"-000010000"
        assert trailer == b"900000002-0000000001900"
        assert totals == (2, -1_900)
        assert file.endswith(b"\n")

    def test_every_detail_is_201_bytes(self):
        stream = io.BytesIO()
        write_gas(stream, City(3, 2_000).gas_bills(MONTH), 1, MONTH)

        lines = stream.getvalue().split(b"\n")

        assert {len(line) for line in lines if line.startswith(b"2")} == {201}
        assert len(lines[0]) == 25
        assert len(lines[-2]) == 23

    def test_fields_stand_where_the_note_says(self):
        line = written(write_gas, GAS)[0].split(b"\n")[1]

        assert line[1:13] == b"066012345678"
        assert line[13:53].rstrip().decode("gb18030") == "王瑋"
        assert line[113:119] == b"202609"
        assert line[170:177] == b"0000027"
        assert (line[187:194], line[194:201]) == (b"2026279", b"2026298")

    @pytest.mark.parametrize(
        "change", [{"holder": "王" * 21}, {"amount_fen": 10**10}, {"bill_no": "G" * 17}]
    )
    def test_what_does_not_fit_is_refused_and_never_cut(self, change):
        with pytest.raises(Invalid):
            written(write_gas, replace(GAS, **change))


class TestTelecom:
    def test_byte_for_byte(self):
        file, totals = written(write_telecom, TELECOM)

        assert (
            file.decode()
            == """<?xml version="1.0" encoding="UTF-8"?>
<BillFile xmlns="urn:citytelecom:bill:1" sequence="42" created="2026-10-06">
  <Bill action="issue">
    <AccountNo>01234567</AccountNo>
    <Holder>王瑋</Holder><Address>上海市梧桐里路1弄</Address>
    <BillNo>T-1</BillNo><Version>1</Version>
    <Period month="2026-09" from="2026-08-01" to="2026-09-30"/>
    <Issued>2026-10-06</Issued><Due>2026-10-25</Due>
    <Items>
      <Item code="plan" name="套餐月基本费" amount_fen="9900"/>
      <Item code="discount" name="优惠费用" amount_fen="-1000"/>
    </Items>
    <Total>89.00</Total>
  </Bill>
  <Summary count="1" total="89.00"/>
</BillFile>
"""
        )
        assert totals == (1, 8_900)

    def test_what_xml_must_escape_comes_back_whole(self):
        item = TelecomItem("plan", '<套餐> & "月费"', 8_900)
        bill = replace(TELECOM, holder="A & <B>", items=(item,), is_cancellation=True)

        root = etree.fromstring(written(write_telecom, bill)[0])

        ns = "{urn:citytelecom:bill:1}"
        assert root[0].get("action") == "cancel"
        assert root[0].findtext(f"{ns}Holder") == "A & <B>"
        assert root[0].find(f"{ns}Items")[0].get("name") == '<套餐> & "月费"'

    def test_an_early_amount_holds_for_a_week(self):
        bill = replace(TELECOM, early_fen=8_722)

        (option,) = etree.fromstring(written(write_telecom, bill)[0]).iter("{*}Option")

        assert dict(option.attrib) == {
            "code": "early", "kind": "early", "name": "提前缴费优惠", "amount_fen": "8722",
            "until": "2026-10-13",
        }  # fmt: skip

    def test_instalments_are_numbered(self):
        bill = replace(TELECOM, instalments_fen=(4_450, 4_450))

        options = etree.fromstring(written(write_telecom, bill)[0]).iter("{*}Option")

        assert [dict(option.attrib) for option in options] == [
            {"code": f"instalment-{at}", "kind": "instalment", "name": f"分期第{at}期",
             "amount_fen": "4450"}
            for at in (1, 2)
        ]  # fmt: skip

    def test_a_reminder_names_its_bill(self):
        reminder = replace(TELECOM, bill_no="T-1-R", original_no="T-1")

        root = etree.fromstring(written(write_telecom, reminder)[0])

        assert root[0].get("action") == "remind"
        assert root[0].findtext("{*}OriginalNo") == "T-1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("files") / "new"
    arguments = ["files", "--households", "400", "--months", "2026-09,2026-10", "--corrections"]
    result = CliRunner().invoke(app, [*arguments, "--reminders", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def number_of(file):
    return etree.fromstring(file.read_bytes()).get("sequence")


class TestCommand:
    def test_writes_a_file_for_each_company_and_month_it_bills(self, folder):
        names = sorted(file.name for file in folder.iterdir() if file.name.count("-") == 1)

        assert names == [
            "gas-202609.txt",
            "power-202609.csv",
            "power-202610.csv",
            "telecom-202609.xml",
            "telecom-202610.xml",
            "water-202609.txt",
        ]
        assert not [file for file in folder.iterdir() if file.name.startswith(".")]

    def test_trailers_agree_with_their_details(self, folder):
        water = (folder / "water-202609.txt").read_bytes().decode("gb18030").splitlines()
        cells = [line.split("|") for line in water[1:-1]]
        assert {len(row) for row in cells} == {16}
        assert water[-1].split("|")[1] == "400" == str(len(cells))
        assert parse_yuan(water[-1].split("|")[2]) == sum(parse_yuan(row[13]) for row in cells)

        gas = (folder / "gas-202609.txt").read_bytes().splitlines()
        assert int(gas[-1][1:9]) == 400 == len(gas) - 2
        assert int(gas[-1][9:]) == sum(int(line[177:187]) for line in gas[1:-1])

        telecom = etree.fromstring((folder / "telecom-202610.xml").read_bytes())
        totals = [bill[-1].text for bill in telecom[:-1]]
        assert telecom[-1].get("count") == "400" == str(len(totals))
        assert parse_yuan(telecom[-1].get("total")) == sum(map(parse_yuan, totals))

        power = (folder / "power-202610.csv").read_text(encoding="utf-8-sig")
        assert len(list(csv.DictReader(io.StringIO(power)))) == 400

    def test_the_same_again_is_the_same_to_the_byte(self, folder, tmp_path):
        arguments = ["files", "--households", "400", "--months", "2026-09", "--out", str(tmp_path)]
        CliRunner().invoke(app, arguments)

        for file in tmp_path.iterdir():
            assert file.read_bytes() == (folder / file.name).read_bytes()

    def test_every_file_of_a_company_has_a_number_of_its_own(self, folder, tmp_path):
        numbers = [number_of(file) for file in folder.iterdir() if file.name.startswith("telecom")]
        other = ["files", "--households", "401", "--months", "2026-09", "--out", str(tmp_path)]
        CliRunner().invoke(app, other)

        assert len(set(numbers)) == len(numbers) == 6
        assert number_of(tmp_path / "telecom-202609.xml") not in numbers
        assert all(len(number) <= 8 for number in numbers)

    def test_tells_each_file_and_the_day_it_was_sent(self, tmp_path):
        arguments = ["files", "--households", "2", "--months", "2026-07,2026-09,2026-10"]
        rest = ["--fresh-on", "2026-11-20", "--extras", "--out", str(tmp_path)]
        told = CliRunner().invoke(app, [*arguments, *rest]).output

        lines = [line.split("\t") for line in told.splitlines()]
        sent = {name.rpartition("/")[2]: (int(bills), on) for name, bills, _, on in lines}
        assert sent.keys() == {file.name for file in tmp_path.iterdir()}
        assert sent["water-202607.txt"] == (2, "2026-08-05")
        assert sent["water-202609.txt"] == (2, "2026-11-14")
        assert sent["water-202607-extras.txt"] == (1, "2026-08-30")
        assert sent["telecom-202610-extras.xml"] == (3, "2026-11-18")

    @pytest.mark.parametrize("months", ["2026-13", "september", ""])
    def test_nonsense_months_are_misuse(self, tmp_path, months):
        result = CliRunner().invoke(app, ["files", "--months", months, "--out", str(tmp_path)])

        assert result.exit_code == 2
