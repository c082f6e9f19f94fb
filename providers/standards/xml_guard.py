"""XML from strangers: documents found in a stream one by one, under guard.

No DTD, no entity, no network, bounded depth, and a bound on what may pass without a whole document.
A stream may hold one document, many in a wrapper (an SBDH envelope, a list), or many one after
another, each with a declaration of its own.
"""

from collections.abc import Collection, Iterator
from datetime import date
from typing import BinaryIO, Final, cast

from lxml import etree

from core.errors import BillFileError
from providers.formats.cells import date_reader
from providers.formats.text import refuse_not_text
from providers.streams import read_fully

Element = etree._Element

BUDGET: Final = 16 * 1024 * 1024  # bytes within which a whole document must pass
_CHUNK: Final = 64 * 1024
_OPENING: Final = 512
_DEPTH: Final = 100
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"

_day = date_reader("yyyy-mm-dd")


def documents(
    stream: BinaryIO, tags: Collection[str], *, budget: int = BUDGET
) -> Iterator[tuple[int, Element]]:
    """Yield ``(line_no, element)`` of every element with one of ``tags`` that lies in no other.

    An element is whole when it is yielded and gone after the next one is asked for: memory does not
    grow with the stream.

    Raises:
        BillFileError: it is not XML, it is broken or cut short, it declares a DTD, is too deep, or
            ``budget`` bytes pass without a whole document.
    """
    source = _Source(stream, budget)
    source.open()
    while source.more():
        yield from _Root(source, tags).documents()


class _Source:
    """The bytes of a stream: counted in lines and against the budget, and returnable."""

    def __init__(self, stream: BinaryIO, budget: int) -> None:
        self._stream = stream
        self._budget = budget
        self._left = budget
        self._kept = b""
        self.lines_before = 0  # newlines before what the next `take` returns

    def open(self) -> None:
        """Look at the first bytes.

        Raises:
            BillFileError: they are an archive's, a workbook's, or there are none.
        """
        self._kept = read_fully(self._stream, _OPENING)
        if not self._kept.startswith(_UTF16):
            refuse_not_text(self._kept)
        if not self._kept.removeprefix(_BOM).strip():
            raise BillFileError("the file is empty: send it again with its bills", line_no=1)

    def allow(self) -> None:
        """Begin a new budget: a whole document was found."""
        self._left = self._budget

    def more(self) -> bool:
        """Tell whether anything but blanks is left, and stand before it."""
        while True:
            rest = self._kept.removeprefix(_BOM).lstrip(_BLANK)
            self.lines_before += self._kept.count(b"\n") - rest.count(b"\n")
            self._kept = rest
            if rest:
                return True
            self._kept = self._read()
            if not self._kept:
                return False

    def take(self) -> bytes:
        """Return the next piece, or nothing at the end.

        Raises:
            BillFileError: the budget is used up.
        """
        piece, self._kept = self._kept or self._read(), b""
        self._left -= len(piece)
        if self._left < 0:
            raise BillFileError(
                f"{self._budget} bytes go by without one whole document: check that this is the"
                " bill file, and leave large attachments out",
                line_no=self.lines_before + 1,
            )
        self.lines_before += piece.count(b"\n")
        return piece

    def put_back(self, rest: bytes) -> None:
        """Return what was taken and is not of this document."""
        self._kept = rest + self._kept
        self._left += len(rest)
        self.lines_before -= rest.count(b"\n")

    def _read(self) -> bytes:
        return self._stream.read(_CHUNK)


class _Root:
    """One root element of a stream and the documents within it."""

    def __init__(self, source: _Source, tags: Collection[str]) -> None:
        self._source = source
        self._tags = tags
        self._line_base = source.lines_before
        self._depth = 0
        self._inside = 0  # the depth at which the document we are in began; 0: in none
        self._end = b""  # how the root's end tag begins in this stream, once the root is open
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            remove_comments=True,
            remove_pis=True,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )

    def documents(self) -> Iterator[tuple[int, Element]]:
        """Feed the parser up to the root's end; what follows is put back for another root."""
        data = b""
        try:
            while piece := self._source.take():
                data += piece
                while part := self._first_part(data):
                    data = data[len(part) :]
                    self._feed(part)
                    yield from self._found()
                    if self._end and not self._depth:
                        self._source.put_back(data)
                        return
            self._parser.feed(data)
            self._parser.close()
            yield from self._found()
        except etree.XMLSyntaxError as wrong:
            raise BillFileError(
                f"the XML is broken ({wrong.msg}): send the file again as its system wrote it",
                line_no=self._line_base + (wrong.lineno or 1),
            ) from None

    def _first_part(self, data: bytes) -> bytes:
        """Return what to feed next: up to the end of a tag that may open or close the root."""
        if not self._end:
            return data[: data.find(b">") + 1] or data
        at = data.find(self._end)
        if at >= 0:
            close = data.find(b">", at)
            return data[: close + 1] if close >= 0 else data[:at]
        for length in range(len(self._end) - 1, 0, -1):
            if data.endswith(self._end[:length]):
                return data[:-length]
        return data

    def _feed(self, part: bytes) -> None:
        if not self._end and b"<!DOCTYPE" in part:
            raise _declares(self._line_base + 1)
        self._parser.feed(part)

    def _found(self) -> Iterator[tuple[int, Element]]:
        """Yield the documents that what was fed made whole."""
        events = cast("Iterator[tuple[str, Element]]", self._parser.read_events())
        for event, element in events:
            if event == "start":
                self._depth += 1
                self._started(element)
                continue
            if self._inside == self._depth:
                yield self._line_base + _line(element), element
                self._source.allow()
                self._inside = 0
            if not self._inside:
                _forget(element)
            self._depth -= 1

    def _started(self, element: Element) -> None:
        if self._depth == 1:
            about = element.getroottree().docinfo
            if about.internalDTD is not None or about.doctype:
                raise _declares(self._line_base + _line(element))
            name = str(element.tag).rpartition("}")[2]  # of a prefix never declared, with it
            prefix = f"{element.prefix}:" if element.prefix else ""
            self._end = f"</{prefix}{name}".encode()
        if self._depth > _DEPTH:
            raise BillFileError(
                f"elements lie more than {_DEPTH} deep, as in no bill: check that this is the file",
                line_no=self._line_base + _line(element),
            )
        if not self._inside and element.tag in self._tags:
            self._inside = self._depth


def _declares(line_no: int) -> BillFileError:
    return BillFileError("the file declares a DTD or entities: take it out", line_no=line_no)


def _line(element: Element) -> int:
    """Return the line an element's start tag ends in, from 1, counted from its root."""
    return cast(int, element.sourceline)


def _forget(element: Element) -> None:
    """Free an element that was read, and everything before it: memory stays flat."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def every(element: Element | None, path: str) -> list[Element]:
    """Return the elements at a path of local names, such as ``InvoicePeriod/StartDate``.

    Namespaces differ from one generation of a standard to the next; the names within do not.
    """
    found = [] if element is None else [element]
    for name in path.split("/") if path != "." else ():
        found = [child for parent in found for child in parent.iterchildren("{*}" + name)]
    return found


def first(element: Element | None, *paths: str) -> Element | None:
    """Return the first element at the first of some paths that leads anywhere."""
    for path in paths:
        found = every(element, path)
        if found:
            return found[0]
    return None


def text(element: Element | None, *paths: str) -> str:
    """Return the trimmed text at the first of some paths that has any; "" if none does."""
    for path in paths:
        for found in every(element, path):
            words = (found.text or "").strip()
            if words:
                return words
    return ""


def read_day(words: str) -> date | None:
    """Read a date as XML Schema writes it, with or without a zone or a time; blank is None.

    Raises:
        Invalid: it is no date.
    """
    if not words:
        return None
    if len(words) > len("2026-11-01") and words[10] in "Zz+-T":
        return _day(words[:10])
    return _day(words)
