"""Signatures, tokens and sealed secrets: the one place that compares secrets."""

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import CityBillError

_NONCE_BYTES = 12


def sign(secret: str, message: bytes) -> str:
    """Return the hex HMAC-SHA256 of a message."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def verify(secret: str, message: bytes, signature: str) -> bool:
    """Tell whether ``signature`` is the hex HMAC-SHA256 of the message, in constant time."""
    return hmac.compare_digest(sign(secret, message).encode(), signature.encode())


def new_token() -> str:
    """Return 256 bits of randomness, safe in URLs and cookies."""
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """Return a one-time code of six digits."""
    return f"{secrets.randbelow(1_000_000):06d}"


def fingerprint(token: str) -> str:
    """Return what is stored of a random token: its SHA-256, from which it cannot be had back."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_secret() -> str:
    """Return 256 bits of randomness as Base64: a secret two systems share."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def seal(secret: str, text: str, *, about: str) -> bytes:
    """Encrypt a text under the installation's secret, so that a copy of the database tells nothing.

    Args:
        secret: the installation's.
        about: what the text belongs to; it opens as nothing else's.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + _cipher(secret).encrypt(nonce, text.encode(), about.encode())


def unseal(secret: str, sealed: bytes, *, about: str) -> str:
    """Return what ``seal`` encrypted.

    Raises:
        CityBillError: it was sealed under another secret, about something else, or changed since.
    """
    try:
        plain = _cipher(secret).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode()
        )
    except InvalidTag:
        raise CityBillError(
            "a stored secret cannot be opened: CITYBILL_SECRET_KEY is not the one it was sealed"
            " under; set that one again, or issue a new secret",
            code="secret.sealed_otherwise",
        ) from None
    return plain.decode()


def _cipher(secret: str) -> AESGCM:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"citybill sealed secrets, 1")
    return AESGCM(derived.derive(secret.encode()))
