"""The challenge before paying for an account one is no member of: what only its papers say.

Whoever asks learns one thing: passed, or not. An account there is none of, a wrong answer, and an
account that was asked about too often get the same answer, by the same statements. Tries are
counted before anything is compared, in rows all processes share, so that many at once are many.
"""

import unicodedata
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Field, Session, SQLModel

from billing.documents.barcodes import parse_barcode
from billing.rules.terms import Proof
from billing.terms import terms_on
from core import crypto
from core.clock import add_months, billing_date, day_bounds, month_start
from core.db import UtcDateTime, transaction
from core.errors import Invalid, NotFound, TooMany
from core.keys import month_range
from core.money import parse_yuan
from providers.registry import get_provider, provider_codes

ACCOUNT_TRIES = 5  # a day
CLIENT_TRIES = 20  # an hour
LAST_BILLS = 3
_BARCODE_DIGITS = 30
_MONTHS = 24  # how far back the last bills are looked for
_MAX_LENGTH = 64


class ChallengeTry(SQLModel, table=True):
    """How often was tried since a moment: of an account, or from a client's address.

    ``subject`` is a keyed hash: the row says neither account nor address.
    """

    __tablename__ = "challenge_try"

    subject: str = Field(primary_key=True)
    since_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    tries: int


class Answer(NamedTuple):
    """What somebody typed, read."""

    provider_code: str
    account_nos: tuple[str, ...]  # what may stand behind the zeros of a barcode
    proof: Proof
    amount_fen: int = 0
    name: str = ""


class Passed(NamedTuple):
    account_id: int
    proof: Proof


def read_answer(
    session: Session,
    provider_code: str,
    account_no: str,
    *,
    amount_yuan: str,
    name: str,
    now: datetime,
) -> Answer:
    """Read what somebody typed; an amount counts before a name.

    Args:
        account_no: as on the bill, or the thirty digits under its barcode, which name the company.

    Raises:
        Invalid: something is missing, malformed, or not what this company asks for; nothing is
            said of any account.
    """
    provider_code, numbers = _read_account(provider_code, "".join(account_no.split()))
    taken = terms_on(session, provider_code, billing_date(now)).guest.proofs
    if not taken:
        raise Invalid("this company is paid by its customers only", code="challenge.no_guests")
    proof = Proof.AMOUNT if amount_yuan.strip() else Proof.NAME
    if not amount_yuan.strip() and not _plain(name):
        raise Invalid("type an amount or a name", code="challenge.no_proof", proofs=taken)
    if proof not in taken:
        raise Invalid("this company asks for another proof", code="challenge.proof", proofs=taken)
    if proof is Proof.AMOUNT:
        return Answer(provider_code, numbers, proof, amount_fen=parse_yuan(amount_yuan.strip()))
    return Answer(provider_code, numbers, proof, name=_plain(name))


def _read_account(provider_code: str, typed: str) -> tuple[str, tuple[str, ...]]:
    if len(typed) == _BARCODE_DIGITS and typed.isascii() and typed.isdecimal():
        fields = parse_barcode(typed)
        billers = {get_provider(code).biller_no: code for code in provider_codes()}
        if fields.biller_no not in billers:
            raise Invalid("no company has that barcode", code="barcode.biller_no")
        zeros = len(fields.account_no) - len(fields.account_no.lstrip("0"))
        numbers = tuple(fields.account_no[at:] for at in range(zeros + 1))
        return billers[fields.biller_no], numbers
    if provider_code not in provider_codes():
        raise Invalid("choose the company", code="challenge.no_company")
    if not typed or len(typed) > _MAX_LENGTH:
        raise Invalid("type the account number on the bill", code="challenge.no_account")
    return provider_code, (typed,)


def _plain(name: str) -> str:
    """Return a name as it is compared: width, case and blanks do not matter."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def pass_challenge(answer: Answer, *, client: str, secret: str, now: datetime) -> Passed:
    """Count a try and compare it; the count stays, whatever comes of it.

    Args:
        client: the address it came from.

    Raises:
        NotFound: no such account, a wrong answer, or too many tries of it today: not told apart.
        TooMany: too many tries from this address within the hour.
    """
    with transaction() as session:
        account_free = _count(session, answer, client=client, secret=secret, now=now)
    with transaction() as session:
        found = _compare(session, answer, now=now)
    if found is None or not account_free:
        raise NotFound("the number and what was typed with it do not match", code="challenge.no")
    return Passed(found, answer.proof)


_COUNT = text("""
    INSERT INTO challenge_try (subject, since_at, tries) VALUES (:subject, :since_at, 1)
    ON CONFLICT (subject, since_at) DO UPDATE SET tries = challenge_try.tries + 1
    RETURNING tries
""")


class _Of(StrEnum):
    CLIENT = "client"
    ACCOUNT = "account"


def _count(session: Session, answer: Answer, *, client: str, secret: str, now: datetime) -> bool:
    """Count a try; tells whether its account may be tried.

    Raises:
        TooMany: from this address; the account's tries are not used up by it.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    if _one_more(session, secret, _Of.CLIENT, client, hour) > CLIENT_TRIES:
        until = hour + timedelta(hours=1)
        raise TooMany(
            "too many tries from here: try again later", code="challenge.too_many",
            free_at=until.isoformat(),
        )  # fmt: skip
    day, _ = day_bounds(billing_date(now))
    account = f"{answer.provider_code}:{answer.account_nos[-1].lstrip('0')}"
    return _one_more(session, secret, _Of.ACCOUNT, account, day) <= ACCOUNT_TRIES


def _one_more(session: Session, secret: str, of: _Of, name: str, since_at: datetime) -> int:
    subject = crypto.sign(secret, f"challenge:{of}:{name}".encode())
    tries: int = session.execute(_COUNT, {"subject": subject, "since_at": since_at}).scalar_one()
    return tries


# An account there is none of costs the same look at bills as one there is.
_LOOK = text("""
    SELECT a.id, a.holder_name, b.amounts_fen
    FROM (SELECT 1) one
    LEFT JOIN utility_account a
           ON a.provider_code = :provider_code AND a.account_no = ANY(:account_nos)
    CROSS JOIN LATERAL (
        SELECT array_agg(last.amount_fen) AS amounts_fen
        FROM (SELECT amount_fen FROM bill
              WHERE account_id = coalesce(a.id, 0) AND id >= :first
                AND cancelled_at IS NULL AND amount_fen > 0
              ORDER BY id DESC LIMIT :last_bills) last) b
""")


def _compare(session: Session, answer: Answer, *, now: datetime) -> int | None:
    """Return the account the answer is true of."""
    first, _ = month_range(add_months(month_start(billing_date(now)), -_MONTHS))
    rows = session.execute(
        _LOOK,
        {
            "provider_code": answer.provider_code, "account_nos": list(answer.account_nos),
            "first": first, "last_bills": LAST_BILLS,
        },
    ).all()  # fmt: skip
    right: list[int] = [
        row.id for row in rows if _is_right(answer, row.holder_name or "", row.amounts_fen or [])
    ]
    return right[0] if len(right) == 1 else None


def _is_right(answer: Answer, holder_name: str, amounts_fen: list[int]) -> bool:
    if answer.proof is Proof.AMOUNT:
        return answer.amount_fen in amounts_fen
    holder = _plain(holder_name)  # some companies send stars in it: such a name is nobody's
    return holder == answer.name and "*" not in holder


def forget_challenges(session: Session, *, now: datetime) -> None:
    """Forget counts and grants whose time is over."""
    session.execute(
        text("DELETE FROM challenge_try WHERE since_at < :before"),
        {"before": now - timedelta(days=2)},
    )
    session.execute(text("DELETE FROM pay_grant WHERE expires_at < :now"), {"now": now})


def forget_guests(session: Session, *, now: datetime) -> None:
    """Forget guests who passed the challenge and paid nothing; who paid stays on record."""
    session.execute(
        text("""
            DELETE FROM person p
            WHERE role = 'guest' AND created_at < :before
              AND NOT EXISTS (SELECT FROM payment WHERE payer_id = p.id)
              AND NOT EXISTS (SELECT FROM web_session WHERE person_id = p.id)
              AND NOT EXISTS (SELECT FROM pay_grant WHERE person_id = p.id)
        """),
        {"before": now - timedelta(days=2)},
    )
