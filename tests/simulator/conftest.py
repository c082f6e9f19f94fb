"""A real simulator on a real port, a shop that listens, and signatures made anew from the notes."""

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn

from payments.gateways.base import CallbackAnswer, Gateway
from simulator.app import Options, build_app
from simulator.utility import UtilityOptions, build_utility

SECRET = "agreed-for-these-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], within_seconds: int = 5) -> None:
    """Wait for something another thread brings about."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


def hmac_hex(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass
class Simulator:
    """What a party would hold: the address and its secret."""

    client: httpx.Client
    smtp_port: int
    data_dir: Path
    secret: str = SECRET

    def sandbox(
        self, method: str, path: str, body: Any = None, *, at: int | None = None, **kwargs: Any
    ) -> httpx.Response:
        content = "" if body is None else json.dumps(body)
        time_text = str(at if at is not None else int(time.time()))
        headers = {
            "X-Sandbox-Time": time_text,
            "X-Sandbox-Signature": hmac_hex(self.secret, f"{time_text}.{content or path}"),
        }
        return self.client.request(method, path, content=content, headers=headers, **kwargs)

    def utility(
        self, method: str, path: str, body: Any = None, *, at: int | None = None
    ) -> httpx.Response:
        content = "" if body is None else json.dumps(body)
        time_text = str(at if at is not None else int(time.time()))
        signed = f"{time_text}\n{method}\n{path}\n{content}"
        headers = {
            "X-CityBill-Time": time_text,
            "X-CityBill-Signature": hmac_hex(self.secret, signed),
        }
        return self.client.request(method, path, content=content, headers=headers)


@contextmanager
def running(data_dir: Path, **options: Any) -> Iterator[Simulator]:
    """Run a simulator with short waits, and stop it as a signal would."""
    smtp_port = free_port()
    tenth = timedelta(milliseconds=100)
    chosen = Options(
        **{
            "data_dir": data_dir,
            "secret": SECRET,
            "smtp_port": smtp_port,
            "late_after": 3 * tenth,
            "retry_after": (tenth, tenth, tenth),
            **options,
        }
    )
    with _served(build_app(chosen)) as client:
        yield Simulator(client, smtp_port, data_dir)


@contextmanager
def running_water(data_dir: Path, **options: Any) -> Iterator[Simulator]:
    """Run City Water alone; the other companies differ only in how they speak."""
    slow_for = timedelta(milliseconds=300)
    common = {"code": "water", "data_dir": data_dir, "secret": SECRET, "slow_for": slow_for}
    app = build_utility(UtilityOptions(**common | options))
    with _served(app) as client:
        yield Simulator(client, 0, data_dir)
    app.state.journal.close()


@contextmanager
def _served(app: Any) -> Iterator[httpx.Client]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # Longer than a client keeps a connection: none is closed as it is used again.
    config = uvicorn.Config(app, log_level="critical", ws="none", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    until(lambda: server.started)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=base_url, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running_water(tmp_path_factory.mktemp("water")) as company:
        yield company


@dataclass
class Shop:
    """A receiver of notifications; ``answers`` are the statuses to give, then ``taken``."""

    notify_url: str = ""
    answers: list[int] = field(default_factory=list)
    taken: CallbackAnswer = CallbackAnswer()  # noqa: RUF009  a tuple
    received: list[tuple[dict[str, str], str]] = field(default_factory=list)

    def speak(self, gateway: Gateway) -> None:
        """Answer as that gateway wants to hear it."""
        self.taken = gateway.answer_callback(taken=True)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = CallbackAnswer(shop.answers.pop(0)) if shop.answers else shop.taken
            shop.received.append((headers, body))
            self.send_response(said.status_code)
            self.send_header("Content-Type", said.content_type)
            self.send_header("Content-Length", str(len(said.body.encode())))
            self.end_headers()
            self.wfile.write(said.body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    shop.notify_url = f"http://127.0.0.1:{server.server_port}/callbacks"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shop
    server.shutdown()
    thread.join()
    server.server_close()


def in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
