"""The demo's UnionPay: a merchant of its own, with keys and certificates of this city alone."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cli.demo_keys import key_pair

_MER_ID = "777290058100001"  # docs/wire/unionpay.md
_SIGNER = "CityBill demo"
_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_DAYS = 36_500


class _Maker(NamedTuple):
    """Who issues a certificate; one that issues its own has none before it."""

    name: x509.Name
    key: rsa.RSAPrivateKey


def unionpay(folder: Path, far_side: str) -> dict[str, str]:
    """Make both sides' keys and return the settings of our side.

    Args:
        folder: the city's data; the far side's memory is below it.
        far_side: where the simulator is.
    """
    here, there = folder / "keys", folder / "simulator" / "keys"
    root = _certificate(there, "unionpay-root", "UnionPay root", None)
    middle = _certificate(there, "unionpay-middle", "UnionPay middle", root)
    _certificate(there, "unionpay", f"041@1@{_SIGNER}@1", middle)
    _certificate(here, "unionpay-merchant", f"041@2@{_MER_ID}@2", middle)
    ours = "unionpay-merchant.cert.pem"
    shutil.copyfile(here / ours, there / ours)
    return {
        "CITYBILL_UNIONPAY_URL": f"{far_side}/unionpay",
        "CITYBILL_UNIONPAY_FILES_URL": f"{far_side}/unionpay/files/",
        "CITYBILL_UNIONPAY_MER_ID": _MER_ID,
        "CITYBILL_UNIONPAY_PRIVATE_KEY": str(here / "unionpay-merchant.private.pem"),
        "CITYBILL_UNIONPAY_CERT": str(here / ours),
        "CITYBILL_UNIONPAY_ROOT_CERT": str(there / "unionpay-root.cert.pem"),
        "CITYBILL_UNIONPAY_MIDDLE_CERT": str(there / "unionpay-middle.cert.pem"),
        "CITYBILL_UNIONPAY_SIGNER": _SIGNER,
    }


def _certificate(folder: Path, name: str, made_out_to: str, maker: _Maker | None) -> _Maker:
    """Make a key and its certificate at the first asking; return who can issue others."""
    key = serialization.load_pem_private_key(key_pair(folder, name).private.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    own = _Maker(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, made_out_to)]), key)
    path = folder / f"{name}.cert.pem"
    if not path.exists():
        issuer = maker or own
        made = (
            x509.CertificateBuilder()
            .subject_name(own.name)
            .issuer_name(issuer.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FROM)
            .not_valid_after(_FROM + timedelta(days=_DAYS))
            .sign(issuer.key, hashes.SHA256())
        )
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return own
