"""A push service and a browser, written from the RFCs with code of their own.

The service (RFC 8030) lets nobody by who does not sign as RFC 8292 has it, and keeps one message of
each topic while the browser is away. The browser decrypts by RFC 8291 and RFC 8188, and shows one
notification of each tag.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.notifications.channels.contract import Arrived
from tests.notifications.channels.http_far import Asked, HttpFar

TOKEN = re.compile(r"vapid t=([^,\s]+),\s*k=([^,\s]+)")
TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
MOST_BYTES = 4096
DAY_SECONDS = 86_400


class Refused(Exception):
    """An answer that is no yes."""

    def __init__(self, status: int) -> None:
        self.status = status


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF with one round, as both RFCs spell it out."""
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()[:length]


@dataclass
class FarBrowser:
    """A browser that has subscribed: its own key, and the secret it shares with the sender."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    secret: bytes = b"0123456789abcdef"
    shown: dict[str, dict[str, str]] = field(default_factory=dict)  # by its tag

    def subscription(self, endpoint: str) -> str:
        keys = {"auth": b64(self.secret), "p256dh": b64(point(self.key))}
        return json.dumps({"endpoint": endpoint, "keys": keys}, separators=(",", ":"))

    def show(self, body: bytes) -> None:
        news = json.loads(self.decrypt(body))
        self.shown[news["tag"]] = news

    def decrypt(self, body: bytes) -> bytes:
        salt, size = body[:16], int.from_bytes(body[16:20], "big")
        theirs, sealed = body[21 : 21 + body[20]], body[21 + body[20] :]
        assert len(sealed) <= size, "RFC 8291: one record"
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
        about = b"WebPush: info\x00" + point(self.key) + theirs
        shared = derived(self.secret, self.key.exchange(ec.ECDH(), sender), about, 32)
        key = derived(salt, shared, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = derived(salt, shared, b"Content-Encoding: nonce\x00", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None)
        content, last, padding = padded.rpartition(b"\x02")
        assert last, "RFC 8188: the last record ends in 2"
        assert not padding.strip(b"\x00")
        return content


class PushFar(HttpFar):
    """A push service with one browser, which is away until it ``comes_back``."""

    def __init__(self, sender: str = "", *, delay_ms: int = 0) -> None:
        """``sender``: the key the browser has subscribed with; empty: anybody's."""
        super().__init__(delay_ms=delay_ms)
        self.sender = sender
        self.browser = FarBrowser()
        self.address = self.browser.subscription(f"{self.url}/push/7f3a")
        self.waiting: dict[str, tuple[float, bytes]] = {}  # by topic: until when, what
        self.status = 0  # said instead of 201, if it is not 0
        self.clock = time.time

    @property
    def arrived(self) -> list[Arrived]:
        self.come_back()
        return [
            Arrived(self.address, f"{news['title']}\n{news['body']}")
            for news in self.browser.shown.values()
        ]

    def come_back(self) -> None:
        for until, body in self.waiting.values():
            if until > self.clock():
                self.browser.show(body)
        self.waiting.clear()

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        if self.fault in {"busy", "refuse"}:
            return {"busy": 429, "refuse": 400}[self.fault], b""
        try:
            self.take(asked)
        except Refused as refused:
            return refused.status, self.address.encode()
        return self.status or 201, b""

    def take(self, asked: Asked) -> None:
        self.verify(asked.headers.get("authorization", ""))
        ttl, topic = asked.headers.get("ttl", ""), asked.headers.get("topic", "")
        if asked.path != "/push/7f3a":
            raise Refused(404)
        if len(asked.body) > MOST_BYTES:
            raise Refused(413)
        if not ttl.isdecimal() or not TOPIC.fullmatch(topic):
            raise Refused(400)
        if asked.headers.get("content-encoding") != "aes128gcm":
            raise Refused(415)
        if asked.headers.get("urgency") not in {"very-low", "low", "normal", "high"}:
            raise Refused(400)
        if self.status < 400:
            self.waiting[topic] = self.clock() + int(ttl), asked.body

    def verify(self, authorization: str) -> None:
        found = TOKEN.fullmatch(authorization)
        if not found:
            raise Refused(401)
        token, key = found.groups()
        head, claims, signature = token.split(".")
        told = json.loads(unb64(claims))
        numbers = [int.from_bytes(half, "big") for half in halves(unb64(signature))]
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(key))
        try:
            public.verify(
                encode_dss_signature(*numbers), f"{head}.{claims}".encode(), ec.ECDSA(SHA256())
            )
        except InvalidSignature:
            raise Refused(401) from None
        if not self.is_for_us(json.loads(unb64(head)), told):
            raise Refused(401)
        if self.sender and key != self.sender:
            raise Refused(403)

    def is_for_us(self, head: dict[str, Any], told: dict[str, Any]) -> bool:
        return (
            head["alg"] == "ES256"
            and told["aud"] == self.url
            and 0 < told["exp"] - self.clock() <= DAY_SECONDS
            and told["sub"].startswith(("mailto:", "https:"))
        )


def halves(signature: bytes) -> tuple[bytes, bytes]:
    assert len(signature) == 64
    return signature[:32], signature[32:]
