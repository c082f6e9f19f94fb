"""Files printed by tools, exported as lists or written by other calendars; and what is dear."""

import io
import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from providers.base import BillRecord, Reject
from providers.bulk import Bulk, read_bulk
from providers.formats.dates import date_reader
from providers.formats.splitting import is_tool_line
from providers.profiles import Profile, parse_profile
from providers.registry import reader_from
from tests.providers.samples_mapped import xlsx
from tests.providers.standards.documents import cii, file, ubl
from tests.providers.standards.test_pain_013 import block, message, transaction
from tests.providers.test_written_by_others import (
    AMOUNTS,
    BILLS,
    FEN,
    HEAD,
    OBJECTS,
    fen,
    proposal,
    proposed,
    read,
    refusal,
    table,
)

CELLS = [bill.cells(at) for at, bill in enumerate(BILLS)]
QUERY = ("ACCOUNT_NO", "HOLDER", "BILL_MONTH", "BILL_NO", "AMOUNT", "BILL_DATE", "DUE_DATE")
WIDTHS = (12, 8, 10, 10, 10, 10, 10)
PERIOD = ('# period = "billing_month"', 'period = "billing_month"')
RULE = tuple("-" * width for width in WIDTHS)


def printed(between: str, *, pages: int = 1, last: str = "5 rows selected.") -> str:
    """Print the bills as a tool for databases does, with the headings on every page."""
    rows = [(c[0], "Zhang", c[3], c[4], c[8], c[9], c[10]) for c in CELLS]
    size = -(-len(rows) // pages)
    lines = [""]
    for at in range(0, len(rows), size):
        page = (QUERY, RULE, *rows[at : at + size])
        lines += [
            between.join(cell.ljust(width) for cell, width in zip(row, WIDTHS, strict=True))
            for row in page
        ]
        lines.append("")
    return "\n".join([*lines, last, ""])


def in_bulk(data: str, profile: Profile) -> tuple[int, int]:
    """Read a file by stretches; returns how many bills and how many fen."""
    found = list(read_bulk(reader_from(profile), io.BytesIO(data.encode())))
    stretches = [one for one in found if isinstance(one, Bulk)]
    frame = pl.concat(one.frame for one in stretches)
    others = [row for one in stretches for row in one.others]
    assert not any(isinstance(row, Reject) for row in others)
    alone = [row.amount_fen for row in others if isinstance(row, BillRecord)]
    return frame.height + len(alone), int(frame["amount_fen"].sum()) + sum(alone)


def lists(*head: object) -> list[object]:
    return [*head, *CELLS]


def dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class TestLinesOfOtherMachines:
    @pytest.mark.parametrize("end", ["\x85", "\u2028"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_end_in_nel_or_u_2028_where_nothing_else_ends_them(self, end, encoding):
        data = table(*BILLS).replace("\n", end)
        profile = parse_profile(proposal(data.encode(encoding)).text, "the proposal")

        assert fen(read(data.encode(encoding), profile)) == FEN
        assert in_bulk(data, profile) == (5, sum(FEN)) if encoding == "utf-8" else True

    def test_do_not_end_there_where_lf_ends_them(self):
        bills = [replace(BILLS[0], address="示例路\x851号"), *BILLS[1:]]
        profile = parse_profile(proposal(table(*bills)).text, "the proposal")

        first, *others = read(table(*bills), profile)

        assert isinstance(first, Reject)
        assert "U+0085" in first.reason
        assert fen(others) == FEN[1:]

    @pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
    def test_end_so_wherever_the_file_is_cut_to_be_read(self, size):
        bills = [replace(BILLS[0], account_no=f"{at:010}") for at in range(1_200)]
        data = table(*bills, replace(BILLS[0], address="路" * 40)).replace("\n", "\u2028")
        profile = parse_profile(proposal(data).text, "the proposal")

        class Cut(io.BytesIO):
            def read(self, _size: int | None = -1) -> bytes:
                return super().read(size)

        found = list(reader_from(profile).read(Cut(data.encode())))

        assert fen(found) == [8650] * 1_201


class TestQueriesAsToolsPrintThem:
    @pytest.mark.parametrize("pages", [1, 2, 5])
    @pytest.mark.parametrize("between", [" ", "|", ",", "\t"])
    def test_are_read_with_their_rules_headings_and_counts(self, between, pages):
        assert fen(proposed(printed(between, pages=pages), told=PERIOD)) == FEN

    @pytest.mark.parametrize("between", [" ", "|"])
    def test_may_say_what_was_asked_and_end_in_another_count(self, between):
        asked = "SQL> select * from bills_of_october;\n"
        data = asked * (between == " ") + printed(between, last="已选择5行。\n")

        assert fen(proposed(data, told=PERIOD)) == FEN

    def test_may_call_their_days_by_the_names_of_columns(self):
        text = printed(" ").replace("BILL_DATE", "BILL_DT  ").replace("DUE_DATE", "DUE_DT  ")

        assert proposed(text, told=PERIOD) == proposed(printed(" "), told=PERIOD)

    def test_may_stand_in_a_frame(self):
        rule = "+" + "+".join("-" * (width + 2) for width in WIDTHS) + "+"
        body = printed(" | ", last="").splitlines()[1:-1]
        framed = [f"| {line} |" if "---" not in line else rule for line in body if line]
        data = "\n".join([rule, *framed, rule, "5 rows in set (0.00 sec)", ""])

        profile = parse_profile(proposal(data).text.replace(*PERIOD), "the proposal")

        assert fen(read(data, profile)) == FEN
        assert in_bulk(data, profile) == (5, sum(FEN))

    def test_are_passed_over_in_bulk_as_row_by_row(self):
        head, *rows = table(*BILLS).splitlines()
        rule = ",".join("-" * len(name) for name in HEAD)
        data = "\n".join([head, rule, *rows, rule, "5 rows selected.", ""])
        profile = parse_profile(proposal(table(*BILLS)).text, "the proposal")

        assert fen(read(data, profile)) == FEN
        assert in_bulk(data, profile) == (5, sum(FEN))

    def test_are_not_cut_where_a_row_crosses_the_dashes(self):
        data = printed(" ").replace("Zhang   ", "Zhang San")

        assert "the dashes below" not in proposal(data).text

    @pytest.mark.parametrize(
        "row",
        ["0310|a---b|86.50", "6 rows", "--- 0310", "86.50 (6 rows selected)", "共6行", "rows", "-"],
    )
    def test_are_told_from_a_row_that_only_looks_like_their_lines(self, row):
        assert is_tool_line(row) is (row == "6 rows")


class TestListsOfCells:
    @pytest.mark.parametrize(
        "document",
        [
            lists(HEAD), lists(),
            {"columns": HEAD, "index": [1, 2, 3, 4, 5], "data": CELLS},
            {"code": 0, "data": {"fields": [{"name": name} for name in HEAD], "rows": CELLS}},
            {"code": 0, "data": {"list": lists(HEAD)}},
            {"code": 0, "data": CELLS},
        ],
    )  # fmt: skip
    def test_are_read_by_their_names_or_their_order(self, document):
        assert fen(proposed(dumped(document))) == FEN

    @pytest.mark.parametrize("head", [(HEAD,), ()])
    def test_may_be_lines(self, head):
        data = "\n\n".join(map(dumped, lists(*head)))

        rows = proposed(data)

        assert fen(rows) == FEN
        assert [row.line_no for row in rows] == [
            2 * at + 1 for at in range(len(head), 5 + len(head))
        ]

    def test_may_have_their_columns_in_another_order_next_time(self):
        profile = parse_profile(proposal(dumped(lists(HEAD))).text, "the proposal")
        turned = [list(reversed(cells)) for cells in [list(HEAD), *CELLS]]

        assert read(dumped(turned), profile) == read(dumped(lists(HEAD)), profile)

    def test_may_hold_numbers_and_nothing(self):
        rows = [[*c[:1], None, *c[2:7], 25, float(c[8]), *c[9:]] for c in CELLS]
        profile = parse_profile(proposal(dumped(lists(HEAD))).text, "the proposal")

        found = read(dumped([HEAD, *rows]), profile)

        assert fen(found) == FEN
        assert found[0].holder_name == ""

    def test_may_say_their_names_once_more(self):
        profile = parse_profile(proposal(dumped(lists(HEAD))).text, "the proposal")

        assert fen(read(dumped([HEAD, *CELLS[:2], HEAD, *CELLS[2:]]), profile)) == FEN

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            (CELLS[0][:-1], "10 cells instead of 11"), ({"户号": "1"}, "not a list"),
            (7, "not a list"),
        ],
    )  # fmt: skip
    def test_that_are_none_or_too_short_are_rejected_alone(self, row, why):
        profile = parse_profile(proposal(dumped(lists(HEAD))).text, "the proposal")

        told, *others = read(dumped([HEAD, row, *CELLS]), profile)

        assert isinstance(told, Reject)
        assert why in told.reason
        assert told.line_no == 2
        assert fen(others) == FEN

    def test_whose_names_lack_a_column_are_refused(self):
        profile = parse_profile(proposal(dumped(lists(HEAD))).text, "the proposal")

        refused = refusal(dumped([["户", *HEAD[1:]], *CELLS]), profile)

        assert "the header has no column 户号" in refused.message

    def test_whose_names_stand_nowhere_are_refused(self):
        text = proposal(dumped({"columns": HEAD, "data": CELLS})).text
        profile = parse_profile(text, "the proposal")

        assert "no column" in refusal(dumped({"data": CELLS}), profile).message

    def test_objects_below_an_account_know_whose_they_are(self):
        bills = [{"户号": one["户号"], "bills": [{**one, "户号": None}]} for one in OBJECTS]
        for bill in bills:
            del bill["bills"][0]["户号"]

        assert [row.account_no for row in proposed(dumped(bills))] == [c[0] for c in CELLS]


class TestYearsOfTheRepublic:
    @pytest.mark.parametrize(
        ("layout", "written", "day"),
        [
            ("民國yyy/mm/dd", "115/11/03", 3), ("民國yyy/mm/dd", "1151103", 3),
            ("民國yyy/mm/dd", "115.11.3", 3), ("民國yyy/mm/dd", "民國115年11月3日", 3),
            ("民國yyy/mm", "11511", 1), ("民國yyy/mm", "115/11", 1), ("民國yyy/mm", "115年11月", 1),
            ("yyyy-m-d", "2026-11-3", 3), ("yyyy-m", "2026-11", 1),
        ],
    )  # fmt: skip
    def test_and_days_without_their_zeros_are_read(self, layout, written, day):
        assert date_reader(layout)(written) == date(2026, 11, day)

    def test_are_known_in_a_file_in_big5(self):
        names = ("戶號", "戶名", "帳單年月", "帳單編號", "應繳金額", "開帳日期", "繳費期限")
        rows = [
            (c[0], "張三", "11510", c[4], c[8], "115/11/03", "1151120") for c in CELLS
        ]  # fmt: skip
        data = "".join(",".join(row) + "\n" for row in [names, *rows]).encode("big5")

        found = read(data, parse_profile(proposal(data).text.replace(*PERIOD), "the proposal"))

        assert fen(found) == FEN
        assert (found[0].billing_month, found[0].due_on) == (date(2026, 10, 1), date(2026, 11, 20))


def columns(*more: tuple[str, list[str]]) -> str:
    """Write the bills with further columns before the amount."""
    names = [name for name, _ in more]
    rows = [[*c[:8], *(own[at] for _, own in more), *c[8:]] for at, c in enumerate(CELLS)]
    return "".join(",".join(row) + "\n" for row in [[*HEAD[:8], *names, *HEAD[8:]], *rows])


def renamed(name: str, rows: list[str] | None = None) -> str:
    """Write the bills with another name, and other cells, for the amount."""
    cells = rows or list(AMOUNTS)
    rows_of = [[*c[:8], cell, *c[9:]] for c, cell in zip(CELLS, cells, strict=True)]
    return "".join(",".join(row) + "\n" for row in [[*HEAD[:8], name, *HEAD[9:]], *rows_of])


class TestWhatWouldBeDear:
    @pytest.mark.parametrize(
        "name", ["金额(万元)", "金额（千元）", "金额(USD)", "应缴金额(港币)", "amount (HK$)"]
    )
    def test_a_unit_or_currency_in_a_name_is_asked_about(self, name):
        assert 'amount_unit = "?"' in proposal(renamed(name)).text

    @pytest.mark.parametrize("unit", ["单位：分", "金额单位:分", "Unit: fen", "(单位：人民币分)"])
    def test_a_unit_stated_above_the_table_counts(self, unit):
        whole = [str(int(Decimal(amount) * 100)) for amount in AMOUNTS]

        for data in (
            f"{unit}\n{renamed('应缴金额', whole)}",
            xlsx(
                [
                    [unit],
                    HEAD,
                    *([*c[:8], cell, *c[9:]] for c, cell in zip(CELLS, whole, strict=True)),
                ]
            ),
        ):
            assert fen(proposed(data)) == FEN

    def test_ten_thousands_stated_above_the_table_are_asked_about(self):
        assert 'amount_unit = "?"' in proposal(f"单位：万元\n{table(*BILLS)}").text

    def test_a_name_in_camel_case_may_say_fen(self):
        objects = [
            {k: v for k, v in one.items() if k != "应缴金额"}
            | {"amountFen": int(Decimal(one["应缴金额"]) * 100)}
            for one in OBJECTS
        ]

        assert fen(proposed(dumped(objects))) == FEN

    def test_amounts_none_of_which_has_a_fen_are_asked_about(self):
        whole = [f"{amount.replace('.', '')}.00" for amount in AMOUNTS]

        assert 'amount_unit = "?"' in proposal(renamed("应缴金额", whole)).text

    @pytest.mark.parametrize("currencies", [["USD"] * 5, ["CNY"] * 4 + ["USD"]])
    def test_other_currencies_are_asked_about(self, currencies):
        assert 'currency = "?"' in proposal(columns(("币种", currencies))).text
        assert 'currency = "?"' in proposal(renamed("金额", [f"${one}" for one in AMOUNTS])).text

    def test_a_row_in_another_currency_is_rejected_alone(self):
        profile = parse_profile(proposal(columns(("币种", ["CNY"] * 5))).text, "the proposal")
        data = columns(("币种", ["CNY", "USD", "CNY", "CNY", "CNY"]))

        found = read(data, profile)

        assert fen([row for row in found if isinstance(row, BillRecord)]) == [FEN[0], *FEN[2:]]
        assert (found[1].column, found[1].reason) == (
            "币种", "'USD' stands where CNY must in every row",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "flags"),
        [
            ("借贷标志", "借借贷借借"), ("是否作废", "否否是否否"), ("红蓝标志", "蓝蓝红蓝蓝"),
            ("doc_type", "IICII"), ("D/C", "DDCDD"),
        ],
    )  # fmt: skip
    def test_a_flag_that_may_turn_an_amount_is_asked_about(self, name, flags):
        found = proposal(columns((name, list(flags))))

        assert found.fault is not None
        assert "status" in found.fault

    @pytest.mark.parametrize("rival", ["实际应缴", "应缴合计", "本期应缴总额"])
    def test_two_columns_that_may_be_the_amount_due_are_asked_about(self, rival):
        more = [str(Decimal(amount) + 10) for amount in AMOUNTS]

        found = proposal(columns((rival, more)))

        assert any("which of these is the amount due" in asked for asked in found.questions)
        assert 'holds = "amount"' not in found.text

    def test_days_that_contradict_their_names_never_change_places(self):
        bills = [replace(bill, issued="2026-11-20", due="2026-11-03") for bill in BILLS]
        found = proposal(table(*bills))

        rows = read(table(*bills), parse_profile(found.text, "the proposal"))

        assert all(isinstance(row, Reject) and row.column == "最后缴费日" for row in rows)
        assert any("do not go with the others" in asked for asked in found.questions)

    def test_dates_of_no_layout_are_asked_about(self):
        found = proposal(table(*(replace(bill, month="2026Q4") for bill in BILLS)))

        assert any("账期" in asked and "2026Q4" in asked for asked in found.questions)

    def test_rows_of_a_bill_that_stand_apart_are_no_bills_of_their_own(self):
        names = (*HEAD[:8], "费用项目", "费用", *HEAD[9:])
        rows = [
            [*c[:8], item, "40.00", *c[9:]] for item in ("水费", "污水费") for c in CELLS
        ]  # fmt: skip
        data = "".join(",".join(row) + "\n" for row in [names, *rows])

        found = proposal(data.replace("费用,", "金额,"))

        assert 'group_by = ["?"]' in found.text
        assert found.fault is not None

    def test_a_sum_that_does_not_hold_is_taken_for_one(self):
        data = f"{table(*BILLS)}合计,,,,,,,125,2288.68,,\n"
        found = proposal(data)

        assert any("2288.67" in asked for asked in found.questions)
        refused = refusal(data, parse_profile(found.text, "the proposal"))
        assert "2288.68" in refused.message

    def test_one_page_of_several_is_no_whole_file(self):
        data = dumped({"code": 0, "data": {"total": 18, "pages": 3, "list": OBJECTS}})
        found = proposal(data)

        assert any("one page of several" in asked for asked in found.questions)
        assert "18 bills" in refusal(data, parse_profile(found.text, "the proposal")).message

    def test_bills_of_people_whose_names_begin_like_a_sum_are_bills(self):
        names = ("Summers", "Totally Water", "合计达公司", "注:某", "小计")
        rows = [[name, *c] for name, c in zip(names, CELLS, strict=True)]
        data = "".join(",".join(row) + "\n" for row in [("客户名称", *HEAD), *rows])

        assert fen(proposed(f"{data}合计,,,,,,,,125,2288.67,,\n")) == FEN

    def test_subtotals_below_blank_cells_are_passed_over(self):
        one, two = table(*BILLS[:3]), "".join(table(*BILLS[3:]).splitlines(keepends=True)[1:])
        data = f"{one},,,,,,小 计,75,1312.86,,\n{two},,,,,,合  计,125,2288.67,,\n"

        assert fen(proposed(data)) == FEN


@pytest.mark.parametrize(
    ("document", "form"),
    [
        (f"<StandardBusinessDocument>{ubl()}</StandardBusinessDocument>", "ubl"),
        (f'<s:Envelope xmlns:s="urn:s"><s:Body>{ubl()}</s:Body></s:Envelope>', "ubl"),
        (cii(old=True), "cii"),
        (re.sub(' xmlns="[^"]*"', "", message(block(transaction()))), "pain_013"),
    ],
)
def test_a_standard_in_an_envelope_or_without_its_namespace_is_known(document, form):
    assert f'format = "{form}"' in proposal(file(document)).text
