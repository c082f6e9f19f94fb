"""Notices: what somebody was told, with where it leads and which other ways it went."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from core.clock import utc_now
from core.settings import settings
from notifications import inbox
from notifications.catalogue import EVENTS, Subject
from notifications.choice.preferences import SUBJECTS
from notifications.models import Notice
from web.access import Db, Resident
from web.pages.filters import After, Word, one_of, query_of
from web.pages.page import page

router = APIRouter()
PAGE = 20


@router.get("/notices")
def show_notices(
    request: Request, db: Db, caller: Resident, subject: Word = "", after: After = None
) -> Response:
    """Show a page of them; what is shown is read from then on."""
    wanted = one_of(Subject, subject)
    found = inbox.list_inbox(db, caller.id, subject=wanted, after=after, limit=PAGE + 1)
    shown, more = found[:PAGE], len(found) > PAGE
    also = inbox.also_sent(db, shown)
    notices = [
        {
            "subject": EVENTS[one.event].subject if one.event in EVENTS else "",
            "title": one.title, "body": _body(one), "path": path_of(one), "locale": one.locale,
            "created_at": one.created_at, "unread": one.read_at is None,
            "also": also.get(one.id or 0, []),
        }
        for one in shown
    ]  # fmt: skip
    inbox.mark_read(db, shown, now=utc_now())
    return page(
        request, "notices.html", notices=notices, subjects=SUBJECTS, subject=subject,
        first=f"/notices?{query_of({'subject': subject})}", paged=after is not None,
        next=f"/notices?{query_of({'subject': subject}, after=shown[-1].id)}" if more else None,
    )  # fmt: skip


def path_of(notice: Notice) -> str:
    """Return where on these pages a notice leads; empty: nowhere, or not to one of ours."""
    url = settings().public_url
    return notice.link.removeprefix(url) if notice.link.startswith(f"{url}/") else ""


def _body(notice: Notice) -> str:
    """Return the words without the address that a letter ends in: here it is a button."""
    if not notice.link:
        return notice.body
    lines = notice.body.splitlines()
    return "\n".join(line for line in lines if line.strip() != notice.link).strip()
