"""Lanes of notices: rung for in proportion, never more than a few bells, and each by its worker."""

from datetime import timedelta

import pytest

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from notifications.models import Lane
from notifications.sending.claiming import find_behind
from notifications.sending.handing import BATCH
from tests.notifications.conftest import MailServer, running
from tests.notifications.far import a_notice, a_person, the_notice
from tests.workers.conftest import process
from tests.workers.test_worker import SCHEDULER, WORKER, until
from workers import lanes
from workers.lanes import BELLS, ring
from workers.start import outside

pytestmark = pytest.mark.usefixtures("city")
SECOND = timedelta(seconds=1)


@pytest.fixture
def many(now):
    """More of a city's bills than all bells together are for, and one receipt."""
    person = a_person(now)
    a_notice(person, now)
    with transaction() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO notice (event, person_id, subject_ref, channel, address, title, body,"
            " state, state_at, created_at, due_at, lane) SELECT 'bill.ready', %s, no, 'email', 'x',"
            " 't', 'b', 'created', %s, %s, %s, 'bulk' FROM generate_series(1, %s) no",
            (person.id, now, now, now, BATCH * BELLS + 1),
        )


class TestRinging:
    def test_each_lane_in_its_queue_in_proportion_and_with_nothing_but_its_name(
        self, many, bell, now
    ):
        ring(now=now)

        assert (bell.llen("notices"), bell.llen("bulk")) == (1, BELLS)
        assert b'"argsrepr": "()"' in bell.lindex("bulk", 0)

    def test_bells_nobody_has_heard_are_not_rung_again(self, many, bell, now):
        for _ in range(5):
            ring(now=now)
        bell.rpop("bulk")
        ring(now=now)

        assert (bell.llen("notices"), bell.llen("bulk")) == (1, BELLS)

    def test_nothing_due_is_nothing_to_hear(self, bell, now):
        a_notice(a_person(now), now, due_at=now + SECOND)

        assert ring(now=now) == 0
        assert (bell.llen("notices"), bell.llen("bulk")) == (0, 0)

    def test_what_is_behind_is_counted_up_to_a_limit(self, many, now):
        with transaction() as session:
            behind = find_behind(session, now=now + SECOND, most=3)

        assert [(one.lane, one.how_many, one.oldest_at) for one in behind] == [
            (Lane.NOW, 1, now), (Lane.BULK, 3, now),
        ]  # fmt: skip


def test_a_worker_knows_its_carriers_and_hands_a_lane_over(now, monkeypatch):
    with running(MailServer()) as mail_server:
        monkeypatch.setenv("CITYBILL_SMTP_PORT", str(mail_server.port))
        for remembered in (settings, outside, lanes._carriers):
            remembered.cache_clear()
        notice_id = a_notice(a_person(now), now, event="outage.announced")
        try:
            assert lanes.hand_over(Lane.NOW) == 1
        finally:
            for remembered in (settings, outside, lanes._carriers):
                remembered.cache_clear()

    assert the_notice(notice_id).state == "accepted"
    assert len(mail_server.taken) == 1


def test_a_code_goes_while_a_city_s_bills_are_on_their_way(city, servers, bell):
    """Bulk has a process of its own: what somebody waits for is handed over beside it."""
    now = utc_now()
    person = a_person(now)
    options = {
        "CITYBILL_DATABASE_URL": city, "CITYBILL_REDIS_URL": servers.redis_url,
        "CITYBILL_SMTP_HOST": "127.0.0.1",
    }  # fmt: skip
    for no in range(200):
        a_notice(person, now, subject_ref=str(no), event="outage.announced", lane=Lane.BULK)
    with running(MailServer()) as mail_server:
        options["CITYBILL_SMTP_PORT"] = str(mail_server.port)
        with process(*SCHEDULER, **options), process(*WORKER, **options):
            code = a_notice(person, utc_now(), event="sign_in.code")
            until(lambda: the_notice(code).state == "accepted", "the code has gone")
            with transaction() as session:
                [_, bulk] = find_behind(session, now=utc_now(), most=1_000)

    assert bulk.how_many == 200  # whose worker this test does not start
