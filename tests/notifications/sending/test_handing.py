"""What is due is handed over once, and whatever the far side says ends on the row."""

import random
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import engine, transaction
from core.errors import Upstream, UpstreamUnavailable
from notifications.channels.base import (
    AddressGone,
    Kind,
    Message,
    NotPermitted,
    Silent,
    Taken,
    Template,
)
from notifications.models import Held, Lane, NoticeState, NoticeTemplate, TemplateState
from notifications.sending.handing import House, hand_over_due
from notifications.sending.models import CarrierState
from notifications.sending.retries import BROKEN_TRIES, SILENT_TRIES
from tests.conftest import NOW
from tests.factories import a_person as staff
from tests.notifications.far import (
    Far,
    a_notice,
    a_person,
    by_channel,
    hand_over,
    know,
    the_notice,
    the_notices,
)
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
AWAY = UpstreamUnavailable("away")


@pytest.fixture
def person():
    return a_person(NOW, email="wang@example.com")


def told(notice_id):
    notice = the_notice(notice_id)
    return notice.state, notice.reason


def a_template(**carrier_ids):
    """A text that carriers know by these numbers; returns its own."""
    with transaction() as session:
        template = NoticeTemplate(
            event="offer.made", form="letter", locale="zh_CN", edition="plain", version=1,
            title="t", body="b", carrier_ids=carrier_ids, state=TemplateState.DRAFT, why="w",
            made_by=staff(), made_at=NOW,
        )  # fmt: skip
        session.add(template)
        session.flush()
        return template.id


def stop(carrier):
    """Do what staff do to a carrier on the console."""
    with transaction() as session:
        row = session.get_one(CarrierState, carrier)
        row.stopped_at, row.stopped_by = NOW, staff()


class TestTaken:
    def test_it_is_handed_over_as_it_was_made(self, person):
        far = Far(answer=Taken("far-1"))
        notice_id = a_notice(person, NOW, link="https://city.example/b/1", locale="en")

        hand_over(far, now=NOW)

        [message] = far.sent
        assert message == Message(
            message_id=f"notice-{notice_id}", address="wang@example.com", title="题",
            body="验证码 482913", body_html="<p>482913</p>", locale="en",
            link="https://city.example/b/1", topic=message.topic, created_at=NOW,
        )  # fmt: skip
        row = the_notice(notice_id)
        assert (row.state, row.reason) == (NoticeState.ACCEPTED, None)
        assert (row.carrier, row.carrier_ref, row.due_at) == ("email", "far-1", None)
        assert NOW <= row.accepted_at < NOW + MINUTE

    def test_without_a_number_of_the_carrier_s_receipts_name_the_message(self, person):
        notice_id = a_notice(person, NOW)

        hand_over(Far(), now=NOW)

        assert the_notice(notice_id).carrier_ref == f"notice-{notice_id}"

    def test_what_is_there_at_once_is_delivered(self, person):
        notice_id = a_notice(person, NOW)

        hand_over(Far(answer=Taken(delivered=True)), now=NOW)

        row = the_notice(notice_id)
        assert (row.state, row.delivered_at) == (NoticeState.DELIVERED, row.accepted_at)

    def test_what_is_not_due_waits_and_what_was_sent_is_not_sent_again(self, person):
        far = Far()
        a_notice(person, NOW)
        a_notice(person, NOW, subject_ref="8", due_at=NOW + SECOND)

        assert hand_over(far, now=NOW) == 1
        assert hand_over(far, now=NOW) == 0
        assert hand_over(far, now=NOW + SECOND) == 1

    def test_a_lane_is_handed_over_by_itself(self, person):
        far = Far()
        know(far)
        a_notice(person, NOW, lane=Lane.BULK)

        assert hand_over_due(Lane.NOW, by_channel([far]), now=NOW) == 0
        assert hand_over_due(Lane.BULK, by_channel([far]), now=NOW) == 1

    def test_twenty_workers_send_each_once(self, person):
        """N-4, at the point of sending: 20 threads over the same due rows."""
        far = Far()
        know(far)
        ids = [a_notice(person, NOW, subject_ref=str(no)) for no in range(60)]

        def work(_: int) -> int:
            claimed = 0
            while some := hand_over_due(Lane.NOW, by_channel([far]), now=NOW, limit=7):
                claimed += some
            return claimed

        assert sum(at_once(20, work)) == 60
        assert Counter(one.message_id for one in far.sent) == {f"notice-{one}": 1 for one in ids}
        assert {one.state for one in the_notices()} == {NoticeState.ACCEPTED}

    def test_no_transaction_is_open_while_the_far_side_thinks(self, person):
        def look_around(_: Message) -> None:
            with engine().connect() as connection:
                open_ = connection.execute(
                    text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'"
                         " AND datname = current_database() AND pid <> pg_backend_pid()")
                ).scalar_one()  # fmt: skip
            seen.append(open_)

        seen: list[int] = []
        a_notice(person, NOW)
        hand_over(Far(says=look_around), now=NOW)

        assert seen == [0]

    def test_the_carrier_s_own_template_goes_along_and_offers_have_a_way_out(self, person):
        far, secret, template = Far(), "s" * 32, a_template(email="SMS_1")
        a_notice(
            person, NOW, event="offer.made", kind=Kind.COMMERCIAL, template_id=template,
            template_values={"amount": "5"},
        )  # fmt: skip

        hand_over(far, now=NOW, house=House("https://city.example", secret))

        [message] = far.sent
        assert message.template == Template("SMS_1", {"amount": "5"})
        assert message.unsubscribe_url.startswith(
            f"https://city.example/unsubscribe/{person.id}.email."
        )


class TestNotNow:
    def test_it_is_tried_again_within_the_pause_and_under_the_same_id(self, person):
        far = Far(answer=AWAY)
        notice_id = a_notice(person, NOW)
        hand_over(far, now=NOW)

        row = the_notice(notice_id)
        assert (row.state, row.reason, row.held) == (NoticeState.CREATED, "unavailable", Held.AGAIN)
        assert (row.attempts, row.carrier) == (1, None)
        assert NOW <= row.due_at <= NOW + MINUTE
        far.answer = None
        hand_over(far, now=row.due_at)

        assert told(notice_id) == (NoticeState.ACCEPTED, None)
        assert [one.message_id for one in far.sent] == [f"notice-{notice_id}"] * 2

    def test_pauses_grow_and_no_two_are_alike(self, person):
        far = Far(answer=AWAY)
        ids = [a_notice(person, NOW, subject_ref=str(no), attempts=9, held=Held.AGAIN)
               for no in range(30)]  # fmt: skip
        hand_over(far, now=NOW)

        pauses = [the_notice(one).due_at - NOW for one in ids]
        assert len(set(pauses)) == 30
        assert timedelta(minutes=30) < max(pauses) < timedelta(minutes=61)
        assert min(pauses) < timedelta(minutes=20)

    def test_the_next_carrier_of_the_channel_is_asked_at_once(self, person):
        one, two = Far("one", AWAY, "sms"), Far("two", AWAY, "sms")
        notice_id = a_notice(person, NOW, channel="sms")
        hand_over(one, two, now=NOW)
        assert (len(one.sent), len(two.sent)) == (1, 1)
        assert the_notice(notice_id).attempts == 1

        two.answer = Taken("t")
        hand_over(one, two, now=the_notice(notice_id).due_at)

        assert the_notice(notice_id).carrier == "two"

    def test_with_the_other_one_stopped_the_pauses_grow_all_the_same(self, person):
        away, stopped = Far("one", AWAY, "sms"), Far("two", AWAY, "sms")
        know(away, stopped)
        stop("two")
        notice_id = a_notice(person, NOW, channel="sms")

        hand_over(away, stopped, now=NOW)

        row = the_notice(notice_id)
        assert (row.attempts, row.held, row.reason) == (1, Held.AGAIN, "unavailable")
        assert stopped.sent == []

    def test_a_notice_that_ends_before_its_next_try_has_failed(self, person):
        notice_id = a_notice(person, NOW, attempts=9, held=Held.AGAIN, expires_at=NOW + SECOND)

        hand_over(Far(answer=AWAY), now=NOW, draw=random.Random(1))

        assert told(notice_id) == (NoticeState.FAILED, "expired")

    def test_a_code_is_tried_again_within_seconds(self, person):
        notice_id = a_notice(person, NOW, kind=Kind.CODE, attempts=12, held=Held.AGAIN)

        hand_over(Far(answer=AWAY), now=NOW)

        assert the_notice(notice_id).due_at <= NOW + 16 * SECOND
        assert the_notice(notice_id).body == "验证码 482913"


class TestSilent:
    def test_it_may_be_there_so_nobody_else_is_asked(self, person):
        one, two = Far("one", Silent("?"), "sms"), Far("two", Silent("?"), "sms")
        notice_id = a_notice(person, NOW, channel="sms")

        hand_over(one, two, now=NOW)
        hand_over(one, two, now=NOW + DAY)

        assert len(one.sent) + len(two.sent) == 1
        row = the_notice(notice_id)
        assert (row.state, row.reason) == (NoticeState.ACCEPTED, "silent")
        assert row.carrier in {"one", "two"}
        assert row.carrier_ref == f"notice-{notice_id}"

    def test_who_takes_a_message_once_is_asked_again_and_nobody_else(self, person):
        one = Far("one", Silent("?"), "sms", repeats_safely=True)
        two = Far("two", None, "sms", repeats_safely=True)
        notice_id = a_notice(person, NOW, channel="sms")
        hand_over(one, now=NOW)
        assert told(notice_id) == (NoticeState.CREATED, "silent")

        for _ in range(SILENT_TRIES - 1):
            hand_over(one, two, now=the_notice(notice_id).due_at)

        assert told(notice_id) == (NoticeState.ACCEPTED, "silent")
        assert len({message.message_id for message in one.sent}) == 1
        assert (len(one.sent), two.sent) == (SILENT_TRIES, [])

    def test_away_afterwards_it_still_may_have_it(self, person):
        one = Far("one", Silent("?"), "sms", repeats_safely=True)
        two = Far("two", None, "sms")
        notice_id = a_notice(person, NOW, channel="sms", expires_at=NOW + DAY)
        hand_over(one, now=NOW)
        one.answer = AWAY

        hand_over(one, two, now=the_notice(notice_id).due_at)
        assert the_notice(notice_id).carrier == "one"
        hand_over(one, two, now=NOW + 2 * DAY)

        assert told(notice_id) == (NoticeState.ACCEPTED, "silent")
        assert two.sent == []


class TestRefused:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (Upstream("no"), "upstream"),
            (Upstream("no", code="template.missing"), "template.missing"),
            (NotPermitted("no"), "not_permitted"),
            (AddressGone("no"), "address_gone"),
        ],
    )
    def test_it_failed_and_is_left_alone(self, person, answer, reason):
        far = Far(answer=answer)
        notice_id = a_notice(person, NOW)

        hand_over(far, now=NOW)
        hand_over(far, now=NOW + DAY)

        assert told(notice_id) == (NoticeState.FAILED, reason)
        assert len(far.sent) == 1

    def test_a_channel_nobody_carries_fails_it(self, person):
        notice_id = a_notice(person, NOW, channel="fax")

        hand_over(Far(), now=NOW)

        assert told(notice_id) == (NoticeState.FAILED, "no_carrier")

    def test_a_carrier_that_is_stopped_is_waited_for(self, person):
        far = Far()
        know(far)
        stop("email")
        notice_id = a_notice(person, NOW)

        hand_over_due(Lane.NOW, by_channel([far]), now=NOW)

        row = the_notice(notice_id)
        assert (row.state, row.attempts, far.sent) == (NoticeState.CREATED, 0, [])
        assert NOW < row.due_at < NOW + 10 * SECOND

    def test_a_file_that_cannot_be_made_fails_it(self, person):
        notice_id, far = a_notice(person, NOW, attachment_ref="nothing:1"), Far()

        hand_over(far, now=NOW)

        assert told(notice_id) == (NoticeState.FAILED, "not_found")
        assert far.sent == []

    def test_an_adapter_that_breaks_stops_nobody_and_ends_too(self, person):
        broken = Far("odd", channel="odd", says=lambda _: {}["no such key"])
        notice_id, other = a_notice(person, NOW, channel="odd"), a_notice(person, NOW)
        hand_over(broken, Far(), now=NOW)
        assert told(other) == (NoticeState.ACCEPTED, None)

        for _ in range(BROKEN_TRIES - 1):
            assert told(notice_id) == (NoticeState.CREATED, "broken")
            hand_over(broken, now=the_notice(notice_id).due_at)

        assert told(notice_id) == (NoticeState.FAILED, "broken")
        assert len(broken.sent) == BROKEN_TRIES
