"""A day's checklist turns green by what really happens, and a day is closed by it, or says why."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import workers.tasks
from billing.ledger import days
from billing.ledger.models import LedgerDay
from core.clock import day_bounds
from core.db import transaction
from core.errors import Conflict, Invalid
from identity.models import Role
from payments import callbacks, write_offs
from payments.gateways.base import Callback, CallbackKind, Gateway, GatewayStatus
from payments.reconciliation.closing import closing
from payments.reconciliation.closing.checklist import (
    LATE_FEES,
    Check,
    Name,
    State,
    Weight,
    checklist,
)
from payments.reconciliation.gateway.arrivals import expect
from payments.reconciliation.repair import workbench
from tests.conftest import as_owner
from tests.factories import (
    ACCEPTED,
    NOW,
    REFUSED,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    book,
    items_of,
)
from tests.payments.reconciliation.banking import Line, bank_says
from tests.payments.reconciliation.company_days import row_of as list_row
from tests.payments.reconciliation.company_days import run as run_list
from tests.payments.reconciliation.repairing import newest
from tests.payments.reconciliation.test_arrivals import Filing
from tests.payments.reconciliation.test_matching import a_file, row_of, run
from workers.jobs import JOBS
from workers.relay import relay
from workers.scheduler import SCHEDULE

REGISTERED = workers.tasks  # importing it registers every job
DAY = date(2026, 11, 20)
MORNING = datetime.fromisoformat("2026-11-21T08:00:00+08:00")
NOON = MORNING + timedelta(hours=4)
LATE = MORNING + timedelta(hours=6)  # four hours after the gateway's file was due
GATEWAYS: Mapping[str, Gateway] = {"sandbox": FarGateway()}

pytestmark = pytest.mark.usefixtures("city")


def checks(day: date = DAY, *, now: datetime = MORNING) -> dict[Name, Check]:
    with transaction() as session:
        found = checklist(session, day, gateways=GATEWAYS, now=now)
    return {check.name: check for check in found}


def state(name: Name, day: date = DAY, *, now: datetime = MORNING) -> tuple[State, int]:
    check = checks(day, now=now)[name]
    return check.state, check.how_many


def count_late_fees(state: str = "done", *, on: date = DAY + timedelta(days=1)) -> None:
    """What the scheduler leaves when the run of a morning is over."""
    number = (on - date(1970, 1, 1)).days
    with transaction() as session:
        session.execute(
            text("INSERT INTO job (task, subject_id, schedule_key, state, attempts, due_at,"
                 " finished_at) VALUES (:task, :on, :key, :state, 1, :now, :now)"),
            {"task": LATE_FEES, "on": str(on), "key": f"{LATE_FEES}:{number}", "state": state,
             "now": MORNING},
        )  # fmt: skip


def close(day: date = DAY, *, despite: str = "", now: datetime = NOON, by: str = "li") -> LedgerDay:
    with transaction() as session:
        return closing.close(
            session, day, gateways=GATEWAYS, closed_by=by, despite=despite, now=now
        )


DONE = (State.DONE, 0)


class TestChecks:
    """Each by what really happens, from open to done."""

    def test_of_a_quiet_day_only_late_fees_are_waited_for(self):
        assert [name for name, check in checks().items() if not check.done] == [Name.LATE_FEES]

    def test_the_day_is_over_at_midnight_in_shanghai(self):
        _, midnight = day_bounds(DAY)

        assert state(Name.DAY_OVER, now=midnight - timedelta(seconds=1))[0] is State.WAITING
        assert state(Name.DAY_OVER, now=midnight)[0] is State.DONE

    def test_earlier_days_are_closed_first(self):
        a_home(8_650, now=NOW - timedelta(days=2))
        assert state(Name.EARLIER_DAYS) == (State.PROBLEM, 2)

        days.close_through(DAY - timedelta(days=1), closed_by="li", now=MORNING)

        assert state(Name.EARLIER_DAYS) == DONE

    def test_a_payment_without_an_outcome(self):
        payment = a_payment(a_home(8_650))
        assert state(Name.PAYMENTS) == (State.WAITING, 1)
        assert state(Name.PAYMENTS, DAY - timedelta(days=1)) == DONE
        assert state(Name.PAYMENTS, now=NOW + timedelta(days=2, hours=1)) == (State.PROBLEM, 1)

        book(payment, GatewayStatus.PAID)

        assert state(Name.PAYMENTS) == DONE

    def test_what_a_gateway_told_us_is_booked_whether_it_waits_as_news_or_as_a_job(self):
        payment = a_payment(a_home(8_650))
        callbacks.receive(Telling(payment.order_no), {}, b"{}", now=NOW)
        assert state(Name.CALLBACKS) == (State.WAITING, 1)
        with transaction() as session:
            relay(session, now=NOW)
        assert state(Name.CALLBACKS) == (State.WAITING, 1)
        assert state(Name.CALLBACKS, DAY - timedelta(days=1)) == DONE
        the_jobs("dead")
        assert state(Name.CALLBACKS) == (State.PROBLEM, 1)

        the_jobs("done")

        assert state(Name.CALLBACKS) == DONE

    def test_a_gateways_file_waits_then_is_late_then_here(self):
        payment = a_paid_payment(a_home(8_650))
        assert state(Name.GATEWAY_FILES) == (State.WAITING, 1)
        assert state(Name.GATEWAY_FILES, now=LATE) == (State.PROBLEM, 1)
        assert checks(now=LATE)[Name.GATEWAY_FILES].who == ("sandbox",)

        run(a_file([row_of(payment)]))

        assert state(Name.GATEWAY_FILES, now=LATE) == DONE

    def test_a_file_that_is_asked_for_is_waited_for_though_we_took_nothing(self):
        a_paid_payment(a_home(8_650))
        with transaction() as session:
            expect(session, {"sandbox": Filing()}, now=MORNING + timedelta(days=1))

        assert state(Name.GATEWAY_FILES, DAY + timedelta(days=1)) == (State.WAITING, 1)

    @pytest.mark.parametrize("answer", [ACCEPTED, REFUSED])
    def test_a_company_answers_its_write_off_either_way(self, answer):
        (item,) = items_of(a_paid_payment(a_home(8_650)))
        assert state(Name.WRITE_OFFS) == (State.WAITING, 1)
        assert state(Name.WRITE_OFFS, now=NOW + timedelta(hours=25)) == (State.PROBLEM, 1)

        with transaction() as session:
            write_offs.book(session, item.write_off_no, answer, now=NOW)

        assert state(Name.WRITE_OFFS) == DONE

    def test_a_companys_list_waits_then_is_late_then_here(self):
        (item,) = items_of(a_paid_payment(a_home(8_650)))
        with transaction() as session:
            write_offs.book(session, item.write_off_no, ACCEPTED, now=NOW)
            session.execute(
                text("INSERT INTO confirmation_arrival (provider_code, day, state, due_at)"
                     " VALUES ('water', :day, 'waiting', :due_at)"),
                {"day": DAY, "due_at": MORNING - timedelta(hours=2)},
            )  # fmt: skip
        assert state(Name.COMPANY_LISTS) == (State.WAITING, 1)
        assert state(Name.COMPANY_LISTS, now=LATE) == (State.PROBLEM, 1)

        run_list([list_row(item)], now=MORNING)

        assert state(Name.COMPANY_LISTS, now=LATE) == DONE

    def test_the_banks_statements_reach_the_day_for_each_account_of_ours(self):
        bank_says(Line(100, on=-1))
        assert state(Name.BANK_STATEMENTS) == (State.WAITING, 1)
        assert checks()[Name.BANK_STATEMENTS].who == ("account-1",)
        assert state(Name.BANK_STATEMENTS, now=MORNING + timedelta(days=1)) == (State.PROBLEM, 1)

        bank_says(Line(100, on=0))

        assert state(Name.BANK_STATEMENTS) == DONE

    def test_a_difference_is_taken_by_somebody_and_not_overdue(self):
        run(a_file([row_of(a_paid_payment(a_home(8_650)), amount="86.48")]))
        assert state(Name.DIFFERENCES) == (State.PROBLEM, 1)

        with transaction() as session:
            taken = workbench.take(session, newest(), by=a_person(Role.STAFF))

        assert state(Name.DIFFERENCES, now=taken.due_at - timedelta(seconds=1)) == DONE
        assert state(Name.DIFFERENCES, now=taken.due_at + timedelta(seconds=1))[1] == 1
        assert state(Name.DIFFERENCES, DAY - timedelta(days=1)) == DONE

    def test_late_fees_are_counted_by_a_run_after_the_day(self):
        count_late_fees(on=DAY)
        assert state(Name.LATE_FEES) == (State.WAITING, 1)
        count_late_fees("dead")
        assert state(Name.LATE_FEES) == (State.PROBLEM, 1)

        count_late_fees(on=DAY + timedelta(days=2))

        assert state(Name.LATE_FEES, now=MORNING + timedelta(days=1)) == DONE

    def test_the_jobs_it_looks_for_are_jobs(self):
        assert {LATE_FEES, "payments.callback"} <= JOBS.keys()
        assert SCHEDULE[LATE_FEES] == timedelta(days=1)

    def test_a_job_that_gave_up_and_was_set_going_again(self):
        count_late_fees("dead")
        assert state(Name.DEAD_JOBS) == (State.PROBLEM, 1)

        the_jobs("waiting")

        assert state(Name.DEAD_JOBS) == DONE

    def test_money_on_its_way_back_is_told_and_stops_nobody(self):
        (item,) = items_of(a_paid_payment(a_home(8_650)))
        with transaction() as session:
            write_offs.book(session, item.write_off_no, REFUSED, now=NOW)

        refunds = checks()[Name.REFUNDS]

        assert (refunds.state, refunds.how_many, refunds.weight) == (
            State.WAITING, 1, Weight.TELLS
        )  # fmt: skip

    def test_books_that_were_changed_behind_our_back_block(self):
        a_home(8_650)
        days.close_through(DAY, closed_by="li", now=MORNING)
        assert state(Name.BOOKS, DAY + timedelta(days=1)) == DONE

        with as_owner(unguarded=True) as connection:
            connection.execute(text("UPDATE ledger_day SET amount_fen = amount_fen + 1"))

        broken = checks(DAY + timedelta(days=1))[Name.BOOKS]
        assert (broken.state, broken.weight) == (State.PROBLEM, Weight.BLOCKS)
        assert broken.who == ("the record of 2026-11-20 is not what was sealed",)


def the_jobs(state: str) -> None:
    """Let every job stand so, as a worker, or a person who sets one going again, leaves it."""
    with transaction() as session:
        session.execute(text("UPDATE job SET state = :state"), {"state": state})


class Telling(FarGateway):
    """A far side whose every callback is about one order."""

    def __init__(self, order_no: str) -> None:
        super().__init__()
        self.order_no = order_no

    def read_callback(self, headers, body, *, now):
        return Callback(external_id="e1", kind=CallbackKind.PAYMENT, reference=self.order_no)


class TestClosing:
    @pytest.fixture(autouse=True)
    def _a_bill(self):
        a_home(8_650)

    def test_a_green_day_is_closed_with_no_reason(self):
        count_late_fees()

        closed = close()

        assert (closed.day, closed.closed_by) == (DAY, "li")
        with transaction() as session:
            assert closing.closing_of(session, DAY) == closing.Closing(None, ())

    def test_what_is_open_is_named_and_nothing_is_closed(self):
        a_paid_payment(a_home(8_650))

        with pytest.raises(Conflict, match="still waits for gateway_files, write_offs") as refused:
            close(despite="  ")

        assert refused.value.code == "day.open_checks"
        assert refused.value.facts["checks"] == ["gateway_files", "write_offs", "late_fees"]
        with transaction() as session:
            assert session.get(LedgerDay, DAY) is None

    def test_a_reason_closes_it_and_is_kept_with_what_was_open(self):
        a_paid_payment(a_home(8_650))

        close(despite=" the gateway is away ")

        with transaction() as session:
            kept = closing.closing_of(session, DAY)
            assert kept is not None
            assert kept.despite == "the gateway is away"
            assert [(check.name, check.how_many, check.who) for check in kept.open] == [
                (Name.GATEWAY_FILES, 1, ("sandbox",)), (Name.WRITE_OFFS, 1, ()),
                (Name.LATE_FEES, 1, ()),
            ]  # fmt: skip
            (listed,) = closing.list_closed(session)
            assert (listed.row.day, listed.despite) == (DAY, "the gateway is away")

    def test_a_reason_nobody_asked_for_is_not_kept(self):
        count_late_fees()

        close(despite="to be sure")

        with transaction() as session:
            assert closing.closing_of(session, DAY) == closing.Closing(None, ())

    def test_a_reason_is_kept_whole_or_refused(self):
        with pytest.raises(Invalid, match="at most 500"):
            close(despite="x" * 501)

        close(despite="x" * 500)

        with transaction() as session:
            kept = closing.closing_of(session, DAY)
            assert kept is not None
            assert kept.despite == "x" * 500

    def test_no_reason_closes_books_that_do_not_hold(self):
        close(despite="first")
        with as_owner(unguarded=True) as connection:
            connection.execute(text("UPDATE ledger_day SET transfers = transfers + 1"))

        with pytest.raises(Conflict, match="not what was sealed") as refused:
            close(DAY + timedelta(days=1), despite="please", now=NOON + timedelta(days=1))

        assert refused.value.code == "day.blocked"

    @pytest.mark.parametrize(
        ("day", "code"), [(DAY + timedelta(days=1), "day.not_over"), (DAY, "day.gap")]
    )
    def test_what_closing_itself_refuses_is_said_in_its_words(self, day, code):
        a_home(8_650, now=NOW - timedelta(days=1))

        with pytest.raises(Conflict) as refused:
            close(day, despite="please")

        assert refused.value.code == code

    def test_a_closed_day_stays_as_it_was_closed(self):
        first = close(despite="once")

        again = close(despite="twice", by="wang", now=NOON + timedelta(hours=1))

        assert (again.closed_by, again.sha256) == ("li", first.sha256)
        with transaction() as session:
            kept = closing.closing_of(session, DAY)
            assert kept is not None
            assert kept.despite == "once"

    def test_how_a_day_was_closed_is_never_changed(self):
        close(despite="once")

        for change in ("UPDATE day_closing SET despite = 'x'", "DELETE FROM day_closing"):
            with pytest.raises(DBAPIError, match="permission denied"), transaction() as session:
                session.execute(text(change))
            with pytest.raises(DBAPIError, match="is refused"), as_owner() as connection:
                connection.execute(text(change))

    def test_all_open_days_are_closed_in_their_order_each_with_its_checklist(self):
        count_late_fees()
        told: list[date] = []

        closing.close_all(
            DAY + timedelta(days=2), gateways=GATEWAYS, closed_by="li", despite="a holiday",
            now=NOON + timedelta(days=3), progress=told.append,
        )  # fmt: skip

        assert told == [DAY + timedelta(days=at) for at in range(3)]
        with transaction() as session:
            listed = closing.list_closed(session)
            assert [(one.row.day, one.despite) for one in reversed(listed)] == [
                (told[0], None), (told[1], "a holiday"), (told[2], "a holiday")
            ]  # fmt: skip
            older = closing.list_closed(session, before=told[2], limit=1)
            assert [one.row.day for one in older] == [told[1]]
