"""At the gateway: who is asked, who takes over while nobody can have heard, and calling it off."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict, Invalid, UpstreamUnavailable
from payments import checkout, opening
from payments.attempts import (
    IN_A_ROW,
    REST,
    UNDECIDED,
    AttemptOutcome,
    Hand,
    PaymentAttempt,
    gateways_down,
)
from payments.gateways.base import (
    Asked,
    Capabilities,
    GatewayReply,
    GatewayStatus,
    Order,
    Scene,
)
from payments.models import Payment, get_payment
from payments.quotes import Wanted
from payments.routing import Way
from payments.starting import Basket, Payer, start_payment
from payments.states import PaymentStatus
from tests.factories import (
    AWAY,
    CAN,
    NOW,
    FarGateway,
    Home,
    a_home,
    a_payment,
    as_shown,
    book,
    says,
    the_bill,
    violations,
)
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SILENCE = GatewayReply(status=GatewayStatus.UNKNOWN)
WALLET = Way("wallet")
DEAR = Capabilities(modes=CAN.modes, channels=CAN.channels, cost_fen=60)


class Opened(FarGateway):
    """A far side that opens whatever it is asked for, and keeps the orders."""

    def open_order(self, order: Order) -> GatewayReply:
        self.asked.append(("open", order.order_no))
        self.orders.append(order)
        return GatewayReply(
            status=GatewayStatus.OPEN, gateway_ref=f"{self.code}-{order.order_no}",
            pay_url=f"https://{self.code}.example/{order.order_no}",
        )  # fmt: skip

    def __init__(self, code: str, **others: object) -> None:
        super().__init__(code=code, **others)  # type: ignore[arg-type]
        self.orders: list[Order] = []


def start(
    home: Home, *far: FarGateway, way: Way = WALLET, key: str = "k", scene: Scene = Scene.PHONE
) -> Payment:  # fmt: skip
    return start_payment(
        {one.code: one for one in far}, way,
        Basket([Wanted(ref, None) for ref in home.refs]),
        Payer(home.owner_id, "web", Hand(scene, payer_ip="192.0.2.7")), return_url="http://127.0.0.1:9/{payment}",
        notify_url_of=lambda code: f"http://127.0.0.1:9/callbacks/{code}",
        idempotency_key=key, now=utc_now(),
    )  # fmt: skip


def attempts(payment: Payment) -> list[tuple[str, str]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT gateway, outcome FROM payment_attempt WHERE payment_id = :id "
                 "ORDER BY attempt_no"), {"id": payment.id},
        ).all()  # fmt: skip
        return [(row.gateway, row.outcome) for row in rows]


class TestFailover:
    def test_the_cheapest_is_asked_and_nobody_else(self):
        cheap, dear = Opened("cheap"), Opened("dear", capabilities=DEAR)

        payment = start(a_home(), dear, cheap)

        assert (payment.gateway, payment.status) == ("cheap", PaymentStatus.OPEN)
        assert dear.asked == []
        assert attempts(payment) == [("cheap", "asked")]

    def test_one_that_cannot_be_reached_gives_way_under_the_same_number(self):
        away, dear = FarGateway("cheap", replies=[AWAY]), Opened("dear", capabilities=DEAR)

        payment = start(a_home(), away, dear)

        assert (payment.gateway, payment.status) == ("dear", PaymentStatus.OPEN)
        assert dear.orders[0].order_no == payment.order_no
        assert dear.orders[0].notify_url.endswith("/dear")
        assert attempts(payment) == [("cheap", "unreachable"), ("dear", "asked")]
        assert violations() == []

    @pytest.mark.parametrize("word", [SILENCE, GatewayReply(status=GatewayStatus.REFUSED)])
    def test_whoever_was_asked_is_never_left(self, word):  # rule 25
        asked, other = FarGateway("cheap", replies=[word]), Opened("dear", capabilities=DEAR)

        payment = start(a_home(), asked, other)
        again = start_payment_again(payment, asked, other)

        assert (payment.gateway, again.gateway, other.asked) == ("cheap", "cheap", [])

    def test_a_gateway_chosen_by_name_gives_way_to_nobody(self):
        away, other = FarGateway("cheap", replies=[AWAY]), Opened("dear", capabilities=DEAR)

        payment = start(a_home(), away, other, way=Way("wallet", "cheap"))

        assert (payment.gateway, payment.status) == ("cheap", PaymentStatus.CREATED)
        assert other.asked == []

    def test_with_the_same_key_again_the_gateway_that_took_over_is_asked(self):
        away, other = (
            FarGateway("cheap", replies=[AWAY]),
            FarGateway("dear", capabilities=DEAR, replies=[SILENCE, AWAY]),
        )
        home = a_home()
        first = start(home, away, other)

        again = start(home, away, other)

        assert (first.id, first.gateway) == (again.id, "dear") == (again.id, again.gateway)
        assert attempts(again) == [("cheap", "unreachable"), ("dear", "asked"),
                                   ("dear", "unreachable")]  # fmt: skip

    def test_what_no_gateway_takes_makes_no_payment(self):
        small = Opened("small", capabilities=Capabilities(modes=("wallet",), channels=CAN.channels,
                                                          maximum_fen=8_649))  # fmt: skip
        home = a_home(8_650)

        with pytest.raises(Invalid):
            start(home, small)
        assert the_bill(home.refs[0]).held_by is None

    def test_twenty_at_once_with_one_key_ask_one_gateway(self):
        home = a_home()
        away = FarGateway("cheap", replies=[AWAY])
        other = Opened("dear", capabilities=DEAR)

        made = at_once(20, lambda _: start(home, away, other))

        assert len({payment.id for payment in made}) == 1
        with transaction() as session:  # whoever came first saw others still asking
            assert get_payment(session, made[0].id).gateway == "dear"
        assert {order.order_no for order in other.orders} == {made[0].order_no}
        kept = attempts(made[0])
        took_over = kept.index(("dear", "asked"))
        assert {outcome for _, outcome in kept[:took_over]} == {"unreachable"}
        assert ("cheap", "asked") not in kept

    def test_a_payment_is_asked_for_in_one_scene_always(self):
        home, far = a_home(), Opened("sandbox")
        silent = FarGateway(replies=[SILENCE])
        payment = start(home, silent, scene=Scene.PHONE)

        opening.open_at_gateway(payment.id, far, notify_url="", hand=Hand(Scene.SCREEN))

        (order,) = far.orders
        assert (order.scene, order.payer_ip) == (Scene.PHONE, "192.0.2.7")


def start_payment_again(payment: Payment, *far: FarGateway) -> Payment:
    return opening.open_by_route(
        payment, {one.code: one for one in far}, [one.code for one in far],
        notify_url_of=lambda code: code,
    )  # fmt: skip


class Moody(FarGateway):
    """A far side that is away, silent, refuses or opens, as drawn; ``heard`` is what arrived."""

    def __init__(self, code: str, moods: Sequence[str], **others: object) -> None:
        super().__init__(code=code, **others)  # type: ignore[arg-type]
        self.moods, self.heard = list(moods), 0

    def _say(self, order_no: str) -> GatewayReply:
        mood = self.moods.pop(0) if self.moods else "away"
        if mood == "away":
            raise AWAY
        self.heard += 1
        status = {"silent": GatewayStatus.UNKNOWN, "no": GatewayStatus.REFUSED}
        return GatewayReply(status=status.get(mood, GatewayStatus.OPEN), gateway_ref=order_no)

    def open_order(self, order: Order) -> GatewayReply:
        return self._say(order.order_no)

    def query(self, asked: Asked) -> GatewayReply:
        return GatewayReply(status=GatewayStatus.NOT_FOUND)


moods = st.lists(st.sampled_from(["away", "away", "silent", "no", "open"]), max_size=3)


class TestTheLaw:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        far=st.lists(moods, min_size=2, max_size=4),
        acts=st.lists(st.sampled_from(["start", "resolve"]), min_size=1, max_size=4),
    )
    def test_however_they_answer_and_however_often_only_one_gateway_hears(self, far, acts):
        gateways = [
            Moody(f"g{at}", one, capabilities=replace(CAN, cost_fen=at))
            for at, one in enumerate(far)
        ]
        home = a_home()
        payment = start(home, *gateways)

        for act in acts:
            if act == "start":
                payment = start(home, *gateways)
            else:
                with transaction() as session:
                    payment = get_payment(session, payment.id)
                holder = next(one for one in gateways if one.code == payment.gateway)
                with suppress(UpstreamUnavailable):
                    checkout.resolve(payment.id, holder, notify_url="", now=payment.created_at)

        hearers = {one.code for one in gateways if one.heard}
        with transaction() as session:
            payment = get_payment(session, payment.id)
        assert len(hearers) <= 1
        assert hearers <= {payment.gateway}
        assert (payment.status is PaymentStatus.CREATED) == (not hearers)
        assert {code for code, outcome in attempts(payment) if outcome == "asked"} == hearers

    @pytest.mark.parametrize("word", ["silent", "open"])
    def test_the_database_itself_keeps_a_payment_with_whoever_was_asked(self, word):
        payment = start(a_home(), Moody("cheap", [word]))

        with pytest.raises(DBAPIError, match="keeps it"), transaction() as session:
            session.execute(text("UPDATE payment SET gateway = 'other'"))
        with transaction() as session:
            assert get_payment(session, payment.id).gateway == "cheap"


class TestResolving:
    def test_one_no_gateway_could_hear_of_is_over_at_its_time_though_it_stays_away(self):
        home = a_home()
        away = FarGateway("cheap", replies=[AWAY])
        payment = start(home, away)

        with pytest.raises(UpstreamUnavailable):
            checkout.resolve(payment.id, away, notify_url="", now=payment.created_at)
        ended = checkout.resolve(payment.id, away, notify_url="", now=payment.expires_at)

        assert ended.status is PaymentStatus.EXPIRED
        assert the_bill(home.refs[0]).held_by is None

    def test_a_gateway_it_is_no_longer_with_is_not_asked(self):
        payment = a_payment(a_home())
        former = FarGateway("former", replies=[GatewayReply(status=GatewayStatus.NOT_FOUND)])

        left = checkout.resolve(payment.id, former, notify_url="", now=payment.expires_at)

        assert (left.status, former.asked) == (PaymentStatus.CREATED, [])


class TestCallingOff:
    def test_it_is_closed_at_the_gateway_and_its_bills_are_free(self):
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        far = FarGateway(replies=[says(payment, GatewayStatus.CLOSED)])

        ended = opening.call_off(payment.id, far, now=NOW)

        assert (ended.status, far.asked) == (PaymentStatus.EXPIRED, [("close", payment.order_no)])
        assert a_payment(home).id != payment.id
        assert violations() == []

    def test_one_that_is_paid_after_all_is_paid(self):
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)

        ended = opening.call_off(
            payment.id, FarGateway(replies=[says(payment, GatewayStatus.PAID)]), now=NOW
        )

        assert ended.status is PaymentStatus.PAID
        assert the_bill(home.refs[0]).paid_fen == 8_650

    def test_without_an_answer_it_stays_and_holds_its_bills(self):  # rule 25
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)

        left = opening.call_off(payment.id, FarGateway(replies=[SILENCE]), now=NOW)

        assert left.status is PaymentStatus.OPEN
        assert the_bill(home.refs[0]).held_by == payment.id

    def test_one_nobody_heard_of_is_closed_without_asking_and_asked_for_nowhere_after(self):
        home, away = a_home(), FarGateway(replies=[AWAY])
        payment = start(home, away)
        far = Opened("sandbox")

        ended = opening.call_off(payment.id, far, now=NOW)
        opening.open_at_gateway(payment.id, far, notify_url="")

        assert (ended.status, far.asked) == (PaymentStatus.EXPIRED, [])

    def test_while_its_opening_is_under_way_nobody_says_that_it_never_was(self):
        home = a_home()
        payment = start(home, FarGateway(replies=[SILENCE]))
        far = FarGateway(replies=[GatewayReply(status=GatewayStatus.NOT_FOUND)])

        with pytest.raises(Conflict) as refused:
            opening.call_off(payment.id, far, now=utc_now())
        assert refused.value.code == "payment.being_opened"
        later = utc_now() + timedelta(minutes=2)
        assert opening.call_off(payment.id, far, now=later).status is PaymentStatus.EXPIRED

    def test_one_that_begins_there_when_the_payer_comes_cannot_be_closed_before(self):
        home = a_home()
        payment = book(a_payment(home), GatewayStatus.OPEN)
        far = FarGateway(replies=[GatewayReply(status=GatewayStatus.NOT_FOUND)])

        with pytest.raises(Conflict) as refused:
            opening.call_off(payment.id, far, now=NOW + timedelta(minutes=5))
        assert refused.value.code == "payment.not_closable"
        assert the_bill(home.refs[0]).held_by == payment.id

    def test_a_gateway_that_cannot_close_is_not_asked(self):
        payment = book(a_payment(a_home()), GatewayStatus.OPEN)
        far = FarGateway(
            capabilities=Capabilities(modes=CAN.modes, channels=CAN.channels, closes=False)
        )

        with pytest.raises(Conflict) as refused:
            opening.call_off(payment.id, far, now=NOW)
        assert refused.value.code == "payment.not_closable"

    def test_called_off_and_opened_at_once_one_of_the_two_happened(self):
        for _ in range(10):
            home, far = a_home(), Opened("sandbox")
            far.replies = [GatewayReply(status=GatewayStatus.CLOSED)]
            payment = a_payment(home, now=utc_now())
            acts = [
                lambda far=far, payment=payment: opening.open_at_gateway(
                    payment.id, far, notify_url=""
                ),
                lambda far=far, payment=payment: opening.call_off(payment.id, far, now=utc_now()),
            ]
            at_once(2, lambda at, acts=acts: acts[at]())

            with transaction() as session:
                left = get_payment(session, payment.id)
            asked = [act for act, _ in far.asked]
            assert left.status is PaymentStatus.EXPIRED
            assert asked in ([], ["open", "close"], ["close", "open"])
        assert violations() == []


def tries(outcomes: Sequence[tuple[int, AttemptOutcome]], *, gateway: str = "far") -> None:
    """Attempts so many seconds before NOW, each of a payment of its own."""
    payments = [a_payment(a_home(), gateway=gateway) for _ in outcomes]
    with transaction() as session:
        for payment, (seconds, outcome) in zip(payments, outcomes, strict=True):
            session.add(
                PaymentAttempt(
                    payment_id=payment.id, attempt_no=1, gateway=gateway, scene=Scene.DESKTOP,
                    asked_at=NOW - timedelta(seconds=seconds), outcome=outcome,
                )
            )  # fmt: skip


def is_down(gateway: str = "far", *, seconds: int = 0) -> bool:
    with transaction() as session:
        now = NOW + timedelta(seconds=seconds)
        return gateways_down(session, ["far", "near"], now=now) >= {gateway}


LOST, ASKED = AttemptOutcome.UNREACHABLE, AttemptOutcome.ASKED


class TestHealth:
    def test_three_in_a_row_are_down_for_a_minute_and_two_are_not(self):
        tries([(20, LOST), (10, LOST)])
        assert not is_down()
        tries([(0, LOST)])

        assert is_down()
        assert not is_down("near")
        assert is_down(seconds=59)
        assert not is_down(seconds=int(REST.total_seconds()))

    def test_one_that_got_through_in_between_breaks_the_row(self):
        tries([(40, LOST), (30, LOST), (20, ASKED), (10, LOST)])

        assert not is_down()

    def test_so_does_one_that_was_answered_a_moment_ago(self):
        tries([(5, LOST), (4, LOST), (3, LOST), (4, ASKED)])
        assert is_down()

        with transaction() as session:
            session.execute(
                text("UPDATE payment SET status = 'unknown' WHERE id = "
                     "(SELECT payment_id FROM payment_attempt WHERE outcome = 'asked')")
            )  # fmt: skip

        assert not is_down()

    def test_three_over_an_hour_are_no_row(self):
        tries([(3_000, LOST), (1_500, LOST), (0, LOST)])

        assert not is_down()

    def test_after_the_minute_one_tries_and_the_others_wait_for_what_it_finds(self):
        tries([(80, LOST), (75, LOST), (70, LOST)])
        assert not is_down()  # the probe's turn
        tries([(0, ASKED)])

        assert is_down()
        assert not is_down(seconds=int(UNDECIDED.total_seconds()) + 1)  # it got through

    def test_a_probe_that_fails_is_another_minute(self):
        tries([(80, LOST), (75, LOST), (70, LOST), (5, LOST)])

        assert is_down()
        assert is_down(seconds=50)

    def test_one_that_is_down_is_not_asked_first(self):
        tries([(1, LOST)] * IN_A_ROW, gateway="cheap")
        with transaction() as session:
            session.execute(text("UPDATE payment_attempt SET asked_at = now()"))
        cheap, dear = Opened("cheap"), Opened("dear", capabilities=DEAR)

        payment = start(a_home(), cheap, dear)

        assert (payment.gateway, cheap.asked) == ("dear", [])


def test_what_was_shown_is_what_is_started():
    home = a_home()

    with pytest.raises(Conflict):
        start_payment(
            {"sandbox": FarGateway()}, Way("wallet", "sandbox"),
            Basket(as_shown(*home.refs), shown_total_fen=1), Payer(home.owner_id, "web"),
            return_url="", notify_url_of=str, idempotency_key="k", now=NOW,
        )  # fmt: skip
