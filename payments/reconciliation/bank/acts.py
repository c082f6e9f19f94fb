"""What a person does about the bank's differences: suspend, send back, write a few fen off.

Each is undone by a counter-transfer. While an entry is suspended, or was sent back, no run takes it
for anything else. The bank is locked by whoever calls, before any difference.
"""

import re
from datetime import datetime

from sqlalchemy import exists, text
from sqlmodel import Session, col, select

from billing.ledger import books, postings
from core import outbox
from core.clock import billing_date, month_start
from core.errors import Conflict, NotFound
from core.keys import month_key
from payments.reconciliation.bank.by_hand import STANDS
from payments.reconciliation.bank.matching import Posted, post_made, post_undone
from payments.reconciliation.bank.models import BankDue, BankEntry, BankMatch, MatchedBy
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair.models import BankSuspense, BreakAct
from payments.returns import transfers
from payments.returns.models import BankTransfer, TransferReason

_ACCOUNT = re.compile(r"account-([0-9]{1,18})")
_NUMBER = re.compile(r"B([0-9]{1,18}|[1-8][0-9]{18})")


def return_no(suspense: BankSuspense) -> str:
    """Return the number of the transfer that sends suspended money back."""
    return f"B{suspense.id}"


def find_entry(session: Session, found: ReconciliationBreak) -> BankEntry:
    """Return the entry a difference of the bank is about.

    Raises:
        NotFound: it is about no entry.
    """
    account = _ACCOUNT.fullmatch(found.source)
    wanted = select(BankEntry).where(
        BankEntry.account_id == int(account[1] if account else 0),
        BankEntry.entry_no == found.reference,
    )
    entry = session.exec(wanted.execution_options(populate_existing=True)).one_or_none()
    if entry is None:
        raise NotFound("there is no such entry", code="break.not_ours")
    return entry


def find_suspense(session: Session, act_id: int) -> BankSuspense | None:
    """Return what an act suspended, if it did."""
    wanted = select(BankSuspense).where(BankSuspense.act_id == act_id)
    return session.exec(wanted.execution_options(populate_existing=True)).one_or_none()


def suspend(
    session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime
) -> BankSuspense:
    """Let an entry's money stand in suspense until it is known whose it is.

    Raises:
        NotFound: there is no such entry.
        Conflict: a run has matched it meanwhile.
    """
    return _suspend(session, find_entry(session, found), act, now=now)


def _suspend(session: Session, entry: BankEntry, act: BreakAct, *, now: datetime) -> BankSuspense:
    if entry.match_id is not None:
        raise Conflict("this entry has been matched meanwhile: look again", code="break.explained")
    assert entry.id is not None
    assert act.id is not None
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    made = BankSuspense(
        id=month_key(month_start(billing_date(now)), number), entry_id=entry.id, act_id=act.id,
        amount_fen=entry.amount_fen, suspended_at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    books.post(session, postings.credit_suspended(made.id, made.amount_fen), now=now)
    return made


# What was not known of an entry is, while an act says whose money it is.
_KNOWN = text("""
    UPDATE reconciliation_break b SET state = 'explained', closed_at = :now
    FROM bank_entry e
    WHERE e.id = :entry_id AND b.state = 'open'
      AND (b.leg, b.row_kind, b.source, b.day, b.reference)
          = ('bank', 'entry', 'account-' || e.account_id, e.booked_on, e.entry_no)
""")


def take(session: Session, entry_id: int, act: BreakAct, *, now: datetime) -> None:
    """Take an entry into the books for an act that says whose money it is.

    Raises:
        Conflict: a run has matched it meanwhile.
    """
    entry = session.get_one(BankEntry, entry_id, populate_existing=True)
    _suspend(session, entry, act, now=now)
    session.execute(_KNOWN, {"entry_id": entry_id, "now": now})


def give_back(session: Session, act: BreakAct, *, now: datetime) -> None:
    """Undo ``take``, if the act did; the next run says anew what the entry may be."""
    assert act.id is not None
    made = find_suspense(session, act.id)
    if made is None:
        return
    entry = session.get_one(BankEntry, made.entry_id)
    unsuspend(session, act, now=now)
    outbox.emit(session, "bank_match.decided", entry.booked_on, now=now)


def send_back(
    session: Session, found: ReconciliationBreak, act: BreakAct, *, now: datetime
) -> None:
    """Suspend an entry's money and ask staff to transfer it back to who sent it."""
    made = suspend(session, found, act, now=now)
    transfers.open_transfer(
        session, None, return_no(made), made.amount_fen, TransferReason.UNKNOWN, now=now
    )


def unsuspend(session: Session, act: BreakAct, *, now: datetime) -> None:
    """Take a suspension back, and with it the transfer that was to send the money back.

    Raises:
        Conflict: the money was sent back, or may have been: its account is entered.
    """
    assert act.id is not None
    made = find_suspense(session, act.id)
    if made is None or (made.ended_at is not None and not made.is_returned):
        return
    transfer = transfers.find_transfer(session, return_no(made), lock=True)
    if made.is_returned or transfers.has_payee(transfer):
        raise Conflict(
            "this money has gone back, or may have: take the account out of the transfer first",
            code="break.money_gone",
        )
    if transfer is not None and transfers.is_waiting(transfer):
        transfers.lessen(session, transfer.number, 0, now=now)
    made.ended_at = now
    session.flush()
    moves = postings.credit_suspended(made.id, made.amount_fen, undone=True)
    books.post(session, moves, now=now)


def suspense_of(number: str) -> int | None:
    """Return what suspended money a transfer's number is of; None: it is none of ours."""
    found = _NUMBER.fullmatch(number)
    return int(found[1]) if found else None


def break_of(session: Session, number: str) -> int:
    """Return the difference whose money goes back under a number.

    Raises:
        NotFound: there is none.
    """
    made = session.get(BankSuspense, suspense_of(number) or 0)
    if made is None:
        raise NotFound("there is no such transfer")
    return session.get_one(BreakAct, made.act_id).break_id


def book_transferred(session: Session, transfer: BankTransfer, *, now: datetime) -> None:
    """Enter that our bank sent suspended money back; the transfer says so already."""
    made = session.get_one(BankSuspense, suspense_of(transfer.number), with_for_update=True)
    made.ended_at, made.is_returned = now, True
    session.flush()
    moves = postings.released(made.id, books.BANK, books.BANK, made.amount_fen)
    books.post(session, moves, now=now)


def write_off(
    session: Session, found: ReconciliationBreak, act: BreakAct, *, by: int, now: datetime
) -> None:
    """Take a sum that came in another amount for what it was to be; the rest is a difference.

    Raises:
        NotFound: nobody waits for such money.
        Conflict: its entries are others by now.
    """
    due = _due(session, found)
    overlap = col(BankEntry.refs).op("&&")(due.refs)
    entries = session.exec(
        select(BankEntry)
        .where(overlap, col(BankEntry.match_id).is_(None))
        .where(~exists().where(BankSuspense.entry_id == BankEntry.id, STANDS))  # type: ignore[arg-type]
        .order_by(col(BankEntry.id))
    ).all()
    came_fen = sum(one.amount_fen for one in entries)
    if due.match_id is not None or came_fen != found.theirs_fen or due.amount_fen != found.ours_fen:
        raise Conflict("this difference has changed: look again", code="break.changed")
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    match = BankMatch(
        id=month_key(month_start(billing_date(now)), number), source=due.source,
        parts=f"e{','.join(str(one.id) for one in entries)} d{due.id}",
        matched_by=MatchedBy.PERSON, first_on=min(one.booked_on for one in entries),
        amount_fen=came_fen, fee_fen=due.fee_fen, written_off_fen=due.amount_fen - came_fen,
        made_at=now, made_by=by, reason=act.reason,
    )  # fmt: skip
    session.add(match)
    session.flush()
    for part in (*entries, due):
        part.match_id = match.id
    session.flush()
    post_made(session, [_posted(match)], now=now)


def _due(session: Session, found: ReconciliationBreak) -> BankDue:
    wanted = select(BankDue).where(
        BankDue.source == found.source, BankDue.kind == found.row_kind, BankDue.day == found.day,
        BankDue.reference == found.reference,
    )  # fmt: skip
    due = session.exec(wanted.execution_options(populate_existing=True)).one_or_none()
    if due is None:
        raise NotFound("nobody waits for this money", code="break.not_ours")
    return due


def take_back(session: Session, found: ReconciliationBreak, *, now: datetime) -> None:
    """Undo a write-off: the money is waited for again, and what was posted is posted back.

    A run may match the same again once the sums agree: nobody said that they are not the same.
    """
    due = _due(session, found)
    match = None if due.match_id is None else session.get_one(BankMatch, due.match_id)
    if match is None or match.written_off_fen == 0:
        return
    match.undone_at = now
    entries = session.exec(select(BankEntry).where(BankEntry.match_id == match.id)).all()
    for part in (*entries, due):
        part.match_id = None
    session.flush()
    post_undone(session, [_posted(match)], now=now)


def _posted(match: BankMatch) -> Posted:
    return Posted(match.id, match.source, match.amount_fen, match.fee_fen, match.written_off_fen)
