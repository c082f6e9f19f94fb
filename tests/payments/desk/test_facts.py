"""One payment from behind the counter: its own postings, breaks and rows, and nobody else's."""

import pytest
from sqlalchemy import text

from core.db import transaction
from payments.desk.facts import Facts, facts_of
from payments.models import Payment, get_payment
from tests.factories import a_home, a_paid_payment, a_payment
from tests.payments.reconciliation.repairing import differs
from tests.payments.returns.returning import a_confirmed_payment, a_wish, propose, staff

pytestmark = pytest.mark.usefixtures("city")


def facts(payment: Payment) -> Facts:
    with transaction() as session:
        return facts_of(session, get_payment(session, payment.id))


def keys(found: Facts) -> set[str]:
    return {one.entry_key.partition(":")[0] for one in found.postings}


def test_a_payment_that_has_only_begun_has_posted_nothing():
    found = facts(a_payment(a_home(8_650)))

    assert (found.postings, found.settled, found.breaks, found.refunds) == ([], [], [], [])
    assert found.heard.calls == 0


def test_what_is_posted_for_it_is_shown_and_not_what_another_payment_of_the_bill_posted():
    home = a_home(8_650)
    paid = a_paid_payment(home)
    confirmed = a_confirmed_payment(8_650)
    by, _ = staff()
    refund = propose(a_wish(confirmed, 1_000), by)

    assert keys(facts(paid)) == {"paid"}
    assert keys(facts(confirmed)) == {
        "paid", "written_off", "refunded", "owes_again"
    }  # fmt: skip
    assert [one.refund_no for one in facts(confirmed).refunds] == [refund.refund_no]
    assert all(one.amount_fen in {8_650, 1_000} for one in facts(confirmed).postings)


def test_the_gateways_row_and_the_difference_are_found_by_the_orders_number():
    payment, other = a_paid_payment(a_home(8_650)), a_paid_payment(a_home(700))

    found_id = differs(payment=payment)

    found = facts(payment)
    assert [one.id for one in found.breaks] == [found_id]
    assert [(one.kind, one.amount_fen) for one in found.settled] == [("payment", 8_648)]
    assert facts(other).settled == []


def test_callbacks_are_counted():
    payment = a_paid_payment(a_home(8_650))
    with transaction() as session:
        for number in (1, 2):
            session.execute(
                text("INSERT INTO gateway_callback (gateway, external_id, kind, reference, body,"
                     " received_at) VALUES ('sandbox', :number, 'payment', :order, '', now())"),
                {"number": str(number), "order": payment.order_no},
            )  # fmt: skip

    heard = facts(payment).heard

    assert (heard.calls, heard.unread) == (2, 2)
    assert heard.last_at is not None
