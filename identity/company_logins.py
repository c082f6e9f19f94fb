"""How companies sign in to our SFTP server: by public keys, or by a password we made for them.

A login is never changed and never deleted: it is revoked, and a new one is added beside it, so that
the table tells who could sign in on any day.
"""

from datetime import datetime

import asyncssh
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, text
from sqlmodel import Field, Session, SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core import crypto
from core.db import UtcDateTime
from core.errors import Conflict, Invalid, NotFound

_SMALLEST_RSA_BITS = 2048
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(crypto.new_token())


class CompanyLogin(SQLModel, table=True):
    """One key or one password of a company. The user name is the company's code."""

    __tablename__ = "company_login"
    __table_args__ = (
        CheckConstraint("(public_key IS NULL) <> (password_hash IS NULL)", name="one_way"),
        CheckConstraint("(public_key IS NULL) = (fingerprint IS NULL)", name="key_has_fingerprint"),
        Index(
            "ix_company_login_live_key", "provider_code", "fingerprint", unique=True,
            postgresql_where=text("revoked_at IS NULL AND fingerprint IS NOT NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    provider_code: str
    label: str
    public_key: str | None = None
    fingerprint: str | None = None
    password_hash: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


def add_key(
    session: Session, provider_code: str, key_text: str, *, label: str, now: datetime
) -> CompanyLogin:
    """Let a company sign in with a key.

    Args:
        key_text: the public key, one line as OpenSSH writes it or a file of RFC 4716.

    Raises:
        Invalid: not a public key, or one of a kind that is broken.
        Conflict: the company has this key already.
    """
    if "PRIVATE KEY" in key_text:
        raise Invalid(
            "this is a private key, which its owner must never send: ask for the .pub file",
            code="login.private_key",
        )
    try:
        key = asyncssh.import_public_key(key_text)
    except (asyncssh.KeyImportError, ValueError) as wrong:
        raise Invalid(f"this is not a public key: {wrong}", code="login.key") from None
    _refuse_weak(key)
    fingerprint = key.get_fingerprint()
    if find_key(session, provider_code, fingerprint) is not None:
        raise Conflict(f"{provider_code} has the key {fingerprint} already", code="login.known")
    login = CompanyLogin(
        provider_code=provider_code,
        label=label[:80],
        public_key=key.export_public_key().decode().strip(),
        fingerprint=fingerprint,
        created_at=now,
    )
    session.add(login)
    session.flush()
    return login


def _refuse_weak(key: asyncssh.SSHKey) -> None:
    if key.get_algorithm() == "ssh-dss" or (
        isinstance(key.pyca_key, RSAPublicKey) and key.pyca_key.key_size < _SMALLEST_RSA_BITS
    ):
        raise Invalid(
            "a key of this kind and size is not safe any more: ask for ssh-ed25519, or for RSA of"
            f" {_SMALLEST_RSA_BITS} bits or more",
            code="login.weak_key",
        )


def add_password(
    session: Session, provider_code: str, *, label: str, now: datetime
) -> tuple[CompanyLogin, str]:
    """Let a company sign in with a password of 256 random bits, shown once and stored nowhere."""
    password = crypto.new_token()
    login = CompanyLogin(
        provider_code=provider_code,
        label=label[:80],
        password_hash=_HASHER.hash(password),
        created_at=now,
    )
    session.add(login)
    session.flush()
    return login, password


def find_key(session: Session, provider_code: str, fingerprint: str) -> CompanyLogin | None:
    """Return the live login of a company with this key, if there is one."""
    wanted = _live(provider_code).where(CompanyLogin.fingerprint == fingerprint)
    return session.exec(wanted).one_or_none()


def find_password(session: Session, provider_code: str, password: str) -> CompanyLogin | None:
    """Return the live login of a company with this password, if there is one.

    Takes as long for a company that does not exist as for one with a single password.
    """
    known = session.exec(
        _live(provider_code).where(col(CompanyLogin.password_hash).is_not(None))
    ).all()
    if not known:
        _matches(_NOBODY, password)
    return next((one for one in known if _matches(one.password_hash or "", password)), None)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False


def note_use(session: Session, login_id: int, *, now: datetime) -> None:
    """Note that somebody signed in with it."""
    session.get_one(CompanyLogin, login_id).used_at = now


def revoke(session: Session, login_id: int, *, now: datetime) -> CompanyLogin:
    """End a login; again changes nothing.

    Raises:
        NotFound: there is no such login.
    """
    login = session.get(CompanyLogin, login_id, with_for_update=True)
    if login is None:
        raise NotFound(f"there is no login {login_id}: `citybill sftp list` shows them")
    if login.revoked_at is None:
        login.revoked_at = now
    return login


def revoked_among(session: Session, login_ids: list[int]) -> set[int]:
    """Return which of these are revoked."""
    wanted = select(CompanyLogin.id).where(
        col(CompanyLogin.id).in_(login_ids), col(CompanyLogin.revoked_at).is_not(None)
    )
    return {one for one in session.exec(wanted) if one is not None}


def list_logins(session: Session, provider_code: str | None = None) -> list[CompanyLogin]:
    """Return every login there ever was, of one company or of all."""
    wanted = select(CompanyLogin).order_by(col(CompanyLogin.provider_code), col(CompanyLogin.id))
    if provider_code is not None:
        wanted = wanted.where(CompanyLogin.provider_code == provider_code)
    return list(session.exec(wanted).all())


def _live(provider_code: str) -> SelectOfScalar[CompanyLogin]:
    return select(CompanyLogin).where(
        CompanyLogin.provider_code == provider_code, col(CompanyLogin.revoked_at).is_(None)
    )
