"""Files of mainframes, of tools for databases and by hand: what is read, asked and refused."""

import io
import json

import pytest

from core.errors import BillFileError, Invalid
from providers.base import Reject
from providers.formats.json_relaxed import Relaxed, without_comments
from providers.formats.mainframe import read_packed, unpacked, unpunched
from providers.profiles import parse_profile
from providers.proposing.other_kinds import refuse_other_kind
from tests.providers.test_written_by_others import (
    BILLS,
    FEN,
    OBJECTS,
    fen,
    proposal,
    proposed,
    read,
    refusal,
    table,
)

IN_FEN = ('amount_unit = "?"', 'amount_unit = "fen"')
NAMES = ("account_no", "holder_name", "billing_month", "bill_no", "period_from", "period_to",
         "amount", "issued", "due")  # fmt: skip
ROWS = [
    (bill.account_no, "Zhang", "2026-10", f"B-2610{at:03}", "2026-09-03", "2026-10-02",
     bill.amount, bill.issued, bill.due)
    for at, bill in enumerate(BILLS)
]  # fmt: skip


def punched(amount_fen: int, width: int = 9) -> str:
    digits = f"{abs(amount_fen):0{width}}"
    return digits[:-1] + ("{ABCDEFGHI" if amount_fen >= 0 else "}JKLMNOPQR")[int(digits[-1])]


def packed(amount_fen: int, size: int = 5) -> bytes:
    sign = "c" if amount_fen >= 0 else "d"
    return bytes.fromhex(f"{abs(amount_fen):0{2 * size - 1}}{sign}")


def record(at: int, amount: str) -> str:
    """Write a bill in places: its record's kind, numbers, name, month, days, amount and days."""
    number = f"2{310_000_000 + at * 7919:010}{('Zhang San', 'Li')[at % 2]:<14}202610"
    return f"{number}B2610{at:04}2026090320261002{amount}2026110320261120"


def records(*, trailer: bool = True) -> list[str]:
    rows = [record(at, punched(one)) for at, one in enumerate(FEN)]
    last = f"9{len(FEN):06}{punched(sum(FEN), 12)}"
    return [f"1{'20261103':<80}", *rows, f"{last:<81}"] if trailer else rows


class TestNumbersOfMainframes:
    def test_are_signed_in_their_last_character(self):
        written = ["0000865{", "0000865}", "0000000}", "00001A", "00001R", "0000012p", "12"]

        assert [unpunched(one) for one in written] == [
            "8650", "-8650", "0", "11", "-19", "-120", "12",
        ]  # fmt: skip

    @pytest.mark.parametrize("wrong", ["", "865-", "-865", "8650S", "86.50", "865{{", "8 65{"])
    def test_that_are_not_so_written_are_refused(self, wrong):
        with pytest.raises(Invalid, match="signed in its last character"):
            unpunched(wrong)

    def test_are_packed_two_figures_to_a_byte(self):
        assert [unpacked(packed(one)) for one in (8650, -8650, 0)] == ["8650", "-8650", "0"]
        assert unpacked(b"\x12\x3f") == "123"
        with pytest.raises(Invalid, match="0x1234 are no packed number"):
            read_packed(unpacked(b"\x12\x34"))

    def test_are_read_and_asked_about_where_all_of_a_column_are_so(self):
        rows = [(*row[:6], punched(one), *row[7:]) for row, one in zip(ROWS, FEN, strict=True)]
        data = "\n".join(",".join(row) for row in (NAMES, *rows))
        found = proposal(data)

        assert any("bear the sign" in asked for asked in found.questions)
        assert fen(proposed(data, told=IN_FEN)) == FEN

    def test_with_a_broken_sign_are_rejected_alone(self):
        rows = [(*row[:6], punched(one), *row[7:]) for row, one in zip(ROWS, FEN, strict=True)]
        data = "\n".join(",".join(row) for row in (NAMES, *rows))
        profile = parse_profile(proposal(data).text.replace(*IN_FEN), "the proposal")

        wrong, *others = read(data.replace(punched(FEN[0]), "00000865S"), profile)

        assert isinstance(wrong, Reject)
        assert "last character" in wrong.reason
        assert fen(others) == FEN[1:]


class TestRecordsOfMainframes:
    @pytest.mark.parametrize("encoding", ["cp037", "cp500", "cp1140"])
    def test_have_one_length_and_no_line_ends(self, encoding):
        data = "".join(records()).encode(encoding)
        found = proposal(data)
        profile = parse_profile(found.text.replace(*IN_FEN), "the proposal")

        assert any("which EBCDIC" in asked for asked in found.questions)
        assert fen(read(data, profile)) == FEN
        assert [row.account_no for row in read(data, profile)][1] == "0310007919"

    def test_hold_their_signed_sum_against_what_was_read(self):
        data = "".join(records()).encode("cp037")
        profile = parse_profile(proposal(data).text.replace(*IN_FEN), "the proposal")
        changed = data.replace(punched(FEN[0]).encode("cp037"), punched(9650).encode("cp037"))

        assert "add up to" in refusal(changed, profile).message

    def test_may_have_packed_numbers_with_any_byte_in_them(self):
        parts = [record(at, "|").split("|") for at in range(5)]
        amounts = [*FEN[:4], 25_000_000]  # 0x0025 is EBCDIC's own line feed
        data = b"".join(
            before.encode("cp037") + packed(one) + after.encode("cp037")
            for (before, after), one in zip(parts, amounts, strict=True)
        )
        found = proposal(data)

        assert 'style = "packed"' in found.text
        assert fen(proposed(data, told=IN_FEN)) == amounts

    @pytest.mark.parametrize("end", ["\x85", "\n"])
    @pytest.mark.parametrize("encoding", ["cp037", "cp273"])
    def test_may_be_lines_of_any_text(self, encoding, end):
        data = end.join(",".join(row) for row in (NAMES, *ROWS)).replace("Zhang", "Müller")

        rows = proposed(data.encode("cp273" if encoding == "cp273" else "cp037"))

        assert fen(rows) == FEN
        assert {row.holder_name for row in rows} == {"Müller"}

    def test_with_characters_of_two_bytes_are_refused_by_what_they_are(self):
        names = b"\x0e\x48\x85\x4c\xd2\x0f"
        data = b"".join(line.encode("cp037") + names for line in records(trailer=False))

        with pytest.raises(BillFileError, match="two bytes in EBCDIC"):
            proposal(data)

    def test_that_are_packed_need_blocks_of_bytes(self):
        data = "".join(records()).encode("cp037")
        text = proposal(data).text.replace('"overpunch"', '"packed"')

        with pytest.raises(Invalid, match="needs format = 'fixed_width'"):
            parse_profile(
                text.replace(*IN_FEN).replace("line_breaks = false", 'widths = "characters"'), "p"
            )

    @pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-16"])
    def test_of_other_wide_encodings_are_read_by_their_mark(self, encoding):
        mark = "\ufeff" if encoding == "utf-32-le" else ""

        assert fen(proposed((mark + table(*BILLS)).encode(encoding))) == FEN


class TestFixedWidth:
    def test_is_cut_where_days_signs_and_months_stand(self):
        data = "\n".join([*records(), ""])
        found = proposal(data)

        assert fen(proposed(data, told=IN_FEN)) == FEN
        assert {"row_count", "amount_sum"} <= {
            word for word in ("row_count", "amount_sum") if word in found.text
        }

    def test_a_number_aligned_right_is_never_cut_where_some_rows_have_no_figure(self):
        rows = [
            f"{bill.account_no} Zhang      2026-10 B2610{at:04} {bill.amount:>10}"
            " 2026-09-03 2026-10-02 2026-11-03 2026-11-20"
            for at, bill in enumerate(BILLS)
        ]

        assert fen(proposed("\n".join(rows))) == FEN

    def test_what_is_the_same_in_every_row_is_no_account(self):
        rows = [f"BILLREC001 {record(at, punched(one))}" for at, one in enumerate(FEN)]

        assert 'holds = "account_no", at = 0' not in proposal("\n".join(rows)).text


class TestCountsThatToolsPrint:
    @pytest.mark.parametrize(
        "count", ["{} rows selected.", "({} rows)", "{} rows in set, 1 warning (0.00 sec)",
                  "已选择 {} 行。", "({} 行记录)", "({} row(s) affected)"]
    )  # fmt: skip
    def test_are_held_against_the_rows(self, count):
        data = f"{table(*BILLS)}\n{count.format(5)}\n"
        profile = parse_profile(proposal(data).text, "the proposal")

        assert fen(read(data, profile)) == FEN
        wrong = refusal(data.replace(count.format(5), count.format(6)), profile)
        assert "6 rows were printed but 5 were read" in wrong.message
        assert wrong.line_no == 8

    def test_of_several_queries_are_added_up_and_sums_may_be_among_them(self):
        one = f"{table(*BILLS[:2])}(2 rows)\n{table(*BILLS[2:])}(3 rows)\n"
        total = f"{table(*BILLS)}合计,,,,,,,,2288.67,,\n(6 rows)\n"

        assert fen(proposed(one)) == FEN
        assert fen(proposed(total)) == FEN

    def test_are_only_told_of_where_the_profile_says_so(self):
        data = f"{table(*BILLS)}(6 rows)\n"
        text = f'{proposal(data).text}\n[totals]\nmismatch = "warn"\n'

        *bills, told = read(data, parse_profile(text, "the proposal"))

        assert fen(bills) == FEN
        assert isinstance(told, Reject)

    def test_may_be_the_end_that_postgresql_writes(self):
        rows = "".join("\t".join(row) + "\n" for row in (NAMES, *ROWS))

        assert fen(proposed(f"{rows}\\.\n")) == FEN


class TestJsonByHand:
    WRITTEN = json.dumps(OBJECTS, ensure_ascii=False, indent=1)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("[\n", "// bills\n[ /* all, ] of them */\n"),
            ("\n }", ",\n }"),
            ("\n]", ", // the last\n]\n// end"),
        ],
    )
    def test_may_have_comments_and_last_commas(self, old, new):
        data = self.WRITTEN.replace(old, new)

        assert "relaxed = true" in proposal(data).text
        assert fen(proposed(data)) == FEN

    def test_is_refused_with_its_remedy_where_the_profile_does_not_say_so(self):
        profile = parse_profile(proposal(self.WRITTEN).text, "the proposal")

        wrong = refusal(self.WRITTEN.replace("\n]", " // end\n]"), profile)

        assert "relaxed = true" in wrong.message

    def test_keeps_what_looks_like_a_comment_within_a_text(self):
        written = '// é "x"\n{"a": "http://x/*y*/,]", /* , } **/ "b": [1, // z\n ], "q\\"//": {},}'
        meant = {"a": "http://x/*y*/,]", "b": [1], 'q"//': {}}

        assert json.loads(without_comments(written)) == meant
        for size in range(1, 40):
            stream, out = Relaxed(io.BytesIO(written.encode())), b""
            while piece := stream.read(size):
                out += piece
            assert json.loads(out) == meant
            assert out.count(b"\n") == written.count("\n")

    def test_may_be_several_lists(self):
        data = f"{json.dumps(OBJECTS[:2], indent=1)}\n{json.dumps(OBJECTS[2:], indent=1)}"

        assert fen(proposed(data)) == FEN


def named(row: tuple[str, ...], form: str) -> str:
    return "".join(form.format(name, cell) for name, cell in zip(NAMES, row, strict=True))


class TestXmlThatNamesItsFieldsByAttribute:
    DUMP = "<mysqldump><database name='d'>{}</database></mysqldump>"

    @pytest.mark.parametrize(
        ("around", "row", "form"),
        [
            (DUMP.format("<table_data name='bill'>{}</table_data>"), "row",
             '<field name="{}">{}</field>'),
            ("<pma_xml_export><database name='d'>{}</database></pma_xml_export>", "table",
             '<column name="{}">{}</column>'),
            ("<Rows>{}</Rows>", "Row", '<Cell Name="{}" Value="{}"/>'),
            ("<beans>{}</beans>", "bean", '<property key="{}">{}</property>'),
            ("<d:DataSet xmlns:d='u'><d:diffgram><New>{}</New></d:diffgram></d:DataSet>", "Table",
             "<{0}>{1}</{0}>"),
        ],
    )  # fmt: skip
    def test_is_mapped(self, around, row, form):
        rows = "\n".join(f"<{row}>{named(one, form)}</{row}>" for one in ROWS)

        assert fen(proposed(around.format(rows))) == FEN

    def test_reads_one_table_of_several(self):
        form = '<field name="{}">{}</field>'
        other = "<row><field name='id'>1</field><field name='town'>x</field></row>" * 3
        rows = "\n".join(f"<row>{named(one, form)}</row>" for one in ROWS)
        tables = f"<table_data name='town'>{other}</table_data>\n<table_data name='bill'>{rows}"
        data = self.DUMP.format(f"{tables}</table_data><table_data name='z'>{other}</table_data>")

        assert "table_data[@name='bill']" in proposal(data).text
        assert fen(proposed(data)) == FEN


class TestCredits:
    ANSWERED = (('"借" = "?"', '"借" = "bill"'), ('"贷" = "?"', '"贷" = "credit"'))

    def file(self, *rows: tuple[str, str], end: str = "") -> str:
        """Write bills with a side and an amount each."""
        names = "户号,账期,账单号,起始日,截止日,借贷,金额,出账日,最后缴费日\n"
        return names + end.join(
            f"0310001{at:03},202610,B{at:03},20260903,20261002,{side},{amount},20261103,20261120\n"
            for at, (side, amount) in enumerate(rows)
        )

    def profile(self, data: str, more: str = ""):
        text = proposal(data).text
        for old, new in self.ANSWERED:
            assert old in text  # it is never guessed which of the two counts against
            text = text.replace(old, new)
        return parse_profile(text + more, "the proposal")

    def test_count_against(self):
        data = self.file(("借", "86.50"), ("贷", "12.30"), ("借", "0.50"), ("贷", "0.00"))
        bills = read(data, self.profile(data))

        assert fen(bills) == [8650, -1230, 50, 0]
        assert [bill.items[0].amount_fen for bill in bills] == [8650, -1230, 50, 0]

    def test_that_are_negative_already_are_rejected(self):
        data = self.file(("借", "86.50"), ("贷", "-12.30"))

        _, wrong = read(data, self.profile(data))

        assert isinstance(wrong, Reject)
        assert "only one of the two" in wrong.reason

    @pytest.mark.parametrize(("stated", "holds"), [("74.20", True), ("98.80", False)])
    def test_count_against_in_control_totals_whether_taken_or_rejected(self, stated, holds):
        data = self.file(("借", "86.50"), ("贷", "12.30"), ("贷", "0.00"))
        wrong = data.replace("0310001001", "0310 01001")
        more = (
            '\n[trailer]\nfields = [{ name = "合计", must_be = "合计" },'
            ' { name = "sum", holds = "amount_sum" }]\n'
        )
        profile = self.profile(data, more)

        for written in (data, wrong):
            if holds:
                assert len(read(f"{written}合计,{stated}\n", profile)) == 3
            else:
                assert "add up to" in refusal(f"{written}合计,{stated}\n", profile).message

    def test_do_not_go_with_cancelling_what_is_negative(self):
        data = self.file(("借", "86.50"), ("贷", "12.30"))

        with pytest.raises(Invalid, match="keep one"):
            self.profile(data, '\n[corrections]\nnegative = "cancel"\n')


class TestWhatIsNoFileOfBills:
    @pytest.mark.parametrize(
        ("data", "told"),
        [
            ("INSERT INTO bill (a, b) VALUES ('1', 2);\n", "SQL"),
            ("*************************** 1. row ***************************\na: 1\n", r"\\G"),
            ("-[ RECORD 1 ]-\na | 1\n", r"\\x"),
            ("dn: cn=1,ou=bills\naccount: 1\n", "LDIF"),
            ("[bill1]\naccount=1\namount=2\n", "INI"),
            ("bills:\n  - account: 1\n    amount: 2\n    due: 3\n", "YAML"),
            ("<table>\n<tr><td>1</td></tr></table>", "web page"),
            ('callback([{"a": 1}]);', "JSONP"),
            ('var bills = [{"a": 1}];', "JavaScript"),
            ("[{'a': 1}]", "single quotation"),
            ("[\n {a: 1}]", "JSON5"),
            ("account=1 amount=2 due=3\naccount=2 amount=3 due=4\n", "name=value"),
            ("EDI_DC40  300\nE2BILL001\n", "IDoc"),
            ('{"1": {"a": 1}, "2": {"a": 2}}', "objects by name"),
            ('{"a": [1, 2], "b": [3, 4]}', "a list for each column"),
        ],
    )
    def test_is_refused_by_what_it_is(self, data, told):
        with pytest.raises(BillFileError, match=told):
            proposal(data)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("page", ["\n", " \n", " ", "\t", "/**/", "/* ", "#\n", "-- \n", "["])
def test_a_page_of_nothing_is_not_looked_at_again_and_again(page):
    refuse_other_kind(page * (8_192 // len(page)) + "x")


@pytest.mark.timeout(8)
def test_an_export_with_a_table_for_each_row_is_looked_through_once():
    cells = "<column name='account_no'>0310</column><column name='amount'>86.50</column>"
    rows = f"<table name='bill'>{cells}</table>" * 4_000
    found = proposal(f"<database name='x'>{rows}</database>".encode())

    assert 'rows = "database/table"' in found.text
