"""Money a gateway had sent back and that came back to it: sent again from our bank, whole, once."""

from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from cli.upgrading import alembic_config
from core.clock import billing_date
from core.db import transaction
from core.errors import AmountMismatch, Conflict
from payments.gateways.base import (
    CallbackKind,
    DisputeState,
    GatewayReply,
    GatewayStatus,
    RefundReply,
    RefundState,
)
from payments.models import GatewayCallback, Payment, Receipt, ReceiptState, list_receipts
from payments.returns import refunds, suspense, transfers
from payments.returns.checks import INVARIANTS
from payments.returns.models import RefundStatus, TransferReason
from payments.returns.receipts import return_no
from payments.returns.tracker import Stage, coming_back, list_returns
from payments.returns.views import RefundStep
from payments.views import PaymentView, PublicStatus, view
from tests.conftest import as_owner
from tests.factories import (
    NOW,
    FarGateway,
    at_once,
    balances,
    book,
    topics,
    violations,
)
from tests.payments.returns.returning import (
    SENT,
    Disputed,
    a_confirmed_payment,
    a_wish,
    approve,
    confirm_sent,
    enter_payee,
    posted,
    propose,
    refunds_of,
    send,
    staff,
    the_chargeback,
)
from workers import jobs
from workers.tasks import payments as payment_tasks

pytestmark = pytest.mark.usefixtures("city")
BACK_AT = NOW + timedelta(hours=5)
BACK = RefundReply(
    state=RefundState.REFUSED, reason="expired_or_canceled_card", came_back_at=BACK_AT
)
OWED_AGAIN = {"receivable:water": 1_000, "uncollected:water": -1_000}
LOST = DisputeState.LOST


def refunded(amount_fen: int = 1_000) -> tuple[Payment, str]:
    """A confirmed payment that staff have sent back by its gateway."""
    payment, (one, other) = a_confirmed_payment(amount_fen), staff()
    refund = propose(a_wish(payment), one)
    if refund.status is RefundStatus.PROPOSED:
        approve(refund, other)
    send(payment)
    return payment, refund.refund_no


def comes_back(number: str, far: FarGateway | None = None, reply: RefundReply = BACK) -> bool:
    far = far or FarGateway()
    far.refund_replies = [reply]
    return refunds.look(number, far, NOW)


def receipts_of(payment: Payment) -> list[Receipt]:
    with transaction() as session:
        return list_receipts(session, payment.id)


def shown(payment: Payment) -> PaymentView:
    with transaction() as session:
        fresh = session.get_one(Payment, payment.id)
        return view(session, fresh, gateway_name="", today=billing_date(NOW))


def stages_of(payment: Payment, *, days: int = 0) -> dict[str, Stage]:
    assert payment.payer_id is not None
    with transaction() as session:
        today = billing_date(NOW) + timedelta(days=days)
        found = list_returns(session, payment.payer_id, today=today)
    return {one.number[:1]: one.stage for one in found}


class TestARefund:
    def test_it_waits_for_an_account_and_goes_by_our_bank(self):
        payment, number = refunded()

        assert comes_back(number)

        (back,) = receipts_of(payment)
        assert (back.came_back_of, back.amount_fen, back.received_at) == (number, 1_000, BACK_AT)
        with transaction() as session:
            (transfer,) = transfers.list_waiting(session)
        assert (transfer.number, transfer.amount_fen, transfer.why, transfer.gateway_said) == (
            return_no(back), 1_000, TransferReason.CAME_BACK, "expired_or_canceled_card",
        )  # fmt: skip
        assert [one.status for one in refunds_of(payment)] == [RefundStatus.SUCCEEDED]
        assert balances() == OWED_AGAIN | {"gateway:sandbox": 1_000, "suspense:sandbox": -1_000}
        assert topics(like="receipt.%") == ["receipt.came_back"]
        assert violations() == []

        one, _ = staff()
        enter_payee(return_no(back), one)
        confirm_sent(return_no(back), one)
        confirm_sent(return_no(back), one)

        assert receipts_of(payment)[0].state is ReceiptState.RETURNED
        assert balances() == OWED_AGAIN | {"gateway:sandbox": 1_000, "bank": -1_000}
        assert violations() == []

    def test_told_again_before_and_after_it_went_it_is_the_same_money(self):
        payment, number = refunded()
        comes_back(number)
        comes_back(number, reply=RefundReply(state=RefundState.REFUSED))
        back = return_no(receipts_of(payment)[0])
        one, _ = staff()
        enter_payee(back, one)
        confirm_sent(back, one)

        assert comes_back(number)

        assert [each.came_back_of for each in receipts_of(payment)] == [number]
        assert posted("suspense_in:%") == {"suspense_in": 1_000}
        assert topics(like="receipt.%") == ["receipt.came_back", "receipt.returned"]
        assert violations() == []

    def test_from_sixteen_threads_it_is_one(self):
        payment, number = refunded()
        far = FarGateway(refund_replies=[BACK] * 16)

        found = at_once([lambda: refunds.look(number, far, NOW)] * 16)

        assert found == [True] * 16
        assert [each.came_back_of for each in receipts_of(payment)] == [number]
        assert topics(like="transfer.opened") == ["transfer.opened"]
        assert violations() == []

    def test_the_database_keeps_it_once_and_from_its_gateway(self):
        payment, number = refunded()
        comes_back(number)
        copied = """
            INSERT INTO receipt (id, source, source_ref, payment_id, amount_fen, reason, state,
                                 received_at, came_back_of)
            SELECT id + 1, source, 'another', payment_id, amount_fen, reason, state, received_at,
                   came_back_of FROM receipt
        """

        with pytest.raises(IntegrityError, match="came_back_of"), as_owner() as connection:
            connection.execute(text(copied))
        with pytest.raises(IntegrityError, match="never_by_gateway"), as_owner() as connection:
            connection.execute(text("UPDATE receipt SET asked_at = now()"))
        assert len(receipts_of(payment)) == 1

    def test_above_the_threshold_two_people_send_it(self):
        payment, number = refunded(8_650)
        comes_back(number)

        enter_payee(return_no(receipts_of(payment)[0]), staff()[0])

        with transaction() as session:
            assert transfers.list_waiting(session)[0].needs_two

    def test_what_our_bank_had_sent_did_not_come_back_to_the_gateway(self):
        payment, (one, _) = a_confirmed_payment(1_000), staff()
        number = propose(a_wish(payment), one).refund_no
        send(payment, RefundReply(state=RefundState.REFUSED))
        enter_payee(number, one)
        confirm_sent(number, one)

        assert comes_back(number)

        assert receipts_of(payment) == []
        assert violations() == []

    def test_a_gateway_that_then_says_it_sent_it_after_all_needs_a_person(self):
        payment, number = refunded()
        comes_back(number)

        with pytest.raises(Conflict) as refused:
            comes_back(number, reply=SENT)

        assert refused.value.code == "refund.sent_after_all"
        assert receipts_of(payment)[0].state is ReceiptState.SUSPENDED
        assert violations() == []

    def test_it_is_no_second_payment_and_a_second_payment_is_not_it(self):
        payment, number = refunded()
        book(payment, GatewayStatus.PAID, gateway_ref="another")
        comes_back(number)
        book(payment, GatewayStatus.PAID, gateway_ref="a third")

        with pytest.raises(AmountMismatch):
            book(payment, GatewayStatus.PAID, gateway_ref="another", amount_fen=999)

        assert sorted((one.source_ref, one.came_back_of) for one in receipts_of(payment)) == [
            (number, number), ("a third", None), ("another", None),
        ]  # fmt: skip

    def test_nor_is_it_what_somebody_says_came_beside_without_a_number(self):
        payment, number = refunded()
        comes_back(number)
        told = GatewayReply(status=GatewayStatus.PAID, amount_fen=1_000)

        with transaction() as session:
            suspense.suspend(session, payment.id, told, reason="only in its file", now=NOW)

        assert sorted(one.came_back_of or "" for one in receipts_of(payment)) == ["", number]

    def test_the_books_prove_it(self):
        _, number = refunded()
        comes_back(number)
        for broken in (
            "UPDATE receipt SET came_back_of = 'R0'",
            "UPDATE receipt SET amount_fen = 999",
            "UPDATE bank_transfer SET dropped_at = now()",
        ):
            with as_owner() as connection:
                before = connection.begin_nested()
                connection.execute(text(broken))
                wrong = [name for name, law in INVARIANTS.items() if law_breaks(connection, law)]
                assert [name for name in wrong if name.startswith("money that came back")]
                before.rollback()


def law_breaks(connection: Connection, law: str) -> bool:
    return connection.execute(text(law.replace(":", r"\:"))).first() is not None


class TestSuspendedMoney:
    def test_what_had_gone_back_and_came_again_goes_by_our_bank(self):
        payment = a_confirmed_payment(1_000)
        book(payment, GatewayStatus.PAID, gateway_ref="another")
        (first,) = receipts_of(payment)
        far = FarGateway(refund_replies=[SENT])
        suspense.send_back(first.id, {"sandbox": far}, now=NOW)

        assert comes_back(return_no(first))
        assert comes_back(return_no(first))

        _, again = receipts_of(payment)
        assert (again.came_back_of, again.amount_fen) == (return_no(first), 1_000)
        assert suspense.send_back(again.id, {"sandbox": far}, now=NOW)  # nothing is asked
        assert comes_back(return_no(again))  # nor can the gateway say anything of that one
        with transaction() as session:
            assert [one.number for one in transfers.list_waiting(session)] == [return_no(again)]
        assert violations() == []
        with pytest.raises(Conflict):
            comes_back(return_no(first), reply=SENT)


class TestDisputes:
    def test_waiting_it_is_what_a_lost_dispute_takes_first(self):
        payment, number = refunded()
        comes_back(number)
        far = Disputed()

        far.says(payment, DisputeState.OPEN)
        with pytest.raises(Conflict):
            enter_payee(return_no(receipts_of(payment)[0]), staff()[0])
        assert far.says(payment, LOST)

        assert (the_chargeback().waiting_fen, the_chargeback().borne_fen) == (1_000, 0)
        assert balances() == OWED_AGAIN
        with transaction() as session:
            assert transfers.list_waiting(session) == []
        assert violations() == []

    def test_a_second_payment_heard_of_after_the_loss_makes_up_for_it_and_goes_back_less(self):
        payment, _ = refunded()
        far = Disputed()
        assert far.says(payment, LOST, amount_fen=1_000)
        twice = GatewayReply(
            status=GatewayStatus.PAID, gateway_ref="second", amount_fen=8_650, paid_at=NOW
        )

        with transaction() as session:
            suspense.suspend(session, payment.id, twice, reason="paid a second time", now=NOW)

        assert (the_chargeback().waiting_fen, the_chargeback().borne_fen) == (1_000, 0)
        assert "losses" not in balances()
        assert [one.to_send_fen for one in receipts_of(payment)] == [7_650]
        assert violations() == []

    @pytest.mark.parametrize("lost_fen", [1_000, 400])
    def test_what_we_bore_because_it_had_gone_back_is_no_loss_any_more(self, lost_fen):
        """The payer's bank gave it to them; what came back to the gateway makes up for that."""
        payment, number = refunded()
        far = Disputed()
        assert far.says(payment, LOST, amount_fen=lost_fen)
        assert balances()["losses"] == lost_fen

        assert comes_back(number, far)
        assert comes_back(number, far)

        assert (the_chargeback().waiting_fen, the_chargeback().borne_fen) == (lost_fen, 0)
        assert "losses" not in balances()
        assert posted("chargeback_regained:%") == {"chargeback_regained": lost_fen}
        with transaction() as session:
            waiting = [one.amount_fen for one in transfers.list_waiting(session)]
        assert waiting == ([] if lost_fen == 1_000 else [600])
        assert violations() == []
        told = topics(like="receipt.%")
        assert told == ([] if lost_fen == 1_000 else ["receipt.came_back"])


class TestWhatItsPayerSees:
    def test_it_came_back_and_an_account_is_needed(self):
        payment, number = refunded()
        assert stages_of(payment) == {"R": Stage.SENT}
        comes_back(number)

        assert stages_of(payment) == {"R": Stage.CAME_BACK, "S": Stage.NEEDS_ACCOUNT}
        assert stages_of(payment, days=30)["R"] is Stage.CAME_BACK
        seen = shown(payment)
        (refund,) = seen.refunds
        assert (refund.step, refund.came_back_at, refund.arrives_by_on) == (
            RefundStep.CAME_BACK, BACK_AT, None,
        )  # fmt: skip
        assert refund.sent_at is not None
        assert [one.came_back_of for one in seen.receipts] == [number]
        assert [one.outcome for one in seen.items] == ["returning"]
        assert seen.public_status is PublicStatus.PAID
        assert not seen.settled
        assert payment.payer_id is not None
        with transaction() as session:
            assert coming_back(session, payment.payer_id) == (1, 1_000)

    def test_sent_by_our_bank_it_is_returned(self):
        payment, number = refunded()
        comes_back(number)
        back, (one, _) = return_no(receipts_of(payment)[0]), staff()
        enter_payee(back, one)
        assert stages_of(payment) == {"R": Stage.CAME_BACK, "S": Stage.AT_BANK}
        confirm_sent(back, one)

        assert stages_of(payment) == {"R": Stage.CAME_BACK, "S": Stage.SENT}
        assert [each.outcome for each in shown(payment).items] == ["returned"]
        assert shown(payment).settled

    def test_what_their_own_bank_gave_them_is_told_as_that(self):
        payment, number = refunded()
        far = Disputed()
        far.says(payment, LOST)
        comes_back(number, far)

        assert stages_of(payment) == {"R": Stage.CAME_BACK, "S": Stage.CHARGED_BACK}
        assert [each.charged_back for each in shown(payment).receipts] == [True]


class TestUpgrading:
    def test_a_job_that_failed_before_books_it_when_it_is_revived(self, monkeypatch):
        payment, number = refunded()
        far = FarGateway(refund_replies=[BACK])
        outside = SimpleNamespace(gateways={"sandbox": far})
        monkeypatch.setattr(payment_tasks, "outside", lambda: outside)
        with transaction() as session:
            news = GatewayCallback(
                gateway="sandbox", external_id="evt-1", kind=CallbackKind.REFUND,
                reference=number, body=b"", received_at=NOW,
            )  # fmt: skip
            session.add(news)
            session.flush()
            job_id = session.execute(_DEAD, {"subject_id": str(news.id)}).scalar_one()

        with transaction() as session:
            assert jobs.revive(session, job_id, now=NOW)
        assert jobs.run(job_id)

        assert [one.came_back_of for one in receipts_of(payment)] == [number]
        assert violations() == []

    def test_there_and_back_the_books_keep_what_they_know(self, servers):
        servers.create_database("coming_back_to_gateways")
        url = servers.database_url("coming_back_to_gateways")
        config = alembic_config(url)
        command.upgrade(config, "0032")
        with psycopg.connect(url) as connection:
            connection.execute("""
                INSERT INTO bank_transfer (number, amount_fen, why, opened_at, needs_two)
                VALUES ('S1', 1, 'came_back', now(), false);
                INSERT INTO gateway_match (source, parts, found_by, first_on, amount_fen, made_at)
                VALUES ('stripe', 'refund o{} t{a, b}', 'cancels', '2026-11-20', 0, now())
            """)

        command.downgrade(config, "0031")

        with psycopg.connect(url) as connection:
            left = connection.execute(
                "SELECT why, (SELECT count(*) FROM gateway_match) FROM bank_transfer"
            ).fetchall()
        command.upgrade(config, "head")
        assert left == [("refused", 0)]


_DEAD = text("""
    INSERT INTO job (task, subject_id, due_at, state, attempts, last_error, finished_at)
    VALUES ('payments.callback', :subject_id, now(), 'dead', 12, 'Conflict: came back', now())
    RETURNING id
""")
