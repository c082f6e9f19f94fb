"""The staff console: what should come into our account or go out of it, and learnt rules."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError
from identity import audit
from identity.people import get_person
from payments.reconciliation.bank import by_hand as bank_by_hand
from payments.reconciliation.bank import desk as bank_desk
from payments.reconciliation.bank import expected as bank_expected
from payments.reconciliation.bank.desk import RuleLine
from payments.reconciliation.bank.expected import PAGE, DueLine, DueState, Wanted
from payments.reconciliation.bank.models import DueKind
from web import look
from web.access import Db, Finance
from web.errors import status_of
from web.exports import Cell, Yuan, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.filters import After, FileKind, Word, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.bank import refusal, source_name

router = APIRouter(prefix="/console/bank")
Reason = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
ANY = "any"


class Asked:
    """What the address asks for; no state means what is in no statement yet."""

    def __init__(self, state: Word = "", source: Word = "", kind: Word = "") -> None:
        self.typed = {"state": state, "source": source, "kind": kind}
        self.wanted = Wanted(
            state=None if state == ANY else one_of(DueState, state) or DueState.OPEN,
            source=source or None, kind=one_of(DueKind, kind),
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filtered = Annotated[Asked, Depends(Asked)]


@router.get("/expected")
def show_expected(
    request: Request, db: Db, _caller: Finance, asked: Filtered, after: After = None
) -> Response:
    today = billing_date(utc_now())
    rows = bank_expected.find_dues(db, asked.wanted, today=today, after=after, limit=PAGE + 1)
    counted = bank_expected.count_open(db, today=today)
    return page(
        request,
        "console/bank_expected.html",
        rows=[_row(request, one) for one in rows[:PAGE]],
        counted=[
            one._asdict() | {"whose": source_name(request, one.source),
                             "age_days": (today - one.oldest_on).days}
            for one in counted
        ],
        sources=[(one, source_name(request, one)) for one in bank_expected.list_sources(db)],
        kinds=[*DueKind],
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=rows[PAGE - 1].due.id if len(rows) > PAGE else None,
    )  # fmt: skip


def _row(request: Request, line: DueLine) -> dict[str, Any]:
    return line._asdict() | {"whose": source_name(request, line.due.source)}


@router.get("/expected.{form}")
def export_expected(
    request: Request, form: FileKind, db: Db, caller: Finance, asked: Filtered
) -> StreamingResponse:
    """Download all money the address asks for."""
    now, locale = utc_now(), locale_of(request)
    today = billing_date(now)
    audit.note_export(db, caller.id, "expected_money", form, asked.query(), now=now)
    head = [
        look.say(locale, "Day"), look.say(locale, "Whose"), look.say(locale, "Kind"),
        look.say(locale, "Reference"), look.say(locale, "Amount"), look.say(locale, "Fees kept"),
        look.say(locale, "State"), look.say(locale, "Days waited"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        for one in bank_expected.every_due(session, asked.wanted, today=today):
            due = one.due
            yield [
                due.day, source_name(request, due.source), _word(locale, "due_kind", due.kind),
                due.reference, Yuan(due.amount_fen), Yuan(due.fee_fen),
                _word(locale, "due_pill", one.state), one.age_days,
            ]  # fmt: skip

    return export(form, name="expected-money", head=head, rows=read_rows(rows))


def _word(locale: str, macro: str, value: StrEnum) -> str:
    return look.macro_text(locale, "parts/reconciling.html", macro, value.value)


@router.get("/rules")
def show_rules(request: Request, db: Db, _caller: Finance, after: After = None) -> Response:
    return _rules_page(request, db, after=after)


def _rules_page(
    request: Request,
    session: Session,
    *,
    after: int | None = None,
    refused: CityBillError | None = None,
    rule_id: int | None = None,
) -> Response:
    rows = bank_desk.list_rules(session, after=after, limit=PAGE + 1)
    return page(
        request,
        "console/bank_rules.html",
        status_code=status_of(refused) if refused else 200,
        rows=[_rule(request, session, one) for one in rows[:PAGE]],
        paged=after is not None,
        next_id=rows[PAGE - 1].rule.id if len(rows) > PAGE else None,
        rule_id=rule_id,
        error=refusal(locale_of(request), refused),
    )


def _rule(request: Request, session: Session, line: RuleLine) -> dict[str, Any]:
    ended_by = line.rule.ended_by
    return line._asdict() | {
        "whose": source_name(request, line.rule.source),
        "taught_by": None if line.taught_by is None else get_person(session, line.taught_by).name,
        "ended_by": None if ended_by is None else get_person(session, ended_by).name,
    }


@router.get("/rules.{form}")
def export_rules(request: Request, form: FileKind, db: Db, caller: Finance) -> StreamingResponse:
    """Download every rule, those that have ended too."""
    locale = locale_of(request)
    audit.note_export(db, caller.id, "bank_rules", form, "", now=utc_now())
    head = [
        look.say(locale, "Sender or receiver"), look.say(locale, "Their account"),
        look.say(locale, "Whose"), look.say(locale, "Learnt"), look.say(locale, "By"),
        look.say(locale, "Ended"), look.say(locale, "Ended by"), look.say(locale, "Why"),
    ]  # fmt: skip

    def rows(session: Session) -> Iterator[list[Cell]]:
        for line in bank_desk.every_rule(session):
            one = _rule(request, session, line)
            yield [
                line.other_name, line.other_masked, one["whose"], line.rule.learnt_at,
                one["taught_by"], line.rule.ended_at, one["ended_by"], line.rule.end_reason,
            ]  # fmt: skip

    return export(form, name="bank-rules", head=head, rows=read_rows(rows))


@router.post("/rules/{rule_id}/end")
def end_rule(
    request: Request, rule_id: Id, db: Db, caller: Finance, csrf: Csrf, reason: Reason
) -> Response:
    """Have an account's money tell nothing any more."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            bank_by_hand.end_rule(session, rule_id, by=caller.id, reason=reason, now=utc_now())
    except CityBillError as refused:
        return _rules_page(request, db, refused=refused, rule_id=rule_id)
    return go("/console/bank/rules")
