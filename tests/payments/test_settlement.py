"""A gateway's word becomes our books: once, whole, and whatever order the news comes in."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import AmountMismatch, NotFound
from payments.gateways.base import GatewayStatus
from payments.models import Payment
from payments.settlement import book_reply
from payments.states import Outcome, PaymentStatus
from tests.factories import (
    NOW,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    items_of,
    says,
    the_bill,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
PAID, REFUSED, CLOSED = GatewayStatus.PAID, GatewayStatus.REFUSED, GatewayStatus.CLOSED


def outcomes(payment: Payment) -> set[Outcome]:
    return {item.outcome for item in items_of(payment)}


def refunds() -> list[tuple[int, str]]:
    with transaction() as session:
        found = session.execute(text("SELECT amount_fen, status FROM refund ORDER BY refund_no"))
        return [(row.amount_fen, row.status) for row in found]


class TestPaid:
    def test_money_lands_on_every_bill_and_every_company_is_to_be_told(self):
        home = a_home(1_000, 2_000)

        payment = a_paid_payment(home)

        assert (payment.status, payment.paid_at) == (
            PaymentStatus.PAID, NOW + timedelta(minutes=1),
        )  # fmt: skip
        assert [the_bill(ref).paid_fen for ref in home.refs] == [1_000, 2_000]
        assert {the_bill(ref).held_by for ref in home.refs} == {None}
        assert outcomes(payment) == {Outcome.PAID}
        assert balances() == {
            "gateway:sandbox": 3_000, "uncollected:water": -1_000, "uncollected:power": -2_000,
        }  # fmt: skip
        assert topics(like="write_off.%") == ["write_off.due"] * 2
        assert topics(like="payment.%") == ["payment.created", "payment.paid"]
        assert violations() == []

    def test_the_same_word_again_changes_nothing(self):  # rule 33
        payment = a_paid_payment(a_home(1_000))
        before = balances(), topics()

        book(payment, PAID)
        book(payment, PAID, now=NOW + timedelta(days=1))

        assert (balances(), topics()) == before

    def test_sixteen_threads_with_the_same_word_book_it_once(self):
        home = a_home(1_000, 2_000, 3_000)
        payment = a_payment(home)

        found = at_once([lambda: book(payment, PAID)] * 16)

        assert {one.status for one in found} == {PaymentStatus.PAID}
        assert balances()["gateway:sandbox"] == 6_000
        assert topics(like="payment.paid") == ["payment.paid"]
        assert topics(like="write_off.%") == ["write_off.due"] * 3
        assert violations() == []

    def test_callback_poll_and_our_own_timer_race_and_the_money_wins(self):
        for _ in range(4):
            home = a_home(1_000, 2_000)
            payment = book(a_payment(home), GatewayStatus.OPEN)
            words = [PAID, CLOSED, PAID, GatewayStatus.OPEN] * 4

            at_once([lambda word=word, one=payment: book(one, word) for word in words])

            assert outcomes(payment) == {Outcome.PAID}
            assert [the_bill(ref).paid_fen for ref in home.refs] == [1_000, 2_000]
        assert topics(like="payment.paid") == ["payment.paid"] * 4
        assert violations() == []

    @pytest.mark.parametrize("took_fen", [0, -8_650, None])
    @pytest.mark.parametrize("first", [None, GatewayStatus.OPEN, CLOSED])
    def test_a_gateway_that_does_not_say_how_much_is_not_believed(self, took_fen, first):
        payment = a_payment(a_home(8_650))
        if first is not None:
            payment = book(payment, first)
        before = balances(), topics()

        with pytest.raises(AmountMismatch):
            book(payment, PAID, amount_fen=took_fen)

        assert (balances(), topics()) == before
        assert violations() == []

    @pytest.mark.parametrize("word", [REFUSED, CLOSED, GatewayStatus.OPEN])
    def test_an_older_word_that_comes_late_takes_no_money_back(self, word):  # rule 33
        home = a_home(1_000)
        payment = a_paid_payment(home)

        assert book(payment, word).status is PaymentStatus.PAID

        assert the_bill(home.refs[0]).paid_fen == 1_000
        assert violations() == []

    def test_a_gateway_that_does_not_say_when_was_paid_now(self):
        assert book(a_payment(a_home(1)), PAID, paid_at=None).paid_at == NOW

    def test_nobodys_payment_is_not_found(self, session):
        payment = a_payment(a_home(1))

        with pytest.raises(NotFound):
            book_reply(session, payment.id + 1, says(payment, PAID), now=NOW)


class TestNotPaid:
    @pytest.mark.parametrize(
        ("word", "status", "topic"),
        [
            (REFUSED, PaymentStatus.REFUSED, "payment.refused"),
            (CLOSED, PaymentStatus.EXPIRED, "payment.expired"),
        ],
    )
    @pytest.mark.parametrize("opened", [True, False])
    def test_a_no_sets_the_bills_free(self, word, status, topic, opened):
        home = a_home(1_000, 2_000)
        payment = a_payment(home)
        if opened:
            book(payment, GatewayStatus.OPEN)

        book(payment, word)
        after = book(payment, word)

        assert after.status is status
        assert {the_bill(ref).held_by for ref in home.refs} == {None}
        assert outcomes(payment) == {Outcome.NOT_PAID}
        assert topics(like="payment.%") == ["payment.created", topic]
        assert balances().get("gateway:sandbox") is None
        assert a_payment(home).amount_fen == 3_000
        assert violations() == []

    @pytest.mark.parametrize(
        ("word", "status"),
        [
            (GatewayStatus.UNKNOWN, PaymentStatus.UNKNOWN),
            (GatewayStatus.NOT_FOUND, PaymentStatus.CREATED),
        ],
    )
    def test_not_knowing_ends_nothing(self, word, status):  # rule 25
        home = a_home(1_000)
        payment = a_payment(home)

        assert book(payment, word).status is status

        assert the_bill(home.refs[0]).held_by == payment.id
        assert topics(like="payment.%") == ["payment.created"]


class TestLate:
    """Rule 29: a late success is kept where it fits and returned where it does not."""

    @pytest.mark.parametrize("no", [REFUSED, CLOSED])
    def test_money_after_a_no_pays_the_bill_if_it_is_still_open(self, no):  # rule 14
        home = a_home(1_000)
        payment = a_payment(home)
        book(payment, no)

        late = book(payment, PAID, now=NOW + timedelta(days=2))

        assert (late.status, outcomes(payment)) == (PaymentStatus.PAID, {Outcome.PAID})
        assert the_bill(home.refs[0]).paid_fen == 1_000
        assert refunds() == []
        assert violations() == []

    def test_money_for_a_bill_that_another_payment_paid_goes_back(self):
        home = a_home(1_000)
        late = a_payment(home)
        book(late, CLOSED)
        a_paid_payment(home)

        book(late, PAID, gateway_ref="late")
        book(late, PAID, gateway_ref="late")

        assert the_bill(home.refs[0]).paid_fen == 1_000
        assert outcomes(late) == {Outcome.RETURNING}
        assert refunds() == [(1_000, "requested")]
        assert balances()["returns"] == -1_000
        assert balances()["gateway:sandbox"] == 2_000
        assert violations() == []

    def test_money_for_a_bill_that_another_payment_holds_goes_back(self):
        home = a_home(1_000)
        late = a_payment(home)
        book(late, CLOSED)
        holding = a_payment(home)

        book(late, PAID)

        assert the_bill(home.refs[0]).held_by == holding.id
        assert outcomes(late) == {Outcome.RETURNING}
        assert violations() == []

    def test_each_bill_of_a_late_payment_is_judged_alone(self):
        home = a_home(1_000, 2_000)
        late = a_payment(home)
        book(late, CLOSED)
        a_paid_payment(home, home.refs[1])

        book(late, PAID, gateway_ref="late")

        assert sorted(item.outcome for item in items_of(late)) == [Outcome.PAID, Outcome.RETURNING]
        assert [the_bill(ref).paid_fen for ref in home.refs] == [1_000, 2_000]
        assert refunds() == [(2_000, "requested")]
        assert violations() == []

    def test_money_for_a_bill_cancelled_meanwhile_goes_back(self):
        home = a_home(1_000)
        late = a_payment(home)
        book(late, CLOSED)
        home.cancel(0)

        book(late, PAID)

        assert the_bill(home.refs[0]).paid_fen == 0
        assert refunds() == [(1_000, "requested")]
        assert violations() == []

    @pytest.mark.parametrize(
        ("new_fen", "paid_fen", "outcome"),
        [
            (999, 0, Outcome.RETURNING),
            (1_000, 1_000, Outcome.PAID),
            (1_001, 1_000, Outcome.PAID),
        ],
    )
    def test_money_for_a_bill_corrected_meanwhile_is_kept_if_it_fits(
        self, new_fen, paid_fen, outcome
    ):
        home = a_home(1_000)
        late = a_payment(home)
        book(late, CLOSED)
        home.correct(0, version=2, amount_fen=new_fen)

        book(late, PAID)

        assert the_bill(home.refs[0]).paid_fen == paid_fen
        assert outcomes(late) == {outcome}
        assert violations() == []

    def test_two_late_payments_of_one_bill_from_many_threads_pay_it_once(self):
        home = a_home(1_000)
        late = []
        for _ in range(2):
            payment = a_payment(home)
            book(payment, CLOSED)
            late.append(payment)

        at_once([lambda one=one: book(one, PAID) for one in late * 5])

        assert the_bill(home.refs[0]).paid_fen == 1_000
        assert sorted(outcomes(late[0]) | outcomes(late[1])) == [Outcome.PAID, Outcome.RETURNING]
        assert refunds() == [(1_000, "requested")]
        assert violations() == []


class TestFrozen:
    """Rules 12 and 13: what is paid or being paid is not corrected under the payer's hands."""

    def test_a_paid_bill_is_neither_corrected_nor_cancelled(self):
        home = a_home(1_000)
        a_paid_payment(home)

        corrected = home.correct(0, version=2, amount_fen=900)
        cancelled = home.cancel(0, version=3)

        assert (corrected.rejected, cancelled.rejected) == (1, 1)
        assert (the_bill(home.refs[0]).amount_fen, the_bill(home.refs[0]).version) == (1_000, 1)
        assert violations() == []

    @pytest.mark.parametrize(("word", "amount_fen"), [(REFUSED, 900), (CLOSED, 900), (PAID, 1_000)])
    def test_of_a_bill_being_paid_it_waits_for_the_end(self, word, amount_fen):
        home = a_home(1_000)
        payment = a_payment(home)

        assert home.correct(0, version=2, amount_fen=900).waiting == 1
        assert the_bill(home.refs[0]).amount_fen == 1_000
        book(payment, word)

        assert the_bill(home.refs[0]).amount_fen == amount_fen
        assert topics(like="bill_correction.%") == [
            "bill_correction.refused" if word is PAID else "bill_correction.applied"
        ]
        assert violations() == []

    def test_it_lands_once_the_payment_came_to_nothing(self):
        home = a_home(1_000)
        book(a_payment(home), REFUSED)

        assert home.correct(0, version=2, amount_fen=900).superseded == 1
        assert a_payment(home).amount_fen == 900
        assert violations() == []

    def test_one_that_comes_at_the_very_end_of_the_payment_is_not_forgotten(self):
        """It may be recorded between the payment's look at its bills and its end."""
        for word in (CLOSED, PAID) * 4:
            home = a_home(1_000)
            payment = a_payment(home)

            at_once(
                [
                    lambda one=payment, word=word: book(one, word),
                    lambda home=home: home.correct(0, version=2, amount_fen=900),
                ]
            )

            assert violations() == []
