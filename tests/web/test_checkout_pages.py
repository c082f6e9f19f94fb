"""What a payer is shown when something changed, and while they pay."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from sqlalchemy import text

from billing.bills import format_ref
from billing.models import MemberRole
from core.clock import utc_now
from core.db import transaction
from payments import write_offs
from payments.gateways.base import GatewayStatus, Scene
from payments.models import Payment, get_payment
from payments.scenes import scene_of
from payments.states import PaymentStatus
from providers.base import WriteOffOutcome, WriteOffReply
from providers.clients.declarations import load_declaration
from providers.clients.declared import APIS
from tests.factories import (
    CAN,
    FarGateway,
    Home,
    a_payment,
    a_person,
    book,
    items_of,
    join,
    the_bill,
    violations,
)
from tests.web.conftest import Browser, signed_in
from tests.web.forms import a_due_home, fields_of, text_of
from tests.web.test_paying import confirmed, reviewed, the_payment

pytestmark = pytest.mark.usefixtures("city")


def changes(page: str) -> list[str]:
    """What is said of each bill that changed."""
    found = html.fromstring(page).xpath("//ul[@class='changes']/li")
    return [" ".join(one.text_content().split()) for one in found]


def opened(home: Home, **changes: Any) -> Payment:
    return book(a_payment(home, now=utc_now()), GatewayStatus.OPEN, now=utc_now(), **changes)


def known_refusals() -> set[str]:
    """Why companies refuse, as our declarations of their APIs say it."""
    declared = [load_declaration(path) for path in APIS.glob("*.toml")]
    answers = [
        one for api in declared for call in (api.write_off, api.query) for one in call.results
    ]
    return {one.because for one in answers if one.means in {"refused", "paid_elsewhere"}} - {""}


class TestWasAndIs:
    @pytest.mark.parametrize(
        ("change", "said"),
        [("paid_fen = 300", "原为 ¥10.00，现为 ¥7.00 期间已有人缴纳了一部分。"),
         ("adjusted_fen = 75", "原为 ¥10.00，现为 ¥10.75 新增了滞纳金。"),
         ("adjusted_fen = -75", "原为 ¥10.00，现为 ¥9.25 公司减免了一部分。"),
         ("credited_fen = 1", "原为 ¥10.00，现为 ¥9.99 以前的结余抵扣了一部分。"),
         ("amount_fen = 900", "原为 ¥10.00，现为 ¥9.00 公司更正了账单。")],
    )  # fmt: skip
    def test_a_bill_that_changed_is_shown_with_both_amounts_and_why(self, app, change, said):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, format_ref(home.refs[0]))
        with transaction() as session:
            session.execute(text(f"UPDATE bill SET {change}"))

        answer = confirmed(browser, page)

        (one,) = changes(answer.text)
        assert answer.status_code == 409
        assert one.endswith(said)
        assert "按新金额继续：" in text_of(answer.text)
        assert the_bill(home.refs[0]).held_by is None
        assert confirmed(browser, answer).status_code == 303

    def test_a_bill_paid_elsewhere_is_left_out_and_the_rest_goes_on(self, app):
        home = a_due_home(1_000, 2_000)
        browser = signed_in(app, home.owner_id)
        page = reviewed(browser, *map(format_ref, home.refs))
        with transaction() as session:
            session.execute(text("UPDATE bill SET paid_fen = 1000 WHERE amount_fen = 1000"))

        answer = confirmed(browser, page)

        (one,) = changes(answer.text)
        assert one.endswith("原为 ¥10.00，现已移出 已缴费，已移出。")
        assert fields_of(answer.text)["bill"] == [format_ref(home.refs[1])]
        assert confirmed(browser, answer).status_code == 303

    @pytest.mark.parametrize("parts", ["", "x", "1,2,3", "1,2,3,x", "--1,0,0,0", "9" * 90])
    def test_junk_in_what_was_shown_changes_only_the_words(self, app, parts):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        page = reviewed(browser, ref)

        answer = confirmed(browser, page, **{f"shown:{ref}": "999", f"parts:{ref}": parts})

        assert answer.status_code == 409
        assert changes(answer.text)[0].endswith("现为 ¥10.00 您查看之后，账单有变化。")


class TestASecondAttempt:
    def test_ones_own_open_payment_is_linked_and_can_be_given_up(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        ref = format_ref(home.refs[0])
        confirmed(browser, reviewed(browser, ref))
        first = the_payment()

        answer = reviewed(browser, ref)
        given_up = browser.send_form(f"/payments/{first.id}/close")

        assert answer.status_code == 409
        assert f'href="/payments/{first.id}"' in answer.text
        assert f'action="/payments/{first.id}/close"' in answer.text
        assert given_up.headers["location"] == f"/payments/{first.id}"
        with transaction() as session:
            assert get_payment(session, first.id).status is PaymentStatus.EXPIRED
        assert confirmed(browser, reviewed(browser, ref)).status_code == 303
        assert violations() == []

    def test_of_somebody_elses_only_the_time_is_told(self, app):
        home, other = a_due_home(1_000), a_person()
        join(home, other, MemberRole.PAY)
        first = a_payment(home, now=utc_now())

        answer = reviewed(signed_in(app, other), format_ref(home.refs[0]))

        assert "起可以重新缴费" in text_of(answer.text)
        assert str(first.id) not in answer.text
        assert signed_in(app, other).send_form(f"/payments/{first.id}/close").status_code == 404

    def test_the_api_names_it_and_closes_it(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        body = {"bill_ids": [format_ref(home.refs[0])], "gateway": "sandbox"}
        made = browser.post("/api/v1/payments", json=body, headers={"Idempotency-Key": "1"})

        second = browser.post("/api/v1/payments", json=body, headers={"Idempotency-Key": "2"})
        closed = browser.post(f"/api/v1/payments/{made.json()['id']}/close")

        assert second.status_code == 409
        assert second.json()["payment"] == made.json()["id"]
        assert "free_at" in second.json()
        assert (closed.status_code, closed.json()["status"]) == (200, "expired")
        assert browser.post(
            "/api/v1/payments", json=body, headers={"Idempotency-Key": "2"}
        ).status_code == 201  # fmt: skip

    def test_one_that_cannot_be_given_up_now_says_so_and_stays(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = opened(home)  # the far side has never heard of it

        with transaction() as session:
            session.execute(
                text("INSERT INTO payment_attempt (payment_id, attempt_no, gateway, scene, "
                     "asked_at, outcome) VALUES (:id, 1, 'sandbox', 'phone', now(), 'asked')"),
                {"id": payment.id},
            )  # fmt: skip
        answer = browser.send_form(f"/payments/{payment.id}/close")

        assert answer.status_code == 409
        assert "不能提前放弃" in text_of(answer.text)
        assert the_bill(home.refs[0]).held_by == payment.id


class TestWhilePaying:
    def page(self, app: Any, **changes: Any) -> tuple[Browser, str]:
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = opened(home, **changes)
        return browser, browser.get(f"/payments/{payment.id}").text

    def test_a_code_is_drawn_with_its_amount_and_until_when_it_can_be_paid(self, app):
        _, page = self.page(app, pay_url=None, pay_code="weixin://wxpay/bizpayurl?pr=x")

        (drawn,) = html.fromstring(page).xpath("//figure//*[local-name() = 'svg']")
        assert drawn.get("viewbox")
        assert "扫码支付 ¥10.00" in text_of(page)
        assert "还剩 30 分钟" in text_of(page)
        assert "时间不能延长" in text_of(page)
        assert '<noscript><meta http-equiv="refresh"' in page
        assert "style=" not in page

    def test_fields_and_an_address_are_a_form_the_policy_lets_through(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = opened(home, pay_url="https://pay.example/x?y", pay_fields={"a": '"1"'})

        answer = browser.get(f"/payments/{payment.id}")

        (form,) = html.fromstring(answer.text).xpath("//form[@data-post-now]")
        assert form.get("action") == "https://pay.example/x?y"
        assert [(one.get("name"), one.get("value")) for one in form.inputs if one.get("name")] == [
            ("a", '"1"')
        ]
        policy = answer.headers["content-security-policy"]
        assert "form-action https://pay.example 'self'" in policy
        assert "pay.example" not in browser.get("/").headers["content-security-policy"]

    def test_fields_alone_are_the_wallets_with_words_for_who_is_elsewhere(self, app):
        _, page = self.page(app, pay_url=None, pay_fields={"tradeNO": "1"})

        (box,) = html.fromstring(page).xpath("//*[@data-wallet]")
        assert box.get("data-wallet") == '{"tradeNO": "1"}'
        assert "只有在钱包应用内" in text_of(page)

    def test_a_gateways_page_elsewhere_is_led_to_from_a_page_of_ours(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = opened(home, pay_url="https://pay.example/x")

        onward = browser.get(f"/payments/{payment.id}?onward=1").text
        later = browser.get(f"/payments/{payment.id}").text

        assert '<meta http-equiv="refresh" content="0;url=https://pay.example/x">' in onward
        assert "0;url" not in later

    def test_when_the_time_is_over_it_says_so(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = opened(home)
        with transaction() as session:
            session.execute(text("UPDATE payment SET expires_at = now() - interval '1 second'"))

        assert "支付时间已过" in text_of(browser.get(f"/payments/{payment.id}").text)


class TestEnded:
    """Rule 31: what the payer gave up did not run out of time."""

    def test_one_that_was_called_off_does_not_say_that_its_time_ran_out(self, app):
        home = a_due_home(1_000)
        browser = signed_in(app, home.owner_id)
        payment = a_payment(home, now=utc_now())

        browser.send_form(f"/payments/{payment.id}/close")

        shown = text_of(browser.get(f"/payments/{payment.id}").text)
        assert "这笔缴费已取消已取消" in shown
        assert "超时" not in shown

    def test_one_whose_time_ran_out_says_so(self, app):
        home = a_due_home(1_000)
        now = utc_now()
        payment = book(
            a_payment(home, now=now), GatewayStatus.CLOSED, now=now + timedelta(minutes=31)
        )

        browser = signed_in(app, home.owner_id)
        shown = text_of(browser.get(f"/payments/{payment.id}").text)

        assert "支付已超时支付超时" in shown
        assert "取消" not in shown

    @pytest.mark.parametrize("told", [*sorted(known_refusals()), "说明见公告"])
    def test_why_a_company_refused_is_told_in_the_readers_language(self, app, told):
        home = a_due_home(1_000)
        now = utc_now()
        payment = book(a_payment(home, now=now), GatewayStatus.PAID, now=now, paid_at=now)
        (item,) = items_of(payment)
        no = WriteOffReply(outcome=WriteOffOutcome.REFUSED, reason=told)
        with transaction() as session:
            write_offs.book(session, item.write_off_no, no, now=now)

        browser = signed_in(app, home.owner_id)
        for language in ("zh", "en"):
            page = browser.get(f"/payments/{payment.id}", headers={"Accept-Language": language})
            (shown,) = html.fromstring(page.text).xpath("//*[contains(@class, 'row__reason')]")
            words = shown.text_content()
            assert words.isascii() is (language == "en" and told.isascii())
            assert not re.search(r"[a-z]", words) or words.isascii()


class TestWays:
    def test_only_what_can_be_given_up_is_offered_to_be(self, app, monkeypatch):
        firm = FarGateway(code="firm", capabilities=replace(CAN, closes=False))
        monkeypatch.setitem(app.state.gateways, "firm", firm)
        home, other = a_due_home(1_000), a_due_home(1_000)

        page = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        ways = html.fromstring(page.text).xpath("//fieldset[contains(@class, 'card')]//label")
        firmly = {one.xpath(".//input/@value")[0]: "不能放弃" in one.text_content() for one in ways}
        assert firmly == {"sandbox:wallet": False, "firm:wallet": True, "mode:wallet": False}
        assert "30 分钟后可重新缴费" in text_of(page.text)
        for at, gateway in ((home, "firm"), (other, "sandbox")):
            payment = book(
                a_payment(at, gateway=gateway, now=utc_now()), GatewayStatus.OPEN, now=utc_now()
            )
            shown = signed_in(app, at.owner_id).get(f"/payments/{payment.id}").text
            assert ("不能提前放弃" in text_of(shown)) is (gateway == "firm")
            assert (f"/payments/{payment.id}/close" in shown) is (gateway == "sandbox")

    def test_a_gateway_that_is_down_says_so(self, app):
        home = a_due_home(1_000)
        with transaction() as session:
            for at in range(3):
                payment = a_payment(a_due_home(100), now=utc_now())
                session.execute(
                    text("INSERT INTO payment_attempt (payment_id, attempt_no, gateway, scene, "
                         "asked_at, outcome) VALUES (:id, 1, 'sandbox', 'phone', :at, "
                         "'unreachable')"),
                    {"id": payment.id, "at": utc_now() - timedelta(seconds=at)},
                )  # fmt: skip

        page = reviewed(signed_in(app, home.owner_id), format_ref(home.refs[0]))

        assert "目前无法连接" in text_of(page.text)
        assert fields_of(page.text)["gateway"] == ["sandbox:wallet"]

    @pytest.mark.parametrize(
        ("agent", "scene"),
        [("Mozilla/5.0 (X11; Linux x86_64) Chrome/126", Scene.DESKTOP), ("", Scene.DESKTOP),
         ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Mobile/15E148", Scene.PHONE),
         ("Mozilla/5.0 (Linux; Android 15) Chrome/126 Mobile", Scene.PHONE),
         ("Mozilla/5.0 (iPhone) Mobile MicroMessenger/8.0.50", Scene.DESKTOP),
         ("Mozilla/5.0 (Linux; Android 15) AlipayClient/10.6", Scene.PHONE),
         ("Mozilla/5.0 (SMART-TV; Linux; Tizen 8.0)", Scene.SCREEN),
         ("Mozilla/5.0 (Linux; Android TV 14)", Scene.SCREEN)],
    )  # fmt: skip
    def test_what_the_payer_holds_is_told_from_their_browser(self, agent, scene):
        assert scene_of(agent) is scene
