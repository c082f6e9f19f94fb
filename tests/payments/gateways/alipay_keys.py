"""Keys and signatures for the tests of Alipay, made from the wire notes and not from our code."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@dataclass(frozen=True)
class KeyPair:
    key: rsa.RSAPrivateKey

    @classmethod
    def make(cls) -> "KeyPair":
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @property
    def private_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, text: str) -> str:
        raw = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(raw).decode()


@dataclass(frozen=True)
class FarKeys:
    """Ours, and Alipay's own as only a test may hold it."""

    ours: KeyPair
    far: KeyPair

    @property
    def private_pem(self) -> bytes:
        return self.ours.private_pem

    @property
    def far_public_pem(self) -> bytes:
        return self.far.public_pem


def lay_merchant_key(folder: Path) -> FarKeys:
    """Make our pair and give the far side its public half; take the far side's own."""
    ours = KeyPair.make()
    (folder / "alipay-merchant.public.pem").write_bytes(ours.public_pem)
    far = serialization.load_pem_private_key((folder / "alipay.private.pem").read_bytes(), None)
    assert isinstance(far, rsa.RSAPrivateKey)
    return FarKeys(ours, KeyPair(far))


def joined(params: dict[str, str]) -> str:
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def notice(keys: FarKeys, facts: dict[str, str], *, with_sign_type: bool = False) -> bytes:
    """Write a notification; ``with_sign_type`` signs one field too many."""
    signed = facts | ({"sign_type": "RSA2"} if with_sign_type else {})
    form = facts | {"sign_type": "RSA2", "sign": keys.far.sign(joined(signed))}
    return urlencode(form).encode()


def answer(keys: FarKeys, name: str, facts: dict[str, str] | str) -> bytes:
    """Write a whole HTTP answer; ``facts`` may be the inner object as it is to stand there."""
    inner = facts if isinstance(facts, str) else json.dumps(facts, ensure_ascii=False)
    body = f'{{"{name}_response":{inner},"sign":"{keys.far.sign(inner)}"}}'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@contextmanager
def answering(keys: FarKeys, facts: Mapping[str, dict[str, str]]) -> Iterator[str]:
    """An Alipay that gives each method one answer."""

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            method = parse_qs(urlsplit(self.path).query)["method"][0]
            self.wfile.write(answer(keys, method.replace(".", "_"), facts[method]))

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
