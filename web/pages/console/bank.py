"""The staff console: our accounts at the bank, what their statements cover, and handing one in."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid
from identity import audit
from payments.reconciliation.bank import accounts as bank_accounts
from payments.reconciliation.bank.accounts import PAGE, KeptStatement
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Given, Way
from payments.reconciliation.intake.work import BankResult, take_now
from payments.reconciliation.models import Leg
from payments.statements.profiles import bank_profiles
from web import look
from web.access import Caller, Db, Finance
from web.bodies import SHORT_BYTES
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.filters import After, FileKind
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import complaint, refusal

router = APIRouter(prefix="/console/bank", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
MOST_FILES = 20
Label = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Code = Annotated[str, Form(max_length=32, pattern=PLAIN, default_factory=str)]


class Sent(NamedTuple):
    """What became of one of the files that were sent together."""

    name: str
    taken: BankResult | None
    error: str | None


@router.get("")
def show_bank(request: Request, db: Db, _caller: Finance, after: After = None) -> Response:
    return _bank_page(request, db, after=after)


def _bank_page(
    request: Request,
    session: Session,
    *,
    after: int | None = None,
    sent: list[Sent] | None = None,
    refused: CityBillError | None = None,
) -> Response:
    rows = bank_accounts.list_statements(session, after=after, limit=PAGE + 1)
    error = refusal(locale_of(request), refused)
    return page(
        request,
        "console/bank.html",
        status_code=status_of(refused) if refused else _status(sent or []),
        accounts=bank_accounts.list_accounts(session),
        position=bank_accounts.position(session),
        gaps=bank_accounts.list_gaps(session),
        statements=rows[:PAGE],
        next_id=rows[PAGE - 1].id if len(rows) > PAGE else None,
        paged=after is not None,
        profiles=bank_profiles(),
        sent=sent or [],
        error=error,
    )


def _status(sent: list[Sent]) -> int:
    return 422 if any(one.error for one in sent) else 200


@router.post("")
def hand_in(
    request: Request,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    files: list[UploadFile],
    profile: Code,
) -> Response:
    """Take several files, each whole or not at all; one that is refused holds up no other."""
    check_form(request, csrf)
    given = [one for one in files if one.filename]
    if not given or len(given) > MOST_FILES:
        error = Invalid(
            look.say(locale_of(request), "Choose one file or more, twenty at most."),
            code="bank_statement.none",
        )
        return _bank_page(request, db, refused=error)
    return _bank_page(request, db, sent=[_take(request, one, profile, caller) for one in given])


def _take(request: Request, file: UploadFile, profile: str, caller: Caller) -> Sent:
    """Take one file in; here alone, so that a job may do it one day."""
    name = file.filename or "upload"
    try:
        taken = take_now(
            file.file, Given(leg=Leg.BANK, profile=profile),
            Way(CameBy.UPLOAD, person_id=caller.id), request.app.state.gateways,
            file_name=name, now=utc_now(),
        )  # fmt: skip
    except Conflict as refused:
        return Sent(name, None, refusal(locale_of(request), refused))
    except CityBillError as refused:
        return Sent(name, None, complaint(locale_of(request), refused))
    assert isinstance(taken, BankResult)
    return Sent(name, taken, None)


@router.post("/accounts/{account_id}/label")
def name_account(
    request: Request, account_id: Id, db: Db, _caller: Finance, csrf: Csrf, label: Label
) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            bank_accounts.name_account(session, account_id, label)
    except CityBillError as refused:
        return _bank_page(request, db, refused=refused)
    return go("/console/bank")


@router.get("/statements.{form}")
def export_statements(
    request: Request, form: FileKind, db: Db, caller: Finance
) -> StreamingResponse:
    """Download every statement that is here."""
    locale = locale_of(request)
    audit.note_export(db, caller.id, "bank_statements", form, "", now=utc_now())
    head = [
        look.say(locale, "Bank account"), look.say(locale, "Name of the account"),
        look.say(locale, "Statement"), look.say(locale, "Format"), look.say(locale, "From"),
        look.say(locale, "Until"),
        look.say(locale, "Opens with"), look.say(locale, "Closes with"),
        look.say(locale, "Entries in it"), look.say(locale, "Missing before it"),
        look.say(locale, "File"), look.say(locale, "Taken in"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        return (_cells(one) for one in bank_accounts.every_statement(session))

    return export(form, name="bank-statements", head=head, rows=read_rows(rows))


def _cells(one: KeptStatement) -> list[Cell]:
    missing = "" if one.missing_from is None else f"{one.missing_from} – {one.missing_to}"
    return [
        one.account_masked, one.label, one.statement_no, one.source_format, one.first_on,
        one.covers_to, _yuan(one.opening_fen), _yuan(one.closing_fen), one.entries, missing,
        one.file_name, one.taken_at,
    ]  # fmt: skip


def _yuan(fen: int | None) -> Any:
    return None if fen is None else Yuan(fen)
