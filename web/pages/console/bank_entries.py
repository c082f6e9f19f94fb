"""The staff console: what moved at our bank, what each entry is, and saying it by hand."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from core.masking import mask_no
from identity import audit
from identity.people import get_person
from payments.reconciliation.bank import by_hand as bank_by_hand
from payments.reconciliation.bank import desk as bank_desk
from payments.reconciliation.bank.accounts import list_accounts
from payments.reconciliation.bank.desk import (
    PAGE,
    EntryLine,
    EntryView,
    How,
    MatchView,
    Wanted,
    open_beside,
)
from payments.reconciliation.bank.expected import open_dues
from payments.reconciliation.bank.models import BankDue, BankMatch
from payments.reconciliation.bank.suggesting import Suggestion, suggest
from web import look
from web.access import Db, Finance
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.filters import After, FileKind, Word, day_of, fen_of, number_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import refusal, source_name

router = APIRouter(prefix="/console/bank/entries")
Reason = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Ticked = Annotated[
    list[Annotated[int, Field(ge=1, lt=1 << 63)]], Form(max_length=100, default_factory=list)
]


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(
        self, how: Word = "", account: Word = "", since: Word = "", until: Word = "",
        amount: Word = "", words: Word = "",
    ) -> None:  # fmt: skip
        self.typed = {
            "how": how, "account": account, "since": since, "until": until, "amount": amount,
            "words": words,
        }  # fmt: skip
        self.refused: CityBillError | None = None
        fen = None
        try:
            fen = fen_of(amount)
        except Invalid as refused:
            self.refused = refused
        self.wanted = Wanted(
            how=one_of(How, how), account_id=number_of(account),
            from_on=day_of(since), to_on=day_of(until), amount_fen=fen, words=words,
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filtered = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_entries(
    request: Request, db: Db, _caller: Finance, asked: Filtered, after: After = None
) -> Response:
    rows = bank_desk.find_entries(db, asked.wanted, after=after, limit=PAGE + 1)
    shown = [] if asked.refused else rows[:PAGE]
    return page(
        request,
        "console/bank_entries.html",
        status_code=422 if asked.refused else 200,
        rows=[_row(request, one) for one in shown],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].entry.id if shown and len(rows) > PAGE else None,
        accounts=list_accounts(db),
        error=asked.refused,
    )


def _row(request: Request, line: EntryLine) -> dict[str, Any]:
    return line._asdict() | {
        "account": line.label or line.account_masked,
        "whose": None if line.source is None else source_name(request, line.source),
    }


@router.get(".{form}")
def export_entries(
    request: Request, form: FileKind, db: Db, caller: Finance, asked: Filtered
) -> StreamingResponse:
    """Download every entry the address asks for."""
    if asked.refused:
        raise asked.refused
    locale = locale_of(request)
    audit.note_export(db, caller.id, "bank_entries", form, asked.query(), now=utc_now())
    head = [
        look.say(locale, "Day"), look.say(locale, "Bank account"), look.say(locale, "Amount"),
        look.say(locale, "Sender or receiver"), look.say(locale, "Their account"),
        look.say(locale, "Text"), look.say(locale, "The bank’s number"),
        look.say(locale, "Matched with"), look.say(locale, "By"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        for one in bank_desk.every_entry(session, asked.wanted):
            entry, row = one.entry, _row(request, one)
            yield [
                entry.booked_on, row["account"], Yuan(entry.amount_fen), entry.other_name,
                mask_no(entry.other_account_no), entry.words, entry.entry_no, row["whose"],
                _how(locale, one),
            ]  # fmt: skip

    return export(form, name="bank-entries", head=head, rows=read_rows(rows))


def _how(locale: str, line: EntryLine) -> str:
    if line.is_suspended:
        return look.say(locale, "In suspense")
    if line.matched_by is None:
        return look.say(locale, "Not matched")
    return look.macro_text(locale, "parts/reconciling.html", "how_pill", line.matched_by.value)


@router.get("/{entry_id}")
def show_entry(
    request: Request, entry_id: Id, db: Db, _caller: Finance, due: Word = "", entry: Word = ""
) -> Response:
    return _entry_page(request, db, entry_id, ticked=_numbers(due), also=_numbers(entry))


def _numbers(typed: str) -> list[int]:
    return [one for one in map(number_of, typed.split(",")) if one is not None]


@router.post("/{entry_id}/match")
def match(
    request: Request,
    entry_id: Id,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    reason: Reason,
    due: Ticked,
    entry: Ticked,
) -> Response:
    """Say what an entry is, alone or together with others."""
    check_form(request, csrf)

    def do(session: Session) -> None:
        bank_by_hand.match_by_hand(
            session, entry_id, due, also=entry, by=caller.id, reason=reason, now=utc_now()
        )

    return _do(request, db, entry_id, do, ticked=due, also=entry, reason=reason)


@router.post("/{entry_id}/matches/{match_id}/undo")
def undo(
    request: Request, entry_id: Id, match_id: Id, db: Db, caller: Finance, csrf: Csrf,
    reason: Reason,
) -> Response:  # fmt: skip
    """Say that an entry is not what it was matched with."""
    check_form(request, csrf)

    def do(session: Session) -> None:
        bank_by_hand.undo_match(session, match_id, by=caller.id, reason=reason, now=utc_now())

    return _do(request, db, entry_id, do, reason=reason)


def _do(
    request: Request,
    db: Session,
    entry_id: int,
    act: Callable[[Session], None],
    *,
    ticked: Sequence[int] = (),
    also: Sequence[int] = (),
    reason: str = "",
) -> Response:
    """Do one thing about an entry, and show what came of it or why not."""
    try:
        with transaction() as session:
            act(session)
    except CityBillError as refused:
        return _entry_page(
            request, db, entry_id, ticked=ticked, also=also, reason=reason, refused=refused
        )
    return go(f"/console/bank/entries/{entry_id}")


def _entry_page(
    request: Request,
    session: Session,
    entry_id: int,
    *,
    ticked: Sequence[int] = (),
    also: Sequence[int] = (),
    reason: str = "",
    refused: CityBillError | None = None,
) -> Response:
    view = bank_desk.view_entry(session, entry_id)
    is_open = view.match is None and not view.is_suspended
    found = suggest(session, view.entry) if is_open else []
    return page(
        request,
        "console/bank_entry.html",
        status_code=status_of(refused) if refused else 200,
        view=view,
        account=view.label or view.account_masked,
        other_masked=mask_no(view.entry.other_account_no),
        match=None if view.match is None else _match(request, session, view.match),
        undone=[_undone(request, session, one) for one in view.undone],
        suggestions=[one._asdict() | {"whose": source_name(request, one.source)} for one in found],
        dues=_choices(request, session, view, found, ticked) if is_open else [],
        beside=open_beside(session, view.entry) if is_open else [],
        ticked=set(ticked),
        also=set(also),
        reason=reason,
        error=refusal(locale_of(request), refused),
    )


def _match(request: Request, session: Session, view: MatchView) -> dict[str, Any]:
    by = view.match.made_by
    return view._asdict() | {
        "whose": source_name(request, view.match.source),
        "by": None if by is None else get_person(session, by).name,
        "due_fen": sum(one.amount_fen for one in view.dues),
    }


def _undone(request: Request, session: Session, match: BankMatch) -> dict[str, Any]:
    by = match.undone_by
    return {
        "match": match,
        "whose": source_name(request, match.source),
        "by": None if by is None else get_person(session, by).name,
    }


def _choices(
    request: Request,
    session: Session,
    view: EntryView,
    found: Sequence[Suggestion],
    ticked: Sequence[int],
) -> list[dict[str, Any]]:
    """Return what may be ticked: what is proposed or was ticked first, then the nearest days."""
    first = dict.fromkeys([*ticked, *(due_id for one in found for due_id in one.due_ids)])
    dues = [session.get(BankDue, due_id) for due_id in first]
    every = [one for one in dues if one is not None and one.match_id is None]
    every += [one for one in open_dues(session, view.entry) if one.id not in first]
    return [
        {"due": one, "whose": source_name(request, one.source),
         "days": (view.entry.booked_on - one.day) // timedelta(days=1)}
        for one in every
    ]  # fmt: skip
