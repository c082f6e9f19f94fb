"""A settlement divided among a company's accounts. Rule 10."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.splits import split_settlement
from billing.rules.terms import Amount, Split, Terms
from core.errors import Invalid
from providers.base import Exactness


def company(*splits):
    return Terms(splits=splits)


def fixed(account_ref, fen):
    return Split(account_ref=account_ref, fixed_fen=fen)


def rate(account_ref, ppm):
    return Split(account_ref=account_ref, rate_ppm=ppm)


@st.composite
def companies(draw):
    shares = draw(st.lists(st.integers(-5_000, 250_000).filter(bool), max_size=4))
    return company(
        *(
            rate(f"a{at}", share) if share > 0 else fixed(f"a{at}", -share)
            for at, share in enumerate(shares)
        )
    )


class TestSplits:
    """Rule 10."""

    def test_without_splits_all_is_the_primarys(self):
        assert split_settlement(1_001, Terms(), primary_ref="main") == [("main", 1_001)]

    def test_shares_come_first_and_the_rest_is_the_primarys(self):
        terms = company(fixed("sewage", 300), rate("fund", 100_000))

        assert split_settlement(1_001, terms, primary_ref="main") == [
            ("sewage", 300), ("fund", 100), ("main", 601),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("amount_fen", "parts"), [(300, [("sewage", 300)]), (301, [("sewage", 300), ("main", 1)])]
    )
    def test_a_share_may_be_all_there_is(self, amount_fen, parts):
        terms = company(fixed("sewage", 300))

        assert split_settlement(amount_fen, terms, primary_ref="main") == parts

    @pytest.mark.parametrize(
        ("amount_fen", "terms"),
        [
            (299, company(fixed("sewage", 300))),
            (0, company(fixed("sewage", 1))),
            (999, company(fixed("sewage", 501), rate("fund", 500_000))),
            (10**6, company(rate("fund", 10**6), fixed("sewage", 1))),
        ],
    )
    def test_more_than_the_total_is_refused(self, amount_fen, terms):
        with pytest.raises(Invalid) as refused:
            split_settlement(amount_fen, terms, primary_ref="main")

        assert refused.value.code == "splits.above_total"
        assert refused.value.facts["total_fen"] == amount_fen

    def test_rates_that_make_the_whole_never_make_a_fen_more(self):
        """Each half of 101 rounded by itself would be 51."""
        terms = company(rate("a", 500_000), rate("b", 500_000))

        assert split_settlement(101, terms, primary_ref="main") == [("a", 51), ("b", 50)]

    def test_a_surplus_goes_to_the_primary(self):
        terms = Terms(amount=Amount(mode=Exactness.EXACT_AND_ABOVE), splits=(fixed("sewage", 300),))

        assert split_settlement(10_300, terms, primary_ref="main")[-1] == ("main", 10_000)

    def test_a_primary_named_among_the_others_gets_one_transfer(self):
        terms = company(fixed("main", 300), rate("fund", 100_000))

        assert split_settlement(1_000, terms, primary_ref="main") == [("fund", 100), ("main", 900)]

    def test_a_negative_settlement_is_not_divided(self):
        with pytest.raises(Invalid) as refused:
            split_settlement(-1, Terms(), primary_ref="main")

        assert refused.value.code == "splits.below_zero"

    def test_nothing_is_sent_to_nobody(self):
        terms = company(rate("fund", 1))

        assert split_settlement(0, terms, primary_ref="main") == []
        assert split_settlement(1, terms, primary_ref="main") == [("main", 1)]

    @given(st.integers(0, 10**12), companies())
    def test_the_parts_are_the_whole_none_is_negative_and_there_are_five_at_most(
        self, amount_fen, terms
    ):
        try:
            parts = split_settlement(amount_fen, terms, primary_ref="main")
        except Invalid:
            fixed_fen = sum(split.fixed_fen for split in terms.splits)
            rates = sum(split.rate_ppm for split in terms.splits)
            assert fixed_fen * 10**6 + amount_fen * rates > amount_fen * 10**6 - 10**6
            return

        assert sum(fen for _, fen in parts) == amount_fen
        assert all(type(fen) is int and fen > 0 for _, fen in parts)
        assert len({ref for ref, _ in parts}) == len(parts) <= 5

    @given(st.integers(0, 10**12), companies())
    def test_a_share_is_its_figure_to_the_fen(self, amount_fen, terms):
        try:
            parts = dict(split_settlement(amount_fen, terms, primary_ref="main"))
        except Invalid:
            return

        for split in terms.splits:
            exact_ppm = split.fixed_fen * 10**6 + amount_fen * split.rate_ppm
            assert abs(parts.get(split.account_ref, 0) * 10**6 - exact_ppm) < 10**6
