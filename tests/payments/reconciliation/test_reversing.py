"""A company is asked to take back what it wrote off and nobody paid here: by two, and once."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import Conflict, Invalid, NotAllowed, NotFound, UpstreamUnavailable
from identity.models import Role
from payments.gateways.base import GatewayStatus
from payments.models import PaymentItem
from payments.reconciliation.company.lists import reconcile_company
from payments.reconciliation.models import BreakState
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import reversing, workbench
from payments.reconciliation.repair.models import Act, ActState, BreakAct
from payments.reconciliation.repair.stories import story_of
from providers.base import UtilityClient
from providers.clients import http
from tests.factories import (
    NOW,
    a_home,
    a_payment,
    a_person,
    at_once,
    book,
    items_of,
    topics,
)
from tests.payments.reconciliation.company_days import a_paid_part, accept, refuse, row_of, run
from tests.payments.reconciliation.repairing import LIMITS, acts_of, do, newest, the_break
from tests.payments.reconciliation.test_company_http import paid, remember
from tests.providers.clients.companies import FarCompany, running_company

pytestmark = pytest.mark.usefixtures("city")
ASKABLE = LIMITS._replace(approval_above_fen=10**9, taking_back=frozenset({"water"}))
REVERSE = Act.REVERSE_WRITE_OFF


def disowned() -> int:
    """A difference: the company wrote off what goes back to its payer."""
    run([row_of(refuse(a_paid_part()))])
    return newest()


def ask(break_id: int, **changes: Any) -> BreakAct:
    return do(break_id, REVERSE, **{"limits": ASKABLE} | changes)


def approve(act: BreakAct, by: int | None = None) -> BreakAct:
    with transaction() as session:
        return repair.approve(session, act.id or 0, by=by or a_person(Role.STAFF), now=NOW)


class TestWhoDecides:
    def test_it_is_suggested_and_waits_for_a_colleague_whatever_the_sum(self):
        found = disowned()

        act = ask(found)

        assert repair.acts_for(the_break(found), ASKABLE) == [REVERSE, Act.ACCEPT]
        assert (act.state, act.needs_two, act.target) == (ActState.PROPOSED, True, None)
        assert topics(like="reversal.%") == []
        with transaction() as session:
            assert workbench.count_proposed(session) == 1

    def test_who_proposes_it_cannot_approve_it(self):
        person = a_person(Role.STAFF)
        act = ask(disowned(), by=person)

        with pytest.raises(NotAllowed):
            approve(act, by=person)

    def test_approved_it_is_asked_and_the_difference_stays_open(self):
        found = disowned()

        act = approve(ask(found))

        assert act.state is ActState.DONE
        assert topics(like="reversal.%") == ["reversal.due"]
        assert the_break(found).state is BreakState.OPEN
        with transaction() as session:
            assert workbench.count_proposed(session) == 0

    def test_declined_nobody_is_asked_and_it_may_be_proposed_again(self):
        found = disowned()
        with transaction() as session:
            repair.decline(session, ask(found).id or 0, by=a_person(Role.STAFF), now=NOW)

        assert ask(found, reason="after all").state is ActState.PROPOSED
        assert topics(like="reversal.%") == []

    def test_while_the_company_has_not_answered_it_is_not_asked_for_something_else(self):
        found = disowned()
        approve(ask(found))

        with pytest.raises(Conflict, match="has not answered yet"):
            ask(found)
        assert len(acts_of(found)) == 1

    def test_two_who_propose_it_at_once_make_one_proposal(self):
        found = disowned()
        people = [a_person(Role.STAFF) for _ in range(4)]

        said = at_once([lambda by=by: ask(found, by=by) for by in people])

        assert sum(isinstance(one, BreakAct) for one in said) == 1
        assert {type(one) for one in said} == {BreakAct, Conflict}
        assert len(acts_of(found)) == 1


class TestWhenItIsRefused:
    def test_a_company_without_such_a_call_is_written_to(self):
        found = disowned()

        assert repair.acts_for(the_break(found), LIMITS) == [Act.ACCEPT]
        with pytest.raises(Invalid, match="does not help"):
            ask(found, limits=LIMITS)

    def test_what_is_paid_here_is_never_taken_back(self):
        """Its number stands in the list with another bill: taking it back would hit ours."""
        item = accept(a_paid_part())
        run([row_of(item, bill="SOMEBODYS")])

        with pytest.raises(Conflict, match="which bill it means"):
            ask(newest())

    def test_a_row_without_our_number_cannot_be_named(self):
        run([row_of(refuse(a_paid_part()), number="")])

        with pytest.raises(NotFound, match="write to the company"):
            ask(newest())

    def test_what_was_paid_since_it_was_approved_is_not_asked_any_more(self):
        payment = book(a_payment(a_home(8_650)), GatewayStatus.CLOSED, now=NOW)
        (item,) = items_of(payment)
        run([row_of(item)])
        found = newest()
        act = approve(ask(found))
        book(payment, GatewayStatus.PAID, now=NOW)  # the late "paid" wins

        assert reversing.reverse(act.id or 0, {}, now=NOW)

        assert acts_of(found)[0].answer == "held"

    def test_a_company_that_cannot_be_asked_any_more_is_named(self):
        act = approve(ask(disowned()))

        with pytest.raises(NotFound, match="water cannot be asked"):
            reversing.reverse(act.id or 0, {}, now=NOW)


@dataclass
class Far:
    """City Water, which wrote off today what went back here, and the difference it makes."""

    company: FarCompany
    client: UtilityClient
    item: PaymentItem
    found: int

    def reverse(self) -> bool:
        act = acts_of(self.found)[0]
        return reversing.reverse(act.id or 0, {"water": self.client}, now=NOW)

    def run_the_list(self) -> None:
        """Ask for today's list, as it is now, and match it."""
        today = billing_date(utc_now())
        content = self.client.fetch_confirmations(today).content  # type: ignore[attr-defined]
        with transaction() as session:
            reconcile_company(
                session, "water", io.BytesIO(content), day=today, file_name="w", now=utc_now()
            )


@pytest.fixture
def far(city: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    monkeypatch.setattr(http, "TIMEOUT", httpx.Timeout(1))
    (item,) = paid("water", 8_650)
    remember("water", tmp_path, [(item, utc_now())])
    refuse(item, at=utc_now())
    with running_company("water", tmp_path, "--slow-ms", "2000") as company:
        made = Far(company, company.make_client(), item, 0)
        made.run_the_list()
        made.found = newest()
        approve(ask(made.found))
        yield made
        made.client.close()  # type: ignore[attr-defined]


class TestOverTheWire:
    def test_the_company_takes_it_back_and_its_next_list_explains_the_difference(self, far: Far):
        assert far.reverse()
        assert far.reverse()  # the job runs again

        (act,) = acts_of(far.found)
        assert (act.answer or "").startswith("reversed WR")
        assert the_break(far.found).state is BreakState.OPEN

        far.run_the_list()

        assert the_break(far.found).state is BreakState.EXPLAINED
        with transaction() as session:
            told = [step.what for step in story_of(session, the_break(far.found))]
        assert {"reverse_write_off_proposed", "approved", "company_answered"} < set(told)
        assert "list_reversed" in told

    @pytest.mark.parametrize("fault", ["error", "silent", "slow", "garbage", "twice"])
    def test_without_a_clear_answer_it_is_asked_again_under_the_same_number(
        self, far: Far, fault: str
    ):
        far.company.switch(fault, "reverse", 1)

        assert not far.reverse()
        assert acts_of(far.found)[0].answered_at is None

        assert far.reverse()
        assert (acts_of(far.found)[0].answer or "").startswith("reversed")
        far.run_the_list()  # a second reversal would stand in it, and be a difference
        assert the_break(far.found).state is BreakState.EXPLAINED

    def test_a_no_is_kept_and_it_may_be_proposed_again(self, far: Far):
        far.company.switch("refuse", "reverse", 1)

        assert far.reverse()

        assert acts_of(far.found)[0].answer == "kept the account is closed"
        far.run_the_list()
        assert the_break(far.found).state is BreakState.OPEN
        assert ask(far.found, reason="they promised by telephone").state is ActState.PROPOSED

    def test_while_nobody_listens_nothing_is_known(self, far: Far):
        far.company.switch("down")
        far.company.wait(listening=False)
        try:
            with pytest.raises(UpstreamUnavailable):
                far.reverse()
        finally:
            far.company.recover()

        assert far.reverse()
