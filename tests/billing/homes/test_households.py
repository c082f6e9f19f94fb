"""Whose bills somebody sees, and whose they may pay."""

import pytest
from sqlalchemy import text

from billing.homes.households import (
    bind_accounts,
    create_household,
    find_household,
    visible_accounts,
)
from billing.models import MemberRole
from core.db import transaction
from tests.factories import a_home, a_person, at_once, join


def seen_by(person_id: int, *, to_pay: bool = False) -> set[int]:
    with transaction() as session:
        return set(visible_accounts(session, person_id, to_pay=to_pay))


@pytest.mark.usefixtures("city")
class TestMembers:
    """What systems suffer where only the account holder can see or pay."""

    @pytest.mark.parametrize(
        ("role", "pays"),
        [(MemberRole.SEE, False), (MemberRole.PAY, True), (MemberRole.MANAGE, True)],
    )
    def test_a_member_sees_everything_and_pays_by_their_role(self, role, pays):
        home, member_id = a_home(100, 200), a_person()
        join(home, member_id, role)

        all_of_it = {ref[0] for ref in home.refs}
        assert seen_by(member_id) == all_of_it
        assert seen_by(member_id, to_pay=True) == (all_of_it if pays else set())

    def test_the_owner_keeps_seeing_what_a_second_member_sees(self):
        home = a_home(100, 200)
        join(home, a_person(), MemberRole.SEE)

        assert seen_by(home.owner_id, to_pay=True) == {ref[0] for ref in home.refs}

    def test_a_stranger_sees_nothing(self):
        a_home(100, 200)

        assert seen_by(a_person()) == set()

    def test_a_role_in_one_household_opens_no_other(self):
        seeing, paying, member_id = a_home(100), a_home(200), a_person()
        join(seeing, member_id, MemberRole.SEE)
        join(paying, member_id, MemberRole.PAY)

        assert seen_by(member_id) == {seeing.refs[0][0], paying.refs[0][0]}
        assert seen_by(member_id, to_pay=True) == {paying.refs[0][0]}

    def test_an_account_of_two_households_of_one_person_is_seen_once(self, now):
        home = a_home(100)
        with transaction() as session:
            second = create_household(session, name="别墅", owner_id=home.owner_id, now=now)
            bind_accounts(session, second.id, [(home.companies[0], home.account_nos[0])], now=now)

        assert seen_by(home.owner_id) == {home.refs[0][0]}
        with transaction() as session:
            assert find_household(session, home.owner_id).id == home.household_id


@pytest.mark.usefixtures("city")
class TestBinding:
    def test_binding_twice_binds_once(self, now):
        home = a_home(100)

        with transaction() as session:
            again = bind_accounts(
                session, home.household_id, [(home.companies[0], home.account_nos[0])], now=now
            )

        assert again == 0
        assert seen_by(home.owner_id) == {home.refs[0][0]}

    def test_an_account_no_company_has_billed_is_not_bound(self, now):
        home = a_home(100)

        with transaction() as session:
            pairs = [("water", "no such"), ("gas", home.account_nos[0])]  # another company's number
            assert bind_accounts(session, home.household_id, pairs, now=now) == 0

    def test_ten_threads_bind_an_account_once(self, now):
        home, other = a_home(100), a_home(200)

        def bind() -> int:
            with transaction() as session:
                pair = (other.companies[0], other.account_nos[0])
                return bind_accounts(session, home.household_id, [pair], now=now)

        assert sorted(at_once([bind] * 10)) == [0] * 9 + [1]
        with transaction() as session:
            rows = session.execute(text("SELECT count(*) FROM household_account")).scalar_one()
            assert rows == 3
