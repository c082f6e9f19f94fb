"""Batch collection: gathered once, cut once; silence is a yes, and a bounce opens bills again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import pytest
from sqlalchemy import text

from core.clock import billing_date
from core.db import transaction
from core.errors import Conflict, SettlementFileError
from payments import checkout, write_offs
from payments.autopay import batches, collections
from payments.autopay.collection_models import (
    BatchState,
    CollectionBatch,
    CollectionEntry,
    EntryState,
)
from payments.autopay.states import MandateStatus, RunState
from payments.gateways.bank_debit import BankDebit
from payments.gateways.base import (
    Asked,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    Order,
)
from payments.gateways.collecting import Batch, HandOver, HandOverReply
from payments.models import Payment, get_payment
from payments.states import PaymentStatus
from providers.base import WriteOffOutcome, WriteOffReply
from tests.factories import (
    ACCEPTED,
    NOW,
    FarUtility,
    Home,
    a_home,
    a_payment,
    at_once,
    balances,
    book,
    items_of,
    the_bill,
    topics,
    violations,
)
from tests.payments.autopay.autopaying import (
    AGREED,
    a_mandate,
    after,
    live_through,
    runs,
    the_mandate,
    the_run,
)
from tests.payments.gateways.test_bank_debit import US, returns

pytestmark = pytest.mark.usefixtures("city")
FOUR = time(16, 0)
CUT_AT = datetime.fromisoformat("2026-11-20T16:05:00+08:00")  # a Friday
COLLECT_ON = date(2026, 11, 23)
SILENT_UNTIL = date(2026, 11, 26)  # three working days after
OVER = datetime.fromisoformat("2026-11-27T08:00:00+08:00")


TAKEN = HandOverReply(HandOver.TAKEN)


@dataclass
class Bank(BankDebit):
    """The bank's far side, saying what a test tells it to."""

    said: HandOverReply = TAKEN
    files: dict[str, bytes] = field(default_factory=dict)
    handed: list[tuple[str, bytes]] = field(default_factory=list)
    written: list[Batch] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "nobody", US)

    def write_batch(self, batch: Batch) -> bytes:
        self.written.append(batch)
        return super().write_batch(batch)

    def hand_over(self, batch_no: str, content: bytes) -> HandOverReply:
        self.handed.append((batch_no, content))
        return self.said

    def list_returns(self) -> list[str]:
        return sorted(self.files)

    def fetch_returns(self, file_no: str) -> bytes:
        return self.files[file_no]

    def sign_mandate(self, order: MandateOrder) -> MandateReply:
        return AGREED

    def query_mandate(self, mandate_no: str, mandate_ref: str | None) -> MandateReply:
        return AGREED

    def debit(self, order: Order, *, mandate_ref: str) -> GatewayReply:
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=order.order_no)

    def query(self, asked: Asked) -> GatewayReply:
        return GatewayReply(status=GatewayStatus.OPEN, gateway_ref=asked.order_no)


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.hang_up()


def a_debit(home: Home | None = None, ref: str = "bm1") -> Payment:
    """A payment the gateway takes for its next batch."""
    payment = a_payment(home or a_home(), gateway="bank_debit")
    with transaction() as session:
        get_payment(session, payment.id).mandate_ref = ref
    return book(payment, GatewayStatus.OPEN, gateway_ref=payment.order_no)


def gather(bank: Bank, now: datetime = NOW, *, most: int = 50_000) -> int:
    with transaction() as session:
        return batches.gather(session, bank, silence_days=3, now=now, most=most)


def cut(bank: Bank, now: datetime = CUT_AT, *, most: int = 50_000) -> CollectionBatch | None:
    with transaction() as session:
        return batches.cut(session, bank, cut_off=FOUR, silence_days=3, now=now, most=most)


def sent(bank: Bank, *payments: Payment) -> CollectionBatch:
    gather(bank)
    batch = cut(bank)
    assert batch is not None
    collections.hand_over(bank, silence_days=3, now=CUT_AT)
    return batch


def bring_back(
    bank: Bank, *payments: Payment, code: str = "AM04", file_no: str = "R0000001",
    now: datetime = NOW,
) -> int:  # fmt: skip
    rows = [(one.order_no, one.amount_fen, code) for one in payments]
    bank.files[file_no] = returns(*rows, file_no=file_no)
    return collections.take_in_returns(bank, now=now)


def confirm(payment: Payment) -> None:
    """Have every company close its bill."""
    for item in items_of(payment):
        accepted = WriteOffReply(outcome=WriteOffOutcome.ACCEPTED, utility_ref="U1")
        with transaction() as session:
            write_offs.book(session, item.write_off_no, accepted, now=OVER)


def now_of(payment: Payment) -> Payment:
    with transaction() as session:
        return get_payment(session, payment.id)


def entry_of(payment: Payment) -> CollectionEntry:
    with transaction() as session:
        return session.get_one(CollectionEntry, payment.order_no)


def states() -> Sequence[str]:
    with transaction() as session:
        rows = session.execute(text("SELECT state FROM collection_batch ORDER BY id"))
        return list(rows.scalars())


class TestGathering:
    def test_every_order_that_waits_is_in_one_batch_once(self, bank):
        payments = [a_debit() for _ in range(3)]

        found = [gather(bank), gather(bank)]

        assert found == [3, 0]
        assert states() == [BatchState.OPEN]
        assert {entry_of(one).debtor_ref for one in payments} == {"bm1"}

    def test_of_many_at_once_each_order_goes_in_once(self, bank):
        for _ in range(4):
            a_debit()

        found = at_once([lambda: gather(bank) for _ in range(6)])

        assert sum(found) == 4
        assert states() == [BatchState.OPEN]

    def test_its_payment_waits_until_silence_is_over(self, bank):
        payment = a_debit()
        gather(bank)

        later = checkout.resolve(payment.id, bank, notify_url="http://127.0.0.1:9", now=OVER)

        assert later.status is PaymentStatus.OPEN
        assert later.expires_at > OVER
        assert the_bill((items_of(payment)[0].account_id, items_of(payment)[0].bill_id)).held_by


class TestCutting:
    def test_at_the_cut_off_its_file_is_written_with_its_totals(self, bank):
        home, other = a_home(), a_home(1_250)
        debits = {one.order_no: one.amount_fen for one in (a_debit(home), a_debit(other, "bm2"))}
        gather(bank)

        batch = cut(bank)

        assert batch is not None
        assert (batch.state, batch.entries, batch.total_fen) == (BatchState.CUT, 2, 9_900)
        assert (batch.collect_on, batch.silent_until) == (COLLECT_ON, SILENT_UNTIL)
        (written,) = bank.written
        assert {one.order_no: one.amount_fen for one in written.debits} == debits
        assert batch.batch_no == written.batch_no == f"20261120{batch.id:08d}"

    def test_before_it_nothing_is_cut_and_a_batch_of_nothing_stays_open(self, bank):
        gather(bank)
        assert cut(bank) is None
        a_debit()
        gather(bank)

        assert cut(bank, CUT_AT - timedelta(hours=1)) is None
        assert cut(bank) is not None

    def test_what_is_opened_after_it_waits_for_the_next_day(self, bank):
        a_debit()
        gather(bank, CUT_AT)

        assert cut(bank, CUT_AT + timedelta(hours=1)) is None
        assert cut(bank, CUT_AT + timedelta(days=1)) is not None

    def test_a_full_batch_is_cut_at_once_and_the_rest_goes_into_the_next(self, bank):
        for _ in range(3):
            a_debit()
        gathered = [gather(bank, most=2), gather(bank, most=2)]

        full = cut(bank, NOW, most=2)
        gathered.append(gather(bank, most=2))

        assert gathered == [2, 0, 1]
        assert full is not None
        assert full.entries == 2
        assert cut(bank, NOW, most=2) is None
        assert states() == [BatchState.CUT, BatchState.OPEN]

    def test_what_has_ended_meanwhile_is_left_out(self, bank):  # rule 37
        stays, ended = a_debit(), a_debit()
        gather(bank)
        book(ended, GatewayStatus.REFUSED)

        batch = cut(bank)

        assert batch is not None
        assert batch.entries == 1
        assert entry_of(ended).state is EntryState.DROPPED
        assert entry_of(stays).state is EntryState.WAITING

    def test_cut_at_once_by_many_it_is_one_file(self, bank):
        a_debit()
        gather(bank)

        found = at_once([lambda: cut(bank) for _ in range(5)])

        assert len([one for one in found if one is not None]) == 1
        assert states() == [BatchState.CUT]

    def test_no_answer_leaves_it_to_be_handed_over_again_the_same(self, bank):
        a_debit()
        gather(bank)
        cut(bank)
        bank.said = HandOverReply(HandOver.UNKNOWN)
        collections.hand_over(bank, silence_days=3, now=CUT_AT)
        bank.said = HandOverReply(HandOver.TAKEN)

        collections.hand_over(bank, silence_days=3, now=CUT_AT)
        collections.hand_over(bank, silence_days=3, now=CUT_AT)

        assert len(bank.handed) == 2
        assert len(set(bank.handed)) == 1
        assert states() == [BatchState.TAKEN]

    def test_a_file_the_bank_refuses_collects_nothing(self, bank):
        home = a_home()
        payment = a_debit(home)
        bank.said = HandOverReply(HandOver.REFUSED, "the totals are wrong")

        sent(bank)

        assert now_of(payment).status is PaymentStatus.REFUSED
        assert the_bill(home.refs[0]).held_by is None
        assert states() == [BatchState.REFUSED]
        assert violations() == []


class TestSilence:
    def test_it_is_a_yes_once_it_has_lasted(self, bank):  # rule 34
        home = a_home()
        payment = a_debit(home)
        sent(bank)

        early = collections.end_silence(bank, now=OVER - timedelta(days=1))
        over = collections.end_silence(bank, now=OVER)
        again = collections.end_silence(bank, now=OVER)

        assert (early, over, again) == (0, 1, 0)
        paid = now_of(payment)
        assert paid.status is PaymentStatus.PAID
        assert paid.paid_at is not None
        assert billing_date(paid.paid_at) == COLLECT_ON
        assert the_bill(home.refs[0]).open_fen == 0
        assert balances()["gateway:bank_debit"] == 8_650
        assert states() == [BatchState.CLOSED]
        assert violations() == []

    def test_it_begins_when_the_bank_has_the_file_however_late_that_is(self, bank):
        payment = a_debit()
        bank.said = HandOverReply(HandOver.UNKNOWN)  # it may have it, and did not say for a week
        sent(bank)
        bank.said, monday = TAKEN, CUT_AT + timedelta(days=10)
        collections.hand_over(bank, silence_days=3, now=monday)

        collections.end_silence(bank, now=monday)
        assert now_of(payment).status is PaymentStatus.OPEN
        last = monday + timedelta(days=4)
        collections.end_silence(bank, now=last)
        checkout.resolve(payment.id, bank, notify_url="http://127.0.0.1:9", now=last)
        assert now_of(payment).status is PaymentStatus.OPEN
        collections.end_silence(bank, now=monday + timedelta(days=5))
        assert now_of(payment).status is PaymentStatus.PAID

    def test_the_company_is_told_of_it_although_it_was_collected_days_ago(self, bank):  # rule 28
        home = a_home()
        payment = a_debit(home)
        sent(bank)
        collections.end_silence(bank, now=OVER)
        (item,), water = items_of(payment), FarUtility([ACCEPTED], answers=[None])

        assert write_offs.send(item.write_off_no, {"water": water}, now=OVER)

        assert [told.amount_fen for told in water.told] == [8_650]
        assert the_bill(home.refs[0]).written_off_fen == 8_650
        assert topics(like="refund.%") == []
        assert violations() == []

    def test_what_came_back_before_is_refused_and_the_rest_is_paid(self, bank):
        home, other = a_home(), a_home(1_250)
        back, stays = a_debit(home), a_debit(other)
        sent(bank)

        assert bring_back(bank, back) == 1
        collections.end_silence(bank, now=OVER)

        assert now_of(back).status is PaymentStatus.REFUSED
        assert now_of(stays).status is PaymentStatus.PAID
        assert (the_bill(home.refs[0]).open_fen, the_bill(home.refs[0]).held_by) == (8_650, None)
        assert balances()["gateway:bank_debit"] == 1_250
        assert violations() == []

    def test_a_file_read_twice_changes_nothing(self, bank):  # rule 40
        payment = a_debit()
        sent(bank)

        found = [bring_back(bank, payment), bring_back(bank, payment)]
        with transaction() as session:
            found.append(collections.book_returns(session, bank, bank.files["R0000001"], now=NOW))

        assert found == [1, 0, 0]
        assert topics(like="payment.refused") == ["payment.refused"]

    def test_another_file_of_its_number_is_refused(self, bank):
        first, second = a_debit(), a_debit()
        sent(bank)
        bring_back(bank, first)

        other = returns((second.order_no, 8_650, "AM04"))
        with pytest.raises(Conflict), transaction() as session:
            collections.book_returns(session, bank, other, now=NOW)
        assert now_of(second).status is PaymentStatus.OPEN

    def test_while_the_bank_does_not_say_what_came_back_silence_is_no_yes(self, bank, monkeypatch):
        payment = a_debit()
        sent(bank)
        for lost in ("list_returns", "fetch_returns"):
            bank.files = {"R0000009": b""}
            monkeypatch.setattr(bank, lost, lambda *_: None)

            collections.advance(bank, cut_off=FOUR, silence_days=3, now=OVER)

            assert now_of(payment).status is PaymentStatus.OPEN
            monkeypatch.undo()
        bank.files = {}
        collections.advance(bank, cut_off=FOUR, silence_days=3, now=OVER)
        assert now_of(payment).status is PaymentStatus.PAID

    def test_a_file_with_one_wrong_amount_is_refused_whole(self, bank):  # rule 40
        good, other = a_debit(), a_debit()
        sent(bank)

        content = returns((good.order_no, 8_650, "AM04"), (other.order_no, 8_651, "AM04"))
        with pytest.raises(SettlementFileError) as refused, transaction() as session:
            collections.book_returns(session, bank, content, now=NOW)

        assert refused.value.line_no == 3
        assert now_of(good).status is PaymentStatus.OPEN
        with transaction() as session:
            kept = session.execute(text("SELECT count(*) FROM collection_return_file"))
            assert kept.scalar_one() == 0


class TestBouncing:
    def a_collected_debit(self, bank: Bank, home: Home) -> Payment:
        payment = a_debit(home)
        sent(bank)
        collections.end_silence(bank, now=OVER)
        return payment

    def test_what_comes_back_late_opens_its_bill_again(self, bank):  # rule 35
        home = a_home()
        payment = self.a_collected_debit(bank, home)
        confirm(payment)

        found = bring_back(bank, payment, now=OVER + timedelta(days=2))

        assert found == 1
        assert (entry_of(payment).state, entry_of(payment).return_code) == (
            EntryState.BOUNCED, "AM04",
        )  # fmt: skip
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert topics(like="chargeback.%") == ["chargeback.opened", "chargeback.lost"]
        assert "gateway:bank_debit" not in balances()
        assert violations() == []

    def test_told_in_two_files_it_is_one_bounce(self, bank):  # rule 35
        home = a_home()
        payment = self.a_collected_debit(bank, home)
        confirm(payment)
        later = OVER + timedelta(days=2)

        bring_back(bank, payment, now=later)
        bring_back(bank, payment, file_no="R0000002", code="MS03", now=later)

        assert topics(like="chargeback.lost") == ["chargeback.lost"]
        assert the_bill(home.refs[0]).open_fen == 8_650
        assert violations() == []

    def test_while_its_company_has_not_answered_it_waits_as_a_dispute(self, bank):
        home = a_home()
        payment = self.a_collected_debit(bank, home)

        bring_back(bank, payment, now=OVER + timedelta(days=2))

        assert topics(like="chargeback.%") == ["chargeback.opened"]
        assert entry_of(payment).state is EntryState.BOUNCED
        assert violations() == []


def test_an_autopay_debit_goes_the_same_way_and_its_bounce_freezes_the_mandate(bank):  # rule 35
    home = a_home()
    mandate = a_mandate(home, gateway="bank_debit")
    live_through(bank, date(2026, 11, 20), date(2026, 11, 30))
    (run,) = [one for one in runs() if one.payment_id is not None]
    payment_id = run.payment_id or 0
    with transaction() as session:
        payment = get_payment(session, payment_id)
    asked_at = payment.created_at

    gather(bank, asked_at)
    cut(bank, asked_at + timedelta(days=1))
    collections.hand_over(bank, silence_days=3, now=asked_at + timedelta(days=1))
    assert bank.written[0].debits[0].debtor_ref == "agreed-1"
    collections.end_silence(bank, now=asked_at + timedelta(days=12))
    after(bank, asked_at + timedelta(days=12))
    assert the_run().state is RunState.DONE
    confirm(payment)
    bring_back(bank, payment, now=asked_at + timedelta(days=14))

    assert the_bill(home.refs[0]).open_fen == 8_650
    assert the_mandate(mandate).status is MandateStatus.PAUSED
    assert topics(like="mandate.frozen") == ["mandate.frozen"]
    assert violations() == []
