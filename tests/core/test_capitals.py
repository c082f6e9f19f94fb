"""Amounts in capital numerals, read back by a reader of our own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import capital_yuan

DIGITS = {mark: at for at, mark in enumerate("零壹贰叁肆伍陆柒捌玖")}
PLACES = {"拾": 10, "佰": 100, "仟": 1000}


def below_ten_thousand(text: str) -> int:
    total = digit = 0
    for mark in text:
        if mark in PLACES:
            total, digit = total + digit * PLACES[mark], 0
        else:
            digit = DIGITS[mark]
    return total + digit


def whole(text: str) -> int:
    if "亿" in text:
        above, _, below = text.rpartition("亿")
        return whole(above) * 10**8 + whole(below)
    above, _, below = text.rpartition("万")
    return below_ten_thousand(above) * 10**4 + below_ten_thousand(below)


def fen_of(text: str) -> int:
    form = r"人民币(负?)(?:(.+)元)?零?(?:(.)角)?(?:(.)分|整)"
    minus, yuan, tenths, fen = re.fullmatch(form, text).groups()
    amount = whole(yuan or "") * 100 + DIGITS[tenths or "零"] * 10 + DIGITS[fen or "零"]
    return -amount if minus else amount


@given(st.integers(-(10**13), 10**13) | st.integers(-1_000_000, 1_000_000))
def test_it_reads_back_as_what_was_written(amount_fen):
    assert fen_of(capital_yuan(amount_fen)) == amount_fen


@given(st.integers(0, 10**13))
def test_no_two_zeros_stand_together_and_none_before_a_unit(amount_fen):
    text = capital_yuan(amount_fen)

    assert "零零" not in text
    assert amount_fen == 0 or not re.search("零[拾佰仟万亿元]", text)


@pytest.mark.parametrize(
    ("amount_fen", "text"),
    [
        (0, "人民币零元整"),
        (1, "人民币壹分"),
        (50, "人民币伍角整"),
        (100, "人民币壹元整"),
        (1_000, "人民币壹拾元整"),
        (140_950, "人民币壹仟肆佰零玖元伍角整"),
        (600_714, "人民币陆仟零柒元壹角肆分"),
        (1_640_902, "人民币壹万陆仟肆佰零玖元零贰分"),
        (10_700_053, "人民币壹拾万柒仟元伍角叁分"),
        (100_000_000_100, "人民币壹拾亿零壹元整"),
        (-8_650, "人民币负捌拾陆元伍角整"),
    ],
)
def test_it_is_written_as_the_rules_say(amount_fen, text):
    assert capital_yuan(amount_fen) == text
