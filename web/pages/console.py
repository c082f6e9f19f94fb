"""The staff console: what needs a person, reconciliation and the books."""

from datetime import date
from typing import Annotated, Any, BinaryIO, NamedTuple

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import Response
from sqlmodel import Session

from billing import ledger
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import SettlementFileError
from core.jobs import count_dead
from payments.figures import attention, today_figures, unreconciled
from payments.gateways import gateway_label, gateway_named
from payments.models import find_payment_by_order, get_payment
from payments.reconciliation import matching
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.sources import whose_file, with_files
from payments.verification import verify
from payments.views import view as payment_view
from providers.registry import PROVIDERS
from web import look
from web.access import Db, Staff
from web.inputs import PLAIN, Csrf
from web.pages.break_words import remedy
from web.pages.file_views import provider_name
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/console")
# Left empty, the page asks for it.
Source = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]


@router.get("")
def home(request: Request, db: Db, _caller: Staff) -> Response:
    today = billing_date(utc_now())
    return page(
        request,
        "console/home.html",
        figures=today_figures(db, day=today),
        attention=_attention(request, db, today),
    )


class Notice(NamedTuple):
    """Something that waits for a person; ``what`` names the sentence that counts it."""

    what: str
    kind: str
    how_many: int
    href: str | None


def _attention(request: Request, session: Session, today: date) -> list[Notice]:
    """List what somebody should look at, worst first."""
    sources = with_files(request.app.state.gateways)
    found = attention(session, gateways=sources, today=today)
    refused_at = f"/console/bill-files/{found.refused_in_file}"
    wanted = [
        Notice("dead_jobs", "error", count_dead(session), None),
        Notice("breaks", "warning", found.breaks, "/console/breaks"),
        Notice("refused_files", "warning", found.refused_files, "/console/bill-files"),
        Notice("refused_corrections", "warning", found.refused_corrections, refused_at),
        Notice("missing_bills", "warning", found.missing_bills, None),
        Notice("open_chargebacks", "warning", found.open_chargebacks, "/console/chargebacks"),
        Notice("waiting_transfers", "warning", found.waiting_transfers, "/console/refunds"),
        Notice("proposed_refunds", "info", found.proposed_refunds, "/console/refunds"),
        Notice("proposed_terms", "info", found.proposed_terms, "/console/terms"),
        Notice("unclosed_days", "info", found.unclosed_days, "/console/days"),
        Notice("unreconciled_days", "info", found.unreconciled_days, "/console/reconciliations"),
    ]
    return [one for one in wanted if one.how_many]


@router.get("/reconciliations")
def show_reconciliations(request: Request, db: Db, _caller: Staff) -> Response:
    return _reconciliations_page(request, db, error=None)


def _reconciliations_page(
    request: Request,
    session: Session,
    *,
    error: str | None,
    source: str = "",
    day: date | None = None,
) -> Response:
    today = billing_date(utc_now())
    sources = with_files(request.app.state.gateways)
    days = [_day(run) for run in matching.list_results(session)]
    days += [_not_yet(*one) for one in unreconciled(session, gateways=sources, today=today)]
    return page(
        request,
        "console/reconciliations.html",
        status_code=422 if error else 200,
        days=sorted(days, key=lambda one: one["day"], reverse=True),
        sources=list(sources.values()),
        source=source,
        day=day or today,
        today=today,
        error=error,
    )


def _day(run: matching.ReconciliationResult) -> dict[str, Any]:
    return {
        "source": run.source,
        "day": run.day,
        "matched": run.matched,
        "breaks": run.breaks,
        "our_total_fen": run.our_total_fen,
        "their_total_fen": run.their_total_fen,
        "run_at": run.run_at,
        "status": "balanced" if run.balanced else "breaks",
    }


def _not_yet(source: str, day: date) -> dict[str, Any]:
    """A day with payments whose file is not here: that is "not yet", and no error (rule 48)."""
    return {
        "source": source, "day": day, "matched": 0, "breaks": 0, "our_total_fen": 0,
        "their_total_fen": 0, "run_at": None, "status": "not_yet",
    }  # fmt: skip


@router.post("/reconciliations")
def upload_settlement_file(
    request: Request,
    db: Db,
    _caller: Staff,
    csrf: Csrf,
    source: Source,
    day: Annotated[date, Form()],
    file: UploadFile,
) -> Response:
    check_form(request, csrf)
    if not source:
        error = look.say(locale_of(request), "Choose whose file it is.")
        return _reconciliations_page(request, db, error=error, day=day)
    gateway = gateway_named(request.app.state.gateways, source)
    try:
        with transaction() as session:
            matching.reconcile(
                session, gateway, file.file, day=day, file_name=file.filename or "upload",
                now=utc_now(),
            )  # fmt: skip
    except SettlementFileError as refused:
        error = _not_its_file(request, file.file, day) or str(refused)
        return _reconciliations_page(request, db, error=error, source=source, day=day)
    return go(f"/console/reconciliations/{source}/{day}")


def _not_its_file(request: Request, stream: BinaryIO, day: date) -> str | None:
    """Say whose file was given by mistake, if another source can read it."""
    stream.seek(0)
    content = stream.read(matching.MAX_FILE_BYTES)
    owner = whose_file(with_files(request.app.state.gateways), content, day=day)
    if owner is None:
        return None
    locale = locale_of(request)
    return look.say(locale, "This is a file of %(name)s: choose that source.", name=owner.name)


@router.get("/reconciliations/{source}/{day}")
def show_reconciliation(
    request: Request, source: str, day: date, db: Db, _caller: Staff
) -> Response:
    gateway_named(request.app.state.gateways, source)
    run = matching.get_result(db, source, day)
    locale = locale_of(request)
    return page(
        request,
        "console/reconciliation.html",
        run=run,
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


@router.get("/payments/{payment_id}")
def show_payment(request: Request, payment_id: int, db: Db, _caller: Staff) -> Response:
    payment = get_payment(db, payment_id)
    label = gateway_label(request.app.state.gateways, payment.gateway)
    shown = payment_view(db, payment, gateway_name=label, today=billing_date(utc_now()))
    return page(
        request, "payment.html", payment=shown, refresh_seconds=None, receipt_to=None,
        for_staff=True, paying=None,
    )  # fmt: skip


@router.get("/ledger")
def show_ledger(request: Request, db: Db, _caller: Staff) -> Response:
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
            for code, debit_fen, credit_fen in ledger.balances(db)
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
