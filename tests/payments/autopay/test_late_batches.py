"""A bank's batches when something was away for days, and what the bank says of others' orders."""

import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest

from billing.models import Bill
from billing.rules.payable import pay_terms_json
from core.db import transaction
from core.errors import UpstreamUnavailable
from payments import checkout
from payments.autopay import collections, debits, mandates
from payments.autopay.collection_models import BatchState, CollectionEntry, EntryState
from payments.autopay.models import Mandate
from payments.autopay.rules import NotPaid, last_try_on
from payments.autopay.states import MandateStatus, RunState
from payments.gateways.base import GatewayReply, GatewayStatus, MandateReply, MandateState
from payments.gateways.collecting import HandOver, HandOverReply
from payments.models import get_payment
from payments.states import PaymentStatus
from providers.base import OptionKind, PayOption, PayTerms
from tests.factories import AWAY, Home, a_home, book, the_bill, topics, violations
from tests.payments.autopay.autopaying import (
    a_mandate,
    after,
    debit_all,
    live_through,
    noon,
    runs,
    the_mandate,
    the_run,
)
from tests.payments.autopay.test_bank_debits import DUE, asked, the_debit
from tests.payments.autopay.test_collections import (
    FOUR,
    NOW,
    OVER,
    TAKEN,
    Bank,
    a_debit,
    confirm,
    cut,
    entry_of,
    gather,
    now_of,
    sent,
    states,
)
from tests.payments.gateways.test_bank_debit import returns

pytestmark = pytest.mark.usefixtures("city")


class Unreachable(Bank):
    """A bank whose line is down until ``up``."""

    up = False

    def hand_over(self, batch_no: str, content: bytes) -> HandOverReply:
        if not self.up:
            raise AWAY
        return super().hand_over(batch_no, content)


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.hang_up()


@pytest.fixture
def far_away() -> Iterator[Unreachable]:
    made = Unreachable()
    yield made
    made.hang_up()


def advance(bank: Bank, now) -> None:
    collections.advance(bank, cut_off=FOUR, silence_days=3, now=now)


class TestAFileThatNeverReachedTheBank:
    def a_cut_batch(self, bank: Unreachable):
        home, mandate, at = asked(bank)
        with pytest.raises(UpstreamUnavailable):
            advance(bank, at)
        assert states()[0] == BatchState.CUT
        return home, mandate, at

    def test_is_handed_over_while_its_day_of_collection_stands(self, far_away):
        _, _, at = self.a_cut_batch(far_away)
        far_away.up = True

        advance(far_away, at + timedelta(hours=20))

        assert states()[0] == BatchState.TAKEN

    def test_is_not_handed_over_when_that_day_has_passed(self, far_away):  # rule 42
        home, _, at = self.a_cut_batch(far_away)
        payment, far_away.up = the_debit(), True
        late = at + timedelta(days=14)

        advance(far_away, late)
        after(far_away, late)

        assert far_away.handed == []
        assert states()[0] == BatchState.REFUSED
        assert entry_of(payment).state is EntryState.RETURNED
        assert now_of(payment).status is PaymentStatus.EXPIRED
        assert the_bill(home.refs[0]).held_by is None
        assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.NO_ANSWER)
        assert topics(like="autopay.failed") == ["autopay.failed"]
        assert violations() == []

    def test_within_the_days_of_trying_its_debits_are_looked_at_once_more(self, far_away):
        home, _, at = self.a_cut_batch(far_away)
        far_away.up = True
        later = at + timedelta(days=2)

        advance(far_away, later)
        after(far_away, later)
        debit_all(far_away, later)
        advance(far_away, later)
        advance(far_away, later + timedelta(days=1))

        assert topics(like="autopay.postponed") == []
        assert the_run().state is RunState.DEBITING
        assert [len(one.debits) for one in far_away.written] == [1, 1]
        assert len(far_away.handed) == 1
        assert the_bill(home.refs[0]).held_by == the_debit().id

    def test_one_that_may_have_reached_it_is_handed_over_until_it_answers(self, bank):
        asked_at = asked(bank)[2]
        bank.said = HandOverReply(HandOver.UNKNOWN)
        advance(bank, asked_at)
        bank.said = TAKEN

        advance(bank, asked_at + timedelta(days=5))

        assert len(bank.handed) == 2
        assert states()[0] == BatchState.TAKEN

    def test_a_process_that_died_while_handing_it_over_leaves_it_as_perhaps_there(
        self, bank, monkeypatch
    ):
        at = asked(bank)[2]
        monkeypatch.setattr(Bank, "hand_over", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            advance(bank, at)
        monkeypatch.undo()

        advance(bank, at + timedelta(days=5))

        assert len(bank.handed) == 1


def test_orders_that_no_batch_was_cut_of_for_a_week_are_left_out(bank):  # rule 42
    home, _, at = asked(bank)
    payment, late = the_debit(), at + timedelta(days=8)

    assert cut(bank, late) is None
    after(bank, late)

    assert entry_of(payment).state is EntryState.DROPPED
    assert the_bill(home.refs[0]).held_by is None
    assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.NO_ANSWER)
    assert violations() == []


def test_what_is_corrected_before_the_cut_is_not_told_as_short_of_funds(bank):
    home, _, at = asked(bank)
    home.correct(0, version=2, amount_fen=9_000, due_on=the_bill(home.refs[0]).due_on)
    cut(bank, at)

    after(bank, at)

    assert topics(like="autopay.postponed") == []


class TestOthersOrders:
    """Rule 34: silence about an order of ours is a yes, whatever else a file speaks of."""

    def test_do_not_stop_the_silence(self, bank):
        home = a_home()
        payment = a_debit(home)
        sent(bank)
        bank.files["R0000001"] = returns(("SOMEBODY-ELSES", 500, "AM04"))

        advance(bank, OVER)

        assert now_of(payment).status is PaymentStatus.PAID
        assert the_bill(home.refs[0]).open_fen == 0
        assert violations() == []

    def test_beside_one_of_ours_ours_comes_back(self, bank):
        back, stays = a_debit(), a_debit()
        sent(bank)
        bank.files["R0000001"] = returns(
            ("SOMEBODY-ELSES", 500, "AM04"), (back.order_no, 8_650, "AM04")
        )

        advance(bank, OVER)

        assert now_of(back).status is PaymentStatus.REFUSED
        assert now_of(stays).status is PaymentStatus.PAID
        assert violations() == []

    def test_nor_does_one_we_left_out_of_every_batch(self, bank):
        stays, ended = a_debit(), a_debit()
        gather(bank)
        book(ended, GatewayStatus.CLOSED)
        sent(bank)
        bank.files["R0000001"] = returns((ended.order_no, 8_650, "AM04"))

        advance(bank, OVER)

        assert now_of(stays).status is PaymentStatus.PAID
        assert now_of(ended).status is PaymentStatus.EXPIRED


def test_a_mandate_that_has_ended_at_the_bank_ends_here_with_its_first_debit(bank, monkeypatch):
    gone = GatewayReply(status=GatewayStatus.REFUSED, reason="mandate_ended: the bank says ended")
    monkeypatch.setattr(bank, "debit", lambda *_, **__: gone)
    ended = MandateReply(state=MandateState.ENDED)
    monkeypatch.setattr(bank, "query_mandate", lambda *_: ended)

    _, mandate, _ = asked(bank)

    assert the_mandate(mandate).status is MandateStatus.ENDED
    assert (the_run().state, the_run().reason) == (RunState.FAILED, NotPaid.ENDED)
    assert topics(like="autopay.postponed") == []


def test_a_debit_that_waits_for_silence_is_not_asked_about_by_the_hour(bank):
    payment = a_debit()
    sent(bank)
    for seconds in (5, 600, 7_200, 3 * 86_400):
        now = NOW + timedelta(seconds=seconds)
        assert (checkout.poll_again_seconds(now_of(payment), bank, now=now) or 0) >= 6 * 3_600


def test_a_gateway_that_was_away_on_the_last_day_is_not_told_as_short_of_funds(bank):
    asked(bank)
    payment, run = the_debit(), the_run()
    assert run.first_debit_on is not None
    late = noon(last_try_on(run.first_debit_on)) + timedelta(days=3)
    book(payment, GatewayStatus.CLOSED)
    with transaction() as session:
        debits.book_refusal(session, payment.id, "", unheard=True, now=late)

    assert [(one.state, one.reason) for one in runs()] == [(RunState.FAILED, NotPaid.NO_ANSWER)]


def test_what_the_bank_would_take_after_the_last_day_is_priced_as_of_that_day(bank):  # rules 3, 21
    home, _, at = asked(bank)
    later = PayTerms(options=(PayOption("late", OptionKind.LATE, "逾期", 9_500),))
    with transaction() as session:
        session.get_one(Bill, home.refs[0]).pay_terms = pay_terms_json(later)
    bank.said = HandOverReply(HandOver.REFUSED, "the totals are wrong")
    advance(bank, at)
    after(bank, at)
    assert the_run().debit_on == DUE  # tried again, and collected on the day after

    debit_all(bank, noon(DUE))

    assert (the_run().state, the_run().reason) == (RunState.SKIPPED, NotPaid.CHANGED)
    assert the_bill(home.refs[0]).held_by is None
    assert topics(like="autopay.skipped") == ["autopay.skipped"]


def test_silence_is_no_yes_about_what_the_bank_said_came_back(bank):  # rule 34
    home = a_home()
    payment = a_debit(home)
    sent(bank)
    book(payment, GatewayStatus.REFUSED, reason="returned: AM04")  # asked, before its file came

    advance(bank, OVER)

    assert now_of(payment).status is PaymentStatus.REFUSED
    assert entry_of(payment).state is EntryState.RETURNED
    assert the_bill(home.refs[0]).open_fen == 8_650
    bank.files["R0000001"] = returns((payment.order_no, 8_650, "AM04"))
    advance(bank, OVER + timedelta(days=1))
    assert topics(like="chargeback.%") == []
    assert violations() == []


def test_a_file_of_returns_and_who_pauses_at_that_moment_do_not_wait_for_each_other(
    bank, monkeypatch
):
    """A return before the silence was over and one after it, under one mandate."""
    home = a_home(8_650, 4_000)
    mandate = a_mandate(home, at=None, gateway="bank_debit")
    live_through(bank, date(2026, 11, 20), date(2026, 11, 30))
    with transaction() as session:
        first, second = [get_payment(session, one.payment_id or 0) for one in runs()]
    later = first.created_at + timedelta(days=3)
    gather(bank, first.created_at)
    cut(bank, later)
    with transaction() as session:  # as if silence had made one of them paid
        session.get_one(CollectionEntry, second.order_no).state = EntryState.COLLECTED
    book(second, GatewayStatus.PAID)
    confirm(second)
    pausing = threading.Thread(target=pause, args=(mandate, home, later))
    freeze = collections.freeze

    def slowly(*args, **values):
        pausing.start()
        pausing.join(1)
        return freeze(*args, **values)

    monkeypatch.setattr(collections, "freeze", slowly)
    bank.files["R0000001"] = returns(
        (first.order_no, first.amount_fen, "AM04"), (second.order_no, second.amount_fen, "AM04")
    )
    collections.take_in_returns(bank, now=later)
    pausing.join()

    assert entry_of(second).state is EntryState.BOUNCED
    assert the_mandate(mandate).status is MandateStatus.PAUSED
    assert violations() == []


def pause(mandate: Mandate, home: Home, now: datetime) -> None:
    with transaction() as session:
        mandates.pause(session, mandate.id or 0, home.owner_id, now=now)


def test_while_the_bank_is_away_payers_of_what_is_too_late_hear_of_it(far_away):
    home, _, at = asked(far_away)
    first, late = the_debit(), at + timedelta(days=9)
    with pytest.raises(UpstreamUnavailable):
        advance(far_away, at)
    other = a_debit()
    gather(far_away, late - timedelta(days=1))

    with pytest.raises(UpstreamUnavailable):
        advance(far_away, late)
    after(far_away, late)

    assert now_of(first).status is PaymentStatus.EXPIRED
    assert the_bill(home.refs[0]).held_by is None
    assert topics(like="autopay.failed") == ["autopay.failed"]
    assert entry_of(other).state is EntryState.WAITING
