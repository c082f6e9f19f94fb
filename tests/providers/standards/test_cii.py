"""Invoices in CII: three generations of names, dates in several forms, and the PDF around one."""

from datetime import date
from decimal import Decimal

import pytest

from core.errors import BillFileError
from providers.base import BillRecord, LineItem, RecordKind
from tests.providers.standards.documents import (
    BUYER,
    cii,
    cii_file,
    cii_line,
    file,
    one_bill,
    one_reject,
    pdf,
    profile,
    read,
    stamp,
    ubl_file,
)

OURS = profile("cii")


def corrects(number: str, day: str = "20261101", revision: str = "") -> str:
    dated = f"<ram:FormattedIssueDateTime>{stamp(day)}</ram:FormattedIssueDateTime>" if day else ""
    revised = f"<ram:RevisionID>{revision}</ram:RevisionID>" if revision else ""
    return (
        f"<ram:InvoiceReferencedDocument><ram:IssuerAssignedID>{number}</ram:IssuerAssignedID>"
        f"{dated}{revised}</ram:InvoiceReferencedDocument>"
    )


class TestABill:
    @pytest.mark.parametrize("old", [False, True], ids=["CII D16B", "ZUGFeRD 1"])
    def test_an_invoice_of_each_generation_is_read_whole(self, old):
        assert one_bill(cii_file(old=old), OURS) == BillRecord(
            line_no=2, kind=RecordKind.BILL, account_no="00001234", holder_name="Ada Beispiel",
            address="Musterweg 7, 01234 Musterstadt", billing_month=date(2026, 10, 1),
            bill_no="P-1", version=1, period_from_on=date(2026, 10, 1),
            period_to_on=date(2026, 10, 31), issued_on=date(2026, 11, 1), due_on=date(2026, 11, 20),
            usage=Decimal(250), usage_unit="kWh", amount_fen=11_900,
            items=(
                LineItem("Energy", Decimal(250), "kWh", 10_000), LineItem("VAT", None, "", 1_900),
            ),
        )  # fmt: skip

    def test_without_an_amount_due_it_is_the_grand_total_less_what_is_paid(self):
        totals = "<ram:TotalPrepaidAmount>19.00</ram:TotalPrepaidAmount>"
        payable = "<ram:GrandTotalAmount>119.00</ram:GrandTotalAmount>"

        assert one_bill(cii_file(totals=totals, payable=payable), OURS).amount_fen == 10_000

    def test_a_document_without_lines_has_one_for_its_amount(self):
        bill = one_bill(cii_file(lines=""), OURS)

        assert bill.items == (LineItem("Amount due", None, "", 11_900),)

    def test_the_lines_of_a_group_are_not_counted_twice(self):
        mark = "<ram:LineStatusReasonCode>{}</ram:LineStatusReasonCode>"
        lines = cii_line("100.00", "All", head=mark.format("GROUP"))
        lines += cii_line("60.00", "Day", head=mark.format("DETAIL"))
        lines += cii_line("40.00", "Night", head=mark.format("DETAIL"))

        bill = one_bill(cii_file(lines=lines), OURS)

        assert [item.name for item in bill.items] == ["Day", "Night", "VAT"]

    def test_the_tax_in_another_currency_is_not_added(self):
        totals = '<ram:TaxTotalAmount currencyID="EUR">19.00</ram:TaxTotalAmount>'
        totals += '<ram:TaxTotalAmount currencyID="HUF">7600</ram:TaxTotalAmount>'

        assert len(one_bill(cii_file(totals=totals), OURS).items) == 2

    def test_a_delivery_charge_and_a_discount_are_lines(self):
        settlement = (
            "<ram:SpecifiedTradeAllowanceCharge><ram:ChargeIndicator><udt:Indicator>false"
            "</udt:Indicator></ram:ChargeIndicator><ram:ActualAmount>10.00</ram:ActualAmount>"
            "<ram:Reason>Loyalty</ram:Reason></ram:SpecifiedTradeAllowanceCharge>"
            "<ram:SpecifiedLogisticsServiceCharge><ram:Description>Post</ram:Description>"
            "<ram:AppliedAmount>2.00</ram:AppliedAmount></ram:SpecifiedLogisticsServiceCharge>"
        )
        payable = "<ram:DuePayableAmount>111.00</ram:DuePayableAmount>"

        bill = one_bill(cii_file(settlement=settlement, payable=payable), OURS)

        assert [item.amount_fen for item in bill.items] == [10_000, -1_000, 200, 1_900]


class TestDates:
    @pytest.mark.parametrize(
        "written",
        [
            stamp("20261120"), stamp("202611201200", "203"), stamp("20261120", "999"),
            '<udt:DateTimeString format="102"> 20261120 </udt:DateTimeString>',
            "<udt:DateTime>2026-11-20T00:00:00</udt:DateTime>",
        ],
    )  # fmt: skip
    def test_a_date_is_read_in_every_form_in_use(self, written):
        assert one_bill(cii_file(due=written), OURS).due_on == date(2026, 11, 20)

    def test_a_month_is_its_first_or_its_last_day(self):
        period = (
            "<ram:BillingSpecifiedPeriod>"
            f"<ram:StartDateTime>{stamp('202609', '610')}</ram:StartDateTime>"
            f"<ram:EndDateTime>{stamp('202610', '610')}</ram:EndDateTime>"
            "</ram:BillingSpecifiedPeriod>"
        )

        bill = one_bill(cii_file(period=period), OURS)

        assert (bill.period_from_on, bill.period_to_on) == (date(2026, 9, 1), date(2026, 10, 31))

    @pytest.mark.parametrize("written", [stamp("20260230"), stamp("2026-xx-01"), stamp("20261")])
    def test_no_date_is_rejected(self, written):
        reject = one_reject(cii_file(due=written), OURS)

        assert reject.column == "SpecifiedTradePaymentTerms/DueDateDateTime"

    def test_the_profile_says_when_a_bill_is_due_that_does_not(self):
        of = profile("cii", defaults={"due_days": 10})

        assert one_bill(cii_file(due=""), of).due_on == date(2026, 11, 11)


class TestTheCustomer:
    @pytest.mark.parametrize(
        "piece",
        [
            "<ram:BuyerReference>87654321</ram:BuyerReference>",
            "<ram:ContractReferencedDocument><ram:IssuerAssignedID>87654321"
            "</ram:IssuerAssignedID></ram:ContractReferencedDocument>",
            "<ram:AdditionalReferencedDocument><ram:IssuerAssignedID>87654321"
            "</ram:IssuerAssignedID><ram:TypeCode>130</ram:TypeCode>"
            "</ram:AdditionalReferencedDocument>",
        ],
    )
    def test_a_number_is_looked_for_in_every_place_companies_use(self, piece):
        buyer = BUYER.replace("00001234", "-")

        assert one_bill(cii_file(buyer=buyer, agreement=piece), OURS).account_no == "87654321"

    def test_the_payment_reference_keeps_its_zeros(self):
        buyer = BUYER.replace("00001234", "-")
        settlement = "<ram:PaymentReference>00034343</ram:PaymentReference>"

        bill = one_bill(cii_file(buyer=buyer, settlement=settlement), OURS)

        assert bill.account_no == "00034343"


class TestCreditsAndCorrections:
    def test_type_381_is_a_negative_bill(self):
        assert one_bill(cii_file(code="381"), OURS).amount_fen == -11_900

    def test_a_corrected_invoice_is_the_next_version_of_the_bill_it_names(self):
        bill = one_bill(cii_file(code="384", number="P-2", settlement=corrects("P-1")), OURS)

        assert (bill.bill_no, bill.version) == ("P-1", 2)

    def test_a_second_correction_says_which_version_it_corrects(self):
        data = cii_file(code="384", settlement=corrects("P-1", revision="2"))

        assert one_bill(data, OURS).version == 3

    def test_a_correction_that_names_nothing_is_rejected(self):
        reject = one_reject(cii_file(code="384"), OURS)

        assert reject.column == "InvoiceReferencedDocument"

    def test_a_self_billed_invoice_is_owed_to_the_seller(self):
        buyer = BUYER.replace("Buyer", "Seller")

        bill = one_bill(cii_file(code="389", buyer=buyer), OURS)

        assert (bill.account_no, bill.amount_fen) == ("00001234", -11_900)


class TestFiles:
    def test_many_documents_are_many_bills(self):
        data = file("<All>", cii(number="P-1"), cii(number="P-2", old=True), "</All>")

        assert [row.bill_no for row in read(data, OURS)] == ["P-1", "P-2"]

    @pytest.mark.parametrize(
        "name", ["factur-x.xml", "zugferd-invoice.xml", "ZUGFeRD-invoice.xml", "xrechnung.xml"]
    )
    def test_the_xml_in_a_pdf_is_the_invoice(self, name):
        data = pdf(cii_file(), name)

        assert one_bill(data, OURS) == one_bill(cii_file(), OURS)
        assert one_bill(b"\n" + data, OURS).bill_no == "P-1"

    def test_a_pdf_without_one_is_refused(self):
        with pytest.raises(BillFileError, match=r"no invoice in XML \(factur-x"):
            read(pdf(cii_file(), "photo.xml"), OURS)

    def test_an_encrypted_pdf_is_refused(self):
        with pytest.raises(BillFileError, match="encrypted"):
            read(pdf(cii_file(), password="secret"), OURS)

    def test_a_damaged_pdf_is_refused(self):
        with pytest.raises(BillFileError, match="PDF"):
            read(pdf(cii_file())[:200], OURS)

    def test_another_kind_of_document_is_refused_with_the_key_to_set(self):
        with pytest.raises(BillFileError, match='format = "ubl"'):
            read(ubl_file(), OURS)
