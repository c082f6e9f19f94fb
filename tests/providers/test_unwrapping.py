"""Compressed files: what is unpacked, and what is refused before it fills anything."""

import gzip
import io
import tracemalloc
import zipfile
import zlib
from collections import deque

import pytest

from core.errors import BillFileError
from providers.base import BillRecord
from providers.formats import unwrapping
from providers.formats.unwrapping import unwrapped
from providers.registry import reader_for
from tests.providers.contract import Dripping
from tests.providers.files import MAKERS, WATER


def unpacked(data: bytes, *, takes_zip: bool = False) -> bytes:
    with unwrapped(io.BytesIO(data), takes_zip=takes_zip) as stream:
        return stream.read()


def refusal(data: bytes, *, takes_zip: bool = False) -> str:
    with pytest.raises(BillFileError) as refused:
        unpacked(data, takes_zip=takes_zip)
    return refused.value.message


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return packed.getvalue()


class TestAPackedFile:
    @pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.code)
    def test_is_read_as_if_it_were_not_packed(self, maker):
        data = maker.file({}, {})
        reader = reader_for(maker.code)

        for packed in (gzip.compress(data), zipped(bills=data)):
            assert list(reader.read(io.BytesIO(packed))) == list(reader.read(io.BytesIO(data)))

    def test_may_be_several_gzip_streams_and_padding(self):
        assert unpacked(gzip.compress(b"one,") + gzip.compress(b"two") + b"\0" * 9) == b"one,two"

    def test_may_come_from_a_stream_that_cannot_seek(self):
        data = zipped(bills=b"text" * 1_000)
        drip = Dripping(data[at : at + 7] for at in range(0, len(data), 7))

        with unwrapped(drip) as stream:
            assert stream.read() == b"text" * 1_000

    def test_may_lie_in_a_folder_beside_what_a_desktop_left(self):
        litter = {"a__b.txt": b"text", "__MACOSX__a__._b.txt": b"x", "a__.DS_Store": b"x"}

        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a/", b"")
            for name, data in litter.items():
                archive.writestr(name.replace("__MACOSX__", "__MACOSX/").replace("a__", "a/"), data)

        assert unpacked(packed.getvalue()) == b"text"

    def test_that_is_a_workbook_is_left_to_its_own_reader(self):
        book = zipped(xl__workbook_xml=b"x").replace(b"workbook_xml", b"workbook.xml")

        assert unpacked(book) == book
        assert unpacked(book, takes_zip=True) == book


class TestARefusedArchive:
    def test_holds_one_file(self):
        assert "2 files ('a', 'b') instead of one" in refusal(zipped(a=b"1", b=b"2"))
        assert "no file instead of one" in refusal(zipped(a__=b""))

    def test_is_packed_once(self):
        assert "another archive" in refusal(zipped(a=gzip.compress(b"text")))
        assert "another archive" in refusal(gzip.compress(zipped(a=b"text")))
        assert "another archive" in refusal(gzip.compress(gzip.compress(b"text")))

    def test_has_no_password(self):
        locked = bytearray(zipped(a=b"text"))
        for header in (b"PK\x03\x04", b"PK\x01\x02"):
            locked[locked.index(header) + (6 if header[2] == 3 else 8)] |= 1

        assert "password" in refusal(bytes(locked))

    @pytest.mark.parametrize("cut", [12, 30, 60])
    def test_is_whole(self, cut):
        data = bytes(range(256)) * 4

        assert "damaged" in refusal(gzip.compress(data)[:-cut])
        assert "damaged" in refusal(zipped(a=data)[:-cut])

    def test_keeps_its_check_sums(self):
        packed = bytearray(gzip.compress(b"text" * 100))
        packed[-6] ^= 0xFF

        assert "check sums" in refusal(bytes(packed))

    @pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped(a=data)])
    def test_does_not_unpack_into_far_more_than_it_was(self, pack):
        bomb = pack(b"0" * 60_000_000)

        tracemalloc.start()
        with (
            unwrapped(io.BytesIO(bomb)) as stream,
            pytest.raises(BillFileError, match="200 times its size"),
        ):
            deque(iter(lambda: stream.read(65_536), b""), maxlen=0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 2_000_000

    def test_does_not_pass_the_absolute_limit(self, monkeypatch):
        monkeypatch.setattr(unwrapping, "_LIMIT", 10_000)

        assert "more than" in refusal(gzip.compress(b"text" * 3_000))

    def test_says_so_when_a_bomb_lies_about_its_size(self):
        """The size in the list of contents is not believed: what comes out is counted."""
        packed = bytearray(zipped(a=b"0" * 60_000_000))
        at = packed.index(b"PK\x01\x02")
        packed[at + 24 : at + 28] = (10).to_bytes(4, "little")

        with pytest.raises(BillFileError):
            unpacked(bytes(packed))

    @pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00"])
    def test_of_another_kind_is_named_by_the_reader(self, magic):
        with pytest.raises(BillFileError, match="archive"):
            list(reader_for("water").read(io.BytesIO(magic + WATER.file({}))))

    def test_is_told_from_a_text_that_begins_alike(self):
        with unwrapped(io.BytesIO(b"PK|1|2")) as stream:
            assert stream.read() == b"PK|1|2"

    def test_of_zlib_alone_is_no_archive(self):
        data = zlib.compress(b"text")

        assert unpacked(data) == data


def test_a_plain_file_is_passed_on_untouched():
    rows = list(reader_for("water").read(io.BytesIO(WATER.file({}, {}))))

    assert sum(isinstance(row, BillRecord) for row in rows) == 2
