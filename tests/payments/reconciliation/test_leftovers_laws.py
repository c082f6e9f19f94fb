"""Whatever gateways tell of their days, in any order and however often: it ends in the same."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.db import transaction
from core.money import yuan_text
from core.settings import AgreedFee, SourceTerms
from payments.gateways.base import GatewayStatus
from payments.gateways.sandbox import Sandbox
from payments.models import Payment
from payments.reconciliation.gateway.matching import ReconciliationResult, get_result
from payments.reconciliation.models import KINDS, BreakKind, Leg
from tests.conftest import as_owner, empty_city
from tests.factories import a_home, a_payment, at_once, book
from tests.payments.reconciliation.test_leftovers import Other, told
from tests.payments.reconciliation.test_matching import DAY

DAYS = range(3)
SOURCES: dict[str, type[Sandbox]] = {"sandbox": Sandbox, "other": Other}
TERMS = {"sandbox": SourceTerms(fee=AgreedFee(rate_ppm=6_000)), "other": SourceTerms(file_days=1)}
NOON, MIDNIGHT = timedelta(hours=4), timedelta(hours=15, minutes=59)
File = tuple[str, int]
Files = Mapping[File, Sequence[tuple[str, ...]]]


class Ours(NamedTuple):
    payment: Payment
    source: str
    at: datetime


def at(day: int, hours: timedelta = NOON) -> datetime:
    return datetime.fromisoformat("2026-11-20T00:00:00Z") + timedelta(days=day) + hours


def the_day(day: int) -> date:
    return DAY + timedelta(days=day)


@pytest.fixture(scope="module")
def ours(database_url: str) -> Iterator[list[Ours]]:
    """At noon and at midnight, of equal sums and of others, one bill paid by two gateways."""
    held = []
    for source, fen, moment in (
        ("sandbox", 100, at(0)), ("sandbox", 100, at(0)), ("sandbox", 200, at(0, MIDNIGHT)),
        ("sandbox", 300, at(1)), ("other", 100, at(0)), ("other", 300, at(1, MIDNIGHT)),
    ):  # fmt: skip
        payment = a_payment(a_home(fen), gateway=source)
        ref = f"g-{payment.order_no}"
        payment = book(payment, GatewayStatus.PAID, paid_at=moment, gateway_ref=ref)
        held.append(Ours(payment, source, moment))
    yield held
    empty_city()


def forget() -> None:
    with as_owner(unguarded=True) as connection:
        for table in ("gateway_match", "settlement_left", "reconciliation_break", "reconciliation",
                      "settlement_arrival", "settlement_row", "settlement_file"):  # fmt: skip
            connection.exec_driver_sql(f"DELETE FROM {table}")


@st.composite
def files(draw: st.DrawFn, ours: Sequence[Ours]) -> dict[File, list[tuple[str, ...]]]:
    """Draw what gateways say of three days: often right, sometimes anything."""
    told: dict[File, list[tuple[str, ...]]] = {(code, day): [] for code in SOURCES for day in DAYS}
    often = st.sampled_from([0, 0, 0, 1])
    for number, one in enumerate(ours):
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2]))):
            day = (one.at.date() - DAY).days + draw(st.sampled_from([0, 0, 0, 1, -1]))
            source = draw(st.sampled_from([one.source] * 4 + [*SOURCES]))
            named, known = draw(often) == 0, draw(often) == 0
            ref = one.payment.gateway_ref or "" if known else f"s{number}-{draw(often)}"
            fen = one.payment.amount_fen + draw(often)
            moment = one.at + timedelta(minutes=draw(st.sampled_from([0, 0, 29, 31])))
            fee = draw(st.sampled_from(["0.01", "0.02"]))
            row = ("payment", one.payment.order_no if named else "", ref, "", "", yuan_text(fen),
                   fee, moment.isoformat().replace("+00:00", "Z"))  # fmt: skip
            told[source, min(max(day, 0), 2)].append(row)
    return told


def run(files: Files, file: File) -> ReconciliationResult:
    source, day = file
    rows = [list(row) for row in files[file]]
    return told(rows, the_day(day), by=SOURCES[source], sources=TERMS)


def state() -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What stands at the end: the differences, and what was matched how."""
    with transaction() as session:
        found = session.execute(
            text("""
                SELECT source, day, kind, reference, elsewhere, ours_fen, theirs_fen
                FROM reconciliation_break WHERE state = 'open' ORDER BY 1, 2, 4, 3
            """)
        )
        matches = session.execute(
            text("""
                SELECT source, parts, found_by, amount_fen FROM gateway_match
                WHERE undone_at IS NULL ORDER BY 1, 2
            """)
        )
        return [tuple(row) for row in found], [tuple(row) for row in matches]


def every_row_of_ours_is_told_once(order: Sequence[File]) -> None:
    for source, day in set(order):
        with transaction() as session:
            result = get_result(session, source, the_day(day))
            differ = session.execute(
                text("""
                    SELECT count(*) FROM reconciliation_break
                    WHERE (source, day, state) = (:source, :day, 'open') AND kind <> 'fee_differs'
                      AND ours_fen IS NOT NULL
                """),
                {"source": source, "day": the_day(day)},
            ).scalar_one()
        assert result.matched + differ == result.our_count, result


@settings(max_examples=10)
@given(data=st.data())
def test_any_order_and_any_repetition_end_in_the_same(ours, data):
    right, wrong = data.draw(files(ours)), data.draw(files(ours))
    results = []
    for _ in range(2):
        forget()
        for file in data.draw(st.lists(st.sampled_from([*right]), max_size=3)):
            run(wrong, file)
        order = data.draw(st.permutations([*right, *data.draw(st.lists(st.sampled_from([*right]),
                                                                      max_size=2))]))  # fmt: skip
        for file in order:
            run(right, file)
        results.append(state())
        every_row_of_ours_is_told_once(order)

    assert results[0] == results[1]
    assert {BreakKind(str(row[2])) for row in results[0][0]} <= KINDS[Leg.GATEWAY]


@settings(max_examples=5)
@given(data=st.data())
def test_a_file_that_never_comes_is_not_yet_and_never_an_error(ours, data):
    right = data.draw(files(ours))
    here = data.draw(st.permutations([*right]))[: data.draw(st.integers(1, 5))]
    results = []
    for order in (here, data.draw(st.permutations(here))):
        forget()
        for file in order:
            run(right, file)
        results.append(state())

    assert results[0] == results[1]


@settings(max_examples=3)
@given(data=st.data())
def test_runs_at_one_moment_end_in_the_same_too(ours, data):
    right = data.draw(files(ours))
    forget()
    for file in right:
        run(right, file)
    expected = state()
    forget()

    ended = at_once([lambda file=file: run(right, file) for file in (*right, *right)])

    assert [one for one in ended if isinstance(one, Exception)] == []
    assert state() == expected
