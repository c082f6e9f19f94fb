"""A file lands the same whatever is done side by side."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.files import landing
from core.db import transaction
from providers.base import LineItem, RecordKind
from tests.conftest import empty_city
from tests.factories import MONTH, a_record, bring_in, violations

ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),  # account
        st.integers(0, 2),  # bill
        st.integers(1, 4),  # version
        st.sampled_from([8_650, 8_650, 1, 0, -500]),
        st.sampled_from([RecordKind.BILL] * 4 + [RecordKind.CANCEL]),
    ),
    min_size=1,
    max_size=14,
)
KEPT = {
    "bill JOIN utility_account a ON a.id = account_id": "account_no, bill_no, version, amount_fen,"
    " file_line_no, cancelled_at IS NULL",
    "bill_version JOIN utility_account a ON a.id = account_id": "account_no, version, amount_fen",
    "ledger_transfer JOIN utility_account a ON a.id = account_id": "account_no, subject_id,"
    " entry_key, debit_account_id, credit_account_id, amount_fen",
    "bill_file_reject": "line_no, reason, raw",
    "bill_file": "rows, rows_done, created, unchanged, superseded, cancelled, rejected, total_fen",
}


def kept() -> dict[str, list[Any]]:
    """Return all there is of bills; accounts by their numbers: a lost race uses up ids."""
    with transaction() as session:
        return {
            table: sorted(map(repr, session.execute(text(f"SELECT {columns} FROM {table}"))))
            for table, columns in KEPT.items()
        }


def load(
    rows: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    lanes: int,
    emptied: bool = True,
    chunk_rows: int = 2,
) -> dict[str, list[Any]]:
    if emptied:
        empty_city()
    monkeypatch.setattr(landing, "LANES", lanes)
    monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", chunk_rows)
    records = [
        a_record(
            f"{account:010d}", f"R{row % 4}" if kind is RecordKind.REMIND else f"B{bill}",
            original_no=f"B{bill}" if kind is RecordKind.REMIND else "",
            version=version, kind=kind, amount_fen=amount_fen, billing_month=MONTH,
        )
        for row, (account, bill, version, amount_fen, kind) in enumerate(rows)
    ]  # fmt: skip
    bring_in("water", *records)
    return kept()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_two_lanes_leave_what_one_leaves(rows, city):
    with pytest.MonkeyPatch.context() as monkeypatch:
        alone = load(rows, monkeypatch, lanes=1)
        together = load(rows, monkeypatch, lanes=2)

    assert together == alone
    assert violations() == []


EVERY_KIND = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(1, 3),
        st.sampled_from([8_650, 8_650, 1, 0]),
        st.sampled_from([RecordKind.BILL] * 2 + list(RecordKind)),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=EVERY_KIND)
def test_it_does_not_matter_where_a_file_is_cut_into_chunks(rows, city):
    with pytest.MonkeyPatch.context() as monkeypatch:
        whole = load(rows, monkeypatch, lanes=1, chunk_rows=8)
        cut = {size: load(rows, monkeypatch, lanes=1, chunk_rows=size) for size in (1, 3)}

    assert cut == {1: whole, 3: whole}
    assert violations() == []


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize("column", ["account_no", "bill_no", "holder_name", "address"])
@pytest.mark.parametrize("mark", ["\t", "\n", "\r", "\0", "\x7f"])
def test_a_control_character_rejects_its_row_and_breaks_no_other(column, mark):
    odd = a_record("0000000001")
    odd = odd._replace(**{column: f"1{mark}2"})

    result = bring_in("water", odd, a_record("0000000002"))

    assert (result.created, result.rejected) == (1, 1)


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize("text_", ["a\\tb", "\\N", "\\.", "a\\", '"', "''", "{}", "𠮷䶮"])
def test_texts_come_back_as_they_went(text_):
    items = (LineItem(text_, None, text_, 8_650),)
    record = a_record("0000000001", text_, holder_name=text_, address=text_, items=items)

    bring_in("water", record, a_record("0000000002"))

    with transaction() as session:
        row = session.execute(
            text(
                "SELECT bill_no, holder_name, address, items FROM bill"
                " JOIN utility_account a ON a.id = account_id WHERE account_no = '0000000001'"
            )
        ).one()
    assert row == (text_, text_, text_, [[text_, None, text_, 8_650]])


@pytest.mark.usefixtures("city")
class TestCorrectionsByNumber:
    """Of standards whose corrections have numbers of their own and name the bill they correct."""

    FIRST = a_record("0000000001")
    CORRECT = FIRST._replace(kind=RecordKind.CORRECT, version=2, amount_fen=9_000)

    def test_a_correction_takes_the_place_of_its_bill(self):
        bring_in("water", self.FIRST)

        assert bring_in("water", self.CORRECT).superseded == 1
        assert bring_in("water", self.CORRECT).unchanged == 1

    def test_a_correction_of_a_bill_nobody_holds_is_no_bill(self):
        bring_in("water", self.FIRST)
        astray = self.CORRECT._replace(bill_no="C-1")  # names the correction before, not the bill

        result = bring_in("water", astray)

        assert (result.created, result.rejected) == (0, 1)
        with transaction() as session:
            assert (
                "corrects a bill we do not hold"
                in session.execute(text("SELECT reason FROM bill_file_reject")).scalar_one()
            )

    @pytest.mark.parametrize("chunk_rows", [1, 2])
    def test_a_correction_that_stands_before_its_bill_is_rejected(self, chunk_rows, monkeypatch):
        monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", chunk_rows)

        result = bring_in("water", self.CORRECT, self.FIRST)

        assert (result.created, result.superseded, result.rejected) == (1, 0, 1)

    def test_a_bill_and_its_correction_may_come_in_one_file(self):
        result = bring_in("water", self.FIRST, self.CORRECT)

        assert (result.created, result.superseded) == (1, 1)
        assert violations() == []
