"""Paying as a guest and for somebody else, on pages and by API."""

import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlmodel import select

from billing.bills import format_ref
from billing.homes.challenges import CLIENT_TRIES
from core.clock import utc_now
from core.db import transaction
from core.errors import NotFound
from identity.models import Role
from identity.people import get_person
from notifications.models import Notice
from payments.gateways.base import GatewayStatus
from payments.receipt_links import GOOD_FOR, check_receipt, receipt_path
from tests.factories import Home, a_person, book, the_terms, violations
from tests.web.conftest import PUBLIC_URL, Browser, a_browser, signed_in
from tests.web.forms import a_due_home, text_of
from tests.web.test_paying import confirmed, reviewed, the_payment
from workers.tasks.notices import receipt

pytestmark = pytest.mark.usefixtures("city")
TOKEN = "__Host-citybill_session"


def challenge(browser: Browser, home: Home, **typed: str) -> Any:
    browser.open_form("/pay")
    form = {"company": home.companies[0], "account_no": home.account_nos[0]}
    return browser.send_form("/pay/account", form | typed)


def a_guest_of(app: FastAPI, home: Home, **typed: str) -> Browser:
    """A browser that has passed the challenge."""
    browser = a_browser(app)
    answer = challenge(browser, home, **{"amount": "10.00"} | typed)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pay/bills")
    browser.open_form("/pay/bills")
    return browser


class TestGuests:
    def test_a_guest_pays_what_the_paper_says_and_is_the_payer(self, app):
        home = a_due_home(1_000)
        browser = a_guest_of(app, home, email="me@city.example")

        page = reviewed(browser, format_ref(home.refs[0]))
        paid = confirmed(browser, page)

        assert page.status_code == 200
        assert "/sandbox/pay/" in paid.headers["location"]
        payment = the_payment()
        with transaction() as session:
            payer = get_person(session, payment.payer_id)
        assert (payer.role, payer.email, payer.contact) == (Role.GUEST, "me@city.example", None)
        assert browser.get(f"/payments/{payment.id}").status_code == 200
        assert violations() == []

    def test_they_see_what_is_to_pay_and_neither_usage_nor_address_nor_name(self, app):
        home = a_due_home(1_000)
        browser = a_guest_of(app, home)
        pages = [browser.get("/pay/bills"), reviewed(browser, format_ref(home.refs[0]))]
        confirmed(browser, pages[1])
        pages.append(browser.get(f"/payments/{the_payment().id}"))

        for page in pages:
            assert page.status_code == 200
            assert "¥10.00" in page.text
            for hidden in ("8 m³", "8 立方", "王珅", "汉口路", home.account_nos[0], "/bills/"):
                assert hidden not in page.text.replace("/pay/bills", ""), hidden

    @pytest.mark.parametrize("path", ["/", "/notices", "/bills/{}", "/bills/{}.pdf", "/console"])
    def test_they_reach_no_other_page(self, app, path):
        home = a_due_home(1_000)
        browser = a_guest_of(app, home)

        answer = browser.get(path.format(format_ref(home.refs[0])))

        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")

    def test_another_bill_is_not_theirs_to_pay(self, app):
        home, other = a_due_home(1_000), a_due_home(2_000)
        browser = a_guest_of(app, home)

        assert reviewed(browser, format_ref(other.refs[0])).status_code == 404

    def test_after_half_an_hour_the_challenge_is_asked_again(self, app):
        home = a_due_home(1_000)
        browser = a_guest_of(app, home)
        with transaction() as session:
            session.execute(text("UPDATE pay_grant SET expires_at = now()"))

        for answer in (browser.get("/pay/bills"), reviewed(browser, format_ref(home.refs[0]))):
            assert answer.headers["location"] == "/pay?over=1"
        assert "半小时已过" in text_of(browser.get("/pay?over=1").text)

    def test_a_guests_session_is_over_after_an_hour_however_busy(self, app):
        browser = a_guest_of(app, a_due_home(1_000))
        with transaction() as session:
            session.execute(
                text("UPDATE web_session SET created_at = :at"),
                {"at": utc_now() - timedelta(minutes=61)},
            )

        assert browser.get("/pay/bills").headers["location"].startswith("/sign-in")

    def test_a_second_account_is_paid_together_with_the_first(self, app):
        homes = a_due_home(1_000), a_due_home(2_000)
        browser = a_guest_of(app, homes[0])
        challenge(browser, homes[1], amount="20.00")

        page = reviewed(browser, *(format_ref(home.refs[0]) for home in homes))

        assert "¥30.00" in text_of(page.text)
        assert confirmed(browser, page).status_code == 303
        with transaction() as session:
            guests = session.execute(text("SELECT count(*) FROM person WHERE role = 'guest'"))
            assert guests.scalar_one() == 1

    def test_leaving_ends_the_session(self, app):
        browser = a_guest_of(app, a_due_home(1_000))

        browser.send_form("/sign-out")

        assert browser.get("/pay/bills").headers["location"].startswith("/sign-in")

    def test_an_account_with_nothing_open_says_so(self, app):
        home = a_due_home(1_000)
        browser = a_guest_of(app, home)
        with transaction() as session:
            session.execute(text("UPDATE bill SET credited_fen = amount_fen"))

        assert "没有待缴账单" in text_of(browser.get("/pay/bills").text)


class TestTheForm:
    def test_it_is_linked_where_people_sign_in_and_speaks_both_languages(self, app):
        browser = a_browser(app)

        assert 'href="/pay"' in browser.get("/sign-in").text
        assert "不登录缴费" in text_of(browser.get("/pay").text)
        browser.headers["accept-language"] = "en"
        assert "Pay without signing in" in text_of(browser.get("/pay").text)

    @pytest.mark.parametrize(
        ("typed", "field", "said"),
        [({"company": ""}, "company", "请选择开具账单的公司"),
         ({"account_no": ""}, "account_no", "请填写账单上的户号"),
         ({"account_no": "9" * 30}, "account_no", "30 位数字"),
         ({"amount": ""}, "amount", "请填写其中一项"),
         ({"amount": "ten"}, "amount", "86.50"),
         ({"email": "nowhere"}, "email", "邮箱格式不正确")],
    )  # fmt: skip
    def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
        self, app, typed, field, said
    ):
        home = a_due_home(1_000)

        answer = challenge(a_browser(app), home, **{"amount": "10.00"} | typed)

        assert answer.status_code == 422
        assert f'id="{field}-error"' in answer.text
        assert said in text_of(answer.text)
        if field != "account_no":
            assert f'value="{home.account_nos[0]}"' in answer.text

    def test_an_unknown_account_and_a_wrong_amount_are_answered_alike(self, app):
        home = a_due_home(1_000)
        wrong = challenge(a_browser(app), home, amount="10.01")
        unknown = challenge(a_browser(app), home, account_no="77777777", amount="10.01")

        assert (wrong.status_code, unknown.status_code) == (404, 404)
        assert text_of(wrong.text) == text_of(unknown.text)
        assert TOKEN not in wrong.cookies

    def test_too_many_tries_from_one_address_are_said(self, app):
        home = a_due_home(1_000)
        for at in range(CLIENT_TRIES):
            challenge(a_browser(app), home, account_no=f"7{at}", amount="10.00")

        answer = challenge(a_browser(app), home, amount="10.00")

        assert answer.status_code == 429
        assert "尝试次数过多" in text_of(answer.text)

    def test_a_company_that_takes_no_guests_says_so(self, app):
        the_terms("water", "[guest]\nproofs = []\n")

        answer = challenge(a_browser(app), a_due_home(1_000), amount="10.00")

        assert "仅限本户缴费" in text_of(answer.text)

    def test_a_form_from_elsewhere_is_refused(self, app):
        browser = a_browser(app)
        browser.open_form("/pay")
        browser.csrf = "forged"

        assert browser.send_form("/pay/account").status_code == 403


class TestTheReceipt:
    def test_it_is_mailed_with_a_link_that_opens_without_a_session(self, app):
        home = a_due_home(1_000)
        browser = a_guest_of(app, home, email="me@city.example")
        confirmed(browser, reviewed(browser, format_ref(home.refs[0])))
        book(the_payment(), GatewayStatus.PAID, now=utc_now())
        receipt(str(the_payment().id))

        with transaction() as session:
            (notice,) = session.exec(select(Notice)).all()
        found = re.search(rf"{PUBLIC_URL}(/receipts/\S+)", notice.body)
        shown = a_browser(app).get(found[1])

        assert (notice.channel, notice.address) == ("email", "me@city.example")
        assert notice.body.startswith("您好！我们已收到您的缴费")
        assert shown.status_code == 200
        assert "¥10.00" in text_of(shown.text)
        assert "/close" not in shown.text
        number = str(the_payment().id)
        for forged in (found[1][:-1] + "x", found[1].replace(number, f"{number}0")):
            assert a_browser(app).get(forged).status_code == 404

    def test_the_link_ends(self, app, now):
        path = receipt_path(7, secret="s", now=now)
        _, _, _, until, signature = path.split("/")

        check_receipt(7, until, signature, secret="s", now=now + GOOD_FOR)
        with pytest.raises(NotFound):
            check_receipt(
                7, until, signature, secret="s", now=now + GOOD_FOR + timedelta(seconds=1)
            )
        with pytest.raises(NotFound):
            check_receipt(7, until + "0", signature, secret="s", now=now)


class TestForSomebodyElse:
    def test_a_resident_pays_their_parents_bill_and_is_the_payer(self, app):
        parents, child = a_due_home(1_000), a_person(name="王小明")
        browser = signed_in(app, child)
        assert challenge(browser, parents, name="王珅").status_code == 303

        page = reviewed(browser, format_ref(parents.refs[0]))
        confirmed(browser, page)

        assert the_payment().payer_id == child
        shown = browser.get(f"/payments/{the_payment().id}").text
        assert f"/bills/{format_ref(parents.refs[0])}" not in shown
        assert browser.get(f"/bills/{format_ref(parents.refs[0])}").status_code == 404


class TestTheApi:
    def test_a_guest_pays_by_api_alone(self, app):
        home = a_due_home(1_000)
        browser = a_browser(app)
        proof = {"provider": "water", "account_no": home.account_nos[0], "amount_yuan": "10.00"}

        granted = browser.post("/api/v1/pay-grants", json=proof)
        browser.token = granted.json()["token"]
        paid = browser.post(
            "/api/v1/payments",
            json={
                "bill_ids": [one["bill_id"] for one in granted.json()["bills"]],
                "mode": "wallet",
            },
            headers={"Idempotency-Key": "k"},
        )

        assert granted.status_code == 201, granted.text
        assert [one["open_fen"] for one in granted.json()["bills"]] == [1_000]
        assert paid.status_code == 201, paid.text
        assert paid.json()["gateway"] == "sandbox"
        assert browser.get(f"/api/v1/payments/{paid.json()['id']}").status_code == 200
        for path in ("/api/v1/bills", "/api/v1/notices"):
            assert browser.get(path).status_code == 401

    def test_a_resident_gets_leave_and_no_token(self, app):
        home = a_due_home(1_000)
        proof = {"provider": "water", "account_no": home.account_nos[0], "holder_name": "王珅"}

        granted = signed_in(app, a_person()).post("/api/v1/pay-grants", json=proof)

        assert granted.json()["token"] is None
        assert granted.json()["bills"][0]["account_no_masked"].startswith("****")

    def test_refusals_are_told_apart_only_where_they_tell_nothing(self, app):
        home = a_due_home(1_000)
        ask = a_browser(app).post
        known = {"provider": "water", "account_no": home.account_nos[0]}

        answers = [
            ask("/api/v1/pay-grants", json=known | changes)
            for changes in (
                {"amount_yuan": "1.00"}, {"account_no": "7", "amount_yuan": "1.00"},
                {"holder_name": "x"}, {}, {"amount_yuan": "x"},
            )
        ]  # fmt: skip

        assert [one.json()["code"] for one in answers] == [
            "challenge.no", "challenge.no", "challenge.no", "challenge.no_proof", "money.malformed",
        ]  # fmt: skip

    def test_what_each_gateway_can_do_is_told(self, app):
        (told,) = signed_in(app, a_person()).get("/api/v1/gateways").json()

        assert (told["gateway"], told["modes"], told["down"]) == ("sandbox", ["wallet"], False)
        assert "web" in told["channels"]
