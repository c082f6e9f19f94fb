"""Agents' systems: they sign, they see what is masked, and cash is told of once."""

import json
import re
from datetime import time
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from structlog.testing import capture_logs

from billing.bills import format_ref
from billing.documents.barcodes import barcode_digits, grouped
from core import log
from core.clock import utc_now
from core.db import transaction
from core.settings import CounterAgent, settings
from identity.keys import issue_signing_key
from identity.models import Holder
from payments.gateways.counter import Counter
from providers.registry import get_provider
from simulator.counter_agent import Till
from tests.factories import MONTH, Home, a_home, a_paid_payment, the_bill, the_terms, violations
from tests.threads import at_once
from tests.web.conftest import a_browser, signed_in
from tests.web.signing import Signer, a_signer
from web import edge

pytestmark = pytest.mark.usefixtures("city")
BILLS, PAYMENTS = "/api/v1/counter/bills", "/api/v1/counter/payments"


@pytest.fixture(autouse=True)
def _agents(app, monkeypatch):
    agents = {"family": CounterAgent(name="全家"), "bank": CounterAgent(name="银行")}
    monkeypatch.setattr(settings(), "counter_agents", agents)


def an_agent(app: Any, code: str = "family") -> Signer:
    with transaction() as session:
        issued = issue_signing_key(
            session, code, issued_by="a test", now=utc_now(), holder=Holder.AGENT,
            secret_key=settings().secret_key.get_secret_value(),
        )  # fmt: skip
    return Signer(app, issued.id, issued.secret)


def barcode(home: Home) -> str:
    biller_no = get_provider(home.companies[0]).biller_no
    return barcode_digits(biller_no, home.account_nos[0], MONTH, 8_650)


def told(agent: Signer, home: Home, number: str = "1", **changes: Any) -> Any:
    cash = {
        "barcode": barcode(home), "amount_fen": 8_650, "agent_txn_no": number,
        "paid_at": utc_now().isoformat(),
    } | changes  # fmt: skip
    kind = {"Content-Type": "application/json"}
    return agent.send("POST", PAYMENTS, json.dumps(cash).encode(), extra=kind)


def a_home_now() -> Home:
    return a_home(now=utc_now())


def test_a_shop_asks_takes_the_cash_and_tells(app):
    home, agent = a_home_now(), an_agent(app)

    asked = agent.send("GET", f"{BILLS}/{barcode(home)}").json()
    done = told(agent, home).json()

    assert (asked["payable"], asked["amount_fen"], asked["company"]) == (True, 8_650, "water")
    assert (done["state"], done["give_back"], done["reason"]) == ("booked", False, None)
    assert the_bill(home.refs[0]).open_fen == 0
    assert agent.send("GET", f"{PAYMENTS}/1").json() == done
    assert agent.send("GET", f"{BILLS}/{barcode(home)}").json()["reason"] == "paid"
    assert violations() == []


def test_nothing_it_is_told_says_who_lives_there(app):
    home, agent = a_home_now(), an_agent(app)

    answers = [agent.send("GET", f"{BILLS}/{barcode(home)}").text, told(agent, home).text]

    for text in answers:
        for personal in ("王", "汉口路", "B1"):
            assert personal not in text
    assert home.account_nos[0] not in answers[0].replace(barcode(home), "")


def test_no_account_number_is_in_the_log(app, monkeypatch):
    home, agent = a_home_now(), an_agent(app)
    monkeypatch.setattr(edge, "_log", log.logger("web.edge"))  # an earlier test may have bound it

    with capture_logs() as lines:
        agent.send("GET", f"{BILLS}/{barcode(home)}")

    (asked,) = [one for one in lines if one["event"] == "request"]
    assert asked["path"] == f"{BILLS}/…"
    assert home.account_nos[0] not in str(lines)


def test_told_ten_times_at_once_it_is_booked_once(app):
    home, agent = a_home_now(), an_agent(app)

    answers = at_once(10, lambda _: told(agent, home))

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["state"] for answer in answers} == {"booked"}
    assert violations() == []


def test_two_shops_at_once_one_is_told_to_give_the_cash_back(app, monkeypatch):
    monkeypatch.setattr(settings(), "counter_reversal_until", time(23, 59, 59))
    home, shops = a_home_now(), [an_agent(app), an_agent(app, "bank")]

    answers = [one.json() for one in at_once(2, lambda at: told(shops[at], home))]

    assert sorted(one["give_back"] for one in answers) == [False, True]
    loser = shops[[one["give_back"] for one in answers].index(True)]
    assert loser.send("POST", f"{PAYMENTS}/1/reversal").json()["state"] == "returned"
    assert violations() == []


def test_the_same_number_with_another_amount_is_409(app):
    home, agent = a_home_now(), an_agent(app)
    told(agent, home)

    answer = told(agent, home, amount_fen=8_651)

    assert (answer.status_code, answer.json()["code"]) == (409, "counter.txn_no_used")


def test_cash_is_given_back_until_the_cut_off_of_its_day(app, monkeypatch):
    home, agent = a_home_now(), an_agent(app)
    a_paid_payment(home, now=utc_now())
    monkeypatch.setattr(settings(), "counter_reversal_until", time(23, 59, 59))
    assert told(agent, home).json()["give_back"] is True

    monkeypatch.setattr(settings(), "counter_reversal_until", time(0, 0))
    assert told(agent, home).json()["give_back"] is False
    refused = agent.send("POST", f"{PAYMENTS}/1/reversal")
    monkeypatch.setattr(settings(), "counter_reversal_until", time(23, 59, 59))
    done = agent.send("POST", f"{PAYMENTS}/1/reversal")

    assert (refused.status_code, refused.json()["code"]) == (409, "counter.too_late")
    assert done.json()["state"] == "returned"
    assert done.json()["return_no"].startswith("S")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_fen": 0}, {"amount_fen": 86.5}, {"amount_fen": "8650"}, {"agent_txn_no": "a b"},
        {"agent_txn_no": ""}, {"agent_txn_no": "x" * 33}, {"barcode": "1"}, {"paid_at": "now"},
        {"paid_at": "2026-11-20T12:00:00"}, {"barcode": "9" * 30},
    ],
)  # fmt: skip
def test_junk_is_refused_and_nothing_recorded(app, changes):
    agent = an_agent(app)

    assert told(agent, a_home_now(), **changes).status_code == 422
    assert agent.send("GET", f"{PAYMENTS}/1").status_code == 404


class TestWhoMay:
    def test_a_companys_key_opens_nothing_here_and_an_agents_nothing_there(self, app):
        home = a_home_now()
        company = a_signer(app)
        named_alike = an_agent(app, "bank")

        asked = company.send("GET", f"{BILLS}/{barcode(home)}")
        sent = named_alike.send("POST", "/api/v1/providers/water/bill-files", b"x")

        assert (asked.status_code, asked.json()["code"]) == (401, "request.key_unknown")
        assert (sent.status_code, sent.json()["code"]) == (401, "request.key_unknown")

    def test_an_agent_and_a_company_of_one_code_are_two(self, app):
        agent, company = an_agent(app, "bank"), a_signer(app, "bank")

        assert agent.send("GET", f"{PAYMENTS}/1").status_code == 404
        assert company.send("GET", f"{PAYMENTS}/1").status_code == 401

    def test_no_signature_opens_nothing(self, app):
        answer = a_browser(app).get(f"{PAYMENTS}/1")

        assert (answer.status_code, answer.json()["code"]) == (401, "request.header_missing")

    def test_an_agent_the_city_has_no_more_is_turned_away(self, app, monkeypatch):
        agent = an_agent(app)
        monkeypatch.setattr(settings(), "counter_agents", {})

        answer = agent.send("GET", f"{PAYMENTS}/1")

        assert (answer.status_code, answer.json()["code"]) == (403, "agent.unknown")

    def test_an_agent_sees_its_own_alone(self, app):
        told(an_agent(app), a_home_now())

        assert an_agent(app, "bank").send("GET", f"{PAYMENTS}/1").status_code == 404


class TestOnTheBillsPage:
    def test_the_bars_read_as_the_digits_beside_them_and_those_as_the_bill(self, app):
        home = a_home_now()
        page = signed_in(app, home.owner_id).get(f"/bills/{format_ref(home.refs[0])}").text

        (read,) = zxingcpp.read_barcodes(drawn(page))

        assert str(read.format) == "Code 128"
        assert read.text == barcode(home)
        assert grouped(barcode(home)) in page

    def test_a_bill_nobody_should_pay_has_none(self, app):
        home = a_home_now()
        a_paid_payment(home, now=utc_now())

        page = signed_in(app, home.owner_id).get(f"/bills/{format_ref(home.refs[0])}").text

        assert 'class="barcode"' not in page


def drawn(page: str) -> Image.Image:
    """The page's bars, three points a module, as a scanner sees them."""
    svg = re.split('class="[a-z -]*barcode"', page)[1].partition("</svg>")[0]
    width, height = re.search(r'viewBox="0 -4 (\d+) (\d+)"', svg).groups()
    picture = Image.new("L", (int(width) * 3, int(height) * 3), 255)
    for x, wide in re.findall(r"M(\d+) 0h(\d+)v50", svg):
        picture.paste(0, (int(x) * 3, 12, (int(x) + int(wide)) * 3, 162))
    return picture


class TestChosenOnAPage:
    """A payer at home chooses cash: the code is shown there, the money laid down at a counter."""

    @pytest.fixture
    def with_counter(self, app, monkeypatch):
        monkeypatch.setitem(app.state.gateways, "counter", Counter())

    @pytest.mark.parametrize("limited", [False, True])
    def test_its_code_is_shown_as_bars_and_paid_at_a_counter(self, app, with_counter, limited):
        home = a_home_now()
        if limited:  # rule 5: cash at counters, and nowhere else
            the_terms("water", '[[limits]]\nmode = "cash"\nchannels = ["counter"]')
        payer = signed_in(app, home.owner_id)

        body = {"bill_ids": [format_ref(home.refs[0])], "gateway": "counter"}
        made = payer.post("/api/v1/payments", json=body, headers={"Idempotency-Key": "1"}).json()
        page = payer.get(f"/payments/{made['id']}").text
        (read,) = zxingcpp.read_barcodes(drawn(page))
        told = told_of(an_agent(app), read.text)

        assert made["status"] == "processing"
        assert read.text == made["pay_code"]
        assert told.json()["state"] == "booked"
        assert payer.get(f"/api/v1/payments/{made['id']}").json()["status"] == "paid"
        assert violations() == []

    def test_it_is_among_the_ways_to_pay(self, app, with_counter):
        home = a_home_now()
        payer = signed_in(app, home.owner_id)

        page = payer.send_form("/pay", {"bill": format_ref(home.refs[0])}).text

        assert "counter:cash" in page


def told_of(agent: Signer, code: str) -> Any:
    cash = {
        "barcode": code, "amount_fen": 8_650, "agent_txn_no": "7", "paid_at": utc_now().isoformat(),
    }  # fmt: skip
    kind = {"Content-Type": "application/json"}
    return agent.send("POST", PAYMENTS, json.dumps(cash).encode(), extra=kind)


def test_a_till_written_from_the_page_for_engineers_takes_cash_and_gives_it_back(app, monkeypatch):
    monkeypatch.setattr(settings(), "counter_reversal_until", time(23, 59, 59))
    home, agent = a_home_now(), an_agent(app)
    till = Till(agent.key_id, agent.secret, a_browser(app))

    asked = till.ask(barcode(home))
    first, second = (till.tell(barcode(home), asked["amount_fen"]) for _ in range(2))
    back = till.give_back(second["agent_txn_no"])

    assert (asked["payable"], asked["amount_fen"]) == (True, 8_650)
    assert (first["state"], second["state"], second["reason"]) == ("booked", "suspended", "paid")
    assert back["state"] == "returned"
    assert till.ask(barcode(home))["reason"] == "paid"
