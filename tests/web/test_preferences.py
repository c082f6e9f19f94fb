"""Notice settings as residents and programs meet them."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import html
from sqlmodel import select

from billing.homes.households import create_household
from core.clock import utc_now
from core.db import transaction
from identity.models import Person
from notifications.catalogue import Subject
from notifications.choice.models import Consent, ContactPoint, NoticeChoice, NoticeSettings
from notifications.models import Notice
from tests.factories import a_home, a_person
from tests.web.conftest import signed_in
from tests.web.forms import text_of

SETTINGS = {
    "quiet": "1", "quiet_from": "23:00", "quiet_until": "06:30", "zone": "Asia/Urumqi",
    "texts": "5", "locale": "zh_CN",
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def person():
    return a_person()


@pytest.fixture
def browser(app, person):
    return signed_in(app, person)


def rows(model):
    with transaction() as session:
        return list(session.exec(select(model).order_by(*model.__table__.primary_key)))


def chosen():
    return {(one.household_id, one.subject): one.channels for one in rows(NoticeChoice)}


def saves(browser, subject, how, *channels, home=""):
    places = dict(zip(("first", "second", "third", "fourth"), channels, strict=False))
    fields = {"subject": subject, "how": how, "home": home, **places}
    return browser.send_form("/preferences/subject", fields)


def subjects_of(page):
    return [one.text for one in html.fromstring(page).xpath("//summary//b")]


def press(browser, answer, action):
    """Send the form of a page as it stands."""
    page = html.fromstring(browser.get(answer.headers["location"]).text)
    [form] = page.xpath(f"//form[@action='{action}' and .//button[contains(., '恢复原样')]]")
    fields = {one.get("name"): one.get("value", "") for one in form.xpath(".//input")}
    return browser.post(action, data=fields)


class TestSubjects:
    def test_the_page_lists_each_with_what_happens(self, browser):
        page = browser.get("/preferences").text

        assert subjects_of(page) == [
            "新账单", "缴费提醒", "缴费与退款", "自动缴费", "用量异常", "停水停电与施工", "投诉",
            "月度对账单", "家人变动", "优惠信息",
        ]  # fmt: skip
        assert "不能关闭" in text_of(page)

    def test_an_order_of_ones_own_is_kept_and_shown(self, browser):
        answer = saves(browser, "bills", "own", "sms", "", "email")

        assert chosen() == {(None, "bills"): ["sms", "email"]}
        page = text_of(browser.get(answer.headers["location"]).text)
        assert "已保存：新账单。" in page
        assert "自选顺序" in page

    def test_and_put_back_as_it_was_and_once_more(self, browser):
        saves(browser, "bills", "own", "sms")
        second = saves(browser, "bills", "none")

        third = press(browser, second, "/preferences/subject")
        assert chosen() == {(None, "bills"): ["sms"]}
        press(browser, third, "/preferences/subject")
        assert chosen() == {(None, "bills"): []}

    def test_what_was_usual_before_is_usual_again(self, browser):
        answer = saves(browser, "bills", "own", "sms")

        press(browser, answer, "/preferences/subject")

        assert chosen() == {}

    def test_a_subject_is_muted_but_not_one_that_must_be_told(self, browser):
        assert saves(browser, "bills", "none").status_code == 303
        answer = saves(browser, "payments", "none")

        assert chosen() == {(None, "bills"): []}
        assert answer.status_code == 422
        assert "一定会发送" in text_of(answer.text)

    @pytest.mark.parametrize(
        "fields",
        [{"how": "own"}, {"how": "own", "first": "fax"},
         {"how": "own", "first": "sms", "second": "sms"}],
        ids=["nothing picked", "no such channel", "one twice"],
    )  # fmt: skip
    def test_what_cannot_be_is_said_and_nothing_kept(self, browser, fields):
        answer = browser.send_form(
            "/preferences/subject", {"subject": "bills", "home": "", **fields}
        )

        assert answer.status_code == 422
        assert "没有保存" in text_of(answer.text)
        assert chosen() == {}

    @pytest.mark.parametrize("subject", ["sign_in", "nonsense"])
    def test_there_is_no_choice_where_there_is_none(self, browser, subject):
        assert saves(browser, subject, "own", "sms").status_code in {404, 422}
        assert chosen() == {}

    def test_who_has_two_homes_chooses_for_each(self, app):
        home = a_home()
        with transaction() as session:
            second = create_household(
                session, name="外婆家", owner_id=home.owner_id, now=utc_now()
            ).id
        browser = signed_in(app, home.owner_id)
        assert "外婆家" in browser.get("/preferences").text

        answer = saves(browser, "bills", "own", "sms", home=str(second))

        assert chosen() == {(second, "bills"): ["sms"]}
        assert f"home={second}" in answer.headers["location"]
        page = text_of(browser.get(answer.headers["location"]).text)
        assert "这里的选择只用于这个住处" in page

    def test_nobody_chooses_for_a_home_of_others(self, browser):
        others = a_home().household_id

        assert saves(browser, "bills", "own", "sms", home=str(others)).status_code == 404
        assert saves(browser, "bills", "own", "sms", home="x").status_code == 404
        assert browser.get(f"/preferences?home={others}").status_code == 404
        assert chosen() == {}


class TestWhenAndHow:
    def test_all_of_it_is_kept_and_shown_again(self, browser, person):
        answer = browser.send_form("/preferences/settings", {**SETTINGS, "elder": "1"})

        [kept] = rows(NoticeSettings)
        assert (f"{kept.quiet_from:%H:%M}", f"{kept.quiet_until:%H:%M}") == ("23:00", "06:30")
        assert (kept.zone, kept.texts_per_day) == ("Asia/Urumqi", 5)
        assert (kept.digest, kept.elder) == (False, True)
        page = html.fromstring(browser.get(answer.headers["location"]).text)
        assert page.xpath("//input[@id='quiet-from']/@value") == ["23:00"]
        assert page.xpath("//select[@name='zone']/option[@selected]/@value") == ["Asia/Urumqi"]

    def test_and_put_back_as_it_was(self, browser, person):
        answer = browser.send_form("/preferences/settings", {**SETTINGS, "locale": "en"})
        with transaction() as session:
            assert session.get_one(Person, person).locale == "en"
        browser.cookies.delete("citybill_locale")

        press(browser, answer, "/preferences/settings")

        [kept] = rows(NoticeSettings)
        assert (f"{kept.quiet_from:%H:%M}", kept.zone, kept.digest) == (
            "22:00",
            "Asia/Shanghai",
            True,
        )
        with transaction() as session:
            assert session.get_one(Person, person).locale == "zh_CN"

    def test_another_language_is_the_pages_too(self, browser):
        answer = browser.send_form("/preferences/settings", {**SETTINGS, "locale": "en"})

        assert "Notice settings" in browser.get(answer.headers["location"]).text

    def test_no_quiet_hours_at_all(self, browser):
        browser.send_form("/preferences/settings", {**SETTINGS, "quiet": ""})

        [kept] = rows(NoticeSettings)
        assert (kept.quiet_from, kept.quiet_until) == (None, None)

    @pytest.mark.parametrize(
        ("field", "typed"),
        [("quiet_until", "23:00"), ("quiet_from", ""), ("quiet_from", "25:00"),
         ("zone", "Mars/Olympus"), ("zone", "../etc/passwd"), ("texts", "0"), ("texts", "21"),
         ("texts", "-1"), ("texts", "three"), ("locale", "xx")],
    )  # fmt: skip
    def test_what_cannot_hold_is_said_and_nothing_kept(self, browser, field, typed):
        answer = browser.send_form("/preferences/settings", {**SETTINGS, field: typed})

        assert answer.status_code == 422
        assert "没有保存" in text_of(answer.text)
        assert rows(NoticeSettings) == []

    def test_all_goes_back_to_what_is_usual(self, browser):
        browser.send_form("/preferences/settings", SETTINGS)
        saves(browser, "bills", "none")

        browser.send_form("/preferences/reset")

        assert chosen() == {}
        [kept] = rows(NoticeSettings)
        assert (kept.zone, kept.texts_per_day) == ("Asia/Shanghai", 3)


class TestOffers:
    def test_a_yes_is_kept_with_the_sentence_that_stood_there(self, browser, person):
        sentence = "我同意接收本市及各公用事业公司的优惠信息"
        assert sentence in browser.get("/preferences").text

        browser.send_form("/preferences/offers", {"agreed": "1"})

        [said] = rows(Consent)
        assert (said.person_id, said.given, said.source, said.channel) == (
            person, True, "page", None,
        )  # fmt: skip
        assert sentence in said.proof
        assert "已同意" in text_of(browser.get("/preferences").text)

    def test_a_no_is_a_row_of_its_own(self, browser):
        browser.send_form("/preferences/offers", {"agreed": "1"})
        browser.send_form("/preferences/offers", {"agreed": ""})

        assert [one.given for one in rows(Consent)] == [True, False]
        assert "未同意" in text_of(browser.get("/preferences").text)


class TestWhereWeReachThem:
    def a_device(self, person, label="Chrome · Android"):
        with transaction() as session:
            point = ContactPoint(
                person_id=person, channel="push", address="{}", address_hash=label, label=label,
                made_at=utc_now(),
            )  # fmt: skip
            session.add(point)
            session.flush()
            return point.id

    def test_contacts_are_masked_and_devices_named(self, browser, person):
        self.a_device(person)

        page = text_of(browser.get("/preferences").text)

        assert "Chrome · Android" in page
        assert "p***@city.example" in page
        with transaction() as session:
            assert session.get_one(Person, person).contact not in page

    def test_a_device_is_removed(self, browser, person):
        point = self.a_device(person)

        browser.send_form(f"/preferences/points/{point}/removal")

        [kept] = rows(ContactPoint)
        assert kept.gone_reason == "removed"
        assert "Chrome" not in browser.get("/preferences").text

    def test_nobody_removes_anothers(self, browser):
        point = self.a_device(a_person())

        assert browser.send_form(f"/preferences/points/{point}/removal").status_code == 404
        assert rows(ContactPoint)[0].gone_at is None

    def test_a_test_goes_over_one_channel_alone_at_any_hour(self, browser):
        before = utc_now()
        browser.send_form("/preferences/test", {"channel": "sms"})

        [sent] = rows(Notice)
        assert (sent.event, sent.channel, sent.held) == ("notice.tried", "sms", None)
        assert sent.due_at - before < timedelta(minutes=1)
        assert "测试" in sent.body

    def test_a_second_one_waits_a_minute_and_the_page_says_so(self, browser):
        answers = [browser.send_form("/preferences/test", {"channel": "sms"}) for _ in range(3)]

        said = [parse_qs(urlsplit(one.headers["location"]).query)["saved"] for one in answers]
        assert ["tested_lately"] in said  # a minute may have ended between two of them
        assert len(rows(Notice)) < 3

    def test_not_over_a_channel_that_does_not_reach_them(self, browser):
        assert browser.send_form("/preferences/test", {"channel": "push"}).status_code == 404
        assert rows(Notice) == []


BODY = {
    "locale": "en", "quiet_from": "23:00", "quiet_until": "06:00", "zone": "Europe/London",
    "digest": False, "elder": True, "texts_per_day": 2,
    "choices": [{"subject": "bills", "channels": ["sms", "email"]},
                {"subject": "outages", "channels": []}],
}  # fmt: skip


class TestApi:
    def test_it_is_read_as_it_was_put(self, browser):
        put = browser.put("/api/v1/preferences", json=BODY)
        read = browser.get("/api/v1/preferences").json()

        assert put.status_code == 200
        assert put.json() == read
        assert (read["quiet_from"], read["zone"], read["texts_per_day"]) == (
            "23:00:00", "Europe/London", 2,
        )  # fmt: skip
        assert read["choices"] == [
            {"subject": "bills", "household_id": None, "channels": ["sms", "email"]},
            {"subject": "outages", "household_id": None, "channels": []},
        ]
        assert read["reached_by"] == ["email", "sms"]
        assert {one["subject"] for one in read["subjects"] if one["never_muted"]} == {
            "payments", "autopay", "complaints", "home",
        }  # fmt: skip

    def test_what_is_left_out_of_choices_is_usual_again(self, browser):
        browser.put("/api/v1/preferences", json=BODY)
        browser.put("/api/v1/preferences", json={**BODY, "choices": []})

        assert chosen() == {}

    def test_offers_need_the_sentence_and_stay_as_they_are_when_left_out(self, browser):
        without = browser.put("/api/v1/preferences", json={**BODY, "offers": True})
        assert (without.status_code, without.json()["code"]) == (422, "consent.no_proof")

        agreed = {**BODY, "offers": True, "offers_sentence": "I want offers"}
        assert browser.put("/api/v1/preferences", json=agreed).json()["offers"] is True
        assert browser.put("/api/v1/preferences", json=agreed).json()["offers"] is True
        assert browser.put("/api/v1/preferences", json=BODY).json()["offers"] is True
        browser.put("/api/v1/preferences", json={**BODY, "offers": False})

        assert [(one.given, one.proof) for one in rows(Consent)] == [
            (True, "I want offers"), (False, "taken back by API"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "code"),
        [({"zone": "Mars/Olympus"}, "zone.unknown"), ({"quiet_until": None}, "quiet.half"),
         ({"quiet_until": "23:00"}, "quiet.all_day"), ({"texts_per_day": 21}, "request.malformed"),
         ({"quiet_from": "23:00+01:00"}, "quiet.time"),
         ({"choices": [{"subject": "payments", "channels": []}]}, "preferences.never_muted"),
         ({"choices": [{"subject": "sign_in", "channels": ["sms"]}]}, "preferences.no_choice"),
         ({"choices": [{"subject": "bills", "channels": ["sms", "sms"]}]},
          "preferences.channels")],
    )  # fmt: skip
    def test_what_cannot_hold_changes_nothing(self, browser, change, code):
        answer = browser.put("/api/v1/preferences", json={**BODY, **change})

        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (rows(NoticeSettings), chosen()) == ([], {})

    def test_a_home_of_others_is_not_found(self, browser):
        others = a_home().household_id
        choice = {"subject": "bills", "household_id": others, "channels": ["sms"]}

        answer = browser.put("/api/v1/preferences", json={**BODY, "choices": [choice]})

        assert answer.status_code == 404
        assert chosen() == {}


def test_every_subject_but_signing_in_has_its_words_in_english_too(browser):
    """A code on the page would be one that was forgotten."""
    page = browser.get("/preferences", headers={"accept-language": "en-GB"}).text

    assert len(subjects_of(page)) == len(Subject) - 1
    assert {*subjects_of(page)}.isdisjoint({*Subject})
