"""Invoices and credit notes in UBL: what each part of one becomes, and what is not taken."""

from datetime import date
from decimal import Decimal

import pytest

from core.errors import BillFileError
from providers.base import BillRecord, LineItem, RecordKind, Reject
from tests.providers.standards.documents import (
    CUSTOMER,
    DECLARATION,
    PERIOD,
    file,
    one_bill,
    one_reject,
    profile,
    read,
    ubl,
    ubl_file,
    ubl_line,
)


def extra(charge: bool, amount: str, reason: str) -> str:
    return (
        f"<cac:AllowanceCharge><cbc:ChargeIndicator>{str(charge).lower()}</cbc:ChargeIndicator>"
        f"<cbc:AllowanceChargeReason>{reason}</cbc:AllowanceChargeReason>"
        f'<cbc:Amount currencyID="EUR">{amount}</cbc:Amount></cac:AllowanceCharge>'
    )


def corrects(number: str, issued: str = "2026-11-01", version: str = "") -> str:
    return (
        "<cac:BillingReference><cac:InvoiceDocumentReference>"
        f"<cbc:ID>{number}</cbc:ID>"
        + (f"<cbc:IssueDate>{issued}</cbc:IssueDate>" if issued else "")
        + (f"<cbc:VersionID>{version}</cbc:VersionID>" if version else "")
        + "</cac:InvoiceDocumentReference></cac:BillingReference>"
    )


class TestABill:
    def test_an_invoice_is_read_whole(self):
        bill = one_bill(ubl_file())

        assert bill == BillRecord(
            line_no=2, kind=RecordKind.BILL, account_no="00001234", holder_name="Ada Beispiel",
            address="Musterweg 7, 01234 Musterstadt", billing_month=date(2026, 10, 1),
            bill_no="P-1", version=1, period_from_on=date(2026, 10, 1),
            period_to_on=date(2026, 10, 31), issued_on=date(2026, 11, 1), due_on=date(2026, 11, 20),
            usage=Decimal(250), usage_unit="kWh", amount_fen=11_900,
            items=(
                LineItem("Energy", Decimal(250), "kWh", 10_000), LineItem("VAT", None, "", 1_900),
            ),
        )  # fmt: skip

    def test_the_payable_is_the_amount_whatever_the_lines_say(self):
        bill = one_bill(ubl_file(payable="119.02"))

        assert bill.amount_fen == 11_902
        assert bill.items[-1] == LineItem("Rounding", None, "", 2)

    def test_what_is_prepaid_and_rounded_is_a_line(self):
        totals = (
            '<cbc:PrepaidAmount currencyID="EUR">100.00</cbc:PrepaidAmount>'
            '<cbc:PayableRoundingAmount currencyID="EUR">0.03</cbc:PayableRoundingAmount>'
        )

        bill = one_bill(ubl_file(totals=totals, payable="19.03"))

        assert bill.amount_fen == 1_903
        assert [(item.name, item.amount_fen) for item in bill.items[2:]] == [
            ("Already paid", -10_000), ("Rounding", 3),
        ]  # fmt: skip

    def test_charges_and_discounts_on_the_whole_are_lines_with_their_sign(self):
        after = extra(True, "5.00", "Paper") + extra(False, "2.50", "Loyalty")

        bill = one_bill(ubl_file(after=after, payable="121.50"))

        assert LineItem("Paper", None, "", 500) in bill.items
        assert LineItem("Loyalty", None, "", -250) in bill.items
        assert sum(item.amount_fen for item in bill.items) == 12_150

    def test_a_line_finer_than_a_fen_goes_into_the_rounding_line(self):
        bill = one_bill(ubl_file(lines=ubl_line("100.004"), tax="19.00", payable="119.00"))

        assert [item.amount_fen for item in bill.items] == [10_000, 1_900]

    def test_a_payable_finer_than_a_fen_is_rejected(self):
        reject = one_reject(ubl_file(payable="119.005"))

        assert reject.column == "LegalMonetaryTotal/PayableAmount"
        assert "finer than a hundredth" in reject.reason

    def test_a_negative_payable_is_a_credit(self):
        assert one_bill(ubl_file(payable="-25.14")).amount_fen == -2_514

    def test_nothing_due_is_a_bill_of_zero(self):
        assert one_bill(ubl_file(payable="0.00")).amount_fen == 0

    @pytest.mark.parametrize("number", ["1e3", "1,50", "１.00", "NaN", "--1", "1.0.0", "0x1"])
    def test_a_number_that_xml_does_not_know_is_rejected(self, number):
        assert "is not a number" in one_reject(ubl_file(payable=number)).reason

    def test_an_amount_beyond_any_bill_is_rejected(self):
        assert "beyond any bill" in one_reject(ubl_file(payable="1" + "0" * 20)).reason

    def test_another_currency_is_rejected_with_the_key_to_set(self):
        reject = one_reject(ubl_file(currency="SEK"))

        assert reject.column == "DocumentCurrencyCode"
        assert 'currency = "SEK"' in reject.reason

    def test_a_tax_in_another_currency_beside_the_own_is_not_added(self):
        foreign = '<cac:TaxTotal><cbc:TaxAmount currencyID="SEK">200</cbc:TaxAmount></cac:TaxTotal>'

        assert len(one_bill(ubl_file(after=foreign)).items) == 2


class TestDates:
    def test_without_a_period_the_lines_span_one(self):
        span = PERIOD.replace("InvoicePeriod", "InvoicePeriod")
        early = span.replace("10-01", "08-15").replace("10-31", "09-14")
        lines = ubl_line("60.00", more=span) + ubl_line("40.00", more=early)

        bill = one_bill(ubl_file(period="", lines=lines))

        assert (bill.period_from_on, bill.period_to_on) == (date(2026, 8, 15), date(2026, 10, 31))

    def test_without_any_period_it_is_the_month_of_issue(self):
        bill = one_bill(ubl_file(period=""))

        assert bill.billing_month == date(2026, 11, 1)
        assert (bill.period_from_on, bill.period_to_on) == (date(2026, 11, 1), date(2026, 11, 30))

    def test_a_wrong_date_in_a_line_does_not_cost_the_bill(self):
        wrong = PERIOD.replace("2026-10-31", "2026-13-91")

        bill = one_bill(ubl_file(period="", lines=ubl_line(more=wrong)))

        assert bill.billing_month == date(2026, 11, 1)

    def test_a_wrong_date_of_the_document_does(self):
        reject = one_reject(ubl_file(due="<cbc:DueDate>2026-02-30</cbc:DueDate>"))

        assert (reject.column, "no date '2026-02-30'" in reject.reason) == ("DueDate", True)

    @pytest.mark.parametrize("written", ["2026-11-20Z", "2026-11-20+01:00", " 2026-11-20 "])
    def test_a_zone_beside_a_date_is_taken(self, written):
        bill = one_bill(ubl_file(due=f"<cbc:DueDate>{written}</cbc:DueDate>"))

        assert bill.due_on == date(2026, 11, 20)

    @pytest.mark.parametrize("path", ["PaymentMeans", "PaymentTerms"])
    def test_the_due_date_may_stand_with_the_payment(self, path):
        after = f"<cac:{path}><cbc:PaymentDueDate>2026-11-25</cbc:PaymentDueDate></cac:{path}>"

        assert one_bill(ubl_file(due="", after=after)).due_on == date(2026, 11, 25)

    def test_without_a_due_date_it_is_thirty_days_or_what_the_profile_says(self):
        assert one_bill(ubl_file(due="")).due_on == date(2026, 12, 1)
        of = profile(defaults={"due_days": 14})
        assert one_bill(ubl_file(due=""), of).due_on == date(2026, 11, 15)

    def test_due_at_once_leaves_the_days_of_the_profile(self):
        due = "<cbc:DueDate>2026-11-01</cbc:DueDate>"

        of = profile(defaults={"due_days": 14})
        assert one_bill(ubl_file(due=due), of).due_on == date(2026, 11, 15)

    def test_the_profile_says_which_month_a_bill_is_of(self):
        def month(rule: str) -> date:
            return one_bill(ubl_file(), profile(defaults={"billing_month": rule})).billing_month

        assert month("issued") == date(2026, 11, 1)
        assert month("period_end") == date(2026, 10, 1)
        assert month("previous_of_issued") == date(2026, 10, 1)

    def test_a_period_in_the_far_future_does_not_name_the_month(self):
        period = PERIOD.replace("2026-10-31", "2029-10-31")

        assert one_bill(ubl_file(period=period)).billing_month == date(2026, 11, 1)

    def test_a_period_that_ends_before_it_begins_is_rejected(self):
        period = PERIOD.replace("2026-10-01", "2026-12-01")

        assert "before it begins" in one_reject(ubl_file(period=period)).reason


class TestTheCustomer:
    def test_the_first_number_that_fits_is_the_customers(self):
        customer = CUSTOMER.replace("00001234", "not a number of ours")
        payment = "<cac:PaymentMeans><cbc:PaymentID>00034343</cbc:PaymentID></cac:PaymentMeans>"

        assert one_bill(ubl_file(customer=customer, after=payment)).account_no == "00034343"

    def test_where_none_fits_all_that_were_found_are_told(self):
        customer = CUSTOMER.replace("00001234", "A-1")
        reject = one_reject(ubl_file(customer=customer))

        assert reject.column == "AccountingCustomerParty"
        assert "8 digits" in reject.reason
        assert "PartyIdentification/ID 'A-1'" in reject.reason

    @pytest.mark.parametrize(
        "piece",
        [
            "<cbc:BuyerReference>87654321</cbc:BuyerReference>",
            "<cbc:AccountingCost>87654321</cbc:AccountingCost>",
            "<cbc:AccountingCostCode>87654321</cbc:AccountingCostCode>",
            "<cac:OrderReference><cbc:ID>87654321</cbc:ID></cac:OrderReference>",
            "<cac:ContractDocumentReference><cbc:ID>87654321</cbc:ID>"
            "</cac:ContractDocumentReference>",
            "<cac:AdditionalDocumentReference><cbc:ID>87654321</cbc:ID>"
            "<cbc:DocumentTypeCode>130</cbc:DocumentTypeCode></cac:AdditionalDocumentReference>",
            '<ext:UBLExtensions xmlns:ext="urn:e"><ext:UBLExtension><ext:ExtensionContent>'
            '<s:UtilityConsumptionPoint xmlns:s="urn:s"><cbc:ID>87654321</cbc:ID>'
            "</s:UtilityConsumptionPoint></ext:ExtensionContent></ext:UBLExtension>"
            "</ext:UBLExtensions>",
        ],
    )
    def test_a_number_is_looked_for_in_every_place_companies_use(self, piece):
        customer = CUSTOMER.replace("00001234", "-")

        assert one_bill(ubl_file(before=piece, customer=customer)).account_no == "87654321"

    def test_the_thing_billed_for_goes_before_the_party(self):
        point = (
            "<cac:AdditionalDocumentReference><cbc:ID>87654321</cbc:ID>"
            "<cbc:DocumentTypeCode>130</cbc:DocumentTypeCode></cac:AdditionalDocumentReference>"
        )

        assert one_bill(ubl_file(before=point)).account_no == "87654321"

    def test_an_invisible_character_in_a_name_is_dropped(self):
        customer = CUSTOMER.replace("Ada", "A\u200bda\u202e")

        assert one_bill(ubl_file(customer=customer)).holder_name == "Ada Beispiel"


class TestUsage:
    def test_day_and_night_add_up(self):
        lines = ubl_line("60.00", "Day", "150") + ubl_line("40.00", "Night", "100.5")

        assert one_bill(ubl_file(lines=lines)).usage == Decimal("250.5")

    def test_two_lines_about_the_same_energy_tell_nothing(self):
        lines = ubl_line("60.00", "Energy", "250") + ubl_line("40.00", "Grid", "250")

        assert one_bill(ubl_file(lines=lines)).usage is None

    def test_the_profile_names_the_lines_that_count(self):
        lines = ubl_line("60.00", "Energy", "250") + ubl_line("40.00", "Grid", "250")

        assert one_bill(ubl_file(lines=lines), profile(usage=["Energy"])).usage == 250

    def test_another_services_unit_is_no_usage(self):
        bill = one_bill(ubl_file(lines=ubl_line(unit="MTQ")))

        assert (bill.usage, bill.items[0].unit) == (None, "m³")

    @pytest.mark.parametrize(
        ("code", "word"), [("MON", "month"), ("C62", ""), ("DAY", "day"), ("X9", "X9")]
    )
    def test_units_have_our_words(self, code, word):
        assert one_bill(ubl_file(lines=ubl_line(unit=code))).items[0].unit == word


class TestCreditsAndCorrections:
    def test_a_credit_note_is_a_negative_bill_of_its_own(self):
        bill = one_bill(ubl_file(root="CreditNote", code="381", due="", before=corrects("P-0")))

        assert (bill.kind, bill.bill_no, bill.version) == (RecordKind.BILL, "P-1", 1)
        assert bill.amount_fen == -11_900
        assert [item.amount_fen for item in bill.items] == [-10_000, -1_900]
        assert bill.usage is None

    def test_type_381_makes_an_invoice_a_credit_note(self):
        assert one_bill(ubl_file(code="381")).amount_fen == -11_900

    def test_a_credit_note_that_says_minus_twice_is_rejected(self):
        reject = one_reject(ubl_file(root="CreditNote", code="381", payable="-119.00"))

        assert "minus twice" in reject.reason

    def test_a_self_billed_invoice_is_owed_to_the_customer_it_calls_supplier(self):
        supplier = CUSTOMER.replace("Customer", "Supplier")

        bill = one_bill(ubl_file(code="389", customer=supplier))

        assert (bill.account_no, bill.amount_fen) == ("00001234", -11_900)

    @pytest.mark.parametrize("code", ["82", "326", "380", "386", "751", ""])
    def test_other_demands_are_bills(self, code):
        assert one_bill(ubl_file(code=code)).amount_fen == 11_900

    @pytest.mark.parametrize("code", ["325", "310", "261"])
    def test_what_is_no_demand_is_rejected(self, code):
        assert one_reject(ubl_file(code=code)).column == "InvoiceTypeCode"

    def test_a_corrected_invoice_is_the_next_version_of_the_bill_it_names(self):
        data = ubl_file(code="384", number="P-2", before=corrects("P-1"), payable="90.00")

        bill = one_bill(data)

        assert (bill.bill_no, bill.version, bill.amount_fen) == ("P-1", 2, 9_000)

    def test_a_second_correction_says_which_version_it_corrects(self):
        data = ubl_file(code="384", number="P-3", before=corrects("P-1", version="2"))

        assert one_bill(data).version == 3

    def test_a_correction_that_names_nothing_is_rejected(self):
        """Under a number of its own it would be asked for beside the bill it corrects."""
        reject = one_reject(ubl_file(code="384"))

        assert reject.column == "BillingReference/InvoiceDocumentReference"
        assert "381" in reject.reason

    def test_a_correction_of_two_bills_is_rejected(self):
        reject = one_reject(ubl_file(code="384", before=corrects("P-0") + corrects("P-1")))

        assert "names 2 invoices" in reject.reason

    def test_a_correction_lies_in_the_month_of_the_bill_it_corrects(self):
        """Issued a month later and without a period, it would be another bill."""
        late = "<cbc:IssueDate>2027-01-05</cbc:IssueDate>"
        changes = {"code": "384", "issued": late, "due": "", "period": ""}

        bill = one_bill(ubl_file(before=corrects("P-1"), **changes))
        reject = one_reject(ubl_file(before=corrects("P-1", issued=""), **changes))

        assert bill.billing_month == date(2026, 11, 1)
        assert reject.column == "BillingReference/InvoiceDocumentReference/IssueDate"
        assert "asked for twice" in reject.reason

    def test_a_negative_correction_is_a_credit_of_its_own(self):
        bill = one_bill(ubl_file(code="384", number="P-2", payable="-8.79"))

        assert (bill.bill_no, bill.amount_fen) == ("P-2", -879)

    def test_where_credits_cancel_the_bill_they_name_is_void(self):
        of = profile(corrections={"negative": "cancel"})

        bill = one_bill(ubl_file(root="CreditNote", code="381", before=corrects("P-0")), of)
        reject = one_reject(ubl_file(root="CreditNote", code="381"), of)

        assert (bill.kind, bill.bill_no) == (RecordKind.CANCEL, "P-0")
        assert "does not name" in reject.reason


class TestFiles:
    def test_many_documents_one_after_another_are_many_bills(self):
        data = file(ubl(number="P-1")) + b"\n" + file(ubl(number="P-2"))
        data += ubl(number="P-3").encode()

        rows = read(data)

        assert [row.bill_no for row in rows] == ["P-1", "P-2", "P-3"]
        lines = data.split(b"\n")
        for row in rows:
            assert b"<Invoice " in lines[row.line_no - 1]

    def test_documents_in_a_wrapper_are_many_bills(self):
        data = file("<Batch><Head>x</Head>", ubl(number="P-1"), ubl(number="P-2"), "</Batch>")

        assert [row.bill_no for row in read(data)] == ["P-1", "P-2"]

    def test_an_sbdh_envelope_is_opened(self):
        space = "http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader"
        head = f'<StandardBusinessDocument xmlns="{space}"><StandardBusinessDocumentHeader/>'

        assert one_bill(file(head, ubl(), "</StandardBusinessDocument>")).bill_no == "P-1"

    def test_one_bad_document_is_rejected_alone(self):
        data = file("<All>", ubl(number="P-1", payable="x"), ubl(number="P-2"), "</All>")

        first, second = read(data)

        assert isinstance(first, Reject)
        assert first.raw == "Invoice P-1"
        assert isinstance(second, BillRecord)

    def test_prefixes_are_the_senders_own(self):
        data = ubl_file().replace(b"cac:", b"a:").replace(b"cbc:", b"b:")
        data = data.replace(b"xmlns:cac", b"xmlns:a").replace(b"xmlns:cbc", b"xmlns:b")

        assert one_bill(data).amount_fen == 11_900

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "gb18030"])
    def test_the_encoding_is_the_one_declared(self, encoding):
        name = encoding.removesuffix("-sig")
        text = DECLARATION.replace("UTF-8", name) + ubl(
            customer=CUSTOMER.replace("Ada", "Zoë" if encoding == "iso-8859-1" else "张珅")
        )

        assert one_bill(text.encode(encoding)).holder_name.split()[0] in ("Zoë", "张珅")

    def test_a_file_cut_short_is_refused(self):
        data = file(ubl(number="P-1")) + file(ubl(number="P-2"))[:-20]

        with pytest.raises(BillFileError, match="broken"):
            read(data)

    def test_another_kind_of_document_is_refused_with_the_key_to_set(self):
        with pytest.raises(BillFileError, match='format = "cii"'):
            read(file("<CrossIndustryInvoice/>"))
