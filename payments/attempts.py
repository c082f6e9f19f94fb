"""Every time a gateway was asked to collect a payment: what failover and health are decided by.

The row is written before the gateway is asked, and says "unreachable" only when the request is sure
never to have left us. A process that dies in between leaves "asked", which is the careful answer.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, ForeignKey, Index, text
from sqlmodel import Field, Session, SQLModel

from core.db import HotStatement, UtcDateTime, text_enum
from payments.gateways.base import Scene
from payments.models import Payment
from payments.states import UNOPENED, PaymentStatus

IN_A_ROW = 3  # so many unreachable, one after the other,
WITHIN = timedelta(minutes=3)  # in so short a time: the gateway is down
REST = timedelta(seconds=60)  # and is left alone so long; then one payment tries it
UNDECIDED = timedelta(seconds=10)  # an "asked" that is younger and has no answer says nothing yet


class AttemptOutcome(StrEnum):
    ASKED = "asked"  # or about to be: money may move
    UNREACHABLE = "unreachable"  # the request never left us


class PaymentAttempt(SQLModel, table=True):
    """One request to one gateway to collect a payment."""

    __tablename__ = "payment_attempt"
    __table_args__ = (Index("ix_payment_attempt_health", "gateway", "outcome", "asked_at"),)

    payment_id: int = Field(
        sa_column=Column(BigInteger, ForeignKey("payment.id"), primary_key=True)
    )
    attempt_no: int = Field(primary_key=True)
    gateway: str
    scene: Scene = Field(sa_column=Column(text_enum(Scene), nullable=False))
    payer_ref: str | None = None
    payer_ip: str | None = None
    asked_at: datetime = Field(sa_type=UtcDateTime)
    outcome: AttemptOutcome = Field(
        default=AttemptOutcome.ASKED, sa_column=Column(text_enum(AttemptOutcome), nullable=False)
    )


class Hand(NamedTuple):
    """Who pays, on what: asked again, a gateway is told the same or refuses the order's number."""

    scene: Scene = Scene.DESKTOP
    payer_ref: str | None = None  # in the gateway's words (an openid)
    payer_ip: str | None = None


_DESK = Hand()
_NOTE = HotStatement("""
    INSERT INTO payment_attempt (payment_id, attempt_no, gateway, scene, payer_ref, payer_ip,
                                 asked_at, outcome)
    SELECT :payment_id, coalesce(max(p.attempt_no), 0) + 1, :gateway,
           coalesce(min(p.scene), :scene),
           CASE WHEN count(p) = 0 THEN CAST(:payer_ref AS text) ELSE min(p.payer_ref) END,
           CASE WHEN count(p) = 0 THEN CAST(:payer_ip AS text) ELSE min(p.payer_ip) END,
           :now, 'asked'
    FROM payment_attempt p WHERE p.payment_id = :payment_id
    RETURNING attempt_no, scene, payer_ref, payer_ip
""")


# The first of a payment within the statement that makes it; ``first_values`` gives what is its own.
INSERT_FIRST = """
    INSERT INTO payment_attempt (payment_id, attempt_no, gateway, scene, payer_ref, payer_ip,
                                 asked_at, outcome)
    SELECT :id, 1, :gateway, CAST(:scene AS varchar), :payer_ref, :payer_ip, :now, 'asked'
    WHERE CAST(:scene AS varchar) IS NOT NULL
"""


def first_values(hand: Hand | None) -> dict[str, Any]:
    """Return the values of ``INSERT_FIRST``; None: nobody is asked yet."""
    return hand._asdict() if hand else dict.fromkeys(Hand._fields)


class Noted(NamedTuple):
    """A try that is written down, and whose hand the gateway is told of."""

    payment_id: int
    attempt_no: int
    hand: Hand


def note_asking(
    session: Session, payment_id: int, gateway: str, *, hand: Hand = _DESK, now: datetime
) -> Noted | None:
    """Write down that a gateway is about to be asked; commit before asking.

    Returns:
        None: it is not this gateway's any more, or where to pay is known already.
    """
    payment = lock_fresh(session, payment_id)
    if payment.gateway != gateway or payment.status not in UNOPENED:
        return None
    values = {"payment_id": payment.id, "gateway": payment.gateway, "now": now} | hand._asdict()
    [(attempt_no, scene, payer_ref, payer_ip)] = _NOTE.rows(session, values)
    return Noted(payment.id, attempt_no, Hand(Scene(scene), payer_ref, payer_ip))


def note_unreachable(session: Session, attempt: Noted) -> None:
    """Write down that a request never left us."""
    session.execute(
        text("UPDATE payment_attempt SET outcome = 'unreachable' "
             "WHERE payment_id = :payment_id AND attempt_no = :attempt_no"),
        {"payment_id": attempt.payment_id, "attempt_no": attempt.attempt_no},
    )  # fmt: skip


def lock_fresh(session: Session, payment_id: int) -> Payment:
    """Return a payment as it is now, locked until the transaction ends."""
    return session.get_one(Payment, payment_id, with_for_update=True, populate_existing=True)


def never_heard(session: Session, payment: Payment) -> bool:
    """Tell whether no gateway can have heard of a payment, which is locked.

    Each try is known not to have left us, or there was none.
    """
    return payment.status is PaymentStatus.CREATED and last_asked_at(session, payment.id) is None


def was_tried(session: Session, payment_id: int) -> bool:
    """Tell whether any gateway was tried for a payment."""
    return session.get(PaymentAttempt, (payment_id, 1)) is not None


def last_asked_at(session: Session, payment_id: int) -> datetime | None:
    """Return when a gateway was last asked that may have heard it."""
    asked_at: datetime | None = session.execute(
        text("SELECT max(asked_at) FROM payment_attempt "
             "WHERE payment_id = :payment_id AND outcome = 'asked'"),
        {"payment_id": payment_id},
    ).scalar_one()  # fmt: skip
    return asked_at


def fail_over(session: Session, payment_id: int, *, to: str) -> bool:
    """Give a payment to another gateway, if none can have heard of it; tells whether it is so."""
    payment = lock_fresh(session, payment_id)
    if not never_heard(session, payment):
        return False
    payment.gateway = to
    session.flush()
    return True


# Found by index alone, however many attempts there are: the last unreachable one and the third
# last, and whether anybody got through since.
_DOWN = text("""
    SELECT g.code, last.asked_at
    FROM unnest(CAST(:codes AS text[])) g (code)
    CROSS JOIN LATERAL (
        SELECT max(asked_at) AS asked_at, min(asked_at) AS first_at, count(*) AS tries
        FROM (SELECT asked_at FROM payment_attempt
              WHERE gateway = g.code AND outcome = 'unreachable' AND asked_at > :since
              ORDER BY asked_at DESC LIMIT :in_a_row) recent) last
    WHERE last.tries = :in_a_row AND last.asked_at - last.first_at <= :within
      AND NOT EXISTS (SELECT FROM payment_attempt p
                      WHERE p.gateway = g.code AND p.outcome = 'asked'
                        AND p.asked_at > last.first_at
                        AND (p.asked_at <= :decided
                             OR (SELECT status FROM payment WHERE id = p.payment_id) <> 'created'))
      AND (last.asked_at > :rested
           OR EXISTS (SELECT FROM payment_attempt p
                      WHERE p.gateway = g.code AND p.outcome = 'asked'
                        AND p.asked_at > greatest(last.asked_at, :decided)))
""")


def gateways_down(session: Session, codes: Iterable[str], *, now: datetime) -> frozenset[str]:
    """Return which gateways cannot be reached at the moment, as every process sees it.

    Three in a row that never left us, and the last less than a minute ago. After that minute one
    payment tries it: until that has an answer it still counts as down for everybody else.
    """
    rows = session.execute(
        _DOWN,
        {
            "codes": list(codes), "in_a_row": IN_A_ROW, "within": WITHIN,
            "since": now - WITHIN - REST - REST, "decided": now - UNDECIDED, "rested": now - REST,
        },
    )  # fmt: skip
    return frozenset(row.code for row in rows)
