"""Asking a carrier: what a broken, long or slow answer is, and that messages share a connection."""

import socket
import threading
import time

import pytest

from core.errors import UpstreamUnavailable
from notifications.channels.base import Silent
from notifications.channels.http import Http
from tests.notifications.channels.http_far import Asked, HttpFar


class Echo(HttpFar):
    says = b"{}"

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        return 200, self.says


@pytest.fixture
def far():
    with Echo() as far:
        yield far


@pytest.fixture
def http():
    http = Http("the carrier")
    yield http
    http.close()


@pytest.fixture
def dripping():
    """A server that says one octet after the other, for as long as anybody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(65536)
                try:
                    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
                    for _ in range(5000):
                        caller.sendall(b" ")
                        time.sleep(0.01)
                except OSError:
                    return  # nobody listens any more

        thread = threading.Thread(target=drip)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_an_answer_comes_whole(http, far):
    assert http.ask(http.question("POST", far.url, body=b"x")) == (200, b"{}")


def test_messages_share_a_connection(http, far):
    connections = []
    accept = far._server.get_request
    far._server.get_request = lambda: connections.append(1) or accept()

    for _ in range(3):
        http.ask(http.question("POST", far.url))

    assert len(connections) == 1


def test_an_endless_answer_is_not_read(http, far):
    far.says = b" " * 70_000

    with pytest.raises(Silent, match="greater length"):
        http.ask(http.question("POST", far.url))


def test_a_dripping_answer_is_not_waited_for(monkeypatch, dripping):
    monkeypatch.setattr("notifications.channels.http._PATIENCE_SECONDS", 0.3)
    http, started = Http("the carrier"), time.monotonic()

    with pytest.raises(Silent, match="too slowly"):
        http.ask(http.question("POST", dripping))

    http.close()
    assert time.monotonic() - started < 5


def test_nobody_there_is_not_asked(http, far):
    far.close()

    with pytest.raises(UpstreamUnavailable, match="the carrier cannot be reached"):
        http.ask(http.question("POST", far.url))
