"""Money that comes when its bill has moved on: what it may still pay, and what goes back."""

from datetime import UTC, date, datetime, timedelta

import pytest

from billing import credits, late_fees
from billing.files.limits import MAX_FEN
from core.clock import add_months, billing_date, day_bounds
from core.db import transaction
from payments import write_offs
from payments.gateways.base import GatewayStatus
from payments.models import list_receipts
from payments.states import Outcome
from providers.base import AmountRule, Exactness, OptionKind, PayOption, PayTerms
from tests.factories import (
    ACCEPTED,
    MONTH,
    NOW,
    REFUSED,
    a_home,
    a_paid_payment,
    a_payment,
    a_record,
    as_shown,
    book,
    bring_in,
    items_of,
    the_bill,
    the_terms,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
DUE_ON = date(2026, 11, 30)
ON_THE_DUE_DATE = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)
NOON = timedelta(hours=12)
LATER = datetime(2026, 12, 3, 4, 0, tzinfo=UTC)
PARTS = PayTerms(
    options=tuple(
        PayOption(f"instalment-{at}", OptionKind.INSTALMENT, f"第{at}期", fen)
        for at, fen in enumerate((4_000, 4_650), start=1)
    )
)


def a_bill(terms: PayTerms | None = None, company_terms: str = ""):
    """A home whose one bill has its own way of being paid."""
    if company_terms:
        the_terms("water", company_terms)
    home = a_home(8_650)
    if terms is not None:
        record = a_record(home.account_nos[0], version=2, pay_terms=terms)
        assert bring_in("water", record).superseded == 1
    return home


def wants(home, **choice):
    return [as_shown(home.refs[0])[0]._replace(**choice)]


def answered(payment, reply, *, now=NOW):
    for item in items_of(payment):
        with transaction() as session:
            write_offs.book(session, item.write_off_no, reply, now=now)


def test_an_instalment_that_was_paid_again_meanwhile_goes_back():
    home = a_bill(PARTS)
    first = a_payment(home, wanted=wants(home, option_code="instalment-1"))
    book(first, GatewayStatus.CLOSED)
    a_paid_payment(home, wanted=wants(home, option_code="instalment-1"))

    book(first, GatewayStatus.PAID)

    assert [item.outcome for item in items_of(first)] == [Outcome.RETURNING]
    assert the_bill(home.refs[0]).paid_fen == 4_000
    assert violations() == []


class TestLateAmountInParts:
    TERMS = PayTerms(
        options=(
            PayOption(
                "late", OptionKind.LATE, "逾期", 9_000,
                rule=AmountRule(Exactness.EXACT_AND_BELOW, minimum_fen=500),
            ),
        )
    )  # fmt: skip

    def test_a_part_is_kept(self):
        home = a_bill(self.TERMS)
        payment = a_payment(home, wanted=wants(home, option_code="late", amount_fen=500), now=LATER)
        book(payment, GatewayStatus.PAID, now=LATER, paid_at=LATER)

        assert [item.outcome for item in items_of(payment)] == [Outcome.PAID]
        assert the_bill(home.refs[0]).open_fen == 8_500
        assert violations() == []

    def test_the_part_that_raised_the_bill_can_be_refused_after_the_rest_was_paid(self):
        home = a_bill(self.TERMS)
        part = a_payment(home, wanted=wants(home, option_code="late", amount_fen=500), now=LATER)
        book(part, GatewayStatus.PAID, now=LATER, paid_at=LATER)
        rest = a_payment(home, now=LATER)
        book(rest, GatewayStatus.PAID, now=LATER, paid_at=LATER)
        answered(rest, ACCEPTED, now=LATER)

        answered(part, REFUSED, now=LATER)

        assert the_bill(home.refs[0]).open_fen == 500
        assert violations() == []


def test_an_early_amount_paid_in_time_and_heard_of_late_still_closes_the_bill():
    early = PayTerms(
        options=(PayOption("early", OptionKind.EARLY, "早付", 8_000, until_on=DUE_ON),)
    )
    home = a_bill(early, "[late_fee]\nonce_fen = 7\ninterest_ppm_per_day = 500\n")
    payment = a_payment(home, wanted=wants(home, option_code="early"), now=ON_THE_DUE_DATE)
    book(payment, GatewayStatus.CLOSED, now=ON_THE_DUE_DATE + timedelta(hours=1))
    late_fees.assess("water", billing_date(LATER) - timedelta(days=1), now=LATER)
    assert the_bill(home.refs[0]).open_fen > 8_650

    book(payment, GatewayStatus.PAID, now=LATER, paid_at=ON_THE_DUE_DATE)

    assert [item.outcome for item in items_of(payment)] == [Outcome.PAID]
    assert the_bill(home.refs[0]).open_fen == 0
    assert violations() == []


def test_a_company_that_refuses_a_bill_of_nothing_sends_nothing_back():
    home = a_home(0)
    payment = a_payment(home)

    answered(payment, REFUSED)

    assert violations() == []


def test_what_a_refused_instalment_leaves_open_can_be_paid():
    home = a_bill(PARTS, "[credits]\nconsume = true\n")
    second = a_paid_payment(home, wanted=wants(home, option_code="instalment-2"))
    bring_in("water", a_record(home.account_nos[0], "C1", amount_fen=-1_000))
    with transaction() as session:
        credits.consume(session, [home.refs[0][0]], provider_code="water", now=NOW)
    first = a_paid_payment(home, wanted=wants(home, option_code="instalment-1"))
    assert the_bill(home.refs[0]).open_fen == 0
    answered(second, REFUSED)
    assert the_bill(home.refs[0]).open_fen == 4_650

    again = a_paid_payment(home, wanted=wants(home, option_code="instalment-2"))

    assert again.amount_fen == 4_650
    assert the_bill(home.refs[0]).open_fen == 0
    assert first.amount_fen == 3_000
    assert violations() == []


class TestRefusedAndLate:
    """A bill its company would not take payment for is late from then on, if its last day is over.

    That day is the rolled one (rule 19).
    """

    FEES = "[late_fee]\nonce_fen = 300\npenalty_ppm = 10000\ninterest_ppm_per_day = 1000\n"

    @staticmethod
    def refused(due_on: date, *, paid_on: date, refused_on: date, months_back: int = 0):
        paid_at, refused_at = (day_bounds(day)[0] + NOON for day in (paid_on, refused_on))
        month = add_months(MONTH, -months_back)
        home = a_home(10_000, due_on=due_on, billing_month=month, now=paid_at)
        payment = a_payment(home, now=paid_at)
        book(payment, GatewayStatus.PAID, now=paid_at, paid_at=paid_at)
        answered(payment, REFUSED, now=refused_at)
        return home.refs[0]

    def test_one_refused_before_its_last_day_is_late_like_any_other(self):
        the_terms("water", f'{self.FEES}[due]\nroll = "next_working_day"\n')
        saturday, monday = date(2026, 11, 28), date(2026, 11, 30)
        ref = self.refused(
            saturday, paid_on=date(2026, 11, 27), refused_on=saturday + timedelta(days=1)
        )

        late_fees.assess("water", monday + timedelta(days=1), now=LATER)

        assert the_bill(ref).adjusted_fen == 300 + 100 + 10
        assert violations() == []

    @pytest.mark.parametrize(
        ("due_on", "fees_fen"),
        [(DUE_ON, 9), (date(2026, 12, 20), 300 + 90 + 9)],
        ids=["of the same last day", "of a last day still ahead"],
    )
    def test_a_correction_counts_no_day_for_which_the_bill_stood_paid(self, due_on, fees_fen):
        """Its resident was in time; a last day that comes after is one to keep like any other."""
        the_terms("water", self.FEES)
        home = a_home(10_000, due_on=DUE_ON)
        payment = a_paid_payment(home)
        refused_on = DUE_ON + timedelta(days=10)
        at = day_bounds(refused_on)[0] + NOON
        answered(payment, REFUSED, now=at)
        home.correct(0, version=2, amount_fen=9_000, due_on=due_on, now=at)

        late_on = max(refused_on, due_on) + timedelta(days=1)
        late_fees.assess("water", late_on, now=day_bounds(late_on)[1] + NOON)

        assert the_bill(home.refs[0]).adjusted_fen == fees_fen
        assert violations() == []

    def test_one_paid_on_a_last_day_that_came_early_costs_interest_alone(self):
        the_terms("water", f'{self.FEES}[due]\nroll = "last_working_day_of_month"\n')
        friday, sunday = date(2026, 5, 29), date(2026, 5, 31)
        ref = self.refused(
            sunday, paid_on=friday, refused_on=friday + timedelta(days=1), months_back=6
        )

        late_fees.assess("water", sunday, now=LATER)

        assert the_bill(ref).adjusted_fen == 10
        assert violations() == []


def test_the_same_money_told_once_without_its_number_does_not_come_a_second_time():
    payment = a_payment(a_home())
    book(payment, GatewayStatus.OPEN)

    for gateway_ref in (None, f"ref-{payment.order_no}", None):
        payment = book(payment, GatewayStatus.PAID, gateway_ref=gateway_ref)

    assert payment.gateway_ref == f"ref-{payment.order_no}"
    with transaction() as session:
        assert list_receipts(session, payment.id) == []
    assert violations() == []


def test_lateness_is_counted_on_the_largest_bill_a_file_can_hold():
    """One bill out of bounds would keep its company's others from being counted."""
    the_terms("water", "[late_fee]\npenalty_ppm = 1000000\ninterest_ppm_per_day = 1000000\n")
    home = a_home(MAX_FEN)

    late_fees.assess("water", billing_date(LATER) - timedelta(days=1), now=LATER)

    assert the_bill(home.refs[0]).adjusted_fen == MAX_FEN
    assert violations() == []
