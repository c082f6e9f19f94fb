"""What kind of file a sample is, told from its bytes; every answer comes with its reason."""

import io
import json
import re
from dataclasses import dataclass
from typing import BinaryIO, Final

from core.errors import BillFileError
from providers.formats.encodings import DETECT, decodes, opened, settle, shown_encoding
from providers.formats.json_relaxed import without_comments
from providers.formats.text import refuse_not_text, unix_ends
from providers.formats.unwrapping import unwrapped
from providers.formats.workbook import AS_XLSX, FLAT_AS_XLSX, FLAT_ODS, SPREADSHEET_ML
from providers.profile_tables import Format
from providers.proposing.mainframes import (
    ENCODING_ASKED,
    has_lines,
    is_ebcdic,
    likely_encoding,
    record_length,
)

SAMPLE_BYTES: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP: Final = b"PK\x03\x04"
_ROOT = re.compile(r"<(?![?!])(?:([\w.-]+):)?([\w.-]+)([^<>]*)>")
_DECLARED = re.compile(r"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})")
_TAX_INVOICE = re.compile("EInvoiceData|EInvoiceTag|edrm\\.org\\.cn")
_OPENING: Final = 8_192
# Documents in an envelope, of an older edition or without their namespace.
_WITHIN: Final[tuple[tuple[Format, re.Pattern[str], str], ...]] = (
    ("ubl", re.compile("ubl:schema:xsd:(invoice|creditnote)-2"), " around documents of UBL"),
    ("cii", re.compile("<[a-z0-9_.-]+:crossindustry(invoice|document)[ >]"), " of UN/CEFACT"),
    ("pain_013", re.compile("<([a-z0-9_.-]+:)?cdtrpmtactvtnreq"), " of ISO 20022 pain.013"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file, unpacked.

    Args:
        packing: "gzip", "zip" or "".
        format: the profile's word; ``delimited`` of any text that is none of the others: whether it
            is of fixed width is seen when it is cut.
        encoding: the profile's word, "" for formats that say it themselves.
        why_encoding: what speaks for it.
        question: about the encoding, for the company.
        text: the beginning of a text file, whole lines.
        data: the same in bytes, of UTF-16 in UTF-8.
        raw: the beginning of the file as it came.
        whole: whether that is all of the file.
    """

    packing: str
    format: Format
    encoding: str
    why_format: str
    why_encoding: str = ""
    question: str = ""
    text: str = ""
    data: bytes = b""
    raw: bytes = b""
    whole: bool = True


def take_sample(stream: BinaryIO) -> Sample:
    """Look at the beginning of a file; the stream must seek and is left where it was.

    Raises:
        BillFileError: it is empty, or no file that anybody reads.
    """
    start = stream.tell()
    packing = {b"\x1f\x8b": "gzip", b"PK": "zip"}.get(stream.read(2), "")
    stream.seek(start)
    with unwrapped(stream) as plain:
        data = _read(plain, SAMPLE_BYTES + 1)
    stream.seek(start)
    whole = len(data) <= SAMPLE_BYTES
    data = data[:SAMPLE_BYTES]
    if data.startswith((_ZIP, _OLE)):
        return Sample("", "spreadsheet", "", "it is a workbook", whole=whole)
    if data.startswith(b"%PDF-"):
        return Sample(packing, "cii", "", "it is a PDF: an invoice may be attached to it",
                      whole=whole)  # fmt: skip
    return _text_sample(data, packing, whole=whole)


def _read(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _of_mainframe(data: bytes, packing: str, *, whole: bool) -> Sample:
    """Return the sample of a file in EBCDIC: lines as text, records without line ends as bytes."""
    encoding, why = likely_encoding(data), "its figures and blanks are those of EBCDIC"
    if has_lines(data):
        plain, _ = opened(io.BytesIO(data), encoding)
        body = unix_ends(_read(plain, 2 * SAMPLE_BYTES), "utf-8")
        return Sample(packing, "delimited", encoding, "it is lines of text", why, ENCODING_ASKED,
                      body.decode(), body, data, whole)  # fmt: skip
    try:
        size = record_length(data, whole=whole)
    except BillFileError:  # a profile may know it
        size = len(data)
    records = [data[at : at + size].decode(encoding) for at in range(0, len(data), size)]
    text = "\n".join(" ".join(record.splitlines()) for record in records)
    return Sample(packing, "fixed_width", encoding, "it is records of one length", why, "",
                  text, data, data, whole)  # fmt: skip


def _text_sample(data: bytes, packing: str, *, whole: bool) -> Sample:
    if is_ebcdic(data):
        return _of_mainframe(data, packing, whole=whole)
    plain, settled = opened(io.BytesIO(data), DETECT)
    try:
        body = _read(plain, 2 * SAMPLE_BYTES)
    except BillFileError:  # cut in the middle of a character of UTF-16 or UTF-32
        plain, settled = opened(io.BytesIO(data[: len(data) - len(data) % 4 - 4]), DETECT)
        body = _read(plain, 2 * SAMPLE_BYTES)
    body = unix_ends(body, settled)
    refuse_not_text(body)
    if not whole and b"\n" in body:
        body = body[: body.rfind(b"\n") + 1]
    if body.startswith(_BOM):
        encoding, why = "utf-8", "it begins with the byte order mark of UTF-8"
    elif settled == "utf-8":
        encoding, why = "utf-16", "two bytes a character"
    else:
        encoding, why = _encoding(body, whole=whole)
    codec = "utf-8" if encoding == "utf-16" else encoding.replace(DETECT, "ascii")
    if not body.strip():
        raise BillFileError("the file is empty: send a sample with some bills in it", line_no=1)
    if b"\0" in body:
        raise BillFileError(
            "the file has NUL bytes in it and is no text: send it as its system wrote it",
            line_no=body.count(b"\n", 0, body.index(b"\0")) + 1,
        )
    text = body.removeprefix(_BOM).decode(codec, "replace")
    kind, why_format = _format(text, whole=whole)
    question = ""
    if encoding == DETECT:
        question = "which encoding are names and addresses in? The sample has plain ASCII only"
    elif encoding in ("gb18030", "big5") and decodes(body, "gb18030") and decodes(body, "big5"):
        other = "Big5" if encoding == "gb18030" else "GB18030"
        question = f"is it {shown_encoding(encoding)}? As {other} it can be read as well"
    elif encoding == "cp1252":
        question = "is it Windows-1252? Other Western encodings look alike"
    return Sample(packing, kind, encoding, why_format, why, question, text,
                  body.removeprefix(_BOM), data, whole)  # fmt: skip


def _encoding(body: bytes, *, whole: bool) -> tuple[str, str]:
    """Return the encoding of bytes that bear no mark, and why."""
    if body.isascii():
        return DETECT, "the sample is plain ASCII, which every encoding holds"
    block = body if whole or body.endswith(b"\n") else body[:-8]
    try:
        encoding = settle(1, block)
    except BillFileError:
        if whole:
            raise
        encoding = settle(1, block[: block.rfind(b"\n") + 1] or block[:-3])
    if encoding == "utf-8":
        return encoding, "every byte fits UTF-8, which does not happen by chance"
    if encoding == "cp1252":
        return encoding, "its accented letters stand one by one"
    return encoding, (
        "it is not UTF-8, every byte fits, and its characters are everyday ones of"
        f" {shown_encoding(encoding)}"
    )


def _format(text: str, *, whole: bool) -> tuple[Format, str]:
    opening = text[:_OPENING].lstrip("\x1e \t\r\n")
    if opening.startswith(("//", "/*")):
        opening = without_comments(opening).lstrip()
    if opening.startswith("<"):
        return _xml_format(opening)
    if opening.startswith("ISA") and len(opening) > 105 and not opening[3].isalnum():
        return "x12_810", "it begins with the ISA segment of X12"
    if opening.startswith(("{", "[")):
        first, _, rest = opening.partition("\n")
        several = rest.lstrip()[:1] == first[0]
        if several and _is_row(first):
            return "json_lines", "every line is an object or a list of JSON"
        return "json", "it begins as a document of JSON does"
    return "delimited", "it is lines of text"


def _is_row(line: str) -> bool:
    """Tell whether a line is an object, or a list of plain values."""
    try:
        line = line.strip().removesuffix(",")
        value = json.loads(line) if line.count("{") + line.count("[") < 500 else None
    except ValueError:
        return False
    if isinstance(value, list):
        return bool(value) and not any(isinstance(cell, dict | list) for cell in value)
    return isinstance(value, dict)


def _xml_format(opening: str) -> tuple[Format, str]:
    root = _ROOT.search(opening)
    if root is None:
        return "xml", "it begins with <"
    prefix, name, inside = root.groups()
    if name.lower() == "html":
        raise BillFileError(
            "the file is a web page, whatever its name says: open it in the spreadsheet program"
            " and save it as xlsx",
            line_no=1,
        )
    if name.lower() == "einvoice" and _TAX_INVOICE.search(opening):
        raise BillFileError(
            "the file is a tax invoice, which names no account and no day to pay: have the company"
            " send its bills",
            line_no=1,
        )
    if name == "Workbook" and SPREADSHEET_ML.decode() in opening:
        raise BillFileError(AS_XLSX, line_no=1)
    if name == "document" and FLAT_ODS.decode() in opening:
        raise BillFileError(FLAT_AS_XLSX, line_no=1)
    space = re.search(rf"xmlns{':' + prefix if prefix else ''}\s*=\s*[\"']([^\"']*)", inside)
    spaces = (space[1] if space else "").lower()
    everywhere = opening.lower()
    why = f"its root element is {name}"
    if name in ("Invoice", "CreditNote") and "oasis:names:specification:ubl" in spaces:
        return "ubl", f"{why} of UBL"
    if name == "CrossIndustryInvoice":
        return "cii", f"{why} of UN/CEFACT"
    if "pain.013" in spaces:
        return "pain_013", f"{why} of ISO 20022 pain.013"
    if "naesb.org/espi" in spaces or (name in ("feed", "entry") and "naesb.org/espi" in everywhere):
        return "espi", f"{why} with entries of ESPI (Green Button)"
    for form, sign, told in _WITHIN:
        if sign.search(everywhere):
            return form, f"{why}{told}"
    return "xml", why


def declared_encoding(text: str) -> str | None:
    """Return the encoding that an XML document declares."""
    found = _DECLARED.match(text[:400].lstrip())
    return found[1] if found else None
