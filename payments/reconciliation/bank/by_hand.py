"""What a person decides about an entry no run could place: a match, an undoing.

A match by hand teaches whose money a counterparty's account brings, until it is undone.
"""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import text
from sqlmodel import Session, col, select

from core import outbox
from core.clock import billing_date, month_start
from core.crypto import fingerprint
from core.errors import AmountMismatch, Conflict, Invalid, NotFound
from core.keys import month_key
from core.money import yuan_text
from payments.reconciliation.bank.matching import (
    LOOK_BACK_DAYS,
    Posted,
    post_made,
    post_undone,
)
from payments.reconciliation.bank.models import (
    SAID_BEFORE,
    BankDue,
    BankEntry,
    BankMatch,
    BankRule,
    DueKind,
    MatchedBy,
)
from payments.reconciliation.bank.statements import lock_bank
from payments.reconciliation.repair.models import BankSuspense

# Money that is in the books by an act about its difference, or has gone back by one.
STANDS = col(BankSuspense.ended_at).is_(None) | col(BankSuspense.is_returned)


def is_suspended(session: Session, entry_id: int) -> bool:
    """Tell whether an entry's money is in the books without being matched."""
    standing = select(BankSuspense.id).where(BankSuspense.entry_id == entry_id, STANDS)
    return session.exec(standing).first() is not None


def match_by_hand(
    session: Session,
    entry_id: int,
    due_ids: Sequence[int],
    *,
    also: Sequence[int] = (),
    by: int,
    reason: str,
    now: datetime,
) -> BankMatch:
    """Say what an entry is: one sum that was waited for, or several of one source; it is posted.

    The same said again by the same person changes nothing while it stands.

    Args:
        also: other entries, where it came in several sums.

    Raises:
        Invalid: no reason is given, or nothing is named.
        NotFound: there is no such entry, or no such money is waited for.
        Conflict: one of them is matched already, entries are too far from each other, or the money
            of one is in suspense.
        AmountMismatch: the two sides are not the same sum.
    """
    if not reason.strip() or not due_ids:
        raise Invalid("say what the entry is, and how you know", code="bank_match.reason")
    lock_bank(session)
    entries, dues = _sides(session, {entry_id, *also}, set(due_ids))
    if (standing := _same(session, entries, dues, by=by, reason=reason.strip())) is not None:
        return standing
    _check_free(session, entries, dues)
    sources = {due.source for due in dues}
    if len(sources) > 1:
        raise Conflict("this is money of several sources: match each", code="bank_match.sources")
    [source] = sources
    _check_is_money(session, source, dues)
    came_fen, due_fen = (sum(one.amount_fen for one in side) for side in (entries, dues))
    if came_fen != due_fen:
        raise AmountMismatch(
            f"what came is {yuan_text(came_fen)} and this money {yuan_text(due_fen)}:"
            " find what makes up the difference",
            code="bank_match.amount",
        )
    return _keep_by_hand(session, entries, dues, source, by=by, reason=reason.strip(), now=now)


def _sides(
    session: Session, entry_ids: set[int], due_ids: set[int]
) -> tuple[Sequence[BankEntry], Sequence[BankDue]]:
    entries = session.exec(
        select(BankEntry)
        .where(col(BankEntry.id).in_(entry_ids))
        .order_by(col(BankEntry.id))
        .execution_options(populate_existing=True)
    ).all()
    dues = session.exec(
        select(BankDue).where(col(BankDue.id).in_(due_ids)).order_by(col(BankDue.id))
    ).all()
    if len(entries) != len(entry_ids) or len(dues) != len(due_ids):
        raise NotFound("there is no such entry, or nobody waits for this money")
    return entries, dues


def _check_free(session: Session, entries: Sequence[BankEntry], dues: Sequence[BankDue]) -> None:
    if any(is_suspended(session, one.id or 0) for one in entries):
        raise Conflict(
            "this money stands in suspense: undo that first, at its difference",
            code="bank_match.suspended",
        )
    if any(one.match_id is not None for one in entries) or any(one.match_id for one in dues):
        raise Conflict("one of them is matched already: undo that first", code="bank_match.taken")
    days = [one.booked_on for one in entries]
    if (max(days) - min(days)).days > LOOK_BACK_DAYS:
        raise Conflict(
            f"these entries are more than {LOOK_BACK_DAYS} days from each other",
            code="bank_match.far",
        )


def _same(
    session: Session, entries: Sequence[BankEntry], dues: Sequence[BankDue], *, by: int,
    reason: str,
) -> BankMatch | None:  # fmt: skip
    """Return the match that stands if this asks for it again, as happens to forms sent twice."""
    first, *others = {one.match_id for one in entries} | {one.match_id for one in dues}
    if first is None or others:
        return None
    match = session.get_one(BankMatch, first)
    is_same = (match.parts, match.made_by, match.reason) == (_parts(entries, dues), by, reason)
    return match if is_same else None


def _parts(entries: Sequence[BankEntry], dues: Sequence[BankDue]) -> str:
    came, waited = (",".join(str(one.id) for one in side) for side in (entries, dues))
    return f"e{came} d{waited}"


def _check_is_money(session: Session, source: str, dues: Sequence[BankDue]) -> None:
    pays_out = select(BankDue.id).where(BankDue.source == source, BankDue.kind == DueKind.PAYOUT)
    if any(due.kind is DueKind.NET for due in dues) and session.exec(pays_out).first():
        raise Conflict(
            "this gateway says itself what it pays out: match its payout", code="bank_match.net"
        )


def _keep_by_hand(
    session: Session, entries: Sequence[BankEntry], dues: Sequence[BankDue], source: str, *,
    by: int, reason: str, now: datetime,
) -> BankMatch:  # fmt: skip
    number = session.execute(text("SELECT nextval('payment_no')")).scalar_one()
    match = BankMatch(
        id=month_key(month_start(billing_date(now)), number), source=source,
        parts=_parts(entries, dues),
        matched_by=MatchedBy.PERSON, first_on=min(one.booked_on for one in entries),
        amount_fen=sum(one.amount_fen for one in entries),
        fee_fen=sum(due.fee_fen for due in dues),
        made_at=now, made_by=by, reason=reason,
    )  # fmt: skip
    session.add(match)
    session.flush()
    for part in (*entries, *dues):
        part.match_id = match.id
    if source not in SAID_BEFORE:
        for account_no in sorted({one.other_account_no for one in entries} - {""}):
            _learn(session, account_no, match, now=now)
    session.flush()
    post_made(session, [_posted(match)], now=now)
    session.execute(_EXPLAINED, {"match_id": match.id, "now": now})
    _decided(session, match.first_on, now=now)
    return match


_EXPLAINED = text("""
    UPDATE reconciliation_break b SET state = 'explained', closed_at = :now
    WHERE b.leg = 'bank' AND b.state = 'open' AND (
        EXISTS (SELECT FROM bank_entry e
                WHERE e.match_id = :match_id AND b.row_kind = 'entry' AND b.day = e.booked_on
                  AND (b.source, b.reference) = ('account-' || e.account_id, e.entry_no))
        OR EXISTS (SELECT FROM bank_due d
                   WHERE d.match_id = :match_id AND (b.source, b.day, b.row_kind, b.reference)
                         = (d.source, d.day, d.kind, d.reference)))
""")


def _decided(session: Session, on: date, *, now: datetime) -> None:
    """Have the bank matched again from a day on: what a person says may decide others, too."""
    outbox.emit(session, "bank_match.decided", on, now=now)


def _posted(match: BankMatch) -> Posted:
    return Posted(match.id, match.source, match.amount_fen, match.fee_fen, match.written_off_fen)


def _learn(session: Session, account_no: str, match: BankMatch, *, now: datetime) -> None:
    """Remember whose money an account brings; one that has brought two sources' tells nothing."""
    print_ = fingerprint(account_no)
    rule = session.exec(
        select(BankRule).where(BankRule.fingerprint == print_, col(BankRule.ended_at).is_(None))
    ).first()
    if rule is None:
        session.add(
            BankRule(
                fingerprint=print_, source=match.source, learnt_from=match.id, learnt_at=now
            )
        )  # fmt: skip
    elif rule.source != match.source:
        _end(rule, by=match.made_by, reason=match.reason, now=now)


def _end(rule: BankRule, *, by: int | None, reason: str | None, now: datetime) -> None:
    rule.ended_at, rule.ended_by, rule.end_reason = now, by, reason


def undo_match(
    session: Session, match_id: int, *, by: int, reason: str, now: datetime
) -> BankMatch:  # fmt: skip
    """Say that a match is wrong: what it posted is countered, and no run makes it again.

    The same said again by the same person changes nothing.

    Raises:
        Invalid: no reason is given.
        NotFound: there is no such match.
        Conflict: it is undone already, or an act wrote a difference off with it.
    """
    if not reason.strip():
        raise Invalid("say why it is wrong", code="bank_match.reason")
    lock_bank(session)
    match = session.get(BankMatch, match_id, populate_existing=True)
    if match is None:
        raise NotFound("there is no such match")
    if (match.undone_by, match.undo_reason) == (by, reason.strip()):
        return match
    if match.undone_at is not None:
        raise Conflict("this match is undone already", code="bank_match.undone")
    if match.written_off_fen:
        raise Conflict(
            "a difference was written off with this match: undo that, at its difference",
            code="bank_match.written_off",
        )
    match.undone_at, match.undone_by, match.undo_reason = now, by, reason.strip()
    entries = session.exec(select(BankEntry).where(BankEntry.match_id == match_id)).all()
    if match.matched_by in (MatchedBy.PERSON, MatchedBy.RULE):
        _unlearn(session, entries, match, now=now)
    for part in (
        *entries, *session.exec(select(BankDue).where(BankDue.match_id == match_id)),
    ):  # fmt: skip
        part.match_id = None
    session.flush()
    post_undone(session, [_posted(match)], now=now)
    _decided(session, match.first_on, now=now)
    return match


def _unlearn(
    session: Session, entries: Sequence[BankEntry], match: BankMatch, *, now: datetime
) -> None:  # fmt: skip
    prints = [fingerprint(one.other_account_no) for one in entries if one.other_account_no]
    rules = select(BankRule).where(
        col(BankRule.fingerprint).in_(prints),
        BankRule.source == match.source,
        col(BankRule.ended_at).is_(None),
    )
    for rule in session.exec(rules):
        _end(rule, by=match.undone_by, reason=match.undo_reason, now=now)


def end_rule(
    session: Session, rule_id: int, *, by: int, reason: str, now: datetime
) -> BankRule:  # fmt: skip
    """Have an account's money tell nothing any more: the next run does without it.

    What was matched by it in the days that run looks at is found anew, or not. The same said again
    by the same person changes nothing.

    Raises:
        Invalid: no reason is given.
        NotFound: there is no such rule.
        Conflict: it has ended already.
    """
    if not reason.strip():
        raise Invalid("say why it should end", code="bank_match.reason")
    lock_bank(session)
    rule = session.get(BankRule, rule_id, populate_existing=True)
    if rule is None:
        raise NotFound("there is no such rule")
    if (rule.ended_by, rule.end_reason) == (by, reason.strip()):
        return rule
    if rule.ended_at is not None:
        raise Conflict("this rule has ended already", code="bank_rule.ended")
    _end(rule, by=by, reason=reason.strip(), now=now)
    session.flush()
    _decided(session, billing_date(now), now=now)
    return rule
