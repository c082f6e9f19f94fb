"""What somebody must know of an account to pay it without being a member."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from billing.documents.barcodes import barcode_digits
from billing.homes.challenges import (
    ACCOUNT_TRIES,
    CLIENT_TRIES,
    Passed,
    forget_challenges,
    forget_guests,
    pass_challenge,
    read_answer,
)
from billing.homes.pay_grants import grant
from billing.rules.terms import Proof
from core.db import transaction
from core.errors import CityBillError, Invalid, NotFound, TooMany
from providers.registry import get_provider
from tests.factories import (
    NOW,
    Home,
    a_guest,
    a_home,
    a_payment,
    a_record,
    bring_in,
    the_terms,
)
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SECRET = "keeps addresses out of the database"


def answer(
    home: Home, *, company: str | None = None, account_no: str | None = None, amount: str = "",
    name: str = "", client: str = "192.0.2.1", now=NOW,
) -> Passed:  # fmt: skip
    with transaction() as session:
        told = read_answer(
            session, home.companies[0] if company is None else company,
            home.account_nos[0] if account_no is None else account_no,
            amount_yuan=amount, name=name, now=now,
        )  # fmt: skip
    return pass_challenge(told, client=client, secret=SECRET, now=now)


def outcome(*args, **kwargs) -> object:
    """What somebody hears, as the web would tell it."""
    try:
        return answer(*args, **kwargs)
    except CityBillError as refused:
        return type(refused), refused.code, str(refused), refused.facts


class TestProofs:
    def test_the_exact_amount_of_a_bill_opens_its_account(self):
        home = a_home(8_650)

        assert answer(home, amount="86.50") == Passed(home.refs[0][0], Proof.AMOUNT)

    @pytest.mark.parametrize("amount", ["86.49", "86.51", "8650", "0"])
    def test_a_fen_off_does_not(self, amount):
        with pytest.raises(NotFound):
            answer(a_home(8_650), amount=amount)

    def test_of_the_last_three_bills_each_does_and_the_fourth_does_not(self):
        home = a_home(8_650)
        months = [date(2026, 9, 1), date(2026, 8, 1), date(2026, 7, 1)]
        for at, month in enumerate(months, start=1):
            record = a_record(
                home.account_nos[0], f"E{at}", billing_month=month, amount_fen=at * 1_000
            )
            bring_in("water", record)

        for fen in ("86.50", "10.00", "20.00"):
            assert answer(home, amount=fen).account_id == home.refs[0][0]
        with pytest.raises(NotFound):
            answer(home, amount="30.00")

    def test_a_bill_that_is_cancelled_or_of_nothing_proves_nothing(self):
        home, nothing = a_home(8_650), a_home(0)
        home.cancel(0)

        for one, amount in ((home, "86.50"), (nothing, "0.00")):
            with pytest.raises(NotFound):
                answer(one, amount=amount)

    @pytest.mark.parametrize("name", ["王珅", " 王 珅 ", "王\u3000珅"])
    def test_the_holders_name_in_full_does_however_it_is_spaced(self, name):
        assert answer(a_home(), name=name).proof is Proof.NAME

    def test_width_and_case_of_a_name_do_not_matter(self):
        home = a_home(100, holder_name="Ｗａｎｇ Shen")

        assert answer(home, name="wang SHEN").account_id == home.refs[0][0]

    @pytest.mark.parametrize("name", ["王", "王**", "王珅珅", "王坤"])
    def test_a_part_of_it_or_another_does_not(self, name):
        with pytest.raises(NotFound):
            answer(a_home(), name=name)

    def test_a_name_a_company_sends_with_stars_is_nobodys(self):
        with pytest.raises(NotFound):
            answer(a_home(100, holder_name="王**"), name="王**")

    def test_the_digits_under_the_barcode_stand_for_company_and_account(self):
        home = a_home(8_650)
        biller_no = get_provider("water").biller_no
        digits = barcode_digits(biller_no, home.account_nos[0], date(2026, 10, 1), 8_650)
        spaced = " ".join(digits[at : at + 5] for at in range(0, 30, 5))

        assert answer(home, company="", account_no=spaced, name="王珅").account_id
        wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
        with pytest.raises(Invalid) as refused:
            answer(home, company="", account_no=wrong, name="王珅")
        assert refused.value.code.startswith("barcode.")


class TestWhatACompanyAsksFor:
    def test_a_company_may_take_one_proof_only(self):
        the_terms("water", '[guest]\nproofs = ["amount"]\n')
        home = a_home(8_650)

        with pytest.raises(Invalid) as refused:
            answer(home, name="王珅")
        assert refused.value.code == "challenge.proof"
        assert answer(home, amount="86.50").proof is Proof.AMOUNT

    def test_or_none(self):
        the_terms("water", "[guest]\nproofs = []\n")

        with pytest.raises(Invalid) as refused:
            answer(a_home(8_650), amount="86.50")
        assert refused.value.code == "challenge.no_guests"

    @pytest.mark.parametrize(
        ("typed", "code"),
        [({"company": ""}, "challenge.no_company"), ({"company": "x"}, "challenge.no_company"),
         ({"account_no": " "}, "challenge.no_account"),
         ({"account_no": "9" * 65}, "challenge.no_account"),
         ({"amount": "", "name": " "}, "challenge.no_proof"),
         ({"amount": "86,50"}, "money.malformed")],
    )  # fmt: skip
    def test_what_is_missing_or_malformed_is_said_and_is_no_try(self, typed, code):
        home = a_home(8_650)

        for _ in range(ACCOUNT_TRIES + 1):
            with pytest.raises(Invalid) as refused:
                answer(home, **{"amount": "1.00"} | typed)
            assert refused.value.code == code
        assert answer(home, amount="86.50")


class TestForgetting:
    def test_a_guest_who_paid_nothing_is_forgotten_and_one_who_paid_is_not(self):
        idle, payer, young = a_guest(), a_guest(), a_guest(now=NOW + timedelta(days=2))
        home = a_home(100)
        with transaction() as session:
            for person_id in (idle, payer):
                grant(session, person_id, Passed(home.refs[0][0], Proof.NAME), now=NOW)
        a_payment(home, payer_id=payer)

        with transaction() as session:
            forget_challenges(session, now=NOW + timedelta(days=3))
            forget_guests(session, now=NOW + timedelta(days=3))
            left = session.execute(text("SELECT id FROM person WHERE role = 'guest'")).scalars()
            assert sorted(left) == [payer, young]


class TestTries:
    def test_nobody_tells_an_unknown_account_a_wrong_proof_and_a_closed_account_apart(self):
        home = a_home(8_650)
        unknown = outcome(home, account_no="no such", amount="86.50", client="1")
        wrong = [outcome(home, amount="1.00", client=f"2{at}") for at in range(ACCOUNT_TRIES)]

        closed = outcome(home, amount="86.50", client="3")

        assert {str(one) for one in [unknown, *wrong, closed]} == {str(closed)}
        assert closed[:2] == (NotFound, "challenge.no")

    def test_a_closed_account_opens_the_next_day(self):
        home = a_home(8_650)
        for _ in range(ACCOUNT_TRIES):
            outcome(home, amount="1.00")

        tomorrow = NOW + timedelta(days=1)
        assert outcome(home, amount="86.50")[0] is NotFound
        assert answer(home, amount="86.50", now=tomorrow)

    def test_zeros_before_a_number_are_no_second_account(self):
        home = a_home(8_650)
        for zeros in range(ACCOUNT_TRIES):
            outcome(home, account_no="0" * zeros + home.account_nos[0].lstrip("0"), amount="1.00")

        assert outcome(home, amount="86.50")[0] is NotFound

    def test_an_address_is_told_after_twenty_and_closes_no_account(self):
        home = a_home(8_650)
        for at in range(CLIENT_TRIES):
            outcome(home, account_no=f"no such {at}", amount="1.00")

        for _ in range(ACCOUNT_TRIES + 1):
            with pytest.raises(TooMany) as refused:
                answer(home, amount="86.50")
        assert refused.value.facts["free_at"] == "2026-11-20T05:00:00+00:00"
        assert answer(home, amount="86.50", client="another")
        assert answer(home, amount="86.50", now=NOW + timedelta(hours=1))

    def test_of_fifty_at_once_five_are_compared(self):
        home = a_home(8_650)

        found = at_once(50, lambda at: outcome(home, amount="86.50", client=f"c{at}"))

        assert sum(isinstance(one, Passed) for one in found) == ACCOUNT_TRIES
        with transaction() as session:
            counted = session.execute(text("SELECT max(tries) FROM challenge_try")).scalar_one()
        assert counted == 50

    def test_of_fifty_at_once_from_one_address_twenty_are_compared(self):
        homes = [a_home(8_650) for _ in range(50)]

        found = at_once(50, lambda at: outcome(homes[at], amount="86.50"))

        assert sum(isinstance(one, Passed) for one in found) == CLIENT_TRIES

    def test_the_rows_say_neither_account_nor_address_and_are_forgotten(self):
        home = a_home(8_650)
        answer(home, amount="86.50")
        with transaction() as session:
            kept = str(session.execute(text("SELECT * FROM challenge_try")).all())
            forget_challenges(session, now=NOW + timedelta(days=3))
            left = session.execute(text("SELECT count(*) FROM challenge_try")).scalar_one()

        assert home.account_nos[0] not in kept
        assert "192.0.2.1" not in kept
        assert left == 0
