"""What reading UBL and reading CII share: documents one by one, each a bill or a reject."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

from core.errors import BillFileError
from providers.base import BillRecord, Heading, Reject
from providers.formats.rows import RowFault, reject
from providers.profiles import Profile
from providers.standards.drafts import Judge
from providers.standards.en16931 import Invoice, draft_of
from providers.standards.xml_guard import Element, documents


class InvoiceReader(ABC):
    """Reads a company's invoices in one syntax of EN 16931; see `BillFileReader`."""

    roots: ClassVar[tuple[str, ...]]
    none_found: ClassVar[str]  # what is said of a file without any, and the remedy

    def __init__(self, profile: Profile, judge: Judge | None = None) -> None:
        self._profile = profile
        self._judge = judge or Judge(profile)

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        found = False
        for line_no, element in documents(self.xml_of(stream), frozenset(self.roots)):
            found = True
            yield self._bill(element, line_no)
        if not found:
            raise BillFileError(self.none_found, line_no=1)

    def _bill(self, element: Element, line_no: int) -> BillRecord | Reject:
        try:
            return self._judge(draft_of(self._profile, self.invoice_of(element, line_no)))
        except RowFault as fault:
            return reject(line_no, fault.column, fault.reason, self.title_of(element))

    def xml_of(self, stream: BinaryIO) -> BinaryIO:
        """Return the XML of a file; the file itself, unless it is wrapped in something."""
        return stream

    @abstractmethod
    def invoice_of(self, element: Element, line_no: int) -> Invoice:
        """Read one document.

        Raises:
            RowFault: a date or a number in it is none.
        """

    @abstractmethod
    def title_of(self, element: Element) -> str:
        """Return what to call a document in a reject."""
