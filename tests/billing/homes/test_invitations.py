"""Being invited into a home: by whom, how often, for how long, and what nobody learns by it."""

from datetime import timedelta
from functools import partial

import pytest
from sqlmodel import select

from billing.homes import invitations, people
from billing.homes.households import visible_accounts
from billing.homes.invitations import HomeInvitation, InvitationState
from billing.models import HouseholdMember, MemberRole
from core.db import transaction
from core.errors import Conflict, Invalid, NotAllowed, NotFound, TooMany
from core.outbox import OutboxEvent
from identity.models import Person
from identity.people import find_person, get_person
from tests.conftest import NOW
from tests.factories import Home, a_home, a_person, at_once, join

pytestmark = pytest.mark.usefixtures("city")
DAY = timedelta(days=1)
WEEK = invitations.LASTS


def contact_of(person_id: int) -> str:
    with transaction() as session:
        return get_person(session, person_id).contact or ""


def invited(
    home: Home, contact: str, role: MemberRole = MemberRole.PAY, *, by=None, now=NOW, **days
) -> int:
    with transaction() as session:
        made = invitations.invite(
            session, by or home.owner_id, home.household_id, contact=contact, role=role, now=now,
            **days,
        )  # fmt: skip
        return made.id or 0


def accept(person_id: int, invitation_id: int, *, now=NOW) -> int:
    with transaction() as session:
        return invitations.accept(session, person_id, invitation_id, now=now)


def state_of(invitation_id: int) -> InvitationState:
    with transaction() as session:
        return InvitationState(session.get_one(HomeInvitation, invitation_id).state)


def waiting(person_id: int, *, now=NOW) -> list[int]:
    with transaction() as session:
        return [one.id for one in invitations.list_waiting(session, person_id, now=now)]


class TestComingIn:
    @pytest.mark.parametrize(
        ("role", "pays"),
        [(MemberRole.SEE, False), (MemberRole.PAY, True), (MemberRole.MANAGE, True)],
    )
    def test_who_accepts_has_the_role_they_were_invited_with(self, role, pays):
        home, guest_id = a_home(100), a_person()
        number = invited(home, contact_of(guest_id), role)
        assert waiting(guest_id) == [number]

        assert accept(guest_id, number) == home.household_id

        with transaction() as session:
            assert set(visible_accounts(session, guest_id)) == {home.refs[0][0]}
            assert bool(visible_accounts(session, guest_id, to_pay=True)) is pays
        assert waiting(guest_id) == []

    def test_until_they_accept_they_see_nothing(self):
        home, guest_id = a_home(100), a_person()
        invited(home, contact_of(guest_id))
        with transaction() as session:
            assert not visible_accounts(session, guest_id)

    def test_accepted_twice_at_once_it_is_accepted_once(self):
        home, guest_id = a_home(100), a_person()
        number = invited(home, contact_of(guest_id))

        found = at_once([lambda: accept(guest_id, number)] * 3)

        assert found == [home.household_id] * 3
        with transaction() as session:
            joined = select(OutboxEvent).where(OutboxEvent.topic == "home.joined")
            assert len(session.exec(joined).all()) == 1

    def test_a_lease_comes_with_its_days(self):
        home, tenant_id = a_home(100), a_person()
        first_on, last_on = NOW.date() - DAY, NOW.date() + 365 * DAY
        number = invited(home, contact_of(tenant_id), from_on=first_on, until_on=last_on)
        accept(tenant_id, number)
        with transaction() as session:
            row = session.get_one(HouseholdMember, (home.household_id, tenant_id))
            assert (row.from_on, row.until_on) == (first_on, last_on)

    def test_somebody_new_is_entered_and_can_sign_in(self):
        home = a_home(100)
        number = invited(home, " +86 139-0000-0001 ")
        with transaction() as session:
            new = find_person(session, "+8613900000001")
        assert new is not None
        assert waiting(new.id or 0) == [number]


class TestRefusals:
    @pytest.mark.parametrize("role", [MemberRole.SEE, MemberRole.PAY])
    def test_only_who_manages_invites(self, role):
        home, member_id = a_home(100), a_person()
        join(home, member_id, role)
        with pytest.raises(NotAllowed):
            invited(home, "+8613900000002", by=member_id)
        with transaction() as session:
            assert find_person(session, "+8613900000002") is None

    def test_a_strangers_home_is_none(self):
        with pytest.raises(NotFound):
            invited(a_home(100), "+8613900000002", by=a_person())

    @pytest.mark.parametrize("contact", ["", "somebody", "a@b,c@d", "@"])
    def test_a_contact_is_a_phone_or_an_address(self, contact):
        with pytest.raises(Invalid):
            invited(a_home(100), contact)

    def test_a_member_is_not_invited_again(self):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.SEE)
        with pytest.raises(Conflict) as refused:
            invited(home, contact_of(member_id))
        assert refused.value.code == "home.member_already"

    def test_nobody_accepts_another_persons_invitation(self):
        home, guest_id = a_home(100), a_person()
        number = invited(home, contact_of(guest_id))
        with pytest.raises(NotFound):
            accept(a_person(), number)
        assert state_of(number) is InvitationState.WAITING

    def test_withdrawn_or_a_week_old_it_is_over(self):
        home, guest_id = a_home(100), a_person()
        first = invited(home, contact_of(guest_id))
        with transaction() as session:
            invitations.withdraw(session, home.owner_id, home.household_id, first, now=NOW)
        with pytest.raises(Conflict):
            accept(guest_id, first)
        second = invited(home, contact_of(guest_id))
        assert waiting(guest_id, now=NOW + WEEK) == []
        with pytest.raises(Conflict):
            accept(guest_id, second, now=NOW + WEEK)

    def test_who_no_longer_manages_invites_nobody_in(self):
        home, second_id, guest_id = a_home(100), a_person(), a_person()
        join(home, second_id, MemberRole.MANAGE)
        number = invited(home, contact_of(guest_id), by=second_id)
        with transaction() as session:
            people.remove(session, home.owner_id, home.household_id, second_id)
        with pytest.raises(Conflict):
            accept(guest_id, number)

    def test_ten_a_day_are_the_most(self):
        home = a_home(100)
        for number in range(invitations.MOST_A_DAY):
            invited(home, f"+86138000000{number:02d}")
        with pytest.raises(TooMany):
            invited(home, "+8613700000000")
        invited(home, "+8613700000000", now=NOW + DAY)

    def test_ten_a_day_are_the_most_also_over_several_homes_at_once(self):
        homes, by = [a_home(100) for _ in range(4)], a_person()
        for home in homes:
            join(home, by, MemberRole.MANAGE)

        def ask(number: int) -> str:
            with transaction() as session:
                invitations.invite(
                    session, by, homes[number % 4].household_id,
                    contact=f"+86138000000{number:02d}", role=MemberRole.SEE, now=NOW,
                )  # fmt: skip
            return "invited"

        found = at_once([partial(ask, number) for number in range(14)])

        assert found.count("invited") == invitations.MOST_A_DAY
        assert {type(one) for one in found} == {str, TooMany}

    def test_nobody_is_pestered(self):
        home, guest_id = a_home(100), a_person()
        for _ in range(invitations.MOST_TO_ONE):
            number = invited(home, contact_of(guest_id))
            with transaction() as session:
                invitations.decline(session, guest_id, number, now=NOW)
        with pytest.raises(TooMany) as refused:
            invited(home, contact_of(guest_id))
        assert refused.value.code == "home.invited_often"


class TestWhatIsLearnt:
    def test_the_same_comes_back_whether_anybody_has_the_contact(self):
        home, known_id = a_home(100), a_person()
        invited(home, contact_of(known_id))
        invited(home, "+8613900000003")
        with transaction() as session:
            shown = invitations.list_invited(session, home.household_id, now=NOW)
        assert {one.contact_masked for one in shown} == {
            contact_of(known_id)[:3] + "****" + contact_of(known_id)[-4:], "+86****0003",
        }  # fmt: skip
        assert {(one.role, one.expires_at) for one in shown} == {(MemberRole.PAY, NOW + WEEK)}

    def test_asked_again_while_it_waits_it_is_the_same_and_told_once(self):
        home, guest_id = a_home(100), a_person()
        assert invited(home, contact_of(guest_id)) == invited(home, contact_of(guest_id))
        with transaction() as session:
            told = select(OutboxEvent).where(OutboxEvent.topic == "home.invited")
            assert len(session.exec(told).all()) == 1

    def test_asked_twice_at_once_one_waits(self):
        home, guest_id = a_home(100), a_person()
        contact = contact_of(guest_id)
        assert len({*at_once([lambda: invited(home, contact)] * 3)}) == 1


class TestThoseWhoNeverCame:
    def ended(self, *, now) -> list[int]:
        with transaction() as session:
            return invitations.end_old(session, limit=100, now=now)

    def test_of_who_was_entered_and_never_came_nothing_is_kept_after_the_week(self):
        home, known_id = a_home(100), a_person()
        number = invited(home, "+8613900000004")
        invited(home, contact_of(known_id))
        with transaction() as session:
            new = find_person(session, "+8613900000004")
            assert new is not None
        assert self.ended(now=NOW + WEEK - DAY) == []

        assert self.ended(now=NOW + WEEK) == [new.id]
        assert state_of(number) is InvitationState.EXPIRED

    def test_who_came_stays(self):
        home = a_home(100)
        number = invited(home, "+8613900000005")
        with transaction() as session:
            new = session.exec(select(Person).where(Person.contact == "+8613900000005")).one()
        accept(new.id or 0, number)
        assert self.ended(now=NOW + 2 * WEEK) == []

    def test_who_accepted_and_left_again_is_nobody_who_never_came(self):
        home, other = a_home(100), a_home(200)
        number = invited(home, "+8613900000006")
        with transaction() as session:
            came = find_person(session, "+8613900000006")
            assert came is not None
        accept(came.id or 0, number)
        with transaction() as session:
            people.leave(session, came.id or 0, home.household_id)
        invited(other, "+8613900000006")

        assert self.ended(now=NOW + WEEK) == []

    def test_who_was_here_before_anybody_invited_them_is_nobody_who_never_came(self):
        known_id = a_person()
        with transaction() as session:
            person = get_person(session, known_id)
            person.name, person.created_at = "", NOW - DAY
        invited(a_home(100), contact_of(known_id))

        assert self.ended(now=NOW + WEEK) == []

    def test_who_is_invited_again_meanwhile_is_asked_for_anew(self):
        invited(a_home(100), "+8613900000007")
        (person_id,) = self.ended(now=NOW + WEEK)
        with transaction() as session:
            assert invitations.never_came(session, person_id, now=NOW + WEEK)
        invited(a_home(200), "+8613900000007", now=NOW + WEEK)

        with transaction() as session:
            assert not invitations.never_came(session, person_id, now=NOW + WEEK)
