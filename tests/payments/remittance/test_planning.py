"""What a company is due, and when: whole closed days, each once, less what went back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import billing_date
from core.db import transaction
from payments.gateways.base import DisputeState
from payments.models import Payment
from payments.remittance import planning
from payments.remittance.models import RemittanceState
from tests.conftest import empty_city
from tests.factories import at_once, balances, items_of, violations
from tests.payments.remittance.remitting import (
    SPLIT,
    a_remittance,
    at,
    close,
    collected,
    dispute,
    give_back,
    lines_of,
    payments_of,
    propose,
    shares_of,
    terms,
)

pytestmark = pytest.mark.usefixtures("city")


class TestDays:
    def test_a_fridays_money_is_due_on_monday(self):  # rule 47
        terms("days = 1")
        collected(8_650)
        close()

        assert propose(day=1) is None
        assert propose(day=2) is None
        one = propose(day=3)

        assert (one.number, one.from_on, one.to_on) == (
            "RM2611209001", billing_date(at(0)), billing_date(at(0))
        )  # fmt: skip
        assert one.due_on == billing_date(at(3))
        assert (one.gross_fen, one.net_fen, one.state) == (8_650, 8_650, RemittanceState.PROPOSED)
        assert shares_of(one) == [("primary", 8_650)]
        assert violations() == []

    def test_working_days_are_those_of_the_companys_calendar(self):
        terms("days = 3")
        collected(8_650)
        close()

        assert propose(day=4) is None
        assert propose(day=5) is not None

    def test_a_day_that_is_not_closed_waits(self):
        terms("days = 0")
        collected(8_650)

        assert propose(day=9) is None

    def test_days_that_are_due_together_are_one_remittance(self):
        terms("days = 1")
        collected(1_000)
        collected(2_000, day=1)
        collected(4_000, day=3)
        close(3)

        one = propose(day=3)
        other = propose(day=4)

        assert lines_of(one) == [(0, "collected", 1_000), (1, "collected", 2_000)]
        assert (one.net_fen, other.net_fen) == (3_000, 4_000)
        assert (other.from_on, other.previous_id) == (billing_date(at(3)), one.id)
        assert violations() == []

    def test_asking_again_makes_nothing_new(self):
        terms()
        a_remittance(8_650)

        assert propose(day=3) is None
        assert propose(day=9) is None

    def test_eight_askers_at_once_make_one(self):
        terms()
        collected(8_650)
        close()

        made = at_once([propose] * 8)

        assert len([one for one in made if one is not None]) == 1
        assert violations() == []

    def test_each_company_has_its_own(self):
        terms()
        terms(company="power")
        a_remittance(1_000, 2_000)

        other = propose("power")

        assert (other.number, other.net_fen) == ("RM2611209002", 2_000)
        assert violations() == []

    def test_a_day_is_due_by_the_terms_of_that_day(self):
        terms("days = 3")
        collected(1_000)
        close()

        with transaction() as session:
            due = planning.propose(session, "water", now=at(3))

        assert due is None


class TestNetAndGross:
    def test_what_went_back_is_subtracted_on_its_own_day(self):
        terms()
        give_back(collected(8_650, 1_000), 7_000)
        close()

        one = propose()

        assert lines_of(one) == [(0, "collected", 8_650), (0, "refunded", -7_000)]
        assert (one.gross_fen, one.deducted_fen, one.net_fen) == (8_650, 7_000, 1_650)
        assert violations() == []

    def test_on_a_gross_basis_it_is_claimed_instead(self):
        terms('days = 1\nbasis = "gross"')
        give_back(collected(8_650), 7_000)
        close()

        one = propose()

        assert (one.gross_fen, one.net_fen, one.claimed_fen) == (8_650, 8_650, 7_000)
        assert violations() == []

    def test_more_back_than_came_is_carried_to_the_next(self):
        terms("days = 0")
        payment = collected(8_650)
        close()
        propose(day=1)
        give_back(payment, 5_000, day=1)
        collected(2_000, day=1)
        collected(4_000, day=2)
        close(2)

        below = propose(day=2)
        after = propose(day=3)

        assert (below.net_fen, below.state) == (1_000, RemittanceState.PROPOSED)
        assert after is None

    def test_below_zero_nothing_is_paid_and_the_next_bears_it(self):
        terms("days = 0")
        payment = collected(8_650)
        close()
        propose(day=1)
        give_back(payment, 5_000, day=1)
        close(1)
        below = propose(day=2)
        collected(7_000, day=2)
        close(2)

        after = propose(day=3)

        assert (below.state, below.net_fen) == (RemittanceState.CARRIED, -5_000)
        assert (after.carried_fen, after.gross_fen, after.net_fen) == (-5_000, 7_000, 2_000)
        assert violations() == []

    def test_less_than_the_minimum_waits(self):
        terms("days = 1\nminimum_fen = 5_000")
        collected(4_999)
        collected(1, day=1)
        collected(7_000, day=3)
        close(4)

        first = propose(day=3)
        second = propose(day=4)

        assert (first.state, first.net_fen) == (RemittanceState.PROPOSED, 5_000)
        assert second.net_fen == 7_000

    def test_what_waits_is_carried_visibly(self):
        terms("days = 1\nminimum_fen = 5_000")
        collected(4_999)
        collected(1, day=3)
        close(3)

        first = propose(day=3)
        second = propose(day=4)

        assert (first.state, first.net_fen, first.paid_fen) == (RemittanceState.CARRIED, 4_999, 0)
        assert payments_of(first) == []
        assert (second.carried_fen, second.net_fen) == (4_999, 5_000)
        assert violations() == []

    def test_fixed_shares_above_the_whole_wait_too(self):
        terms(more=SPLIT.replace("rate_ppm = 250_000", "fixed_fen = 9_000"))

        assert a_remittance(8_650).state is RemittanceState.CARRIED


class TestFees:
    FEE = """
    [fee]
    paid_by = "company"
    tax_ppm = 60_000
    slabs = [{ fixed_fen = 50, rate_ppm = 1_000 }]
    """

    def test_the_company_bears_them_once_a_payment(self):
        terms(more=self.FEE)

        one = a_remittance(100_000)

        assert lines_of(one) == [
            (0, "collected", 100_000), (0, "fee", -150), (0, "fee_tax", -9),
        ]  # fmt: skip
        assert one.net_fen == 99_841
        assert balances()["fees"] == -150
        assert balances()["fee_tax"] == -9
        assert violations() == []

    def test_residents_fees_are_not_the_companys(self):
        terms(more=self.FEE.replace("company", "resident"))

        assert lines_of(a_remittance(100_000)) == [(0, "collected", 100_000)]

    def test_a_payment_whose_bills_are_confirmed_on_two_days_is_charged_once(self):
        terms("days = 0", more=self.FEE)
        one = a_remittance(1_000, day=1)

        assert [line for line in lines_of(one) if line[1] == "fee"] == [(0, "fee", -51)]


class TestTheExampleOfTheDocs:
    """docs/remitting.md: three payments, a fee, a refund, a dispute, and a share."""

    def test_it_comes_to_what_the_page_says(self):
        terms(more=TestFees.FEE + SPLIT)
        first = collected(100_000)
        collected(8_650)
        dispute(collected(2_000), DisputeState.OPEN)
        give_back(first, 7_000)
        close()

        one = propose()

        assert lines_of(one) == [
            (0, "collected", 110_650), (0, "fee", -261), (0, "fee_tax", -16),
            (0, "refunded", -7_000),
        ]  # fmt: skip
        assert (one.held_fen, one.net_fen) == (2_000, 101_373)
        assert shares_of(one) == [("primary", 76_030), ("sewage", 25_343)]
        assert violations() == []


class TestDisputes:
    def test_what_is_disputed_is_held_back(self):
        terms()
        dispute(collected(8_650), DisputeState.OPEN)
        collected(2_000)
        close()

        first = propose()

        assert (first.held_fen, first.net_fen) == (8_650, 2_000)
        assert violations() == []

    @pytest.mark.parametrize(
        ("end", "net_fen"), [(DisputeState.WON, 9_650), (DisputeState.LOST, 1_000)]
    )
    def test_decided_it_is_released_and_lost_it_is_subtracted(self, end, net_fen):
        terms("days = 0")
        payment = collected(8_650)
        dispute(payment, DisputeState.OPEN)
        close()
        first = propose(day=1)
        dispute(payment, end, day=1)
        collected(1_000, day=1)
        close(1)

        second = propose(day=2)

        assert (first.state, first.held_fen, first.net_fen) == (RemittanceState.CARRIED, 8_650, 0)
        assert (second.released_fen, second.held_fen, second.net_fen) == (8_650, 0, net_fen)
        assert violations() == []

    def test_it_is_held_on_as_long_as_the_days_remitted_end_before_the_decision(self):
        terms("days = 1")
        payment = collected(8_650)
        dispute(payment, DisputeState.OPEN)
        close(2)
        dispute(payment, DisputeState.WON, day=3)

        first = propose(day=3)
        close(3)
        second = propose(day=4)

        assert (first.held_fen, second.released_fen, second.net_fen) == (8_650, 8_650, 8_650)
        assert violations() == []

    def test_lost_before_the_day_is_remitted_it_is_not_paid_either(self):
        terms("days = 1")
        payment = collected(8_650)
        dispute(payment, DisputeState.OPEN)
        close(2)
        dispute(payment, DisputeState.LOST, day=3)

        first = propose(day=3)
        close(3)
        second = propose(day=4)

        assert (first.state, first.held_fen, first.net_fen) == (RemittanceState.CARRIED, 8_650, 0)
        assert (second.released_fen, second.deducted_fen, second.net_fen) == (8_650, 8_650, 0)
        assert violations() == []

    @pytest.mark.parametrize("end", [DisputeState.WON, DisputeState.LOST])
    def test_it_is_held_until_the_decision_is_in_the_books_however_late_that_is(self, end):
        terms("days = 1")
        payment = collected(8_650)
        dispute(payment, DisputeState.OPEN)
        close(2)
        propose(day=3)
        collected(1_000, day=3)
        close(3)
        dispute(payment, end, day=4, decided=1)

        second = propose(day=4)

        assert (second.released_fen, second.held_fen, second.net_fen) == (8_650, 8_650, 1_000)
        assert violations() == []

    def test_of_a_dispute_a_company_bears_no_more_than_its_bills(self):
        terms()
        terms(company="power")
        dispute(collected(8_650, 1_000), DisputeState.OPEN)
        close()

        assert (propose().held_fen, propose("power").held_fen) == (8_650, 1_000)

    def test_on_a_gross_basis_nothing_is_held(self):
        terms('days = 1\nbasis = "gross"')
        dispute(collected(8_650), DisputeState.OPEN)
        close()

        assert propose().net_fen == 8_650


class TestShares:
    def test_a_share_goes_to_another_account_and_the_rest_to_the_primary(self):  # rule 10
        terms(more=SPLIT)

        one = a_remittance(8_650)

        assert shares_of(one) == [("primary", 6_487), ("sewage", 2_163)]
        assert [pay.end_to_end_id for pay in payments_of(one)] == [
            "RM2611209001101", "RM2611209001201"
        ]  # fmt: skip

    def test_every_number_fits_the_reference_of_an_mt940(self):
        terms(more=SPLIT)

        assert {len(pay.end_to_end_id) for pay in payments_of(a_remittance())} == {15}


DAYS = st.lists(
    st.tuples(st.integers(1, 500_000), st.sampled_from([0, 1, 50, 100])), min_size=1, max_size=4
)  # fmt: skip


@settings(max_examples=8)
@given(days=DAYS, minimum_fen=st.sampled_from([0, 10_000, 1_000_000]))
def test_whatever_is_taken_and_given_back_each_fen_is_remitted_once_or_waits(days, minimum_fen):
    empty_city()
    terms(f"days = 0\nminimum_fen = {minimum_fen}", more=TestFees.FEE + SPLIT)
    earlier: list[Payment] = []
    for day, (fen, back_percent) in enumerate(days):
        earlier.append(collected(fen, day=day))
        back_fen = items_of(earlier[0])[0].amount_fen * back_percent // 100
        if day == 1 and back_fen:
            give_back(earlier[0], back_fen, day=day)
        close(day)
        propose(day=day + 1)
        assert violations() == []
