"""What we hold already is found out while its file is read, and it makes no difference."""

from concurrent.futures import Executor, Future
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from billing.models import BillFileStatus
from core.db import transaction
from core.errors import BillFileError
from providers.base import MeterReading
from tests.billing.files.test_landing import ROWS, kept, load
from tests.factories import a_record, bring_in, violations


class AtOnce(Executor):
    """Has time for everything: a chunk is looked at as soon as it is read."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, fn, /, *args, **kwargs):
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except (RuntimeError, psycopg.Error) as wrong:
            done.set_exception(wrong)
        return done


class Ignorant(AtOnce):
    """Knows none."""

    def submit(self, fn, /, *args, **kwargs):
        unasked: Future[Any] = Future()
        unasked.set_result(False)
        return unasked


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("billing.files.ahead.ThreadPoolExecutor", AtOnce)


@pytest.fixture
def in_twos(monkeypatch):
    monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", 2)


def notes() -> list[tuple[Any, ...]]:
    """What was told of the latest file's rows: after which, up to which, how many unchanged."""
    with transaction() as session:
        found = session.execute(
            text("""
            SELECT (facts ->> 'after_row')::int, (facts ->> 'upto_row')::int,
                   (facts ->> 'unchanged')::int
            FROM outbox_event WHERE topic = 'bills.recorded'
            AND subject_id::bigint = (SELECT max(id) FROM bill_file) ORDER BY id
        """)
        )
        return [tuple(row) for row in found]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, others=ROWS, kept_rows=st.integers(0, 14))
def test_a_file_that_comes_again_with_changes_leaves_the_same(rows, others, kept_rows, city):
    left = []
    for pool in (AtOnce, Ignorant):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr("billing.files.ahead.ThreadPoolExecutor", pool)
            load(rows, monkeypatch, lanes=2)
            again = [*rows[:kept_rows], *others]
            left.append(load(again, monkeypatch, lanes=2, emptied=False))

    assert left[0] == left[1]
    assert violations() == []


@pytest.mark.usefixtures("city", "at_once", "in_twos")
class TestRowsWeHold:
    ROWS = tuple(a_record(f"{at:010d}") for at in range(5))

    def test_are_noted_in_one_go(self):
        bring_in("water", *self.ROWS)

        result = bring_in("water", *self.ROWS)

        assert (result.rows, result.unchanged, result.created) == (5, 5, 0)
        assert notes() == [(0, 5, 5)]

    def test_are_looked_at_no_further_than_the_first_that_changes(self):
        bring_in("water", *self.ROWS)
        changed = self.ROWS[2]._replace(version=2, amount_fen=9_000)

        result = bring_in("water", *self.ROWS[:2], changed, *self.ROWS[3:])

        assert (result.unchanged, result.superseded) == (4, 1)
        assert notes()[0] == (0, 2, 2)
        assert sum(unchanged for *_, unchanged in notes()) == 4

    def test_land_as_ever_when_they_say_something_new_of_the_meter(self):
        bring_in("water", *self.ROWS)
        read = MeterReading(meter_no="M1")

        bring_in("water", *(row._replace(reading=read) for row in self.ROWS))

        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill_reading")).scalar_one() == 5

    def test_land_as_ever_when_they_bring_another_holder(self):
        bring_in("water", *self.ROWS)

        bring_in("water", *(row._replace(holder_name="李琰") for row in self.ROWS))

        with transaction() as session:
            names = session.execute(text("SELECT DISTINCT holder_name FROM utility_account"))
            assert names.scalars().all() == ["李琰"]

    def test_count_for_nothing_when_the_last_line_refuses_the_file(self):
        bring_in("water", *self.ROWS)
        before = kept()

        with pytest.raises(BillFileError, match="control total"):
            bring_in("water", *self.ROWS, refuse="the control total is wrong")

        after = kept()
        for ours in (before, after):
            ours.pop("bill_file")
        assert after == before
        assert notes() == []
        with transaction() as session:
            newest = text("SELECT status, rows_done FROM bill_file ORDER BY id DESC LIMIT 1")
            assert tuple(session.execute(newest).one()) == (BillFileStatus.REFUSED, 0)

    def test_land_as_ever_when_a_lock_is_in_the_way(self, monkeypatch):
        def locked(*_: Any) -> None:
            raise psycopg.errors.LockNotAvailable

        bring_in("water", *self.ROWS)
        monkeypatch.setattr("billing.files.ahead.held", locked)

        assert bring_in("water", *self.ROWS).unchanged == 5

    def test_stop_the_import_when_they_cannot_be_compared(self, monkeypatch):
        def broken(*_: Any) -> None:
            raise RuntimeError("the database went away")

        monkeypatch.setattr("billing.files.ahead.held", broken)

        with pytest.raises(RuntimeError, match="went away"):
            bring_in("water", *self.ROWS)
