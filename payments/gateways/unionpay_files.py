"""UnionPay's files of a day as they come: deflated, a ZIP, one for each day of its own.

Source: docs/wire/unionpay.md, "Files".
"""

import base64
import binascii
import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import BinaryIO, NamedTuple

from core.clock import billing_date
from core.errors import Invalid, SettlementFileError
from core.money import parse_yuan
from payments.gateways.base import SettlementRecord
from payments.gateways.unionpay_rows import Totals, read_adjustments, read_payments
from payments.packed import GZIP, is_zip, unpacked

MAX_BYTES = 256 << 20  # of all members, unpacked
_NAME = re.compile(r"INN([0-9]{6})88(ZME?)_([0-9A-Za-z]{15})(?:\.txt)?")
_SUMMARY = re.compile(r"RD[^/]*_([0-9A-Za-z]{15})(?:\.txt)?")
_TOTAL = re.compile(r"\s*(?:合计|总计|总合计|合 计|总 计)(.*)")
_YUAN = re.compile(r"-?[0-9][0-9,]*\.[0-9]{2}(?![0-9])")


class _Day(NamedTuple):
    """What is in a ZIP of one of UnionPay's days."""

    cleared_on: date
    payments: bytes
    adjustments: bytes
    summary: bytes | None


def inflate(file_content: str) -> bytes | None:
    """Return the ZIP in a ``fileContent``; None: it did not come whole."""
    try:
        inflater = zlib.decompressobj()
        content = inflater.decompress(base64.b64decode(file_content, validate=True), MAX_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        return None
    return content if inflater.eof and is_zip(content) else None


def bundle(parts: Mapping[date, bytes], *, mer_id: str) -> bytes:
    """Put the ZIPs of several of UnionPay's days into one, each in a folder of its own.

    A day without a ZIP had no orders, and gets an empty file ZM that says so.

    Raises:
        SettlementFileError: one of them is no ZIP of UnionPay's.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for day, content in parts.items():
            members = _unpack(content) if content else {f"INN{day:%y%m%d}88ZM_{mer_id}": b""}
            for name, raw in members.items():
                archive.writestr(f"{day:%Y%m%d}/{name.rpartition('/')[2]}", raw)
    return made.getvalue()


def read_bundle(stream: BinaryIO, *, day: date, mer_id: str) -> list[SettlementRecord]:
    """Read the rows of a day, the totals of each file checked first.

    UnionPay's day begins at 23:00 of the evening before. With its files of ``day`` and of the next
    the rows are those of the Shanghai day; with the first alone, those UnionPay cleared on it.

    Raises:
        SettlementFileError: not our files of this day, malformed, or the totals do not add up.
    """
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise SettlementFileError(f"the file is larger than {MAX_BYTES >> 20} MB")
    if not is_zip(content) and content.isascii():
        content = inflate(content.decode().strip()) or content  # as it stands in the answer
    if not is_zip(content) and not content.startswith(GZIP):
        raise SettlementFileError("not a ZIP: hand it in as UnionPay gave it, not unpacked")
    days = _days(_unpack(content), mer_id=mer_id)
    cleared = [one.cleared_on for one in days]
    both = [day, day + timedelta(days=1)]
    if cleared not in (both, both[:1]):
        shown = ", ".join(map(str, cleared)) or "nothing"
        raise SettlementFileError(
            f"the ZIP has files ZM of {shown}; it must be {day}, or {day} and the day after"
        )
    rows: list[SettlementRecord] = []
    for one in days:
        rows += _read(one, mer_id=mer_id, first_line=rows[-1].line_no + 1 if rows else 1)
    if cleared == both:
        rows = [row for row in rows if billing_date(row.happened_at) == day]
    return rows


def _read(one: _Day, *, mer_id: str, first_line: int) -> list[SettlementRecord]:
    rows, totals = read_payments(
        one.payments, cleared_on=one.cleared_on, mer_id=mer_id, first_line=first_line
    )
    _check(one, totals)
    after = rows[-1].line_no + 1 if rows else first_line
    return rows + read_adjustments(
        one.adjustments, cleared_on=one.cleared_on, mer_id=mer_id, first_line=after
    )


def _check(one: _Day, totals: Totals) -> None:
    """Hold the rows against the line of totals in the file RD, where it has one we can tell."""
    if one.summary is None:
        return
    try:
        text = one.summary.decode("gb18030")
    except UnicodeDecodeError as wrong:
        raise SettlementFileError(f"the file RD is not GBK: {wrong}") from wrong
    for line_no, line in enumerate(text.splitlines(), start=1):
        match = _TOTAL.match(line)
        figures = _YUAN.findall(match[1]) if match else []
        if len(figures) != len(totals):
            continue
        try:
            told = Totals(*(_fen(one) for one in figures))
        except Invalid as wrong:
            raise SettlementFileError(
                f"unreadable total in RD: {wrong}", line_no=line_no
            ) from wrong
        if told != totals:
            raise SettlementFileError(
                f"RD says {told.amount_fen}, {told.fee_fen} and {told.settled_fen} fen, the rows "
                f"of ZM are {totals.amount_fen}, {totals.fee_fen} and {totals.settled_fen}: ask "
                "for the file again",
                line_no=line_no,
            )


def _fen(text: str) -> int:
    plain = text.replace(",", "")
    return 0 if plain == "-0.00" else parse_yuan(plain)


def _days(members: Mapping[str, bytes], *, mer_id: str) -> list[_Day]:
    """Sort a ZIP's files by UnionPay's day."""
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    summaries: dict[str, bytes] = {}
    for path, raw in members.items():
        folder, _, name = path.rpartition("/")
        match = _NAME.fullmatch(name) or _SUMMARY.fullmatch(name)
        if match is None:
            continue
        if match[match.re.groups] != mer_id:
            raise SettlementFileError(f"{name} is another merchant's: ours is {mer_id}")
        if match.re is _SUMMARY:
            summaries[folder] = raw
            continue
        kinds = found.setdefault((folder, match[1]), {})
        if match[2] in kinds:
            raise SettlementFileError(f"{name} is in the ZIP twice")
        kinds[match[2]] = raw
    days: list[_Day] = []
    for (folder, stamp), kinds in found.items():
        if "ZM" not in kinds:
            raise SettlementFileError(f"the file ZM of {stamp} is missing: fetch the ZIP again")
        adjustments = kinds.get("ZME", b"")
        days.append(_Day(_date(stamp), kinds["ZM"], adjustments, summaries.get(folder)))
    return sorted(days)


def _date(stamp: str) -> date:
    try:
        return date(2000 + int(stamp[:2]), int(stamp[2:4]), int(stamp[4:]))
    except ValueError as wrong:
        raise SettlementFileError(f"a file of the day {stamp}, which is none") from wrong


def _unpack(content: bytes) -> dict[str, bytes]:
    """Return the files in a ZIP; nothing is written to any disk."""
    found: dict[str, bytes] = {}
    for name, raw in unpacked(content, limit_bytes=MAX_BYTES):
        if name in found:
            raise SettlementFileError(f"{name} is in the ZIP twice")
        found[name] = raw
    return found
