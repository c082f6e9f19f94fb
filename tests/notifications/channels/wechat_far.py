"""WeChat's own system, written from developers.weixin.qq.com and not from our adapter.

A real HTTP server: tokens that end, templates with places, permits that are used up, the window of
``client_msg_id``, quotas, refusals by errcode, an answer after a random while, and signed events.
"""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from notifications.channels.base import Fate
from tests.notifications.channels.contract import Arrived, FarSide

APP_ID, APP_SECRET = "wxcity0000000001", "app-secret-of-the-city"
PUSH_TOKEN = "a token of the city"
AES_KEY = base64.b64encode(bytes(range(32))).decode().rstrip("=")
TEMPLATE = "VRR0UEO9VJOLs0MHlU0OilqX6MVFDwH3_3gz3Oc0NIc"
FAULTS = {"busy": 45009, "refuse": 48001}
REPEATED_WITHIN_SECONDS = 600
_HAN = "[\u4e00-\u9fff]"


def takes(kind: str, value: str) -> bool:
    """Tell whether a place takes a value: 参数值内容限制说明, one line each."""
    digits = re.sub("[^0-9]", "", value)
    return {
        "thing": 1 <= len(value) <= 20 and "\n" not in value,
        "number": bool(re.fullmatch(r"[0-9]+(\.[0-9]+)?", value)) and len(digits) <= 32,
        "letter": value.isascii() and value.isalpha() and len(value) <= 32,
        "symbol": 1 <= len(value) <= 5 and not re.search(f"[A-Za-z0-9]|{_HAN}", value),
        "character_string": 1 <= len(value) <= 32 and not re.search(_HAN, value),
        "time": bool(re.search("[0-9]{1,2}:[0-9]{2}|[0-9]{1,2}[-月/.]", value)),
        "date": bool(re.search("[0-9]{1,2}[-月/.]", value)),
        "amount": bool(re.fullmatch(r"[¥￥$€£]?[0-9.]+元?", value)) and 1 <= len(digits) <= 10,
        "phone_number": bool(digits) and len(value) <= 17,
        "name": 1 <= len(value) <= (10 if re.search(_HAN, value) else 20),
        "phrase": bool(re.fullmatch(f"{_HAN}{{1,5}}", value)),
    }.get(kind, True)


@dataclass
class WechatTown(FarSide):
    """``answers`` are the errcodes of the next sends; ``permits`` are counted for ``bizsend``."""

    templates: dict[str, set[str]] = field(
        default_factory=lambda: {TEMPLATE: {"thing1", "amount2", "time3", "phrase4"}}
    )
    permits: Counter[str] = field(default_factory=Counter)
    answers: list[int] = field(default_factory=list)
    fault: str = ""
    quota: int = 1_000_000
    slowest_seconds: float = 0.0
    token_seconds: int = 7200
    sent: list[dict[str, Any]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    now: float = 0.0  # its own clock: nobody waits ten minutes

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, float] = {}
        self._numbers = count(1)
        self._repeated: dict[tuple[str, str], tuple[float, int]] = {}
        self._chance = Random(7)
        self._server = Server(("127.0.0.1", 0), handler_of(self))
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    # What a test asks of it

    @property
    def arrived(self) -> list[Arrived]:
        return [
            Arrived(one["touser"], " ".join(place["value"] for place in one["data"].values()))
            for one in self.sent
        ]

    def behave(self, fault: str) -> None:
        self.fault = fault
        if fault == "down":
            self._server.shutdown()
            self._server.server_close()

    def end_tokens(self) -> None:
        """Somebody asked for a new one by force: those that are out no longer hold."""
        self._tokens.clear()

    def receipt(self, ref: str, fate: Fate) -> tuple[dict[str, str], bytes]:
        status = "success" if fate is Fate.DELIVERED else "failed:user block"
        return self.signed(event(
            "TEMPLATESENDJOBFINISH", f"<MsgID>{ref}</MsgID><Status><![CDATA[{status}]]></Status>"
        ))  # fmt: skip

    def signed(self, body: bytes, *, seconds_ago: int = 0) -> tuple[dict[str, str], bytes]:
        said_at = str(int(time.time()) - seconds_ago)
        return query_of(timestamp=said_at, signature=sha1(PUSH_TOKEN, said_at, "n0nce")), body

    def sealed(
        self, body: bytes, app_id: str = APP_ID, token: str = PUSH_TOKEN
    ) -> tuple[dict[str, str], bytes]:
        """Return a call as it comes when the account encrypts."""
        key = base64.b64decode(AES_KEY + "=")
        plain = b"r" * 16 + struct.pack(">L", len(body)) + body + app_id.encode()
        fill = 32 - len(plain) % 32
        cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
        secret = base64.b64encode(cipher.update(plain + bytes([fill]) * fill)).decode()
        said_at = str(int(time.time()))
        headers = query_of(
            timestamp=said_at,
            signature=sha1(token, said_at, "n0nce"),
            msg_signature=sha1(token, said_at, "n0nce", secret),
            encrypt_type="aes",
        )
        inside = f"<ToUserName>gh_7f083739789a</ToUserName><Encrypt>{secret}</Encrypt>"
        return headers, f"<xml>{inside}</xml>".encode()

    # What it does by itself

    def answer(self, path: str, query: dict[str, str], told: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self._chance.random() * self.slowest_seconds)
        with self._lock:
            self.asked[path] += 1
            if path == "/cgi-bin/stable_token":
                return self._token(told)
            errcode, more = self._send(path, query, told)
            self.refused[errcode] += 1
        words = {0: "ok", 47003: f"argument invalid! data.{more}.value invalid rid: 6500-1"}
        answer: dict[str, Any] = {"errcode": errcode, "errmsg": words.get(errcode, "no rid: 6500")}
        return answer | ({"msgid": more} if errcode == 0 else {})

    def _token(self, told: dict[str, Any]) -> dict[str, Any]:
        if (told["appid"], told["secret"]) != (APP_ID, APP_SECRET):
            return {"errcode": 40125, "errmsg": "invalid appsecret rid: 6500-2"}
        assert told["grant_type"] == "client_credential"
        for token, until in self._tokens.items():
            if until - self.now > 300:  # it gives the same one as long as it holds
                return {"access_token": token, "expires_in": int(until - self.now)}
        token = f"token-{next(self._numbers)}"
        self._tokens[token] = self.now + self.token_seconds
        return {"access_token": token, "expires_in": self.token_seconds}

    def _send(self, path: str, query: dict[str, str], told: dict[str, Any]) -> tuple[int, object]:
        until = self._tokens.get(query.get("access_token", ""))
        if until is None or until < self.now:
            return (40001 if until is None else 42001), ""
        if self.fault in FAULTS:
            return FAULTS[self.fault], ""
        if self.answers:
            return self.answers.pop(0), ""
        if not re.fullmatch(r"[\w-]{5,40}", told["touser"]):
            return 40003, ""
        if told["template_id"] not in self.templates:
            return 40037, ""
        places = self.templates[told["template_id"]]
        for place in sorted(places):
            value = told["data"].get(place, {}).get("value", "")
            if not takes(re.sub("[0-9]+$", "", place), value):
                return 47003, place
        return self._deliver(path, told)

    def _deliver(self, path: str, told: dict[str, Any]) -> tuple[int, object]:
        name = (told["touser"], told.get("client_msg_id", ""))
        if path.endswith("template/send") and name[1] and name in self._repeated:
            at, number = self._repeated[name]
            if self.now - at <= REPEATED_WITHIN_SECONDS:
                return 0, number
        if self.quota <= 0:
            return 45009, ""
        if path.endswith("subscribe/bizsend"):
            if not self.permits[told["touser"]]:
                return 43101, ""
            self.permits[told["touser"]] -= 1
        self.quota -= 1
        number = 209_335_000 + next(self._numbers)
        self._repeated[name] = (self.now, number)
        self.sent.append({**told, "path": path})
        return 0, number


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def handler_of(town: WechatTown) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            parts = urlsplit(self.path)
            is_send = parts.path != "/cgi-bin/stable_token"
            if is_send and town.fault == "hang":
                town.released.wait(15)
                self.close_connection = True
                return
            answer = json.dumps(town.answer(parts.path, dict(parse_qsl(parts.query)), told))
            body = b"<html>" if is_send and town.fault == "garbage" else answer.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json; encoding=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def event(name: str, inside: str, openid: str = "otFpruAK8D-E6EfStSYonYSBZ8_4") -> bytes:
    return (
        f"<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>"
        f"<FromUserName><![CDATA[{openid}]]></FromUserName><CreateTime>1795276800</CreateTime>"
        f"<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{name}]]></Event>{inside}</xml>"
    ).encode()


def sha1(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def query_of(**query: str) -> dict[str, str]:
    """Return a query as the web route passes it on."""
    query |= {"nonce": "n0nce", "openid": "otFpruAK8D"}
    return {f"x-query-{name}": value for name, value in query.items()}
