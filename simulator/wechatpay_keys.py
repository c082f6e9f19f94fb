"""The keys of the far side of WeChat Pay: they check, sign and encrypt, and change over.

Source: docs/wire/wechatpay.md, "Signatures", "What is encrypted" and "Certificates".
"""

import base64
import re
import secrets
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulator.journal import Journal
from simulator.wechatpay_records import Complaint, Trick, WechatpayOptions, beijing_text

SCHEME = "WECHATPAY2-SHA256-RSA2048"
MAX_AGE_SECONDS = 300
_A_LONG_TIME = timedelta(days=5 * 365)


class Certificate(NamedTuple):
    serial_no: str
    pem: str
    key: rsa.RSAPrivateKey


class Keys:
    """What is signed with: the public key's other half, or the newest platform certificate."""

    def __init__(self, options: WechatpayOptions, journal: Journal) -> None:
        self._options, self._journal = options, journal
        self._lock = Lock()
        self._key = _private(options.key.read_bytes())
        merchant = serialization.load_pem_public_key(options.merchant_key.read_bytes())
        assert isinstance(merchant, rsa.RSAPublicKey)
        self._merchant = merchant
        self._certificates = [
            Certificate(one["serial_no"], one["pem"], _private(one["key"].encode()))
            for one in journal.replay()
        ]

    def check_request(
        self, header: str, *, method: str, target: str, body: bytes, now: datetime
    ) -> None:
        """Let a request pass, or not. Raises Complaint."""
        scheme, _, rest = header.partition(" ")
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        seconds = given.get("timestamp", "")
        known = (given.get("mchid"), given.get("serial_no")) == (
            self._options.mchid, self._options.merchant_serial,
        )  # fmt: skip
        if scheme != SCHEME or not known or re.fullmatch("[0-9]{1,12}", seconds) is None:
            raise Complaint(401, "SIGN_ERROR", "签名信息不完整或商户证书不存在")
        if abs(int(now.timestamp()) - int(seconds)) > MAX_AGE_SECONDS:
            raise Complaint(401, "SIGN_ERROR", "时间戳已过期")
        lines = (method, target, seconds, given.get("nonce_str", ""))
        self._check_merchant(given.get("signature", ""), _ended(*lines).encode() + body + b"\n")

    def check_wallet(self, fields: dict[str, str]) -> None:
        """Let the six fields of a page in the wallet pass, or not. Raises Complaint."""
        names = ("appId", "timeStamp", "nonceStr", "package")
        signed = _ended(*(fields.get(name, "") for name in names)).encode()
        if fields.get("signType") != "RSA" or fields.get("appId") != self._options.appid:
            raise Complaint(400, "PARAM_ERROR", "支付验证签名失败")
        self._check_merchant(fields.get("paySign", ""), signed)

    def headers(self, body: bytes, *, now: datetime, trick: Trick | None = None) -> dict[str, str]:
        """Return the five headers of a message, or five that must be refused."""
        serial_no, key = self._signer()
        if trick is Trick.UNKNOWN_SERIAL:
            serial_no = secrets.token_hex(20).upper()
        if trick is Trick.STALE:
            now -= timedelta(minutes=10)
        seconds, nonce = str(int(now.timestamp())), secrets.token_hex(16)
        signed = _ended(seconds, nonce).encode() + body + b"\n"
        signature = base64.b64encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())).decode()
        if trick is Trick.PROBE:
            signature = f"WECHATPAY/SIGNTEST/{signature[19:]}"
        return {
            "Wechatpay-Timestamp": seconds,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": signature,
            "Wechatpay-Serial": serial_no,
            "Wechatpay-Signature-Type": SCHEME,
            "Request-ID": secrets.token_hex(16),
        }

    def encrypt(self, text: str, about: str) -> dict[str, str]:
        """Return what only the merchant can read."""
        nonce = secrets.token_hex(6)
        cipher = AESGCM(self._options.api_v3_key.encode())
        sealed = cipher.encrypt(nonce.encode(), text.encode(), about.encode())
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": about,
            "ciphertext": base64.b64encode(sealed).decode(),
        }

    def change_over(self, *, now: datetime) -> str:
        """Make a platform certificate, sign with it from now on, and return its serial."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simulated WeChat Pay")])
        begins = now - timedelta(minutes=5)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + _A_LONG_TIME)
            .sign(key, hashes.SHA256())
        )
        made = Certificate(
            f"{certificate.serial_number:X}",
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
            key,
        )
        written = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with self._lock:
            self._journal.append(
                {"serial_no": made.serial_no, "pem": made.pem, "key": written.decode()}
            )
            self._certificates.append(made)
        return made.serial_no

    def certificates(self) -> list[dict[str, object]]:
        """Return the two newest certificates, as the merchant fetches them."""
        with self._lock:
            newest = self._certificates[-2:]
        told: list[dict[str, object]] = []
        for one in newest:
            read = x509.load_pem_x509_certificate(one.pem.encode())
            told.append({
                "serial_no": one.serial_no,
                "effective_time": beijing_text(read.not_valid_before_utc),
                "expire_time": beijing_text(read.not_valid_after_utc),
                "encrypt_certificate": self.encrypt(one.pem, "certificate"),
            })  # fmt: skip
        return told

    def _signer(self) -> tuple[str, rsa.RSAPrivateKey]:
        with self._lock:
            if self._certificates:
                newest = self._certificates[-1]
                return newest.serial_no, newest.key
        return self._options.public_key_id, self._key

    def _check_merchant(self, signature: str, signed: bytes) -> None:
        try:
            given = base64.b64decode(signature, validate=True)
            self._merchant.verify(given, signed, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError) as wrong:
            raise Complaint(401, "SIGN_ERROR", "签名错误") from wrong


def _private(pem: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _ended(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
