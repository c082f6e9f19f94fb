"""One question to a carrier over HTTP: a whole answer soon, or nobody knows what became of it."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import httpx

from core.errors import UpstreamUnavailable
from notifications.channels.base import Silent

_SEND_SECONDS: Final = 2  # to connect, and to write
_PATIENCE_SECONDS: Final = 5  # for the first byte; and for the last, but for one more wait
_ANSWER_LIMIT: Final = 64 * 1024
# Many messages share a connection, but not for long: one that the far side is about to close takes
# a message down with it, and then nobody knows whether that was taken.
_KEPT_SECONDS: Final = 2
# The only failures that prove that no byte of the question was sent.
_NEVER_SENT: Final = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol,
)  # fmt: skip


class Said(NamedTuple):
    """An answer that came whole."""

    status: int
    body: bytes


class Http:
    """A carrier's system; any number of threads may ask at once."""

    def __init__(self, carrier: str) -> None:
        self._carrier = carrier
        self._client = httpx.Client(
            timeout=httpx.Timeout(_SEND_SECONDS, read=_PATIENCE_SECONDS),
            limits=httpx.Limits(keepalive_expiry=_KEPT_SECONDS),
            follow_redirects=False,
            trust_env=False,  # what residents are told is not for a proxy to learn
            headers={"Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        self._client.close()

    def question(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """Return a question that may still be signed; a query in ``url`` stays as it is written."""
        address = httpx.URL(url).copy_merge_params(query) if query else url
        return self._client.build_request(method, address, content=body, headers=headers)

    def ask(self, question: httpx.Request) -> Said:
        """Ask once.

        Raises:
            UpstreamUnavailable: it was never sent.
            Silent: it was, and no whole answer came.
        """
        give_up_at = time.monotonic() + _PATIENCE_SECONDS
        try:
            answer = self._client.send(question, stream=True)
            try:
                return Said(answer.status_code, self._read(answer, give_up_at))
            finally:
                answer.close()
        except _NEVER_SENT as away:
            raise UpstreamUnavailable(
                f"{self._carrier} cannot be reached ({type(away).__name__})"
            ) from away
        except httpx.RequestError as broken:
            raise Silent(f"{self._carrier} gave no answer ({type(broken).__name__})") from broken

    def _read(self, answer: httpx.Response, give_up_at: float) -> bytes:
        body = bytearray()
        for part in answer.iter_raw():
            body += part
            if len(body) > _ANSWER_LIMIT:
                raise Silent(f"{self._carrier} answers at greater length than any answer has")
            if time.monotonic() > give_up_at:
                raise Silent(f"{self._carrier} answers too slowly")
        return bytes(body)
