"""The convenience fee, to the fen at every slab's end, and the ways a company is paid."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.fees import (
    FeeQuote,
    check_limit,
    company_fee_of,
    convenience_fee,
    fee_of,
)
from billing.rules.terms import Fee, FeePayer, FeeSlab, Limit, Terms
from core.errors import Invalid

THREE_SLABS = Fee(
    slabs=(
        FeeSlab(upto_fen=10_000),
        FeeSlab(upto_fen=100_000, fixed_fen=50),
        FeeSlab(fixed_fen=100, rate_ppm=2_500),
    ),
    tax_ppm=60_000,
)

AMOUNTS = st.integers(0, 10**12)
PPM = st.integers(0, 10**6)


@st.composite
def fees(draw):
    ends = [*sorted(draw(st.sets(st.integers(0, 10**6), max_size=3))), None]
    slabs = tuple(
        FeeSlab(upto_fen=end, fixed_fen=draw(st.integers(0, 999)), rate_ppm=draw(PPM))
        for end in ends
    )
    return Fee(slabs=slabs, tax_ppm=draw(PPM), paid_by=draw(st.sampled_from(FeePayer)))


class TestSlabs:
    """Rule 4: by inclusive slab."""

    @pytest.mark.parametrize(
        ("amount_fen", "fee_fen"),
        [
            (1, 0), (9_999, 0), (10_000, 0), (10_001, 50), (100_000, 50), (100_001, 350),
            (1_000_000, 2_600),
        ],
    )  # fmt: skip
    def test_a_slab_ends_with_its_last_fen(self, amount_fen, fee_fen):
        assert fee_of(amount_fen, THREE_SLABS).fee_fen == fee_fen

    @pytest.mark.parametrize("amount_fen", [0, 1, 10**12])
    def test_without_slabs_there_is_no_fee(self, amount_fen):
        assert fee_of(amount_fen, Fee(tax_ppm=60_000)) == FeeQuote(0, 0)

    def test_nothing_paid_costs_nothing(self):
        """Rule 7: a zero payment has no fee, whatever its slab's fixed part."""
        assert fee_of(0, Fee(slabs=(FeeSlab(fixed_fen=50),))) == FeeQuote(0, 0)

    def test_what_the_company_pays_is_not_the_residents(self):
        fee = THREE_SLABS.model_copy(update={"paid_by": FeePayer.COMPANY})

        assert fee_of(100_001, fee) == FeeQuote(0, 0)
        assert company_fee_of(100_001, fee) == FeeQuote(350, 21)
        assert company_fee_of(100_001, THREE_SLABS) == FeeQuote(0, 0)


class TestRounding:
    """Rule 4: half up, once for the fee and once for its tax, in integers (rule 1)."""

    @pytest.mark.parametrize(
        ("amount_fen", "rate_ppm", "fee_fen"),
        [
            (1_000, 500, 1), (999, 500, 0), (1_001, 500, 1), (2_999, 500, 1), (3_000, 500, 2),
            (5, 100_000, 1), (4, 100_000, 0), (25, 100_000, 3), (10**12, 10**6, 10**12),
        ],
    )  # fmt: skip
    def test_a_half_goes_up(self, amount_fen, rate_ppm, fee_fen):
        assert fee_of(amount_fen, Fee(slabs=(FeeSlab(rate_ppm=rate_ppm),))).fee_fen == fee_fen

    def test_a_fee_of_1180_with_its_tax_is_1392_and_not_1393(self):
        quote = fee_of(50_000, Fee(slabs=(FeeSlab(fixed_fen=1_180),), tax_ppm=180_000))

        assert quote == FeeQuote(1_180, 212)
        assert sum(quote) == 1_392  # 1392.4

    @given(AMOUNTS, fees())
    def test_fee_and_tax_are_the_exact_ones_to_half_a_fen_and_never_negative(self, amount_fen, fee):
        quote = fee_of(amount_fen, fee)
        if fee.paid_by is FeePayer.COMPANY or amount_fen == 0:
            assert quote == FeeQuote(0, 0)
            return

        slab = next(one for one in fee.slabs if one.upto_fen is None or amount_fen <= one.upto_fen)
        exact_fee = slab.fixed_fen + Fraction(amount_fen * slab.rate_ppm, 10**6)
        exact_tax = Fraction(quote.fee_fen * fee.tax_ppm, 10**6)
        assert -Fraction(1, 2) < quote.fee_fen - exact_fee <= Fraction(1, 2)
        assert -Fraction(1, 2) < quote.tax_fen - exact_tax <= Fraction(1, 2)
        assert all(type(part) is int and part >= 0 for part in quote)


class TestPayments:
    """Rule 4: on what is finally paid to each company, not bill by bill."""

    def test_each_company_has_its_own_fee(self):
        terms = {"water": Terms(fee=THREE_SLABS), "power": Terms(), "gas": Terms(fee=THREE_SLABS)}

        assert convenience_fee({"water": 10_001, "power": 99_999, "gas": 100_001}, terms) == (
            FeeQuote(50 + 350, 3 + 21)
        )

    def test_the_amount_chosen_decides_and_not_the_bills(self):
        terms = {"water": Terms(fee=THREE_SLABS)}

        assert convenience_fee({"water": 10_000}, terms).fee_fen == 0
        assert convenience_fee({"water": 10_001}, terms).fee_fen == 50

    def test_nothing_to_pay_is_no_fee(self):
        assert convenience_fee({}, {}) == FeeQuote(0, 0)

    @given(st.dictionaries(st.sampled_from("abcde"), st.tuples(AMOUNTS, fees())), st.randoms())
    def test_the_fee_is_the_sum_in_whatever_order_the_companies_come(self, companies, random):
        terms = {code: Terms(fee=fee) for code, (_, fee) in companies.items()}
        shuffled = random.sample(sorted(companies), len(companies))
        quotes = [fee_of(amount_fen, fee) for amount_fen, fee in companies.values()]

        total = convenience_fee({code: companies[code][0] for code in shuffled}, terms)

        assert total == FeeQuote(sum(one.fee_fen for one in quotes), sum(q.tax_fen for q in quotes))


class TestLimits:
    """Rule 5: limits are per mode and per channel."""

    TERMS = Terms(
        limits=(
            Limit(mode="cash", channels=("counter", "kiosk"), maximum_fen=50_000),
            Limit(mode="card", channels=("web",), maximum_fen=100_000),
            Limit(mode="card", channels=("web", "counter"), maximum_fen=200_000),
            Limit(mode="wallet", channels=("web",)),
            Limit(mode="wallet", channels=("web", "tv"), maximum_fen=9),
        )
    )

    @pytest.mark.parametrize(
        ("mode", "channel", "amount_fen"),
        [
            ("cash", "counter", 50_000), ("cash", "kiosk", 1), ("card", "web", 200_000),
            ("wallet", "web", 10**12),
        ],
    )  # fmt: skip
    def test_what_a_limit_allows_is_taken(self, mode, channel, amount_fen):
        assert check_limit(self.TERMS, mode=mode, channel=channel, amount_fen=amount_fen) is None

    @pytest.mark.parametrize(
        ("mode", "channel", "amount_fen", "code", "told"),
        [
            ("bank_debit", "web", 1, "limit.mode", "card or cash or wallet"),
            ("cash", "web", 1, "limit.channel", "only on counter, kiosk"),
            ("wallet", "counter", 1, "limit.channel", "only on tv, web"),
            ("cash", "counter", 50_001, "limit.amount", "at most ¥500.00"),
            ("card", "web", 200_001, "limit.amount", "at most ¥2,000.00"),
        ],
    )
    def test_anything_else_is_refused_with_what_would_be_taken(
        self, mode, channel, amount_fen, code, told
    ):
        with pytest.raises(Invalid, match=told) as refused:
            check_limit(self.TERMS, mode=mode, channel=channel, amount_fen=amount_fen)

        assert refused.value.code == code

    def test_without_limits_everything_is_taken(self):
        assert check_limit(Terms(), mode="shells", channel="beach", amount_fen=10**12) is None

    def test_a_limit_of_nothing_lets_nothing_through(self):
        terms = Terms(limits=(Limit(mode="cash", channels=("counter",), maximum_fen=0),))

        with pytest.raises(Invalid):
            check_limit(terms, mode="cash", channel="counter", amount_fen=1)
