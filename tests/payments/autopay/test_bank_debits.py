"""Autopay at a bank that collects in batches: in time, stopped until the cut, and never stuck."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

import pytest

from billing.rules.calendars import counts_on
from billing.rules.terms import parse_terms
from core.clock import billing_date
from core.db import transaction
from payments.autopay import collections, mandates
from payments.autopay.models import Mandate
from payments.autopay.rules import NotPaid
from payments.autopay.states import MandateStatus, RunState
from payments.gateways.collecting import HandOver, HandOverReply
from payments.models import Payment, get_payment
from providers.base import RecordKind
from tests.factories import Home, a_home, the_bill, topics, violations
from tests.payments.autopay.autopaying import (
    a_mandate,
    after,
    debit_all,
    noon,
    plan,
    the_mandate,
    the_run,
)
from tests.payments.autopay.test_collections import Bank, cut, entry_of, gather

pytestmark = pytest.mark.usefixtures("city")

DUE = date(2026, 11, 30)  # a Monday
TOLD_ON = date(2026, 11, 24)


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.hang_up()


def asked(bank: Bank) -> tuple[Home, Mandate, datetime]:
    """A debit that waits in a batch, and the next cut-off."""
    home = a_home(due_on=DUE)
    mandate = a_mandate(home, gateway="bank_debit")
    plan(bank, TOLD_ON)
    at = noon(the_run().debit_on)
    gather(bank, at - timedelta(days=1))  # the open batch of before
    debit_all(bank, at)
    gather(bank, at)
    return home, mandate, at + timedelta(hours=5)


def the_debit() -> Payment:
    with transaction() as session:
        return get_payment(session, the_run().payment_id or 0)


def paused(home: Home, mandate: Mandate) -> None:
    with transaction() as session:
        mandates.pause(session, mandate.id or 0, home.owner_id, now=noon(TOLD_ON))


def revoked(home: Home, mandate: Mandate) -> None:
    with transaction() as session:
        mandates.end(session, mandate.id or 0, home.owner_id, now=noon(TOLD_ON))


def paid_elsewhere(home: Home, _: Mandate) -> None:
    home.correct(0, version=1, kind=RecordKind.CANCEL, due_on=DUE)


def corrected(home: Home, _: Mandate) -> None:
    home.correct(0, version=2, amount_fen=9_000, due_on=DUE)


def test_the_money_is_taken_by_the_last_day_to_pay_and_not_only_asked_for(bank):  # rules 21, 42
    asked(bank)

    batch = cut(bank, noon(the_run().debit_on) + timedelta(hours=5))

    assert batch is not None
    assert batch.collect_on is not None
    assert counts_on(noon(batch.collect_on), parse_terms("")) <= DUE
    assert the_run().debit_on == date(2026, 11, 29)


@pytest.mark.parametrize(
    ("happens", "state", "reason"),
    [
        (paused, RunState.SKIPPED, NotPaid.PAUSED),
        (revoked, RunState.FAILED, NotPaid.ENDED),
        (paid_elsewhere, RunState.SKIPPED, NotPaid.CANCELLED),
        (corrected, RunState.SKIPPED, NotPaid.SUPERSEDED),
    ],
)
def test_until_its_batch_is_cut_a_debit_is_stopped(  # rule 37
    bank, happens: Callable[[Home, Mandate], None], state: RunState, reason: NotPaid
):
    home, mandate, at = asked(bank)
    payment = the_debit()
    happens(home, mandate)

    assert cut(bank, at) is None
    after(bank, at)
    debit_all(bank, at + timedelta(days=1))

    assert entry_of(payment).state == "dropped"
    assert (the_run().state, the_run().reason) == (state, reason)
    assert the_bill(home.refs[0]).held_by is None
    assert violations() == []


def test_who_pauses_is_told_that_and_not_that_funds_are_short(bank):
    home, mandate, at = asked(bank)
    paused(home, mandate)
    cut(bank, at)
    after(bank, at)
    debit_all(bank, at + timedelta(days=1))

    assert the_run().reason is NotPaid.PAUSED
    assert topics(like="autopay.postponed") == []
    assert topics(like="autopay.skipped") == ["autopay.skipped"]


def test_a_batch_the_bank_refuses_is_asked_for_again_the_day_after(bank):  # rule 43
    home, mandate, at = asked(bank)
    bank.said = HandOverReply(HandOver.REFUSED, "the totals are wrong")
    cut(bank, at)
    collections.hand_over(bank, silence_days=3, now=at)

    after(bank, at)

    assert the_run().state is RunState.RETRY
    assert the_run().debit_on == billing_date(at) + timedelta(days=1)
    assert the_bill(home.refs[0]).held_by is None
    assert the_mandate(mandate).status is MandateStatus.ACTIVE


def test_a_file_the_bank_knows_otherwise_is_neither_taken_nor_refused(bank):
    home, _, at = asked(bank)
    bank.said = HandOverReply(HandOver.UNKNOWN, "another file has this number")
    batch = cut(bank, at)
    assert batch is not None

    collections.hand_over(bank, silence_days=3, now=at)

    with transaction() as session:
        kept = session.get_one(type(batch), batch.id)
    assert (kept.state, kept.complaint) == ("cut", "another file has this number")
    assert the_bill(home.refs[0]).held_by == the_debit().id
