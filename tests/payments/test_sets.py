"""Many callbacks and many write-offs in one go: each as if it were alone, and once (ADR 0016)."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import AmountMismatch
from payments import callbacks, checkout, write_offs
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.models import Payment
from payments.quotes import Wanted
from payments.states import Outcome, PaymentStatus
from tests.conftest import as_owner
from tests.factories import (
    ACCEPTED,
    AWAY,
    NO_WORD,
    NOW,
    REFUSED,
    FarGateway,
    FarUtility,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    items_of,
    says,
    the_bill,
    the_terms,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
UNKNOWN = GatewayReply(status=GatewayStatus.UNKNOWN)


def never() -> bool:
    return False


def a_callback(order_no: str, *, kind: str = "payment") -> int:
    with transaction() as session:
        found: int = session.execute(
            text(
                "INSERT INTO gateway_callback (gateway, external_id, kind, reference, body, "
                "received_at) VALUES ('sandbox', md5(random()::text), :kind, :order_no, '', :now) "
                "RETURNING id"
            ),
            {"kind": kind, "order_no": order_no, "now": NOW},
        ).scalar_one()
        return found


def open_payments(how_many: int) -> list[tuple[Home, Payment, int]]:
    """Payments at their gateway, each with a callback that waits."""
    made = []
    for _ in range(how_many):
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        made.append((home, payment, a_callback(payment.order_no)))
    return made


def paid(payment: Payment) -> GatewayReply:
    return says(payment, GatewayStatus.PAID)


def process(ids: list[int], far: FarGateway, **changes):
    return callbacks.process_all(
        ids, {"sandbox": far}, now=NOW, over=changes.get("over", never)
    )  # fmt: skip


def status_of(payment: Payment) -> PaymentStatus:
    with transaction() as session:
        return session.get_one(Payment, payment.id).status


def processed() -> int:
    with transaction() as session:
        wanted = text("SELECT count(processed_at) FROM gateway_callback")
        return int(session.execute(wanted).scalar_one())


class TestCallbacks:
    def test_many_are_booked_as_each_would_be(self):
        made = open_payments(3)
        far = FarGateway(replies=[paid(payment) for _, payment, _ in made])

        ends = process([one for *_, one in made], far)

        assert ends == {one: None for *_, one in made}
        assert {status_of(payment) for _, payment, _ in made} == {PaymentStatus.PAID}
        assert all(the_bill(home.refs[0]).open_fen == 0 for home, *_ in made)
        assert topics(like="payment.paid") == ["payment.paid"] * 3
        assert topics(like="write_off.due") == ["write_off.due"] * 3
        assert (processed(), violations()) == (3, [])

    def test_an_unknown_answer_holds_up_nobody_and_is_asked_for_again(self):
        made = open_payments(3)
        replies = [paid(payment) for _, payment, _ in made]
        far = FarGateway(replies=[replies[0], UNKNOWN, replies[2]])

        ends = process([one for *_, one in made], far)

        assert [ends[one] for *_, one in made] == [None, 5, None]
        assert [status_of(payment) for _, payment, _ in made] == ["paid", "open", "paid"]
        assert (processed(), violations()) == (2, [])

    def test_a_gateway_that_is_away_leaves_the_rest_for_one_by_one(self):
        made = open_payments(3)
        far = FarGateway(replies=[paid(made[0][1]), AWAY])

        ends = process([one for *_, one in made], far)

        assert ends == {made[0][2]: None}
        assert len(far.asked) == 2

    def test_when_the_turn_is_over_nobody_else_is_asked_and_what_was_said_is_booked(self):
        made = open_payments(3)
        far = FarGateway(replies=[paid(payment) for _, payment, _ in made])

        ends = process([one for *_, one in made], far, over=lambda: bool(far.asked))

        assert ends == {made[0][2]: None}
        assert [status_of(payment) for _, payment, _ in made] == ["paid", "open", "open"]

    def test_of_two_payments_of_one_bill_in_one_go_the_second_goes_back(self):
        [(home, first, callback)] = open_payments(1)
        with as_owner() as connection:  # whatever let go of it
            connection.execute(text("UPDATE bill SET held_by = NULL"))
        second = book(a_payment(home), GatewayStatus.OPEN)
        with as_owner() as connection:
            connection.execute(text("UPDATE bill SET held_by = NULL"))
        far = FarGateway(replies=[paid(first), paid(second)])

        process([callback, a_callback(second.order_no)], far)

        assert (the_bill(home.refs[0]).open_fen, violations()) == (0, [])
        assert sorted(items_of(one)[0].outcome for one in (first, second)) == ["paid", "returning"]

    def test_what_is_unusual_is_left_for_one_by_one(self):
        [(_, payment, first)] = open_payments(1)
        strange = [a_callback("CB-nobody"), a_callback("R1", kind="refund"), -1]
        second = a_callback(payment.order_no)
        far = FarGateway(replies=[paid(payment)])

        assert process([second, first, *strange], far) == {first: None}

        assert len(far.asked) == 1
        assert process(strange, far) == {}

    def test_one_that_cannot_be_booked_undoes_the_set_and_not_the_others_alone(self):
        made = open_payments(2)
        nothing_said = says(made[1][1], GatewayStatus.PAID, amount_fen=None)
        ids = [one for *_, one in made]

        with pytest.raises(AmountMismatch):
            process(ids, FarGateway(replies=[paid(made[0][1]), nothing_said]))
        assert (status_of(made[0][1]), processed()) == (PaymentStatus.OPEN, 0)

        alone = FarGateway(replies=[paid(made[0][1])])
        assert callbacks.process(ids[0], {"sandbox": alone}, now=NOW)
        assert status_of(made[0][1]) is PaymentStatus.PAID
        assert violations() == []

    def test_two_sets_in_opposite_order_and_each_alone_at_once_book_each_once(self):
        made = open_payments(4)
        ids = [one for *_, one in made]
        by_order = {payment.order_no: paid(payment) for _, payment, _ in made}

        class Answers(FarGateway):
            def query(self, asked):
                return by_order[asked.order_no]

        acts = [lambda: process(ids, Answers()), lambda: process(ids[::-1], Answers())] * 3
        acts += [
            lambda one=one: callbacks.process(one, {"sandbox": Answers()}, now=NOW) for one in ids
        ]

        found = at_once(acts)

        assert [one for one in found if isinstance(one, Exception)] == []
        assert topics(like="payment.paid") == ["payment.paid"] * 4
        assert balances()["gateway:sandbox"] == 4 * 8_650
        assert violations() == []


class TestWriteOffs:
    def send(self, payments: list[Payment], far: FarUtility, **changes):
        numbers = [item.write_off_no for payment in payments for item in items_of(payment)]
        over, now = changes.get("over", never), changes.get("now", NOW)
        return write_offs.send_all(numbers, {"water": far}, now=now, over=over)

    def outcomes(self, payments: list[Payment]) -> list[Outcome]:
        return [item.outcome for payment in payments for item in items_of(payment)]

    def test_each_is_told_and_booked_as_its_company_says(self):
        payments = [a_paid_payment(a_home()) for _ in range(4)]
        far = FarUtility([ACCEPTED, REFUSED, NO_WORD, ACCEPTED])

        ends = self.send(payments, far)

        assert list(ends.values()) == [None, None, 30, None]
        assert self.outcomes(payments) == ["written_off", "returning", "paid", "written_off"]
        assert topics(like="write_off.accepted") == ["write_off.accepted"] * 2
        assert topics(like="refund.requested") == ["refund.requested"]
        assert violations() == []

    def test_a_company_that_is_away_is_tried_once_and_left_for_one_by_one(self):
        payments = [a_paid_payment(a_home()) for _ in range(3)]
        far = FarUtility([AWAY])

        assert self.send(payments, far) == {}

        assert len(far.told) == 1
        assert set(self.outcomes(payments)) == {Outcome.PAID}

    def test_one_company_away_holds_up_no_other(self):
        payment = a_paid_payment(a_home(8_650, 4_000))
        numbers = [item.write_off_no for item in items_of(payment)]
        clients = {"water": FarUtility([AWAY]), "power": FarUtility([ACCEPTED])}

        ends = write_offs.send_all(numbers, clients, now=NOW, over=never)

        assert list(ends.values()) == [None]
        assert sorted(self.outcomes([payment])) == ["paid", "written_off"]

    def test_bills_of_one_payment_are_booked_one_after_the_other(self):
        payment = a_paid_payment(a_home(8_650, 4_000, 3_000))
        numbers = [item.write_off_no for item in items_of(payment)]
        replies = dict(zip(("water", "power", "gas"), (REFUSED, ACCEPTED, REFUSED), strict=True))
        clients = {code: FarUtility([reply]) for code, reply in replies.items()}

        ends = write_offs.send_all(numbers, clients, now=NOW, over=never)

        assert ends == dict.fromkeys(numbers)
        assert sorted(self.outcomes([payment])) == ["returning", "returning", "written_off"]
        assert topics(like="refund.requested") == ["refund.requested"] * 2
        assert violations() == []

    def test_two_parts_of_one_bill_confirmed_in_one_go_are_both_counted(self):
        the_terms("water", '[amount]\nmode = "exact_and_below"\nminimum_fen = 1000\n')
        home = a_home(8_650)
        payments = []
        for part_fen in (5_000, 3_650):
            part = a_payment(home, wanted=[Wanted(home.refs[0], None, amount_fen=part_fen)])
            payments.append(book(part, GatewayStatus.PAID))

        self.send(payments, FarUtility([ACCEPTED, ACCEPTED]))

        assert self.outcomes(payments) == ["written_off", "written_off"]
        assert the_bill(home.refs[0]).written_off_fen == 8_650
        assert violations() == []

    def test_when_the_turn_is_over_nobody_else_is_told(self):
        payments = [a_paid_payment(a_home()) for _ in range(3)]
        far = FarUtility([ACCEPTED])

        ends = self.send(payments, far, over=lambda: bool(far.told))

        assert list(ends.values()) == [None]

    def test_what_is_settled_or_has_no_interface_is_left_for_one_by_one(self):
        payments = [a_paid_payment(a_home())]
        self.send(payments, FarUtility([ACCEPTED]))

        assert self.send(payments, FarUtility()) == {}
        unserved = a_paid_payment(a_home(1_000, 2_000))
        assert list(self.send([unserved], FarUtility([ACCEPTED])).values()) == [None]
        assert sorted(self.outcomes([unserved])) == ["paid", "written_off"]

    def test_after_the_companys_time_it_is_only_asked(self):
        payments = [a_paid_payment(a_home()) for _ in range(2)]
        for hour in range(48):
            self.send(payments, FarUtility([NO_WORD] * 2), now=NOW + timedelta(hours=hour))
        far = FarUtility(answers=[ACCEPTED, None])

        self.send(payments, far, now=NOW + timedelta(hours=48))

        assert far.told == []
        assert self.outcomes(payments) == ["written_off", "returning"]

    def test_two_sets_at_once_book_each_once(self):
        payments = [a_paid_payment(a_home()) for _ in range(4)]

        acts = [
            lambda: self.send(payments, FarUtility([ACCEPTED] * 4)),
            lambda: self.send(payments[::-1], FarUtility([ACCEPTED] * 4)),
        ] * 3
        found = at_once(acts)

        assert [one for one in found if isinstance(one, Exception)] == []
        assert topics(like="write_off.accepted") == ["write_off.accepted"] * 4
        assert balances() == {"gateway:sandbox": 4 * 8_650, "payable:water": -4 * 8_650}
        assert violations() == []


def test_of_many_payments_those_that_ended_are_known():
    waits, done = a_payment(a_home()), a_paid_payment(a_home())

    with transaction() as session:
        assert checkout.list_ended(session, [waits.id, done.id, 1]) == [done.id]
