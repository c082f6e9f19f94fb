"""Asking Alipay: one signed call, and what its answer is worth.

Source: docs/wire/alipay.md, "A request" and "An answer".
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode

import httpx

from core.clock import BILLING_ZONE
from core.errors import UpstreamUnavailable
from payments.gateways.alipay_signing import Keys

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_MAX_FILE_BYTES = 128 << 20
_FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


class Told(NamedTuple):
    """A verified answer. ``code`` is 10000 when it was done; ``sub_code`` says why it was not."""

    code: str
    sub_code: str
    facts: Mapping[str, object]

    @property
    def done(self) -> bool:
        return self.code == "10000"

    def text(self, name: str) -> str:
        """Return a member as text; empty where there is none."""
        value = self.facts.get(name)
        return value if isinstance(value, str) else ""


class Line:
    """One application at Alipay. ``url`` is its gateway; ``clock`` dates what is signed."""

    def __init__(self, url: str, app_id: str, keys: Keys, *, clock: Callable[[], datetime]) -> None:
        self._url, self._app_id, self._keys, self._clock = url, app_id, keys, clock
        # Some libraries' own User-Agent gets an error page in place of a bill.
        self._http = httpx.Client(
            timeout=httpx.Timeout(5, connect=2), trust_env=False, headers={"user-agent": "CityBill"}
        )

    def signed(self, method: str, biz: Mapping[str, object], **more: str) -> dict[str, str]:
        """Return a request's parameters with their signature."""
        params = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": beijing_text(self._clock()),
            "version": "1.0",
            "app_cert_sn": self._keys.app_cert_sn,
            "alipay_root_cert_sn": self._keys.root_cert_sn,
            "biz_content": json.dumps(biz, ensure_ascii=False, separators=(",", ":")),
            **more,
        }
        kept = {name: value for name, value in params.items() if value}
        return kept | {"sign": self._keys.sign(kept)}

    def address(self, method: str, biz: Mapping[str, object], **more: str) -> str:
        """Return where a payer's browser asks for this itself."""
        return f"{self._url}?{urlencode(self.signed(method, biz, **more))}"

    def call(self, method: str, biz: Mapping[str, object], **more: str) -> Told | None:
        """Ask, and return the answer; None when Alipay may have acted and we do not know.

        Raises:
            UpstreamUnavailable: the request never left us.
        """
        params = self.signed(method, biz, **more)
        # The gateway reads the charset in the query, before it can read the body.
        body = urlencode({"biz_content": params.pop("biz_content")})
        try:
            answer = self._http.post(self._url, params=params, content=body, headers=_FORM)
        except _NEVER_LEFT as down:
            raise UpstreamUnavailable("Alipay cannot be reached") from down
        except httpx.HTTPError:
            return None
        if answer.status_code != httpx.codes.OK:
            return None
        try:
            text = answer.content.decode()
        except UnicodeDecodeError:
            return None
        facts = self._keys.answered(text, f"{method.replace('.', '_')}_response")
        if facts is None:
            return None
        told = Told("", "", facts)
        return Told(told.text("code"), told.text("sub_code"), facts)

    def download(self, url: str) -> bytes | None:
        """Fetch a file that Alipay named; None when it did not come whole.

        Raises:
            UpstreamUnavailable: the request never left us.
        """
        content = bytearray()
        try:
            with self._http.stream("GET", url) as answer:
                if answer.status_code != httpx.codes.OK:
                    return None
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _MAX_FILE_BYTES:
                        return None
        except _NEVER_LEFT as down:
            raise UpstreamUnavailable("Alipay's bills cannot be reached") from down
        except (httpx.HTTPError, httpx.InvalidURL):
            return None
        return bytes(content)

    def hang_up(self) -> None:
        """Let go of open connections."""
        self._http.close()


def beijing_text(moment: datetime) -> str:
    """Render a moment as Alipay writes it: ``2026-11-20 12:00:03``, Beijing's."""
    return moment.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def read_beijing(text: str) -> datetime:
    """Read a moment of Alipay's; ValueError for anything else."""
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  its zone is known
    return moment.replace(tzinfo=BILLING_ZONE).astimezone(UTC)
