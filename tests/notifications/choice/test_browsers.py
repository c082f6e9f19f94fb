"""Browsers that show notices: whose they are, and how many."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlmodel import col, select

from core.db import transaction
from core.errors import Conflict
from notifications.channels.base import AddressGone
from notifications.choice.browsers import MOST_BROWSERS, keep_browser
from notifications.choice.models import ContactPoint
from notifications.choice.preferences import list_points, remove_point
from notifications.models import NoticeState
from tests.factories import a_person
from tests.notifications.channels.push_far import FarBrowser
from tests.notifications.far import Far, a_notice, hand_over, the_notice
from tests.notifications.far import a_person as a_resident

pytestmark = pytest.mark.usefixtures("city")
NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)


def an_address(name="a"):
    return FarBrowser().subscription(f"https://fcm.googleapis.com/fcm/send/{name}")


def keep(person_id, address, label="Chrome"):
    with transaction() as session:
        return keep_browser(session, person_id, address, label=label, now=NOW).id


def points(person_id):
    with transaction() as session:
        return [(one.id, one.label) for one in list_points(session, person_id)]


def ended():
    with transaction() as session:
        gone = select(ContactPoint).where(col(ContactPoint.gone_at).is_not(None))
        return [(one.person_id, one.gone_reason) for one in session.exec(gone)]


def test_once_more_is_the_same_with_todays_label():
    person, address = a_person(), an_address()

    first = keep(person, address)
    second = keep(person, address, "Chrome 2")

    assert first == second
    assert points(person) == [(first, "Chrome 2")]


def test_who_sits_before_it_now_has_it_and_the_other_no_longer():
    ann, bob, address = a_person(), a_person(), an_address()
    keep(ann, address)

    moved = keep(bob, address)

    assert points(ann) == []
    assert points(bob) == [(moved, "Chrome")]
    assert ended() == [(ann, "moved")]


def test_it_may_come_back():
    ann, bob, address = a_person(), a_person(), an_address()
    first = keep(ann, address)
    keep(bob, address)

    again = keep(ann, address)

    assert again != first
    assert [one for one, _ in points(ann)] == [again]


def test_one_that_was_removed_is_not_there_until_it_is_kept_again():
    person, address = a_person(), an_address()
    first = keep(person, address)
    with transaction() as session:
        remove_point(session, person, first, now=NOW)

    assert points(person) == []
    assert keep(person, address) != first


def test_ten_are_the_most_and_one_of_them_is_still_kept():
    person = a_person()
    addresses = [an_address(str(n)) for n in range(MOST_BROWSERS)]
    for address in addresses:
        keep(person, address)

    with pytest.raises(Conflict) as refused:
        keep(person, an_address("one more"))

    assert refused.value.code == "push.too_many"
    assert keep(person, addresses[0])
    assert len(points(person)) == MOST_BROWSERS


def test_ten_are_the_most_however_many_are_kept_at_once():
    person = a_person()

    def one(n):
        try:
            return keep(person, an_address(str(n)))
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as many:
        kept = [one for one in many.map(one, range(MOST_BROWSERS + 6)) if one]

    assert len(kept) == len(points(person)) == MOST_BROWSERS


def test_a_browser_is_one_persons_whoever_asks_at_once():
    people, address = [a_person() for _ in range(6)], an_address()

    with ThreadPoolExecutor(6) as many:
        list(many.map(lambda person: keep(person, address), people))

    assert sum(len(points(person)) for person in people) == 1
    assert len(ended()) == 5


def test_a_browser_that_is_gone_is_forgotten_when_it_is_sent_to():
    """N-16: what its push service says is gone, is."""
    person = a_resident(NOW)
    keep(person.id, an_address())
    notice = a_notice(person, NOW, channel="push", address="")

    hand_over(Far("push", AddressGone("gone")), now=NOW)

    assert points(person.id) == []
    assert ended() == [(person.id, "carrier")]
    assert the_notice(notice).state is NoticeState.FAILED
