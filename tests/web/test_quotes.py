"""The API before and while paying: quotes, choices, and what is refused of them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.bills import format_ref
from core.clock import billing_date, utc_now
from core.db import transaction
from payments.models import Payment
from providers.base import OptionKind, PayOption, PayTerms
from tests.factories import a_payment, items_of, the_bill, the_terms, violations
from tests.web.conftest import Browser, signed_in
from tests.web.forms import a_due_home
from web.app import create_app

pytestmark = pytest.mark.usefixtures("city")

TERMS = """
surplus = "advance"

[amount]
mode = "any"
maximum_fen = 5_000

[fee]
tax_ppm = 60_000
slabs = [{ fixed_fen = 50, rate_ppm = 10_000 }]
"""


def early() -> PayTerms:
    until_on = billing_date(utc_now()) + timedelta(days=5)
    option = PayOption("early", OptionKind.EARLY, "提前缴费优惠", 950, until_on=until_on)
    return PayTerms(options=(option,))


def quoted(browser: Browser, **body: Any) -> Any:
    return browser.post("/api/v1/quotes", json={"gateway": "sandbox", **body})


def paid(browser: Browser, key: str = "k", **body: Any) -> Any:
    return browser.post(
        "/api/v1/payments", json={"gateway": "sandbox", **body}, headers={"Idempotency-Key": key}
    )


class TestQuotes:
    def test_a_quote_has_every_amount_and_what_else_there_is(self, app):  # rules 4, 17, 21
        the_terms("water", TERMS)
        home = a_due_home(1_000, 2_000, pay_terms=early())
        browser = signed_in(app, home.owner_id)
        water, power = map(format_ref, home.refs)

        told = quoted(browser, items=[{"bill_id": water, "option": "early"}, {"bill_id": power}])

        assert told.status_code == 200, told.text
        body = told.json()
        assert (body["amount_fen"], body["fee_fen"], body["fee_tax_fen"]) == (3_014, 60, 4)
        assert body["counts_on"] == str(billing_date(utc_now()))
        assert body["quoted_at"] < body["valid_until"]
        items = {one["bill_id"]: one for one in body["items"]}
        assert (items[water]["amount_fen"], items[water]["adjust_fen"]) == (950, -50)
        assert items[water]["option"] == "early"
        assert [one["option"] for one in items[water]["offers"]] == [None, "early"]
        usual = items[water]["offers"][0]
        assert (usual["minimum_fen"], usual["maximum_fen"]) == (1, 5_000)
        assert the_bill(home.refs[0]).held_by is None

    def test_what_was_quoted_is_what_is_paid(self, app):
        the_terms("water", TERMS)
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        choice = {"items": [{"bill_id": format_ref(home.refs[0]), "amount_fen": 1_200,
                             "shown_fen": 1_000}]}  # fmt: skip
        asked = quoted(browser, **choice).json()

        made = paid(
            browser, **choice, quoted_at=asked["quoted_at"], shown_total_fen=asked["amount_fen"]
        )

        assert made.status_code == 201, made.text
        told = made.json()
        assert (told["amount_fen"], told["fee_fen"], told["fee_tax_fen"]) == (1_266, 62, 4)
        assert [(one["amount_fen"], one["advance_fen"]) for one in told["items"]] == [(1_200, 200)]
        assert told["receipts"] == []
        with transaction() as session:
            payment = session.get_one(Payment, int(told["id"]))
        assert payment.channel == "api"
        assert [item.advance_fen for item in items_of(payment)] == [200]
        assert violations() == []

    def test_bill_ids_alone_ask_what_each_bill_asks(self, app):
        home = a_due_home(1_000, 2_000)

        told = quoted(signed_in(app, home.owner_id), bill_ids=list(map(format_ref, home.refs)))

        assert told.json()["amount_fen"] == 3_000

    def test_what_cannot_be_paid_is_refused_as_in_a_payment(self, app):
        the_terms("water", TERMS)
        home, other = a_due_home(1_000), a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        wrong = [
            ({"items": [{"bill_id": ref, "shown_fen": 999}]}, 409, "bill.changed"),
            ({"items": [{"bill_id": ref, "amount_fen": 5_001}]}, 422, "amount.above"),
            ({"items": [{"bill_id": ref, "amount_fen": 0}]}, 422, "amount.below"),
            ({"items": [{"bill_id": ref, "option": "no-such"}]}, 422, "option.unknown"),
            ({"bill_ids": [ref, ref]}, 422, "payment.bill_twice"),
            ({"bill_ids": [format_ref(other.refs[0])]}, 404, "not_found"),
            ({"bill_ids": ["junk"]}, 404, "not_found"),
            ({"bill_ids": [ref], "gateway": "no-such"}, 404, "not_found"),
        ]

        for body, status, code in wrong:
            for answer in (quoted(browser, **body), paid(browser, **body)):
                assert (answer.status_code, answer.json()["code"]) == (status, code), body
        assert the_bill(home.refs[0]).held_by is None

    def test_a_bill_being_paid_is_409_with_the_time_it_is_free(self, app):  # rule 31
        home = a_due_home(1_000)
        first = a_payment(home, now=utc_now())

        answer = quoted(signed_in(app, home.owner_id), bill_ids=[format_ref(home.refs[0])])

        assert (answer.status_code, answer.json()["code"]) == (409, "bill.being_paid")
        assert answer.json()["free_at"][:19] == first.expires_at.isoformat()[:19]


class TestPaying:
    def test_another_total_or_an_old_quote_is_refused(self, app):  # rules 4, 17
        the_terms("water", TERMS)
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        choice = {"bill_ids": [format_ref(home.refs[0])]}
        old = (utc_now() - timedelta(minutes=31)).isoformat()

        changed = [paid(browser, **choice, shown_total_fen=fen) for fen in (1_063, 1_065, 1_000)]
        expired = paid(browser, **choice, quoted_at=old, shown_total_fen=1_064)
        right = paid(browser, **choice, shown_total_fen=1_064)

        assert {answer.json()["code"] for answer in changed} == {"quote.changed"}
        assert [answer.json()["shown_fen"] for answer in changed] == [1_063, 1_065, 1_000]
        assert {answer.json()["open_fen"] for answer in changed} == {1_064}
        assert (expired.status_code, expired.json()["code"]) == (409, "quote.expired")
        assert right.status_code == 201

    @pytest.mark.parametrize(
        "body",
        [{}, {"bill_ids": ["1.1"], "items": [{"bill_id": "1.1"}]}, {"items": []}, {"bill_ids": []},
         {"items": [{"bill_id": "1.1"}] * 51}, {"items": [{"bill_id": "1.1", "amount_fen": 1.5}]},
         {"items": [{"bill_id": "1.1", "amount_fen": "100"}]},
         {"items": [{"bill_id": "1.1", "amount_fen": True}]},
         {"items": [{"bill_id": "1.1", "amount_fen": -1}]},
         {"items": [{"bill_id": "1.1", "shown_fen": 10**13}]},
         {"items": [{"bill_id": "1.1", "option": "x" * 33}]}],
    )  # fmt: skip
    def test_a_choice_is_one_of_two_forms_and_whole_fen(self, app, body):
        browser = signed_in(app, a_due_home(1_000).owner_id)

        answers = [quoted(browser, **body), paid(browser, **body)]

        assert {answer.status_code for answer in answers} == {422}
        assert {answer.json()["code"] for answer in answers} == {"request.malformed"}

    @pytest.mark.parametrize(
        "moment",
        ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00", "2026-11-20T04:00:00", "now"],
    )
    def test_a_moment_that_cannot_be_reckoned_with_is_refused(self, app, moment):
        home = a_due_home(1_000)

        answer = paid(
            signed_in(app, home.owner_id), bill_ids=[format_ref(home.refs[0])], quoted_at=moment
        )  # fmt: skip

        assert answer.status_code == 422

    def test_the_same_key_with_another_choice_is_409(self, app):  # rule 30
        the_terms("water", TERMS)
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        first = paid(browser, items=[{"bill_id": ref, "amount_fen": 500}])

        again = paid(browser, items=[{"bill_id": ref, "amount_fen": 500}])
        other = paid(browser, items=[{"bill_id": ref, "amount_fen": 501}])

        assert again.json()["id"] == first.json()["id"]
        assert (other.status_code, other.json()["code"]) == (409, "idempotency.other_request")

    def test_the_same_key_with_another_total_shown_is_409(self, app):  # rule 30
        home = a_due_home(1_000)
        browser, ref = signed_in(app, home.owner_id), format_ref(home.refs[0])
        paid(browser, bill_ids=[ref], shown_total_fen=1_000)

        other = paid(browser, bill_ids=[ref], shown_total_fen=900)

        assert (other.status_code, other.json()["code"]) == (409, "idempotency.other_request")


class TestWhatIsTold:
    def test_a_bill_tells_its_amounts_and_its_options(self, app):
        the_terms("water", TERMS)
        home = a_due_home(1_000, pay_terms=early())
        with transaction() as session:
            session.execute(text("UPDATE bill SET adjusted_fen = 75"))
        browser = signed_in(app, home.owner_id)

        one = browser.get(f"/api/v1/bills/{format_ref(home.refs[0])}").json()
        (listed,) = browser.get("/api/v1/bills").json()["bills"]

        assert one == listed
        assert (one["amount_fen"], one["adjusted_fen"], one["open_fen"]) == (1_000, 75, 1_075)
        assert (one["credited_fen"], one["paid_fen"]) == (0, 0)
        assert one["pay_by_on"] == one["due_on"]
        assert [(o["option"], o["kind"], o["amount_fen"]) for o in one["options"]] == [
            (None, None, 1_075), ("early", "early", 950),
        ]  # fmt: skip

    def test_a_bill_that_is_not_to_be_paid_has_no_options(self, app):
        home = a_due_home(1_000, -500)
        a_payment(home, home.refs[0], now=utc_now())

        bills = signed_in(app, home.owner_id).get("/api/v1/bills").json()["bills"]

        assert {bill["state"]: bill["options"] for bill in bills} == {
            "in_payment": [],
            "credit": [],
        }

    def test_money_that_goes_back_is_told(self, app):  # rule 29
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        made = paid(browser, bill_ids=[format_ref(home.refs[0])]).json()
        with transaction() as session:
            session.execute(
                text("""
                    INSERT INTO receipt (id, source, source_ref, payment_id, amount_fen, reason,
                                         state, received_at)
                    VALUES (1, 'sandbox', 'r-1', :payment, 1000, 'paid a second time',
                            'suspended', now())
                """),
                {"payment": int(made["id"])},
            )

        (receipt,) = browser.get(f"/api/v1/payments/{made['id']}").json()["receipts"]

        assert (receipt["amount_fen"], receipt["returned_at"]) == (1_000, None)

    def test_the_contract_says_so(self):
        told = create_app().openapi()
        schemas = told["components"]["schemas"]

        assert "/api/v1/quotes" in told["paths"]
        assert {"bill_ids", "items", "quoted_at", "shown_total_fen"} <= set(
            schemas["PaymentIn"]["properties"]
        )
        assert {"gateway", "mode", "scene"} <= set(schemas["PaymentIn"]["properties"])
        for name in ("QuoteOut", "QuotedOut", "OfferOut", "PaymentOut", "BillOut"):
            fen = {k: v for k, v in schemas[name]["properties"].items() if k.endswith("_fen")}
            assert fen, name
            for one in fen.values():
                kinds = {one.get("type")} | {part["type"] for part in one.get("anyOf", [])}
                assert kinds <= {"integer", "null", None}, (name, one)
