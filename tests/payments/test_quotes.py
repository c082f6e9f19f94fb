"""What a choice of bills costs, by the companies' terms: at checkout, in the books, and undone."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from billing.models import Bill
from billing.rules.payable import pay_terms_json
from core.clock import billing_date
from core.db import transaction
from core.errors import Conflict, Invalid
from core.keys import named_key
from payments import write_offs
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.models import Payment
from payments.quotes import Wanted
from payments.returns.refunds import book as book_refund
from payments.states import Outcome, PaymentStatus
from providers.base import OptionKind, PayOption, PayTerms
from tests.factories import (
    ACCEPTED,
    NOW,
    REFUSED,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    a_record,
    as_shown,
    at_once,
    balances,
    book,
    bring_in,
    items_of,
    the_bill,
    the_terms,
    violations,
)
from tests.payments.returns.returning import a_wish, approve, propose, staff

pytestmark = pytest.mark.usefixtures("city")
DUE = (NOW + timedelta(days=10)).date()
EARLY = PayOption("early", OptionKind.EARLY, "早付", 8_500, until_on=DUE)
PARTS = PayTerms(
    options=tuple(
        PayOption(f"instalment-{at}", OptionKind.INSTALMENT, f"第{at}期", fen)
        for at, fen in enumerate((3_000, 3_000, 2_650), start=1)
    )
)


def with_terms(ref, terms: PayTerms) -> None:
    """Give a bill its own way of being paid."""
    with transaction() as session:
        session.get_one(Bill, ref).pay_terms = pay_terms_json(terms)


def wants(ref, **choice) -> list[Wanted]:
    return [as_shown(ref)[0]._replace(**choice)]


def confirm(payment: Payment, reply=ACCEPTED) -> None:
    """Have the companies answer."""
    for item in items_of(payment):
        with transaction() as session:
            write_offs.book(session, item.write_off_no, reply, now=NOW)


class TestExactness:
    """Rule 2: the bill's own rule before its company's, under the bill's lock."""

    @pytest.mark.parametrize("fen", [8_649, 8_651])
    def test_a_company_that_says_nothing_takes_the_exact_amount(self, fen):
        home = a_home(8_650)

        with pytest.raises(Invalid) as refused:
            a_payment(home, wanted=wants(home.refs[0], amount_fen=fen))

        assert refused.value.code.startswith("amount.")
        assert the_bill(home.refs[0]).held_by is None

    def test_a_part_leaves_the_rest_open_and_is_told_to_the_company(self):
        the_terms("water", '[amount]\nmode = "exact_and_below"\nminimum_fen = 1000\n')
        home = a_home(8_650)

        payment = book(
            a_payment(home, wanted=wants(home.refs[0], amount_fen=1_000)), GatewayStatus.PAID
        )
        confirm(payment)

        bill = the_bill(home.refs[0])
        assert (bill.open_fen, bill.paid_fen, bill.written_off_fen) == (7_650, 1_000, 1_000)
        assert violations() == []

    def test_a_surplus_goes_to_the_company_as_an_advance(self):
        the_terms("water", 'surplus = "advance"\n[amount]\nmode = "exact_and_above"\n')
        home = a_home(8_650)

        payment = book(
            a_payment(home, wanted=wants(home.refs[0], amount_fen=9_000)), GatewayStatus.PAID
        )
        assert balances()["advance:water"] == -350
        confirm(payment)

        assert the_bill(home.refs[0]).open_fen == 0
        assert balances() == {"gateway:sandbox": 9_000, "payable:water": -9_000}
        assert violations() == []

    def test_a_surplus_of_a_refused_payment_goes_back_whole(self):
        the_terms("water", 'surplus = "advance"\n[amount]\nmode = "exact_and_above"\n')
        home = a_home(8_650)
        payment = book(
            a_payment(home, wanted=wants(home.refs[0], amount_fen=9_000)), GatewayStatus.PAID
        )

        confirm(payment, REFUSED)

        assert balances()["returns"] == -9_000
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []


class TestOptions:
    """Rule 3: one option, its amount, until its day."""

    def test_an_early_amount_settles_the_bill(self):
        home = a_home(8_650)
        with_terms(home.refs[0], PayTerms(options=(EARLY,)))

        payment = book(
            a_payment(home, wanted=wants(home.refs[0], option_code="early")), GatewayStatus.PAID
        )
        confirm(payment)

        bill = the_bill(home.refs[0])
        assert (payment.amount_fen, bill.adjusted_fen, bill.open_fen) == (8_500, -150, 0)
        assert balances() == {"gateway:sandbox": 8_500, "payable:water": -8_500}
        assert violations() == []

    def test_a_refused_early_payment_owes_the_whole_again(self):
        home = a_home(8_650)
        with_terms(home.refs[0], PayTerms(options=(EARLY,)))
        payment = book(
            a_payment(home, wanted=wants(home.refs[0], option_code="early")), GatewayStatus.PAID
        )

        confirm(payment, REFUSED)

        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []

    def test_paid_elsewhere_after_a_refund_its_discount_goes_with_it(self):
        """Rule 37: the bill was paid twice, refunded here with its discount, and paid once more."""
        home = a_home(8_650)
        with_terms(home.refs[0], PayTerms(options=(EARLY,)))
        early = a_payment(home, wanted=wants(home.refs[0], option_code="early"))
        confirm(book(early, GatewayStatus.PAID))
        one, two = staff()
        approve(propose(a_wish(early), one), two)
        again = book(a_payment(home, wanted=wants(home.refs[0])), GatewayStatus.PAID)

        confirm(again, replace(REFUSED, paid_elsewhere=True))

        bill = the_bill(home.refs[0])
        assert (bill.open_fen, bill.adjusted_fen) == (0, 0)
        assert bill.paid_elsewhere_at is not None
        assert violations() == []

    def test_after_its_day_it_is_gone(self):
        home = a_home(8_650)
        with_terms(home.refs[0], PayTerms(options=(EARLY,)))

        with pytest.raises((Invalid, Conflict)) as refused:
            a_payment(
                home, wanted=wants(home.refs[0], option_code="early"),
                now=NOW + timedelta(days=11),
            )  # fmt: skip

        assert refused.value.code == "option.not_now"

    def test_late_money_of_an_option_whose_bill_was_paid_otherwise_goes_back(self):
        """Rules 14 and 29."""
        home = a_home(8_650)
        with_terms(home.refs[0], PayTerms(options=(EARLY,)))
        late = a_payment(home, wanted=wants(home.refs[0], option_code="early"))
        book(late, GatewayStatus.CLOSED)
        a_paid_payment(home)

        book(late, GatewayStatus.PAID, gateway_ref="late")

        assert [item.outcome for item in items_of(late)] == [Outcome.RETURNING]
        assert the_bill(home.refs[0]).adjusted_fen == 0
        assert violations() == []


class TestInstalments:
    """Rule 15: full amount and instalments exclude each other; each instalment is paid once."""

    def test_three_close_the_bill(self):
        home = a_home(8_650)
        with_terms(home.refs[0], PARTS)

        for at in (2, 1, 3):
            wanted = wants(home.refs[0], option_code=f"instalment-{at}")
            confirm(book(a_payment(home, wanted=wanted), GatewayStatus.PAID))

        assert the_bill(home.refs[0]).open_fen == 0
        assert violations() == []

    def test_once_begun_the_full_amount_is_refused_and_the_same_part_too(self):
        home = a_home(8_650)
        with_terms(home.refs[0], PARTS)
        book(
            a_payment(home, wanted=wants(home.refs[0], option_code="instalment-1")),
            GatewayStatus.PAID,
        )

        for code, why in ((None, "option.instalments_begun"), ("instalment-1", "option.taken")):
            with pytest.raises((Invalid, Conflict)) as refused:
                a_payment(home, wanted=wants(home.refs[0], option_code=code))
            assert refused.value.code == why

    def test_of_many_at_once_one_gets_the_bill(self):
        home = a_home(8_650)
        with_terms(home.refs[0], PARTS)
        choices = [wants(home.refs[0], option_code=f"instalment-{1 + at % 3}") for at in range(9)]

        found = at_once([lambda one=one: a_payment(home, wanted=one) for one in choices])

        assert sum(isinstance(one, Payment) for one in found) == 1
        assert violations() == []


class TestFee:
    """Rule 4: on the finally chosen amount, by slab, with its tax, and never on the bill."""

    TERMS = (
        "[fee]\ntax_ppm = 60000\n"
        "slabs = [{ upto_fen = 8650, fixed_fen = 50 }, { rate_ppm = 6000 }]\n"
    )

    def test_it_is_a_line_of_its_own(self):
        the_terms("water", self.TERMS)
        home = a_home(8_650, 5_000)

        payment = a_paid_payment(home)

        assert (payment.fee_fen, payment.fee_tax_fen, payment.amount_fen) == (50, 3, 13_703)
        assert (balances()["fees"], balances()["fee_tax"]) == (-50, -3)
        assert [the_bill(ref).paid_fen for ref in home.refs] == [8_650, 5_000]
        assert violations() == []

    def test_it_goes_back_with_the_last_bill_and_not_before(self):
        """Rule 44: no service fee goes back when a part does."""
        the_terms("water", self.TERMS)
        payment = a_paid_payment(a_home(8_650, 5_000))
        first, second = items_of(payment)

        for item, fen in ((first, first.amount_fen), (second, second.amount_fen + 53)):
            with transaction() as session:
                write_offs.book(session, item.write_off_no, REFUSED, now=NOW)
                asked = text("SELECT amount_fen FROM refund WHERE refund_no = :no")
                number = {"no": f"R{item.write_off_no[1:]}"}
                assert session.execute(asked, number).scalar_one() == fen
            assert violations() == []
        for item in (first, second):
            with transaction() as session:
                sent = RefundReply(state=RefundState.SENT)
                book_refund(session, f"R{item.write_off_no[1:]}", sent, now=NOW)

        assert "gateway:sandbox" not in balances()
        assert "fees" not in balances()
        assert violations() == []

    def test_it_goes_back_when_no_bill_can_take_the_money(self):
        the_terms("water", self.TERMS)
        home = a_home(8_650)
        late = a_payment(home)
        book(late, GatewayStatus.CLOSED)
        a_paid_payment(home)

        book(late, GatewayStatus.PAID, gateway_ref="late")

        assert balances()["returns"] == -8_703
        assert violations() == []


class TestOneSum:
    """Rule 9: one sum covers what is open in the order the company declares."""

    @staticmethod
    def two_months(toml: str = "") -> Home:
        """September's bill of 30 yuan and October's of 50, of one account."""
        the_terms("water", '[amount]\nmode = "exact_and_below"\n' + toml)
        home = a_home(5_000)
        bring_in(
            "water",
            a_record(home.account_nos[0], "B0", amount_fen=3_000, billing_month=date(2026, 9, 1)),
        )
        older = (home.refs[0][0], named_key(date(2026, 9, 1), "B0"))
        return replace(home, refs=(home.refs[0], older))

    @pytest.mark.parametrize(
        ("toml", "paid"),
        [
            ("", (1_000, 3_000)),
            ('[apportion]\nperiods = "newest_first"\n', (4_000, 0)),
            ('[apportion]\nperiods = "largest_first"\n', (4_000, 0)),
        ],
    )
    def test_it_is_divided_in_the_companys_order(self, toml, paid):
        home = self.two_months(toml)

        confirm(book(a_payment(home, sum_fen=4_000), GatewayStatus.PAID))

        assert tuple(the_bill(ref).paid_fen for ref in home.refs) == paid
        assert violations() == []

    def test_a_company_of_exact_amounts_takes_no_part(self):
        home = a_home(5_000)

        with pytest.raises(Invalid) as refused:
            a_payment(home, sum_fen=4_999)

        assert refused.value.code == "amount.not_exact"

    @pytest.mark.parametrize("sum_fen", [0, -1])
    def test_nothing_is_no_sum_to_divide(self, sum_fen):
        with pytest.raises(Invalid) as refused:
            a_payment(a_home(5_000), sum_fen=sum_fen)

        assert refused.value.code == "amount.below"

    def test_bills_of_two_companies_have_no_order_among_them(self):
        with pytest.raises(Invalid) as refused:
            a_payment(a_home(1_000, 1_000), sum_fen=1_500)

        assert refused.value.code == "amount.not_divisible"

    def test_the_same_key_is_the_same_payment_and_another_sum_another_request(self):
        home = self.two_months()
        named = as_shown(*home.refs)
        first = a_payment(home, wanted=named, sum_fen=4_000, key="k")
        book(first, GatewayStatus.PAID)

        assert a_payment(home, wanted=named, sum_fen=4_000, key="k").id == first.id
        with pytest.raises(Conflict) as refused:
            a_payment(home, wanted=named, sum_fen=3_999, key="k")

        assert refused.value.code == "idempotency.other_request"


class TestNothing:
    """Rule 7: nothing to pay asks no gateway, and is legal for bills of zero or less alone."""

    def test_a_bill_of_zero_is_closed_without_a_gateway(self):
        home = a_home(0)

        payment = a_payment(home)
        confirm(payment)

        assert (payment.gateway, payment.status) == ("none", PaymentStatus.PAID)
        assert {item.outcome for item in items_of(payment)} == {Outcome.WRITTEN_OFF}
        assert balances() == {}
        assert violations() == []

    def test_nothing_is_not_taken_for_a_bill_that_owes(self):
        home = a_home(8_650)

        with pytest.raises((Invalid, Conflict)):
            a_payment(home, wanted=wants(home.refs[0], amount_fen=0))

    def test_it_is_not_mixed_with_something(self):
        home = a_home(8_650, 0)

        with pytest.raises(Invalid) as refused:
            a_payment(home)

        assert refused.value.code == "bill.no_due"


class TestLimits:
    """Rule 5: a mode is legal on some channels and up to an amount."""

    def test_what_the_company_does_not_list_is_refused(self):
        the_terms("water", '[[limits]]\nmode = "wallet"\nchannels = ["web"]\nmaximum_fen = 8650\n')

        a_payment(a_home(8_650))
        with pytest.raises(Invalid) as refused:
            a_payment(a_home(8_651))

        assert refused.value.code == "limit.amount"


class TestTime:
    def test_amounts_shown_too_long_ago_are_refused(self):
        """Rule 17."""
        home = a_home(8_650)
        payment = a_payment(home, quoted_at=NOW, now=NOW + timedelta(minutes=30))
        assert payment.status is PaymentStatus.CREATED
        other = a_home(8_650)

        with pytest.raises(Conflict) as refused:
            a_payment(other, quoted_at=NOW, now=NOW + timedelta(minutes=30, seconds=1))

        assert refused.value.code == "quote.expired"

    def test_a_company_of_the_same_day_has_its_payments_end_at_midnight(self):
        """Rule 17: the amount holds until the Shanghai day ends, and so does the payment."""
        the_terms("water", "[quote]\nsame_day = true\n")
        late = NOW.replace(hour=15, minute=50)  # 23:50 in Shanghai

        payment = a_payment(a_home(8_650), now=late)

        assert payment.expires_at == NOW.replace(hour=16, minute=0)

    def test_what_was_in_time_when_shown_and_would_now_be_late_is_shown_again(self):
        """Rule 21: nobody pays late believing the day they were shown."""
        the_terms("water", "[cut_off]\nat = 17:00:00\n")
        before = NOW.replace(hour=8, minute=55)  # 16:55 in Shanghai, of the last day to pay
        after, due_on = before + timedelta(minutes=10), billing_date(before)
        home = a_home(8_650, issued_on=due_on - timedelta(days=9), due_on=due_on)

        with pytest.raises(Conflict) as refused:
            a_payment(home, quoted_at=before, now=after)

        assert refused.value.code == "quote.late_now"
        assert refused.value.facts["counts_on"] == (due_on + timedelta(days=1)).isoformat()
        assert a_payment(home, quoted_at=after, now=after).status is PaymentStatus.CREATED

    def test_a_cut_off_that_makes_nothing_late_stops_nobody(self):
        the_terms("water", "[cut_off]\nat = 17:00:00\n")
        before = NOW.replace(hour=8, minute=55)
        due_on = billing_date(before) + timedelta(days=1)
        home = a_home(8_650, issued_on=due_on - timedelta(days=9), due_on=due_on)

        paid = a_payment(home, quoted_at=before, now=before + timedelta(minutes=10))

        assert paid.status is PaymentStatus.CREATED
