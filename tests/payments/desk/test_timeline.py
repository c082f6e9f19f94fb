"""What happened to a resident, newest first, and what of it is not done yet."""

from datetime import timedelta

import pytest

from billing.models import MemberRole
from core.db import transaction
from payments.desk.timeline import Happening, Matter, happened, open_matters
from payments.gateways.base import GatewayStatus
from tests.conftest import NOW
from tests.factories import Home, a_home, a_paid_payment, a_payment, a_person, book, join
from tests.payments.autopay.autopaying import a_mandate
from tests.payments.returns.returning import a_wish, confirm, propose, staff

pytestmark = pytest.mark.usefixtures("city")


def told(home: Home, person_id: int | None = None, **page: object) -> list[Happening]:
    with transaction() as session:
        return happened(
            session, person_id=person_id, account_ids=[ref[0] for ref in home.refs], now=NOW,
            **{"limit": 50, **page},  # type: ignore[arg-type]
        )  # fmt: skip


def matters(home: Home, person_id: int | None = None) -> dict[str, Matter]:
    with transaction() as session:
        found = open_matters(
            session, person_id=person_id, account_ids=[ref[0] for ref in home.refs], now=NOW
        )
    return {one.what: one for one in found}


def test_a_bill_its_correction_and_its_payments_are_told_newest_first():
    home = a_home(8_650)
    home.correct(0, version=2, amount_fen=9_000, now=NOW + timedelta(minutes=1))
    payment = a_payment(home, now=NOW + timedelta(minutes=2))

    story = told(home, home.owner_id)

    assert [one.what for one in story] == ["payment", "bill_corrected", "bill"]
    assert (story[0].reference, story[0].fen, story[0].state) == (str(payment.id), 9_000, "created")
    assert (story[2].fen, story[2].company) == (9_000, "water")
    assert story == sorted(story, key=lambda one: one.at, reverse=True)


def test_what_somebody_else_paid_of_their_bills_is_told_as_that():
    home, other = a_home(8_650), a_person()
    join(home, other, MemberRole.PAY)
    payment = a_paid_payment(home, payer_id=other)

    assert [one.reference for one in told(home, home.owner_id) if one.what == "paid_for"] == [
        str(payment.id)
    ]
    assert "payment" in {one.what for one in told(home)}  # of an account nobody is somebody else


def test_refunds_and_autopay_are_told_where_they_stand():
    home = a_home(8_650)
    a_mandate(home)
    payment = a_paid_payment(home)
    confirm(payment)
    propose(a_wish(payment), staff()[0])

    states = {one.what: one.state for one in told(home, home.owner_id)}

    assert states["refund"] == "proposed"
    assert states["mandate"] == "active"


def test_a_page_ends_where_it_is_told_to():
    home = a_home(8_650)
    a_payment(home)

    assert [one.what for one in told(home, home.owner_id, limit=1)] == ["payment"]
    earlier = told(home, home.owner_id, until=NOW - timedelta(seconds=1))
    assert [one.what for one in earlier] == ["bill"]


def test_nobody_elses_money_is_told():
    home = a_home(8_650)
    a_paid_payment(a_home(700))

    assert {one.what for one in told(home, home.owner_id)} == {"bill"}


def test_open_matters_are_counted_with_their_sums():
    home = a_home(8_650, 1_000)
    payment = book(a_payment(home, home.refs[0]), GatewayStatus.PAID)

    found = matters(home, home.owner_id)

    assert found["not_confirmed"][1:] == (1, 8_650, str(payment.id))
    confirm(payment)
    assert "not_confirmed" not in matters(home, home.owner_id)
    propose(a_wish(payment), staff()[0])
    assert matters(home)["refund_proposed"].fen == 8_650


def test_where_nothing_is_open_nothing_is_said():
    assert matters(a_home(8_650)) == {}
