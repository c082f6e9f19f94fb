"""The hourly job that works out what companies are due."""

import pytest

from tests.factories import the_terms, violations
from tests.payments.remittance.remitting import (
    PRIMARY,
    a_remittance,
    at,
    close,
    collected,
    payments_of,
    propose,
    terms,
)
from tests.weeks.simclock import simulated
from workers.tasks import remittance

pytestmark = pytest.mark.usefixtures("city")


def test_what_is_due_by_the_clock_is_a_remittance_once():
    terms()
    terms(company="power")
    collected(8_650, 1_000)
    close()

    for day in (1, 3, 3):
        with simulated(at(day)):
            remittance.remit("2026-11-23")

    assert propose("water") is None
    assert propose("power") is None
    assert violations() == []


def test_an_account_that_the_terms_name_by_now_is_taken_over():
    the_terms("water", "[remit]\ndays = 1")
    one = a_remittance()
    the_terms("water", f"[remit]\ndays = 1\n{PRIMARY}", effective_on=at(3).date())

    with simulated(at(3)):
        remittance.remit("2026-11-23")

    assert [payment.account_ref for payment in payments_of(one)] == ["primary"]
