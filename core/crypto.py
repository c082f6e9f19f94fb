"""Signatures and tokens: the one place that compares secrets."""

import hashlib
import hmac
import secrets


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
