"""The far side of Stripe, asked as its reference says."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from core.clock import utc_now
from simulator.journal import Journal
from simulator.stripe_api import Asked, Stripe
from tests.simulator.conftest import SECRET, Simulator, running, until

SESSION = {
    "mode": "payment", "client_reference_id": "CB1", "success_url": "http://127.0.0.1:9/back",
    "metadata[order_no]": "CB1", "payment_intent_data[metadata][order_no]": "CB1",
    "allowed_payment_method_types[0]": "card",
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "cny",
    "line_items[0][price_data][unit_amount]": "8650",
    "line_items[0][price_data][product_data][name]": "Bills",
}  # fmt: skip


class Shop:
    """A shop that speaks to the far side without any program of ours."""

    def __init__(self, client: httpx.Client) -> None:
        self.client, self.auth = client, {"Authorization": f"Bearer sk_test_{SECRET}"}

    def post(self, path: str, key: str = "", **form: str) -> httpx.Response:
        headers = self.auth | ({"Idempotency-Key": key} if key else {})
        return self.client.post(f"/stripe/v1/{path}", data=form, headers=headers)

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.client.get(f"/stripe/v1/{path}", params=params, headers=self.auth)

    def session(self, key: str = "", **changes: str) -> dict:
        answer = self.post("checkout/sessions", key, **SESSION | changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def paid(self) -> dict:
        session = self.session()
        assert self.client.post(session["url"], json={"choice": "yes"}).status_code == 303
        return self.get(f"checkout/sessions/{session['id']}").json()


@pytest.fixture(scope="module")
def shop(simulator: Simulator) -> Shop:
    return Shop(simulator.client)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stripe]:
    """A far side whose clock is ours."""
    journal = Journal(tmp_path / "stripe.jsonl")
    yield Stripe(journal, secret_key="sk_1", late_after=timedelta(0))
    journal.close()


def asked_for(key: str) -> Asked:
    form = "&".join(f"{name}={value}" for name, value in SESSION.items())
    return Asked("POST", "checkout/sessions", form, "Bearer sk_1", key, "http://x/pay")


def error_of(answer: httpx.Response) -> tuple:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error.get("code"), error.get("param")


def test_the_same_key_has_the_same_answer_and_says_so(shop):
    first = shop.post("checkout/sessions", "K1", **SESSION)
    again = shop.post("checkout/sessions", "K1", **SESSION)

    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


def test_the_same_key_with_other_fields_is_an_error(shop):
    shop.session("K2")

    other = shop.post("checkout/sessions", "K2", **SESSION | {"mode": "setup"})

    assert error_of(other) == (400, "idempotency_error", None, None)


def test_of_many_at_once_one_is_done_and_the_others_hear_so_or_wait(shop):
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: shop.post("checkout/sessions", "K3", **SESSION), range(8)))

    assert {one.status_code for one in told} <= {200, 409}
    assert len({one.json()["id"] for one in told if one.status_code == 200}) == 1


def test_a_key_is_kept_for_a_day_and_then_forgotten(alone):
    now = utc_now()

    told = [
        json.loads(alone.answer(asked_for("K"), now=now + timedelta(hours=hours)).body)["id"]
        for hours in (0, 23, 25)
    ]

    assert told[0] == told[1] != told[2]


def test_a_refused_refund_is_refused_again_under_its_key_and_bad_fields_are_not_kept(shop):
    intent = shop.paid()["payment_intent"]
    too_much = {"payment_intent": intent, "amount": "8651"}

    refused = [shop.post("refunds", "K4", **too_much) for _ in range(2)]
    wrong = shop.post("refunds", "K5", **too_much, colour="red")

    assert [one.headers.get("idempotent-replayed") for one in refused] == [None, "true"]
    assert error_of(wrong) == (400, "invalid_request_error", "parameter_unknown", "colour")
    assert shop.post("refunds", "K5", payment_intent=intent).status_code == 200


def test_nothing_is_told_without_the_key(shop):
    for auth in ("", "Bearer sk_test_wrong", "Basic c2tfdGVzdDo="):
        answer = shop.client.get("/stripe/v1/refunds", headers={"Authorization": auth})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payment_method_types[0]": "card"}, "payment_method_types_no_longer_supported"),
        ({"line_items[0][price_data][unit_amount]": "399"}, "amount_too_small"),
        ({"line_items[0][price_data][unit_amount]": "8.50"}, None),
        ({"expires_at": "1"}, None),
        ({"allowed_payment_method_types[0]": "wechat_pay"}, None),
        ({"mode": "subscription"}, None),
        ({"colour": "red"}, "parameter_unknown"),
    ],
)
def test_a_session_that_cannot_be_is_refused(shop, changes, code):
    answer = shop.post("checkout/sessions", **SESSION | changes)

    assert error_of(answer)[:3] == (400, "invalid_request_error", code)


def test_a_session_runs_out(alone):
    now = utc_now()
    name = json.loads(alone.answer(asked_for("K"), now=now).body)["id"]

    later = alone.orders.session(name, now=now + timedelta(hours=25))

    assert (later["status"], later["url"]) == ("expired", None)


def test_lists_are_newest_first_page_by_page_and_within_a_time(shop):
    made = [shop.session()["id"] for _ in range(3)][::-1]

    first = shop.get("checkout/sessions", limit="2").json()
    rest = shop.get("checkout/sessions", limit="2", starting_after=made[1]).json()

    assert [one["id"] for one in first["data"]] == made[:2]
    assert first["has_more"] is True
    assert rest["data"][0]["id"] == made[2]
    long_ago = {"created[gte]": "1", "created[lt]": "2"}
    assert shop.get("checkout/sessions", **long_ago).json()["data"] == []


def test_ids_become_objects_where_that_is_asked_for(shop):
    session = shop.paid()
    paths = {"expand[]": "payment_intent.latest_charge.balance_transaction"}

    told = shop.get(f"checkout/sessions/{session['id']}", **paths).json()

    booked = told["payment_intent"]["latest_charge"]["balance_transaction"]
    assert (booked["amount"], booked["fee"], booked["net"]) == (8_650, 529, 8_121)
    assert isinstance(shop.get(f"checkout/sessions/{session['id']}").json()["payment_intent"], str)
    deep = {"expand[]": "a.b.c.d.e"}
    assert shop.get(f"checkout/sessions/{session['id']}", **deep).status_code == 400


def test_every_move_of_the_balance_adds_up_and_is_in_the_days_report(shop, simulator):
    shop.client.post("/stripe/payouts", json={})
    session = shop.paid()
    intent = session["payment_intent"]
    shop.post("refunds", payment_intent=intent, amount="650", **{"metadata[refund_no]": "R1"})
    made = shop.client.post("/stripe/disputes", json={"order_no": "CB1"}).json()
    shop.client.post(f"/stripe/disputes/{made['id']}", json={"won": True})
    payout = shop.client.post("/stripe/payouts", json={}).json()

    moves = shop.get("balance_transactions", payout=payout["id"], limit="100").json()["data"]
    assert [(one["reporting_category"], one["amount"], one["fee"]) for one in moves[::-1]] == [
        ("charge", 8_650, 529), ("refund", -650, 0), ("dispute", -8_650, 11_000),
        ("dispute_reversal", 8_650, 0), ("payout", 3_529, 0),
    ]  # fmt: skip
    assert payout["amount"] == -3_529  # a balance below nothing is taken from the bank
    assert all(one["net"] == one["amount"] - one["fee"] for one in moves)


def test_a_restart_forgets_nothing(tmp_path: Path):
    with running(tmp_path) as first:
        session = Shop(first.client).session("K9")
    with running(tmp_path) as second:
        shop = Shop(second.client)
        assert shop.get(f"checkout/sessions/{session['id']}").json()["status"] == "open"
        assert shop.post("checkout/sessions", "K9", **SESSION).headers["idempotent-replayed"]


def test_people_find_the_page_the_books_and_the_report(shop):
    session = shop.session()
    page = shop.client.get(session["url"])
    assert "86.50" in page.text

    declined = shop.client.post(session["url"], data={"choice": "no"}, follow_redirects=True)
    assert "付款被拒" in declined.text
    shop.client.post(session["url"], data={"choice": "yes"})
    assert "已完成" in shop.client.get(session["url"]).text
    back = shop.client.post("/stripe/faults", data={"order_no": "CB1", "fault": "last"})
    assert (back.status_code, back.headers["location"]) == (303, "/stripe")
    books = shop.client.get("/stripe").text
    assert session["payment_intent"] is None
    assert "checkout.session.completed" in books
    assert shop.client.get("/stripe/pay/cs_none").status_code == 404
    assert shop.client.post(session["url"], json={"choice": "maybe"}).status_code == 422


def test_a_late_payment_comes_by_itself(shop):
    session = shop.session()
    shop.client.post(session["url"], json={"choice": "late"})

    def told() -> tuple:
        now = shop.get(f"checkout/sessions/{session['id']}").json()
        return now["status"], now["payment_status"]

    assert told() == ("complete", "unpaid")
    until(lambda: told() == ("complete", "paid"))
