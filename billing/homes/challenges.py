"""The challenge before paying for, or binding, an account one is no member of: what its papers say.

Whoever asks learns one thing: passed, or not. An account there is none of, a wrong answer, and an
account that was asked about too often get the same answer, by the same statements. Tries are
counted before anything is compared, in rows all processes share, so that many at once are many.

Who has moved away from an account knows its papers until that day. So what they can know opens the
bills until that day alone (``Passed.left_on``), whoever says it: an amount of a bill that began
before it, and the holder's name as long as the company has nobody else in its books.
"""

import unicodedata
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from sqlalchemy import Row, text
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
PERSON_TRIES = 30  # a day, of somebody signed in: a landlord's flats in one go, and no street's
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
    """``left_on``: what was known is from before somebody left, and opens no later bill."""

    account_id: int
    proof: Proof
    left_on: date | None = None


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


def pass_challenge(
    answer: Answer, *, client: str, person_id: int | None = None, secret: str, now: datetime
) -> Passed:
    """Count a try and compare it; the count stays, whatever comes of it.

    Args:
        client: the address it came from.
        person_id: who is signed in; None: nobody.

    Raises:
        NotFound: no such account, a wrong answer, or too many tries of it today: not told apart.
        TooMany: too many tries from this address within the hour, or by this person today.
    """
    with transaction() as session:
        _count_who(session, client=client, person_id=person_id, secret=secret, now=now)
        account_free = _count_account(session, answer, secret=secret, now=now)
    with transaction() as session:
        found = _compare(session, answer, secret=secret, now=now)
    if found is None or not account_free:
        raise NotFound("the number and what was typed with it do not match", code="challenge.no")
    return found


_COUNT = text("""
    INSERT INTO challenge_try (subject, since_at, tries) VALUES (:subject, :since_at, 1)
    ON CONFLICT (subject, since_at) DO UPDATE SET tries = challenge_try.tries + 1
    RETURNING tries
""")


class _Of(StrEnum):
    CLIENT = "client"
    PERSON = "person"
    ACCOUNT = "account"


def _count_who(
    session: Session, *, client: str, person_id: int | None, secret: str, now: datetime
) -> None:
    """Count a try of who makes it.

    Raises:
        TooMany: from this address or by this person; the account's tries are not used up by it.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    day, next_day = day_bounds(billing_date(now))
    if _one_more(session, secret, _Of.CLIENT, client, hour) > CLIENT_TRIES:
        _refuse(hour + timedelta(hours=1))
    if person_id is None:
        return
    if _one_more(session, secret, _Of.PERSON, str(person_id), day) > PERSON_TRIES:
        _refuse(next_day)


def _refuse(free_at: datetime) -> NoReturn:
    raise TooMany(
        "too many tries from here: try again later", code="challenge.too_many",
        free_at=free_at.isoformat(),
    )  # fmt: skip


def _count_account(session: Session, answer: Answer, *, secret: str, now: datetime) -> bool:
    """Count a try of an account; tells whether it may be tried."""
    day, _ = day_bounds(billing_date(now))
    account = f"{answer.provider_code}:{answer.account_nos[-1].lstrip('0')}"
    return _one_more(session, secret, _Of.ACCOUNT, account, day) <= ACCOUNT_TRIES


def _one_more(session: Session, secret: str, of: _Of, name: str, since_at: datetime) -> int:
    subject = crypto.sign(secret, f"challenge:{of}:{name}".encode())
    tries: int = session.execute(_COUNT, {"subject": subject, "since_at": since_at}).scalar_one()
    return tries


# The last day of a departure that is past; while a home that came back plans to leave again, the
# one before.
LEFT_ON = "CASE WHEN left_on < :today THEN left_on ELSE upper(earlier) - 1 END"

# An account there is none of costs the same look at bills as one there is.
_LOOK = text(f"""
    SELECT a.id, a.holder_name, b.amounts_fen, b.begun_on, d.left_on, d.holder_marks
    FROM (SELECT 1) one
    LEFT JOIN utility_account a
           ON a.provider_code = :provider_code AND a.account_no = ANY(:account_nos)
    CROSS JOIN LATERAL (
        SELECT array_agg(last.amount_fen) AS amounts_fen,
               array_agg(last.period_from_on) AS begun_on
        FROM (SELECT amount_fen, period_from_on FROM bill
              WHERE account_id = coalesce(a.id, 0) AND id >= :first
                AND cancelled_at IS NULL AND amount_fen > 0
              ORDER BY id DESC LIMIT :last_bills) last) b
    CROSS JOIN LATERAL (
        SELECT max({LEFT_ON}) AS left_on, array_agg(holder_mark) AS holder_marks
        FROM account_departure
        WHERE account_id = coalesce(a.id, 0) AND {LEFT_ON} IS NOT NULL) d
""")  # noqa: S608  our own text


def _compare(session: Session, answer: Answer, *, secret: str, now: datetime) -> Passed | None:
    """Return what the answer opens."""
    today = billing_date(now)
    first, _ = month_range(add_months(month_start(today), -_MONTHS))
    rows = session.execute(
        _LOOK,
        {
            "provider_code": answer.provider_code, "account_nos": list(answer.account_nos),
            "first": first, "last_bills": LAST_BILLS, "today": today,
        },
    ).all()  # fmt: skip
    right = [
        Passed(row.id, answer.proof, None if _is_since(answer, row, secret) else row.left_on)
        for row in rows
        if _is_right(answer, row.holder_name or "", row.amounts_fen or [])
    ]
    return right[0] if len(right) == 1 else None


def _is_right(answer: Answer, holder_name: str, amounts_fen: list[int]) -> bool:
    if answer.proof is Proof.AMOUNT:
        return answer.amount_fen in amounts_fen
    holder = _plain(holder_name)  # some companies send stars in it: such a name is nobody's
    return holder == answer.name and "*" not in holder


def _is_since(answer: Answer, row: Row[Any], secret: str) -> bool:
    """Tell whether a right answer could not be known to who has left the account."""
    if row.left_on is None:
        return True
    if answer.proof is Proof.NAME:
        return holder_mark(row.holder_name, secret=secret) not in row.holder_marks
    return any(
        amount_fen == answer.amount_fen and begun_on > row.left_on
        for amount_fen, begun_on in zip(row.amounts_fen, row.begun_on, strict=True)
    )


def holder_mark(holder_name: str, *, secret: str) -> str:
    """Return what tells one holder of an account from the next without saying who it is."""
    return crypto.sign(secret, f"holder:{_plain(holder_name)}".encode())


def forget_challenges(session: Session, *, now: datetime) -> None:
    """Forget counts and grants whose time is over."""
    session.execute(
        text("DELETE FROM challenge_try WHERE since_at < :before"),
        {"before": now - timedelta(days=2)},
    )
    session.execute(text("DELETE FROM pay_grant WHERE expires_at < :now"), {"now": now})


def forget_guests(session: Session, *, now: datetime) -> None:
    """Forget guests who passed the challenge and paid nothing; who paid stays on record.

    Who was a resident and had their data erased stays too: what is kept of them refers to the row.
    """
    session.execute(
        text("""
            DELETE FROM person p
            WHERE role = 'guest' AND created_at < :before AND ended_at IS NULL
              AND NOT EXISTS (SELECT FROM payment WHERE payer_id = p.id)
              AND NOT EXISTS (SELECT FROM web_session WHERE person_id = p.id)
              AND NOT EXISTS (SELECT FROM pay_grant WHERE person_id = p.id)
        """),
        {"before": now - timedelta(days=2)},
    )
