"""The installed site in a real browser: its worker, its offline page, notices on this device.

No push service is reached from here: what one would bring is handed to the worker by DevTools.
"""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from core.db import transaction
from core.settings import Environment
from notifications.choice.preferences import list_points
from tests.chromium import opened_whole
from tests.factories import a_person
from tests.notifications.channels.push_far import FarBrowser
from tests.notifications.channels.test_push import configured
from tests.web.test_checkout_in_a_browser import fits, resident, shot
from tests.web.test_company_in_a_browser import DESK, PHONE

pytestmark = pytest.mark.usefixtures("city")

RULED = """() => new Promise(done => {
    const workers = navigator.serviceWorker;
    workers.addEventListener("controllerchange", () => done());
    if (workers.controller) { done(); }
})"""
# The browser's part of a subscription, as a push service gives it: there is none here to ask.
SUBSCRIBES = """told => {
    window.asked = [];
    Notification.requestPermission = async () => { asked.push("permission"); return told.answer; };
    const made = { options: { applicationServerKey: null }, toJSON: () => told.subscription };
    PushManager.prototype.subscribe = async how => {
        asked.push(how.applicationServerKey.length);
        if (!told.subscription) { throw new DOMException("no push service", "AbortError"); }
        return made;
    };
    PushManager.prototype.getSubscription = async () => told.had ? made : null;
}"""


@pytest.fixture(scope="module")
def whole(chromium) -> Iterator[Browser]:
    with opened_whole(chromium) as browser:
        yield browser


@pytest.fixture
def push(app, monkeypatch):
    made = configured(Environment.DEMO)
    monkeypatch.setitem(app.state.carriers, "push", made)
    yield made
    made.close()


@pytest.fixture
def phone(chromium, web, push):
    opened = resident(chromium, web, a_person())
    yield opened
    opened.close()


def at_work(page: Page, path: str = "/") -> None:
    """Open a page and wait until the worker rules it."""
    page.goto(path)
    page.evaluate(RULED)


def prepare(page: Page, *, answer: str = "granted", had: bool = False, can: bool = True) -> str:
    told = json.loads(FarBrowser().subscription("https://fcm.googleapis.com/fcm/send/abc"))
    made = json.dumps({"answer": answer, "subscription": told if can else None, "had": had})
    page.add_init_script(f"({SUBSCRIBES})({made})")
    return made


class TestOffline:
    def test_a_page_that_cannot_be_had_says_so_in_both_languages(self, phone):
        page = phone.new_page()
        at_work(page)
        phone.set_offline(True)

        page.goto("/bills/1.2")

        assert "您之前看到的账单可能不是最新的" in page.inner_text("main")
        assert "may no longer be current" in page.inner_text("main")
        assert page.url.endswith("/bills/1.2")
        assert fits(page)
        size = page.locator(".button").first.evaluate(
            "one => getComputedStyle(one).backgroundColor"
        )
        assert size != "rgba(0, 0, 0, 0)", "the look of the site is kept"
        shot(page, "offline-phone")

    def test_back_online_the_same_page_is_there(self, phone):
        page = phone.new_page()
        at_work(page)
        phone.set_offline(True)
        page.goto("/notices")
        phone.set_offline(False)

        page.get_by_role("link", name="重试").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("通知")

    def test_nobodys_bills_are_kept(self, phone):
        page = phone.new_page()
        at_work(page)
        for path in ("/", "/notices", "/preferences"):
            page.goto(path)

        kept = page.evaluate("""async () => {
            const found = [];
            for (const name of await caches.keys()) {
                found.push(...await (await caches.open(name)).keys());
            }
            return found.map(one => new URL(one.url).pathname).sort();
        }""")

        assert kept == [
            "/offline", "/static/citybill.css", "/static/citybill.js", "/static/elder.css",
            "/static/favicon.svg",
        ]  # fmt: skip

    def test_in_large_type_the_offline_page_is_too(self, phone):
        page = phone.new_page()
        at_work(page, "/elder")
        phone.set_offline(True)

        page.goto("/")

        sizes = page.locator("h1, .lead, .button").evaluate_all(
            "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert min(sizes) >= 18
        assert max(sizes) >= 30
        assert fits(page)
        shot(page, "offline-elder")

    def test_the_offline_page_fits(self, phone):
        page = phone.new_page()
        page.goto("/offline")

        for viewport in (PHONE, DESK, {"width": 320, "height": 640}):
            for scheme in ("light", "dark"):
                page.set_viewport_size(viewport)
                page.emulate_media(color_scheme=scheme)
                shot(page, f"offline-{viewport['width']}-{scheme}")
                assert fits(page)


class InTheWholeBrowser:
    @pytest.fixture
    def phone(self, whole, web, push):
        with resident(whole, web, a_person()) as opened:
            yield opened


class TestInstalling(InTheWholeBrowser):
    def test_the_browser_finds_nothing_that_stands_against_it(self, phone):
        page = phone.new_page()
        at_work(page)
        devtools = phone.new_cdp_session(page)

        told = devtools.send("Page.getAppManifest")
        errors = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]

        assert told["errors"] == []
        assert json.loads(told["data"])["name"] == "城市账单"
        # A context of its own counts as a private window, in which nothing can be installed.
        assert [one["errorId"] for one in errors if one["errorId"] != "in-incognito"] == []


class Worker:
    """The page's worker, as DevTools reach it."""

    def __init__(self, phone: BrowserContext, page: Page) -> None:
        self.page = page
        self.origin = page.evaluate("location.origin")
        self.devtools = phone.new_cdp_session(page)
        self.registrations: list[str] = []
        self.devtools.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda told: self.registrations.extend(
                one["registrationId"] for one in told["registrations"]
            ),
        )
        self.devtools.send("ServiceWorker.enable")
        while not self.registrations:
            page.wait_for_timeout(20)

    def push(self, data: str) -> None:
        self.devtools.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.origin, "registrationId": self.registrations[-1], "data": data},
        )

    def shown(self, count: int) -> list[dict[str, str]]:
        """Return the notifications, once there are so many."""
        for _ in range(500):  # ten seconds on a busy machine
            found = self.page.evaluate("""async () =>
                (await (await navigator.serviceWorker.ready).getNotifications())
                    .map(({ title, body, tag, data }) => ({ title, body, tag, link: data.link }))
            """)
            if len(found) == count:
                return list(found)
            self.page.wait_for_timeout(20)
        raise AssertionError(found)


class TestNotifications(InTheWholeBrowser):
    @pytest.fixture
    def worker(self, phone):
        phone.grant_permissions(["notifications"])
        page = phone.new_page()
        at_work(page)
        return Worker(phone, page)

    def test_what_was_pushed_is_shown(self, worker):
        news = {"title": "水费账单", "body": "86.50 元", "tag": "t1", "link": "/notices"}

        worker.push(json.dumps(news))

        assert worker.shown(1) == [news]

    def test_twice_of_one_tag_is_shown_once(self, worker):
        for title in ("old", "other", "new"):
            tag = "t2" if title == "other" else "t1"
            worker.push(json.dumps({"title": title, "body": "", "tag": tag, "link": ""}))
        worker.page.wait_for_timeout(200)

        assert {(one["title"], one["tag"]) for one in worker.shown(2)} == {
            ("new", "t1"), ("other", "t2"),
        }  # fmt: skip

    @pytest.mark.parametrize("junk", ["", "junk", "[]"])
    def test_what_cannot_be_read_is_still_said_to_be_there(self, worker, junk):
        """A browser takes the permission from who shows nothing."""
        worker.push(junk)

        assert [one["title"] for one in worker.shown(1)] == ["城市账单"]

    def test_a_tap_leads_to_a_page_of_ours_and_nowhere_else(self, phone, worker):
        [script] = phone.service_workers
        bill = f"{worker.origin}/bills/1.2?a=1"
        for link, leads in {
            bill: bill,
            "/payments/7": f"{worker.origin}/payments/7",
            **dict.fromkeys(
                ("https://evil.example/", "//evil.example", "javascript:alert(1)", "https://[", ""),
                f"{worker.origin}/notices",
            ),
        }.items():
            assert script.evaluate("link => ours(link)", link) == leads, link

    def test_a_tap_opens_the_page_and_takes_the_notice_away(self, phone, worker):
        """A click by hand is out of reach here: the worker is told of one that it believes."""
        worker.push(json.dumps({"title": "水费账单", "tag": "t1", "link": "/notices"}))
        worker.shown(1)
        [script] = phone.service_workers

        opened = script.evaluate("""async () => {
            const asked = [];
            self.clients.openWindow = async href => { asked.push(href); };
            const [notification] = await registration.getNotifications();
            const tap = new NotificationEvent("notificationclick", { notification });
            self.dispatchEvent(tap);
            await new Promise(done => setTimeout(done, 100));
            return asked;
        }""")

        assert opened == [f"{worker.origin}/notices"]
        assert worker.shown(0) == []


class TestOnThisDevice:
    def test_nothing_is_asked_before_the_tap(self, phone):
        page = phone.new_page()
        prepare(page)
        at_work(page, "/preferences")

        button = page.get_by_role("button", name="在本设备上接收通知")
        expect(button).to_be_visible()
        assert page.evaluate("asked") == []
        assert fits(page)
        shot(page, "push-offered")

    def test_a_tap_asks_subscribes_and_keeps_the_browser(self, chromium, web, push):
        person = a_person()
        phone = resident(chromium, web, person)
        page = phone.new_page()
        prepare(page)
        at_work(page, "/preferences")

        page.get_by_role("button", name="在本设备上接收通知").click()

        page.wait_for_url("**/preferences?saved=push")
        expect(page.get_by_text("已保存：通知会发到本设备。")).to_be_visible()
        with transaction() as session:
            [point] = list_points(session, person)
            assert push.read(point.address).url.host == "fcm.googleapis.com"
        shot(page, "push-kept")
        phone.close()

    def test_the_page_knows_the_browser_again(self, phone):
        page = phone.new_page()
        prepare(page, had=True)
        at_work(page, "/preferences")
        # So that it is not taken for one with another key of ours, which is given up first.
        page.evaluate("PushManager.prototype.getSubscription = async () => null")
        page.get_by_role("button", name="在本设备上接收通知").click()
        page.wait_for_url("**/preferences?saved=push")

        expect(page.get_by_text("本设备会显示您的通知")).to_be_visible()
        expect(page.get_by_role("button", name="在本设备上接收通知")).to_be_hidden()
        shot(page, "push-here")

    @pytest.mark.parametrize(
        ("how", "said"),
        [
            ({"answer": "denied"}, "浏览器没有获准显示通知"),
            ({"can": False}, "目前无法向这个浏览器发送通知"),
        ],
    )
    def test_a_no_is_said_and_can_be_tried_again(self, phone, how, said):
        page = phone.new_page()
        prepare(page, **how)
        at_work(page, "/preferences")

        page.get_by_role("button", name="在本设备上接收通知").click()

        expect(page.get_by_text(said)).to_be_visible()
        expect(page.get_by_role("button", name="在本设备上接收通知")).to_be_enabled()
        shot(page, f"push-{'-'.join(how)}")

    def test_a_browser_that_cannot_says_so(self, phone):
        page = phone.new_page()
        page.add_init_script("delete window.PushManager")
        page.goto("/preferences")

        expect(page.get_by_text("这个浏览器不能显示通知")).to_be_visible()
        expect(page.get_by_role("button", name="在本设备上接收通知")).to_be_hidden()

    def test_without_script_it_is_not_offered(self, chromium, web, push):
        phone = resident(chromium, web, a_person(), java_script_enabled=False)
        page = phone.new_page()
        page.goto("/preferences")

        assert not page.get_by_role("button", name="在本设备上接收通知").is_visible()
        phone.close()
