"""Paying in a real browser: by keyboard alone, without scripts, and with a code to scan."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import text

from billing.bills import format_ref
from core.clock import utc_now
from core.db import transaction
from identity import sign_in
from identity.people import get_person
from payments.gateways.base import GatewayReply, GatewayStatus, Spoken
from payments.models import Payment, get_payment
from payments.states import PaymentStatus
from tests.factories import CAN, FarGateway, Home, a_payment, book
from tests.web.forms import a_due_home
from tests.web.test_company_in_a_browser import DESK, PHONE, chromium, web

__all__ = ["chromium", "web"]
pytestmark = pytest.mark.usefixtures("city")
SHOTS = os.environ.get("CITYBILL_TEST_SHOTS")


def shot(page: Page, name: str) -> None:
    """Keep a picture for whoever asked for them."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def resident(chromium: Browser, web: str, person_id: int, **how: Any) -> BrowserContext:
    context = chromium.new_context(**{"locale": "zh-CN", "viewport": PHONE, "base_url": web} | how)
    with transaction() as session:
        person = get_person(session, person_id)
        token, _ = sign_in.start_session(session, person, now=utc_now())
    context.add_cookies([{"name": "citybill_session", "value": token, "url": web}])
    return context


class Coded(FarGateway):
    """A gateway whose orders are paid by scanning a code."""

    def open_order(self, order: Any) -> GatewayReply:
        return GatewayReply(
            status=GatewayStatus.OPEN, gateway_ref=order.order_no, pay_code="weixin://pay?x=1"
        )

    def close(self, asked: Any) -> GatewayReply:
        return GatewayReply(status=GatewayStatus.CLOSED)


@pytest.fixture
def several(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three gateways more: two for cards, one with a code to scan."""
    card = replace(CAN, modes=("card",))
    by_code = Spoken("用手机钱包扫码", "Scan it with your wallet")
    by_card = Spoken("借记卡与信用卡", "Debit and credit cards")
    for one in (
        Coded("scan", Spoken("扫码支付", "A code"), by_code, replace(CAN, cost_fen=1)),
        FarGateway("north", Spoken("北方银行卡", "Northern card"), by_card, card),
        FarGateway(
            "south", Spoken("南方银行卡", "Southern card"), by_card, replace(card, cost_fen=9)
        ),
    ):
        monkeypatch.setitem(app.state.gateways, one.code, one)


LOOKS = [
    (width, scheme, locale)
    for width in (PHONE, DESK)
    for scheme in ("light", "dark")
    for locale in ("zh-CN", "en-GB")
]


def test_a_guest_comes_from_the_sign_in_page_to_the_cashier_by_keyboard_alone(chromium, web):
    home = a_due_home(1_000)
    page = chromium.new_context(locale="zh-CN", viewport=DESK, base_url=web).new_page()
    page.goto("/sign-in")

    page.focus("a[href='/pay']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pay")
    page.focus("#company")
    while page.input_value("#company") != "water":
        page.keyboard.press("ArrowDown")
    for words in (home.account_nos[0], "10.00"):
        page.keyboard.press("Tab")
        page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.wait_for_url("**/pay/bills")
    page.focus("[data-due] .pay-bar .button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pay")
    page.focus(".button--big")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sandbox/pay/**")

    with transaction() as session:
        payer = session.execute(
            text("SELECT p.role FROM person p JOIN payment ON payer_id = p.id")
        ).scalar_one()
    assert payer == "guest"


def test_without_scripts_a_guest_sees_what_is_wrong_and_mends_it(chromium, web):
    home = a_due_home(1_000)
    page = chromium.new_context(
        locale="zh-CN", viewport=PHONE, base_url=web, java_script_enabled=False
    ).new_page()
    page.goto("/pay")
    page.fill("#account_no", home.account_nos[0])
    page.fill("#amount", "ten")
    page.click("main .button--wide")
    assert page.locator("#company-error").is_visible()

    page.select_option("#company", "water")
    page.fill("#amount", "10")
    page.click("main .button--wide")
    page.wait_for_url("**/pay/bills")
    page.click(".pay-bar .button")
    page.click(".button--big")

    page.wait_for_url("**/sandbox/pay/**")


@pytest.mark.usefixtures("several")
class TestLooks:
    """Each page fits its screen in every look; pictures on request (CITYBILL_TEST_SHOTS)."""

    @pytest.mark.parametrize(("width", "scheme", "locale"), LOOKS)
    def test_every_page_fits(self, app, chromium, web, width, scheme, locale):
        name = f"{width['width']}-{scheme}-{locale[:2]}"
        home = a_due_home(1_000, 2_350, 40_000)
        how = {"viewport": width, "color_scheme": scheme, "locale": locale}
        guest = chromium.new_context(base_url=web, **how).new_page()
        guest.goto("/pay")
        guest.click("main .button--wide")
        assert fits(guest)
        shot(guest, f"guest-{name}")
        guest.select_option("#company", "water")
        guest.fill("#account_no", home.account_nos[0])
        guest.fill("#amount", "10.00")
        guest.click("main .button--wide")
        guest.wait_for_url("**/pay/bills")
        assert fits(guest)
        shot(guest, f"guest-bills-{name}")
        page = resident(chromium, web, home.owner_id, **how).new_page()
        self._changed(page, home, name)
        self._scanned(page, home, name)

    def _changed(self, page: Page, home: Home, name: str) -> None:
        page.goto("/")
        page.click("[data-due] .pay-bar .button")
        assert fits(page)
        shot(page, f"review-{name}")
        held = a_payment(home, home.refs[2], now=utc_now())
        with transaction() as session:
            session.execute(
                text("UPDATE bill SET adjusted_fen = 75 WHERE account_id = :id"),
                {"id": home.refs[1][0]},
            )
        page.click(".button--big")
        page.wait_for_selector(".changes")
        assert page.locator(f"a[href='/payments/{held.id}']").count() == 1
        assert fits(page)
        shot(page, f"changed-{name}")

    def _scanned(self, page: Page, home: Home, name: str) -> None:
        page.check("input[value='scan:wallet']")
        page.click(".button--big")
        page.wait_for_selector(".pay-code svg")
        box = page.locator(".pay-code svg").bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 200
        assert fits(page)
        shot(page, f"code-{name}")


@pytest.mark.usefixtures("several")
def test_a_payment_is_given_up_and_started_anew(chromium, web):
    home = a_due_home(1_000)
    page = resident(chromium, web, home.owner_id).new_page()
    page.goto(f"/bills/{format_ref(home.refs[0])}")
    page.click("form[action='/pay'] button")
    page.check("input[value='scan:wallet']")
    page.click(".button--big")
    page.wait_for_selector(".pay-code svg")

    page.click("form[action$='/close'] button")

    page.wait_for_selector("h1:has-text('这笔缴费已取消')")
    with transaction() as session:
        payment_id = session.execute(text("SELECT id FROM payment")).scalar_one()
        assert get_payment(session, payment_id).status is PaymentStatus.EXPIRED
    page.goto(f"/bills/{format_ref(home.refs[0])}")
    assert page.locator("form[action='/pay'] button").count() == 1


class TestForms:
    """What a gateway wants posted is posted once; going back stays on our page."""

    def test_a_form_is_posted_by_itself_once(self, chromium, web, far_side):
        home = a_due_home(1_000)
        target = f"{str(far_side.client.base_url).rstrip('/')}/posted"
        payment = self._opened(home, target)
        page = resident(chromium, web, home.owner_id).new_page()
        seen: list[str] = []
        page.on("request", lambda request: seen.append(f"{request.method} {request.url}"))

        page.goto(f"/payments/{payment.id}")
        page.wait_for_url(target)
        page.goto(f"/payments/{payment.id}")
        page.wait_for_load_state()

        assert [one for one in seen if one.endswith("/posted")] == [f"POST {target}"]

    @staticmethod
    def _opened(home: Home, target: str) -> Payment:
        return book(
            a_payment(home, now=utc_now()), GatewayStatus.OPEN, now=utc_now(), pay_url=target,
            pay_fields={"tn": "1"},
        )  # fmt: skip
