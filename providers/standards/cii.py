"""Invoices in UN/CEFACT CII: XRechnung, Factur-X, ZUGFeRD 1 and 2; alone or inside a PDF.

The namespaces of the three generations differ and so do some names; what stands in them does not.
Source: docs/standards.md, CII.
"""

from datetime import date
from decimal import Decimal
from typing import BinaryIO, Final

from core.errors import Invalid
from providers.formats.cells import date_reader
from providers.formats.rows import RowFault
from providers.standards.drafts import flat, last_of_month, read_decimal
from providers.standards.en16931 import SELF_BILLED, Invoice, Line, Reference, each_once
from providers.standards.invoice_reader import InvoiceReader
from providers.standards.pdf import xml_of
from providers.standards.xml_guard import Element, every, first, read_day, text

_UNCEFACT: Final = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice"
_ROOTS: Final = (
    f"{{{_UNCEFACT}:100}}CrossIndustryInvoice",
    "{urn:ferd:CrossIndustryDocument:invoice:1p0}CrossIndustryDocument",  # ZUGFeRD 1
    "{urn:un:unece:uncefact:data:standard:CBFBUY:5}Invoice",  # its release candidate
)
_PLACES: Final = {
    "bill_no": "ExchangedDocument/ID",
    "type_code": "ExchangedDocument/TypeCode",
    "currency": "InvoiceCurrencyCode",
    "issued": "ExchangedDocument/IssueDateTime",
    "due": "SpecifiedTradePaymentTerms/DueDateDateTime",
    "period_from": "BillingSpecifiedPeriod/StartDateTime",
    "period_to": "BillingSpecifiedPeriod/EndDateTime",
    "reference": "InvoiceReferencedDocument",
    "corrected_on": "InvoiceReferencedDocument/FormattedIssueDateTime",
    "amount": "DuePayableAmount",
    "items": "IncludedSupplyChainTradeLineItem",
    "account_no": "BuyerTradeParty",
    "holder_name": "BuyerTradeParty/Name",
    "address": "BuyerTradeParty/PostalTradeAddress",
}
# Where a company may write the customer's number, best first.
_IN_AGREEMENT: Final = (
    "{party}/ID", "{party}/GlobalID", "BuyerReference",
    "ContractReferencedDocument/IssuerAssignedID", "ContractReferencedDocument/ID",
    "AdditionalReferencedDocument/IssuerAssignedID",
    "AdditionalReferencedDocument/ID", "BuyerOrderReferencedDocument/IssuerAssignedID",
    "BuyerOrderReferencedDocument/ID",
)  # fmt: skip
_LAST_IN_PARTY: Final = (
    "SpecifiedLegalOrganization/ID", "URIUniversalCommunication/URIID",
    "SpecifiedTaxRegistration/ID",
)  # fmt: skip
_TOTALS: Final = (
    "SpecifiedTradeSettlementHeaderMonetarySummation",
    "SpecifiedTradeSettlementMonetarySummation",
)
_DAY_FORMATS: Final = ("102", "203", "204", "205", "304")  # all begin with yyyymmdd
_MONTH_FORMATS: Final = ("610",)
_NO_SUMS: Final = ("GROUP", "INFORMATION")  # lines whose amount others hold, or nobody owes

_day, _month = date_reader("yyyymmdd"), date_reader("yyyymm")


class CiiReader(InvoiceReader):
    """Reads a company's CII invoices."""

    roots = _ROOTS
    none_found = (
        "there is no CrossIndustryInvoice in it: check that this is the bill file;"
        ' Invoice and CreditNote of UBL are format = "ubl" in the profile'
    )

    def xml_of(self, stream: BinaryIO) -> BinaryIO:
        return xml_of(stream)

    def invoice_of(self, element: Element, line_no: int) -> Invoice:
        return read_invoice(element, line_no)

    def title_of(self, element: Element) -> str:
        name = text(element, "ExchangedDocument/ID", "HeaderExchangedDocument/ID")
        return f"CrossIndustryInvoice {name}"


def read_invoice(element: Element, line_no: int) -> Invoice:
    """Read one document.

    Raises:
        RowFault: a date or a number in it is none, or it is a test.
    """
    _refuse_test(element)
    head = first(element, "ExchangedDocument", "HeaderExchangedDocument")
    trade = first(element, "SupplyChainTradeTransaction", "SpecifiedSupplyChainTradeTransaction")
    agreement = _part(trade, "TradeAgreement")
    settlement = _part(trade, "TradeSettlement")
    totals = first(settlement, *_TOTALS)
    currency = flat(text(settlement, "InvoiceCurrencyCode"))
    lines = every(trade, "IncludedSupplyChainTradeLineItem")
    from_on, to_on = _period(settlement, lines)
    code = text(head, "TypeCode")
    party = "SellerTradeParty" if code in SELF_BILLED else "BuyerTradeParty"
    return Invoice(
        line_no=line_no,
        root="CrossIndustryInvoice",
        number=text(head, "ID"),
        type_code=code,
        currency=currency,
        issued_on=_date(first(head, "IssueDateTime"), "issued"),
        due_on=_due_on(settlement),
        period_from_on=from_on,
        period_to_on=to_on,
        references=_references(settlement),
        accounts=_accounts(trade, agreement, settlement, party),
        holder_name=_holder(first(agreement, party)),
        address=_address(first(agreement, f"{party}/PostalTradeAddress")),
        lines=[*map(_line, filter(_counts, lines)), *_extras(settlement)] if lines else [],
        tax_name=flat(text(settlement, "ApplicableTradeTax/TypeCode")),
        tax=_sum_in(totals, "TaxTotalAmount", currency),
        prepaid=_sum_in(totals, "TotalPrepaidAmount", currency),
        rounding=_sum_in(totals, "RoundingAmount", currency),
        payable=_payable(totals, currency),
        places=_PLACES,
    )


def _refuse_test(element: Element) -> None:
    context = first(element, "ExchangedDocumentContext", "SpecifiedExchangedDocumentContext")
    if text(context, "TestIndicator/Indicator", "TestIndicator").lower() in ("true", "1"):
        raise RowFault(
            "TestIndicator",
            "the document says it is a test, which is asked of nobody: have it sent without",
        )


def _part(trade: Element | None, name: str) -> Element | None:
    """Return one of the three parts of a transaction, as the two generations call it."""
    return first(trade, f"ApplicableHeader{name}", f"ApplicableSupplyChain{name}")


def _date(element: Element | None, role: str, *, end: bool = False) -> date | None:
    """Read a date in one of the forms of UN/EDIFACT 2379; a month is its first or last day."""
    found = first(element, "DateTimeString", "DateString", "DateTime", "Date", ".")
    if found is None:
        return None
    words, form = (found.text or "").strip(), found.get("format", "")
    if not words:
        return None
    try:
        if form in _MONTH_FORMATS:
            return last_of_month(_month(words)) if end else _month(words)
        if form in _DAY_FORMATS or (len(words) == len("20261101") and words.isdigit()):
            return _day(words[:8])
        return read_day(words)
    except Invalid as wrong:
        raise RowFault(_PLACES[role], wrong.message) from None


def _number(element: Element | None, path: str, role: str) -> Decimal | None:
    words = text(element, path)
    if not words:
        return None
    try:
        return read_decimal(words)
    except Invalid as wrong:
        raise RowFault(_PLACES.get(role, role), wrong.message) from None


def _sum_in(totals: Element | None, name: str, currency: str) -> Decimal | None:
    """Add up an amount's statements in the document's currency; some are in another beside it."""
    found = [
        _number(one, ".", name) or Decimal(0)
        for one in every(totals, name)
        if one.get("currencyID", currency) == currency
    ]
    return sum(found, Decimal(0)) if found else None


def _payable(totals: Element | None, currency: str) -> Decimal | None:
    """Return the amount due; where none is stated, the grand total less what is paid."""
    due = _number(totals, "DuePayableAmount", "amount")
    if due is not None:
        return due
    grand = _sum_in(totals, "GrandTotalAmount", currency)
    paid = _sum_in(totals, "TotalPrepaidAmount", currency)
    return None if grand is None else grand - (paid or Decimal(0))


def _due_on(settlement: Element | None) -> date | None:
    """Return the due date; of several, that of the last part."""
    terms = every(settlement, "SpecifiedTradePaymentTerms/DueDateDateTime")
    days = [day for one in terms if (day := _date(one, "due")) is not None]
    return max(days, default=None)


def _period(settlement: Element | None, lines: list[Element]) -> tuple[date | None, date | None]:
    """Return the period billed: the document's own, or what its lines span."""
    own = first(settlement, "BillingSpecifiedPeriod")
    from_on = _date(first(own, "StartDateTime"), "period_from")
    to_on = _date(first(own, "EndDateTime"), "period_to", end=True)
    if from_on or to_on:
        return from_on, to_on
    spans = [
        span
        for line in lines
        for part in ("SpecifiedLineTradeSettlement", "SpecifiedSupplyChainTradeSettlement")
        for span in every(line, f"{part}/BillingSpecifiedPeriod")
    ]
    try:
        return _span(spans)
    except RowFault:  # a line's dates are for reading: a wrong one does not cost the bill
        return None, None


def _span(spans: list[Element]) -> tuple[date | None, date | None]:
    starts = [_date(first(span, "StartDateTime"), "period_from") for span in spans]
    ends = [_date(first(span, "EndDateTime"), "period_to", end=True) for span in spans]
    return (
        min((day for day in starts if day is not None), default=None),
        max((day for day in ends if day is not None), default=None),
    )


def _references(settlement: Element | None) -> list[Reference]:
    found = []
    for one in every(settlement, "InvoiceReferencedDocument"):
        number = text(one, "IssuerAssignedID", "ID")
        dated = first(one, "FormattedIssueDateTime", "IssueDateTime")
        version = text(one, "RevisionID", "VersionID")
        known = int(version) if version.isascii() and version.isdigit() else 1
        if number:
            found.append(Reference(number, _date(dated, "corrected_on"), min(known, 99)))
    return found


def _accounts(
    trade: Element | None, agreement: Element | None, settlement: Element | None, party: str
) -> list[tuple[str, str]]:
    """Return every number that may be the customer's, best first, each once."""
    found = [
        (text(one, "IssuerAssignedID", "ID"), "AdditionalReferencedDocument (130)")
        for one in every(agreement, "AdditionalReferencedDocument")
        if text(one, "TypeCode") == "130"
    ]
    booked = "ReceivableSpecifiedTradeAccountingAccount/ID"
    found += [((one.text or "").strip(), booked) for one in every(settlement, booked)]
    for path in (name.format(party=party) for name in _IN_AGREEMENT):
        found += [((one.text or "").strip(), path) for one in every(agreement, path)]
    delivery = _part(trade, "TradeDelivery")
    found.append((text(delivery, "ShipToTradeParty/ID"), "ShipToTradeParty/ID"))
    found.append((text(settlement, "PaymentReference"), "PaymentReference"))
    for name in _LAST_IN_PARTY:
        found += [
            ((one.text or "").strip(), f"{party}/{name}")
            for one in every(agreement, f"{party}/{name}")
        ]
    return each_once(found)


def _holder(party: Element | None) -> str:
    return flat(
        text(
            party,
            "Name",
            "SpecifiedLegalOrganization/TradingBusinessName",
            "DefinedTradeContact/PersonName",
        )
    )


def _address(where: Element | None) -> str:
    city = f"{text(where, 'PostcodeCode')} {text(where, 'CityName')}"
    names = ("StreetName", "LineOne", "LineTwo", "LineThree")
    parts = (*(text(where, name) for name in names), city, text(where, "CountrySubDivisionName"))
    return ", ".join(part for one in parts if (part := flat(one)))


def _counts(line: Element) -> bool:
    """Tell whether a line's amount is its own: a group's is that of the lines below it."""
    reason = text(line, "AssociatedDocumentLineDocument/LineStatusReasonCode")
    return reason not in _NO_SUMS


def _line(line: Element) -> Line:
    delivery = first(line, "SpecifiedLineTradeDelivery", "SpecifiedSupplyChainTradeDelivery")
    settlement = first(line, "SpecifiedLineTradeSettlement", "SpecifiedSupplyChainTradeSettlement")
    quantity = first(delivery, "BilledQuantity")
    totals = first(
        settlement,
        "SpecifiedTradeSettlementLineMonetarySummation",
        "SpecifiedTradeSettlementMonetarySummation",
    )
    name = text(
        line,
        "SpecifiedTradeProduct/Name",
        "SpecifiedTradeProduct/Description",
        "AssociatedDocumentLineDocument/IncludedNote/Content",
        "AssociatedDocumentLineDocument/LineID",
    )
    return Line(
        flat(name),
        _number(totals, "LineTotalAmount", "items") or Decimal(0),
        None if quantity is None else _number(quantity, ".", "BilledQuantity"),
        "" if quantity is None else flat(quantity.get("unitCode")),
    )


def _extras(settlement: Element | None) -> list[Line]:
    """Return what is taken off or put on the whole document."""
    found = []
    for extra in every(settlement, "SpecifiedTradeAllowanceCharge"):
        amount = _number(extra, "ActualAmount", "items") or Decimal(0)
        sign = text(extra, "ChargeIndicator/Indicator", "ChargeIndicator")
        is_charge = sign in ("true", "1")
        name = flat(text(extra, "Reason")) or ("Charge" if is_charge else "Discount")
        found.append(Line(name, amount if is_charge else -amount))
    for charge in every(settlement, "SpecifiedLogisticsServiceCharge"):
        amount = _number(charge, "AppliedAmount", "items") or Decimal(0)
        found.append(Line(flat(text(charge, "Description")) or "Charge", amount))
    return found
