"""What tests of told events share: people who want each thing told at once, and what they got."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import col, select

from billing.bills import BillRef
from core.clock import billing_date
from core.db import transaction
from notifications import bill_notices, digests, reminding
from notifications.models import Notice
from tests.conftest import NOW
from tests.factories import the_bill

URL = "https://citybill.example"
DAY = timedelta(days=1)


def one_by_one() -> None:
    """Have everybody there is told of each thing by itself, at any hour, in English."""
    with transaction() as session:
        session.execute(text("UPDATE person SET locale = 'en'"))
        session.execute(
            text(
                "INSERT INTO notice_settings (person_id, zone, digest, elder, texts_per_day, "
                "changed_at) SELECT id, 'Asia/Shanghai', false, false, 3, now() FROM person "
                "ON CONFLICT DO NOTHING"
            )
        )


def find_ready(ref: BillRef, *, now: datetime = NOW) -> int:
    """Find what is to be told of the file that a bill came with."""
    with transaction() as session:
        return bill_notices.find_ready(session, the_bill(ref).bill_file_id, now=now)


def tell_all(*, now: datetime = NOW, limit: int = 500) -> None:
    """Tell all that was found, and what was gathered."""
    while tell_some(now=now, limit=limit):
        pass
    with transaction() as session:
        digests.flush_due(session, public_url=URL, now=now + timedelta(hours=2))


def tell_some(*, now: datetime = NOW, limit: int = 500) -> int:
    with transaction() as session:
        return bill_notices.tell_some(session, public_url=URL, now=now, limit=limit)


def remind(now: datetime) -> int:
    """Do a morning's run."""
    with transaction() as session:
        found = reminding.find_due(session, today=billing_date(now), now=now)
    tell_all(now=now)
    return found


def told(*, channel: str = "inbox", like: str = "%") -> list[Notice]:
    """What everybody was told over a channel, in order."""
    with transaction() as session:
        wanted = select(Notice).where(Notice.channel == channel, col(Notice.event).like(like))
        return list(session.exec(wanted.order_by(col(Notice.id))))


def events(*, channel: str = "inbox") -> list[str]:
    return [one.event for one in told(channel=channel)]


def mornings(first: datetime, days: int) -> Iterator[datetime]:
    """Yield nine o'clock of so many days."""
    for at in range(days):
        yield first + DAY * at
