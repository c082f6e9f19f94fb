"""Remittances in our bank's statement: found by their number, brought back, and claims paid."""

import pytest

from core.db import transaction
from core.errors import Conflict
from payments.gateways.base import DisputeState
from payments.reconciliation.bank.matching import match_bank
from payments.remittance.views import advice
from payments.remittance.waiting import owed_to_companies
from tests.factories import balances, the_terms, violations
from tests.payments.reconciliation.banking import (
    DAY,
    Line,
    a_statement,
    bank_says,
    left,
    match,
    matched,
    take,
)
from tests.payments.remittance.remitting import (
    SPLIT,
    a_clerk,
    a_remittance,
    approved,
    at,
    bring_back,
    close,
    collected,
    dispute,
    give_back,
    make_file,
    payments_of,
    propose,
    release,
    sent,
    terms,
)

pytestmark = pytest.mark.usefixtures("city")
NUMBER = "RM2611209001101"


def is_paid(one) -> bool:
    with transaction() as session:
        return advice(session, one.id).is_paid


def waiting(company: str = "water", *, day: int = 3) -> dict[str, int]:
    """Why a company has not got its money, and how much."""
    with transaction() as session:
        standing = owed_to_companies(session, now=at(day))
    (owed,) = [one for one in standing.owed if one.provider_code == company]
    assert owed.amount_fen == sum(one.amount_fen for one in owed.waiting)
    return {one.why.value: one.amount_fen for one in owed.waiting}


class TestFound:
    def test_its_debit_is_known_by_its_number_and_posts_nothing_more(self):
        terms()
        one = sent(a_remittance())
        assert not is_paid(one)

        bank_says(Line(-8_650, on=3, ref=NUMBER))

        assert matched() == [("reference", [-8_650], [-8_650], 0)]
        assert is_paid(one)
        assert balances()["bank"] == -8_650
        assert (left(), violations()) == ([], [])

    def test_of_two_shares_one_alone_is_not_all(self):
        terms(more=SPLIT)
        one = sent(a_remittance())

        bank_says(Line(-6_487, on=3, ref=NUMBER))
        assert not is_paid(one)
        bank_says(Line(-2_163, on=3, ref="RM2611209001201", no="other"))

        assert is_paid(one)
        assert violations() == []

    def test_another_sum_under_its_number_is_a_difference(self):
        terms()
        sent(a_remittance())

        bank_says(Line(-8_649, on=3, ref=NUMBER))

        assert [(row[0], row[2]) for row in left()] == [("remittances", "amount_differs")]

    def test_what_the_bank_never_booked_is_told_of_after_five_days(self):
        terms()
        sent(a_remittance())

        bank_says(Line(1, on=12, no="late"))

        assert ("remittances", "not_settled") in [(row[0], row[2]) for row in left()]


class TestBroughtBack:
    def test_debit_and_credit_under_one_number_are_nothing(self):
        terms()
        one = sent(a_remittance())
        bank_says(Line(-8_650, on=3, ref=NUMBER))

        bring_back(payments_of(one)[0], was_debited=True)
        bank_says(Line(8_650, on=5, ref=NUMBER, no="back"))

        assert left() == []
        assert balances()["payable:water"] == -8_650
        assert violations() == []

    def test_until_it_is_entered_it_is_a_difference(self):
        terms()
        one = sent(a_remittance())
        bank_says(Line(-8_650, on=3, ref=NUMBER), Line(8_650, on=5, ref=NUMBER, no="back"))
        assert [(row[0], row[2]) for row in left()] == [("remittances", "amount_differs")]

        bring_back(payments_of(one)[0], was_debited=True)
        match()

        assert left() == []
        assert violations() == []

    def test_one_that_never_left_is_not_missed(self):
        terms()
        one = sent(a_remittance())
        bring_back(payments_of(one)[0])

        bank_says(Line(1, on=12, no="late"))

        assert [row for row in left() if row[0] == "remittances"] == []

    def test_one_that_the_statement_has_did_leave(self):
        terms()
        one = sent(a_remittance())
        bank_says(Line(-8_650, on=3, ref=NUMBER))

        with pytest.raises(Conflict) as refused:
            bring_back(payments_of(one)[0], was_debited=False)

        assert refused.value.code == "remittance.was_debited"

    def test_nor_one_whose_debit_is_there_and_was_not_matched(self):
        terms()
        one = sent(a_remittance())
        bank_says(Line(-8_649, on=3, ref=NUMBER))

        with pytest.raises(Conflict) as refused:
            bring_back(payments_of(one)[0], was_debited=False)

        assert refused.value.code == "remittance.was_debited"


def says(*lines: Line) -> None:
    """The bank's statement comes a week later, when Friday is closed."""
    take(a_statement(*lines))
    with transaction() as session:
        match_bank(session, DAY, now=at(7))


class TestClaims:
    def test_what_the_company_pays_back_is_found_and_posted_once(self):
        terms('days = 1\nbasis = "gross"')
        give_back(collected(8_650), 7_000)
        close()
        sent(propose())
        assert waiting() == {"claimed": -7_000}

        says(Line(-8_650, on=3, ref=NUMBER), Line(7_000, on=5, ref="RM2611209001"))

        assert "payable:water" not in balances()
        assert (left(), violations()) == ([], [])

    def test_other_money_after_all_is_taken_back(self):
        terms('days = 1\nbasis = "gross"')
        give_back(collected(8_650), 7_000)
        close()
        sent(propose())
        says(Line(7_000, on=5))
        assert "payable:water" not in balances()

        says(Line(7_000, on=6, no="other"))

        assert balances()["payable:water"] == 7_000
        assert violations() == []


class TestWaiting:
    def test_every_fen_waits_for_a_reason(self):
        terms("days = 1")
        collected(1_000)
        assert waiting(day=0) == {"day_open": 1_000}
        close()
        assert waiting(day=1) == {"not_due": 1_000}
        assert waiting(day=3) == {"due": 1_000}
        one = propose()
        assert waiting() == {"proposed": 1_000}
        release(one, a_clerk())
        assert waiting() == {"released": 1_000}

    def test_sent_it_waits_no_more_and_brought_back_again(self):
        terms()
        one = sent(a_remittance())
        with transaction() as session:
            (owed,) = owed_to_companies(session, now=at(3)).owed
        assert (owed.amount_fen, owed.waiting, owed.sent_fen) == (0, (), 8_650)

        bring_back(payments_of(one)[0])

        assert waiting() == {"returned": 8_650}

    def test_what_is_carried_held_or_without_an_account_says_so(self):
        terms("days = 1\nminimum_fen = 5_000")
        terms(company="gas")
        the_terms("power", "[remit]\ndays = 1")
        collected(1_000, 2_000)
        dispute(collected(3_000), DisputeState.OPEN)
        close()
        propose()
        propose("power")

        assert waiting() == {"too_little": 1_000, "held": 3_000}
        assert waiting("power") == {"no_account": 2_000}

    def test_what_remittances_move_themselves_waits_for_nothing_once_its_day_is_closed(self):
        terms(more='[fee]\npaid_by = "company"\nslabs = [{ fixed_fen = 50 }]')
        one = sent(a_remittance())
        close(3)
        with transaction() as session:
            (owed,) = owed_to_companies(session, now=at(4)).owed
        assert (owed.amount_fen, owed.waiting) == (0, ())

        bring_back(payments_of(one)[0], day=4)
        close(4)

        assert waiting(day=5) == {"returned": 8_600}

    def test_nor_does_a_claim_that_is_paid(self):
        terms('days = 1\nbasis = "gross"')
        give_back(collected(8_650), 7_000)
        close()
        sent(propose())
        says(Line(-8_650, on=3, ref=NUMBER), Line(7_000, on=5, ref="RM2611209001"))
        close(7)

        with transaction() as session:
            assert owed_to_companies(session, now=at(8)).owed == ()

    def test_money_our_bank_has_not_got_yet_is_told_of_and_no_hindrance(self):
        terms()
        approved(a_remittance())
        with transaction() as session:
            standing = owed_to_companies(session, now=at(3))

        assert standing.not_arrived == (("sandbox", 8_650),)
        assert make_file().total_fen == 8_650
