"""Requests to pay (pain.013): what a transaction becomes, and which totals must hold."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BillFileError
from core.money import yuan_text
from providers.base import (
    AmountRule,
    BillRecord,
    Exactness,
    Heading,
    LineItem,
    PayTerms,
    RecordKind,
    Reject,
)
from providers.profiles import Profile
from tests.providers.standards.documents import profile, read

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.013.001.{:02d}"


def company(**changes: object) -> Profile:
    return profile("pain_013", **changes)


def rows(data: bytes, of: Profile | None = None) -> list[BillRecord | Reject]:
    return [row for row in read(data, of or company()) if not isinstance(row, Heading)]


def one(data: bytes, of: Profile | None = None) -> BillRecord:
    [row] = rows(data, of)
    assert isinstance(row, BillRecord), row
    return row


def rejected(data: bytes, of: Profile | None = None) -> Reject:
    [row] = rows(data, of)
    assert isinstance(row, Reject), row
    return row


STRUCTURED = (
    "<RmtInf><Strd><RfrdDocInf><Tp><CdOrPrtry><Cd>CINV</Cd></CdOrPrtry></Tp><Nb>P-1</Nb>"
    "<RltdDt>2026-11-01</RltdDt></RfrdDocInf></Strd></RmtInf>"
)
DEBTOR = (
    "<Dbtr><Nm>Ada\n Beispiel</Nm><PstlAdr><StrtNm>Musterweg</StrtNm><BldgNb>7</BldgNb>"
    "<PstCd>01234</PstCd><TwnNm>Musterstadt</TwnNm><Ctry>DE</Ctry></PstlAdr>"
    "<Id><PrvtId><Othr><Id>99990000</Id></Othr><Othr><Id>00001234</Id><SchmeNm><Cd>CUST</Cd>"
    "</SchmeNm></Othr></PrvtId></Id></Dbtr>"
)
ACCOUNT = "<DbtrAcct><Id><IBAN>DE02120300000000202051</IBAN></Id></DbtrAcct>"


def transaction(
    amount: str = "119.00",
    remittance: str = STRUCTURED,
    end_to_end: str = "E2E-1",
    currency: str = "EUR",
    more: str = "",
    name: str = "CdtTrfTx",
) -> str:
    return (
        f"<{name}><PmtId><EndToEndId>{end_to_end}</EndToEndId></PmtId>{more}"
        f'<Amt><InstdAmt Ccy="{currency}">{amount}</InstdAmt></Amt><ChrgBr>SLEV</ChrgBr>'
        f"<Cdtr><Nm>Spring Town Power</Nm></Cdtr>{remittance}</{name}>"
    )


def block(
    *transactions: str,
    due: str = "<ReqdExctnDt><Dt>2026-11-20</Dt></ReqdExctnDt>",
    debtor: str = DEBTOR + ACCOUNT,
) -> str:
    return (
        f"<PmtInf><PmtInfId>B-1</PmtInfId><PmtMtd>TRF</PmtMtd>{due}{debtor}"
        + "".join(transactions)
        + "</PmtInf>"
    )


def message(
    *blocks: str, count: str = "", total: str = "", version: int = 7, number: str = "M-1"
) -> str:
    counted = f"<NbOfTxs>{count}</NbOfTxs>" if count else ""
    summed = f"<CtrlSum>{total}</CtrlSum>" if total else ""
    return (
        f'<Document xmlns="{NAMESPACE.format(version)}"><CdtrPmtActvtnReq>\n<GrpHdr>'
        f"<MsgId>{number}</MsgId><CreDtTm>2026-11-02T23:30:00-05:00</CreDtTm>{counted}{summed}"
        "<InitgPty><Nm>Spring Town Power</Nm></InitgPty></GrpHdr>\n"
        + "\n".join(blocks)
        + "</CdtrPmtActvtnReq></Document>"
    )


def file(*parts: str) -> bytes:
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(parts)).encode()


def plain(*transactions: str, **changes: str) -> bytes:
    return file(message(block(*transactions, **changes)))


class TestABill:
    def test_a_transaction_is_read_whole(self):
        heading, bill = read(file(message(block(transaction()), count="1", total="119")), company())

        assert heading == Heading("M-1")
        assert bill == BillRecord(
            line_no=5, kind=RecordKind.BILL, account_no="00001234", holder_name="Ada Beispiel",
            address="Musterweg, 7, 01234, Musterstadt, DE", billing_month=date(2026, 11, 1),
            bill_no="P-1", version=1, period_from_on=date(2026, 11, 1),
            period_to_on=date(2026, 11, 30), issued_on=date(2026, 11, 1), due_on=date(2026, 11, 20),
            usage=None, usage_unit="", amount_fen=11_900,
            items=(LineItem("Amount due", None, "", 11_900),),
        )  # fmt: skip

    @pytest.mark.parametrize("version", [1, 6, 9, 11])
    def test_every_version_of_the_message_is_read(self, version):
        data = file(message(block(transaction(), due="<ReqdExctnDt>2026-11-20</ReqdExctnDt>"),
                            version=version))  # fmt: skip

        assert one(data).due_on == date(2026, 11, 20)

    def test_an_envelope_a_prefix_and_no_namespace_at_all_change_nothing(self):
        bare = message(block(transaction())).replace(f' xmlns="{NAMESPACE.format(7)}"', "")
        prefixed = message(block(transaction())).replace("<", "<p:").replace("<p:/", "</p:")
        prefixed = prefixed.replace("xmlns=", "xmlns:p=")
        wrapped = f"<Envelope><AppHdr><BizMsgIdr>X</BizMsgIdr></AppHdr>{bare}</Envelope>"

        bills = [one(file(each))._replace(line_no=0) for each in (bare, prefixed, wrapped)]

        assert bills[0] == bills[1] == bills[2]

    def test_transactions_go_by_two_names(self):
        assert one(plain(transaction(name="CdtTrfTxInf"))).amount_fen == 11_900

    def test_each_block_has_a_debtor_of_its_own(self):
        other = "<Dbtr><Nm>B</Nm><Id><OrgId><Othr><Id>55556666</Id></Othr></OrgId></Id></Dbtr>"
        data = file(message(block(transaction(), transaction(end_to_end="E2E-2")),
                            block(transaction(), debtor=other)))  # fmt: skip

        assert [bill.account_no for bill in rows(data)] == ["00001234", "00001234", "55556666"]

    def test_the_debtor_of_the_transaction_comes_before_that_of_its_block(self):
        number = "<Id><PrvtId><Othr><Id>77778888</Id></Othr></PrvtId></Id>"
        own = f"<UltmtDbtr><Nm>U</Nm>{number}</UltmtDbtr>"

        bill = one(plain(transaction(more=own)))

        assert (bill.account_no, bill.holder_name) == ("77778888", "U")

    def test_a_customers_number_may_stand_in_the_text(self):
        said = "<RmtInf><Ustrd>Kundennummer: 00004321, Rechnung</Ustrd></RmtInf>"

        bill = one(plain(transaction(remittance=said), debtor="<Dbtr><Nm>A</Nm></Dbtr>"))

        assert bill.account_no == "00004321"
        assert bill.items[0].name == "Kundennummer: 00004321, Rechnung"

    def test_a_telephone_number_is_nobodys_account(self):
        debtor = "<Dbtr><Nm>A</Nm><CtctDtls><MobNb>12345678</MobNb></CtctDtls></Dbtr>"

        assert rejected(plain(transaction(), debtor=debtor)).column == "Dbtr"

    def test_a_reference_or_the_payments_own_number_serves_where_there_is_no_document(self):
        reference = "<RmtInf><Strd><CdtrRefInf><Ref>R-7</Ref></CdtrRefInf></Strd></RmtInf>"

        assert one(plain(transaction(remittance=reference))).bill_no == "R-7"
        assert one(plain(transaction(remittance=""))).bill_no == "E2E-1"

    def test_a_payment_for_several_documents_has_its_own_number_and_their_lines(self):
        part = (
            "<Strd><RfrdDocInf><Nb>{}</Nb></RfrdDocInf><RfrdDocAmt><DuePyblAmt>{}</DuePyblAmt>"
            "<CdtNoteAmt>{}</CdtNoteAmt></RfrdDocAmt></Strd>"
        )
        parts = part.format("P-1", "100.00", "1.00") + part.format("P-2", "20.00", "")
        said = f"<RmtInf>{parts}</RmtInf>"

        bill = one(plain(transaction(remittance=said)))

        assert bill.bill_no == "E2E-1"
        assert [(item.name, item.amount_fen) for item in bill.items] == [
            ("P-1", 10_000), ("P-1: reduction", -100), ("P-2", 2_000),
        ]  # fmt: skip

    def test_lines_that_do_not_come_to_the_amount_are_not_shown(self):
        said = (
            "<RmtInf><Ustrd>October</Ustrd><Strd><RfrdDocInf><Nb>P-1</Nb></RfrdDocInf><RfrdDocAmt>"
            "<DuePyblAmt>100</DuePyblAmt></RfrdDocAmt></Strd></RmtInf>"
        )

        assert one(plain(transaction(remittance=said))).items == (
            LineItem("October", None, "", 11_900),
        )


class TestDates:
    def test_a_moment_is_the_day_that_is_written_whatever_its_zone(self):
        due = "<ReqdExctnDt><DtTm>2026-11-20T23:59:00Z</DtTm></ReqdExctnDt>"

        bill = one(plain(transaction(remittance=""), due=due))

        assert (bill.issued_on, bill.due_on) == (date(2026, 11, 2), date(2026, 11, 20))

    def test_the_day_of_expiry_holds_where_execution_leaves_no_day_to_pay(self):
        due = "<ReqdExctnDt><Dt>2026-11-01</Dt></ReqdExctnDt><XpryDt><Dt>2026-11-09</Dt></XpryDt>"

        assert one(plain(transaction(), due=due)).due_on == date(2026, 11, 9)

    def test_no_day_at_all_is_the_profiles(self):
        told = company(defaults={"due_days": 10})

        assert one(plain(transaction(), due=""), told).due_on == date(2026, 11, 11)
        assert rejected(plain(transaction(), due="")).column == "ReqdExctnDt"

    def test_a_day_that_is_none_is_rejected(self):
        due = "<ReqdExctnDt><Dt>2026-02-30</Dt></ReqdExctnDt>"

        assert rejected(plain(transaction(), due=due)).column == "ReqdExctnDt"


class TestTerms:
    @pytest.mark.parametrize(
        ("said", "mode"), [("true", Exactness.ANY), ("false", Exactness.EXACT)]
    )
    def test_whether_the_amount_may_be_changed_is_the_bills_own_rule(self, said, mode):
        condition = (
            f"<PmtCond><AmtModAllwd>{said}</AmtModAllwd><EarlyPmtAllwd>true</EarlyPmtAllwd>"
            "<GrntedPmtReqd>false</GrntedPmtReqd></PmtCond>"
        )

        assert one(plain(transaction(more=condition))).pay_terms == PayTerms(AmountRule(mode))
        assert one(plain(transaction(), debtor=condition + DEBTOR)).pay_terms == PayTerms(
            AmountRule(mode)
        )

    def test_nothing_said_is_the_companys_rule(self):
        assert one(plain(transaction())).pay_terms is None


class TestARowRejected:
    def test_an_equivalent_amount(self):
        data = plain(transaction()).replace(b"InstdAmt", b"EqvtAmt")

        assert rejected(data).column == "EqvtAmt"

    @pytest.mark.parametrize("amount", ["", "1,50", "1e3", "119.005", "１９", "9" * 40])
    def test_an_amount_that_is_none(self, amount):
        assert rejected(plain(transaction(amount=amount))).column == "InstdAmt"

    def test_another_currency(self):
        assert rejected(plain(transaction(currency="USD"))).column == "Ccy"

    @pytest.mark.parametrize(
        ("reference", "good"),
        [("RF18539007547034", True), ("RF18 5390 0754 7034", True), ("RF19539007547034", False)],
    )
    def test_a_reference_whose_check_digits_are_wrong(self, reference, good):
        said = (
            "<RmtInf><Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp>"
            f"<Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf>"
        )

        [row] = rows(plain(transaction(remittance=said)))

        assert isinstance(row, BillRecord) is good
        if good:
            assert row.bill_no == "RF18539007547034"

    def test_no_number_of_a_bill(self):
        told = rejected(plain(transaction(remittance="", end_to_end="NOTPROVIDED")))

        assert told.column == "RfrdDocInf/Nb"


class TestAFileRefused:
    def refusal(self, data: bytes) -> BillFileError:
        with pytest.raises(BillFileError) as refused:
            read(data, company())
        return refused.value

    @pytest.mark.parametrize("stated", ["1", "3", "two", "２"])
    def test_another_number_of_transactions(self, stated):
        data = file(message(block(transaction(), transaction()), count=stated))

        assert self.refusal(data).column == "NbOfTxs"

    @pytest.mark.parametrize("stated", ["237.99", "238.01", "much"])
    def test_another_sum(self, stated):
        data = file(message(block(transaction(), transaction()), total=stated))

        assert self.refusal(data).column == "CtrlSum"

    def test_a_sum_that_an_unread_amount_forbids_to_prove(self):
        data = file(message(block(transaction(amount="x")), total="119"))

        assert "cannot be proven" in self.refusal(data).message

    def test_totals_count_rejected_rows_and_each_message_its_own(self):
        data = file(
            "<Envelope>",
            message(block(transaction(), transaction(currency="USD")), count="2", total="238"),
            message(block(transaction()), count="1", total="119", number="M-2"),
            "</Envelope>",
        ).replace(b"?>\n", b"?>\n", 1)

        heading, *found = read(data, company())

        assert heading == Heading("M-1")
        assert [type(row).__name__ for row in found] == ["BillRecord", "Reject", "BillRecord"]

    def test_another_message(self):
        other = message(block(transaction())).replace("CdtrPmtActvtnReq", "CstmrCdtTrfInitn")

        assert "CstmrCdtTrfInitn" in self.refusal(file(other)).message

    def test_another_namespace(self):
        other = message(block(transaction())).replace("pain.013", "pain.001")

        assert "pain.001" in self.refusal(file(other)).message

    def test_no_transaction(self):
        assert "no bill" in self.refusal(file(message(block()))).message
        assert "no bill" in self.refusal(b"<a/>").message

    def test_a_document_type(self):
        data = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + file(message())[39:]

        assert "DTD" in self.refusal(data).message

    def test_one_cut_short(self):
        assert "broken" in self.refusal(plain(transaction())[:-30]).message


@given(st.lists(st.integers(-(10**6), 10**12), min_size=1, max_size=5))
def test_every_fen_comes_back_and_adds_up(fens):
    amounts = [transaction(amount=yuan_text(fen), end_to_end=f"E{at}")
               for at, fen in enumerate(fens)]  # fmt: skip
    total = sum((Decimal(fen) for fen in fens), Decimal(0)).scaleb(-2)

    found = rows(file(message(block(*amounts), count=str(len(fens)), total=f"{total:f}")))

    assert [bill.amount_fen for bill in found] == fens
