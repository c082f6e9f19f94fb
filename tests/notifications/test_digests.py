"""N-10: what several companies send a household within the hour is told once, if it is still so."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from core.db import transaction
from identity.models import Person
from notifications.choice.models import Digest, DigestEntry
from notifications.choice.preferences import USUALLY, change_settings
from notifications.digests import flush_due
from notifications.models import Notice
from notifications.telling import Telling, tell_all
from notifications.wording.rendering import Facts
from tests.conftest import NOW, empty_city
from tests.factories import a_home, at_once

COMPANIES = ("自来水公司", "电力公司", "燃气公司", "电信公司")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

pytestmark = pytest.mark.usefixtures("city")


def a_telling(home, at, *, event="bill.ready", **changes):
    with transaction() as session:
        person = session.get_one(Person, home.owner_id)
    account_id, bill_id = home.refs[at]
    company = COMPANIES[at % len(COMPANIES)]
    facts = Facts(
        values={"company": company, "bill": "B1", "month": "2026年10月", "amount": f"¥{at + 1}.00",
                "due_on": "2026年11月30日", "days": "10"},
        lines=[(f"{company} {at}", f"¥{at + 1}.00")], link=f"https://city.example/bills/{at}",
    )  # fmt: skip
    return Telling(
        event=event, person=person, subject_ref=f"{account_id}.{bill_id}.1", facts=facts,
        household_id=home.household_id, **changes,
    )  # fmt: skip


def tells(home, *places, now=NOW, **changes):
    with transaction() as session:
        return tell_all(session, [a_telling(home, at, **changes) for at in places], now=now)


def flushes(now=NOW + HOUR):
    with transaction() as session:
        return flush_due(session, public_url="https://city.example", now=now)


def rows(model):
    with transaction() as session:
        return list(session.exec(select(model)))


def told(channel="inbox"):
    found = [one for one in rows(Notice) if one.channel == channel]
    return sorted(found, key=lambda one: one.id)


def wants_each(home, *, digest=False):
    with transaction() as session:
        change_settings(session, home.owner_id, USUALLY._replace(digest=digest), now=NOW)


class TestADigest:
    def test_four_companies_within_the_hour_are_one_notice_of_four_lines(self):
        home = a_home(100, 200, 300, 400)
        for at in range(4):
            assert tells(home, at, now=NOW + at * 15 * MINUTE) == 0
        assert told() == []

        assert flushes() == 1

        [notice] = told()
        assert (notice.event, notice.subject_ref) == ("bill.ready.many", "digest-1")
        assert "4" in notice.title
        for at, company in enumerate(COMPANIES):
            assert f"{company} {at}" in notice.body
        [mail] = told("email")
        assert mail.body.startswith(notice.body)
        assert "https://city.example/preferences" in mail.body

    def test_one_that_is_cancelled_before_leaves_with_its_reason(self):
        home = a_home(100, 200, 300, 400)
        tells(home, 0, 1, 2, 3)
        home.cancel(2)

        flushes()

        [notice] = told()
        assert "3" in notice.title
        assert COMPANIES[2] not in notice.body
        assert sorted(one.left_reason or "" for one in rows(DigestEntry)) == [
            "", "", "", "cancelled",
        ]  # fmt: skip

    def test_the_only_one_left_is_told_as_itself(self):
        home = a_home(100, 200)
        tells(home, 0, 1)
        home.cancel(0)

        flushes()

        [notice] = told()
        assert notice.event == "bill.ready"
        assert notice.subject_ref == a_telling(home, 1).subject_ref

    def test_none_left_is_not_told(self):
        home = a_home(100, 200)
        tells(home, 0, 1)
        home.cancel(0)
        home.cancel(1)

        assert flushes() == 1
        assert rows(Notice) == []

    def test_it_is_told_when_its_hour_is_over_and_once(self):
        home = a_home(100, 200)
        tells(home, 0, 1)

        assert flushes(NOW + HOUR - MINUTE) == 0
        assert (flushes(), flushes()) == (1, 0)
        assert len(told()) == 1

    def test_the_next_hour_has_a_digest_of_its_own(self):
        home = a_home(100, 200, 300, 400)
        tells(home, 0, 1)
        flushes()
        tells(home, 2, 3, now=NOW + 2 * HOUR)
        flushes(NOW + 3 * HOUR)

        assert [one.subject_ref for one in told()] == ["digest-1", "digest-2"]

    def test_two_events_and_two_people_are_not_mixed(self):
        one, other = a_home(100, 200), a_home(100, 200)
        tells(one, 0, 1)
        tells(other, 0, 1)
        tells(one, 0, 1, event="bill.overdue")

        flushes()

        assert sorted((notice.person_id, notice.event) for notice in told()) == sorted([
            (one.owner_id, "bill.ready.many"), (one.owner_id, "bill.overdue.many"),
            (other.owner_id, "bill.ready.many"),
        ])  # fmt: skip

    def test_what_is_told_at_night_waits_for_the_morning(self):
        home = a_home(100, 200)
        tells(home, 0, 1, now=NOW + 11 * HOUR)

        flushes(NOW + 12 * HOUR)

        [mail] = told("email")
        assert (mail.held, mail.due_at) == ("quiet", NOW + 19 * HOUR)


class TestOnce:
    """Alone or in a digest, never both, and never twice."""

    def test_what_waits_is_not_entered_again_nor_told_alone(self):
        home = a_home(100, 200)
        tells(home, 0, 1)
        tells(home, 0, 1)
        wants_each(home)

        assert tells(home, 0, 1) == 0
        assert len(rows(DigestEntry)) == 2

    def test_nor_is_what_a_digest_has_told(self):
        home = a_home(100, 200)
        tells(home, 0, 1)
        flushes()

        assert tells(home, 0, 1, now=NOW + 2 * HOUR) == 0
        assert flushes(NOW + 4 * HOUR) == 0
        assert len(told()) == 1

    def test_what_was_told_alone_does_not_enter(self):
        home = a_home(100, 200)
        wants_each(home)
        assert tells(home, 0) == 1
        wants_each(home, digest=True)

        tells(home, 0, 1)
        flushes()

        assert [one.event for one in told()] == ["bill.ready", "bill.ready"]
        assert len(rows(Digest)) == 1

    def test_twenty_that_tell_it_at_once_each_way_tell_it_once(self):
        """Some have read the choice before it was changed, some after."""
        home = a_home(100, 200)

        def one_tells(at):
            wants_each(home, digest=at % 2 == 0)
            tells(home, 0, 1)

        found = at_once([lambda at=at: one_tells(at) for at in range(20)])
        flushes()

        assert [one for one in found if one is not None] == []
        alone = [one.subject_ref for one in told() if one.event == "bill.ready"]
        inside = {one.subject_ref for one in rows(DigestEntry)}
        assert len(alone) == len({*alone})
        many = [one for one in told() if one.event == "bill.ready.many"]
        shown = [company for company in COMPANIES[:2] for one in told() if company in one.body]
        assert sorted(shown) == sorted(COMPANIES[:2])
        assert len(many) <= 1
        assert {*alone} | inside == {a_telling(home, at).subject_ref for at in (0, 1)}

    def test_what_comes_while_a_digest_is_told_is_lost_in_none(self):
        homes = [a_home(100, 200, 300, 400) for _ in range(4)]
        for home in homes:
            tells(home, 0, 1)

        late = [lambda home=home: tells(home, 2, 3, now=NOW + HOUR) for home in homes]
        found = at_once([*late, flushes, flushes])
        flushes(NOW + 2 * HOUR)
        flushes(NOW + 3 * HOUR)

        assert [one for one in found if isinstance(one, Exception)] == []
        for home in homes:
            bodies = "".join(one.body for one in told() if one.person_id == home.owner_id)
            assert [bodies.count(f"{company} {at}") for at, company in enumerate(COMPANIES)] == [
                1, 1, 1, 1,
            ]  # fmt: skip


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    minutes=st.lists(st.integers(0, 59), min_size=2, max_size=4),
    repeats=st.lists(st.integers(0, 3), max_size=3),
    cancelled=st.sets(st.integers(0, 3)),
)
def test_whatever_comes_within_the_hour_is_told_once_and_only_what_is_still_so(
    minutes, repeats, cancelled
):
    empty_city()
    home = a_home(*[100] * len(minutes))
    order = sorted(range(len(minutes)), key=lambda at: minutes[at])
    begins = minutes[order[0]]
    for at in [*order, *(at for at in repeats if at < len(minutes))]:
        tells(home, at, now=NOW + minutes[at] * MINUTE)
    gone = {at for at in cancelled if at < len(minutes)}
    for at in gone:
        home.cancel(at)

    flushes(NOW + begins * MINUTE + HOUR)

    left = {*range(len(minutes))} - gone
    notices = told()
    assert len(notices) == (1 if left else 0)
    if left:
        [notice] = notices
        assert notice.event == ("bill.ready" if len(left) == 1 else "bill.ready.many")
        listed = {at for at, company in enumerate(COMPANIES) if f"{company} {at}" in notice.body}
        assert listed == left or len(left) == 1
        if len(left) == 1:
            assert notice.subject_ref == a_telling(home, *left).subject_ref
