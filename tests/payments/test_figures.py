"""What staff look at first: what is really open, on its way back, or waiting for a person."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from billing.ledger.days import close_through
from billing.terms import propose, withdraw
from core.clock import billing_date
from core.db import transaction
from identity.models import Role
from payments import write_offs
from payments.figures import Attention, Figures, attention, today_figures
from payments.gateways.base import GatewayStatus
from payments.models import Payment, list_receipts
from payments.returns import suspense
from tests.factories import (
    ACCEPTED,
    NOW,
    REFUSED,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    a_record,
    book,
    bring_in,
    items_of,
)
from tests.payments.remittance.remitting import a_clerk, a_remittance, release, terms

pytestmark = pytest.mark.usefixtures("city")
TODAY = billing_date(NOW)
PAID = GatewayStatus.PAID


def figures() -> Figures:
    with transaction() as session:
        return today_figures(session)


def found(today: date = TODAY) -> Attention:
    with transaction() as session:
        return attention(session, gateways=["sandbox"], today=today)


class TestOwed:
    """What residents owe, as the last sealed evening knows it."""

    def test_nothing_is_told_before_a_day_is_closed(self):
        a_home(8_650)

        assert (figures().owed_on, figures().owed_fen) == (None, 0)

    def test_it_is_the_evening_of_the_last_closed_day_less_credits(self):
        home = a_home(8_650, 5_000)
        bring_in("water", a_record(home.account_nos[0], "B2", amount_fen=-2_000, items=()))
        close_through(TODAY, closed_by="a test", now=NOW + timedelta(days=1))
        a_home(1_000, now=NOW + timedelta(days=1))

        assert (figures().owed_on, figures().owed_fen) == (TODAY, 8_650 + 5_000 - 2_000)


class TestWaiting:
    def test_a_bill_waits_for_its_company_from_the_payment_to_the_answer(self):
        (item,) = items_of(a_paid_payment(a_home(8_650)))
        assert figures().unconfirmed == 1

        with transaction() as session:
            write_offs.book(session, item.write_off_no, ACCEPTED, now=NOW)

        assert figures().unconfirmed == 0


class TestOnTheWayBack:
    def a_suspended_one(self) -> Payment:
        payment = a_paid_payment(a_home(1_000))
        return book(payment, PAID, gateway_ref="another")

    def test_suspended_money_counts_until_it_was_sent(self):
        payment = self.a_suspended_one()
        assert figures().returning_fen == 1_000

        with transaction() as session:
            (receipt,) = list_receipts(session, payment.id)
            suspense.book_returned(session, receipt.id, "sent-1", NOW, now=NOW)

        assert figures().returning_fen == 0

    def test_it_is_added_to_refunds(self):
        self.a_suspended_one()
        payment = a_paid_payment(a_home(8_650))
        with transaction() as session:
            write_offs.book(session, items_of(payment)[0].write_off_no, REFUSED, now=NOW)

        assert figures().returning_fen == 9_650


def a_refused_correction(*, at: datetime = NOW) -> int:
    """A correction that came during a payment and was refused at a moment; returns its file."""
    home: Home = a_home(8_650)
    payment = a_payment(home)
    done = home.correct(0, version=2, amount_fen=8_000)
    book(payment, PAID, now=at)
    return done.bill_file_id


def proposed(*, effective_on: date) -> int:
    with transaction() as session:
        row = propose(
            session, provider_code="water", content="", effective_on=effective_on,
            reason="a test", proposed_by=a_person(Role.STAFF), now=NOW,
        )  # fmt: skip
    assert row.id is not None
    return row.id


class TestAttention:
    def test_a_quiet_city_needs_nobody(self):
        assert found() == Attention(0, 0, 0, 0, 0, None, 0, 0, 0, 0, 0)

    def test_days_that_are_over_and_not_closed(self):
        a_home(8_650)

        assert [found(TODAY + timedelta(days=at)).unclosed_days for at in (0, 1, 3)] == [0, 1, 3]
        close_through(TODAY, closed_by="a test", now=NOW + timedelta(days=3))
        assert [found(TODAY + timedelta(days=at)).unclosed_days for at in (1, 3)] == [0, 2]

    def test_remittances_that_wait_to_be_released(self):
        terms()
        one = a_remittance(8_650)
        assert found().remittances == 1

        release(one, a_clerk())

        assert found().remittances == 0

    def test_terms_that_can_still_be_approved(self):
        proposed(effective_on=TODAY + timedelta(days=1))
        taken_back = proposed(effective_on=TODAY + timedelta(days=2))
        with transaction() as session:
            withdraw(session, taken_back, by=a_person(Role.STAFF), now=NOW)

        assert found().proposed_terms == 1
        assert found(TODAY + timedelta(days=1)).proposed_terms == 0  # its day came

    def test_corrections_refused_in_the_last_seven_days_and_where_to_read_of_the_last(self):
        a_refused_correction(at=datetime(2026, 11, 13, 15, 59, tzinfo=UTC))  # 23:59 in Shanghai
        assert found(date(2026, 11, 20)).refused_corrections == 1
        assert found(date(2026, 11, 21)).refused_corrections == 0

        file_id = a_refused_correction()

        seen = found(date(2026, 11, 20))
        assert (seen.refused_corrections, seen.refused_in_file) == (2, file_id)

    def test_bills_that_should_have_come(self):
        a_home(8_650, 1_000)
        with transaction() as session:
            session.execute(
                text("""
                    INSERT INTO missing_bill (account_id, billing_month, expected_by_on,
                                              noticed_at, arrived_at)
                    SELECT id, :month, :month, :now,
                           CASE WHEN provider_code = 'power' THEN CAST(:now AS timestamptz) END
                    FROM utility_account
                """),
                {"month": date(2026, 11, 1), "now": NOW},
            )

        assert found().missing_bills == 1

    def test_a_day_that_brought_nothing_but_suspended_money_waits_for_its_file(self):
        book(a_payment(a_home(8_650)), PAID, amount_fen=8_000)

        assert found(TODAY).unreconciled_days == 0
        assert found(TODAY + timedelta(days=1)).unreconciled_days == 1

    def test_a_day_so_long_ago_is_told_of_for_a_year(self):
        a_paid_payment(a_home(8_650))

        seen = [found(TODAY + timedelta(days=at)).unreconciled_days for at in (1, 366, 367)]

        assert seen == [1, 1, 0]
