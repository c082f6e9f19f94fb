"""What is unusual, what is not, and what looks like a leak."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.homes.models import AccountDeparture
from billing.usage.unusual import FAR_ABOVE, FLOORS, Reading, judge, unusual_usage
from core.clock import add_months
from tests.factories import Home, a_home, a_record, bring_in

MONTH = date(2026, 10, 1)


def reading(back: int, usage: str, days: int = 30) -> Reading:
    return Reading(add_months(MONTH, -back), Decimal(usage), days)


def earlier(*usages: str) -> list[Reading]:
    """Months in a row, the last of them the one before this one."""
    return [reading(len(usages) - at, usage) for at, usage in enumerate(usages)]


class TestJudge:
    def test_far_above_the_last_four_is_unusual(self):
        odd = judge(reading(0, "20"), earlier("8", "9", "8", "7"), "m³")

        assert odd is not None
        assert (odd.usual, odd.seasonal, odd.rising) == (Decimal("8.0"), False, False)

    @pytest.mark.parametrize("usage", ["8", "12", "12.5"])
    def test_half_as_much_again_is_not(self, usage):
        assert judge(reading(0, usage), earlier("9", "9", "9", "9"), "m³") is None

    def test_little_is_not_unusual_for_being_a_multiple(self):
        assert judge(reading(0, "5"), earlier("1", "1", "1", "1"), "m³") is None

    def test_three_bills_tell_nothing(self):
        assert judge(reading(0, "99"), earlier("1", "1", "1"), "m³") is None

    def test_what_is_not_metered_is_not_judged(self):
        assert judge(reading(0, "999"), earlier("1", "1", "1", "1"), "min") is None

    def test_two_months_on_one_bill_are_not_unusual(self):
        assert judge(reading(0, "17", 61), earlier("8", "9", "8", "9"), "m³") is None

    def test_winter_is_compared_with_winter(self):
        last_year = [reading(13, "290"), reading(12, "300"), reading(11, "310")]
        summer = earlier("100", "90", "95", "105")

        assert judge(reading(0, "320"), last_year + summer, "kWh") is None
        odd = judge(reading(0, "480"), last_year + summer, "kWh")
        assert odd is not None
        assert (odd.usual, odd.seasonal) == (Decimal("300.0"), True)

    def test_a_lowest_usage_that_keeps_rising_looks_like_a_leak(self):
        odd = judge(reading(0, "30"), earlier("5", "6", "8", "7", "12"), "m³")

        assert odd is not None
        assert odd.rising

    def test_a_month_of_guests_does_not(self):
        odd = judge(reading(0, "30"), earlier("8", "9", "8", "7", "8"), "m³")

        assert odd is not None
        assert not odd.rising

    @given(
        usages=st.lists(st.decimals(0, 1000, places=3), min_size=4, max_size=14),
        now=st.decimals(0, 5000, places=3),
        unit=st.sampled_from(sorted(FLOORS)),
    )
    def test_nothing_at_or_below_the_usual_is_ever_unusual(self, usages, now, unit):
        odd = judge(Reading(MONTH, now, 30), earlier(*map(str, usages)), unit)

        if odd is not None:
            assert now > min(usages) * FAR_ABOVE
            assert now - odd.usual >= FLOORS[unit] - Decimal("0.05")


def a_home_with_a_summer(usage: int) -> Home:
    """A home with October's bill of so much, and five of eight before it."""
    home = a_home(usage=Decimal(usage))
    bring_in(
        "water",
        *(
            a_record(
                home.account_nos[0], bill_no=f"M{month}", billing_month=date(2026, month, 1),
                issued_on=date(2026, month, 28), due_on=date(2026, 12, 1),
            )
            for month in range(5, 10)
        ),
    )  # fmt: skip
    return home


@pytest.mark.usefixtures("city")
def test_each_bill_is_compared_with_its_own_account_alone(session):
    homes = [a_home_with_a_summer(usage) for usage in (20, 8)]
    refs = [home.refs[0] for home in homes]

    found = unusual_usage(session, dict.fromkeys(refs, MONTH))

    assert list(found) == refs[:1]
    assert found[refs[0]].usual == Decimal("8.0") * 28 / 28


@pytest.mark.parametrize(
    ("left_on", "told"), [(date(2026, 9, 30), False), (date(2026, 4, 1), True)]
)
@pytest.mark.usefixtures("city")
def test_nobody_is_compared_with_who_lived_there_before(session, left_on, told):
    home = a_home_with_a_summer(20)
    ref = home.refs[0]
    session.add(
        AccountDeparture(
            account_id=ref[0], household_id=home.household_id, left_on=left_on, holder_mark="-"
        )
    )
    session.flush()

    assert bool(unusual_usage(session, {ref: MONTH})) is told
