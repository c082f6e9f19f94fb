"""The other side of a carrier that is asked over HTTP: a real server in a thread.

For a bench: ``with AliyunFar(delay_ms=3) as far: …``.
"""

import threading
import time
from abc import abstractmethod
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import pytest

from core.errors import Invalid, NotSignedIn
from notifications.channels.base import Carrier, Fate
from tests.notifications.channels.contract import Arrived, FarSide


class TakenAtItsWord:
    """The contract of a carrier that signs no receipt: who knows the address is believed.

    Mix it in before ``CarrierContract``. A time to wait for an answer is shortened where the far
    side never gives one.
    """

    @pytest.fixture(autouse=True)
    def _impatient(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        impatient(request, monkeypatch)

    def test_a_forged_receipt_is_nobodys(self, carrier: Carrier, far: FarSide) -> None:
        headers, body = far.receipt("a message", Fate.DELIVERED) or ({}, b"")
        assert carrier.read_receipts(headers, body)[0].ref == "a message"

        for forged in (
            ({}, body), (headers | {"x-citybill-token": "another"}, body), (headers, b""),
            (headers | {"x-citybill-token": ""}, body), (headers, b"\xff{"),
        ):  # fmt: skip
            with pytest.raises((NotSignedIn, Invalid)):
                carrier.read_receipts(*forged)


def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only a moment, in tests of a far side that hangs."""
    if (
        getattr(request.node, "callspec", None)
        and request.node.callspec.params.get("fault") == "hang"
    ):
        monkeypatch.setattr("notifications.channels.http._PATIENCE_SECONDS", 0.3)


class Asked(NamedTuple):
    """A request as it came; ``query`` is as it was written, names of headers in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class HttpFar(FarSide):
    """Faults every HTTP server has are here; what its answers say is a subclass's."""

    def __init__(self, *, delay_ms: int = 0) -> None:
        self.delay_ms = delay_ms
        self.asked: list[Asked] = []
        self.taken: list[Arrived] = []
        self.fault = ""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @abstractmethod
    def answer(self, asked: Asked) -> tuple[int, bytes]:
        """Take a message, or say why not; called one at a time."""

    @property
    def arrived(self) -> list[Arrived]:
        return self.taken

    def behave(self, fault: str) -> None:
        self.fault = fault
        if fault == "down":
            self.close()

    def close(self) -> None:
        if not self._closing.is_set():
            self._closing.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _heard(self, asked: Asked) -> tuple[int, bytes]:
        time.sleep(self.delay_ms / 1000)
        with self._lock:
            self.asked.append(asked)
            if self.fault == "garbage":
                return 200, b"<html>welcome</html>"
            return self.answer(asked)

    def _handler(far) -> type[BaseHTTPRequestHandler]:
        class Listener(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer, or the kernel waits for a second one
            timeout = 10

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if far.fault == "hang":
                    far._closing.wait(30)
                    self.close_connection = True
                    return
                path, _, query = self.path.partition("?")
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, said = far._heard(Asked(self.command, path, query, headers, body))
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Say nothing: the tests do."""

        return Listener
