"""Stripe's requests held against two programs that others wrote.

stripe-mock checks each against Stripe's own OpenAPI description and remembers nothing; localstripe
remembers, and knows part of Stripe only. Both run as processes of their own.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from core.clock import billing_date, utc_now
from payments.gateways.base import (
    Asked,
    FileState,
    GatewayStatus,
    MandateOrder,
    RefundOrder,
    RefundState,
)
from payments.gateways.stripe import Stripe
from tests.payments.gateways.contract import an_order
from tests.simulator.conftest import SECRET, Shop, Simulator, free_port, until

pytestmark = pytest.mark.timeout(900)  # building stripe-mock for the first time takes a while
CACHE = Path.home() / ".cache" / "citybill" / "go"
PACKAGE = "github.com/stripe/stripe-mock@latest"
WEBHOOK = "whsec_of-these-tests"
PAID_CARD = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123"}


def is_listening(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    except httpx.TransportError:
        return False
    return True


def started(command: list[str], port: int) -> Iterator[str]:
    running = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: is_listening(port), within_seconds=30)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


def stripe_mock() -> Path:
    """Return stripe-mock, built once on this machine."""
    built = CACHE / "stripe-mock"
    if built.exists():
        return built
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip("there is no Go to build stripe-mock with: install it, or put stripe-mock"
                    f" into {CACHE}")  # fmt: skip
    environment = {"GOBIN": str(CACHE), "HOME": str(Path.home()), "PATH": "/usr/bin:/bin"}
    made = subprocess.run(
        [go, "install", PACKAGE], env=environment, capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    if made.returncode != 0:
        pytest.skip(f"stripe-mock could not be built: {made.stderr.strip()[-200:]}")
    return built


class Between:
    """Stands between us and a far side: keeps what was answered, and changes some of it."""

    def __init__(self, url: str) -> None:
        self.answers: list[tuple[str, int, str]] = []
        self.instead: dict[str, dict] = {}
        between = self

        class Handler(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                headers = {
                    name: value for name, value in self.headers.items()
                    if name.lower() not in {"host", "content-length", "accept-encoding"}
                }  # fmt: skip
                answer = httpx.request(
                    self.command, url + self.path, headers=headers, trust_env=False,
                    content=between.said_before(self.path, self.rfile.read(size)),
                )  # fmt: skip
                body = between.changed(self.path.partition("?")[0], answer.content)
                called = f"{self.command} {self.path.partition('?')[0]}"
                between.answers.append((called, answer.status_code, answer.text))
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _pass_on

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()

    @staticmethod
    def said_before(path: str, body: bytes) -> bytes:
        """Say it as one said it until 2026-08, which is the API that stripe-mock knows."""
        if not path.startswith("/v1/checkout/sessions"):
            return body
        return body.replace(b"allowed_payment_method_types", b"payment_method_types")

    def changed(self, path: str, body: bytes) -> bytes:
        facts = next((facts for part, facts in self.instead.items() if part in path), None)
        return body if facts is None else json.dumps(json.loads(body) | facts).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    port = free_port()
    yield from started([str(stripe_mock()), "-http-addr", f"127.0.0.1:{port}"], port)


@pytest.fixture
def between(mock_url: str) -> Iterator[Between]:
    between = Between(mock_url)
    yield between
    between.close()


@pytest.fixture
def stripe(between: Between) -> Iterator[Stripe]:
    stripe = Stripe("sk_test_123", WEBHOOK, between.url)
    yield stripe
    stripe.hang_up()


def paid_order(ref: str = "pi_1") -> Asked:
    order = an_order()
    return Asked(
        order_no=order.order_no, amount_fen=8_650, asked_at=order.asked_at, gateway_ref=ref
    )


class TestStripeMock:
    """Every request we make is one that Stripe's own description of its API allows."""

    def check(self, between: Between, *called: str) -> None:
        refused = [one for one in between.answers if one[1] != 200]
        assert refused == []
        assert [one[0] for one in between.answers] == list(called)

    @pytest.mark.parametrize("mode", ["card", "wallet", ""])
    def test_opening(self, stripe, between, mode):
        stripe.open_order(an_order(mode=mode))

        self.check(between, "POST /v1/checkout/sessions")

    def test_asking_by_each_of_its_numbers(self, stripe, between):
        stripe.query(paid_order("cs_test_1"))
        stripe.query(paid_order("pi_1"))

        self.check(between, "GET /v1/checkout/sessions/cs_test_1", "GET /v1/payment_intents/pi_1")

    def test_looking_for_an_order_whose_answer_was_lost(self, stripe, between):
        before = utc_now() - timedelta(minutes=20)
        told = stripe.query(replace(paid_order(), gateway_ref=None, asked_at=before))

        assert told.status is GatewayStatus.NOT_FOUND
        self.check(between, *["GET /v1/checkout/sessions", "GET /v1/payment_intents"] * 2)

    def test_closing_a_session_and_an_intent(self, stripe, between):
        between.instead["/v1/checkout/sessions/"] = {
            "status": "open", "payment_status": "unpaid", "url": "http://x", "id": "cs_test_1",
        }  # fmt: skip
        between.instead["/v1/payment_intents/"] = {"status": "requires_action", "id": "pi_1"}
        stripe.close(paid_order("cs_test_1"))
        stripe.close(paid_order("pi_1"))

        session, intent = "/v1/checkout/sessions/cs_test_1", "/v1/payment_intents/pi_1"
        self.check(
            between, f"GET {session}", f"POST {session}/expire", f"GET {session}",
            f"GET {intent}", f"POST {intent}/cancel", f"GET {intent}",
        )  # fmt: skip

    def test_refunding(self, stripe, between):
        now = utc_now()
        refund = RefundOrder(
            refund_no="R1", amount_fen=100, reason="", asked_at=now, paid=paid_order()
        )
        stripe.refund(refund)
        stripe.query_refund(refund)

        self.check(between, "GET /v1/refunds", "POST /v1/refunds", "GET /v1/refunds")

    def test_a_refund_of_our_number_and_another_amount_is_not_taken_for_ours(self, stripe, between):
        found = {
            "object": "refund", "id": "re_1", "amount": 99, "currency": "cny",
            "status": "succeeded", "created": 1_790_000_000, "metadata": {"refund_no": "R1"},
        }  # fmt: skip
        between.instead["/v1/refunds"] = {"data": [found], "has_more": False}

        assert stripe.query_refund(refund_there("pi_1", 100, "R1")).state is RefundState.UNKNOWN
        assert stripe.query_refund(refund_there("pi_1", 99, "R1")).state is RefundState.SENT

    def test_disputes(self, stripe, between):
        stripe.query_dispute("du_1")

        self.check(between, "GET /v1/disputes/du_1")

    def test_mandates_from_signing_to_their_end(self, stripe, between):
        order = MandateOrder(
            mandate_no="M1", maximum_fen=None, subject="Autopay", notify_url="http://x/n",
            return_url="http://x/r", asked_at=utc_now(),
        )  # fmt: skip
        stripe.sign_mandate(order)
        stripe.sign_mandate(replace(order, payer_ref="cus_1"))
        stripe.query_mandate("M1", None)
        between.instead["/v1/setup_intents/"] = {
            "status": "succeeded", "customer": "cus_1", "id": "seti_1",
            "payment_method": {"id": "pm_1", "customer": "cus_1"},
        }  # fmt: skip
        stripe.debit(an_order(), mandate_ref="seti_1")
        stripe.end_mandate("M1", "seti_1")

        self.check(
            between, "POST /v1/checkout/sessions", "POST /v1/checkout/sessions",
            "GET /v1/checkout/sessions", "GET /v1/setup_intents/seti_1", "POST /v1/payment_intents",
            "GET /v1/setup_intents/seti_1", "POST /v1/payment_methods/pm_1/detach",
            "GET /v1/setup_intents/seti_1",
        )  # fmt: skip

    def test_ordering_the_days_report(self, stripe, between):
        between.instead["/v1/reporting/report_types/"] = {"data_available_end": 1 << 32}
        between.instead["/v1/reporting/report_runs"] = {"status": "pending"}
        day = billing_date(utc_now()) - timedelta(days=1)

        assert stripe.fetch_settlement(day).state is FileState.NOT_YET

        self.check(
            between, "GET /v1/reporting/report_types/balance_change_from_activity.itemized.3",
            "GET /v1/reporting/report_runs", "POST /v1/reporting/report_runs",
        )  # fmt: skip


def test_a_report_that_did_not_arrive_whole_is_not_read(simulator: Simulator):
    between = Between(f"{simulator.client.base_url}/stripe")
    stripe, day = Stripe(f"sk_test_{SECRET}", WEBHOOK, between.url), billing_date(utc_now())
    until(lambda: stripe.fetch_settlement(day).state is FileState.NO_DATA)
    listed = next(text for called, _, text in between.answers if '"succeeded"' in text)
    run = json.loads(listed)["data"][0]

    run["result"]["size"] += 1
    between.instead["/v1/reporting/report_runs"] = {"data": [run]}

    assert stripe.fetch_settlement(day).state is FileState.UNKNOWN
    stripe.hang_up()
    between.close()


@pytest.fixture(scope="module")
def local_url() -> Iterator[str]:
    port = free_port()
    yield from started(
        [sys.executable, "-m", "localstripe", "--from-scratch", "--port", str(port)], port
    )


@pytest.fixture
def local(local_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=local_url, auth=("sk_test_123", ""), trust_env=False) as client:
        yield client


@pytest.fixture
def stripe_there(local_url: str) -> Iterator[Stripe]:
    stripe = Stripe("sk_test_123", WEBHOOK, local_url)
    yield stripe
    stripe.hang_up()


def intent_there(local: httpx.Client, *, confirmed: bool, order_no: str) -> str:
    """Have localstripe make an intent, as a page would for a payer."""
    card = {f"card[{name}]": value for name, value in PAID_CARD.items()}
    method = local.post("/v1/payment_methods", data={"type": "card"} | card)
    made = local.post("/v1/payment_intents", data={
        "amount": "8650", "currency": "cny", "payment_method": method.json()["id"],
        "metadata[order_no]": order_no, "confirm": str(confirmed).lower(),
    })  # fmt: skip
    assert made.status_code == 200, made.text
    return str(made.json()["id"])


def refund_there(intent: str, amount_fen: int, number: str) -> RefundOrder:
    return RefundOrder(
        refund_no=number, amount_fen=amount_fen, reason="", asked_at=utc_now(),
        paid=paid_order(intent),
    )  # fmt: skip


class TestLocalstripe:
    def test_an_unpaid_intent_is_open_and_closes(self, stripe_there, local):
        order = paid_order(intent_there(local, confirmed=False, order_no="CB1"))

        assert stripe_there.query(order).status is GatewayStatus.OPEN
        assert stripe_there.close(order).status is GatewayStatus.CLOSED
        assert stripe_there.query(order).status is GatewayStatus.CLOSED

    def test_a_number_of_another_account_is_not_knowing(self, stripe_there):
        assert stripe_there.query(paid_order("pi_none")).status is GatewayStatus.UNKNOWN

    def test_a_paid_intent_that_does_not_say_what_was_received_is_not_knowing(
        self, stripe_there, local
    ):
        """It leaves ``amount_received`` out, which Stripe never does."""
        order = paid_order(intent_there(local, confirmed=True, order_no="CB2"))

        assert stripe_there.query(order).status is GatewayStatus.UNKNOWN

    def test_refunds_in_parts_are_each_sent_once_though_it_ignores_keys(self, stripe_there, local):
        intent = intent_there(local, confirmed=True, order_no="CB3")
        first, second = refund_there(intent, 1_000, "R1"), refund_there(intent, 7_650, "R2")
        assert stripe_there.query_refund(first).state is RefundState.NOT_FOUND

        sent = [stripe_there.refund(one) for one in (first, first, second, first)]

        assert {one.state for one in sent} == {RefundState.SENT}
        assert len({one.refund_ref for one in sent}) == 2
        assert stripe_there.query_refund(first).refund_ref == sent[0].refund_ref
        kept = local.get("/v1/refunds", params={"payment_intent": intent}).json()["data"]
        assert sorted(one["amount"] for one in kept) == [1_000, 7_650]

    def test_its_signature_is_taken_and_what_it_tells_of_is_no_news(
        self, stripe_there, local, shop: Shop
    ):
        """It signs as Stripe does, and knows no events but those of intents."""
        local.post("/_config/webhooks/ours", json={"url": shop.notify_url, "secret": WEBHOOK})
        intent_there(local, confirmed=True, order_no="CB4")
        until(lambda: bool(shop.received))
        headers, body = shop.received[0]

        assert stripe_there.read_callback(headers, body.encode(), now=utc_now()) is None
        assert json.loads(body)["type"] == "payment_intent.succeeded"
