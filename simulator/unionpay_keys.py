"""How UnionPay signs and checks: RSA over the SHA-256 of what is said.

Source: docs/wire/unionpay.md, "Signatures".
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from core.errors import NotFound

_OWN, _OWN_CERT = "unionpay.private.pem", "unionpay.cert.pem"
_MERCHANT = "unionpay-merchant.cert.pem"


class Keys:
    """The far side's key with its certificate, and the merchant's certificate beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: rsa.RSAPrivateKey | None = None

    def signed(self, said: Mapping[str, str], *, wrongly: bool = False) -> dict[str, str]:
        """Return what UnionPay says with its certificate and signature.

        Args:
            wrongly: with a key that is nobody's.

        Raises:
            NotFound: no key was laid there, so there is no merchant.
        """
        key = self._load()
        if wrongly:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = (self._folder / _OWN_CERT).read_text()
        fields = dict(said) | {"signMethod": "01", "signPubKeyCert": certificate}
        raw = key.sign(_digest(fields), padding.PKCS1v15(), hashes.SHA256())
        return fields | {"signature": base64.b64encode(raw).decode()}

    def merchant_signed(self, fields: Mapping[str, str]) -> bool:
        """Tell whether the merchant said this; its certificate may have been laid there since."""
        path = self._folder / _MERCHANT
        if not path.exists() or fields.get("signMethod") != "01":
            return False
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        if fields.get("certId") != str(certificate.serial_number):
            return False
        try:
            raw = base64.b64decode(fields.get("signature", ""), validate=True)
            key.verify(raw, _digest(fields), padding.PKCS1v15(), hashes.SHA256())
        except (binascii.Error, InvalidSignature):
            return False
        return True

    def _load(self) -> rsa.RSAPrivateKey:
        if self._own is None:
            path = self._folder / _OWN
            if not path.exists():
                raise NotFound("no keys were laid for UnionPay, so it has no merchant here")
            own = serialization.load_pem_private_key(path.read_bytes(), None)
            assert isinstance(own, rsa.RSAPrivateKey)
            self._own = own
        return self._own


def _digest(fields: Mapping[str, str]) -> bytes:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature")
    return hashlib.sha256(text.encode()).hexdigest().encode()
