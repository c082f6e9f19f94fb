"""One cell into one value: dates, numbers and check digits, as companies write them."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.money import yuan_text
from providers.formats.cells import read_quantity
from providers.formats.dates import date_reader
from providers.formats.digits import check_digit_holds
from providers.formats.numerals import amount_reader, quantity_reader, shifted
from providers.profiles import Numbers

FIRST = date(2026, 11, 1)


class TestADate:
    @pytest.mark.parametrize(
        ("layout", "text", "day"),
        [
            ("yyyy/mm/dd", "2024/3/2", date(2024, 3, 2)),
            ("yyyy/mm/dd", "2024/03/02", date(2024, 3, 2)),
            ("yyyy.mm.dd", "2026.11.01", FIRST),
            ("dd/mm/yyyy", "1/11/2026", FIRST),
            ("mm/dd/yyyy", "11/1/2026", FIRST),
            ("dd.mm.yyyy", "01.11.2026", FIRST),
            ("dd-mm-yyyy", "01-11-2026", FIRST),
            ("yyyy年mm月dd日", "2026年11月1日", FIRST),
            ("yyyy年mm月", "2026年11月", FIRST),
            ("yyyy/mm", "2026/11", FIRST),
            ("mm/yyyy", "11/2026", FIRST),
            ("yymmdd", "261101", FIRST),
            ("yymm", "2611", FIRST),
            ("datetime", "2026/11/1 0:00:00", FIRST),
            ("datetime", "2026-11-01", FIRST),
            ("datetime", "2026-10-31T16:00:00Z", FIRST),
            ("datetime", "2026-10-31T15:59:59.999Z", date(2026, 10, 31)),
            ("datetime", "2026-11-01T00:30:00+09:00", date(2026, 10, 31)),
            ("datetime", "20261101083000", FIRST),
            ("epoch_seconds", "1793462400", FIRST),
            ("epoch_seconds", "1793462399", date(2026, 10, 31)),
            ("epoch_milliseconds", "1793462400000", FIRST),
            ("excel", "46327", FIRST),
            ("excel", "46327.75", FIRST),
        ],
    )
    def test_is_read_by_its_layout(self, layout, text, day):
        assert date_reader(layout)(text) == day

    @pytest.mark.parametrize(
        ("layout", "text"),
        [
            ("yyyy/mm/dd", "2026/2/30"), ("yyyy/mm/dd", "26/2/3"), ("dd/mm/yyyy", "11/13/2026"),
            ("datetime", "2026-11-01 25:00"), ("datetime", "2026-11/01"), ("yymmdd", "261301"),
            ("datetime", "2026-11-01T00:00:00+99:00"), ("datetime", "9999-12-31T23:00:00Z"),
            ("datetime", "0001-01-01T00:00:00+12:00"), ("epoch_seconds", "99999999999999"),
            ("epoch_seconds", "1e9"), ("excel", "60"), ("excel", "9999999"), ("m", "13"),
            ("mm", "9"), ("yyyy年mm月", "２０２６年11月"), ("yyyy/mm/dd", ""),
        ],
    )  # fmt: skip
    def test_of_another_layout_is_told_with_the_right_one(self, layout, text):
        with pytest.raises(Invalid, match=f"write {layout}, such as"):
            date_reader(layout)(text)


class TestANumber:
    @pytest.mark.parametrize(
        ("written", "text", "fen"),
        [
            ({"thousands": ","}, "1,234.50", 123_450),
            ({"thousands": ","}, "1234.5", 123_450),
            ({"decimal": ",", "thousands": "."}, "1.234.567,89", 123_456_789),
            ({"decimal": ",", "thousands": " "}, "1 234,56", 123_456),
            ({"decimal": ",", "thousands": " "}, "1\u00a0234,56", 123_456),
            ({"thousands": "'"}, "1'234.56", 123_456),
            ({"marks": ("¥", "￥", "元")}, "¥ 12.30", 1_230),
            ({"marks": ("¥", "￥", "元")}, "12.30元", 1_230),
            ({"marks": ("¥",)}, "-¥12.30", -1_230),
            ({"signs": ("trailing",)}, "12.30-", -1_230),
            ({"signs": ("parentheses",)}, "(12.30)", -1_230),
            ({"signs": ("plus", "leading")}, "+12.30", 1_230),
            ({"signs": ("cr_is_minus",)}, "12.30 CR", -1_230),
            ({"signs": ("cr_is_minus",)}, "12.30DR", 1_230),
            ({"signs": ("dr_is_minus",)}, "12.30DR", -1_230),
            ({"leading_zeros": True}, "0000012.30", 1_230),
            ({"marks": ("元",)}, "86.5000", 8_650),
            ({"signs": ("trailing",)}, "0.00-", 0),
        ],
    )
    def test_is_read_as_the_profile_says_it_is_written(self, written, text, fen):
        assert amount_reader("yuan", Numbers(**written))(text) == fen

    @pytest.mark.parametrize(
        ("written", "text"),
        [
            ({"thousands": ","}, "12,34.50"), ({"thousands": ","}, ",234.50"),
            ({"thousands": ","}, "1,234,5"), ({"decimal": ",", "thousands": "."}, "1,234.50"),
            ({"marks": ("元",)}, "12.345元"), ({"signs": ("trailing",)}, "-12.30"),
            ({"signs": ("trailing", "leading")}, "-12.30-"), ({"thousands": ","}, "１２"),
            ({"thousands": ","}, "1e3"), ({"thousands": ","}, ""), ({"marks": ("¥",)}, "$1"),
            ({"marks": ("¥",)}, "007"), ({"thousands": " "}, "1  234"),
        ],
    )  # fmt: skip
    def test_is_never_guessed(self, written, text):
        with pytest.raises(Invalid):
            amount_reader("yuan", Numbers(**written))(text)

    @pytest.mark.parametrize(
        ("unit", "text", "fen"),
        [("jiao", "865", 8_650), ("fen", "0000008650", 8_650), ("li", "86500", 8_650),
         ("li", "-86500", -8_650), ("li", "0", 0)],
    )  # fmt: skip
    def test_of_another_unit_becomes_fen(self, unit, text, fen):
        assert amount_reader(unit)(text) == fen

    def test_finer_than_a_fen_is_refused(self):
        with pytest.raises(Invalid, match="finer than a fen"):
            amount_reader("li")("86505")

    @given(fen=st.integers(-(10**12), 10**12), places=st.integers(2, 9))
    def test_with_hidden_decimals_comes_back_to_the_fen(self, fen, places):
        digits = str(fen * 10 ** (places - 2))

        assert amount_reader("yuan", None, places)(digits) == fen
        assert shifted(digits, places) in (yuan_text(fen), yuan_text(fen).rstrip("0").rstrip("."))

    @given(fen=st.integers(-(10**12), 10**12))
    def test_written_as_in_europe_comes_back_to_the_fen(self, fen):
        whole, fraction = divmod(abs(fen), 100)
        text = f"{whole:,}".replace(",", ".") + f",{fraction:02d}" + ("-" if fen < 0 else "")
        written = Numbers(decimal=",", thousands=".", signs=("trailing",))

        assert amount_reader("yuan", written)(text) == fen

    def test_of_a_meter_follows_the_same_rules(self):
        read = quantity_reader(read_quantity, Numbers(decimal=",", thousands="."), None)

        assert read("1.025,5000") == Decimal("1025.5")
        assert quantity_reader(read_quantity, None, 3)("0025500") == Decimal("25.5")


class TestACheckDigit:
    @pytest.mark.parametrize(
        ("rule", "number"),
        [
            ("luhn", "79927398713"), ("mod10", "4006381333931"), ("mod11_2", "11010519491231002X"),
            ("mod11_2", "079X"), ("mod97", "79444"), ("none", "1"),
        ],
    )  # fmt: skip
    def test_is_right_for_one_last_character_only(self, rule, number):
        assert check_digit_holds(rule, number)
        if rule != "none":
            others = [number[:-1] + mark for mark in "0123456789X" if mark != number[-1]]
            assert not any(check_digit_holds(rule, other) for other in others)

    @pytest.mark.parametrize("rule", ["luhn", "mod10", "mod11_2", "mod97"])
    @given(text=st.text(max_size=20))
    def test_of_any_text_is_answered(self, rule, text):
        assert check_digit_holds(rule, text) in (True, False)
