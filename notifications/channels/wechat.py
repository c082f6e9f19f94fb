"""WeChat: template messages of an official account, and subscription messages.

Source: developers.weixin.qq.com: 获取稳定版接口调用凭据 (``stable_token``), 发送模板消息
(``template/send``), 发送订阅通知 (``subscribe/bizsend``), 发送订阅消息 (``subscribe/send``),
网页授权 (``oauth2/authorize`` and ``sns/oauth2/access_token``).

WeChat carries only templates it has approved. Who allows how many of them is ``permits``' affair.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from core.clock import utc_now
from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Settings
from notifications.channels.base import Message, Receipt, Silent, Taken, Template
from notifications.channels.http import Http
from notifications.channels.texting import Meant, configured, refusal
from notifications.channels.wechat_fields import fitted
from notifications.channels.wechat_push import Key, Permission, Push, permissions, receipts

_PATHS: Final = {
    "template": "/cgi-bin/message/template/send",
    "service": "/cgi-bin/message/subscribe/bizsend",
    "mini_program": "/cgi-bin/message/subscribe/send",
}
_MEANT: Final = {
    -1: Meant.LATER,  # busy
    43108: Meant.LATER,  # another request for the same person is under way
    45009: Meant.LATER,  # the day's quota
    45011: Meant.LATER,  # the minute's
    40003: Meant.ADDRESS_GONE,  # no openid of this account
    43004: Meant.ADDRESS_GONE,  # does not follow the account
    43101: Meant.NOT_PERMITTED,  # refused, or what they allowed is used up
}
_AUTHORISE: Final = "https://open.weixin.qq.com/connect/oauth2/authorize"
_BAD_CODES: Final = {40029, 40163, 41008, 42003}  # none of theirs, used, missing, too old
_STALE_TOKEN: Final = {40001, 40014, 42001}
_NO_TEMPLATE, _BAD_VALUE = 40037, 47003
_PLACE: Final = re.compile(r"data\.([a-z_]+[0-9]*)\.value")
_BEFORE_ITS_END_SECONDS: Final = 300  # the old token and the new both hold then
_ONE_MORE_SECONDS: Final = 3  # as long as this no time is lost, there is time for one more question
_LANGUAGES: Final = {"zh_CN": "zh_CN", "en": "en_US", "en_US": "en_US"}


class Wechat:
    """One account.

    Args:
        kind: ``template``, ``service`` or ``mini_program``: which of the three ways to send.
        token: signs what WeChat calls us with.
        key: decrypts it; without one it comes in the open.
        clock: says whether a call is of now.
        page: of a mini-program, which a message opens.
        long_term: templates of which one yes is good for all messages.
    """

    code = channel = "wechat"

    def __init__(
        self,
        url: str,
        app_id: str,
        app_secret: str,
        *,
        kind: str = "template",
        token: str = "",
        key: Key | None = None,
        page: str = "",
        long_term: Collection[str] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._url, self._kind, self._page = url.rstrip("/"), kind, page
        self._long_term = frozenset(long_term)
        self._login = {
            "grant_type": "client_credential", "appid": app_id, "secret": app_secret,
        }  # fmt: skip
        self._push = Push(token, key, clock)
        self._http = Http("wechat")
        self._lock = threading.Lock()
        self._access_token, self._good_until = "", 0.0
        # Within ten minutes: client_msg_id, which only template messages have.
        self.repeats_safely = kind == "template"

    def close(self) -> None:
        self._http.close()

    def send(self, message: Message) -> Taken:
        if message.template is None:
            raise Upstream("WeChat carries only templates it has approved", code="template.missing")
        body = self._body(message, *placed(message.template))
        started = time.monotonic()
        token = self._token()
        told = self._ask_in_time(token, body, started)
        if told.get("errcode") in _STALE_TOKEN:
            told = self._ask_in_time(self._token(stale=token), body, started)
        return _taken(told)

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        return receipts(self._push.open(headers, body))

    def read_permissions(self, headers: Mapping[str, str], body: bytes) -> list[Permission]:
        """Read the same call for what somebody allowed or forbade. Raises as ``read_receipts``."""
        return permissions(self._push.open(headers, body), self._long_term)

    def acknowledge(self) -> tuple[str, bytes]:
        return "text/plain", b"success"

    def greet(self, headers: Mapping[str, str]) -> bytes:
        """Return what WeChat wants to hear when it first asks for our address, by GET.

        Raises:
            NotSignedIn: it is not WeChat who asks.
        """
        return self._push.greet(headers)

    @property
    def has_web_pages(self) -> bool:
        """Tell whether somebody may connect on a page of ours: a mini-program has its own way."""
        return self._kind != "mini_program"

    def authorise_url(self, return_url: str, state: str) -> str:
        """Return where WeChat's browser goes, to come back to ``return_url`` with a code."""
        asked = urlencode({
            "appid": self._login["appid"], "redirect_uri": return_url, "response_type": "code",
            "scope": "snsapi_base", "state": state,
        })  # fmt: skip
        return f"{_AUTHORISE}?{asked}#wechat_redirect"

    def openid_of(self, code: str) -> str:
        """Return whose WeChat came back with a code; each is good once, for five minutes.

        Raises:
            Invalid: the code is none of WeChat's, was used, or is too old.
            UpstreamUnavailable: WeChat cannot be asked now.
        """
        question = self._http.question("GET", f"{self._url}/sns/oauth2/access_token", query={
            "appid": self._login["appid"], "secret": self._login["secret"], "code": code,
            "grant_type": "authorization_code",
        })  # fmt: skip
        try:
            told = json.loads(self._http.ask(question).body)
        except (Silent, ValueError, RecursionError) as silent:
            raise UpstreamUnavailable("wechat does not say whose code this is") from silent
        openid = told.get("openid") if isinstance(told, dict) else None
        if isinstance(openid, str) and openid:
            return openid
        if isinstance(told, dict) and told.get("errcode") in _BAD_CODES:
            raise Invalid("WeChat does not know this code any more", code="wechat.code")
        raise UpstreamUnavailable("wechat does not say whose code this is")

    def _body(
        self, message: Message, template_id: str, values: Mapping[str, str]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "touser": message.address,
            "template_id": template_id,
            "data": {place: {"value": value} for place, value in fitted(values).items()},
        }
        if self._kind == "mini_program":
            body |= {"page": self._page, "lang": _LANGUAGES.get(message.locale, "zh_CN")}
        elif self._kind == "service":
            body |= {"page": message.link}
        else:
            body |= {"url": message.link, "client_msg_id": message.message_id}
        return {name: value for name, value in body.items() if value}

    def _ask_in_time(self, token: str, body: Mapping[str, Any], started: float) -> dict[str, Any]:
        if time.monotonic() > started + _ONE_MORE_SECONDS:
            raise UpstreamUnavailable("wechat answers slowly")
        return self._ask(_PATHS[self._kind], body, {"access_token": token})

    def _token(self, *, stale: str = "") -> str:
        """Return the account's token, asked for when the one we have is ending or is ``stale``.

        Asking again while one holds gives the same one to every process, and ends none.
        """
        if not self._lock.acquire(timeout=_ONE_MORE_SECONDS):
            raise UpstreamUnavailable("wechat answers slowly")
        try:
            if self._access_token == stale or time.monotonic() > self._good_until:
                self._renew()
            return self._access_token
        finally:
            self._lock.release()

    def _renew(self) -> None:
        """Ask for a token. Whatever is said is about the account, not about a message: it waits."""
        try:
            told = self._ask("/cgi-bin/stable_token", self._login)
        except Silent as silent:
            raise UpstreamUnavailable("wechat gives us no token") from silent
        token, seconds = told.get("access_token"), told.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise UpstreamUnavailable(f"wechat gives us no token: errcode {told.get('errcode')}")
        self._access_token = token
        self._good_until = time.monotonic() + seconds - _BEFORE_ITS_END_SECONDS

    def _ask(
        self, path: str, body: Mapping[str, Any], query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        question = self._http.question(
            "POST", self._url + path, query=query,
            body=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        said = self._http.ask(question)
        try:
            told = json.loads(said.body)
        except (ValueError, RecursionError):
            told = None
        if said.status != 200 or not isinstance(told, dict):
            raise refusal("wechat", Meant.UNKNOWN, f"HTTP:{said.status}")
        return told


def placed(template: Template) -> tuple[str, dict[str, str]]:
    """Return a template's number at WeChat, and what stands in each of its places.

    WeChat names the places after their kinds, we after what stands there. Which is which stands
    behind the number: ``VRR0…:thing1=company,amount2=amount``. Without it, names are WeChat's.

    Raises:
        Upstream: a place is to be filled with what is not there.
    """
    number, colon, pairs = template.id.partition(":")
    if not colon:
        return number, dict(template.values)
    ours = dict(pair.partition("=")[::2] for pair in pairs.split(","))
    missing = sorted(set(ours.values()) - template.values.keys())
    if missing:
        raise Upstream(
            f"the template at WeChat wants {', '.join(missing)}, which these words do not have",
            code="template.places",
        )
    return number, {place: template.values[name] for place, name in ours.items()}


def _taken(told: Mapping[str, Any]) -> Taken:
    errcode = told.get("errcode")
    if errcode == 0:
        return Taken(str(told.get("msgid", "")))
    if not isinstance(errcode, int):
        raise refusal("wechat", Meant.UNKNOWN, "no errcode")
    if errcode in _STALE_TOKEN:
        raise UpstreamUnavailable("wechat does not believe the token it gave us")
    if errcode == _NO_TEMPLATE:
        raise Upstream("WeChat has no such template of this account", code="template.unknown")
    if errcode == _BAD_VALUE:
        place = _PLACE.search(str(told.get("errmsg", "")))
        raise Upstream(
            f"WeChat refuses what stands in the template's place {place[1] if place else '?'}",
            code="template.value_refused",
        )
    raise refusal("wechat", _MEANT.get(errcode, Meant.NEVER), f"errcode:{errcode}")


def from_settings(settings: Settings) -> Wechat | None:
    """Make the carrier; None until its settings are there."""
    said = configured(
        settings, "wechat", ("app_id", "app_secret"),
        "kind", "token", "aes_key", "page", "long_term", "url",
    )  # fmt: skip
    if said is None:
        return None
    kind = said.get("kind", "template")
    if kind not in _PATHS:
        raise Invalid(
            f"CITYBILL_CARRIERS, wechat: kind is one of {', '.join(_PATHS)}",
            code="carrier.half_configured",
        )
    try:
        key = Key(said["aes_key"], said["app_id"]) if "aes_key" in said else None
    except ValueError as wrong:
        raise Invalid(
            f"CITYBILL_CARRIERS, wechat: {wrong}", code="carrier.half_configured"
        ) from None
    return Wechat(
        said.get("url", "https://api.weixin.qq.com"), said["app_id"], said["app_secret"],
        kind=kind, token=said.get("token", ""), key=key, page=said.get("page", ""),
        long_term=said.get("long_term", "").split(","),
    )  # fmt: skip
