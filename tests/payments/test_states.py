"""A payment's life and an item's: every state is in its table, and there is no other way."""

from itertools import product

import pytest

from core.errors import IllegalTransition
from payments.models import Payment, PaymentItem
from payments.states import (
    OUTCOME_MOVES,
    PAYMENT_MOVES,
    PENDING,
    Outcome,
    PaymentStatus,
)
from tests.factories import NOW


class TestTables:
    def test_every_status_and_every_outcome_is_in_its_table(self):
        assert set(PAYMENT_MOVES) == set(PaymentStatus)
        assert set(OUTCOME_MOVES) == set(Outcome)

    def test_tables_lead_only_to_states_there_are(self):
        assert set().union(*PAYMENT_MOVES.values()) <= set(PaymentStatus)
        assert set().union(*OUTCOME_MOVES.values()) <= set(Outcome)

    def test_every_state_but_the_first_can_be_reached(self):
        assert set().union(*PAYMENT_MOVES.values()) == set(PaymentStatus) - {PaymentStatus.CREATED}
        assert set().union(*OUTCOME_MOVES.values()) == set(Outcome) - {Outcome.WAITING}

    def test_money_that_has_come_is_never_unsaid(self):  # rule 14
        assert PAYMENT_MOVES[PaymentStatus.PAID] == frozenset()
        for status in set(PaymentStatus) - {PaymentStatus.PAID}:
            assert PaymentStatus.PAID in PAYMENT_MOVES[status]

    def test_debited_and_written_off_are_two_states(self):  # rule 26
        assert Outcome.WRITTEN_OFF in OUTCOME_MOVES[Outcome.PAID]
        assert Outcome.WRITTEN_OFF not in OUTCOME_MOVES[Outcome.WAITING]

    def test_pending_are_those_that_a_gateway_may_still_decide(self):
        assert {PaymentStatus.CREATED, PaymentStatus.OPEN} == PENDING


class TestMoves:
    @pytest.mark.parametrize(("before", "after"), list(product(PaymentStatus, repeat=2)))
    def test_a_payment_moves_by_its_table_only(self, before, after):
        payment = Payment(status=before)

        if after in PAYMENT_MOVES[before]:
            payment.move_to(after, now=NOW)
            assert (payment.status, payment.status_at) == (after, NOW)
        else:
            with pytest.raises(IllegalTransition):
                payment.move_to(after, now=NOW)
            assert payment.status is before

    @pytest.mark.parametrize(("before", "after"), list(product(Outcome, repeat=2)))
    def test_an_item_moves_by_its_table_only(self, before, after):
        item = PaymentItem(outcome=before)

        if after in OUTCOME_MOVES[before]:
            item.move_to(after, now=NOW)
            assert (item.outcome, item.outcome_at) == (after, NOW)
        else:
            with pytest.raises(IllegalTransition):
                item.move_to(after, now=NOW)
            assert item.outcome is before
