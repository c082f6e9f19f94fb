"""Acts that move money or name what a row is: each posted once, each taken back by its counter."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from core.clock import billing_date
from core.db import transaction
from core.errors import AmountMismatch, Conflict, Invalid, NotFound
from core.settings import SourceTerms
from payments.gateways.base import GatewayStatus
from payments.models import ReceiptState, list_receipts
from payments.reconciliation.bank import acts as bank_acts
from payments.reconciliation.models import BreakKind, BreakState
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import workbench
from payments.reconciliation.repair.many import Asked, ask_many, own_many
from payments.reconciliation.repair.models import Act, ActState
from payments.returns import staff_refunds, suspense, transfers
from tests.factories import (
    NOW,
    FarGateway,
    a_home,
    a_payment,
    a_person,
    at_once,
    balances,
    book,
    topics,
    violations,
)
from tests.payments.reconciliation.banking import (
    Line,
    a_day,
    bank_says,
    match,
    takes,
    the_match,
)
from tests.payments.reconciliation.banking import undo as undo_match
from tests.payments.reconciliation.repairing import (
    ALONE,
    LATER,
    LIMITS,
    acts_of,
    differs,
    do,
    missing_there,
    staff,
    the_break,
)
from tests.payments.reconciliation.test_leftovers import Other, left, matches, paid, told
from tests.payments.reconciliation.test_matching import a_refund, row_of
from tests.payments.returns.returning import SENT

pytestmark = pytest.mark.usefixtures("city")


def undo(act_id: int | None, **changes: Any) -> None:
    with transaction() as session:
        repair.undo(session, act_id or 0, reason="it was another", by=staff(), now=LATER, **changes)


def the_one(kind: BreakKind, source: str | None = None) -> int:
    with transaction() as session:
        wanted = workbench.Filter(kind=kind, source=source, state=None)
        (found,) = workbench.find_breaks(session, wanted, now=NOW)
    assert found.id is not None
    return found.id


def an_unknown_credit(fen: int = 8_650) -> int:
    bank_says(Line(fen, no="E7", name="王小明", account="6222000011112222"))
    return the_one(BreakKind.UNKNOWN_CREDIT)


class TestRematch:
    def a_strangers_row(self) -> tuple[int, str]:
        payment = paid()
        self.rows = [row_of(payment, order_no="NOBODYS", gateway_ref="s1")]
        told(self.rows)
        return the_one(BreakKind.MISSING_HERE), payment.order_no

    def test_a_row_of_theirs_is_ours_because_a_person_says_so(self):
        found, order_no = self.a_strangers_row()

        act = do(found, Act.REMATCH, target=f" {order_no} ", limits=ALONE)

        assert (act.state, act.target) == (ActState.DONE, order_no)
        assert the_break(found).state is BreakState.RESOLVED
        assert the_break(the_one(BreakKind.MISSING_AT_GATEWAY)).state is BreakState.EXPLAINED
        assert violations() == []

    def test_so_it_stays_through_runs(self):
        found, order_no = self.a_strangers_row()
        do(found, Act.REMATCH, target=order_no, limits=ALONE)
        second = paid(1_000)

        result = told([*self.rows, row_of(second)])

        assert (result.balanced, result.matched, left()) == (True, 2, [])

    def test_undone_it_is_as_it_was(self):
        found, order_no = self.a_strangers_row()
        before = left()

        undo(do(found, Act.REMATCH, target=order_no, limits=ALONE).id)

        assert left() == before
        assert (matches(), violations()) == ([], [])

    def test_above_the_threshold_a_colleague_approves_and_then_it_is_matched(self):
        found, order_no = self.a_strangers_row()
        act = do(found, Act.REMATCH, target=order_no)
        assert len(left()) == 2

        with transaction() as session:
            repair.approve(session, act.id or 0, by=staff(), now=LATER)

        assert left() == []

    @pytest.mark.parametrize("target", ["", "CB-nothing"])
    def test_it_must_be_one_of_ours_that_waits(self, target):
        found, _ = self.a_strangers_row()

        with pytest.raises((Invalid, NotFound)) as refused:
            do(found, Act.REMATCH, target=target)

        assert refused.value.code == "break.no_target"
        assert acts_of(found) == []

    def test_one_of_ours_is_one_row_of_theirs(self):
        payment = paid()
        told([])
        rows = [row_of(payment, gateway_ref="o1"),
                row_of(payment, order_no="NOBODYS", gateway_ref="o2")]  # fmt: skip
        told(rows, by=Other)
        first = the_one(BreakKind.OTHER_ROUTE, "other")
        second = the_one(BreakKind.MISSING_HERE, "other")
        act = do(first, Act.REMATCH, target=payment.order_no, limits=ALONE)

        with pytest.raises(NotFound):
            do(second, Act.REMATCH, target=payment.order_no, limits=ALONE)

        assert balances()["gateway:other"] == 8_650
        undo(act.id)
        do(second, Act.REMATCH, target=payment.order_no, limits=ALONE)
        assert (balances()["gateway:other"], violations()) == (8_650, [])

    def test_another_sum_is_not_the_same_money(self):
        other = paid(8_649)
        told([row_of(other, order_no="NOBODYS", gateway_ref="s1", amount="86.50")])

        with pytest.raises(AmountMismatch) as refused:
            do(the_one(BreakKind.MISSING_HERE), Act.REMATCH, target=other.order_no)

        assert refused.value.code == "break.other_sum"

    def test_a_refund_under_a_number_of_theirs_is_ours(self):
        payment, number = a_refund(at=NOW)
        told([row_of(payment), row_of(payment, kind="refund", refund_no="R0", refund_ref="x",
                                      amount="-86.50", fee="0.00")])  # fmt: skip
        with transaction() as session:
            rows = workbench.find_breaks(session, workbench.Filter(), now=NOW)
        theirs = next(one for one in rows if one.ours_fen is None)

        do(theirs.id or 0, Act.REMATCH, target=number, limits=ALONE)

        assert left() == []

    def test_money_at_another_gateway_moves_there_in_the_books(self):
        payment = paid()
        told([])
        told([row_of(payment, gateway_ref="o1")], by=Other)
        found = the_one(BreakKind.OTHER_ROUTE, "other")

        act = do(found, Act.REMATCH, target=payment.order_no, limits=ALONE)

        assert (left(), left(source="other")) == ([], [])
        after = balances()
        assert after["gateway:other"] == 8_650
        assert "gateway:sandbox" not in after
        undo(act.id)
        assert (balances()["gateway:sandbox"], violations()) == (8_650, [])
        assert "gateway:other" not in balances()


class TestSuspending:
    def test_it_stands_in_suspense_and_undone_in_no_account(self):
        found = an_unknown_credit()

        act = do(found, Act.SUSPEND, limits=ALONE)

        assert balances() == {"bank": 8_650, "suspense:bank": -8_650}
        assert (the_break(found).state, violations()) == (BreakState.RESOLVED, [])
        undo(act.id)
        assert balances() == {}
        assert (the_break(found).state, violations()) == (BreakState.OPEN, [])

    def test_no_run_takes_it_for_something_else_meanwhile(self):
        found = an_unknown_credit()
        act = do(found, Act.SUSPEND, limits=ALONE)
        takes("alpha", 0, 8_650)

        assert match().made == 0
        undo(act.id)
        assert match().made == 1

        assert the_break(found).state is BreakState.EXPLAINED
        assert violations() == []

    def test_what_has_been_matched_is_not_suspended(self):
        found = an_unknown_credit()
        takes("alpha", 0, 8_650)
        shown = repair.as_shown(the_break(found))
        match()

        with pytest.raises(Conflict):
            do(found, Act.SUSPEND, limits=ALONE, shown=shown)

        assert violations() == []

    def test_two_at_one_moment_suspend_it_once(self):
        found = an_unknown_credit()
        people = [staff(), staff()]

        ended = at_once(
            [lambda by=by: do(found, Act.SUSPEND, by=by, limits=ALONE) for by in people]
        )

        assert sorted(type(one).__name__ for one in ended) == ["BreakAct", "Conflict"]
        assert balances()["suspense:bank"] == -8_650


class TestSendingBack:
    def number_of(self, act_id: int | None) -> str:
        with transaction() as session:
            made = bank_acts.find_suspense(session, act_id or 0)
            assert made is not None
            return bank_acts.return_no(made)

    def payee(self, number: str, by: int) -> None:
        with transaction() as session:
            transfers.enter_payee(
                session, number, name="王小明", bank="工商银行", account="6222000011112222", by=by,
                secret_key="s" * 32, approval_above_fen=0, now=NOW,
            )  # fmt: skip

    def test_a_colleague_sends_it_and_the_bank_says_so(self):
        found, (first, second) = an_unknown_credit(), (staff(), staff())
        act = do(found, Act.RETURN_MONEY, limits=ALONE)
        number = self.number_of(act.id)
        self.payee(number, first)
        assert violations() == []

        for _ in range(2):
            with transaction() as session:
                staff_refunds.confirm_sent(session, number, bank_ref="BR-1", by=second, now=NOW)

        assert balances() == {}
        assert violations() == []
        assert bank_says(Line(-8_650, on=2, ref="BR-1")).made == 1
        with pytest.raises(Conflict) as refused:
            undo(act.id)
        assert refused.value.code == "break.money_gone"

    def test_undone_before_an_account_is_entered_nothing_is_sent(self):
        found = an_unknown_credit()
        act = do(found, Act.RETURN_MONEY, limits=ALONE)

        undo(act.id)

        assert (balances(), violations()) == ({}, [])
        with transaction() as session:
            assert transfers.list_waiting(session) == []

    def test_not_undone_while_somebody_may_be_sending_it(self):
        found = an_unknown_credit()
        act = do(found, Act.RETURN_MONEY, limits=ALONE)
        self.payee(self.number_of(act.id), staff())

        with pytest.raises(Conflict):
            undo(act.id)

    def test_undoing_waits_for_who_is_just_entering_an_account(self):
        act = do(an_unknown_credit(), Act.RETURN_MONEY, limits=ALONE)
        number, by = self.number_of(act.id), staff()

        with ThreadPoolExecutor(1) as pool:
            with transaction() as session:
                transfers.enter_payee(
                    session, number, name="王小明", bank="工商银行", account="6222000011112222",
                    by=by, secret_key="s" * 32, approval_above_fen=0, now=NOW,
                )  # fmt: skip
                undoing = pool.submit(undo, act.id)
                with pytest.raises(TimeoutError):
                    undoing.result(timeout=1)
            with pytest.raises(Conflict) as refused:
                undoing.result(timeout=60)

        assert refused.value.code == "break.money_gone"

    def test_a_gateways_money_of_an_order_that_ended_goes_back_as_always(self):
        payment = book(a_payment(a_home(8_650)), GatewayStatus.CLOSED)
        told([row_of(payment, gateway_ref="g1")])
        found = the_one(BreakKind.MISSING_HERE)

        act = do(found, Act.RETURN_MONEY, limits=ALONE)

        with transaction() as session:
            (receipt,) = list_receipts(session, payment.id)
        assert (receipt.amount_fen, receipt.state) == (8_650, ReceiptState.SUSPENDED)
        assert "receipt.suspended" in topics()
        assert told([row_of(payment, gateway_ref="g1")]).balanced
        with pytest.raises(Conflict):
            undo(act.id)
        assert violations() == []

    def test_one_under_way_is_asked_about_first(self):
        payment = a_payment(a_home(8_650))
        told([row_of(payment, gateway_ref="g1")])

        with pytest.raises(Conflict) as refused:
            do(the_one(BreakKind.MISSING_HERE), Act.RETURN_MONEY, limits=ALONE)

        assert refused.value.code == "break.pending"

    def test_the_money_a_payment_is_paid_by_stays_on_its_bill(self):
        """Listed far from our day, its row stands alone."""
        payment = paid()
        far = NOW + timedelta(days=20)
        told([row_of(payment, gateway_ref=payment.gateway_ref, happened_at=far.isoformat())],
             billing_date(far))  # fmt: skip

        with pytest.raises(Conflict) as refused:
            do(the_one(BreakKind.MISSING_HERE), Act.RETURN_MONEY, limits=ALONE)

        assert refused.value.code == "break.paid_by_it"

    def test_what_another_gateway_took_for_the_order_goes_back_there(self):
        payment = paid()
        told([row_of(payment, gateway_ref=payment.gateway_ref)])
        told([row_of(payment, gateway_ref="x1")], by=Other)

        do(the_one(BreakKind.MISSING_HERE), Act.RETURN_MONEY, limits=ALONE)

        with transaction() as session:
            (receipt,) = list_receipts(session, payment.id)
        assert (receipt.source, receipt.source_ref) == ("other", "x1")
        far = FarGateway(code="other", refund_replies=[SENT])
        assert suspense.send_back(receipt.id, {"sandbox": FarGateway(), "other": far}, now=NOW)
        assert balances()["gateway:sandbox"] == 8_650
        assert "gateway:other" not in balances()
        assert violations() == []


class TestWritingTheBanksOff:
    def a_short_payout(self, came_fen: int = 9_998) -> int:
        a_day("alpha", 0, ("payment", 10_100, 100, "x"), ("payout", -10_000, 0, "PO-1"))
        bank_says(Line(came_fen, ref="PO-1"))
        return the_one(BreakKind.AMOUNT_DIFFERS)

    def test_what_is_missing_is_a_difference_and_the_payout_is_settled(self):
        found = self.a_short_payout()

        act = do(found, Act.WRITE_OFF_DIFFERENCE)

        after = balances()
        assert (after["bank"], after["gateway_fees"], after["differences"]) == (9_998, 100, 2)
        assert violations() == []
        match()
        assert (the_break(found).state, violations()) == (BreakState.RESOLVED, [])
        undo(act.id)
        assert (balances(), violations()) == ({}, [])
        match()
        assert the_break(found).state is BreakState.OPEN

    def test_more_than_should_have_come_too(self):
        do(self.a_short_payout(10_002), Act.WRITE_OFF_DIFFERENCE)

        assert (balances()["differences"], violations()) == (-2, [])

    def test_only_within_what_the_city_or_the_source_allows(self):
        found = self.a_short_payout(9_899)

        with pytest.raises(Invalid) as refused:
            do(found, Act.WRITE_OFF_DIFFERENCE)
        assert refused.value.code == "break.above_tolerance"

        wide = {"alpha": SourceTerms(tolerance_fen=101)}
        do(found, Act.WRITE_OFF_DIFFERENCE, limits=LIMITS._replace(sources=wide))

    def test_a_file_that_is_corrected_takes_it_back_by_itself(self):
        found = self.a_short_payout()
        do(found, Act.WRITE_OFF_DIFFERENCE)

        a_day("alpha", 0, ("payment", 10_100, 102, "x"), ("payout", -9_998, 0, "PO-1"))
        match()

        assert "differences" not in balances()
        assert (balances()["bank"], violations()) == (9_998, [])

    def test_a_file_that_is_corrected_and_corrected_back_leaves_it_to_be_decided_anew(self):
        found = self.a_short_payout()
        do(found, Act.WRITE_OFF_DIFFERENCE)
        a_day("alpha", 0, ("payment", 10_100, 102, "x"), ("payout", -9_998, 0, "PO-1"))
        match()
        assert the_break(found).state is BreakState.EXPLAINED

        a_day("alpha", 0, ("payment", 10_100, 100, "x"), ("payout", -10_000, 0, "PO-1"))
        match()

        assert the_break(found).state is BreakState.OPEN
        do(found, Act.WRITE_OFF_DIFFERENCE)
        assert (balances()["differences"], violations()) == (2, [])

    def test_it_stands_when_the_fees_that_go_with_it_change(self):
        act = do(self.a_short_payout(), Act.WRITE_OFF_DIFFERENCE)

        takes("alpha", -1, 500, 10)  # a day before it, whose file comes late
        match()

        after = balances()
        assert (after["bank"], after["gateway_fees"], after["differences"]) == (9_998, 110, 2)
        match()
        assert (balances(), violations()) == (after, [])
        assert the_break(act.break_id).state is BreakState.RESOLVED
        undo(act.id)
        assert (balances(), violations()) == ({}, [])

    def test_its_match_is_undone_at_the_difference_only(self):
        do(self.a_short_payout(), Act.WRITE_OFF_DIFFERENCE)

        with pytest.raises(Conflict) as refused:
            undo_match(the_match(), staff())

        assert refused.value.code == "bank_match.written_off"

    def test_money_in_suspense_under_the_same_number_is_no_part_of_it(self):
        early = Line(9_990, ref="PO-1", no="early")
        bank_says(early)
        do(the_one(BreakKind.UNKNOWN_CREDIT), Act.SUSPEND, limits=ALONE)
        a_day("alpha", 0, ("payment", 10_100, 100, "x"), ("payout", -10_000, 0, "PO-1"))
        bank_says(early, Line(9_998, ref="PO-1", no="late"))

        do(the_one(BreakKind.AMOUNT_DIFFERS), Act.WRITE_OFF_DIFFERENCE)

        after = balances()
        assert (after["bank"], after["suspense:bank"]) == (19_988, -9_990)
        assert violations() == []


class TestManyAtOnce:
    def shown(self, found: list[int]) -> dict[int, repair.Shown]:
        return {one: repair.as_shown(the_break(one)) for one in found}

    def test_gateways_are_asked_about_all_and_each_is_an_act(self):
        found = missing_there(3)
        shown = self.shown(found)
        shown[found[0]] = shown[found[0]]._replace(ours_fen=1)

        with transaction() as session:
            asked = ask_many(
                session, Act.QUERY_AGAIN, shown, reason="not there", by=staff(), now=NOW
            )

        assert asked == Asked(done=2, left=1)
        assert [len(acts_of(one)) for one in found] == [0, 1, 1]
        assert topics(like="break.%") == ["break.questioned"] * 2

    def test_what_nobody_can_be_asked_about_is_left(self):
        found = [an_unknown_credit()]

        with transaction() as session:
            for act in (Act.QUERY_AGAIN, Act.RESEND_WRITE_OFF):
                asked = ask_many(session, act, self.shown(found), reason="x", by=1, now=NOW)
                assert asked == Asked(done=0, left=1)
            with pytest.raises(Invalid):
                ask_many(session, Act.ACCEPT, self.shown(found), reason="x", by=1, now=NOW)

    def test_many_become_somebodys_and_no_colleague_loses_theirs(self):
        found, (mine, other) = missing_there(2), (staff(), staff())
        with transaction() as session:
            workbench.take(session, found[0], by=other)
            assert own_many(session, found, mine, by=mine) == Asked(done=1, left=1)

        assert [the_break(one).owner_id for one in found] == [other, mine]
        with transaction() as session:
            assert own_many(session, found, mine, by=other) == Asked(done=2, left=0)

    def test_only_who_explains_differences_gets_them(self):
        found, resident = differs(), a_person()

        for act in (
            lambda session: workbench.assign(session, found, resident),
            lambda session: own_many(session, [found], resident, by=resident),
        ):
            with pytest.raises(Invalid), transaction() as session:
                act(session)
        with transaction() as session:
            assert workbench.assign(session, found, staff()).owner_id is not None
