"""A stream whose beginning was looked at is whole again for whoever reads it."""

import io

import pytest

from providers.streams import read_fully, rejoined

TEXT = b"0123456789"


class Socket(io.BytesIO):
    """A stream that cannot seek and gives a byte at a time, unless it is asked for all."""

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, 1))


@pytest.mark.parametrize("make", [io.BytesIO, Socket])
@pytest.mark.parametrize("sizes", [(-1,), (3, -1), (1, 2, 100), (100,)])
def test_what_was_taken_is_read_again_however_it_is_asked_for(make, sizes):
    stream = make(TEXT)
    opening = read_fully(stream, 4)
    again = rejoined(opening, stream)

    read = b"".join(again.read(size) for size in sizes)

    assert opening == TEXT[:4]
    assert read + read_fully(again, 100) == TEXT


def test_a_short_stream_is_taken_whole():
    assert read_fully(Socket(TEXT), 100) == TEXT
