"""How we and UnionPay sign: ``signMethod`` 01, RSA over the SHA-256 of what is said.

Source: docs/wire/unionpay.md, "Signatures".
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from core.errors import Invalid

_MOST_FIELDS = 100
_CN_PARTS = 4  # 041@8310000000083040@ the signer's name @00016493


@dataclass(frozen=True, slots=True)
class Keys:
    """Our private key with its certificate's number, and whom UnionPay's own must come from.

    Args:
        cert_id: the serial of our certificate, in decimal.
        middle: what issued UnionPay's signing certificates; it is known to come from their root.
        signer: the name those certificates are made out to.
    """

    private: rsa.RSAPrivateKey
    cert_id: str
    middle: x509.Certificate
    signer: str

    def signed(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return what is to be sent: the fields that say something, and our signature."""
        said = {name: value for name, value in fields.items() if value}
        said |= {"signMethod": "01", "certId": self.cert_id}
        raw = self.private.sign(digest(said), padding.PKCS1v15(), hashes.SHA256())
        return said | {"signature": base64.b64encode(raw).decode()}

    def unionpay_signed(self, fields: Mapping[str, str], *, now: datetime) -> bool:
        """Tell whether UnionPay said this; the certificate that comes with it must be theirs."""
        if fields.get("signMethod") != "01":
            return False
        try:
            theirs = x509.load_pem_x509_certificate(fields.get("signPubKeyCert", "").encode())
            theirs.verify_directly_issued_by(self.middle)
            key = theirs.public_key()
            raw = base64.b64decode(fields.get("signature", ""), validate=True)
            if not isinstance(key, rsa.RSAPublicKey) or not self._of_now(theirs, now):
                return False
            key.verify(raw, digest(fields), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True

    def _of_now(self, theirs: x509.Certificate, now: datetime) -> bool:
        names = theirs.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        parts = str(names[0].value).split("@") if len(names) == 1 else []
        of_them = len(parts) == _CN_PARTS and parts[2] == self.signer
        return of_them and all(
            one.not_valid_before_utc <= now <= one.not_valid_after_utc
            for one in (theirs, self.middle)
        )


def digest(fields: Mapping[str, str]) -> bytes:
    """Return what is signed: the SHA-256 of all but the signature, as small hexadecimal letters."""
    kept = sorted((name, value) for name, value in fields.items() if name != "signature")
    text = "&".join(f"{name}={value}" for name, value in kept)
    return hashlib.sha256(text.encode()).hexdigest().encode()


def read_keys(
    private_pem: bytes, cert_pem: bytes, root_pem: bytes, middle_pem: bytes, *, signer: str
) -> Keys:
    """Read our key and certificate, and UnionPay's two that its own are checked by.

    Raises:
        Invalid: not PEM files, not RSA, a certificate of another key, or one not of that root.
    """
    private = _private(private_pem)
    ours = _certificate(cert_pem, "our certificate")
    if ours.public_key() != private.public_key():
        raise Invalid("our certificate at UnionPay is not of our private key")
    root = _certificate(root_pem, "UnionPay's root certificate")
    middle = _certificate(middle_pem, "UnionPay's middle certificate")
    try:
        middle.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as wrong:
        raise Invalid("UnionPay's middle certificate does not come from its root") from wrong
    return Keys(private, str(ours.serial_number), middle, signer)


def read_answer(text: str) -> dict[str, str] | None:
    """Read an answer's ``name=value&…``, which nothing in is encoded; None: it is no such thing.

    A value in braces may hold ``&`` of its own; any value may hold ``=``.
    """
    parts: list[str] = []
    open_braces = 0
    for part in text.strip("\r\n").split("&"):
        if open_braces > 0:
            parts[-1] += f"&{part}"
        else:
            parts.append(part)
        open_braces += part.count("{") - part.count("}")
    pairs = [part.partition("=") for part in parts]
    fields = {name: value for name, _, value in pairs}
    sound = len(fields) == len(pairs) <= _MOST_FIELDS and all(n and eq for n, eq, _ in pairs)
    return fields if sound else None


def _private(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as wrong:
        raise Invalid(
            "our private key at UnionPay is no PEM file, or is locked with a password: take it "
            "out of the .pfx with openssl pkcs12 -nodes"
        ) from wrong
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise Invalid("our private key at UnionPay is no RSA key of 2048 bits or more")
    return key


def _certificate(pem: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as wrong:
        raise Invalid(f"{what} is no PEM file") from wrong
