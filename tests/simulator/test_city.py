from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from simulator.bills import Edition
from simulator.city import City, bill_dates, demo_household
from simulator.companies import COMPANIES
from simulator.tariffs import gas_charge, power_charges, water_charges

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
BILLS = ("water_bills", "power_bills", "gas_bills", "telecom_bills")


@pytest.fixture(scope="module")
def city():
    return City(seed=7, households=3_000)


def months(count, start=SEPTEMBER):
    at = start.year * 12 + start.month - 1
    return [date((at + n) // 12, (at + n) % 12 + 1, 1) for n in range(count)]


class TestHouseholds:
    def test_the_same_seed_is_the_same_city(self, city):
        again = City(seed=7, households=10)

        for number in (1, 2, 10):
            assert again.household(number) == city.household(number)
            assert again.bills_of(number, SEPTEMBER) == city.bills_of(number, SEPTEMBER)

    def test_another_seed_is_another_city(self, city):
        other = City(seed=8, households=10)

        assert other.household(2) != city.household(2)
        assert other.household(1).account_nos != city.household(1).account_nos

    def test_this_city_has_not_changed_since_it_was_first_made(self):
        city = City(seed=7)
        home = city.household(2)

        assert (home.holder, home.address) == ("董嘉涛", "上海市金山区紫藤路709弄60号1304室")
        assert home.account_nos == {
            "water": "2065233105",
            "power": "3100040249833",
            "gas": "660066988914",
            "telecom": "22706570",
        }
        assert [bill.amount_fen for bill in city.bills_of(2, SEPTEMBER)] == [
            9320,
            10723,
            3300,
            11900,
        ]

    @pytest.mark.parametrize(
        ("company", "digits"), [("water", 10), ("power", 13), ("gas", 12), ("telecom", 8)]
    )
    def test_account_numbers_have_their_digits_and_are_unique(self, city, company, digits):
        nos = [city.household(number).account_no(company) for number in range(1, 3_001)]

        assert all(len(no) == digits and no.isascii() and no.isdigit() for no in nos)
        assert len(set(nos)) == len(nos)

    def test_some_names_hold_rare_characters(self, city):
        holders = "".join(city.household(number).holder for number in range(1, 3_001))

        assert set("珅瑋䶮") <= set(holders)

    def test_texts_fit_the_narrowest_file(self, city):
        for number in range(1, 3_001):
            home = city.household(number)
            assert len(home.holder.encode("gb18030")) <= 40
            assert len(home.address.encode("gb18030")) <= 60

    @pytest.mark.parametrize("number", [0, -1, 10**8])
    def test_there_is_no_household_nought(self, city, number):
        with pytest.raises(Invalid):
            city.household(number)

    @pytest.mark.parametrize("company", COMPANIES)
    def test_is_found_by_its_account_number(self, city, company):
        for number in (1, 2, 2_999, 3_000):
            assert city.find(company, city.household(number).account_no(company)) == number
        later = City(seed=7, households=3_001).household(3_001)
        assert city.find(company, later.account_no(company)) is None
        assert city.find(company, "nonsense") is None


class TestDemoHousehold:
    def test_is_household_one(self, city):
        home = demo_household(7)

        assert home == city.household(1)
        assert home.holder == "王小明"
        assert set(home.account_nos) == set(COMPANIES)

    @pytest.mark.parametrize("seed", range(12))
    def test_can_pay_every_bill_of_every_month(self, seed):
        city = City(seed)
        for month in months(24):
            bills = city.bills_of(1, month)
            assert len(bills) == (4 if month.month % 2 else 2)
            assert all(bill.amount_fen > 0 for bill in bills)

    def test_is_never_corrected_nor_cancelled(self, city):
        for month in months(24):
            for edition in (Edition.CORRECTED, Edition.CANCELLED):
                bills = [b for name in BILLS for b in getattr(city, name)(month, edition)]
                assert "王小明" not in {bill.holder for bill in bills}


class TestBills:
    def test_water_and_gas_come_in_odd_months_only(self, city):
        assert list(city.water_bills(OCTOBER)) == []
        assert list(city.gas_bills(OCTOBER)) == []
        assert sum(1 for _ in city.power_bills(OCTOBER)) == 3_000
        assert sum(1 for _ in city.water_bills(SEPTEMBER)) == 3_000

    def test_periods_follow_upon_each_other(self):
        first, second = bill_dates("water", SEPTEMBER), bill_dates("water", date(2026, 11, 1))

        assert (first.from_on, first.to_on) == (date(2026, 8, 1), date(2026, 9, 30))
        assert second.from_on == date(2026, 10, 1)
        assert first.issued_on < first.due_on

    def test_telecom_dates_are_those_of_the_note(self):
        assert bill_dates("telecom", OCTOBER) == (
            OCTOBER,
            date(2026, 10, 31),
            date(2026, 11, 1),
            date(2026, 11, 20),
        )

    def test_a_bill_of_one_is_the_bill_of_all(self, city):
        of_all = [
            next(b for b in getattr(city, name)(SEPTEMBER) if b.holder == "王小明")
            for name in BILLS
        ]

        assert city.bills_of(1, SEPTEMBER) == of_all

    def test_gas_readings_follow_upon_each_other_over_the_new_year(self, city):
        odd = [month for month in months(12) if month.month % 2]
        before = {bill.account_no: bill.this_reading_m3 for bill in city.gas_bills(odd[0])}
        for month in odd[1:]:
            for bill in city.gas_bills(month):
                assert bill.last_reading_m3 == before[bill.account_no]
                assert bill.this_reading_m3 - bill.last_reading_m3 == bill.usage_m3 >= 0
                before[bill.account_no] = bill.this_reading_m3

    def test_amounts_are_the_sum_of_their_parts_or_rounded_from_them(self, city):
        for water in city.water_bills(SEPTEMBER):
            assert water.amount_fen % 10 == 0
            assert -5 < water.amount_fen - water.supply_fen - water.drainage_fen <= 5
        for power in city.power_bills(SEPTEMBER):
            assert power.amount_fen == power.peak_fen + power.valley_fen
        for telecom in city.telecom_bills(SEPTEMBER):
            assert telecom.amount_fen == sum(item.amount_fen for item in telecom.items)

    def test_some_are_nothing_and_a_few_telecom_bills_are_credits(self, city):
        zero = sum(bill.amount_fen == 0 for bill in city.power_bills(SEPTEMBER))
        credited = sum(bill.amount_fen < 0 for bill in city.telecom_bills(SEPTEMBER))

        assert 45 <= zero <= 150
        assert 3 <= credited <= 30

    def test_some_water_is_metered_in_litres(self, city):
        exponents = {bill.usage_m3.as_tuple().exponent for bill in city.water_bills(SEPTEMBER)}

        assert exponents == {0, -3}

    def test_more_power_is_used_in_summer_than_in_spring(self, city):
        july, april = (
            sum(bill.amount_fen for bill in city.power_bills(month))
            for month in (date(2026, 7, 1), date(2026, 4, 1))
        )

        assert july > 3 * april // 2

    @pytest.mark.parametrize("name", BILLS)
    def test_corrections_and_cancellations_are_version_two_of_what_was_issued(self, city, name):
        issued = {bill.bill_no: bill for bill in getattr(city, name)(SEPTEMBER)}
        corrected = list(getattr(city, name)(SEPTEMBER, Edition.CORRECTED))
        cancelled = list(getattr(city, name)(SEPTEMBER, Edition.CANCELLED))

        assert corrected
        assert cancelled
        assert not {b.bill_no for b in corrected} & {b.bill_no for b in cancelled}
        for bill in corrected:
            assert (bill.version, bill.is_cancellation) == (2, False)
            assert bill.amount_fen <= issued[bill.bill_no].amount_fen
        for bill in cancelled:
            assert (bill.version, bill.is_cancellation) == (2, True)
            assert bill.amount_fen == issued[bill.bill_no].amount_fen

    @pytest.mark.parametrize("name", ["water_bills", "telecom_bills"])
    def test_reminders_are_papers_of_their_own_for_bills_that_owe(self, city, name):
        issued = {bill.bill_no: bill for bill in getattr(city, name)(SEPTEMBER)}
        reminders = list(getattr(city, name)(SEPTEMBER, Edition.REMINDED))

        assert reminders
        for paper in reminders:
            bill = issued[paper.original_no]
            assert bill.amount_fen > 0
            assert paper.bill_no not in issued
            assert paper.account_no == bill.account_no
            assert bill.due_on < paper.issued_on < paper.due_on

    def test_power_and_gas_send_no_reminders(self, city):
        assert list(city.power_bills(SEPTEMBER, Edition.REMINDED)) == []
        assert list(city.gas_bills(SEPTEMBER, Edition.REMINDED)) == []

    def test_some_telecom_bills_offer_an_early_amount(self, city):
        offered = [bill for bill in city.telecom_bills(SEPTEMBER) if bill.early_fen]

        assert 100 <= len(offered) <= 400
        assert all(0 < bill.early_fen < bill.amount_fen for bill in offered)


class TestTariffs:
    def test_a_real_bill(self):
        """27 m³ of water: 60.75 supply and 48.60 drainage, as a bill of September 2024 says."""
        assert water_charges(0, 27_000, is_large=False) == (6_075, 4_860)

    def test_water_by_litres_is_rounded_once(self):
        assert water_charges(0, 10_001, is_large=False) == (2_250, 1_800)
        assert water_charges(0, 10_003, is_large=False) == (2_251, 1_801)

    def test_tiers_count_from_the_beginning_of_the_year(self):
        assert gas_charge(300, 20, is_large=False) == 10 * 300 + 10 * 330
        assert gas_charge(300, 230, is_large=False) == 10 * 300 + 210 * 330 + 10 * 420
        assert gas_charge(600, 10, is_large=False) == 10 * 420
        assert gas_charge(300, 20, is_large=True) == 20 * 300

    def test_power_of_two_rates_over_a_tier(self):
        peak_fen, valley_fen = power_charges(3_100, peak_kwh=30, valley_kwh=10, is_large=False)

        assert peak_fen == 15 * Decimal("61.7") + 15 * Decimal("67.7") == 1_941
        assert valley_fen == 5 * Decimal("30.7") + 5 * Decimal("33.7") == 322

    @settings(max_examples=60, deadline=None)
    @given(
        before=st.integers(0, 6_000),
        usage=st.integers(0, 6_000),
        peak=st.integers(0, 1_000),
        is_large=st.booleans(),
    )
    def test_more_is_never_cheaper(self, before, usage, peak, is_large):
        peak_kwh = usage * peak // 1_000
        valley_kwh = usage - peak_kwh

        less = power_charges(before, peak_kwh=peak_kwh, valley_kwh=valley_kwh, is_large=is_large)
        more = power_charges(
            before, peak_kwh=peak_kwh + 1, valley_kwh=valley_kwh, is_large=is_large
        )

        assert sum(less) <= sum(more)
        assert gas_charge(before, usage, is_large=is_large) >= 300 * usage
