"""Bills that should have come: which month is awaited, who is noticed, what comes after all."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from billing import cycles
from billing.cycles import expected_by, last_expected, list_missing, mark_arrived, notice_missing
from billing.rules.terms import Cycle
from core.clock import add_months, day_bounds
from core.db import transaction
from providers.base import RecordKind
from tests.factories import a_record, at_once, bring_in, the_terms, topics, violations

SEPTEMBER, OCTOBER = date(2026, 9, 1), date(2026, 10, 1)
LAST_DAY = date(2026, 12, 10)  # 40 days after the end of October
MISSED = LAST_DAY + timedelta(days=1)
NOW = day_bounds(MISSED)[0]

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def _the_books_hold(city: str) -> Iterator[None]:
    yield
    assert violations() == []


def billed(month: date, *numbers: int, company: str = "water", **changes) -> int:
    """Bring in a month's bills of some accounts; the file's id."""
    rows = [a_record(f"{number:010d}", billing_month=month, **changes) for number in numbers]
    return bring_in(company, *rows, now=NOW).bill_file_id


def notice(today: date = MISSED, *, company: str = "water") -> int:
    with transaction() as session:
        return notice_missing(session, company, today=today, now=NOW)


def arrive(bill_file_id: int) -> int:
    with transaction() as session:
        return mark_arrived(session, bill_file_id, now=NOW)


def missing() -> list[tuple[str, date]]:
    """(account no, month) of every bill that is still missed."""
    with transaction() as session:
        rows = session.execute(text("SELECT id, account_no FROM utility_account"))
        accounts = {row.id: row.account_no for row in rows}
        found = list_missing(session, list(accounts))
        return [(accounts[one.account_id].lstrip("0"), one.billing_month) for one in found]


def told(topic: str) -> list[tuple[str, dict[str, str]]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT subject_id, facts FROM outbox_event WHERE topic = :topic ORDER BY id"),
            {"topic": topic},
        )
        return [(row.subject_id, row.facts) for row in rows]


class TestWhichMonth:
    @pytest.mark.parametrize(
        ("today", "month"),
        [
            (LAST_DAY, SEPTEMBER),
            (MISSED, OCTOBER),
            (date(2027, 1, 9), OCTOBER),
            (date(2027, 1, 10), date(2026, 11, 1)),
        ],
    )
    def test_a_month_is_awaited_until_its_last_day_is_over(self, today, month):
        assert last_expected(Cycle(), today) == month

    @pytest.mark.parametrize(
        ("anchor", "month"), [(1, SEPTEMBER), (9, SEPTEMBER), (2, OCTOBER), (12, OCTOBER)]
    )
    def test_a_month_that_is_not_billed_is_not_awaited(self, anchor, month):
        """Rule 22: water in odd months, gas in even ones."""
        assert last_expected(Cycle(months=2, anchor_month=anchor), MISSED) == month

    def test_a_year_s_cycle_awaits_last_year_s_month(self):
        yearly = Cycle(months=12, anchor_month=11)

        assert last_expected(yearly, MISSED) == date(2025, 11, 1)

    def test_february_ends_when_it_ends(self):
        assert expected_by(Cycle(expect_within_days=1), date(2028, 2, 1)) == date(2028, 3, 1)


class TestNoticing:
    def test_a_bill_that_has_not_come_is_noticed_once(self):
        """Rule 22."""
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1, 3)

        assert [notice(), notice(), notice(MISSED + timedelta(days=5))] == [1, 0, 0]

        assert missing() == [("2", OCTOBER)]
        ((subject, _),) = told("bill.missing")
        assert subject.endswith(".2026-10")

    def test_before_its_last_day_is_over_it_is_not_missed(self):
        billed(SEPTEMBER, 1, 2, 3)
        billed(add_months(SEPTEMBER, -1), 1, 2, 3)
        billed(OCTOBER, 1, 3)

        assert notice(LAST_DAY) == 0

    def test_no_bill_in_an_off_month_is_normal(self):
        """Rule 22."""
        the_terms("water", "[cycle]\nmonths = 2\nanchor_month = 9\n")
        billed(add_months(SEPTEMBER, -2), 1, 2, 3)
        billed(SEPTEMBER, 1, 2, 3)

        assert notice() == 0

    def test_a_cycle_of_two_months_looks_two_months_back(self):
        the_terms("water", "[cycle]\nmonths = 2\nanchor_month = 2\n")
        billed(add_months(OCTOBER, -2), 1, 2, 3)
        billed(OCTOBER, 1, 2)

        assert notice() == 1
        assert missing() == [("3", OCTOBER)]

    def test_a_cancelled_bill_has_come(self):
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1, 2, 3)
        billed(OCTOBER, 2, kind=RecordKind.CANCEL)

        assert notice() == 0

    def test_an_account_that_was_not_billed_the_cycle_before_is_not_missed(self):
        billed(add_months(SEPTEMBER, -1), 9)
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1, 2, 3, 4)

        assert notice() == 0

    def test_another_company_s_bill_is_no_bill_of_this_one(self):
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1, 2)
        billed(SEPTEMBER, 3, company="gas")
        billed(OCTOBER, 3, company="gas")

        assert [notice(), notice(company="gas")] == [1, 0]

    def test_a_company_that_never_billed_misses_nothing(self):
        assert notice() == 0
        assert topics() == []

    def test_noticed_by_eight_at_once_each_is_told_once(self):
        billed(SEPTEMBER, *range(20))
        billed(OCTOBER, *range(15))

        assert sum(at_once([notice] * 8)) == 5
        assert len(told("bill.missing")) == 5

    def test_many_are_noticed_call_by_call(self, monkeypatch):
        monkeypatch.setattr(cycles, "CHUNK_ACCOUNTS", 2)
        billed(SEPTEMBER, *range(20))
        billed(OCTOBER, *range(15))

        assert [notice() for _ in range(4)] == [2, 2, 1, 0]


class TestAWholeFile:
    def test_when_most_have_none_it_is_the_file_that_is_missing(self):
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1)

        assert notice() == 0

        assert missing() == []
        assert told("bill_file.missing") == [("water", {"month": "2026-10-01"})]
        assert told("bill.missing") == []

    def test_exactly_half_is_not_most(self):
        billed(SEPTEMBER, 1, 2, 3, 4)
        billed(OCTOBER, 1, 2)

        assert notice() == 2
        assert told("bill_file.missing") == []

    def test_it_is_told_once(self):
        billed(SEPTEMBER, 1, 2, 3)

        at_once([notice] * 8)
        notice(MISSED + timedelta(days=1))

        assert len(told("bill_file.missing")) == 1

    def test_once_the_file_is_here_those_left_out_are_noticed(self):
        billed(SEPTEMBER, 1, 2, 3)
        notice()
        billed(OCTOBER, 1, 3)

        assert notice() == 1
        assert missing() == [("2", OCTOBER)]


class TestArriving:
    def test_a_bill_that_comes_after_all_is_missed_no_more(self):
        billed(SEPTEMBER, 1, 2, 3, 4)
        billed(OCTOBER, 1, 3)
        notice()

        late = billed(OCTOBER, 2)

        assert [arrive(late), arrive(late)] == [1, 0]
        assert missing() == [("4", OCTOBER)]
        assert notice() == 0

    def test_a_bill_of_another_month_is_not_the_one(self):
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1, 3)
        notice()

        assert arrive(billed(add_months(SEPTEMBER, -1), 2)) == 0

    def test_another_company_s_file_brings_nothing(self):
        billed(SEPTEMBER, 1, 2, 3)
        billed(OCTOBER, 1, 3)
        notice()

        assert arrive(billed(OCTOBER, 2, company="gas")) == 0
        assert missing() == [("2", OCTOBER)]


class TestListing:
    def test_only_the_accounts_that_are_asked_for_and_the_newest_month_first(self):
        for month in (add_months(SEPTEMBER, -1), SEPTEMBER, OCTOBER):
            billed(month, 1, 2, 3)
        with transaction() as session:
            ids = (
                session.execute(text("SELECT id FROM utility_account ORDER BY id")).scalars().all()
            )
            for month in (SEPTEMBER, OCTOBER):
                session.execute(
                    text("INSERT INTO missing_bill VALUES (:id, :month, :month, :now, NULL)"),
                    [{"id": one, "month": month, "now": NOW} for one in ids[:2]],
                )
            found = list_missing(session, [ids[0]])

        assert [(one.account_id, one.billing_month) for one in found] == [
            (ids[0], OCTOBER), (ids[0], SEPTEMBER),
        ]  # fmt: skip
