"""The rows of UnionPay's files: fixed width in bytes, GBK, one blank between fields.

Source: docs/wire/unionpay.md, "The file ZM" and "The file ZME".
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import NamedTuple

from core.clock import BILLING_ZONE
from core.errors import Invalid, SettlementFileError
from core.money import parse_fen
from core.progress import tell
from payments.gateways.base import SettlementRecord
from payments.gateways.unionpay_line import our_number, read_stamp

_ZM = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21,
    15, 1, 15, 32, 13, 13, 8, 32, 13, 13, 12, 2, 1, 32, 98,
)  # fmt: skip
_ZME = (3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2, 135)
_KINDS = {"01": "payment", "04": "refund"}
_WAY = {"payment": 1, "refund": -1}


class Totals(NamedTuple):
    """What a day's rows add up to, with the signs UnionPay gives them: a fee is below zero."""

    amount_fen: int
    fee_fen: int
    settled_fen: int


class _Fields:
    """One row's fields by their number in UnionPay's own list, from 1."""

    def __init__(self, line: bytes, widths: Sequence[int], line_no: int) -> None:
        wanted = sum(widths) + len(widths) - 1
        if len(line) != wanted:
            raise SettlementFileError(
                f"the row has {len(line)} bytes, not {wanted}: was the file changed on its way?",
                line_no=line_no,
            )
        self.line_no = line_no
        self._cells: list[bytes] = []
        at = 0
        for width in widths:
            self._cells.append(line[at : at + width])
            if line[at + width : at + width + 1] not in (b" ", b""):
                raise SettlementFileError(
                    f"byte {at + width + 1} is no blank: are the fields of other widths?",
                    line_no=line_no,
                )
            at += width + 1

    def text(self, number: int) -> str:
        """Return a field that is of plain letters and digits, without its filling."""
        try:
            text = self._cells[number - 1].decode("ascii").strip(" ")
        except UnicodeDecodeError as wrong:
            raise self.refused(number, "not of plain letters and digits") from wrong
        if text and not text.isprintable():
            raise self.refused(number, "a control character")
        return text

    def fen(self, number: int) -> int:
        """Return an amount; one that begins with D is taken from us, with C or a digit given."""
        text = self.text(number)
        sign = -1 if text.startswith("D") else 1
        digits = text[1:] if text[:1] in ("C", "D") else text
        if re.fullmatch("[0-9]+", digits) is None:
            raise self.refused(number, "no amount in fen")
        try:
            return sign * parse_fen(digits)
        except Invalid as wrong:
            raise self.refused(number, str(wrong)) from wrong

    def moment(self, number: int, *, cleared_on: date) -> datetime:
        """Return a moment, which has no year: the one nearest to its day of clearing."""
        text = self.text(number)
        noon = datetime.combine(cleared_on, time(12), tzinfo=BILLING_ZONE)
        found = []
        for year in range(cleared_on.year - 1, cleared_on.year + 2):
            try:
                found.append(read_stamp(text, year=year))
            except ValueError:
                continue
        if not found:
            raise self.refused(number, "no MMDDhhmmss")
        return min(found, key=lambda moment: abs(moment - noon))

    def refused(self, number: int, why: str) -> SettlementFileError:
        return SettlementFileError(why, line_no=self.line_no, column=f"field {number}")


def read_payments(
    content: bytes, *, cleared_on: date, mer_id: str, first_line: int = 1
) -> tuple[list[SettlementRecord], Totals]:
    """Read a file ZM whole: its rows in our words, and what they add up to.

    Raises:
        SettlementFileError: a row of another width or merchant, or one that does not add up.
    """
    rows: list[SettlementRecord] = []
    amount_fen = fee_fen = settled_fen = 0
    for line_no, line in _lines(content, first_line):
        fields = _Fields(line, _ZM, line_no)
        if fields.text(28) != mer_id:
            raise fields.refused(28, f"not our number {mer_id}: is it another merchant's file?")
        kind = _KINDS.get(fields.text(20), "other")
        fee, settled = fields.fen(16), fields.fen(17)
        amount = fields.fen(7) * _WAY.get(kind, -1 if settled < 0 else 1)
        if amount + fee != settled:
            raise fields.refused(
                17, f"{settled} fen are settled of {amount} fen and {fee} fen of fees"
            )
        if not fields.text(10):
            raise fields.refused(10, "no queryId")
        rows.append(
            SettlementRecord(
                line_no=line_no,
                kind=kind,
                reference=our_number(fields.text(12)),
                gateway_ref=fields.text(10),
                amount_fen=amount,
                fee_fen=-fee,
                happened_at=fields.moment(5, cleared_on=cleared_on),
            )
        )
        amount_fen, fee_fen, settled_fen = (
            amount_fen + amount, fee_fen + fee, settled_fen + settled,
        )  # fmt: skip
    return rows, Totals(amount_fen, fee_fen, settled_fen)


def read_adjustments(
    content: bytes, *, cleared_on: date, mer_id: str, first_line: int = 1
) -> list[SettlementRecord]:
    """Read a file ZME, of amounts put right afterwards, as rows a person must look at.

    Its layout is not confirmed, so nothing of it is taken for a payment or a refund of ours.

    Raises:
        SettlementFileError: a row of another width or merchant.
    """
    rows: list[SettlementRecord] = []
    for line_no, line in _lines(content, first_line):
        fields = _Fields(line, _ZME, line_no)
        if fields.text(18) != mer_id:
            raise fields.refused(18, f"not our number {mer_id}: is it another merchant's file?")
        fee, settled = fields.fen(15), fields.fen(16)
        rows.append(
            SettlementRecord(
                line_no=line_no,
                kind="other",
                reference="",
                gateway_ref=f"{fields.text(1)}:{fields.text(4)}:{fields.text(5)}",
                amount_fen=settled - fee,
                fee_fen=-fee,
                happened_at=fields.moment(5, cleared_on=cleared_on),
            )
        )
    return rows


def _lines(content: bytes, first_line: int) -> Iterator[tuple[int, bytes]]:
    content = content.rstrip(b"\r\n\x1a")
    if not content:
        return
    lines = content.split(b"\n")
    for line_no, line in enumerate(lines, start=first_line):
        tell(line_no - first_line + 1, len(lines))
        yield line_no, line.removesuffix(b"\r")
