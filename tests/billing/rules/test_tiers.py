"""Steps of a year: what is refused as such, and how usage falls on them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.terms import parse_terms
from billing.rules.tiers import stand
from core.errors import Invalid

WATER = """
[tiers]
unit = "m³"
steps = [
    { upto = 220, yuan = "4.05" },
    { upto = 300, yuan = "5.80" },
    { yuan = "8.79" },
]
"""
TIERS = parse_terms(WATER).tiers


def complaint(text: str) -> str:
    with pytest.raises(Invalid) as refused:
        parse_terms(text)
    assert refused.value.code == "terms.invalid"
    return str(refused.value)


class TestTheTable:
    def test_is_read(self):
        assert [(one.upto, one.yuan) for one in TIERS.steps] == [
            (220, Decimal("4.05")), (300, Decimal("5.80")), (None, Decimal("8.79")),
        ]  # fmt: skip

    def test_a_company_need_not_have_one(self):
        assert parse_terms("").tiers is None

    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("upto = 300", "upto = 200", "line 6: tiers.steps.1.upto: step 2 ends at 200, inside"),
            ("upto = 300", "upto = 220", "line 6: tiers.steps.1.upto: step 2 ends at 220, inside"),
            ("upto = 300, ", "", "line 6: tiers.steps.1: step 2 has no upto"),
            ('{ yuan = "8.79"', '{ upto = 9, yuan = "8.79"', "line 7: tiers.steps.2.upto: the"),
            ('"5.80"', "5.80", "line 6: tiers.steps.1.yuan: write yuan a unit in quotes"),
            ('"5.80"', '"５.80"', "line 6: tiers.steps.1.yuan: write yuan a unit in quotes"),
            ('"5.80"', '"5.80", night = 1', "line 6: tiers.steps.1.night: there is no such key"),
            ('"5.80"', '"5.80", valley_yuan = "1.00"', "line 4: tiers.steps: all steps have"),
            ('"m³"', '"t"', "line 3: tiers.unit"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_refused_with_its_line(self, old, new, told):
        assert old in WATER

        assert complaint(WATER.replace(old, new)).startswith(told)


class TestStand:
    def test_what_is_left_until_the_next_step(self):
        now = stand(TIERS, Decimal(171), Decimal(37))

        assert (now.used, now.step.no, now.left) == (Decimal(208), 1, Decimal(12))
        assert now.highest.no == 1

    def test_a_bill_that_crosses_is_in_both(self):
        now = stand(TIERS, Decimal(210), Decimal(14))

        assert [one.now for one in now.steps] == [Decimal(10), Decimal(4), Decimal(0)]
        assert (now.step.no, now.left, now.highest.no) == (2, Decimal(76), 2)
        assert now.dearer_fen == 700

    def test_at_a_steps_end_the_next_unit_is_dearer(self):
        now = stand(TIERS, Decimal(200), Decimal(20))

        assert (now.step.no, now.left, now.highest.no) == (2, Decimal(80), 1)

    def test_the_last_step_has_no_end(self):
        now = stand(TIERS, Decimal(290), Decimal(100))

        assert (now.step.no, now.left) == (3, None)

    @given(
        before=st.decimals(0, 10_000, places=3), now=st.decimals(0, 10_000, places=3),
    )  # fmt: skip
    def test_the_steps_hold_all_that_was_used_and_no_more(self, before, now):
        found = stand(TIERS, before, now)

        assert sum(one.before for one in found.steps) == before
        assert sum(one.now for one in found.steps) == now
        for one in found.steps:
            assert one.now >= 0
            assert one.upto is None or one.before + one.now <= one.upto - one.above
        assert found.left is None or found.left > 0
