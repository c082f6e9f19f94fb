"""Requests and webhooks that companies sign with a secret we share: docs/company-api.md.

A signature covers the time, a nonce, the method, the address and the SHA-256 of the body, so a
request cannot be changed, kept for later or sent twice.
"""

import base64
import binascii
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core import crypto
from core.db import count_changed
from core.errors import NotSignedIn
from identity.keys import live_secrets
from identity.models import CompanyKey, Holder

WINDOW = timedelta(seconds=300)  # how far a sender's clock may be off
_NOTE_USE_EVERY = timedelta(minutes=1)
_SECONDS = re.compile(r"[0-9]{1,11}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,128}")
_HEX = re.compile(r"[0-9a-f]{64}")


class Signed(NamedTuple):
    """What a request says of its signature, in its own words; blank where a header is missing."""

    key_id: str  # X-CityBill-Key
    time: str  # X-CityBill-Time, unix seconds
    nonce: str  # X-CityBill-Nonce
    signature: str  # X-CityBill-Signature, hex


class Announcement(NamedTuple):
    """The three headers of Standard Webhooks."""

    id: str  # webhook-id
    timestamp: str  # webhook-timestamp, unix seconds
    signature: str  # webhook-signature: "v1,…", several apart by a blank


def text_to_sign(signed: Signed, *, method: str, target: str, body_sha256: str) -> str:
    """Return what a request's signature is over: five lines, the last without an end.

    Args:
        target: the path with its query, as it stands in the request line.
        body_sha256: lower-case hex; of no body, the hash of nothing.
    """
    return "\n".join((signed.time, signed.nonce, method, target, body_sha256))


def check_request(
    session: Session,
    signed: Signed,
    *,
    method: str,
    target: str,
    body_sha256: str,
    secret_key: str,
    now: datetime,
    holder: Holder = Holder.COMPANY,
) -> str:
    """Make sure a request is its company's own, fresh and the first of its kind; returns whose.

    An agent's key opens nothing of companies, nor a company's of agents. Once it is, its nonce is
    used up, so the caller's transaction must commit.

    Raises:
        NotSignedIn: the code and the words say which of these does not hold.
    """
    _check_headers(signed)
    sent_at = _check_clock(signed.time, now=now, code="request.clock")
    key = session.get(CompanyKey, signed.key_id)
    if key is None or key.holder is not holder:
        raise NotSignedIn(
            "there is no key of this id: send X-CityBill-Key as it was issued, without the secret",
            code="request.key_unknown",
        )
    if key.revoked_at is not None:
        raise NotSignedIn(
            "this key was revoked: sign with the company's other key, or issue a new one",
            code="request.key_revoked",
        )
    message = text_to_sign(signed, method=method, target=target, body_sha256=body_sha256)
    secret = crypto.unseal(secret_key, key.secret_sealed, about=key.id)
    if not crypto.verify(secret, message.encode(), signed.signature):
        raise NotSignedIn(
            "the signature does not fit: compare `signed`, the text it should be over, with yours;"
            " if they are the same, the secret is another key's",
            code="request.signature_wrong", signed=message,
        )  # fmt: skip
    _use_nonce(session, signed, expires_at=sent_at + WINDOW + timedelta(seconds=1))
    if key.last_used_at is None or key.last_used_at < now - _NOTE_USE_EVERY:
        key.last_used_at = now
    return key.provider_code


def _check_headers(signed: Signed) -> None:
    missing = [
        name
        for name, value in (
            ("X-CityBill-Key", signed.key_id),
            ("X-CityBill-Time", signed.time),
            ("X-CityBill-Nonce", signed.nonce),
            ("X-CityBill-Signature", signed.signature),
        )
        if not value
    ]
    if missing:
        raise NotSignedIn(
            f"a signed request needs {' and '.join(missing)} as well", code="request.header_missing"
        )
    if _NONCE.fullmatch(signed.nonce) is None:
        raise NotSignedIn(
            "X-CityBill-Nonce is 16 to 128 of A-Z a-z 0-9 _ -, another for each request",
            code="request.nonce_malformed",
        )
    if _HEX.fullmatch(signed.signature) is None:
        raise NotSignedIn(
            "X-CityBill-Signature is 64 characters of lower-case hex",
            code="request.signature_wrong",
        )


def _check_clock(seconds: str, *, now: datetime, code: str) -> datetime:
    """Return the sender's moment; it must be near ours."""
    if _SECONDS.fullmatch(seconds) is None:
        raise NotSignedIn("the time is unix seconds in plain digits, as 1795164000", code=code)
    ahead = int(seconds) - int(now.timestamp())
    if abs(ahead) > WINDOW.total_seconds():
        side = "ahead of" if ahead > 0 else "behind"
        raise NotSignedIn(
            f"the request's time is {abs(ahead)} seconds {side} our clock, and at most"
            f" {int(WINDOW.total_seconds())} are taken: set the clock, and sign when you send",
            code=code, our_time=int(now.timestamp()),
        )  # fmt: skip
    return datetime.fromtimestamp(int(seconds), UTC)


_USE = text("""
    INSERT INTO used_nonce (key_id, nonce, expires_at) VALUES (:key_id, :nonce, :expires_at)
    ON CONFLICT (key_id, nonce) DO NOTHING
""")


def _use_nonce(session: Session, signed: Signed, *, expires_at: datetime) -> None:
    used = session.execute(
        _USE, {"key_id": signed.key_id, "nonce": signed.nonce, "expires_at": expires_at}
    )
    if not count_changed(used):
        raise NotSignedIn(
            "a request with this nonce came before: make a new nonce for each request, and ask"
            " what became of the first one",
            code="request.replayed",
        )


def check_webhook(
    session: Session,
    provider_code: str,
    headers: Announcement,
    body: bytes,
    *,
    secret_key: str,
    now: datetime,
) -> None:
    """Make sure a webhook is the company's own and fresh, by the rules of Standard Webhooks.

    One that comes again passes: it is told apart by its id.

    Raises:
        NotSignedIn: it is not; the code says why.
    """
    if not all(headers):
        raise NotSignedIn(
            "a webhook needs the headers webhook-id, webhook-timestamp and webhook-signature",
            code="webhook.header_missing",
        )
    _check_clock(headers.timestamp, now=now, code="webhook.clock")
    message = f"{headers.id}.{headers.timestamp}.".encode() + body
    given = [one.removeprefix("v1,").encode() for one in headers.signature.split(" ")]
    right = [_webhook_signature(one, message) for one in live_secrets(
        session, provider_code, secret_key=secret_key
    )]  # fmt: skip
    if not any(hmac.compare_digest(ours, theirs) for ours in right for theirs in given):
        raise NotSignedIn(
            "the signature fits none of the company's keys: sign `id.timestamp.body` with the"
            " Base64-decoded secret, and send it as v1,…",
            code="webhook.forged",
        )


def _webhook_signature(secret: str, message: bytes) -> bytes:
    made = hmac.new(base64.b64decode(secret), message, hashlib.sha256).digest()
    return base64.b64encode(made)


def digest_header(value: str) -> str | None:
    """Return the hex SHA-256 that a ``Content-Digest`` header (RFC 9530) states, or None.

    Raises:
        NotSignedIn: it states one that is none.
    """
    for stated in value.split(","):
        name, _, rest = stated.strip().partition("=")
        if name.lower() != "sha-256":
            continue
        try:
            digest = base64.b64decode(
                rest.strip().removeprefix(":").removesuffix(":"), validate=True
            )
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != 32:
            raise NotSignedIn(
                "Content-Digest is sha-256=:…: with the Base64 of the body's SHA-256 between the"
                " colons",
                code="request.digest_malformed",
            )
        return digest.hex()
    return None
