"""What gateways took, by hour and by day, as the city's clocks show it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from payments.gateways.base import GatewayStatus
from payments.takings import DayTaken, Taken, days_taken, sum_up, taken_by_now
from tests.factories import NOW, a_home, a_payment, book
from tests.threads import at_once

DAY = date(2026, 11, 20)
pytestmark = pytest.mark.usefixtures("city")


def pays(fen: int, at: datetime, *, gateway: str = "sandbox") -> None:
    """Somebody pays at a moment; the gateway says so a day later."""
    payment = a_payment(a_home(fen), gateway=gateway)
    book(payment, GatewayStatus.PAID, paid_at=at, now=NOW + timedelta(days=1))


def the_days(count: int = 1) -> list[DayTaken]:
    with transaction() as session:
        return days_taken(session, DAY, days=count)


class TestDays:
    def test_a_day_is_shanghais_by_when_it_was_paid_and_not_by_when_we_heard(self):
        pays(100, datetime(2026, 11, 19, 15, 59, 59, tzinfo=UTC))
        pays(2_000, datetime(2026, 11, 19, 16, 0, tzinfo=UTC))
        pays(30_000, datetime(2026, 11, 20, 15, 59, 59, tzinfo=UTC))

        before, day = the_days(2)

        assert (before.amount_fen, before.payments) == (100, 1)
        assert (day.amount_fen, day.payments) == (32_000, 2)
        assert [at for at, fen in enumerate(day.by_hour_fen) if fen] == [0, 23]

    def test_a_day_without_money_is_there_with_nothing(self):
        days = the_days(14)

        assert [one.day for one in days] == [DAY - timedelta(days=13 - at) for at in range(14)]
        assert {one.amount_fen for one in days} == {0}
        assert {len(one.hours) for one in days} == {24}

    def test_gateways_come_by_money_those_that_are_gone_included(self):
        pays(500, NOW)
        pays(700, NOW + timedelta(hours=2))
        pays(8_000, NOW, gateway="closed-down")

        assert the_days()[0].by_gateway == [
            Taken("closed-down", 1, 8_000),
            Taken("sandbox", 2, 1_200),
        ]

    def test_what_has_no_outcome_is_no_money(self):
        a_payment(a_home(8_650))

        assert the_days()[0].payments == 0


class TestByNow:
    def test_earlier_days_count_until_the_same_time_of_the_day(self):
        yesterday, last_week = NOW - timedelta(days=1), NOW - timedelta(days=7)
        pays(100, yesterday - timedelta(seconds=1))
        pays(2_000, yesterday)
        pays(30_000, last_week - timedelta(hours=11, minutes=59))
        pays(400_000, last_week - timedelta(hours=13))

        with transaction() as session:
            assert taken_by_now(session, (1, 7), now=NOW) == [100, 30_000]


class TestSums:
    """Hours that are over are summed up; the figures are the same before and after."""

    def test_a_sum_is_read_and_what_is_not_summed_up_is_counted(self):
        old, summed, fresh = (NOW - timedelta(days=20), NOW - timedelta(hours=5), NOW)
        for fen, at in ((100, old), (2_000, summed), (30_000, fresh)):
            pays(fen, at)

        with transaction() as session:
            sum_up(session, now=NOW)
            session.execute(text("UPDATE taking_hour SET amount_fen = amount_fen + 1"))

        days = the_days(21)
        assert sum(one.amount_fen for one in days) == 32_101
        assert days[-1].payments == 2

    def test_what_was_booked_late_is_in_the_next_sum(self):
        pays(2_000, NOW - timedelta(hours=5))
        with transaction() as session:
            sum_up(session, now=NOW)
        pays(300, NOW - timedelta(hours=5))
        assert the_days()[0].amount_fen == 2_000

        with transaction() as session:
            sum_up(session, now=NOW + timedelta(hours=1))

        assert the_days()[0].amount_fen == 2_300

    def test_the_hour_that_has_just_ended_is_not_summed_up_yet(self):
        pays(2_000, NOW - timedelta(hours=5))
        pays(300, NOW - timedelta(minutes=59))
        with transaction() as session:
            sum_up(session, now=NOW)
        pays(40, NOW - timedelta(minutes=59))

        assert the_days()[0].amount_fen == 2_340

    def test_earlier_days_until_this_time_split_an_hour(self):
        now = NOW + timedelta(minutes=30)
        for fen, minutes in ((100, -90), (2_000, 10), (30_000, 40)):
            pays(fen, NOW - timedelta(days=1) + timedelta(minutes=minutes))
        pays(1, NOW - timedelta(days=8))
        pays(1, NOW - timedelta(hours=3))

        with transaction() as session:
            before = taken_by_now(session, (1, 7), now=now)
            sum_up(session, now=now)
            assert taken_by_now(session, (1, 7), now=now) == before == [2_100, 0]

    def test_two_that_sum_up_at_once_leave_one_sum(self):
        pays(2_000, NOW - timedelta(hours=5))

        def once(_: int) -> None:
            with transaction() as session:
                sum_up(session, now=NOW)

        at_once(4, once)

        assert the_days()[0].amount_fen == 2_000
