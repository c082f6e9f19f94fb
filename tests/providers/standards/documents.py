"""Invoices made by the standards' own pages (docs/standards.md), never by our readers.

Everybody in them is invented. An argument is a piece of XML, so that a test can put anything
anywhere; what it leaves alone is an ordinary bill for electricity.
"""

import io
from typing import Any, Final

from pypdf import PdfWriter

from providers.base import BillRecord, Heading, Reject
from providers.profiles import Profile
from providers.registry import reader_from

CAC: Final = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC: Final = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
UBL: Final = "urn:oasis:names:specification:ubl:schema:xsd:{root}-2"
RAM: Final = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:{}"
UDT: Final = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:{}"
CII: Final = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
ZUGFERD_1: Final = "urn:ferd:CrossIndustryDocument:invoice:1p0"
DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


def profile(form: str = "ubl", **changes: Any) -> Profile:
    """Return the profile of a company whose customers' numbers are eight digits."""
    tables: dict[str, Any] = {
        "code": "spring_town", "name": "春镇供电", "name_en": "Spring Town Power",
        "service": "power", "phone": "000-0000-0107", "biller_no": "9107", "currency": "EUR",
        "file": {"format": form}, "account_no": {"pattern": "[0-9]{8}", "words": "8 digits"},
    }  # fmt: skip
    return Profile.model_validate(tables | changes)


def read(data: bytes, of: Profile | None = None) -> list[Heading | BillRecord | Reject]:
    return list(reader_from(of or profile()).read(io.BytesIO(data)))


def one_bill(data: bytes, of: Profile | None = None) -> BillRecord:
    [row] = read(data, of)
    assert isinstance(row, BillRecord), row
    return row


def one_reject(data: bytes, of: Profile | None = None) -> Reject:
    [row] = read(data, of)
    assert isinstance(row, Reject), row
    return row


CUSTOMER: Final = """<cac:AccountingCustomerParty><cac:Party>
  <cac:PartyIdentification><cbc:ID>00001234</cbc:ID></cac:PartyIdentification>
  <cac:PartyName><cbc:Name>Ada
    Beispiel</cbc:Name></cac:PartyName>
  <cac:PostalAddress><cbc:StreetName>Musterweg</cbc:StreetName>
    <cbc:BuildingNumber>7</cbc:BuildingNumber><cbc:CityName>Musterstadt</cbc:CityName>
    <cbc:PostalZone>01234</cbc:PostalZone></cac:PostalAddress>
</cac:Party></cac:AccountingCustomerParty>"""
PERIOD: Final = (
    "<cac:InvoicePeriod><cbc:StartDate>2026-10-01</cbc:StartDate>"
    "<cbc:EndDate>2026-10-31</cbc:EndDate></cac:InvoicePeriod>"
)


def ubl_line(
    amount: str = "100.00",
    name: str = "Energy",
    quantity: str = "250",
    unit: str = "KWH",
    root: str = "Invoice",
    more: str = "",
) -> str:
    counted = {"Invoice": "InvoicedQuantity", "CreditNote": "CreditedQuantity"}[root]
    return (
        f"<cac:{root}Line><cbc:ID>1</cbc:ID>"
        f'<cbc:{counted} unitCode="{unit}">{quantity}</cbc:{counted}>'
        f'<cbc:LineExtensionAmount currencyID="EUR">{amount}</cbc:LineExtensionAmount>{more}'
        f"<cac:Item><cbc:Name>{name}</cbc:Name></cac:Item></cac:{root}Line>"
    )


def ubl(
    *,
    root: str = "Invoice",
    number: str = "P-1",
    issued: str = "<cbc:IssueDate>2026-11-01</cbc:IssueDate>",
    due: str = "<cbc:DueDate>2026-11-20</cbc:DueDate>",
    code: str = "380",
    before: str = "",
    period: str = PERIOD,
    customer: str = CUSTOMER,
    after: str = "",
    tax: str = "19.00",
    totals: str = "",
    payable: str = "119.00",
    currency: str = "EUR",
    lines: str | None = None,
) -> str:
    """Return one document without a declaration."""
    typed = f"<cbc:{root}TypeCode>{code}</cbc:{root}TypeCode>" if code else ""
    return f"""<{root} xmlns="{UBL.format(root=root)}" xmlns:cac="{CAC}" xmlns:cbc="{CBC}">
{before}<cbc:ID>{number}</cbc:ID>{issued}{due}{typed}
<cbc:DocumentCurrencyCode>{currency}</cbc:DocumentCurrencyCode>{period}{customer}{after}
<cac:TaxTotal><cbc:TaxAmount currencyID="{currency}">{tax}</cbc:TaxAmount>
  <cac:TaxSubtotal><cac:TaxCategory><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>
  </cac:TaxCategory></cac:TaxSubtotal></cac:TaxTotal>
<cac:LegalMonetaryTotal>{totals}
  <cbc:PayableAmount currencyID="{currency}">{payable}</cbc:PayableAmount>
</cac:LegalMonetaryTotal>{ubl_line(root=root) if lines is None else lines}</{root}>"""


def file(*documents: str) -> bytes:
    return (DECLARATION + "".join(documents)).encode()


def ubl_file(**changes: str | None) -> bytes:
    return file(ubl(**changes))  # type: ignore[arg-type]


def stamp(day: str, form: str = "102") -> str:
    return f'<udt:DateTimeString format="{form}">{day}</udt:DateTimeString>'


BUYER: Final = """<ram:BuyerTradeParty><ram:ID>00001234</ram:ID><ram:Name>Ada Beispiel</ram:Name>
<ram:PostalTradeAddress><ram:PostcodeCode>01234</ram:PostcodeCode>
<ram:LineOne>Musterweg 7</ram:LineOne><ram:CityName>Musterstadt</ram:CityName>
</ram:PostalTradeAddress></ram:BuyerTradeParty>"""


def cii_line(
    amount: str = "100.00",
    name: str = "Energy",
    quantity: str = "250",
    unit: str = "KWH",
    head: str = "",
    old: bool = False,
) -> str:
    kind = "SupplyChain" if old else "Line"
    totals = f"SpecifiedTradeSettlement{'' if old else 'Line'}MonetarySummation"
    return f"""<ram:IncludedSupplyChainTradeLineItem>
<ram:AssociatedDocumentLineDocument><ram:LineID>1</ram:LineID>{head}
</ram:AssociatedDocumentLineDocument>
<ram:SpecifiedTradeProduct><ram:Name>{name}</ram:Name></ram:SpecifiedTradeProduct>
<ram:Specified{kind}TradeDelivery><ram:BilledQuantity unitCode="{unit}">{quantity}
</ram:BilledQuantity></ram:Specified{kind}TradeDelivery>
<ram:Specified{kind}TradeSettlement><ram:{totals}>
<ram:LineTotalAmount>{amount}</ram:LineTotalAmount></ram:{totals}>
</ram:Specified{kind}TradeSettlement></ram:IncludedSupplyChainTradeLineItem>"""


def cii(
    *,
    number: str = "P-1",
    issued: str = stamp("20261101"),
    due: str = stamp("20261120"),
    code: str = "380",
    period: str | None = None,
    buyer: str = BUYER,
    agreement: str = "",
    settlement: str = "",
    totals: str = '<ram:TaxTotalAmount currencyID="EUR">19.00</ram:TaxTotalAmount>',
    payable: str = "<ram:DuePayableAmount>119.00</ram:DuePayableAmount>",
    lines: str | None = None,
    old: bool = False,
) -> str:
    """Return one document; ``old`` is ZUGFeRD 1, whose elements have other names."""
    head = "HeaderExchangedDocument" if old else "ExchangedDocument"
    trade = f"{'Specified' if old else ''}SupplyChainTradeTransaction"
    part = "ApplicableSupplyChain" if old else "ApplicableHeader"
    sums = f"SpecifiedTradeSettlement{'' if old else 'Header'}MonetarySummation"
    root = "CrossIndustryDocument" if old else "CrossIndustryInvoice"
    space = ZUGFERD_1 if old else CII
    release = ("12", "15") if old else ("100", "100")
    if period is None:
        period = (
            "<ram:BillingSpecifiedPeriod>"
            f"<ram:StartDateTime>{stamp('20261001')}</ram:StartDateTime>"
            f"<ram:EndDateTime>{stamp('20261031')}</ram:EndDateTime></ram:BillingSpecifiedPeriod>"
        )
    items = cii_line(old=old) if lines is None else lines
    spaces = f'xmlns:ram="{RAM.format(release[0])}" xmlns:udt="{UDT.format(release[1])}"'
    return f"""<rsm:{root} xmlns:rsm="{space}" {spaces}>
<rsm:{head}><ram:ID>{number}</ram:ID><ram:TypeCode>{code}</ram:TypeCode>
<ram:IssueDateTime>{issued}</ram:IssueDateTime></rsm:{head}>
<rsm:{trade}>{"" if old else items}
<ram:{part}TradeAgreement>{buyer}{agreement}</ram:{part}TradeAgreement>
<ram:{part}TradeSettlement><ram:InvoiceCurrencyCode>EUR</ram:InvoiceCurrencyCode>
<ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode></ram:ApplicableTradeTax>
{period}{settlement}<ram:SpecifiedTradePaymentTerms>
<ram:DueDateDateTime>{due}</ram:DueDateDateTime></ram:SpecifiedTradePaymentTerms>
<ram:{sums}>{totals}{payable}</ram:{sums}></ram:{part}TradeSettlement>{items if old else ""}
</rsm:{trade}></rsm:{root}>"""


def cii_file(**changes: Any) -> bytes:
    return file(cii(**changes))


def pdf(xml: bytes, name: str = "factur-x.xml", password: str | None = None) -> bytes:
    """Return a PDF that carries a file."""
    writer = PdfWriter()
    writer.add_blank_page(width=595, height=842)
    writer.add_attachment(name, xml)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()
