"""Permits of WeChat: as many messages as somebody said yes to, and not one more."""

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from core.db import transaction
from notifications import permits
from notifications.channels.base import Message, NotPermitted, Template
from notifications.channels.wechat_push import Permission
from notifications.choice.models import ContactPoint
from notifications.models import WechatPermit
from tests.conftest import NOW
from tests.factories import a_person
from tests.notifications.channels.test_wechat import VALUES, account
from tests.notifications.channels.wechat_far import TEMPLATE, WechatTown

OPENID = "otFpruAK8D-E6EfStSYonYSBZ8_4"
SENDS = int(os.environ.get("PERMIT_SENDS", "300"))


@pytest.fixture
def person(city: str) -> int:
    return a_person()


def granted(person: int, *, times: int = 1, long_term: bool = False) -> None:
    with transaction() as session:
        for _ in range(times):
            permits.grant(session, person, TEMPLATE, now=NOW, long_term=long_term)


def take(person: int) -> bool:
    with transaction() as session:
        return permits.take_one(session, person, TEMPLATE)


def left(person: int) -> int:
    with transaction() as session:
        return session.exec(
            select(WechatPermit.left_count).where(WechatPermit.person_id == person)
        ).one()


class TestOneYesIsOneMessage:
    def test_without_a_yes_there_is_none(self, person):
        assert not take(person)

    def test_each_is_good_once(self, person):
        granted(person, times=2)

        assert [take(person) for _ in range(3)] == [True, True, False]

    def test_it_is_of_one_template(self, person):
        granted(person)

        with transaction() as session:
            assert not permits.take_one(session, person, "another")

    def test_a_long_term_one_has_no_end(self, person):
        granted(person, long_term=True, times=3)

        assert all(take(person) for _ in range(5))
        assert left(person) == 1

    def test_what_wechat_surely_did_not_take_is_given_back(self, person):
        granted(person)
        take(person)

        with transaction() as session:
            permits.give_back(session, person, TEMPLATE)

        assert take(person)

    @pytest.mark.parametrize("long_term", [False, True])
    def test_wechat_is_believed_when_it_says_that_none_is_left(self, person, long_term):
        granted(person, times=3, long_term=long_term)

        with transaction() as session:
            permits.none_left(session, person, TEMPLATE)

        assert not take(person)

    def test_after_a_new_yes_it_goes_on(self, person):
        granted(person, long_term=True)
        with transaction() as session:
            permits.none_left(session, person, TEMPLATE)

        granted(person, long_term=True)

        assert take(person)

    def test_the_database_refuses_fewer_than_none(self, person):
        granted(person)

        with pytest.raises(IntegrityError, match="never_over_used"), transaction() as session:
            session.execute(text("UPDATE wechat_permit SET left_count = -1"))


class TestWhatWechatSays:
    @pytest.fixture
    def reader(self, person: int) -> int:
        with transaction() as session:
            session.add(ContactPoint(
                person_id=person, channel="wechat", address=OPENID, made_at=NOW,
                address_hash=hashlib.sha256(OPENID.encode()).hexdigest(),
            ))  # fmt: skip
        return person

    def told(self, *said: Permission) -> None:
        with transaction() as session:
            permits.note(session, said, now=NOW)

    def test_a_yes_is_a_permit_of_whose_openid_it_is(self, reader):
        self.told(Permission(OPENID, TEMPLATE, allowed=True))

        assert [take(reader), take(reader)] == [True, False]

    def test_a_yes_to_a_long_term_template_holds(self, reader):
        self.told(Permission(OPENID, TEMPLATE, allowed=True, long_term=True))

        assert [take(reader), take(reader)] == [True, True]

    def test_a_no_ends_them(self, reader):
        granted(reader, times=2)

        self.told(Permission(OPENID, TEMPLATE, allowed=False))

        assert not take(reader)

    def test_of_nobody_we_know_nothing_is_noted(self, person):
        self.told(Permission("oSomebodyElse", TEMPLATE, allowed=True))

        assert not take(person)


def test_however_many_send_at_once_no_permit_is_used_twice(person):
    """N-17. ``PERMIT_SENDS=10000`` runs it whole."""
    yes = SENDS // 3
    granted(person, times=yes)
    town = WechatTown()
    town.permits[OPENID] = yes
    carrier = account(town, kind="service")

    def send(number: int) -> str:
        if not take(person):
            return "not asked"
        message = Message(
            message_id=f"notice-{number}", address=OPENID, title="缴费回执", body="",
            template=Template(TEMPLATE, VALUES),
        )  # fmt: skip
        try:
            carrier.send(message)
        except NotPermitted:
            return "over-used"
        return "sent"

    with ThreadPoolExecutor(12) as pool:
        became = Counter(pool.map(send, range(SENDS)))
    carrier.close()
    town.close()

    assert became == {"sent": yes, "not asked": SENDS - yes}
    assert town.refused[43101] == 0
    assert left(person) == 0
