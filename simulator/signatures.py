"""The two ways requests are signed.

Source: docs/wire/write-off.md and docs/wire/sandbox-gateway.md.
"""

import hmac
import re
from datetime import datetime

from core.errors import NotSignedIn

MAX_AGE_SECONDS = 300


def write_off_signature(secret: str, time_text: str, *, method: str, path: str, body: bytes) -> str:
    """Sign a write-off request: the time, the method, the path and the body, a line each."""
    return _hex(secret, f"{time_text}\n{method}\n{path}\n".encode() + body)


def sandbox_signature(secret: str, time_text: str, *, path: str, body: bytes) -> str:
    """Sign a sandbox request: the time and its body, or its path where it has none."""
    return _hex(secret, f"{time_text}.".encode() + (body or path.encode()))


def check_signature(expected: str, given: str, time_text: str, *, now: datetime) -> None:
    """Let a request pass, or not.

    Raises:
        NotSignedIn: the signature is wrong, or ``time_text`` (unix seconds) is more than five
            minutes away from ``now`` in either direction.
    """
    if re.fullmatch(r"[0-9]{1,12}", time_text) is None:
        raise NotSignedIn("the time header must hold unix seconds", code="signature.time")
    if abs(int(now.timestamp()) - int(time_text)) > MAX_AGE_SECONDS:
        raise NotSignedIn("the request is stale", code="signature.stale")
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise NotSignedIn("the signature is wrong", code="signature.wrong")


def _hex(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, "sha256").hexdigest()
