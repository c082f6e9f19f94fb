"""Keys, certificates and signatures for the tests of UnionPay, made from the wire notes."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

MER_ID, SIGNER = "777290058100001", "CityBill tests"


@dataclass(frozen=True)
class Certified:
    """A key and a certificate of it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(
        cls, name: str, issuer: "Certified | None" = None, *, days: tuple[int, int] = (-1, 365)
    ) -> "Certified":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .sign(issuer.key if issuer else key, hashes.SHA256())
        )
        return cls(key, made)

    @property
    def private_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def over_a_curve(self, name: str) -> x509.Certificate:
        """Issue a certificate of a key that is not RSA."""
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self.certificate.subject)
            .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )

    def sign(self, fields: Mapping[str, str]) -> str:
        """Sign fields as the notes say: hexadecimal SHA-256 of the sorted text, then RSA."""
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
        hexed = hashlib.sha256(text.encode()).hexdigest()
        raw = self.key.sign(hexed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(raw).decode()


@dataclass(frozen=True)
class FarKeys:
    """Ours, and UnionPay's own as only a test may hold them."""

    ours: Certified
    root: Certified
    middle: Certified
    far: Certified

    @classmethod
    def make(cls) -> "FarKeys":
        root = Certified.make("UnionPay root")
        middle = Certified.make("UnionPay middle", root)
        far = Certified.make(f"041@8310000000083040@{SIGNER}@00016493", middle)
        return cls(Certified.make(f"041@1@{MER_ID}@1", middle), root, middle, far)

    def lay(self, folder: Path) -> None:
        """Give the far side its own key, and our certificate."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "unionpay.private.pem").write_bytes(self.far.private_pem)
        (folder / "unionpay.cert.pem").write_bytes(self.far.pem)
        (folder / "unionpay-merchant.cert.pem").write_bytes(self.ours.pem)

    def said(self, fields: Mapping[str, str], by: Certified | None = None) -> dict[str, str]:
        """Sign fields as UnionPay does, with its certificate or another's."""
        signer = by or self.far
        whole = dict(fields) | {"signMethod": "01", "signPubKeyCert": signer.pem.decode()}
        return whole | {"signature": signer.sign(whole)}

    def notice(self, fields: Mapping[str, str], by: Certified | None = None) -> bytes:
        return urlencode(self.said(fields, by)).encode()


@contextmanager
def answering(keys: FarKeys, *told: Mapping[str, str]) -> Iterator[str]:
    """A UnionPay that gives these answers one after the other, the last of them for good."""
    left = list(told)

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked = dict(parse_qsl(body))
            facts = left.pop(0) if len(left) > 1 else left[0]
            echoed = {n: asked[n] for n in ("merId", "orderId", "txnTime") if n in asked}
            fields = keys.said(echoed | dict(facts))
            text = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
