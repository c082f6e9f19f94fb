"""Files that gateways, banks and companies bring to our SFTP server: noted once, answered once."""

from datetime import datetime
from typing import Any, BinaryIO

from sqlmodel import Session, col, select

from billing.files.deliveries import polls
from core.errors import Invalid
from payments.reconciliation.intake.models import OVER, BookArrival, BookFile, CameBy
from payments.reconciliation.intake.receiving import Given, Way, receive

POLLED = "book:"  # before the name of a poll for books, so that none is a company's


def fetching_fails(session: Session) -> list[tuple[str, str]]:
    """Return from whom we could not fetch books of late, and why."""
    return [
        (code.removeprefix(POLLED), poll.complaint or "")
        for code, poll in sorted(polls(session).items())
        if code.startswith(POLLED) and poll.failures
    ]


def take_in(
    session: Session,
    sender: str,
    stream: BinaryIO,
    given: Given,
    *,
    claim: str,
    file_name: str,
    now: datetime,
) -> BookArrival:
    """Keep a file that came and note that it did; the same claim again does nothing.

    One that is not taken at all (empty, too large) is noted with the complaint.
    """
    known = session.exec(
        select(BookArrival).where(BookArrival.sender == sender, BookArrival.claim == claim)
    ).one_or_none()
    if known is not None:
        return known
    arrival = BookArrival(sender=sender, claim=claim, file_name=file_name, arrived_at=now)
    try:
        way = Way(CameBy.SFTP, sender=sender)
        arrival.book_file_id = receive(session, stream, given, way, file_name=file_name, now=now).id
    except Invalid as refused:
        arrival.complaint = str(refused)
    session.add(arrival)
    session.flush()
    return arrival


def claim_answers(
    session: Session, sender: str, *, limit: int = 50
) -> list[tuple[BookArrival, dict[str, Any]]]:
    """Lock a sender's arrivals that are done with and not answered, oldest first, with the answer.

    The caller writes the answers and marks the arrivals in the same transaction: one that is
    killed in between writes the same answers again.
    """
    wanted = (
        select(BookArrival, BookFile)
        .outerjoin(BookFile, col(BookFile.id) == col(BookArrival.book_file_id))
        .where(
            BookArrival.sender == sender,
            col(BookArrival.answered_at).is_(None),
            col(BookArrival.book_file_id).is_(None) | col(BookFile.state).in_(OVER),
        )
        .order_by(col(BookArrival.id))
        .limit(limit)
        .with_for_update(of=BookArrival, skip_locked=True)
    )
    return [(arrival, _answer(arrival, row)) for arrival, row in session.exec(wanted)]


def _answer(arrival: BookArrival, row: BookFile | None) -> dict[str, Any]:
    if row is None:
        return {"id": None, "status": "refused", "complaint": arrival.complaint}
    return {
        "id": row.id, "status": row.state.value, "leg": row.leg and row.leg.value,
        "source": row.source, "day": row.day and row.day.isoformat(),
        "rows": row.told.get("rows"), "matched": row.told.get("matched"),
        "differences": row.told.get("breaks"), "sha256": row.sha256,
        "complaint": row.complaint,
    }  # fmt: skip
