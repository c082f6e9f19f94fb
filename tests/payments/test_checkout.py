"""Starting a payment: what may be paid, by whom, and once."""

from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import text

from billing.bills import format_ref
from billing.models import BillReminder, MemberRole
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound, UpstreamUnavailable
from core.keys import month_of, named_key
from payments import checkout, opening
from payments.checkout import PAY_WITHIN, Wanted, get_own_payment
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import Payment
from payments.states import PENDING, Outcome, PaymentStatus
from tests.factories import (
    AWAY,
    MONTH,
    NOW,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    as_shown,
    at_once,
    book,
    items_of,
    join,
    says,
    the_bill,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")


def payments() -> int:
    with transaction() as session:
        return session.execute(text("SELECT count(*) FROM payment")).scalar_one()


class TestCreate:
    def test_one_payment_takes_bills_of_several_companies(self):
        home = a_home(1_000, 2_000, 3_000, 4_000)

        payment = a_payment(home)

        assert (payment.amount_fen, payment.status) == (10_000, PaymentStatus.CREATED)
        assert payment.expires_at == NOW + PAY_WITHIN
        assert payment.return_url.endswith(f"/payments/{payment.id}")
        assert month_of(payment.id) == MONTH.replace(month=11)
        items = items_of(payment)
        assert sorted(item.amount_fen for item in items) == [1_000, 2_000, 3_000, 4_000]
        assert len({item.write_off_no for item in items}) == 4
        assert {item.outcome for item in items} == {Outcome.WAITING}
        assert {the_bill(ref).held_by for ref in home.refs} == {payment.id}
        assert topics(like="payment.%") == ["payment.created"]
        assert violations() == []

    def test_a_reminders_name_pays_its_bill_and_only_its_owner(self):  # rule 11
        home, stranger = a_home(8_650), a_person()
        reminder = home.refs[0][0], named_key(MONTH, "R1")
        with transaction() as session:
            row = BillReminder(
                account_id=reminder[0], id=reminder[1], bill_id=home.refs[0][1], reminder_no="R1",
                reminded_on=MONTH, due_on=MONTH, fee_fen=0, bill_file_id=1, recorded_at=NOW,
            )  # fmt: skip
            session.add(row)

        with pytest.raises(NotFound):
            a_payment(home, wanted=[Wanted(reminder, 8_650)], payer_id=stranger)
        with pytest.raises(Invalid, match="twice"):
            a_payment(home, wanted=[Wanted(reminder, 8_650), Wanted(home.refs[0], 8_650)])
        payment = a_payment(home, wanted=[Wanted(reminder, 8_650)])

        assert the_bill(home.refs[0]).held_by == payment.id
        assert violations() == []

    @pytest.mark.parametrize("off_fen", [-1, 1])
    def test_an_amount_other_than_what_is_open_is_refused_with_both(self, off_fen):  # rule 2
        home = a_home(8_650)

        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=[Wanted(home.refs[0], 8_650 + off_fen)])

        assert refused.value.code == "bill.changed"
        assert refused.value.facts == {
            "bill": format_ref(home.refs[0]), "shown_fen": 8_650 + off_fen, "open_fen": 8_650,
        }  # fmt: skip
        assert the_bill(home.refs[0]).held_by is None

    def test_a_bill_corrected_since_it_was_shown_is_not_paid(self):
        home = a_home(8_650)
        shown = as_shown(*home.refs)
        home.correct(0, version=2, amount_fen=8_000)

        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=shown)

        assert (refused.value.facts["shown_fen"], refused.value.facts["open_fen"]) == (8_650, 8_000)

    def test_a_held_bill_is_refused_with_the_time_it_is_free(self):  # rule 31
        home = a_home(1_000, 2_000)
        first = a_payment(home, home.refs[0])

        with pytest.raises(Conflict) as refused:
            a_payment(home, now=NOW + timedelta(minutes=5))

        assert refused.value.code == "bill.being_paid"
        assert refused.value.facts == {
            "bill": format_ref(home.refs[0]), "free_at": first.expires_at.isoformat(),
            "payment": str(first.id),
        }  # fmt: skip
        assert the_bill(home.refs[1]).held_by is None

    @pytest.mark.parametrize("amount_fen", [0, -500])
    def test_of_a_zero_or_a_credit_nothing_else_is_paid(self, amount_fen):  # rules 7, 8
        home = a_home(amount_fen)

        for shown_fen in (-1, 1):
            with pytest.raises(Conflict) as refused:
                a_payment(home, wanted=[Wanted(home.refs[0], shown_fen)])
            assert refused.value.code == "bill.changed"
        with pytest.raises((Conflict, Invalid)):
            a_payment(home, wanted=[Wanted(home.refs[0], 0, amount_fen=1)])

    def test_a_cancelled_bill_is_not_paid(self):
        home = a_home(8_650)
        shown = as_shown(*home.refs)
        home.cancel(0)

        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=shown)

        assert (refused.value.code, refused.value.facts["open_fen"]) == ("bill.changed", 0)

    @pytest.mark.parametrize("shown_fen", [None, 0])
    def test_a_cancelled_bill_is_no_bill_of_nothing(self, shown_fen):
        """Its company would be told that it is paid."""
        home = a_home(8_650)
        home.cancel(0)

        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=[Wanted(home.refs[0], shown_fen)])

        assert refused.value.code == "bill.changed"
        assert "write_off.due" not in topics()

    def test_a_paid_bill_is_not_paid_again(self):
        home = a_home(8_650)
        shown = as_shown(*home.refs)
        a_paid_payment(home)

        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=shown)

        assert (refused.value.code, refused.value.facts["open_fen"]) == ("bill.changed", 0)

    def test_somebody_elses_bill_and_none_at_all_are_refused_alike(self):
        mine, theirs = a_home(100), a_home(100)
        nobodys = (mine.refs[0][0], mine.refs[0][1] + 1)
        told = []

        for ref in (theirs.refs[0], nobodys):
            with pytest.raises(NotFound) as refused:
                a_payment(mine, wanted=[Wanted(mine.refs[0], 100), Wanted(ref, 100)])
            told.append((str(refused.value), refused.value.code, refused.value.facts))

        assert told[0] == told[1]
        assert the_bill(mine.refs[0]).held_by is None
        assert payments() == 0

    def test_a_member_who_may_only_see_cannot_pay(self):
        home, seeing, paying = a_home(100), a_person(), a_person()
        join(home, seeing, MemberRole.SEE)
        join(home, paying, MemberRole.PAY)

        with pytest.raises(NotFound):
            a_payment(home, payer_id=seeing)

        assert a_payment(home, payer_id=paying).payer_id == paying

    def test_nothing_to_pay_and_a_bill_named_twice_are_refused(self):
        home = a_home(100)
        bill = Wanted(home.refs[0], 100)

        for wanted, code in (([], "payment.no_bills"), ([bill, bill], "payment.bill_twice")):
            with pytest.raises(Invalid) as refused:
                a_payment(home, wanted=wanted)
            assert refused.value.code == code

    def test_fifty_bills_are_one_payment_and_fifty_one_are_too_many(self):
        home = a_home(*range(1, 52))
        wanted = as_shown(*home.refs)

        with pytest.raises(Invalid):
            a_payment(home, wanted=wanted)
        payment = a_payment(home, wanted=wanted[:50])

        assert payment.amount_fen == sum(range(1, 51))
        assert len(items_of(payment)) == 50

    def test_only_who_pays_sees_a_payment(self, session):
        home, member = a_home(100), a_person()
        join(home, member, MemberRole.MANAGE)
        payment = a_payment(home)

        assert get_own_payment(session, payment.id, home.owner_id).id == payment.id
        for payment_id, asking in ((payment.id, member), (payment.id + 1, home.owner_id)):
            with pytest.raises(NotFound):
                get_own_payment(session, payment_id, asking)


class TestIdempotency:
    """Rule 30: for 24 hours the same key and body are the same payment, another body is 409."""

    def test_the_same_key_and_body_is_the_same_payment(self):
        home = a_home(100, 200)
        wanted = as_shown(*home.refs)

        first = a_payment(home, wanted=wanted, key="k")
        again = a_payment(home, wanted=wanted[::-1], key="k", now=NOW + timedelta(hours=24))

        assert (again.id, payments()) == (first.id, 1)

    def test_the_same_key_still_answers_when_the_bills_have_been_paid(self):
        home = a_home(100)
        wanted = as_shown(*home.refs)
        first = book(a_payment(home, wanted=wanted, key="k"), GatewayStatus.PAID)

        assert a_payment(home, wanted=wanted, key="k").id == first.id

    def test_a_basket_of_whatever_is_open_is_the_same_basket_when_it_has_been_paid(self):
        home = a_home(100, 200)
        whatever = [Wanted(ref, None) for ref in home.refs]
        first = book(a_payment(home, wanted=whatever, key="k"), GatewayStatus.PAID)

        again = a_payment(home, wanted=whatever, key="k")

        assert (again.id, again.amount_fen) == (first.id, 300)

    @pytest.mark.parametrize("change", ["fewer", "amount", "gateway"])
    def test_the_same_key_with_another_body_is_refused(self, change):
        home = a_home(100, 200)
        wanted = as_shown(*home.refs)
        a_payment(home, wanted=wanted, key="k")
        gateway = "other" if change == "gateway" else "sandbox"
        if change == "fewer":
            wanted = wanted[:1]
        if change == "amount":
            wanted = [wanted[0], wanted[1]._replace(shown_fen=201)]

        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=wanted, key="k", gateway=gateway)

        assert refused.value.code == "idempotency.other_request"

    def test_another_persons_key_is_another_key(self):
        mine, theirs = a_home(100), a_home(100)

        assert a_payment(mine, key="k").id != a_payment(theirs, key="k").id

    def test_after_24_hours_a_key_is_new(self):
        home = a_home(100)
        book(a_payment(home, key="k"), GatewayStatus.REFUSED)

        later = NOW + timedelta(hours=24, seconds=1)
        second = a_payment(home, key="k", now=later)

        assert payments() == 2
        assert a_payment(home, wanted=as_shown(*home.refs), key="k", now=later).id == second.id

    def test_twenty_threads_with_one_key_make_one_payment_and_all_get_it(self):
        home = a_home(100, 200)
        wanted = as_shown(*home.refs)

        found = at_once([lambda: a_payment(home, wanted=wanted, key="k")] * 20)

        assert len({payment.id for payment in found}) == 1
        assert payments() == 1


class TestRaces:
    def test_twenty_threads_paying_one_bill_make_one_payment(self):
        home = a_home(8_650)
        wanted = as_shown(*home.refs)

        found = at_once([lambda: a_payment(home, wanted=wanted)] * 20)

        made = [one for one in found if isinstance(one, Payment)]
        refused = [one for one in found if isinstance(one, Conflict)]
        assert (len(made), len(refused)) == (1, 19)
        assert {one.code for one in refused} == {"bill.being_paid"}
        assert the_bill(home.refs[0]).held_by == made[0].id
        assert violations() == []

    def test_a_refusal_in_a_race_says_when_the_bill_is_free(self):
        home = a_home(8_650)
        wanted = as_shown(*home.refs)

        found = at_once([lambda: a_payment(home, wanted=wanted)] * 20)

        free_at = (NOW + PAY_WITHIN).isoformat()
        assert {one.facts["free_at"] for one in found if isinstance(one, Conflict)} == {free_at}

    def test_overlapping_baskets_in_every_order_never_deadlock(self):
        home = a_home(100, 200, 300, 400)
        shown = as_shown(*home.refs)
        baskets = [list(order) for order in permutations(shown, 3)]

        found = at_once(
            [lambda basket=basket: a_payment(home, wanted=basket) for basket in baskets]
        )

        made = [one for one in found if isinstance(one, Payment)]
        refused = [one for one in found if isinstance(one, Conflict)]
        assert len(made) + len(refused) == len(found)
        assert len(made) == 1  # any two of these baskets share a bill
        held = [ref for ref in home.refs if the_bill(ref).held_by == made[0].id]
        assert len(held) == 3
        assert violations() == []

    def test_a_correction_and_a_payment_at_one_moment_leave_one_of_the_two(self):  # rule 13
        for _ in range(5):
            home = a_home(8_650)
            wanted = as_shown(*home.refs)

            paid, corrected = at_once(
                [
                    lambda home=home, wanted=wanted: a_payment(home, wanted=wanted),
                    lambda home=home: home.correct(0, version=2, amount_fen=8_000),
                ]
            )

            bill = the_bill(home.refs[0])
            if isinstance(paid, Payment):
                assert (bill.amount_fen, bill.held_by, corrected.waiting) == (8_650, paid.id, 1)
            else:
                assert (bill.amount_fen, bill.held_by, corrected.superseded) == (8_000, None, 1)
                assert paid.code == "bill.changed"
        assert violations() == []


NOTIFY = "http://127.0.0.1:9/callbacks"


def ask(payment: Payment, gateway: FarGateway | None, *, minutes: int = 1) -> Payment:
    return checkout.resolve(
        payment.id, gateway, notify_url=NOTIFY, now=NOW + timedelta(minutes=minutes)
    )


class TestAtTheGateway:
    def test_an_opened_payment_has_a_page_to_pay_on(self):
        payment = a_payment(a_home())
        gateway = FarGateway(replies=[says(payment, GatewayStatus.OPEN)])

        opened = opening.open_at_gateway(payment.id, gateway, notify_url=NOTIFY)
        again = opening.open_at_gateway(payment.id, gateway, notify_url=NOTIFY)

        assert (opened.status, again.status) == (PaymentStatus.OPEN, PaymentStatus.OPEN)
        assert opened.pay_url == f"https://pay.example/{payment.order_no}"
        assert gateway.asked == [("open", payment.order_no)]

    @pytest.mark.parametrize(
        ("silence", "status"),
        [
            (AWAY, PaymentStatus.CREATED),
            (GatewayReply(status=GatewayStatus.UNKNOWN), PaymentStatus.UNKNOWN),
        ],
    )
    def test_without_an_answer_the_payment_keeps_its_holds(self, silence, status):  # rule 25
        home = a_home()
        payment = a_payment(home)

        opening.open_at_gateway(payment.id, FarGateway(replies=[silence]), notify_url=NOTIFY)

        assert the_bill(home.refs[0]).held_by == payment.id
        with transaction() as session:
            assert session.get_one(Payment, payment.id).status is status

    @pytest.mark.parametrize("silence", [AWAY, GatewayReply(status=GatewayStatus.UNKNOWN)])
    def test_after_two_days_without_an_answer_the_bills_are_free(self, silence):  # rule 27
        home = a_home()
        payment = a_payment(home)
        gateway = FarGateway(replies=[silence])
        if silence is AWAY:
            with pytest.raises(UpstreamUnavailable):
                ask(payment, gateway, minutes=47 * 60)
        else:
            assert ask(payment, gateway, minutes=47 * 60).status in PENDING

        ended = ask(payment, gateway, minutes=48 * 60)

        assert ended.status is PaymentStatus.EXPIRED
        assert the_bill(home.refs[0]).held_by is None
        assert book(payment, GatewayStatus.PAID).status is PaymentStatus.PAID  # money wins

    def test_a_gateway_that_is_switched_off_holds_no_bill_for_ever(self):
        """As one that cannot be reached: it may have the money, so two days are waited."""
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        with pytest.raises(UpstreamUnavailable):
            ask(payment, None, minutes=47 * 60)

        assert ask(payment, None, minutes=48 * 60).status is PaymentStatus.EXPIRED
        assert the_bill(home.refs[0]).held_by is None

    def test_one_the_gateway_never_heard_of_is_opened_under_the_same_number(self):
        payment = a_payment(a_home())
        gateway = FarGateway(
            replies=[says(payment, GatewayStatus.NOT_FOUND), says(payment, GatewayStatus.OPEN)]
        )

        assert ask(payment, gateway).status is PaymentStatus.OPEN
        assert gateway.asked == [("query", payment.order_no), ("open", payment.order_no)]

    def test_one_whose_opening_was_never_answered_still_gets_its_page(self):
        payment = a_payment(a_home())
        gateway = FarGateway(
            replies=[says(payment, GatewayStatus.OPEN, pay_url=None),
                     says(payment, GatewayStatus.OPEN)]
        )  # fmt: skip

        assert ask(payment, gateway).pay_url == f"https://pay.example/{payment.order_no}"

    def test_at_its_time_an_open_one_is_closed_there_and_its_bills_are_free(self):
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        gateway = FarGateway(
            replies=[says(payment, GatewayStatus.OPEN), says(payment, GatewayStatus.CLOSED)]
        )

        assert ask(payment, gateway, minutes=29).status is PaymentStatus.OPEN
        assert ask(payment, gateway, minutes=30).status is PaymentStatus.EXPIRED
        assert the_bill(home.refs[0]).held_by is None

    def test_a_close_that_comes_too_late_counts_as_paid(self):
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        gateway = FarGateway(
            replies=[says(payment, GatewayStatus.OPEN), says(payment, GatewayStatus.PAID)]
        )

        assert ask(payment, gateway, minutes=30).status is PaymentStatus.PAID
        assert the_bill(home.refs[0]).paid_fen == 8_650

    def test_one_nobody_opened_is_over_at_its_time(self):
        home = a_home()
        payment = a_payment(home)
        gateway = FarGateway(replies=[says(payment, GatewayStatus.NOT_FOUND)])

        assert ask(payment, gateway, minutes=30).status is PaymentStatus.EXPIRED
        assert the_bill(home.refs[0]).held_by is None

    def test_without_word_the_bills_stay_held_even_after_its_time(self):  # rule 25
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        gateway = FarGateway(replies=[says(payment, GatewayStatus.UNKNOWN)])

        assert ask(payment, gateway, minutes=600).status is PaymentStatus.OPEN
        assert the_bill(home.refs[0]).held_by == payment.id

    def test_a_payment_that_is_over_is_not_asked_about(self):
        payment = a_paid_payment(a_home())
        gateway = FarGateway()

        assert ask(payment, gateway).status is PaymentStatus.PAID
        assert gateway.asked == []

    @pytest.mark.parametrize(
        ("minutes", "seconds"), [(0, 5), (2, 5), (3, 60), (59, 60), (60, 3_600), (3_000, 3_600)]
    )
    def test_it_is_asked_about_often_at_first_and_then_less(self, minutes, seconds):  # rule 27
        payment = a_payment(a_home())

        now = NOW + timedelta(minutes=minutes)
        assert checkout.poll_again_seconds(payment, now=now) == seconds

    def test_nobody_asks_again_once_it_is_over(self):
        assert checkout.poll_again_seconds(a_paid_payment(a_home()), now=NOW) is None
