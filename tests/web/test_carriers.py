"""Carriers that call us: known by what proves them, kept once, answered as they want it."""

import hashlib
import json

import pytest
from pydantic import SecretStr
from sqlmodel import select

from core.clock import utc_now
from core.db import transaction
from core.settings import Settings
from identity.models import Role
from identity.people import add_person
from notifications.channels import load_carriers
from notifications.choice.models import Consent
from notifications.models import Notice, NoticeState
from notifications.sending.models import CarrierCall, CarrierReceipt, ReaderReply
from tests.conftest import NOW
from tests.factories import a_person, topics
from workers.tasks import notices as jobs

TOKEN = "a token that nobody can guess"
WECHAT_TOKEN = "wechat's token"
RECEIPTS = "/api/v1/carriers/aliyun/receipts"
REPORT = [{"success": True, "out_id": "notice-1", "report_time": "2026-11-20 12:00:03"}]

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture(autouse=True)
def known(app):
    told = {
        "aliyun": {
            "access_key_id": "i", "access_key_secret": "s", "sign_name": "城市账单",
            "receipt_token": TOKEN,
        },
        "wechat": {"app_id": "wx1", "app_secret": "s", "token": WECHAT_TOKEN},
    }  # fmt: skip
    secrets = {
        code: {name: SecretStr(value) for name, value in said.items()}
        for code, said in told.items()
    }
    before, app.state.carriers = app.state.carriers, load_carriers(Settings(carriers=secrets))
    yield
    app.state.carriers = before


def kept():
    with transaction() as session:
        return session.exec(select(CarrierCall)).all()


def asked(**said):
    moment = str(int(utc_now().timestamp()))
    proof = "".join(sorted([WECHAT_TOKEN, moment, "n"]))
    signature = hashlib.sha1(proof.encode(), usedforsecurity=False).hexdigest()
    return {"timestamp": moment, "nonce": "n", "signature": signature} | said


def test_a_receipt_is_kept_and_acknowledged_as_the_carrier_wants_it(browser):
    answer = browser.post(f"{RECEIPTS}/{TOKEN}", json=REPORT)

    assert answer.status_code == 200
    assert answer.json() == {"code": 0, "msg": "接收成功"}
    [call] = kept()
    assert json.loads(call.body) == REPORT
    assert TOKEN not in json.dumps(call.headers)


def test_the_same_call_again_is_answered_the_same_and_kept_once(browser):
    answers = [browser.post(f"{RECEIPTS}/{TOKEN}", json=REPORT).text for _ in range(3)]

    assert len(set(answers)) == 1
    assert len(kept()) == 1


@pytest.mark.parametrize("path", [RECEIPTS, f"{RECEIPTS}/guessed", f"{RECEIPTS}/{TOKEN}x"])
def test_a_forged_call_is_turned_away_and_not_kept(browser, path):
    answer = browser.post(path, json=REPORT)

    assert (answer.status_code, answer.json()["code"]) == (401, "carrier.unsigned")
    assert kept() == []


@pytest.mark.parametrize("body", [b"", b"<xml/>", b'{"success": true}', b"x" * (256 << 10) + b"x"])
def test_what_is_no_report_is_refused_and_not_kept(browser, body):
    answer = browser.post(f"{RECEIPTS}/{TOKEN}", content=body)

    assert answer.status_code == 422
    assert kept() == []


def test_there_is_no_such_carrier(browser):
    assert browser.post("/api/v1/carriers/nobody/receipts", json=[]).status_code == 404
    assert browser.get("/api/v1/carriers/nobody/receipts").status_code == 404


def test_a_carrier_that_asks_whether_the_address_is_ours_is_answered(browser):
    path = "/api/v1/carriers/wechat/receipts"

    assert browser.get(path, params=asked(echostr="5577")).text == "5577"
    assert browser.get(path, params=asked(echostr="5577", signature="0")).status_code == 401
    assert browser.get(RECEIPTS, params=asked(echostr="5577")).status_code == 404


def test_a_signature_in_the_address_is_read_and_not_kept(browser):
    xml = (
        "<xml><ToUserName>a</ToUserName><FromUserName>b</FromUserName><CreateTime>1795147203"
        "</CreateTime><MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event>"
        "<MsgID>200163836</MsgID><Status>success</Status></xml>"
    )

    answer = browser.post("/api/v1/carriers/wechat/receipts", params=asked(), content=xml)

    assert answer.text == "success"
    assert kept()[0].headers.keys() >= {"x-query-timestamp", "x-query-nonce"}
    assert "x-query-signature" not in kept()[0].headers
    with transaction() as session:
        [receipt] = session.exec(select(CarrierReceipt))
    assert (receipt.carrier, receipt.ref, receipt.fate) == ("wechat", "200163836", "delivered")


def test_the_job_that_follows_marks_the_notice_delivered(browser):
    with transaction() as session:
        notice = Notice(
            event="bill.ready", person_id=a_person(), subject_ref="1", channel="sms", address="1",
            title="t", body="b", state=NoticeState.ACCEPTED, state_at=NOW, created_at=NOW,
            carrier="aliyun", carrier_ref="notice-1", accepted_at=NOW,
        )  # fmt: skip
        session.add(notice)
    browser.post(f"{RECEIPTS}/{TOKEN}", json=REPORT)

    jobs.read_call(str(kept()[0].id))

    with transaction() as session:
        assert session.get_one(Notice, notice.id).state is NoticeState.DELIVERED


def test_no_log_holds_what_proves_a_carrier(browser, capsys):
    browser.post(f"{RECEIPTS}/{TOKEN}", json=REPORT)

    said = capsys.readouterr()
    assert "/api/v1/carriers/aliyun/receipts/" in said.out + said.err
    assert "nobody" not in said.out + said.err


REPLIES = "/api/v1/carriers/aliyun/replies"
UP = {"phone_number": "13900000001", "content": "TD", "sequence_id": "1",
      "send_time": "2026-11-20 12:00:00"}  # fmt: skip


class TestReplies:
    def test_it_is_kept_acknowledged_and_taken_at_its_word(self, browser):
        with transaction() as session:
            person = add_person(
                session, role=Role.RESIDENT, name="王", contact=UP["phone_number"], now=NOW
            )
            person_id = person.id

        answers = [browser.post(f"{REPLIES}/{TOKEN}", json=[UP]) for _ in range(3)]

        assert {(one.status_code, one.json()["code"]) for one in answers} == {(200, 0)}
        assert len(kept()) == 1
        assert topics(like="replies.%") == ["replies.kept"]
        jobs.read_replies("1")
        with transaction() as session:
            [refused] = session.exec(select(Consent)).all()
            assert (refused.person_id, refused.given) == (person_id, False)

    def test_the_same_one_in_another_call_is_one(self, browser):
        browser.post(f"{REPLIES}/{TOKEN}", json=[UP])
        browser.post(f"{REPLIES}/{TOKEN}", json=[UP, UP | {"sequence_id": "2"}])

        with transaction() as session:
            assert sorted(session.exec(select(ReaderReply.ref)).all()) == ["1", "2"]

    @pytest.mark.parametrize("path", [REPLIES, f"{REPLIES}/guessed"])
    def test_a_forged_call_is_turned_away_and_not_kept(self, browser, path):
        answer = browser.post(path, json=[UP])

        assert (answer.status_code, answer.json()["code"]) == (401, "carrier.unsigned")
        assert kept() == []

    def test_one_that_is_too_long_is_not_read(self, browser):
        body = json.dumps([UP | {"content": "x" * (256 << 10)}])
        answer = browser.post(f"{REPLIES}/{TOKEN}", content=body)

        assert answer.json()["code"] == "request.too_long"
        assert kept() == []

    @pytest.mark.parametrize("code", ["wechat", "nobody"])
    def test_who_brings_no_replies_is_not_there(self, browser, code):
        assert browser.post(f"/api/v1/carriers/{code}/replies/x", json=[]).status_code == 404
