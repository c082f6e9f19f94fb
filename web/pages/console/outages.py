"""What companies tell residents about their service: for staff, whom residents call about it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from core.clock import utc_now
from identity import audit
from notifications import outage_notices
from providers.registry import provider_codes
from web.access import Db, Staff
from web.exports import export, read_rows
from web.look import macro_text, say
from web.pages.file_views import provider_name
from web.pages.filters import After, FileKind, Word
from web.pages.outage_views import message_facts, state_of
from web.pages.page import locale_of, page

router = APIRouter(prefix="/console/service-messages")
SHOWN = 25
MOST_ROWS = 10_000


@router.get("")
def show_messages(
    request: Request, db: Db, _: Staff, company: Word = "", after: After = None
) -> Response:
    code = company if company in provider_codes() else None
    found = outage_notices.list_messages(db, provider_code=code, before=after, limit=SHOWN + 1)
    locale = locale_of(request)
    return page(
        request,
        "console/service_messages.html",
        messages=[message_facts(locale, one) for one in found[:SHOWN]],
        companies=[(one, provider_name(locale, one)) for one in provider_codes()],
        company=code or "",
        paged=after is not None,
        next_id=found[SHOWN - 1].id if len(found) > SHOWN else None,
    )


@router.get(".{kind}")
def export_messages(
    request: Request, kind: FileKind, db: Db, caller: Staff, company: Word = ""
) -> StreamingResponse:
    locale = locale_of(request)
    code = company if company in provider_codes() else None
    query = f"company={code}" if code else ""
    audit.note_export(db, caller.id, "service_messages", kind, query, now=utc_now())
    head = [
        say(locale, "Company"), say(locale, "Message"), say(locale, "Begins"), say(locale, "Ends"),
        say(locale, "State"), say(locale, "Sent out"),
    ]  # fmt: skip
    rows = read_rows(
        lambda session: (
            (
                provider_name(locale, one.provider_code), one.words_zh, one.from_at, one.until_at,
                macro_text(locale, "parts/service.html", "message_pill", state_of(one)),
                one.sent_at,
            )
            for one in outage_notices.list_messages(session, provider_code=code, limit=MOST_ROWS)
        )
    )  # fmt: skip
    return export(kind, name="service-messages", head=head, rows=rows)
