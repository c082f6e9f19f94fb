"""Habits of systems all over the world, each in a small file of its own."""

import io
import zipfile
from datetime import date

import pytest

from core.errors import BillFileError
from providers.base import BillRecord, RecordKind, Reject
from providers.proposing.proposal import Company, Proposal, propose
from providers.proposing.trial import try_out
from providers.proposing.words import meaning
from tests.providers.standards import test_espi as green
from tests.providers.standards import test_x12_810 as x12
from tests.providers.standards.documents import (
    PERIOD,
    cii_file,
    file,
    one_bill,
    one_reject,
    profile,
    read,
    ubl,
    ubl_file,
    ubl_line,
)

SPRING = Company("spring_town", "春镇供电", "Spring Town Power", "power", "000-0000-0107", "9107")


def proposed(data: bytes) -> Proposal:
    return propose(io.BytesIO(data), SPRING)


class TestGreenButton:
    @staticmethod
    def of_user(name: str) -> tuple[str, str]:
        own = f"User/{name}/UsagePoint/01"
        return green.point(own), green.summary(own=f"{own}/UsageSummary/01")

    def test_usage_points_that_are_everybodys_first_are_nobodys_number(self):
        found = read(
            green.feed(*self.of_user("9b6c7063"), *self.of_user("9b6c7064")),
            green.company(account_no={"pattern": "[0-9a-f]{8}", "words": "8 hexadecimal digits"}),
        )

        assert [bill.account_no for bill in found] == ["9b6c7063", "9b6c7064"]
        assert [bill.bill_no for bill in found] == [
            "9b6c7063-01-20261001", "9b6c7064-01-20261001"
        ]  # fmt: skip

    def test_a_summary_that_is_only_the_first_of_a_list_is_no_bills_number(self):
        own = "RetailCustomer/30012345/UsageSummary/01"

        bill = one_bill(green.feed(green.summary(own=own)), green.company())

        assert bill.bill_no == "30012345-01"

    def test_a_place_in_a_list_is_no_customer_whatever_the_profile_allows(self):
        data = green.feed(
            green.point("UsagePoint/01"), green.summary(own="UsagePoint/01/UsageSummary/7")
        )

        told = one_reject(data, green.company(account_no={"pattern": ".*", "words": "any"}))

        assert told.column == "CustomerAccount"
        assert "UsagePoint/01 in its path, a place in a list" in told.reason

    @pytest.mark.parametrize("hours", [0, 1, -1])  # as long as it is; in spring; in autumn
    def test_a_place_without_a_clock_has_as_many_days_as_the_period_lasts(self, hours):
        start = green.OCTOBER + 13 * 3_600  # midnight at UTC-5
        summary = green.summary(start=str(start), duration=str(31 * green.DAY + hours * 3_600))

        bill = one_bill(green.feed(green.point(), summary), green.company())

        assert (bill.period_from_on, bill.period_to_on) == (date(2026, 10, 1), date(2026, 10, 31))
        assert bill.billing_month == date(2026, 10, 1)

    def test_half_a_day_more_is_no_midnight(self):
        start = green.OCTOBER + 13 * 3_600
        summary = green.summary(start=str(start), duration=str(30 * green.DAY + 43_200))

        bill = one_bill(green.feed(green.point(), summary), green.company())

        assert bill.period_to_on == date(2026, 11, 1)


class TestX12:
    def test_two_ends_of_a_segment_are_one(self):
        data = x12.interchange(x12.invoice()).replace(b"~\nGE", b"~~\n~GE")

        assert x12.one(data).amount_fen == 8_650

    def test_an_interchange_that_is_a_test_is_shown_and_refused(self):
        data = x12.interchange(x12.invoice(), isa=x12.ISA.replace("*P*", "*T*"))

        trial = try_out(x12.company(), io.BytesIO(data), rows=1)

        assert trial.bills == 1
        assert trial.refusal is not None
        assert (trial.refusal.line_no, trial.refusal.column) == (1, "ISA15")


class TestInvoices:
    def test_a_document_that_is_a_test_is_asked_of_nobody(self):
        test = (
            "<rsm:ExchangedDocumentContext><ram:TestIndicator><udt:Indicator>{}</udt:Indicator>"
            "</ram:TestIndicator></rsm:ExchangedDocumentContext><rsm:ExchangedDocument>"
        )
        data = cii_file().decode()

        told, real = (
            data.replace("<rsm:ExchangedDocument>", test.format(said)).encode()
            for said in ("true", "false")
        )

        assert one_reject(told, profile("cii")).column == "TestIndicator"
        assert one_bill(real, profile("cii")).amount_fen == 11_900

    @pytest.mark.parametrize("name", ["DebitNote", "SelfBilledInvoice", "Reminder"])
    def test_other_documents_of_money_do_not_go_by_without_a_word(self, name):
        other = ubl().replace("Invoice-2", f"{name}-2").replace("<Invoice ", f"<{name} ")
        other = other.replace("</Invoice>", f"</{name}>")

        rejected, bill = read(file(f"<Batch>{other}{ubl(number='P-2')}</Batch>"))

        assert isinstance(rejected, Reject)
        assert (rejected.column, rejected.raw) == (name, f"{name} P-1")
        assert isinstance(bill, BillRecord)

    def test_a_tax_said_again_for_the_books_is_one_tax(self):
        again = '<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">19.00</cbc:TaxAmount></cac:TaxTotal>'

        bill = one_bill(ubl_file(after=again))

        assert [(item.name, item.amount_fen) for item in bill.items] == [
            ("Energy", 10_000), ("VAT", 1_900)
        ]  # fmt: skip

    def test_two_taxes_are_two(self):
        local = (
            '<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">2.00</cbc:TaxAmount><cac:TaxSubtotal>'
            "</cac:TaxSubtotal></cac:TaxTotal>"
        )

        bill = one_bill(ubl_file(after=local, payable="121.00"))

        assert [item.amount_fen for item in bill.items] == [10_000, 2_100]

    def test_what_solar_cells_fed_in_is_not_used_less(self):
        lines = ubl_line() + ubl_line("-15.00", "Solar feed-in", "-150")

        left_open = one_bill(ubl_file(lines=lines, payable="104.00"))
        named = one_bill(ubl_file(lines=lines, payable="104.00"), profile(usage=["Energy"]))

        assert (left_open.usage, named.usage) == (None, 250)

    @pytest.mark.parametrize("code", ["02", "04", "11", "IADE"])
    def test_a_code_that_gives_money_back_in_some_countries_is_asked_about(self, code):
        told = one_reject(ubl_file(code=code))

        assert told.column == "InvoiceTypeCode"
        assert "write 380 for what is owed or 381" in told.reason

    def test_a_credit_note_is_one_whatever_a_nation_calls_it(self):
        assert one_bill(ubl_file(root="CreditNote", code="02")).amount_fen == -11_900

    @pytest.mark.parametrize("code", ["01", "03", "388", ""])
    def test_other_nations_invoices_are_bills(self, code):
        bill = one_bill(ubl_file(code=code))

        assert (bill.kind, bill.amount_fen) == (RecordKind.BILL, 11_900)

    def test_a_document_without_lines_has_one_whatever_is_taken_off_it(self):
        charge = (
            "<ram:SpecifiedTradeAllowanceCharge><ram:ChargeIndicator><udt:Indicator>true"
            "</udt:Indicator></ram:ChargeIndicator><ram:ActualAmount>5.00</ram:ActualAmount>"
            "</ram:SpecifiedTradeAllowanceCharge>"
        )

        bill = one_bill(cii_file(lines="", settlement=charge), profile("cii"))

        assert [(item.name, item.amount_fen) for item in bill.items] == [("Amount due", 11_900)]


class TestAProposal:
    def test_where_no_currency_is_said_none_is_taken_for_granted(self):
        for data in (
            x12.interchange(x12.invoice()),
            green.feed(green.point(), green.summary(currency="")),
        ):
            found = proposed(data)

            assert 'currency = "?"' in found.text
            assert found.fault is not None
            assert found.trial is not None

    def test_a_currency_by_its_number_is_asked_about(self):
        found = proposed(green.feed(green.point(kind=1), green.summary(currency="840")))

        assert "are all amounts in USD, as those of the sample are?" in found.questions
        assert found.fault is None

    def test_yuan_are_not_asked_about(self):
        found = proposed(ubl_file(currency="CNY"))

        assert not any("amounts" in asked for asked in found.questions)

    def test_the_customers_number_is_asked_for_by_places_and_forms(self):
        reference = "<cbc:BuyerReference>ABC-7/2</cbc:BuyerReference>"

        found = proposed(ubl_file(period=PERIOD + reference))

        [asked] = [one for one in found.questions if "the customer's number" in one]
        assert "Party/PartyIdentification/ID 99999999, BuyerReference AAA-9/9" in asked
        assert "00001234" not in found.text

    def test_a_place_in_a_path_is_told_without_words_of_one_language(self):
        found = proposed(green.feed(green.point(kind=1), green.summary()))

        [asked] = [one for one in found.questions if "the customer's number" in one]
        assert "…/UsagePoint/ " in asked
        assert "of its path" not in asked

    def test_an_entry_alone_is_green_button(self):
        data = green.summary().replace("<entry>", '<entry xmlns="http://www.w3.org/2005/Atom">')

        assert 'format = "espi"' in proposed(data.encode()).text

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            ("UNA:+.? '\nUNB+UNOC:3+A+B+261101:0900+1'UNH+1+INVOIC:D:96A:UN'", "EDIFACT"),
            ("UNB+UNOA:1+A+B+261101:0900+1'UNH+1+INVOIC:D:96A:UN'BGM+380+1+9'UNT+3+1'", "EDIFACT"),
            ("STX=ANA:1+500000000:A+501000000:B+261101:090000+1'MHD=1+INVFIL:5'", "TRADACOMS"),
            ("ST*810*0001~BIG*20261101*INV-1~TDS*8650~SE*4*0001~\n", "without its ISA"),
        ],
    )  # fmt: skip
    def test_other_messages_are_refused_by_what_they_are(self, data, told):
        with pytest.raises(BillFileError, match=told):
            proposed(data.encode())

    def test_a_tax_invoice_is_no_bill(self):
        document = io.BytesIO()
        with zipfile.ZipFile(document, "w") as archive:
            archive.writestr("OFD.xml", "<OFD/>")
            archive.writestr("Doc_0/Document.xml", "<Document/>")
        invoice = "<EInvoice><EInvoiceData><Amount>84.00</Amount></EInvoiceData></EInvoice>"

        for data in (document.getvalue(), invoice.encode()):
            with pytest.raises(BillFileError, match="tax invoice"):
                proposed(data)

    @pytest.mark.parametrize("name", ["SellerName", "收款户名", "供电单位地址", "VendorAccountNo"])
    def test_what_is_the_companys_own_is_no_customers(self, name):
        assert meaning(name) is None

    def test_a_page_of_blanks_is_not_looked_at_again_and_again(self):
        with pytest.raises(BillFileError):
            proposed(b"\n" * 200_000 + b"x")
