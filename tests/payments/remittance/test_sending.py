"""Released, approved, sent once, brought back, sent again: never the same money twice."""

import pytest

from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed
from payments.remittance import deciding, sending, shares
from payments.remittance.models import RemittanceState, live_payments
from tests.factories import at_once, balances, the_terms, violations
from tests.payments.remittance.remitting import (
    PRIMARY,
    SPLIT,
    US,
    a_clerk,
    a_remittance,
    again,
    approve,
    approved,
    at,
    bring_back,
    close,
    collected,
    make_file,
    payments_of,
    propose,
    release,
    sent,
    shares_of,
    terms,
)

pytestmark = pytest.mark.usefixtures("city")


class TestTwoPeople:
    def test_above_the_threshold_a_second_person_approves(self):
        terms()
        one, by = a_remittance(), a_clerk()

        assert release(one, by).state is RemittanceState.RELEASED
        with pytest.raises(NotAllowed) as refused:
            approve(one, by)
        assert refused.value.code == "remittance.same_person"
        assert approve(one, a_clerk()).state is RemittanceState.APPROVED

    def test_up_to_it_one_is_enough(self):
        terms()

        found = release(a_remittance(8_650), a_clerk(), above_fen=8_650)

        assert (found.state, found.needs_two) == (RemittanceState.APPROVED, False)

    def test_one_fen_above_it_is_not(self):
        terms()

        found = release(a_remittance(8_651), a_clerk(), above_fen=8_650)

        assert found.state is RemittanceState.RELEASED

    def test_what_came_back_takes_two_people_however_little(self):
        terms()
        one, by = a_remittance(8_650), a_clerk()
        release(one, by, above_fen=10_000)
        make_file(by=by)
        bring_back(payments_of(one)[0], was_debited=True)

        assert release(one, by, above_fen=10_000, day=4).state is RemittanceState.RELEASED
        with pytest.raises(NotAllowed):
            approve(one, by, day=4)

    def test_asking_again_changes_nothing(self):
        terms()
        one, by, other = a_remittance(), a_clerk(), a_clerk()

        first, second = release(one, by), release(one, by)
        third, fourth = approve(one, other), approve(one, other)

        assert first.released_at == second.released_at
        assert third.approved_at == fourth.approved_at

    def test_what_was_looked_at_is_what_is_released(self):
        terms()
        one, by = a_remittance(), a_clerk()

        with pytest.raises(Conflict) as refused, transaction() as session:
            deciding.release(
                session, one.id, seen="another", by=by, approval_above_fen=0, now=at(3)
            )

        assert refused.value.code == "remittance.changed"

    def test_without_an_account_in_the_terms_nothing_is_released(self):
        the_terms("water", "[remit]\ndays = 1")

        with pytest.raises(Conflict) as refused:
            release(a_remittance(), a_clerk())

        assert refused.value.code == "remittance.no_account"
        assert violations() == []

    def test_declined_it_waits_to_be_released_again(self):
        terms()
        one, by, other = a_remittance(), a_clerk(), a_clerk()
        release(one, by)

        with pytest.raises(Invalid), transaction() as session:
            deciding.decline(session, one.id, by=other, reason=" ", now=at(3))
        with transaction() as session:
            deciding.decline(session, one.id, by=other, reason="账号待核", now=at(3))

        assert again(one).state is RemittanceState.PROPOSED
        assert approved(one).state is RemittanceState.APPROVED

    def test_two_who_approve_at_once_are_one_approval(self):
        terms()
        one = release(a_remittance(), a_clerk())
        clerks = [a_clerk() for _ in range(4)]

        found = at_once([lambda by=by: approve(one, by) for by in clerks])

        assert len([got for got in found if not isinstance(got, CityBillError)]) == 1


class TestAccounts:
    def test_an_account_that_comes_later_is_taken_over(self):
        the_terms("water", "[remit]\ndays = 1")
        one = a_remittance()
        terms_later(PRIMARY)

        with transaction() as session:
            assert shares.refresh(session, one.id, now=at(3))
            assert not shares.refresh(session, one.id, now=at(3))

        assert shares_of(one) == [("primary", 8_650)]

    def test_the_hourly_run_makes_nobody_look_again(self):
        terms()
        one = a_remittance()
        with transaction() as session:
            seen = deciding.shown(live_payments(session, one.id))
        with transaction() as session:
            shares.refresh(session, one.id, now=at(3))
            assert deciding.shown(live_payments(session, one.id)) == seen

    def test_an_account_the_terms_name_no_more_is_not_released(self):
        terms()
        one = a_remittance()
        terms_later(PRIMARY.replace("4321", "9999"))

        with pytest.raises(Conflict) as refused:
            release(one, a_clerk())

        assert refused.value.code == "remittance.changed"

    def test_what_is_released_keeps_the_account_that_was_looked_at(self):
        terms()
        one = release(a_remittance(), a_clerk())
        terms_later(PRIMARY.replace("4321", "9999"))

        with transaction() as session:
            assert not shares.refresh(session, one.id, now=at(3))

        assert payments_of(one)[0].account_no.endswith("4321")


def terms_later(account: str) -> None:
    """Terms of Monday that name another account."""
    the_terms("water", f"[remit]\ndays = 1\n{account}", effective_on=at(3).date())


class TestFiles:
    def test_nothing_goes_out_that_is_not_approved(self):
        terms()
        release(a_remittance(), a_clerk())

        with pytest.raises(Conflict) as refused:
            make_file()

        assert refused.value.code == "remittance.none_approved"
        assert "bank" not in balances()

    def test_a_file_has_all_that_is_approved_and_the_books_have_it_once(self):
        terms(more=SPLIT)
        terms(company="power")
        collected(8_650, 1_000)
        close()
        water, power = propose("water"), propose("power")
        approved(water)
        approved(power)

        file = make_file()

        assert (file.number, file.payments, file.total_fen) == ("RM261123F01", 3, 9_650)
        after = balances()
        assert after["bank"] == -9_650
        assert "payable:water" not in after
        assert "payable:power" not in after
        assert again(water).state is RemittanceState.SENT
        assert violations() == []
        with pytest.raises(Conflict):
            make_file()

    def test_two_who_make_the_file_at_once_make_one(self):
        terms()
        approved(a_remittance())
        clerks = [a_clerk() for _ in range(6)]

        made = at_once([lambda by=by: make_file(by=by) for by in clerks])

        assert len([file for file in made if not isinstance(file, CityBillError)]) == 1
        assert balances()["bank"] == -8_650
        assert violations() == []

    def test_without_an_account_of_our_own_there_is_no_file(self):
        terms()
        approved(a_remittance())
        by = a_clerk()

        with pytest.raises(Conflict) as refused, transaction() as session:
            sending.make_file(session, US._replace(account_no=""), by=by, now=at(3))

        assert refused.value.code == "remittance.no_debtor"


class TestBroughtBack:
    def test_the_books_are_countered_and_it_goes_again_under_a_new_number(self):
        terms()
        one = sent(a_remittance())
        (first,) = payments_of(one)

        assert bring_back(first).state is RemittanceState.RETURNED

        assert balances()["payable:water"] == -8_650
        assert "bank" not in balances()
        assert violations() == []
        approved(one)
        file = make_file(day=4)
        with transaction() as session:
            (second,) = live_payments(session, one.id)
        assert (second.attempt, second.end_to_end_id) == (2, "RM2611209001102")
        assert (file.number, file.total_fen) == ("RM261124F01", 8_650)
        assert balances()["bank"] == -8_650
        assert again(one).state is RemittanceState.SENT
        assert violations() == []

    def test_only_the_share_that_came_back_goes_again(self):
        terms(more=SPLIT)
        one = sent(a_remittance())

        bring_back(payments_of(one)[1])
        approved(one)

        assert make_file(day=4).total_fen == 2_163
        assert balances()["bank"] == -8_650
        assert violations() == []

    def test_the_new_payment_goes_to_the_account_of_the_terms_of_that_day(self):
        terms()
        one = sent(a_remittance())
        terms_later(PRIMARY.replace("4321", "9999"))

        bring_back(payments_of(one)[0])

        assert payments_of(one)[1].account_no.endswith("9999")

    def test_again_it_changes_nothing_and_four_at_once_are_one(self):
        terms()
        one = sent(a_remittance())
        (first,) = payments_of(one)

        at_once([lambda: bring_back(first)] * 4)
        bring_back(first)

        assert len(payments_of(one)) == 2
        assert balances()["payable:water"] == -8_650
        assert violations() == []

    def test_what_was_never_sent_cannot_come_back(self):
        terms()
        one = a_remittance()

        with pytest.raises(Conflict) as refused:
            bring_back(payments_of(one)[0])

        assert refused.value.code == "remittance.not_sent"

    def test_while_another_share_waits_for_approval_one_more_may_come_back(self):
        terms(more=SPLIT)
        one = sent(a_remittance())
        bring_back(payments_of(one)[0])
        release(one, a_clerk())

        bring_back(next(pay for pay in payments_of(one) if pay.place == 2))

        assert again(one).state is RemittanceState.RETURNED
        approved(one)
        assert make_file(day=4).total_fen == 8_650
        assert violations() == []
