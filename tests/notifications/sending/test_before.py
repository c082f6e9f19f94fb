"""The last look before a notice leaves: quiet hours, too many texts, and what is no longer so."""

from datetime import UTC, datetime, time, timedelta

import pytest

from billing.homes.households import create_household
from core.crypto import fingerprint
from core.db import transaction
from core.errors import UpstreamUnavailable
from notifications.catalogue import Subject
from notifications.channels.base import AddressGone, Kind, NotPermitted
from notifications.choice.models import ContactPoint, NoticeChoice, NoticeSettings
from notifications.choice.openids import keep_openid
from notifications.choice.preferences import choose, remove_point
from notifications.models import Held, Notice, NoticeState, WechatPermit
from notifications.permits import give_back_left_behind, grant
from notifications.sending import chains
from notifications.sending.aftermath import take_permits
from tests.conftest import NOW
from tests.notifications.far import (
    Far,
    a_chain,
    a_notice,
    a_person,
    hand_over,
    the_notice,
    the_notices,
)
from tests.notifications.sending.test_handing import a_template, told

pytestmark = pytest.mark.usefixtures("city")
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
LATER = "write_off.refused"  # nobody waits for it
NIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # eleven in the evening
MORNING = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)  # seven


@pytest.fixture
def person():
    return a_person(NOW, email="wang@example.com")


def wants(person, **chosen):
    with transaction() as session:
        session.merge(NoticeSettings(person_id=person.id, changed_at=NOW, **chosen))


class TestQuietHours:
    def test_what_comes_up_at_night_waits_for_the_morning_untried(self, person):
        far = Far()
        notice_id = a_notice(person, NIGHT, event=LATER)

        hand_over(far, now=NIGHT)

        row = the_notice(notice_id)
        assert (row.due_at, row.held, row.attempts) == (MORNING, Held.QUIET, 0)
        assert hand_over(far, now=MORNING - SECOND) == 0
        hand_over(far, now=MORNING)
        assert told(notice_id) == (NoticeState.ACCEPTED, None)

    def test_a_try_again_and_the_next_channel_wait_too(self, person):
        evening = NIGHT - 61 * MINUTE
        tried = a_notice(person, evening, event=LATER, subject_ref="8")
        first, behind = a_chain(person, evening, "wechat", "sms", event=LATER, wait_seconds=60)
        hand_over(Far("wechat"), Far(answer=UpstreamUnavailable("x")), now=evening)
        with transaction() as session:
            chains.sweep_silence(session, now=NIGHT)

        hand_over(Far("sms"), Far(), now=NIGHT)

        assert told(first)[0] is NoticeState.ACCEPTED
        for one in map(the_notice, (tried, behind)):
            assert (one.due_at, one.held) == (MORNING, Held.QUIET)

    def test_a_code_and_what_must_wake_go_at_once(self, person):
        waking = ("sign_in.code", "outage.announced")
        ids = [a_notice(person, NIGHT, event=event) for event in waking]

        hand_over(Far(), now=NIGHT)

        assert {told(one)[0] for one in ids} == {NoticeState.ACCEPTED}

    def test_what_would_be_of_no_use_in_the_morning_goes_at_night(self, person):
        notice_id = a_notice(person, NIGHT, expires_at=MORNING)

        hand_over(Far(), now=NIGHT)

        assert told(notice_id)[0] is NoticeState.ACCEPTED

    def test_hours_changed_while_it_waits_are_heeded(self, person):
        notice_id = a_notice(person, NIGHT, event=LATER)
        hand_over(Far(), now=NIGHT)

        wants(person, quiet_from=time(22), quiet_until=time(9))
        hand_over(Far(), now=MORNING)

        assert the_notice(notice_id).due_at == MORNING + timedelta(hours=2)


class TestTexts:
    def test_the_fourth_of_a_day_goes_another_way(self, person):
        far = Far("sms")
        chains = [a_chain(person, NOW, "sms", "email", subject_ref=str(no)) for no in range(4)]

        hand_over(far, Far(), now=NOW)

        assert len(far.sent) == 3
        assert told(chains[3][0]) == (NoticeState.FAILED, "too_many")
        assert told(chains[3][1])[0] is NoticeState.ACCEPTED

    def test_they_choose_how_many_codes_do_not_count_and_tomorrow_is_another_day(self, person):
        wants(person, texts_per_day=1)
        far = Far("sms")
        for no, at in enumerate((NOW, NOW, NOW + DAY)):
            a_notice(person, at, channel="sms", subject_ref=f"code {no}", kind=Kind.CODE)
            a_notice(person, at, channel="sms", subject_ref=str(no))

        hand_over(far, now=NOW)
        assert len(far.sent) == 3
        hand_over(far, now=NOW + DAY)

        assert len(far.sent) == 5
        assert [one.reason for one in the_notices()].count("too_many") == 1

    @pytest.mark.parametrize("event", ["offers.stopped", "reply.unread"])
    def test_an_answer_to_a_text_of_theirs_is_none_of_them(self, person, event):
        wants(person, texts_per_day=1)
        far = Far("sms")
        answer = a_notice(person, NOW, channel="sms", event=event)
        hand_over(far, now=NOW)
        bill = a_notice(person, NOW, channel="sms", subject_ref="bill")
        hand_over(far, now=NOW)
        again = a_notice(person, NOW, channel="sms", event=event, subject_ref="again")

        hand_over(far, now=NOW)

        assert {told(one) for one in (answer, bill, again)} == {(NoticeState.ACCEPTED, None)}
        assert len(far.sent) == 3


class TestMuted:
    """What somebody switched off while it waited."""

    @pytest.mark.parametrize(
        ("channels", "sent"), [([], 0), (["email"], 1), (["tv"], 1), (None, 1)]
    )
    def test_it_is_not_sent_any_more(self, person, channels, sent):
        notice_id = a_notice(person, NIGHT, event="bill.ready", subject_ref="1.1.1")
        far = Far()
        hand_over(far, now=NIGHT)

        with transaction() as session:
            choose(session, person.id, Subject.BILLS, channels, now=NIGHT)
        hand_over(far, now=MORNING)

        assert len(far.sent) == sent
        if not sent:
            assert told(notice_id) == (NoticeState.DROPPED, "unsubscribed")

    def test_what_must_be_told_is(self, person):
        with transaction() as session:
            session.add(NoticeChoice(
                person_id=person.id, subject=Subject.PAYMENTS, channels=[], chosen_at=NOW
            ))  # fmt: skip
        notice_id = a_notice(person, NOW, event=LATER)

        hand_over(Far(), now=NOW)

        assert told(notice_id) == (NoticeState.ACCEPTED, None)

    def test_a_home_with_a_choice_of_its_own_keeps_it(self, person):
        with transaction() as session:
            home = create_household(session, name="汉口路", owner_id=person.id, now=NOW)
            choose(session, person.id, Subject.BILLS, ["email"], household_id=home.id, now=NOW)
            choose(session, person.id, Subject.BILLS, [], now=NOW)
        notice_id = a_notice(person, NOW, event="bill.ready", subject_ref="1.1.1")

        hand_over(Far(), now=NOW)

        assert told(notice_id) == (NoticeState.ACCEPTED, None)


class TestBrowsers:
    def point(self, person, address, channel="push"):
        with transaction() as session:
            point = ContactPoint(
                person_id=person.id, channel=channel, address=address,
                address_hash=fingerprint(address), made_at=NOW,
            )  # fmt: skip
            session.add(point)

    def test_all_of_them_get_it_and_one_is_enough(self, person):
        for address in ("one", "two", "three"):
            self.point(person, address)
        far = Far("push", says=lambda one: AddressGone("x") if one.address != "two" else None)
        notice_id = a_notice(person, NOW, channel="push", address="three")

        hand_over(far, now=NOW)

        assert [one.address for one in far.sent] == ["one", "two", "three"]
        assert len({one.message_id for one in far.sent}) == 3
        assert len({one.topic for one in far.sent}) == 1
        assert told(notice_id) == (NoticeState.ACCEPTED, None)
        assert self.live() == ["two"]

    @pytest.mark.parametrize("taken_by_another", [True, False])
    def test_a_wechat_that_is_theirs_no_more_gets_nothing_that_still_waited(
        self, person, taken_by_another
    ):
        other = a_person(NOW, contact="19900000002")
        with transaction() as session:
            point = keep_openid(session, person.id, "openid-1", now=NOW)
        wechat, mail = a_chain(person, NOW, "wechat", "email", address="openid-1")
        with transaction() as session:
            if taken_by_another:
                keep_openid(session, other.id, "openid-1", now=NOW)
            else:
                remove_point(session, person.id, point.id or 0, now=NOW)
        far = Far("wechat")

        hand_over(far, Far(), now=NOW)

        assert far.sent == []
        assert told(wechat) == (NoticeState.FAILED, "address_gone")
        assert told(mail)[0] is NoticeState.ACCEPTED

    def test_one_that_they_connected_anew_does(self, person):
        for openid in ("openid-1", "openid-2", "openid-1"):
            with transaction() as session:
                keep_openid(session, person.id, openid, now=NOW)
        a_notice(person, NOW, channel="wechat", address="openid-1")
        far = Far("wechat")

        hand_over(far, now=NOW)

        assert [one.address for one in far.sent] == ["openid-1"]

    def test_none_is_left_and_the_next_channel_goes(self, person):
        self.point(person, "one")
        first, second = a_chain(person, NOW, "push", "email")
        hand_over(Far("push", AddressGone("x")), Far(), now=NOW)
        assert told(first) == (NoticeState.FAILED, "address_gone")
        assert told(second)[0] is NoticeState.ACCEPTED
        assert self.live() == []

        another = a_notice(person, NOW, channel="push", subject_ref="8")
        hand_over(Far("push"), now=NOW)

        assert told(another) == (NoticeState.FAILED, "address_gone")

    def live(self):
        with transaction() as session:
            points = session.exec(ContactPoint.__table__.select().order_by("id"))
            return [one.address for one in points if one.gone_at is None]


class TestPermits:
    """N-17: a permit is one message; what WeChat did not take gives it back."""

    def left(self, person):
        with transaction() as session:
            return session.get_one(WechatPermit, (person.id, "T-1")).left_count

    def told(self, person, template, answer=None, ref="7"):
        notice_id = a_notice(
            person, NOW, channel="wechat", subject_ref=ref, template_id=template,
            template_values={"amount": "5"},
        )  # fmt: skip
        far = Far("wechat", answer)
        hand_over(far, now=NOW)
        return told(notice_id), len(far.sent)

    @pytest.fixture
    def template(self):
        return a_template(wechat="T-1")

    def test_one_is_used_and_without_one_nobody_is_asked(self, person, template):
        with transaction() as session:
            grant(session, person.id, "T-1", now=NOW)

        assert self.told(person, template) == ((NoticeState.ACCEPTED, None), 1)
        assert self.left(person) == 0
        assert self.told(person, template, ref="8") == ((NoticeState.FAILED, "not_permitted"), 0)

    def test_not_taken_it_is_given_back_and_refused_there_is_none(self, person, template):
        with transaction() as session:
            for _ in range(3):
                grant(session, person.id, "T-1", now=NOW)
        self.told(person, template, UpstreamUnavailable("x"))
        assert self.left(person) == 3

        assert self.told(person, template, NotPermitted("x"), "8")[0][1] == "not_permitted"
        assert self.left(person) == 0

    def test_of_whom_nothing_is_known_wechat_is_asked(self, person, template):
        assert self.told(person, template) == ((NoticeState.ACCEPTED, None), 1)

    def test_one_in_a_killed_workers_hands_is_the_next_workers(self, person, template):
        """The permit was taken, its worker was killed, and the lease ended: it goes on with it."""
        with transaction() as session:
            grant(session, person.id, "T-1", now=NOW)
        notice_id = a_notice(
            person, NOW, channel="wechat", template_id=template, template_values={"amount": "5"}
        )
        with transaction() as session:
            assert take_permits(session, [(notice_id, person.id, "T-1")], held={}) == (
                {notice_id}, set(),
            )  # fmt: skip
        assert self.left(person) == 0

        hand_over(Far("wechat"), now=NOW)

        assert told(notice_id) == (NoticeState.ACCEPTED, None)
        assert self.left(person) == 0

    def test_one_whose_notice_has_ended_meanwhile_is_given_back_once(self, person, template):
        with transaction() as session:
            grant(session, person.id, "T-1", now=NOW)
        notice_id = a_notice(person, NOW, channel="wechat", template_id=template)
        with transaction() as session:
            take_permits(session, [(notice_id, person.id, "T-1")], held={})
            give_back_left_behind(session)
            assert session.get_one(WechatPermit, (person.id, "T-1")).left_count == 0
            session.get_one(Notice, notice_id).state = NoticeState.DROPPED

        for _ in range(2):
            with transaction() as session:
                give_back_left_behind(session)

        assert self.left(person) == 1
