"""How we and Alipay sign: RSA2, with plain keys or with certificates.

Source: docs/wire/alipay.md, "A request", "An answer" and "Notifications".
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from core.errors import Invalid

_RSA_SIGNED = "1.2.840.113549.1.1."
_CLOSING = re.compile(r"[ \t\r\n]*\}")
# Figures stay the text they were written as: an amount is never a float.
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)


@dataclass(frozen=True, slots=True)
class Keys:
    """Our private key and Alipay's public one; the serials are of certificate mode.

    Args:
        alipay: by the serial of its certificate, of which there are two while Alipay changes it;
            plain: one, and no serial.
    """

    private: rsa.RSAPrivateKey
    alipay: Mapping[str, rsa.RSAPublicKey]
    app_cert_sn: str = ""
    root_cert_sn: str = ""

    def sign(self, params: Mapping[str, str]) -> str:
        """Sign a request's parameters."""
        text = "&".join(f"{k}={v}" for k, v in sorted(params.items()) if k != "sign" and v)
        raw = self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(raw).decode()

    def notified(self, params: Mapping[str, str]) -> bool:
        """Tell whether Alipay signed a notification; ``sign_type`` is no part of what it signs."""
        kept = sorted((k, v) for k, v in params.items() if k not in {"sign", "sign_type"})
        text = "&".join(f"{name}={value}" for name, value in kept)
        return params.get("sign_type") == "RSA2" and any(
            _signed(key, text, params.get("sign", "")) for key in self.alipay.values()
        )

    def answered(self, text: str, node: str) -> dict[str, Any] | None:
        """Return what Alipay answered; None unless its signature over it holds.

        Args:
            node: the member that holds the answer; ``error_response`` may stand in its place.
        """
        try:
            spans = _members(text)
            raw = spans.get(node) or spans["error_response"]
            told, signature = _DECODER.decode(raw), json.loads(spans["sign"])
            serial = json.loads(spans.get("alipay_cert_sn", '""'))
        except (ValueError, KeyError, RecursionError):
            return None
        if not all(isinstance(one, str) for one in (signature, serial)):
            return None
        key = self.alipay.get(serial)
        if key is None or not isinstance(told, dict) or not _signed(key, raw, signature):
            return None
        return told


def plain_keys(private_pem: bytes, public_pem: bytes) -> Keys:
    """Read the keys of public-key mode.

    Raises:
        Invalid: not a PEM file with an RSA key of 2048 bits or more.
    """
    return Keys(_private(private_pem), {"": _public(public_pem)})


def certified_keys(
    private_pem: bytes, app_cert: bytes, root_cert: bytes, alipay_cert: bytes
) -> Keys:
    """Read the keys of certificate mode.

    Raises:
        Invalid: not PEM files, not RSA keys, or the application's certificate is of another key.
    """
    private = _private(private_pem)
    ours = _certificate(app_cert)
    if ours.public_key() != private.public_key():
        raise Invalid("the application's certificate is not of our private key")
    return Keys(private, _alipay_keys(alipay_cert), cert_sn(ours), root_cert_sn(root_cert))


def _alipay_keys(pem: bytes) -> dict[str, rsa.RSAPublicKey]:
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as wrong:
        raise Invalid("Alipay's certificate is no PEM file") from wrong
    found = {}
    for one in certificates:
        key = one.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise Invalid("Alipay's certificate holds no RSA key")
        found[cert_sn(one)] = key
    return found


def _signed(key: rsa.RSAPublicKey, text: str, signature: str) -> bool:
    """Tell whether a text was signed with a key of Alipay's."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def cert_sn(certificate: x509.Certificate) -> str:
    """Return Alipay's serial of a certificate, which is not the certificate's own."""
    named = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return hashlib.md5(named.encode(), usedforsecurity=False).hexdigest()


def root_cert_sn(pem: bytes) -> str:
    """Return the serials of the roots that are signed with RSA; the others are for SM2.

    Raises:
        Invalid: not a PEM file of certificates.
    """
    try:
        roots = x509.load_pem_x509_certificates(pem)
        oids = [root.signature_algorithm_oid.dotted_string for root in roots]
    except ValueError as wrong:
        raise Invalid("Alipay's root certificates are no PEM file") from wrong
    serials = [
        cert_sn(r) for r, oid in zip(roots, oids, strict=True) if oid.startswith(_RSA_SIGNED)
    ]
    return "_".join(serials)


def _members(text: str) -> dict[str, str]:
    """Return the members of a JSON object, each value exactly as it was written.

    Raises:
        ValueError: not an object, a name twice, or something after it.
    """
    found: dict[str, str] = {}
    at = _skip(text, 0, "{")
    while True:
        name, at = _DECODER.raw_decode(text, at)
        start = _skip(text, at, ":")
        _, at = _DECODER.raw_decode(text, start)
        if not isinstance(name, str) or name in found:
            raise ValueError("not a name, or a name twice")
        found[name] = text[start:at]
        if _CLOSING.match(text, at):
            break
        at = _skip(text, at, ",")
    if text[_skip(text, at, "}") :]:
        raise ValueError("something follows the object")
    return found


def _skip(text: str, at: int, mark: str) -> int:
    """Return where the next value begins, after a mark and the blanks around it."""
    match = re.compile(rf"[ \t\r\n]*{re.escape(mark)}[ \t\r\n]*").match(text, at)
    if match is None:
        raise ValueError(f"no {mark!r} at {at}")
    return match.end()


def _private(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as wrong:
        raise Invalid("our private key is no PEM file, or is locked with a password") from wrong
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise Invalid("our private key is no RSA key of 2048 bits or more")
    return key


def _public(pem: bytes) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as wrong:
        raise Invalid("Alipay's public key is no PEM file") from wrong
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise Invalid("Alipay's public key is no RSA key of 2048 bits or more")
    return key


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as wrong:
        raise Invalid("a certificate is no PEM file") from wrong
