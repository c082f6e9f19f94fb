"""When a bill is due and on which day a payment counts, on China's real days of 2026."""

from calendar import monthrange
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules import workdays
from billing.rules.calendars import (
    add_working_days,
    check_calendar,
    counts_on,
    is_working_day,
    known_through,
    last_working_day_of_month,
    next_working_day,
    pay_by,
)
from billing.rules.terms import CutOff, Due, Roll, Terms, parse_terms
from core.clock import billing_date
from core.errors import Invalid

SHANGHAI = ZoneInfo("Asia/Shanghai")
JOMPAY = Terms(cut_off=CutOff(at=time(17), working_days=True))
days = st.dates(date(2000, 1, 1), date(2060, 12, 31))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2060, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def at(text: str) -> datetime:
    """A moment of the city's clocks, in UTC."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=SHANGHAI).astimezone(UTC)


class TestChinasDays:
    """Rule 19: a weekend is not what a calendar on the wall says."""

    @pytest.mark.parametrize(
        "worked", ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"], ids=lambda one: one
    )
    def test_a_make_up_weekend_day_is_worked(self, worked):
        assert day(worked).weekday() >= 5
        assert is_working_day("CN", day(worked))

    @pytest.mark.parametrize(
        "off",
        ["01-01", "01-02", "02-16", "02-17", "02-20", "02-23", "04-06", "05-05", "10-01", "10-07"],
    )
    def test_a_bridged_weekday_is_off(self, off):
        assert day(off).weekday() < 5
        assert not is_working_day("CN", day(off))

    def test_an_ordinary_weekend_is_off_and_an_ordinary_week_is_not(self):
        week = [day("11-16") + timedelta(days=at) for at in range(7)]

        assert [is_working_day("CN", one) for one in week] == [True] * 5 + [False] * 2

    @pytest.mark.parametrize(
        ("from_on", "to_on"),
        [
            ("02-13", "02-13"),  # Friday
            ("02-14", "02-14"),  # a Saturday that is worked
            ("02-15", "02-24"),  # Spring Festival, nine days
            ("05-01", "05-06"),
            ("10-01", "10-08"),  # National Day
            ("10-10", "10-10"),
            ("10-11", "10-12"),
            ("11-21", "11-23"),
        ],
    )
    def test_the_next_working_day(self, from_on, to_on):
        assert next_working_day("CN", day(from_on)) == day(to_on)

    def test_a_year_ends_and_the_next_begins(self):
        assert add_working_days("CN", day("12-31"), 0) == day("12-31")
        assert add_working_days("CN", day("12-31"), 1) == date(2027, 1, 4)
        assert next_working_day("CN", date(2027, 1, 1)) == date(2027, 1, 4)

    def test_working_days_are_counted_over_a_holiday(self):
        assert add_working_days("CN", day("02-13"), 2) == day("02-24")
        assert add_working_days("CN", day("09-30"), 3) == day("10-10")

    @pytest.mark.parametrize(
        ("of", "last"), [("01-10", "01-30"), ("02-01", "02-28"), ("05-31", "05-29"),
                         ("10-31", "10-30"), ("12-31", "12-31")],
    )  # fmt: skip
    def test_the_last_working_day_of_a_month(self, of, last):
        assert last_working_day_of_month("CN", day(of)) == day(last)

    def test_the_last_day_there_is_has_an_answer(self):
        assert next_working_day("CN", date(9999, 12, 31)) == date(9999, 12, 31)
        assert last_working_day_of_month("CN", date(9999, 12, 1)) == date(9999, 12, 31)

    def test_other_countries_have_other_weekends(self):
        assert not is_working_day("SA", date(2026, 11, 20))  # a Friday
        assert is_working_day("SA", date(2026, 11, 22))


class TestWhatIsKnown:
    def test_the_swaps_of_china_are_known_through_the_year_of_the_last_published_list(self):
        last = known_through("CN")

        known = holidays.country_holidays("CN", years=range(2000, 2101))
        assert last >= date(2026, 12, 31)
        assert last == date(max(known.weekend_workdays).year, 12, 31)

    def test_where_nothing_is_swapped_the_law_says_it_for_long(self):
        assert known_through("DE") >= date(2050, 12, 31)

    @pytest.mark.parametrize("name", ["cn", "XX", "China", "CHN", "", "中国", "C\n", "../CN"])
    def test_a_calendar_nobody_has_is_told(self, name):
        assert "CN" in (check_calendar(name) or "")

    def test_a_calendar_there_is_has_no_complaint(self):
        assert check_calendar("CN") is None

    def test_terms_name_the_key_and_the_remedy(self):
        with pytest.raises(Invalid, match=r"due\.calendar: .*'ZZ'.*CN"):
            parse_terms('[due]\ncalendar = "ZZ"')

    @pytest.mark.parametrize("hour", ["17", '"17:00"', "2026-01-01T17:00:00", "2026-01-01"])
    def test_an_hour_is_an_hour_and_no_count_of_seconds(self, hour):
        with pytest.raises(Invalid, match=r"cut_off.at: .*17:00:00"):
            parse_terms(f"cut_off.at = {hour}")

    def test_threads_that_ask_first_all_hear_the_same(self):
        """A calendar that is filled in while it is read would tell some that a holiday is work."""
        workdays._year.cache_clear()

        with ThreadPoolExecutor(16) as pool:
            told = set(pool.map(lambda _: is_working_day("CN", day("10-07")), range(64)))

        assert told == {False}


class TestPayBy:
    """Rule 19: where a due date goes that falls on a day off."""

    @pytest.mark.parametrize(
        ("roll", "expected"),
        [
            (Roll.NONE, "10-03"),
            (Roll.NEXT_WORKING_DAY, "10-08"),
            (Roll.LAST_WORKING_DAY_OF_MONTH, "10-30"),
        ],
    )
    def test_a_due_date_in_the_national_holiday(self, roll, expected):
        assert pay_by(day("10-03"), Due(roll=roll)) == day(expected)

    def test_the_calendar_is_the_companys(self):
        due = Due(calendar="DE", roll=Roll.NEXT_WORKING_DAY)

        assert pay_by(day("10-03"), due) == day("10-05")

    @given(days, st.sampled_from([Roll.NONE, Roll.NEXT_WORKING_DAY]))
    def test_never_before_the_day_the_bill_says(self, due_on, roll):
        assert pay_by(due_on, Due(roll=roll)) >= due_on

    @given(days, st.sampled_from(Roll))
    def test_rolling_twice_is_rolling_once(self, due_on, roll):
        due = Due(roll=roll)

        assert pay_by(pay_by(due_on, due), due) == pay_by(due_on, due)

    @given(days, st.sampled_from([Roll.NEXT_WORKING_DAY, Roll.LAST_WORKING_DAY_OF_MONTH]))
    def test_what_is_rolled_is_a_working_day(self, due_on, roll):
        assert is_working_day("CN", pay_by(due_on, Due(roll=roll)))

    @given(days)
    def test_the_last_working_day_is_of_that_month_and_none_follows(self, due_on):
        last = last_working_day_of_month("CN", due_on)

        assert (last.year, last.month) == (due_on.year, due_on.month)
        rest = range(last.day + 1, monthrange(last.year, last.month)[1] + 1)
        assert not any(is_working_day("CN", last.replace(day=one)) for one in rest)

    @given(days, st.integers(0, 30), st.integers(0, 30))
    def test_working_days_add_up(self, from_on, first, second):
        start = next_working_day("CN", from_on)

        both = add_working_days("CN", start, first + second)
        assert both == add_working_days("CN", add_working_days("CN", start, first), second)


class TestCountsOn:
    """Rule 21: the effective date, as JomPAY reckons it."""

    @pytest.mark.parametrize(
        ("moment", "expected"),
        [
            ("11-20 16:59:59.999999", "11-20"),  # Friday
            ("11-20 17:00:00", "11-23"),
            ("11-21 09:00:00", "11-23"),  # Saturday
            ("11-22 23:00:00", "11-23"),
            ("11-23 00:00:00", "11-23"),
            ("09-30 17:00:00", "10-08"),
            ("10-10 16:00:00", "10-10"),  # a Saturday that is worked
            ("10-10 18:00:00", "10-12"),
            ("02-14 16:00:00", "02-14"),
        ],
    )
    def test_before_five_on_a_banking_day_else_the_next_one(self, moment, expected):
        assert counts_on(at(moment), JOMPAY) == day(expected)

    def test_after_the_last_cut_off_of_a_year(self):
        assert counts_on(at("12-31 17:00:00"), JOMPAY) == date(2027, 1, 4)

    def test_a_cut_off_on_every_day(self):
        terms = Terms(cut_off=CutOff(at=time(17)))

        assert counts_on(at("11-21 16:59:00"), terms) == day("11-21")
        assert counts_on(at("11-21 17:00:00"), terms) == day("11-22")

    def test_working_days_without_a_cut_off(self):
        terms = Terms(cut_off=CutOff(working_days=True))

        assert counts_on(at("11-20 23:59:00"), terms) == day("11-20")
        assert counts_on(at("11-21 00:00:00"), terms) == day("11-23")

    def test_late_in_the_evening_by_utc_is_the_citys_next_day(self):
        """Rule 23."""
        moment = datetime(2026, 11, 19, 16, 30, tzinfo=UTC)

        assert counts_on(moment, Terms()) == day("11-20")
        assert counts_on(moment.astimezone(timezone(timedelta(hours=-8))), Terms()) == day("11-20")

    @given(moments)
    def test_without_a_cut_off_every_moment_counts_on_its_own_day(self, moment):
        assert counts_on(moment, Terms()) == billing_date(moment)

    @given(moments, st.times(), st.booleans())
    def test_never_before_the_day_of_the_payment(self, moment, hour, working_days):
        terms = Terms(cut_off=CutOff(at=hour, working_days=working_days))
        counted = counts_on(moment, terms)

        assert counted >= billing_date(moment)
        assert not working_days or is_working_day("CN", counted)

    @given(moments, st.timedeltas(timedelta(0), timedelta(days=20)))
    def test_who_pays_later_never_counts_earlier(self, moment, later):
        assert counts_on(moment, JOMPAY) <= counts_on(moment + later, JOMPAY)


class TestOverdue:
    """Rules 19 and 20: in time is what counts on the last day, by when the resident paid."""

    @staticmethod
    def late(due_on: date, paid_at: datetime, terms: Terms) -> bool:
        return counts_on(paid_at, terms) > pay_by(due_on, terms.due)

    def test_the_whole_last_day_is_in_time_and_its_last_second_too(self):
        assert not self.late(day("11-20"), at("11-20 23:59:59.999999"), Terms())
        assert self.late(day("11-20"), at("11-21 00:00:00"), Terms())

    def test_a_day_off_gives_time_until_the_next_working_day(self):
        terms = Terms(due=Due(roll=Roll.NEXT_WORKING_DAY))

        assert not self.late(day("10-01"), at("10-08 23:00:00"), terms)
        assert self.late(day("10-01"), at("10-09 00:00:00"), terms)

    def test_a_payment_after_the_cut_off_of_the_last_day_counts_too_late(self):
        assert not self.late(day("11-20"), at("11-20 16:59:59"), JOMPAY)
        assert self.late(day("11-20"), at("11-20 17:00:00"), JOMPAY)
        assert not self.late(day("11-20"), at("11-19 17:00:00"), JOMPAY)
