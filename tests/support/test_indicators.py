"""Open figures: counted by company and month, by the companies' own days, with nobody in them."""

from datetime import date, timedelta

import pytest

from core.clock import billing_date
from core.db import transaction
from identity.models import Role
from payments import write_offs
from support import indicators
from support.models import Kind, ServiceIndicator
from tests.factories import (
    ACCEPTED,
    NOW,
    a_home,
    a_paid_payment,
    a_person,
    items_of,
    the_terms,
)
from tests.support.complaining import answer, ask, close_own, take

DAY = timedelta(days=1)
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
pytestmark = pytest.mark.usefixtures("city")


def counted(*, now=NOW) -> dict[tuple[str, date], ServiceIndicator]:
    with transaction() as session:
        indicators.count(session, now=now)
    with transaction() as session:
        rows = indicators.list_indicators(session, today=billing_date(now))
    return {(one.provider_code, one.month): one for one in rows}


class TestBills:
    def test_what_is_due_counts_and_of_it_what_was_paid_by_its_day(self):
        due_on = date(2026, 11, 20)
        a_paid_payment(a_home(8_650, due_on=due_on))  # on the last day
        a_home(4_300, due_on=due_on)  # not paid
        a_home(700, due_on=date(2026, 12, 20))
        a_home(0, due_on=due_on)  # asks for nothing
        a_home(900, due_on=due_on).cancel(0)

        one = counted(now=NOW + DAY)["water", OCTOBER]

        assert (one.bills_issued, one.bills_due, one.bills_paid_in_time) == (3, 2, 1)

    def test_what_was_paid_late_is_not_in_time(self):
        a_paid_payment(a_home(8_650, due_on=date(2026, 11, 19)))

        one = counted()["water", OCTOBER]

        assert (one.bills_due, one.bills_paid_in_time) == (1, 0)

    def test_the_day_is_the_companys_rolled_over_days_off(self):
        the_terms("water", '[due]\nroll = "next_working_day"\n')
        sunday, monday = date(2026, 11, 15), NOW - 4 * DAY
        home = a_home(8_650, due_on=sunday, issued_on=date(2026, 11, 1), now=monday)
        a_paid_payment(home, now=monday)
        with transaction() as session:
            session.connection().exec_driver_sql(
                "UPDATE payment SET paid_at = '2026-11-16 04:00+00'"
            )

        one = counted()["water", OCTOBER]

        assert (one.bills_due, one.bills_paid_in_time) == (1, 1)


class TestWriteOffs:
    def test_those_confirmed_within_a_day_of_all_that_had_a_day(self):
        home = a_home(8_650, 4_300)
        quick, slow = (item.write_off_no for item in items_of(a_paid_payment(home)))
        for number, after in ((quick, DAY - timedelta(hours=1)), (slow, 2 * DAY)):
            with transaction() as session:
                write_offs.book(session, number, ACCEPTED, now=NOW + after)
        a_paid_payment(a_home(700))

        found = counted(now=NOW + timedelta(hours=1))
        assert {(one.write_offs, one.write_offs_in_a_day) for one in found.values()
                if one.month == NOVEMBER} == {(1, 1), (1, 0)}  # fmt: skip
        later = counted(now=NOW + 3 * DAY)
        assert sum(one.write_offs for one in later.values()) == 3


class TestComplaints:
    def test_answered_in_time_counts_from_the_first_answer(self):
        person, clerk = a_person(), a_person(Role.STAFF)
        for days in (1, 9):
            one = ask(person, about="company:water", kind=Kind.COMPLAINT)
            take(one, clerk)
            answer(one, clerk, now=NOW + days * DAY)
        ask(person, about="company:water")
        close_own(ask(person, about="company:water"))
        ask(person)

        found = counted()

        water, ours = found["water", NOVEMBER], found["", NOVEMBER]
        assert (water.complaints, water.complaints_answered_in_time) == (3, 1)
        assert water.median_answer_minutes is None  # so few would tell of somebody
        assert ours.complaints == 1

    def test_a_median_of_five_is_told(self):
        person, clerk = a_person(), a_person(Role.STAFF)
        for hours in (1, 2, 3, 50, 60):
            one = ask(person, about="company:gas")
            take(one, clerk)
            answer(one, clerk, now=NOW + timedelta(hours=hours))

        assert counted()["gas", NOVEMBER].median_answer_minutes == 180


def test_counted_again_it_is_replaced_and_what_is_old_stays():
    a_home(8_650)
    before = counted()

    again = counted(now=NOW + DAY)
    much_later = counted(now=NOW + 200 * DAY)

    assert [one.bills_issued for one in again.values()] == [
        one.bills_issued for one in before.values()
    ]
    assert much_later["water", OCTOBER].counted_at == again["water", OCTOBER].counted_at
