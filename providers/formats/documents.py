"""Whole documents (JSON, XML) as UTF-8 under guard, whatever encoding they come in."""

import codecs
import io
import re
from typing import Any, BinaryIO, Final, cast

from core.errors import BillFileError
from providers.formats.encodings import DETECT, opened, settle, shown_encoding
from providers.formats.json_relaxed import Relaxed
from providers.formats.text import GuardedStream, refuse_not_text

BUDGET: Final = 1024 * 1024  # bytes within which one whole bill must pass: bounds memory
_SAMPLE: Final = 64 * 1024
_BOM: Final = codecs.BOM_UTF8
_DECLARATION = re.compile(
    rb"""\s*<\?xml\s[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']"""
)
_LATE = re.compile(rb"(\s+)(<\?xml\s[^>]{0,400}\?>)")
_CODECS: Final = {
    "utf8": "utf-8", "utf16": "utf-16", "gb18030": "gb18030", "gbk": "gb18030",
    "cp936": "gb18030", "gb2312": "gb18030", "big5": "big5", "usascii": "ascii", "ascii": "ascii",
    "iso88591": "latin-1", "windows1252": "cp1252",
}  # fmt: skip


def guarded_json(
    stream: BinaryIO, encoding: str, *, budget: int = BUDGET, relaxed: bool = False
) -> GuardedStream:
    """Return a JSON document under guard; ``relaxed`` takes its comments out on the way.

    Raises:
        BillFileError: it is not in ``encoding``, or an archive, or nothing.
    """
    plain, encoding = opened(stream, encoding)
    source = _Source(plain)
    if encoding == DETECT:
        sample = source.sample
        whole = sample[: sample.rfind(b'"') + 1] or sample
        encoding = "utf-8" if whole.isascii() else settle(1, whole)
    return _guarded(source, encoding, budget, relaxed=relaxed)


def guarded_xml(stream: BinaryIO, otherwise: str) -> GuardedStream:
    """Return an XML document under guard, read in the encoding that it declares.

    Args:
        stream: the document.
        otherwise: the encoding of a document that declares none.

    Raises:
        BillFileError: it declares one that nobody agreed, or is not in it.
    """
    plain, encoding = opened(stream, DETECT)
    source = _Source(plain)
    if encoding == DETECT:
        declared = _DECLARATION.match(source.sample.removeprefix(_BOM))
        encoding = "utf-8" if otherwise == DETECT else otherwise
        if declared is not None:
            encoding = _codec(declared.group(1).decode("ascii"))
    return _guarded(source, encoding, BUDGET)


def _codec(name: str) -> str:
    codec = _CODECS.get(re.sub("[-_]", "", name.lower()))
    if codec is None:
        raise BillFileError(
            f"the file declares the encoding {name}, which is not read: save it as UTF-8", line_no=1
        )
    if codec == "utf-16":
        raise BillFileError(
            f"the file declares {name} but its bytes are not: save it in the encoding it declares",
            line_no=1,
        )
    return codec


class _Source(io.RawIOBase):
    """A stream that can be looked at before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._kept = b""
        while len(self._kept) < _SAMPLE and (part := stream.read(_SAMPLE - len(self._kept))):
            self._kept += part
        self.sample = self._kept

    def read(self, size: int = -1) -> bytes:
        if self._kept:
            part, self._kept = self._kept[:size], self._kept[size:]
            return part
        return self._stream.read(size)


def _guarded(
    source: _Source, encoding: str, budget: int, *, relaxed: bool = False
) -> GuardedStream:
    refuse_not_text(source.sample)
    plain: Any = source if encoding == "utf-8" else _Recoded(source, encoding)
    plain = Relaxed(plain) if relaxed else plain
    return GuardedStream(cast(BinaryIO, _WithoutMark(plain)), budget=budget)


class _WithoutMark:
    """A UTF-8 stream without its byte order mark, which a parser may not know."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._opened = False

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if self._opened or not chunk:
            return chunk
        self._opened = True
        chunk = chunk.removeprefix(_BOM)
        late = _LATE.match(chunk)
        if late is not None:  # a parser wants it first; line ends go behind it, so that they count
            chunk = late[2] + b"\n" * late[1].count(b"\n") + chunk[late.end() :]
        return chunk or self._stream.read(size)


class _Recoded:
    """A stream in another encoding, read as UTF-8."""

    def __init__(self, stream: _Source, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._line_no = 1

    def read(self, size: int = -1) -> bytes:
        while True:
            chunk = self._stream.read(size)
            pending = self._decoder.getstate()[0]
            try:
                text = self._decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as wrong:
                raise self._undecodable(pending + chunk, wrong.start) from None
            self._line_no += text.count("\n")
            if text or not chunk:
                return text.encode()

    def _undecodable(self, data: bytes, at: int) -> BillFileError:
        wanted = shown_encoding(self._encoding)
        return BillFileError(
            f"a byte of the line (0x{data[at]:02X}) is not {wanted}, as the file declares or the"
            f" profile says: save the file as {wanted} and send it again",
            line_no=self._line_no + data.count(b"\n", 0, at),
        )
