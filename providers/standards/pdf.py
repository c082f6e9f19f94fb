"""The XML that a Factur-X or ZUGFeRD invoice carries in its PDF."""

import io
import zlib
from typing import BinaryIO, Final

from pypdf import PdfReader
from pypdf.errors import DependencyError, DeprecationError, PyPdfError

from core.errors import BillFileError
from providers.standards.xml_guard import BUDGET
from providers.streams import read_fully, rejoined

PDF_LIMIT: Final = 64 * 1024 * 1024
_MAGIC: Final = b"%PDF-"
_MAGIC_WITHIN: Final = 1024  # some printers put a few bytes before it
# As the standards name it, newest first; a name is compared without regard to case.
_NAMES: Final = ("factur-x.xml", "xrechnung.xml", "zugferd-invoice.xml")
# What pypdf raises on a damaged file, beside its own.
_DAMAGED: Final = (
    PyPdfError, DependencyError, DeprecationError, ArithmeticError, AssertionError, AttributeError,
    LookupError, NotImplementedError, OSError, RecursionError, TypeError, ValueError, zlib.error,
)  # fmt: skip


def xml_of(stream: BinaryIO) -> BinaryIO:
    """Return the XML in a PDF; what is no PDF comes back as it is.

    Raises:
        BillFileError: the PDF is damaged, encrypted, too large, or holds no invoice in XML.
    """
    opening = read_fully(stream, _MAGIC_WITHIN)
    at = opening.find(_MAGIC)
    if at < 0 or opening[:at].strip().startswith(b"<"):
        return rejoined(opening, stream)
    data = opening + read_fully(stream, PDF_LIMIT)
    if len(data) > PDF_LIMIT:
        raise BillFileError(
            f"the PDF is larger than {PDF_LIMIT // 1024 // 1024} MB: send the invoice's XML alone",
            line_no=1,
        )
    try:
        return io.BytesIO(_embedded(PdfReader(io.BytesIO(data))))
    except BillFileError:
        raise
    except _DAMAGED as wrong:
        raise BillFileError(
            f"the PDF is damaged ({type(wrong).__name__}): send it again as its system wrote it",
            line_no=1,
        ) from None


def _embedded(reader: PdfReader) -> bytes:
    """Return the invoice among the files a PDF carries."""
    if reader.is_encrypted:
        raise BillFileError("the PDF is encrypted: send it without a password", line_no=1)
    found = {entry.name.lower(): entry for entry in reader.attachment_list}
    entry = next((found[name] for name in _NAMES if name in found), None)
    if entry is None:
        raise BillFileError(
            f"the PDF carries no invoice in XML ({', '.join(_NAMES)}): send a Factur-X or ZUGFeRD"
            " PDF, or the XML alone",
            line_no=1,
        )
    data = entry.content
    if len(data) > BUDGET:
        raise BillFileError(
            f"the XML in the PDF is larger than {BUDGET // 1024 // 1024} MB, as no invoice is",
            line_no=1,
        )
    return data
