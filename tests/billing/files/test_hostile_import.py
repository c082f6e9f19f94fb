"""Hostile files through the whole import: nothing lands, or all that lands is consistent."""

import io
from contextlib import suppress

import pytest
from sqlalchemy import text

from billing.files.importing import import_bills
from billing.models import BillFile, BillFileStatus
from core.db import transaction
from core.errors import BillFileError
from tests import nights
from tests.conftest import NOW
from tests.factories import topics, violations
from tests.providers.hostile import ANSWERS, HOSTILE, READERS

# One of each kind of harm, of each reader: what it says could end a COPY, a statement or a page.
LANDING = (
    "csv/formula_equals.csv", "csv/null_of_copy.csv", "csv/end_of_copy.csv",
    "csv/backslashes_in_the_name.csv", "csv/sql_in_the_account.csv", "csv/sql_in_the_name.csv",
    "csv/tab_in_the_account.csv", "csv/right_to_left.csv", "csv/escape_sequence.csv",
    "csv/beyond_64_bits.csv", "csv/ten_billion_and_more.csv", "csv/year_9999.csv",
    "csv/a_row_of_thousands.csv", "json/copy_end_in_the_name.json", "json/exponent.json",
    "json/nul_escaped.json", "json/line_break_in_the_account.json",
    "json_lines/a_line_of_each.jsonl", "own_schema/half_a_character.json",
    "xml/right_to_left.xml", "xml/many_attributes.xml", "xlsx/failed_formula.xlsx",
    "xlsx/macros.xlsm", "xlsx/exponent.xlsx", "water/name_leads_out.zip", "water/and_zeros.gz",
    "ubl/xinclude.xml", "espi/power_of_ten.xml", "pain_013/hundreds_of_digits.xml",
    "x12_810/hundreds_of_digits.edi", "x12_810/nul.edi", "cii/sound.pdf",
)  # fmt: skip
REFUSED = (
    "csv/nul_in_the_name.csv", "csv/mixed_encodings.csv", "json/deep.json", "json/key_twice.json",
    "xml/billion_laughs.xml", "xml/xinclude.xml", "xml/entity_of_a_file.xml",
    "xml/cut_short.xml", "gas/no_trailer.dat",
    "gas/sum_too_low.dat", "water/bomb.zip", "water/bomb.gz", "water/cut_short.gz",
    "water/wrong_sum.zip", "water/name_is_blank.zip", "xlsx/laughing_strings.xlsx",
    "xlsx/cell_in_the_last_corner.xlsx", "cii/attack_in_the_attachment.pdf",
    "pain_013/count_too_high.xml", "x12_810/no_iea.edi",
)  # fmt: skip


def brought_in(name: str) -> BillFile:
    """Import a hostile file; returns what became of it."""
    folder, _, _ = name.partition("/")
    data = (HOSTILE / name).read_bytes()
    bill_file_id = nights.a_file(data)
    with suppress(BillFileError):
        import_bills(bill_file_id, READERS[folder], lambda: io.BytesIO(data), now=NOW)
    with transaction() as session:
        return session.get_one(BillFile, bill_file_id)


def count(table: str) -> int:
    with transaction() as session:
        return session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize("name", LANDING)
def test_what_can_be_read_lands_and_the_books_hold(name):
    bill_file = brought_in(name)

    assert bill_file.status is BillFileStatus.IMPORTED
    assert bill_file.created + bill_file.unchanged + bill_file.rejected == bill_file.rows
    assert count("bill") == bill_file.created
    assert count("bill_file_reject") == bill_file.rejected
    assert violations() == []


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_leaves_nothing_but_the_reason(name):
    bill_file = brought_in(name)

    assert bill_file.status is BillFileStatus.REFUSED
    folder, _, file = name.partition("/")
    assert f"refused: {bill_file.complaint}".startswith(ANSWERS[folder][file])
    for table in ("bill", "utility_account", "ledger_transfer", "bill_file_reject"):
        assert count(table) == 0
    assert topics() == ["bill_file.refused"]
    assert violations() == []
