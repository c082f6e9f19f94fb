"""The contract of every bill file reader, whatever its format: for our samples and outsiders'.

A module of samples appends to `SAMPLES`; a test module makes the tests run over them::

    class TestMine(BillFileContract): ...


    def pytest_generate_tests(metafunc):
        over_samples(metafunc, MY_SAMPLES)
"""

import io
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BillFileError
from providers.base import BillRecord, Heading, LineItem, RecordKind, Reject
from providers.profiles import Profile, parse_profile
from providers.registry import reader_from

FACTS = """
code = "sample"
name = "示例水务"
name_en = "Sample Water"
service = "water"
phone = "000-0000-0099"
biller_no = "9099"
"""


@dataclass(frozen=True)
class Sample:
    """A file, the profile it is read by, and what must come of it.

    ``row`` is a part of ``data`` that may stand there any number of times: where it is given, the
    memory of reading a long file is measured.
    """

    name: str
    profile: Profile
    data: bytes
    expected: tuple[BillRecord, ...]
    rejects: int = 0
    row: bytes = b""


SAMPLES: list[Sample] = []


def profile_of(toml: str) -> Profile:
    """Read a profile of the sample company."""
    return parse_profile(FACTS + toml, "sample.toml")


def bill(line_no: int, **changes: Any) -> BillRecord:
    """Make the bill that samples are about: 25 m³ of water in October 2026 for 86.50 yuan."""
    record = BillRecord(
        line_no, RecordKind.BILL, "1000000001", "张珅", "示例路1号", date(2026, 10, 1), "B-1", 1,
        date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 20), Decimal(25),
        "m³", 8_650, (LineItem("金额", Decimal(25), "m³", 8_650),),
    )  # fmt: skip
    return record._replace(**changes)


def read(sample: Sample, data: bytes) -> list[Heading | BillRecord | Reject]:
    return list(reader_from(sample.profile).read(io.BytesIO(data)))


class Dripping(io.RawIOBase):
    """A stream that cannot seek and gives little at a time."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


def over_samples(metafunc: pytest.Metafunc, samples: Sequence[Sample]) -> None:
    if "sample" in metafunc.fixturenames:
        metafunc.parametrize("sample", samples, ids=lambda sample: sample.name)


def nothing_but_a_refusal(sample: Sample, data: bytes) -> None:
    with suppress(BillFileError):
        for row in reader_from(sample.profile).read(io.BytesIO(data)):
            assert isinstance(row, Heading | BillRecord | Reject)


OFTEN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)


class BillFileContract:
    def test_every_row_comes_back_in_file_order_with_its_line(self, sample: Sample) -> None:
        rows = read(sample, sample.data)

        records = [row for row in rows if isinstance(row, BillRecord)]
        assert tuple(records) == sample.expected
        lines = [row.line_no for row in rows if not isinstance(row, Heading)]
        assert lines == sorted(lines)

    def test_a_heading_comes_first_and_once(self, sample: Sample) -> None:
        rows = read(sample, sample.data)

        assert not any(isinstance(row, Heading) for row in rows[1:])

    def test_a_reject_names_its_line_its_reason_and_the_row(self, sample: Sample) -> None:
        rejects = [row for row in read(sample, sample.data) if isinstance(row, Reject)]

        assert len(rejects) == sample.rejects
        for rejected in rejects:
            assert rejected.line_no > 0
            assert rejected.reason
            assert rejected.raw
            assert len(rejected.raw) <= 500

    def test_the_lines_of_a_bill_make_its_amount(self, sample: Sample) -> None:
        for record in sample.expected:
            assert sum(item.amount_fen for item in record.items) == record.amount_fen

    def test_a_stream_may_give_its_bytes_one_by_one(self, sample: Sample) -> None:
        drip = Dripping(sample.data[at : at + 1] for at in range(len(sample.data)))

        assert list(reader_from(sample.profile).read(drip)) == read(sample, sample.data)

    def test_the_file_may_come_packed(self, sample: Sample) -> None:
        gzip = zlib.compressobj(wbits=31)
        packed = gzip.compress(sample.data) + gzip.flush()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("folder/", b"")
            zipped.writestr("folder/bills", sample.data)
            zipped.writestr("__MACOSX/folder/._bills", b"x")

        assert read(sample, packed) == read(sample, sample.data)
        if sample.profile.file.format != "spreadsheet":
            assert read(sample, archive.getvalue()) == read(sample, sample.data)

    def test_an_empty_file_is_refused(self, sample: Sample) -> None:
        with pytest.raises(BillFileError):
            read(sample, b"")

    @OFTEN
    @given(data=st.binary(max_size=400))
    def test_arbitrary_bytes_raise_nothing_but_a_bill_file_error(
        self, sample: Sample, data: bytes
    ) -> None:
        nothing_but_a_refusal(sample, data)

    @OFTEN
    @given(at=st.integers(0, 5_000), put=st.binary(max_size=4), cut=st.integers(0, 4))
    def test_a_damaged_file_raises_nothing_but_a_bill_file_error(
        self, sample: Sample, at: int, put: bytes, cut: int
    ) -> None:
        at %= len(sample.data)

        nothing_but_a_refusal(sample, sample.data[:at] + put + sample.data[at + cut :])

    def test_memory_does_not_grow_with_the_file(self, sample: Sample) -> None:
        if not sample.row:
            return  # its rows may not be repeated: a sequence, control totals …
        before, _, after = sample.data.partition(sample.row)
        count = 3_000_000 // len(sample.row)
        chunks = iter([before, *[sample.row * 10] * (count // 10), after])

        tracemalloc.start()
        seen = sum(1 for _ in reader_from(sample.profile).read(Dripping(chunks)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert seen >= len(sample.expected)
        assert peak < 2_500_000
