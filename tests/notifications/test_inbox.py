"""An inbox: newest first, page by page, one's own, and read once it was shown."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from core.db import transaction
from identity.models import Person
from notifications.catalogue import Subject
from notifications.inbox import MANY, AlsoSent, also_sent, count_unread, list_inbox, mark_read
from notifications.models import Notice, NoticeState
from notifications.telling import Telling, tell_all
from tests.conftest import NOW
from tests.factories import a_person

pytestmark = pytest.mark.usefixtures("city")


def tells(person_id, *subject_refs, event="payment.receipt", now=NOW):
    with transaction() as session:
        person = session.get_one(Person, person_id)
        tellings = [Telling(event=event, person=person, subject_ref=ref) for ref in subject_refs]
        tell_all(session, tellings, now=now)


def refs(person_id, **how):
    with transaction() as session:
        return [one.subject_ref for one in list_inbox(session, person_id, **how)]


def test_newest_first_and_ones_own():
    person, other = a_person(), a_person()
    tells(person, "1", now=NOW - timedelta(hours=1))
    tells(person, "2", "3")
    tells(other, "4")

    assert refs(person) == ["3", "2", "1"]


def test_page_by_page_none_twice_and_none_left_out():
    person = a_person()
    tells(person, *"12345")  # all of one moment
    tells(person, "0", now=NOW - timedelta(hours=1))
    found, after = [], None

    while len(found) < 6:
        with transaction() as session:
            [one] = list_inbox(session, person, after=after, limit=1)
        found, after = [*found, one.subject_ref], one.id

    assert found == ["5", "4", "3", "2", "1", "0"]
    assert refs(person, after=after) == []


def test_anothers_notice_leads_to_no_page():
    person, other = a_person(), a_person()
    tells(person, "1")
    tells(other, "2")
    with transaction() as session:
        [others] = list_inbox(session, other)

    assert refs(person, after=others.id) == []


def test_only_what_is_about_a_subject():
    person = a_person()
    tells(person, "1")
    tells(person, "2", event="bill.missing")

    assert refs(person, subject=Subject.BILLS) == ["2"]
    assert refs(person, subject=Subject.OUTAGES) == []


def test_what_was_shown_is_read_and_stays_read_as_of_then():
    person = a_person()
    tells(person, "1", "2")
    for at in (NOW, NOW + timedelta(hours=1)):
        with transaction() as session:
            mark_read(session, list_inbox(session, person, limit=1), now=at)

    with transaction() as session:
        shown, other = list_inbox(session, person)
        assert (shown.read_at, shown.state, shown.state_at) == (NOW, NoticeState.READ, NOW)
        assert (other.read_at, other.state) == (None, NoticeState.DELIVERED)
        assert count_unread(session, person) == 1


def test_very_many_are_not_all_counted():
    person = a_person()
    tells(person, *(str(at) for at in range(MANY + 20)))

    with transaction() as session:
        assert count_unread(session, person) == MANY + 1


def test_which_other_ways_it_went_with_addresses_masked():
    person = a_person()
    tells(person, "1", "2")
    with transaction() as session:
        email = session.get_one(Person, person).email
        session.execute(
            text("UPDATE notice SET state = 'accepted', accepted_at = :now"
                 " WHERE channel = 'email' AND subject_ref = '1'"), {"now": NOW},
        )  # fmt: skip

    with transaction() as session:
        second, first = list_inbox(session, person)
        found = also_sent(session, [first, second])

    assert found == {first.id: [AlsoSent("email", f"{email[0]}***@city.example")]}
    with transaction() as session:
        assert len(list(session.exec(select(Notice)))) == 6
