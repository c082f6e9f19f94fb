"""Figures of the home and of the climate: exact, rounded once, each with its source."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.factors import BUILT_IN, load_factors
from core.errors import Invalid

FACTORS = load_factors()


def test_carbon_is_the_factor_times_the_usage():
    assert FACTORS.carbon["power"].grams(150_000) == 84_255  # 150 kWh at 0.5617 kg
    assert FACTORS.carbon["gas"].grams(27_000) == 58_379  # 27 m³ at 2.1622 kg, half up
    assert FACTORS.carbon["water"].grams(8_000) == 2_476


def test_the_factor_of_gas_follows_from_what_it_says():
    megajoules, carbon, oxidised = Decimal("38.931"), Decimal("15.3"), Decimal("0.99")
    kg = megajoules * carbon * oxidised * 44 / 12 / 1000

    assert FACTORS.carbon["gas"].kg == kg.quantize(Decimal("0.0001"), ROUND_HALF_UP)


def test_the_factor_of_water_follows_from_what_it_says():
    kwh = Decimal("0.29") + Decimal("0.29") * Decimal("0.9")
    kg = kwh * FACTORS.carbon["power"].kg

    assert FACTORS.carbon["water"].kg == kg.quantize(Decimal("0.0001"), ROUND_HALF_UP)


@given(milli=st.integers(0, 10**12))
def test_a_count_is_the_nearest_whole_one(milli):
    for one in FACTORS.likeness:
        exact = Decimal(milli).scaleb(-3) / one.each

        assert one.count(milli) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_every_factor_says_where_and_when_it_was_read():
    for one in FACTORS.carbon.values():
        assert one.url
        assert one.source_zh
        assert one.source_en
        assert one.read_on <= date(2026, 11, 22)


def test_a_unit_that_is_not_the_factors_has_none():
    assert FACTORS.carbon_of("gas", "kWh") is None
    assert FACTORS.carbon_of("telecom", "GB") is None
    assert FACTORS.likenesses_of("power", "m³") == []


def test_an_operators_own_file_is_taken(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(BUILT_IN.read_text(encoding="utf-8").replace("0.5617", "0.4000"))

    assert load_factors(own).carbon["power"].grams(1_000) == 400


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (('kg = "0.5617"', 'kg = "-1"'), "carbon.power.kg"),
        (('kg = "0.5617"', 'kilos = "1"'), "carbon.power"),
        (("[carbon.gas]", "[carbon.steam]"), "carbon.steam"),
        (("https://daydaynews", "javascript:daydaynews"), "carbon.power.url"),
        (("[carbon.gas]", "[carbon.gas"), "no TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_and_says_where(tmp_path, change, word):
    own = tmp_path / "own.toml"
    own.write_text(BUILT_IN.read_text(encoding="utf-8").replace(*change))

    with pytest.raises(Invalid, match=word):
        load_factors(own)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Invalid, match="cannot be read"):
        load_factors(tmp_path / "nowhere.toml")
