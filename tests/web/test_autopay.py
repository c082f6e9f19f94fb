"""Autopay on pages and by API: three steps, plain words, one tap, and everything without script."""

from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from sqlmodel import col, select

from billing.bills import format_ref
from billing.models import MemberRole
from core.clock import utc_now
from core.db import transaction
from payments.autopay import mandates, planning
from payments.autopay.models import Mandate
from payments.autopay.states import MandateStatus
from payments.callbacks import process
from tests.factories import Home, a_person, join
from tests.payments.autopay.autopaying import UP_TO_200, a_mandate, runs
from tests.simulator.conftest import SECRET, hmac_hex
from tests.web.conftest import Browser, a_browser, signed_in
from tests.web.forms import a_due_home, fields_of, text_of

pytestmark = pytest.mark.usefixtures("city")

RULES = {"cap_kind": "max", "cap": "200", "pay_day": "before", "before": "3", "first_bill": "same"}


def an_english_browser(app: Any, home: Home) -> Browser:
    browser = signed_in(app, home.owner_id)
    browser.headers["accept-language"] = "en"
    return browser


def the_mandates() -> list[Mandate]:
    with transaction() as session:
        return list(session.exec(select(Mandate).order_by(col(Mandate.id))))


def a_body(home: Home, **changes: Any) -> dict[str, Any]:
    return {
        "account_id": home.refs[0][0], "gateway": "sandbox", "cap": "max", "cap_fen": 20_000,
    } | changes  # fmt: skip


class TestSetUp:
    def test_accounts_rules_and_agreeing_at_the_gateway(self, app, far_side):
        home = a_due_home(8_650, 2_000)
        browser = signed_in(app, home.owner_id)

        first = browser.get("/autopay/new")
        second = browser.get("/autopay/new?scope=home")
        third = browser.get("/autopay/check", params={"scope": "home", **RULES})
        sent = browser.post("/autopay", data=fields_of(third.text))

        assert "本户全部户号" in text_of(first.text)
        assert "最多扣多少" in text_of(second.text)
        assert sent.status_code == 303
        sign_url = sent.headers["location"]
        assert "/sandbox/sign/" in sign_url
        assert "≤ ¥200.00" in far_side.client.get(sign_url).text
        (mandate,) = the_mandates()
        assert (mandate.household_id, mandate.status) == (home.household_id, MandateStatus.OPEN)
        back = far_side.client.post(sign_url, data={"choice": "agree"})
        assert back.headers["location"].endswith(f"/autopay/{mandate.id}")

    def test_to_a_gateway_the_policy_does_not_name_it_leads_by_a_link(self, app, monkeypatch):
        # Not setattr: taking it back, monkeypatch would delete what lives in ``_state``.
        monkeypatch.setitem(app.state._state, "pay_origins", frozenset())
        home = a_due_home()
        browser = signed_in(app, home.owner_id)
        third = browser.get("/autopay/check", params={"scope": "home", **RULES})

        sent = browser.post("/autopay", data=fields_of(third.text))

        (mandate,) = the_mandates()
        assert sent.headers["location"] == f"/autopay/{mandate.id}"
        assert f'href="{mandate.sign_url}"' in browser.get(sent.headers["location"]).text

    def test_it_says_in_plain_words_what_will_happen(self, app):
        home = a_due_home(8_650)
        page = an_english_browser(app, home).get(
            "/autopay/check", params={"scope": str(home.refs[0][0]), **RULES}
        )

        shown = text_of(page.text)
        assert "A bill like your last one, of ¥86.50 and due on" in shown
        assert "will be paid on" in shown
        assert "Above ¥200.00 nothing is paid, and you are told at least 3 days before." in shown

    def test_a_limit_below_the_last_bill_is_said_before_anybody_agrees(self, app):
        home = a_due_home(8_650)
        page = an_english_browser(app, home).get(
            "/autopay/check", params={"scope": "home", **RULES, "cap": "86.49"}
        )

        assert "will not be paid: you have allowed ¥86.49" in text_of(page.text)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"cap": ""}, "cap"), ({"cap": "two"}, "cap"), ({"cap": "1.234"}, "cap"),
            ({"cap": "0"}, "cap"), ({"cap": "1e3"}, "cap"), ({"before": "16"}, "before"),
            ({"before": "x"}, "before"), ({"pay_day": "day", "day": "29"}, "day"),
        ],
    )  # fmt: skip
    def test_what_is_typed_wrong_is_marked_and_kept(self, app, change, field):
        home = a_due_home()
        typed = {"scope": "home", **RULES, **change}

        page = signed_in(app, home.owner_id).get("/autopay/check", params=typed)

        assert page.status_code == 422
        tree = html.fromstring(page.text)
        (wrong,) = tree.xpath("//input[@aria-invalid='true']")
        assert (wrong.get("name"), wrong.get("value")) == (field, typed[field])
        assert tree.get_element_by_id(wrong.get("aria-describedby")).text_content().strip()

    @pytest.mark.parametrize("change", [{"cap_kind": "x"}, {"pay_day": "x"}, {"first_bill": "x"}])
    def test_junk_in_the_address_is_no_fault_of_ours(self, app, change):
        home = a_due_home()
        answer = signed_in(app, home.owner_id).get(
            "/autopay/check", params={"scope": "home", **RULES, **change}
        )
        assert answer.status_code == 422

    @pytest.mark.parametrize("scope", ["x", "0", "-1", "999999", "9" * 30, "٣"])
    def test_somebody_elses_accounts_are_not_found(self, app, scope):
        home = a_due_home()
        browser = signed_in(app, home.owner_id)
        for path in ("/autopay/new", "/autopay/check"):
            assert browser.get(path, params={"scope": scope, **RULES}).status_code == 404

    def test_who_may_only_see_sets_nothing_up(self, app):
        home, guest = a_due_home(), a_person()
        join(home, guest, MemberRole.SEE)
        browser = signed_in(app, guest)

        assert browser.get("/autopay/new?scope=home").status_code == 404
        assert "/autopay/new" not in browser.get("/autopay").text

    def test_bills_that_have_autopay_are_said_so(self, app):
        home = a_due_home()
        browser = signed_in(app, home.owner_id)
        page = browser.get("/autopay/check", params={"scope": str(home.refs[0][0]), **RULES})
        a_mandate(home, now=utc_now())

        answer = browser.post("/autopay", data=fields_of(page.text))

        assert answer.status_code == 409
        assert "已开通自动缴费" in text_of(answer.text)

    def test_a_form_of_another_site_is_refused(self, app):
        home = a_due_home()
        browser = signed_in(app, home.owner_id)
        page = browser.get("/autopay/check", params={"scope": "home", **RULES})

        answer = browser.post("/autopay", data=fields_of(page.text) | {"csrf": "x"})

        assert answer.status_code == 403
        assert the_mandates() == []


class TestTheList:
    def test_without_any_it_says_what_autopay_is(self, app):
        page = signed_in(app, a_due_home().owner_id).get("/autopay")
        assert "尚未开通自动缴费" in text_of(page.text)
        assert 'href="/autopay/new"' in page.text

    def test_what_comes_next_and_what_became_with_its_reason(self, app):
        home = a_due_home(8_650, 30_000)
        long_ago = utc_now() - timedelta(days=10)
        a_mandate(home, UP_TO_200, at=None, now=long_ago)
        with transaction() as session:
            planning.find_bills(session, {}, after=0, now=utc_now())
        assert len(runs()) == 2
        later = utc_now() + timedelta(days=16)
        planning.plan(app.state.gateways, now=later)

        browser = an_english_browser(app, home)
        shown = text_of(browser.get("/autopay").text)

        assert "Will be paid on" in shown
        assert "It is more than you have allowed. Please pay it by" in shown
        assert "at most ¥200.00 a bill" in shown
        bill = text_of(browser.get(f"/bills/{format_ref(home.refs[0])}").text)
        assert "Will be paid on" in bill
        over = text_of(browser.get(f"/bills/{format_ref(home.refs[1])}").text)
        assert "It is more than you have allowed." in over

    def test_home_leads_there(self, app):
        assert 'href="/autopay"' in signed_in(app, a_due_home().owner_id).get("/").text

    def test_pause_resume_and_end_are_one_tap_each(self, app):
        home = a_due_home()
        mandate = a_mandate(home, now=utc_now())
        browser = signed_in(app, home.owner_id)
        states = []

        for tap in ("pause", "pause", "resume", "end", "end"):
            answer = browser.send_form(f"/autopay/{mandate.id}/{tap}")
            assert answer.status_code == 303
            states.append(the_mandates()[0].status)

        assert states == ["paused", "paused", "active", "ended", "ended"]
        assert "由您本人操作" in text_of(browser.get("/autopay").text)

    def test_somebody_elses_is_not_found(self, app):
        home, other = a_due_home(), a_due_home()
        mandate = a_mandate(home, now=utc_now())
        browser = signed_in(app, other.owner_id)

        answers = [browser.get(f"/autopay/{mandate.id}")]
        answers += [
            browser.send_form(f"/autopay/{mandate.id}/{tap}") for tap in ("pause", "resume", "end")
        ]
        answers += [
            browser.get(f"/api/v1/mandates/{mandate.id}"),
            browser.patch(f"/api/v1/mandates/{mandate.id}", json={"paused": True}),
            browser.delete(f"/api/v1/mandates/{mandate.id}"),
        ]

        assert {answer.status_code for answer in answers} == {404}
        assert the_mandates()[0].status is MandateStatus.ACTIVE


class TestTheApi:
    def test_made_agreed_to_and_active(self, app, far_side):
        home = a_due_home()
        browser = signed_in(app, home.owner_id)

        made = browser.post("/api/v1/mandates", json=a_body(home), headers={"Idempotency-Key": "k"})
        far_side.client.post(made.json()["sign_url"], data={"choice": "agree"})
        with transaction() as session:
            mandate = session.get_one(Mandate, int(made.json()["id"]))
        mandates.look(mandate.mandate_no, app.state.gateways["sandbox"], utc_now())

        assert made.status_code == 201
        assert (made.json()["status"], made.json()["account_id"]) == ("open", home.refs[0][0])
        told = browser.get(f"/api/v1/mandates/{made.json()['id']}").json()
        assert (told["status"], told["cap_fen"]) == ("active", 20_000)
        assert [one["id"] for one in browser.get("/api/v1/mandates").json()] == [told["id"]]

    def test_the_same_key_is_the_same_mandate(self, app):  # rule 30
        home = a_due_home()
        browser = signed_in(app, home.owner_id)

        def post(**changes: Any) -> Any:
            return browser.post(
                "/api/v1/mandates", json=a_body(home, **changes), headers={"Idempotency-Key": "k"}
            )

        assert post().json()["id"] == post().json()["id"]
        other = post(cap_fen=1)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency.other_request")

    def test_without_an_account_it_is_the_households(self, app):
        home = a_due_home()
        made = signed_in(app, home.owner_id).post(
            "/api/v1/mandates", json=a_body(home, account_id=None),
            headers={"Idempotency-Key": "k"},
        )  # fmt: skip
        assert made.json()["account_id"] is None

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"gateway": "no-such"}, 422), ({"cap_fen": None}, 422), ({"cap": "none"}, 422),
            ({"pay_day": "day"}, 422), ({"pay_day": "before", "pay_day_n": 16}, 422),
            ({"account_id": 999_999}, 404), ({"return_url": "https://evil.example/"}, 422),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_refused(self, app, change, status):
        home = a_due_home()
        answer = signed_in(app, home.owner_id).post(
            "/api/v1/mandates", json=a_body(home, **change), headers={"Idempotency-Key": "k"}
        )
        assert answer.status_code == status, answer.text
        assert the_mandates() == []

    def test_without_a_key_it_is_refused(self, app):
        home = a_due_home()
        answer = signed_in(app, home.owner_id).post("/api/v1/mandates", json=a_body(home))
        assert answer.status_code == 422

    def test_paused_capped_and_ended(self, app):
        home = a_due_home()
        mandate = a_mandate(home, now=utc_now())
        browser = signed_in(app, home.owner_id)
        path = f"/api/v1/mandates/{mandate.id}"

        changed = browser.patch(path, json={"paused": True, "cap_fen": 10_000}).json()
        too_much = browser.patch(path, json={"cap_fen": 20_001})
        ended = browser.delete(path).json()

        assert (changed["status"], changed["cap_fen"]) == ("paused", 10_000)
        assert (too_much.status_code, too_much.json()["code"]) == (422, "cap.above_signed")
        assert ended["status"] == "ended"
        assert browser.patch(path, json={"paused": False}).status_code == 409

    def test_nobody_signed_in_is_turned_away(self, app):
        assert a_browser(app).get("/api/v1/mandates").status_code == 401


def test_a_callback_about_a_mandate_asks_the_gateway(app, far_side):
    """The sandbox tells our address; here its word is handed over by hand."""
    home = a_due_home()
    browser = signed_in(app, home.owner_id)
    made = browser.post("/api/v1/mandates", json=a_body(home), headers={"Idempotency-Key": "k"})
    far_side.client.post(made.json()["sign_url"], data={"choice": "agree"})
    with transaction() as session:
        mandate = session.get_one(Mandate, int(made.json()["id"]))
    body = (
        f'{{"event_id": "e1", "event": "mandate.ended", "mandate_no": "{mandate.mandate_no}"}}'
    ).encode()
    seconds = str(int(utc_now().timestamp()))
    signature = hmac_hex(SECRET, f"{seconds}.{body.decode()}")

    answer = browser.post(
        "/api/v1/callbacks/sandbox", content=body,
        headers={"x-sandbox-time": seconds, "x-sandbox-signature": signature},
    )  # fmt: skip
    assert answer.status_code == 204
    assert process(1, app.state.gateways, now=utc_now()) is True

    assert the_mandates()[0].status is MandateStatus.ACTIVE  # it lied: the gateway says active
