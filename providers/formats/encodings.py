"""In which encoding a file is: as declared and not contradicted, or told from its bytes.

UTF-16 and EBCDIC are rewritten as UTF-8 as they are read, because their line ends are other bytes.
"""

import codecs
import io
import re
from typing import BinaryIO, Final, cast

from charset_normalizer import from_bytes

from core.errors import BillFileError
from providers.formats.mainframe import EBCDIC
from providers.streams import read_fully, rejoined

DETECT: Final = "detect"
_SAMPLE: Final = 4_096
_CHUNK: Final = 64 * 1024
_NAMES: Final = {
    "utf-8": "UTF-8", "gb18030": "GB18030", "big5": "Big5", "utf-16": "UTF-16",
    "cp037": "EBCDIC (cp037)", "cp273": "EBCDIC (cp273)",
    "cp500": "EBCDIC (cp500)", "cp1140": "EBCDIC (cp1140)",
    "latin-1": "Latin-1", "cp1252": "Windows-1252", "ascii": "ASCII",
}  # fmt: skip
_CJK = re.compile("[\u3400-\u9fff]")
_FOREIGN = re.compile("[^\x00-\x7f]")
_RUN = re.compile(rb"[\x80-\xff]+")
_JUDGED: Final = 2_000  # characters are enough to tell one encoding from another


def shown_encoding(encoding: str) -> str:
    """Return an encoding's name as people write it."""
    return _NAMES.get(encoding, encoding)


def opened(stream: BinaryIO, encoding: str) -> tuple[BinaryIO, str]:
    """Return a stream whose lines end in a newline byte, and the encoding to read it in.

    Raises:
        BillFileError: declared as UTF-16 and not so.
    """
    if encoding in EBCDIC:
        return cast(BinaryIO, _Rewritten(stream, encoding)), "utf-8"
    if encoding not in ("utf-16", DETECT):
        return stream, "gb18030" if encoding in ("gbk", "gb2312") else encoding
    opening = read_fully(stream, _SAMPLE)
    order = _byte_order(opening)
    if order is not None:
        return cast(BinaryIO, _Rewritten(rejoined(opening, stream), order)), "utf-8"
    if encoding == "utf-16" and opening.strip():
        raise BillFileError(
            "the file must be UTF-16 but its bytes are not: save it as UTF-16 or say in the"
            " profile which encoding it has",
            line_no=1,
        )
    settled = "utf-8" if opening.startswith(codecs.BOM_UTF8) else DETECT
    return rejoined(opening, stream), settled


def _byte_order(opening: bytes) -> str | None:
    """Tell UTF-16 by its mark, or by the zero bytes beside every digit and delimiter."""
    if opening.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32-le" if opening.startswith(codecs.BOM_UTF32_LE) else "utf-32-be"
    if opening.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if opening.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    pairs = len(opening) // 2
    first, second = opening[0::2].count(0), opening[1::2].count(0)
    if second * 20 > pairs and second >= 4 and second > 4 * first:
        return "utf-16-le"
    if first * 20 > pairs and first >= 4 and first > 4 * second:
        return "utf-16-be"
    return None


class _Rewritten(io.RawIOBase):
    """A stream in UTF-16, UTF-32 or EBCDIC read as UTF-8."""

    def __init__(self, stream: BinaryIO, order: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(order)()
        self._line_no, self._begun = 1, False

    def read(self, size: int = -1) -> bytes:
        while True:
            chunk = self._stream.read(min(size, _CHUNK) if size > 0 else _CHUNK)
            try:
                text = self._decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as wrong:
                lines = wrong.object[: wrong.start].decode(wrong.encoding, "ignore").count("\n")
                raise BillFileError(
                    f"the text in {wrong.encoding.upper()[:6]} is broken or was cut short:"
                    " save it again and send it",
                    line_no=self._line_no + lines,
                ) from None
            if text and not self._begun:
                self._begun, text = True, text.removeprefix("\ufeff")
            self._line_no += text.count("\n")
            if text or not chunk:
                return text.encode()


def settle(first_no: int, block: bytes) -> str:
    """Tell the encoding of a block of whole lines that is not all ASCII.

    In this order: strict UTF-8; damaged UTF-8, so that the damage is what gets named; Western
    text, whose accented letters stand one by one; GB18030 or Big5, of whichever its everyday
    characters are more.

    Raises:
        BillFileError: it is none of them.
    """
    if decodes(block, "utf-8") or _nearly_utf8(block):
        return "utf-8"
    runs = _RUN.findall(block)
    if all(len(run) == 1 for run in runs) and decodes(block, "cp1252"):
        return "cp1252"
    found = [name for name in ("gb18030", "big5") if decodes(block, name)]
    if found:
        return max(found, key=lambda name: _everyday(block, name))
    if decodes(block, "cp1252") and sum(map(len, runs)) < 2 * len(runs):
        return "cp1252"
    raise _unknown(first_no, block)


def _nearly_utf8(block: bytes) -> bool:
    text = block.decode("utf-8", "replace")
    foreign = sum(not mark.isascii() for mark in text)
    return foreign > 10 * text.count("\ufffd")


def _everyday(block: bytes, encoding: str) -> int:
    """Return how many in a thousand characters are among the everyday ones of an encoding."""
    foreign = [mark for mark in block.decode(encoding) if not mark.isascii()][:_JUDGED]
    codec, low, high = ("gb2312", 0xA1, 0xD7) if encoding == "gb18030" else ("big5", 0xA1, 0xC6)
    common = 0
    for mark in foreign:
        try:
            common += low <= mark.encode(codec)[0] <= high
        except UnicodeEncodeError:
            continue
    return common * 1000 // len(foreign) if foreign else 0


def _unknown(first_no: int, block: bytes) -> BillFileError:
    wrong = (
        line_no
        for line_no, line in enumerate(block.split(b"\n"), first_no)
        if not decodes(line, "utf-8") and not decodes(line, "gb18030")
    )
    best = from_bytes(block[:_SAMPLE]).best()
    looks = "" if best is None else f"; it may be {best.encoding}"
    return BillFileError(
        f"the text is neither UTF-8 nor GB18030 nor Big5{looks}: save the file as UTF-8 and send"
        " it again",
        line_no=next(wrong, first_no),
    )


def decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def refuse_other_encoding(opening: bytes, encoding: str) -> None:
    """Refuse UTF-8 that the declared encoding would read as other, wrong characters.

    Chance pairs exist (the GB18030 bytes of 联通 are also UTF-8), so two witnesses are asked: the
    opening is UTF-8 with Chinese in it, and as GB18030 it holds characters outside GB2312. Western
    text that happens to be UTF-8 is no chance at all.

    Raises:
        BillFileError: naming the first line that shows it.
    """
    if encoding not in ("gb18030", "latin-1", "cp1252") or opening.isascii():
        return
    sample = opening[: opening.rfind(b"\n") + 1] or opening
    try:
        as_utf8 = sample.decode("utf-8")
    except UnicodeDecodeError:
        return
    foreign = (_CJK if encoding == "gb18030" else _FOREIGN).search(as_utf8)
    if foreign is None or (encoding == "gb18030" and _reads(sample, "gb18030", "gb2312")):
        return
    wanted = shown_encoding(encoding)
    raise BillFileError(
        f"the file looks like UTF-8 but must be {wanted}: save it as {wanted} and send it again",
        line_no=as_utf8.count("\n", 0, foreign.start()) + 1,
    )


def _reads(sample: bytes, encoding: str, narrower: str) -> bool:
    """Tell whether a sample is in an encoding, and within a narrower one."""
    try:
        sample.decode(encoding).encode(narrower)
    except UnicodeError:
        return False
    return True
