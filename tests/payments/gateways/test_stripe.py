"""Stripe, held to the contract against our far side, which is written from Stripe's reference."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from core import crypto
from core.clock import billing_date, utc_now
from core.errors import Invalid, NotAllowed, SettlementFileError, UpstreamUnavailable
from payments.gateways.base import (
    CallbackKind,
    DisputeState,
    FileState,
    GatewayReply,
    GatewayStatus,
    MandateOrder,
    MandateReply,
    MandateState,
    Order,
    RefundState,
    Scene,
)
from payments.gateways.stripe import Stripe
from tests.payments.gateways.contract import (
    FarSide,
    GatewayContract,
    a_mute,
    a_refund,
    an_order,
    asked,
    saying,
    settled,
)
from tests.payments.gateways.mandate_contract import MandateContract, a_mandate
from tests.simulator.conftest import SECRET, Shop, Simulator, until

KEY, WEBHOOK = f"sk_test_{SECRET}", f"whsec_{SECRET}"
WANTED = [
    "checkout.session.completed", "checkout.session.async_payment_succeeded",
    "checkout.session.expired", "refund.created", "refund.updated", "refund.failed",
    "charge.dispute.created", "charge.dispute.closed",
]  # fmt: skip


class Account:
    """The far side, as its owner switches it."""

    def __init__(self, simulator: Simulator) -> None:
        self.client = simulator.client
        self.auth = {"Authorization": f"Bearer {KEY}"}

    def post(self, path: str, **asked: object) -> dict:
        answer = self.client.post(f"/stripe/{path}", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, **params: str) -> dict:
        answer = self.client.get(f"/stripe/v1/{path}", params=params, headers=self.auth)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tell(self, url: str) -> None:
        """Have webhooks delivered to this address, and to no other."""
        path = "/stripe/v1/webhook_endpoints"
        for one in self.get("webhook_endpoints")["data"]:
            if one["url"] == url:
                return
            self.client.delete(f"{path}/{one['id']}", headers=self.auth)
        form = {"url": url, "enabled_events[]": WANTED}
        assert self.client.post(path, data=form, headers=self.auth).status_code == 200

    def press(self, url: str, choice: str) -> None:
        answer = self.client.post(url, json={"choice": choice})
        assert answer.status_code == 303, answer.text


@pytest.fixture(scope="module")
def account(simulator: Simulator) -> Account:
    return Account(simulator)


@pytest.fixture(scope="module")
def far(simulator: Simulator, account: Account) -> Iterator[FarSide]:
    made: list[Stripe] = []

    def at(url: str) -> Stripe:
        made.append(Stripe(KEY, WEBHOOK, url))
        return made[-1]

    def choose(order: Order, opened: GatewayReply, choice: str) -> None:
        account.tell(order.notify_url)
        account.press(opened.pay_url or "", choice)

    def settlement() -> bytes:
        return simulator.client.get(f"/stripe/downloads/{billing_date(utc_now())}.csv").content

    def fault(order_no: str, name: str) -> None:
        account.post("faults", order_no=order_no, fault=name)

    def decide(order: MandateOrder, told: MandateReply, choice: str) -> None:
        if told.sign_url is not None:
            account.press(told.sign_url, "yes")
        else:
            pressed = {"short": "short", "pays": "yes"}[choice]
            account.post(f"cards/{told.mandate_ref}", choice=pressed)

    yield FarSide(
        at(f"{simulator.client.base_url}/stripe"), at, choose, settlement, fault, decide=decide,
        decisions=frozenset({"agree", "short", "pays"}),  # a payer has no way to do the others
    )  # fmt: skip
    for one in made:
        one.hang_up()


class TestStripe(GatewayContract):
    def test_a_screen_is_given_the_page_as_a_code_to_scan(self, far):
        _, shown = self.opened(far, scene=Scene.SCREEN)
        _, plain = self.opened(far)

        assert shown.pay_code == shown.pay_url
        assert plain.pay_code is None

    def test_each_way_to_pay_is_offered_alone(self, far, account):
        wallets = {"card": ["card"], "wallet": ["alipay", "wechat_pay"]}

        for mode, methods in wallets.items():
            _, opened = self.opened(far, mode=mode)
            session = account.get(f"checkout/sessions/{opened.gateway_ref}")
            assert session["payment_method_types"] == methods

    def test_a_declined_card_leaves_the_payer_free_to_try_another(self, far):
        order, opened = self.opened(far)

        far.choose(order, opened, "no")
        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.OPEN
        far.choose(order, opened, "nothing")

        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.PAID

    def test_an_order_whose_answer_was_lost_is_found_among_a_hundred_others(self, far):
        order, opened = self.opened(far)
        for _ in range(101):
            self.opened(far)
        far.choose(order, opened, "nothing")

        told = far.gateway.query(asked(order))

        assert (told.status, told.amount_fen) == (GatewayStatus.PAID, 8_650)

    def test_one_asked_for_again_after_its_key_is_forgotten_is_found_and_not_made(
        self, far, account
    ):
        order, opened = self.opened(far)
        never = an_order()
        far.choose(order, opened, "nothing")
        later = Stripe(
            KEY, WEBHOOK, str(account.client.base_url) + "/stripe",
            clock=lambda: utc_now() + timedelta(hours=23, minutes=30),
        )  # fmt: skip

        assert later.open_order(order).status is GatewayStatus.PAID
        assert later.open_order(never).status is GatewayStatus.REFUSED
        assert far.gateway.query(asked(never)).status is GatewayStatus.NOT_FOUND
        later.hang_up()

    def test_a_refund_asked_for_again_after_its_key_is_forgotten_is_not_sent_again(
        self, far, account
    ):
        order, paid = self.paid(far)
        refund = a_refund(order, paid, amount_fen=1_000)
        first = far.gateway.refund(refund)
        account.post("forget")

        assert far.gateway.refund(refund) == first

    def test_a_refund_whose_answer_was_lost_is_found(self, far):
        order, paid = self.paid(far)
        refund = a_refund(order, paid)
        far.fault(order.order_no, "error")

        assert far.gateway.refund(refund).state is RefundState.UNKNOWN
        assert far.gateway.query_refund(refund).state is RefundState.SENT
        assert far.gateway.refund(refund).state is RefundState.SENT

    def test_a_wallets_refund_is_pending_before_it_is_sent(self, far):
        order, paid = self.paid(far, mode="wallet")
        refund = a_refund(order, paid)

        assert far.gateway.refund(refund).state is RefundState.PENDING
        assert settled(far.gateway, refund).state is RefundState.SENT

    def test_a_refund_that_fails_is_refused_for_good_and_its_money_is_back(self, far):
        order, paid = self.paid(far)
        far.fault(order.order_no, "refund_fails")

        reply = settled(far.gateway, a_refund(order, paid))

        assert (reply.state, reply.reason) == (RefundState.REFUSED, "expired_or_canceled_card")
        again = a_refund(order, paid, refund_no=f"R{order.order_no}b")
        assert far.gateway.refund(again).state is RefundState.SENT

    @pytest.mark.parametrize("status", ["paid", "unpaid", "no_payment_required", "later"])
    def test_a_session_that_says_it_is_complete_and_shows_no_intent_is_not_knowing(
        self, far, status
    ):
        body = (
            '{"object": "checkout.session", "id": "cs_1", "status": "complete",'
            f' "payment_status": "{status}", "payment_intent": null}}'
        )
        with said(body) as url:
            told = far.at(url).query(asked(an_order(), GatewayReply(
                status=GatewayStatus.OPEN, gateway_ref="cs_1"
            )))  # fmt: skip
        assert told.status is GatewayStatus.UNKNOWN

    @pytest.mark.parametrize("number", ["cs_elsewhere", "pi_elsewhere"])
    def test_one_that_another_accounts_key_does_not_find_is_not_knowing(self, far, number):
        order, told = an_order(), GatewayReply(status=GatewayStatus.OPEN, gateway_ref=number)

        assert far.gateway.query(asked(order, told)).status is GatewayStatus.UNKNOWN
        assert far.gateway.close(asked(order, told)).status is GatewayStatus.UNKNOWN
        assert far.gateway.refund(a_refund(order, told)).state is RefundState.UNKNOWN

    def test_money_in_another_currency_is_not_knowing(self, far):
        body = (
            '{"object": "payment_intent", "id": "pi_1", "status": "succeeded",'
            ' "currency": "usd", "amount_received": 8650, "latest_charge": {"created": 1790000000}}'
        )
        with said(body) as url:
            known = GatewayReply(status=GatewayStatus.OPEN, gateway_ref="pi_1")
            told = far.at(url).query(asked(an_order(), known))
        assert told.status is GatewayStatus.UNKNOWN

    @pytest.mark.parametrize("status_code", [401, 403, 429])
    def test_one_that_does_not_listen_to_us_was_never_asked(self, far, status_code):
        body = '{"error": {"type": "invalid_request_error", "message": "no"}}'
        with said(body, status_code) as url, pytest.raises(UpstreamUnavailable):
            far.at(url).open_order(an_order())


def said(body: str, status_code: int = 200):
    head = (
        f"HTTP/1.1 {status_code} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return saying((head + body).encode())


class TestWebhooks:
    def read(self, far: FarSide, shop: Shop) -> list:
        now = utc_now()
        read = [
            far.gateway.read_callback(headers, body.encode(), now=now)
            for headers, body in list(shop.received)
        ]
        return [one for one in read if one is not None]

    def test_news_of_a_refund_may_come_before_news_of_its_payment(self, far, shop):
        order = an_order(shop)
        far.fault(order.order_no, "last")
        opened = far.gateway.open_order(order)
        far.choose(order, opened, "yes")
        paid = far.gateway.query(asked(order, opened))
        refund = a_refund(order, paid)
        far.gateway.refund(refund)
        until(lambda: len(self.read(far, shop)) == 2)

        assert [(one.kind, one.reference) for one in self.read(far, shop)] == [
            (CallbackKind.REFUND, refund.refund_no), (CallbackKind.PAYMENT, order.order_no),
        ]  # fmt: skip

    def test_a_payment_that_is_still_on_its_way_is_no_news(self, far, shop):
        order = an_order(shop)
        opened = far.gateway.open_order(order)
        far.choose(order, opened, "late")
        until(lambda: bool(shop.received))

        assert far.gateway.query(asked(order, opened)).status is GatewayStatus.OPEN
        until(lambda: len(shop.received) == 2)
        assert [one.reference for one in self.read(far, shop)] == [order.order_no]

    @pytest.mark.parametrize("off", [-301, 301])
    def test_an_event_from_five_minutes_ago_or_to_come_is_refused(self, far, off):
        body, now = b'{"object": "event"}', utc_now()
        then = int((now + timedelta(seconds=off)).timestamp())

        with pytest.raises(NotAllowed):
            far.gateway.read_callback(signed(body, then), body, now=now)

    def test_one_right_signature_among_several_is_enough(self, far):
        body, now = b'{"object": "event", "id": "evt_1", "type": "customer.created"}', utc_now()
        header = signed(body, int(now.timestamp()))["stripe-signature"]
        time_part, right = header.split(",")
        rolled = {"stripe-signature": f"{time_part},v1={'0' * 64},{right},v0={'1' * 64}"}

        assert far.gateway.read_callback(rolled, body, now=now) is None
        old = {"stripe-signature": f"{time_part},v0={right.removeprefix('v1=')}"}
        with pytest.raises(NotAllowed):
            far.gateway.read_callback(old, body, now=now)

    def test_a_second_time_in_the_header_does_not_make_an_old_event_new(self, far):
        body, now = b'{"object": "event", "id": "evt_1", "type": "customer.created"}', utc_now()
        old = signed(body, int(now.timestamp()) - 3_600)["stripe-signature"]

        for header in (f"{old},t={int(now.timestamp())}", f"t={int(now.timestamp())},{old}", ""):
            with pytest.raises(NotAllowed):
                far.gateway.read_callback({"stripe-signature": header}, body, now=now)

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{}", b"\xff", b'{"object": "event"}', b"[" * 9999]
    )
    def test_what_is_signed_and_no_event_is_malformed(self, far, body):
        now = utc_now()

        with pytest.raises(Invalid):
            far.gateway.read_callback(signed(body, int(now.timestamp())), body, now=now)


def signed(body: bytes, seconds: int) -> dict[str, str]:
    signature = crypto.sign(WEBHOOK, f"{seconds}.".encode() + body)
    return {"stripe-signature": f"t={seconds},v1={signature}"}


class TestDisputes:
    def paid(self, far: FarSide, shop: Shop | None = None) -> Order:
        order = an_order(shop)
        far.choose(order, far.gateway.open_order(order), "yes" if shop else "nothing")
        return order

    def test_one_is_told_of_and_read_with_its_fee_and_its_deadline(self, far, account, shop):
        order = self.paid(far, shop)
        account.tell(shop.notify_url)
        made = account.post("disputes", order_no=order.order_no)
        until(lambda: any("dispute" in body for _, body in shop.received))

        told = far.gateway.query_dispute(made["id"])

        assert (told.state, told.order_no) == (DisputeState.OPEN, order.order_no)
        assert (told.amount_fen, told.fee_fen) == (8_650, 11_000)
        assert told.reason == "fraudulent"
        assert told.opened_at is not None
        assert told.evidence_due_at == told.opened_at + timedelta(days=7)
        assert told.decided_at is None
        heard = [
            far.gateway.read_callback(headers, body.encode(), now=utc_now())
            for headers, body in shop.received
        ]
        assert (CallbackKind.DISPUTE, made["id"]) in {
            (one.kind, one.reference) for one in heard if one
        }

    @pytest.mark.parametrize(
        ("won", "state"), [(True, DisputeState.WON), (False, DisputeState.LOST)]
    )
    def test_how_it_ended_is_told_and_the_fee_is_kept(self, far, account, won, state):
        order = self.paid(far)
        made = account.post("disputes", order_no=order.order_no)
        account.post(f"disputes/{made['id']}", won=won)

        told = far.gateway.query_dispute(made["id"])

        assert (told.state, told.fee_fen) == (state, 11_000)
        assert (told.decided_at is not None) is won
        rows = far.gateway.read_settlement(
            io.BytesIO(far.settlement()), day=billing_date(utc_now())
        )
        moved = [
            (row.kind, row.amount_fen, row.fee_fen) for row in rows
            if row.gateway_ref == made["id"] and row.reference == order.order_no
        ]  # fmt: skip
        assert moved == [("chargeback", -8_650, 11_000), ("chargeback", 8_650, 0)][: 1 + won]

    def test_an_inquiry_has_taken_nothing_and_is_no_news(self, far, account, shop):
        order = self.paid(far, shop)
        made = account.post("disputes", order_no=order.order_no, inquiry=True)
        until(lambda: any("dispute" in body for _, body in shop.received))

        headers, body = next(one for one in shop.received if "dispute" in one[1])
        assert far.gateway.read_callback(headers, body.encode(), now=utc_now()) is None
        assert far.gateway.query_dispute(made["id"]).state is DisputeState.UNKNOWN

    def test_one_that_cannot_be_read_is_not_known(self, far):
        assert far.gateway.query_dispute("du_none").state is DisputeState.UNKNOWN
        with a_mute() as url:
            assert far.at(url).query_dispute("du_1").state is DisputeState.UNKNOWN


class TestMandates(MandateContract):
    def signed(self, far: FarSide, account: Account, choice: str = "yes") -> tuple:
        order = a_mandate()
        opened = far.gateway.sign_mandate(order)
        assert opened.state is MandateState.OPEN
        account.press(opened.sign_url or "", choice)
        return order, far.gateway.query_mandate(order.mandate_no, opened.mandate_ref)

    def test_signing_is_idempotent_and_found_when_its_answer_is_lost(self, far):
        order = a_mandate()
        far.fault(order.mandate_no, "error")

        lost = far.gateway.sign_mandate(order)
        found = far.gateway.query_mandate(order.mandate_no, None)

        assert lost.state is MandateState.UNKNOWN
        assert (found.state, bool(found.sign_url)) == (MandateState.OPEN, True)
        other = a_mandate()
        assert far.gateway.sign_mandate(other) == far.gateway.sign_mandate(other)
        assert far.gateway.query_mandate("M-none", None).state is MandateState.NOT_FOUND

    def test_a_debit_is_taken_once_and_known_as_any_other_order(self, far, account):
        _, mandate = self.signed(far, account)
        order = an_order()

        told = [far.gateway.debit(order, mandate_ref=mandate.mandate_ref) for _ in range(3)]

        assert {one.status for one in told} == {GatewayStatus.PAID}
        assert len({one.gateway_ref for one in told}) == 1
        found = far.gateway.query(asked(order))
        assert (found.gateway_ref, found.amount_fen) == (told[0].gateway_ref, 8_650)
        assert far.gateway.close(asked(order)).status is GatewayStatus.PAID
        assert settled(far.gateway, a_refund(order, told[0])).state is RefundState.SENT

    @pytest.mark.parametrize("fault", ["silent", "error"])
    def test_a_debit_asked_for_again_after_its_answer_was_lost_is_not_taken_twice(
        self, far, account, fault
    ):
        _, mandate = self.signed(far, account)
        order = an_order()
        far.fault(order.order_no, fault)

        lost = far.gateway.debit(order, mandate_ref=mandate.mandate_ref)
        again = far.gateway.debit(order, mandate_ref=mandate.mandate_ref)

        assert lost.status is GatewayStatus.UNKNOWN
        assert again.status is GatewayStatus.PAID
        charged = [
            one for one in account.get("payment_intents", limit="100")["data"]
            if one["metadata"].get("order_no") == order.order_no
        ]  # fmt: skip
        assert len(charged) == 1

    @pytest.mark.parametrize(
        ("choice", "reason"),
        [
            ("asks", "authentication_required"),
            ("short", "insufficient_funds"),
            ("lost", "mandate_ended: lost_card"),
        ],
    )
    def test_a_debit_that_is_refused_says_why_and_stays_refused(self, far, account, choice, reason):
        _, mandate = self.signed(far, account, choice)
        order = an_order()

        told = far.gateway.debit(order, mandate_ref=mandate.mandate_ref)
        found = far.gateway.query(asked(order))

        assert (told.status, told.reason) == (GatewayStatus.REFUSED, reason)
        assert (found.status, found.reason) == (GatewayStatus.REFUSED, reason)

    def test_an_ended_mandate_is_not_debited_and_stays_ended(self, far, account):
        order, mandate = self.signed(far, account)
        number, ref = order.mandate_no, mandate.mandate_ref

        ends = [far.gateway.end_mandate(number, ref).state for _ in range(2)]

        assert ends == [MandateState.ENDED] * 2
        refused = far.gateway.debit(an_order(), mandate_ref=ref)
        assert (refused.status, refused.reason) == (GatewayStatus.REFUSED, "mandate_ended")
        unsigned = far.gateway.sign_mandate(a_mandate())
        assert far.gateway.end_mandate("M", unsigned.mandate_ref).state is MandateState.ENDED

    @pytest.mark.parametrize("number", ["cs_elsewhere", "seti_elsewhere"])
    def test_one_that_another_accounts_key_does_not_find_is_not_ended(self, far, number):
        """A number Stripe gave is never unknown to Stripe: the key is of another account."""
        told = far.gateway.debit(an_order(), mandate_ref=number)

        assert told.status is GatewayStatus.UNKNOWN
        assert far.gateway.query_mandate("M1", number).state is MandateState.UNKNOWN
        assert far.gateway.end_mandate("M1", number).state is MandateState.UNKNOWN

    def test_one_that_was_not_agreed_to_is_open_and_not_debited(self, far):
        opened = far.gateway.sign_mandate(a_mandate())

        told = far.gateway.debit(an_order(), mandate_ref=opened.mandate_ref)

        assert (told.status, told.reason) == (GatewayStatus.REFUSED, "the payer has not agreed")

    def test_agreeing_is_told(self, far, account, shop):
        order = a_mandate()
        opened = far.gateway.sign_mandate(order)
        account.tell(shop.notify_url)
        account.press(opened.sign_url, "yes")
        until(lambda: bool(shop.received))

        headers, body = shop.received[0]
        told = far.gateway.read_callback(headers, body.encode(), now=utc_now())
        assert (told.kind, told.reference) == (CallbackKind.MANDATE, order.mandate_no)


HEADER = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,"
    "payment_intent_id,payment_metadata[order_no],refund_metadata[refund_no]"
)
ROW = "txn_1,2026-11-20 04:00:03,cny,86.50,5.29,81.21,charge,ch_1,pi_1,CB1,"
DAY = datetime(2026, 11, 20, tzinfo=UTC).date()


class TestReport:
    def read(self, far: FarSide, *rows: str, header: str = HEADER) -> list:
        content = "\n".join([header, *rows, ""]).encode()
        return list(far.gateway.read_settlement(io.BytesIO(content), day=DAY))

    def test_it_is_ordered_and_fetched_when_it_is_made(self, far):
        order = an_order()
        far.choose(order, far.gateway.open_order(order), "nothing")
        day = billing_date(utc_now())

        first = far.gateway.fetch_settlement(day)
        until(lambda: far.gateway.fetch_settlement(day).state is FileState.READY)
        file = far.gateway.fetch_settlement(day)

        assert first.state is FileState.NOT_YET
        assert file.file_name == f"stripe-{day}.csv"
        rows = list(far.gateway.read_settlement(io.BytesIO(file.content), day=day))
        found = next(row for row in rows if row.reference == order.order_no)
        assert (found.kind, found.amount_fen, found.fee_fen) == ("payment", 8_650, 529)

    def test_a_day_on_which_nothing_happened_has_no_data(self, far):
        day = billing_date(utc_now()) - timedelta(days=3)

        assert far.gateway.fetch_settlement(day).state is FileState.NOT_YET
        until(lambda: far.gateway.fetch_settlement(day).state is FileState.NO_DATA)

    def test_a_payout_carries_all_that_was_earned_and_is_not_in_the_report(self, far, account):
        account.post("payouts")
        for _ in range(2):
            order = an_order()
            far.choose(order, far.gateway.open_order(order), "nothing")
        paid_out = account.post("payouts")

        moves = account.get("balance_transactions", payout=paid_out["id"])["data"]
        assert paid_out["amount"] == 2 * (8_650 - 529)
        assert sum(one["net"] for one in moves) == 0  # what came in, and the payout itself
        rows = far.gateway.read_settlement(
            io.BytesIO(far.settlement()), day=billing_date(utc_now())
        )
        assert "payout" not in {row.kind for row in rows}

    def test_columns_are_found_by_name_in_any_order_with_a_mark_before_them(self, far):
        names, cells = HEADER.split(",")[::-1], ROW.split(",")[::-1]

        turned = self.read(far, ",".join(cells), header="\ufeff" + ",".join(names))

        assert turned == self.read(far, ROW)

    @pytest.mark.parametrize(
        ("category", "kind", "reference"),
        [
            ("charge", "payment", "CB1"), ("refund", "refund", "R1"),
            ("dispute", "chargeback", "CB1"), ("dispute_reversal", "chargeback", "CB1"),
            ("refund_failure", "refund", "R1"), ("fee", "fee", "CB1"), ("new word", "other", "CB1"),
        ],
    )  # fmt: skip
    def test_what_each_row_is(self, far, category, kind, reference):
        row = self.read(far, ROW.replace("charge", category) + "R1")[0]

        assert (row.kind, row.reference) == (kind, reference)
        assert row.gateway_ref == ("pi_1" if kind == "payment" else "ch_1")
        assert row.happened_at == datetime(2026, 11, 20, 4, 0, 3, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("line", "said", "column"),
        [
            (ROW.replace("81.21", "81.22"), "81.22 is not 86.50 less 5.29", "net"),
            (ROW.replace("cny", "hkd"), "must settle in cny", "currency"),
            (ROW.replace("86.50", "86.505"), "finer than a fen", "gross"),
            (ROW.replace("86.50", ""), "blank", "gross"),
            (ROW.replace("11-20 04", "11-20 16"), "another day's file", "created_utc"),
            (ROW.replace("2026-11-20", "20.11.2026"), "not a time", "created_utc"),
            (ROW.rsplit(",", 3)[0], "is the file whole", None),
            (ROW.replace("CB1", "CB\x001"), "control character", None),
        ],
    )  # fmt: skip
    def test_a_row_that_cannot_be_right_refuses_the_file_at_its_line(self, far, line, said, column):
        with pytest.raises(SettlementFileError, match=said) as refused:
            self.read(far, ROW.replace("txn_1", "txn_0"), line)
        assert (refused.value.line_no, refused.value.column) == (3, column)

    def test_the_same_movement_twice_refuses_the_file(self, far):
        with pytest.raises(SettlementFileError, match="stood in line 2 already"):
            self.read(far, ROW, ROW)

    @pytest.mark.parametrize(
        "content", [b"", b"\xff\xfe", b"a,b\n", b'"', HEADER.replace("[order_no]", "").encode()]
    )
    def test_what_is_no_report_of_ours_is_refused(self, far, content):
        with pytest.raises(SettlementFileError):
            far.gateway.read_settlement(io.BytesIO(content), day=DAY)
