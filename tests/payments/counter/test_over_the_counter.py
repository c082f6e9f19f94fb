"""Cash at a counter: recorded whatever becomes of it, on its bill once, or to be given back."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing.documents.barcodes import barcode_digits
from core.db import transaction
from core.errors import AmountMismatch, Conflict, Invalid, NotFound
from payments import checkout
from payments.counter import holds, over_the_counter
from payments.counter.holds import Rules, Standpoint
from payments.counter.models import CashState, CounterPayment
from payments.counter.over_the_counter import Cash
from payments.gateways.base import GatewayStatus
from payments.gateways.counter import Counter, order_code, parse_order_code
from payments.states import PaymentStatus
from providers.registry import get_provider
from tests.factories import (
    MONTH,
    NOW,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    the_bill,
    the_terms,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
MINUTE = timedelta(minutes=1)
UNTIL = datetime.fromisoformat("2026-11-20T22:30:00+08:00")


def barcode(home: Home, at: int = 0, amount_fen: int = 8_650) -> str:
    biller_no = get_provider(home.companies[at]).biller_no
    return barcode_digits(biller_no, home.account_nos[at], MONTH, amount_fen)


def ask(code: str, agent: str = "family", *, now: datetime = NOW, **rules: int) -> Standpoint:
    with transaction() as session:
        return holds.stand(session, code, Rules(agent=agent, **rules), now=now)


def tell(
    code: str, number: str = "1", agent: str = "family", *, amount_fen: int = 8_650,
    now: datetime = NOW, paid_at: datetime | None = None,
) -> CounterPayment:  # fmt: skip
    cash = Cash(agent_txn_no=number, barcode=code, amount_fen=amount_fen, paid_at=paid_at or now)
    with transaction() as session:
        return over_the_counter.take(session, agent, cash, now=now)


def give_back(number: str = "1", agent: str = "family", *, now: datetime = NOW) -> CounterPayment:
    with transaction() as session:
        return over_the_counter.give_back(session, agent, number, until=UNTIL, now=now)


def payments() -> list[str]:
    with transaction() as session:
        found = session.execute(text("SELECT order_no || ' ' || status FROM payment ORDER BY id"))
        return list(found.scalars())


class TestAsking:
    def test_a_bill_that_is_open_is_held_and_shown_masked(self):
        home = a_home()

        told = ask(barcode(home))

        assert (told.reason, told.amount_fen, told.company) == (None, 8_650, "water")
        assert told.account_no_masked == "******" + home.account_nos[0][-4:]
        assert told.held_until == NOW + 5 * MINUTE
        assert the_bill(home.refs[0]).held_by is not None
        assert violations() == []

    def test_asked_again_the_hold_is_the_one_it_was(self):
        home = a_home()

        first, again = ask(barcode(home)), ask(barcode(home), now=NOW + MINUTE)

        assert first == again
        assert len(payments()) == 1

    def test_a_hold_that_is_over_is_taken_anew(self):
        home = a_home()
        ask(barcode(home))

        again = ask(barcode(home), now=NOW + 6 * MINUTE)

        assert again.held_until == NOW + 11 * MINUTE
        assert [one.partition(" ")[2] for one in payments()] == ["expired", "open"]

    def test_a_hold_nobody_comes_back_for_ends_by_itself(self):  # rule 31
        home = a_home()
        ask(barcode(home))
        payment_id = the_bill(home.refs[0]).held_by or 0

        for minutes in (4, 5):
            found = checkout.resolve(
                payment_id, Counter(), notify_url="http://127.0.0.1:9", now=NOW + minutes * MINUTE
            )
            assert (found.status is PaymentStatus.OPEN) is (minutes < 5)

        assert the_bill(home.refs[0]).held_by is None
        assert topics(like="payment.%") == ["payment.created", "payment.expired"]
        assert violations() == []

    def test_another_shop_learns_when_it_is_free_again(self):  # rule 37
        home = a_home()
        ask(barcode(home))

        told = ask(barcode(home), "bank")

        assert (told.reason, told.held_until) == ("being_paid", NOW + 5 * MINUTE)
        assert told.amount_fen is None

    def test_a_resident_who_is_paying_is_not_disturbed(self):
        home = a_home()
        payment = a_payment(home)

        told = ask(barcode(home))

        assert (told.reason, told.held_until) == ("being_paid", payment.expires_at)

    def test_why_not_is_told_apart(self):
        paid, cancelled, late, corrected = (a_home() for _ in range(4))
        a_paid_payment(paid)
        cancelled.cancel(0)
        corrected.correct(0, version=2, amount_fen=9_000)

        assert ask(barcode(paid)).reason == "paid"
        assert ask(barcode(cancelled)).reason == "cancelled"
        assert ask(barcode(corrected)).reason == "superseded"
        assert ask(barcode(corrected, amount_fen=9_000)).reason is None
        assert ask(barcode(late), now=NOW + timedelta(days=101)).reason == "too_late"

    def test_a_company_that_takes_no_cash_is_not_paid_in_cash(self):  # rule 5
        home = a_home()
        the_terms("water", '[[limits]]\nmode = "wallet"\nchannels = ["web"]')

        assert ask(barcode(home)).reason == "limit.mode"
        assert the_bill(home.refs[0]).held_by is None

    def test_an_agent_takes_no_more_than_its_float(self):
        home = a_home(8_650, 1_000)
        tell(barcode(home))

        told = ask(barcode(home, 1, 1_000), float_fen=9_000)

        assert told.reason == "agent.float"
        assert ask(barcode(home, 1, 1_000), most_fen=999).reason == "agent.too_much"
        assert ask(barcode(home, 1, 1_000), float_fen=9_650).reason is None

    def test_what_it_is_about_to_take_counts_to_its_float(self):
        home = a_home(8_650, 1_000)
        held = ask(barcode(home), float_fen=9_000)

        told = ask(barcode(home, 1, 1_000), float_fen=9_000)

        assert (held.reason, told.reason) == (None, "agent.float")
        assert ask(barcode(home), float_fen=9_000) == held
        assert ask(barcode(home, 1, 1_000), "other", float_fen=9_000).reason is None

    def test_what_it_asked_of_and_did_not_take_does_not(self):
        home = a_home(8_650, 1_000)
        ask(barcode(home), float_fen=9_000)

        later = ask(barcode(home, 1, 1_000), now=NOW + 6 * MINUTE, float_fen=9_000)

        assert later.reason is None

    def test_at_many_tills_at_once_it_takes_no_more_either(self):
        homes = [a_home() for _ in range(4)]

        found = at_once([lambda one=one: ask(barcode(one), float_fen=17_300) for one in homes])

        assert sorted(one.reason or "" for one in found) == ["", "", *["agent.float"] * 2]

    def test_no_bill_and_junk_are_told_apart(self):
        home = a_home()
        with pytest.raises(NotFound):
            ask(barcode_digits("9001", "4711", MONTH, 1))
        with pytest.raises(NotFound):
            ask(barcode_digits("0001", home.account_nos[0], MONTH, 1))
        with pytest.raises(Invalid) as refused:
            ask(barcode(home)[:-1] + str((int(barcode(home)[-1]) + 1) % 10))
        assert refused.value.code == "barcode.check_digit"


class TestCash:
    def test_cash_for_a_held_bill_pays_it(self):
        home = a_home()
        ask(barcode(home))

        told = tell(barcode(home), now=NOW + MINUTE)

        assert (told.state, told.reason) == (CashState.BOOKED, None)
        assert payments() == ["CAfamily-1 paid"]
        assert the_bill(home.refs[0]).open_fen == 0
        assert balances()["gateway:counter"] == 8_650
        assert "write_off.due" in topics()
        assert violations() == []

    def test_cash_nobody_asked_about_pays_it_too(self):
        home = a_home()

        assert tell(barcode(home)).state is CashState.BOOKED
        assert the_bill(home.refs[0]).open_fen == 0
        assert violations() == []

    def test_told_again_it_is_the_same_for_ever_and_told_otherwise_refused(self):  # rule 38
        home = a_home(8_650, 8_650)
        first = tell(barcode(home))

        again = tell(
            barcode(home), now=NOW + timedelta(days=400), paid_at=NOW + timedelta(days=399)
        )
        assert again == first
        for code, amount_fen in ((barcode(home), 8_651), (barcode(home, 1), 8_650)):
            with pytest.raises(AmountMismatch):
                tell(code, amount_fen=amount_fen)
        assert tell(barcode(home, 1), agent="bank").state is CashState.BOOKED

    def test_of_ten_told_at_once_one_is_booked(self):
        home = a_home()

        found = at_once([lambda: tell(barcode(home)) for _ in range(10)])

        assert {one.state for one in found} == {CashState.BOOKED}
        assert len(payments()) == 1
        assert balances()["gateway:counter"] == 8_650
        assert violations() == []

    def test_of_two_shops_at_once_one_pays_and_the_other_gives_back(self):  # rules 29, 39
        home = a_home()

        found = at_once([lambda: tell(barcode(home)), lambda: tell(barcode(home), agent="bank")])

        assert sorted(one.state for one in found) == [CashState.BOOKED, CashState.SUSPENDED]
        loser = next(one for one in found if one.state is CashState.SUSPENDED)
        assert loser.reason == "paid"
        assert balances()["suspense:counter"] == -8_650
        assert give_back(agent=loser.agent).state is CashState.RETURNED
        assert balances()["gateway:counter"] == 8_650
        assert "suspense:counter" not in balances()
        assert violations() == []

    def test_a_shop_that_asks_while_another_tells_never_leaves_the_books_wrong(self):
        homes = [a_home() for _ in range(5)]

        acts = [
            act
            for home in homes
            for act in (
                lambda home=home: ask(barcode(home), "bank"),
                lambda home=home: tell(barcode(home), home.account_nos[0]),
            )
        ]
        found = at_once(acts)

        assert not [one for one in found if isinstance(one, Exception)]
        assert violations() == []

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda home: a_paid_payment(home), "paid"),
            (lambda home: a_payment(home), "being_paid"),
            (lambda home: home.correct(0, version=2, amount_fen=9_000), "superseded"),
            (lambda home: home.cancel(0), "cancelled"),
        ],
    )
    def test_cash_no_bill_takes_is_suspended_and_says_why(self, spoil, reason):  # rule 14
        home = a_home()
        spoil(home)
        before = the_bill(home.refs[0])

        told = tell(barcode(home))

        assert (told.state, told.reason) == (CashState.SUSPENDED, reason)
        assert the_bill(home.refs[0]) == before
        assert balances()["suspense:counter"] == -8_650
        assert violations() == []

    def test_a_correction_is_no_late_fee_however_late_the_cash_is_told_of(self):
        home = a_home()
        home.correct(0, version=2, amount_fen=9_000)

        told = tell(barcode(home), paid_at=NOW, now=NOW + timedelta(days=1))

        assert (told.state, told.reason) == (CashState.SUSPENDED, "superseded")
        assert the_bill(home.refs[0]).open_fen == 9_000
        assert violations() == []

    @pytest.mark.parametrize("amount_fen", [8_649, 8_651])
    def test_a_fen_off_is_suspended_whole_held_or_not(self, amount_fen):  # rule 32
        for asked_first in (True, False):
            home = a_home()
            if asked_first:
                ask(barcode(home))

            told = tell(barcode(home), home.account_nos[0], amount_fen=amount_fen)

            assert (told.state, told.reason) == (CashState.SUSPENDED, "amount")
            assert the_bill(home.refs[0]).open_fen == 8_650
            assert the_bill(home.refs[0]).held_by is None
        assert violations() == []

    def test_a_part_is_taken_where_the_company_takes_parts(self):
        home = a_home()
        the_terms("water", '[amount]\nmode = "exact_and_below"')

        assert tell(barcode(home), amount_fen=3_000).state is CashState.BOOKED
        assert the_bill(home.refs[0]).open_fen == 5_650
        assert ask(barcode(home)).amount_fen == 5_650

    def test_the_fee_is_in_what_is_taken(self):  # rule 4
        home = a_home()
        the_terms("water", "[fee]\nslabs = [{fixed_fen = 100}]")

        told = ask(barcode(home))

        assert (told.amount_fen, told.fee_fen) == (8_750, 100)
        assert tell(barcode(home), amount_fen=8_750).state is CashState.BOOKED
        assert balances()["fees"] == -100
        assert violations() == []

    def test_a_hold_that_is_over_still_takes_its_cash(self):
        home = a_home()
        ask(barcode(home))

        assert tell(barcode(home), now=NOW + 20 * MINUTE).state is CashState.BOOKED
        assert len(payments()) == 1

    def test_a_barcode_of_nobody_is_kept_and_is_no_money_of_ours(self):
        told = tell(barcode_digits("9001", "4711", MONTH, 8_650))

        assert (told.state, told.reason) == (CashState.UNMATCHED, "no_bill")
        assert payments() == []
        with pytest.raises(Conflict):
            give_back()

    @pytest.mark.parametrize("off", [timedelta(minutes=6), -timedelta(days=32)])
    def test_a_time_that_cannot_be_is_refused(self, off):
        with pytest.raises(Invalid) as refused:
            tell(barcode(a_home()), paid_at=NOW + off)
        assert refused.value.code == "counter.paid_at"


class TestGivingBack:
    def test_given_back_twice_is_given_back_once(self):
        home = a_home()
        a_paid_payment(home)
        tell(barcode(home))

        first, again = give_back(), give_back(now=NOW + MINUTE)

        assert first == again
        assert first.state is CashState.RETURNED
        assert (first.return_no or "").startswith("S")
        assert topics(like="receipt.returned") == ["receipt.returned"]
        assert violations() == []

    def test_what_a_bill_has_taken_is_not_the_agents_to_give(self):
        home = a_home()
        tell(barcode(home))

        with pytest.raises(Conflict) as refused:
            give_back()
        assert refused.value.code == "counter.booked"
        assert the_bill(home.refs[0]).open_fen == 0

    def test_after_its_day_it_is_too_late(self):
        home = a_home()
        a_paid_payment(home)
        tell(barcode(home))

        with pytest.raises(Conflict) as refused:
            give_back(now=UNTIL + MINUTE)
        assert refused.value.code == "counter.too_late"

    def test_another_agents_payment_is_nobodys(self):
        tell(barcode(a_home()))

        with pytest.raises(NotFound):
            give_back(agent="bank")


class TestOrders:
    """A payer who chose "cash at a shop" in a checkout."""

    def test_its_code_is_paid_at_any_counter(self):
        home = a_home(8_650, 1_000)
        payment = book(a_payment(home, gateway="counter"), GatewayStatus.OPEN)
        code = order_code(payment.order_no)

        asked = ask(code)
        told = tell(code, amount_fen=9_650)

        assert (asked.reason, asked.amount_fen, asked.company) == (None, 9_650, None)
        assert told.state is CashState.BOOKED
        assert [the_bill(ref).open_fen for ref in home.refs] == [0, 0]
        assert ask(code).reason == "paid"
        assert violations() == []

    def test_a_second_cash_for_it_is_suspended(self):  # rule 29
        payment = book(a_payment(a_home(), gateway="counter"), GatewayStatus.OPEN)
        tell(order_code(payment.order_no))

        told = tell(order_code(payment.order_no), agent="bank")

        assert (told.state, told.reason) == (CashState.SUSPENDED, "paid")
        assert violations() == []

    def test_one_that_is_over_takes_none(self):
        home = a_home()
        payment = book(a_payment(home, gateway="counter"), GatewayStatus.CLOSED)
        assert payment.status is PaymentStatus.EXPIRED

        assert ask(order_code(payment.order_no)).reason == "expired"
        told = tell(order_code(payment.order_no))

        assert (told.state, told.reason) == (CashState.SUSPENDED, "expired")
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []

    @pytest.mark.parametrize("happens", ["nothing", "paid", "amount"])
    def test_cash_laid_down_in_time_and_told_of_late_pays_what_is_still_open(self, happens):
        home = a_home(8_650, 1_000)
        payment = book(a_payment(home, gateway="counter"), GatewayStatus.OPEN)
        ended_at = payment.expires_at + MINUTE
        book(payment, GatewayStatus.CLOSED, now=ended_at)
        if happens == "paid":
            tell(barcode(home), "9", agent="bank", now=ended_at)

        told = tell(
            order_code(payment.order_no), amount_fen=9_651 if happens == "amount" else 9_650,
            paid_at=payment.expires_at - MINUTE, now=ended_at + MINUTE,
        )  # fmt: skip

        taken = happens == "nothing"
        assert told.state is (CashState.BOOKED if taken else CashState.SUSPENDED)
        assert the_bill(home.refs[1]).open_fen == (0 if taken else 1_000)
        assert violations() == []

    def test_an_order_of_another_gateway_is_not_paid_in_cash(self):
        payment = a_payment(a_home(), gateway="sandbox")

        with pytest.raises(NotFound):
            ask(order_code(payment.order_no))
        assert tell(order_code(payment.order_no)).state is CashState.UNMATCHED

    @given(st.integers(0, 10**11 - 1), st.integers(0, 17), st.integers(1, 9))
    def test_a_code_names_its_order_and_one_wrong_digit_is_noticed(self, number, at, more):
        order_no = f"CB2611{number:012d}"
        code = order_code(order_no)
        wrong = code[:at] + str((int(code[at]) + more) % 10) + code[at + 1 :]

        assert parse_order_code(code) == order_no
        assert len(code) == 18
        with pytest.raises(Invalid):
            parse_order_code(wrong)
