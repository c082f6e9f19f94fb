"""Key pairs of the demo's gateways: ours and the far side's, made once and kept with the data."""

from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class KeyPair(NamedTuple):
    """Paths of PEM files: a private key in PKCS #8 and its public key."""

    private: Path
    public: Path


def key_pair(folder: Path, name: str) -> KeyPair:
    """Return the RSA key pair of that name, made at the first asking."""
    pair = KeyPair(folder / f"{name}.private.pem", folder / f"{name}.public.pem")
    if pair.private.exists() and pair.public.exists():
        return pair
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pair.private.touch(mode=0o600)
    pair.private.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pair.public.write_bytes(
        made.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return pair
