"""The files of batch collection, in the bank's fixed layout and in ISO 20022.

Source: docs/wire/bank-debit.md.
"""

import codecs
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from lxml import etree

from core.clock import BILLING_ZONE
from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan, yuan_text
from payments.gateways.collecting import Batch, Debit, Return, ReturnFile

_WIDTH = 100
_PAIN_008 = "urn:iso:std:iso:20022:tech:xsd:pain.008.001.08"
_PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001."  # and the version
_NAMESPACE: Any = {None: _PAIN_008}  # the one without a prefix
ENDS_MANDATE = frozenset({"AC04", "MD01", "MD07"})


class Creditor(NamedTuple):
    """Who collects: our number at the bank, and the account it collects to."""

    number: str
    account: str
    name: str = "CityBill"


def write_fixed(batch: Batch, creditor: Creditor) -> bytes:
    """Write a batch in the bank's own layout.

    Raises:
        Invalid: a text that is too long for its columns, or not ASCII.
    """
    written = batch.written_at.astimezone(BILLING_ZONE)
    lines = [
        f"H{_text(creditor.number, 16)}{_text(batch.batch_no, 16)}{batch.collect_on:%Y%m%d}"
        f"{written:%Y%m%d%H%M%S}"
    ]
    lines += [
        f"D{at:08d}{_text(debit.order_no, 32)}{_text(debit.debtor_ref, 35)}{debit.amount_fen:015d}"
        for at, debit in enumerate(batch.debits, start=1)
    ]
    lines.append(f"T{len(batch.debits):08d}{batch.total_fen:018d}")
    return "".join(f"{line:<{_WIDTH}}\r\n" for line in lines).encode("ascii")


def _text(value: str, width: int) -> str:
    if len(value) > width or not (value.isascii() and value.isprintable()):
        raise Invalid(
            f"{value[:8]!r}… does not fit the bank's {width} characters of plain ASCII",
            code="bank_file.text",
        )
    return f"{value:<{width}}"


def write_pain_008(batch: Batch, creditor: Creditor) -> bytes:
    """Write a batch as pain.008.001.08."""
    root = etree.Element(f"{{{_PAIN_008}}}Document", nsmap=_NAMESPACE)
    whole = _add(root, "CstmrDrctDbtInitn")
    head = _add(whole, "GrpHdr")
    _add(head, "MsgId", batch.batch_no)
    _add(head, "CreDtTm", batch.written_at.astimezone(BILLING_ZONE).isoformat(timespec="seconds"))
    _add_totals(head, batch)
    _add(_add(head, "InitgPty"), "Nm", creditor.name)
    info = _add(whole, "PmtInf")
    _add(info, "PmtInfId", batch.batch_no)
    _add(info, "PmtMtd", "DD")
    _add_totals(info, batch)
    _add(info, "ReqdColltnDt", batch.collect_on.isoformat())
    _add(_add(info, "Cdtr"), "Nm", creditor.name)
    _add_other(_add(_add(info, "CdtrAcct"), "Id"), creditor.account)
    _add_other(_add(_add(info, "CdtrAgt"), "FinInstnId"), "NOTPROVIDED")
    scheme = _add(_add(_add(info, "CdtrSchmeId"), "Id"), "PrvtId")
    _add_other(scheme, creditor.number)
    for debit in batch.debits:
        _add_debit(info, debit)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _add(parent: etree._Element, name: str, value: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{_PAIN_008}}}{name}")
    child.text = value
    return child


def _add_other(parent: etree._Element, number: str) -> None:
    _add(_add(parent, "Othr"), "Id", number)


def _add_totals(parent: etree._Element, batch: Batch) -> None:
    _add(parent, "NbOfTxs", str(len(batch.debits)))
    _add(parent, "CtrlSum", yuan_text(batch.total_fen))


def _add_debit(info: etree._Element, debit: Debit) -> None:
    one = _add(info, "DrctDbtTxInf")
    _add(_add(one, "PmtId"), "EndToEndId", debit.order_no)
    _add(one, "InstdAmt", yuan_text(debit.amount_fen)).set("Ccy", "CNY")
    _add(_add(_add(one, "DrctDbtTx"), "MndtRltdInf"), "MndtId", debit.debtor_ref)
    _add_other(_add(_add(one, "DbtrAgt"), "FinInstnId"), "NOTPROVIDED")
    _add(_add(one, "Dbtr"), "Nm", "NOTPROVIDED")  # the bank knows whose mandate it is; we need not
    _add_other(_add(_add(one, "DbtrAcct"), "Id"), debit.debtor_ref)


def read_returns(content: bytes, creditor: Creditor) -> ReturnFile:
    """Read a file of returns in either layout.

    Raises:
        SettlementFileError: malformed, another creditor's, or its totals do not add up.
    """
    is_xml = content.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"<"
    return _read_pain_002(content) if is_xml else _read_fixed(content, creditor)


def _read_fixed(content: bytes, creditor: Creditor) -> ReturnFile:
    lines = _fixed_lines(content)
    head, *middle, last = lines
    if head[0] != "R" or head[1:17].rstrip() != creditor.number:
        raise SettlementFileError(
            f"the first line must begin with R and our number {creditor.number}: is it ours?",
            line_no=1,
        )
    returns = tuple(_read_line(line, at) for at, line in enumerate(middle, start=1))
    _check_trailer(last, returns, line_no=len(lines))
    return ReturnFile(head[17:33].rstrip(), returns)


def _fixed_lines(content: bytes) -> list[str]:
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("ascii")
    except UnicodeDecodeError as wrong:
        raise SettlementFileError(f"not ASCII: byte {wrong.start} is not") from wrong
    lines = text.rstrip("\r\n\x1a").replace("\r\n", "\n").split("\n")
    # Blanks at the end of a line are lost on many ways; what is in front of them is not.
    lines = [line.ljust(_WIDTH) for line in lines]
    for at, line in enumerate(lines, start=1):
        if len(line) != _WIDTH or not line.isprintable():
            raise SettlementFileError(
                f"the line has {len(line)} characters and must have {_WIDTH}: was the file sent as"
                " text?",
                line_no=at,
            )
    if len(lines) < 2:
        raise SettlementFileError("the trailer is missing: is the file whole?", line_no=1)
    return lines


def _read_line(line: str, sequence: int) -> Return:
    line_no = sequence + 1
    if line[0] != "D" or line[1:9] != f"{sequence:08d}":
        raise SettlementFileError(f"entry {sequence:08d} is missing here", line_no=line_no)
    code = line[72:76].rstrip()
    try:
        date.fromisoformat(line[76:84])
        if not (code.isalnum() and line[57:72].isdecimal()):
            raise ValueError("amount or code is blank or malformed")
    except ValueError as wrong:
        raise SettlementFileError(f"unreadable entry: {wrong}", line_no=line_no) from wrong
    return Return(line_no, line[9:41].rstrip(), int(line[57:72]), code, code in ENDS_MANDATE)


def _check_trailer(line: str, returns: Sequence[Return], *, line_no: int) -> None:
    ours = f"T{len(returns):08d}{sum(one.amount_fen for one in returns):018d}"
    if line.rstrip() != ours:
        raise SettlementFileError(
            f"the trailer says {line.rstrip()[:27]!r}, the entries add up to {ours!r}: ask for the"
            " file again",
            line_no=line_no,
        )


def _read_pain_002(content: bytes) -> ReturnFile:
    # No entities, no network: a hostile file is no more than wrong.
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as wrong:
        raise SettlementFileError(f"not XML: {wrong.msg}", line_no=wrong.lineno) from wrong
    named = str(etree.QName(root).namespace)
    space = {"p": named}
    number = root.findtext("p:CstmrPmtStsRpt/p:GrpHdr/p:MsgId", namespaces=space)
    if not named.startswith(_PAIN_002) or not number:
        raise SettlementFileError("not a pain.002 with a MsgId", line_no=1)
    for name in ("GrpSts", "PmtInfSts"):
        if any(one.text == "RJCT" for one in root.iterfind(f".//p:{name}", space)):
            raise SettlementFileError(
                f"{name} rejects orders it does not name: ask the bank for a row of each", line_no=1
            )
    found = []
    for one in root.iterfind(".//p:TxInfAndSts", space):
        line_no = one.sourceline if isinstance(one.sourceline, int) else None
        if one.findtext("p:TxSts", namespaces=space) != "RJCT":
            continue  # a bank may also say what it took: that is no news
        order_no = one.findtext("p:OrgnlEndToEndId", namespaces=space) or ""
        amount = one.findtext("p:OrgnlTxRef/p:Amt/p:InstdAmt", namespaces=space) or ""
        code = one.findtext("p:StsRsnInf/p:Rsn/p:Cd", namespaces=space) or "MS03"
        try:
            fen = parse_yuan(amount.strip())
        except Invalid as wrong:
            raise SettlementFileError(wrong.message, line_no=line_no) from wrong
        found.append(Return(line_no or 0, order_no, fen, code, code in ENDS_MANDATE))
    return ReturnFile(number, tuple(found))
