"""The demo's key for Web Push, made once and kept with the data: browsers subscribe with it."""

import base64
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

_SUBJECT = "mailto:notices@citybill.example"


def push(folder: Path) -> dict[str, str]:
    """Return the settings of carriers, the push services among them unless they are set."""
    carriers = json.loads(os.environ.get("CITYBILL_CARRIERS") or "{}")
    carriers.setdefault("push", {"private_key": _key(folder / "keys"), "subject": _SUBJECT})
    return {"CITYBILL_CARRIERS": json.dumps(carriers)}


def _key(folder: Path) -> str:
    path = folder / "push.key"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode())
        os.replace(part, path)
    return path.read_text()
