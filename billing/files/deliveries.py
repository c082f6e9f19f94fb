"""Files as they come in by SFTP or are fetched: noted once, answered once."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Literal

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from billing.files.bill_files import receive
from billing.files.delivery_models import DeliveryArrival, DeliveryPoll
from billing.models import BillFile, BillFileStatus
from core import outbox
from core.db import count_changed
from core.errors import Invalid

FINAL = (BillFileStatus.IMPORTED, BillFileStatus.REFUSED)


def arrival_of(session: Session, provider_code: str, claim: str) -> DeliveryArrival | None:
    """Return the arrival that a claimed file was noted as, if it was."""
    return session.exec(
        select(DeliveryArrival).where(
            DeliveryArrival.provider_code == provider_code, DeliveryArrival.claim == claim
        )
    ).one_or_none()


def take_in(
    session: Session,
    provider_code: str,
    stream: BinaryIO,
    *,
    claim: str,
    file_name: str,
    now: datetime,
) -> DeliveryArrival:
    """Receive a file that came by SFTP and note that it came; the same claim again does nothing.

    One that is not taken at all (empty, too large) is noted with the complaint.
    """
    known = arrival_of(session, provider_code, claim)
    if known is not None:
        return known
    bill_file_id, complaint = None, None
    try:
        bill_file = receive(
            session, provider_code, stream, file_name=file_name, received_via="sftp", now=now
        )
        bill_file_id = bill_file.id
    except Invalid as refused:
        complaint = str(refused)
    arrival = DeliveryArrival(
        provider_code=provider_code, claim=claim, file_name=file_name, bill_file_id=bill_file_id,
        complaint=complaint, arrived_at=now,
    )  # fmt: skip
    session.add(arrival)
    session.flush()
    if bill_file_id is not None:
        outbox.emit(session, "bill_file.arrived", bill_file_id, now=now)
    return arrival


@dataclass(frozen=True, slots=True)
class Answer:
    """What a company is told about a file that came: ``rejected`` rows go with it as CSV."""

    file_name: str
    facts: dict[str, Any]
    complaint: str | None
    bill_file_id: int | None
    rejected: int

    def acknowledgement(self, kind: Literal["json", "lines"]) -> str:
        """Return the content of the ``.ack`` file."""
        if kind == "json":
            return json.dumps(self.facts, ensure_ascii=False, indent=2) + "\n"
        return "".join(f"{key}={_plain(value)}\n" for key, value in self.facts.items())


def _plain(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def claim_answers(
    session: Session, provider_code: str, *, bill_file_id: int | None = None, limit: int = 50
) -> list[tuple[DeliveryArrival, Answer]]:
    """Lock the arrivals of a company whose outcome is known and not yet told, oldest first.

    The caller writes the answers and marks the arrivals in the same transaction: one that is
    killed in between writes the same answers again.
    """
    wanted = (
        select(DeliveryArrival, BillFile)
        .outerjoin(BillFile, col(BillFile.id) == col(DeliveryArrival.bill_file_id))
        .where(
            DeliveryArrival.provider_code == provider_code,
            col(DeliveryArrival.answered_at).is_(None),
            col(DeliveryArrival.bill_file_id).is_(None) | col(BillFile.status).in_(FINAL),
        )
        .order_by(col(DeliveryArrival.id))
        .limit(limit)
        .with_for_update(of=DeliveryArrival, skip_locked=True)
    )
    if bill_file_id is not None:
        wanted = wanted.where(DeliveryArrival.bill_file_id == bill_file_id)
    return [(arrival, _answer(arrival, file)) for arrival, file in session.exec(wanted)]


def _answer(arrival: DeliveryArrival, file: BillFile | None) -> Answer:
    if file is None:
        facts: dict[str, Any] = {"id": None, "status": "refused", "complaint": arrival.complaint}
        return Answer(arrival.file_name, facts, arrival.complaint, None, 0)
    facts = {
        "id": file.id, "status": file.status.value, "rows": file.rows, "created": file.created,
        "unchanged": file.unchanged, "superseded": file.superseded, "cancelled": file.cancelled,
        "reminded": file.reminded, "waiting": file.waiting, "rejected": file.rejected,
        "total_fen": file.total_fen, "sequence_no": file.sequence_no, "sha256": file.sha256,
        "complaint": file.complaint,
    }  # fmt: skip
    return Answer(arrival.file_name, facts, file.complaint, file.id, file.rejected)


def plan_polls(session: Session, every: Iterable[tuple[str, timedelta]], *, now: datetime) -> int:
    """Announce the companies whose files are due to be looked for; returns how many.

    Args:
        every: the companies that let us fetch and are open now, and how often we may come.
    """
    due = 0
    for code, pause in every:
        session.execute(
            insert(DeliveryPoll)
            .values(provider_code=code, due_at=now, failures=0)
            .on_conflict_do_nothing()
        )
        taken = session.execute(
            text(
                "UPDATE delivery_poll SET due_at = :next "
                "WHERE provider_code = :code AND due_at <= :now"
            ),
            {"code": code, "now": now, "next": now + pause},
        )
        if count_changed(taken):
            outbox.emit(session, "delivery.due", code, now=now)
            due += 1
    return due


def note_poll(
    session: Session, code: str, *, complaint: str | None, again_at: datetime | None, now: datetime
) -> None:
    """Write down how a look at a company went.

    Args:
        again_at: when to look again if that is sooner than planned.
    """
    poll = session.get(DeliveryPoll, code, with_for_update=True)
    if poll is None:
        poll = DeliveryPoll(provider_code=code, due_at=now)
        session.add(poll)
    poll.polled_at = now
    poll.complaint = complaint[:1000] if complaint is not None else None
    poll.failures = poll.failures + 1 if complaint is not None else 0
    if complaint is None:
        poll.succeeded_at = now
    if again_at is not None:
        poll.due_at = min(poll.due_at, again_at)


def polls(session: Session) -> dict[str, DeliveryPoll]:
    """Return how the last look at each company went."""
    return {one.provider_code: one for one in session.exec(select(DeliveryPoll))}
