"""Coming back from a gateway that sends the payer with a form, as UnionPay does."""

import pytest

from core.clock import utc_now
from core.db import transaction
from payments.gateways.base import GatewayStatus
from payments.models import get_payment
from payments.states import PaymentStatus
from tests.factories import a_payment, book
from tests.web.conftest import a_browser, signed_in
from tests.web.forms import a_due_home

pytestmark = pytest.mark.usefixtures("city")


def test_who_comes_with_a_form_is_shown_the_payment_and_the_form_is_believed_nothing(app):
    home = a_due_home()
    payment = book(a_payment(home, now=utc_now()), GatewayStatus.OPEN, now=utc_now())
    path = f"/payments/{payment.id}"
    form = {"respCode": "00", "orderId": payment.order_no, "txnAmt": "1"}

    # A browser brings no cookie with a form from elsewhere.
    answer = a_browser(app).post(path, data=form)

    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert signed_in(app, home.owner_id).get(path).status_code == 200
    assert a_browser(app).get(path).status_code == 303  # to sign in, as ever
    with transaction() as session:
        assert get_payment(session, payment.id).status is PaymentStatus.OPEN
