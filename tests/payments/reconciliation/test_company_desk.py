"""Companies' lists as staff look at them: here, awaited, late; what a list says and could not."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import Conflict, NotFound
from payments.reconciliation.company import arrivals as company_arrivals
from payments.reconciliation.company import desk as company_desk
from payments.reconciliation.company import lists as company
from payments.reconciliation.company.desk import DayState, Wanted
from tests.factories import NOW, at_once
from tests.payments.reconciliation.company_days import DAY, on, row_of, run, the_day, written_off
from tests.payments.reconciliation.test_company_arrivals import DUE, Listing, expect
from tests.providers.confirmation_writers import BACK, Told

pytestmark = pytest.mark.usefixtures("city")


def days(*, now=NOW, after=None, limit: int = 50, **wanted: object):
    with transaction() as session:
        return company_desk.find_days(session, Wanted(**wanted), now=now, after=after, limit=limit)


def jobs() -> list[tuple[str, object]]:
    with transaction() as session:
        return [
            tuple(row)
            for row in session.execute(
                text("SELECT state, due_at FROM job WHERE task = 'payments.fetch_confirmation'")
            )
        ]


def events() -> int:
    with transaction() as session:
        return session.execute(
            text("SELECT count(*) FROM outbox_event WHERE topic = 'confirmation_file.expected'")
        ).scalar_one()


def a_job(state: str, due_at) -> None:
    with transaction() as session:
        session.execute(
            text("UPDATE outbox_event SET relayed_at = :now WHERE relayed_at IS NULL"),
            {"now": NOW},
        )
        session.execute(
            text("""
                INSERT INTO job (task, subject_id, state, attempts, due_at, lease_until)
                VALUES ('payments.fetch_confirmation', :subject, CAST(:state AS text), 1, :due_at,
                        CASE WHEN CAST(:state AS text) = 'running'
                             THEN CAST(:due_at AS timestamptz) END)
            """),
            {"subject": f"water {DAY}", "state": state, "due_at": due_at},
        )


def ask_now(*, now=DUE) -> None:
    with transaction() as session:
        company_arrivals.ask_now(session, "water", DAY, now=now)


class TestDays:
    def test_each_day_says_how_it_stands_and_can_be_looked_for(self):
        item = written_off()
        expect(water=Listing(), now=on(3))
        run([row_of(item)])
        run([row_of(item, day=1, number="W2611000000000099-01")], day=1)
        later = DUE + timedelta(days=2, hours=4)

        found = {one.day: one.state for one in days(now=later)}

        assert found == {
            the_day(0): DayState.BALANCED, the_day(1): DayState.BREAKS, the_day(2): DayState.LATE,
        }  # fmt: skip
        for state in (DayState.BALANCED, DayState.BREAKS, DayState.LATE):
            (one,) = days(now=later, state=state)
            assert found[one.day] is state
        assert days(now=later, state=DayState.WAITING) == []
        assert [one.state for one in days(now=DUE, state=DayState.WAITING)] == [DayState.WAITING]
        assert days(source="gas") == []

    def test_what_is_ours_and_theirs_stands_with_it(self):
        item = written_off(8_650)
        run([row_of(item)])

        (one,) = days()

        assert (one.matched, one.open_breaks, one.rejected) == (1, 0, 0)
        assert (one.our_count, one.their_count) == (1, 1)
        assert (one.our_total_fen, one.their_total_fen) == (8_650, 8_650)

    def test_pages_hold_each_once_newest_first(self):
        written_off()
        expect(water=Listing(), now=on(7))

        shown, after = [], None
        while page := days(after=after, limit=2):
            shown += [one.day for one in page]
            after = (page[-1].day, page[-1].source)

        assert shown == [the_day(n) for n in range(6, -1, -1)]
        with transaction() as session:
            every = company_desk.every_day(session, Wanted(), now=NOW)
            assert [one.day for one in every] == shown


class TestOneList:
    def test_it_is_told_by_kinds_with_the_lists_it_replaced(self):
        first, second = written_off(100), written_off(250)
        run([row_of(first)])
        run([row_of(first), row_of(second), row_of(second, kind=BACK)])

        with transaction() as session:
            found = company_desk.get_list(session, "water", DAY)

        assert {one.kind.value: (one.rows, one.sum_fen) for one in found.kinds} == {
            "written_off": (2, 350), "reversed": (1, -250),
        }  # fmt: skip
        assert [one.rows for one in found.replaced] == [1]
        assert company_desk.late_at(found.arrival) > found.arrival.due_at

    def test_one_that_is_neither_here_nor_expected_is_unknown(self):
        with transaction() as session, pytest.raises(NotFound):
            company_desk.get_list(session, "water", DAY)

    def test_rows_nobody_could_read_are_kept_with_their_reason(self):
        item = written_off()
        wrong = Told(number="W2611000000000077-01", seconds=9 * 86_400)

        result = run([row_of(item), wrong])

        with transaction() as session:
            rejects = company_desk.list_rejects(session, "water", DAY)
        assert result.rejected == len(rejects) == 1
        assert rejects[0].line_no > 1
        assert rejects[0].reason
        assert "W2611000000000077-01" in rejects[0].raw

    def test_of_a_list_that_was_replaced_none_is_shown(self):
        item = written_off()
        wrong = Told(number="W2611000000000077-01", seconds=9 * 86_400)
        run([row_of(item), wrong])
        run([row_of(item)])

        with transaction() as session:
            assert company_desk.list_rejects(session, "water", DAY) == []


class TestAskingNow:
    def test_a_job_that_waits_for_its_hour_does_not_wait(self):
        written_off()
        expect(water=Listing())
        a_job("waiting", DUE + timedelta(hours=5))

        ask_now()

        assert jobs() == [("waiting", DUE)]
        assert events() == 1

    def test_one_that_runs_or_was_just_asked_for_is_enough(self):
        written_off()
        expect(water=Listing())
        ask_now()
        assert events() == 1
        a_job("running", DUE)

        ask_now()

        assert (events(), len(jobs())) == (1, 1)

    def test_where_all_gave_up_it_is_asked_for_anew(self):
        written_off()
        expect(water=Listing())
        a_job("dead", DUE)

        at_once([ask_now] * 3)

        assert events() >= 2

    def test_not_before_its_hour_and_not_what_is_here_or_nobody_expects(self):
        item = written_off()
        with pytest.raises(NotFound):
            ask_now()
        expect(water=Listing())
        with pytest.raises(Conflict, match="not due"):
            ask_now(now=DUE - timedelta(seconds=1))
        run([row_of(item)])
        with pytest.raises(Conflict, match="here already"):
            ask_now()

    def test_the_company_is_one_that_gives_lists(self):
        with pytest.raises(NotFound):
            company.layout_of("nobody")
