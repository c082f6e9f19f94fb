"""Told of invitations and of who came: masked, once, and not once it is over."""

import pytest
from sqlalchemy import text

from billing.homes import invitations
from billing.models import MemberRole
from core.db import transaction
from identity.people import get_person, set_name
from notifications import home_notices
from tests.factories import NOW, Home, a_home, a_person, join
from tests.notifications.events import URL, one_by_one, told
from workers.relay import FOLLOWS

pytestmark = pytest.mark.usefixtures("city")
TELLS = {"home.invited": home_notices.tell_invited, "home.joined": home_notices.tell_joined}


def tell_all() -> None:
    """Do each job that follows from what happened, twice."""
    with transaction() as session:
        news = session.execute(
            text("SELECT topic, subject_id FROM outbox_event WHERE topic LIKE 'home.%' ORDER BY id")
        ).all()
    for topic, number in news * 2:
        assert FOLLOWS[topic] == (f"notices.{topic.replace('.', '_')}",)
        with transaction() as session:
            TELLS[topic](session, int(number), public_url=URL, now=NOW)


def invited(home: Home, person_id: int) -> int:
    with transaction() as session:
        made = invitations.invite(
            session, home.owner_id, home.household_id,
            contact=get_person(session, person_id).contact or "", role=MemberRole.PAY, now=NOW,
        )  # fmt: skip
        return made.id or 0


def test_who_is_invited_is_told_by_whom_and_nothing_of_the_home():
    home, guest_id = a_home(100), a_person()
    one_by_one()
    invited(home, guest_id)

    tell_all()

    notices = told(like="home.%")
    assert {notice.person_id for notice in notices} == {guest_id}
    for notice in notices:
        assert notice.link == f"{URL}/household"
        assert "王*" in notice.title
        assert "see and pay the bills" in notice.body
        assert "汉口路" not in notice.title + notice.body
        assert "王珅" not in notice.title + notice.body


def test_somebody_who_came_is_told_to_all_who_manage():
    home, second_id, seeing_id = a_home(100), a_person(), a_person()
    guest_id = a_person(name="李小龙")
    join(home, second_id, MemberRole.MANAGE)
    join(home, seeing_id, MemberRole.SEE)
    one_by_one()
    number = invited(home, guest_id)
    tell_all()
    with transaction() as session:
        invitations.accept(session, guest_id, number, now=NOW)

    tell_all()

    notices = told(like="home.joined")
    assert {notice.person_id for notice in notices} == {home.owner_id, second_id}
    assert {notice.title for notice in notices} == {'李** has joined "汉口路"'}
    assert {notice.link for notice in notices} == {f"{URL}/household?home={home.household_id}"}


def test_who_has_no_name_yet_is_called_by_their_masked_contact():
    home, guest_id = a_home(100), a_person()
    number = invited(home, guest_id)
    with transaction() as session:
        set_name(session, guest_id, "")
        invitations.accept(session, guest_id, number, now=NOW)
        last = (get_person(session, guest_id).contact or "")[-4:]
    tell_all()
    assert all(f"+86****{last}" in notice.title for notice in told(like="home.joined"))


def test_an_invitation_that_was_withdrawn_meanwhile_is_not_told():
    home, guest_id = a_home(100), a_person()
    number = invited(home, guest_id)
    with transaction() as session:
        invitations.withdraw(session, home.owner_id, home.household_id, number, now=NOW)
    tell_all()
    assert told(like="home.%") == []
