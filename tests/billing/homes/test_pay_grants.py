"""Whom an account may be paid by that is of no household of theirs, and what they see of it."""

from datetime import timedelta

import pytest

from billing.homes.challenges import Passed
from billing.homes.households import visible_accounts
from billing.homes.pay_grants import GRANT_TIME, admit, grant, list_granted_bills, payable_accounts
from billing.rules.terms import Proof
from core.db import transaction
from core.errors import NotFound
from identity.models import Role
from identity.people import get_person
from payments.checkout import Wanted
from tests.factories import NOW, a_guest, a_home, a_paid_payment, a_payment, a_person, violations

pytestmark = pytest.mark.usefixtures("city")


def let(person_id: int, account_id: int, *, now=NOW) -> None:
    with transaction() as session:
        grant(session, person_id, Passed(account_id, Proof.AMOUNT), now=now)


def payable(person_id: int, *, now=NOW) -> set[int]:
    with transaction() as session:
        return set(payable_accounts(session, person_id, now=now))


class TestGrants:
    def test_a_grant_lasts_half_an_hour_and_asked_again_half_an_hour_more(self):
        home, guest = a_home(100), a_guest()
        account_id = home.refs[0][0]
        let(guest, account_id)

        assert payable(guest, now=NOW + GRANT_TIME - timedelta(seconds=1)) == {account_id}
        assert payable(guest, now=NOW + GRANT_TIME) == set()
        let(guest, account_id, now=NOW + GRANT_TIME)
        assert payable(guest, now=NOW + GRANT_TIME) == {account_id}

    def test_it_lets_pay_and_nothing_else(self):
        home, guest = a_home(100, 200), a_guest()
        let(guest, home.refs[0][0])

        with transaction() as session:
            assert visible_accounts(session, guest) == {}
            assert visible_accounts(session, guest, to_pay=True) == {}
        payment = a_payment(home, wanted=[Wanted(home.refs[0], 100)], payer_id=guest)
        assert payment.payer_id == guest
        with pytest.raises(NotFound):
            a_payment(home, wanted=[Wanted(home.refs[1], 200)], payer_id=guest)

    def test_a_residents_grant_adds_to_their_own_accounts(self):
        mine, parents = a_home(100), a_home(200)
        let(mine.owner_id, parents.refs[0][0])

        assert payable(mine.owner_id) == {mine.refs[0][0], parents.refs[0][0]}
        payment = a_payment(
            mine, wanted=[Wanted(mine.refs[0], 100), Wanted(parents.refs[0], 200)],
            payer_id=mine.owner_id,
        )  # fmt: skip
        assert (payment.payer_id, payment.amount_fen) == (mine.owner_id, 300)
        assert violations() == []

    def test_a_grant_that_ran_out_pays_nothing(self):
        home, guest = a_home(100), a_guest()
        let(guest, home.refs[0][0], now=NOW - GRANT_TIME)

        with pytest.raises(NotFound):
            a_payment(home, payer_id=guest)


class TestWhatIsSeen:
    def test_what_is_open_without_usage_address_or_earlier_bills(self):
        home, guest = a_home(100), a_guest()
        let(guest, home.refs[0][0])

        with transaction() as session:
            (bill,) = list_granted_bills(session, guest, now=NOW)

        assert (bill.open_fen, bill.account.holder_masked) == (100, "王*")
        assert (bill.usage, bill.items, bill.account.address, bill.account_no) == (None, (), "", "")

    def test_a_paid_bill_is_not_seen(self):
        home, guest = a_home(100), a_guest()
        let(guest, home.refs[0][0])
        a_paid_payment(home)

        with transaction() as session:
            assert list_granted_bills(session, guest, now=NOW) == []


class TestAdmitting:
    def test_nobody_becomes_a_guest_with_a_session_and_a_second_account_is_theirs_too(self):
        home = a_home(100, 200)
        accounts = [ref[0] for ref in home.refs]
        with transaction() as session:
            first = admit(
                session, Passed(accounts[0], Proof.NAME), person_id=None, email=None,
                locale="en", now=NOW,
            )  # fmt: skip
            again = admit(
                session, Passed(accounts[1], Proof.NAME), person_id=first.person_id,
                email="me@city.example", locale="en", now=NOW,
            )  # fmt: skip
            person = get_person(session, first.person_id)

        assert first.token
        assert again == (first.person_id, None)
        assert (person.role, person.contact, person.email) == (Role.GUEST, None, "me@city.example")
        assert payable(first.person_id) == set(accounts)

    def test_a_residents_address_stays_as_it_is(self):
        home, other = a_home(100), a_person()
        with transaction() as session:
            before = get_person(session, other).email
            admit(
                session, Passed(home.refs[0][0], Proof.NAME), person_id=other,
                email="else@city.example", locale="en", now=NOW,
            )  # fmt: skip
            assert get_person(session, other).email == before
