"""X12 EDI: an interchange in segments, and the counts and numbers its envelopes promise.

The separators are read from the ISA itself, by place: the element separator may be any character
(the New York guides use ``~``), and so may the end of a segment, a line break among them.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from core.errors import BillFileError
from providers.formats.cells import shown
from providers.formats.encodings import DETECT, opened, shown_encoding
from providers.formats.text import refuse_not_text

_BLOCK: Final = 64 * 1024
_LONGEST: Final = 64 * 1024  # characters of one segment
_ISA_ELEMENTS: Final = 16
_TEST_AT: Final = 15  # "T" for a test, "P" for production
_ISA_LENGTH: Final = 256  # 106 as it should be; people trim its blanks, and pad them
_CHARACTER: Final = 4  # bytes of the longest one
_WESTERN: Final = ("utf-8", "detect", "ascii")
_BLANK: Final = " \t\r\n\x1a\x0b\x0c"
_BOM: Final = b"\xef\xbb\xbf"


class Segment(NamedTuple):
    """``number`` counts the file's segments from 1: many a file is one line."""

    number: int
    name: str
    elements: tuple[str, ...]  # the name is the first, so that ``elements[1]`` is BIG01

    def get(self, at: int) -> str:
        """Return an element without its blanks, "" where there is none; ``get(1)`` is BIG01."""
        return self.elements[at].strip() if at < len(self.elements) else ""


class TransactionSet(NamedTuple):
    """What stands between an ST and its SE."""

    kind: str
    number: int  # the segment number of its ST
    segments: tuple[Segment, ...]


class Opened(NamedTuple):
    """An interchange begins; ``identity`` is its own among all that the sender sends."""

    identity: str


def transaction_sets(
    stream: BinaryIO, encoding: str, *, limit: int
) -> Iterator[Opened | TransactionSet]:
    """Yield what an X12 file holds, each envelope's promises kept.

    Raises:
        BillFileError: it is not X12, it was cut short, or a count or control number is wrong; the
            line named is the number of the segment. Or a set has more than ``limit`` segments.
    """
    envelope = _Envelope(limit)
    for segment in segments(stream, encoding):
        yield from envelope.take(segment)
    envelope.close()


def segments(stream: BinaryIO, encoding: str) -> Iterator[Segment]:
    """Cut a stream into segments.

    Raises:
        BillFileError: it does not begin with an ISA, or a segment has no end.
    """
    source = _Source(stream, encoding)
    number, separator, end = 0, "", ""
    while opening := source.opening(_ISA_LENGTH):
        if opening.startswith("ISA"):
            separator, end = _separators(opening, number + 1)
        elif not number:
            raise BillFileError(
                f"the file begins with {shown(opening[:16])}, not with an ISA segment: send the"
                " whole interchange as X12 has it, from ISA to IEA",
                line_no=1,
            )
        whole = source.cut(end, number + 1)
        if not whole:  # two ends, one after the other
            continue
        number += 1
        elements = tuple(whole.split(separator))
        yield Segment(number, elements[0], elements)


def _separators(opening: str, number: int) -> tuple[str, str]:
    """Return the element separator and the end of a segment, by their place in the ISA."""
    separator = opening[3:4]
    at = 3
    for _ in range(_ISA_ELEMENTS - 1):
        at = opening.find(separator, at + 1)
        if at < 0:
            break
    end = opening[at + 2 : at + 3]
    if at < 0 or not end or end.isalnum() or end in (" ", separator) or separator.isalnum():
        raise BillFileError(
            "the ISA segment does not have its 16 elements, so its separators cannot be told: send"
            " the interchange as its system wrote it",
            line_no=number,
        )
    return separator, end


class _Source:
    """The text of a stream, cut from its front."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream, _ = opened(stream, DETECT if encoding in _WESTERN else encoding)
        # What Western systems write is UTF-8 or, byte by byte, cp1252; else it is as agreed.
        self._encodings = ("utf-8", "cp1252") if encoding in _WESTERN else (encoding,)
        self._rest = b""  # bytes of a character that is not whole yet
        self._ended = False
        self._opened = False
        self._text = ""
        self._at = 0  # what of the text is cut off

    def opening(self, size: int) -> str:
        """Return what comes next, up to ``size`` characters from the first that is not blank."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if len(self._text) - self._at >= size or self._ended:
                return self._text[self._at : self._at + size]
            self._more()

    def cut(self, end: str, number: int) -> str:
        """Return what stands before ``end``, and go behind it."""
        found = self._text.find(end, self._at)
        while found < 0 and not self._ended and len(self._text) - self._at <= _LONGEST:
            self._more()
            found = self._text.find(end)
        if (found if found >= 0 else len(self._text)) - self._at > _LONGEST:
            raise BillFileError(
                f"the segment is longer than {_LONGEST} characters, as none is: check that segments"
                f" end in {end!r} as the ISA says",
                line_no=number,
            )
        if found < 0:  # the last segment, whose end people leave out
            found = len(self._text)
        whole = self._text[self._at : found]
        self._at = found + len(end)
        return whole.rstrip(_BLANK)

    def _more(self) -> None:
        block = self._stream.read(_BLOCK)
        if not self._opened:
            refuse_not_text(block)
            block = block.removeprefix(_BOM)
            self._opened = True
        self._ended = not block
        self._text = self._text[self._at :] + self._decoded(self._rest + block)
        self._at = 0

    def _decoded(self, data: bytes) -> str:
        """Decode what is whole; the beginning of a character is kept for later.

        Raises:
            BillFileError: it is not in the agreed encoding.
        """
        self._rest = b""
        for encoding in self._encodings:
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as wrong:
                if not self._ended and len(data) - wrong.start < _CHARACTER and wrong.start:
                    self._rest = data[wrong.start :]
                    return data[: wrong.start].decode(encoding)
        if "cp1252" in self._encodings:
            return data.decode("latin-1")
        raise BillFileError(
            f"the file is not {shown_encoding(self._encodings[0])}: save it so, or set its encoding"
            " in the profile's [file]"
        )


class _Envelope:
    """Where in ISA, GS and ST we are, and what was counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._isa: Segment | None = None
        self._test: Segment | None = None
        self._gs: Segment | None = None
        self._st: Segment | None = None
        self._held: list[Segment] = []
        self._groups = 0
        self._sets = 0
        self._last = 0

    def take(self, segment: Segment) -> Iterator[Opened | TransactionSet]:
        self._last = segment.number
        name = segment.name
        if name in ("ISA", "IEA", "GS", "GE", "ST", "SE"):
            yield from self._envelope(segment, name)
        elif self._st is not None:
            if len(self._held) >= self._limit:
                raise BillFileError(
                    f"the transaction set has more than {self._limit} segments: check that this is"
                    " the bill file, or send one set per bill",
                    line_no=segment.number,
                )
            self._held.append(segment)
        elif name not in ("TA1", "ISB", "ISE"):
            raise _misplaced(segment, "ST")

    def _envelope(self, segment: Segment, name: str) -> Iterator[Opened | TransactionSet]:
        if name == "ISA":
            self._open(segment, self._isa is None, "IEA")
            self._isa, self._groups = segment, 0
            if segment.get(_TEST_AT).upper() == "T":
                self._test = self._test or segment
            yield Opened("-".join(segment.get(at) for at in (9, 10, 13)))
        elif name == "GS":
            self._open(segment, self._isa is not None and self._gs is None, "GE")
            self._gs, self._sets = segment, 0
        elif name == "ST":
            self._open(segment, self._gs is not None and self._st is None, "SE")
            self._st, self._held = segment, []
        elif name == "SE":
            st = self._closed(segment, self._st, "ST")
            _count(segment, len(self._held) + 2, "segments")
            _same(segment, st.get(2), "ST02")
            self._st, self._sets = None, self._sets + 1
            yield TransactionSet(st.get(1), st.number, tuple(self._held))
        elif name == "GE":
            gs = self._closed(segment, self._gs if self._st is None else None, "GS")
            _count(segment, self._sets, "transaction sets")
            _same(segment, gs.get(6), "GS06")
            self._gs, self._groups = None, self._groups + 1
        else:
            isa = self._closed(segment, self._isa if self._gs is None else None, "ISA")
            _count(segment, self._groups, "functional groups")
            _same(segment, isa.get(13), "ISA13")
            self._isa = None

    @staticmethod
    def _open(segment: Segment, is_right: bool, missing: str) -> None:
        if not is_right:
            raise _misplaced(segment, missing)

    @staticmethod
    def _closed(segment: Segment, opened: Segment | None, missing: str) -> Segment:
        if opened is None:
            raise _misplaced(segment, missing)
        return opened

    def close(self) -> None:
        """End the file.

        Raises:
            BillFileError: an envelope is still open, there never was one, or it is a test.
        """
        if not self._last:
            raise BillFileError("the file is empty: send it again with its bills", line_no=1)
        for left, missing in ((self._st, "SE"), (self._gs, "GE"), (self._isa, "IEA")):
            if left is not None:
                raise BillFileError(
                    f"the file ends without the {missing} that closes {left.name}"
                    f" {shown(left.get(2 if left.name == 'ST' else 1))}: it was cut short; send"
                    " it again",
                    line_no=self._last,
                )
        if self._test is not None:  # last, so that a trial shows what would land
            raise BillFileError(
                "the interchange says it is a test (ISA15 is T), and its bills are asked of nobody:"
                " have it sent with P",
                line_no=self._test.number,
                column="ISA15",
            )


def _misplaced(segment: Segment, missing: str) -> BillFileError:
    return BillFileError(
        f"{shown(segment.name)} stands where {missing} must have come before it: a segment was lost"
        " or is no part of X12; send the file again as its system wrote it",
        line_no=segment.number,
        column=segment.name[:8] or None,
    )


def _count(segment: Segment, counted: int, what: str) -> None:
    stated = segment.get(1)
    if not (stated.isascii() and stated.isdigit()) or len(stated) > 10 or int(stated) != counted:
        raise BillFileError(
            f"it says {shown(stated)} {what} but {counted} were read: the file was cut or changed"
            " on the way; send it again",
            line_no=segment.number,
            column=f"{segment.name}01",
        )


def _same(segment: Segment, opened: str, where: str) -> None:
    stated = segment.get(2)
    if stated.lstrip("0") != opened.lstrip("0"):
        raise BillFileError(
            f"it closes number {shown(stated)} but {where} opened {shown(opened)}: two files were"
            " mixed; send it again",
            line_no=segment.number,
            column=f"{segment.name}02",
        )
