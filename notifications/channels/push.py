"""Web Push: a short message that one browser alone can read.

A browser's address is its subscription as JSON. Its maker's push service keeps a message until the
browser is there, of each topic the newest; the browser's page puts it in the place of one of the
same topic it shows already (``tag``, web/static/sw.js). So sent twice it is one.

Only known push services are asked: what a browser says is its service is an address somebody else
chose, and this way it is never one of our own network.

Source: RFC 8030 (delivery), RFC 8291 (encryption), RFC 8292 (who we are).
"""

import base64
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import http_ece
import httpx
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02, VapidException

from core.clock import utc_now
from core.errors import Invalid, Upstream
from core.settings import Environment, Settings
from notifications.channels.base import Kind, Message, Taken, WithoutReceipts
from notifications.channels.http import Http
from notifications.channels.texting import Meant, configured, refusal

# Of Chrome and what is built on it, Firefox, Safari, Edge; a leading dot: any name below.
SERVICES: Final = (
    "fcm.googleapis.com", "jmt17.google.com", ".push.services.mozilla.com", ".push.apple.com",
    ".notify.windows.com",
)  # fmt: skip
# A service takes 4,096 bytes; 103 of them are the encryption's (RFC 8188: 86 before, 17 behind).
MOST_BYTES: Final = 4096 - 103
_USUALLY_KEPT: Final = timedelta(days=3)  # so that a phone that was off over a weekend has it
_LONGEST_KEPT: Final = timedelta(days=28)  # services keep nothing for longer
_SIGNED_FOR: Final = timedelta(hours=12)  # RFC 8292: at most a day
_URGENCY: Final = {Kind.CODE: "high", Kind.SERVICE: "normal", Kind.COMMERCIAL: "low"}
# That they do not believe us is not the message's fault, and somebody mends it.
_LATER: Final = {401, 403, 408, 425, 429}
_GONE: Final = {404, 410}


class Subscription(NamedTuple):
    """Where a browser's messages go, and what only it can open them with."""

    url: httpx.URL
    key: bytes
    secret: bytes


def subscription_address(endpoint: str, p256dh: str, auth: str) -> str:
    """Return a subscription as an address: always the same text, web/static/push.js makes it too.

    >>> subscription_address("https://push.example/1", "BNN…", "8e…")
    '{"endpoint":"https://push.example/1","keys":{"auth":"8e…","p256dh":"BNN…"}}'
    """
    keys = {"auth": auth.rstrip("="), "p256dh": p256dh.rstrip("=")}
    return json.dumps(
        {"endpoint": endpoint, "keys": keys}, ensure_ascii=False, separators=(",", ":")
    )


class Push(WithoutReceipts):
    """Who sends, by its VAPID key, and the push services that may be asked.

    Args:
        subject: how a push service's people reach ours: ``mailto:`` or https.
        guarded: only https, and no port of its own.
    """

    code = channel = "push"
    repeats_safely = True

    def __init__(
        self,
        vapid: Vapid02,
        subject: str,
        *,
        services: Collection[str] = SERVICES,
        guarded: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._vapid, self._subject, self._clock = vapid, subject, clock
        self._services, self._guarded = tuple(services), guarded
        self._http = Http("the push service")

    @property
    def public_key(self) -> str:
        """What a browser subscribes with: it then takes messages of nobody else."""
        point = self._vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    def close(self) -> None:
        self._http.close()

    def read(self, address: str) -> Subscription:
        """Read a browser's address.

        Raises:
            Upstream: it is none, or of a push service we do not know.
        """
        try:
            told = json.loads(address)
            url = httpx.URL(told["endpoint"])
            key, secret = (_decoded(told["keys"][name]) for name in ("p256dh", "auth"))
            EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
            whole = len(key) == 65 and len(secret) == 16
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, httpx.InvalidURL):
            raise Upstream("the address is no browser's subscription") from None
        if not whole or not self._is_service(url):
            raise Upstream("the address is of no push service that is known here")
        return Subscription(url, key, secret)

    def _is_service(self, url: httpx.URL) -> bool:
        known = any(
            url.host.endswith(one) if one.startswith(".") else url.host == one
            for one in self._services
        )
        plain = url.scheme == "https" and url.port is None and not url.userinfo
        return known and (plain or not self._guarded)

    def send(self, message: Message) -> Taken:
        browser, now = self.read(message.address), self._clock()
        topic = message.topic or hashlib.sha256(message.message_id.encode()).hexdigest()[:32]
        question = self._http.question(
            "POST", str(browser.url), body=_sealed(payload(message, topic), browser),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Encoding": "aes128gcm",
                "TTL": str(int(_kept_for(message, now).total_seconds())),
                "Topic": topic,
                "Urgency": _URGENCY[message.kind],
                **self._signed(browser.url, now),
            },
        )  # fmt: skip
        return _taken(self._http.ask(question).status)

    def _signed(self, url: httpx.URL, now: datetime) -> dict[str, str]:
        claims = {
            "aud": f"{url.scheme}://{url.netloc.decode()}",
            "exp": int((now + _SIGNED_FOR).timestamp()),
            "sub": self._subject,
        }
        signed: dict[str, str] = self._vapid.sign(claims)
        return signed


def payload(message: Message, tag: str) -> bytes:
    """Return what the browser is to show; one cut short ends in "…"."""

    def told(body: str) -> bytes:
        shown = {"title": message.title, "body": body, "link": message.link, "tag": tag}
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()

    whole = told(message.body)
    if len(whole) <= MOST_BYTES:
        return whole
    lengths = range(1, len(message.body))
    fits = bisect_right(lengths, MOST_BYTES, key=lambda n: len(told(f"{message.body[:n]}…")))
    return told(f"{message.body[:fits]}…")


def _sealed(content: bytes, browser: Subscription) -> bytes:
    """Encrypt for one browser; the key is of this message alone."""
    sealed: bytes = http_ece.encrypt(
        content, private_key=generate_private_key(SECP256R1()), dh=browser.key,
        auth_secret=browser.secret, version="aes128gcm",
    )  # fmt: skip
    return sealed


def _kept_for(message: Message, now: datetime) -> timedelta:
    """Return for how long a message waits for a browser that is away."""
    if message.expires_at is None:
        return _USUALLY_KEPT
    return min(max(message.expires_at - now, timedelta(0)), _LONGEST_KEPT)


def _taken(status: int) -> Taken:
    if status in {201, 202}:
        return Taken()
    meant = Meant.UNKNOWN
    if status in _GONE:
        meant = Meant.ADDRESS_GONE
    elif status in _LATER or status >= 500:
        meant = Meant.LATER
    elif status >= 400:
        meant = Meant.NEVER
    raise refusal("the push service", meant, f"HTTP:{status}")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def from_settings(settings: Settings) -> Push | None:
    """Make the carrier; None until its settings are there.

    Raises:
        Invalid: the key or the subject cannot be used.
    """
    said = configured(settings, "push", ("private_key", "subject"), "services")
    if said is None:
        return None
    try:
        vapid: Any = Vapid02.from_string(said["private_key"])
        vapid.sign({"aud": "https://push.example", "sub": said["subject"]})
    except (ValueError, VapidException):
        raise Invalid(
            "CITYBILL_CARRIERS, push: private_key is a P-256 key in base64url, subject is mailto:…"
            " or https://…",
            code="carrier.half_configured",
        ) from None
    return Push(
        vapid, said["subject"], services=(*SERVICES, *said.get("services", "").split()),
        guarded=settings.environment is not Environment.TEST,
    )  # fmt: skip
