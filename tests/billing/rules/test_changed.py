"""Why a bill is more or less than another: the parts add up, and nothing untrue is claimed."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.changed import Asked, Reason, compare
from billing.rules.tiers import Step, Tiers, stand

OCTOBER, SEPTEMBER = date(2026, 10, 1), date(2026, 9, 1)
WATER = Tiers(
    unit="m³", steps=(Step(upto=220, yuan="4.00"), Step(upto=300, yuan="6.00"), Step(yuan="9.00"))
)


def october(usage: str | None, fen: int, *, before: str = "0", **changes) -> Asked:
    used = None if usage is None else Decimal(usage)
    facts = {
        "month": OCTOBER, "days": 31, "charge_fen": fen, "usage": used, "unit": "m³",
        "tiers": None if used is None else stand(WATER, Decimal(before), used),
    }  # fmt: skip
    return Asked(**facts | changes)


def september(usage: str | None, fen: int, **changes) -> Asked:
    return october(usage, fen, **{"month": SEPTEMBER, "days": 30} | changes)


def told(now: Asked, before: Asked) -> list[tuple[Reason, int]]:
    return [(part.reason, part.fen) for part in compare(now, before).told]


class TestReasons:
    def test_more_was_used(self):
        change = compare(october("14", 5_600), september("8", 3_200))

        assert change.diff_fen == 2_400
        (part,) = change.told
        assert (part.reason, part.fen, part.amount) == (Reason.USAGE, 2_400, Decimal(6))

    def test_a_step_is_named_with_what_fell_in_it(self):
        change = compare(
            october("14", 6_400, before="210"), september("8", 3_200, before="200")
        )  # 4 of 14 beyond 220, at 2.00 more

        usage, tier = change.told
        assert (usage.reason, usage.fen) == (Reason.USAGE, 2_400)
        assert (tier.reason, tier.fen, tier.amount, tier.step) == (
            Reason.TIER, 800, Decimal(4), 2,
        )  # fmt: skip

    def test_a_step_is_not_blamed_for_what_was_not_charged_in_it(self):
        """A home of five has longer steps than we know of."""
        parts = told(october("14", 5_600, before="210"), september("8", 3_200, before="200"))

        assert parts == [(Reason.USAGE, 2_400)]

    def test_a_new_year_begins_in_the_first_step_again(self):
        change = compare(october("10", 4_000), september("10", 6_000, before="250"))

        (part,) = change.told
        assert (part.reason, part.step, part.fen) == (Reason.CHEAPER_TIER, 2, -2_000)

    def test_as_much_for_more_money_is_a_price(self):
        assert told(october("10", 4_500), september("10", 4_000)) == [(Reason.PRICE, 500)]

    def test_a_longer_bill_is_longer_and_not_thirstier(self):
        """Usage a day, rule 22: a bill of two months is not unusual for being long."""
        parts = told(october("20", 8_000, days=60), september("10", 4_000, days=30))

        assert parts == [(Reason.DAYS, 4_000)]

    def test_a_longer_bill_may_use_less_a_day(self):
        parts = told(october("18", 7_200, days=60), september("10", 4_000, days=30))

        assert parts == [(Reason.DAYS, 4_000), (Reason.A_DAY, -800)]

    def test_a_day_more_or_less_of_a_month_makes_no_difference(self):
        parts = told(october("10", 4_000, days=31), september("8", 3_200, days=29))

        assert parts == [(Reason.USAGE, 800)]

    def test_late_fees_and_credits_are_told_to_the_fen_however_small(self):
        now = october("10", 400_000, late_fee_fen=3, credited_fen=0)
        before = september("8", 320_000, credited_fen=7)

        assert told(now, before) == [
            (Reason.USAGE, 80_000), (Reason.CREDIT, 7), (Reason.LATE_FEE, 3),
        ]  # fmt: skip

    def test_without_a_meter_the_lines_tell(self):
        now = october(None, 16_500, items={"套餐": 13_900, "套餐外流量费": 2_600})
        before = september(None, 16_000, items={"套餐": 13_900, "套餐外流量费": 2_100})

        (part,) = compare(now, before).told
        assert (part.reason, part.name, part.fen) == (Reason.ITEM, "套餐外流量费", 500)

    def test_after_an_empty_month_it_is_the_usage(self):
        assert told(october("10", 4_000), september("0", 0)) == [(Reason.USAGE, 4_000)]

    def test_other_units_are_not_compared(self):
        parts = told(october("10", 4_000, unit="kWh"), september("8", 3_200))

        assert parts == [(Reason.PRICE, 800)]

    def test_the_same_amount_needs_no_reason(self):
        change = compare(october("9", 4_000), september("10", 4_000))

        assert (change.diff_fen, change.told) == (0, ())
        assert sum(part.fen for part in change.parts) == 0

    @pytest.mark.parametrize(("month", "next_to"), [(9, True), (8, False)])
    def test_only_neighbours_are_last_month(self, month, next_to):
        before = september("8", 3_200, month=date(2026, month, 1))

        assert compare(october("8", 3_200), before).next_to is next_to


fens = st.integers(0, 10**9)
usages = st.none() | st.decimals(0, 99_999, places=3)


@st.composite
def asked_bills(draw) -> Asked:
    usage = draw(usages)
    lines = draw(st.lists(st.integers(-(10**6), 10**6), max_size=3))
    return Asked(
        month=draw(st.dates(date(2024, 1, 1), date(2026, 12, 1))).replace(day=1),
        days=draw(st.integers(1, 120)), charge_fen=draw(fens), late_fee_fen=draw(fens),
        credited_fen=draw(fens), usage=usage, unit=draw(st.sampled_from(["m³", "kWh"])),
        items={f"line {at}": fen for at, fen in enumerate(lines)},
        tiers=None if usage is None else stand(WATER, draw(st.decimals(0, 400, places=1)), usage),
    )  # fmt: skip


class TestTheLaw:
    @given(now=asked_bills(), before=asked_bills())
    def test_the_parts_add_up_to_the_difference_of_the_amounts(self, now, before):
        change = compare(now, before)

        assert change.diff_fen == now.total_fen - before.total_fen
        assert sum(part.fen for part in change.parts) == change.diff_fen
        assert all(part.fen for part in change.parts)
        assert bool(change.told) == (change.diff_fen != 0)

    @given(now=asked_bills(), before=asked_bills())
    def test_what_is_claimed_is_what_the_bills_say(self, now, before):
        for part in compare(now, before).parts:
            match part.reason:
                case Reason.USAGE:
                    assert part.amount == now.usage - before.usage
                    assert (part.amount > 0) == (part.fen > 0)
                case Reason.A_DAY:
                    more = now.usage * before.days - before.usage * now.days
                    assert more == 0 or abs(part.fen) <= 1 or (more > 0) == (part.fen > 0)
                case Reason.DAYS:
                    assert (now.days > before.days) == (part.fen > 0)
                case Reason.TIER:
                    assert part.fen > 0
                    assert part.amount == now.tiers.steps[part.step - 1].now > 0
                case Reason.CHEAPER_TIER:
                    assert part.fen < 0
                    assert now.tiers.steps[part.step - 1].now == 0
                case Reason.ITEM:
                    assert part.fen == now.items.get(part.name, 0) - before.items.get(part.name, 0)
                case Reason.LATE_FEE:
                    assert part.fen == now.late_fee_fen - before.late_fee_fen
                case Reason.CREDIT:
                    assert part.fen == before.credited_fen - now.credited_fen

    @given(now=asked_bills(), before=asked_bills())
    def test_the_other_way_round_it_is_the_opposite(self, now, before):
        assert compare(now, before).diff_fen == -compare(before, now).diff_fen
