"""What is handed in packed unpacks to no more than a file of a day can have."""

import gzip
import io
import random
import struct
import zipfile

import pytest

from core.errors import SettlementFileError
from payments.packed import ZIP, unpacked


def a_zip(*members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for at, raw in enumerate(members):
            archive.writestr(f"{at}.gz", raw)
    return out.getvalue()


def test_packed_files_in_a_zip_count_together():
    packed = gzip.compress(b"a" * 600)

    assert len(unpacked(a_zip(packed, packed), limit_bytes=1_200)) == 2
    with pytest.raises(SettlementFileError):
        unpacked(a_zip(packed, packed), limit_bytes=1_199)


def test_a_gzip_of_very_many_parts_takes_no_longer_than_its_bytes():
    [member] = unpacked(gzip.compress(b"") * 100_000 + gzip.compress(b"a") + b"behind it")

    assert member.raw == b"a"


@pytest.mark.parametrize("cut", [1, 9, 5_000])
def test_a_gzip_cut_short_is_refused(cut):
    packed = gzip.compress(random.Random(1).randbytes(20_000))

    assert len(unpacked(packed)[0].raw) == 20_000
    with pytest.raises(SettlementFileError):
        unpacked(packed[:-cut])


def test_a_zip_of_very_many_members_is_refused_before_they_are_listed():
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 16)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(entry) * 200_000, 0, 0)

    with pytest.raises(SettlementFileError, match="more than"):
        unpacked(ZIP[0] + entry * 200_000 + end)


def test_bare_and_packed_ones_too():
    with pytest.raises(SettlementFileError):
        unpacked(a_zip(gzip.compress(b"a" * 600), b"b" * 600), limit_bytes=1_199)
