"""A company's system that signs, written from docs/company-api.md and not from our code."""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any, NamedTuple

from fastapi import FastAPI

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from identity.keys import issue_signing_key
from tests.web.conftest import a_browser


class Signer(NamedTuple):
    """A company's system with a signing key."""

    app: FastAPI
    key_id: str
    secret: str

    def headers(
        self, method: str, target: str, body: bytes = b"", *, ago: int = 0, nonce: str = ""
    ) -> dict[str, str]:
        sent = str(int(time.time()) - ago)
        nonce = nonce or secrets.token_hex(12)
        text = "\n".join([sent, nonce, method, target, hashlib.sha256(body).hexdigest()])
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return {
            "X-CityBill-Key": self.key_id,
            "X-CityBill-Time": sent,
            "X-CityBill-Nonce": nonce,
            "X-CityBill-Signature": signature,
        }

    def send(
        self, method: str, target: str, body: bytes = b"", *, extra: Any = None, **how: Any
    ) -> Any:
        headers = self.headers(method, target, body, **how) | (extra or {})
        return a_browser(self.app).request(method, target, content=body, headers=headers)

    def announce(
        self, code: str, webhook_id: str, body: bytes, *, ago: int = 0, signature: str = ""
    ) -> Any:
        sent = str(int(time.time()) - ago)
        made = hmac.new(
            base64.b64decode(self.secret), f"{webhook_id}.{sent}.".encode() + body, hashlib.sha256
        ).digest()
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": sent,
            "webhook-signature": signature or "v1," + base64.b64encode(made).decode(),
        }
        return a_browser(self.app).post(
            f"/api/v1/webhooks/providers/{code}", content=body, headers=headers
        )


def a_signer(app: FastAPI, code: str = "water") -> Signer:
    with transaction() as session:
        issued = issue_signing_key(
            session, code, issued_by="a test", now=utc_now(),
            secret_key=settings().secret_key.get_secret_value(),
        )  # fmt: skip
    return Signer(app, issued.id, issued.secret)


def content_digest(body: bytes) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return {"Content-Digest": f"sha-256=:{digest}:"}
