"""Refunds on the console and through the API: two people, a lock, and a tracker for the payer."""

from html import unescape

import pytest

from billing.bills import format_ref
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity.models import Role
from payments.gateways.base import (
    DisputeReply,
    DisputeState,
    GatewayStatus,
    RefundReply,
    RefundState,
)
from payments.models import Payment, Receipt, get_payment, list_receipts
from payments.returns import chargebacks, refunds, suspense
from payments.returns.models import RefundStatus
from payments.returns.receipts import return_no
from tests.factories import a_home, a_paid_payment, a_person, book, items_of, violations
from tests.payments.returns.returning import (
    Disputed,
    a_confirmed_payment,
    confirm,
    ref_of,
    refunds_of,
)
from tests.web.conftest import Browser, signed_in
from tests.web.test_console_terms import main_of, told

pytestmark = pytest.mark.usefixtures("city")
NO = RefundReply(state=RefundState.REFUSED, reason="trade finished")


@pytest.fixture
def colleagues(app) -> tuple[Browser, Browser]:
    people = (a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚"))
    one, other = (signed_in(app, person) for person in people)
    return one, other


@pytest.fixture(autouse=True)
def threshold(monkeypatch, app):
    monkeypatch.setattr(settings(), "refund_approval_above_fen", 5_000)


def typed(payment: Payment, amount: str) -> dict[str, str]:
    item = items_of(payment)[0]
    left_fen = item.amount_fen - item.returned_fen
    return {
        "bill": format_ref(ref_of(item)), "amount": amount, "refundable_fen": str(left_fen),
        "reason": "paid_twice", "words": "来电", "key": f"k-{amount}",
    }  # fmt: skip


def proposed(browser: Browser, payment: Payment, amount: str = "86.50") -> str:
    """Propose a refund; the address it is at."""
    answer = browser.send_form(f"/console/refunds/of/{payment.id}", typed(payment, amount))
    assert answer.status_code == 303, told(answer.text)
    address: str = answer.headers["location"]
    return address


def stuck(browser: Browser, other: Browser, payment: Payment, amount: str) -> str:
    """A refund the gateway refuses for good."""
    address = proposed(browser, payment, amount)
    other.send_form(f"{address}/approval")
    number = address.rpartition("/")[2]
    refunds.send(number, {}, now=utc_now())
    return address


def search(browser: Browser, wanted: object) -> str:
    answer = browser.send_form(
        "/console/refunds", {"wanted": str(wanted)}, headers={"Accept-Language": "en"}
    )
    assert answer.status_code == 200, answer.text
    return told(answer.text)


class TestTwoPeople:
    def test_from_a_search_to_an_approved_refund(self, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        assert "Nothing waits for approval" in main_of(one, "/console/refunds")

        found = search(one, payment.order_no)
        assert payment.order_no in found
        address = proposed(one, payment)
        assert "a colleague approves it" in main_of(one, address)
        assert "To be approved" in main_of(other, "/console/refunds")
        approved = other.send_form(f"{address}/approval")

        assert (approved.status_code, approved.headers["location"]) == (303, address)
        seen = main_of(one, address)
        for words in ("Paid twice · 来电", "Proposed by 陈晓", "Approved by 林岚", "To be sent"):
            assert words in seen
        assert "refunds wait" not in main_of(one, "/console")
        assert violations() == []

    def test_the_proposer_is_refused_all_the_same(self, colleagues):
        (one, _), payment = colleagues, a_confirmed_payment(8_650)
        address = proposed(one, payment)

        answer = one.send_form(f"{address}/approval", headers={"Accept-Language": "en"})

        assert answer.status_code == 403
        assert "ask a colleague" in unescape(answer.text)
        assert one.send_form(f"{address}/decline").status_code == 303  # but may withdraw

    def test_who_paid_is_offered_no_approval_of_their_own_refund(self, app, colleagues):
        payer_id = a_person(Role.STAFF, name="周敏")
        payment = a_paid_payment(a_home(8_650, owner_id=payer_id))
        confirm(payment)
        address = proposed(colleagues[0], payment)
        payer = signed_in(app, payer_id)

        seen = main_of(payer, address)
        assert "This is your own payment" in seen
        assert "Approve and send" not in seen
        assert "You proposed" not in seen
        assert payer.send_form(f"{address}/approval").status_code == 403
        assert colleagues[1].send_form(f"{address}/approval").status_code == 303

    def test_a_no_needs_its_reason_and_shows_it(self, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        address = proposed(one, payment)

        assert other.send_form(f"{address}/decline", {"reason": " "}).status_code == 422
        assert other.send_form(f"{address}/decline", {"reason": "无凭证"}).status_code == 303

        assert "无凭证" in main_of(one, address)

    @pytest.mark.parametrize(
        ("changes", "status", "words"),
        [
            ({"amount": "1e3"}, 422, "as 86.50"),
            ({"amount": "86.51"}, 409, "¥86.50 of this bill can still go back"),
            ({"refundable_fen": "1"}, 409, "Somebody was faster: ¥86.50"),
            ({"reason": "because"}, 422, "Choose a reason"),
            ({"reason": "other", "words": ""}, 422, "Say why"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, colleagues, changes, status, words
    ):
        (one, _), payment = colleagues, a_confirmed_payment(8_650)

        answer = one.send_form(
            f"/console/refunds/of/{payment.id}", typed(payment, "86.50") | changes,
            headers={"Accept-Language": "en"},
        )  # fmt: skip

        assert answer.status_code == status
        assert words in told(answer.text)
        assert f'value="{changes.get("amount", "86.50")}"' in answer.text

    def test_a_bill_nobody_confirmed_has_no_form(self, colleagues):
        payment = a_paid_payment(a_home(8_650))

        seen = main_of(colleagues[0], f"/console/refunds/of/{payment.id}")

        assert "has not said yet" in seen
        assert "Propose a refund" not in seen


class TestFinding:
    @pytest.mark.parametrize(
        "by", ["id", "order_no", "gateway_ref", "write_off_no", "account", "masked", "refund_no"]
    )
    def test_a_payment_is_found_by_whatever_somebody_has(self, colleagues, by):
        home = a_home(8_650)
        payment = a_paid_payment(home)
        confirm(payment)
        number = proposed(colleagues[0], payment).rpartition("/")[2]
        known = {
            "id": payment.id, "order_no": payment.order_no, "gateway_ref": payment.gateway_ref,
            "write_off_no": items_of(payment)[0].write_off_no, "account": home.account_nos[0],
            "masked": f"****{home.account_nos[0][-4:]}", "refund_no": number,
        }  # fmt: skip

        seen = search(colleagues[0], known[by])

        assert f"Payment Amount Paid Paid with {payment.order_no}" in seen

    @pytest.mark.parametrize("by", ["return_no", "second_ref", "dispute_ref"])
    def test_so_is_one_that_was_paid_twice_or_disputed(self, colleagues, by):
        payment = a_confirmed_payment(8_650)
        book(payment, GatewayStatus.PAID, gateway_ref="second")
        far = Disputed()
        far.says(payment, DisputeState.OPEN)
        with transaction() as session:
            (receipt,) = list_receipts(session, payment.id)
        known = {
            "return_no": return_no(receipt), "second_ref": "second", "dispute_ref": "dp-1",
        }  # fmt: skip

        seen = search(colleagues[0], known[by])

        assert f"Payment Amount Paid Paid with {payment.order_no}" in seen

    @pytest.mark.parametrize(
        "wanted", ["nothing", "9" * 19, f"S{'9' * 30}", "****", "****567", "' OR 1=1"]
    )
    def test_nothing_is_found_by_what_is_nothing(self, colleagues, wanted):
        assert "No such payment" in search(colleagues[0], wanted)

    def test_a_character_no_text_can_hold_is_refused(self, colleagues):
        answer = colleagues[0].send_form("/console/refunds", {"wanted": "\0"})

        assert answer.status_code == 422

    @pytest.mark.parametrize("number", ["R0", "S1", "x", "R%00"])
    def test_a_number_of_nothing_is_not_found(self, colleagues, number):
        assert colleagues[0].get(f"/console/refunds/{number}").status_code in {404, 422}


class TestSuspendedMoney:
    """What came twice goes back by itself; staff see it wait, and where it got to."""

    def a_receipt(self) -> tuple[Payment, Receipt]:
        payment = a_confirmed_payment(8_650)
        book(payment, GatewayStatus.PAID, gateway_ref="second")
        with transaction() as session:
            return payment, list_receipts(session, payment.id)[0]

    def test_it_waits_on_the_desk_and_has_a_page(self, colleagues):
        payment, receipt = self.a_receipt()
        number = return_no(receipt)

        assert f"{number} 20 Nov 2026" in main_of(colleagues[0], "/console/refunds")
        seen = main_of(colleagues[0], f"/console/refunds/{number}")
        for words in ("To be sent", "¥86.50", "It came a second time", "second"):
            assert words in seen
        assert number in main_of(colleagues[0], f"/console/refunds/of/{payment.id}")

    def test_by_transfer_it_waits_for_staff_and_is_sent(self, colleagues):
        (one, other), (_, receipt) = colleagues, self.a_receipt()
        address = f"/console/refunds/{return_no(receipt)}"
        suspense.send_back(receipt.id, {}, now=utc_now())
        assert "By bank transfer" in main_of(one, address)
        assert "Every refund was sent" in main_of(one, "/console/refunds")

        payee = {"name": "王珅", "bank": "工商银行", "account": "6222020000001234"}
        assert one.send_form(f"{address}/payee", payee).status_code == 303
        assert other.send_form(f"{address}/sent", {"bank_ref": "ICBC-1"}).status_code == 303

        assert "ICBC-1" in main_of(one, address)
        assert violations() == []

    def test_its_reason_is_told_in_chinese(self, colleagues):
        _, receipt = self.a_receipt()

        seen = colleagues[0].get(
            f"/console/refunds/{return_no(receipt)}", headers={"Accept-Language": "zh-CN"}
        )

        assert "重复到账" in seen.text
        assert "second time" not in seen.text


class TestDesk:
    def test_no_number_of_others_hides_what_waits_for_approval(self, monkeypatch, colleagues):
        monkeypatch.setattr("payments.returns.desk.SHOWN", 2)
        payment = a_confirmed_payment(8_650)
        for amount in ("1.00", "1.01", "1.02"):
            stuck(colleagues[0], colleagues[1], payment, amount)

        address = proposed(colleagues[0], payment, "60.00")

        assert address.rpartition("/")[2] in main_of(colleagues[1], "/console/refunds")


class TestTransfers:
    def test_from_a_no_to_the_banks_reference(self, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        address = stuck(one, other, payment, "86.50")
        assert "Ask the payer" in main_of(one, "/console/refunds")
        payee = {"name": "王珅", "bank": "工商银行", "account": "6222 0200 0000 1234"}

        assert one.send_form(f"{address}/payee", payee | {"account": "?"}).status_code == 422
        assert one.send_form(f"{address}/payee", payee).status_code == 303
        shown = main_of(other, address)
        assert "************1234" in shown
        assert "6222020000001234" not in shown
        whole = other.send_form(f"{address}/payee/whole")
        assert "6222020000001234" in told(whole.text)
        assert one.send_form(f"{address}/sent", {"bank_ref": "ICBC-1"}).status_code == 403
        assert other.send_form(f"{address}/sent", {"bank_ref": "ICBC-1"}).status_code == 303

        assert "Confirmed by 林岚" in main_of(one, address)
        assert "No transfer waits" in main_of(one, "/console/refunds")
        assert violations() == []

    def test_whole_it_is_not_shown_once_it_is_sent(self, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        address = stuck(one, other, payment, "10.00")
        payee = {"name": "王珅", "bank": "工商银行", "account": "6222020000001234"}
        one.send_form(f"{address}/payee", payee)
        another = other.send_form(f"{address}/payee", payee | {"account": "6222020000009999"})
        assert another.status_code == 409
        assert other.send_form(f"{address}/sent", {"bank_ref": "ICBC-1"}).status_code == 303

        answer = one.send_form(f"{address}/payee/whole", headers={"Accept-Language": "en"})

        assert answer.status_code == 409
        assert "This transfer was sent already" in told(answer.text)
        assert "6222020000001234" not in answer.text

    def test_what_was_not_sent_is_taken_out_again(self, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        address = stuck(one, other, payment, "10.00")
        one.send_form(
            f"{address}/payee", {"name": "王珅", "bank": "工商银行", "account": "6222020000001234"}
        )

        assert one.send_form(f"{address}/payee/none").status_code == 303

        assert "Ask the payer" in main_of(one, "/console/refunds")


class TestChargebacks:
    def test_a_dispute_is_listed_with_its_last_day_and_stops_refunds(self, colleagues):
        (one, _), payment = colleagues, a_confirmed_payment(8_650)
        assert "No dispute waits for a decision" in main_of(one, "/console/chargebacks")
        told_ = DisputeReply(
            state=DisputeState.OPEN, order_no=payment.order_no, amount_fen=8_650, fee_fen=1_500,
            reason="fraudulent", evidence_due_at=utc_now(),
        )  # fmt: skip
        with transaction() as session:
            chargebacks.book(session, "sandbox", "dp-1", told_, now=utc_now())

        seen = main_of(one, "/console/chargebacks")

        for words in ("dp-1", "fraudulent", "Hurry", "Not decided", "¥15.00 of the gateway’s"):
            assert words in seen
        assert "disputed by its payer’s bank" in main_of(one, "/console")
        assert "disputes this payment" in main_of(one, f"/console/refunds/of/{payment.id}")


class TestApi:
    def body(self, payment: Payment, **changes: object) -> dict[str, object]:
        item = items_of(payment)[0]
        return {
            "bill_id": format_ref(ref_of(item)), "amount_fen": 1_000,
            "refundable_fen": item.amount_fen - item.returned_fen, "reason": "wrong_bill",
        } | changes  # fmt: skip

    def test_the_same_key_is_the_same_refund_and_a_stale_lock_a_conflict(self, colleagues):
        (one, _), payment = colleagues, a_confirmed_payment(8_650)
        path, body = f"/api/v1/payments/{payment.id}/refunds", self.body(payment)

        answers = [
            one.post(path, json=body, headers={"Idempotency-Key": key}) for key in ("a", "a", "b")
        ]

        assert [answer.status_code for answer in answers] == [201, 201, 409]
        assert answers[0].json() == answers[1].json()
        assert answers[0].json()["status"] == "requested"
        assert answers[2].json()["refundable_fen"] == 7_650
        assert len(refunds_of(payment)) == 1

    @pytest.mark.parametrize(
        "changes", [{"amount_fen": 0}, {"amount_fen": 10.5}, {"reason": "x"}, {"bill_id": "x"}]
    )
    def test_junk_is_refused(self, colleagues, changes):
        payment = a_confirmed_payment(8_650)

        answer = colleagues[0].post(
            f"/api/v1/payments/{payment.id}/refunds", json=self.body(payment, **changes),
            headers={"Idempotency-Key": "a"},
        )  # fmt: skip

        assert answer.status_code in {404, 422}
        assert refunds_of(payment) == []

    def test_the_payer_follows_every_step(self, app, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        with transaction() as session:
            payer_id = get_payment(session, payment.id).payer_id
        payer = signed_in(app, payer_id)

        def steps() -> tuple[str, str]:
            (told_,) = payer.get(f"/api/v1/payments/{payment.id}").json()["refunds"]
            return told_["step"], main_of(payer, f"/payments/{payment.id}")

        address = proposed(one, payment)
        step, seen = steps()
        assert step == "requested"
        assert "A second person is looking at it" in seen
        assert "来电" not in seen
        other.send_form(f"{address}/approval")
        assert steps()[0] == "approved"
        sent = RefundReply(state=RefundState.SENT, refunded_at=utc_now())
        with transaction() as session:
            refunds.book(session, address.rpartition("/")[2], sent, now=utc_now())
        step, seen = steps()
        assert step == "sent"
        assert "Expected by" in seen
        assert refunds_of(payment)[0].status is RefundStatus.SUCCEEDED

    def test_what_staff_withdrew_is_nobodys_business_and_a_no_is(self, app, colleagues):
        (one, other), payment = colleagues, a_confirmed_payment(8_650)
        with transaction() as session:
            payer_id = get_payment(session, payment.id).payer_id
        payer = signed_in(app, payer_id)
        for who, amount in ((one, "60.00"), (other, "70.00")):
            who.send_form(f"{proposed(one, payment, amount)}/decline", {"reason": "无凭证"})

        seen = main_of(payer, f"/payments/{payment.id}")

        assert "A refund of ¥70.00 was not granted" in seen
        assert "60.00" not in seen
        assert "无凭证" not in seen
