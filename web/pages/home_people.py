"""The page of one home: its people and their roles, who is invited, and making another home."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing.homes import invitations, people
from billing.homes.households import account_view, visible_accounts
from billing.homes.people import Standing
from billing.models import HomeKind, MemberRole
from core.clock import billing_date, utc_now
from core.errors import CityBillError, Invalid
from identity import televisions
from payments.autopay.leaving import end_lost
from payments.autopay.models import list_mandates
from payments.autopay.states import LIVE
from web.access import Caller, Db, Resident
from web.errors import status_of
from web.inputs import PLAIN, Csrf, Text
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.homes import in_words

router = APIRouter(prefix="/household")
Home = Annotated[int | None, Query(ge=1, lt=1 << 63)]
FormId = Annotated[int, Form(ge=1, lt=1 << 63)]
Done = Annotated[str, Query(max_length=20, pattern=PLAIN)]
Kind = Annotated[str, Query(max_length=20, pattern=PLAIN)]
# A tick sends "yes" behind the form's own "no"; programs that send neither mean as it always was.
Tick = Annotated[str, Form(max_length=3, pattern=PLAIN)]

_NOTHING_TYPED = dict.fromkeys(("contact", "role", "from_on", "until_on", "earlier_bills"), "")


@router.get("")
def show_home(
    request: Request, db: Db, caller: Resident, home: Home = None, done: Done = ""
) -> Response:
    return _home_page(request, db, caller, home, done=done)


def _home_page(
    request: Request,
    session: Session,
    caller: Caller,
    home: int | None,
    *,
    done: str = "",
    refused: CityBillError | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    """Show a home, or the first; of who has none, how to make one."""
    now = utc_now()
    mine = people.list_standings(session, caller.id)
    chosen = None
    if home is not None:
        chosen = people.standing(session, caller.id, home)
    elif mine:
        chosen = mine[0]
    return page(
        request,
        "household.html",
        status_code=status_of(refused) if refused else 200,
        homes=[one.home for one in mine],
        chosen=chosen.home if chosen else None,
        waiting=invitations.list_waiting(session, caller.id, now=now),
        done=done,
        problem=in_words(locale_of(request), refused) if refused else "",
        typed={"name": chosen.home.name if chosen else "", **_NOTHING_TYPED, **(typed or {})},
        today=billing_date(now).isoformat(),
        **(_about(session, caller, chosen) if chosen else {}),
    )


def _about(session: Session, caller: Caller, chosen: Standing) -> dict[str, Any]:
    """Return what the page says of a home."""
    now, home_id = utc_now(), chosen.home.id
    accounts = visible_accounts(session, caller.id, household_id=home_id)
    members = people.list_members(session, home_id, now=now)
    return {
        "role": chosen.role, "manages": chosen.manages, "pays": chosen.pays, "me": caller.id,
        "members": members,
        "others_manage": any(
            one.role is MemberRole.MANAGE and one.person_id != caller.id for one in members
        ),
        "invited": (
            invitations.list_invited(session, home_id, now=now) if chosen.manages else []
        ),
        "accounts": [account_view(one) for one in accounts.values()],
        "televisions": len(televisions.list_televisions(session, caller.id, now=now)),
        "mandates": sum(
            one.status in LIVE for one in list_mandates(session, caller.id)
        ),
        "roles": people.ROLES,
    }  # fmt: skip


def _to(home: int, done: str) -> Response:
    return go(f"/household?home={home}&done={done}")


@router.get("/new")
def ask_for_home(request: Request, _caller: Resident, kind: Kind = "") -> Response:
    return _new_page(request, kind)


def _new_page(
    request: Request, kind: str, *, name: str | None = None, refused: CityBillError | None = None
) -> Response:
    kinds = [one.value for one in HomeKind]
    return page(
        request,
        "household_new.html",
        status_code=status_of(refused) if refused else 200,
        kinds=kinds,
        kind=kind if kind in kinds else HomeKind.OWN.value,
        typed=name,
        problem=in_words(locale_of(request), refused) if refused else "",
    )


@router.post("/new")
def make_home(
    request: Request, db: Db, caller: Resident, csrf: Csrf, name: Text = "", kind: Text = "own"
) -> Response:
    check_form(request, csrf)
    known = HomeKind(kind) if kind in {*HomeKind} else HomeKind.OWN
    try:
        made = people.add_home(db, caller.id, name=name, kind=known, now=utc_now())
    except CityBillError as refused:
        return _new_page(request, kind, name=name, refused=refused)
    return _to(made.id or 0, "made")


def _role(typed: str) -> MemberRole:
    try:
        return MemberRole(typed)
    except ValueError:
        raise Invalid("choose what they may do", code="form.stale") from None


def _day(typed: str) -> date | None:
    try:
        return date.fromisoformat(typed) if typed else None
    except ValueError:
        raise Invalid("not a day", code="home.days") from None


@router.post("/name")
def rename(
    request: Request, db: Db, caller: Resident, csrf: Csrf, home: FormId, name: Text = ""
) -> Response:
    check_form(request, csrf)
    try:
        people.rename(db, caller.id, home, name)
    except Invalid as refused:
        return _home_page(request, db, caller, home, refused=refused, typed={"name": name})
    return _to(home, "named")


@router.post("/remove")
def remove_home(request: Request, db: Db, caller: Resident, csrf: Csrf, home: FormId) -> Response:
    check_form(request, csrf)
    try:
        people.remove_home(db, caller.id, home, now=utc_now())
    except CityBillError as refused:
        return _home_page(request, db, caller, home, refused=refused)
    return go("/household?done=removed")


@router.post("/invite")
def invite(
    request: Request,
    db: Db,
    caller: Resident,
    csrf: Csrf,
    home: FormId,
    contact: Text = "",
    role: Text = "see",
    from_on: Text = "",
    until_on: Text = "",
    earlier_bills: Tick = "yes",
) -> Response:
    check_form(request, csrf)
    try:
        invitations.invite(
            db, caller.id, home, contact=contact, role=_role(role),
            from_on=_day(from_on), until_on=_day(until_on),
            earlier_bills=earlier_bills == "yes", now=utc_now(),
        )  # fmt: skip
    except CityBillError as refused:
        typed = {
            "contact": contact, "role": role, "from_on": from_on, "until_on": until_on,
            "earlier_bills": earlier_bills,
        }  # fmt: skip
        return _home_page(request, db, caller, home, refused=refused, typed=typed)
    return _to(home, "invited")


@router.post("/withdraw")
def withdraw(
    request: Request, db: Db, caller: Resident, csrf: Csrf, home: FormId, invitation: FormId
) -> Response:
    check_form(request, csrf)
    invitations.withdraw(db, caller.id, home, invitation, now=utc_now())
    return _to(home, "withdrawn")


@router.post("/answer")
def answer(
    request: Request, db: Db, caller: Resident, csrf: Csrf, invitation: FormId, choice: Text = ""
) -> Response:
    """Take up an invitation, or not."""
    check_form(request, csrf)
    if choice != "accept":
        invitations.decline(db, caller.id, invitation, now=utc_now())
        return go("/household?done=declined")
    try:
        home = invitations.accept(db, caller.id, invitation, now=utc_now())
    except CityBillError as refused:
        return _home_page(request, db, caller, None, refused=refused)
    return _to(home, "joined")


@router.post("/role")
def change_role(
    request: Request,
    db: Db,
    caller: Resident,
    csrf: Csrf,
    home: FormId,
    person: FormId,
    role: Text = "",
    from_on: Text = "",
    until_on: Text = "",
    earlier_bills: Tick = "yes",
) -> Response:
    check_form(request, csrf)
    try:
        people.change_role(
            db, caller.id, home, person, role=_role(role), from_on=_day(from_on),
            until_on=_day(until_on), earlier_bills=earlier_bills == "yes", now=utc_now(),
        )  # fmt: skip
    except CityBillError as refused:
        return _home_page(request, db, caller, home, refused=refused)
    end_lost(db, person, by=caller.id, now=utc_now())
    return _to(home, "changed")


@router.post("/take-out")
def take_out(
    request: Request, db: Db, caller: Resident, csrf: Csrf, home: FormId, person: FormId
) -> Response:
    check_form(request, csrf)
    try:
        people.remove(db, caller.id, home, person)
    except CityBillError as refused:
        return _home_page(request, db, caller, home, refused=refused)
    end_lost(db, person, by=caller.id, now=utc_now())
    return _to(home, "taken_out")


@router.post("/leave")
def leave(request: Request, db: Db, caller: Resident, csrf: Csrf, home: FormId) -> Response:
    check_form(request, csrf)
    try:
        people.leave(db, caller.id, home)
    except CityBillError as refused:
        return _home_page(request, db, caller, home, refused=refused)
    end_lost(db, caller.id, by=caller.id, now=utc_now())
    return go("/household?done=left")
