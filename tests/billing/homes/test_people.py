"""Homes, the people in them, what each may do, and that somebody always manages."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from billing.homes import people
from billing.homes.households import find_household, list_households, visible_accounts
from billing.homes.pay_grants import may_pay
from billing.models import HomeKind, Household, HouseholdMember, MemberRole
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound, TooMany
from tests.conftest import NOW
from tests.factories import Home, a_home, a_person, at_once, join

pytestmark = pytest.mark.usefixtures("city")
LONG_AGO = utc_now().date() - timedelta(days=400)
FAR = utc_now().date() + timedelta(days=400)


def roles_of(home: Home) -> dict[int, MemberRole]:
    with transaction() as session:
        rows = session.exec(
            select(HouseholdMember.person_id, HouseholdMember.role).where(
                HouseholdMember.household_id == home.household_id
            )
        )
        return {person_id: MemberRole(role) for person_id, role in rows}


def days_of(home: Home, person_id: int, *, from_on=None, until_on=None) -> None:
    with transaction() as session:
        row = session.get_one(HouseholdMember, (home.household_id, person_id))
        row.from_on, row.until_on = from_on, until_on


class TestHomes:
    def test_a_person_has_as_many_homes_as_they_make(self, now):
        home = a_home(100)
        with transaction() as session:
            made = people.add_home(
                session, home.owner_id, name=" 爸妈家 ", kind=HomeKind.PARENTS, now=now
            )

        with transaction() as session:
            assert [
                (one.home.name, one.role) for one in people.list_standings(session, home.owner_id)
            ][1:] == [("爸妈家", MemberRole.MANAGE)]
            assert session.get_one(Household, made.id).kind is HomeKind.PARENTS

    @pytest.mark.parametrize("name", ["", "  ", "长" * 41, "a\u200b\nb"[:2] + "\x07"])
    def test_a_name_has_one_to_forty_characters(self, now, name):
        with transaction() as session, pytest.raises(Invalid):
            people.add_home(session, a_person(), name=name, kind=HomeKind.OWN, now=now)

    def test_twenty_homes_are_the_most(self, now):
        person_id = a_person()
        with transaction() as session:
            for number in range(people.MOST_HOMES):
                people.add_home(session, person_id, name=f"家{number}", kind=HomeKind.OWN, now=now)
            with pytest.raises(TooMany):
                people.add_home(session, person_id, name="多", kind=HomeKind.OWN, now=now)

    def test_accounts_are_seen_of_all_homes_or_of_one(self, now):
        first, second = a_home(100), a_home(200)
        join(second, first.owner_id, MemberRole.SEE)

        with transaction() as session:
            mine = visible_accounts(session, first.owner_id)
            assert set(mine) == {first.refs[0][0], second.refs[0][0]}
            of_one = visible_accounts(session, first.owner_id, household_id=second.household_id)
            assert set(of_one) == {second.refs[0][0]}
            assert not visible_accounts(
                session, first.owner_id, to_pay=True, household_id=second.household_id
            )

    def test_of_somebody_elses_home_nothing_is_seen(self):
        other = a_home(100)
        with transaction() as session:
            assert not visible_accounts(session, a_person(), household_id=other.household_id)

    def test_a_home_is_removed_once_it_is_empty(self, now):
        home = a_home(100)
        with transaction() as session:
            empty = people.add_home(session, home.owner_id, name="空", kind=HomeKind.LET, now=now)
        with transaction() as session, pytest.raises(Conflict) as refused:
            people.remove_home(session, home.owner_id, home.household_id, now=now)
        assert refused.value.code == "home.not_empty"

        with transaction() as session:
            people.remove_home(session, home.owner_id, empty.id or 0, now=now)
        with transaction() as session:
            mine = [one.id for one in list_households(session, home.owner_id)]
            assert mine == [home.household_id]


class TestRoles:
    @pytest.mark.parametrize("role", [MemberRole.SEE, MemberRole.PAY])
    def test_only_who_manages_changes_anything(self, now, role):
        home, member_id = a_home(100), a_person()
        join(home, member_id, role)
        acts = [
            lambda s: people.rename(s, member_id, home.household_id, "我的"),
            lambda s: people.remove(s, member_id, home.household_id, home.owner_id),
            lambda s: people.change_role(
                s, member_id, home.household_id, member_id, role=MemberRole.MANAGE, now=now
            ),
            lambda s: people.remove_home(s, member_id, home.household_id, now=now),
        ]
        for act in acts:
            with transaction() as session, pytest.raises(NotAllowed):
                act(session)
        assert roles_of(home) == {home.owner_id: MemberRole.MANAGE, member_id: role}

    def test_a_stranger_is_told_that_there_is_no_such_home(self):
        home = a_home(100)
        with transaction() as session, pytest.raises(NotFound):
            people.rename(session, a_person(), home.household_id, "我的")

    def test_a_role_holds_at_once(self, now):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.SEE)
        with transaction() as session:
            assert not may_pay(session, member_id, home.refs, now=now)
            people.change_role(
                session, home.owner_id, home.household_id, member_id, role=MemberRole.PAY, now=now
            )
            assert may_pay(session, member_id, home.refs, now=now)

    def test_who_is_taken_out_sees_nothing(self, now):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.PAY)
        with transaction() as session:
            people.remove(session, home.owner_id, home.household_id, member_id)
        with transaction() as session:
            assert not visible_accounts(session, member_id)
            assert not may_pay(session, member_id, home.refs, now=now)


class TestDays:
    """A tenant's lease."""

    @pytest.mark.parametrize(
        ("from_on", "until_on", "sees"),
        [
            (None, None, True), (LONG_AGO, None, True), (LONG_AGO, FAR, True),
            (FAR, None, False), (None, LONG_AGO, False), (LONG_AGO, LONG_AGO, False),
        ],
    )  # fmt: skip
    def test_access_is_of_its_days_alone(self, now, from_on, until_on, sees):
        home, tenant_id = a_home(100), a_person()
        join(home, tenant_id, MemberRole.PAY)
        days_of(home, tenant_id, from_on=from_on, until_on=until_on)

        with transaction() as session:
            assert bool(visible_accounts(session, tenant_id)) is sees
            assert bool(visible_accounts(session, tenant_id, to_pay=True)) is sees
            assert may_pay(session, tenant_id, home.refs, now=now) is sees
            assert bool(list_households(session, tenant_id)) is sees
            assert (find_household(session, tenant_id) is not None) is sees

    def test_the_last_day_is_still_theirs(self, session):
        stands = "SELECT stands_today(d, d) FROM (SELECT (now() AT TIME ZONE 'Asia/Shanghai')::date"
        beside = session.execute(
            text(f"{stands} + n AS d FROM generate_series(-1, 1) n ORDER BY n) days")
        )
        assert beside.scalars().all() == [False, True, False]

    def test_who_manages_has_no_last_day(self, now):
        home = a_home(100)
        with transaction() as session, pytest.raises(Invalid):
            people.change_role(
                session, home.owner_id, home.household_id, home.owner_id,
                role=MemberRole.MANAGE, until_on=FAR, now=now,
            )  # fmt: skip
        with pytest.raises(IntegrityError, match="manages_for_good"):
            days_of(home, home.owner_id, until_on=FAR)

    def test_a_last_day_before_the_first_is_refused(self, now):
        today = billing_date(now)
        for from_on, until_on in [(None, today - timedelta(days=1)), (FAR, today)]:
            with pytest.raises(Invalid):
                people.check_days(MemberRole.PAY, from_on, until_on, now=now)
        people.check_days(MemberRole.PAY, today, today, now=now)

    def test_who_has_left_is_still_in_the_list_as_over(self, now):
        home, tenant_id = a_home(100), a_person()
        join(home, tenant_id, MemberRole.PAY)
        days_of(home, tenant_id, until_on=LONG_AGO)
        with transaction() as session:
            listed = people.list_members(session, home.household_id, now=now)
        assert [(one.person_id, one.over) for one in listed] == [
            (home.owner_id, False), (tenant_id, True)
        ]  # fmt: skip


class TestSomebodyManages:
    def test_the_last_manager_cannot_leave_or_step_down(self, now):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.PAY)
        acts = [
            lambda s: people.leave(s, home.owner_id, home.household_id),
            lambda s: people.remove(s, home.owner_id, home.household_id, home.owner_id),
            lambda s: people.change_role(
                s, home.owner_id, home.household_id, home.owner_id, role=MemberRole.SEE, now=now
            ),
        ]
        for act in acts:
            with transaction() as session, pytest.raises(Conflict) as refused:
                act(session)
            assert refused.value.code == "home.last_manager"

    def test_of_two_managers_who_leave_at_once_one_stays(self):
        for _ in range(5):
            home, second_id = a_home(100), a_person()
            join(home, second_id, MemberRole.MANAGE)

            def leave(person_id: int, home: Home = home) -> None:
                with transaction() as session:
                    people.leave(session, person_id, home.household_id)

            went = at_once([lambda p=p: leave(p) for p in (home.owner_id, second_id)])

            assert sorted(type(one).__name__ for one in went) == ["Conflict", "NoneType"]
            assert list(roles_of(home).values()) == [MemberRole.MANAGE]

    def test_the_database_holds_to_it_where_nobody_asks_first(self):
        """Rows deleted side by side: the trigger waits for the first, and refuses the second."""
        for _ in range(5):
            home, second_id = a_home(100), a_person()
            join(home, second_id, MemberRole.MANAGE)

            def delete(person_id: int) -> None:
                with transaction() as session:
                    session.execute(
                        text("DELETE FROM household_member WHERE person_id = :id"),
                        {"id": person_id},
                    )

            went = at_once([lambda p=p: delete(p) for p in (home.owner_id, second_id)])

            assert sorted(type(one).__name__ for one in went) == ["IntegrityError", "NoneType"]
            assert len(roles_of(home)) == 1

    @settings(max_examples=15)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["leave", "out", "see", "pay", "manage"]),
                st.integers(0, 2),
                st.integers(0, 2),
            ),
            max_size=8,
        )
    )
    def test_whatever_people_do_somebody_manages(self, acts):
        home = a_home(100)
        who = [home.owner_id, a_person(), a_person()]
        join(home, who[1], MemberRole.MANAGE)
        join(home, who[2], MemberRole.SEE)
        for what, by, whom in acts:
            try:
                with transaction() as session:
                    if what == "leave":
                        people.leave(session, who[by], home.household_id)
                    elif what == "out":
                        people.remove(session, who[by], home.household_id, who[whom])
                    else:
                        people.change_role(
                            session, who[by], home.household_id, who[whom],
                            role=MemberRole(what), now=NOW,
                        )  # fmt: skip
            except CityBillError:
                continue
            assert MemberRole.MANAGE in roles_of(home).values()
