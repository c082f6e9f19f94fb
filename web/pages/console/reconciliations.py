"""The staff console: reconciliation and the books."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from billing.ledger import books
from core.clock import billing_date, utc_now
from core.errors import SettlementFileError
from identity import audit
from payments.gateways import gateway_named
from payments.models import find_payment_by_order
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway import days as day_list
from payments.reconciliation.gateway import matching
from payments.reconciliation.gateway.days import DayState, Place
from payments.reconciliation.gateway.sources import whose_file, with_files
from payments.reconciliation.intake.models import CameBy
from payments.reconciliation.intake.receiving import MAX_FILE_BYTES, Given, Way
from payments.reconciliation.intake.work import take_now
from payments.reconciliation.models import Leg
from payments.verification import verify
from providers.registry import PROVIDERS
from web import look
from web.access import Db, Finance
from web.bodies import SHORT_BYTES
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf
from web.pages.file_views import provider_name
from web.pages.filters import FileKind, Word, day_of, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import source_name
from web.pages.words.breaks import remedy
from web.pages.words.files import said
from web.pages.words.gateways import gateway_choices

router = APIRouter(prefix="/console", max_body_size=MAX_FILE_BYTES + SHORT_BYTES)
# Left empty, the page asks for it.
Source = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, of: Word = "", state: Word = "", first: Word = "", last: Word = "") -> None:
        self.typed = {"of": of, "state": state, "first": first, "last": last}
        self.wanted = day_list.Wanted(
            of or None, one_of(DayState, state), day_of(first), day_of(last)
        )

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("/reconciliations")
def show_reconciliations(
    request: Request, db: Db, _caller: Finance, asked: Filter, after: Word = ""
) -> Response:
    return _reconciliations_page(request, db, asked, after=_place(after))


def _place(typed: str) -> Place | None:
    """Read where a page begins: ``2026-11-20:sandbox``."""
    day, _, source = typed.partition(":")
    on = day_of(day)
    return None if on is None else Place(on, source)


def _reconciliations_page(
    request: Request,
    session: Session,
    asked: Asked,
    *,
    after: Place | None = None,
    error: str | None = None,
    source: str = "",
    day: date | None = None,
) -> Response:
    today = billing_date(utc_now())
    sources = with_files(request.app.state.gateways)
    found = day_list.list_days(
        session, asked.wanted, gateways=sources, today=today, after=after, limit=day_list.PAGE + 1
    )
    days = found[: day_list.PAGE]
    last = days[-1].place if len(found) > day_list.PAGE else None
    return page(
        request,
        "console/reconciliations.html",
        status_code=422 if error else 200,
        days=days,
        sources=gateway_choices(request, sources.values()),
        name_of=partial(source_name, request),
        states=[(one.value, _state(locale_of(request), one)) for one in DayState],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_place=last and f"{last.day}:{last.source}",
        source=source,
        day=day or today,
        today=today,
        error=error,
    )


def _state(locale: str, state: DayState) -> str:
    return look.macro_text(locale, "parts/ui.html", "day_pill", state.value)


@router.get("/reconciliations.{kind}")
def export_reconciliations(
    request: Request, kind: FileKind, db: Db, caller: Finance, asked: Filter
) -> StreamingResponse:
    locale, now = locale_of(request), utc_now()
    sources = with_files(request.app.state.gateways)
    audit.note_export(db, caller.id, "reconciliations", kind, asked.query(), now=now)

    def read(session: Session) -> Iterator[list[Cell]]:
        for one in day_list.every_day(
            session, asked.wanted, gateways=sources, today=billing_date(now)
        ):
            yield [
                one.day, one.source, _state(locale, one.state), one.matched, one.breaks,
                Yuan(one.our_total_fen), Yuan(one.their_total_fen), Yuan(one.fee_total_fen),
                one.run_at,
            ]  # fmt: skip

    head = [
        look.say(locale, "Day"), look.say(locale, "Source"), look.say(locale, "State"),
        look.say(locale, "Matched"), look.say(locale, "Differences"), look.say(locale, "Ours"),
        look.say(locale, "Theirs"), look.say(locale, "Fees"), look.say(locale, "Compared"),
    ]  # fmt: skip
    return export(kind, name="reconciliations", head=head, rows=read_rows(read))


@router.post("/reconciliations")
def upload_settlement_file(
    request: Request,
    db: Db,
    caller: Finance,
    asked: Filter,
    csrf: Csrf,
    source: Source,
    day: Annotated[date, Form()],
    file: UploadFile,
) -> Response:
    check_form(request, csrf)
    if not source:
        error = look.say(locale_of(request), "Choose whose file it is.")
        return _reconciliations_page(request, db, asked, error=error, day=day)
    gateway_named(request.app.state.gateways, source)
    try:
        take_now(
            file.file, Given(Leg.GATEWAY, source, day), Way(CameBy.UPLOAD, caller.id),
            request.app.state.gateways, file_name=file.filename or "upload", now=utc_now(),
        )  # fmt: skip
    except SettlementFileError as refused:
        why = said(locale_of(request), str(refused))
        error = _not_its_file(request, file.file, day) or why
        return _reconciliations_page(request, db, asked, error=error, source=source, day=day)
    return go(f"/console/reconciliations/{source}/{day}")


def _not_its_file(request: Request, stream: BinaryIO, day: date) -> str | None:
    """Say whose file was given by mistake, if another source can read it."""
    stream.seek(0)
    content = stream.read(matching.MAX_FILE_BYTES)
    owner = whose_file(with_files(request.app.state.gateways), content, day=day)
    if owner is None:
        return None
    locale = locale_of(request)
    return look.say(
        locale, "This is a file of %(name)s: choose that source.", name=owner.name.said(locale)
    )


@router.get("/reconciliations/{source}/{day}")
def show_reconciliation(
    request: Request, source: str, day: date, db: Db, _caller: Finance
) -> Response:
    gateway_named(request.app.state.gateways, source)
    run = matching.get_result(db, source, day)
    locale = locale_of(request)
    return page(
        request,
        "console/reconciliation.html",
        run=run,
        whose=source_name(request, source),
        breaks=[
            {
                "kind": one.kind.value,
                "order_no": one.reference,
                "gateway_ref": one.their_ref,
                "ours_fen": one.ours_fen,
                "theirs_fen": one.theirs_fen,
                "happened_at": one.happened_at,
                "payment_ref": _payment_ref(db, one.reference),
                "remedy": remedy(locale, one.kind),
            }
            for one in list_breaks(db, source, day)
        ],
    )


def _payment_ref(session: Session, reference: str) -> str | None:
    payment = find_payment_by_order(session, reference)
    return None if payment is None else str(payment.id)


@router.get("/ledger")
def show_ledger(request: Request, db: Db, _caller: Finance) -> Response:
    return page(
        request,
        "console/ledger.html",
        checks=[
            {
                "name": look.say_known(locale_of(request), check.name),
                "ok": check.ok,
                "detail": check.detail,
                "count": check.violations,
            }
            for check in verify(db)
        ],
        accounts=[
            {
                "code": code,
                "name": ledger_name(locale_of(request), code),
                "debit_fen": debit_fen,
                "credit_fen": credit_fen,
                "balance_fen": debit_fen - credit_fen,
            }
            for code, debit_fen, credit_fen in books.balances(db)
        ],
        verified_at=utc_now(),
    )


def ledger_name(locale: str, code: str) -> str:
    """Say in words what stands on a ledger account."""
    kind, _, owner = code.partition(":")
    words = {
        "receivable": look.say(locale, "What residents owe"),
        "uncollected": look.say(locale, "Billed, not yet written off"),
        "payable": look.say(locale, "What we owe the company"),
        "gateway": look.say(locale, "Taken by the gateway, not yet settled"),
        "advance": look.say(locale, "Paid ahead, not yet passed to the company"),
        "credits": look.say(locale, "Credits that cover bills: always level"),
        "suspense": look.say(locale, "Came through the gateway and is on no bill"),
        "returns": look.say(locale, "On the way back to payers"),
        "bank": look.say(locale, "Our bank account"),
        "fees": look.say(locale, "Fees for paying here"),
        "fee_tax": look.say(locale, "Tax on those fees"),
        "gateway_fees": look.say(locale, "Kept by gateways for their work"),
        "chargebacks": look.say(locale, "Taken back by payers’ banks, not decided yet"),
        "differences": look.say(locale, "Counted otherwise by gateways, written off"),
        "losses": look.say(locale, "Lost to payers’ banks after it had gone back"),
    }.get(kind, kind)
    if owner in PROVIDERS:
        return f"{words} · {provider_name(locale, owner)}"
    return f"{words} · {owner}" if owner else words
