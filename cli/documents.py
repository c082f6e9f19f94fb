"""``citybill documents``: papers in volumes ordered, followed, listed and called off."""

import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlmodel import Session

import identity.models  # noqa: F401  a batch's row refers to people
from billing.documents import batches
from billing.documents.batches import LIVE, BatchKind, BatchState, DocumentBatch, volume_path
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict
from core.settings import settings
from identity import audit
from identity.audit import Deed, Subject

LISTED = 50
_LOOK_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Papers:
    """A batch, as the command tells it."""

    id: int
    kind: BatchKind
    company: str | None
    month: str
    file: int | None
    state: BatchState
    subjects: int
    looked_at: int
    documents: int
    volumes: int
    made: int
    file_bytes: int
    folder: str


def order(kind: BatchKind, company: str | None, month: date, *, file: int | None) -> int:
    """Have papers made; returns the batch's number.

    Raises:
        Conflict: the same is being made already.
        Invalid: no folder is set, or the file brought no such bill.
    """
    volume_path(settings().documents_dir, 0, 0)
    now = utc_now()
    with transaction() as session:
        batch = batches.order(
            session, kind, provider_code=company, month=month, bill_file_id=file, by=None, now=now
        )
        detail: dict[str, str | int] = {"month": f"{month:%Y-%m}", "company": company or ""}
        if file is not None:
            detail["file"] = file
        audit.note(
            session, None, Deed.DOCUMENTS_ORDERED, subject=Subject("documents", str(batch.id)),
            detail=detail, now=now,
        )  # fmt: skip
    assert batch.id is not None
    return batch.id


def follow(batch_id: int, *, quiet: bool) -> Papers:
    """Wait until papers are made, with a bar on standard error if that is a terminal.

    Raises:
        Conflict: they were called off meanwhile.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        shown = bar.add_task("waiting for a bulk worker", total=None)
        while (papers := look(batch_id)).state in LIVE:
            if papers.subjects:
                bar.update(
                    shown, description=f"{papers.made} of {papers.volumes} volumes",
                    completed=papers.looked_at, total=papers.subjects,
                )  # fmt: skip
            time.sleep(_LOOK_SECONDS)
    if papers.state is BatchState.CANCELLED:
        raise Conflict("these papers were called off meanwhile", code="documents.ended")
    return papers


def look(batch_id: int) -> Papers:
    """Return how far papers are.

    Raises:
        NotFound: no such batch.
    """
    with transaction() as session:
        return _told(session, [batches.get_batch(session, batch_id)])[0]


def listed(company: str | None) -> list[Papers]:
    """Return the newest batches, of a company or of all."""
    with transaction() as session:
        found, _ = batches.list_batches(session, company, limit=LISTED)
        return _told(session, found)


def cancel(batch_id: int) -> Papers:
    """Call papers off.

    Raises:
        NotFound: no such batch.
        Conflict: it has ended.
    """
    now = utc_now()
    with transaction() as session:
        batches.get_batch(session, batch_id)
        batches.cancel(session, batch_id, now=now)
        subject = Subject("documents", str(batch_id))
        audit.note(session, None, Deed.DOCUMENTS_CANCELLED, subject=subject, now=now)
    return look(batch_id)


def _told(session: Session, found: list[DocumentBatch]) -> list[Papers]:
    known = batches.progress_of(session, [one.id or 0 for one in found])
    base = settings().documents_dir or Path()
    return [
        Papers(
            id=one.id or 0, kind=one.kind, company=one.provider_code, month=f"{one.month:%Y-%m}",
            file=one.bill_file_id, state=one.state, folder=str(base / str(one.id)),
            **known[one.id or 0]._asdict(),
        )
        for one in found
    ]  # fmt: skip


def as_object(papers: Papers) -> dict[str, object]:
    """Return papers for ``--json``."""
    return asdict(papers)


def table_of(found: list[Papers]) -> Table:
    """Return papers as a table to read."""
    table = Table("no", "what", "month", "file", "state", "documents", "volumes", "MB", box=None)
    for one in found:
        table.add_row(
            str(one.id), one.company or "statements", one.month, str(one.file or ""), one.state,
            f"{one.documents:,}", f"{one.made}/{one.volumes}", f"{one.file_bytes >> 20:,}",
        )  # fmt: skip
    return table
