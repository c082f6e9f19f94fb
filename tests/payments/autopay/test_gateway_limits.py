"""Autopay of what a mandate's gateway does not take: told of in time, and never asked for."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from payments.autopay.rules import NotPaid
from payments.autopay.states import RunState
from tests.factories import a_home
from tests.payments.autopay.autopaying import FarDebits, a_mandate, live_through, plan, the_run

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
