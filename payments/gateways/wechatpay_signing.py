"""Signing, checking and opening WeChat Pay's messages.

Source: docs/wire/wechatpay.md, "Signatures" and "What is encrypted".
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from core import crypto
from core.errors import Invalid

SCHEME = "WECHATPAY2-SHA256-RSA2048"
_TOLERANCE_SECONDS = 300
_KEY_BYTES = 32


class Forged(Exception):
    """A message that is not the platform's, or not of now."""


class UnknownSerial(Forged):
    """A message signed with a key of the platform's that we do not have, or with nobody's."""


class Merchant(NamedTuple):
    """Who we are to the platform, and the key we sign with."""

    appid: str
    mchid: str
    serial_no: str
    private_key: RSAPrivateKey

    def sign(self, *lines: bytes) -> str:
        """Return the signature of some lines, each of which is ended."""
        signature = self.private_key.sign(_joined(*lines), PKCS1v15(), SHA256())
        return base64.b64encode(signature).decode()

    def authorization(self, method: str, target: bytes, body: bytes, *, now: datetime) -> str:
        """Return the Authorization header of a request; ``target`` is its path and query."""
        seconds, nonce = str(int(now.timestamp())), new_nonce()
        signature = self.sign(method.encode(), target, seconds.encode(), nonce.encode(), body)
        return (
            f'{SCHEME} mchid="{self.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{seconds}",serial_no="{self.serial_no}"'
        )

    def pay_fields(self, prepay_id: str, *, now: datetime) -> dict[str, str]:
        """Return what the page in the wallet's browser hands to the wallet."""
        seconds, nonce, package = str(int(now.timestamp())), new_nonce(), f"prepay_id={prepay_id}"
        lines = (self.appid, seconds, nonce, package)
        return {
            "appId": self.appid,
            "timeStamp": seconds,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self.sign(*(line.encode() for line in lines)),
        }


def check(
    keys: Mapping[str, RSAPublicKey], headers: Mapping[str, str], body: bytes, *, now: datetime
) -> None:
    """Let a message of the platform's pass, or not.

    Args:
        keys: the platform's public keys, by serial.
        headers: by lower-case name.

    Raises:
        Forged: unsigned, wrongly signed (their probes are, on purpose), or more than five minutes
            away from ``now``.
        UnknownSerial: we do not have the key it names.
    """
    seconds, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
    signature = headers.get("wechatpay-signature", "")
    if not re.fullmatch("[0-9]{1,12}", seconds):
        raise Forged("the message is not signed")
    if abs(int(now.timestamp()) - int(seconds)) > _TOLERANCE_SECONDS:
        raise Forged("the message is stale")
    if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
        raise Forged("the message is signed in a way we do not know")
    key = keys.get(headers.get("wechatpay-serial", ""))
    if key is None:
        raise UnknownSerial("the message is signed with a key we do not have")
    try:
        signed = _joined(seconds.encode(), nonce.encode(), body)
        key.verify(base64.b64decode(signature, validate=True), signed, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError) as wrong:
        raise Forged("the message's signature is wrong") from wrong


def open_resource(api_v3_key: bytes, resource: Any) -> bytes:
    """Return what the platform encrypted for us.

    Raises:
        Invalid: not as the wire says, not encrypted with our key, or changed since.
    """
    assert len(api_v3_key) == _KEY_BYTES, "a shorter key would open and be another cipher"
    try:
        if resource["algorithm"] != "AEAD_AES_256_GCM":
            raise ValueError("another algorithm")
        sealed = base64.b64decode(resource["ciphertext"], validate=True)
        about = (resource.get("associated_data") or "").encode()
        return AESGCM(api_v3_key).decrypt(resource["nonce"].encode(), sealed, about)
    except (InvalidTag, KeyError, TypeError, ValueError, AttributeError, binascii.Error) as wrong:
        raise Invalid(
            "WeChat Pay's message cannot be opened: is CITYBILL_WECHATPAY_API_V3_KEY the one set"
            " at the merchant platform?",
            code="callback.malformed",
        ) from wrong


def read_certificate(serial_no: str, pem: bytes, *, now: datetime) -> RSAPublicKey | None:
    """Return the key of a platform certificate; None for one that is not valid now.

    Raises:
        Invalid: not a certificate, not of that serial, or not of an RSA key.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as wrong:
        raise Invalid(f"the platform's certificate {serial_no} cannot be read") from wrong
    key = certificate.public_key()
    if f"{certificate.serial_number:X}" != serial_no.upper().lstrip("0"):
        raise Invalid(f"the platform's certificate {serial_no} is of another serial")
    if not isinstance(key, RSAPublicKey):
        raise Invalid(f"the platform's certificate {serial_no} is not of an RSA key")
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return key if begins <= now.astimezone(UTC) <= ends else None


def api_v3_key(text: str) -> bytes:
    """Return the API v3 key as bytes.

    Raises:
        Invalid: it is not of 32 bytes.
    """
    key = text.encode()
    if len(key) != _KEY_BYTES:
        raise Invalid(
            f"CITYBILL_WECHATPAY_API_V3_KEY has {len(key)} bytes: it must have 32, as it was set at"
            " the merchant platform"
        )
    return key


def private_key(path: Path) -> RSAPrivateKey:
    """Read our private key. Raises Invalid, naming the file and the remedy."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as wrong:
        raise Invalid(
            f"CITYBILL_WECHATPAY_PRIVATE_KEY: {path} is no readable PEM file of a private key"
            " without a password; give the path of the merchant's apiclient_key.pem"
        ) from wrong
    if not isinstance(key, RSAPrivateKey):
        raise Invalid(f"CITYBILL_WECHATPAY_PRIVATE_KEY: the key in {path} is not an RSA key")
    return key


def public_key(path: Path) -> RSAPublicKey:
    """Read the platform's public key. Raises Invalid, naming the file and the remedy."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as wrong:
        raise Invalid(
            f"CITYBILL_WECHATPAY_PUBLIC_KEY: {path} is no readable PEM file of a public key; give"
            " the path of the platform's pub_key.pem"
        ) from wrong
    if not isinstance(key, RSAPublicKey):
        raise Invalid(f"CITYBILL_WECHATPAY_PUBLIC_KEY: the key in {path} is not an RSA key")
    return key


def new_nonce() -> str:
    """Return 32 characters nobody can foretell."""
    return crypto.fingerprint(crypto.new_token())[:32]


def _joined(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines)
