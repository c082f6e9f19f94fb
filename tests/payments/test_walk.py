"""A small city at work: whatever happens, in whatever order, the books hold after every step."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.factories import violations
from tests.walk import City


@pytest.mark.usefixtures("city")
def test_the_books_hold_whatever_happens():
    run_state_machine_as_test(
        City,
        settings=settings(
            max_examples=10,
            stateful_step_count=16,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )


@pytest.mark.usefixtures("city")
def test_empty_books_hold():
    assert violations() == []
