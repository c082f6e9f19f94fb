"""Who may: each route depends on exactly one of these rules, and a test looks that it does.

``anyone``    no sign-in; ``visitor`` also reads who it is, if anybody
``resident``  somebody signed in
``staff``     customer service and finance
``company``   a utility's system, by its API key, for its own code
``sender``    a utility's system, by its API key, whichever it is
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel import Session

from core.clock import utc_now
from core.db import transaction
from core.errors import NotAllowed, NotSignedIn
from core.masking import mask_name
from core.settings import settings
from identity import keys, sign_in
from identity.models import Role


def _transaction() -> Iterator[Session]:
    with transaction() as session:
        yield session


# scope="function": the commit comes before the answer leaves. By default it would come after it,
# and somebody could read "paid" that was then rolled back.
Db = Annotated[Session, Depends(_transaction, scope="function")]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking; ``csrf`` must come back in every form of theirs."""

    id: int
    role: Role
    name_masked: str
    contact: str
    email: str | None
    locale: str
    csrf: str
    token: str


def cookie_name() -> str:
    """Return the session cookie's name; browsers keep ``__Host-`` cookies to TLS and this host."""
    return "citybill_session" if settings().demo else "__Host-citybill_session"


def _token(request: Request) -> str:
    """Return the session's token: of programs from the header alone, of browsers from the cookie.

    A cookie is never enough for the API: browsers send it along with what other sites ask for.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if request.url.path.startswith("/api/"):
        return ""
    return request.cookies.get(cookie_name(), "")


def anyone() -> None:
    """Let everybody in."""


def visitor(request: Request) -> Caller | None:
    """Let everybody in and tell who it is."""
    try:
        return resident(request)
    except NotSignedIn:
        return None


def resident(request: Request) -> Caller:
    """Let whoever is signed in pass.

    Raises:
        NotSignedIn: no session, or one that is over.
    """
    token = _token(request)
    if not token:
        raise NotSignedIn("please sign in")
    with transaction() as session:
        person, row = sign_in.find_session(session, token, now=utc_now())
    assert person.id is not None
    caller = Caller(
        id=person.id, role=person.role, name_masked=mask_name(person.name),
        contact=person.contact, email=person.email, locale=person.locale,
        csrf=row.csrf, token=token,
    )  # fmt: skip
    request.state.caller = caller
    return caller


def staff(request: Request) -> Caller:
    """Let customer service and finance pass.

    Raises:
        NotSignedIn: nobody is signed in.
        NotAllowed: somebody else is.
    """
    caller = resident(request)
    if caller.role is not Role.STAFF:
        raise NotAllowed("this page is for the city's own staff")
    return caller


def _api_key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise NotSignedIn("send your API key: Authorization: Bearer …", code="api_key.missing")
    return key.strip()


def company(request: Request, code: str) -> str:
    """Let the company ``code`` of the path pass, by its API key.

    Raises:
        NotSignedIn: no key, or an unknown one.
        NotAllowed: another company's key.
    """
    with transaction() as session:
        keys.check_key(session, _api_key(request), provider_code=code)
    return code


def sender(request: Request) -> str:
    """Let any company pass and tell which it is.

    Raises:
        NotSignedIn: no key, or an unknown one.
    """
    with transaction() as session:
        return keys.company_of(session, _api_key(request))


RULES = (anyone, visitor, resident, staff, company, sender)
Visitor = Annotated[Caller | None, Depends(visitor)]
Resident = Annotated[Caller, Depends(resident)]
Staff = Annotated[Caller, Depends(staff)]
Company = Annotated[str, Depends(company)]
Sender = Annotated[str, Depends(sender)]
Anyone = Depends(anyone)
