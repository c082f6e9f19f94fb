"""Browsers are kept from the page and by API, for whoever sits before them."""

import json

import pytest
from sqlmodel import select

from core.db import transaction
from core.settings import Environment
from identity.models import Role
from notifications.choice.models import ContactPoint
from tests.factories import a_person
from tests.notifications.channels.push_far import FarBrowser
from tests.notifications.channels.test_push import configured
from tests.web.conftest import a_browser, signed_in
from web.browsers import browser_name

pytestmark = pytest.mark.usefixtures("city")
ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"
CHROME = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/142.0.0.0 Mobile Safari/537.36"
)
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"
API = "/api/v1/push-subscriptions"


@pytest.fixture
def push(app, monkeypatch):
    made = configured(Environment.DEMO)
    monkeypatch.setitem(app.state.carriers, "push", made)
    yield made
    made.close()


@pytest.fixture
def resident(app, push):
    browser = signed_in(app, a_person())
    browser.headers["user-agent"] = CHROME
    return browser


def subscription(endpoint=ENDPOINT):
    return json.loads(FarBrowser().subscription(endpoint))


def form(told):
    return {"endpoint": told["endpoint"], **told["keys"]}


class TestByApi:
    def test_one_is_kept_listed_and_removed(self, resident, push):
        kept = resident.post(API, json=subscription())
        assert kept.status_code == 201
        assert kept.json()["label"] == "Android 上的 Chrome"

        told = resident.get(API).json()
        assert told["application_server_key"] == push.public_key
        assert told["subscriptions"] == [kept.json()]

        assert resident.delete(f"{API}/{kept.json()['id']}").status_code == 204
        assert resident.get(API).json()["subscriptions"] == []

    def test_what_a_browser_says_of_itself_may_be_more_than_is_needed(self, resident):
        """``toJSON()`` has an expirationTime."""
        told = subscription() | {"expirationTime": None, "label": "客厅的平板"}

        kept = resident.post(API, json=told)

        assert (kept.status_code, kept.json()["label"]) == (201, "客厅的平板")

    def test_once_more_is_the_same(self, resident):
        told = subscription()

        first, second = (resident.post(API, json=told).json()["id"] for _ in range(2))

        assert first == second

    @pytest.mark.parametrize(
        "endpoint", ["https://127.0.0.1/x", "http://fcm.googleapis.com/x", "junk"]
    )
    def test_an_address_of_no_push_service_is_refused(self, resident, endpoint):
        answer = resident.post(API, json=subscription(endpoint))

        assert (answer.status_code, answer.json()["code"]) == (422, "push.subscription")
        assert endpoint not in answer.text

    def test_an_eleventh_is_refused(self, resident):
        answers = [resident.post(API, json=subscription(f"{ENDPOINT}{n}")) for n in range(11)]

        assert [one.status_code for one in answers] == [201] * 10 + [409]
        assert answers[-1].json()["code"] == "push.too_many"

    def test_somebody_elses_is_nobodys(self, app, resident):
        kept = resident.post(API, json=subscription()).json()["id"]
        other = signed_in(app, a_person())

        assert other.delete(f"{API}/{kept}").status_code == 404
        assert other.get(API).json()["subscriptions"] == []
        assert len(resident.get(API).json()["subscriptions"]) == 1

    def test_where_it_is_not_set_up_there_is_none(self, app, monkeypatch):
        monkeypatch.delitem(app.state.carriers, "push", raising=False)
        resident = signed_in(app, a_person())

        for answer in (resident.get(API), resident.post(API, json=subscription())):
            assert (answer.status_code, answer.json()["code"]) == (404, "push.not_configured")


class TestFromThePage:
    def test_it_is_kept_and_can_be_removed_there(self, resident):
        answer = resident.send_form("/push", form(subscription()))
        assert (answer.status_code, answer.headers["location"]) == (303, "/preferences?saved=push")

        page = resident.get(answer.headers["location"]).text
        assert "已保存：通知会发到本设备。" in page
        assert "Android 上的 Chrome" in page

        [kept] = resident.get(API).json()["subscriptions"]
        resident.send_form(f"/preferences/points/{kept['id']}/removal")
        assert resident.get(API).json()["subscriptions"] == []

    def test_the_page_knows_the_browser_again_by_a_hash(self, resident, push):
        told = subscription()
        resident.send_form("/push", form(told))

        page = resident.get("/preferences").text

        assert f'data-push="{push.public_key}"' in page
        assert told["endpoint"] not in page
        assert told["keys"]["auth"] not in page

    def test_the_next_person_before_the_browser_has_it(self, app, resident):
        told = subscription()
        resident.send_form("/push", form(told))
        other = signed_in(app, a_person())

        other.send_form("/push", form(told))

        assert resident.get(API).json()["subscriptions"] == []
        assert len(other.get(API).json()["subscriptions"]) == 1

    @pytest.mark.parametrize("typed", [{}, {"endpoint": ENDPOINT}, {"endpoint": "junk"}])
    def test_junk_is_told_in_words(self, resident, typed):
        assert resident.send_form("/push", typed).status_code == 422

    def test_another_sites_form_is_refused(self, resident):
        answer = resident.post("/push", data=form(subscription()))

        assert answer.status_code == 403
        assert resident.get(API).json()["subscriptions"] == []

    def test_where_it_is_not_set_up_the_page_says_nothing_of_it(self, app, monkeypatch):
        monkeypatch.delitem(app.state.carriers, "push", raising=False)

        assert "push.js" not in signed_in(app, a_person()).get("/preferences").text

    def test_staff_have_a_page_of_settings_too(self, app, push):
        assert "push.js" in signed_in(app, a_person(Role.STAFF)).get("/preferences").text


@pytest.mark.parametrize(
    ("user_agent", "zh", "en"),
    [
        (CHROME, "Android 上的 Chrome", "Chrome on Android"),
        (IPHONE + " Version/18.5 Mobile/15E148 Safari/604.1", "iPhone 上的 Safari",
         "Safari on iPhone"),
        (IPHONE + " CriOS/142.0 Mobile/15E148 Safari/604.1", "iPhone 上的 Chrome",
         "Chrome on iPhone"),
        (CHROME + " EdgA/142.0", "Android 上的 Edge", "Edge on Android"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
         "Windows 上的 Firefox", "Firefox on Windows"),
        ("curl/8.5", "浏览器", "A browser"),
        ("", "浏览器", "A browser"),
    ],
)  # fmt: skip
def test_a_browser_is_called_what_people_call_it(user_agent, zh, en):
    assert browser_name(user_agent, "zh_CN") == zh
    assert browser_name(user_agent, "en") == en


class TestTheInstalledSite:
    def test_the_worker_is_asked_for_anew_each_time_and_rules_all_pages(self, app):
        answer = a_browser(app).get("/sw.js")

        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.text.startswith("const SHELL = {")

    def test_it_keeps_only_what_is_everybodys(self, app):
        shell = json.loads(
            a_browser(app).get("/sw.js").text.partition("const SHELL = ")[2].partition(";\n")[0]
        )

        assert shell["offline"] == "/offline"
        assert all(one.startswith("/static/") for one in shell["files"])
        for path in (shell["offline"], shell["icon"], shell["badge"], *shell["files"]):
            assert a_browser(app).get(path).status_code == 200, path

    def test_the_offline_page_is_the_same_for_everybody(self, app):
        with_cookies = signed_in(app, a_person()).get("/offline")
        without = a_browser(app, **{"accept-language": "en"}).get("/offline")

        assert with_cookies.text == without.text
        assert "可能不是最新的" in without.text
        assert "may no longer be current" in without.text
        assert "csrf" not in without.text
        assert "set-cookie" not in without.headers

    @pytest.mark.parametrize(
        ("locale", "lang", "name"),
        [("zh_CN", "zh-CN", "城市账单"), ("en", "en", "CityBill"), ("xx", "zh-CN", "城市账单")],
    )
    def test_the_manifest_speaks_the_language_it_is_asked_in(self, app, locale, lang, name):
        answer = a_browser(app).get(f"/manifest.webmanifest?locale={locale}")

        assert answer.headers["content-type"] == "application/manifest+json"
        told = answer.json()
        assert (told["lang"], told["name"]) == (lang, name)
        assert (told["id"], told["start_url"], told["scope"]) == ("/", "/", "/")
        assert told["display"] == "standalone"

    def test_its_icons_are_as_large_as_it_says(self, app):
        browser = a_browser(app)
        icons = browser.get("/manifest.webmanifest").json()["icons"]

        drawn = [one for one in icons if one["type"] == "image/png"]
        for one in drawn:
            png = browser.get(one["src"]).content
            width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
            assert one["sizes"] == f"{width}x{height}"
        assert {(one["sizes"], one.get("purpose", "any")) for one in drawn} == {
            ("192x192", "any"), ("512x512", "any"), ("512x512", "maskable"),
        }  # fmt: skip

    @pytest.mark.parametrize("locale", ["zh_CN", "en"])
    def test_every_page_names_it(self, app, locale):
        browser = a_browser(app, **{"accept-language": {"zh_CN": "zh", "en": "en"}[locale]})

        page = browser.get("/sign-in").text

        assert f'<link rel="manifest" href="/manifest.webmanifest?locale={locale}">' in page


class TestSigningOut:
    def kept(self, resident):
        told = subscription()
        assert resident.send_form("/push", form(told)).status_code == 303
        return resident.get(API).json()["subscriptions"]

    def live(self):
        with transaction() as session:
            points = session.exec(select(ContactPoint)).all()
            return [one for one in points if one.gone_at is None]

    def test_it_ends_the_notices_of_that_browser(self, resident):
        assert len(self.kept(resident)) == 1

        resident.send_form("/sign-out")

        assert self.live() == []
        with transaction() as session:
            assert session.exec(select(ContactPoint.gone_reason)).all() == ["signed_out"]

    def test_of_another_browser_it_ends_nothing(self, app, resident, push):
        self.kept(resident)
        [point] = self.live()
        other = signed_in(app, point.person_id)

        other.send_form("/sign-out")

        assert len(self.live()) == 1

    def test_who_signs_out_ends_only_their_own(self, app, resident, push):
        self.kept(resident)
        [point] = self.live()
        thief = signed_in(app, a_person())
        thief.cookies.set("citybill_push", str(point.id))

        thief.send_form("/sign-out")

        assert len(self.live()) == 1
