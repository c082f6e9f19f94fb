"""Invoices and credit notes in OASIS UBL 2: PEPPOL BIS Billing 3, XRechnung, EHF, SEeF.

One file holds one document, or many: in a wrapper, in an SBDH envelope, one after another. Source:
docs/standards.md, UBL.
"""

from datetime import date
from decimal import Decimal
from typing import Final

from core.errors import Invalid
from providers.formats.rows import RowFault
from providers.standards.drafts import flat, read_decimal
from providers.standards.en16931 import SELF_BILLED, Invoice, Line, Reference, each_once
from providers.standards.invoice_reader import InvoiceReader
from providers.standards.xml_guard import Element, every, first, read_day, text

_SPACE: Final = "urn:oasis:names:specification:ubl:schema:xsd:"
_INVOICE, _CREDIT_NOTE = f"{{{_SPACE}Invoice-2}}Invoice", f"{{{_SPACE}CreditNote-2}}CreditNote"
# They speak of money as well, and beside invoices none may go by without a word.
_OTHERS: Final = tuple(
    f"{{{_SPACE}{name}-2}}{name}"
    for name in (
        "DebitNote", "SelfBilledInvoice", "SelfBilledCreditNote", "FreightInvoice", "Reminder"
    )
)  # fmt: skip
_PLACES: Final = {
    "bill_no": "ID",
    "type_code": "InvoiceTypeCode",
    "currency": "DocumentCurrencyCode",
    "issued": "IssueDate",
    "due": "DueDate",
    "period_from": "InvoicePeriod/StartDate",
    "period_to": "InvoicePeriod/EndDate",
    "reference": "BillingReference/InvoiceDocumentReference",
    "corrected_on": "BillingReference/InvoiceDocumentReference/IssueDate",
    "amount": "LegalMonetaryTotal/PayableAmount",
    "items": "InvoiceLine",
    "account_no": "AccountingCustomerParty",
    "holder_name": "AccountingCustomerParty/Party/PartyName/Name",
    "address": "AccountingCustomerParty/Party/PostalAddress",
}
# Where a company may write the customer's number, best first. EN 16931's BT-18, the thing that is
# billed for, is told by the type code 130.
_ACCOUNTS: Final = (
    "{party}/SupplierAssignedAccountID",
    "{party}/CustomerAssignedAccountID",
    "{party}/AdditionalAccountID",
    "BuyerCustomerParty/SupplierAssignedAccountID",
    "{party}/Party/PartyIdentification/ID",
    "AccountingCostCode",
    "AccountingCost",
    "BuyerReference",
    "ContractDocumentReference/ID",
    "AdditionalDocumentReference/ID",
    "Delivery/DeliveryLocation/ID",
    "OrderReference/ID",
    "PaymentMeans/PaymentID",
    "PaymentMeans/InstructionID",
    "{party}/Party/PartyLegalEntity/CompanyID",
    "{party}/Party/PostalAddress/ID",
    "{party}/Party/EndpointID",
    "{party}/Party/PartyTaxScheme/CompanyID",
)
_DUE: Final = (
    "DueDate",
    "PaymentTerms/PaymentDueDate",
    "PaymentMeans/PaymentDueDate",
    "PaymentTerms/InstallmentDueDate",
)


class UblReader(InvoiceReader):
    """Reads a company's UBL invoices and credit notes."""

    roots = (_INVOICE, _CREDIT_NOTE, *_OTHERS)
    none_found = (
        "there is no Invoice or CreditNote of UBL 2 in it: check that this is the bill"
        ' file; CrossIndustryInvoice is format = "cii" in the profile'
    )

    def invoice_of(self, element: Element, line_no: int) -> Invoice:
        if element.tag in _OTHERS:
            raise RowFault(
                _root(element),
                f"a {_root(element)} is not read: send an Invoice of what is owed or a CreditNote"
                " of what is given back",
            )
        return read_invoice(element, line_no)

    def title_of(self, element: Element) -> str:
        return f"{_root(element)} {text(element, 'ID')}"


def read_invoice(element: Element, line_no: int) -> Invoice:
    """Read one ``Invoice`` or ``CreditNote``.

    Raises:
        RowFault: a date or a number in it is none.
    """
    totals = first(element, "LegalMonetaryTotal")
    currency = _currency(element, totals)
    from_on, to_on = _period(element)
    code = text(element, "InvoiceTypeCode", "CreditNoteTypeCode")
    party = "AccountingSupplierParty" if code in SELF_BILLED else "AccountingCustomerParty"
    return Invoice(
        line_no=line_no,
        root=_root(element),
        is_credit_note=element.tag == _CREDIT_NOTE,
        number=text(element, "ID"),
        type_code=code,
        currency=currency,
        issued_on=_day(element, "IssueDate"),
        due_on=_due_on(element),
        period_from_on=from_on,
        period_to_on=to_on,
        references=_references(element),
        accounts=_accounts(element, party),
        holder_name=_holder(first(element, f"{party}/Party")),
        address=_address(element, party),
        lines=_lines(element),
        tax_name=flat(text(element, "TaxTotal/TaxSubtotal/TaxCategory/TaxScheme/ID")),
        tax=_tax(element, currency),
        prepaid=_number(totals, "PrepaidAmount"),
        rounding=_number(totals, "PayableRoundingAmount"),
        payable=_number(totals, "PayableAmount", place=_PLACES["amount"]),
        places=_PLACES,
    )


def _root(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _day(element: Element, path: str, *, place: str | None = None) -> date | None:
    try:
        return read_day(text(element, path))
    except Invalid as wrong:
        raise RowFault(place or path, wrong.message) from None


def _number(element: Element | None, path: str, *, place: str | None = None) -> Decimal | None:
    """Read the number at a path; None where there is nothing there."""
    words = text(element, path)
    if not words:
        return None
    try:
        return read_decimal(words)
    except Invalid as wrong:
        raise RowFault(place or path, wrong.message) from None


def _currency(element: Element, totals: Element | None) -> str:
    """Return what the amount due is in: its own word goes before the document's."""
    payable = first(totals, "PayableAmount")
    own = "" if payable is None else payable.get("currencyID", "")
    return flat(own or text(element, "DocumentCurrencyCode"))


def _due_on(element: Element) -> date | None:
    """Return the due date; of several, that of the last part."""
    for path in _DUE:
        days = [_day(one, ".", place=path) for one in every(element, path)]
        known = [day for day in days if day is not None]
        if known:
            return max(known)
    return None


def _period(element: Element) -> tuple[date | None, date | None]:
    """Return the period billed: the document's own, or what its lines span."""
    own = first(element, "InvoicePeriod")
    if own is not None:
        from_on, to_on = (
            _day(element, "InvoicePeriod/StartDate"), _day(element, "InvoicePeriod/EndDate")
        )  # fmt: skip
        if from_on or to_on:
            return from_on, to_on
    spans = [span for line in _line_elements(element) for span in every(line, "InvoicePeriod")]
    try:
        starts = [day for span in spans if (day := _day(span, "StartDate")) is not None]
        ends = [day for span in spans if (day := _day(span, "EndDate")) is not None]
    except RowFault:  # a line's dates are for reading: a wrong one does not cost the bill
        return None, None
    return min(starts, default=None), max(ends, default=None)


def _references(element: Element) -> list[Reference]:
    found = []
    for path in ("InvoiceDocumentReference", "CreditNoteDocumentReference"):
        for one in every(element, f"BillingReference/{path}"):
            version = text(one, "VersionID")
            known = int(version) if version.isascii() and version.isdigit() else 1
            if text(one, "ID"):
                found.append(Reference(text(one, "ID"), _day(one, "IssueDate"), min(known, 99)))
    return found


def _accounts(element: Element, party: str) -> list[tuple[str, str]]:
    """Return every number that may be the customer's, best first, each once."""
    extension = first(element, "UBLExtensions")
    metered = [] if extension is None else extension.iter("{*}UtilityConsumptionPoint")
    found = [(text(point, "ID"), "UtilityConsumptionPoint/ID") for point in metered]
    billed_for = [
        (text(one, "ID"), "AdditionalDocumentReference/ID (130)")
        for one in every(element, "AdditionalDocumentReference")
        if text(one, "DocumentTypeCode") == "130"
    ]
    found += billed_for
    found += [
        ((one.text or "").strip(), path)
        for path in (name.format(party=party) for name in _ACCOUNTS)
        for one in every(element, path)
    ]
    found += [
        (text(one, "ID"), "InvoiceLine/DocumentReference/ID")
        for line in _line_elements(element)
        for one in every(line, "DocumentReference")
    ]
    return each_once(found)


def _holder(party: Element | None) -> str:
    name = text(party, "PartyName/Name", "PartyLegalEntity/RegistrationName")
    if not name:
        person = first(party, "Person")
        name = f"{text(person, 'FirstName')} {text(person, 'FamilyName')}"
    return flat(name) or flat(text(party, "Contact/Name"))


def _address(element: Element, party: str) -> str:
    """Return the customer's address in one line, or that of the delivery."""
    where = first(element, f"{party}/Party/PostalAddress")
    if where is None:
        where = first(element, "Delivery/DeliveryLocation/Address")
    street = f"{text(where, 'StreetName')} {text(where, 'BuildingNumber')}"
    lines = [one.text or "" for one in every(where, "AddressLine/Line")]
    city = f"{text(where, 'PostalZone')} {text(where, 'CityName')}"
    parts = (street, text(where, "AdditionalStreetName"), *lines, city,
             text(where, "CountrySubentity"))  # fmt: skip
    return ", ".join(part for one in parts if (part := flat(one)))


def _line_elements(element: Element) -> list[Element]:
    return every(element, "InvoiceLine") + every(element, "CreditNoteLine")


def _lines(element: Element) -> list[Line]:
    """Return the lines and what is taken off or put on the whole document."""
    found = []
    for line in _line_elements(element):
        quantity = first(line, "InvoicedQuantity", "CreditedQuantity")
        found.append(
            Line(
                flat(text(line, "Item/Name", "Item/Description", "Note", "ID")),
                _number(line, "LineExtensionAmount") or Decimal(0),
                None if quantity is None else _number(quantity, ".", place="InvoicedQuantity"),
                "" if quantity is None else flat(quantity.get("unitCode")),
            )
        )
    for extra in every(element, "AllowanceCharge"):
        amount = _number(extra, "Amount") or Decimal(0)
        is_charge = text(extra, "ChargeIndicator") in ("true", "1")
        name = flat(text(extra, "AllowanceChargeReason")) or ("Charge" if is_charge else "Discount")
        found.append(Line(name, amount if is_charge else -amount))
    return found


def _tax(element: Element, currency: str) -> Decimal | None:
    """Return the tax in the document's currency; it may be stated in another one beside it.

    A total without subtotals says again, for the books, what the others say.
    """
    stated = [
        amount
        for amount in every(element, "TaxTotal/TaxAmount")
        if amount.get("currencyID", currency) == currency
    ]
    broken_down = [amount for amount in stated if every(amount.getparent(), "TaxSubtotal")]
    amounts = [
        _number(amount, ".", place="TaxTotal/TaxAmount") or Decimal(0)
        for amount in broken_down or stated
    ]
    return sum(amounts, Decimal(0)) if amounts else None
