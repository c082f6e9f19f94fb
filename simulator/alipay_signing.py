"""How Alipay signs and checks: RSA2.

Source: docs/wire/alipay.md, "A request", "An answer" and "Notifications".
"""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_OWN, _OWN_PUBLIC = "alipay.private.pem", "alipay.public.pem"
_MERCHANT = "alipay-merchant.public.pem"


class Keys:
    """The far side's own pair, made if missing, and the merchant's public key beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / _OWN).exists():
            _make_pair(folder)
        own = serialization.load_pem_private_key((folder / _OWN).read_bytes(), None)
        assert isinstance(own, rsa.RSAPrivateKey)
        self._own = own

    def sign(self, text: str) -> str:
        """Sign a text as Alipay does."""
        return _sign(self._own, text)

    def merchant_signed(self, text: str, signature: str) -> bool:
        """Tell whether the merchant signed a text; its key may have been laid there since."""
        path = self._folder / _MERCHANT
        if not path.exists():
            return False
        key = serialization.load_pem_public_key(path.read_bytes())
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            raw = base64.b64decode(signature, validate=True)
            key.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (binascii.Error, InvalidSignature):
            return False
        return True


def other_key_sign(text: str) -> str:
    """Sign a text with a key that is nobody's."""
    return _sign(rsa.generate_private_key(public_exponent=65537, key_size=2048), text)


def request_text(params: Mapping[str, str]) -> str:
    """Return what a merchant signs: everything but ``sign`` and what is empty."""
    return "&".join(f"{k}={v}" for k, v in sorted(params.items()) if k != "sign" and v)


def notification_text(params: Mapping[str, str]) -> str:
    """Return what Alipay signs of a notification: everything but ``sign`` and ``sign_type``."""
    kept = sorted((k, v) for k, v in params.items() if k not in ("sign", "sign_type"))
    return "&".join(f"{name}={value}" for name, value in kept)


def envelope(node: str, told: Mapping[str, object], signature: str | None) -> str:
    """Write an answer; the signature is over ``answer_text(told)``."""
    sign = "" if signature is None else f',"sign":"{signature}"'
    return f'{{"{node}":{answer_text(told)}{sign}}}'


def answer_text(told: Mapping[str, object]) -> str:
    """Write the inner object of an answer, with escaped slashes as Alipay's own."""
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return text.replace("/", "\\/")


def _sign(key: rsa.RSAPrivateKey, text: str) -> str:
    return base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def _make_pair(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / _OWN).touch(mode=0o600)
    (folder / _OWN).write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / _OWN_PUBLIC).write_bytes(
        made.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
