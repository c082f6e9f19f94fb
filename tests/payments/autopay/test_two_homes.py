"""One account, two homes: whose autopay pays a bill, and that it is paid once."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from billing.homes.households import bind_accounts, create_household
from billing.models import HouseholdMember, MemberRole
from core.db import transaction
from payments.autopay.leaving import end_lost
from payments.autopay.rules import NotPaid
from payments.autopay.states import MandateStatus, RunState
from tests.factories import NOW, Home, a_home, a_person, at_once, the_bill, topics, violations
from tests.payments.autopay.autopaying import (
    FarDebits,
    a_mandate,
    after,
    debit,
    debit_all,
    live_through,
    noon,
    plan,
    runs,
    the_mandate,
    the_run,
)

pytestmark = pytest.mark.usefixtures("city")

DUE = date(2026, 11, 30)
TELL_ON, AFTER = DUE - timedelta(days=5), DUE + timedelta(days=1)


def another_home(home: Home) -> Home:
    """A household of somebody else's that has the same account."""
    owner_id = a_person(name="李雷")
    with transaction() as session:
        theirs = create_household(session, name="李家", owner_id=owner_id, now=NOW).id or 0
        bind_accounts(session, theirs, [("water", home.account_nos[0])], now=NOW)
    return replace(home, owner_id=owner_id, household_id=theirs)


def run_sql(statement: str, **values: object) -> None:
    with transaction() as session:
        session.execute(text(statement), values)


def moved_on(home: Home, new: Home, day: date) -> None:
    run_sql(
        "UPDATE household_account SET left_on = :day WHERE household_id = :home",
        day=day, home=home.household_id,
    )  # fmt: skip
    run_sql(
        "UPDATE household_account SET since_on = :day WHERE household_id = :home",
        day=day, home=new.household_id,
    )  # fmt: skip


def test_autopay_of_who_moved_out_stops_nobody_elses():
    far, home = FarDebits(), a_home(due_on=DUE)
    a_mandate(home)
    new = another_home(home)
    moved_on(home, new, date(2026, 9, 30))
    own = a_mandate(new, at=None)

    live_through(far, TELL_ON, AFTER)

    assert [(one.mandate_id, one.state) for one in runs()] == [(own.id, RunState.DONE)]
    assert the_bill(home.refs[0]).open_fen == 0


def test_the_last_bill_of_who_moved_out_is_theirs_and_paid_once():
    far, home = FarDebits(), a_home(due_on=DUE)
    first = a_mandate(home)
    new = another_home(home)
    moved_on(home, new, date(2026, 10, 31))
    a_mandate(new, at=None)

    live_through(far, TELL_ON, AFTER)

    assert [(one.mandate_id, one.state) for one in runs()] == [(first.id, RunState.DONE)]


def two_mandates() -> FarDebits:
    far, home = FarDebits(), a_home(due_on=DUE)
    a_mandate(home, at=None)
    a_mandate(another_home(home), at=None)
    plan(far, TELL_ON)
    assert len(runs()) == 2
    return far


def test_of_two_households_one_pays_and_the_other_is_told():
    far = two_mandates()

    live_through(far, DUE, AFTER)

    assert len(far.taken) == 1
    assert sorted((one.state, one.reason) for one in runs()) == [
        (RunState.DONE, None), (RunState.SKIPPED, NotPaid.PAID),
    ]  # fmt: skip
    assert topics(like="autopay.skipped") == ["autopay.skipped"]
    assert violations() == []


def test_of_two_households_at_one_moment_one_pays():
    far = two_mandates()
    ids = [one.id or 0 for one in runs()]

    found = at_once([lambda one=one: debit(far, one, noon(DUE)) for one in ids * 4])
    after(far, noon(DUE))

    assert [one for one in found if isinstance(one, Exception)] == []
    assert len(far.taken) == 1
    assert violations() == []


@pytest.mark.parametrize("when", ["announced", "on its day"])
def test_who_leaves_the_household_debits_nothing_more(when):
    far, home = FarDebits(), a_home(due_on=DUE)
    other = a_person(name="韩梅梅")
    with transaction() as session:
        session.add(
            HouseholdMember(
                household_id=home.household_id, person_id=other, role=MemberRole.PAY
            )
        )  # fmt: skip
    mandate = a_mandate(replace(home, owner_id=other), at=None)
    plan(far, TELL_ON)
    run_sql("DELETE FROM household_member WHERE person_id = :person", person=other)
    if when == "announced":
        with transaction() as session:
            end_lost(session, other, by=None, now=noon(TELL_ON))
        assert the_mandate(mandate).status is MandateStatus.ENDED

    debit_all(far, noon(DUE))

    assert far.taken == {}
    assert the_run().state is RunState.SKIPPED
    assert the_bill(home.refs[0]).held_by is None


def test_what_was_taken_off_the_home_is_not_debited_though_its_payer_has_it_in_another():
    far, home = FarDebits(), a_home(due_on=DUE)
    a_mandate(home, at=None)
    plan(far, TELL_ON)
    with transaction() as session:
        other = create_household(session, name="爸妈家", owner_id=home.owner_id, now=NOW).id or 0
        bind_accounts(session, other, [("water", home.account_nos[0])], now=NOW)
    run_sql("DELETE FROM household_account WHERE household_id = :home", home=home.household_id)

    debit_all(far, noon(DUE))

    assert far.taken == {}
    assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.NOT_ALLOWED)
