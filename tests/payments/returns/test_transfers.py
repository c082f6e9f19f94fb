"""Transfers from our own bank: what a gateway cannot send, staff send and confirm (rule 45)."""

from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from identity import audit
from identity.audit import Deed
from payments.gateways.base import RefundReply, RefundState
from payments.models import Payment
from payments.returns import refunds, transfers
from payments.returns.models import RefundStatus
from tests.conftest import as_owner
from tests.factories import NOW, FarGateway, at_once, balances, topics, violations
from tests.payments.returns.returning import (
    SENT,
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
)

pytestmark = pytest.mark.usefixtures("city")


def stuck(amount_fen: int) -> tuple[Payment, str]:
    payment, (one, other) = a_confirmed_payment(amount_fen), staff()
    refund = propose(a_wish(payment), one)
    if refund.status is RefundStatus.PROPOSED:
        approve(refund, other)
    send(payment, RefundReply(state=RefundState.REFUSED))
    return payment, refund.refund_no


class TestByStaff:
    def test_from_a_no_to_the_banks_reference(self):
        payment, number = stuck(1_000)
        one, _ = staff()

        enter_payee(number, one)
        confirm_sent(number, one)
        confirm_sent(number, one)

        assert [each.status for each in refunds_of(payment)] == [RefundStatus.SUCCEEDED]
        assert posted("returned:%") == {"returned": 1_000}
        assert balances() == {
            "bank": -1_000, "gateway:sandbox": 1_000, "receivable:water": 1_000,
            "uncollected:water": -1_000,
        }  # fmt: skip
        assert violations() == []

    def test_above_the_threshold_another_person_confirms(self):
        _, number = stuck(8_650)
        one, other = staff()
        enter_payee(number, one)

        with pytest.raises(NotAllowed):
            confirm_sent(number, one)
        with pytest.raises(IntegrityError, match="two_people"), as_owner() as connection:
            connection.execute(
                text("UPDATE bank_transfer SET sent_by = payee_by, sent_at = now(), bank_ref = 'x'")
            )
        confirm_sent(number, other)

        assert violations() == []

    def test_the_account_is_sealed_shown_masked_and_whole_to_who_sends(self):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)

        with transaction() as session:
            transfer = transfers.get_transfer(session, number)
            whole = transfers.show_account(
                session, number, by=one, secret_key="a test's secret", now=NOW
            )
            [entry] = audit.find_entries(session, audit.Wanted(what=Deed.PAYEE_SEEN))
            assert (entry.person_id, entry.subject_id) == (one, number)
        assert transfer.payee_account_masked == "************1234"
        assert b"6222" not in transfer.payee_account_sealed
        assert whole == "6222020000001234"
        with pytest.raises(CityBillError), transaction() as session:
            transfers.show_account(session, number, by=one, secret_key="another", now=NOW)

    @pytest.mark.parametrize("account", ["", "12345", "6222-x!", "6" * 35])
    def test_what_can_be_no_account_is_refused(self, account):
        _, number = stuck(1_000)

        with pytest.raises(Invalid):
            enter_payee(number, staff()[0], account)

    def test_nothing_is_confirmed_without_a_payee_or_with_anothers_reference(self):
        _, first = stuck(1_000)
        _, second = stuck(2_000)
        one, _ = staff()
        with pytest.raises(Conflict):
            confirm_sent(first, one)
        enter_payee(first, one)
        enter_payee(second, one)
        confirm_sent(first, one)

        with pytest.raises(Conflict):
            confirm_sent(second, one)
        with pytest.raises(Conflict):
            confirm_sent(first, one, "ICBC-0002")
        with pytest.raises(Invalid):
            confirm_sent(second, one, "?")
        with pytest.raises(NotFound):
            confirm_sent("R0", one)

    def test_two_transfers_at_once_never_share_a_reference(self):
        one, _ = staff()
        for ref in ("ICBC-1", "ICBC-2", "ICBC-3"):
            numbers = [stuck(1_000)[1] for _ in range(2)]
            for number in numbers:
                enter_payee(number, one)

            found = at_once([partial(confirm_sent, number, one, ref) for number in numbers])

            (refused,) = [each for each in found if each is not None]
            assert refused.code == "transfer.ref_taken"

    def test_an_account_that_is_entered_is_not_replaced_behind_the_senders_back(self):
        _, number = stuck(1_000)
        one, other = staff()

        found = at_once(
            [lambda: enter_payee(number, one), lambda: enter_payee(number, other, "A" * 16)] * 4
        )

        refused = [each for each in found if each is not None]
        assert {each.code for each in refused if isinstance(each, Conflict)} == {
            "transfer.has_payee"
        }
        assert len(refused) == 4  # the same account again changes nothing
        with transaction() as session:
            transfers.clear_payee(session, number)
        enter_payee(number, other, "A" * 16)

    def test_whole_it_is_shown_only_while_it_is_to_be_sent(self):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        confirm_sent(number, one)

        with pytest.raises(Conflict), transaction() as session:
            transfers.show_account(session, number, by=one, secret_key="a test's secret", now=NOW)

    def test_a_gateway_that_sends_it_while_staff_may_have_sent_it_needs_a_person(self):
        payment, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        with pytest.raises(Conflict) as refused:
            refunds.look(number, FarGateway(refund_replies=[SENT]), NOW)
        assert refused.value.code == "refund.may_be_sent_twice"
        assert [each.status for each in refunds_of(payment)] == [RefundStatus.BY_TRANSFER]

        with transaction() as session:
            transfers.clear_payee(session, number)
        assert refunds.look(number, FarGateway(refund_replies=[SENT]), NOW)

        assert [each.status for each in refunds_of(payment)] == [RefundStatus.SUCCEEDED]
        assert violations() == []

    def test_a_payee_entered_beside_the_gateways_late_yes_is_never_both(self):
        for _ in range(4):
            payment, number = stuck(1_000)
            far = FarGateway(refund_replies=[SENT] * 2)

            at_once(
                [
                    lambda: refunds.look(number, far, NOW),  # noqa: B023
                    lambda: enter_payee(number, staff()[0]),  # noqa: B023
                ]
            )

            with transaction() as session:
                entered = transfers.has_payee(transfers.get_transfer(session, number))
            sent = refunds_of(payment)[0].status is RefundStatus.SUCCEEDED
            assert entered is not sent
            assert violations() == []

    def test_eight_threads_confirm_it_once(self):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)

        at_once([lambda: confirm_sent(number, one)] * 8)

        assert topics(like="refund.succeeded") == ["refund.succeeded"]
        assert violations() == []

    def test_a_gateway_that_then_sends_it_too_needs_a_person(self):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        confirm_sent(number, one)

        with pytest.raises(Conflict) as refused:
            refunds.look(number, FarGateway(refund_replies=[SENT]), NOW)
        assert refused.value.code == "refund.sent_twice"

    def test_a_gateway_that_says_its_no_once_more_changes_nothing(self):
        _, number = stuck(1_000)
        one, _ = staff()
        enter_payee(number, one)
        confirm_sent(number, one)

        far = FarGateway(refund_replies=[RefundReply(state=RefundState.REFUSED)])
        assert refunds.look(number, far, NOW)
