"""Judged column by column or row by row, a file is the same file."""

import io

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from billing.files.staging import ROWS, Staged
from core.errors import BillFileError
from core.money import parse_fen, parse_yuan
from core.money_columns import fen_to_fen, sure_of_fen, sure_of_yuan, yuan_to_fen
from providers.base import BillFileReader
from providers.bulk import BulkReader, read_bulk
from providers.formats.columnar import is_columnar
from providers.formats.columnar_reader import ColumnarReader
from providers.formats.delimited import DelimitedReader
from providers.profiles import Profile
from providers.registry import PROVIDERS
from tests.providers.files import POWER, WATER, Maker, Row

CELLS = st.sampled_from([
    "", "0", "00", "-0", "-0.00", "0.00", "0.0", "0.05", "-0.05", "86.5", "86.50", "086.50", "+1",
    "1,000.00", "1e3", "-12.34", "99999999999999.99", "12.345", "１２.00", "25", "025", "50.5",
    "50.123", "50.1234", "1.", ".5", "20260230", "20261101", "20261031", "2026-11-01", "2026-11-31",
    "202610", "202613", "2026-10", "00010101", "N", "C", "R", "X", "1", "2", "99", "100", "01",
    "1000000001", "10000000012", "W-202610-1", "a\tb", "a\u200bb", "a\u00a0b", "a　b", "張 瑋",
    '"', 'a"b', "a\\b", "{}", "𠮷䶮", "\ue000", "P-1", "D", "T", "3100000000001", " 86.50",
])  # fmt: skip
MAKERS = pytest.mark.parametrize("maker", [WATER, POWER], ids=lambda maker: maker.code)


def profile_of(maker: Maker) -> Profile:
    profile = PROVIDERS[maker.code].profile
    assert profile is not None
    return profile


def plain(maker: Maker) -> Row:
    """Return changes that make the sample row one without quotation marks."""
    return {maker.names["address"]: "示例路2号"}


def staged(reader: BillFileReader, data: bytes) -> object:
    """Return all that is staged of a file, or why it is refused."""
    with Staged(3) as rows:
        try:
            rows.read(read_bulk(reader, io.BytesIO(data)))
        except BillFileError as refused:
            return str(refused)
        chunks = [rows.chunk(number) for number in range(rows.chunks)]
        found = pl.concat(chunks) if chunks else ROWS.to_frame()
        return found.select(sorted(ROWS)).rows(), sorted(rows.reject_lines()), rows.heading


def numberless(found: object) -> object:
    """Leave out the running number of a reject: files are read by stretches of any length."""
    if isinstance(found, str):
        return found
    rows, rejects, heading = found
    return rows, sorted(line.split("\t", 1)[1] for line in rejects), heading


def both_ways(maker: Maker, data: bytes) -> tuple[object, object]:
    profile = profile_of(maker)
    by_columns, by_rows = ColumnarReader(profile), DelimitedReader(profile)
    assert isinstance(by_columns, BulkReader)
    assert not isinstance(by_rows, BulkReader)
    return numberless(staged(by_columns, data)), numberless(staged(by_rows, data))


@MAKERS
def test_the_citys_tabular_companies_are_read_by_columns(maker):
    assert is_columnar(profile_of(maker))


@MAKERS
@settings(max_examples=400)
@given(
    changes=st.lists(st.dictionaries(st.integers(0, 14), CELLS, max_size=2), min_size=1, max_size=6)
)
@example(changes=[{}, {}, {}])
def test_any_cells_are_judged_alike(maker, changes):
    names = list(maker.row)
    rows = [
        plain(maker) | {names[at % len(names)]: text for at, text in one.items()} for one in changes
    ]

    by_columns, by_rows = both_ways(maker, maker.file(*rows, total="0"))

    assert by_columns == by_rows


@MAKERS
@settings(max_examples=300)
@given(at=st.integers(0, 900), put=st.binary(max_size=4), cut=st.integers(0, 4))
def test_a_damaged_file_is_judged_alike(maker, at, put, cut):
    data = maker.file({}, {}, {})
    at %= len(data)

    by_columns, by_rows = both_ways(maker, data[:at] + put + data[at + cut :])

    assert by_columns == by_rows


def test_a_bill_after_the_trailer_is_refused_either_way():
    good = WATER.file({}, {})
    more = good + WATER.line(WATER.row) + b"\n"

    by_columns, by_rows = both_ways(WATER, more)

    assert by_columns == by_rows
    assert "after the trailer" in str(by_rows)


@given(text=st.from_regex(r"-?[0-9]{0,14}(\.[0-9]{0,3})?", fullmatch=True))
def test_a_column_of_yuan_reads_as_its_cells_do(text):
    frame = pl.DataFrame({"cell": [text]})
    sure, fen = frame.select(sure_of_yuan(pl.col("cell")), fen=yuan_to_fen(pl.col("cell"))).row(0)

    if sure:
        assert fen == parse_yuan(text)


@given(text=st.from_regex(r"-?[0-9]{0,17}", fullmatch=True))
def test_a_column_of_fen_reads_as_its_cells_do(text):
    frame = pl.DataFrame({"cell": [text]})
    sure, fen = frame.select(sure_of_fen(pl.col("cell")), fen=fen_to_fen(pl.col("cell"))).row(0)

    if sure:
        assert fen == parse_fen(text)


@pytest.mark.parametrize("text", ["0", "0.00", "0.0", "86.5", "86.50", "86", "-0.05", "-12.34"])
def test_the_usual_amounts_are_beyond_doubt(text):
    assert pl.DataFrame({"cell": [text]}).select(sure_of_yuan(pl.col("cell"))).item()


@MAKERS
def test_a_sound_file_needs_nobody_to_look_at_its_rows(maker):
    data = maker.file(*[plain(maker)] * 3)
    parts = list(ColumnarReader(profile_of(maker)).read_bulk(io.BytesIO(data)))

    assert parts[-1].frame.height == 3
    assert parts[-1].others == []
