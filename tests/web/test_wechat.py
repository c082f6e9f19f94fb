"""Connecting WeChat: its own browser goes there with a state and comes back with a code."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from sqlmodel import select

from core.db import transaction
from core.settings import Settings
from notifications.channels.wechat import from_settings
from notifications.choice.models import ContactPoint
from tests.factories import a_person
from tests.notifications.channels.http_far import Asked, HttpFar
from tests.web.conftest import PUBLIC_URL, signed_in

AT = "/preferences/wechat"
IN_WECHAT = {"user-agent": "Mozilla/5.0 (Linux; Android 15) MicroMessenger/8.0.60"}

pytestmark = pytest.mark.usefixtures("city")


class WechatPeople(HttpFar):
    """sns/oauth2/access_token, as developers.weixin.qq.com describes it: a code is good once."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = {"code-1": "openid-1", "code-2": "openid-2"}

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        said = {name: value for name, [value] in parse_qs(asked.query).items()}
        assert (asked.method, asked.path) == ("GET", "/sns/oauth2/access_token")
        assert (said["appid"], said["secret"]) == ("wx1", "s3cret")
        assert said["grant_type"] == "authorization_code"
        openid = self.codes.pop(said["code"], None)
        if openid is None:
            return 200, b'{"errcode": 40029, "errmsg": "invalid code"}'
        told = {
            "access_token": "a", "expires_in": 7200, "refresh_token": "r", "openid": openid,
            "scope": "snsapi_base",
        }  # fmt: skip
        return 200, json.dumps(told).encode()


@pytest.fixture
def far():
    with WechatPeople() as far:
        yield far


@pytest.fixture
def account(app, far, monkeypatch):
    def configured(**more):
        said = {"app_id": "wx1", "app_secret": "s3cret", "url": far.url} | more
        secrets = {name: SecretStr(text) for name, text in said.items()}
        made = from_settings(Settings(carriers={"wechat": secrets}))
        monkeypatch.setitem(app.state.carriers, "wechat", made)
        made_ones.append(made)

    made_ones = []
    configured()
    yield configured
    for one in made_ones:
        one.close()


def points():
    with transaction() as session:
        found = session.exec(select(ContactPoint).order_by(ContactPoint.id)).all()
        return [(one.person_id, one.address) for one in found if one.gone_at is None]


def begin(browser):
    """Go to WeChat; returns the state it is to bring back."""
    answer = browser.get(AT, headers=IN_WECHAT)
    assert answer.status_code == 303
    there = urlsplit(answer.headers["location"])
    said = {name: value for name, [value] in parse_qs(there.query).items()}
    assert (there.hostname, there.path) == ("open.weixin.qq.com", "/connect/oauth2/authorize")
    assert there.fragment == "wechat_redirect"
    assert said["redirect_uri"] == f"{PUBLIC_URL}{AT}/return"
    assert (said["appid"], said["scope"], said["response_type"]) == ("wx1", "snsapi_base", "code")
    return said["state"]


def come_back(browser, code, state):
    return browser.get(f"{AT}/return", params={"code": code, "state": state}).headers["location"]


def test_whose_it_is_is_kept_and_shown(app, account):
    person = a_person()
    browser = signed_in(app, person)

    assert come_back(browser, "code-1", begin(browser)) == "/preferences?saved=wechat"

    assert points() == [(person, "openid-1")]
    assert "通知会发到这个微信" in browser.get("/preferences?saved=wechat").text


def test_another_one_takes_its_place_and_the_same_again_is_the_same(app, account, far):
    person = a_person()
    browser = signed_in(app, person)
    for code in ("code-1", "code-2"):
        come_back(browser, code, begin(browser))
    far.codes["code-3"] = "openid-2"
    come_back(browser, "code-3", begin(browser))

    assert points() == [(person, "openid-2")]


def test_a_wechat_is_one_persons(app, account, far):
    one, other = a_person(), a_person()
    far.codes["code-3"] = "openid-1"
    for person, code in ((one, "code-1"), (other, "code-3")):
        browser = signed_in(app, person)
        come_back(browser, code, begin(browser))

    assert points() == [(other, "openid-1")]


@pytest.mark.parametrize("state", ["", "guessed"])
def test_who_did_not_ask_from_this_browser_is_not_connected(app, account, far, state):
    """Somebody else's code in a link of theirs would send notices to their WeChat."""
    browser = signed_in(app, a_person())

    assert come_back(browser, "code-1", state) == "/preferences?saved=no_wechat"
    begin(browser)
    assert come_back(browser, "code-1", state) == "/preferences?saved=no_wechat"

    assert points() == []
    assert far.asked == []


def test_a_state_is_good_once(app, account):
    browser = signed_in(app, a_person())
    state = begin(browser)
    come_back(browser, "code-1", state)

    assert come_back(browser, "code-2", state) == "/preferences?saved=no_wechat"


@pytest.mark.parametrize("fault", ["down", "garbage"])
def test_a_wechat_that_is_away_connects_nobody(app, account, far, fault):
    browser = signed_in(app, a_person())
    state = begin(browser)
    far.behave(fault)

    assert come_back(browser, "code-1", state) == "/preferences?saved=no_wechat"
    assert points() == []


def test_a_code_it_does_not_know_or_a_no_connects_nobody(app, account):
    browser = signed_in(app, a_person())

    for code in ("code-9", ""):
        assert come_back(browser, code, begin(browser)) == "/preferences?saved=no_wechat"

    assert "微信没有绑定成功" in browser.get("/preferences?saved=no_wechat").text


def test_in_another_browser_the_page_shows_a_code_to_scan(app, account):
    page = signed_in(app, a_person()).get(AT)

    assert page.status_code == 200
    assert "用微信扫一扫" in page.text
    assert "<svg" in page.text


def test_it_is_offered_only_where_it_is_set_up(app, account):
    browser = signed_in(app, a_person())
    assert f'href="{AT}"' in browser.get("/preferences").text

    account(kind="mini_program")
    assert f'href="{AT}"' not in browser.get("/preferences").text
    assert browser.get(AT).status_code == 404
    app.state.carriers.pop("wechat")
    assert browser.get(AT).status_code == 404
