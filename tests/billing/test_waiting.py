"""Corrections that come while a bill is being paid. Rule 13: they wait, and the payment decides."""

from datetime import timedelta

import pytest
from sqlalchemy import event, text

from billing.models import Bill, BillCorrection
from billing.waiting import decide_waiting, list_corrections
from core import db
from core.db import transaction
from payments.gateways.base import GatewayStatus
from providers.base import OptionKind, PayOption, PayTerms
from tests.factories import (
    NOW,
    Home,
    a_home,
    a_paid_payment,
    a_payment,
    at_once,
    balances,
    book,
    the_bill,
    topics,
    violations,
)

pytestmark = pytest.mark.usefixtures("city")
LATER = NOW + timedelta(minutes=5)


def end(home: Home, *, paid: bool = False) -> int:
    """End the payment that holds a home's bills, and take up what waited for them."""
    with transaction() as session:
        if paid:
            session.execute(text("UPDATE bill SET paid_fen = amount_fen + adjusted_fen"))
        session.execute(text("UPDATE bill SET held_by = NULL"))
        return decide_waiting(session, home.refs, now=LATER)


def held(home: Home) -> None:
    """Hold a home's bills for a payment that nobody asks about."""
    with transaction() as session:
        session.execute(text("UPDATE bill SET held_by = 9"))


def waiting() -> list[BillCorrection]:
    with transaction() as session:
        found = session.execute(
            text("SELECT DISTINCT bill_file_id FROM bill_correction ORDER BY 1")
        )
        return [row for id_ in found.scalars() for row in list_corrections(session, id_)]


def states() -> list[tuple[str, str | None]]:
    return [(row.state, row.reason) for row in waiting()]


class TestAnArrival:
    def test_a_correction_of_a_bill_being_paid_waits_and_nothing_moves(self):
        home = a_home(8_650)
        payment = a_payment(home)

        done = home.correct(0, version=2, amount_fen=8_000)

        assert (done.rows, done.waiting, done.rejected, done.superseded) == (1, 1, 0, 0)
        bill = the_bill(home.refs[0])
        assert (bill.version, bill.amount_fen, bill.held_by) == (1, 8_650, payment.id)
        assert states() == [("waiting", None)]
        (row,) = waiting()
        assert (row.row["version"], row.row["amount_fen"], row.row["line_no"]) == (2, 8_000, 2)
        assert not {"holder_name", "address", "account_no"} & row.row.keys()
        assert violations() == []

    def test_a_cancellation_waits_too(self):
        home = a_home(8_650)
        a_payment(home)

        assert home.cancel(0).waiting == 1

    def test_the_same_again_while_it_waits_is_no_second_one(self):
        home = a_home(8_650)
        a_payment(home)
        home.correct(0, version=2, amount_fen=8_000)

        again = home.correct(0, version=2, amount_fen=8_000)

        assert (again.waiting, again.unchanged) == (0, 1)
        assert len(waiting()) == 1

    def test_the_same_from_four_files_at_one_moment_is_one(self):
        home = a_home(8_650)
        a_payment(home)

        done = at_once([lambda: home.correct(0, version=2, amount_fen=8_000)] * 4)

        assert sum(one.waiting for one in done) == 1
        assert sum(one.unchanged for one in done) == 3
        assert len(waiting()) == 1

    def test_a_bill_paid_in_part_is_frozen_at_once(self):  # rule 12
        home = a_home(8_650)
        held(home)
        with transaction() as session:
            session.execute(text("UPDATE bill SET paid_fen = 1"))

        assert home.correct(0, version=2).rejected == 1
        assert waiting() == []

    def test_other_content_under_the_held_version_is_rejected_at_once(self):
        home = a_home(8_650)
        a_payment(home)

        assert home.correct(0, version=1, amount_fen=1).rejected == 1


class TestADecision:
    def test_the_bill_is_free_again_and_the_correction_lands(self):
        home = a_home(8_650)
        held(home)
        early = PayOption("early", OptionKind.EARLY, "提前缴费", 7_000)
        home.correct(0, version=2, amount_fen=8_000, pay_terms=PayTerms(options=(early,)))

        assert end(home) == 1

        bill = the_bill(home.refs[0])
        assert (bill.version, bill.amount_fen, bill.file_line_no) == (2, 8_000, 2)
        assert bill.pay_terms is not None
        assert balances() == {"receivable:water": 8_000, "uncollected:water": -8_000}
        assert states() == [("applied", None)]
        assert topics(like="bill_correction.%") == ["bill_correction.applied"]
        assert violations() == []

    def test_what_landed_after_waiting_is_what_a_file_would_have_made(self):
        straight, waited = a_home(8_650), a_home(8_650)
        with transaction() as session:
            session.execute(
                text("UPDATE bill SET held_by = 9 WHERE account_id = :id"),
                {"id": waited.refs[0][0]},
            )
        for home in (straight, waited):
            home.correct(0, version=2, amount_fen=8_000)
        end(waited)

        with transaction() as session:
            one, other = (session.get_one(Bill, home.refs[0]) for home in (straight, waited))
            own = {"account_id", "bill_file_id", "recorded_at"}
            assert one.model_dump(exclude=own) == other.model_dump(exclude=own)
            keys = session.execute(
                text("SELECT account_id, entry_key FROM ledger_transfer ORDER BY 1, 2")
            ).all()
        by_account: dict[int, list[str]] = {}
        for account_id, key in keys:
            by_account.setdefault(account_id, []).append(key)
        first, second = by_account.values()
        assert first == second == ["issued.1", "issued.2", "reversed.1"]
        assert home.correct(0, version=2, amount_fen=8_000).unchanged == 1
        assert violations() == []

    def test_a_cancellation_lands(self):
        home = a_home(8_650)
        held(home)
        home.cancel(0)

        end(home)

        assert the_bill(home.refs[0]).cancelled_at == LATER
        assert balances() == {}
        assert violations() == []

    def test_two_versions_land_in_order_and_the_lower_is_superseded(self):
        home = a_home(8_650)
        held(home)
        home.correct(0, version=2, amount_fen=8_000)
        home.correct(0, version=3, amount_fen=7_000)

        assert end(home) == 2

        assert the_bill(home.refs[0]).amount_fen == 7_000
        assert states() == [("applied", None), ("applied", None)]
        with transaction() as session:
            old = session.execute(text("SELECT version FROM bill_version ORDER BY 1")).scalars()
            assert list(old) == [1, 2]
        assert violations() == []

    def test_versions_that_came_the_wrong_way_round_end_with_the_higher(self):
        home = a_home(8_650)
        held(home)
        home.correct(0, version=3, amount_fen=7_000)
        home.correct(0, version=2, amount_fen=8_000)

        end(home)

        assert the_bill(home.refs[0]).amount_fen == 7_000
        assert states() == [
            ("applied", None),
            ("refused", "we already hold a higher version of this bill"),
        ]
        assert violations() == []

    def test_the_payment_went_through_and_the_correction_is_refused_and_kept(self):
        home = a_home(8_650)
        payment = a_payment(home)
        home.correct(0, version=2, amount_fen=8_000)

        book(payment, GatewayStatus.PAID)
        with transaction() as session:
            decide_waiting(session, home.refs, now=LATER)

        assert states() == [
            ("refused", "paid while the correction waited: send a bill of the difference")
        ]
        assert the_bill(home.refs[0]).amount_fen == 8_650
        assert "bill_correction.refused" in topics()
        assert violations() == []

    def test_late_fees_go_with_the_version_that_waited_to_go(self):
        home = a_home(8_650)
        with transaction() as session:
            session.execute(text("UPDATE bill SET held_by = 9"))
        home.cancel(0)

        end(home)

        assert the_bill(home.refs[0]).adjusted_fen == 0

    def test_only_the_bills_that_were_named_are_looked_at(self):
        home, other = a_home(8_650), a_home(8_650)
        held(home)
        home.correct(0, version=2, amount_fen=8_000)

        assert end(other) == 0
        assert states() == [("waiting", None)]

    def test_a_bill_held_by_another_payment_by_now_goes_on_waiting(self):
        home = a_home(8_650)
        held(home)
        home.correct(0, version=2, amount_fen=8_000)

        with transaction() as session:
            assert decide_waiting(session, home.refs, now=LATER) == 0

        assert states() == [("waiting", None)]

    def test_what_the_session_holds_of_the_bill_is_made_fresh(self):
        home = a_home(8_650)
        held(home)
        home.correct(0, version=2, amount_fen=8_000)

        with transaction() as session:
            bill = session.get_one(Bill, home.refs[0], with_for_update=True)
            bill.held_by = None
            decide_waiting(session, home.refs, now=LATER)
            assert (bill.version, bill.amount_fen) == (2, 8_000)

    def test_deciding_twice_changes_nothing_more(self):
        home = a_home(8_650)
        held(home)
        home.correct(0, version=2, amount_fen=8_000)

        assert (end(home), end(home)) == (1, 0)
        assert violations() == []

    def test_where_nothing_waits_it_costs_one_query(self):
        home = a_home(8_650, 1_000)
        a_paid_payment(home)
        asked: list[str] = []

        def count(*call: object) -> None:
            asked.append(str(call[2]))

        with transaction() as session:
            event.listen(db.engine(), "before_cursor_execute", count)
            try:
                assert decide_waiting(session, home.refs, now=LATER) == 0
            finally:
                event.remove(db.engine(), "before_cursor_execute", count)
        assert len(asked) == 1

    def test_two_at_one_moment_decide_once(self):
        home = a_home(8_650)
        held(home)
        home.correct(0, version=2, amount_fen=8_000)

        def decide() -> int:
            with transaction() as session:
                session.get_one(Bill, home.refs[0], with_for_update=True).held_by = None
                return decide_waiting(session, home.refs, now=LATER)

        assert sorted(at_once([decide] * 4)) == [0, 0, 0, 1]
        assert violations() == []

    def test_a_correction_and_the_payments_end_at_one_moment_lose_nothing(self):
        for _ in range(5):
            home = a_home(8_650)
            held(home)

            ended, sent = at_once(
                [
                    lambda home=home: end(home),
                    lambda home=home: home.correct(0, version=2, amount_fen=8_000),
                ]
            )

            assert (ended, sent.waiting, sent.superseded) in [(0, 0, 1), (1, 1, 0)]
            assert the_bill(home.refs[0]).amount_fen == 8_000
            assert "waiting" not in {state for state, _ in states()}
        assert violations() == []
