"""Entries of our bank as staff work through them: found, and each with all that is known of it."""

from collections.abc import Iterator
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, exists, or_, text, tuple_
from sqlmodel import Session, col, func, select

from core.errors import NotFound
from core.masking import mask_no
from payments.reconciliation.bank.by_hand import STANDS, is_suspended
from payments.reconciliation.bank.matching import LOOK_BACK_DAYS
from payments.reconciliation.bank.models import (
    BankAccount,
    BankDue,
    BankEntry,
    BankMatch,
    BankRule,
    MatchedBy,
)
from payments.reconciliation.models import Leg, ReconciliationBreak
from payments.reconciliation.repair.models import Act, BankSuspense, BreakAct

PAGE = 50
_E = BankEntry
_SUSPENDED = exists().where(col(BankSuspense.entry_id) == col(_E.id), STANDS)
# It is in the books by an act, too; but whose money it is, is known.
_SETTLES = exists().where(
    col(BankSuspense.entry_id) == col(_E.id), STANDS, col(BreakAct.id) == BankSuspense.act_id,
    col(BreakAct.act) == Act.REMATCH,
)  # fmt: skip


class How(StrEnum):
    """Whether an entry is matched, and by what."""

    OPEN = "open"
    SUSPENDED = "suspended"  # in the books by an act about its difference
    MATCHED = "matched"
    REFERENCE = "reference"
    AMOUNT = "amount"
    RULE = "rule"
    PERSON = "person"


class Wanted(NamedTuple):
    """Which entries are looked for; what is none is not asked."""

    how: How | None = None
    account_id: int | None = None
    from_on: date | None = None
    to_on: date | None = None
    amount_fen: int | None = None  # in or out
    words: str = ""  # of the sender, the text, or a number


class EntryLine(NamedTuple):
    """An entry in a list; ``matched_by`` and ``source`` are none of one that is not matched."""

    entry: BankEntry
    account_masked: str
    label: str
    matched_by: MatchedBy | None
    source: str | None
    is_suspended: bool


def find_entries(
    session: Session, wanted: Wanted, *, after: int | None = None, limit: int = PAGE
) -> list[EntryLine]:
    """Return entries, the newest first; ``after`` is the last one of the page before.

    Raises:
        NotFound: there is no such last one.
    """
    order = (col(_E.booked_on), col(_E.id))
    found = (
        select(_E, BankAccount, BankMatch, case((_SETTLES, "settles"), (_SUSPENDED, "waits")))
        .join(BankAccount, col(BankAccount.id) == col(_E.account_id))
        .join(BankMatch, col(BankMatch.id) == col(_E.match_id), isouter=True)
        .where(*_asked(wanted))
        .order_by(*(one.desc() for one in order))
        .limit(limit)
    )
    if after is not None:
        last = get_entry(session, after)
        found = found.where(tuple_(*order) < (last.booked_on, last.id))
    return [
        EntryLine(
            entry,
            mask_no(account.account_no),
            account.label,
            _matched_by(match, settles=by_act == "settles"),
            None if match is None else match.source,
            by_act == "waits",
        )
        for entry, account, match, by_act in session.exec(found)
    ]


def _matched_by(match: BankMatch | None, *, settles: bool) -> MatchedBy | None:
    if settles:
        return MatchedBy.PERSON
    return None if match is None else match.matched_by


def every_entry(session: Session, wanted: Wanted) -> Iterator[EntryLine]:
    """Yield all that ``find_entries`` finds, page by page."""
    after: int | None = None
    while rows := find_entries(session, wanted, after=after, limit=1_000):
        yield from rows
        after = rows[-1].entry.id
        session.expunge_all()


def _asked(wanted: Wanted) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = []
    if wanted.account_id is not None:
        asked.append(col(_E.account_id) == wanted.account_id)
    if wanted.from_on is not None:
        asked.append(col(_E.booked_on) >= wanted.from_on)
    if wanted.to_on is not None:
        asked.append(col(_E.booked_on) <= wanted.to_on)
    if wanted.amount_fen is not None:
        asked.append(col(_E.amount_fen).in_([wanted.amount_fen, -wanted.amount_fen]))
    if wanted.how is How.OPEN:
        asked += [col(_E.match_id).is_(None), ~_SUSPENDED]
    elif wanted.how is How.SUSPENDED:
        asked += [_SUSPENDED, ~_SETTLES]
    elif wanted.how is How.MATCHED:
        asked.append(col(_E.match_id).is_not(None) | _SETTLES)
    elif wanted.how is How.PERSON:
        asked.append((col(BankMatch.matched_by) == MatchedBy.PERSON) | _SETTLES)
    elif wanted.how is not None:
        asked.append(col(BankMatch.matched_by) == MatchedBy(wanted.how))
    if words := wanted.words.strip():
        named = func.array_to_string(col(_E.refs), " ")
        places: tuple[Any, ...] = (col(_E.other_name), col(_E.words), col(_E.entry_no), named)
        asked.append(or_(*(place.icontains(words, autoescape=True) for place in places)))
    return asked


def get_entry(session: Session, entry_id: int) -> BankEntry:
    """Return an entry.

    Raises:
        NotFound: there is none of that id.
    """
    entry = session.get(BankEntry, entry_id, populate_existing=True)
    if entry is None:
        raise NotFound("there is no such entry")
    return entry


class MatchView(NamedTuple):
    """A match with both its sides; of one that is undone only what it was, and when."""

    match: BankMatch
    entries: list[BankEntry]
    dues: list[BankDue]
    taught: BankRule | None


class EntryView(NamedTuple):
    """All that is known of an entry."""

    entry: BankEntry
    account_masked: str
    label: str
    match: MatchView | None
    undone: list[BankMatch]  # what it once was, the newest first
    difference: ReconciliationBreak | None
    is_suspended: bool
    settles: ReconciliationBreak | None  # of a payment, as a person said


def view_entry(session: Session, entry_id: int) -> EntryView:
    """Return an entry with what it is matched with, was before, and what differs of it.

    Raises:
        NotFound: there is none of that id.
    """
    entry = get_entry(session, entry_id)
    account = session.get_one(BankAccount, entry.account_id)
    return EntryView(
        entry, mask_no(account.account_no), account.label,
        None if entry.match_id is None else view_match(session, entry.match_id),
        _undone(session, entry), _difference(session, entry), is_suspended(session, entry_id),
        _settles(session, entry_id),
    )  # fmt: skip


def open_beside(session: Session, entry: BankEntry, *, limit: int = 30) -> list[BankEntry]:
    """Return open entries that may have come with one in several sums: its sender's first."""
    near = timedelta(days=LOOK_BACK_DAYS)
    same_way = _E.amount_fen > 0 if entry.amount_fen > 0 else _E.amount_fen < 0
    is_senders = (_E.other_account_no == entry.other_account_no) & (
        _E.other_name == entry.other_name
    )
    days = func.abs(col(_E.booked_on) - entry.booked_on)
    return list(
        session.exec(
            select(_E)
            .where(_E.id != entry.id, col(_E.match_id).is_(None), same_way, ~_SUSPENDED)
            .where(col(_E.booked_on).between(entry.booked_on - near, entry.booked_on + near))
            .order_by(case((is_senders, 0), else_=1), days, col(_E.id))  # type: ignore[arg-type]
            .limit(limit)
        )
    )


def view_match(session: Session, match_id: int) -> MatchView:
    """Return a match with both its sides.

    Raises:
        NotFound: there is no such match.
    """
    match = session.get(BankMatch, match_id, populate_existing=True)
    if match is None:
        raise NotFound("there is no such match")
    return MatchView(
        match,
        list(session.exec(select(_E).where(_E.match_id == match_id).order_by(col(_E.id)))),
        list(
            session.exec(
                select(BankDue).where(BankDue.match_id == match_id).order_by(col(BankDue.day))
            )
        ),
        session.exec(select(BankRule).where(BankRule.learnt_from == match_id)).first(),
    )


# A match's parts are "e3,4 d7"; the entries of one lie within the days a run looks at.
_UNDONE = text("""
    SELECT id FROM bank_match
    WHERE undone_at IS NOT NULL AND first_on BETWEEN :from_on AND :booked_on
      AND string_to_array(substr(split_part(parts, ' ', 1), 2), ',') @> ARRAY[:entry_id]
    ORDER BY undone_at DESC, id DESC LIMIT 20
""")


def _undone(session: Session, entry: BankEntry) -> list[BankMatch]:
    values = {
        "from_on": entry.booked_on - timedelta(days=LOOK_BACK_DAYS),
        "booked_on": entry.booked_on, "entry_id": str(entry.id),
    }  # fmt: skip
    ids = session.execute(_UNDONE, values).scalars().all()
    return [session.get_one(BankMatch, one) for one in ids]


def _difference(session: Session, entry: BankEntry) -> ReconciliationBreak | None:
    """Return the newest thing a run found to differ about an entry."""
    return session.exec(
        select(ReconciliationBreak).where(
            ReconciliationBreak.leg == Leg.BANK,
            ReconciliationBreak.source == f"account-{entry.account_id}",
            ReconciliationBreak.day == entry.booked_on,
            ReconciliationBreak.row_kind == "entry",
            ReconciliationBreak.reference == entry.entry_no,
        )
    ).first()


def _settles(session: Session, entry_id: int) -> ReconciliationBreak | None:
    """Return the difference of the payment that an entry is known to have settled."""
    return session.exec(
        select(ReconciliationBreak)
        .join(BreakAct, col(BreakAct.break_id) == ReconciliationBreak.id)
        .join(BankSuspense, col(BankSuspense.act_id) == BreakAct.id)
        .where(BankSuspense.entry_id == entry_id, col(BankSuspense.ended_at).is_(None))
        .where(BreakAct.act == Act.REMATCH)
    ).first()


class RuleLine(NamedTuple):
    """A rule as staff see it: whose account, what it brings, and who taught it."""

    rule: BankRule
    other_name: str
    other_masked: str
    entry_id: int
    taught_by: int | None


def list_rules(session: Session, *, after: int | None = None, limit: int = PAGE) -> list[RuleLine]:
    """Return rules, the newest first; ``after`` is the last one of the page before."""
    found = select(BankRule, BankMatch).join(
        BankMatch, col(BankMatch.id) == col(BankRule.learnt_from)
    )
    if after is not None:
        found = found.where(col(BankRule.id) < after)
    lines = []
    for rule, match in session.exec(found.order_by(col(BankRule.id).desc()).limit(limit)):
        entry = get_entry(session, int(match.parts[1:].split()[0].split(",")[0]))
        assert entry.id is not None
        lines.append(
            RuleLine(rule, entry.other_name, mask_no(entry.other_account_no), entry.id,
                     match.made_by)
        )  # fmt: skip
    return lines


def every_rule(session: Session) -> Iterator[RuleLine]:
    """Yield all rules, page by page."""
    after: int | None = None
    while rows := list_rules(session, after=after, limit=1_000):
        yield from rows
        after = rows[-1].rule.id
