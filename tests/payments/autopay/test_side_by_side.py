"""Autopay with others at the same moment: planned, debited and paid once, whoever is faster."""

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.db import transaction
from core.errors import CityBillError
from payments.autopay import mandates
from payments.autopay.rules import CapKind, PayDay, Rules
from payments.autopay.states import RunState
from payments.states import PaymentStatus
from tests.conftest import empty_city
from tests.factories import a_home, a_payment, at_once, the_bill, topics
from tests.payments.autopay.autopaying import (
    FarDebits,
    a_mandate,
    after,
    debit,
    live_through,
    noon,
    plan,
    poll,
    runs,
    the_run,
)

pytestmark = pytest.mark.usefixtures("city")

DUE = date(2026, 11, 30)
TELL_ON = DUE - timedelta(days=5)


def statuses() -> list[str]:
    with transaction() as session:
        return list(session.execute(text("SELECT status FROM payment ORDER BY id")).scalars())


def test_planners_at_once_announce_each_bill_once():
    far = FarDebits()
    for _ in range(6):
        a_mandate(a_home(1_000, due_on=DUE))

    errors = at_once([lambda: plan(far, TELL_ON)] * 6)

    assert errors == [None] * 6
    assert len(runs()) == 6
    assert topics(like="autopay.%") == ["autopay.announced"] * 6


def test_planners_at_once_ask_for_each_debit_once():
    far = FarDebits()
    for _ in range(6):
        a_mandate(a_home(1_000, due_on=DUE))
    plan(far, TELL_ON)

    at_once([lambda: plan(far, DUE)] * 6)

    assert topics(like="autopay.due") == ["autopay.due"] * 6


def test_workers_at_once_debit_a_bill_once():
    far = FarDebits()
    home = a_home(due_on=DUE)
    a_mandate(home)
    plan(far, TELL_ON)
    run_id = the_run().id or 0

    found = at_once([lambda: debit(far, run_id, noon(DUE))] * 8)
    after(far, noon(DUE))

    assert found == [None] * 8
    assert list(far.taken.values()) == [8_650]
    assert the_run().state is RunState.DONE
    assert the_bill(home.refs[0]).open_fen == 0


@pytest.mark.parametrize("_", range(5))
def test_a_resident_who_pays_by_hand_while_the_debit_runs_pays_once(_):  # rule 37
    far = FarDebits()
    home = a_home(due_on=DUE)
    a_mandate(home)
    plan(far, TELL_ON)
    run_id = the_run().id or 0

    by_hand, by_mandate = at_once(
        [lambda: a_payment(home, now=noon(DUE)), lambda: debit(far, run_id, noon(DUE))]
    )

    if isinstance(by_hand, CityBillError):  # the debit was faster
        assert by_hand.code in {"bill.being_paid", "bill.changed"}
        assert list(far.taken.values()) == [8_650]
    else:
        assert by_mandate == 600
        assert far.taken == {}
    assert len(statuses()) == 1


@pytest.mark.parametrize(("stop", "state"), [
    (mandates.pause, RunState.SKIPPED), (mandates.end, RunState.FAILED),
])  # fmt: skip
def test_a_debit_that_never_reached_its_gateway_is_stopped_with_its_mandate(stop, state):
    far = FarDebits(says="away")
    home = a_home(due_on=DUE)
    mandate = a_mandate(home)
    plan(far, TELL_ON)
    debit(far, the_run().id or 0, noon(DUE))
    assert the_bill(home.refs[0]).held_by is not None

    with transaction() as session:
        stop(session, mandate.id or 0, home.owner_id, now=noon(DUE))
    far.says = "pays"
    poll(far, noon(DUE) + timedelta(minutes=1))
    live_through(far, DUE + timedelta(days=1), DUE + timedelta(days=2))

    assert far.orders == {}
    assert the_run().state is state
    assert statuses() == [PaymentStatus.EXPIRED]
    assert the_bill(home.refs[0]).held_by is None


@pytest.mark.parametrize("_", range(5))
def test_a_pause_while_the_debit_runs_stops_it_or_comes_after_it(_):
    far = FarDebits()
    home = a_home(due_on=DUE)
    mandate = a_mandate(home)
    plan(far, TELL_ON)
    run_id = the_run().id or 0

    def pause() -> None:
        with transaction() as session:
            mandates.pause(session, mandate.id or 0, home.owner_id, now=noon(DUE))

    assert at_once([pause, lambda: debit(far, run_id, noon(DUE))]) == [None, None]
    after(far, noon(DUE))
    live_through(far, DUE + timedelta(days=1), DUE + timedelta(days=1))

    assert the_run().state in {RunState.SKIPPED, RunState.DONE}
    assert bool(far.taken) is (the_run().state is RunState.DONE)
    assert statuses() in ([], [PaymentStatus.PAID], [PaymentStatus.EXPIRED])


pay_days = st.one_of(
    st.just((PayDay.DUE, None)),
    st.tuples(st.just(PayDay.BEFORE), st.integers(1, 15)),
    st.tuples(st.just(PayDay.DAY), st.integers(1, 28)),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts_fen=st.lists(st.integers(1, 30_000), min_size=1, max_size=3),
    cap_fen=st.integers(1, 30_000),
    pay_day=pay_days,
    due_in=st.integers(1, 12),
    enrolled_at=st.integers(-3, 3),
    words=st.lists(st.sampled_from(["pays", "short", "mute", "away", "late"]), min_size=1),
)
def test_whatever_comes_no_rule_is_broken(
    amounts_fen, cap_fen, pay_day, due_in, enrolled_at, words
):
    """Rules 41 and 42: never above the cap, never twice, never before the notice is over, never a
    bill from before enrolment."""
    empty_city()
    far, came_on = FarDebits(), date(2026, 11, 2)
    due_on = came_on + timedelta(days=due_in)
    rules = Rules(cap_kind=CapKind.MAX, cap_fen=cap_fen, pay_day=pay_day[0], pay_day_n=pay_day[1])
    home = a_home(
        *amounts_fen, now=noon(came_on), issued_on=came_on, due_on=due_on
    )  # fmt: skip
    a_mandate(home, rules, at=None, now=noon(came_on) + timedelta(hours=enrolled_at))

    for day in (came_on + timedelta(days=n) for n in range(due_in + 8)):
        far.says = words[day.day % len(words)]
        live_through(far, day, day)
        poll(far, noon(day) + timedelta(hours=1))

    assert all(order.amount_fen <= cap_fen for order in far.orders.values())
    assert enrolled_at <= 0 or far.orders == {}
    assert not Counter(far.taken.values()) - Counter(amounts_fen)
    assert sum(the_bill(ref).paid_fen for ref in home.refs) <= sum(far.taken.values())
    assert debited_too_early() == 0


def debited_too_early() -> int:
    with transaction() as session:
        return session.execute(
            text("""
                SELECT count(*) FROM payment p JOIN payment_item i ON i.payment_id = p.id
                JOIN autopay_run r USING (account_id, bill_id)
                WHERE r.announced_at IS NULL OR p.created_at < r.announced_at + interval '3 days'
            """)
        ).scalar_one()
