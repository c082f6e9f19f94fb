"""The staff console: one account at one company, whether anybody there has signed up or nobody.

Its address holds our own number of it: a company's would stand in browsers' and proxies' logs.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlmodel import Session

from billing import bills
from billing.homes.households import account_view
from core.clock import billing_date, utc_now
from core.masking import mask_address, mask_name
from identity.audit import Deed, person_subject
from identity.people import get_person
from payments.desk import finding
from payments.desk.finding import Member
from payments.desk.timeline import open_matters
from web.access import Db, Service
from web.inputs import PLAIN, Csrf, Id
from web.pages import looking
from web.pages.page import check_form, page
from web.pages.resident_story import story
from web.pages.words.residents import company_of

router = APIRouter(prefix="/console/accounts")
Line = Annotated[str, Form(max_length=100, pattern=PLAIN, default_factory=str)]
Words = Annotated[str, Form(max_length=500, pattern=PLAIN, default_factory=str)]
Typed = Annotated[str, Query(max_length=100, pattern=PLAIN)]


@router.get("/{account_id}")
def show_account(
    request: Request, account_id: Id, db: Db, caller: Service, until: Typed = ""
) -> Response:
    account, members = finding.get_account(db, account_id), finding.members_of(db, account_id)
    subject, at = looking.account_subject(account_id), f"/console/accounts/{account_id}"
    theirs = [person_subject(one.person_id) for one in members]
    reason = looking.reason_for(db, caller, subject, *theirs)
    if reason is None:
        return looking.ask_why(request, at)
    looking.note_look(db, caller, Deed.ACCOUNT_SEEN, subject, reason)
    now = utc_now()
    return page(
        request,
        "console/account.html",
        one=account_view(account),
        address=mask_address(account.address),
        reason=reason,
        members=_members(db, members),
        bills=bills.list_bills(db, {account_id: account}, today=billing_date(now), limit=50),
        matters=open_matters(db, person_id=None, account_ids=[account_id], now=now),
        story=story(db, person_id=None, account_ids=[account_id], cursor=until),
        paged=bool(until),
        company_of=company_of(request),
        at=at,
    )


@router.post("/{account_id}/reason")
def say_why(
    request: Request,
    account_id: Id,
    db: Db,
    caller: Service,
    csrf: Csrf,
    reason: Line,
    words: Words,
    back: Line,
) -> Response:
    check_form(request, csrf)
    finding.get_account(db, account_id)
    return looking.take_reason(
        request, db, caller, looking.account_subject(account_id),
        at=f"/console/accounts/{account_id}", back=back, reason=reason, words=words,
    )  # fmt: skip


def _members(session: Session, members: list[Member]) -> list[dict[str, Any]]:
    """Return who lives there, masked."""
    return [
        {"id": one.person_id, "role": one.role,
         "name": mask_name(get_person(session, one.person_id).name)}
        for one in members
    ]  # fmt: skip
