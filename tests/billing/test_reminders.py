"""Reminders. Rule 11: replace, cancel and remind are three relations; paying either closes both."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from billing.bills import BillRef, get_bill, resolve_ref
from billing.files.importing import ImportResult
from billing.homes.households import visible_accounts
from billing.ledger import books
from billing.models import BillReminder
from billing.waiting import decide_waiting
from core.db import transaction
from core.errors import NotFound
from core.keys import named_key
from providers.base import AmountRule, BillRecord, Exactness, PayTerms, RecordKind
from tests.factories import (
    MONTH,
    NOW,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    a_record,
    at_once,
    balances,
    bring_in,
    the_bill,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")


def a_reminder(home: Home, **changes: Any) -> BillRecord:
    """A reminder of a home's first bill, which asks five yuan for it."""
    changes = {"bill_no": "R1", "original_no": "B1", "amount_fen": 500, "items": ()} | changes
    return a_record(
        home.account_nos[0], kind=RecordKind.REMIND, issued_on=date(2026, 11, 19),
        due_on=date(2026, 12, 10), **changes,
    )  # fmt: skip


def remind(home: Home, **changes: Any) -> ImportResult:
    return bring_in(home.companies[0], a_reminder(home, **changes))


def counts(result: ImportResult) -> tuple[int, int, int, int]:
    return result.reminded, result.unchanged, result.waiting, result.rejected


def why(result: ImportResult) -> str:
    with transaction() as session:
        return session.execute(
            text("SELECT reason FROM bill_file_reject WHERE bill_file_id = :id"),
            {"id": result.bill_file_id},
        ).scalar_one()


def reminder_ref(home: Home, reminder_no: str = "R1") -> BillRef:
    return home.refs[0][0], named_key(MONTH, reminder_no)


class TestAReminder:
    def test_adds_its_fee_to_the_one_claim(self):
        home = a_home(8_650)

        assert counts(remind(home)) == (1, 0, 0, 0)
        bill = the_bill(home.refs[0])
        assert (bill.amount_fen, bill.adjusted_fen, bill.open_fen) == (8_650, 500, 9_150)
        assert balances() == {"receivable:water": 9_150, "uncollected:water": -9_150}
        with transaction() as session:
            kept = session.get_one(BillReminder, reminder_ref(home))
            assert (kept.bill_id, kept.reminder_no, kept.fee_fen) == (home.refs[0][1], "R1", 500)
            assert (kept.reminded_on, kept.due_on) == (date(2026, 11, 19), date(2026, 12, 10))
            key = session.execute(
                text("SELECT entry_key FROM ledger_transfer WHERE amount_fen = 500")
            ).scalar_one()
            assert key == "reminder.R1"
        assert violations() == []

    def test_without_a_fee_moves_no_money(self):
        home = a_home(8_650)

        assert counts(remind(home, amount_fen=0)) == (1, 0, 0, 0)
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []

    def test_is_another_name_of_its_bill(self):
        home = a_home(8_650)
        remind(home)

        with transaction() as session:
            accounts = visible_accounts(session, home.owner_id)
            assert resolve_ref(session, reminder_ref(home)) == home.refs[0]
            assert resolve_ref(session, home.refs[0]) == home.refs[0]
            shown = get_bill(session, reminder_ref(home), accounts, today=NOW.date())
        assert (shown.bill_no, shown.open_fen) == ("B1", 9_150)

    def test_of_somebody_else_leads_nowhere(self):
        home, stranger = a_home(8_650), a_home(1)
        remind(home)

        with transaction() as session:
            accounts = visible_accounts(session, stranger.owner_id)
            with pytest.raises(NotFound):
                get_bill(session, reminder_ref(home), accounts, today=NOW.date())
            unknown = (home.refs[0][0], 7)
            assert resolve_ref(session, unknown) == unknown

    def test_the_same_again_changes_nothing_even_when_all_is_paid(self):
        home = a_home(8_650)
        remind(home)
        assert counts(remind(home)) == (0, 1, 0, 0)

        a_paid_payment(home)

        assert counts(remind(home)) == (0, 1, 0, 0)
        assert the_bill(home.refs[0]).open_fen == 0
        assert violations() == []

    def test_the_fee_is_paid_with_the_bill(self):
        home = a_home(8_650)
        remind(home)

        payment = a_paid_payment(home)

        assert payment.amount_fen == 9_150
        assert violations() == []

    def test_a_second_one_adds_its_own_fee(self):
        home = a_home(8_650)

        done = bring_in("water", a_reminder(home), a_reminder(home, bill_no="R2", amount_fen=700))

        assert counts(done) == (2, 0, 0, 0)
        assert the_bill(home.refs[0]).adjusted_fen == 1_200
        assert violations() == []

    def test_comes_with_its_bill_in_one_file(self):
        home = a_home(8_650)
        bill = a_record(home.account_nos[0], "B2", amount_fen=100)

        done = bring_in("water", bill, a_reminder(home, original_no="B2"))

        assert (done.created, done.reminded) == (1, 1)
        assert violations() == []

    def test_that_stands_before_its_bill_reminds_of_nothing_we_hold(self):
        home = a_home(8_650)
        bill = a_record(home.account_nos[0], "B2", amount_fen=100)

        done = bring_in("water", a_reminder(home, original_no="B2"), bill)

        assert (done.created, done.rejected) == (1, 1)
        assert "reminds of a bill we do not hold" in why(done)

    def test_at_one_moment_from_four_files_is_one_fee(self):
        home = a_home(8_650)

        done = at_once([lambda: remind(home)] * 4)

        assert sorted(counts(one) for one in done) == [(0, 1, 0, 0)] * 3 + [(1, 0, 0, 0)]
        assert the_bill(home.refs[0]).adjusted_fen == 500
        assert violations() == []


class TestRejected:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"original_no": "B9"}, "reminds of a bill we do not hold"),
            ({"account_no": "9999999999"}, "reminds of a bill we do not hold"),
            ({"billing_month": date(2026, 9, 1)}, "reminds of a bill we do not hold"),
            ({"bill_no": "B1"}, "number is a bill's already"),
            ({"amount_fen": -1}, "not below zero"),
            ({"issued_on": date(2026, 11, 21)}, "dated in the future"),
            ({"pay_terms": PayTerms(AmountRule(Exactness.ANY))}, "leave its options out"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    def test_with_the_reason(self, changes, told):
        home = a_home(8_650)

        done = bring_in("water", a_reminder(home)._replace(**changes))

        assert counts(done) == (0, 0, 0, 1)
        assert told in why(done)
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []

    def test_other_content_under_the_same_number(self):
        home = a_home(8_650)
        remind(home)

        done = remind(home, amount_fen=501)

        assert counts(done) == (0, 0, 0, 1)
        assert "give it a new number" in why(done)
        assert the_bill(home.refs[0]).adjusted_fen == 500

    def test_one_number_for_two_bills_in_one_file(self):
        home = a_home(8_650)
        bring_in("water", a_record(home.account_nos[0], "B2"))

        done = bring_in("water", a_reminder(home), a_reminder(home, original_no="B2"))

        assert counts(done) == (1, 0, 0, 1)
        assert violations() == []

    @pytest.mark.parametrize("chunk_rows", [1, 9])
    def test_one_number_again_when_the_first_was_of_no_bill(self, chunk_rows, monkeypatch):
        monkeypatch.setattr("billing.files.importing.CHUNK_ROWS", chunk_rows)
        home = a_home(8_650)

        done = bring_in("water", a_reminder(home, original_no="B9"), a_reminder(home))

        assert counts(done) == (1, 0, 0, 1)
        assert the_bill(home.refs[0]).adjusted_fen == 500

    def test_of_a_paid_bill(self):
        home = a_home(8_650)
        a_paid_payment(home)

        assert "nothing is owed" in why(remind(home))

    def test_of_a_cancelled_bill(self):
        home = a_home(8_650)
        home.cancel(0)

        assert "was cancelled" in why(remind(home))

    @pytest.mark.parametrize("amount_fen", [0, -500])
    def test_of_a_bill_that_asks_for_nothing(self, amount_fen):
        assert "nothing is owed" in why(remind(a_home(amount_fen)))
        assert violations() == []


class TestAfterwards:
    def test_a_new_version_takes_the_fee_back_and_the_reminder_still_leads_to_the_bill(self):
        home = a_home(8_650)
        remind(home)

        assert home.correct(0, version=2, amount_fen=8_000).superseded == 1

        assert the_bill(home.refs[0]).open_fen == 8_000
        assert balances() == {"receivable:water": 8_000, "uncollected:water": -8_000}
        with transaction() as session:
            assert resolve_ref(session, reminder_ref(home)) == home.refs[0]
        assert counts(remind(home)) == (0, 1, 0, 0)
        assert violations() == []

    def test_rows_of_one_file_are_taken_in_its_order(self):
        home = a_home(8_650)
        mended = a_record(home.account_nos[0], version=2, amount_fen=8_000)

        first = bring_in("water", a_reminder(home), mended)
        assert the_bill(home.refs[0]).adjusted_fen == 0
        later = bring_in("water", mended._replace(version=3), a_reminder(home, bill_no="R2"))

        assert (first.reminded, first.superseded) == (1, 1)
        assert (later.reminded, later.superseded) == (1, 1)
        assert the_bill(home.refs[0]).adjusted_fen == 500
        assert violations() == []

    def test_a_reminder_of_a_bill_being_paid_waits(self):  # rule 13
        home = a_home(8_650)
        payment = a_payment(home)

        assert counts(remind(home)) == (0, 0, 1, 0)
        assert counts(remind(home)) == (0, 1, 0, 0)
        assert the_bill(home.refs[0]).adjusted_fen == 0

        with transaction() as session:
            session.execute(text("UPDATE payment SET status = 'refused'"))
            session.execute(text("UPDATE payment_item SET outcome = 'not_paid'"))
            session.execute(text("UPDATE bill SET held_by = NULL"))
            assert decide_waiting(session, home.refs, now=NOW) == 1

        assert payment.amount_fen == 8_650
        assert the_bill(home.refs[0]).adjusted_fen == 500
        with transaction() as session:
            assert books.balance_fen(session, "receivable:water") == 9_150
        assert violations() == []
