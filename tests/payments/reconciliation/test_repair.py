"""People end differences: by named acts with a reason, above a threshold by two, never by edits."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from core.db import transaction
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from identity.models import Role
from payments.gateways.base import GatewayReply, GatewayStatus
from payments.reconciliation.models import BreakState, Leg
from payments.reconciliation.repair import asking, stories, workbench
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair.deciding import Shown, as_shown
from payments.reconciliation.repair.many import Accepted, accept_many
from payments.reconciliation.repair.models import Act, ActState
from tests.factories import (
    NOW,
    FarGateway,
    a_home,
    a_paid_payment,
    a_payment,
    a_person,
    at_once,
    balances,
    items_of,
    topics,
    violations,
)
from tests.payments.reconciliation.repairing import (
    LATER,
    LIMITS,
    a_paid,
    acts_of,
    differs,
    do,
    missing_there,
    newest,
    the_break,
)
from tests.payments.reconciliation.test_matching import a_file, row_of, run

pytestmark = pytest.mark.usefixtures("city")
SMALL = {"limits": LIMITS._replace(approval_above_fen=10_000)}


def approve(act_id: int, by: int) -> Any:
    with transaction() as session:
        return repair.approve(session, act_id, by=by, now=LATER)


def decline(act_id: int, by: int) -> Any:
    with transaction() as session:
        return repair.decline(session, act_id, by=by, now=LATER)


def undo(act_id: int, by: int, reason: str = "it was another one") -> Any:
    with transaction() as session:
        return repair.undo(session, act_id, reason=reason, by=by, now=LATER)


def story_steps(found: int) -> list[stories.Step]:
    with transaction() as session:
        return stories.story_of(session, the_break(found))


def staff() -> int:
    return a_person(Role.STAFF)


class TestAccepting:
    def test_a_small_difference_is_resolved_at_once(self):
        found = differs()

        act = do(found)

        assert (act.state, act.amount_fen) == (ActState.DONE, 2)
        assert (the_break(found).state, the_break(found).closed_at) == (BreakState.RESOLVED, NOW)
        assert balances()["gateway:sandbox"] == 8_650

    def test_nobody_may_be_silent_about_why(self):
        found = differs()

        for silent in ("", " \n", "　"):
            with pytest.raises(Invalid) as refused:
                do(found, reason=silent)
            assert refused.value.code == "break.reason"
        assert the_break(found).state is BreakState.OPEN

    def test_what_changed_since_it_was_shown_is_looked_at_again(self):
        payment = a_paid()
        found = differs(payment=payment)
        seen = as_shown(the_break(found))
        run(a_file([row_of(payment, amount="86.00")]), now=LATER)

        with pytest.raises(Conflict) as refused:
            do(found, shown=seen)

        assert refused.value.code == "break.changed"
        assert acts_of(found) == []

    def test_sent_twice_it_is_one_act_and_another_one_is_refused(self):
        found, person = differs(), staff()

        assert do(found, by=person).id == do(found, by=person).id
        with pytest.raises(Conflict) as refused:
            do(found)
        assert refused.value.code == "break.resolved"
        assert len(acts_of(found)) == 1

    def test_what_a_run_has_explained_needs_nobody(self):
        payment = a_paid()
        found = differs(payment=payment)
        run(a_file([row_of(payment)]), now=LATER)

        with pytest.raises(Conflict) as refused:
            do(found)

        assert refused.value.code == "break.explained"

    def test_two_at_one_moment_are_one_act(self):
        found = differs()
        people = [staff(), staff()]

        results = at_once([lambda by=by: do(found, by=by) for by in people])

        assert sorted(type(one).__name__ for one in results) == ["BreakAct", "Conflict"]
        assert len(acts_of(found)) == 1

    def test_there_is_no_such_difference(self):
        with pytest.raises(NotFound):
            do(7, shown=Shown(repair.BreakKind.DUPLICATE, 1, 2))


class TestTwoPeople:
    def test_above_the_threshold_a_colleague_approves(self):
        (found,) = missing_there()
        act = do(found)
        assert (act.state, the_break(found).state) == (ActState.PROPOSED, BreakState.OPEN)

        colleague = staff()
        assert approve(act.id, colleague).id == approve(act.id, colleague).id

        assert the_break(found).state is BreakState.RESOLVED
        assert acts_of(found)[0].approved_by == colleague

    def test_exactly_the_threshold_is_one_persons(self):
        (found,) = missing_there()

        act = do(found, limits=LIMITS._replace(approval_above_fen=8_650))

        assert act.state is ActState.DONE

    def test_nobody_approves_their_own(self):
        (found,) = missing_there()
        person = staff()
        act = do(found, by=person)

        with pytest.raises(NotAllowed) as refused:
            approve(act.id, person)

        assert refused.value.code == "break.same_person"
        assert the_break(found).state is BreakState.OPEN

    def test_the_database_refuses_it_too(self):
        (found,) = missing_there()
        do(found)

        for rule, change in {
            "two_people": "approved_by = proposed_by, approved_at = now(), done_at = now()",
            "approved_if_needed": "done_at = now()",
        }.items():
            with pytest.raises(IntegrityError, match=rule), transaction() as session:
                session.execute(text(f"UPDATE break_act SET {change}"))

    def test_while_it_waits_nothing_else_is_done(self):
        (found,) = missing_there()
        do(found)

        with pytest.raises(Conflict) as refused:
            do(found)

        assert refused.value.code == "break.proposed"

    def test_declined_it_may_be_proposed_anew(self):
        (found,) = missing_there()
        act, colleague = do(found), staff()

        assert decline(act.id, colleague).state is ActState.DECLINED
        decline(act.id, colleague)
        with pytest.raises(Conflict) as refused:
            approve(act.id, staff())
        assert refused.value.code == "break.decided"

        assert do(found).state is ActState.PROPOSED

    def test_a_difference_that_changed_while_it_waited_is_not_approved(self):
        payment = a_paid()
        found = differs(theirs="1.00", payment=payment)
        act = do(found)
        run(a_file([row_of(payment, amount="2.00")]), now=LATER)

        with pytest.raises(Conflict) as refused:
            approve(act.id, staff())

        assert refused.value.code == "break.changed"

    def test_two_who_approve_at_one_moment_resolve_it_once(self):
        (found,) = missing_there()
        act, people = do(found), [staff(), staff()]

        results = at_once([lambda by=by: approve(act.id, by) for by in people])

        assert sorted(type(one).__name__ for one in results) == ["BreakAct", "Conflict"]
        assert the_break(found).state is BreakState.RESOLVED


class TestUndoing:
    def test_a_counter_act_opens_it_again_as_old_as_it_was(self):
        found = differs()
        act, before = do(found), the_break(found)

        undo(act.id, staff())

        after = the_break(found)
        assert (after.state, after.closed_at) == (BreakState.OPEN, None)
        assert (after.found_at, after.due_at) == (before.found_at, before.due_at)
        assert [one.act for one in acts_of(found)] == [Act.ACCEPT, Act.UNDO]
        assert acts_of(found)[0].state is ActState.UNDONE
        assert acts_of(found)[1].undoes_id == act.id

    def test_it_is_undone_once(self):
        found = differs()
        act = do(found)
        results = at_once([lambda: undo(act.id, staff()) for _ in range(2)])

        assert sorted(type(one).__name__ for one in results) == ["BreakAct", "Conflict"]
        with pytest.raises(Conflict) as refused:
            undo(acts_of(found)[1].id, staff())
        assert refused.value.code == "break.nothing_to_undo"

    def test_what_somebody_did_is_never_edited(self):
        do(differs())

        for change in ("reason = 'other'", "amount_fen = 0", "proposed_by = 1"):
            with pytest.raises(ProgrammingError, match="permission"), transaction() as session:
                session.execute(text(f"UPDATE break_act SET {change}"))
        with pytest.raises(ProgrammingError, match="permission"), transaction() as session:
            session.execute(text("DELETE FROM break_act"))

    def test_an_act_about_a_difference_that_a_run_found_changed_gives_way(self):
        payment = a_paid()
        found = differs(payment=payment)
        do(found, Act.WRITE_OFF_DIFFERENCE)
        run(a_file([row_of(payment, amount="86.49")]), now=LATER)
        assert the_break(found).state is BreakState.OPEN

        do(found, Act.WRITE_OFF_DIFFERENCE, now=LATER)

        assert [one.act for one in acts_of(found)] == [
            Act.WRITE_OFF_DIFFERENCE, Act.UNDO, Act.WRITE_OFF_DIFFERENCE,
        ]  # fmt: skip
        assert balances()["differences"] == 1


class TestWritingOff:
    @pytest.mark.parametrize(("theirs", "fen"), [("86.48", 2), ("86.51", -1)])
    def test_a_few_fen_stand_on_their_own_account_and_undone_they_do_not(self, theirs, fen):
        found = differs(theirs=theirs)

        act = do(found, Act.WRITE_OFF_DIFFERENCE)

        assert balances()["differences"] == fen
        assert balances()["gateway:sandbox"] == 8_650 - fen
        assert violations() == []
        undo(act.id, staff())
        assert "differences" not in balances()
        assert (balances()["gateway:sandbox"], violations()) == (8_650, [])

    def test_the_same_file_again_finds_it_resolved(self):
        payment = a_paid()
        found = differs(payment=payment)
        do(found, Act.WRITE_OFF_DIFFERENCE)

        run(a_file([row_of(payment, amount="86.48")]), now=LATER)

        assert the_break(found).state is BreakState.RESOLVED

    @pytest.mark.parametrize("found_otherwise_between", [False, True])
    def test_when_a_corrected_file_ends_the_difference_its_money_is_back(
        self, found_otherwise_between
    ):
        payment = a_paid()
        found = differs(payment=payment)
        act = do(found, Act.WRITE_OFF_DIFFERENCE)
        if found_otherwise_between:
            run(a_file([row_of(payment, amount="86.40")]), now=LATER)

        for _ in range(2):
            run(a_file([row_of(payment)]), now=LATER)

            assert the_break(found).state is BreakState.EXPLAINED
            assert "differences" not in balances()
            assert (balances()["gateway:sandbox"], violations()) == (8_650, [])
        (taken_back,) = acts_of(found)
        assert (taken_back.state, taken_back.undone_by) == (ActState.UNDONE, None)
        with pytest.raises(Conflict):
            undo(act.id, staff())
        assert "taken_back" in [step.what for step in story_steps(found)]

    def test_exactly_the_tolerance_goes_and_a_fen_more_does_not(self):
        run(a_file([row_of(a_paid(), amount="85.50"), row_of(a_paid(), amount="85.49")]))
        more = newest()
        exactly = more - 1
        if the_break(more).theirs_fen == 8_550:
            exactly, more = more, exactly

        do(exactly, Act.WRITE_OFF_DIFFERENCE)
        with pytest.raises(Invalid) as refused:
            do(more, Act.WRITE_OFF_DIFFERENCE)

        assert refused.value.code == "break.above_tolerance"
        assert balances()["differences"] == 100

    def test_only_amounts_that_differ_are_written_off(self):
        (found,) = missing_there()

        with pytest.raises(Invalid) as refused:
            do(found, Act.WRITE_OFF_DIFFERENCE)

        assert refused.value.code == "break.wrong_act"


class TestAsking:
    def ask(self, found: int, *replies: GatewayReply) -> FarGateway:
        act = do(found, Act.QUERY_AGAIN)
        assert topics(like="break.%") == ["break.questioned"]
        far = FarGateway(replies=list(replies))
        for _ in replies:
            asking.ask(act.id, {"sandbox": far}, now=LATER)
        return far

    def test_the_answer_is_kept_and_the_difference_stays_open(self):
        (found,) = missing_there()

        self.ask(found, GatewayReply(status=GatewayStatus.NOT_FOUND))

        (act,) = acts_of(found)
        assert (act.answer, act.answered_at) == ("not_found", LATER)
        assert the_break(found).state is BreakState.OPEN
        assert violations() == []

    def test_an_answer_that_says_nothing_is_asked_for_again_and_one_that_does_is_not(self):
        (found,) = missing_there()

        far = self.ask(found, GatewayReply(status=GatewayStatus.UNKNOWN),
                       GatewayReply(status=GatewayStatus.CLOSED))  # fmt: skip
        with transaction() as session:
            (act,) = repair.list_acts(session, found)
            assert asking.ask_again_seconds(session, act.id, now=LATER) > 0
        assert asking.ask(act.id, {"sandbox": far}, now=LATER)

        assert [what for what, _ in far.asked] == ["query", "query"]
        assert acts_of(found)[0].answer == "closed"

    def test_money_we_did_not_know_of_is_booked(self):
        payment = a_payment(a_home(8_650))
        run(a_file([row_of(payment, gateway_ref="G1", amount="86.50")]))
        found = differs_missing_here()

        self.ask(found, GatewayReply(status=GatewayStatus.PAID, amount_fen=8_650,
                                     gateway_ref="G1", paid_at=NOW))  # fmt: skip

        assert acts_of(found)[0].answer == "paid ¥86.50 G1"
        assert balances()["gateway:sandbox"] == 8_650
        run(a_file([row_of(payment, gateway_ref="G1", amount="86.50")]), now=LATER)
        assert the_break(found).state is BreakState.EXPLAINED

    def test_an_order_that_is_none_of_ours_is_not_asked_about(self):
        run(a_file([row_of(a_paid(), order_no="NOBODYS", gateway_ref="nobodys")]))
        found = differs_missing_here()

        with pytest.raises(NotFound) as refused:
            do(found, Act.QUERY_AGAIN)

        assert refused.value.code == "break.not_ours"
        assert acts_of(found) == []


def differs_missing_here() -> int:
    with transaction() as session:
        return int(
            session.execute(
                text("SELECT id FROM reconciliation_break WHERE kind = 'missing_here'")
            ).scalar_one()
        )


class TestSendingAWriteOffAgain:
    def a_company_break(self, reference: str) -> int:
        with transaction() as session:
            return int(
                session.execute(
                    text(
                        "INSERT INTO reconciliation_break (leg, source, day, kind, row_kind,"
                        " reference, ours_fen, found_at, due_at, state) VALUES (:leg, 'water',"
                        " '2026-11-20', 'paid_not_written_off', 'write_off', :reference, 4000,"
                        " :now, :now, 'open') RETURNING id"
                    ),
                    {"leg": Leg.COMPANY, "reference": reference, "now": NOW},
                ).scalar_one()
            )

    def test_the_job_runs_again_under_its_number_and_the_difference_stays_open(self):
        item = items_of(a_paid())[0]
        found = self.a_company_break(item.write_off_no)

        do(found, Act.RESEND_WRITE_OFF)

        assert topics(like="write_off.%") == ["write_off.due", "write_off.due"]
        assert the_break(found).state is BreakState.OPEN
        assert acts_of(found)[0].state is ActState.DONE

    def test_what_the_company_has_answered_is_not_sent_again(self):
        payment = a_paid_payment(a_home(8_650))
        item = items_of(payment)[0]
        with transaction() as session:
            session.execute(text("UPDATE payment_item SET outcome = 'written_off'"))
        found = self.a_company_break(item.write_off_no)

        with pytest.raises(Conflict) as refused:
            do(found, Act.RESEND_WRITE_OFF)

        assert refused.value.code == "break.answered"


class TestMany:
    def test_each_gets_an_act_of_its_own_with_the_one_reason(self):
        found = missing_there(3)
        shown = {one: as_shown(the_break(one)) for one in found}
        changed = shown | {found[1]: shown[found[1]]._replace(ours_fen=1)}
        person = staff()

        with transaction() as session:
            done = accept_many(
                session, changed, reason="the day after", by=person, now=NOW,
                limits=LIMITS._replace(approval_above_fen=17_300),
            )  # fmt: skip

        assert done == Accepted(resolved=2, proposed=0, left=1)
        assert [the_break(one).state for one in found] == [
            BreakState.RESOLVED, BreakState.OPEN, BreakState.RESOLVED,
        ]  # fmt: skip
        acts = [act for one in found for act in acts_of(one)]
        assert {(act.reason, act.proposed_by, act.amount_fen) for act in acts} == {
            ("the day after", person, 8_650)
        }

    def test_together_they_count_to_the_threshold(self):
        found = missing_there(2)
        shown = {one: as_shown(the_break(one)) for one in found}

        with transaction() as session:
            done = accept_many(
                session, shown, reason="the day after", by=staff(), now=NOW,
                limits=LIMITS._replace(approval_above_fen=17_299),
            )  # fmt: skip

        assert done == Accepted(resolved=0, proposed=2, left=0)
        assert {the_break(one).state for one in found} == {BreakState.OPEN}
        with transaction() as session:
            again = accept_many(session, shown, reason="x", by=staff(), limits=LIMITS, now=NOW)
        assert again == Accepted(resolved=0, proposed=0, left=2)

    def test_two_at_one_moment_accept_each_difference_once(self):
        found = missing_there(4)
        shown = {one: as_shown(the_break(one)) for one in found}
        limits = LIMITS._replace(approval_above_fen=10**9)

        def accept(by: int) -> Accepted:
            with transaction() as session:
                return accept_many(session, shown, reason="x", by=by, limits=limits, now=NOW)

        one, other = at_once([lambda by=by: accept(by) for by in (staff(), staff())])

        assert one.resolved + other.resolved == 4
        assert [len(acts_of(each)) for each in found] == [1, 1, 1, 1]


class TestOwning:
    def test_somebody_takes_it_and_a_colleague_does_not_take_it_away(self):
        found, person = differs(), staff()
        for _ in range(2):
            with transaction() as session:
                assert workbench.take(session, found, by=person).owner_id == person

        with pytest.raises(Conflict) as refused, transaction() as session:
            workbench.take(session, found, by=staff())
        assert refused.value.code == "break.taken"

        with transaction() as session:
            assert workbench.release(session, found).owner_id is None


class TestFinding:
    def test_pages_follow_each_other_by_age_and_name_each_once(self):
        found = missing_there(5)
        wanted = workbench.Filter()
        pages: list[list[int | None]] = []
        after = None
        with transaction() as session:
            while rows := workbench.find_breaks(session, wanted, now=NOW, after=after, limit=2):
                pages.append([one.id for one in rows])
                after = rows[-1].id
            assert [one.id for one in workbench.every_break(session, wanted, now=NOW)] == found

        assert pages == [found[:2], found[2:4], found[4:]]

    @pytest.mark.parametrize(
        ("days", "age"),
        [(0, workbench.Age.TODAY), (1, workbench.Age.DAYS), (3, workbench.Age.DAYS),
         (4, workbench.Age.OLDER)],
    )  # fmt: skip
    def test_ages_are_counted_in_days_of_the_city(self, days, age):
        missing_there()
        now = NOW + timedelta(days=days)

        with transaction() as session:
            (counted,) = workbench.count_open(session, workbench.Filter(), now=now)
            assert {one: getattr(counted, one.value) for one in workbench.Age} == {
                one: int(one is age) for one in workbench.Age
            }
            for one in workbench.Age:
                rows = workbench.find_breaks(session, workbench.Filter(age=one), now=now)
                assert len(rows) == int(one is age)
