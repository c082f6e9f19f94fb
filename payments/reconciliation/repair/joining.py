"""A row of one side that is one of the other's, because a person says so.

Said of a row of theirs, it names our payment or refund by our number. Said of a payment of ours, it
names what settled it: a row in a gateway's file, or an entry of our bank. The money moves there in
the books, and back when it is undone.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, select

from billing.ledger import books, postings
from core.errors import AmountMismatch, Invalid, NotFound
from core.money import yuan_text
from payments.models import find_payment_by_order
from payments.reconciliation.bank import acts as bank_acts
from payments.reconciliation.bank.models import BankEntry
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair.models import BreakAct

FAR_DAYS = 8  # a row is no payment of a day further away
_LATEST_DAYS = 31  # after which the bank's money is no payment's any more
MOST_WAYS = 50


class Way(NamedTuple):
    """What may have settled a payment of ours: ``name`` says it to ``join``.

    ``entry_id``: of our bank's entry; None: it is a row of the gateway ``source``.
    """

    name: str
    source: str
    on: date
    reference: str
    told: str  # who paid, or what else the row says
    entry_id: int | None


def entry_of(session: Session, row: str) -> int | None:
    """Return the id of our bank's entry that ``source day reference`` names, if it is one."""
    source, _, reference = row.split(" ", 2)
    whose, _, account_id = source.partition("-")
    if whose != "account" or not account_id.isdecimal():
        return None
    wanted = select(BankEntry.id).where(
        BankEntry.account_id == int(account_id), BankEntry.entry_no == reference
    )
    return session.exec(wanted).first()


# A refund goes back the way its payment came: its row is of the same gateway.
_OURS = text("""
    SELECT l.source, l.ours_fen, p.id AS payment_id
    FROM settlement_left l
    LEFT JOIN payment p ON l.row_kind = 'payment' AND p.order_no = l.reference
    WHERE (l.row_kind, l.reference, l.verdict) = (:row_kind, :target, 'ours')
      AND l.day BETWEEN :day - :far AND :day + :far
      AND (l.row_kind = 'payment' OR l.source = :source)
      -- Another row of theirs is this already, as a person said: its money moves once.
      AND NOT EXISTS (
          SELECT FROM break_act a JOIN reconciliation_break b ON b.id = a.break_id
          WHERE a.act = 'rematch' AND b.row_kind = :row_kind
            AND (a.target = :target OR b.reference = :target AND b.ours_fen IS NOT NULL)
            AND a.done_at IS NOT NULL AND a.undone_at IS NULL AND a.break_id <> :break_id)
    ORDER BY l.day
""")
# Of the same sum, near, and nothing else so far.
_WAYS = text("""
    SELECT b.source || ' ' || to_char(b.day, 'YYYY-MM-DD') || ' ' || b.reference AS name,
           b.source, b.day AS on, b.reference, coalesce(b.their_ref, '') AS told,
           CAST(NULL AS bigint) AS entry_id
    FROM reconciliation_break b
    WHERE b.leg = 'gateway' AND b.state = 'open' AND b.row_kind = 'payment'
      AND b.kind IN ('missing_here', 'other_route') AND b.ours_fen IS NULL AND b.theirs_fen = :fen
      AND b.day BETWEEN :day - :far AND :day + :far
    UNION ALL
    SELECT 'account-' || e.account_id || ' ' || to_char(e.booked_on, 'YYYY-MM-DD') || ' '
           || e.entry_no, 'account-' || e.account_id, e.booked_on, e.entry_no,
           coalesce(nullif(e.other_name, ''), e.words), e.id
    FROM bank_entry e
    WHERE e.match_id IS NULL AND e.amount_fen = :fen
      AND e.booked_on BETWEEN :day - :far AND :day + :latest
      AND NOT EXISTS (SELECT FROM bank_suspense s
                      WHERE s.entry_id = e.id AND (s.ended_at IS NULL OR s.is_returned))
    ORDER BY 3, 1 LIMIT :most
""")


def ways_of(session: Session, found: ReconciliationBreak) -> list[Way]:
    """Return what may have settled a payment of ours, the earliest first."""
    values = {"fen": found.ours_fen, "day": found.day, "far": FAR_DAYS, "latest": _LATEST_DAYS,
              "most": MOST_WAYS}  # fmt: skip
    return [Way(*row) for row in session.execute(_WAYS, values)]


def check_target(session: Session, found: ReconciliationBreak, target: str | None) -> None:
    """See that the other side is named, waits for this one, and is the same sum.

    Raises:
        Invalid: nothing is named.
        NotFound: nothing under that number or name waits for a row of these days.
        AmountMismatch: it is another sum.
    """
    if not target:
        raise Invalid("say which payment or refund it is", code="break.no_target")
    if found.ours_fen is not None:
        _way(session, found, target)
        return
    rows = _ours(session, found, target)
    if len(rows) != 1:
        raise NotFound(
            "none of ours under this number waits for a row of these days", code="break.no_target"
        )
    if rows[0].ours_fen != found.theirs_fen:
        raise AmountMismatch(
            f"ours is {yuan_text(rows[0].ours_fen)}, theirs {yuan_text(found.theirs_fen or 0)}:"
            " they are not the same money",
            code="break.other_sum",
        )


def join(session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime) -> None:
    """Move the money to where it is, if that is elsewhere than we thought."""
    assert act.id is not None
    assert act.target is not None
    check_target(session, found, act.target)
    if found.ours_fen is None:
        ours = _ours(session, found, act.target)[0]
        if ours.source != found.source:
            moves = postings.rerouted(
                act.id, ours.payment_id, ours.source, found.source, act.theirs_fen or 0
            )
            books.post(session, moves, now=now)
        return
    way = _way(session, found, act.target)
    if way.entry_id is not None:
        bank_acts.take(session, way.entry_id, act, now=now)
    _move(session, found, act, undone=False, now=now)


def part(session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime) -> None:
    """Move the money back to where we thought it was."""
    assert act.target is not None
    if found.ours_fen is not None:
        _move(session, found, act, undone=True, now=now)
        bank_acts.give_back(session, act, now=now)
        return
    key = f"rerouted:{act.id}"
    way = session.execute(_REROUTED, {"key": key, "target": act.target}).first()
    if way is not None:
        assert act.id is not None
        moves = postings.rerouted(
            act.id, way.payment_id, way.source, found.source, act.theirs_fen or 0, undone=True
        )
        books.post(session, moves, now=now)


def _move(
    session: Session, found: ReconciliationBreak, act: BreakAct, *, undone: bool, now: datetime
) -> None:
    """Move a payment's money from its gateway to where it came, or back."""
    assert act.id is not None
    assert act.target is not None
    source = act.target.split(" ", 1)[0]
    if source == found.source:
        return
    payment = find_payment_by_order(session, found.reference)
    if payment is None:
        raise NotFound("this order is none of ours: find out who paid", code="break.not_ours")
    moves = postings.rerouted(
        act.id, payment.id, found.source, None if source.startswith("account-") else source,
        act.ours_fen or 0, undone=undone,
    )  # fmt: skip
    books.post(session, moves, now=now)


def _way(session: Session, found: ReconciliationBreak, name: str) -> Way:
    way = next((one for one in ways_of(session, found) if one.name == name), None)
    if way is None:
        raise NotFound(
            "no row of the same sum waits under this name near that day", code="break.no_way"
        )
    return way


def _ours(session: Session, found: ReconciliationBreak, target: str) -> Sequence[Any]:
    values = {"row_kind": found.row_kind, "target": target, "day": found.day, "far": FAR_DAYS,
              "source": found.source, "break_id": found.id}  # fmt: skip
    return session.execute(_OURS, values).all()


_REROUTED = text("""
    SELECT t.subject_id AS payment_id, split_part(a.code, ':', 2) AS source
    FROM payment p
    JOIN ledger_transfer t ON (t.account_id, t.subject_id, t.entry_key) = (0, p.id, :key)
    JOIN ledger_account a ON a.id = t.credit_account_id
    WHERE p.order_no = :target
""")
