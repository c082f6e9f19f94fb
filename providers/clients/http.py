"""One question to a company over HTTP, and an answer of a sane size within a sane time.

A day's list of write-offs may be larger and take longer than any other answer.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import httpx

from core.errors import UpstreamUnavailable

TIMEOUT: Final = httpx.Timeout(5.0, connect=2.0)  # read, write and pool 5 s
_PATIENCE_SECONDS: Final = 10  # for a whole answer, however slowly it drips
ANSWER_LIMIT: Final = 64 * 1024
FILE_LIMIT: Final = 256 * 1024 * 1024  # a million rows are some 150 MB
_FILE_TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0)
_FILE_PATIENCE_SECONDS: Final = 600
_OPENED: Final = ("connection.connect_tcp.complete", "connection.start_tls.complete")
_A_MOMENT: Final = 0.001  # no time at all would mean not to wait, and fail otherwise
# The only failures that prove that no byte of the request was sent.
_NEVER_SENT: Final = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol,
)  # fmt: skip


class Answered(NamedTuple):
    """An answer that came whole; ``media_type`` is in lower case, without parameters."""

    status: int
    body: bytes
    media_type: str = ""


class Unanswered(NamedTuple):
    """The question went out and no whole answer came back: what became of it is not known."""

    reason: str
    company_down: bool


class Wire:
    """One company's address.

    Every question has a connection of its own: an answer that comes twice can then never be taken
    for the answer to the next question.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "User-Agent": "CityBill", "Accept-Encoding": "identity", "Connection": "close",
            **headers,
        }  # fmt: skip
        # Without a client around it, which costs as much again: no cookies, nothing to follow.
        self._transport = httpx.HTTPTransport(
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,  # the company's address is not for a proxy of ours to learn
        )

    def close(self) -> None:
        self._transport.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "",
    ) -> httpx.Request:
        """Return a question that may still be signed; ``path`` is percent-encoded already."""
        request = httpx.Request(
            method, f"{self._base_url}/{path.lstrip('/')}", params=query or None, content=body,
            headers=self._headers, extensions={"timeout": TIMEOUT.as_dict()},
        )  # fmt: skip
        if content_type:
            request.headers["Content-Type"] = content_type
        return request

    def ask(self, request: httpx.Request, *, for_file: bool = False) -> Answered | Unanswered:
        """Send a question once; ``for_file`` if the answer may be a whole list.

        Raises:
            UpstreamUnavailable: it was never sent.
        """
        patience_seconds, limit = _PATIENCE_SECONDS, ANSWER_LIMIT
        if for_file:
            patience_seconds, limit = _FILE_PATIENCE_SECONDS, FILE_LIMIT
            request.extensions["timeout"] = _FILE_TIMEOUT.as_dict()
        give_up_at = time.monotonic() + patience_seconds
        request.extensions["trace"] = _until(give_up_at)
        try:
            response = self._transport.handle_request(request)
            try:
                return _read(response, give_up_at, limit)
            finally:
                response.close()
        except _NEVER_SENT as wrong:
            raise UpstreamUnavailable(
                f"the company's system cannot be reached ({type(wrong).__name__}): try again later"
            ) from wrong
        except httpx.TimeoutException:
            return Unanswered("the company did not answer in time", company_down=True)
        except httpx.RequestError as wrong:
            return Unanswered(
                f"the company's answer broke off ({type(wrong).__name__})", company_down=True
            )


def _until(give_up_at: float) -> Callable[[str, Mapping[str, Any]], None]:
    """Return what has every read of a connection end in time, those of the headers too."""

    def note(event: str, facts: Mapping[str, Any]) -> None:
        if event in _OPENED:
            stream = facts["return_value"]
            read = stream.read

            def read_in_time(most: int, timeout: float) -> Any:
                left = max(_A_MOMENT, give_up_at - time.monotonic())
                return read(most, timeout=min(timeout, left))

            stream.read = read_in_time

    return note


def _read(response: httpx.Response, give_up_at: float, limit: int) -> Answered | Unanswered:
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > limit:
            return Unanswered("the company's answer is too long", company_down=False)
        if time.monotonic() > give_up_at:
            raise httpx.ReadTimeout("the answer drips")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Answered(response.status_code, bytes(body), media_type)
