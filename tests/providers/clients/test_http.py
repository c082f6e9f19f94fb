"""What a company's answer may take, however it comes."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from core.clock import utc_now
from core.errors import UpstreamUnavailable
from providers.clients import http
from providers.clients.declared import speaks_citybill


@contextmanager
def dripping(*pieces: bytes, pause: float):
    """A company's system that answers one question, piece by piece."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause)
            except OSError:
                return  # nobody listens any more

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join()
        listener.close()


HEADERS = [b"HTTP/1.1 200 OK\r\n", *(b"X-%d: y\r\n" % at for at in range(40))]


@pytest.mark.parametrize(
    "pieces",
    [
        [*HEADERS, b"Content-Length: 2\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n", *[b"{"] * 40],
    ],
    ids=["headers", "body"],
)
def test_an_answer_that_drips_is_not_waited_for(pieces, monkeypatch):
    monkeypatch.setattr(http, "_PATIENCE_SECONDS", 1)
    with dripping(*pieces, pause=0.1) as url:
        client, began = speaks_citybill(url, "secret", utc_now), time.monotonic()
        with pytest.raises(UpstreamUnavailable, match="in time"):
            client.fetch("1")
        took = time.monotonic() - began
        client.close()

    assert took < 3
