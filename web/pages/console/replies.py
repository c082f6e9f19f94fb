"""The staff console: what people answered to texts, and what it was taken for."""

from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from sqlmodel import Session

from core.clock import utc_now
from core.masking import mask_contact
from identity import audit
from notifications import replies
from notifications.sending.models import ReaderReply, ReplyMeaning
from web import look
from web.access import Db, Service
from web.exports import Cell, export, read_rows
from web.pages.filters import After, FileKind, Word, one_of, query_of
from web.pages.page import locale_of, page

router = APIRouter(prefix="/console/notices/replies")
MOST_ROWS = 10_000


@router.get("")
def show_replies(
    request: Request, db: Db, _caller: Service, meaning: Word = "", after: After = None
) -> Response:
    wanted = one_of(ReplyMeaning, meaning)
    found = replies.list_replies(db, meaning=wanted, after=after, limit=replies.PAGE + 1)
    shown = found[: replies.PAGE]
    return page(
        request,
        "console/replies.html",
        rows=[_row(one) for one in shown],
        meanings=[one.value for one in ReplyMeaning],
        meaning=wanted or "",
        query=query_of({"meaning": meaning}),
        paged=after is not None,
        next_id=shown[-1].id if len(found) > replies.PAGE else None,
    )


def _row(one: ReaderReply) -> dict[str, object]:
    return {"one": one, "phone_masked": mask_contact(one.phone)}


@router.get(".{kind}")
def export_replies(
    request: Request, kind: FileKind, db: Db, caller: Service, meaning: Word = ""
) -> StreamingResponse:
    locale, wanted = locale_of(request), one_of(ReplyMeaning, meaning)
    audit.note_export(
        db, caller.id, "replies", kind, query_of({"meaning": meaning}), now=utc_now()
    )  # fmt: skip

    def read(session: Session) -> Iterator[list[Cell]]:
        for one in replies.list_replies(session, meaning=wanted, limit=MOST_ROWS):
            said = look.macro_text(locale, "parts/notices.html", "meaning_name", one.meaning or "")
            yield [one.received_at, mask_contact(one.phone), one.words, said, one.carrier]

    head = [
        look.say(locale, "Came"), look.say(locale, "From"), look.say(locale, "Words"),
        look.say(locale, "Taken for"), look.say(locale, "Carrier"),
    ]  # fmt: skip
    return export(kind, name="replies", head=head, rows=read_rows(read))
