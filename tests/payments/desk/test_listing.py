"""Payments page by keyset, newest first, by what is asked, and no page waits for all of them."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from core.db import transaction
from core.errors import NotFound
from payments.desk.listing import Filter, every_payment, find_payments
from payments.desk.timeline import happened, open_matters
from payments.gateways.base import GatewayStatus
from payments.states import PaymentStatus
from tests.conftest import NOW, as_owner
from tests.factories import a_home, a_paid_payment, a_payment, book
from tests.payments.reconciliation.repairing import missing_there
from tests.payments.returns.returning import a_confirmed_payment, a_wish, propose, staff
from tests.plans import most_looked_at

pytestmark = pytest.mark.usefixtures("city")
TODAY = billing_date(NOW)


def ids(wanted: Filter = Filter(), **page: int) -> list[int]:  # noqa: B008
    with transaction() as session:
        return [row.payment.id for row in find_payments(session, wanted, **page)]


def all_of(**wanted: object) -> list[int]:
    return ids(Filter(**wanted))  # type: ignore[arg-type]


def test_the_newest_is_first_with_its_companies_and_bills():
    home = a_home(8_650, 1_000)
    first, second = a_payment(home), a_payment(a_home(500), now=NOW + timedelta(minutes=1))

    with transaction() as session:
        rows = find_payments(session, Filter())

    assert [row.payment.id for row in rows] == [second.id, first.id]
    assert [row.companies for row in rows] == [("water",), ("power", "water")]
    assert [row.bills for row in rows] == [1, 2]


def test_each_filter_keeps_what_it_says():
    paid = a_paid_payment(a_home(8_650))
    begun = a_payment(a_home(8_650, 1_000), now=NOW + timedelta(days=1))
    refused = book(a_payment(a_home(700)), GatewayStatus.REFUSED)

    assert all_of(status=PaymentStatus.PAID) == [paid.id]
    assert all_of(status=PaymentStatus.REFUSED) == [refused.id]
    assert all_of(amount_fen=8_650) == [paid.id]
    assert all_of(company="power") == [begun.id]
    assert all_of(payer_id=paid.payer_id) == [paid.id]
    assert all_of(from_on=TODAY + timedelta(days=1)) == [begun.id]
    assert set(all_of(to_on=TODAY)) == {paid.id, refused.id}
    assert all_of(from_on=TODAY, to_on=TODAY, amount_fen=700, gateway="sandbox") == [refused.id]
    assert all_of(gateway="alipay") == []


def test_what_needs_a_person_is_what_somebody_has_to_decide_or_explain():
    a_paid_payment(a_home(1_000))
    proposed = a_confirmed_payment(8_650)
    propose(a_wish(proposed), staff()[0])

    assert all_of(needs_a_person=True) == [proposed.id]
    missing_there()
    assert proposed.id in all_of(needs_a_person=True)
    assert len(all_of(needs_a_person=True)) > 1


def test_a_last_one_that_never_was_is_not_found():
    with pytest.raises(NotFound):
        ids(after=7)


def seed(ages: list[int]) -> list[int]:
    """Payments as bare rows, begun so many seconds ago; their ids, newest first."""
    with as_owner(unguarded=True) as connection:
        connection.execute(text("DELETE FROM payment"))
        for number, age in enumerate(ages, start=1):
            connection.execute(
                text("""
                    INSERT INTO payment (id, payer_id, gateway, order_no, return_url, amount_fen,
                                         status, created_at, status_at, expires_at)
                    VALUES (:id, 1, 'sandbox', :id, '', 100, 'created', :at, :at, :at)
                """),
                {"id": number, "at": NOW - timedelta(seconds=age)},
            )
    return [number for _, number in sorted((age, -number) for number, age in enumerate(ages, 1))]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.integers(0, 3), max_size=12), size=st.integers(1, 5))
def test_the_pages_together_are_everything_once(ages, size):
    newest_first = [-number for number in seed(ages)]
    paged: list[int] = []

    while page := ids(limit=size, **({"after": paged[-1]} if paged else {})):
        paged += page

    assert paged == newest_first
    with transaction() as session:
        assert [row.payment.id for row in every_payment(session, Filter())] == newest_first


PLANS = {
    "all": Filter(), "paid": Filter(status=PaymentStatus.PAID),
    "rare state": Filter(status=PaymentStatus.UNKNOWN), "amount": Filter(amount_fen=12_345),
    "a day": Filter(from_on=TODAY, to_on=TODAY), "payer": Filter(payer_id=7),
    "a person": Filter(needs_a_person=True),
}  # fmt: skip


@pytest.fixture
def many():
    """Enough payments for a plan that reads them all to show."""
    with as_owner(unguarded=True) as connection:
        connection.execute(
            text("""
                INSERT INTO payment (id, payer_id, gateway, order_no, return_url, amount_fen,
                                     status, paid_at, created_at, status_at, expires_at)
                SELECT n, n % 4000, 'sandbox', n, '', 100 + n % 20000,
                       CASE WHEN n % 20 = 0 THEN 'expired' ELSE 'paid' END,
                       CASE WHEN n % 20 = 0 THEN NULL ELSE at END, at, at, at
                FROM generate_series(1, 40000) n,
                     LATERAL (SELECT CAST(:now AS timestamptz) - n * interval '1 minute' AS at) t
            """),
            {"now": NOW},
        )
        connection.execute(text("ANALYZE payment"))
    yield
    with as_owner(unguarded=True) as connection:
        connection.execute(text("DELETE FROM payment"))
        connection.execute(text("ANALYZE payment"))


@pytest.mark.parametrize("wanted", PLANS.values(), ids=PLANS.keys())
def test_no_page_reads_every_payment(many, wanted):
    assert most_looked_at(lambda session: find_payments(session, wanted)) < 3_000


def test_no_residents_story_reads_every_payment(many):
    def look(session: Session) -> None:
        happened(session, person_id=7, account_ids=[7], now=NOW, limit=80)
        open_matters(session, person_id=7, account_ids=[7], now=NOW)

    assert most_looked_at(look) < 3_000
