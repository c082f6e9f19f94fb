"""A file's rows wait on disk until they may land, but for those that need not land at all."""

from collections.abc import Iterable

import pytest

from billing.files.staging import Staged
from providers.base import BillRecord
from providers.bulk import NO_BILLS, Bulk
from tests.factories import a_record

ROWS = tuple(a_record(f"{at:010d}") for at in range(25))


def stretches(rows: Iterable[BillRecord]) -> list[Bulk]:
    return [Bulk(NO_BILLS, [row]) for row in rows]


def test_chunks_that_are_spared_are_kept_nowhere():
    with Staged(2) as staged:
        staged.read(iter(stretches(ROWS[:5])), look=lambda no, rows: lambda: no < 2)

        assert (staged.chunks, staged.rows) == (3, 5)
        assert staged.chunk(2)["account_no"].to_list() == [ROWS[4].account_no]
        with pytest.raises(AssertionError):
            staged.chunk(1)


def test_each_chunk_is_shown_once_and_asked_about_in_its_order_soon_after():
    told = list[tuple[str, int]]()

    def look(no, rows):
        told.append(("shown", no))
        assert rows["account_no"].to_list() == [row.account_no for row in ROWS[2 * no : 2 * no + 2]]

        def ask():
            told.append(("asked", no))
            return False

        return ask

    with Staged(2) as staged:
        staged.read(iter(stretches(ROWS)), look=look)
        kept = [staged.chunk(no) for no in range(staged.chunks)]

    assert sum(chunk.height for chunk in kept) == len(ROWS)
    for what in ("shown", "asked"):
        assert [no for happened, no in told if happened == what] == list(range(13))
    for no in range(13 - 5):  # few are in hand at a time, however long the file is
        assert told.index(("asked", no)) < told.index(("shown", no + 5))
