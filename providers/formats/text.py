"""What every format asks of the bytes before it reads a row.

Is this text at all, in the encoding the company agreed, in lines of a sane length? Every answer of
no is a `BillFileError` that names the line, the byte and the remedy.
"""

import codecs
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO, Final

from core.errors import BillFileError
from providers.formats.encodings import (
    DETECT,
    decodes,
    opened,
    refuse_other_encoding,
    settle,
)
from providers.formats.encodings import shown_encoding as shown_encoding
from providers.streams import read_fully

LINE_LIMIT: Final = 64 * 1024
_BLOCK: Final = LINE_LIMIT  # so that only a block's first line can pass the limit

_TAIL: Final = 4_096
# What ends the lines of a file that has no LF: CR of the old Mac, NEL of mainframes, U+2028.
_OTHER_ENDS: Final = (b"\r", b"\xc2\x85", b"\xe2\x80\xa8")

_BOM: Final = codecs.BOM_UTF8
_NOT_TEXT: Final = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ustar", "a tar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (xls)"),
    (b"BZh", "a bzip2 archive"),
    (codecs.BOM_UTF16_LE, "text in UTF-16"),
    (codecs.BOM_UTF16_BE, "text in UTF-16"),
)
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def numbered_lines(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield ``(line_no, text)`` of every line that is not empty, without its line end.

    ``encoding`` may be ``detect``: it is settled at the first line that is not ASCII.

    Raises:
        BillFileError: not text, not in ``encoding``, or a line beyond `LINE_LIMIT`.
    """
    for first_no, text in numbered_blocks(stream, encoding):
        for line_no, line in enumerate(text.split("\n"), first_no):
            if line and line[0] == "\ufeff":  # files put together have their marks in the middle
                line = line[1:]
            if line:
                yield line_no, line


def numbered_blocks(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield whole lines by the block, with the number of the first; see `numbered_lines`.

    Raises:
        BillFileError: as `numbered_lines`.
    """
    stream, encoding = opened(stream, encoding)
    decode = codecs.getdecoder("ascii" if encoding == DETECT else encoding)
    for first_no, block in _blocks(stream, encoding):
        if encoding == DETECT and not block.isascii():
            encoding = settle(first_no, block)
            decode = codecs.getdecoder(encoding)
        try:
            yield first_no, decode(block)[0]
        except UnicodeDecodeError:
            raise _undecodable_line(first_no, block, encoding) from None


def numbered_byte_lines(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, bytes]]:
    """Yield ``(line_no, bytes)`` as `numbered_lines` does, undecoded: for widths in bytes."""
    for first_no, block in _blocks(stream, encoding):
        for line_no, line in enumerate(block.split(b"\n"), first_no):
            if line:
                yield line_no, line


def _blocks(stream: BinaryIO, encoding: str) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines by the block, with the number of the first; the last newline is cut off."""
    opening = read_fully(stream, _BLOCK)
    refuse_not_text(opening)
    chunk = _without_bom(opening, encoding)
    if not chunk.strip():
        raise BillFileError("the file is empty: send it again with its bills in it", line_no=1)
    refuse_other_encoding(chunk, encoding)
    line_no, tail = 1, b""
    other_end = _other_end(chunk, encoding)
    while chunk:
        if other_end:
            tail, chunk = b"", (tail + chunk).replace(other_end, b"\n")
        whole, newline, rest = (tail + chunk).rpartition(b"\n")
        if b"\0" in chunk:
            raise nul_byte(line_no, tail + chunk)
        if newline:
            _refuse_long_first_line(line_no, whole)
            yield line_no, _unix_ends(whole)
            line_no += whole.count(b"\n") + 1
        if len(rest) > LINE_LIMIT:
            raise _line_too_long(line_no)
        tail = rest
        chunk = stream.read(_BLOCK)
    if tail:
        yield line_no, _unix_ends(tail)


def _other_end(opening: bytes, encoding: str) -> bytes:
    """Return what ends lines where nothing does that usually does; b"" where LF does."""
    if b"\n" in opening:
        return b""
    end = next((end for end in _OTHER_ENDS if end in opening), b"")
    if len(end) < 2 or encoding == "utf-8":
        return end
    is_utf_8 = encoding == DETECT and decodes(opening.rpartition(end)[0], "utf-8")
    return end if is_utf_8 else b""


def unix_ends(body: bytes, encoding: str) -> bytes:
    """Return the beginning of a file with line ends as `numbered_blocks` sees them."""
    end = _other_end(body, encoding)
    return body.replace(end, b"\n") if end else _unix_ends(body)


def _unix_ends(block: bytes) -> bytes:
    if b"\r" not in block:
        return block
    if b"\r\r\n" in block:  # text mode wrote CRLF a second time
        block = block.replace(b"\r\r\n", b"\n")
    return block.replace(b"\r\n", b"\n").rstrip(b"\r")


def _without_bom(opening: bytes, encoding: str) -> bytes:
    if not opening.startswith(_BOM):
        return opening
    if encoding != "utf-8":
        raise BillFileError(
            f"the file begins with a UTF-8 byte order mark but must be {shown_encoding(encoding)}:"
            f" save it as {shown_encoding(encoding)}",
            line_no=1,
        )
    return opening[len(_BOM) :]


def _refuse_long_first_line(line_no: int, whole: bytes) -> None:
    if len(whole) > LINE_LIMIT:
        end = whole.find(b"\n")
        if end < 0 or end > LINE_LIMIT:
            raise _line_too_long(line_no)


def _line_too_long(line_no: int) -> BillFileError:
    return BillFileError(
        f"the line is longer than {LINE_LIMIT} bytes, as no bill is:"
        " check that rows end in a line break and that this is the bill file",
        line_no=line_no,
    )


def refuse_not_text(opening: bytes) -> None:
    """Refuse an archive, a workbook or a document by its first bytes.

    Raises:
        BillFileError: naming what the file is.
    """
    opening = b"ustar" if opening[257:262] == b"ustar" else opening
    for magic, what in _NOT_TEXT:
        if opening.startswith(magic):
            if what == "a zip archive" and (b"xl/" in opening or b"[Content_Types]" in opening):
                what = "an Excel workbook (xlsx)"
            raise BillFileError(
                f"the file is {what}, not the agreed text:"
                " unpack or export it and send the text file itself",
                line_no=1,
            )


def nul_byte(line_no: int, data: bytes, *, before: int = 0) -> BillFileError:
    """Return the refusal of ``data``, which holds a NUL byte.

    Its first byte stands in line ``line_no``, after ``before`` others.
    """
    at = data.index(b"\0")
    line_start = data.rfind(b"\n", 0, at) + 1 or -before
    return BillFileError(
        f"a NUL byte stands at byte {at - line_start + 1} of the line: the file was damaged"
        " or is not text; send it again from the source",
        line_no=line_no + data.count(b"\n", 0, at),
    )


def undecodable(
    line_no: int, line: bytes, offset: int, encoding: str, *, before: int = 0
) -> BillFileError:
    """Return the refusal of a line whose byte at ``offset`` (from 0) is not in ``encoding``.

    ``line`` may lack its first ``before`` bytes.
    """
    wanted = shown_encoding(encoding)
    other = "gb18030" if encoding == "utf-8" else "utf-8"
    looks = ""
    if decodes(line, other):
        looks = f"; the line looks like {shown_encoding(other)}"
    return BillFileError(
        f"byte {before + offset + 1} of the line (0x{line[offset]:02X}) is not {wanted}{looks}:"
        f" save the file as {wanted} and send it again",
        line_no=line_no,
    )


def _undecodable_line(first_no: int, block: bytes, encoding: str) -> BillFileError:
    """Find the first undecodable line of a block."""
    for line_no, line in enumerate(block.split(b"\n"), first_no):
        try:
            line.decode(encoding)
        except UnicodeDecodeError as wrong:
            return undecodable(line_no, line, wrong.start, encoding)
    raise AssertionError("a block that does not decode has a line that does not")


def unseen_character(text: str) -> str | None:
    """Return what a text must not hold (a control or invisible character), or None when clean."""
    if text.isprintable():
        return None
    for at, mark in enumerate(text, 1):
        if unicodedata.category(mark) in _UNSEEN:
            return (
                f"character {at} is U+{ord(mark):04X}, a control or invisible character:"
                " take it out"
            )
    return None  # spaces other than U+0020, private use, and characters newer than this Python


class GuardedStream:
    """A UTF-8 stream under guard, for a parser that reads by itself.

    ``allow`` restarts the budget: what may be read until the parser's user finds something whole.
    """

    def __init__(self, stream: BinaryIO, *, budget: int) -> None:
        self._stream = stream
        self._budget = budget
        self._left = budget
        self._opened = False
        self._line_no = 1
        self._tail = b""  # the last bytes of the line that the last read ended in
        self._before = 0  # how many bytes of that line stand before them
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def allow(self) -> None:
        self._left = self._budget

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes that are UTF-8 without a NUL.

        Raises:
            BillFileError: they are not, or the budget is used up.
        """
        if self._opened:
            chunk = self._stream.read(size)
        else:
            chunk = read_fully(self._stream, size)
            self._opened = True
            refuse_not_text(chunk)
            if not chunk.removeprefix(_BOM).strip():
                raise BillFileError("the file is empty: send it again with its bills", line_no=1)
        self._left -= len(chunk)
        if self._left < 0:
            raise BillFileError(
                f"{self._budget} bytes go by without one whole bill:"
                " check that this is the bill file and that no text runs on",
                line_no=self._line_no,
            )
        self._judge(chunk)
        return chunk

    def _judge(self, chunk: bytes) -> None:
        seen = self._tail + chunk
        if b"\0" in chunk:
            raise nul_byte(self._line_no, seen, before=self._before)
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as wrong:
            raise self._undecodable(seen, len(self._tail) - pending + wrong.start) from None
        line_start = seen.rfind(b"\n") + 1
        if line_start:
            self._line_no += seen.count(b"\n")
            self._before = 0
        self._tail = seen[max(line_start, len(seen) - _TAIL) :]
        self._before += len(seen) - line_start - len(self._tail)

    def _undecodable(self, seen: bytes, at: int) -> BillFileError:
        start = seen.rfind(b"\n", 0, at) + 1
        end = seen.find(b"\n", at)
        line = seen[start : end if end >= 0 else len(seen)]
        line_no = self._line_no + seen.count(b"\n", 0, at)
        before = 0 if start else self._before
        return undecodable(line_no, line, at - start, "utf-8", before=before)
