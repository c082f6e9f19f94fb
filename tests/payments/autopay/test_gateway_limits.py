"""Autopay of what a mandate's gateway does not take, and while it is away."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from core.db import transaction
from payments.autopay import planning
from payments.autopay.rules import NotPaid, last_try_on
from payments.autopay.states import RunState
from tests.factories import a_home
from tests.payments.autopay.autopaying import (
    FarDebits,
    a_mandate,
    debit_all,
    live_through,
    noon,
    plan,
    poll,
    the_run,
)

pytestmark = pytest.mark.usefixtures("city")

DUE = date(2026, 11, 30)
TELL_ON, AFTER = DUE - timedelta(days=5), DUE + timedelta(days=1)


@pytest.fixture
def far() -> FarDebits:
    a_mandate(a_home(8_650, due_on=DUE))
    return FarDebits()


def takes_more(far: FarDebits) -> None:
    far.capabilities = replace(far.capabilities, minimum_fen=8_651)


def test_what_is_too_little_for_it_is_told_of_when_it_would_be_announced(far):  # rule 41
    takes_more(far)

    live_through(far, TELL_ON, AFTER)

    assert (the_run().state, the_run().reason) == (RunState.TOLD, NotPaid.NOT_TAKEN)
    assert far.orders == {}


def test_what_is_too_little_for_it_on_the_day_is_skipped_and_not_called_short_of_funds(far):
    plan(far, TELL_ON)
    takes_more(far)

    live_through(far, TELL_ON, AFTER)

    assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.NOT_TAKEN)
    assert far.orders == {}


class TestOneThatIsAwayWhenItsDebitsBegin:
    @pytest.fixture
    def last_day(self, far) -> date:
        """The last day on which the bill is debited; the gateway is away, and nobody was asked."""
        plan(far, TELL_ON)
        first_on = the_run().first_debit_on
        assert first_on is not None
        far.says, last_on = "short", last_try_on(first_on)
        live_through(far, first_on, last_on - timedelta(days=1))
        far.says = "away"
        plan(far, last_on)
        debit_all(far, noon(last_on))
        poll(far, noon(last_on) + timedelta(minutes=31))
        return last_on

    def test_is_asked_again_the_same_day(self, far, last_day):
        assert (the_run().state, the_run().debit_on) == (RunState.RETRY, last_day)
        far.says, later = "pays", noon(last_day) + timedelta(hours=1)

        with transaction() as session:
            assert planning.ask_for_debits(session, now=later) == 1
        debit_all(far, later)

        assert the_run().state is RunState.DONE

    def test_and_by_night_has_failed_without_a_word_of_short_funds(self, far, last_day):
        night = noon(last_day) + timedelta(hours=8)
        debit_all(far, night)
        poll(far, night + timedelta(minutes=31))

        assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.NO_ANSWER)
