"""Settlement files come by themselves: expected, asked for, matched, and called late in time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import NotFound, SettlementFileError, UpstreamUnavailable
from payments.gateways.base import FileState, GatewayStatus, SettlementFetch
from payments.models import Payment
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway import arrivals, matching
from payments.reconciliation.models import ArrivalState
from tests.factories import (
    NOW,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    book,
)
from tests.payments.reconciliation.test_matching import GATEWAY, a_file, row_of

DAY = date(2026, 11, 20)
DUE = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)  # ten o'clock of the next day in Shanghai

pytestmark = pytest.mark.usefixtures("city")


@dataclass
class Filing(FarGateway):
    """A far side that says of its settlement files what a test tells it to."""

    code: str = "sandbox"
    files: list[SettlementFetch | Exception] = field(default_factory=list)

    def fetch_settlement(self, day: date) -> SettlementFetch:
        self.asked.append(("fetch", str(day)))
        told = self.files.pop(0)
        if isinstance(told, Exception):
            raise told
        return told

    def read_settlement(self, stream, *, day):
        return GATEWAY.read_settlement(stream, day=day)


def ready(*payments: Payment) -> SettlementFetch:
    content = a_file([row_of(one) for one in payments])
    return SettlementFetch(FileState.READY, "sandbox-2026-11-20.csv", content)


def expect(*far: Filing, now: datetime = DUE) -> int:
    with transaction() as session:
        return arrivals.expect(session, {one.code: one for one in far}, now=now)


def fetch(far: Filing, *, now: datetime = DUE) -> int | None:
    return arrivals.fetch("sandbox", DAY, {"sandbox": far}, now=now)


def known(*, now: datetime = DUE) -> Sequence[arrivals.Arrival]:
    with transaction() as session:
        return arrivals.list_arrivals(session, now=now)


class TestExpecting:
    def test_every_day_that_is_over_since_its_first_payment_is_expected_once(self):
        a_paid_payment(a_home())

        assert expect(Filing(), now=NOW + timedelta(days=3)) == 3
        assert expect(Filing(), now=NOW + timedelta(days=4)) == 1
        assert [one.day.day for one in known()] == [23, 22, 21, 20]
        assert {one.due_at.hour for one in known()} == {2}

    def test_by_twenty_at_once_each_is_asked_for_once(self):
        a_paid_payment(a_home())

        at_once([lambda: expect(Filing(), now=NOW + timedelta(days=3))] * 20)

        with transaction() as session:
            events = session.execute(
                text("SELECT subject_id FROM outbox_event WHERE topic LIKE 'settlement_file.%'")
            ).scalars()
            assert sorted(events) == [f"sandbox 2026-11-{day}" for day in (20, 21, 22)]

    def test_of_a_gateway_nobody_has_paid_by_nothing_is_expected(self):
        a_payment(a_home())

        assert expect(Filing(), Filing(code="alipay")) == 0

    def test_of_one_whose_agents_bring_their_files_nothing_is_expected(self):
        a_paid_payment(a_home())
        brought = replace(FarGateway().capabilities, settlement_fetched=False)

        assert expect(Filing(capabilities=brought)) == 0

    def test_what_was_long_ago_is_not_asked_for(self):
        a_paid_payment(a_home())

        assert expect(Filing(), now=NOW + timedelta(days=400)) == arrivals.LOOK_BACK_DAYS

    def test_an_event_says_which(self):
        assert arrivals.read_subject("bank_debit 2026-11-20") == ("bank_debit", DAY)


class TestFetching:
    def test_before_its_time_nobody_is_asked(self):
        a_paid_payment(a_home())
        far = Filing()
        expect(far)

        assert fetch(far, now=DUE - timedelta(minutes=5)) == 301
        assert ("fetch", str(DAY)) not in far.asked

    def test_what_is_there_is_matched_and_not_asked_for_again(self):
        far = Filing(files=[ready(a_paid_payment(a_home()))])
        expect(far)

        assert fetch(far) is None
        assert fetch(far) is None  # no more answers: it would have failed

        (one,) = known()
        assert (one.state, one.late, one.answer) == (ArrivalState.ARRIVED, False, None)
        with transaction() as session:
            assert matching.get_result(session, "sandbox", DAY).balanced

    def test_not_yet_is_asked_again_soon_then_hourly_then_daily(self):
        a_paid_payment(a_home())
        not_yet = SettlementFetch(FileState.NOT_YET)
        far = Filing(files=[not_yet] * 3)
        expect(far)

        pauses = [fetch(far, now=DUE + timedelta(hours=hours)) for hours in (0, 7, 200)]

        assert pauses == [600, 3_600, 86_400]
        assert [(one.answer, one.late) for one in known()] == [("not_yet", False)]
        assert [one.late for one in known(now=DUE + timedelta(hours=4))] == [True]
        with transaction() as session:
            assert arrivals.count_late(session, now=DUE + timedelta(hours=4)) == 1
            with pytest.raises(NotFound):
                matching.get_result(session, "sandbox", DAY)

    @pytest.mark.parametrize(
        ("told", "answer"),
        [
            (SettlementFetch(FileState.UNKNOWN), "unknown"),
            (UpstreamUnavailable("away"), "unreachable"),
            (SettlementFetch(FileState.READY, "x.csv", b"garbage"), "refused: "),
        ],
    )
    def test_what_is_no_file_changes_nothing_and_is_told(self, told, answer):
        a_paid_payment(a_home())
        far = Filing(files=[told])
        expect(far)

        assert fetch(far) == 600

        (one,) = known()
        assert one.state is ArrivalState.WAITING
        assert one.answer is not None
        assert one.answer.startswith(answer)

    def test_nothing_happened_there_but_here_it_did(self):
        payment = a_paid_payment(a_home())
        far = Filing(files=[SettlementFetch(FileState.NO_DATA)])
        expect(far)

        assert fetch(far) is None

        with transaction() as session:
            (missing,) = list_breaks(session, "sandbox", DAY)
        assert (missing.kind, missing.reference) == ("missing_at_gateway", payment.order_no)
        assert [one.state for one in known()] == [ArrivalState.NO_DATA]

    def test_a_file_somebody_brings_is_as_good(self):
        payment = a_paid_payment(a_home())
        far = Filing()
        expect(far)
        with transaction() as session:
            matching.reconcile(
                session,
                GATEWAY,
                io.BytesIO(a_file([row_of(payment)])),
                day=DAY,
                file_name="x",
                now=DUE,
            )

        assert fetch(far) is None
        assert [one.state for one in known()] == [ArrivalState.ARRIVED]

    def test_a_file_nobody_expects_is_an_error(self):
        with pytest.raises(NotFound):
            fetch(Filing())

    def test_a_refused_file_leaves_what_was_matched_before(self):
        payment = a_paid_payment(a_home())
        far = Filing(files=[ready(payment)])
        expect(far)
        fetch(far)

        with pytest.raises(SettlementFileError), transaction() as session:
            matching.reconcile(
                session, GATEWAY, io.BytesIO(b"garbage"), day=DAY, file_name="x", now=DUE
            )

        with transaction() as session:
            assert matching.get_result(session, "sandbox", DAY).balanced


def test_money_that_came_late_in_the_day_is_of_that_day():
    payment = a_payment(a_home())
    book(payment, GatewayStatus.PAID, paid_at=datetime(2026, 11, 20, 15, 59, tzinfo=UTC))

    assert expect(Filing(), now=datetime(2026, 11, 20, 17, 0, tzinfo=UTC)) == 1
