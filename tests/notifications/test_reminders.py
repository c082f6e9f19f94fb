"""Reminded at nine, three days before, on the day, and 1, 7 and 30 days after; once each."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing.rules.calendars import pay_by
from billing.rules.terms import Terms, parse_terms
from core.db import transaction
from notifications import reminding
from notifications.models import News
from payments.gateways.base import GatewayStatus
from tests.conftest import NOW
from tests.factories import a_home, a_paid_payment, a_payment, book, the_terms
from tests.notifications.events import (
    DAY,
    events,
    mornings,
    one_by_one,
    remind,
    tell_all,
    tell_some,
    told,
)
from tests.payments.autopay.autopaying import UP_TO_200, FarDebits, a_mandate, plan
from workers import jobs

NINE = datetime(2026, 11, 20, 1, tzinfo=UTC)  # in the city
DUE = date(2026, 11, 27)
SUNDAY = date(2026, 11, 29)
ROLLS = '[due]\nroll = "next_working_day"\n'


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 1, tzinfo=UTC)


@pytest.mark.usefixtures("city")
class TestDays:
    def test_a_fortnight_and_a_month_of_a_bill_nobody_pays(self):
        a_home(due_on=DUE)
        one_by_one()

        found = {morning.date(): remind(morning) for morning in mornings(NINE, 40)}

        days = [(on - DUE).days for on, bills in found.items() if bills]
        assert days == [-3, 0, 1, 7, 30]
        assert events() == [
            "bill.due_soon", "bill.due_today", "bill.overdue", "bill.overdue", "bill.overdue",
        ]  # fmt: skip

    def test_what_is_paid_on_the_way_is_left_alone(self):
        home = a_home(8_650, 4_300, due_on=DUE)
        one_by_one()
        for morning in mornings(NINE, 6):
            remind(morning)
        a_paid_payment(home, home.refs[0])

        for morning in mornings(NINE + 6 * DAY, 3):
            remind(morning)

        refs = [one.subject_ref.split(".")[0] for one in told(like="bill.due_today")]
        assert refs == [str(home.refs[1][0])]

    def test_the_last_day_is_the_companys_rolled_over_days_off(self):
        the_terms("water", ROLLS)
        a_home(due_on=SUNDAY)  # to be paid on Monday the 30th
        one_by_one()

        found = [
            morning.date() for morning in mornings(at(date(2026, 11, 24)), 10) if remind(morning)
        ]

        assert found == [date(2026, 11, 27), date(2026, 11, 30), date(2026, 12, 1)]
        assert "Monday 30 November 2026" in told()[0].body

    def test_it_says_how_much_is_open_and_how_many_days_are_left(self):
        a_home(due_on=DUE)
        one_by_one()

        remind(at(DUE - 3 * DAY))

        (notice,) = told()
        assert "¥86.50" in notice.title
        assert "3 days" in notice.title
        assert notice.expires_at == datetime(2026, 11, 26, 16, tzinfo=UTC)  # its last day begins

    def test_a_bill_that_came_after_its_last_day_is_not_called_late(self):
        a_home(due_on=NOW.date() - DAY, issued_on=NOW.date() - 20 * DAY)
        one_by_one()

        assert [remind(morning) for morning in mornings(NINE, 9)] == [0] * 9


@pytest.mark.usefixtures("city")
class TestWhoIsNotReminded:
    def test_whose_autopay_will_pay(self):
        home = a_home(due_on=DUE)
        a_mandate(home, UP_TO_200)
        plan(FarDebits(), NOW + timedelta(hours=2))
        one_by_one()

        remind(at(DUE - 3 * DAY))

        assert told(like="bill.%") == []

    def test_but_who_paused_it_is(self):
        home = a_home(due_on=DUE)
        a_mandate(home, UP_TO_200)
        plan(FarDebits(), NOW + timedelta(hours=2))
        one_by_one()
        with transaction() as session:
            session.execute(text("UPDATE mandate SET status = 'paused'"))

        remind(at(DUE - 3 * DAY))

        assert len(told(like="bill.%")) == 1

    def test_who_is_paying_at_this_moment(self):
        home = a_home(due_on=DUE)
        book(a_payment(home), GatewayStatus.OPEN)
        one_by_one()

        assert remind(at(DUE - 3 * DAY)) == 0


@pytest.mark.usefixtures("city")
class TestOnce:
    def test_the_same_morning_again_finds_nobody(self):
        a_home(due_on=DUE)
        one_by_one()
        morning = at(DUE)

        assert [remind(morning), remind(morning)] == [1, 0]
        assert events() == ["bill.due_today"]

    def test_a_killed_run_goes_on_where_it_was(self):
        a_home(*[8_650] * 9, due_on=DUE)
        one_by_one()
        morning = at(DUE)
        with transaction() as session:
            reminding.find_due(session, today=DUE, now=morning)
        tell_some(now=morning, limit=4)

        with transaction() as session:  # another worker, after the first was lost
            assert reminding.find_due(session, today=DUE, now=morning) == 0
        tell_all(now=morning, limit=4)

        assert events() == ["bill.due_today"] * 9
        assert len({one.subject_ref for one in told()}) == 9

    def test_a_run_that_was_missed_is_made_up_for(self):
        a_home(due_on=DUE)
        one_by_one()
        remind(at(DUE - 4 * DAY))

        remind(at(DUE - 2 * DAY))  # nobody was there three days before

        (notice,) = told()
        assert (notice.event, "2 days" in notice.title) == ("bill.due_soon", True)

    def test_what_was_found_and_is_told_too_late_is_not_told(self):
        a_home(due_on=DUE)
        one_by_one()
        with transaction() as session:
            reminding.find_due(session, today=DUE, now=at(DUE))

        tell_all(now=at(DUE + DAY))

        assert events() == []

    def test_the_job_waits_for_nine_and_leaves_other_days_alone(self, monkeypatch):
        moments = iter([at(DUE) - timedelta(minutes=30)] * 4)
        monkeypatch.setattr("workers.tasks.telling.utc_now", lambda: next(moments))

        with pytest.raises(jobs.NotYet) as later:
            jobs.JOBS["bills.remind"](str(DUE))
        jobs.JOBS["bills.remind"](str(DUE - DAY))

        assert later.value.after_seconds == 1801
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM reminder_day")).scalar_one() == 0


class TestWanted:
    TERMS = st.sampled_from([
        Terms(), parse_terms(ROLLS), parse_terms('[due]\nroll = "last_working_day_of_month"\n'),
    ])  # fmt: skip

    @given(due_on=st.dates(date(2026, 1, 1), date(2026, 12, 31)), terms=TERMS,
           gaps=st.sets(st.integers(0, 80)))  # fmt: skip
    def test_each_due_date_is_wanted_once_for_each_step_whatever_its_terms(
        self, due_on, terms, gaps
    ):
        """Run every day but some; never more than two are missed in a row."""
        last_on = pay_by(due_on, terms.due)
        first = last_on - 10 * DAY
        missed, found = 0, []
        for on in range(60):
            today = first + on * DAY
            if on in gaps and missed < reminding.CATCH_UP_DAYS:
                missed += 1
                continue
            wanted = reminding.wanted_on(today, {"water": terms}, missed=missed, now=NOW)
            found += [(one.news, (today - last_on).days) for one in wanted if one.due_on == due_on]
            missed = 0

        news = [one for one, _ in found]
        assert len(news) == len(set(news))
        assert set(news) >= set(News) - {News.READY, News.TODAY}
        for one, days in found:
            late = days - reminding.STEPS[one]
            assert 0 <= late <= reminding.CATCH_UP_DAYS
            assert one is not News.SOON or days < 0
