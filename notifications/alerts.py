"""What whoever runs this installation is alerted to: each finding once an hour, until it is over.

An alert is a row first, unique by finding and hour, then a job. It needs a worker to be sent: that
there is none, only somebody outside can notice, who asks ``/readyz`` and ``/metrics``.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Identity, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel

from billing.ledger.day_checks import wrong_with
from core import outbox
from core.backlog import MOST, find_behind
from core.db import UtcDateTime, transaction
from notifications.channels.base import Carrier, Message

LATE = timedelta(minutes=10)
HOUR = timedelta(hours=1)


class OperatorAlert(SQLModel, table=True):
    """One finding in one hour, in the words it was told in."""

    __tablename__ = "operator_alert"
    __table_args__ = (UniqueConstraint("finding", "hour_at"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    finding: str  # "jobs.dead", "carrier.aliyun" …
    hour_at: datetime = Field(sa_type=UtcDateTime)
    title: str
    body: str
    raised_at: datetime = Field(sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Finding(NamedTuple):
    """Something an operator should look at: what it is, and what to do, in both languages."""

    code: str
    title: str
    body: str


_RAISE = text("""
    INSERT INTO operator_alert (finding, hour_at, title, body, raised_at)
    VALUES (:code, date_trunc('hour', CAST(:now AS timestamptz)), :title, :body, :now)
    ON CONFLICT (finding, hour_at) DO NOTHING
    RETURNING id
""")


def alert(session: Session, finding: Finding, *, now: datetime) -> None:
    """Have operators told of a finding, unless they were within this hour."""
    alert_id = session.execute(_RAISE, finding._asdict() | {"now": now}).scalar_one_or_none()
    if alert_id is not None:
        outbox.emit(session, "alert.raised", alert_id, now=now)


def send_alert(
    alert_id: int, carriers: Sequence[Carrier], *, public_url: str, now: datetime
) -> OperatorAlert | None:
    """Carry an alert once; returns it, or None when it was sent before or its hour is over.

    Raises:
        UpstreamUnavailable: nobody took it; try again later.
    """
    with transaction() as session:
        raised = session.get_one(OperatorAlert, alert_id)
    if raised.sent_at is not None or now - raised.raised_at > HOUR:
        return None
    message = Message(
        message_id=f"alert-{alert_id}", address="operators", title=raised.title, body=raised.body,
        link=f"{public_url}/console", created_at=raised.raised_at,
    )  # fmt: skip
    for carrier in carriers:
        carrier.send(message)
    with transaction() as session:
        session.get_one(OperatorAlert, alert_id).sent_at = now
    return raised


def watch(session: Session, *, now: datetime) -> None:
    """Look at what goes by itself, and have operators told of what does not."""
    for find in (_dead_jobs, _queues_behind, _notices_behind, _carriers_down):
        for finding in find(session, now):
            alert(session, finding, now=now)


def watch_books(session: Session, day: date, *, now: datetime) -> None:
    """Have operators told if the books of a day that is over do not hold."""
    wrong = wrong_with(session, day)
    if wrong:
        title = f"{day} 的账目不平 · The books of {day} do not hold"
        todo = "请运行 citybill ledger verify。Run citybill ledger verify."
        alert(session, Finding(f"books.{day}", title, "\n".join([todo, *wrong])), now=now)


_DEAD = text("SELECT task, count(*) FROM job WHERE state = 'dead' GROUP BY task ORDER BY task")

_NOTICES = text("""
    SELECT count(*), min(due_at)
    FROM (SELECT due_at FROM notice
          WHERE state = 'created' AND due_at IS NOT NULL AND lane = 'now' AND due_at < :late
          ORDER BY due_at LIMIT :most) waiting
""")

_DOWN = text("""
    SELECT code, channel, down_since FROM carrier_state
    WHERE down_since < :late AND stopped_at IS NULL ORDER BY code
""")


def _dead_jobs(session: Session, _now: datetime) -> Iterator[Finding]:
    tasks = list(session.execute(_DEAD))
    if tasks:
        count = sum(number for _, number in tasks)
        yield Finding(
            "jobs.dead",
            f"{count} 项任务多次失败，已停止 · Jobs gave up: {count}",
            "\n".join(f"{task}: {number}" for task, number in tasks),
        )


def _queues_behind(session: Session, now: datetime) -> Iterator[Finding]:
    for one in find_behind(session, now=now):
        if one.oldest_at < now - LATE:
            yield _waits(f"queue.{one.queue}", one.queue, one.how_many, one.oldest_at, now)


def _notices_behind(session: Session, now: datetime) -> Iterator[Finding]:
    count, oldest_at = session.execute(_NOTICES, {"late": now - LATE, "most": MOST}).one()
    if count:
        yield _waits("notices.now", "notices", count, oldest_at, now)


def _waits(code: str, queue: str, count: int, oldest_at: datetime, now: datetime) -> Finding:
    minutes, shown = (now - oldest_at) // timedelta(minutes=1), f"{count}{'+' * (count >= MOST)}"
    return Finding(
        code,
        f"{queue} 积压 {minutes} 分钟 · {queue}: waiting for {minutes} minutes",
        f"{shown} 项待处理，请检查工作进程是否在运行。{shown} are due: look whether a worker runs.",
    )


def _carriers_down(session: Session, now: datetime) -> Iterator[Finding]:
    for code, channel, since in session.execute(_DOWN, {"late": now - LATE}):
        minutes = (now - since) // timedelta(minutes=1)
        yield Finding(
            f"carrier.{code}",
            f"通知渠道 {code} 已中断 {minutes} 分钟 · {code} is down for {minutes} minutes",
            f"{channel}：消息改走其他渠道或暂缓发送。"
            "Its messages go another way, or wait: see the console.",
        )
