"""A payment that came another way is joined with what settled it: their row, or our bank's."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotFound
from payments.gateways.base import GatewayStatus
from payments.models import Payment
from payments.reconciliation.bank.desk import How, Wanted, find_entries, view_entry
from payments.reconciliation.models import BreakKind, BreakState, ReconciliationBreak
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import workbench
from payments.reconciliation.repair.joining import ways_of
from payments.reconciliation.repair.models import Act, ActState
from payments.reconciliation.repair.stories import story_of
from tests.factories import (
    NOW,
    a_home,
    a_paid_payment,
    a_payment,
    balances,
    book,
    topics,
    violations,
)
from tests.payments.reconciliation.banking import Line, bank_says, match, the_entry
from tests.payments.reconciliation.repairing import LATER, acts_of, do, the_break
from tests.payments.reconciliation.test_leftovers import NEXT, Other, left, matches, paid, told
from tests.payments.reconciliation.test_matching import row_of
from tests.payments.reconciliation.test_repair_acts import ALONE, staff, the_one, undo

pytestmark = pytest.mark.usefixtures("city")
ENTRY = "account-1 2026-11-21 E7"


def ways(break_id: int) -> list[str]:
    with transaction() as session:
        return [one.name for one in ways_of(session, repair.get_break(session, break_id))]


def ours_of_all() -> list[ReconciliationBreak]:
    """Return the open differences of payments of ours, the first paid first."""
    with transaction() as session:
        found = workbench.find_breaks(session, workbench.Filter(), now=NOW)
    return sorted((one for one in found if one.ours_fen is not None), key=lambda one: one.reference)


def entries_of(how: How) -> list[tuple[str | None, bool]]:
    with transaction() as session:
        found = find_entries(session, Wanted(how))
        return [(one.matched_by, one.is_suspended) for one in found]


def story(break_id: int) -> list[tuple[str, str | None]]:
    with transaction() as session:
        steps = story_of(session, repair.get_break(session, break_id))
    return [(one.what, one.reference) for one in steps]


class TestOurBanksEntry:
    @pytest.fixture
    def ours(self) -> int:
        """A payment that no file has, and its money in our bank, under its number."""
        payment = paid()
        told([])
        bank_says(Line(8_650, ref=payment.order_no, no="E7"))
        return the_one(BreakKind.OTHER_ROUTE)

    def test_it_is_the_payments_money_because_a_person_says_so(self, ours):
        act = do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)

        assert (act.state, act.target) == (ActState.DONE, ENTRY)
        assert (the_break(ours).state, left()) == (BreakState.RESOLVED, [])
        assert the_break(the_one(BreakKind.UNKNOWN_CREDIT)).state is BreakState.EXPLAINED
        after = balances()
        assert (after["bank"], violations()) == (8_650, [])
        assert not {"gateway:sandbox", "suspense:bank"} & {*after}

    def test_so_it_stays_through_runs_of_either_leg(self, ours):
        do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)

        assert match().open == 0
        told([])

        assert (the_break(ours).state, left(), matches()) == (BreakState.RESOLVED, [], [])
        assert violations() == []

    def test_undone_it_is_as_it_was(self, ours):
        before, books = left(), balances()
        act = do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)

        undo(act.id)

        assert (left(), the_break(ours).state, balances()) == (before, BreakState.OPEN, books)
        assert "bank_match.decided" in topics()
        match()
        assert the_break(the_one(BreakKind.UNKNOWN_CREDIT)).state is BreakState.OPEN
        assert violations() == []

    def test_and_may_be_said_anew(self, ours):
        undo(do(ours, Act.REMATCH, target=ENTRY, limits=ALONE).id)

        do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)

        assert (the_break(ours).state, balances()["bank"]) == (BreakState.RESOLVED, 8_650)
        assert violations() == []

    def test_above_the_threshold_a_colleague_approves_and_then_it_moves(self, ours):
        act = do(ours, Act.REMATCH, target=ENTRY)
        assert (act.state, balances().get("bank")) == (ActState.PROPOSED, None)

        with transaction() as session:
            repair.approve(session, act.id or 0, by=staff(), now=LATER)

        assert (left(), balances()["bank"]) == ([], 8_650)

    def test_taken_for_something_else_meanwhile_it_is_not_approved(self, ours):
        act = do(ours, Act.REMATCH, target=ENTRY)
        do(the_one(BreakKind.UNKNOWN_CREDIT), Act.SUSPEND, limits=ALONE)

        with pytest.raises((NotFound, Conflict)), transaction() as session:
            repair.approve(session, act.id or 0, by=staff(), now=LATER)

        assert (balances()["suspense:bank"], violations()) == (-8_650, [])

    def test_eight_people_at_one_moment_move_it_once(self, ours):
        people = [staff() for _ in range(8)]

        def say(person: int) -> None:
            with suppress(CityBillError):
                do(ours, Act.REMATCH, target=ENTRY, limits=ALONE, by=person)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(say, people))

        assert [one.state for one in acts_of(ours)] == [ActState.DONE]
        assert (balances()["bank"], violations()) == (8_650, [])

    def test_its_life_tells_by_what_it_was_settled(self, ours):
        do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)

        told_of = story(ours)

        assert ("settled_by", ENTRY) in told_of
        assert ("entry", "E7") in told_of

    def test_the_entry_says_what_it_settles_and_proposes_nothing_else(self, ours):
        do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)

        with transaction() as session:
            view = view_entry(session, the_entry(8_650).id or 0)

        assert view.settles is not None
        assert (view.settles.id, view.is_suspended) == (ours, True)
        listed = {how: entries_of(how) for how in How}
        assert {how for how, found in listed.items() if found} == {How.MATCHED, How.PERSON}
        assert listed[How.MATCHED] == [("person", False)]

    def test_another_payment_of_that_sum_is_not_settled_by_it_too(self, ours):
        do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)
        second = paid()
        told([])
        other = next(one for one in left() if one[1] == second.order_no)

        assert other[0] == "missing_at_gateway"
        assert ways(the_one(BreakKind.MISSING_AT_GATEWAY)) == []


class TestARowOfTheirs:
    def test_at_another_gateway_its_money_moves_there(self):
        payment = paid()
        told([])
        told([row_of(payment, gateway_ref="o1")], by=Other)
        ours = the_one(BreakKind.OTHER_ROUTE, "sandbox")
        name = f"other 2026-11-20 {payment.order_no}"

        act = do(ours, Act.REMATCH, target=name, limits=ALONE)

        assert (left(), left(source="other")) == ([], [])
        assert the_break(the_one(BreakKind.OTHER_ROUTE, "other")).state is BreakState.EXPLAINED
        after = balances()
        assert after["gateway:other"] == 8_650
        assert "gateway:sandbox" not in after
        undo(act.id)
        assert left() == left(source="other") == [("other_route", payment.order_no)]
        assert (balances()["gateway:sandbox"], violations()) == (8_650, [])

    def test_of_another_order_of_the_same_bill_nothing_moves(self):
        home = a_home(8_650)
        first = book(a_payment(home), GatewayStatus.CLOSED)
        second = a_paid_payment(home)
        told([row_of(first, gateway_ref="g1")])
        books = balances()
        [ours] = ours_of_all()

        do(ours.id or 0, Act.REMATCH, target=f"sandbox 2026-11-20 {first.order_no}", limits=ALONE)

        assert (ours.reference, left(), balances()) == (second.order_no, [], books)
        assert violations() == []

    def test_a_strangers_row_is_offered_for_a_payment_that_no_file_has(self):
        payment = paid()
        told([row_of(payment, order_no="NOBODYS", gateway_ref="s1")])
        ours = the_one(BreakKind.MISSING_AT_GATEWAY)
        assert ways(ours) == ["sandbox 2026-11-20 NOBODYS"]

        do(ours, Act.REMATCH, target="sandbox 2026-11-20 NOBODYS", limits=ALONE)

        assert left() == []
        told([row_of(payment, order_no="NOBODYS", gateway_ref="s1")])
        assert (left(), the_break(ours).state) == ([], BreakState.RESOLVED)

    def test_what_settled_one_payment_settles_no_other(self):
        first, second = paid(), paid()
        told([row_of(first, order_no="NOBODYS", gateway_ref="s1")])
        ours = ours_of_all()
        name = "sandbox 2026-11-20 NOBODYS"
        do(ours[0].id or 0, Act.REMATCH, target=name, limits=ALONE)

        with pytest.raises(NotFound) as refused:
            do(ours[1].id or 0, Act.REMATCH, target=name, limits=ALONE)

        assert refused.value.code == "break.no_way"
        assert left() == [("missing_at_gateway", second.order_no)]

    @pytest.mark.parametrize("target", ["", "sandbox 2026-11-20 CB-nothing", "NOBODYS"])
    def test_it_must_be_one_that_waits(self, target):
        payment = paid()
        told([row_of(payment, order_no="NOBODYS", gateway_ref="s1", amount="86.49")])
        ours = the_one(BreakKind.MISSING_AT_GATEWAY)

        with pytest.raises((Invalid, NotFound)) as refused:
            do(ours, Act.REMATCH, target=target)

        assert refused.value.code in {"break.no_target", "break.no_way"}
        assert (acts_of(ours), ways(ours)) == ([], [])


class TestTheGatewayListsItAfterAll:
    @pytest.fixture
    def joined(self) -> tuple[int, Payment]:
        """A payment whose money a person found in our bank."""
        payment = paid()
        told([])
        bank_says(Line(8_650, ref=payment.order_no, no="E7"))
        ours = the_one(BreakKind.OTHER_ROUTE)
        do(ours, Act.REMATCH, target=ENTRY, limits=ALONE)
        return ours, payment

    @staticmethod
    def undo_it(break_id: int) -> None:
        [act] = [one for one in acts_of(break_id) if one.state is ActState.DONE]
        undo(act.id)

    def test_in_the_file_of_that_day_it_is_open_again_as_listed_twice(self, joined):
        ours, payment = joined

        told([row_of(payment)])

        assert left() == [("duplicate", payment.order_no)]
        again = the_break(ours)
        assert (again.state, again.elsewhere) == (BreakState.OPEN, ENTRY)
        told([row_of(payment)])
        assert left() == [("duplicate", payment.order_no)]

    def test_undone_everything_is_explained_but_the_banks_money(self, joined):
        ours, payment = joined
        told([row_of(payment)])

        self.undo_it(ours)

        assert (left(), the_break(ours).state) == ([], BreakState.EXPLAINED)
        assert balances()["gateway:sandbox"] == 8_650
        match()
        assert the_break(the_one(BreakKind.UNKNOWN_CREDIT)).state is BreakState.OPEN
        assert violations() == []

    def test_nothing_else_is_done_about_it_until_then(self, joined):
        ours, payment = joined
        told([row_of(payment)])

        for act in (Act.ACCEPT, Act.QUERY_AGAIN):
            with pytest.raises(Conflict) as refused:
                do(ours, act, limits=ALONE)
            assert refused.value.code == "break.listed_after_all"

        assert (the_break(ours).state, violations()) == (BreakState.OPEN, [])

    def test_in_the_file_of_the_day_after_that_row_is_listed_twice(self, joined):
        ours, payment = joined

        told([row_of(payment, happened_at="2026-11-20T16:30:00Z")], day=NEXT)

        assert left(source="sandbox") == []
        assert left(NEXT) == [("duplicate", payment.order_no)]
        self.undo_it(ours)
        assert (left(NEXT), left(), violations()) == ([], [], [])

    def test_of_a_row_at_another_gateway_both_are_told(self):
        payment = paid()
        told([])
        told([row_of(payment, gateway_ref="o1")], by=Other)
        ours = the_one(BreakKind.OTHER_ROUTE, "sandbox")
        do(ours, Act.REMATCH, target=f"other 2026-11-20 {payment.order_no}", limits=ALONE)

        told([row_of(payment)])

        assert left() == [("duplicate", payment.order_no)]
        assert left(source="other") == [("missing_here", payment.order_no)]
        self.undo_it(ours)
        assert (left(), balances()["gateway:sandbox"], violations()) == ([], 8_650, [])
