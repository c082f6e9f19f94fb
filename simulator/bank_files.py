"""The bank's files: reading a batch, writing what came back and what was collected.

Source: docs/wire/bank-debit.md.
"""

import re
from collections.abc import Sequence
from datetime import date

from lxml import etree
from pydantic import BaseModel, ConfigDict

from core.errors import Invalid
from core.money import parse_yuan, yuan_text

_LINE = 100
_PAIN = "{urn:iso:std:iso:20022:tech:xsd:pain.008.001.08}"
_HEAD = re.compile(r"H(.{16})(.{16})([0-9]{8})([0-9]{14}) {45}")
_ENTRY = re.compile(r"D([0-9]{8})(.{32})(.{35})([0-9]{15}) {9}")
_TRAILER = re.compile(r"T([0-9]{8})([0-9]{18}) {73}")


class Asked(BaseModel):
    """One debit of a batch."""

    model_config = ConfigDict(frozen=True)

    order_no: str
    mandate_ref: str
    amount_fen: int


class ReadBatch(BaseModel):
    model_config = ConfigDict(frozen=True)

    batch_no: str
    creditor: str
    collect_on: date
    asked: tuple[Asked, ...]


def read_batch(content: bytes) -> ReadBatch:
    """Read a batch in either layout.

    Raises:
        Invalid: malformed, or its totals or numbering do not add up.
    """
    try:
        return _read_xml(content) if content.startswith(b"<") else _read_fixed(content)
    except (ValueError, etree.XMLSyntaxError) as wrong:
        raise Invalid(f"not a batch: {wrong}", code="batch.malformed") from wrong


def _read_fixed(content: bytes) -> ReadBatch:
    lines = content.decode("ascii").split("\r\n")
    if lines.pop() or len(lines) < 2 or any(len(line) != _LINE for line in lines):
        raise Invalid("every line has 100 characters and ends in CR LF", code="batch.malformed")
    head, trailer = _HEAD.fullmatch(lines[0]), _TRAILER.fullmatch(lines[-1])
    if head is None or trailer is None:
        raise Invalid("the header or the trailer is malformed", code="batch.malformed")
    asked = []
    for at, line in enumerate(lines[1:-1], start=1):
        entry = _ENTRY.fullmatch(line)
        if entry is None or int(entry[1]) != at:
            raise Invalid(f"entry {at} is malformed or out of order", code="batch.malformed")
        asked.append(
            Asked(
                order_no=entry[2].rstrip(), mandate_ref=entry[3].rstrip(), amount_fen=int(entry[4])
            )
        )
    _check_totals(asked, int(trailer[1]), int(trailer[2]))
    return ReadBatch(
        batch_no=head[2].rstrip(), creditor=head[1].rstrip(),
        collect_on=date.fromisoformat(head[3]), asked=tuple(asked),
    )  # fmt: skip


def _read_xml(content: bytes) -> ReadBatch:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(content, parser)
    info = "CstmrDrctDbtInitn/PmtInf"
    asked = []
    for one in root.iterfind(_path(f"{info}/DrctDbtTxInf")):
        if _said(one, "InstdAmt").attrib.get("Ccy") != "CNY":
            raise Invalid("amounts are in CNY", code="batch.malformed")
        asked.append(
            Asked(
                order_no=_words(one, "PmtId/EndToEndId"),
                mandate_ref=_words(one, "DrctDbtTx/MndtRltdInf/MndtId"),
                amount_fen=parse_yuan(_words(one, "InstdAmt")),
            )
        )
    for part in ("CstmrDrctDbtInitn/GrpHdr", info):
        entries, total = _words(root, f"{part}/NbOfTxs"), _words(root, f"{part}/CtrlSum")
        _check_totals(asked, int(entries), parse_yuan(total))
    return ReadBatch(
        batch_no=_words(root, "CstmrDrctDbtInitn/GrpHdr/MsgId"),
        creditor=_words(root, f"{info}/CdtrSchmeId/Id/PrvtId/Othr/Id"),
        collect_on=date.fromisoformat(_words(root, f"{info}/ReqdColltnDt")), asked=tuple(asked),
    )  # fmt: skip


def _path(names: str) -> str:
    return "/".join(f"{_PAIN}{name}" for name in names.split("/"))


def _said(parent: etree._Element, names: str) -> etree._Element:
    found = parent.find(_path(names))
    if found is None:
        raise Invalid(f"{names} is missing", code="batch.malformed")
    return found


def _words(parent: etree._Element, names: str) -> str:
    return _said(parent, names).text or ""


def _check_totals(asked: Sequence[Asked], entries: int, total_fen: int) -> None:
    if (entries, total_fen) != (len(asked), sum(one.amount_fen for one in asked)):
        raise Invalid("the totals are not those of the entries", code="batch.totals")
    if not asked or len({one.order_no for one in asked}) < len(asked):
        raise Invalid("a batch holds orders, each once", code="batch.entries")


def write_returns(
    file_no: str, creditor: str, day: date, rows: Sequence[tuple[str, str, int, str]]
) -> bytes:
    """Write a file of returns; a row is (order_no, batch_no, fen, code)."""
    lines = [f"R{creditor:<16}{file_no:<16}{day:%Y%m%d}"]
    lines += [
        f"D{at:08d}{order_no:<32}{batch_no:<16}{fen:015d}{code:<4}{day:%Y%m%d}"
        for at, (order_no, batch_no, fen, code) in enumerate(rows, start=1)
    ]
    lines.append(f"T{len(rows):08d}{sum(row[2] for row in rows):018d}")
    return "".join(f"{line:<{_LINE}}\r\n" for line in lines).encode("ascii")


def write_day(day: date, rows: Sequence[tuple[str, str, str, int]]) -> bytes:
    """Write a day's settlement file; a row is (kind, order_no, batch_no, fen)."""
    noon = f"{day}T12:00:00+08:00"
    lines = [f"#BANK DEBIT DAY,{day}", "kind,order_no,batch_no,amount,happened_at"]
    lines += [
        f"{kind},{order_no},{batch_no},{yuan_text(fen)},{noon}"
        for kind, order_no, batch_no, fen in rows
    ]
    lines.append(f"#TOTAL,{len(rows)},{yuan_text(sum(row[3] for row in rows))}")
    return ("\n".join(lines) + "\n").encode()
