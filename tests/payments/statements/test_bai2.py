"""BAI2 as banks write it: each variation and each way to be wrong."""

from datetime import date

import pytest

from payments.statements.base import Entry, StatementFileError
from tests.payments.statements.samples import ACCOUNT, changed, read, sample

SAMPLE = sample("bai2.txt")


def file(*details: str, account: str = "03,1,CNY,010,0,,,015,0,,/", total: int = 0) -> bytes:
    lines = [account, *details]
    count = len(lines)
    return "\n".join([
        "01,BANK,CITY,261121,0110,7,,,2/", "02,CITY,BANK,1,261120,2400,,2/", *lines,
        f"49,{total},{count + 1}/", f"98,{total},1,{count + 3}/", f"99,{total},1,{count + 5}/",
    ]).encode()  # fmt: skip


def test_an_account_is_a_statement_of_its_groups_day():
    (statement,) = read(SAMPLE)

    assert (statement.account_no, statement.statement_no) == (ACCOUNT, "20261120")
    assert statement.source_format == "bai2"
    assert (statement.from_on, statement.to_on) == (date(2026, 11, 20), date(2026, 11, 20))
    assert (statement.opening_fen, statement.closing_fen) == (1_000_000, 1_077_345)


def test_an_entry_has_its_references_and_words_over_several_lines():
    (statement,) = read(SAMPLE)

    assert statement.entries[0] == Entry(
        entry_no="2026112000001001", line_no=5, booked_on=date(2026, 11, 20),
        value_on=date(2026, 11, 20), amount_fen=86_350,
        references=("PAYOUT20261119SANDBOX", "2026112000001001", "CB2611000000000061"),
        words="SANDBOX SETTLEMENTS OF 2026-11-19 EREF: CB2611000000000061", bank_code="195",
    )  # fmt: skip


def test_the_type_code_says_which_way_and_the_funds_type_how_many_fields_follow():
    (statement,) = read(SAMPLE)

    assert [(one.bank_code, one.amount_fen, one.words) for one in statement.entries[1:]] == [
        ("495", -8_650, "REFUND, PAID OUT"), ("275", 8_650, ""), ("698", -9_005, "NOVEMBER FEES"),
        ("890", 0, "SERVICE HOURS CHANGE"),
    ]  # fmt: skip
    assert [one.is_booked for one in statement.entries[1:]] == [True, True, True, False]
    assert statement.entries[3].entry_no == "20261120-4"


@pytest.mark.parametrize(
    ("code", "amount_fen"),
    [("100", 5), ("399", 5), ("400", -5), ("699", -5), ("920", 5), ("959", 5), ("960", -5)],
)
def test_a_range_of_type_codes_has_one_direction(code, amount_fen):
    closing = f"03,1,CNY,010,10,,,015,{10 + amount_fen},,/"
    content = file(f"16,{code},5,,,,/", account=closing, total=25 + amount_fen)

    assert read(content)[0].entries[0].amount_fen == amount_fen


@pytest.mark.parametrize("code", ["099", "721", "919", "1000", "19", "１95", "CRD", ""])
def test_a_type_code_of_no_direction_is_refused(code):
    with pytest.raises(StatementFileError, match="neither credit"):
        read(file(f"16,{code},5,,,,/", total=5))


@pytest.mark.parametrize(
    "account",
    [
        "03,1,CNY,010,10,,,015,15,,/", "03,1,CNY,010,10,,/\n88,015,15,,/",
        "03,1,CNY,010,10,,,015/\n88,15,,/", "03,1,CNY,010,+10,0,0,015,+15,0,/",
        "03,1,CNY,010,10,/\n88,,015,15/", "03,1,,010,10,,S,0,0,0,015,15,,V,261120,0900/",
        "03,1,cny,010,10,,D,2,0,5,1,5,015,15,1,Z/", "03,1,CNY/\n88,010,10,,,015,15,,/",
    ],
)  # fmt: skip
def test_balances_are_found_however_the_record_is_broken(account):
    lines = account.count("\n")
    content = file("16,195,5,,,,/", account=account, total=30)
    for record, count in ((b"49,30,", 3), (b"98,30,1,", 5), (b"99,30,1,", 7)):
        content = content.replace(record + b"%d/" % count, record + b"%d/" % (count + lines))
    content = content.replace(b",2400,,2/", b",2400,RMB,2/")

    (statement,) = read(content)
    assert (statement.opening_fen, statement.closing_fen) == (10, 15)


def test_an_account_without_entries_or_balances_is_a_statement():
    (statement,) = read(file(account="03,1,CNY,,,,/"))

    assert (statement.entries, statement.opening_fen, statement.closing_fen) == ((), None, None)


def test_the_running_day_is_named_by_its_time():
    content = file("16,195,5,,,,/", account="03,1,CNY,,,,/", total=5)

    (statement,) = read(content.replace(b"261120,2400,,2/", b"261120,1530,,3/"))
    assert statement.entries[0].entry_no == "20261120-1530-1"


def test_words_may_hold_commas_slashes_and_blank_lines_may_stand_between():
    content = file("16,195,5,,,,ONE, TWO/THREE", account="03,1,CNY,,,,/", total=5)

    assert read(content.replace(b"\n", b"\r\n\r\n"))[0].entries[0].words == "ONE, TWO/THREE"


class TestTotals:
    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("49,2302655,10", "49,2302656,10", "2302656 fen"),
            ("49,2302655,10", "49,2302655,11", "11 lines"),
            ("98,2302655,1,12", "98,2302654,1,12", "2302654 fen"),
            ("98,2302655,1,12", "98,2302655,2,12", "2 accounts"),
            ("98,2302655,1,12", "98,2302655,1,13", "13 lines"),
            ("99,2302655,1,14", "99,2302650,1,14", "2302650 fen"),
            ("99,2302655,1,14", "99,2302655,2,14", "2 groups"),
            ("99,2302655,1,14", "99,2302655,1,15", "15 lines"),
            ("16,195,86350,", "16,195,86351,", "2302655 fen"),
            ("400,17655,", "400,17656,", "2302655 fen"),
        ],
    )
    def test_each_is_held_against_what_was_read(self, old, new, says):
        with pytest.raises(StatementFileError, match=f"the file says {says}"):
            read(changed(SAMPLE, (old, new)))

    def test_balances_must_agree_where_totals_do(self):
        swapped = changed(SAMPLE, ("16,195,86350", "16,195,86250"), ("16,275,8650", "16,275,8750"))
        read(swapped)  # both are credits: the same sum

        with pytest.raises(StatementFileError, match="the closing balance is 10773"):
            read(changed(swapped, ("16,275,8750", "16,575,8750")))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("old", "new", "says", "place"),
        [
            ("16,195,86350", "16,195,863.50", "no amount in fen", "record 16"),
            ("16,195,86350", "16,195,-86350", "has a minus", "record 16"),
            ("16,195,86350", "16,195,", "amount is missing", "record 16"),
            ("16,195,86350", "16,195,８6350", "no amount in fen", "record 16"),
            ("16,195,86350,V,261120", "16,195,86350,V,261132", "no date", "record 16"),
            ("16,698,9005,D,2", "16,698,9005,D,two", "no number of avail", "record 16"),
            ("03,6200000000000000001,,", "03,6200000000000000001,USD,", "'USD'", "record 03"),
            ("2400,CNY,2", "2400,,2", "which means USD", "record 03"),
            ("03,6200000000000000001,", "03,,", "has no number", "record 03"),
            ("02,CITYBILL,BANK,1,", "02,CITYBILL,BANK,4,", "a test is no statement", "record 02"),
            ("02,CITYBILL,BANK,1,", "02,CITYBILL,BANK,2,", "deletion", "record 02"),
            ("80,1,2/", "80,1,1/", "version is '1'", "record 01"),
            ("49,2302655,10/", "49,2302655/", "no number of lines", "record 49"),
            ("49,2302655,10/\n", "", "within an account", "record 98"),
            ("98,2302655,1,12/\n", "", "within a group", "record 99"),
            ("99,2302655,1,14/\n", "", "without its trailer", "record 98"),
            ("16,890,", "17,890,", "no record '17'", "record 17"),
            ("03,62", "01,BANK,CITY,261121,,,,,2/\n03,62", "within another", "record 01"),
            ("16,890,", "02,CITYBILL,BANK,1,261120,,CNY,2/\n16,890,", "within ano", "record 02"),
            ("16,890,", "03,1,CNY,,,,/\n16,890,", "within another", "record 03"),
            ("02,CITYBILL", "16,195,1,,,,/\n02,CITYBILL", "in no account", "record 16"),
            ("02,CITYBILL", "03,1,CNY,,,,/\n02,CITYBILL", "outside of a group", "record 03"),
            ("02,CITYBILL", "49,0,1/\n02,CITYBILL", "in no account", "record 49"),
            ("99,2302655,1,14/", "99,2302655,1,14/\n16,195,1,,,,/", "in no account", "record 16"),
        ],
    )
    def test_what_is_garbled_is_told_with_its_line_and_record(self, old, new, says, place):
        with pytest.raises(StatementFileError, match=says) as refused:
            read(changed(SAMPLE, (old, new)))

        assert refused.value.column == place
        assert refused.value.line_no is not None

    def test_a_line_that_is_no_record(self):
        with pytest.raises(StatementFileError, match="begins with two digits and a comma"):
            read(changed(SAMPLE, ("16,890,", "hello\n16,890,")))

    def test_a_type_without_an_amount(self):
        with pytest.raises(StatementFileError, match="has no amount"):
            read(file(account="03,1,CNY,010/"))
