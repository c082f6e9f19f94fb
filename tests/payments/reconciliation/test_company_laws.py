"""Whatever companies tell of days, in any order: runs converge to what a reader would say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import billing_date
from tests.conftest import as_owner, empty_city
from tests.factories import at_once
from tests.payments.reconciliation.company_days import (
    EARLY,
    LATE,
    a_paid_part,
    found,
    on,
    refuse,
    row_of,
    run,
    the_day,
    written_off,
)
from tests.providers.confirmation_writers import BACK, DONE, REFUSED, Told

DAYS = range(4)  # what is paid at noon of the first has to be written off on the third
Lists = Mapping[int, Sequence[Told]]


class Ours(NamedTuple):
    """A write-off as we hold it: of which day, if we do."""

    row: Told
    day: int | None


@pytest.fixture(scope="module")
def ours(database_url: str) -> Iterator[list[Ours]]:
    """Written off on either side of a midnight and later, paid and overdue, and sent back."""
    held = [(written_off(100, at=on(0, LATE)), 0), (written_off(200, at=on(1, EARLY)), 1),
            (written_off(300, at=on(2)), 2), (a_paid_part(400), 2),
            (refuse(a_paid_part(500)), None)]  # fmt: skip
    yield [Ours(row_of(item), day) for item, day in held]
    empty_city()


def forget() -> None:
    with as_owner(unguarded=True) as connection:
        for table in ("confirmation_arrival", "confirmation_row", "confirmation_file",
                      "reconciliation_break"):  # fmt: skip
            connection.exec_driver_sql(f"DELETE FROM {table}")


def all_found(days: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    return {day: sorted((kind, number) for kind, number, *_ in found(day)) for day in days}


def a_reader_says(ours: Sequence[Ours], lists: Lists) -> dict[int, list[tuple[str, str]]]:
    """Read all lists at once, as a person would with pencil and paper."""
    said = {day: [row for row in rows if row.kind is not REFUSED] for day, rows in lists.items()}
    everything = [(day, row) for day in sorted(said) for row in said[day]]
    verdicts: dict[int, list[tuple[str, str]]] = {day: [] for day in lists}
    known = {one.row.number: one for one in ours}
    for number, one in known.items():
        told = any(row.number == number for _, row in everything)
        if one.day in lists and one.day + 1 in lists and not told:
            verdicts[one.day].append(("paid_not_written_off", number))
    for number in {row.number for _, row in everything}:
        rows = [(day, row) for day, row in everything if row.number == number]
        stands = sum(1 if row.kind is DONE else -1 for _, row in rows)
        held = number in known and known[number].day is not None
        seen = 0
        for day in sorted({day for day, _ in rows}):
            done = [row for at, row in rows if at == day and row.kind is DONE]
            seen += len(done)
            if not held:
                kind = "written_off_unpaid" if done and stands > 0 else ""
            elif stands > 1:
                kind = "duplicate" if done and seen > 1 else ""
            elif stands < 1:
                undone = any(at == day and row.kind is BACK for at, row in rows)
                kind = "paid_not_written_off" if undone else ""
            else:
                differs = sum(row.fen for _, row in rows) != known[number].row.fen
                kind = "amount_differs" if done and differs else ""
            if kind:
                verdicts[day].append((kind, number))
    return {day: sorted(found) for day, found in verdicts.items()}


@st.composite
def lists(draw: st.DrawFn, ours: Sequence[Ours]) -> dict[int, list[Told]]:
    """Draw what a company says of four days: often right, sometimes anything."""
    told: dict[int, list[Told]] = {day: [] for day in DAYS}
    stranger = ours[0].row._replace(number="unknown-1", fen=1_234)
    for one in [*ours, Ours(stranger, None)]:
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
            near = st.sampled_from(DAYS if one.day is None else [one.day, one.day, one.day + 1, 0])
            day = draw(near)
            kind = draw(st.sampled_from([DONE, DONE, DONE, BACK, REFUSED]))
            fen = one.row.fen + draw(st.sampled_from([0, 0, 0, 1, -1]))
            seconds = day * 86_400 + draw(st.sampled_from([EARLY, LATE]))
            told[day].append(one.row._replace(
                kind=kind, fen=-fen if kind is BACK else fen, seconds=seconds,
            ))  # fmt: skip
    return told


@settings(max_examples=12)
@given(data=st.data())
def test_any_order_of_runs_converges_to_what_a_reader_of_all_lists_says(ours, data):
    told = data.draw(lists(ours))
    wrong = data.draw(lists(ours))
    mistaken = data.draw(st.lists(st.sampled_from(DAYS), max_size=2))
    order = data.draw(st.permutations([*DAYS, *data.draw(st.lists(st.sampled_from(DAYS)))]))
    forget()

    for day in mistaken:
        run(wrong[day], day)
    for day in order:
        run(told[day], day)

    assert all_found(DAYS) == a_reader_says(ours, told)


@settings(max_examples=6)
@given(data=st.data())
def test_a_list_that_never_comes_leaves_its_neighbours_as_they_are_said(ours, data):
    told = data.draw(lists(ours))
    here = data.draw(st.permutations(DAYS))[: data.draw(st.integers(1, 3))]
    forget()

    for day in here:
        run(told[day], day)

    assert all_found(here) == a_reader_says(ours, {day: told[day] for day in here})


@settings(max_examples=8)
@given(data=st.data())
def test_rows_without_our_number_converge_too(ours, data):
    told = data.draw(lists(ours))
    for day, rows in told.items():
        told[day] = [one._replace(number=data.draw(st.sampled_from([one.number, ""])))
                     for one in rows]  # fmt: skip
    results = []
    for order in (DAYS, data.draw(st.permutations(DAYS))):
        forget()
        for day in order:
            run(told[day], day)
        results.append(all_found(DAYS))

    assert results[0] == results[1]


@settings(max_examples=3)
@given(data=st.data())
def test_so_do_runs_at_one_moment(ours, data):
    told = data.draw(lists(ours))
    forget()

    ended = at_once([lambda day=day: run(told[day], day) for day in (*DAYS, *DAYS)])

    assert [one for one in ended if isinstance(one, Exception)] == []
    assert all_found(DAYS) == a_reader_says(ours, told)


def test_the_days_are_those_of_the_city():
    assert [billing_date(on(0, LATE)), billing_date(on(1, EARLY))] == [the_day(0), the_day(1)]
