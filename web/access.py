"""Who may: each route depends on exactly one of these rules, and a test looks that it does.

``anyone``    no sign-in; ``visitor`` also reads who it is, if anybody
``resident``  somebody signed in
``looker``    the same, found by the page itself when it looks: for pages that write nothing
``payer``     the same, or a guest: somebody who has shown that a bill is theirs to pay
``staff``     the city's own people, whatever their duties
``service``   those of them whose duty it is: residents, payments, refunds, chargebacks
``finance``   reconciliation, differences, bank, remittance, days, ledger
``either``    service or finance: a payment is looked at by both
``setup``     companies' profiles and terms, bill files
``admin``     users, the audit log
``operator``  a utility's own people, for their own company
``company``   a utility's system, by its signed request or API key, for its own code
``sender``    the same, whichever company it is
``webhook``   a utility's system, by the signature of what it announces, for its own code
``television``  a television that somebody let show their bills: it looks, and does nothing else
``agent``     a shop's or bank's system that takes cash for us, by its signed request
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from sqlmodel import Session

from billing.files.webhooks import MAX_BODY_BYTES
from core.clock import utc_now
from core.db import looking, transaction
from core.errors import NotAllowed, NotSignedIn
from core.masking import mask_name
from core.settings import settings
from identity import keys, sign_in, signed_requests, televisions
from identity.duties import Duty, duties_of
from identity.models import Holder, Role
from identity.signed_requests import Announcement, Signed
from notifications.inbox import count_unread
from web.bodies import promise_body, read_body
from web.inputs import PLAIN


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
    contact: str  # empty: a guest's
    email: str | None
    locale: str
    csrf: str
    token: str
    provider_code: str | None = None  # of an operator: the company
    duties: frozenset[Duty] = frozenset()  # of staff
    unread: int = 0  # notices in their inbox, for the menu of a page


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
    if _is_api(request):
        return ""
    return request.cookies.get(cookie_name(), "")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose bills a television shows."""

    person_id: int
    name_masked: str
    television_id: int


def television_cookie() -> str:
    """Return the name of the cookie a paired television keeps."""
    return "citybill_tv" if settings().demo else "__Host-citybill_tv"


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


async def anyone() -> None:
    """Let everybody in; async, because it needs no thread."""


def visitor(request: Request) -> Caller | None:
    """Let everybody in and tell who it is."""
    try:
        return payer(request)
    except NotSignedIn:
        return None


def resident(request: Request) -> Caller:
    """Let whoever is signed in pass.

    Raises:
        NotSignedIn: no session, one that is over, or a guest's.
    """
    with looking() as session:
        return _resident(request, session)


def _resident(request: Request, session: Session) -> Caller:
    caller = _find(request, session)
    if caller.role is Role.GUEST:
        raise NotSignedIn("please sign in: a guest can only pay")
    return _let_in(request, caller)


Looks = Callable[[], AbstractContextManager[tuple[Session, Caller]]]


async def looker(request: Request) -> Looks:
    """Let whoever is signed in pass, in the thread of the page, which looks with the same session.

    Of pages that many people open: a thread and a connection less for each. A session made before
    would hold its connection while the page waits for a thread.

    Raises:
        NotSignedIn: as ``resident``, when the page begins to look.
    """
    return partial(_look, request)


@contextmanager
def _look(request: Request) -> Iterator[tuple[Session, Caller]]:
    with looking() as session:
        yield session, _resident(request, session)


def payer(request: Request) -> Caller:
    """Let whoever is signed in pass, and guests.

    Raises:
        NotSignedIn: no session, or one that is over.
    """
    with looking() as session:
        return _let_in(request, _find(request, session))


def _let_in(request: Request, caller: Caller) -> Caller:
    request.state.caller = caller
    return caller


def _find(request: Request, session: Session) -> Caller:
    token = _token(request)
    if not token:
        raise NotSignedIn("please sign in")
    found = sign_in.find_session(session, token, now=utc_now())
    duties = duties_of(session, found.id) if found.role is Role.STAFF else frozenset()
    unread = 0 if _is_api(request) else count_unread(session, found.id)
    if found.to_note:
        sign_in.note_seen(token, now=utc_now())
    return Caller(
        id=found.id, role=found.role, name_masked=mask_name(found.name),
        contact=found.contact or "", email=found.email, locale=found.locale,
        csrf=found.csrf, token=token, provider_code=found.provider_code, duties=duties,
        unread=unread,
    )  # fmt: skip


def television(request: Request) -> Viewer:
    """Let a paired television pass.

    Raises:
        NotSignedIn: it is not paired, or no longer.
    """
    token = request.cookies.get(television_cookie(), "")
    with transaction() as session:
        person, row = televisions.find_television(session, token, now=utc_now())
        return Viewer(row.person_id, mask_name(person.name), row.id or 0)


def staff(request: Request) -> Caller:
    """Let the city's own people pass, whatever their duties.

    Raises:
        NotSignedIn: nobody is signed in.
        NotAllowed: somebody else is.
    """
    caller = resident(request)
    if caller.role is not Role.STAFF:
        raise NotAllowed("this page is for the city's own staff")
    return caller


def service(request: Request) -> Caller:
    """Let staff pass who look after residents."""
    return _on_duty(request, Duty.SERVICE)


def finance(request: Request) -> Caller:
    """Let staff pass who keep the books."""
    return _on_duty(request, Duty.FINANCE)


def either(request: Request) -> Caller:
    """Let staff pass who look after residents, or keep the books."""
    return _on_duty(request, Duty.SERVICE, Duty.FINANCE)


def setup(request: Request) -> Caller:
    """Let staff pass who look after companies."""
    return _on_duty(request, Duty.SETUP)


def admin(request: Request) -> Caller:
    """Let staff pass who look after users."""
    return _on_duty(request, Duty.ADMIN)


def _on_duty(request: Request, *one_of: Duty) -> Caller:
    """Let staff with one of these duties pass.

    Raises:
        NotSignedIn: nobody is signed in.
        NotAllowed: somebody else is, or staff with other duties.
    """
    caller = staff(request)
    if caller.duties.isdisjoint(one_of):
        needed = " or ".join(one_of)
        raise NotAllowed(
            f"this needs the duty {needed}: ask an admin for it", code="duty.missing", duty=needed
        )
    return caller


def operator(request: Request) -> Caller:
    """Let a utility's own people pass; ``provider_code`` is what they may see.

    Raises:
        NotSignedIn: nobody is signed in.
        NotAllowed: somebody else is.
    """
    caller = resident(request)
    if caller.role is not Role.OPERATOR or caller.provider_code is None:
        raise NotAllowed("this page is for the companies' own people")
    return caller


async def company(request: Request, code: str) -> str:
    """Let the company ``code`` of the path pass, by its signed request or API key.

    Raises:
        NotSignedIn: no signature and no key, or one that does not hold.
        NotAllowed: another company's.
    """
    if await sender(request) != code:
        raise NotAllowed("this API key belongs to another company", code="api_key.other_company")
    return code


async def sender(request: Request) -> str:
    """Let any company pass and tell which it is.

    The body a signature promises is checked when it is read: ``web.bodies``.

    Raises:
        NotSignedIn: no signature and no key, or one that does not hold.
    """
    if not any(_signature(request)):
        _promised(request)
        return await run_in_threadpool(_key_holder, request)
    return await _signed_by(request, Holder.COMPANY)


async def agent(request: Request) -> str:
    """Let an agent pass, by its signed request alone, and tell which it is.

    Raises:
        NotSignedIn: no signature, or one that does not hold.
        NotAllowed: an agent the city no longer has.
    """
    code = await _signed_by(request, Holder.AGENT)
    await read_body(request, limit=MAX_BODY_BYTES)  # what the route is given was read unchecked
    if code not in settings().counter_agents:
        raise NotAllowed(f"the city has no agent {code!r} any more", code="agent.unknown")
    return code


_SIGNED = ("key", "time", "nonce", "signature")  # as Signed has them


def _signature(request: Request) -> Signed:
    return Signed(*(request.headers.get(f"x-citybill-{name}", "") for name in _SIGNED))


def _promised(request: Request) -> str | None:
    """Return the hash a request states of its body, noted: it is checked when that is read."""
    body_sha256 = signed_requests.digest_header(request.headers.get("content-digest", ""))
    if body_sha256 is not None:
        promise_body(request, body_sha256)
    return body_sha256


async def _signed_by(request: Request, holder: Holder) -> str:
    body_sha256 = _promised(request)
    if body_sha256 is None:
        body_sha256 = hashlib.sha256(await read_body(request, limit=MAX_BODY_BYTES)).hexdigest()
    return await run_in_threadpool(_signer, request, _signature(request), body_sha256, holder)


def _signer(request: Request, signed: Signed, body_sha256: str, holder: Holder) -> str:
    path = request.scope.get("raw_path") or request.url.path.encode()
    query = request.scope.get("query_string", b"")
    target = (path + b"?" + query if query else path).decode("ascii", "replace")
    with transaction() as session:
        return signed_requests.check_request(
            session, signed, method=request.method, target=target, body_sha256=body_sha256,
            secret_key=settings().secret_key.get_secret_value(), now=utc_now(), holder=holder,
        )  # fmt: skip


def _key_holder(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise NotSignedIn(
            "sign the request with your company's key: docs/company-api.md", code="api_key.missing"
        )
    if not settings().takes_unsigned:
        raise NotSignedIn(
            "a plain API key does not do here: sign the request, as docs/company-api.md says",
            code="api_key.unsigned",
        )
    with transaction() as session:
        return keys.company_of(session, key.strip())


async def webhook(request: Request, code: Annotated[str, Path(pattern=PLAIN)]) -> str:
    """Let the company ``code`` of the path pass, by the signature of what it announces.

    Raises:
        NotSignedIn: a header is missing, the clock is off, or the signature is nobody's of theirs.
    """
    body = await read_body(request, limit=MAX_BODY_BYTES)
    told = (request.headers.get(f"webhook-{name}", "") for name in Announcement._fields)
    headers = Announcement(*told)

    def check() -> None:
        with transaction() as session:
            signed_requests.check_webhook(
                session, code, headers, body, now=utc_now(),
                secret_key=settings().secret_key.get_secret_value(),
            )  # fmt: skip

    await run_in_threadpool(check)
    return code


RULES = (
    anyone, visitor, resident, looker, payer, staff, service, finance, either, setup, admin,
    operator, company, sender, webhook, agent, television,
)  # fmt: skip
Visitor = Annotated[Caller | None, Depends(visitor)]
Resident = Annotated[Caller, Depends(resident)]
Looker = Annotated[Looks, Depends(looker)]
Payer = Annotated[Caller, Depends(payer)]
Staff = Annotated[Caller, Depends(staff)]
Service = Annotated[Caller, Depends(service)]
Finance = Annotated[Caller, Depends(finance)]
Either = Annotated[Caller, Depends(either)]
Setup = Annotated[Caller, Depends(setup)]
Admin = Annotated[Caller, Depends(admin)]
Operator = Annotated[Caller, Depends(operator)]
Company = Annotated[str, Depends(company)]
Sender = Annotated[str, Depends(sender)]
Webhook = Annotated[str, Depends(webhook)]
Agent = Annotated[str, Depends(agent)]
Television = Annotated[Viewer, Depends(television)]
Anyone = Depends(anyone)
