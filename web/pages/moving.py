"""Moving house: what is closed, what is opened, and where the last bills stay, on one plan."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from billing.bills import format_ref
from billing.homes import accounts, moving
from billing.homes.moving import Plan
from billing.homes.people import Standing, list_standings
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid
from core.settings import settings
from providers.registry import get_provider, provider_codes
from web import look
from web.access import Caller, Db, Resident
from web.errors import status_of
from web.inputs import PLAIN, Csrf
from web.pages.page import check_form, go, locale_of, page

router = APIRouter(prefix="/household/move")
HomeId = Annotated[int, Query(ge=0, lt=1 << 63)]
Did = Annotated[str, Query(max_length=20, pattern=PLAIN)]
_Line = Annotated[str, Field(max_length=200, pattern=PLAIN)]
_Id = Annotated[int, Field(ge=1, lt=1 << 63)]


class Typed(BaseModel):
    """A plan as it was typed."""

    home: int = Field(default=0, ge=0, lt=1 << 63)
    leaves_on: _Line = ""
    new_address: _Line = ""
    phone: _Line = ""
    close: list[_Id] = Field(default=[], max_length=100)
    open: list[_Line] = Field(default=[], max_length=50)

    def plan(self) -> Plan:
        """Read it (Raises Invalid)."""
        try:
            day = date.fromisoformat(self.leaves_on)
        except ValueError:
            raise Invalid("say on which day", code="move.day") from None
        return Plan(day, self.new_address, self.phone, self.close, self.open)


class Sent(Typed):
    csrf: _Line = ""


@router.get("")
def show(request: Request, db: Db, caller: Resident, home: HomeId = 0, did: Did = "") -> Response:
    return _page(request, db, caller, Typed(home=home), did=did)


def _page(
    request: Request,
    session: Session,
    caller: Caller,
    typed: Typed,
    *,
    did: str = "",
    refused: CityBillError | None = None,
) -> Response:
    """Show the plan under way, or the form for one."""
    now = utc_now()
    homes = [one for one in list_standings(session, caller.id) if one.manages]
    chosen = next((one for one in homes if one.home.id == typed.home), homes[0] if homes else None)
    move = moving.under_way(session, chosen.home.id) if chosen else None
    open_plan = move is not None and moving.may_change(move, now=now)
    return page(
        request,
        "moving.html",
        status_code=status_of(refused) if refused else 200,
        homes=[one.home for one in homes],
        chosen=chosen.home if chosen else None,
        move=move,
        may_change=open_plan,
        steps=[(one, format_ref(one.bill) if one.bill else None) for one in
               (moving.steps_of(session, move) if move else [])],
        accounts=_to_close(session, caller, chosen),
        companies=[get_provider(code) for code in provider_codes()],
        typed=typed,
        problem=_words(locale_of(request), refused) if refused else None,
        did=did,
        first_on=billing_date(now) - moving.EARLIEST,
        last_on=billing_date(now) + moving.LATEST,
        kept_days=moving.KEPT_FOR.days,
    )  # fmt: skip


def _to_close(
    session: Session, caller: Caller, chosen: Standing | None
) -> list[accounts.HomeAccount]:
    if chosen is None:
        return []
    listed = accounts.list_accounts(session, caller.id, now=utc_now())
    return [
        one for one in listed if one.household_id == chosen.home.id and one.left_on is None
    ]  # fmt: skip


def _words(locale: str, refused: CityBillError) -> tuple[str, str]:
    """Say what is wrong, and beside which field."""
    match refused.code:
        case "move.day":
            return "leaves_on", look.say(
                locale, "Choose a day of the last 30 days or of the next half year."
            )
        case "move.address":
            return "new_address", look.say(
                locale, "Write where the last bill can reach you, in 120 characters at most."
            )
        case "move.phone":
            return "phone", look.say(locale, "Write a phone number the company can call.")
        case "move.nothing":
            return "close", look.say(
                locale, "Tick at least one account to close, or one company to open at."
            )
        case "move.under_way":
            return "", look.say(locale, "A move of this home is planned already: see below.")
    return "", look.say(locale, "The moving day has come: the plan cannot be changed any more.")


@router.post("")
def make(request: Request, db: Db, caller: Resident, typed: Annotated[Sent, Form()]) -> Response:
    """Plan the move and ask the companies."""
    check_form(request, typed.csrf)
    try:
        with transaction() as session:
            moving.make(
                session, caller.id, typed.home, typed.plan(), secret=_secret(), now=utc_now()
            )
    except (Invalid, Conflict) as refused:
        return _page(request, db, caller, typed, refused=refused)
    return go(f"/household/move?home={typed.home}&did=made")


@router.post("/change")
def change(request: Request, db: Db, caller: Resident, typed: Annotated[Sent, Form()]) -> Response:
    """Change day, address and phone, until the day."""
    check_form(request, typed.csrf)
    try:
        with transaction() as session:
            moving.change(
                session, caller.id, typed.home, typed.plan(), secret=_secret(), now=utc_now()
            )
    except (Invalid, Conflict) as refused:
        return _page(request, db, caller, typed, refused=refused)
    return go(f"/household/move?home={typed.home}&did=changed")


@router.post("/cancel")
def cancel(
    request: Request,
    db: Db,
    caller: Resident,
    csrf: Csrf,
    home: Annotated[int, Form(ge=1, lt=1 << 63)],
) -> Response:
    """Call it off, until the day."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            moving.cancel(session, caller.id, home, now=utc_now())
    except Conflict as refused:
        return _page(request, db, caller, Typed(home=home), refused=refused)
    return go(f"/household/move?home={home}&did=cancelled")


def _secret() -> str:
    return settings().secret_key.get_secret_value()
