"""Homes near by: counted once, coarse, and never fewer than twenty of them."""

import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from billing.usage.levels import (
    STEPS,
    count_month,
    forget_levels,
    levels_near,
    months_to_count,
)
from billing.usage.models import PlaceReach
from billing.usage.places import NO_DISTRICT, PATTERNS, SPELT, places_of
from core.db import transaction
from providers.base import RecordKind
from tests.conftest import NOW
from tests.factories import MONTH, a_record, bring_in
from workers.tasks.usage import count_usage

TODAY = NOW.date()
LANE = "上海市徐汇区梧桐里路100弄"


class TestPlaces:
    @pytest.mark.parametrize(
        ("address", "compound", "street", "district"),
        [
            (f"{LANE}8号602室", LANE, "上海市徐汇区梧桐里路", "上海市徐汇区"),
            ("汉口路1弄2号", "汉口路1弄", "汉口路", None),
            ("上海市浦东新区世纪大道１００号", None, "上海市浦东新区世纪大道", "上海市浦东新区"),
            ("上海市 静安区 幸福新村12号", "上海市静安区幸福新村", "上海市静安区幸福新村",
             "上海市静安区"),
            ("幸福小区3号楼", "幸福小区", None, None),
            ("崇明县竖新镇2号", None, None, "崇明县"),
            ("", None, None, None),
            ("Hankou Road 1", None, None, None),
        ],
    )  # fmt: skip
    def test_an_address_lies_where_it_says(self, address, compound, street, district):
        places = places_of(address)

        assert places.get(PlaceReach.COMPOUND) == compound
        assert places.get(PlaceReach.STREET) == street
        assert places.get(PlaceReach.DISTRICT) == district
        assert list(places)[-1] is PlaceReach.CITY

    @given(
        address=st.lists(
            st.sampled_from([*"上海市徐区县路街镇弄号小区新村苑里 　１1９92a", "花园"]),
            max_size=14,
        ).map("".join)
    )
    def test_postgresql_reads_it_alike(self, database_url, address):
        with transaction() as session:
            row = session.execute(
                text(
                    "SELECT substring(a FROM :compound), substring(a FROM :street),"
                    " CASE WHEN right(substring(a FROM :district), 2) <> ALL(:no_district)"
                    " THEN substring(a FROM :district) END"
                    " FROM translate(:address, :odd, :plain) AS a"
                ),
                {
                    "address": address, "odd": SPELT[0], "plain": SPELT[1],
                    "no_district": list(NO_DISTRICT),
                    **{reach.value: pattern for reach, pattern in PATTERNS.items()},
                },
            ).one()  # fmt: skip

        assert list(row) == [
            places_of(address).get(reach)
            for reach in (PlaceReach.COMPOUND, PlaceReach.STREET, PlaceReach.DISTRICT)
        ]


def homes(*usages: int, at: str = LANE, first: int = 1, **changes: object) -> None:
    """Homes of water of these usages, in a compound."""
    rows = [
        a_record(
            f"{number:010d}",
            **{
                "usage": Decimal(usage), "address": f"{at}{number}号",
                "period_to_on": MONTH + timedelta(days=29),
            } | changes,
        )
        for number, usage in enumerate(usages, start=first)
    ]  # fmt: skip
    bring_in("water", *rows)


def count(month: date = MONTH) -> int:
    with transaction() as session:
        return count_month(session, "water", month, now=NOW)


def near(address: str = f"{LANE}1号", unit: str = "m³"):
    with transaction() as session:
        return levels_near(session, "water", address, unit, [MONTH]).get(MONTH)


@pytest.mark.usefixtures("city")
class TestLevels:
    def test_the_nearest_twenty_homes_are_told_by_quartiles(self):
        homes(*range(1, 21))

        assert count() == 20
        level = near()

        assert (level.reach, level.place, level.homes) == (PlaceReach.COMPOUND, LANE, 20)
        assert (level.p25, level.p50, level.p75) == (5, 10, 15)

    def test_nineteen_neighbours_are_not_told_but_their_street_is(self):
        homes(*range(1, 20))
        homes(30, at="上海市徐汇区梧桐里路7弄", first=100)
        count()

        assert near().reach is PlaceReach.STREET
        assert near().homes == 20

    def test_further_away_it_is_the_district_and_at_last_the_city(self):
        homes(*range(1, 21), at="上海市徐汇区桂林路5弄")
        count()

        assert near().reach is PlaceReach.DISTRICT
        assert near("上海市静安区石门路1弄1号").reach is PlaceReach.CITY
        assert near("where?").reach is PlaceReach.CITY

    def test_of_nineteen_homes_in_all_nothing_is_told(self):
        homes(*range(1, 20))

        assert count() == 19
        assert near() is None

    def test_figures_are_coarse_and_of_thirty_days(self):
        homes(*[10] * 20, period_to_on=MONTH + timedelta(days=59), usage=Decimal("21.500"))
        count()

        assert near().p50 == 11

    def test_empty_homes_credits_and_cancelled_bills_are_none(self):
        homes(*[10] * 20)
        homes(0, first=50)
        homes(10, first=60, amount_fen=-100)
        homes(10, first=1, kind=RecordKind.CANCEL)

        assert count() == 19

    def test_two_meters_are_one_home(self):
        homes(*[10] * 20)
        homes(5, first=1, bill_no="B2")

        assert count() == 20

    def test_another_unit_is_another_count(self):
        homes(*[10] * 20)
        homes(*[300] * 20, first=100, usage_unit="kWh")
        count()

        assert near(unit="kWh").p50 == 300
        assert near().p50 == 10

    def test_counting_again_changes_nothing_and_takes_what_is_new(self):
        homes(*[10] * 20)
        first, again = count(), count()
        before = near()
        homes(*[30] * 30, first=100)
        count()

        assert first == again == 20
        assert before.p50 == 10
        assert near().p50 == 30

    def test_two_at_once_count_once(self):
        homes(*[10] * 20)
        both = [threading.Thread(target=count) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()

        assert near().homes == 20

    @given(usages=st.lists(st.integers(1, 40), min_size=20, max_size=24))
    def test_a_quarter_lies_below_the_first_and_above_the_last(self, usages):
        with transaction() as session:
            session.execute(text("UPDATE bill SET cancelled_at = now() WHERE paid_fen = 0"))
        homes(*usages, first=TestLevels.used, bill_no="B")
        TestLevels.used += len(usages)
        count()
        level, ordered = near(), sorted(usages)

        assert level.homes == len(usages)
        assert level.p25 == ordered[-(-len(usages) // 4) - 1]
        assert level.p50 == ordered[-(-len(usages) // 2) - 1]
        assert level.p75 == ordered[-(-3 * len(usages) // 4) - 1]

    used = 1_000


@pytest.mark.usefixtures("city")
class TestWhen:
    def test_at_first_two_years_are_due_the_newest_first(self, session):
        due = months_to_count(session, ["water", "gas"], today=TODAY, now=NOW)

        assert due[:3] == [
            ("gas", date(2026, 11, 1)), ("water", date(2026, 11, 1)), ("gas", date(2026, 10, 1)),
        ]  # fmt: skip
        assert due[-1] == ("water", date(2024, 11, 1))
        assert len(due) == 50

    @pytest.mark.parametrize(
        ("month", "homes_counted", "days"),
        [(MONTH, 20, 1), (date(2026, 5, 1), 20, 30), (date(2026, 5, 1), 0, 7)],
    )
    def test_then_the_last_months_daily_and_the_others_seldom(
        self, session, month, homes_counted, days
    ):
        session.execute(
            text("INSERT INTO usage_count VALUES ('water', :month, :homes, :now)"),
            {"month": month, "homes": homes_counted, "now": NOW},
        )

        def is_due(after: timedelta) -> bool:
            due = months_to_count(session, ["water"], today=TODAY, now=NOW + after)
            return ("water", month) in due

        assert not is_due(timedelta(days=days) - timedelta(hours=1))
        assert is_due(timedelta(days=days) - timedelta(minutes=5))

    def test_what_is_too_old_is_forgotten(self, session):
        for month in (date(2024, 11, 1), date(2024, 10, 1)):
            session.execute(
                text("INSERT INTO usage_count VALUES ('water', :month, 0, :now)"),
                {"month": month, "now": NOW},
            )

        forget_levels(session, today=TODAY)

        kept = session.execute(text("SELECT billing_month FROM usage_count")).scalars().all()
        assert kept == [date(2024, 11, 1)]

    def test_the_job_counts_every_company_and_month(self):
        homes(*[10] * 20)

        count_usage(str(TODAY))
        count_usage(str(TODAY))

        assert near().p50 == 10

    def test_the_table_takes_no_fewer_than_twenty(self, session):
        with pytest.raises(Exception, match="nobody_alone"):
            session.execute(
                text(
                    "INSERT INTO usage_level VALUES"
                    " ('water', '2026-10-01', 'city', '', 'm³', 19, 1, 2, 3)"
                )
            )

    def test_every_unit_that_is_counted_has_a_step(self):
        assert set(STEPS) == {"m³", "kWh"}
