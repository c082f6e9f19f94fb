"""The staff console: one difference, its life from bill to bank, and what is done about it."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid, NotFound
from core.money import parse_yuan
from core.settings import settings
from identity.people import get_person
from payments.models import list_items
from payments.reconciliation.bank import acts as bank_acts
from payments.reconciliation.models import BreakState, ReconciliationBreak
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair import workbench
from payments.reconciliation.repair.joining import entry_of, ways_of
from payments.reconciliation.repair.models import SETTLED_BY, Act, BreakAct
from payments.reconciliation.repair.stories import Step, payment_of, story_of
from payments.returns import staff_refunds, transfers
from payments.returns.models import BankTransfer
from payments.states import Outcome
from web.access import Caller, Db, Finance
from web.api.breaks import limits
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Id
from web.pages.console.breaks import Choice, Words, namer, owners, read_shown, row_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words import refunds
from web.pages.words.breaks import advice, company_answer, refusal, row_words

router = APIRouter(prefix="/console/breaks")
Line = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]


class Decision(StrEnum):
    """What is decided about an act that stands."""

    APPROVE = "approval"
    DECLINE = "decline"
    UNDO = "undo"


@router.get("/{break_id}")
def show_break(request: Request, break_id: Id, db: Db, caller: Finance) -> Response:
    return _break_page(request, db, break_id, caller)


@router.post("/{break_id}/act")
def act(
    request: Request,
    break_id: Id,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    shown: Words,
    reason: Words,
    what: Choice,
    target: Line,
    item: Line,
    amount: Line,
) -> Response:
    check_form(request, csrf)

    def do(session: Session) -> None:
        if what not in {*Act}:
            raise Invalid("choose what to do", code="break.no_act")
        wanted_fen = _fen(amount) if what == Act.REFUND else None
        repair.resolve(
            session, break_id, Act(what), shown=read_shown(shown)[1], reason=reason,
            by=caller.id, limits=limits(), target=item if what == Act.REFUND else target,
            wanted_fen=wanted_fen, now=utc_now(),
        )  # fmt: skip

    typed = {
        "what": what, "reason": reason, "target": target, "item": item, "amount": amount,
    }  # fmt: skip
    return _do(request, db, break_id, caller, do, typed=typed)


def _fen(amount: str) -> int:
    try:
        return parse_yuan(amount.strip())
    except CityBillError:
        raise Invalid("write the amount in yuan, as 86.50", code="refund.amount") from None


@router.post("/{break_id}/acts/{act_id}/{decision}")
def decide(
    request: Request,
    break_id: Id,
    act_id: Id,
    decision: Annotated[str, Path(max_length=20, pattern=r"^[a-z0-9]+$")],
    db: Db,
    caller: Finance,
    csrf: Csrf,
    reason: Words,
) -> Response:
    """Approve, decline or undo an act."""
    check_form(request, csrf)
    if decision not in {*Decision}:
        raise NotFound("there is no such decision")

    def do(session: Session) -> None:
        now = utc_now()
        match Decision(decision):
            case Decision.APPROVE:
                repair.approve(session, act_id, by=caller.id, now=now)
            case Decision.DECLINE:
                repair.decline(session, act_id, by=caller.id, now=now)
            case Decision.UNDO:
                repair.undo(session, act_id, reason=reason, by=caller.id, now=now)

    return _do(request, db, break_id, caller, do)


@router.post("/{break_id}/owner")
def own(
    request: Request,
    break_id: Id,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    give_up: Words,
    owner: Choice,
) -> Response:
    """Take a difference, give it to a colleague, or let it go."""
    check_form(request, csrf)

    def do(session: Session) -> None:
        if give_up:
            workbench.release(session, break_id)
        elif owner.isdecimal() and len(owner) <= 18:
            workbench.assign(session, break_id, int(owner))
        else:
            workbench.take(session, break_id, by=caller.id)

    return _do(request, db, break_id, caller, do)


@router.post("/{break_id}/payee")
def enter_payee(
    request: Request,
    break_id: Id,
    db: Db,
    caller: Finance,
    csrf: Csrf,
    name: Line,
    bank: Line,
    account: Line,
) -> Response:
    """Say to whom the money of a bank's entry goes back; nobody's account: take it out."""
    check_form(request, csrf)
    act = partial(
        transfers.enter_payee, name=name, bank=bank, account=account, by=caller.id,
        secret_key=settings().secret_key.get_secret_value(),
        approval_above_fen=settings().refund_approval_above_fen, now=utc_now(),
    )  # fmt: skip
    return _transfer(request, db, break_id, caller, act if account else transfers.clear_payee)


@router.post("/{break_id}/sent")
def confirm_sent(
    request: Request, break_id: Id, db: Db, caller: Finance, csrf: Csrf, bank_ref: Line
) -> Response:
    check_form(request, csrf)
    act = partial(staff_refunds.confirm_sent, bank_ref=bank_ref, by=caller.id, now=utc_now())
    return _transfer(request, db, break_id, caller, act)


@router.post("/{break_id}/account")
def show_account(request: Request, break_id: Id, db: Db, caller: Finance, csrf: Csrf) -> Response:
    """Show the payee's whole account to who is about to send the money; it is logged."""
    check_form(request, csrf)
    secret_key = settings().secret_key.get_secret_value()
    try:
        with transaction() as session:
            number = _transfer_of(session, break_id).number
            account = transfers.show_account(
                session, number, by=caller.id, secret_key=secret_key, now=utc_now()
            )
    except CityBillError as refused:
        return _break_page(request, db, break_id, caller, refused=refused)
    return _break_page(request, db, break_id, caller, account=account)


def _transfer(
    request: Request, db: Session, break_id: int, caller: Caller, act: Callable[..., object]
) -> Response:
    def do(session: Session) -> None:
        act(session, _transfer_of(session, break_id).number)

    return _do(request, db, break_id, caller, do)


def _transfer_of(session: Session, break_id: int) -> BankTransfer:
    found = _find_transfer(session, repair.live_act(session, break_id))
    if found is None:
        raise NotFound("no money goes back here")
    return found


def _find_transfer(session: Session, standing: BreakAct | None) -> BankTransfer | None:
    """Return the transfer by which an act sends a bank's money back."""
    if standing is None or standing.id is None or standing.act is not Act.RETURN_MONEY:
        return None
    held = bank_acts.find_suspense(session, standing.id)
    return None if held is None else transfers.find_transfer(session, bank_acts.return_no(held))


def _do(
    request: Request,
    db: Session,
    break_id: int,
    caller: Caller,
    act: Callable[[Session], None],
    *,
    typed: dict[str, str] | None = None,
) -> Response:
    """Do one thing to a difference, and show what came of it or why not."""
    try:
        with transaction() as session:
            act(session)
    except CityBillError as refused:
        return _break_page(request, db, break_id, caller, refused=refused, typed=typed)
    return go(f"/console/breaks/{break_id}")


def _break_page(
    request: Request,
    session: Session,
    break_id: int,
    caller: Caller,
    *,
    refused: CityBillError | None = None,
    typed: dict[str, str] | None = None,
    account: str | None = None,
) -> Response:
    """Show one difference: what it is, what may be done, and the life of what it is about."""
    found, now, locale = repair.get_break(session, break_id), utc_now(), locale_of(request)
    standing, city = repair.live_act(session, break_id), limits()
    payment_id = payment_of(session, found)
    acts = repair.acts_for(found, city, is_ours=payment_id is not None)
    after_all = repair.is_listed_after_all(found, standing)
    acts = acts if found.state is BreakState.OPEN and not after_all else []
    error, name = refusal(locale, refused), namer(request, session)
    if refused is not None and error == str(refused):
        error = refunds.refusal(locale, refused)
    return page(
        request,
        "console/break.html",
        status_code=status_of(refused) if refused else 200,
        **row_of(session, found, caller, name(found.source), now=now),
        other=row_words(locale, found.elsewhere, name) if found.elsewhere else None,
        entry_id=entry_of(session, found.elsewhere) if found.elsewhere else None,
        advice=advice(locale, found, acts, after_all=after_all),
        after_all=after_all,
        **_standing(session, standing, name, locale),
        own=standing is not None and standing.proposed_by == caller.id,
        acts=acts,
        items=_refundable(session, payment_id) if Act.REFUND in acts else [],
        ways=_ways(request, session, found) if Act.REMATCH in acts else [],
        needs_two=repair.difference_fen(found) > city.approval_above_fen,
        owners=owners(session, caller),
        story=[_named(step, name, locale) for step in story_of(session, found)],
        payment_id=payment_id,
        typed=typed or _blank(found),
        error=error,
        **_returning(session, standing, caller),
        account=account,
    )


def _refundable(session: Session, payment_id: int | None) -> list[dict[str, Any]]:
    """Return the bills of a payment of which something may go back."""
    if payment_id is None:
        return []
    return [
        {"number": one.write_off_no, "left_fen": one.amount_fen - one.returned_fen}
        for one in list_items(session, payment_id)
        if one.outcome is Outcome.WRITTEN_OFF and one.returned_fen < one.amount_fen
    ]


def _ways(request: Request, session: Session, found: ReconciliationBreak) -> list[dict[str, Any]]:
    """Return what may have settled a payment of ours, each with whose row it is in words."""
    if found.ours_fen is None:
        return []
    name = namer(request, session)
    return [one._asdict() | {"whose": name(one.source)} for one in ways_of(session, found)]


def _blank(found: ReconciliationBreak) -> dict[str, str]:
    """Return a form as it is first shown: of money that came elsewhere with what it is of."""
    target = found.elsewhere or ""
    if found.ours_fen is None:
        target = target.rpartition(" ")[2]
    return {"what": "", "reason": "", "target": target, "item": "", "amount": ""}


def _standing(
    session: Session, standing: BreakAct | None, name: Callable[[str], str], locale: str
) -> dict[str, Any]:
    """Return what stands about a difference: the act, by whom, and what it is matched with."""
    if standing is None:
        return {"standing": None, "proposer": None, "target": None}
    target = standing.target
    if target and standing.word == SETTLED_BY:
        target = row_words(locale, target, name)
    proposer = get_person(session, standing.proposed_by).name
    return {"standing": standing, "proposer": proposer, "target": target}


def _named(step: Step, name: Callable[[str], str], locale: str) -> Step:
    """Return a step whose gateway is told by its name, and a company's answer in words."""
    if step.what.startswith(SETTLED_BY) and step.reference:
        return step._replace(reference=row_words(locale, step.reference, name))
    if step.what == "company_answered" and step.note:
        return step._replace(note=company_answer(locale, step.note))
    if step.what == "their_row" and step.note:
        return step._replace(note=name(step.note))
    if step.what.startswith("attempt_") and step.reference:
        return step._replace(reference=None, note=name(step.reference))
    return step


def _returning(session: Session, standing: BreakAct | None, caller: Caller) -> dict[str, Any]:
    """Return what the page shows of money that goes back from our bank."""
    transfer = _find_transfer(session, standing)
    same = transfer is not None and transfer.needs_two and transfer.payee_by == caller.id
    return {
        "transfer": transfer, "waits": transfers.is_waiting(transfer), "may_confirm": not same,
    }  # fmt: skip
