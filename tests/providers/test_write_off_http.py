"""The write-off client against a company's server, written from docs/wire/write-off.md."""

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx
import pytest

from core.errors import UpstreamUnavailable
from providers.base import WriteOffOrder, WriteOffOutcome, WriteOffReply
from providers.clients import http
from providers.clients.declared import DeclaredClient, speaks_citybill

SECRET = "agreed-for-this-test-only"
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
ORDER = WriteOffOrder(
    write_off_no="WO-1",
    account_no="1000000001",
    bill_no="W-202610-1",
    billing_month=date(2026, 10, 1),
    amount_fen=8_650,
    paid_at=datetime(2026, 11, 20, 12, 0, tzinfo=timezone(timedelta(hours=8))),
)
Answer = Callable[["Company"], None]


class Company(BaseHTTPRequestHandler):
    """A company's system: checks every signature, then does what the test asks."""

    answer: ClassVar[Answer]
    asked: ClassVar[list[tuple[str, str, bytes]]]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, body))
        moment = self.headers["X-CityBill-Time"]
        signed = f"{moment}\n{self.command}\n{self.path}\n".encode() + body
        right = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if self.headers["X-CityBill-Signature"] != right or int(moment) != int(NOW.timestamp()):
            self.say(401, {"result": "unsigned"})
            return
        type(self).answer(self)

    do_GET = do_POST

    def say(self, status: int, body: object) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the tests do."""


@pytest.fixture
def company() -> Iterator[tuple[type[Company], str]]:
    handler = type("ThisCompany", (Company,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client_of() -> Iterator[Callable[..., DeclaredClient]]:
    made: list[DeclaredClient] = []

    def make(url: str, secret: str = SECRET) -> DeclaredClient:
        made.append(speaks_citybill(url, secret, lambda: NOW))
        return made[-1]

    yield make
    for client in made:
        client.close()


def saying(status: int, body: object) -> Answer:
    return lambda company: company.say(status, body)


ACCEPTED = {"result": "accepted", "utility_ref": "U-7", "written_off_at": "2026-11-21T04:00:00Z"}
REFUSED = {"result": "refused", "reason_code": "already_paid", "reason": "说明见公告"}


class TestWriteOff:
    def test_tells_the_company_as_the_note_says(self, company, client_of):
        handler, url = company
        handler.answer = saying(200, ACCEPTED)

        reply = client_of(url + "/city").write_off(ORDER)

        assert reply == WriteOffReply(outcome=WriteOffOutcome.ACCEPTED, utility_ref="U-7")
        ((method, path, body),) = handler.asked
        assert (method, path) == ("POST", "/city/write-offs")
        assert json.loads(body) == {
            "write_off_no": "WO-1",
            "account_no": "1000000001",
            "bill_no": "W-202610-1",
            "billing_month": "2026-10",
            "amount_fen": 8_650,
            "paid_at": "2026-11-20T04:00:00Z",
        }

    @pytest.mark.parametrize(
        ("code", "told"),
        [
            ("already_paid", "the bill was paid before this payment arrived"),
            ("account_closed", "the account is closed"),
            ("wrong_amount", "another amount than the bill asks for"),
            ("unknown_bill", "the company does not know the bill"),
            ("on_strike", "说明见公告"),
        ],
    )
    def test_a_refusal_is_final_and_its_reason_is_our_words_or_the_company_s(
        self, company, client_of, code, told
    ):
        handler, url = company
        handler.answer = saying(200, REFUSED | {"reason_code": code})

        reply = client_of(url).write_off(ORDER)

        assert reply.outcome is WriteOffOutcome.REFUSED
        assert reply.reason == told
        assert reply.paid_elsewhere is (code == "already_paid")

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (500, ACCEPTED),
            (201, ACCEPTED),
            (302, ACCEPTED),
            (404, {"result": "unknown"}),
            (409, {"result": "conflict"}),
            (200, b"<html>busy</html>"),
            (200, b""),
            (200, b"[1]"),
            (200, b"[" * 50_000),
            (200, b"\xff\xfe"),
            (200, {"result": "perhaps"}),
            (200, {"result": ["accepted"]}),
            (200, {"result": "accepted"}),
            (200, b" " * 100_000 + json.dumps(ACCEPTED).encode()),
        ],
        ids=lambda value: str(value)[:24],
    )
    def test_anything_else_is_unknown_with_a_reason(self, company, client_of, status, body):
        handler, url = company
        handler.answer = saying(status, body)

        reply = client_of(url).write_off(ORDER)

        assert reply.outcome is WriteOffOutcome.UNKNOWN
        assert reply.reason

    def test_a_conflict_says_so(self, company, client_of):
        handler, url = company
        handler.answer = saying(409, {})

        assert "409" in client_of(url).write_off(ORDER).reason

    def test_another_secret_is_unknown(self, company, client_of):
        handler, url = company
        handler.answer = saying(200, ACCEPTED)

        assert "401" in client_of(url, "another").write_off(ORDER).reason

    def test_no_answer_in_time_is_unknown(self, company, client_of, monkeypatch):
        handler, url = company
        monkeypatch.setattr(http, "TIMEOUT", httpx.Timeout(0.2))
        handler.answer = lambda company: time.sleep(0.6)

        assert client_of(url).write_off(ORDER).outcome is WriteOffOutcome.UNKNOWN

    def test_an_answer_that_drips_for_ever_is_unknown(self, company, client_of, monkeypatch):
        handler, url = company
        monkeypatch.setattr(http, "_PATIENCE_SECONDS", 0.2)

        def drip(company: Company) -> None:
            company.send_response(200)
            company.send_header("Content-Length", "10")
            company.end_headers()
            for _ in range(10):
                with suppress(ConnectionError):  # the client has had enough
                    company.wfile.write(b" ")
                time.sleep(0.05)

        handler.answer = drip

        assert "in time" in client_of(url).write_off(ORDER).reason

    def test_an_answer_that_breaks_off_is_unknown(self, company, client_of):
        handler, url = company

        def hang_up(company: Company) -> None:
            company.close_connection = True

        handler.answer = hang_up

        assert client_of(url).write_off(ORDER).outcome is WriteOffOutcome.UNKNOWN

    def test_a_company_that_is_not_there_was_never_told(self, client_of):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(UpstreamUnavailable):
            client_of(url).write_off(ORDER)

    def test_a_name_that_does_not_resolve_was_never_told(self, client_of):
        with pytest.raises(UpstreamUnavailable):
            client_of("http://company.invalid").write_off(ORDER)

    def test_waits_two_seconds_to_connect_and_five_to_read(self):
        assert (http.TIMEOUT.connect, http.TIMEOUT.read) == (2.0, 5.0)


class TestQuery:
    @pytest.mark.parametrize(
        ("said", "outcome"),
        [(ACCEPTED, WriteOffOutcome.ACCEPTED), (REFUSED, WriteOffOutcome.REFUSED)],
    )
    def test_gives_the_answer_that_was_given(self, company, client_of, said, outcome):
        handler, url = company
        handler.answer = saying(200, said)

        assert client_of(url).query("WO-1").outcome is outcome
        assert handler.asked == [("GET", "/write-offs/WO-1", b"")]

    def test_a_number_never_seen_is_none(self, company, client_of):
        handler, url = company
        handler.answer = saying(404, {"result": "unknown"})

        assert client_of(url).query("WO-1") is None

    @pytest.mark.parametrize(("status", "body"), [(404, b"no such page"), (404, {}), (503, {})])
    def test_any_other_answer_is_unknown_not_never_seen(self, company, client_of, status, body):
        handler, url = company
        handler.answer = saying(status, body)

        assert client_of(url).query("WO-1").outcome is WriteOffOutcome.UNKNOWN

    def test_a_number_with_odd_characters_stays_one_path_segment(self, company, client_of):
        handler, url = company
        handler.answer = saying(200, ACCEPTED)

        assert client_of(url).query("W/O?1 珅").outcome is WriteOffOutcome.ACCEPTED

        assert handler.asked[0][1] == "/write-offs/W%2FO%3F1%20%E7%8F%85"

    def test_a_company_that_is_not_there_cannot_be_asked(self, client_of):
        with pytest.raises(UpstreamUnavailable):
            client_of("http://company.invalid").query("WO-1")
