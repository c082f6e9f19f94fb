"""Over which channels, in which order and when: what was chosen, then what is usual."""

from datetime import UTC, datetime, time, timedelta

import psycopg
import pytest

from core.db import transaction
from identity.models import Person
from notifications.catalogue import EVENTS, NEVER_MUTED, SILENCE_SECONDS, Subject
from notifications.choice import consents
from notifications.choice.models import ConsentSource, ContactPoint
from notifications.choice.planning import Wanted, plan_all
from notifications.choice.preferences import USUALLY, change_settings, choose
from notifications.models import Held
from tests.conftest import NOW
from tests.factories import a_guest, a_home, a_person

NIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # eleven in the evening in Shanghai
MORNING = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
BROWSER, OPENID = '{"endpoint": "https://push.example/1"}', "openid-1"

pytestmark = pytest.mark.usefixtures("city")


def plan(person_id, event="write_off.refused", *, home=None, expires_at=None, over=None, now=NOW):
    with transaction() as session:
        person = session.get_one(Person, person_id)
        wanted = Wanted(person, EVENTS[event], home, expires_at, over)
        [found] = plan_all(session, [wanted], now=now)
    return found


def channels(person_id, event="write_off.refused", **how):
    return [step.channel for step in plan(person_id, event, **how).steps]


def with_point(person_id, channel, address, *, gone=False):
    with transaction() as session:
        session.add(
            ContactPoint(
                person_id=person_id, channel=channel, address=address, address_hash=address,
                made_at=NOW, gone_at=NOW if gone else None,
            )
        )  # fmt: skip


def chooses(person_id, subject, *wanted, home=None):
    with transaction() as session:
        choose(session, person_id, subject, wanted, household_id=home, now=NOW)


def sets(person_id, **changes):
    with transaction() as session:
        change_settings(session, person_id, USUALLY._replace(**changes), now=NOW)


def without(person_id, **changes):
    with transaction() as session:
        person = session.get_one(Person, person_id)
        for name, value in changes.items():
            setattr(person, name, value)


class TestWhatIsUsual:
    def test_what_reaches_them_in_the_usual_order_and_the_inbox_at_once(self):
        person = a_person()
        with_point(person, "wechat", OPENID)

        found = plan(person)

        assert [step.channel for step in found.at_once] == ["inbox"]
        assert [step.channel for step in found.steps] == ["email", "wechat", "sms"]
        assert found.steps[1].address == OPENID
        assert (found.due_at, found.held) == (NOW, None)

    def test_what_costs_nothing_goes_first(self):
        person = a_person()

        assert channels(person, "bill.due_soon") == ["email", "sms"]  # usual: sms, then email

    def test_the_newest_browser_is_the_one(self):
        person = a_person()
        for address in ("old", "new"):
            with_point(person, "push", address)
        with_point(person, "push", "gone", gone=True)

        assert plan(person, "bill.ready").steps[0].address == "new"

    def test_a_television_is_no_step(self):
        person = a_person()
        with_point(person, "tv", "tv-1")

        assert "tv" not in channels(person, "bill.ready")

    def test_who_has_no_address_at_all_has_the_inbox(self):
        person = a_person()
        without(person, email=None, contact="wang@city.example")

        found = plan(person)

        assert ([step.channel for step in found.at_once], found.steps) == (["inbox"], ())

    def test_each_waits_for_a_sign_of_life_but_the_last(self):
        person = a_person()
        with_point(person, "wechat", OPENID)
        with_point(person, "push", BROWSER)

        found = plan(person, "bill.due_soon")

        assert [(step.channel, step.wait_seconds) for step in found.steps] == [
            ("push", SILENCE_SECONDS["push"]), ("wechat", SILENCE_SECONDS["wechat"]),
            ("sms", SILENCE_SECONDS["sms"]), ("email", None),
        ]  # fmt: skip

    def test_a_guest_has_their_mail_and_no_inbox(self):
        guest = a_guest(email="guest@city.example")

        found = plan(guest)

        assert (found.at_once, [step.address for step in found.steps]) == (
            (), ["guest@city.example"],
        )  # fmt: skip

    def test_a_guest_without_one_is_told_nothing(self):
        found = plan(a_guest())

        assert (found.at_once, found.steps) == ((), ())


class TestCodes:
    @pytest.mark.parametrize(
        ("contact", "channel"), [("+8613900000001", "sms"), ("wang@city.example", "email")]
    )
    def test_they_go_to_the_contact_they_were_asked_from_and_wait_for_no_morning(
        self, contact, channel
    ):
        person = a_person()
        without(person, contact=contact)

        found = plan(person, "sign_in.code", now=NIGHT)

        assert (found.at_once, found.due_at, found.held) == ((), NIGHT, None)
        assert [(one.channel, one.address) for one in found.steps] == [(channel, contact)]


class TestChoices:
    def test_theirs_in_their_order(self):
        person = a_person()
        chooses(person, Subject.PAYMENTS, "sms", "email")

        assert channels(person) == ["sms", "email"]
        assert channels(person, "bill.ready") == ["email", "sms"]  # another subject

    def test_a_households_own_goes_before_the_general_one(self):
        home = a_home()
        other = a_home(owner_id=home.owner_id)
        chooses(home.owner_id, Subject.BILLS, "sms")
        chooses(home.owner_id, Subject.BILLS, "email", home=home.household_id)

        assert channels(home.owner_id, "bill.ready", home=home.household_id) == ["email"]
        assert channels(home.owner_id, "bill.ready", home=other.household_id) == ["sms"]
        assert channels(home.owner_id, "bill.ready") == ["sms"]

    def test_a_household_can_be_muted_alone(self):
        home = a_home()
        chooses(home.owner_id, Subject.BILLS, home=home.household_id)

        found = plan(home.owner_id, "bill.ready", home=home.household_id)

        assert ([step.channel for step in found.at_once], found.steps) == (["inbox"], ())
        assert channels(home.owner_id, "bill.ready") == ["email", "sms"]

    def test_a_channel_that_cannot_reach_them_is_left_out(self):
        person = a_person()
        chooses(person, Subject.BILLS, "push", "sms")

        assert channels(person, "bill.ready") == ["sms"]

    def test_none_of_theirs_reaching_them_is_not_silence(self):
        person = a_person()
        chooses(person, Subject.BILLS, "push")

        assert channels(person, "bill.ready") == ["email", "sms"]

    @pytest.mark.parametrize("subject", sorted(NEVER_MUTED - {Subject.SIGN_IN}))
    def test_what_must_be_told_cannot_be_muted(self, subject):
        """Nor by a row that came from elsewhere."""
        person = a_person()
        event = next(one.code for one in EVENTS.values() if one.subject is subject)
        usual = channels(person, event)
        chooses(person, Subject.BILLS)
        with transaction() as session:
            session.connection().exec_driver_sql(
                "UPDATE notice_choice SET subject = %s", (subject.value,)
            )

        assert usual
        assert channels(person, event) == usual

    def test_over_one_channel_means_that_one_alone(self):
        person = a_person()

        found = plan(person, "notice.tried", over="sms", now=NIGHT)

        assert ([step.channel for step in found.steps], found.at_once) == (["sms"], ())
        assert found.due_at == NIGHT
        assert channels(person, "notice.tried", over="push") == []

    def test_the_elder_edition_and_the_language_are_theirs(self):
        person = a_person()
        sets(person, elder=True)
        without(person, locale="en")

        found = plan(person)

        assert (found.edition, found.locale) == ("elder", "en")
        assert plan(a_person()).edition == "plain"


class TestOffers:
    def says(self, person, given, channel=None):
        with transaction() as session:
            if given:
                consents.agree(session, person, proof="yes, tell me of offers", now=NOW)
            else:
                consents.refuse(
                    session, person, source=ConsentSource.ONE_CLICK, proof="x", channel=channel,
                    now=NOW,
                )  # fmt: skip

    def test_who_never_agreed_is_told_nothing_at_all(self):
        found = plan(a_person(), "offer.made")

        assert (found.at_once, found.steps, found.withheld) == ((), (), True)

    def test_who_agreed_is_told(self):
        person = a_person()
        self.says(person, True)

        found = plan(person, "offer.made")

        assert [step.channel for step in (*found.at_once, *found.steps)] == ["inbox", "email"]

    @pytest.mark.parametrize("channel", [None, "email"])
    def test_the_last_word_holds(self, channel):
        person = a_person()
        self.says(person, True)
        self.says(person, False, channel)
        assert plan(person, "offer.made").withheld

        self.says(person, True)
        assert channels(person, "offer.made") == ["email"]

    def test_no_over_one_channel_leaves_the_others(self):
        person = a_person()
        chooses(person, Subject.OFFERS, "email", "sms")
        self.says(person, True)
        self.says(person, False, "email")

        assert channels(person, "offer.made") == ["sms"]

    def test_a_no_to_offers_is_no_to_nothing_else(self):
        person = a_person()
        self.says(person, False)

        assert channels(person) == ["email", "sms"]


class TestQuietHours:
    def test_what_comes_at_night_waits_for_the_morning(self):
        found = plan(a_person(), now=NIGHT)

        assert (found.due_at, found.held) == (MORNING, Held.QUIET)
        assert [step.channel for step in found.at_once] == ["inbox"]

    def test_what_wakes_does_not(self):
        found = plan(a_person(), "outage.announced", now=NIGHT)

        assert (found.due_at, found.held) == (NIGHT, None)

    @pytest.mark.parametrize(
        ("ends", "due_at"),
        [(timedelta(hours=8), NIGHT), (timedelta(hours=8, minutes=1), MORNING)],
        ids=["with the night", "after it"],
    )
    def test_what_is_of_no_use_in_the_morning_goes_at_once(self, ends, due_at):
        assert plan(a_person(), expires_at=NIGHT + ends, now=NIGHT).due_at == due_at

    def test_their_hours_are_of_their_own_clock(self):
        person = a_person()
        sets(person, quiet_from=time(9), quiet_until=time(11), zone="Europe/London")

        assert plan(person, now=NIGHT).held is None
        assert plan(person, now=NIGHT - timedelta(hours=5)).held is Held.QUIET

    def test_who_has_none_is_told_at_any_time(self):
        person = a_person()
        sets(person, quiet_from=None, quiet_until=None)

        assert plan(person, now=NIGHT).held is None


class TestGathering:
    def test_of_a_household_with_several_accounts(self):
        one, several = a_home(100), a_home(100, 200)

        alone = plan(one.owner_id, "bill.ready", home=one.household_id)
        gathered = plan(several.owner_id, "bill.ready", home=several.household_id)

        assert alone.gather_until is None
        assert gathered.gather_until == NOW + timedelta(hours=1)

    def test_not_what_cannot_wait_nor_for_who_wants_each(self):
        home = a_home(100, 200)

        def gathered(event="bill.ready", **how):
            return plan(home.owner_id, event, home=home.household_id, **how).gather_until

        assert gathered("bill.missing") is None
        assert gathered(expires_at=NOW + timedelta(minutes=60)) is None
        assert plan(home.owner_id, "bill.ready").gather_until is None
        sets(home.owner_id, digest=False)
        assert gathered() is None


def test_many_are_planned_in_their_order_by_as_many_questions_as_one(monkeypatch):
    homes = [a_home(100, 200) for _ in range(3)]
    chooses(homes[1].owner_id, Subject.BILLS, "sms")
    asked = []
    execute = psycopg.Connection.execute

    def counted(self, query, *rest, **more):
        asked.append(query)
        return execute(self, query, *rest, **more)

    with transaction() as session:
        people = [session.get_one(Person, home.owner_id) for home in homes]
        wanted = [
            Wanted(person, EVENTS["bill.ready"], home.household_id, None)
            for person, home in zip(people, homes, strict=True)
        ]
        monkeypatch.setattr(psycopg.Connection, "execute", counted)
        [first] = plan_all(session, wanted[:1], now=NOW)
        one = len(asked)
        plans = plan_all(session, wanted * 50, now=NOW)

    assert len(asked) == 2 * one == 4
    assert plans[0] == first
    assert [[step.channel for step in found.steps] for found in plans[:3]] == [
        ["email", "sms"], ["sms"], ["email", "sms"],
    ]  # fmt: skip
