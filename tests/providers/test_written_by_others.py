"""Files as other people's software writes them: what is read of them, and what is proposed."""

import gzip
import io
import json
import zipfile
from dataclasses import dataclass, replace
from datetime import date

import polars as pl
import pytest

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Reject
from providers.bulk import Bulk, read_bulk
from providers.formats.dates import date_reader
from providers.profiles import Profile, parse_profile
from providers.proposing.proposal import Company, Proposal, propose
from providers.registry import reader_for, reader_from
from providers.standards.espi_time import LocalTime
from tests.providers.contract import profile_of
from tests.providers.files import POWER
from tests.providers.samples_mapped import xlsx
from tests.providers.samples_text import CELLS, NAMES, by_names, lines
from tests.providers.standards.documents import profile as standard
from tests.providers.standards.documents import read as standard_rows
from tests.providers.standards.test_x12_810 import interchange, invoice

SPRING = Company("spring", "春镇", "Spring", "water", "000-0000-0107", "9107")
HEAD = (
    "户号", "户名", "地址", "账期", "账单号", "起始日", "截止日", "用水量", "应缴金额", "出账日",
    "最后缴费日",
)  # fmt: skip


@dataclass(frozen=True)
class Bill:
    """One bill as the tests below write it, each in some program's way."""

    account_no: str
    amount: str
    issued: str = "2026-11-03"
    due: str = "2026-11-20"
    month: str = "2026-10"
    address: str = "示例路1号"

    def cells(self, at: int) -> list[str]:
        return [self.account_no, "张三", self.address, self.month, f"B-2610{at:03}", "2026-09-03",
                "2026-10-02", "25", self.amount, self.issued, self.due]  # fmt: skip


AMOUNTS = ("86.50", "1234.56", "-8.20", "0.50", "975.31")
BILLS = tuple(Bill(f"031000123{at}", amount) for at, amount in enumerate(AMOUNTS))


def table(*bills: Bill, delimiter: str = ",") -> str:
    rows = [bill.cells(at) for at, bill in enumerate(bills)]
    return "".join(delimiter.join(row) + "\n" for row in [list(HEAD), *rows])


def proposal(data: str | bytes) -> Proposal:
    raw = data.encode() if isinstance(data, str) else data
    return propose(io.BytesIO(raw), SPRING)


def read(data: str | bytes, profile: Profile) -> list[object]:
    raw = data.encode() if isinstance(data, str) else data
    return list(reader_from(profile).read(io.BytesIO(raw)))


def proposed(data: str | bytes, *, told: tuple[str, str] = ("", "")) -> list[BillRecord]:
    """Read a file by the profile proposed of it; every row of it must be a bill."""
    profile = parse_profile(proposal(data).text.replace(*told), "the proposal")
    found = read(data, profile)
    assert all(isinstance(row, BillRecord) for row in found), found
    return found


def refusal(data: str | bytes, profile: Profile) -> BillFileError:
    with pytest.raises(BillFileError) as refused:
        read(data, profile)
    return refused.value


def fen(rows: list[BillRecord]) -> list[int]:
    return [row.amount_fen for row in rows]


FEN = [8650, 123456, -820, 50, 97531]


class TestLines:
    @pytest.mark.parametrize("end", ["\r", "\r\r\n", "\r\n"])
    def test_end_as_the_old_mac_or_a_second_text_mode_ended_them(self, end):
        assert fen(proposed(table(*BILLS).replace("\n", end))) == FEN

    def test_of_tables_put_together_have_marks_and_names_in_their_middle(self):
        one, two = table(*BILLS[:2]), table(*BILLS[2:])

        assert fen(proposed(f"\ufeff{one}\ufeff{two}")) == FEN

    def test_that_say_nothing_are_passed_over(self):
        data = table(*BILLS).replace("\n", f"\n \t\n{',' * (len(HEAD) - 1)}\n") + "\x1a"

        assert fen(proposed(data)) == FEN

    def test_of_names_in_another_order_are_another_table(self):
        swapped = (NAMES[1], NAMES[0], *NAMES[2:])
        data = lines(",", NAMES, CELLS, swapped, CELLS)

        for more in ("", "trim = true"):  # the quick reader and the one of many habits
            refused = refusal(data, profile_of(by_names(",", "utf-8", more)))

            assert refused.line_no == 3
            assert "another order" in refused.message

    def test_are_passed_over_in_bulk_as_well(self):
        whole = POWER.file({}).decode()
        head, row = whole.splitlines()[:2]
        again = row.replace(POWER.row["账单编号"], "OTHER-1")
        bare = head.removeprefix("\ufeff")
        data = f"{head}\n{row}\n\ufeff{bare}\n,,,\n\ufeff{again}\n".encode()

        found = list(read_bulk(reader_for("power"), io.BytesIO(data)))

        others = [row for one in found if isinstance(one, Bulk) for row in one.others]
        bills = pl.concat(one.frame for one in found if isinstance(one, Bulk)).height
        assert bills + sum(isinstance(row, BillRecord) for row in others) == 2
        assert not any(isinstance(row, Reject) for row in others)


class TestCells:
    @pytest.mark.parametrize(
        "mark", ["=>", "::", "|+|", "=|=", "，", "、", "@", "*", "`", "§", "¶", "¦"]
    )
    def test_stand_between_delimiters_of_any_kind(self, mark):
        assert fen(proposed(table(*BILLS, delimiter=mark))) == FEN

    def test_may_all_be_quoted_beside_decimal_commas(self):
        quoted = "\n".join(
            ";".join(f'"{cell}"' for cell in line.replace(".", ",").split("|"))
            for line in table(*BILLS, delimiter="|").splitlines()
        )

        assert fen(proposed(quoted)) == FEN

    def test_may_stand_in_single_marks(self):
        quoted = "\n".join(
            ",".join(f"'{cell}'" for cell in line.split(",")) for line in table(*BILLS).splitlines()
        )

        assert fen(proposed(quoted)) == FEN

    def test_may_reach_over_a_line_where_no_other_cell_is_quoted(self):
        bills = [replace(bill, address='"示例路\n1号"') for bill in BILLS]

        rows = proposed(table(*bills))

        assert fen(rows) == FEN
        assert rows[0].address == "示例路 1号"

    @pytest.mark.parametrize("dress", ['="{}"', "'{}", "`{}"])
    def test_may_be_dressed_so_that_a_spreadsheet_keeps_their_zeros(self, dress):
        bills = [replace(bill, account_no=dress.format(bill.account_no)) for bill in BILLS]

        assert [row.account_no for row in proposed(table(*bills))] == [
            bill.account_no for bill in BILLS
        ]

    def test_may_have_marks_around_them_that_nobody_sees(self):
        bills = [replace(bill, account_no=f"\u202a{bill.account_no}\u200b") for bill in BILLS]

        assert proposed(table(*bills))[0].account_no == "0310001230"

    def test_may_end_in_a_delimiter_where_the_names_do_not(self):
        head, *rows = table(*BILLS, delimiter="|").splitlines()

        assert fen(proposed("\n".join([head, *(f"{row}|" for row in rows)]))) == FEN

    def test_an_inch_mark_is_no_quotation(self):
        bills = [replace(bill, address='示例路 5"管') for bill in BILLS]

        assert proposed(table(*bills))[0].address == '示例路 5"管'


class TestNumbers:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (str.maketrans("0123456789.-", "０１２３４５６７８９．－"), "{}"),
            (str.maketrans("-", "\u2212"), "{}"),
            (str.maketrans("-", "\u2013"), "{}"),
            (str.maketrans("", ""), "￥{}"),
        ],
    )
    def test_may_be_full_width_or_have_a_dash_for_minus(self, old, new):
        bills = [replace(bill, amount=new.format(bill.amount.translate(old))) for bill in BILLS]

        assert fen(proposed(table(*bills))) == FEN

    @pytest.mark.parametrize("written", ["3.10000E+11", "3.1E11"])
    def test_that_lost_their_digits_are_no_account_numbers(self, written):
        toml = by_names(",", "utf-8").partition("[account_no]")[0]

        (told,) = read(lines(",", NAMES, (written, *CELLS[1:])), profile_of(toml))

        assert isinstance(told, Reject)
        assert "digits are lost" in told.reason

    def test_are_not_full_width_where_the_profile_does_not_say_so(self):
        data = lines(",", NAMES, (*CELLS[:-1], "８６.50"))

        (told,) = read(data, profile_of(by_names(",", "utf-8")))

        assert isinstance(told, Reject)
        assert told.column == "金额"

    @pytest.mark.parametrize("mark", ["\u202f", "\u2009", "\u2019"])
    def test_have_thousands_apart_by_any_blank_or_apostrophe(self, mark):
        bills = [replace(bill, amount=bill.amount.replace("1234", f"1{mark}234")) for bill in BILLS]

        assert fen(proposed(table(*bills, delimiter=";"))) == FEN

    def test_may_lack_the_zero_before_the_point(self):
        bills = [replace(bill, amount=bill.amount.replace("0.50", ".50")) for bill in BILLS]

        assert fen(proposed(table(*bills))) == FEN

    def test_may_have_the_noise_of_binary_ones_and_no_third_decimal(self):
        toml = by_names(",", "utf-8", "") + "[numbers]\nbinary_noise = true\n"
        noisy, finer = "86.50000000000001", "86.504"

        one, two = read(
            lines(",", NAMES, (*CELLS[:-1], noisy), (*CELLS[:-1], finer)), profile_of(toml)
        )

        assert isinstance(one, BillRecord)
        assert one.amount_fen == 8650
        assert isinstance(two, Reject)


class TestDates:
    @pytest.mark.parametrize(
        ("layout", "written"),
        [
            ("dd-mon-yyyy", "1-NOV-26"), ("dd-mon-yyyy", "01 November 2026"),
            ("mon-dd-yyyy", "Nov  1 2026 12:00AM"), ("mon-dd-yyyy", "Nov 1, 2026"),
            ("mm/dd/yy", "11/1/26"), ("dd/mm/yy", "1/11/26"), ("dd.mm.yy", "01.11.26"),
            ("mm/dd/yyyy", "11/01/2026 11:59:59 PM"), ("yyyy/mm/dd", "2026/11/1 上午 0:00:00"),
            ("yyyy年mm月dd日", "2026年11月1日 00:00:00"), ("mon-yyyy", "Nov-26"),
            ("yyyy年mm月", "2026年11月份"), ("mm/yyyy", "11-2026"),
            ("datetime", "2026-11-01 00:00:00 +0800 CST"), ("datetime", "20261031T160000Z"),
            ("datetime", "/Date(1793462400000+0800)/"), ("datetime", "2026-10-31 16:00:00 UTC"),
            ("epoch_seconds", "1793462400.000"),
        ],
    )  # fmt: skip
    def test_are_read_as_programs_write_them(self, layout, written):
        assert date_reader(layout)(written) == date(2026, 11, 1)

    @pytest.mark.parametrize(
        ("layout", "written"),
        [
            ("datetime", "2026-11-01 00:00:00 CST"),  # of China or of Chicago
            ("yyyy/mm/dd", "2026/11/1 25:00"), ("dd-mon-yyyy", "1 Mai 2026"),
            ("mm/dd/yy", "13/13/26"), ("mon-yyyy", "Novem-26"),
        ],
    )  # fmt: skip
    def test_that_may_mean_two_things_or_none_are_refused(self, layout, written):
        with pytest.raises(Invalid):
            date_reader(layout)(written)

    @pytest.mark.parametrize(
        ("issued", "due"),
        [
            ("3-Nov-2026", "20-Nov-2026"), ("Nov 3 2026", "Nov 20 2026"), ("11/3/26", "11/20/26"),
            ("03.11.26", "20.11.26"), ("46329", "46346"), ("20261103T000000", "20261120T000000"),
            ("11/03/2026 12:00:00 AM", "11/20/2026 12:00:00 AM"),
        ],
    )  # fmt: skip
    def test_are_known_by_their_cells(self, issued, due):
        rows = proposed(table(*(replace(bill, issued=issued, due=due) for bill in BILLS)))

        assert (rows[0].issued_on, rows[0].due_on) == (date(2026, 11, 3), date(2026, 11, 20))

    def test_a_short_year_may_hide_the_month_and_is_asked_about(self):
        bills = [replace(bill, issued="3/4/26", due="5/4/26") for bill in BILLS]

        assert '"?"' in proposal(table(*bills)).text


class TestSeveralRows:
    LINES = (("供水费", "60.00"), ("排水费", "26.50"))

    def data(self, amount: str) -> str:
        head = (*HEAD[:8], "费用项目", "费用", *HEAD[8:])
        rows = []
        for at, bill in enumerate(BILLS):
            cells = replace(bill, amount=amount).cells(at)
            rows += [[*cells[:8], name, part, *cells[8:]] for name, part in self.LINES]
        return "".join(",".join(row) + "\n" for row in [head, *rows])

    def test_that_repeat_the_amount_of_their_bill_are_not_added_up(self):
        data = self.data("86.50")

        assert fen(proposed(data)) == [8650] * len(BILLS)
        assert any("amount of the whole bill" in asked for asked in proposal(data).questions)

    def test_a_count_that_is_nearly_right_is_taken_for_one(self):
        rows = "".join("D|" + "|".join(bill.cells(at)) + "\n" for at, bill in enumerate(BILLS))
        data = f"H|20261103\n{rows}T|6|2288.67\n"

        found = proposal(data)

        assert any("number of bills" in question for question in found.questions)
        assert "5" in refusal(data, parse_profile(found.text, "the proposal")).message


OBJECTS = [dict(zip(HEAD, bill.cells(at), strict=True)) for at, bill in enumerate(BILLS)]


class TestDocuments:
    @pytest.mark.parametrize(
        ("between", "before"), [(",\n", ""), ("\n", "\x1e"), ("", ""), ("\n\n", "")]
    )
    def test_of_json_stand_one_after_another(self, between, before):
        data = between.join(before + json.dumps(one, ensure_ascii=False) for one in OBJECTS)

        assert fen(proposed(data)) == FEN

    def test_of_json_are_one_where_bills_lie_below_the_root(self):
        data = json.dumps({"data": OBJECTS}, ensure_ascii=False)
        profile = parse_profile(proposal(data).text, "the proposal")

        assert "second document" in refusal(data * 2, profile).message

    def test_of_json_that_are_broken_are_told_of_without_their_bytes(self):
        profile = parse_profile(proposal(json.dumps(OBJECTS)).text, "the proposal")

        assert "b'" not in refusal('[{"户号": 张}]', profile).message

    def test_values_that_name_their_own_type_are_known_by_what_they_stand_in(self):
        objects = [one | {"应缴金额": {"$numberDecimal": one["应缴金额"]}} for one in OBJECTS]

        assert fen(proposed(json.dumps(objects))) == FEN

    def test_days_may_be_lists_as_java_writes_them(self):
        days = {"出账日": [2026, 11, 3], "最后缴费日": [2026, 11, 20, 0, 0]}
        objects = [one | days for one in OBJECTS]

        assert proposed(json.dumps(objects))[0].due_on == date(2026, 11, 20)

    def test_of_xml_may_begin_with_blank_lines_which_count(self):
        rows = "\n".join(
            "<Bill>" + "".join(f"<{k}>{v}</{k}>" for k, v in one.items()) + "</Bill>"
            for one in OBJECTS
        )
        data = f'\n\n <?xml version="1.0" encoding="UTF-8"?><Bills>\n{rows}\n</Bills>'

        found = proposed(data)

        assert fen(found) == FEN
        assert found[0].line_no == 4

    def test_the_plainest_name_of_two_is_the_bills_number(self):
        rows = "".join(
            f'<Bill no="r{at}">' + "".join(f"<{k}>{v}</{k}>" for k, v in one.items()) + "</Bill>"
            for at, one in enumerate(OBJECTS)
        )

        assert proposed(f"<Bills>{rows}</Bills>")[0].bill_no == "B-2610000"

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            ("<html><head><meta charset=utf-8></head><table><tr><td>1</table></html>", "web page"),
            ('<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>', "Excel 2003"),
            (
                '<o:document xmlns:o="urn:oasis:names:tc:opendocument:xmlns:office:1.0"/>',
                "fods",
            ),
        ],
    )  # fmt: skip
    def test_what_is_called_a_workbook_and_is_none_is_called_by_its_name(self, data, what):
        with pytest.raises(BillFileError, match=what):
            proposal(data)
        sheets = profile_of(
            by_names(",", "utf-8")
            .replace("'delimited'", "'spreadsheet'")
            .replace('delimiter = ","', "")
            .replace("encoding = 'utf-8'", "")
        )
        assert what in refusal(data, sheets).message


class TestPacked:
    def test_a_workbook_in_a_zip_archive_is_packed_once(self):
        book = xlsx([HEAD, *(bill.cells(at) for at, bill in enumerate(BILLS))])
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("账单.xlsx", book)

        assert fen(proposed(packed.getvalue())) == FEN

    def test_numbers_in_cells_may_have_lost_their_zeros_and_are_asked_about(self):
        rows = [[int(bill.account_no), *bill.cells(at)[1:]] for at, bill in enumerate(BILLS)]

        assert any("zeros" in asked for asked in proposal(xlsx([HEAD, *rows])).questions)

    def test_names_again_on_every_page_of_a_sheet_are_passed_over(self):
        rows = [bill.cells(at) for at, bill in enumerate(BILLS)]

        assert fen(proposed(xlsx([HEAD, *rows[:2], HEAD, *rows[2:]]))) == FEN

    def test_figures_kept_as_text_by_an_apostrophe_are_known(self):
        rows = [[f"'{bill.account_no}", *bill.cells(at)[1:]] for at, bill in enumerate(BILLS)]

        assert proposed(xlsx([HEAD, *rows]))[0].account_no == "0310001230"

    def test_bills_on_a_second_sheet_are_never_left_out_in_silence(self):
        rows = [bill.cells(at) for at, bill in enumerate(BILLS)]
        data = xlsx([HEAD, *rows], [HEAD, *rows[:2]])

        profile = parse_profile(proposal(data).text, "the proposal")

        assert "both hold bills" in refusal(data, profile).message

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (b"BZh91AY&SY" + bytes(30), "a bzip2 archive"),
            (b"bills.csv".ljust(257, b"\0") + b"ustar" + bytes(300), "a tar archive"),
        ],
    )
    def test_an_archive_we_do_not_read_is_called_by_its_name(self, data, what):
        for raw in (data, gzip.compress(data)):
            with pytest.raises(BillFileError, match="archive"):
                proposal(raw)
        assert what in refusal(data, profile_of(by_names(",", "utf-8"))).message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_x12_may_be_saved_as_utf_16(encoding):
    plain = interchange(invoice())
    of = standard("x12_810", currency="USD")

    assert standard_rows(plain.decode().encode(encoding), of) == standard_rows(plain, of)


def test_midnights_of_utc_are_days_wherever_the_place_is():
    new_york = LocalTime(-18_000, 3_600, 0x360E2000, 0xB40E2000)
    november = 1_793_491_200  # 2026-11-01 00:00 UTC

    assert new_york.days(november - 31 * 86_400, november) == (
        date(2026, 10, 1), date(2026, 10, 31),
    )  # fmt: skip
    assert new_york.days(november + 18_000, november + 18_000 + 86_400)[0] == date(2026, 11, 1)
