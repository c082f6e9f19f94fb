"""A bank's CSV by a profile: each way banks export it and each way to be wrong."""

from datetime import date

import pytest

from core.errors import Invalid
from payments.statements.base import Entry, Statement, StatementFileError
from payments.statements.profiles import BankProfile, load_bank_profile, parse_bank_profile
from tests.payments.statements.samples import ACCOUNT, OURS, changed, profile, read, sample

TWO_COLUMNS, DIRECTION = sample("two_columns.csv"), sample("direction.csv")

PLAIN = """
code = "plain"
name = "a bank"
account_no = "1"
columns = [
    { name = "day", holds = "booked_on" },
    { name = "amount", holds = "amount" },
    { name = "text", holds = "words" },
]
"""


def plain(*lines: str, more: str = "") -> Statement:
    (statement,) = read("\n".join(lines).encode(), parse_bank_profile(PLAIN + more, "plain.toml"))
    return statement


def two_columns(*changes: tuple[str, str]) -> Statement:
    content = changed(TWO_COLUMNS, *changes, encoding="gb18030")
    (statement,) = read(content, profile("two_columns"))
    return statement


def direction(*changes: tuple[str, str]) -> Statement:
    (statement,) = read(changed(DIRECTION, *changes), profile("direction"))
    return statement


class TestTwoColumns:
    def test_what_stands_above_and_below_the_table_is_kept_and_checked(self):
        statement = two_columns()

        assert statement.account_no == ACCOUNT
        assert statement.source_format == "csv:two_columns"
        assert (statement.from_on, statement.to_on) == (date(2026, 11, 20), date(2026, 11, 20))
        assert (statement.opening_fen, statement.closing_fen) == (1_000_000, 1_077_345)

    def test_an_entry_is_free_of_what_exports_put_around_it(self):
        assert two_columns().entries[0] == Entry(
            entry_no="2026112000001001", line_no=6, booked_on=date(2026, 11, 20),
            value_on=date(2026, 11, 20), amount_fen=86_350, references=("2026112000001001",),
            other_name="沙盒支付有限公司", other_account_no="6200000000000000777",
            words="转账 PAYOUT20261119SANDBOX",
        )  # fmt: skip

    def test_debit_goes_out_credit_comes_in_and_below_zero_it_goes_back(self):
        moved = [(one.amount_fen, one.is_reversal) for one in two_columns().entries]

        assert moved == [(86_350, False), (-8_650, False), (8_650, True), (-9_005, False)]

    def test_an_entry_without_a_number_is_named_by_its_day_and_place(self):
        assert two_columns().entries[3].entry_no == "20261120-4"

    @pytest.mark.parametrize(
        ("old", "new", "says", "place"),
        [
            ("借方合计,2笔", "借方合计,3笔", "the file says 3 entries", "debit_count"),
            ('"176.55"', '"176.56"', "the file says 17656 fen", "debit_sum"),
            ("贷方合计,2笔", "贷方合计,1笔", "the file says 1 entries", "credit_count"),
            ('"950.00"', '"950.10"', "the file says 95010 fen", "credit_sum"),
            ("币种：人民币", "币种：美元", "currency is '美元'", "currency"),
            ("起始日期：20261120", "起始日期：20261320", "no date", "from_on"),
            ('"863.50"', '"863.505"', "finer than a fen", "贷方发生额"),
            ('"863.50"', '"863,5"', "not a number as the profile says", "贷方发生额"),
            ('"863.50"', '"８63.50"', "not a number as the profile says", "贷方发生额"),
            (',,"863.50"', ',1.00,"863.50"', "not both", "借方发生额"),
            (',,"863.50"', ",,", "must hold the amount", "借方发生额"),
            ('"10,863.50"', '""', "number is blank", "余额"),
            ("20261120,09:00", "20261131,09:00", "no date", "交易日期"),
            ("20261120,09:00", ",09:00", "the day is blank", "交易日期"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line_and_column(self, old, new, says, place):
        with pytest.raises(StatementFileError, match=says) as refused:
            two_columns((old, new))

        assert refused.value.column == place
        assert refused.value.line_no is not None

    def test_a_balance_that_does_not_follow_from_the_one_before_is_refused(self):
        with pytest.raises(StatementFileError, match=r"make 10777\.00, not 10777\.01"):
            two_columns(('"10,777.00"', '"10,777.01"'))

    def test_a_row_too_few_or_a_total_too_few_is_a_file_cut_short(self):
        lines = TWO_COLUMNS.decode("gb18030").splitlines(keepends=True)
        cut = "".join(lines[:-1]).encode("gb18030")

        with pytest.raises(StatementFileError, match="no line reads like"):
            read(cut, profile("two_columns"))
        with pytest.raises(StatementFileError, match="a row is missing"):
            two_columns((lines[7], ""))

    def test_a_row_of_another_width_is_refused(self):
        with pytest.raises(StatementFileError, match="has 10 cells, the header 11"):
            two_columns((",手续费,", ",手续费"))

    def test_a_column_that_is_not_there_is_named(self):
        with pytest.raises(StatementFileError, match="each of the columns 交易日期, 起息日"):
            two_columns(("对方户名", "对方名"))

    def test_quotation_marks_that_do_not_match(self):
        with pytest.raises(StatementFileError, match="quotation marks"):
            two_columns(('"863.50"', '"863.50'))

    def test_words_that_look_like_a_note_are_words(self):
        statement = two_columns((",手续费,", ",手续费,退至账号：6200000000000000009"))

        assert statement.account_no == ACCOUNT
        assert statement.entries[3].words == "手续费 退至账号：6200000000000000009"

    def test_without_entries_it_is_a_statement_of_nothing(self):
        lines = TWO_COLUMNS.decode("gb18030").splitlines(keepends=True)
        totals = '借方合计,0笔,"0.00"\r\n贷方合计,0笔,"0.00"\r\n'
        content = ("".join(lines[:5]) + totals).encode("gb18030")

        (statement,) = read(content, profile("two_columns"))
        assert (statement.entries, statement.opening_fen) == ((), None)


class TestDirection:
    def test_newest_first_is_turned_round(self):
        statement = direction()

        assert [one.entry_no for one in statement.entries] == ["900001", "900002", "900003"]
        assert [one.amount_fen for one in statement.entries] == [86_450, -8_650, -9_005]
        assert (statement.opening_fen, statement.closing_fen) == (1_000_000, 1_068_795)
        assert statement.statement_no == "20261120-20261121"
        assert statement.entries[1].references == ("R2611000000000009-01", "900002")
        assert statement.entries[1].bank_code == "转账"

    def test_the_other_order_is_refused(self):
        lines = DIRECTION.decode().splitlines()
        turned = "\n".join([lines[0], *lines[3:0:-1], lines[4]]).encode()

        with pytest.raises(StatementFileError, match="the profile's order is the other one"):
            read(turned, profile("direction"))

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("|借|", "|收|", "'收' is no direction; the words are 借, 贷"),
            ("|人民币|", "|港币|", "currency is '港币'"),
            ("|6200000000000000001|", "|6200000000000000002|", "account_no is told twice"),
            ("共3笔", "共4笔", "the file says 4 entries"),
            ("共3笔", "三笔", "has 1 cells"),
        ],
    )
    def test_what_is_wrong_is_told(self, old, new, says):
        with pytest.raises(StatementFileError, match=says):
            direction((old, new))


class TestOtherWays:
    def test_a_signed_column(self):
        statement = plain("day,amount,text", "20261120,86.50,IN", "20261121,-1.00,OUT", ",,")

        assert [(one.amount_fen, one.words) for one in statement.entries] == [
            (8_650, "IN"), (-100, "OUT"),
        ]  # fmt: skip
        assert (statement.opening_fen, statement.closing_fen) == (None, None)

    def test_a_sign_for_nothing_is_no_amount(self):
        text = PLAIN.replace('holds = "amount"', 'holds = "debit"')
        text = text.replace('"words" },', '"words" },\n    { name = "in", holds = "credit" },')
        bank = parse_bank_profile(f'{text}[numbers]\nnulls = ["--"]\n', "plain.toml")

        (statement,) = read(b"day,amount,text,in\n20261120,--,A,1.00\n20261120,2.00,B,--\n", bank)
        assert [one.amount_fen for one in statement.entries] == [100, -200]
        with pytest.raises(StatementFileError, match="must hold the amount"):
            read(b"day,amount,text,in\n20261120,--,A,--\n", bank)

    def test_cells_may_break_lines_where_the_profile_says_so(self):
        statement = plain(
            "day,amount,text", '20261120,1.00,"ONE', 'TWO"', more="[file]\nmultiline = true\n"
        )

        assert statement.entries[0].words == "ONE TWO"

    def test_blank_cells_behind_a_row_are_no_cells(self):
        assert len(plain("day,amount,text", "20261120,1.00,A,,").entries) == 1

    def test_the_header_is_looked_for_within_a_bound(self):
        filler = ["a line about the bank"] * 40

        with pytest.raises(StatementFileError, match="there is no row with each of the columns"):
            plain(*filler, "day,amount,text", "20261120,1.00,A")
        assert plain(*filler, "day,amount,text", more="[file]\nheader_within = 50\n")

    def test_a_balance_told_is_held_against_the_column(self):
        told = TWO_COLUMNS.decode("gb18030") + "期末余额：10773.46\r\n"
        text = "\n[[notes]]\npattern = '期末余额：(?P<closing>[0-9.]+)'\n"
        bank = extended("two_columns", text)

        with pytest.raises(StatementFileError, match="the file says 1077346 fen"):
            read(told.encode("gb18030"), bank)

    def test_a_count_that_is_no_number(self):
        with pytest.raises(StatementFileError, match="'three' is no number of entries"):
            plain(
                "rows: three", "day,amount,text", "20261120,1.00,A",
                more="[[notes]]\npattern = 'rows: (?P<count>.*)'\n",
            )  # fmt: skip

    def test_a_blank_account(self):
        with pytest.raises(StatementFileError, match="the account is blank"):
            plain(
                "account: ", "day,amount,text", "20261120,1.00,A",
                more="[[notes]]\npattern = '^account:(?P<account_no>.*)'\n",
            )  # fmt: skip

    def test_a_workbook_is_not_taken_for_text(self):
        with pytest.raises(StatementFileError, match="an Excel workbook"):
            read(b"PK\x03\x04" + b"xl/workbook.xml" * 10, profile("direction"))

    def test_an_encoding_the_profile_rules_out(self):
        bank = parse_bank_profile(PLAIN + '[file]\nencoding = "utf-8"\n', "plain.toml")

        with pytest.raises(StatementFileError, match="is not UTF-8; the line looks like GB18030"):
            read("day,amount,text\n20261120,1.00,水费\n".encode("gb18030"), bank)


def extended(name: str, more: str) -> BankProfile:
    from_file = profile(name)
    assert from_file.notes
    return parse_bank_profile(_text(name) + more, f"{name}.toml")


def _text(name: str) -> str:
    return (OURS / f"{name}.toml").read_text(encoding="utf-8")


class TestProfiles:
    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ('"booked_on"', '"booked"', r"line 6: columns\[1\].holds: should be 'entry_no'"),
            ('"booked_on"', '"value_on"', "line 5: columns: none holds 'booked_on'"),
            ('holds = "amount"', 'holds = "debit"', "line 5: columns: say either"),
            ('"words"', '"amount"', r"line 8: columns: two hold 'amount'"),
            ('"text"', '"day"', "line 8: columns: 'day' is named twice"),
            ('"words"', '"direction"', "line 1: directions: a column that holds 'direction'"),
            ('holds = "words"', 'holds = "words", format = "yyyymmdd"', "line 8: .* holds no day"),
            ('"booked_on"', '"booked_on", format = "yyyymm"', "line 6: .* that names a day"),
            ('account_no = "1"', "", "line 1: account_no: nothing tells the account"),
            ('code = "plain"', 'code = "Plain!"', "line 2: code: "),
            ('name = "a bank"', 'nam = "a bank"', "name: is missing; add it"),
            ('name = "a bank"', 'nam = "a bank"', "line 3: nam: is no key of this table; the keys"),
            ("columns = [", "columns = ", "is not TOML"),
        ],
    )
    def test_a_wrong_profile_is_refused_with_the_line(self, old, new, says):
        assert old in PLAIN

        with pytest.raises(Invalid, match=says):
            parse_bank_profile(PLAIN.replace(old, new, 1), "plain.toml")

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ("[[notes]]\npattern = '('\n", r"line 11: notes\[1\].pattern: is not a regular"),
            ("[[notes]]\npattern = '(?P<total>x)'\n", "there is no group"),
            ('[directions]\n"D" = "out"\n', "line 10: directions: a column"),
            ('[file]\nencodin = "utf-8"\n', "line 11: file.encodin: is no key of this table"),
            ('[numbers]\nthousands = "x"\n', "line 11: numbers.thousands: should be"),
        ],
    )
    def test_and_so_are_its_tables(self, more, says):
        with pytest.raises(Invalid, match=says):
            parse_bank_profile(PLAIN + more, "plain.toml")

    def test_a_direction_needs_an_amount(self):
        text = PLAIN.replace('"amount" }', '"debit" }').replace('"words"', '"credit"')
        way = '    { name = "way", holds = "direction" },\n]\n[directions]\n"D" = "out"\n'

        with pytest.raises(Invalid, match="'direction' goes with 'amount'"):
            parse_bank_profile(text.replace("]\n", way), "plain.toml")

    def test_a_file_that_cannot_be_read(self, tmp_path):
        bad = tmp_path / "bad.toml"
        bad.write_bytes("name = '自来水'".encode("gb18030"))

        for path in (bad, tmp_path / "none.toml"):
            with pytest.raises(Invalid, match="cannot be read as UTF-8"):
                load_bank_profile(path)
