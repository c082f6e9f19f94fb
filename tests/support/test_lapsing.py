"""Answered complaints close by themselves, after a warning, unless somebody says a word."""

from datetime import timedelta

import pytest

from core.db import transaction
from identity.models import Role
from support import lapsing
from support.listing import count_wrote_back, wrote_back
from support.models import Said, State
from support.steps import find_step
from tests.factories import NOW, a_person, topics
from tests.support.complaining import (
    answer,
    ask,
    close_own,
    company_says,
    pass_on,
    said,
    take,
    the,
    write,
)
from tests.threads import at_once

DAY = timedelta(days=1)
AFTER = 15 * DAY

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def clerk():
    return a_person(Role.STAFF)


@pytest.fixture
def answered(clerk):
    one = ask(a_person())
    take(one, clerk)
    answer(one, clerk, "读数无误。")
    return one


def lapse(days):
    with transaction() as session:
        return lapsing.lapse(session, after=AFTER, now=NOW + days * DAY)


def last(one):
    return said(one)[-1]


class TestLapsing:
    def test_it_is_warned_of_three_days_before_and_then_closed(self, answered):
        assert lapse(11) == 0
        assert lapse(12) == 1
        assert (the(answered).state, last(answered).said) == (State.ANSWERED, Said.LAPSING)
        assert lapse(12) == lapse(14) == 0
        assert lapse(15) == 1

        assert (the(answered).state, last(answered).said) == (State.CLOSED, Said.LAPSED)
        assert lapse(40) == 0
        assert topics(like="complaint.%")[-2:] == ["complaint.lapsing", "complaint.closed"]

    def test_its_person_is_told_the_day_and_the_answer(self, answered):
        lapse(12)
        with transaction() as session:
            step = find_step(session, last(answered).id)

        assert (step.event, step.answer) == ("complaint.lapsing", "读数无误。")
        assert step.day == (NOW + 15 * DAY).date()

    def test_after_a_standstill_nobody_is_closed_without_a_warning(self, answered):
        assert lapse(60) == 1
        assert the(answered).state is State.ANSWERED
        assert lapse(62) == 0
        assert lapse(63) == 1
        assert the(answered).state is State.CLOSED

    def test_a_word_reopens_it_and_the_days_begin_anew(self, answered, clerk):
        lapse(12)
        write(answered, now=NOW + 13 * DAY)
        assert lapse(16) == 0
        answer(answered, clerk, now=NOW + 20 * DAY)

        assert lapse(31) == 0
        assert lapse(32) == 1
        assert last(answered).said is Said.LAPSING

    def test_a_second_answer_counts_too(self, answered, clerk):
        answer(answered, clerk, "还有一点。", now=NOW + 5 * DAY)

        assert lapse(12) == 0
        assert lapse(17) == 1

    def test_what_its_person_closed_is_left_alone(self, answered):
        close_own(answered)

        assert lapse(60) == 0

    def test_by_several_at_once_it_is_done_once(self, answered):
        assert sum(at_once(4, lambda _: lapse(12))) == 1
        assert sum(at_once(4, lambda _: lapse(15))) == 1

        assert [one.said for one in said(answered)][-2:] == [Said.LAPSING, Said.LAPSED]


class TestWhoWroteBack:
    def counted(self, clerk):
        with transaction() as session:
            return count_wrote_back(session, clerk)

    def test_a_clerk_is_told_until_they_do_something(self, clerk):
        one = ask(a_person())
        assert self.counted(clerk) == 0
        take(one, clerk)
        assert self.counted(clerk) == 0
        write(one, "还有")
        assert self.counted(clerk) == 1
        with transaction() as session:
            assert wrote_back(session, [the(one)]) == {one.id}

        pass_on(one, clerk)
        assert self.counted(clerk) == 0
        company_says(one, a_person(Role.OPERATOR))
        assert self.counted(clerk) == 1
        answer(one, clerk)
        assert self.counted(clerk) == 0
        write(one)
        assert self.counted(clerk) == 1
        assert self.counted(a_person(Role.STAFF)) == 0
