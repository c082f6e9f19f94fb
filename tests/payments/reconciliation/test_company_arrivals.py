"""Companies' lists come by themselves: expected, asked for, matched, and called late in time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import NotFound, UpstreamUnavailable
from payments.gateways.base import FileState, SettlementFetch
from payments.reconciliation.company import arrivals as company_arrivals
from payments.reconciliation.company.lists import get_company_result, reconcile_company
from payments.reconciliation.gateway import arrivals
from payments.reconciliation.models import ArrivalState, Leg
from providers.base import ConfirmationFetch, ConfirmationState
from tests.factories import NOW, FarUtility, a_home, a_payment, at_once
from tests.payments.reconciliation.company_days import (
    DAY,
    found,
    on,
    row_of,
    run,
    the_day,
    written_off,
)
from tests.payments.reconciliation.test_arrivals import Filing
from tests.providers.confirmation_writers import Told, water

DUE = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)  # six o'clock of the next day in Shanghai

pytestmark = pytest.mark.usefixtures("city")


@dataclass
class Listing(FarUtility):
    """A company that says of its lists what a test tells it to."""

    gives_confirmations: bool = True
    lists: list[ConfirmationFetch | Exception] = field(default_factory=list)
    asked: list[date] = field(default_factory=list)

    def fetch_confirmations(self, day: date) -> ConfirmationFetch:
        self.asked.append(day)
        told = self.lists.pop(0)
        if isinstance(told, Exception):
            raise told
        return told


def says(state: ConfirmationState, content: bytes = b"", **more: str) -> ConfirmationFetch:
    return ConfirmationFetch(state=state, content=content, **more)  # type: ignore[arg-type]


def ready(*rows: Told, day: date = DAY) -> ConfirmationFetch:
    return says(ConfirmationState.READY, water(rows, day=day))


def expect(*, now: datetime = DUE, **clients: object) -> int:
    with transaction() as session:
        return company_arrivals.expect(session, clients, now=now)  # type: ignore[arg-type]


def fetch(far: object, *, day: date = DAY, now: datetime = DUE) -> int | None:
    return company_arrivals.fetch("water", day, {"water": far}, now=now)  # type: ignore[dict-item]


def known(*, now: datetime = DUE) -> Sequence[arrivals.Arrival]:
    with transaction() as session:
        return arrivals.list_arrivals(session, now=now)


class TestExpecting:
    def test_every_day_that_is_over_since_its_first_write_off_is_expected_once(self):
        written_off()

        assert expect(water=Listing(), now=NOW + timedelta(days=3)) == 3
        assert expect(water=Listing(), now=NOW + timedelta(days=4)) == 1
        assert [(one.leg, one.source, one.day.day) for one in known()] == [
            (Leg.COMPANY, "water", day) for day in (23, 22, 21, 20)
        ]
        assert {(one.due_at.hour, one.due_at.minute) for one in known()} == {(22, 0)}

    def test_by_twenty_at_once_each_is_asked_for_once(self):
        written_off()

        at_once([lambda: expect(water=Listing(), now=NOW + timedelta(days=3))] * 20)

        with transaction() as session:
            events = session.execute(
                text("SELECT subject_id FROM outbox_event WHERE topic LIKE 'confirmation_file.%'")
            ).scalars()
            assert sorted(events) == [f"water 2026-11-{day}" for day in (20, 21, 22)]

    def test_of_a_company_that_gives_none_nothing_is_expected(self):
        written_off()

        assert expect(water=FarUtility()) == 0
        assert expect(water=Listing(gives_confirmations=False)) == 0
        assert expect(nobody=Listing()) == 0

    def test_nor_of_one_nobody_has_paid(self):
        a_payment(a_home())
        assert expect(water=Listing()) == 0

        written_off()
        assert expect(gas=Listing()) == 0

    def test_what_was_paid_before_it_was_written_off_may_stand_in_that_days_list(self):
        written_off(at=on(2))

        assert expect(water=Listing(), now=on(4)) == 4

    def test_what_was_long_ago_is_not_asked_for(self):
        written_off()

        assert expect(water=Listing(), now=NOW + timedelta(days=400)) == arrivals.LOOK_BACK_DAYS


class TestFetching:
    def test_before_its_time_nobody_is_asked(self):
        written_off()
        far = Listing()
        expect(water=far)

        assert fetch(far, now=DUE - timedelta(minutes=5)) == 301
        assert far.asked == []

    def test_what_is_there_is_matched_and_not_asked_for_again(self):
        far = Listing(lists=[ready(row_of(written_off()))])
        expect(water=far)

        assert fetch(far) is None
        assert fetch(far) is None  # no more answers: it would have failed

        (one,) = known()
        assert (one.state, one.late, one.answer) == (ArrivalState.ARRIVED, False, None)
        with transaction() as session:
            assert get_company_result(session, "water", DAY).matched == 1

    def test_not_yet_is_asked_again_soon_then_hourly_then_daily(self):
        written_off()
        far = Listing(lists=[says(ConfirmationState.NOT_YET)] * 3)
        expect(water=far)

        pauses = [fetch(far, now=DUE + timedelta(hours=hours)) for hours in (0, 7, 200)]

        assert pauses == [600, 3_600, 86_400]
        assert [(one.answer, one.late) for one in known()] == [("not_yet", False)]
        assert [one.late for one in known(now=DUE + timedelta(hours=4))] == [True]

    @pytest.mark.parametrize(
        ("told", "answer"),
        [
            (says(ConfirmationState.UNKNOWN, reason="HTTP 500"), "unknown: HTTP 500"),
            (UpstreamUnavailable("away"), "unreachable"),
            (says(ConfirmationState.READY, b"garbage"), "refused: "),
        ],
    )
    def test_what_is_no_list_changes_nothing_and_is_told(self, told, answer):
        written_off()
        far = Listing(lists=[told])
        expect(water=far)

        assert fetch(far) == 600

        (one,) = known()
        assert one.state is ArrivalState.WAITING
        assert one.answer is not None
        assert one.answer.startswith(answer)
        with transaction() as session:
            kept = session.execute(text("SELECT count(*) FROM confirmation_file")).scalar_one()
        assert kept == 0

    def test_nothing_happened_there_but_here_it_did(self):
        item = written_off()
        far = Listing(lists=[says(ConfirmationState.NO_DATA)] * 2)
        expect(water=far, now=DUE + timedelta(days=1))

        for days in (0, 1):
            assert fetch(far, day=the_day(days), now=DUE + timedelta(days=days)) is None

        assert found() == [("paid_not_written_off", item.write_off_no, 8_650, None)]
        assert [one.state for one in known()] == [ArrivalState.NO_DATA] * 2

    def test_a_list_somebody_brings_is_as_good(self):
        item = written_off()
        far = Listing()
        expect(water=far)
        run([row_of(item)])

        assert fetch(far) is None
        assert [one.state for one in known()] == [ArrivalState.ARRIVED]

    def test_one_that_was_brought_before_it_was_expected_is_not_asked_for(self):
        run([row_of(written_off())])

        assert expect(water=Listing()) == 0

    def test_a_list_nobody_expects_and_a_company_without_an_interface(self):
        with pytest.raises(NotFound, match="nobody expects"):
            fetch(Listing())

        written_off()
        expect(water=Listing())
        with pytest.raises(NotFound, match="no live API"):
            fetch(FarUtility())

    def test_a_refused_list_leaves_what_was_matched_before(self):
        content = water([row_of(written_off())])
        far = Listing(lists=[says(ConfirmationState.READY, content[:60]), ready()])
        expect(water=far)
        with transaction() as session:
            reconcile_company(
                session, "water", io.BytesIO(content), day=DAY, file_name="x", now=DUE
            )

        assert fetch(far) is None
        assert far.asked == []


def test_lists_and_settlement_files_are_told_of_together():
    written_off()
    at = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    with transaction() as session:
        arrivals.expect(session, {"sandbox": Filing()}, now=at)
    far = Filing(files=[SettlementFetch(FileState.NOT_YET)])
    expect(water=Listing(), now=at)

    assert arrivals.fetch("sandbox", DAY, {"sandbox": far}, now=at) is not None

    assert [(one.leg, one.source, one.late) for one in known(now=at)] == [
        (Leg.GATEWAY, "sandbox", True), (Leg.COMPANY, "water", True),
    ]  # fmt: skip
    with transaction() as session:
        assert arrivals.count_late(session, now=at) == 2
