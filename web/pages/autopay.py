"""Autopay: what was agreed, what comes next, what became of each bill; set up in three steps.

The steps are pages of their own with everything in the address, so that each works without script
and the way back is the browser's.
"""

import secrets
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from billing.homes.households import account_view, visible_accounts
from billing.homes.people import Home, list_standings
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotFound, UpstreamUnavailable
from core.money import format_yuan, parse_yuan
from core.settings import settings
from payments.autopay import mandates, views
from payments.autopay.mandates import Scope
from payments.autopay.models import get_own_mandate
from payments.autopay.rules import (
    LAST_DAY_OF_MONTH,
    MAX_DAYS_BEFORE,
    RETRY_DAYS,
    CapKind,
    FirstBill,
    NotPaid,
    PayDay,
    Rules,
)
from payments.autopay.states import MandateStatus
from payments.autopay.views import Promise
from payments.callbacks import notify_url
from web.access import Caller, Db, Resident
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.look import day_text, say
from web.pages.page import check_form, go, locale_of, page
from web.pages.pay_codes import pay_origin
from web.pages.words.gateways import gateway_of

router = APIRouter()
REFRESH_SECONDS = 3
HOME = "home"  # the scope of all accounts of the first home; otherwise "home-ID", an account's id


Short = Annotated[str, Field(max_length=40, pattern=PLAIN)]
Long = Annotated[str, Field(max_length=200, pattern=PLAIN)]


class Typed(BaseModel):
    """What stands in the form of the second step, as it was typed."""

    scope: Short = ""
    cap_kind: Short = CapKind.MAX
    cap: Short = ""
    pay_day: Short = PayDay.DUE
    before: Short = "3"
    day: Short = "10"
    first_bill: Short = FirstBill.SAME
    in_parts: Short = ""


class Agreed(Typed):
    """The third step's form: all that was typed, and where to agree."""

    gateway: Short
    idempotency_key: Long
    csrf: Long = ""


Asked = Annotated[Typed, Query()]


def _rules(typed: Typed) -> Rules:
    """Read the second step.

    Raises:
        Invalid: with the code of the field that is wrong.
    """
    try:
        kind, pay_day = CapKind(typed.cap_kind), PayDay(typed.pay_day)
        first_bill = FirstBill(typed.first_bill)
    except ValueError:
        raise Invalid("the form is out of date: begin again", code="form.stale") from None
    cap_fen = None
    if kind is not CapKind.NONE:
        try:
            cap_fen = parse_yuan(typed.cap.strip().removeprefix("¥"))
        except Invalid:
            raise Invalid("not an amount", code="cap.amount") from None
    number = {PayDay.BEFORE: typed.before, PayDay.DAY: typed.day}.get(pay_day)
    if number is not None and not (number.isascii() and number.isdecimal() and len(number) < 3):
        raise Invalid("not a number of days", code="pay_day.number")
    rules = Rules(
        cap_kind=kind, cap_fen=cap_fen, first_bill=first_bill, pay_day=pay_day,
        pay_day_n=int(number) if number is not None else None, in_parts=bool(typed.in_parts),
    )  # fmt: skip
    rules.check()
    return rules


def _scope(session: Session, caller: Caller, text: str) -> Scope:
    """Read whose bills; only what the caller may pay (Raises NotFound)."""
    accounts = visible_accounts(session, caller.id, to_pay=True).staying()
    homes = _homes(session, caller.id)
    if text in homes:
        return Scope(household_id=homes[text].id)
    if text.isascii() and text.isdecimal() and len(text) < 19 and int(text) in accounts:
        return Scope(account_id=int(text))
    raise NotFound("there is no such account or household")


def _homes(session: Session, person_id: int) -> dict[str, Home]:
    """Return by scope the homes whose bills somebody may pay, as long as they have accounts."""
    homes = [
        one.home
        for one in list_standings(session, person_id)
        if one.pays and visible_accounts(session, person_id, to_pay=True, household_id=one.home.id)
    ]
    return {HOME if place == 0 else f"{HOME}-{home.id}": home for place, home in enumerate(homes)}


@router.get("/autopay")
def show_all(request: Request, db: Db, caller: Resident) -> Response:
    found = views.list_views(db, caller.id, now=utc_now())
    ended = {MandateStatus.ENDED, MandateStatus.REFUSED}
    return page(
        request,
        "autopay.html",
        live=[one for one in found if one.status not in ended],
        ended=[one for one in found if one.status in ended and (one.past or one.enrolled_at)],
        gateway_of=gateway_of(request),
        can_pay=bool(visible_accounts(db, caller.id, to_pay=True).staying()),
        retry_days=RETRY_DAYS,
    )


@router.get("/autopay/new")
def set_up(request: Request, db: Db, caller: Resident, typed: Asked) -> Response:
    """Show the first step; with a scope, the second."""
    if typed.scope:
        _scope(db, caller, typed.scope)
        return _second_step(request, db, caller, typed)
    accounts = visible_accounts(db, caller.id, to_pay=True).staying()
    return page(
        request,
        "autopay_accounts.html",
        accounts=[account_view(one) for one in accounts.values()],
        homes={scope: home.name for scope, home in _homes(db, caller.id).items()},
    )


def _second_step(
    request: Request, session: Session, caller: Caller, typed: Typed, wrong: str = ""
) -> Response:
    return page(
        request,
        "autopay_rules.html",
        status_code=422 if wrong else 200,
        typed=typed,
        covers=_covers(session, caller, typed.scope),
        wrong=wrong,
        most_days=MAX_DAYS_BEFORE,
        last_day=LAST_DAY_OF_MONTH,
        retry_days=RETRY_DAYS,
    )


def _covers(session: Session, caller: Caller, scope: str) -> list[object]:
    """Return the accounts a scope covers, as they may be shown."""
    home = _homes(session, caller.id).get(scope)
    accounts = visible_accounts(
        session, caller.id, to_pay=True, household_id=home.id if home else None
    )
    wanted = accounts.values() if home else [accounts[int(scope)]]
    return [account_view(one) for one in wanted]


@router.get("/autopay/check")
def check(request: Request, db: Db, caller: Resident, typed: Asked) -> Response:
    """Show the third step: what will happen, in plain words, and where to agree."""
    scope = _scope(db, caller, typed.scope)
    try:
        rules = _rules(typed)
    except Invalid as refused:
        return _second_step(request, db, caller, typed, wrong=refused.code)
    return _third_step(request, db, caller, typed, scope, rules)


def _third_step(
    request: Request,
    session: Session,
    caller: Caller,
    typed: Typed,
    scope: Scope,
    rules: Rules,
    refused: CityBillError | None = None,
) -> Response:
    promise = views.promise(session, caller.id, scope, rules, now=utc_now())
    return page(
        request,
        "autopay_check.html",
        status_code=status_of(refused) if refused else 200,
        fields=typed.model_dump(include=set(Typed.model_fields)),
        covers=_covers(session, caller, typed.scope),
        sentences=sentences(locale_of(request), rules, promise),
        gateways=mandates.able_to_debit(request.app.state.gateways),
        idempotency_key=secrets.token_urlsafe(16),
        refused=refused.code if refused else None,
    )


@router.post("/autopay")
def agree(
    request: Request,
    caller: Resident,
    typed: Annotated[Agreed, Form()],
) -> Response:
    """Make the mandate and send its payer to the gateway's page."""
    check_form(request, typed.csrf)
    gateway, now, url = typed.gateway, utc_now(), settings().public_url
    chosen, rules = mandates.debiting(request.app.state.gateways, gateway), _rules(typed)
    with transaction() as session:
        scope = _scope(session, caller, typed.scope)
    try:
        with transaction() as session:
            made = mandates.create_mandate(
                session, person_id=caller.id, scope=scope, gateway=gateway, rules=rules,
                return_url=f"{url}/autopay/{{mandate}}", key=typed.idempotency_key, now=now,
            )  # fmt: skip
    except Conflict as refused:
        with transaction() as session:
            return _third_step(request, session, caller, typed, scope, rules, refused)
    with suppress(UpstreamUnavailable):  # its job asks on, and the page says so
        made = mandates.sign(made.id or 0, chosen, notify_url=notify_url(url, gateway), now=now)
    # A form may lead only to pages our policy names; to another gateway's the payer follows a link.
    direct = made.sign_url and pay_origin(made.sign_url) in request.app.state.pay_origins
    return go(made.sign_url if direct and made.sign_url else f"/autopay/{made.id}")


@router.get("/autopay/{mandate_id}")
def show_one(request: Request, mandate_id: Id, db: Db, caller: Resident) -> Response:
    """Show one mandate; while its payer has not answered, the page looks again by itself."""
    mandate = get_own_mandate(db, mandate_id, caller.id)
    shown = views.view(db, mandate, now=utc_now())
    waiting = shown.status is MandateStatus.OPEN
    return page(
        request,
        "autopay_one.html",
        mandate=shown,
        gateway=gateway_of(request)(shown.gateway),
        refresh_seconds=REFRESH_SECONDS if waiting else None,
        retry_days=RETRY_DAYS,
    )


@router.post("/autopay/{mandate_id}/pause")
def pause(request: Request, mandate_id: Id, caller: Resident, csrf: Csrf) -> Response:
    check_form(request, csrf)
    with suppress(Conflict), transaction() as session:
        mandates.pause(session, mandate_id, caller.id, now=utc_now())
    return go(f"/autopay/{mandate_id}")


@router.post("/autopay/{mandate_id}/resume")
def resume(request: Request, mandate_id: Id, caller: Resident, csrf: Csrf) -> Response:
    check_form(request, csrf)
    with suppress(Conflict), transaction() as session:
        mandates.resume(session, mandate_id, caller.id, now=utc_now())
    return go(f"/autopay/{mandate_id}")


@router.post("/autopay/{mandate_id}/end")
def end(request: Request, mandate_id: Id, caller: Resident, csrf: Csrf) -> Response:
    check_form(request, csrf)
    with transaction() as session:
        mandates.end(session, mandate_id, caller.id, now=utc_now())
    return go("/autopay")


def sentences(locale: str, rules: Rules, promise: Promise) -> list[str]:
    """Say what rules will do, in plain words, by a bill like the last one."""
    told = [_example(locale, rules, promise), _about_cap(locale, rules)]
    if rules.first_bill is FirstBill.MORE:
        most = format_yuan(rules.most_fen(first=True) or 0)
        told.append(
            say(
                locale,
                "The first bill of each account may be up to %(most)s: it often holds two periods.",
                most=most,
            )
        )
    if rules.first_bill is FirstBill.TELL:
        told.append(
            say(
                locale,
                "The first bill of each account is not paid, you are only told of it: it often"
                " holds two periods.",
            )
        )
    told.append(
        say(
            locale, "If there is not enough money, we try again once a day for %(days)s days.",
            days=RETRY_DAYS,
        )
    )  # fmt: skip
    if rules.in_parts:
        told.append(say(locale, "On the last of them we take half, if the company takes a part."))
    told.append(
        say(locale, "Bills that have come already are not covered: please pay them yourself.")
    )
    return told


def _example(locale: str, rules: Rules, promise: Promise) -> str:
    due, day = day_text(locale, promise.due_on), day_text(locale, promise.debit_on)
    if promise.amount_fen is None:
        return say(
            locale, "A bill due on %(due)s will be paid on %(day)s.", due=due, day=day
        )  # fmt: skip
    sum_ = format_yuan(promise.amount_fen)
    match promise.reason:
        case None:
            return say(
                locale,
                "A bill like your last one, of %(sum)s and due on %(due)s, will be paid on"
                " %(day)s.",
                sum=sum_, due=due, day=day,
            )  # fmt: skip
        case NotPaid.OVER_CAP | NotPaid.NOT_FIXED:
            return say(
                locale,
                "A bill like your last one, of %(sum)s and due on %(due)s, will not be paid: you"
                " have allowed %(cap)s.",
                sum=sum_, due=due, cap=format_yuan(rules.cap_fen or 0),
            )  # fmt: skip
        case _:
            return say(
                locale,
                "A bill like your last one, due on %(due)s, comes too late to tell you in time:"
                " it will not be paid by itself.",
                due=due,
            )  # fmt: skip


def _about_cap(locale: str, rules: Rules) -> str:
    cap = format_yuan(rules.cap_fen or 0)
    match rules.cap_kind:
        case CapKind.MAX:
            return say(
                locale,
                "Above %(cap)s nothing is paid, and you are told at least 3 days before.",
                cap=cap,
            )  # fmt: skip
        case CapKind.FIXED:
            return say(
                locale,
                "Only bills of exactly %(cap)s are paid; of any other you are told at least 3 days"
                " before.",
                cap=cap,
            )  # fmt: skip
        case CapKind.NONE:
            return say(
                locale,
                "There is no limit: you are told every amount at least 3 days before it is taken.",
            )
