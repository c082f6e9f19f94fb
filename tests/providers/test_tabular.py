"""What a profile can ask of a text file beyond one plain row, one bill."""

import io

import pytest

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Reject
from providers.profiles import parse_profile
from providers.registry import reader_from
from tests.providers.contract import FACTS, profile_of
from tests.providers.samples_text import (
    BATCH,
    CELLS,
    COLUMNS,
    FIXED,
    GROUPED,
    HEAD,
    NAMES,
    REPEATED,
    SEGMENTED,
    WASTE,
    WATER,
    by_names,
    lines,
)


def rows(toml: str, text: str) -> list[object]:
    return list(reader_from(profile_of(toml)).read(io.BytesIO(text.encode())))


def refusal(toml: str, text: str) -> BillFileError:
    with pytest.raises(BillFileError) as refused:
        rows(toml, text)
    return refused.value


def complaint(toml: str) -> str:
    with pytest.raises(Invalid) as refused:
        profile_of(toml)
    return refused.value.message


HEADERLESS = (
    COLUMNS
    + "[file]\nformat = 'delimited'\ndelimiter = ','\ntrim = true\n[header]\nkind = 'none'\n"
)
ENDED = (
    HEADERLESS + '[trailer]\nfields = [{ name = "合计", must_be = "合计" },'
    ' { name = "水量合计", holds = "amount_sum", of = "水量" },'
    ' { name = "金额合计", holds = "amount_sum" }]\n'
)


class TestControlTotals:
    def test_of_several_columns_hold(self):
        (record,) = rows(ENDED, lines(",", CELLS, ("合计", "25.0", "86.50")))

        assert isinstance(record, BillRecord)

    @pytest.mark.parametrize(
        ("trailer", "column"),
        [(("合计", "25.1", "86.50"), "水量合计"), (("合计", "25", "86.51"), "金额合计")],
    )
    def test_of_several_columns_that_do_not_are_named(self, trailer, column):
        refused = refusal(ENDED, lines(",", CELLS, trailer))

        assert (refused.line_no, refused.column) == (2, column)

    def test_that_cannot_be_proven_name_the_row_to_blame(self):
        bad = (*CELLS[:9], "2x", "86.50")

        refused = refusal(ENDED, lines(",", CELLS, bad, ("合计", "25", "173.00")))

        assert (refused.line_no, refused.column) == (2, "水量")

    def test_may_be_only_told_of(self):
        toml = ENDED + '[totals]\nmismatch = "warn"\n'

        record, told = rows(toml, lines(",", CELLS, ("合计", "25", "99.00")))

        assert isinstance(record, BillRecord)
        assert isinstance(told, Reject)
        assert (told.line_no, told.column) == (2, "金额合计")
        assert "99.00" in told.reason

    @pytest.mark.parametrize(
        ("head", "told"),
        [("2010|3|20000|20261101|", "holds 3 bills but 2"), ("2010|2|20001|20261101|", "200.01")],
    )
    def test_may_stand_in_the_header(self, head, told):
        row = "123456.0505|1|10000|202610|\n"

        assert told in refusal(BATCH, f"{head}\n{row}{row}").message

    def test_may_be_left_out_where_the_profile_says_so(self):
        optional = ENDED.replace("[trailer]", "[trailer]\noptional = true")

        assert len(rows(optional, lines(",", CELLS))) == 1
        assert "without its trailer" in refusal(ENDED, lines(",", CELLS)).message


class TestARowOfNames:
    TOML = by_names(",", "utf-8", "trim = true").replace(
        'kind = "names"', 'kind = "names"\nsearch_lines = 3'
    )

    def test_is_found_below_a_preamble(self):
        assert len(rows(self.TOML, "水务\n" + lines(",", NAMES, CELLS))) == 1

    def test_that_is_nowhere_near_is_missed_by_its_nearest_line(self):
        names = ("户号码", *NAMES[1:])

        refused = refusal(self.TOML, "水务\n" + lines(",", names, CELLS))

        assert (refused.line_no, refused.column) == (2, "户号")

    def test_with_a_column_nobody_agreed_is_refused_by_its_name(self):
        text = lines(",", (*NAMES, "备注"), (*CELLS, ""))

        assert "备注" in refusal(self.TOML, text).message

    def test_with_a_column_twice_is_refused(self):
        text = lines(",", (*NAMES, "金额"), (*CELLS, "1"))

        assert "two columns 金额" in refusal(self.TOML, text).message

    @pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u00a0", "  "])
    def test_may_have_marks_nobody_sees(self, mark):
        names = (mark + NAMES[0], *NAMES[1:])

        assert len(rows(self.TOML, lines(",", names, CELLS))) == 1


class TestADefault:
    TOML = """
columns = [
    { name = "户号", holds = "account_no" }, { name = "账单号", holds = "bill_no" },
    { name = "止", holds = "period_to" }, { name = "起", holds = "period_from" },
    { name = "截止", holds = "due" }, { name = "金额", holds = "amount" },
]
[file]
format = "delimited"
delimiter = ","
[header]
kind = "none"
[defaults]
issued = "period_end"
billing_month = "period_end"
due_days = 15
"""

    def test_makes_up_what_a_blank_cell_leaves_out(self):
        given, made = rows(self.TOML, "1,B-1,20261031,20261001,20261120,1.00\n"
                                      "1,B-2,20261031,20261001,,1.00\n")  # fmt: skip

        assert (f"{given.issued_on}", f"{given.billing_month}") == ("2026-10-31", "2026-10-01")
        assert (f"{given.due_on}", f"{made.due_on}") == ("2026-11-20", "2026-11-15")

    def test_that_does_not_reach_is_told_by_the_rows_line(self):
        toml = self.TOML.replace("due_days = 15\n", "").replace('"due" }', '"due" }')

        (bad,) = rows(toml, "1,B-1,20261031,20261001,,1.00\n")

        assert (bad.line_no, bad.column, "blank" in bad.reason) == (1, "截止", True)

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("due_days = 15", "due_days = 0", "line 17: defaults.due_days: should be greater"),
            ('issued = "period_end"', 'issued = "file_day"', "line 15: defaults: issued = 'file_d"),
            ('{ name = "止", holds = "period_to" },', "", "no column holds 'period_to'"),
        ],
    )
    def test_that_cannot_work_is_told_by_the_profiles_line(self, old, new, told):
        assert told.replace("line 17", "line").split(":")[-1] in complaint(
            self.TOML.replace(old, new)
        )


class TestABillInSeveralRows:
    def test_with_one_wrong_row_is_rejected_whole(self):
        bad = ("x", *WASTE[1:])

        found = rows(
            GROUPED.replace('["户号", "账单号"]', '["账单号"]'), lines(",", HEAD, WATER, bad)
        )

        assert [(row.line_no, row.column) for row in found] == [(2, ""), (3, "户号")]
        assert "line 3, another row of this bill" in found[0].reason

    def test_whose_rows_disagree_is_rejected_with_both_lines(self):
        other = (*WASTE[:8], "20261121", *WASTE[9:])

        found = rows(GROUPED, lines(",", HEAD, WATER, other))

        assert "due differs from that of line 2" in found[1].reason

    def test_may_repeat_its_amount_in_every_row(self):
        toml = GROUPED.replace('"金额", holds = "amount"', '"费用", holds = "charge" }, '
                               '{ name = "金额", holds = "amount"')  # fmt: skip
        toml = toml.replace('"账单号"]\n', '"账单号"]\namount = "first"\n')
        head = (*HEAD[:11], "费用", "金额")

        (record,) = rows(
            toml, lines(",", head, (*WATER, "86.50"), (*WASTE[:10], "污水费", "38.25", "86.50"))
        )

        assert record.amount_fen == 8_650
        assert [item.amount_fen for item in record.items] == [4_825, 3_825]

    def test_is_bounded(self):
        found = rows(GROUPED, lines(",", HEAD, *[WASTE] * 1_001))

        assert [len(row.items) for row in found] == [1_000, 1]


class TestSegments:
    BILL = "B|1000000001|B-1|202610|20261101|86.50\n"

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (BILL + "L|水费|x\n", "not an amount"),
            (BILL + "L|水费\n", "2 cells instead of 3"),
            (BILL + "L|水费|86.50\nS|86.51\n", "the subtotal is 86.51"),
            ("L|水费|1.00\n" + BILL + "L|水费|86.50\n", "no bill's line stands before"),
            (BILL + "X|1\n", "no kind of line"),
            (BILL + "|L|86.50\n", "no kind of line"),
        ],
    )
    def test_that_are_wrong_are_told(self, text, told):
        toml = SEGMENTED.replace("[trailer]", "[trailer]\noptional = true")

        found = rows(toml, text)

        assert any(isinstance(row, Reject) and told in row.reason for row in found)

    def test_may_make_the_amount(self):
        toml = SEGMENTED.replace('{ name = "应缴", holds = "amount" },', "")
        toml = toml.replace("[trailer]", "[trailer]\noptional = true")

        (record,) = rows(toml, "B|1000000001|B-1|202610|20261101\nL|水费|48.25\nL|污水|38.25\n")

        assert record.amount_fen == 8_650


class TestSeveralBillsInARow:
    def test_are_judged_one_by_one(self):
        good, bad = rows(REPEATED, "1000000001,20261101,202609,1.00,202610,x\n")

        assert isinstance(good, BillRecord)
        assert (bad.line_no, bad.column) == (1, "金额2")

    def test_a_row_without_any_is_rejected(self):
        (bad,) = [row for row in rows(REPEATED, "1,20261101,,,,\n1,20261101,,,202610,1.00\n")
                  if isinstance(row, Reject)]  # fmt: skip

        assert "names no bill" in bad.reason


class TestFixedPlaces:
    def test_in_characters_tell_a_row_of_another_length(self):
        toml = FIXED.replace("WIDTHS", 'widths = "characters"')

        bad, good = rows(toml, "1\n1000000001张珅  202610 1/11/2026000865000备注   \n")

        assert isinstance(good, BillRecord)
        assert "1 characters long instead of 44" in bad.reason

    def test_without_line_breaks_have_none(self):
        toml = FIXED.replace("WIDTHS", "line_breaks = false")

        assert "a line break stands in block 1" in refusal(toml, "1\n" * 40).message


class TestAnAccountNumber:
    def test_with_a_wrong_check_digit_is_rejected(self):
        toml = HEADERLESS + '[account_no]\ncheck = "luhn"\n'

        found = rows(toml, lines(",", ("79927398713", *CELLS[1:]), ("79927398712", *CELLS[1:])))

        assert isinstance(found[0], BillRecord)
        assert "check digit" in found[1].reason

    def test_of_another_length_is_rejected(self):
        (_, bad) = rows(HEADERLESS + "[account_no]\nlength = 10\n",
                        lines(",", CELLS, ("100000001", *CELLS[1:])))  # fmt: skip

        assert "9 characters instead of 10" in bad.reason


class TestAComplaintAboutAProfile:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ('a = 1\nb = "x\n', "mine.toml line 2: is not TOML"),
            ("a = {\n", "mine.toml line"),
            (FACTS + "[file]\nformat = 'delimited'\nencoding = 'x'\n", "line 10: file.encoding:"),
            (FACTS + "[file]\nformat = 'json'\n", "mine.toml line 1: columns: is missing"),
            (FACTS + "[[items]]\nname = 'a'\namount = 'b'\n\n[[items]]\nname = ''\namount = 'c'\n"
             "[file]\nformat = 'json'\n", "line 13: items[2].name: "),
        ],
    )  # fmt: skip
    def test_names_the_line(self, text, told):
        with pytest.raises(Invalid) as refused:
            parse_profile(text, "mine.toml")

        assert told in refused.value.message

    def test_names_the_line_of_a_column_among_many(self):
        text = FACTS + HEADERLESS.replace('"due" }', '"dew" }')
        line_no = text[: text.index('"dew"')].count("\n") + 1

        with pytest.raises(Invalid, match=rf"line {line_no}: columns\[9\]\.holds: should be"):
            parse_profile(text, "mine.toml")

    def test_names_the_line_of_what_does_not_fit_together(self):
        text = FACTS + HEADERLESS + '[[repeat]]\ncolumns = ["无"]\n'
        line_no = text.count("\n")

        with pytest.raises(Invalid, match=f"line {line_no}: repeat: '无' is no column"):
            parse_profile(text, "mine.toml")

    @pytest.mark.parametrize("kind", ["ubl", "cii", "espi", "pain_013", "x12_810"])
    def test_is_none_of_a_standard_without_columns(self, kind):
        assert parse_profile(f"{FACTS}[file]\nformat = '{kind}'\n", "mine.toml").columns == ()
