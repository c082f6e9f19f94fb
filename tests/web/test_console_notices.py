"""The console's pages of notices and their carriers."""

from datetime import timedelta

import pytest
from sqlmodel import select

from core.clock import utc_now
from core.db import transaction
from core.masking import mask_contact
from identity.audit import AuditEntry, Deed
from identity.duties import Duty
from identity.models import Person, Role
from notifications import replies
from notifications.channels.base import Fate, TextReply
from notifications.models import AgainState, Held, Notice, NoticeAgain, NoticeState
from notifications.sending.carriers import Outcome, Tried, count_outcomes, ensure_known
from notifications.sending.claiming import LOST
from notifications.sending.models import CarrierReceipt, CarrierState
from tests.factories import a_home, a_paid_payment, a_person
from tests.notifications.sending.test_carriers import Named
from tests.web.conftest import signed_in

pytestmark = pytest.mark.usefixtures("city")
REASON = {"reason": "asked", "words": "call 17", "back": ""}


@pytest.fixture
def clerk(app):
    return signed_in(app, a_person(Role.STAFF, duties=[Duty.SERVICE]))


@pytest.fixture
def engineer(app):
    return signed_in(app, a_person(Role.STAFF, duties=[Duty.SETUP]))


def a_notice(person_id, **changes):
    now = utc_now()
    with transaction() as session:
        row = Notice(**{
            "event": "bill.ready", "person_id": person_id, "subject_ref": "1.2", "channel": "sms",
            "address": "19912345678", "title": "水费账单", "body": "请查看本月账单",
            "state": NoticeState.ACCEPTED, "state_at": now, "created_at": now, "carrier": "a",
            "carrier_ref": "r1", "accepted_at": now, "attempts": 1,
        } | changes)  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def deeds():
    with transaction() as session:
        return [(one.what, one.detail) for one in session.exec(select(AuditEntry))]


def know(*codes):
    with transaction() as session:
        ensure_known(session, [Named(code) for code in codes], {})


def state(code):
    with transaction() as session:
        return session.get_one(CarrierState, code)


def phone_of(person_id):
    with transaction() as session:
        return session.get_one(Person, person_id).contact


def say_why(browser, person_id, back=""):
    return browser.send_form(f"/console/notices/of/{person_id}/reason", REASON | {"back": back})


class TestFigures:
    def test_nothing_was_sent_yet(self, clerk):
        page = clerk.get("/console/notices")

        assert page.status_code == 200
        assert "24 小时内没有用过任何通道服务商" in page.text

    def test_what_carriers_did_is_told_by_channel_and_carrier(self, clerk):
        know("a")
        kinds = [Outcome.TAKEN] * 19 + [Outcome.NOT_NOW, Outcome.SILENT, Outcome.REFUSED]
        tried = [Tried("a", "sms", one, 200) for one in kinds] + [
            Tried("a", "sms", Outcome.TAKEN, 11_000)
        ]
        with transaction() as session:
            count_outcomes(session, tried, now=utc_now() - timedelta(minutes=1))

        page = clerk.get("/console/notices").text

        assert "95.0 %" in page  # within ten seconds
        assert "250" in page  # milliseconds, half of them and 95 of a hundred
        assert "<svg" in page

    def test_why_notices_failed_is_told(self, clerk):
        a_notice(a_person(), state=NoticeState.FAILED, reason="address_gone")

        assert "该地址已无人使用" in clerk.get("/console/notices").text


class TestList:
    def test_it_shows_the_day_and_no_address_whole(self, clerk):
        a_notice(a_person())
        a_notice(a_person(), created_at=utc_now() - timedelta(days=3), event="bill.overdue")

        page = clerk.get("/console/notices/list").text

        assert "199****5678" in page
        assert "19912345678" not in page
        assert "已逾期" not in page.partition("<tbody>")[2]

    @pytest.mark.parametrize(
        ("query", "found"),
        [("channel=sms", True), ("channel=email", False), ("state=accepted", True),
         ("state=failed", False), ("event=bill.ready", True), ("event=offer.made", False)],
    )  # fmt: skip
    def test_it_is_filtered(self, clerk, query, found):
        notice_id = a_notice(a_person())

        page = clerk.get(f"/console/notices/list?{query}").text

        assert (f'href="/console/notices/{notice_id}"' in page) is found

    def test_it_goes_on_where_the_page_ends(self, clerk):
        person = a_person()
        ids = [a_notice(person, subject_ref=str(at)) for at in range(52)]

        first = clerk.get("/console/notices/list").text
        last = clerk.get(f"/console/notices/list?after={ids[2]}").text

        assert f'/console/notices/{ids[51]}"' in first
        assert f'/console/notices/{ids[1]}"' not in first
        assert f'/console/notices/{ids[1]}"' in last

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_it_is_taken_out_masked_and_that_is_in_the_log(self, clerk, kind):
        a_notice(a_person())

        answer = clerk.get(f"/console/notices/list.{kind}?channel=sms")

        assert answer.status_code == 200
        assert b"19912345678" not in answer.content
        if kind == "csv":
            assert "199****5678" in answer.text
        assert (Deed.LIST_EXPORTED, {"format": kind, "filter": "channel=sms"}) in deeds()


class TestSearch:
    def find(self, browser, typed):
        return browser.send_form("/console/notices/search", {"q": typed})

    def test_a_notice_is_found_by_its_number(self, clerk):
        notice_id = a_notice(a_person())

        for typed in (str(notice_id), f"notice-{notice_id}"):
            assert self.find(clerk, typed).headers["location"] == f"/console/notices/{notice_id}"

    def test_a_person_is_found_by_their_contact_masked(self, clerk):
        person = a_person()

        page = self.find(clerk, phone_of(person)).text

        assert f"/console/notices/of/{person}" in page
        assert mask_contact(phone_of(person)) in page

    def test_what_the_payer_was_told_of_a_payment_is_found_by_its_number(self, clerk):
        home = a_home(100)
        payment = a_paid_payment(home)
        told = a_notice(payment.payer_id, event="payment.receipt", subject_ref=str(payment.id))
        a_notice(payment.payer_id, subject_ref="other")
        at = f"/console/notices/of/{payment.payer_id}"

        assert f"{at}?payment={payment.id}" in self.find(clerk, payment.order_no).text
        say_why(clerk, payment.payer_id)
        page = clerk.get(f"{at}?payment={payment.id}").text
        assert f'href="/console/notices/{told}"' in page
        assert page.count("data-row") == 1

    def test_another_persons_payment_is_none_of_theirs(self, clerk):
        payment, other = a_paid_payment(a_home(100)), a_person()
        say_why(clerk, other)

        answer = clerk.get(f"/console/notices/of/{other}?payment={payment.id}")

        assert answer.status_code == 404

    def test_what_fits_nothing_says_so(self, clerk):
        assert "没有找到" in self.find(clerk, "nobody at all").text


class TestOne:
    def test_nobody_sees_a_notice_without_saying_why(self, clerk):
        notice_id = a_notice(a_person())

        page = clerk.get(f"/console/notices/{notice_id}").text

        assert "请查看本月账单" not in page
        assert f'value="/console/notices/{notice_id}"' in page

    def test_the_reason_leads_back_and_the_look_is_in_the_log(self, clerk):
        person = a_person()
        notice_id = a_notice(person)

        answer = say_why(clerk, person, f"/console/notices/{notice_id}")
        page = clerk.get(answer.headers["location"]).text

        assert "请查看本月账单" in page
        assert "199****5678" in page
        assert "19912345678" not in page
        seen = (Deed.NOTICE_SEEN, {"reason": "asked: call 17", "notice": notice_id})
        assert seen in deeds()

    def test_its_whole_life_is_told_channel_by_channel(self, clerk):
        person, now = a_person(), utc_now()
        first = a_notice(person, state=NoticeState.FAILED, reason="undelivered", attempts=LOST + 3)
        a_notice(
            person, channel="email", address="abc@city.example", state=NoticeState.CREATED,
            held=Held.CHAIN, after_id=first, carrier=None, carrier_ref=None, accepted_at=None,
            attempts=0,
        )  # fmt: skip
        with transaction() as session:
            session.add(CarrierReceipt(
                carrier="a", ref="r1", fate=Fate.FAILED, reason="MK:0012", received_at=now,
            ))  # fmt: skip
            session.add(NoticeAgain(
                notice_id=first, time_no=1, address="19912345678", asked_by=person, asked_at=now,
                state=AgainState.ACCEPTED, state_at=now,
            ))  # fmt: skip
        say_why(clerk, person)

        page = clerk.get(f"/console/notices/{first}").text

        for told in ("尝试次数：4", "MK:0012", "通道服务商未能送达", "等待前一渠道的结果",
                     "a***@city.example", "再次发送（1）"):  # fmt: skip
            assert told in page, told

    def test_a_code_is_shown_to_nobody(self, clerk):
        person = a_person()
        notice_id = a_notice(person, event="sign_in.code", body="您的验证码是 123456")
        say_why(clerk, person)

        assert "123456" not in clerk.get(f"/console/notices/{notice_id}").text

    def test_it_is_sent_once_more(self, clerk):
        person = a_person()
        notice_id = a_notice(person)
        say_why(clerk, person)

        answer = clerk.send_form(f"/console/notices/{notice_id}/again")

        assert answer.headers["location"] == f"/console/notices/{notice_id}"
        with transaction() as session:
            assert session.get_one(NoticeAgain, (notice_id, 1)).address == phone_of(person)
        assert "notice_again" in {what for what, _ in deeds()}

    def test_what_cannot_go_again_is_refused_with_why(self, clerk):
        person = a_person()
        notice_id = a_notice(person, channel="inbox")
        say_why(clerk, person)

        answer = clerk.send_form(f"/console/notices/{notice_id}/again")

        assert answer.status_code == 409
        assert "该通知不能重发" in answer.text

    def test_without_a_reason_nothing_is_sent_again(self, clerk):
        notice_id = a_notice(a_person())

        clerk.send_form(f"/console/notices/{notice_id}/again")

        with transaction() as session:
            assert session.get(NoticeAgain, (notice_id, 1)) is None

    @pytest.mark.parametrize("path", ["/console/notices/99", "/console/notices/of/99"])
    def test_there_is_no_such_thing(self, clerk, path):
        assert clerk.get(path).status_code == 404


class TestCarriers:
    def test_no_worker_has_made_one_known(self, engineer):
        assert "还没有通道服务商" in engineer.get("/console/carriers").text

    def test_one_is_stopped_at_once_with_the_reason_in_the_log(self, engineer):
        know("a", "b")

        answer = engineer.send_form("/console/carriers/a/stop", {"words": "它在丢短信"})

        assert answer.status_code == 303
        assert state("a").stop_reason == "它在丢短信"
        assert "它在丢短信" in engineer.get("/console/carriers").text
        assert (Deed.CARRIER_STOPPED, {"reason": "它在丢短信"}) in deeds()

    def test_one_that_goes_on_has_its_weight_again(self, engineer):
        know("a", "b")
        engineer.send_form("/console/carriers/a/stop", {"words": "down"})
        with transaction() as session:
            row = session.get_one(CarrierState, "a")
            row.weight, row.down_since, row.paused_until = 0, utc_now(), utc_now()

        engineer.send_form("/console/carriers/a/resume", {"words": "back"})

        row = state("a")
        assert (row.stopped_at, row.weight, row.down_since) == (None, 50, None)
        assert (Deed.CARRIER_RESUMED, {"reason": "back"}) in deeds()

    @pytest.mark.parametrize(
        ("act", "form", "status"),
        [("stop", {"words": " "}, 422), ("resume", {"words": "why"}, 409),
         ("pace", {"per_minute": "0"}, 422), ("pace", {"per_minute": "many"}, 422),
         ("pace", {"per_minute": "100001"}, 422)],
    )  # fmt: skip
    def test_what_cannot_be_is_refused(self, engineer, act, form, status):
        know("a")
        before = state("a")

        answer = engineer.send_form(f"/console/carriers/a/{act}", form)

        assert answer.status_code == status
        assert "field__error" in answer.text
        assert answer.text.count('<details class="act" open>') == 1
        assert state("a") == before

    def test_nobody_stops_it_twice(self, engineer):
        know("a")
        engineer.send_form("/console/carriers/a/stop", {"words": "one"})

        answer = engineer.send_form("/console/carriers/a/stop", {"words": "two"})

        assert answer.status_code == 409
        assert state("a").stop_reason == "one"

    def test_its_rate_is_set_and_taken_off(self, engineer):
        know("a")

        engineer.send_form("/console/carriers/a/pace", {"per_minute": "600"})
        assert state("a").per_minute == 600
        engineer.send_form("/console/carriers/a/pace", {"per_minute": ""})

        assert state("a").per_minute is None
        assert [what for what, _ in deeds()].count("carrier_paced") == 2

    def test_there_is_no_such_carrier(self, engineer):
        answer = engineer.send_form("/console/carriers/x/stop", {"words": "why"})

        assert answer.status_code == 404

    def test_who_looks_after_residents_sees_and_does_not_stop(self, clerk):
        know("a")

        assert clerk.get("/console/carriers").status_code == 403
        assert clerk.send_form("/console/carriers/a/stop", {"words": "w"}).status_code == 403
        assert "/console/carriers" not in clerk.get("/console/notices").text


class TestReplies:
    @pytest.fixture
    def replied(self):
        person_id = a_person()
        with transaction() as session:
            phone = session.get_one(Person, person_id).contact
            said = [TextReply("1", phone, "退订"), TextReply("2", "13911112222", "<b>你好</b>")]
            replies.keep_heard(session, "aliyun", said, now=utc_now())
            replies.read_some(session, public_url="https://c.example", now=utc_now())
        return phone

    def test_they_stand_with_what_they_were_taken_for_and_no_whole_number(self, clerk, replied):
        page = clerk.get("/console/notices/replies").text

        assert "退订" in page
        assert "&lt;b&gt;你好" in page
        assert "不是我们用户的号码" in page
        assert replied not in page
        assert "13911112222" not in page

    def test_they_are_filtered_and_taken_out(self, clerk, replied):
        page = clerk.get("/console/notices/replies?meaning=stranger").text
        assert "你好" in page
        assert replied[-4:] not in page

        taken = clerk.get("/console/notices/replies.csv?meaning=refused").text
        assert "退订" in taken
        assert replied not in taken

    def test_an_empty_list_says_so(self, clerk):
        assert "还没有人回复" in clerk.get("/console/notices/replies").text
        assert "没有这样的回复" in clerk.get("/console/notices/replies?meaning=words").text
