import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.simulator.conftest import SECRET, Shop, Simulator, hmac_hex, in_utc, running, until


def an_order(order_no: str, shop: Shop | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "order_no": order_no,
        "amount_fen": 8_650,
        "subject": "水费 十月",
        "notify_url": shop.notify_url if shop else "http://127.0.0.1:9/nobody",
        "return_url": "http://127.0.0.1:9/back?order=1",
        "expires_at": in_utc(datetime.now(UTC) + timedelta(minutes=10)),
        **changes,
    }


def open_order(simulator: Simulator, body: dict[str, Any]) -> str:
    """Open an order and return its page's address."""
    answer = simulator.sandbox("POST", "/sandbox/orders", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["pay_url"])


def query(simulator: Simulator, order_no: str) -> dict[str, Any]:
    facts: dict[str, Any] = simulator.sandbox("GET", f"/sandbox/orders/{order_no}").json()
    return facts


def pay(simulator: Simulator, order_no: str, **changes: Any) -> None:
    simulator.client.post(
        open_order(simulator, an_order(order_no, **changes)), data={"choice": "nothing"}
    )


class TestOrders:
    def test_opens_once_and_answers_the_same_again(self, simulator):
        body = an_order("o1")

        first = simulator.sandbox("POST", "/sandbox/orders", body)
        again = simulator.sandbox("POST", "/sandbox/orders", body)

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert first.json()["status"] == "open"
        assert first.json()["pay_url"].endswith(f"/sandbox/pay/{first.json()['gateway_ref']}")

    def test_the_same_number_with_another_amount_is_409(self, simulator):
        open_order(simulator, an_order("o2"))

        again = simulator.sandbox("POST", "/sandbox/orders", an_order("o2", amount_fen=8_651))

        assert again.status_code == 409

    def test_query_of_an_open_order(self, simulator):
        open_order(simulator, an_order("o3"))

        facts = query(simulator, "o3")

        assert set(facts) == {
            "order_no",
            "gateway_ref",
            "status",
            "amount_fen",
            "paid_at",
            "fee_fen",
        }
        assert (facts["status"], facts["paid_at"], facts["fee_fen"]) == ("open", None, None)

    def test_an_unknown_order_is_404(self, simulator):
        assert simulator.sandbox("GET", "/sandbox/orders/nope").status_code == 404

    def test_close_and_close_again(self, simulator):
        open_order(simulator, an_order("o4"))

        answers = [simulator.sandbox("POST", "/sandbox/orders/o4/close", {}) for _ in range(2)]

        assert [a.status_code for a in answers] == [200, 200]
        assert answers[1].json()["status"] == "closed"

    def test_close_of_a_paid_order_is_409_with_the_order(self, simulator):
        pay(simulator, "o5")

        answer = simulator.sandbox("POST", "/sandbox/orders/o5/close", {})

        assert answer.status_code == 409
        assert answer.json()["status"] == "paid"
        assert answer.json()["amount_fen"] == 8_650

    def test_an_order_whose_time_ran_out_is_closed_and_cannot_be_paid(self, simulator):
        page = open_order(simulator, an_order("o6", expires_at=in_utc(datetime.now(UTC))))

        simulator.client.post(page, data={"choice": "yes"})

        assert query(simulator, "o6")["status"] == "closed"

    @pytest.mark.parametrize(
        ("amount_fen", "fee_fen"),
        [(1, 0), (131, 0), (132, 1), (8_650, 33), (10_000, 38), (1_250, 5), (1_249, 5)],
    )
    def test_the_fee_is_rounded_half_up(self, simulator, amount_fen, fee_fen):
        pay(simulator, f"fee-{amount_fen}", amount_fen=amount_fen)

        assert query(simulator, f"fee-{amount_fen}")["fee_fen"] == fee_fen

    @pytest.mark.parametrize(
        "change",
        [
            {"amount_fen": 0},
            {"amount_fen": 86.5},
            {"notify_url": "javascript:alert(1)"},
            {"return_url": "/relative"},
            {"expires_at": "2026-11-20T12:00:00"},
        ],
    )
    def test_a_malformed_order_is_422(self, simulator, change):
        answer = simulator.sandbox("POST", "/sandbox/orders", an_order("bad", **change))

        assert answer.status_code == 422


class TestSignature:
    @pytest.mark.parametrize("off_by", [-301, 301])
    def test_stale_is_401(self, simulator, off_by):
        at = int(time.time()) + off_by

        assert (
            simulator.sandbox("POST", "/sandbox/orders", an_order("s1"), at=at).status_code == 401
        )

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/sandbox/orders", an_order("s2")),
            ("GET", "/sandbox/orders/o1", None),
            ("POST", "/sandbox/orders/o1/close", {}),
            ("POST", "/sandbox/refunds", {}),
            ("GET", "/sandbox/refunds/r1", None),
            ("GET", "/sandbox/settlements/2026-11-20.csv", None),
        ],
    )
    def test_wrong_is_401_everywhere(self, simulator, method, path, body):
        stranger = Simulator(simulator.client, 0, simulator.data_dir, secret="guessed")

        assert stranger.sandbox(method, path, body).status_code == 401
        assert simulator.client.request(method, path, json=body).status_code == 401


class TestChoices:
    def test_yes_pays_and_tells_once(self, simulator, shop):
        page = open_order(simulator, an_order("c1", shop))

        answer = simulator.client.post(page, data={"choice": "yes"})

        assert answer.status_code == 303
        assert answer.headers["location"] == "http://127.0.0.1:9/back?order=1"
        until(lambda: len(shop.received) == 1)
        facts, event = query(simulator, "c1"), shop.events()[0]
        assert facts["status"] == "paid"
        assert event.pop("event_id")
        assert event == {
            "event": "order.paid",
            "order_no": "c1",
            "gateway_ref": facts["gateway_ref"],
            "amount_fen": 8_650,
            "paid_at": facts["paid_at"],
        }

    def test_a_notification_is_signed(self, simulator, shop):
        page = open_order(simulator, an_order("c2", shop))

        simulator.client.post(page, data={"choice": "yes"})

        until(lambda: len(shop.received) == 1)
        headers, body = shop.received[0]
        time_text = headers["x-sandbox-time"]
        assert abs(int(time_text) - int(time.time())) < 5
        assert headers["x-sandbox-signature"] == hmac_hex(SECRET, f"{time_text}.{body}")

    def test_no_declines_and_tells_once(self, simulator, shop):
        page = open_order(simulator, an_order("c3", shop))

        simulator.client.post(page, json={"choice": "no"})

        until(lambda: len(shop.received) == 1)
        assert shop.events()[0]["event"] == "order.declined"
        assert query(simulator, "c3")["status"] == "declined"

    def test_late_sends_the_browser_back_and_pays_afterwards(self, simulator, shop):
        page = open_order(simulator, an_order("c4", shop))

        answer = simulator.client.post(page, data={"choice": "late"})

        assert answer.status_code == 303
        assert query(simulator, "c4")["status"] == "open"
        assert "处理中" in simulator.client.get(page).text
        until(lambda: len(shop.received) == 1)
        assert query(simulator, "c4")["status"] == "paid"

    def test_a_late_order_closed_meanwhile_is_never_paid(self, simulator, shop):
        page = open_order(simulator, an_order("c5", shop))
        simulator.client.post(page, data={"choice": "late"})

        simulator.sandbox("POST", "/sandbox/orders/c5/close", {})

        time.sleep(0.5)
        assert query(simulator, "c5")["status"] == "closed"
        assert shop.received == []

    def test_nothing_pays_and_never_tells(self, simulator, shop):
        page = open_order(simulator, an_order("c6", shop))

        simulator.client.post(page, data={"choice": "nothing"})

        time.sleep(0.3)
        assert shop.received == []
        assert query(simulator, "c6")["status"] == "paid"

    def test_twice_tells_the_same_twice(self, simulator, shop):
        page = open_order(simulator, an_order("c7", shop))

        simulator.client.post(page, data={"choice": "twice"})

        until(lambda: len(shop.received) == 2)
        assert shop.received[0][1] == shop.received[1][1]
        assert shop.events()[0]["event_id"] == shop.events()[1]["event_id"]

    def test_a_second_press_changes_nothing(self, simulator, shop):
        page = open_order(simulator, an_order("c8", shop))

        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda choice: simulator.client.post(page, data={"choice": choice}),
                    ["yes"] * 8 + ["no"] * 8,
                )
            )

        until(lambda: len(shop.received) >= 1)
        time.sleep(0.2)
        assert len(shop.received) == 1

    @pytest.mark.parametrize("body", [{"choice": "maybe"}, {}])
    def test_another_choice_is_422(self, simulator, body):
        page = open_order(simulator, an_order(f"c9-{len(body)}"))

        assert simulator.client.post(page, data=body or {"x": "y"}).status_code == 422
        assert simulator.client.post(page, json=body).status_code == 422

    def test_each_of_many_at_once_is_told_once(self, simulator, shop):
        pages = [open_order(simulator, an_order(f"many-{n}", shop)) for n in range(60)]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda page: simulator.client.post(page, data={"choice": "yes"}), pages))

        until(lambda: len(shop.received) >= 60)
        time.sleep(0.2)
        assert len(shop.received) == 60

    def test_a_notification_is_sent_again_until_taken(self, simulator, shop):
        shop.answers = [500, 302]
        page = open_order(simulator, an_order("c10", shop))

        simulator.client.post(page, data={"choice": "yes"})

        until(lambda: len(shop.received) == 3)
        time.sleep(0.3)
        assert len(shop.received) == 3
        assert len({body for _, body in shop.received}) == 1

    def test_a_notification_is_given_up_after_the_third_retry(self, simulator, shop):
        shop.answers = [500] * 9
        page = open_order(simulator, an_order("c11", shop))

        simulator.client.post(page, data={"choice": "yes"})

        until(lambda: len(shop.received) == 4)
        time.sleep(0.3)
        assert len(shop.received) == 4


class TestHostedPage:
    def test_shows_the_amount_and_five_buttons_in_two_languages(self, simulator):
        page = simulator.client.get(open_order(simulator, an_order("h1", amount_fen=123_456)))

        assert "¥1,234.56" in page.text
        assert page.text.count('name="choice"') == 5
        assert "沙箱收银台" in page.text
        assert "Sandbox cashier" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]

    def test_escapes_what_the_shop_sent(self, simulator):
        order = an_order("h2", subject="<script>alert(1)</script>")

        text = simulator.client.get(open_order(simulator, order)).text

        assert "<script>" not in text
        assert "&lt;script&gt;" in text

    def test_of_a_paid_order_has_no_buttons(self, simulator):
        page = open_order(simulator, an_order("h3"))
        simulator.client.post(page, data={"choice": "nothing"})

        text = simulator.client.get(page).text

        assert "支付成功" in text
        assert 'name="choice"' not in text

    def test_of_nothing_is_404(self, simulator):
        assert simulator.client.get("/sandbox/pay/sbx_none").status_code == 404

    def test_the_overview_lists_orders(self, simulator):
        open_order(simulator, an_order("h4", subject="<i>overview</i>"))

        assert "&lt;i&gt;overview&lt;/i&gt;" in simulator.client.get("/sandbox").text

    def test_the_overview_says_how_an_order_stands_and_not_which_button_was_pressed(
        self, simulator
    ):
        simulator.client.post(open_order(simulator, an_order("h5")), data={"choice": "yes"})

        assert ">yes<" not in simulator.client.get("/sandbox").text


class TestRefunds:
    def refund(self, simulator: Simulator, refund_no: str, order_no: str, amount_fen: int) -> Any:
        body = {"refund_no": refund_no, "order_no": order_no, "amount_fen": amount_fen}
        return simulator.sandbox("POST", "/sandbox/refunds", body)

    def test_once_and_the_same_again(self, simulator):
        pay(simulator, "r1")

        first = self.refund(simulator, "rf1", "r1", 650)
        again = self.refund(simulator, "rf1", "r1", 650)

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json() == first.json()
        assert simulator.sandbox("GET", "/sandbox/refunds/rf1").json() == first.json()
        assert first.json()["status"] == "succeeded"
        assert first.json()["refunded_at"].endswith("Z")

    def test_up_to_the_amount_and_not_a_fen_more(self, simulator):
        pay(simulator, "r2")
        self.refund(simulator, "rf2", "r2", 8_000)

        assert self.refund(simulator, "rf3", "r2", 651).status_code == 409
        assert self.refund(simulator, "rf4", "r2", 650).status_code == 201

    def test_the_same_number_with_another_body_is_409(self, simulator):
        pay(simulator, "r3")
        self.refund(simulator, "rf5", "r3", 1)

        assert self.refund(simulator, "rf5", "r3", 2).status_code == 409

    def test_of_an_unpaid_order_is_409_and_of_none_404(self, simulator):
        open_order(simulator, an_order("r4"))

        assert self.refund(simulator, "rf6", "r4", 1).status_code == 409
        assert self.refund(simulator, "rf7", "nope", 1).status_code == 404
        assert simulator.sandbox("GET", "/sandbox/refunds/rf6").status_code == 404

    def test_is_told(self, simulator, shop):
        page = open_order(simulator, an_order("r5", shop))
        simulator.client.post(page, data={"choice": "nothing"})

        self.refund(simulator, "rf8", "r5", 100)

        until(lambda: len(shop.received) == 1)
        event = shop.events()[0]
        assert (event["event"], event["refund_no"], event["amount_fen"]) == (
            "refund.succeeded",
            "rf8",
            100,
        )

    def test_many_at_once_never_pass_the_amount(self, simulator):
        pay(simulator, "r6")

        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda n: self.refund(simulator, f"race{n}", "r6", 3_000), range(8))
            )

        assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 6


class TestRestart:
    def test_orders_and_refunds_are_remembered(self, tmp_path):
        with running(tmp_path) as simulator:
            pay(simulator, "k1")
            body = {"refund_no": "kr", "order_no": "k1", "amount_fen": 8_000}
            refund = simulator.sandbox("POST", "/sandbox/refunds", body).json()
            before = query(simulator, "k1")
        with (tmp_path / "sandbox.jsonl").open("a") as journal:
            journal.write('{"order": {"order_no": "torn')

        with running(tmp_path) as simulator:
            assert query(simulator, "k1") == before
            assert simulator.sandbox("GET", "/sandbox/refunds/kr").json() == refund
            more = {**body, "refund_no": "kr2", "amount_fen": 651}
            assert simulator.sandbox("POST", "/sandbox/refunds", more).status_code == 409
            assert query(simulator, "torn").get("code") == "order.unknown"

    def test_what_was_due_is_still_done(self, tmp_path, shop):
        long = timedelta(seconds=1)
        shop.answers = [500]
        with running(tmp_path, late_after=long, retry_after=(long,)) as simulator:
            late, told = (open_order(simulator, an_order(no, shop)) for no in ("late", "told"))
            simulator.client.post(late, data={"choice": "late"})
            simulator.client.post(told, data={"choice": "yes"})
            until(lambda: len(shop.received) >= 1)

        with running(tmp_path) as simulator:
            until(lambda: len(shop.received) == 3)
            assert query(simulator, "late")["status"] == "paid"
        assert {event["order_no"] for event in shop.events()} == {"late", "told"}
