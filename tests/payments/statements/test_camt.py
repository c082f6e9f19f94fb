"""camt.052, camt.053 and camt.054: files written by hand, each quirk and each way to be wrong."""

from datetime import date

import pytest

from payments.statements.base import Entry, StatementFileError
from tests.payments.statements.samples import ACCOUNT, changed, read, sample

STATEMENT, VERSION_2 = sample("camt053.xml"), sample("camt053-v2.xml")
NOTICE, REPORT = sample("camt054.xml"), sample("camt052.xml")
SPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


def entry(parts: str) -> bytes:
    """Return a statement of one entry and no totals."""
    return (
        f'<Document xmlns="{SPACE}"><BkToCstmrStmt><Stmt><Id>S1</Id>'
        "<CreDtTm>2026-11-20T09:00:00</CreDtTm>"
        f"<Acct><Id><IBAN>CN01</IBAN></Id></Acct><Ntry>{parts}</Ntry></Stmt></BkToCstmrStmt>"
        "</Document>"
    ).encode()


def only(parts: str) -> Entry:
    (statement,) = read(entry(parts))
    (found,) = statement.entries
    return found


MONEY = '<Amt Ccy="CNY">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
ON = "<BookgDt><Dt>2026-11-20</Dt></BookgDt>"


class TestAStatement:
    def test_is_of_an_account_with_its_days_and_balances(self):
        (statement,) = read(STATEMENT)

        assert statement.account_no == ACCOUNT
        assert statement.statement_no == "STMT-6200000000000000001-324"
        assert statement.source_format == "camt.053"
        assert (statement.sequence_no, statement.page_no, statement.is_last_page) == (324, 1, True)
        assert (statement.from_on, statement.to_on) == (date(2026, 11, 20), date(2026, 11, 20))
        assert (statement.opening_fen, statement.closing_fen) == (1_000_000, 1_077_345)

    def test_an_entry_has_who_paid_and_what_they_said(self):
        (statement,) = read(STATEMENT)

        assert statement.entries[0] == Entry(
            entry_no="2026112000001001", line_no=37,
            booked_on=date(2026, 11, 20),  # 16:30 in UTC is half past midnight in Shanghai
            value_on=date(2026, 11, 20), amount_fen=86_350,
            references=("PAYOUT20261119SANDBOX", "HVPS2026112000077", "2026112000001001"),
            other_name="沙盒支付有限公司", other_account_no="6200000000000000777",
            words="SANDBOX settlement 2026-11-19", bank_code="PMNT-RCDT-DMCT",
        )  # fmt: skip

    def test_who_was_paid_is_the_other_side_of_a_debit(self):
        (statement,) = read(STATEMENT)
        paid = statement.entries[1]

        assert (paid.amount_fen, paid.other_name) == (-8_650, "测试居民甲")
        assert "CB2611000000000009" in paid.references

    def test_a_reversal_moves_money_the_way_its_mark_says(self):
        """CRDT with RvslInd is a debit that came back: the closing balance proves it."""
        (statement,) = read(STATEMENT)
        back = statement.entries[2]

        assert (back.amount_fen, back.is_reversal, back.other_name) == (8_650, True, "测试居民甲")

    def test_a_batch_is_its_transactions_when_they_make_it_up(self):
        (statement,) = read(STATEMENT)
        parts = statement.entries[3:5]

        assert [(one.entry_no, one.amount_fen, one.other_name) for one in parts] == [
            ("2026112000001004.1", 6_000, "测试居民乙"),
            ("2026112000001004.2", 4_000, "测试居民丙"),
        ]
        assert {one.batch_no for one in parts} == {"2026112000001004"}
        assert "CB2611000000000011" in parts[1].references
        assert "CB2611000000000011" not in parts[0].references

    def test_transactions_with_numbers_of_their_own_keep_them(self):
        numbered = changed(
            STATEMENT,
            ("<EndToEndId>CB2611000000000010<", "<AcctSvcrRef>T1</AcctSvcrRef><EndToEndId>CB10<"),
            ("<EndToEndId>CB2611000000000011<", "<AcctSvcrRef>T2</AcctSvcrRef><EndToEndId>CB11<"),
        )

        (statement,) = read(numbered)
        assert [one.entry_no for one in statement.entries[3:5]] == ["T1", "T2"]

    def test_transactions_of_which_some_have_none_are_numbered_alike(self):
        numbered = changed(
            STATEMENT,
            ("<EndToEndId>CB2611000000000010<", "<AcctSvcrRef>T1</AcctSvcrRef><EndToEndId>CB10<"),
        )

        (statement,) = read(numbered)
        assert [one.entry_no for one in statement.entries[3:5]] == [
            "2026112000001004.1", "2026112000001004.2",
        ]  # fmt: skip

    def test_a_batch_that_its_transactions_do_not_make_up_stays_whole(self):
        (statement,) = read(
            changed(STATEMENT, ("60.00</Amt><CdtDbtInd>", "60.01</Amt><CdtDbtInd>"))
        )
        whole = statement.entries[3]

        assert (whole.entry_no, whole.amount_fen, whole.batch_no) == (
            "2026112000001004",
            10_000,
            "",
        )
        assert {"CB2611000000000010", "CB2611000000000011"} <= set(whole.references)
        assert whole.other_name == ""  # two people are not one

    def test_transactions_in_another_currency_leave_the_batch_whole(self):
        (statement,) = read(changed(STATEMENT, ('<Amt Ccy="CNY">60.00', '<Amt Ccy="USD">60.00')))

        assert statement.entries[3].amount_fen == 10_000

    def test_an_entry_without_a_reference_is_named_by_its_statement_and_place(self):
        (statement,) = read(STATEMENT)

        assert statement.entries[-1].entry_no == "STMT-6200000000000000001-324/1-5"
        assert statement.entries[-1].words == "November fees"


class TestOtherVersions:
    def test_version_2_with_all_its_ways(self):
        (statement,) = read(VERSION_2)
        (whole,) = statement.entries

        assert statement.account_no == "DE000000000000000001"
        assert (statement.opening_fen, statement.closing_fen) == (-5_000, 4_950)
        assert statement.from_on == date(2026, 11, 19)
        assert (whole.entry_no, whole.amount_fen) == ("0001-1", 9_950)
        assert whole.references == ("CB2611000000000022",)
        assert whole.words == "CB2611000000000021"
        assert whole.value_on == date(2026, 11, 23)

    def test_its_details_without_a_sign_have_the_entrys(self):
        split = changed(VERSION_2, (">9.00<", ">9.50<"), encoding="latin-1")
        (statement,) = read(split)

        assert [one.amount_fen for one in statement.entries] == [9_000, 950]
        assert statement.entries[0].other_name == "Müller"

    def test_a_notice_has_no_balances_and_tells_money_from_what_is_announced(self):
        (notice,) = read(NOTICE)

        assert (notice.source_format, notice.opening_fen, notice.closing_fen) == (
            "camt.054", None, None,
        )  # fmt: skip
        assert [(one.amount_fen, one.is_booked) for one in notice.entries] == [
            (1_200, True), (800, False),
        ]  # fmt: skip
        assert notice.booked_fen == 1_200

    def test_a_report_of_the_running_day_is_not_closed(self):
        (report,) = read(REPORT)

        assert (report.source_format, report.opening_fen, report.closing_fen) == (
            "camt.052", 1_000_000, None,
        )  # fmt: skip
        assert [one.is_booked for one in report.entries] == [True, False]

    def test_a_file_without_a_namespace_is_known_by_its_names(self):
        (statement,) = read(changed(STATEMENT, (f' xmlns="{SPACE}"', "")))

        assert len(statement.entries) == 6

    def test_a_statement_may_say_nothing_of_booking_and_a_notice_may_not(self):
        assert only(MONEY.replace("<Sts><Cd>BOOK</Cd></Sts>", "") + ON).is_booked
        with pytest.raises(StatementFileError, match="none of BOOK"):
            read(changed(NOTICE, ("<Sts>BOOK</Sts>", "")))

    @pytest.mark.parametrize(
        ("status", "booked"),
        [
            ("<Sts>BOOK</Sts>", True), ("<Sts>pdng</Sts>", False),
            ("<Sts><Cd>INFO</Cd></Sts>", False), ("<Sts><Prtry>FUTR</Prtry></Sts>", False),
        ],
    )  # fmt: skip
    def test_a_status_is_a_plain_word_or_a_choice(self, status, booked):
        found = only(MONEY.replace("<Sts><Cd>BOOK</Cd></Sts>", status) + ON)

        assert found.is_booked is booked

    def test_an_entry_without_a_day_has_its_value_date_or_the_statements(self):
        assert only(MONEY + "<ValDt><Dt>2026-11-18</Dt></ValDt>").booked_on == date(2026, 11, 18)
        assert only(MONEY).booked_on == date(2026, 11, 20)

    def test_a_day_may_have_a_zone(self):
        dated = ON.replace("2026-11-20", "2026-11-20+08:00")

        assert only(MONEY + dated).booked_on == date(2026, 11, 20)

    def test_a_reference_is_heard_where_banks_put_it(self):
        told = only(
            f"{MONEY}{ON}<NtryDtls><TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId>"
            "<Prtry><Tp>X</Tp><Ref>CB1</Ref></Prtry></Refs><RmtInf>"
            "<Strd><CdtrRefInf><Ref>CB2</Ref></CdtrRefInf></Strd>"
            "<Strd><RfrdDocInf><Nb>CB3</Nb></RfrdDocInf></Strd>"
            "</RmtInf></TxDtls></NtryDtls>"
        )

        assert told.references == ("CB1", "CB2", "CB3")

    def test_words_that_fill_their_element_go_on_in_the_next(self):
        parts = "A" * 137 + "CB2", "611 X", "Y"
        told = "".join(f"<Ustrd>{part}</Ustrd>" for part in parts)
        found = only(f"{MONEY}{ON}<NtryDtls><TxDtls><RmtInf>{told}</RmtInf></TxDtls></NtryDtls>")

        assert found.words == "A" * 137 + "CB2611 X Y"


class TestTotals:
    def test_an_entry_short_is_refused_with_the_sums(self):
        with pytest.raises(
            StatementFileError, match=r"10773\.44, the closing balance is 10773\.45"
        ):
            read(
                changed(
                    STATEMENT,
                    ("<TxsSummry>", "<X>"),
                    ("</TxsSummry>", "</X>"),
                    (">190.05<", ">190.06<"),
                )
            )

    @pytest.mark.parametrize(
        "figure",
        [
            "<NbOfNtries>5", "<Sum>1326.55", "<NbOfNtries>3", "<Sum>1050.00", "<NbOfNtries>2",
            "<Sum>276.55", "<Amt>773.45",
        ],
    )  # fmt: skip
    def test_each_figure_of_the_summary_is_held_against_the_entries(self, figure):
        with pytest.raises(StatementFileError, match="the file says") as refused:
            read(changed(STATEMENT, (figure, figure[:-1] + "9")))

        assert refused.value.column == "TxsSummry"

    def test_a_summary_may_count_what_is_announced_or_leave_it_out(self):
        assert read(changed(NOTICE, ("<NbOfNtries>2", "<NbOfNtries>1")))
        with pytest.raises(StatementFileError, match="the file says 3 entries"):
            read(changed(NOTICE, ("<NbOfNtries>2", "<NbOfNtries>3")))

    def test_without_a_closing_balance_the_entries_stand_alone(self):
        (statement,) = read(changed(STATEMENT, ("<Cd>CLBD", "<Cd>XPCD")))

        assert (statement.opening_fen, statement.closing_fen) == (1_000_000, None)

    def test_a_statement_of_several_days_has_the_first_and_the_last_balance(self):
        (statement,) = read(
            changed(
                VERSION_2,
                ("<ns2:Ntry>", _balance("OPBD", "1.00", "2026-11-20") + "<ns2:Ntry>"),
                ("<ns2:Cd>PRCD", "<ns2:Cd>OPBD"),
                encoding="latin-1",
            )
        )

        assert statement.opening_fen == -5_000

    def test_two_different_balances_of_one_day_are_refused(self):
        with pytest.raises(StatementFileError, match="CLBD of 2026-11-20 stands there twice"):
            read(
                changed(
                    VERSION_2,
                    ("<ns2:Ntry>", _balance("CLBD", "1.00", "2026-11-20") + "<ns2:Ntry>"),
                    encoding="latin-1",
                )
            )

    def test_a_closing_balance_is_on_the_last_page_whatever_the_message_says(self):
        (statement,) = read(changed(STATEMENT, ("<LastPgInd>true", "<LastPgInd>false")))

        assert statement.is_last_page

    def test_pages_hand_their_balance_on(self):
        first = _page(1, "OPBD", "1.00", "ITBD", "2.00", last="false")
        second = _page(2, "ITBD", "2.00", "CLBD", "3.00", last="true")

        pages = read(first + second)
        assert [(one.page_no, one.is_last_page) for one in pages] == [(1, False), (2, True)]
        assert [entry.entry_no for one in pages for entry in one.entries] == ["S9/1-1", "S9/2-1"]
        with pytest.raises(StatementFileError, match=r"opens with 2\.05.* closes with 2\.00"):
            read(first + _page(2, "ITBD", "2.05", "CLBD", "3.05", last="true"))


def _balance(code: str, amount: str, day: str) -> str:
    return (
        f"<ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>{code}</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>"
        f'<ns2:Amt Ccy="CNY">{amount}</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>'
        f"<ns2:Dt><ns2:Dt>{day}</ns2:Dt></ns2:Dt></ns2:Bal>"
    )


def _page(number: int, opens: str, opening: str, closes: str, closing: str, *, last: str) -> bytes:
    balances = _balance(opens, opening, "2026-11-20") + _balance(closes, closing, "2026-11-20")
    return (
        f'<Document xmlns="{SPACE}"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr><Stmt>'
        f"<Id>S9</Id><StmtPgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></StmtPgntn>"
        "<ElctrncSeqNb>9</ElctrncSeqNb><Acct><Id><IBAN>CN01</IBAN></Id></Acct>"
        f"{balances.replace('ns2:', '')}<Ntry>{MONEY}{ON}</Ntry></Stmt></BkToCstmrStmt></Document>"
    ).encode()


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("old", "new", "says", "place"),
        [
            ('<Amt Ccy="CNY">863.50', '<Amt Ccy="EUR">863.50', "currency is 'EUR'", "Ntry/Amt@Ccy"),
            ('<Amt Ccy="CNY">863.50', "<Amt>863.50", "currency is ''", "Ntry/Amt@Ccy"),
            ("<Ccy>CNY", "<Ccy>USD", "currency is 'USD'", "Acct/Ccy"),
            ('<Amt Ccy="CNY">10773', '<Amt Ccy="USD">10773', "currency is 'USD'", "Bal/Amt@Ccy"),
            (">863.50<", ">863.505<", "finer than a fen", "Ntry/Amt"),
            (">863.50<", ">-863.50<", "has a sign", "Ntry/Amt"),
            (">863.50<", ">8.6350E2<", "is not an amount", "Ntry/Amt"),
            (">863.50<", ">８63.50<", "characters other than 0-9", "Ntry/Amt"),
            (">863.50<", "><", "the amount is blank", "Ntry/Amt"),
            ("<CdtDbtInd>DBIT<", "<CdtDbtInd><", "CRDT nor DBIT", "Ntry/CdtDbtInd"),
            ("<Cd>BOOK", "<Cd>GONE", "'GONE' is none of", "Ntry/Sts"),
            ("<BookgDt><Dt>2026-11-20<", "<BookgDt><Dt>2026-11-31<", "no date", "BookgDt"),
            ("<Id>6200000000000000001</Id>", "<Id/>", "names no account", "Acct"),
            ("<Id>STMT-6200000000000000001-324</Id>", "", "no number in Id", "Id"),
            ("<PgNb>1", "<PgNb>one", "'one' is no page", "PgNb"),
            ("<NbOfNtries>5", "<NbOfNtries>5.5", "is no number of entries", "TxsSummry/NbOfNtries"),
        ],
    )  # fmt: skip
    def test_what_is_garbled_is_told_with_its_line_and_element(self, old, new, says, place):
        with pytest.raises(StatementFileError, match=says) as refused:
            read(changed(STATEMENT, (old, new)))

        assert refused.value.column == place
        assert refused.value.line_no is not None
        assert str(refused.value).startswith(f"bank.txt, line {refused.value.line_no}, {place}: ")

    def test_another_message_of_iso_20022(self):
        with pytest.raises(StatementFileError, match="is it a camt"):
            read(b"<Document><CstmrCdtTrfInitn><GrpHdr/></CstmrCdtTrfInitn></Document>")

    def test_a_namespace_of_something_else(self):
        with pytest.raises(StatementFileError, match="is it a bank's statement"):
            read(changed(STATEMENT, ("camt.053.001.08", "camt.029.001.08")))

    @pytest.mark.parametrize(
        "head",
        [
            '<!DOCTYPE Document [<!ENTITY a "1"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
            '<!DOCTYPE Document SYSTEM "file:///etc/passwd">',
        ],
    )
    def test_a_bomb(self, head):
        with pytest.raises(StatementFileError, match="DTD or entities"):
            read(head.encode() + entry(MONEY.replace("1.00", "&b;") + ON))

    def test_elements_without_end(self):
        with pytest.raises(StatementFileError, match="deep"):
            read(entry("<a>" * 200))
