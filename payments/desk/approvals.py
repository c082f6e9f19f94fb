"""All that waits for a second person, in one list: each kind decided by its own room, by its rules.

A kind is one line of ``ROOMS``: whose duty it is, what waits, and what a yes or a no does; whoever
asks may add rooms of packages above this one. The rules of two people are the rooms' own; here they
only tell whether it is worth asking.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from sqlmodel import Session, col, select

from billing import terms
from billing.terms import TermsState
from core.clock import billing_date
from core.errors import NotFound
from identity import duties
from identity.duties import Duty
from payments.models import Payment
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import workbench
from payments.reconciliation.repair.models import BreakAct
from payments.remittance import deciding
from payments.remittance.models import Remittance, RemittanceState
from payments.returns import staff_refunds, transfers
from payments.returns.models import Refund, RefundStatus

MANY = 200  # of each kind at most


class Kind(StrEnum):
    REFUND = "refund"
    TRANSFER = "transfer"  # of money that goes back by our own bank: that it was sent
    BREAK_ACT = "break_act"
    TERMS = "terms"
    REMITTANCE = "remittance"
    DUTY = "duty"


class Waiting(NamedTuple):
    """One thing that waits, with what somebody decides it by."""

    kind: str  # a Kind, or that of a room further up
    key: str  # its name in its room
    since: datetime
    by: int | None  # who proposed it; none: the command line
    about: str  # a refund's number, a company's code, a difference's reference, a duty
    what: str = ""  # of what kind it is, in its room's words: an act, a reason's code
    fen: int | None = None
    why: str = ""
    matter: str = ""  # what its page is called by, where that is not ``key``
    target: str = ""  # what a difference is to be matched with
    on: date | None = None  # when it comes into force
    barred: frozenset[int] = frozenset()  # who may not decide it though they did not propose it


class Answer(NamedTuple):
    """A yes or a no; ``words`` is a reason, or the bank's reference of what it has sent."""

    key: str
    by: int
    words: str
    now: datetime


class Room(NamedTuple):
    """Where one kind is at home; who proposed a thing says no to take it back."""

    duty: Duty
    waiting: Callable[[Session, date], list[Waiting]]
    approve: Callable[[Session, Answer], object]
    decline: Callable[[Session, Answer], object]
    yes_needs_words: bool = False
    no_needs_words: bool = False
    numbered: bool = True  # its keys are numbers


def _refunds(session: Session, _today: date) -> list[Waiting]:
    rows = session.exec(
        select(Refund, Payment)
        .join(Payment, col(Payment.id) == col(Refund.payment_id))
        .where(Refund.status == RefundStatus.PROPOSED)
        .order_by(col(Refund.proposed_at), col(Refund.refund_no))
        .limit(MANY)
    )
    return [
        Waiting(
            Kind.REFUND, one.refund_no, one.proposed_at, one.proposed_by, one.refund_no,
            what=one.reason_code or "", fen=one.amount_fen, why=one.reason,
            barred=frozenset() if payment.payer_id is None else frozenset({payment.payer_id}),
        )
        for one, payment in rows if one.proposed_at is not None
    ]  # fmt: skip


def _transfers(session: Session, _today: date) -> list[Waiting]:
    return [
        Waiting(
            Kind.TRANSFER, one.number, one.payee_at, one.payee_by, one.number,
            what=one.why, fen=one.amount_fen, why=one.payee_account_masked or "",
        )
        for one in transfers.list_waiting(session, limit=MANY)
        if one.payee_at is not None and one.needs_two
    ]  # fmt: skip


def _break_acts(session: Session, _today: date) -> list[Waiting]:
    rows = session.exec(
        select(BreakAct, ReconciliationBreak)
        .join(ReconciliationBreak, col(ReconciliationBreak.id) == col(BreakAct.break_id))
        .where(*workbench.WAITS)
        .order_by(col(BreakAct.proposed_at), col(BreakAct.id))
        .limit(MANY)
    )
    return [
        Waiting(
            Kind.BREAK_ACT, str(act.id), act.proposed_at, act.proposed_by, found.reference,
            what=act.word, fen=act.amount_fen, why=act.reason, matter=str(found.id),
            target=act.target or "",
        )
        for act, found in rows
    ]  # fmt: skip


def _terms(session: Session, today: date) -> list[Waiting]:
    return [
        Waiting(
            Kind.TERMS, str(row.id), row.proposed_at, row.proposed_by, row.provider_code,
            why=row.reason, on=row.effective_on,
        )
        for row, state in terms.list_ahead(session, today=today) if state is TermsState.PROPOSED
    ]  # fmt: skip


def _remittances(session: Session, _today: date) -> list[Waiting]:
    released = select(Remittance).where(Remittance.state == RemittanceState.RELEASED)
    return [
        Waiting(
            Kind.REMITTANCE, str(one.id), one.released_at, one.released_by, one.provider_code,
            what=one.number, fen=one.net_fen, on=one.due_on,
        )
        for one in session.exec(released.order_by(col(Remittance.released_at)).limit(MANY))
        if one.released_at is not None
    ]  # fmt: skip


def _duties(session: Session, _today: date) -> list[Waiting]:
    return [
        Waiting(
            Kind.DUTY, str(one.id), one.proposed_at, one.proposed_by, one.duty,
            matter=str(one.person_id), barred=frozenset({one.person_id}),
        )
        for one in duties.proposed_duties(session)
    ]  # fmt: skip


ROOMS: dict[str, Room] = {
    Kind.REFUND: Room(
        Duty.SERVICE, _refunds,
        lambda s, a: staff_refunds.approve(s, a.key, by=a.by, now=a.now),
        lambda s, a: staff_refunds.decline(s, a.key, by=a.by, reason=a.words, now=a.now),
        no_needs_words=True, numbered=False,
    ),
    Kind.TRANSFER: Room(
        Duty.SERVICE, _transfers,
        lambda s, a: staff_refunds.confirm_sent(s, a.key, bank_ref=a.words, by=a.by, now=a.now),
        lambda s, a: transfers.clear_payee(s, a.key),
        yes_needs_words=True, numbered=False,
    ),
    Kind.BREAK_ACT: Room(
        Duty.FINANCE, _break_acts,
        lambda s, a: repair.approve(s, int(a.key), by=a.by, now=a.now),
        lambda s, a: repair.decline(s, int(a.key), by=a.by, now=a.now),
    ),
    Kind.TERMS: Room(
        Duty.SETUP, _terms,
        lambda s, a: terms.approve(s, int(a.key), approved_by=a.by, now=a.now),
        lambda s, a: terms.withdraw(s, int(a.key), by=a.by, now=a.now),
    ),
    Kind.REMITTANCE: Room(
        Duty.FINANCE, _remittances,
        lambda s, a: deciding.approve(s, int(a.key), by=a.by, now=a.now),
        lambda s, a: deciding.decline(s, int(a.key), by=a.by, reason=a.words, now=a.now),
        no_needs_words=True,
    ),
    Kind.DUTY: Room(
        Duty.ADMIN, _duties,
        lambda s, a: duties.give_proposed(s, int(a.key), by=a.by, now=a.now),
        lambda s, a: duties.take_duty(s, int(a.key), by=a.by, now=a.now),
    ),
}  # fmt: skip


def list_waiting(
    session: Session,
    on_duty: Collection[Duty],
    *,
    now: datetime,
    rooms: Mapping[str, Room] = ROOMS,
) -> list[Waiting]:
    """Return what waits for somebody with these duties, the oldest first."""
    today = billing_date(now)
    theirs = [room for room in rooms.values() if room.duty in on_duty]
    found = [one for room in theirs for one in room.waiting(session, today)]
    return sorted(found, key=lambda one: (one.since, one.kind, one.key))


def count_waiting(
    session: Session,
    on_duty: Collection[Duty],
    *,
    by: int,
    now: datetime,
    rooms: Mapping[str, Room] = ROOMS,
) -> int:
    """Count what somebody with these duties may decide: what waits, less what is their own."""
    waiting = list_waiting(session, on_duty, now=now, rooms=rooms)
    return sum(may_decide(one, by) for one in waiting)


def may_decide(one: Waiting, by: int) -> bool:
    """Tell whether somebody is a second person to it."""
    return by != one.by and by not in one.barred


def decide(
    session: Session, kind: str, answer: Answer, *, yes: bool, rooms: Mapping[str, Room] = ROOMS
) -> None:
    """Say yes or no to one thing, in its room and by its rules.

    Raises:
        NotFound: no such thing.
        CityBillError: what the room says against it.
    """
    room = rooms[kind]
    if room.numbered and not _NUMBER.fullmatch(answer.key):
        raise NotFound("there is nothing of that number")
    (room.approve if yes else room.decline)(session, answer)


_NUMBER = re.compile(r"[0-9]{1,18}")
