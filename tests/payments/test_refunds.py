"""Money on its way back: once, by the way it came."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import Conflict, NotFound, UpstreamUnavailable
from payments import refunds, write_offs
from payments.gateways.base import RefundReply, RefundState
from payments.models import Payment, Refund, RefundStatus
from payments.states import Outcome
from payments.views import PublicStatus, view
from tests.factories import (
    AWAY,
    NOW,
    REFUSED,
    FarGateway,
    a_home,
    a_paid_payment,
    at_once,
    balances,
    items_of,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
SENT = RefundReply(
    state=RefundState.SENT, refund_ref="sent-1", refunded_at=NOW + timedelta(hours=1)
)
UNKNOWN = RefundReply(state=RefundState.UNKNOWN)


def a_refund(*amounts_fen: int) -> tuple[Payment, str]:
    """A paid payment whose first bill its company refused."""
    payment = a_paid_payment(a_home(*amounts_fen))
    item = items_of(payment)[0]
    with transaction() as session:
        write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
        number = session.execute(text("SELECT refund_no FROM refund")).scalar_one()
    return payment, number


def the_refund(number: str) -> Refund:
    with transaction() as session:
        return refunds.get_refund(session, number)


def public(payment: Payment) -> PublicStatus:
    with transaction() as session:
        fresh = session.get_one(Payment, payment.id)
        return view(session, fresh, gateway_name="", today=NOW.date()).public_status


class TestSend:
    def test_a_refund_is_sent_and_booked_on_the_gateways_day(self):  # rule 44
        payment, number = a_refund(8_650)
        assert public(payment) is PublicStatus.PAID
        gateway = FarGateway(refund_replies=[SENT])

        assert refunds.send(number, {"sandbox": gateway})

        assert public(payment) is PublicStatus.RETURNED
        assert gateway.asked == [("refund 8650", number)]
        refund = the_refund(number)
        assert (refund.status, refund.gateway_ref, refund.succeeded_at) == (
            RefundStatus.SUCCEEDED, "sent-1", SENT.refunded_at,
        )  # fmt: skip
        assert {item.outcome for item in items_of(payment)} == {Outcome.RETURNED}
        assert "returns" not in balances()
        assert "gateway:sandbox" not in balances()
        assert topics(like="refund.%") == ["refund.requested", "refund.succeeded"]
        assert violations() == []

    def test_only_the_refused_bills_money_goes_back(self):
        payment, number = a_refund(1_000, 2_000)

        refunds.send(number, {"sandbox": FarGateway(refund_replies=[SENT])})

        assert balances()["gateway:sandbox"] == 2_000
        assert public(payment) is PublicStatus.PARTLY_RETURNED
        assert violations() == []

    def test_once_it_is_sent_the_gateway_is_not_asked_again(self):
        _, number = a_refund(8_650)
        gateway = FarGateway(refund_replies=[SENT])

        assert refunds.send(number, {"sandbox": gateway})
        assert refunds.send(number, {"sandbox": gateway})

        assert len(gateway.asked) == 1

    def test_without_word_it_stays_under_way_and_is_asked_for_again(self):
        payment, number = a_refund(8_650)
        gateway = FarGateway(refund_replies=[UNKNOWN, AWAY, SENT])

        assert not refunds.send(number, {"sandbox": gateway})
        with pytest.raises(UpstreamUnavailable):
            refunds.send(number, {"sandbox": gateway})
        assert the_refund(number).status is RefundStatus.REQUESTED
        assert {item.outcome for item in items_of(payment)} == {Outcome.RETURNING}
        assert violations() == []
        assert refunds.send(number, {"sandbox": gateway})

        assert set(gateway.asked) == {("refund 8650", number)}

    def test_a_gateway_that_refuses_needs_a_person(self):
        _, number = a_refund(8_650)

        with pytest.raises(Conflict) as refused:
            refunds.send(
                number,
                {"sandbox": FarGateway(refund_replies=[RefundReply(state=RefundState.REFUSED)])},
            )

        assert refused.value.code == "refund.refused"
        assert the_refund(number).status is RefundStatus.REQUESTED
        assert balances()["returns"] == -8_650
        assert violations() == []

    def test_a_number_nobody_made_is_not_found(self):
        with pytest.raises(NotFound):
            refunds.send("R0", {})

    def test_sixteen_threads_book_a_refund_once(self):
        _, number = a_refund(8_650)

        def sent() -> None:
            with transaction() as session:
                refunds.book(session, number, SENT, now=NOW)

        assert at_once([sent] * 16) == [None] * 16
        assert topics(like="refund.succeeded") == ["refund.succeeded"]
        assert violations() == []
