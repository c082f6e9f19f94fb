"""The keys of companies: what they sign their requests with, and plain API keys.

An API key is shown as it is with every request, so whoever sees one request has it. A signing key's
secret never travels: ``identity.signed_requests``.
"""

import secrets
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from core import crypto
from core.errors import Conflict, NotAllowed, NotFound, NotSignedIn
from identity.models import ApiKey, CompanyKey, Holder

_PREFIX = "cbk_"
_SIGNING_PREFIX = "ck_"
MOST_LIVE = 2  # the key in use and the next; the table holds us to it


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


class IssuedKey(NamedTuple):
    """A new key to sign with; the secret is told this once."""

    id: str
    secret: str


def issue_signing_key(
    session: Session,
    provider_code: str,
    *,
    issued_by: str,
    secret_key: str,
    now: datetime,
    holder: Holder = Holder.COMPANY,
) -> IssuedKey:
    """Make a key for a company, or an agent, to sign with, beside at most one other.

    Raises:
        Conflict: the company has two live keys: revoke one first.
    """
    made = IssuedKey(_SIGNING_PREFIX + secrets.token_hex(8), crypto.new_secret())
    for slot in range(1, MOST_LIVE + 1):
        done = session.execute(
            insert(CompanyKey)
            .values(
                id=made.id, holder=holder, provider_code=provider_code, slot=slot,
                issued_by=issued_by,
                secret_sealed=crypto.seal(secret_key, made.secret, about=made.id), created_at=now,
            )
            .on_conflict_do_nothing()
            .returning(col(CompanyKey.id))
        ).scalar_one_or_none()  # fmt: skip
        if done is not None:
            return made
    raise Conflict(
        "the company has two live keys, the one in use and the next: revoke one first",
        code="company_key.two_live",
    )


def list_signing_keys(
    session: Session, provider_code: str | None = None, *, holder: Holder = Holder.COMPANY
) -> list[CompanyKey]:
    """Return a company's keys, or everybody's, the newest first; revoked ones among them."""
    wanted = select(CompanyKey).order_by(col(CompanyKey.created_at).desc(), CompanyKey.id)
    if provider_code is not None:
        wanted = wanted.where(
            CompanyKey.provider_code == provider_code, CompanyKey.holder == holder
        )
    return list(session.exec(wanted))


def revoke_signing_key(
    session: Session, key_id: str, *, now: datetime, provider_code: str | None = None
) -> CompanyKey:
    """Make a key worthless from this moment; again changes nothing.

    Args:
        provider_code: whose it must be, where a company's own people ask.

    Raises:
        NotFound: there is no such key, or it is another company's.
    """
    key = session.get(CompanyKey, key_id, with_for_update=True)
    whose = None if key is None or key.holder is Holder.AGENT else key.provider_code
    if key is None or provider_code not in {None, whose}:
        raise NotFound("there is no such key")
    if key.revoked_at is None:
        key.revoked_at = now
    return key


def live_secrets(session: Session, provider_code: str, *, secret_key: str) -> list[str]:
    """Return the secrets a company may sign with at this moment."""
    live = select(CompanyKey).where(
        CompanyKey.provider_code == provider_code,
        CompanyKey.holder == Holder.COMPANY,
        col(CompanyKey.revoked_at).is_(None),
    )
    return [
        crypto.unseal(secret_key, key.secret_sealed, about=key.id) for key in session.exec(live)
    ]
