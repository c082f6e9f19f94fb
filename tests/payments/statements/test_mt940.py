"""MT940 as SWIFT and banks write it: each dialect and each way to be wrong."""

from datetime import date

import pytest

from payments.statements.base import Entry, StatementFileError
from tests.payments.statements.samples import ACCOUNT, changed, read, sample

SWIFT, SUBFIELDS = sample("mt940-swift.txt"), sample("mt940-subfields.sta")
SLASHES = sample("mt940-slashes.txt")


def statement(*lines: str, opening: str = "0,00", closing: str = "1,00") -> bytes:
    return "\n".join([
        ":20:S", ":25:1", ":28C:7/1", f":60F:C261119CNY{opening}", *lines,
        f":62F:C261120CNY{closing}", "-", "",
    ]).encode()  # fmt: skip


def only(*lines: str, closing: str = "1,00") -> Entry:
    (found,) = read(statement(*lines, closing=closing))[0].entries
    return found


class TestInSwiftsEnvelope:
    def test_pages_are_statements_of_their_own_that_hand_the_balance_on(self):
        first, second = read(SWIFT)

        assert first.account_no == second.account_no == ACCOUNT
        assert [(one.sequence_no, one.page_no, one.is_last_page) for one in (first, second)] == [
            (324, 1, False), (324, 2, True),
        ]  # fmt: skip
        assert (first.opening_fen, first.closing_fen) == (1_000_000, 1_077_700)
        assert (second.opening_fen, second.closing_fen) == (1_077_700, 1_077_345)
        assert first.to_on == date(2026, 11, 20)

    def test_an_entry_has_both_references_and_its_words(self):
        first, _ = read(SWIFT)

        assert first.entries[0] == Entry(
            entry_no="2026112000001001", line_no=6, booked_on=date(2026, 11, 20),
            value_on=date(2026, 11, 20), amount_fen=86_350,
            references=("PAYOUT20261119", "2026112000001001", "SANDBOX PAY CO"),
            words="SANDBOX PAY CO SANDBOX SETTLEMENT 2026-11-19 FOR CITYBILL ORDERS"
            " CB2611000000000001 AND OTHERS",
            bank_code="NTRF",
        )  # fmt: skip

    def test_a_reversed_debit_comes_in_and_a_funds_code_is_no_amount(self):
        _, second = read(SWIFT)

        assert [(one.amount_fen, one.is_reversal) for one in second.entries] == [
            (8_650, True), (-9_005, False),
        ]  # fmt: skip
        assert second.entries[1].entry_no == "20261120-324/2-2"

    def test_a_page_that_does_not_take_over_the_balance_is_refused(self):
        with pytest.raises(StatementFileError, match=r"opens with 10777\.01.* in line 2, closes"):
            read(
                changed(
                    SWIFT,
                    (":60M:C261120CNY10777,00", ":60M:C261120CNY10777,01"),
                    (":62F:C261120CNY10773,45", ":62F:C261120CNY10773,46"),
                )
            )

    def test_a_page_that_is_missing_between_two_is_noticed_by_its_balance_only_if_next(self):
        assert len(read(changed(SWIFT, (":28C:324/2", ":28C:324/3")))) == 2

    def test_another_message_is_refused_by_its_number(self):
        with pytest.raises(StatementFileError, match="the message is an MT942"):
            read(changed(SWIFT, ("{2:O940", "{2:O942")))


class TestDialects:
    def test_subfields_with_keys_in_them(self):
        (found,) = read(SUBFIELDS)
        came, back = found.entries

        assert found.account_no == "10000000/0000000001"
        assert (found.opening_fen, found.closing_fen) == (-8_650, -1_230)
        assert came.references == ("0724710351063401", "WASSER-CB2611000000000031")
        assert came.words == "Rechnung Nr 17 November für Müller"
        assert came.other_name == "Gerda Müller und Sohn"
        assert came.other_account_no == "DE00000000000000000031"
        assert came.bank_code == "N166-166"
        assert (back.amount_fen, back.is_reversal, back.words) == (-1_230, True, "zurück")
        assert back.references == ("CB2611000000000032",)

    def test_an_entry_date_belongs_to_the_nearest_year(self):
        (found,) = read(SUBFIELDS)

        assert found.entries[0].value_on == date(2027, 1, 2)
        assert found.entries[0].booked_on == date(2026, 12, 31)

    def test_words_between_slashes(self):
        nothing, found = read(SLASHES)
        came, fees = found.entries

        assert nothing.entries == ()
        assert "CB2611000000000041" in came.references
        assert came.other_name == "J. DE TESTER"
        assert came.words.endswith("WATER NOV")
        assert (fees.amount_fen, fees.other_account_no) == (-100, "NL00TEST0000000043")
        assert found.account_no == "NL00TEST0000000001"  # without the currency behind it

    def test_slashes_with_a_counterparty_in_one(self):
        found = only(
            ":61:2611201120C1,00NTRFEREF//B1",
            ":86:/EREF/CB7//CNTP/NL00TEST01/TESTNL2A/A. TESTER///REMI/USTD//INVOICE 7/",
        )

        assert (found.other_account_no, found.other_name) == ("NL00TEST01", "A. TESTER")
        assert (found.words, found.references) == ("INVOICE 7", ("B1", "CB7"))

    def test_chinese_in_gb18030_and_the_other_name_of_the_currency(self):
        (found,) = read(sample("mt940-gbk.txt"))

        assert found.entries[0].words == "水费 张珅 二〇二六年十一月"
        assert found.currency == "CNY"

    def test_other_subfield_marks(self):
        found = only(":61:261120C1,00NTRFX", ":86:020~00WATER~20CB7 NOV", "EMBER~32GAO")

        assert (found.words, found.other_name) == ("CB7 NOVEMBER", "GAO")

    def test_free_words_go_on_after_a_full_line_and_are_parted_after_a_short_one(self):
        full = "X" * 60 + "CB261"
        found = only(":61:261120C1,00NTRFX", f":86:{full}", "1 SHORT", "LAST", ":86:MORE")

        assert found.words == "X" * 60 + "CB2611 SHORT LAST MORE"

    @pytest.mark.parametrize(
        "line",
        [
            ":61:261120C1,NTRFX", ":61:261120C1NTRFX", ":61:261120c1,0ntrfx",
            ":61:2611201120CY1,00NTRFX", ":61:261120    C000000000001,00S   X",
            ":61:261120RD1,00FMSCX//NONREF", ":61:261120C1,00N0440123456", ":61:261120CR1,00NMSC",
        ],
    )  # fmt: skip
    def test_an_entry_in_the_ways_banks_write_it(self, line):
        found = only(line)

        assert (found.amount_fen, found.booked_on) == (100, date(2026, 11, 20))
        assert found.entry_no == "20261120-7/1-1"

    def test_a_value_date_that_counts_thirty_days_a_month(self):
        assert only(":61:2602300301C1,00NTRFX").value_on == date(2026, 2, 28)
        assert only(":61:2602300301C1,00NTRFX").booked_on == date(2026, 3, 1)
        assert only(":61:2402290229C1,00NTRFX").booked_on == date(2024, 2, 29)

    def test_what_stands_after_the_closing_balance_is_of_no_entry(self):
        content = statement(":61:261120C1,00NTRFX", ":86:WATER").replace(
            b"\n-\n", b"\n:64:C261120CNY1,00\n:86:THE BANK WISHES A GOOD DAY\n"
        )

        assert [one.words for one in read(content)[0].entries] == ["WATER"]

    def test_statements_follow_one_another_without_a_mark_between_them(self):
        first = statement(":61:261120C1,00NTRFX").replace(b"\n-\n", b"\n")
        second = statement(":61:261120D1,00NTRFX", opening="1,00", closing="0,00")
        second = second.replace(b":20:S\n", b"").replace(b"7/1", b"8/1")

        found = read(first + second)
        assert [one.sequence_no for one in found] == [7, 8]
        assert [entry.amount_fen for one in found for entry in one.entries] == [100, -100]

    def test_sums_of_debits_and_credits_are_held_against_the_entries(self):
        sums = b":62F:C261120CNY1,00\n:90C:1CNY3,00\n:90D:1CNY2,00"
        lines = statement(":61:261120C3,00NTRFX", ":61:261120D2,00NTRFX")
        content = lines.replace(b":62F:C261120CNY1,00", sums)

        assert len(read(content)[0].entries) == 2
        for old, new in (
            (b":90C:1CNY3,00", b":90C:2CNY3,00"),
            (b":90D:1CNY2,00", b":90D:1CNY2,01"),
        ):
            with pytest.raises(StatementFileError, match="the file says"):
                read(content.replace(old, new))


class TestNumbers:
    def test_one_reference_of_two_entries_is_told_apart(self):
        lines = (":61:261120C1,00NTRFX//B1", ":61:261120C2,00NTRFX//B1", ":61:261120C4,00NTRFX//B1")
        (found,) = read(statement(*lines, closing="7,00"))

        assert [one.entry_no for one in found.entries] == ["B1", "B1#2", "B1#3"]

    def test_the_same_statement_twice_is_refused(self):
        content = statement(":61:261120C1,00NTRFX")

        with pytest.raises(StatementFileError, match="stands in the file twice, first in line 1"):
            read(content + content)

    def test_statements_with_the_same_number_of_different_days_are_two(self):
        content = statement(":61:261120C1,00NTRFX")
        other = statement(":61:261121C1,00NTRFX", opening="1,00", closing="2,00")

        found = read(content + other.replace(b":62F:C261120", b":62F:C261121"))
        numbers = [entry.entry_no for one in found for entry in one.entries]
        assert numbers == ["20261120-7/1-1", "20261121-7/1-1"]

    def test_a_statement_and_the_next_must_agree(self):
        content = statement(":61:261120C1,00NTRFX")
        other = statement(":61:261121C1,00NTRFX", opening="5,00", closing="6,00")

        with pytest.raises(StatementFileError, match="something is missing between them"):
            read(content + other.replace(b"7/1", b"8/1"))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("old", "new", "says", "place"),
        [
            ("C863,50N", "C863.505N", "must read like", "tag 61"),
            ("C863,50N", "C863,505N", "finer than a fen", "tag 61"),
            ("C863,50N", "C8 63,50N", "must read like", "tag 61"),
            ("C863,50N", "C８63,50N", "must read like", "tag 61"),
            ("C863,50N", "C863,5x0N", "must read like", "tag 61"),
            ("C863,50N", "X863,50N", "must read like", "tag 61"),
            ("C863,50N", "C-863,50N", "must read like", "tag 61"),
            ("2611201120C863", "2613201120C863", "no such day", "tag 61"),
            ("2611201120C863", "2611201340C863", "no such day", "tag 61"),
            (":60F:C261119CNY", ":60F:C261119USD", "currency is 'USD'", "tag 60F"),
            (":60F:C261119CNY10000,00", ":60F:C261119CNY10000,00 CR", "must read like", "tag 60F"),
            (":60F:C261119", ":60F:C261199", "no date", "tag 60F"),
            (":60F:", ":60X:", "must stand between the balances", "tag 61"),
            (":62M:", ":86:", "closing balance: the file was cut short", "tag 20"),
            (":25:6200000000000000001", ":25:", "no tag 25", "tag 20"),
            (":62M:C261120CNY10777,00", ":62M:C261120CNY10777,00\r\n:62F:C261120CNY10777,00",
             "stands there twice", "tag 62F"),
            ("-}{5:{CHK:1A2B3C4D5E6F}}\r\n", "-}{5:}\r\n:61:2611201120C863,50NTRFX\r\n",
             "stands in no statement", "tag 61"),
        ],
    )  # fmt: skip
    def test_what_is_garbled_is_told_with_its_line_and_tag(self, old, new, says, place):
        with pytest.raises(StatementFileError, match=says) as refused:
            read(changed(SWIFT, (old, new)))

        assert refused.value.column == place
        assert refused.value.line_no is not None

    def test_a_changed_amount_is_refused_with_the_sums(self):
        with pytest.raises(StatementFileError, match=r"closing balance is 10777\.00"):
            read(changed(SWIFT, ("C863,50N", "C863,51N")))

    def test_an_mt942_without_an_envelope(self):
        with pytest.raises(StatementFileError, match="an MT942 has no balances"):
            read(b":20:X\n:25:1\n:28C:1\n:34F:CNYD0,00\n:61:2611201120C1,00NTRFX\n")
