"""What the demo city is told today: new bills, last days to pay, and works on the mains."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from billing.models import BillFile
from core.clock import billing_date
from core.db import transaction
from core.settings import settings
from identity.models import Person
from notifications import outage_notices, reminding
from notifications.bill_notices import find_ready, tell_some
from notifications.digests import flush_due
from notifications.models import Reach, ServiceKind
from notifications.outage_notices import Draft

_LATELY = timedelta(days=40)
_HOUR = timedelta(hours=1)
_GATHERED = timedelta(minutes=70)
_IN_CHINESE = "因更换老旧管道，届时水压会降低，部分高层可能短时停水，请提前储水。"
_IN_ENGLISH = (
    "Old pipes are replaced: pressure will be low, and high floors may be without water for a"
    " while. Please keep some in store."
)


# Nothing of it waited: it is told in the past only for what is gathered to be there.
_DUE_NOW = text("""
    UPDATE notice SET due_at = :now WHERE state = 'created' AND attempts = 0 AND due_at < :now
""")


def tell_of_today(*, now: datetime) -> None:
    """Tell what there is to tell today, as the jobs would; again changes nothing."""
    gathered_at = now - _GATHERED  # so that what waits for the other companies' bills is there
    with transaction() as session:
        lately = select(BillFile.id).where(col(BillFile.received_at) > now - _LATELY)
        for bill_file_id in session.exec(lately):
            find_ready(session, bill_file_id or 0, now=gathered_at)
        reminding.find_due(session, today=billing_date(gathered_at), now=gathered_at)
    while _tell(gathered_at):
        pass
    with transaction() as session:
        flush_due(session, public_url=settings().public_url, now=now)
        session.execute(_DUE_NOW, {"now": now})
        _tell_of_works(session, now=now)


def _tell(now: datetime) -> int:
    with transaction() as session:
        return tell_some(session, public_url=settings().public_url, now=now)


def _tell_of_works(session: Session, *, now: datetime) -> None:
    operator = session.exec(select(Person).where(Person.provider_code == "water")).first()
    if operator is None or outage_notices.list_messages(session, provider_code="water", limit=1):
        return
    works = Draft(
        kind=ServiceKind.WORK, words_zh=_IN_CHINESE, words_en=_IN_ENGLISH,
        from_at=now + 2 * _HOUR, until_at=now + 8 * _HOUR, reach=Reach.ALL,
    )  # fmt: skip
    message = outage_notices.write(session, "water", works, made_by=operator.id or 0, now=now)
    outage_notices.send(session, message.id or 0, "water", now=now)
