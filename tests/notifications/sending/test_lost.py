"""Workers that are killed, hang or come too late lose nothing, and a poisoned notice ends."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from core.db import engine, transaction
from core.errors import UpstreamUnavailable
from notifications.channels.base import Silent
from notifications.models import Held, Lane, NoticeState
from notifications.sending import handing
from notifications.sending.claiming import LEASE, LOST, claim
from notifications.sending.handing import AT_LEAST, hand_over_due
from notifications.sending.retries import MOST_LOST
from tests.conftest import NOW
from tests.notifications.far import (
    Far,
    a_chain,
    a_notice,
    a_person,
    by_channel,
    hand_over,
    know,
    the_notice,
    the_notices,
)
from tests.notifications.sending.killed import work
from tests.notifications.sending.test_handing import told

pytestmark = pytest.mark.usefixtures("city")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def person():
    return a_person(NOW, email="wang@example.com")


def claim_and_die(now=NOW, lane=Lane.NOW):
    """Do what a worker does before it is killed."""
    with transaction() as session:
        return claim(session, lane, now=now, limit=100)


class TestLeases:
    def test_nobody_else_takes_it_before_the_lease_ends(self, person):
        far = Far()
        notice_id = a_notice(person, NOW)
        claim_and_die()

        assert hand_over(far, now=NOW + LEASE - SECOND) == 0
        assert hand_over(far, now=NOW + LEASE) == 1

        assert told(notice_id) == (NoticeState.ACCEPTED, None)
        assert the_notice(notice_id).attempts == 1 + LOST

    def test_who_comes_too_late_does_not_write_over_who_took_it_over(self, person):
        notice_id = a_notice(person, NOW)
        second = Far("email", says=lambda _: None)

        def slow(_):
            hand_over_due(Lane.NOW, by_channel([second]), now=NOW + LEASE)
            raise UpstreamUnavailable("too late")

        hand_over(Far(says=slow), now=NOW)

        assert told(notice_id) == (NoticeState.ACCEPTED, None)
        assert len(second.sent) == 1

    def test_a_worker_lost_does_not_make_its_pauses_longer(self, person):
        notice_id = a_notice(person, NOW)
        claim_and_die()

        hand_over(Far(answer=UpstreamUnavailable("x")), now=NOW + LEASE)

        assert the_notice(notice_id).due_at <= NOW + LEASE + MINUTE

    def test_what_kills_its_workers_is_given_up(self, person):
        far, at = Far(), NOW
        notice_id, behind = a_chain(person, NOW, "sms", "email")
        for _ in range(MOST_LOST + 1):
            claim_and_die(at)
            at += LEASE

        hand_over(far, now=at)

        assert told(notice_id) == (NoticeState.FAILED, "too_many_tries")
        assert told(behind)[0] is NoticeState.ACCEPTED

    def test_one_that_cannot_be_looked_at_keeps_nobody_and_is_given_up(self, person):
        others = [a_notice(person, NOW, subject_ref=str(no)) for no in range(4)]
        poison = a_notice(person, NOW, event="bill.ready.many", subject_ref="digest-of nothing")
        at = NOW

        hand_over(Far(), now=at)
        assert {told(one)[0] for one in others} == {NoticeState.ACCEPTED}
        for _ in range(MOST_LOST + 1):
            assert the_notice(poison).due_at == at + LEASE
            at += LEASE
            hand_over(Far(), now=at)

        assert told(poison) == (NoticeState.FAILED, "too_many_tries")


class TestTurns:
    def test_what_was_not_begun_in_time_goes_back_as_it_was(self, person, monkeypatch):
        monkeypatch.setattr(handing, "TURN_SECONDS", 0)
        for no in range(20):
            a_notice(person, NOW, subject_ref=str(no))
        tried = a_notice(person, NOW, subject_ref="x", attempts=3, held=Held.AGAIN)
        far = Far(says=lambda _: time.sleep(0.05))
        know(far)

        hand_over_due(Lane.NOW, by_channel([far]), now=NOW)

        rows = [one for one in the_notices() if one.state is NoticeState.CREATED]
        assert len(rows) == 21 - len(far.sent) >= 21 - 2 * AT_LEAST
        assert {(one.attempts, one.held, one.due_at) for one in rows} <= {
            (0, None, NOW), (3, Held.AGAIN, NOW),
        }  # fmt: skip
        assert the_notice(tried).attempts >= 3

    def test_a_carrier_that_hangs_holds_threads_and_no_connection(self, person):
        """N-7: freed in its timeout; meanwhile others are sent, and the database is free."""
        held: list[int] = []

        def hang(_):
            held.append(engine().pool.checkedout())
            time.sleep(0.7)
            return Silent("nothing came")

        hanging, well = Far("sms", says=hang), Far()
        know(hanging, well)
        for no in range(12):
            a_notice(a_person(NOW, f"1991000{no:04}"), NOW, channel="sms")
        started = time.monotonic()
        thread = threading.Thread(
            target=hand_over_due, args=(Lane.NOW, by_channel([hanging])), kwargs={"now": NOW}
        )
        thread.start()
        while len(hanging.sent) < AT_LEAST:
            time.sleep(0.01)
        a_notice(person, NOW, channel="email")
        hand_over(well, now=NOW)
        assert (len(well.sent), thread.is_alive()) == (1, True)
        thread.join()

        assert time.monotonic() - started < 5
        assert max(held) <= 1
        assert {one.reason for one in the_notices() if one.channel == "sms"} == {"silent"}


def test_killed_in_mid_send_nothing_is_lost_and_little_is_sent_twice(city, tmp_path):
    """Killed three times; what was claimed comes back when its lease ends."""
    dice, sent = random.Random(7), tmp_path / "sent"
    sent.touch()
    with transaction() as session:
        session.execute(
            text("""
                WITH people AS (
                    INSERT INTO person (role, name, contact, locale, created_at)
                    SELECT 'resident', 'x', '1991' || lpad(no::text, 7, '0'), 'en', now()
                    FROM generate_series(1, 1500) no RETURNING id)
                INSERT INTO notice (event, person_id, subject_ref, channel, address, title, body,
                                    state, state_at, created_at, due_at, lane)
                SELECT 'outage.announced', id, '0', 'email', 'x', 't', 'b', 'created', now(), now(),
                       now(), 'bulk' FROM people
            """)
        )

    def lines() -> list[str]:
        return sent.read_text().split()

    kills = 3
    for round_ in range(kills):
        goal = len(lines()) + dice.randrange(100, 250)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.notifications.sending.killed", city, str(sent)], cwd=ROOT
        )
        while len(lines()) < goal:
            assert child.poll() is None, f"it ended by itself in round {round_}"
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with transaction() as session:
            session.execute(text("UPDATE notice SET due_at = now() WHERE state = 'created'"))
    work(sent)

    times = Counter(lines())
    with transaction() as session:
        states = dict(session.execute(text("SELECT state, count(*) FROM notice GROUP BY 1")).all())
    assert states == {"accepted": 1500}
    assert len(times) == 1500
    assert times.total() - 1500 <= kills * (AT_LEAST + 4)
