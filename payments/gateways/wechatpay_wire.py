"""One signed question to WeChat Pay over HTTP, and an answer whose signature holds.

Source: docs/wire/wechatpay.md, "Signatures", "Errors" and "Certificates".
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from core import log
from core.errors import Invalid, UpstreamUnavailable
from payments.gateways import wechatpay_signing as signing
from payments.gateways.wechatpay_signing import Forged, Merchant, UnknownSerial

_TIMEOUT = httpx.Timeout(5, connect=2)
_PATIENCE_SECONDS = 10  # for a whole answer, however slowly it drips
_ANSWER_LIMIT = 1 << 20
_FILE_LIMIT = 512 << 20
_FILE_PATIENCE_SECONDS = 600
_REFRESH_PAUSE = timedelta(seconds=60)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_log = log.logger(__name__)


class Answer(NamedTuple):
    """What the platform said, its signature checked."""

    status: int
    told: dict[str, Any]

    @property
    def code(self) -> str:
        """Its word for what went wrong; empty where nothing did."""
        return str(self.told.get("code", "")) if self.status >= httpx.codes.BAD_REQUEST else ""

    @property
    def reason(self) -> str:
        return f"{self.code}: {self.told.get('message', '')}"[:200]


class Wire:
    """The platform's address, and its keys.

    An answer with a serial we do not know sends us for the platform's certificates, at most once
    a minute. A callback never does: it only has them fetched after the next question of our own.
    """

    def __init__(
        self,
        base_url: str,
        merchant: Merchant,
        api_v3_key: bytes,
        keys: Mapping[str, RSAPublicKey],
        clock: Callable[[], datetime],
    ) -> None:
        self.merchant = merchant
        self._base_url = base_url.rstrip("/")
        self._api_v3_key, self._clock = api_v3_key, clock
        self._given = dict(keys)  # the public key, which no certificate replaces
        self._keys = dict(keys)
        self._lock = Lock()
        self._refreshed_at: datetime | None = None
        self._wants_certificates = not keys
        self._http = httpx.Client(timeout=_TIMEOUT, trust_env=False, follow_redirects=False)

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer | None:
        """Ask once; None when no answer came that can be believed: it may have acted.

        Raises:
            UpstreamUnavailable: nothing was done: it was never sent, or there were too many.
        """
        answer = self._ask(method, path, body)
        if self._wants_certificates:
            self._refresh_certificates()
        if answer is not None and answer.status == httpx.codes.TOO_MANY_REQUESTS:
            raise UpstreamUnavailable("WeChat Pay was asked too often: try again later")
        return answer

    def check_callback(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
        """Check a callback with the keys we have. Raises Forged."""
        try:
            signing.check(self._keys, headers, body, now=now)
        except UnknownSerial:
            self._wants_certificates = True
            raise

    def open(self, resource: object) -> bytes:
        """Return what the platform encrypted. Raises Invalid."""
        return signing.open_resource(self._api_v3_key, resource)

    def download(self, url: str) -> bytes | None:
        """Fetch a bill file; None when it did not come whole. The answer is unsigned.

        Raises:
            UpstreamUnavailable: it could not be asked.
        """
        if not self._is_theirs(url):
            _log.error("wechatpay_file_elsewhere", host=urlsplit(url).hostname)
            return None
        came = self._send(
            self._request("GET", url, b""), limit=_FILE_LIMIT, seconds=_FILE_PATIENCE_SECONDS
        )
        return came[1] if came is not None and came[0].status_code == httpx.codes.OK else None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer | None:
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        came = self._send(self._request(method, self._base_url + path, content))
        if came is None:
            return None
        response, got = came
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # Unsigned, and our own fault: nothing about an order follows from it.
            _log.error("wechatpay_refuses_our_signature", path=path.partition("?")[0])
            return None
        if response.is_server_error or not self._is_signed(response.headers, got):
            return None
        try:
            told = json.loads(got) if got else {}
        except (ValueError, RecursionError):
            return None
        return Answer(response.status_code, told) if isinstance(told, dict) else None

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        now = self._clock()
        try:
            try:
                signing.check(self._keys, headers, body, now=now)
            except UnknownSerial:
                self._refresh_certificates()
                signing.check(self._keys, headers, body, now=now)
        except Forged as wrong:
            _log.error("wechatpay_answer_not_believed", reason=str(wrong))
            return False
        return True

    def _refresh_certificates(self) -> None:
        """Fetch the platform's certificates and put them in the place of those we had."""
        now = self._clock()
        with self._lock:
            if self._refreshed_at is not None and now - self._refreshed_at < _REFRESH_PAUSE:
                return
            self._refreshed_at = now
        try:
            came = self._send(self._request("GET", f"{self._base_url}/v3/certificates", b""))
        except UpstreamUnavailable:
            return
        if came is None or came[0].status_code != httpx.codes.OK:
            return
        response, body = came
        try:
            keys = self._given | self._certificates(body, now=now)
            # The answer may be signed with one of the keys in it: only the platform and we can
            # have encrypted those.
            signing.check(self._keys | keys, response.headers, body, now=now)
        except (Forged, Invalid) as wrong:
            _log.error("wechatpay_certificates_refused", reason=str(wrong))
            return
        self._keys, self._wants_certificates = keys, False

    def _certificates(self, body: bytes, *, now: datetime) -> dict[str, RSAPublicKey]:
        try:
            sealed = {str(one["serial_no"]): one for one in json.loads(body)["data"]}
        except (ValueError, KeyError, TypeError, RecursionError) as wrong:
            raise Invalid("the list of the platform's certificates is malformed") from wrong
        keys = {}
        for serial_no, one in sealed.items():
            pem = self.open(one.get("encrypt_certificate"))
            key = signing.read_certificate(serial_no, pem, now=now)
            if key is not None:
                keys[serial_no] = key
        return keys

    def _request(self, method: str, url: str, content: bytes) -> httpx.Request:
        request = self._http.build_request(method, url, content=content)
        request.headers["Accept"] = "application/json"
        request.headers["Accept-Encoding"] = "identity"
        request.headers["User-Agent"] = "CityBill"
        request.headers["Content-Type"] = "application/json"
        for serial_no in self._given:  # the key we ask to be answered with
            request.headers["Wechatpay-Serial"] = serial_no
        request.headers["Authorization"] = self.merchant.authorization(
            method, request.url.raw_path, content, now=self._clock()
        )
        return request

    def _send(
        self,
        request: httpx.Request,
        *,
        limit: int = _ANSWER_LIMIT,
        seconds: int = _PATIENCE_SECONDS,
    ) -> tuple[httpx.Response, bytes] | None:
        """Send a request; None when no whole answer of a sane size came in a sane time."""
        give_up_at = time.monotonic() + seconds
        body = bytearray()
        try:
            response = self._http.send(request, stream=True)
            try:
                for part in response.iter_raw():
                    body += part
                    if len(body) > limit or time.monotonic() > give_up_at:
                        return None
            finally:
                response.close()
        except _NEVER_SENT as down:
            raise UpstreamUnavailable("WeChat Pay cannot be reached") from down
        except httpx.HTTPError:
            return None
        return response, bytes(body)

    def _is_theirs(self, url: str) -> bool:
        """Tell whether our signature may be shown to that address."""
        there, here = urlsplit(url), urlsplit(self._base_url)
        if (there.scheme, there.netloc) == (here.scheme, here.netloc):
            return True
        return there.scheme == "https" and (there.hostname or "").endswith(".mch.weixin.qq.com")
