"""Byte streams whose beginning must be looked at before anybody reads them."""

import io
from typing import IO, BinaryIO, cast


def read_fully(stream: IO[bytes], size: int) -> bytes:
    """Read ``size`` bytes or up to the end, however little the stream gives at a time."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def rejoined(opening: bytes, stream: BinaryIO) -> BinaryIO:
    """Return a stream from its beginning again, ``opening`` being what was taken from it."""
    seekable = getattr(stream, "seekable", None)
    if seekable is not None and seekable():
        stream.seek(-len(opening), io.SEEK_CUR)
        return stream
    return cast(BinaryIO, _Rejoined(opening, stream))


class _Rejoined(io.RawIOBase):
    """A stream that cannot seek, with the bytes taken from it put back."""

    def __init__(self, opening: bytes, stream: BinaryIO) -> None:
        self._opening = opening
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._opening:
            return self._stream.read(size)
        if size < 0:
            part, self._opening = self._opening + self._stream.read(), b""
            return part
        part, self._opening = self._opening[:size], self._opening[size:]
        return part
