"""A bill that came is told once to all who may see it, and only if it can still matter."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlmodel import Session

from billing.models import MemberRole
from core import db
from core.db import transaction
from notifications import bill_notices
from payments.gateways.base import GatewayStatus
from tests.conftest import NOW
from tests.factories import (
    COMPANIES,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    a_record,
    at_once,
    book,
    bring_in,
    join,
    the_bill,
)
from tests.notifications.events import (
    DAY,
    URL,
    events,
    find_ready,
    one_by_one,
    tell_all,
    tell_some,
    told,
)
from workers import tasks
from workers.jobs import JOBS
from workers.relay import FOLLOWS

pytestmark = pytest.mark.usefixtures("city")
REGISTERED = tasks
TODAY = date(2026, 11, 20)


class TestReady:
    def test_says_whose_how_much_and_until_when(self):
        home = a_home(due_on=date(2026, 12, 11))
        one_by_one()

        find_ready(home.refs[0])
        tell_all()

        (notice,) = told()
        assert notice.event == "bill.ready"
        assert "¥86.50" in notice.title
        assert "Friday 11 December 2026" in notice.body
        assert home.account_nos[0] not in notice.body
        assert home.account_nos[0][-4:] in notice.body
        assert notice.link == f"{URL}/bills/{home.refs[0][0]}.{home.refs[0][1]}"

    def test_is_told_to_everybody_of_the_household_whatever_they_may(self):
        home = a_home()
        for role in (MemberRole.SEE, MemberRole.PAY):
            join(home, a_person(), role)
        a_person()  # somebody else
        one_by_one()

        find_ready(home.refs[0])
        tell_all()

        assert len({one.person_id for one in told()}) == 3

    def test_the_same_file_ten_times_by_twenty_is_one_notice_for_account_bill_and_channel(self):
        home = a_home(8_650, 4_300)
        join(home, a_person(), MemberRole.SEE)
        one_by_one()

        def replay() -> None:
            for _ in range(10):
                for ref in home.refs:
                    find_ready(ref)
                tell_some()

        failures = [one for one in at_once([replay] * 20) if one is not None]
        tell_all()

        with transaction() as session:
            counts = session.execute(
                text(
                    "SELECT channel, count(*), count(DISTINCT (person_id, subject_ref)) "
                    "FROM notice WHERE event = 'bill.ready' GROUP BY channel"
                )
            ).all()
        assert failures == []
        assert {"inbox", "email"} <= {channel for channel, *_ in counts}
        assert {(told, bills) for _, told, bills in counts} == {(4, 4)}  # two people, two bills

    @pytest.mark.parametrize(
        "wish",
        ["paid", "being paid", "cancelled", "nothing"],
    )
    def test_what_is_not_to_be_paid_is_not_told(self, wish):
        home = a_home(0 if wish == "nothing" else 8_650)
        one_by_one()
        if wish == "paid":
            a_paid_payment(home)
        if wish == "being paid":
            book(a_payment(home), GatewayStatus.OPEN)
        if wish == "cancelled":
            home.cancel(0)

        find_ready(home.refs[0])
        tell_all()

        assert events() == []

    def test_a_bill_nobody_with_us_has_costs_nothing(self):
        with transaction() as session:
            file_id = bring_in("water", a_record("5550001234")).bill_file_id
            assert bill_notices.find_ready(session, file_id, now=NOW) == 0

    def test_of_a_companys_old_bills_only_those_that_still_matter_are_told(self):
        home = a_home(due_on=TODAY + 10 * DAY)
        number = home.account_nos[0]
        history = [
            a_record(
                number, bill_no=f"OLD{back}", billing_month=date(2025, back, 1),
                issued_on=date(2025, back, 28), due_on=date(2025, back, 28) + 20 * DAY,
            )
            for back in range(1, 12)
        ]  # fmt: skip
        fresh = a_record(
            number, bill_no="LATE", due_on=TODAY - 10 * DAY, issued_on=TODAY - 30 * DAY
        )
        stale = a_record(number, bill_no="STALE", due_on=TODAY - 17 * DAY,
                         issued_on=TODAY - 30 * DAY)  # fmt: skip
        file_id = bring_in(home.companies[0], *history, fresh, stale).bill_file_id
        one_by_one()

        with transaction() as session:
            found = bill_notices.find_ready(session, file_id, now=NOW)
        tell_all()

        assert found == 2  # whose last day may have been moved; both are looked at again
        assert len(told()) == 1

    def test_a_corrected_bill_is_told_again_with_its_new_amount(self):
        home = a_home()
        one_by_one()
        find_ready(home.refs[0])
        tell_all()
        home.correct(0, version=2, amount_fen=9_900)

        find_ready(home.refs[0])
        tell_all()

        assert [("¥99.00" in one.title) for one in told()] == [False, True]

    def test_what_was_corrected_before_its_turn_is_told_as_it_is_now(self):
        home = a_home()
        one_by_one()
        find_ready(home.refs[0])
        home.correct(0, version=2, amount_fen=9_900)
        find_ready(home.refs[0])

        tell_all()

        assert ["¥99.00" in one.title for one in told()] == [True]

    def test_a_correction_that_waited_for_a_payment_is_told_once_it_lands(self):
        home = a_home()
        payment = a_payment(home)
        home.correct(0, version=2, amount_fen=9_900)
        book(payment, GatewayStatus.REFUSED)
        one_by_one()
        with transaction() as session:
            correction_id = session.execute(text("SELECT id FROM bill_correction")).scalar_one()

            assert bill_notices.find_corrected(session, correction_id, now=NOW) == 1

        tell_all()
        assert the_bill(home.refs[0]).version == 2
        assert ["¥99.00" in one.title for one in told()] == [True]

    def test_several_companies_bills_come_as_one_notice(self):
        home = a_home(*[8_650] * len(COMPANIES))
        for ref in home.refs:
            find_ready(ref)

        tell_all()

        assert events() == ["bill.ready.many"]

    def test_whoever_is_killed_between_two_batches_leaves_the_rest_to_others(self):
        home = a_home(*[8_650] * 7)
        one_by_one()
        for ref in home.refs:
            find_ready(ref)
        assert tell_some(limit=3) == 3

        with Session(db.engine()) as lost:  # the machine is gone before it commits
            bill_notices.tell_some(lost, public_url=URL, now=NOW, limit=3)
            lost.rollback()

        assert len(told()) == 3
        tell_all(limit=3)
        assert len(told()) == 7

    def test_a_million_bills_are_shared_out(self):
        with transaction() as session:
            bill_notices.share_out(session, 12_000, now=NOW)
            shares = session.execute(
                text("SELECT count(*) FROM outbox_event WHERE topic = 'bill_news.found'")
            )

            assert shares.scalar_one() == 3


class TestMissing:
    def test_is_told_once_and_not_once_it_came(self):
        home = a_home()
        one_by_one()
        subject = f"{home.refs[0][0]}.2026-11"
        with transaction() as session:
            session.execute(
                text(
                    "INSERT INTO missing_bill (account_id, billing_month, expected_by_on, "
                    "noticed_at) VALUES (:id, '2026-11-01', '2026-11-19', :now)"
                ),
                {"id": home.refs[0][0], "now": NOW},
            )
        for _ in range(2):
            with transaction() as session:
                bill_notices.tell_missing(session, subject, public_url=URL, now=NOW)

        (notice,) = told()
        assert (notice.event, "November 2026" in notice.body) == ("bill.missing", True)

        late = a_home()
        subject = f"{late.refs[0][0]}.2026-11"
        with transaction() as session:
            session.execute(
                text(
                    "INSERT INTO missing_bill (account_id, billing_month, expected_by_on, "
                    "noticed_at, arrived_at) VALUES (:id, '2026-11-01', '2026-11-19', :now, :now)"
                ),
                {"id": late.refs[0][0], "now": NOW},
            )
            bill_notices.tell_missing(session, subject, public_url=URL, now=NOW)
        assert len(told()) == 1


class TestUsage:
    @pytest.fixture
    def home(self):
        """A home that used eight cubic metres a month for half a year."""
        home = a_home(usage_unit="m³")
        earlier = [
            a_record(
                home.account_nos[0], bill_no=f"M{month}", billing_month=date(2026, month, 1),
                issued_on=date(2026, month, 28), due_on=date(2026, month, 28) + 20 * DAY,
            )
            for month in range(4, 10)
        ]  # fmt: skip
        bring_in("water", *earlier)
        one_by_one()
        return home

    def test_far_more_than_usual_is_told_once_with_the_reason(self, home):
        home.correct(0, version=2, usage=Decimal(20))

        for _ in range(2):
            find_ready(home.refs[0])
            tell_all()

        (notice,) = told(like="usage.%")
        assert "20 m³" in notice.body
        assert "8 m³ (the last four bills)" in notice.body
        assert "150%" in notice.title

    def test_the_usual_usage_is_not_told(self, home):
        find_ready(home.refs[0])
        tell_all()

        assert told(like="usage.%") == []


class TestWiring:
    @pytest.mark.parametrize(
        ("topic", "task"),
        [
            ("bill_file.imported", "bills.find_news"),
            ("bill_correction.applied", "bills.find_corrected"),
            ("bill_news.found", "bills.tell_news"),
            ("bill.missing", "bills.tell_missing"),
        ],
    )
    def test_each_event_is_followed(self, topic, task):
        assert task in FOLLOWS[topic]

    def test_jobs_find_and_tell(self):
        home = a_home(now=NOW)
        one_by_one()

        JOBS["bills.find_news"](str(the_bill(home.refs[0]).bill_file_id))
        JOBS["bills.tell_news"]("0")

        assert len(told()) in {0, 1}  # the job reads the clock; the bill may be stale by then
