"""Papers in volumes, as companies' people and the staff order, follow and take them."""

from collections.abc import Iterator, Sequence
from datetime import date
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from fastapi import Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from sqlmodel import Session

from billing.documents import batches
from billing.documents.batches import LIVE, BatchKind, BatchState, DocumentBatch, DocumentShare
from core.clock import add_months, billing_date, utc_now
from core.errors import CityBillError, Invalid, NotFound
from core.settings import settings
from identity import audit
from identity.audit import Deed, Subject
from web import look
from web.access import Caller
from web.errors import status_of
from web.pages.file_views import provider_name
from web.pages.page import go, locale_of, page

SHOWN, _MONTHS = 25, 24
_LONGEST = 18  # digits of a number that the database holds
REFRESH_SECONDS = 3
_PIECE = 1 << 16


def months_to_choose(*, with_this: bool) -> list[date]:
    """Return the months papers can be made of, the newest first."""
    this = billing_date(utc_now()).replace(day=1)
    return [add_months(this, -back) for back in range(0 if with_this else 1, _MONTHS)]


def parse_month(typed: str) -> date:
    """Read a month as a form sends it: ``2026-10``.

    Raises:
        Invalid: it is none that papers can be made of.
    """
    for month in months_to_choose(with_this=True):
        if f"{month:%Y-%m}" == typed:
            return month
    raise Invalid("choose a month of the list", code="documents.month")


def parse_file(typed: str) -> int | None:
    """Read the number of a bill file as a form sends it; blank: of all files.

    Raises:
        Invalid: it is no number.
    """
    number = typed.strip()
    if not number:
        return None
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST):
        raise Invalid("type the number of a bill file, or nothing", code="documents.no_file")
    return int(number)


def title_of(locale: str, batch: DocumentBatch) -> str:
    """Say what a batch is: whose papers, of which month, of which file alone."""
    what = (
        provider_name(locale, batch.provider_code)
        if batch.provider_code
        else look.say(locale, "Household statements")
    )
    parts = [what, look.month_text(locale, batch.month)]
    if batch.bill_file_id is not None:
        parts.append(look.say(locale, "file No. %(no)s", no=batch.bill_file_id))
    return " · ".join(parts)


def said(request: Request, refused: CityBillError | None) -> str | None:
    """Say why something was refused."""
    if refused is None:
        return None
    locale = locale_of(request)
    return {
        "documents.being_made": look.say(
            locale, "These papers are being made already: they are in the list."
        ),
        "documents.ended": look.say(locale, "These papers are not being made any more."),
        "documents.month": look.say(locale, "Choose a month of the list."),
        "documents.no_file": look.say(
            locale, "No bill file of this company has that number: it is in the list of bill files."
        ),
        "documents.other_month": look.say(
            locale,
            "That file brought no bill of this month, but of %(months)s.",
            months=refused.facts.get("months", ""),
        ),
    }.get(refused.code, str(refused))


def order(
    session: Session,
    caller: Caller,
    kind: BatchKind,
    provider_code: str | None,
    month: date,
    bill_file_id: int | None = None,
) -> Response:
    """Have papers made and lead to how far they are."""
    now = utc_now()
    batch = batches.order(
        session, kind, provider_code=provider_code, month=month, bill_file_id=bill_file_id,
        by=caller.id, now=now,
    )  # fmt: skip
    detail = {"month": f"{month:%Y-%m}", "company": provider_code or ""}
    if bill_file_id is not None:
        detail["file"] = str(bill_file_id)
    _note(session, caller, Deed.DOCUMENTS_ORDERED, batch, **detail)
    base = "/company" if caller.provider_code else "/console"
    return go(f"{base}/documents/{batch.id}")


def list_context(
    request: Request, session: Session, code: str | None, before: int | None
) -> dict[str, object]:
    """Return what the list of batches shows."""
    locale = locale_of(request)
    found, more = batches.list_batches(session, code, before_id=before, limit=SHOWN)
    known = batches.progress_of(session, [one.id or 0 for one in found])
    return {
        "rows": [
            {"batch": one, "title": title_of(locale, one), "progress": known[one.id or 0]}
            for one in found
        ],
        "next_id": found[-1].id if more else None,
        "paged": before is not None,
        "set_up": settings().documents_dir is not None,
        "refresh_seconds": REFRESH_SECONDS if any(one.state in LIVE for one in found) else None,
    }


def batch_page(
    request: Request,
    session: Session,
    batch: DocumentBatch,
    template: str,
    *,
    refused: CityBillError | None = None,
    **more: object,
) -> Response:
    """Show how far a batch is, and its volumes."""
    assert batch.id is not None
    return page(
        request,
        template,
        status_code=status_of(refused) if refused else 200,
        batch=batch,
        title=title_of(locale_of(request), batch),
        progress=batches.progress_of(session, [batch.id])[batch.id],
        shares=batches.list_shares(session, batch.id),
        kept_days=settings().documents_days,
        refresh_seconds=REFRESH_SECONDS if batch.state in LIVE else None,
        error=said(request, refused),
        **more,
    )


def cancel(session: Session, caller: Caller, batch: DocumentBatch) -> None:
    """Call a batch off.

    Raises:
        Conflict: it has ended.
    """
    assert batch.id is not None
    now = utc_now()
    batches.cancel(session, batch.id, now=now)
    _note(session, caller, Deed.DOCUMENTS_CANCELLED, batch)


def one_volume(session: Session, caller: Caller, batch: DocumentBatch, no: int) -> Response:
    """Give a volume.

    Raises:
        NotFound: there is none of that number, or it is gone.
    """
    found = {share.no: path for share, path in _volumes(session, batch)}
    if no not in found:
        raise NotFound("there is no such volume")
    _note(session, caller, Deed.DOCUMENTS_TAKEN, batch, volume=no)
    return FileResponse(
        found[no], media_type="application/pdf", filename=f"{_name(batch)}-{no:04d}.pdf"
    )


def all_volumes(session: Session, caller: Caller, batch: DocumentBatch) -> Response:
    """Give every volume in one archive, made as it is sent.

    Raises:
        NotFound: there is none, or they are gone.
    """
    found = _volumes(session, batch)
    if not found:
        raise NotFound("there is no such volume")
    _note(session, caller, Deed.DOCUMENTS_TAKEN, batch)
    files = [(f"{_name(batch)}-{share.no:04d}.pdf", path) for share, path in found]
    return StreamingResponse(
        _zipped(files),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{_name(batch)}.zip"'},
    )


def _volumes(session: Session, batch: DocumentBatch) -> list[tuple[DocumentShare, Path]]:
    if batch.state in {BatchState.CANCELLED, BatchState.EXPIRED} or batch.id is None:
        return []
    made = [one for one in batches.list_shares(session, batch.id) if one.made_at is not None]
    folder = settings().documents_dir
    return [(one, batches.volume_path(folder, batch.id, one.no)) for one in made]


def _name(batch: DocumentBatch) -> str:
    return f"{batch.provider_code or 'statements'}-{batch.month:%Y-%m}"


def _note(
    session: Session, caller: Caller, deed: Deed, batch: DocumentBatch, **detail: str | int
) -> None:
    audit.note(
        session, caller.id, deed, subject=Subject("documents", str(batch.id)), detail=detail,
        now=utc_now(),
    )  # fmt: skip


class _Pipe(BytesIO):
    """What an archive is written to while it is sent: it cannot go back."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError("a pipe")

    def taken(self) -> bytes:
        piece = self.getvalue()
        super().seek(0)
        self.truncate()
        return piece


def _zipped(files: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    pipe = _Pipe()
    with ZipFile(pipe, "w") as archive:
        for name, path in files:
            with archive.open(ZipInfo(name), "w", force_zip64=True) as entry, path.open("rb") as of:
                while piece := of.read(_PIECE):
                    entry.write(piece)
                    yield pipe.taken()
    yield pipe.taken()
