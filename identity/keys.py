"""The keys companies push their files with."""

from datetime import datetime

from sqlmodel import Session

from core import crypto
from core.errors import NotAllowed, NotSignedIn
from identity.models import ApiKey

_PREFIX = "cbk_"


def issue_key(session: Session, provider_code: str, *, now: datetime) -> str:
    """Make a key for a company; the returned text is shown once and stored nowhere."""
    key = _PREFIX + crypto.new_token()
    session.add(
        ApiKey(
            key_hash=crypto.fingerprint(key),
            provider_code=provider_code,
            hint=key[:8],
            created_at=now,
        )
    )
    return key


def check_key(session: Session, key: str, *, provider_code: str) -> None:
    """Make sure a key is the company's own.

    Raises:
        NotSignedIn: no such key, or revoked.
        NotAllowed: another company's key.
    """
    if company_of(session, key) != provider_code:
        raise NotAllowed("this API key belongs to another company", code="api_key.other_company")


def company_of(session: Session, key: str) -> str:
    """Return whose key it is.

    Raises:
        NotSignedIn: no such key, or revoked.
    """
    known = session.get(ApiKey, crypto.fingerprint(key))
    if known is None or known.revoked_at is not None:
        raise NotSignedIn("the API key is unknown or was revoked", code="api_key.unknown")
    return known.provider_code
