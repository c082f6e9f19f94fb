"""The staff console: who works here and at the companies, what they may do, and where from."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from identity import audit, colleagues, duties
from identity.colleagues import Wanted
from identity.duties import Duty, StaffDuty
from identity.models import Person, Role
from providers.registry import PROVIDERS, get_provider
from web import look
from web.access import Admin, Caller, Db
from web.errors import status_of
from web.exports import Cell, export, read_rows
from web.inputs import PLAIN, Csrf, Id
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind, Word, one_of, query_of
from web.pages.page import check_form, go, locale_of, page
from web.pages.words.staff import duty_hint, duty_name, refusal

router = APIRouter(prefix="/console/users")
Line = Annotated[str, Form(max_length=200, pattern=PLAIN, default_factory=str)]
Chosen = Annotated[list[str], Form(max_length=len(Duty), default_factory=list)]
_CITY = "city"  # in the address: the city's own
_COMPANIES = "companies"


class Asked:
    """What the address asks for; what is left empty is not asked."""

    def __init__(self, words: Word = "", of: Word = "", duty: Word = "", left: Word = "") -> None:
        self.typed = {"words": words, "of": of, "duty": duty, "left": left}
        self.wanted = Wanted(
            words=words, role={_CITY: Role.STAFF, _COMPANIES: Role.OPERATOR}.get(of),
            provider_code=of if of in PROVIDERS else None, duty=one_of(Duty, duty),
            ended=bool(left),
        )  # fmt: skip

    def query(self, **changes: object) -> str:
        """Return the address's query with some of it changed."""
        return query_of(self.typed, **changes)


Filter = Annotated[Asked, Depends(Asked)]


@router.get("")
def show_users(
    request: Request, db: Db, caller: Admin, asked: Filter, after: After = None
) -> Response:
    return _list_page(request, db, caller, asked, after=after)


def _list_page(
    request: Request,
    session: Session,
    caller: Caller,
    asked: Asked,
    *,
    after: int | None = None,
    refused: CityBillError | None = None,
    typed: dict[str, Any] | None = None,
) -> Response:
    locale = locale_of(request)
    found = colleagues.find_colleagues(
        session, asked.wanted, after=after, limit=colleagues.PAGE + 1
    )
    shown = found[: colleagues.PAGE]
    return page(
        request,
        "console/users.html",
        status_code=status_of(refused) if refused else 200,
        rows=_rows(session, locale, shown),
        proposals=_proposals(session, locale, caller),
        asked=asked,
        filtered=any(asked.typed.values()),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > colleagues.PAGE else None,
        duties=_choices(locale),
        companies=[(code, provider_name(locale, code)) for code in PROVIDERS],
        typed=typed or {"name": "", "contact": "", "of": "", "duty": []},
        error=refusal(locale, refused),
    )


def _rows(session: Session, locale: str, people: list[Person]) -> list[dict[str, Any]]:
    ids = [one.id for one in people if one.id is not None]
    standing, seen = duties.duties_among(session, ids), colleagues.last_seen(session, ids)
    return [
        {
            "person": one,
            "of": _whose(locale, one),
            "duties": [duty_name(locale, row.duty) for row in _given(standing, one)],
            "proposed": [
                duty_name(locale, row.duty)
                for row in standing.get(one.id or 0, [])
                if row.given_at is None
            ],
            "seen_at": seen.get(one.id or 0),
        }
        for one in people
    ]


def _given(standing: dict[int, list[StaffDuty]], person: Person) -> list[StaffDuty]:
    return [row for row in standing.get(person.id or 0, []) if row.given_at is not None]


def _whose(locale: str, person: Person) -> str:
    if person.provider_code is None:
        return look.say(locale, "The city")
    return provider_name(locale, person.provider_code)


def _choices(locale: str) -> list[tuple[str, str, str]]:
    return [(one.value, duty_name(locale, one), duty_hint(locale, one)) for one in Duty]


def _proposals(session: Session, locale: str, caller: Caller) -> list[dict[str, Any]]:
    """Return duties that wait for a second admin, with what the reader may do about each."""
    waiting = duties.proposed_duties(session)
    names = colleagues.names_of(
        session, [who for row in waiting for who in (row.person_id, row.proposed_by)]
    )
    return [
        {
            "row": row,
            "person": names[row.person_id],
            "duty": duty_name(locale, row.duty),
            "proposer": names.get(row.proposed_by or 0),
            "own": row.proposed_by == caller.id,
            "me": row.person_id == caller.id,
        }
        for row in waiting
    ]


@router.post("")
def invite(
    request: Request,
    db: Db,
    caller: Admin,
    asked: Filter,
    csrf: Csrf,
    name: Line,
    contact: Line,
    of: Line,
    duty: Chosen,
) -> Response:
    check_form(request, csrf)
    try:
        with transaction() as session:
            person = colleagues.invite(
                session, name=name, contact=contact,
                provider_code=get_provider(of).code if of else None,
                duties=[] if of else _read_duties(duty), by=caller.id, now=utc_now(),
            )  # fmt: skip
    except CityBillError as refused:
        typed = {"name": name, "contact": contact, "of": of, "duty": duty}
        return _list_page(request, db, caller, asked, refused=refused, typed=typed)
    return go(f"/console/users/{person.id}")


def _read_duties(chosen: list[str]) -> list[Duty]:
    if unknown := {*chosen} - {*Duty}:
        raise Invalid(f"there is no duty {min(unknown)!r}", code="duty.none_chosen")
    return [Duty(one) for one in dict.fromkeys(chosen)]


@router.get(".{kind}")
def export_users(
    request: Request, kind: FileKind, db: Db, caller: Admin, asked: Filter
) -> StreamingResponse:
    locale = locale_of(request)
    audit.note_export(db, caller.id, "users", kind, asked.query(), now=utc_now())

    def read(session: Session) -> Iterator[list[Cell]]:
        people = list(colleagues.every_colleague(session, asked.wanted))
        for row in _rows(session, locale, people):
            person = row["person"]
            yield [
                person.name, person.contact, row["of"], ", ".join(row["duties"]),
                ", ".join(row["proposed"]), person.created_at, row["seen_at"], person.ended_at,
            ]  # fmt: skip

    head = [
        look.say(locale, "Name"), look.say(locale, "Contact"), look.say(locale, "Of"),
        look.say(locale, "Duties"), look.say(locale, "Proposed"), look.say(locale, "Invited"),
        look.say(locale, "Last seen"), look.say(locale, "Left"),
    ]  # fmt: skip
    return export(kind, name="users", head=head, rows=read_rows(read))


@router.get("/{person_id}")
def show_user(request: Request, person_id: Id, db: Db, caller: Admin) -> Response:
    return _user_page(request, db, person_id, caller)


@router.post("/{person_id}/duties")
def propose(
    request: Request, person_id: Id, db: Db, caller: Admin, csrf: Csrf, duty: Line
) -> Response:
    """Propose a duty; another admin gives it."""

    def act(session: Session) -> None:
        if not duty:
            raise Invalid("choose a duty", code="duty.none_chosen")
        [wanted] = _read_duties([duty])
        duties.propose_duty(session, person_id, wanted, by=caller.id, now=utc_now())

    return _do(request, db, person_id, caller, csrf, act)


@router.post("/{person_id}/duties/{duty_id}/approval")
def approve(
    request: Request, person_id: Id, duty_id: Id, db: Db, caller: Admin, csrf: Csrf
) -> Response:
    def act(session: Session) -> None:
        duties.give_proposed(session, duty_id, by=caller.id, now=utc_now())

    return _do(request, db, person_id, caller, csrf, act)


@router.post("/{person_id}/duties/{duty_id}/end")
def take(
    request: Request, person_id: Id, duty_id: Id, db: Db, caller: Admin, csrf: Csrf
) -> Response:
    """Take a duty, or decline or withdraw its proposal."""

    def act(session: Session) -> None:
        duties.take_duty(session, duty_id, by=caller.id, now=utc_now())

    return _do(request, db, person_id, caller, csrf, act)


@router.post("/{person_id}/end")
def end(request: Request, person_id: Id, db: Db, caller: Admin, csrf: Csrf) -> Response:
    """End somebody's access at once."""

    def act(session: Session) -> None:
        colleagues.end_access(session, person_id, by=caller.id, now=utc_now())

    return _do(request, db, person_id, caller, csrf, act)


@router.post("/{person_id}/again")
def let_in_again(request: Request, person_id: Id, db: Db, caller: Admin, csrf: Csrf) -> Response:
    def act(session: Session) -> None:
        colleagues.let_in_again(session, person_id, by=caller.id, now=utc_now())

    return _do(request, db, person_id, caller, csrf, act)


@router.post("/{person_id}/sessions/end")
def sign_out(
    request: Request, person_id: Id, db: Db, caller: Admin, csrf: Csrf, browser: Line
) -> Response:
    """Sign somebody out of one browser, or of all."""

    def act(session: Session) -> None:
        colleagues.sign_out(
            session, person_id, token_hash=browser or None, by=caller.id, now=utc_now()
        )

    return _do(request, db, person_id, caller, csrf, act)


def _do(
    request: Request,
    db: Session,
    person_id: int,
    caller: Caller,
    csrf: str,
    act: Callable[[Session], None],
) -> Response:
    """Do one thing about somebody, and show what came of it or why not."""
    check_form(request, csrf)
    try:
        with transaction() as session:
            act(session)
    except CityBillError as refused:
        return _user_page(request, db, person_id, caller, refused=refused)
    return go(f"/console/users/{person_id}")


def _user_page(
    request: Request,
    session: Session,
    person_id: int,
    caller: Caller,
    *,
    refused: CityBillError | None = None,
) -> Response:
    """Show one person: what they may do, since when and by whom, and where they are signed in."""
    person, now, locale = (
        colleagues.get_colleague(session, person_id),
        utc_now(),
        locale_of(request),
    )
    history = duties.duty_history(session, person_id)
    standing = {row.duty for row in history if row.taken_at is None}
    who = [one for row in history for one in (row.proposed_by, row.given_by, row.taken_by)]
    return page(
        request,
        "console/user.html",
        status_code=status_of(refused) if refused else 200,
        user=person,
        of=_whose(locale, person),
        own=person.id == caller.id,
        caller_id=caller.id,
        history=[{"row": row, "duty": duty_name(locale, row.duty),
                  "hint": duty_hint(locale, row.duty)} for row in history],
        offered=[one for one in _choices(locale) if one[0] not in standing],
        names=colleagues.names_of(session, who),
        browsers=colleagues.live_sessions(session, person_id, now=now),
        seen_at=colleagues.last_seen(session, [person_id]).get(person_id),
        error=refusal(locale, refused),
    )  # fmt: skip
