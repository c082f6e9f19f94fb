"""Fen in, fen out: exact or refused, and parts that sum to the whole."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.money import divide, format_yuan, parse_fen, parse_yuan, price, yuan_text

AMOUNTS = st.integers(-999_999_999_999_999, 999_999_999_999_999)
WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)


class TestReadingYuan:
    """Rule 1: minor units everywhere; what is not exactly an amount is refused."""

    @pytest.mark.parametrize(
        ("text", "fen"),
        [
            ("0", 0), ("0.00", 0), ("0.01", 1), ("-0.01", -1), ("86.5", 8_650), ("86.50", 8_650),
            ("-12.34", -1_234), ("9999999999999.99", 999_999_999_999_999),
        ],
    )  # fmt: skip
    def test_an_amount_is_read_to_the_fen(self, text, fen):
        assert parse_yuan(text) == fen

    @pytest.mark.parametrize(
        "text",
        [
            "12.345", "-0", "-0.00", "-0.0", "1,234.50", "１２.００", "１２", "٣", "1e3", "1E3", "",
            " ", "\n", "1 ", " 1", "1\n", "1\u00a0", "1\u3000", "- 1", "1 234", "+1", "¥1", "￥1",
            "1元", "01.00", "00", "-01", "NaN", "nan", "Infinity", "-Infinity", "1.", ".5", "-.5",
            "1.-5", "1..5", "1.2.3", "--1", "-", "0x10", "1_000", "1/2", "一百", "12。50", "1.0O",
            "10000000000000", "1\u0000", "\ufeff1",
        ],
    )  # fmt: skip
    def test_anything_else_is_refused_with_a_sentence_that_says_what_to_write(self, text):
        with pytest.raises(Invalid) as refused:
            parse_yuan(text)

        assert refused.value.code == "money.malformed"
        assert "yuan" in str(refused.value) or "write" in str(refused.value) or (
            "fen" in str(refused.value)
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("12.345", "finer than a fen"), ("1,234.50", "thousands separator"), ("", "blank"),
            ("１２", "other than 0-9"), ("1 ", "space"), ("-0", "minus zero"),
        ],
    )  # fmt: skip
    def test_the_usual_mistakes_are_named(self, text, word):
        with pytest.raises(Invalid, match=word):
            parse_yuan(text)

    def test_a_long_text_is_not_repeated_whole(self):
        with pytest.raises(Invalid) as refused:
            parse_yuan("9" * 10_000)

        assert len(str(refused.value)) < 200

    @given(AMOUNTS)
    def test_what_is_written_is_read_back(self, fen):
        assert parse_yuan(yuan_text(fen)) == fen

    @given(AMOUNTS)
    def test_what_people_see_is_the_same_amount(self, fen):
        assert parse_yuan(format_yuan(fen).replace("¥", "").replace(",", "")) == fen

    @given(st.text(max_size=12))
    def test_a_text_is_an_exact_amount_or_refused_never_nearly_one(self, text):
        try:
            fen = parse_yuan(text)
        except Invalid:
            return
        assert Fraction(text) * 100 == fen

    def test_people_see_a_sign_before_the_currency(self):
        assert [format_yuan(fen) for fen in (0, -5, 123_456)] == ["¥0.00", "-¥0.05", "¥1,234.56"]


class TestReadingFen:
    @pytest.mark.parametrize(
        ("text", "fen"), [("0", 0), ("000000001234", 1_234), ("-5", -5), ("9" * 15, 10**15 - 1)]
    )
    def test_zero_padding_is_how_banks_write(self, text, fen):
        assert parse_fen(text) == fen

    @pytest.mark.parametrize(
        "text", ["", " 1", "1 ", "1\n", "-0", "-000", "+1", "1.0", "1e3", "１２", "1" * 16, "NaN"]
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(Invalid):
            parse_fen(text)


class TestPricing:
    """The one rounding in the system: half up, once."""

    @pytest.mark.parametrize(
        ("usage", "yuan", "fen"),
        [
            ("1", "0.005", 1), ("1", "0.00499999", 0), ("1", "0.015", 2), ("1", "0.025", 3),
            ("8.000", "2.25", 1_800), ("0.333", "4.5", 150), ("1", "-0.005", -1), ("0", "9", 0),
            ("3", "0.0033333333333333333333", 1),
        ],
    )  # fmt: skip
    def test_a_half_goes_up(self, usage, yuan, fen):
        assert price(Decimal(usage), Decimal(yuan)) == fen

    @given(
        st.decimals(0, 10**8, places=3, allow_nan=False),
        st.decimals(0, 1_000, places=6, allow_nan=False),
    )
    def test_the_price_is_the_exact_product_rounded_once(self, usage, yuan):
        exact = Fraction(usage) * Fraction(yuan) * 100

        assert price(usage, yuan) == int(exact + Fraction(1, 2))

    def test_a_tariff_priced_in_one_go_may_differ_from_the_sum_of_its_steps(self):
        whole = price(Decimal(2), Decimal("0.005"))

        assert (whole, 2 * price(Decimal(1), Decimal("0.005"))) == (1, 2)


class TestDividing:
    @given(AMOUNTS, WEIGHTS)
    def test_the_parts_sum_to_the_total(self, total, weights):
        assert sum(divide(total, weights)) == total

    @given(st.integers(0, 10**15), WEIGHTS)
    def test_no_part_is_negative_and_none_is_a_fen_away_from_its_share(self, total, weights):
        whole = sum(weights)

        for part, weight in zip(divide(total, weights), weights, strict=True):
            assert part >= 0
            assert abs(part * whole - total * weight) < whole

    @given(st.integers(0, 10**15), WEIGHTS)
    def test_a_heavier_part_never_gets_less_and_ties_go_to_the_earlier(self, total, weights):
        parts = divide(total, weights)

        for at in range(1, len(parts)):
            if weights[at - 1] >= weights[at]:
                assert parts[at - 1] >= parts[at]
            else:
                assert parts[at - 1] <= parts[at]

    @given(AMOUNTS, WEIGHTS)
    def test_the_same_question_has_the_same_answer_and_the_opposite_the_opposite(
        self, total, weights
    ):
        assert divide(total, weights) == divide(total, tuple(weights))
        assert divide(-total, weights) == [-part for part in divide(total, weights)]

    @given(st.integers(0, 10**15), WEIGHTS)
    def test_a_part_of_no_weight_gets_nothing(self, total, weights):
        for part, weight in zip(divide(total, weights), weights, strict=True):
            assert weight or not part

    def test_three_equal_parts_of_a_yuan_put_the_odd_fen_first(self):
        assert divide(100, [1, 1, 1]) == [34, 33, 33]
        assert divide(-100, [1, 1, 1]) == [-34, -33, -33]
        assert divide(1, [5, 5]) == [1, 0]

    @pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [-1]])
    def test_no_weight_to_divide_by_is_refused(self, weights):
        with pytest.raises(Invalid, match="positive weight"):
            divide(100, weights)
