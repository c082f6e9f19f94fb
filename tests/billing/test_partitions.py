"""A month's partitions: made once, by whoever comes first."""

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from billing.ledger import books
from billing.partitions import PARTITIONED, ensure_ahead, ensure_months
from core.clock import add_months
from core.db import transaction
from core.keys import month_key, month_of, month_range
from tests.conftest import as_owner
from tests.factories import NOW, at_once


def partitions() -> set[str]:
    with transaction() as session:
        found = session.execute(
            text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        )
        return set(found.scalars())


@pytest.fixture(scope="module", autouse=True)
def _as_it_was(database_url: str) -> Iterator[None]:
    """Take the months of these tests away again: every later test would carry them along."""
    before = partitions()
    yield
    with as_owner() as connection:
        for name in sorted(partitions() - before):
            table = name.rpartition("_y")[0]
            connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name}"))
            connection.execute(text(f"DROP TABLE {name}"))


def names(*months: date) -> set[str]:
    return {f"{table}_y{month:%Ym%m}" for table in PARTITIONED for month in months}


@pytest.mark.usefixtures("city")
class TestEnsureMonths:
    def test_eight_threads_make_the_same_months_once(self):
        months = {date(2031, 1, 15), date(2031, 2, 1), date(2031, 3, 31)}

        def make() -> None:
            with transaction() as session:
                ensure_months(session, months)

        assert at_once([make] * 8) == [None] * 8
        assert names(*months) <= partitions()

    def test_threads_that_overlap_in_other_orders_all_get_through(self):
        def make(first: int) -> None:
            for offset in range(4):
                with transaction() as session:
                    ensure_months(session, {date(2032, (first + offset) % 6 + 1, 1)})

        assert at_once([lambda n=n: make(n) for n in range(8)]) == [None] * 8
        assert names(*(date(2032, month, 1) for month in range(1, 7))) <= partitions()

    def test_months_far_apart_each_take_their_own_rows(self):
        months = [date(2000, 1, 1), date(2026, 11, 1), date(2340, 12, 1)]

        with transaction() as session:
            ensure_months(session, set(months))
            for month in months:
                move = books.Move(1, month_key(month, 1), "far", "a", "b", 1)
                assert books.post(session, [move], now=NOW) == 1

        assert names(*months) <= partitions()

    def test_again_makes_nothing(self):
        with transaction() as session:
            ensure_months(session, {date(2033, 5, 5)})
        before = partitions()

        with transaction() as session:
            ensure_months(session, {date(2033, 5, 31)})

        assert partitions() == before

    def test_a_new_months_transfers_cannot_be_thrown_away(self):
        with transaction() as session:
            ensure_months(session, {date(2034, 1, 1)})

        for change in ("TRUNCATE ledger_transfer_y2034m01", "DELETE FROM ledger_transfer_y2034m01"):
            with transaction() as session:
                books.post(
                    session,
                    [books.Move(1, month_key(date(2034, 1, 1), 1), "kept", "a", "b", 1)],
                    now=NOW,
                )
            with pytest.raises(DatabaseError, match="permission denied"), transaction() as session:
                session.execute(text(change))
            with pytest.raises(DatabaseError, match="append-only"), as_owner() as connection:
                connection.execute(text(change))

    def test_the_months_around_today_are_there_before_anybody_needs_them(self):
        with transaction() as session:
            ensure_ahead(session, today=date(2035, 12, 31))

        around = {add_months(date(2035, 12, 1), offset) for offset in range(-2, 4)}
        assert names(*around) <= partitions()


class TestKeys:
    def test_a_key_lies_within_its_months_range_and_no_other(self):
        for month in (date(2000, 1, 1), date(2026, 12, 1), date(2341, 4, 1)):
            first, after = month_range(month)

            assert month_of(first) == month_of(after - 1) == month
            assert month_range(add_months(month, -1))[1] == first if month.year > 2000 else True
