"""Jobs about bills as time passes: the right day, every company, and again changes nothing."""

import io
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text

from billing.files.bill_files import receive
from core.clock import BILLING_ZONE, utc_now
from core.db import transaction
from providers.base import LineItem
from tests.factories import MONTH, a_home, a_record, bring_in, the_bill, the_terms, topics
from tests.providers.files import WATER
from tests.workers.conftest import a_job, the_job
from workers.jobs import NotYet, run
from workers.relay import relay
from workers.scheduler import schedule
from workers.tasks import bills

DUE = date(2026, 11, 30)
INTEREST = "[late_fee]\ninterest_ppm_per_day = 500\n"

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Say what time it is in Shanghai."""

    def stands_at(day: date, hour: int, minute: int = 0) -> None:
        moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=BILLING_ZONE)
        monkeypatch.setattr(bills, "utc_now", lambda: moment)

    return stands_at


def a_whole_home(*amounts_fen: int):
    return a_home(*amounts_fen, items=(LineItem("基本费", None, "", amounts_fen[0]),))


class TestLateFees:
    def test_yesterday_is_counted_for_every_company(self, clock):
        the_terms("water", INTEREST)
        the_terms("power", INTEREST)
        home = a_whole_home(100_000, 100_000)
        clock(DUE + timedelta(days=2), 2)

        bills.late_fees(str(DUE + timedelta(days=2)))

        assert [the_bill(ref).adjusted_fen for ref in home.refs] == [50, 50]

    def test_before_two_o_clock_yesterday_s_payments_may_still_be_on_their_way(self, clock):
        """Rule 20."""
        the_terms("water", INTEREST)
        home = a_whole_home(100_000)
        clock(DUE + timedelta(days=2), 1, 59)

        with pytest.raises(NotYet) as later:
            bills.late_fees(str(DUE + timedelta(days=2)))

        assert later.value.after_seconds == 61
        assert the_bill(home.refs[0]).adjusted_fen == 0

    def test_a_job_that_comes_days_late_counts_its_own_day(self, clock):
        the_terms("water", INTEREST)
        home = a_whole_home(100_000)
        clock(DUE + timedelta(days=9), 12)

        bills.late_fees(str(DUE + timedelta(days=3)))

        assert the_bill(home.refs[0]).adjusted_fen == 100

    def test_again_it_changes_nothing(self, clock):
        the_terms("water", INTEREST)
        a_whole_home(100_000)
        clock(DUE + timedelta(days=2), 12)

        for _ in range(2):
            bills.late_fees(str(DUE + timedelta(days=2)))

        assert topics(like="late_fees.%") == ["late_fees.assessed"]


class TestNoticing:
    def test_every_missing_bill_is_noticed_however_many_calls_it_takes(self, monkeypatch):
        monkeypatch.setattr("billing.cycles.CHUNK_ACCOUNTS", 2)
        for company in ("water", "gas"):
            numbers = [f"{at:010d}" for at in range(9)]
            bring_in(company, *(a_record(one, billing_month=date(2026, 9, 1)) for one in numbers))
            bring_in(company, *(a_record(one) for one in numbers[:6]))

        bills.notice_missing("2026-12-11")
        bills.notice_missing("2026-12-11")

        assert topics(like="bill.missing") == ["bill.missing"] * 6


class TestAfterAFile:
    def jobs_after(self, bill_file_id: int) -> dict[str, int]:
        """Relay what was announced; give back the jobs that follow the file, by name."""
        with transaction() as session:
            relay(session, now=utc_now())
            rows = session.execute(
                text("SELECT id, task FROM job WHERE subject_id = :id"), {"id": str(bill_file_id)}
            )
            return {row.task: row.id for row in rows}

    def test_its_credits_are_given_and_its_late_comers_are_missed_no_more(self):
        bring_in("water", a_record("1", amount_fen=5_000, items=()))
        with transaction() as session:
            session.execute(
                text("INSERT INTO missing_bill SELECT id, :month, :month, :now, NULL "
                     "FROM utility_account"), {"month": MONTH, "now": utc_now()},
            )  # fmt: skip
        done = bring_in("water", a_record("1", "B2", amount_fen=-2_000, items=()))

        jobs = self.jobs_after(done.bill_file_id)
        ran = [run(jobs[task]) for task in ("bills.consume_credits", "bills.mark_arrived")]

        assert ran == [True, True]
        assert {the_job(job_id).state for job_id in jobs.values()} >= {"done"}
        with transaction() as session:
            left = session.execute(
                text(
                    "SELECT sum(credited_fen), count(*) FILTER (WHERE credited_fen <> 0) FROM bill"
                )
            ).one()
            arrived = session.execute(text("SELECT arrived_at IS NOT NULL FROM missing_bill"))
            assert (tuple(left), arrived.scalar_one()) == ((0, 2), True)


class TestSchedule:
    def test_each_is_asked_for_once_a_day_with_the_city_s_day(self):
        now = datetime(2026, 12, 1, 18, 0, tzinfo=BILLING_ZONE)
        for minutes in (0, 1, 30):
            schedule(now=now + timedelta(minutes=minutes))

        with transaction() as session:
            found = session.execute(
                text("SELECT task, subject_id FROM job WHERE task LIKE 'bills.%' ORDER BY task")
            ).all()

        assert [tuple(one) for one in found] == [
            ("bills.count_usage", "2026-12-01"), ("bills.late_fees", "2026-12-01"),
            ("bills.notice_missing", "2026-12-01"), ("bills.remind", "2026-12-01"),
            ("bills.state_month", "2026-12-01"),
        ]  # fmt: skip

    def test_a_job_run_as_a_worker_runs_it_ends_done(self):
        job_id = a_job("bills.late_fees", "2026-11-01")

        run(job_id)

        assert the_job(job_id).state == "done"


def water_file(**changes: str) -> bytes:
    row = WATER.row | changes
    return b"\n".join([WATER.header, WATER.line(row), WATER.trailer(1, WATER.total([row])), b""])


def sent(content: bytes, *, via: str = "api", ago: timedelta = timedelta()) -> str:
    with transaction() as session:
        kept = receive(
            session, "water", io.BytesIO(content), file_name="w.txt", received_via=via,
            now=utc_now() - ago,
        )  # fmt: skip
    return str(kept.id)


CANCELLED = {"状态": "C"}


class TestFilesInTurn:
    def test_a_cancellation_waits_for_the_file_before_it_that_has_its_bill(self):
        issued = sent(water_file())
        cancelled = sent(water_file(**CANCELLED).replace(b"|42|", b"|43|"))

        with pytest.raises(NotYet):
            bills.import_file(cancelled)
        bills.import_file(issued)
        bills.import_file(cancelled)

        with transaction() as session:
            assert session.execute(text("SELECT count(cancelled_at) FROM bill")).scalar_one() == 1

    @pytest.mark.parametrize(
        ("via", "ago"), [("cli", timedelta()), ("api", timedelta(hours=2))]
    )  # fmt: skip
    def test_one_that_nobody_is_about_to_import_holds_up_no_other(self, via, ago):
        sent(water_file(), via=via, ago=ago)
        later = sent(water_file(账单号="W-2").replace(b"|42|", b"|43|"))

        bills.import_file(later)

        with transaction() as session:
            assert session.execute(text("SELECT bill_no FROM bill")).scalars().all() == ["W-2"]

    def test_a_refused_one_holds_up_no_other(self):
        bills.import_file(sent(b"H|WATER|1\nno bill file\n"))

        bills.import_file(sent(water_file()))

        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill")).scalar_one() == 1
