"""What a home page looks at once is what its parts, looked at one by one, say."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.homes.at_home import look_at_home
from billing.homes.households import visible_accounts
from billing.homes.people import list_standings
from billing.models import MemberRole
from core.clock import billing_date, utc_now
from core.db import transaction
from core.errors import NotFound
from tests.factories import a_home, a_person, join

pytestmark = pytest.mark.usefixtures("city")


def write(sql, *rows):
    with transaction() as session:
        for values in rows:
            session.execute(text(sql), values)


def bind_too(home, other):
    """Let a home also have an account of another."""
    write(
        "INSERT INTO household_account (household_id, account_id, bound_at) "
        "VALUES (:home, :account, now())",
        {"home": home.household_id, "account": other.refs[0][0]},
    )


def some_days(dice):
    """A first and a last day, in order; either may be missing."""
    days = sorted(dice.choices(range(-400, 40), k=2))
    today = billing_date(utc_now())
    first_on, last_on = (dice.choice([None, today + timedelta(one)]) for one in days)
    return {"first_on": first_on, "last_on": last_on}


def change_days(dice, homes, person_id):
    """Let somebody see or pay in homes of others, and all have their accounts, for any days."""
    stays = [some_days(dice) | {"home": home.household_id} for home in homes[1:]]
    write(
        "UPDATE household_member SET role = :role, from_on = :first_on, until_on = :last_on,"
        " earlier_bills = :earlier WHERE household_id = :home AND person_id = :person",
        *(
            days | {
                "person": person_id, "role": dice.choice(["see", "pay"]),
                "earlier": days["first_on"] is None or dice.random() < 0.5,
            }
            for days in stays
        ),
    )  # fmt: skip
    write(
        "UPDATE household_account SET since_on = :first_on, left_on = :last_on "
        "WHERE household_id = :home",
        *(some_days(dice) | {"home": home.household_id} for home in homes),
    )


def test_one_look_says_what_its_parts_say():
    person_id, dice = a_person(), random.Random(7)
    homes = [a_home(100, 200, owner_id=person_id), a_home(300), a_home()]
    bind_too(homes[0], homes[1])
    bind_too(homes[1], homes[2])
    for home in homes[1:]:
        join(home, person_id, MemberRole.SEE)

    for _ in range(25):
        change_days(dice, homes, person_id)
        with transaction() as session:
            mine = list_standings(session, person_id)
            for chosen in [None, *mine]:
                home_id = chosen and chosen.home.id
                found = look_at_home(session, person_id, home_id)
                seen = visible_accounts(session, person_id, household_id=home_id)
                assert (found.homes, found.chosen) == (mine, chosen)
                assert list(found.accounts.items()) == list(seen.items())
                assert found.accounts.spans == seen.spans
                assert found.payable == set(visible_accounts(session, person_id, to_pay=True))
                assert found.names.keys() == visible_accounts(session, person_id).keys()


def test_the_first_of_several_homes_lends_an_account_its_name():
    first, second = a_home(100), a_home(200)
    write("UPDATE household SET name = '后来' WHERE id = :id", {"id": second.household_id})
    bind_too(second, first)
    join(second, first.owner_id, MemberRole.SEE)

    with transaction() as session:
        names = look_at_home(session, first.owner_id).names
    assert names == {first.refs[0][0]: "汉口路", second.refs[0][0]: "后来"}


def test_a_home_without_accounts_is_a_home():
    home = a_home(100)
    write("DELETE FROM household_account WHERE household_id = :id", {"id": home.household_id})

    with transaction() as session:
        found = look_at_home(session, home.owner_id)
    assert [one.home.id for one in found.homes] == [home.household_id]
    assert not found.accounts


def test_somebody_elses_home_cannot_be_chosen():
    other = a_home(100)
    with transaction() as session, pytest.raises(NotFound):
        look_at_home(session, a_person(), other.household_id)
