"""Finding notices, and the life of one: each channel's step, each receipt, each time again."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import tuple_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.clock import day_bounds
from core.errors import NotFound
from notifications.again import Sent, sent_of
from notifications.models import Notice, NoticeState
from notifications.sending.models import CarrierReceipt

PAGE = 50


class Wanted(NamedTuple):
    """Which notices: of one day, or of one person; what is None does not matter."""

    day: date | None = None
    person_id: int | None = None
    channel: str | None = None
    event: str | None = None
    state: NoticeState | None = None


def find_notices(
    session: Session, wanted: Wanted, *, after: int | None = None, limit: int = PAGE
) -> list[Notice]:
    """Return notices, the newest first.

    Args:
        after: the id of the last one of the page before.

    Raises:
        NotFound: there is no such notice.
    """
    found = _matching(wanted)
    if after is not None:
        last = session.get(Notice, after)
        if last is None:
            raise NotFound("there is no such notice")
        found = found.where(
            tuple_(col(Notice.created_at), col(Notice.id)) < (last.created_at, after)
        )
    return list(session.exec(found.limit(limit)))


def every_notice(session: Session, wanted: Wanted) -> Iterator[Sequence[Notice]]:
    """Yield all of them, the newest first, a thousand in each list."""
    yield from session.exec(_matching(wanted).execution_options(yield_per=1_000)).partitions()


def _matching(wanted: Wanted) -> SelectOfScalar[Notice]:
    found = select(Notice).order_by(col(Notice.created_at).desc(), col(Notice.id).desc())
    if wanted.day is not None:
        first, end = day_bounds(wanted.day)
        found = found.where(Notice.created_at >= first, Notice.created_at < end)
    if wanted.person_id is not None:
        found = found.where(Notice.person_id == wanted.person_id)
    if wanted.channel is not None:
        found = found.where(Notice.channel == wanted.channel)
    if wanted.event is not None:
        found = found.where(Notice.event == wanted.event)
    if wanted.state is not None:
        found = found.where(Notice.state == wanted.state)
    return found


class Step(NamedTuple):
    """One channel's part of a telling, with what its carrier said and each time it went again."""

    sent: Sent
    receipts: list[CarrierReceipt]

    @property
    def notice(self) -> Notice:
        return self.sent.notice


def get_notice(session: Session, notice_id: int) -> Notice:
    """Return a notice.

    Raises:
        NotFound: there is none.
    """
    notice = session.get(Notice, notice_id)
    if notice is None:
        raise NotFound("there is no such notice")
    return notice


def life_of(session: Session, notice: Notice) -> list[Step]:
    """Return all steps of what a notice is a part of, in the order of their turns."""
    steps = session.exec(
        select(Notice)
        .where(
            Notice.event == notice.event, Notice.person_id == notice.person_id,
            Notice.subject_ref == notice.subject_ref,
        )
        .order_by(col(Notice.id))
    ).all()  # fmt: skip
    heard = _receipts(session, steps)
    return [
        Step(sent, heard.get((sent.notice.carrier, sent.notice.carrier_ref), []))
        for sent in sent_of(session, notice.person_id, steps)
    ]


def _receipts(
    session: Session, steps: Sequence[Notice]
) -> dict[tuple[str | None, str | None], list[CarrierReceipt]]:
    keys = [(one.carrier, one.carrier_ref) for one in steps if one.carrier_ref is not None]
    found: dict[tuple[str | None, str | None], list[CarrierReceipt]] = {}
    named = tuple_(col(CarrierReceipt.carrier), col(CarrierReceipt.ref)).in_(keys)
    for row in session.exec(select(CarrierReceipt).where(named).order_by(col(CarrierReceipt.id))):
        found.setdefault((row.carrier, row.ref), []).append(row)
    return found


def about(session: Session, person_id: int, subject_refs: Sequence[str]) -> list[Notice]:
    """Return what a person was told of some subjects, such as a payment and its refunds."""
    found = select(Notice).where(
        Notice.person_id == person_id, col(Notice.subject_ref).in_(subject_refs)
    )
    newest = found.order_by(col(Notice.created_at).desc(), col(Notice.id).desc())
    return list(session.exec(newest.limit(PAGE)))
