"""The staff console: paying companies, from what is due to what the bank has booked."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError
from core.settings import settings
from identity import audit
from identity.people import get_person
from payments.remittance import deciding, files, listing, runs, sending
from payments.remittance.listing import Filter, Stage
from payments.remittance.models import Remittance, RemittanceState, all_payments, get_remittance
from payments.remittance.sending import Debtor
from payments.remittance.waiting import owed_to_companies
from providers.registry import PROVIDERS
from web.access import Caller, Db, Finance
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind, Word, day_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.remittance_views import advice_facts, advice_file, advice_pdf
from web.pages.words.gateways import gateway_of
from web.pages.words.remittances import refusal
from web.pages.words.residents import company_of

router = APIRouter(prefix="/console/remittances")
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Shown = Annotated[str, Form(max_length=64, pattern=PLAIN, default_factory=str)]
_HEAD = (
    "number", "company", "from_on", "to_on", "due_on", "stage", "basis", "gross_yuan",
    "deducted_yuan", "carried_yuan", "held_yuan", "net_yuan", "claimed_yuan",
)  # fmt: skip


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(
        self, stage: Word = "", company: Word = "", from_on: Word = "", to_on: Word = ""
    ) -> None:
        self.typed = {"stage": stage, "company": company, "from_on": from_on, "to_on": to_on}
        self.wanted = Filter(
            stage=one_of(Stage, stage), provider_code=company or None, from_on=day_of(from_on),
            to_on=day_of(to_on),
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Wanted = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_remittances(
    request: Request, db: Db, _caller: Finance, asked: Wanted, after: After = None
) -> Response:
    return _list_page(request, db, asked, after=after)


def _list_page(
    request: Request, session: Session, asked: Asked, *, after: int | None = None,
    refused: CityBillError | None = None,
) -> Response:  # fmt: skip
    found = listing.find_remittances(session, asked.wanted, after=after, limit=listing.PAGE + 1)
    shown = found[: listing.PAGE]
    return page(
        request,
        "console/remittances.html",
        status_code=status_of(refused) if refused else 200,
        rows=shown,
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].one.id if len(found) > listing.PAGE else None,
        totals=listing.totals(session),
        files=sending.list_files(session, limit=5),
        stages=[one.value for one in Stage],
        companies=[(code, provider_name(locale_of(request), code)) for code in PROVIDERS],
        company_of=company_of(request),
        error=refusal(locale_of(request), refused),
    )


@router.post("")
def propose(request: Request, _caller: Finance, csrf: Csrf) -> Response:
    """Work out what is due by now, as the job does every hour."""
    check_form(request, csrf)
    runs.propose_due(now=utc_now())
    return go("/console/remittances")


@router.get("/waiting")
def show_waiting(request: Request, db: Db, _caller: Finance) -> Response:
    owed, not_arrived = owed_to_companies(db, now=utc_now())
    return page(
        request,
        "console/remittances_waiting.html",
        owed=owed,
        total_fen=sum(one.amount_fen for one in owed),
        not_arrived=not_arrived,
        gateway_of=gateway_of(request),
        company_of=company_of(request),
    )


@router.get("/waiting.{kind}")
def export_waiting(db: Db, caller: Finance, kind: FileKind) -> StreamingResponse:
    now = utc_now()
    audit.note_export(db, caller.id, "not-remitted", kind, "", now=now)

    def rows(session: Session) -> Iterator[tuple[Cell, ...]]:
        for owed in owed_to_companies(session, now=now).owed:
            for one in owed.waiting:
                yield (
                    owed.provider_code, one.why.value, one.from_on, one.to_on, one.due_on,
                    one.number, Yuan(one.amount_fen),
                )  # fmt: skip

    head = ("company", "why", "from_on", "to_on", "due_on", "remittance", "amount_yuan")
    return export(kind, name="not-remitted", head=head, rows=read_rows(rows))


@router.post("/files")
def make_file(
    request: Request, db: Db, caller: Finance, asked: Wanted, csrf: Csrf
) -> Response:  # fmt: skip
    """Put all that is approved into a file for our bank; from then on it is in the books."""
    check_form(request, csrf)
    config = settings()
    debtor = Debtor(
        config.remittance_name, config.remittance_account, config.remittance_bank
    )  # fmt: skip
    try:
        with transaction() as session:
            file = sending.make_file(session, debtor, by=caller.id, now=utc_now())
    except CityBillError as refused:
        return _list_page(request, db, asked, refused=refused)
    return go(f"/console/remittances/files/{file.id}")


@router.get("/files/{file_id}")
def show_file(request: Request, file_id: Id, db: Db, _caller: Finance) -> Response:
    file, payments = sending.get_file(db, file_id)
    return page(
        request,
        "console/remittance_file.html",
        file=file,
        made_by=get_person(db, file.made_by).name,
        payments=payments,
    )


@router.get("/files/{file_id}/pain.001.xml")
def download_pain_001(file_id: Id, db: Db, caller: Finance) -> Response:
    file, payments = sending.get_file(db, file_id)
    audit.note_export(db, caller.id, "remittance-file", "xml", file.number, now=utc_now())
    content = files.write_pain_001(file, payments)
    return _download(content, "application/xml", f"{file.number}.xml")


@router.get("/files/{file_id}/payments.csv")
def download_csv(file_id: Id, db: Db, caller: Finance) -> Response:
    file, payments = sending.get_file(db, file_id)
    audit.note_export(db, caller.id, "remittance-file", "csv", file.number, now=utc_now())
    content = files.write_csv(file, payments)
    return _download(content, "text/csv; charset=utf-8", f"{file.number}.csv")


def _download(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


@router.get("/list.{kind}")
def export_remittances(
    db: Db, caller: Finance, asked: Wanted, kind: FileKind
) -> StreamingResponse:  # fmt: skip
    """Answer with all that is filtered as a file."""
    audit.note_export(db, caller.id, "remittances", kind, asked.query(), now=utc_now())

    def rows(session: Session) -> Iterator[tuple[Cell, ...]]:
        after = None
        while found := listing.find_remittances(session, asked.wanted, after=after):
            for one, stage in found:
                yield _cells(one, stage)
            after = found[-1].one.id

    return export(kind, name="remittances", head=_HEAD, rows=read_rows(rows))


def _cells(one: Remittance, stage: Stage) -> tuple[Cell, ...]:
    return (
        one.number, one.provider_code, one.from_on, one.to_on, one.due_on, stage.value,
        one.basis.value, Yuan(one.gross_fen), Yuan(-one.deducted_fen),
        Yuan(one.carried_fen + one.released_fen), Yuan(-one.held_fen), Yuan(one.net_fen),
        Yuan(one.claimed_fen),
    )  # fmt: skip


@router.get("/{remittance_id}")
def show_remittance(request: Request, remittance_id: Id, db: Db, caller: Finance) -> Response:
    return _one_page(request, db, caller, remittance_id, refused=None)


def _one_page(
    request: Request, session: Session, caller: Caller, remittance_id: int,
    *, refused: CityBillError | None,
) -> Response:  # fmt: skip
    one = get_remittance(session, remittance_id)
    payments = all_payments(session, one.id)
    to_send = deciding.to_send(payments)
    acts = listing.history(session, one.id)
    threshold_fen = settings().remittance_approval_above_fen
    return page(
        request,
        "console/remittance.html",
        status_code=status_of(refused) if refused else 200,
        **advice_facts(session, one),
        payments=payments,
        acts=acts,
        names={by: get_person(session, by).name for by in {act.by for act in acts} if by},
        entries=listing.entries(session, one.id),
        company_of=company_of(request),
        seen=deciding.shown(payments),
        why_not=_why_not(request, one, payments),
        own=one.released_by == caller.id,
        needs_two=deciding.needs_two(to_send, approval_above_fen=threshold_fen),
        to_send_fen=sum(pay.amount_fen for pay in to_send),
        error=refusal(locale_of(request), refused),
    )


def _why_not(request: Request, one: Remittance, payments: Any) -> str | None:
    """Say why a remittance that waits to be released cannot be."""
    if one.state not in {RemittanceState.PROPOSED, RemittanceState.RETURNED}:
        return None
    return refusal(locale_of(request), deciding.why_not_release(one, payments))


@router.post("/{remittance_id}/release")
def release(
    request: Request, remittance_id: Id, db: Db, caller: Finance, csrf: Csrf, seen: Shown
) -> Response:
    def act(session: Session, now: datetime) -> object:
        return deciding.release(
            session, remittance_id, seen=seen, by=caller.id, now=now,
            approval_above_fen=settings().remittance_approval_above_fen,
        )  # fmt: skip

    return _decide(request, db, caller, remittance_id, csrf, act)


@router.post("/{remittance_id}/approval")
def approve(
    request: Request, remittance_id: Id, db: Db, caller: Finance, csrf: Csrf
) -> Response:  # fmt: skip
    def act(session: Session, now: datetime) -> object:
        return deciding.approve(session, remittance_id, by=caller.id, now=now)

    return _decide(request, db, caller, remittance_id, csrf, act)


@router.post("/{remittance_id}/decline")
def decline(
    request: Request, remittance_id: Id, db: Db, caller: Finance, csrf: Csrf, reason: Words
) -> Response:
    def act(session: Session, now: datetime) -> object:
        return deciding.decline(session, remittance_id, by=caller.id, reason=reason, now=now)

    return _decide(request, db, caller, remittance_id, csrf, act)


@router.post("/{remittance_id}/payments/{payment_id}/return")
def bring_back(
    request: Request,
    remittance_id: Id,
    payment_id: Id,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    reason: Words,
    debited: Annotated[bool, Form()] = False,
) -> Response:
    """Enter that the bank did not pay, or brought the money back."""

    def act(session: Session, now: datetime) -> object:
        return sending.bring_back(
            session, payment_id, reason=reason, was_debited=debited, by=caller.id, now=now
        )

    return _decide(request, db, caller, remittance_id, csrf, act)


def _decide(
    request: Request, db: Session, caller: Caller, remittance_id: int, csrf: str,
    act: Callable[[Session, datetime], object],
) -> Response:  # fmt: skip
    check_form(request, csrf)
    try:
        with transaction() as session:
            act(session, utc_now())
    except CityBillError as refused:
        return _one_page(request, db, caller, remittance_id, refused=refused)
    return go(f"/console/remittances/{remittance_id}")


@router.get("/{remittance_id}/advice.pdf")
def show_advice(request: Request, remittance_id: Id, db: Db, _caller: Finance) -> Response:
    return advice_pdf(request, db, get_remittance(db, remittance_id))


@router.get("/{remittance_id}/advice.{kind}")
def export_advice(
    remittance_id: Id, kind: FileKind, db: Db, caller: Finance
) -> StreamingResponse:  # fmt: skip
    number = get_remittance(db, remittance_id).number
    audit.note_export(db, caller.id, "advice", kind, number, now=utc_now())
    return advice_file(remittance_id, number, kind)
