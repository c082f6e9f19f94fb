"""Staff say by API what moved at our bank: entries, proposals, matches by hand, learnt rules."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.masking import mask_no
from payments.reconciliation.bank import by_hand as bank_by_hand
from payments.reconciliation.bank import desk as bank_desk
from payments.reconciliation.bank import expected as bank_expected
from payments.reconciliation.bank.desk import PAGE, EntryLine, How
from payments.reconciliation.bank.expected import DueState
from payments.reconciliation.bank.models import BankDue, BankMatch, BankRule, DueKind, MatchedBy
from payments.reconciliation.bank.suggesting import suggest
from web.access import Db, Finance
from web.inputs import MAX_FEN, PLAIN, Id

router = APIRouter(tags=["reconciliation"])
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=PLAIN)]
Word = Annotated[str, Query(max_length=100, pattern=PLAIN)]
Cursor = Annotated[int | None, Query(ge=1, lt=1 << 63)]
OneId = Annotated[int, Field(strict=True, ge=1, lt=1 << 63)]
DueIds = Annotated[list[OneId], Field(min_length=1, max_length=100)]
EntryIds = Annotated[list[OneId], Field(max_length=100)]


class EntryOut(BaseModel):
    """A movement of an account of ours; into it above zero. Unmatched: `match_id` is null."""

    id: int
    account_masked: str
    label: str
    entry_no: str
    booked_on: date
    amount_fen: int
    other_name: str
    other_account_masked: str
    words: str
    refs: list[str]
    match_id: int | None
    matched_by: MatchedBy | None
    source: str | None
    is_suspended: bool


class EntriesOut(BaseModel):
    entries: list[EntryOut]
    next_cursor: int | None


class DueOut(BaseModel):
    """Money that should come into our account, or go out of it below zero."""

    id: int
    source: str
    kind: DueKind
    day: date
    reference: str
    amount_fen: int
    fee_fen: int
    match_id: int | None


class ExpectedOut(DueOut):
    state: DueState
    age_days: int
    entry_ids: list[int]


class DuesOut(BaseModel):
    dues: list[ExpectedOut]
    next_cursor: int | None


class SuggestionOut(BaseModel):
    """What an entry may be; `off_fen` is what the entry has above it, `confidence` in percent.

    `also_ids`: the entries that make up the sum with it.
    """

    source: str
    due_ids: list[int]
    references: list[str]
    amount_fen: int
    off_fen: int
    days_after: int
    is_known: bool
    confidence: int
    also_ids: list[int]


class MatchOut(BaseModel):
    id: int
    source: str
    matched_by: MatchedBy
    amount_fen: int
    fee_fen: int
    made_at: datetime
    made_by: int | None
    reason: str | None
    undone_at: datetime | None
    undone_by: int | None
    undo_reason: str | None


class EntryPageOut(EntryOut):
    """An entry with what it is, was, or may be, and what differs of it."""

    match: MatchOut | None
    dues: list[DueOut]
    undone: list[MatchOut]
    suggestions: list[SuggestionOut]
    break_id: int | None


class MatchIn(BaseModel):
    due_ids: DueIds
    entry_ids: EntryIds = []  # besides the one in the address
    reason: Reason


class WhyIn(BaseModel):
    reason: Reason


class RuleOut(BaseModel):
    id: int
    source: str
    learnt_from: int
    learnt_at: datetime
    ended_at: datetime | None
    ended_by: int | None
    end_reason: str | None


class RulesOut(BaseModel):
    rules: list[RuleOut]
    next_cursor: int | None


@router.get("/bank-entries")
def list_entries(
    db: Db,
    _caller: Finance,
    how: How | None = None,
    account_id: Cursor = None,
    from_on: date | None = None,
    to_on: date | None = None,
    amount_fen: Annotated[int | None, Query(ge=-MAX_FEN, le=MAX_FEN)] = None,
    words: Word = "",
    cursor: Cursor = None,
) -> EntriesOut:
    """Return what moved at our bank, the newest first; an amount is looked for both ways."""
    wanted = bank_desk.Wanted(how, account_id, from_on, to_on, amount_fen, words)
    found = bank_desk.find_entries(db, wanted, after=cursor, limit=PAGE)
    return EntriesOut(
        entries=[EntryOut(**_facts(one)) for one in found],
        next_cursor=found[-1].entry.id if len(found) == PAGE else None,
    )


def _facts(line: EntryLine) -> dict[str, Any]:
    entry = line.entry
    return entry.model_dump() | {
        "account_masked": line.account_masked, "label": line.label,
        "other_account_masked": mask_no(entry.other_account_no),
        "matched_by": line.matched_by, "source": line.source,
        "is_suspended": line.is_suspended,
    }  # fmt: skip


@router.get("/bank-entries/{entry_id}")
def read_entry(entry_id: Id, db: Db, _caller: Finance) -> EntryPageOut:
    """Return an entry with what it is matched with, or with what it may be."""
    return _page(db, entry_id)


def _page(session: Session, entry_id: int) -> EntryPageOut:
    view = bank_desk.view_entry(session, entry_id)
    match = None if view.match is None else view.match.match
    settles = view.settles is not None
    by_person = MatchedBy.PERSON if settles else None
    line = EntryLine(
        view.entry, view.account_masked, view.label,
        by_person if match is None else match.matched_by, None if match is None else match.source,
        view.is_suspended and not settles,
    )  # fmt: skip
    found = [] if match or view.is_suspended else suggest(session, view.entry)
    return EntryPageOut(
        **_facts(line),
        match=None if match is None else _match(match),
        dues=[_due(one) for one in (view.match.dues if view.match else [])],
        undone=[_match(one) for one in view.undone],
        suggestions=[SuggestionOut.model_validate(one, from_attributes=True) for one in found],
        break_id=None if view.difference is None else view.difference.id,
    )


def _match(match: BankMatch) -> MatchOut:
    return MatchOut.model_validate(match, from_attributes=True)


def _due(due: BankDue) -> DueOut:
    return DueOut.model_validate(due, from_attributes=True)


@router.post("/bank-entries/{entry_id}/match", status_code=201)
def match(entry_id: Id, body: MatchIn, caller: Finance) -> EntryPageOut:
    """Say what an entry is: money of one source whose sum is the entry's, to the fen.

    Money that came in several sums is said of one of them, with the others in `entry_ids`.
    The same body sent again by the same person changes nothing.
    """
    with transaction() as session:
        bank_by_hand.match_by_hand(
            session, entry_id, body.due_ids, also=body.entry_ids, by=caller.id,
            reason=body.reason, now=utc_now(),
        )  # fmt: skip
    with transaction() as session:
        return _page(session, entry_id)


@router.post("/bank-matches/{match_id}/undo", status_code=201)
def undo(match_id: Id, body: WhyIn, caller: Finance) -> MatchOut:
    """Say that a match is wrong: what it posted is countered, and no run makes it again."""
    with transaction() as session:
        undone = bank_by_hand.undo_match(
            session, match_id, by=caller.id, reason=body.reason, now=utc_now()
        )
        return _match(undone)


@router.get("/bank-dues")
def list_dues(
    db: Db,
    _caller: Finance,
    state: DueState | None = None,
    source: Word = "",
    kind: DueKind | None = None,
    cursor: Cursor = None,
) -> DuesOut:
    """Return money that should come or go, the newest first, and which entries it was."""
    found = bank_expected.find_dues(
        db, bank_expected.Wanted(state, source or None, kind), today=billing_date(utc_now()),
        after=cursor, limit=PAGE,
    )  # fmt: skip
    return DuesOut(
        dues=[
            ExpectedOut(
                **_due(one.due).model_dump(), state=one.state, age_days=one.age_days,
                entry_ids=one.entry_ids,
            )
            for one in found
        ],
        next_cursor=found[-1].due.id if len(found) == PAGE else None,
    )  # fmt: skip


@router.get("/bank-rules")
def list_rules(db: Db, _caller: Finance, cursor: Cursor = None) -> RulesOut:
    """Return what matches by hand have taught, the newest first; those that ended too."""
    found = bank_desk.list_rules(db, after=cursor, limit=PAGE)
    return RulesOut(
        rules=[_rule(one.rule) for one in found],
        next_cursor=found[-1].rule.id if len(found) == PAGE else None,
    )


def _rule(rule: BankRule) -> RuleOut:
    return RuleOut.model_validate(rule, from_attributes=True)


@router.post("/bank-rules/{rule_id}/end", status_code=201)
def end_rule(rule_id: Id, body: WhyIn, caller: Finance) -> RuleOut:
    """Have an account's money tell nothing any more."""
    with transaction() as session:
        return _rule(
            bank_by_hand.end_rule(session, rule_id, by=caller.id, reason=body.reason, now=utc_now())
        )
