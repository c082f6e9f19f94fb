"""Webhooks to partners: a signed POST, sent until it was answered.

A partner is known by its code, which is the address of a notice; its URL and its secrets stand in
the settings, so that no secret lies in a notice's row. Any answer but 2xx is tried again, as the
specification has it; 410 says that nobody listens any more. The id is the same however often it
is sent, and partners take an id once: so a timeout is "not now".

Source: Standard Webhooks 1.0.0 (standardwebhooks.com).
"""

import base64
import binascii
import json
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import NamedTuple

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook as SharedSecret

from core.clock import utc_now
from core.errors import Invalid, Upstream, UpstreamUnavailable
from core.settings import Environment, Settings
from notifications.channels.base import AddressGone, Message, Silent, Taken, WithoutReceipts
from notifications.channels.http import Http

_UNICAST = IPv6Network("2000::/3")

# What signs with one of a partner's secrets: the id, the moment of sending, the body.
Sign = Callable[[str, datetime, str], str]


class Partner(NamedTuple):
    """Where a partner listens, and what it knows us by: the old secret too, while it changes."""

    url: httpx.URL
    signs: tuple[Sign, ...]


class Webhook(WithoutReceipts):
    code = channel = "webhook"
    repeats_safely = True

    def __init__(self, partners: Mapping[str, Partner], *, guarded: bool = True) -> None:
        """Remember the partners; ``guarded``: those inside our own network are never asked."""
        self._partners, self._guarded = partners, guarded
        self._http = Http("the partner")

    def send(self, message: Message) -> Taken:
        partner = self._partners.get(message.address)
        if partner is None:
            raise Upstream("no partner is registered under this code")
        body, at = _body(message), utc_now()
        status = self._post(
            partner.url,
            body.encode(),
            {
                "webhook-id": message.message_id,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": " ".join(
                    sign(message.message_id, at, body) for sign in partner.signs
                ),
            },
        )
        if 200 <= status < 300:
            return Taken(delivered=True)
        if status == httpx.codes.GONE:
            raise AddressGone("the partner no longer listens")
        raise UpstreamUnavailable(f"the partner answered {status}")

    def _post(self, url: httpx.URL, body: bytes, signed: Mapping[str, str]) -> int:
        """Return the status; only the address that was looked at is spoken to, under its name.

        No connection is kept: another partner's host may have the same address.
        """
        address = _address_of(url, guarded=self._guarded)
        named = {
            "Host": url.netloc.decode(), "Content-Type": "application/json", "Connection": "close",
        }  # fmt: skip
        question = self._http.question(
            "POST", str(url.copy_with(host=address)), body=body, headers=named | dict(signed)
        )
        question.extensions["sni_hostname"] = url.raw_host.decode()
        try:
            return self._http.ask(question).status
        except Silent as unheard:
            raise UpstreamUnavailable("the partner did not answer") from unheard


def _address_of(url: httpx.URL, *, guarded: bool) -> str:
    """Look a host up once; none of its addresses may be of a network that is not everybody's."""
    try:
        found = socket.getaddrinfo(url.raw_host, url.port or 443, type=socket.SOCK_STREAM)
    except OSError as unknown:
        raise UpstreamUnavailable("the partner's host is not known now") from unknown
    addresses = [str(where[0]) for *_, where in found]
    if guarded and not all(map(_is_public, addresses)):
        raise Upstream("the partner's host is inside a private network")
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast
    # Among the rest are those that carry an IPv4 address inside.
    return ip in _UNICAST and ip.is_global and ip.sixtofour is None


def _body(message: Message) -> str:
    """Return the payload: what kind of news, of when, and the same members of each kind."""
    template = message.template
    payload = {
        "type": template.id if template else "notice.created",
        "timestamp": (message.created_at or utc_now()).isoformat(),
        "data": {
            "title": message.title,
            "body": message.body,
            "link": message.link,
            "locale": message.locale,
            "values": dict(template.values) if template else {},
        },
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def from_settings(settings: Settings) -> Webhook | None:
    """Make the carrier; None where there is no partner.

    Raises:
        Invalid: a partner's URL is no https address, or a secret cannot be read.
    """
    guarded = settings.environment is not Environment.TEST
    partners = {
        code: _partner(code, value.get_secret_value(), guarded=guarded)
        for code, value in settings.carriers.get("webhook", {}).items()
    }
    return Webhook(partners, guarded=guarded) if partners else None


def _partner(code: str, said: str, *, guarded: bool) -> Partner:
    try:
        address, *secrets = said.split()
        url = httpx.URL(address)
        signs = tuple(map(_sign_with, secrets))
    except (httpx.InvalidURL, ValueError) as wrong:
        raise Invalid(f"the URL or a secret of the partner {code} cannot be read") from wrong
    if not signs or not url.host or url.scheme not in ({"https"} if guarded else {"https", "http"}):
        raise Invalid(f"the partner {code} needs an https address and at least one secret after it")
    return Partner(url, signs)


def _sign_with(secret: str) -> Sign:
    """Read a secret: ``whsec_`` is one we share, ``whsk_`` a key whose other half they have."""
    kind, _, encoded = secret.partition("_")
    raw = base64.b64decode(encoded, validate=True)
    if kind == "whsec" and 24 <= len(raw) <= 64:
        return SharedSecret(raw).sign
    if kind == "whsk" and len(raw) in {32, 64}:  # 64: its public half stands behind it
        return partial(_sign_alone, Ed25519PrivateKey.from_private_bytes(raw[:32]))
    raise binascii.Error("no secret of this kind")


def _sign_alone(key: Ed25519PrivateKey, message_id: str, at: datetime, body: str) -> str:
    signature = key.sign(f"{message_id}.{int(at.timestamp())}.{body}".encode())
    return f"v1a,{base64.b64encode(signature).decode()}"
