"""Which bill a file of a company's papers belongs to: by its name, or by an index beside it.

A name is ``BILLNO.ext``, or ``BILLNO_INVOICENO_YYYYMMDD.ext`` where the file does not itself say
its invoice number and day. An index is ``index.csv`` with a head line: file, bill_no, and as they
are needed account_no, billing_month, invoice_no and issued_on.
"""

import csv
import io
import re
from datetime import date
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from core.errors import Invalid

INDEX: Final = "index.csv"
MEDIA_TYPES: Final = {
    "pdf": "application/pdf", "ofd": "application/ofd", "xml": "application/xml",
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png",
}  # fmt: skip
_NEEDED, _KNOWN = ("file", "bill_no"), ("account_no", "billing_month", "invoice_no", "issued_on")
_DAY: Final = re.compile(r"[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST = 64


class Named(NamedTuple):
    """What is said of a file; ``account_no`` blank: the bill is looked for by its number alone."""

    bill_no: str
    month: date
    account_no: str = ""
    invoice_no: str = ""
    issued_on: date | None = None


def media_type_of(name: str) -> str:
    """Return what a file is by its name's end; blank: nothing we take."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix.removeprefix(".").lower(), "")


def read_name(name: str, month: date) -> Named:
    """Read a file's name.

    Raises:
        Invalid: it names no bill.
    """
    parts = PurePosixPath(name).stem.split("_")
    if len(parts) > 2 and re.fullmatch(r"[0-9]{8,20}", parts[-2]) and _is_day(parts[-1]):
        return _named("_".join(parts[:-2]), month, invoice_no=parts[-2], issued_on=_day(parts[-1]))
    return _named("_".join(parts), month)


def _named(
    bill_no: str, month: date, *, account_no: str = "", invoice_no: str = "",
    issued_on: date | None = None,
) -> Named:  # fmt: skip
    if not 0 < len(bill_no) <= _LONGEST or not bill_no.isprintable():
        raise Invalid("name the file by its bill: BILLNO.pdf", code="paper.name")
    return Named(bill_no, month, account_no, invoice_no, issued_on)


def read_index(content: bytes, month: date) -> dict[str, Named]:
    """Read an index; returns what it says of each file, by the file's name without folders.

    Args:
        month: of the bills of lines that state none.

    Raises:
        Invalid: it cannot be read; the line is named.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(f"{INDEX} is not UTF-8: save it as CSV UTF-8", code="paper.index") from None
    lines = csv.DictReader(io.StringIO(text, newline=""))
    head = lines.fieldnames or ()
    if not set(_NEEDED) <= set(head) or not set(head) <= {*_NEEDED, *_KNOWN}:
        raise Invalid(
            f"the first line of {INDEX} names the columns: file, bill_no, and if needed"
            f" {', '.join(_KNOWN)}",
            code="paper.index",
        )
    found: dict[str, Named] = {}
    try:
        for line in lines:
            found[PurePosixPath(line["file"] or "").name] = _line(line, month)
    except (Invalid, ValueError, csv.Error) as wrong:
        raise Invalid(f"{INDEX}, line {lines.line_num}: {wrong}", code="paper.index") from None
    return found


def _line(line: dict[str, str | None], month: date) -> Named:
    said = {key: (value or "").strip() for key, value in line.items() if isinstance(key, str)}
    if None in line:
        raise Invalid("it has more columns than the first one", code="paper.index")
    billed = said.get("billing_month", "")
    if billed:
        month = _day(f"{billed}-01")
    issued = said.get("issued_on", "")
    return _named(
        said["bill_no"], month, account_no=said.get("account_no", ""),
        invoice_no=said.get("invoice_no", ""), issued_on=_day(issued) if issued else None,
    )  # fmt: skip


def _is_day(typed: str) -> bool:
    try:
        return bool(_day(typed))
    except ValueError:
        return False


def _day(typed: str) -> date:
    if _DAY.fullmatch(typed) is None:
        raise ValueError(f"{typed!r} is not a day: write 2026-11-01")
    return date.fromisoformat(typed)
