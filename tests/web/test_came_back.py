"""Money that came back after it was sent, on every page about it; gateways that are gone."""

from html import unescape

import pytest

from core.clock import utc_now
from core.db import transaction
from identity import audit
from identity.audit import Deed
from identity.models import Role
from payments.desk.timeline import happened
from payments.gateways.base import GatewayStatus, RefundReply, RefundState
from payments.models import Payment, list_receipts
from payments.returns import refunds, suspense
from payments.returns.models import RefundStatus
from payments.returns.receipts import return_no
from tests.factories import FarGateway, a_person, book, topics, violations
from tests.payments.returns.returning import (
    a_confirmed_payment,
    a_wish,
    approve,
    confirm_sent,
    enter_payee,
    propose,
    send,
    staff,
)
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of

pytestmark = pytest.mark.usefixtures("city")
BACK = RefundReply(state=RefundState.REFUSED, reason="expired_or_canceled_card")


@pytest.fixture
def clerk(app) -> Browser:
    return signed_in(app, a_person(Role.STAFF))


def refunded() -> tuple[Payment, str]:
    payment, (one, other) = a_confirmed_payment(8_650), staff()
    refund = approve(propose(a_wish(payment), one), other)
    send(payment)
    return payment, refund.refund_no


def came_back() -> tuple[Payment, str, str]:
    """A payment, its refund that came back, and the number that goes under now."""
    payment, number = refunded()
    assert refunds.look(number, FarGateway(refund_replies=[BACK]), utc_now())
    with transaction() as session:
        (back,) = list_receipts(session, payment.id)
    return payment, number, return_no(back)


def payers(app, payment: Payment) -> Browser:
    assert payment.payer_id is not None
    return signed_in(app, payment.payer_id)


class TestTheResident:
    def test_the_payment_says_it_came_back_and_asks_for_an_account(self, app):
        payment, _, _ = came_back()

        seen = main_of(payers(app, payment), f"/payments/{payment.id}")

        assert "Your money came back to us" in seen
        assert "Tell us an account" in seen
        assert "¥86.50 came back after it was sent: the card or account did not take it." in seen
        assert "¥86.50 came back after it was sent to you." in seen
        for untrue in ("Expected by", "The money goes back the way it came", "You are done"):
            assert untrue not in seen

    def test_so_do_their_refunds_and_what_goes_on_stands_beside_it(self, app):
        payment, _, again = came_back()

        seen = main_of(payers(app, payment), "/refunds")

        assert "did not take it. It goes on under the number" in seen
        assert "We need an account" in seen
        assert again in seen.replace(" ", "")
        assert "Should be there" not in seen

    def test_in_chinese_too(self, app):
        payment, _, _ = came_back()
        browser = payers(app, payment)

        for path in (f"/payments/{payment.id}", "/refunds"):
            page = unescape(browser.get(path, headers={"Accept-Language": "zh-CN"}).text)
            assert "没有收下" in page
            assert "it came back" not in page

    def test_once_our_bank_has_sent_it_it_is_returned(self, app):
        payment, _, again = came_back()
        one, other = staff()
        enter_payee(again, one)
        confirm_sent(again, other)

        seen = main_of(payers(app, payment), f"/payments/{payment.id}")

        assert "Your money was returned" in seen
        assert "It went to the bank account you named." in seen
        assert "the way it came" not in seen
        assert "Your money came back to us" not in seen

    def test_a_program_reads_it(self, app):
        payment, number, _ = came_back()

        told = payers(app, payment).get(f"/api/v1/payments/{payment.id}").json()

        (refund,), (receipt,) = told["refunds"], told["receipts"]
        assert (refund["step"], refund["arrives_by_on"]) == ("came_back", None)
        assert refund["came_back_at"] is not None
        assert (receipt["came_back_of"], receipt["by_bank"]) == (number, True)
        assert [one["outcome"] for one in told["items"]] == ["returning"]


class TestTheConsole:
    def test_the_refund_says_so_and_leads_on(self, clerk):
        _, number, again = came_back()

        seen = main_of(clerk, f"/console/refunds/{number}")
        assert "Came back" in seen
        assert f"goes on as {again}" in seen.replace("\u2009", "").replace("\xa0", "")
        gone_on = main_of(clerk, f"/console/refunds/{again}")
        assert "It was sent and came back to the gateway · expired_or_canceled_card" in gone_on
        assert "It came back after it was sent" in gone_on
        assert "Ask the payer" in main_of(clerk, "/console/refunds")

    def test_so_do_the_lists_and_what_happened_to_its_payer(self, clerk):
        payment, _, again = came_back()

        for path in (
            "/console/refunds/all",
            f"/console/refunds/of/{payment.id}",
            f"/console/payments/{payment.id}",
        ):
            assert "Came back" in main_of(clerk, path), path
        file = clerk.get("/console/refunds/all.csv", headers={"Accept-Language": "en"}).text
        head, row = file.splitlines()[:2]
        assert head.rstrip().endswith("Came back to us")
        assert not row.endswith(",")
        with transaction() as session:
            story = happened(
                session, person_id=payment.payer_id, account_ids=[], now=utc_now(), limit=20
            )
        assert ("came_back", again, "suspended") in {
            (one.what, one.reference, one.state) for one in story
        }


class TestAGatewayThatIsGone:
    @pytest.fixture
    def gone(self, app, clerk, monkeypatch) -> None:
        monkeypatch.delitem(app.state.gateways, "sandbox")

    @pytest.fixture
    def pending(self) -> str:
        payment, (one, other) = a_confirmed_payment(8_650), staff()
        refund = approve(propose(a_wish(payment), one), other)
        send(payment, RefundReply(state=RefundState.PENDING))
        return refund.refund_no

    def test_its_page_warns_and_our_bank_sends_it_for_a_reason(self, clerk, pending, gone):
        seen = main_of(clerk, f"/console/refunds/{pending}")
        assert "It may have sent it" in seen

        refused = clerk.send_form(f"/console/refunds/{pending}/by-bank", {"reason": " "})
        assert refused.status_code == 422
        for _ in range(2):
            answer = clerk.send_form(
                f"/console/refunds/{pending}/by-bank", {"reason": "its last statement lacks it"}
            )
            assert answer.status_code == 303

        assert "This gateway is not in use any more" in main_of(
            clerk, f"/console/refunds/{pending}"
        )
        with transaction() as session:
            (entry,) = audit.find_entries(session, audit.Wanted(what=Deed.SENT_BY_BANK))
            assert entry.detail == {"reason": "its last statement lacks it"}
            assert refunds.get_refund(session, pending).status is RefundStatus.BY_TRANSFER
        assert topics(like="transfer.%") == ["transfer.opened"]
        assert refunds.send(pending, {}, now=utc_now())  # the job that died is done, revived
        assert violations() == []

    def test_while_its_gateway_can_be_asked_nobody_sends_it(self, clerk, pending):
        assert "Its gateway is gone" not in main_of(clerk, f"/console/refunds/{pending}")

        answer = clerk.send_form(f"/console/refunds/{pending}/by-bank", {"reason": "why not"})

        assert answer.status_code == 409

    def test_suspended_money_alike(self, clerk, gone):
        payment = a_confirmed_payment(1_000)
        book(payment, GatewayStatus.PAID, gateway_ref="another")
        with transaction() as session:
            (one,) = list_receipts(session, payment.id)
        far = FarGateway(refund_replies=[RefundReply(state=RefundState.PENDING)])
        suspense.send_back(one.id, {"sandbox": far}, now=utc_now())
        address = f"/console/refunds/{return_no(one)}"
        assert "It may have sent it" in main_of(clerk, address)

        assert clerk.send_form(f"{address}/by-bank", {"reason": "not there"}).status_code == 303

        assert suspense.send_back(one.id, {}, now=utc_now())
        assert "This gateway is not in use any more" in main_of(clerk, address)
        assert violations() == []
