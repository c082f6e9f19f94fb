"""Callbacks that come often and in disorder; ``python -m tests.weeks.callbacks`` sends 10,000."""

import pytest

from tests.weeks.callbacks import differences, often_and_shuffled, once_in_order


@pytest.mark.usefixtures("city")
def test_callbacks_duplicated_and_shuffled_leave_what_each_once_leaves():  # rule 33
    first = once_in_order(8, seed=1)
    second = often_and_shuffled(8, seed=1)

    assert first.received > 15
    assert second.received == 25 * second.kept
    assert second.kept == first.kept == first.received
    assert {state for *_, state in first.rows["receipts"]} == {"returned"}
    assert {status for _, status, _ in first.rows["payments"]} >= {"paid", "refused"}
    assert differences(first, second) == []
