"""A file of payments as our bank takes it: ISO 20022 pain.001.001.09, or CSV.

Both say the same bytes however often they are written: all of it is in the rows.
Source: docs/remitting.md.
"""

import csv
import io
import unicodedata
from collections.abc import Sequence
from typing import Any

from lxml import etree

from core.clock import BILLING_ZONE
from core.money import yuan_text
from payments.remittance.models import RemittanceFile, RemittancePayment

_PAIN_001 = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_NAMESPACE: Any = {None: _PAIN_001}  # the one without a prefix
_CNAPS_DIGITS = 12
COLUMNS = (
    "end_to_end_id", "amount_yuan", "currency", "account_name", "account_no", "bank_code",
    "pays_on", "purpose",
)  # fmt: skip


def write_pain_001(file: RemittanceFile, payments: Sequence[RemittancePayment]) -> bytes:
    """Write a file as pain.001.001.09.

    Each payment is booked for itself, so that the bank's statement names it by its own number.
    """
    root = etree.Element(f"{{{_PAIN_001}}}Document", nsmap=_NAMESPACE)
    whole = _add(root, "CstmrCdtTrfInitn")
    head = _add(whole, "GrpHdr")
    _add(head, "MsgId", file.number)
    _add(head, "CreDtTm", file.made_at.astimezone(BILLING_ZONE).isoformat(timespec="seconds"))
    _add_totals(head, payments)
    _add(_add(head, "InitgPty"), "Nm", _name(file.debtor_name))
    info = _add(whole, "PmtInf")
    _add(info, "PmtInfId", file.number)
    _add(info, "PmtMtd", "TRF")
    _add(info, "BtchBookg", "false")
    _add_totals(info, payments)
    _add(_add(info, "ReqdExctnDt"), "Dt", file.pays_on.isoformat())
    _add(_add(info, "Dbtr"), "Nm", _name(file.debtor_name))
    ours = _add(info, "DbtrAcct")
    _add_account(ours, file.debtor_account)
    _add(ours, "Ccy", "CNY")
    _add_bank(_add(info, "DbtrAgt"), file.debtor_bank)
    for payment in payments:
        _add_payment(info, payment)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add(parent: etree._Element, name: str, value: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{_PAIN_001}}}{name}")
    child.text = value
    return child


def _add_totals(parent: etree._Element, payments: Sequence[RemittancePayment]) -> None:
    _add(parent, "NbOfTxs", str(len(payments)))
    _add(parent, "CtrlSum", yuan_text(sum(one.amount_fen for one in payments)))


def _add_account(parent: etree._Element, account_no: str) -> None:
    _add(_add(_add(parent, "Id"), "Othr"), "Id", account_no)


def _add_bank(parent: etree._Element, bank_code: str) -> None:
    bank = _add(parent, "FinInstnId")
    if len(bank_code) == _CNAPS_DIGITS:  # a BIC has eight or eleven characters
        member = _add(bank, "ClrSysMmbId")
        _add(_add(member, "ClrSysId"), "Cd", "CNAPS")
        _add(member, "MmbId", bank_code)
    else:
        _add(bank, "BICFI", bank_code)


def _add_payment(info: etree._Element, payment: RemittancePayment) -> None:
    one = _add(info, "CdtTrfTxInf")
    named = _add(one, "PmtId")
    _add(named, "InstrId", payment.end_to_end_id)
    _add(named, "EndToEndId", payment.end_to_end_id)
    _add(_add(one, "Amt"), "InstdAmt", yuan_text(payment.amount_fen)).set("Ccy", "CNY")
    _add_bank(_add(one, "CdtrAgt"), payment.bank_code)
    _add(_add(one, "Cdtr"), "Nm", _name(payment.account_name))
    _add_account(_add(one, "CdtrAcct"), payment.account_no)
    _add(_add(one, "RmtInf"), "Ustrd", purpose(payment))


def purpose(payment: RemittancePayment) -> str:
    """Return what the company reads beside the money: the advice has the same number."""
    return f"公用事业代收款划拨 {payment.end_to_end_id}"


def _name(name: str) -> str:
    """Return a name as XML and a bank can hold it: no control characters, one blank for many."""
    plain = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in name)
    return " ".join(plain.split())[:140]


def write_csv(file: RemittanceFile, payments: Sequence[RemittancePayment]) -> bytes:
    """Write a file as CSV: a head, a line a payment, and a last line with their number and sum."""
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(COLUMNS)
    lines.writerows(
        (
            one.end_to_end_id, yuan_text(one.amount_fen), "CNY", _name(one.account_name),
            one.account_no, one.bank_code, file.pays_on.isoformat(), purpose(one),
        )
        for one in payments
    )  # fmt: skip
    total_fen = sum(one.amount_fen for one in payments)
    lines.writerow((f"#TOTAL {len(payments)}", yuan_text(total_fen), "CNY", file.number))
    return out.getvalue().encode("utf-8-sig")
