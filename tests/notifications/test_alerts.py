"""What operators are alerted to: each finding once an hour, by whoever carries it."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from billing.ledger.days import close_day
from core import outbox
from core.clock import billing_date
from core.db import transaction
from core.errors import UpstreamUnavailable
from notifications.alerts import Finding, OperatorAlert, alert, send_alert, watch, watch_books
from notifications.channels.base import Message, Taken, WithoutReceipts
from tests.conftest import NOW, as_owner
from tests.core.test_backlog import a_job
from tests.factories import a_home, a_person, topics
from tests.threads import at_once
from workers import relay
from workers.scheduler import SCHEDULE
from workers.start import Outside
from workers.tasks import upkeep

pytestmark = pytest.mark.usefixtures("city")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FINDING = Finding("jobs.dead", "题", "文")


def raised() -> list[OperatorAlert]:
    with transaction() as session:
        return list(session.exec(select(OperatorAlert).order_by(col(OperatorAlert.id))))


def seen(at=NOW) -> dict[str, str]:
    """What is found now, by its code, with its title."""
    with transaction() as session:
        watch(session, now=at)
    return {one.finding: f"{one.title}\n{one.body}" for one in raised()}


def an_alert(at=NOW) -> int:
    with transaction() as session:
        alert(session, FINDING, now=at)
    return raised()[-1].id


class Far(WithoutReceipts):
    code = channel = "operators"
    repeats_safely = False

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.sent: list[Message] = []

    def send(self, message: Message) -> Taken:
        if self.away:
            raise UpstreamUnavailable("no address of the operators took the alert")
        self.sent.append(message)
        return Taken()


def send(alert_id: int, far: Far, at=NOW) -> OperatorAlert | None:
    return send_alert(alert_id, [far], public_url="https://city.example", now=at)


class TestOnceAnHour:
    def test_a_finding_is_raised_once_within_an_hour(self):
        for minutes in (0, 5, 10):
            an_alert(NOW.replace(minute=0) + minutes * MINUTE)

        assert (len(raised()), topics(like="alert%")) == (1, ["alert.raised"])

    def test_and_again_in_the_next_while_it_lasts(self):
        an_alert()
        an_alert(NOW + HOUR)

        assert len(raised()) == 2

    def test_another_finding_is_another_alert(self):
        with transaction() as session:
            for code in ("carrier.aliyun", "carrier.tencent"):
                alert(session, FINDING._replace(code=code), now=NOW)

        assert [one.finding for one in raised()] == ["carrier.aliyun", "carrier.tencent"]

    def test_several_schedulers_raise_it_once(self):
        at_once(4, lambda _: an_alert())

        assert (len(raised()), topics(like="alert%")) == (1, ["alert.raised"])


class TestSending:
    def test_it_is_carried_once_with_the_way_to_the_console(self):
        alert_id, far = an_alert(), Far()

        assert send(alert_id, far).title == "题"
        assert send(alert_id, far) is None

        [message] = far.sent
        assert (message.message_id, message.title, message.body, message.link) == (
            f"alert-{alert_id}", "题", "文", "https://city.example/console",
        )  # fmt: skip

    def test_while_nobody_takes_it_it_waits(self):
        alert_id, far = an_alert(), Far(away=True)
        with pytest.raises(UpstreamUnavailable):
            send(alert_id, far)

        far.away = False
        send(alert_id, far, NOW + 30 * MINUTE)

        assert len(far.sent) == 1

    def test_after_an_hour_a_newer_one_tells_it(self):
        alert_id, far = an_alert(), Far()

        assert send(alert_id, far, NOW + HOUR + MINUTE) is None
        assert far.sent == []


class TestWhatIsFound:
    def test_nothing_in_a_quiet_city(self):
        assert seen() == {}

    def test_jobs_that_gave_up_by_name(self):
        for task in ("payments.write_off", "payments.write_off", "bills.import_file"):
            a_job(task, "dead", minutes=1)

        assert seen() == {
            "jobs.dead": "3 项任务多次失败，已停止 · Jobs gave up: 3\n"
            "bills.import_file: 1\npayments.write_off: 2"
        }

    def test_a_queue_whose_oldest_waits_for_more_than_ten_minutes(self):
        a_job("payments.callback", minutes=11)
        a_job("payments.callback", minutes=2)
        a_job("bills.import_file", minutes=9)

        found = seen()

        assert list(found) == ["queue.payments"]
        assert found["queue.payments"].startswith("payments 积压 11 分钟")
        assert "2 are due" in found["queue.payments"]

    def test_news_nobody_follows(self):
        with transaction() as session:
            outbox.emit(session, "payment.paid", 7, now=NOW - 11 * MINUTE)

        assert list(seen()) == ["queue.outbox"]

    @pytest.mark.parametrize(
        ("lane", "minutes", "found"),
        [("now", 11, ["notices.now"]), ("now", 9, []), ("bulk", 60, [])],
    )
    def test_notices_somebody_waits_for(self, lane, minutes, found):
        person_id = a_person()
        with transaction() as session:
            session.execute(
                text("""
                    INSERT INTO notice (event, person_id, subject_ref, channel, address, title,
                                        body, state, state_at, created_at, due_at, lane)
                    VALUES ('payment.receipt', :person_id, '1', 'email', 'a@b.example', '题', '文',
                            'created', :at, :at, :at, :lane)
                """),
                {"person_id": person_id, "at": NOW - minutes * MINUTE, "lane": lane},
            )

        assert list(seen()) == found

    @pytest.mark.parametrize(
        ("minutes", "stopped", "found"),
        [(11, False, ["carrier.aliyun"]), (9, False, []), (None, False, []), (11, True, [])],
    )
    def test_a_carrier_that_is_down_and_that_nobody_stopped(self, minutes, stopped, found):
        with transaction() as session:
            session.execute(
                text("""
                    INSERT INTO carrier_state (code, channel, weight, resting_weight, misses,
                                               down_since, stopped_at, stopped_by)
                    VALUES ('aliyun', 'sms', 50, 50, 0, :since, :stopped_at, :by)
                """),
                {
                    "since": NOW - minutes * MINUTE if minutes else None,
                    "stopped_at": NOW if stopped else None, "by": a_person() if stopped else None,
                },
            )  # fmt: skip

        assert list(seen()) == found


class TestBooks:
    DAY = billing_date(NOW) - timedelta(days=1)

    def looked_at(self, day: date) -> list[str]:
        with transaction() as session:
            watch_books(session, day, now=NOW)
        return [one.finding for one in raised()]

    @pytest.fixture(autouse=True)
    def _closed(self, city):
        a_home(8_650, now=NOW - timedelta(days=2))
        with transaction() as session:
            close_day(session, self.DAY - timedelta(days=1), closed_by="test", now=NOW)

    def test_books_that_hold_are_no_news(self):
        assert self.looked_at(self.DAY) == []

    def test_books_that_do_not_hold_are_told_with_what_is_wrong(self):
        with as_owner(unguarded=True) as connection:
            connection.execute(text("UPDATE ledger_day SET transfers = transfers + 1"))

        assert self.looked_at(self.DAY) == [f"books.{self.DAY}"]
        assert "not what was sealed" in raised()[0].body


class TestJobs:
    def test_they_are_looked_for_by_the_clock_and_sent_by_a_job(self, monkeypatch):
        far = Far()
        monkeypatch.setattr(upkeep, "utc_now", lambda: NOW)
        monkeypatch.setattr(upkeep, "outside", lambda: Outside({}, {}, {"operators": [far]}))
        a_job("payments.write_off", "dead", minutes=1)

        upkeep.watch("2026-11-21")
        upkeep.watch_books("2026-11-21")
        for one in raised():
            upkeep.alert(str(one.id))

        assert [message.title for message in far.sent] == [
            "1 项任务多次失败，已停止 · Jobs gave up: 1"
        ]
        assert relay.FOLLOWS["alert.raised"] == ("upkeep.alert",)
        assert SCHEDULE["upkeep.watch"] == 5 * MINUTE
