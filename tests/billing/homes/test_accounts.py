"""Accounts of homes: bound by a proof, named, taken off and put back, by many at once as by one."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from billing.homes.accounts import (
    MOST_ACCOUNTS,
    UNDO_FOR,
    Bound,
    bind,
    forget_removed,
    list_accounts,
    list_removed,
    remove,
    rename,
    restore,
    standings_of,
)
from billing.homes.challenges import PERSON_TRIES, Passed, pass_challenge, read_answer
from billing.homes.households import create_household, visible_accounts
from billing.models import MemberRole
from billing.rules.terms import Proof
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound, TooMany
from tests.factories import NOW, Home, a_home, a_payment, a_person, join, the_terms
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SECRET = "keeps addresses out of the database"


def an_empty_home(owner_id: int, name: str = "新家") -> int:
    with transaction() as session:
        home = create_household(session, name=name, owner_id=owner_id, now=NOW)
        assert home.id is not None
        return home.id


def passed(home: Home, *, by: int, amount: str = "86.50", name: str = "", now=NOW, client="c"):
    with transaction() as session:
        told = read_answer(
            session, home.companies[0], home.account_nos[0], amount_yuan=amount, name=name, now=now
        )
    return pass_challenge(told, client=client, person_id=by, secret=SECRET, now=now)


def bound(person_id: int, household_id: int, what: Passed, *, now=NOW) -> Bound:
    with transaction() as session:
        return bind(session, person_id, household_id, what, now=now)


def take_off(home: Home, *, by: int | None = None, now=NOW) -> None:
    with transaction() as session:
        remove(session, by or home.owner_id, home.household_id, home.refs[0][0], now=now)


def put_back(home: Home, *, by: int | None = None, now=NOW) -> None:
    with transaction() as session:
        restore(session, by or home.owner_id, home.household_id, home.refs[0][0], now=now)


def seen_by(person_id: int) -> set[int]:
    with transaction() as session:
        return set(visible_accounts(session, person_id))


def deeds(home_id: int) -> list[tuple[str, int | None]]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT deed, by FROM home_account_deed WHERE household_id = :id ORDER BY id"),
            {"id": home_id},
        )
        return [tuple(row) for row in rows]


class TestBinding:
    def test_who_knows_a_bill_has_the_account_in_their_home_and_that_is_written_down(self):
        home, me = a_home(8_650), a_person()
        mine = an_empty_home(me)

        made = bound(me, mine, passed(home, by=me))

        assert made == Bound(mine, home.refs[0][0], new=True)
        assert seen_by(me) == seen_by(home.owner_id) == {home.refs[0][0]}
        assert deeds(mine) == [("bound", me)]

    def test_the_same_again_is_the_same(self):
        home, me = a_home(8_650), a_person()
        mine = an_empty_home(me)
        what = passed(home, by=me)
        bound(me, mine, what)

        assert bound(me, mine, what).new is False
        assert deeds(mine) == [("bound", me)]

    @pytest.mark.parametrize("role", [MemberRole.SEE, MemberRole.PAY])
    def test_only_who_manages_the_home_may(self, role):
        home, other, me = a_home(8_650), a_home(100), a_person()
        join(other, me, role)
        what = passed(home, by=me)

        with pytest.raises(NotAllowed):
            bound(me, other.household_id, what)
        with pytest.raises(NotAllowed):
            take_off(other, by=me)

    def test_nobody_binds_into_or_takes_from_a_home_of_others(self):
        home, other, me = a_home(8_650), a_home(100), a_person()
        what = passed(home, by=me)

        with pytest.raises(NotFound):
            bound(me, other.household_id, what)
        with pytest.raises(NotFound):
            take_off(other, by=me)

    def test_a_wrong_proof_and_no_account_are_told_the_same_and_bind_nothing(self):
        home, me = a_home(8_650), a_person()
        said = []
        for number, amount in ((home.account_nos[0], "86.51"), ("no such number", "86.50")):
            with transaction() as session:
                told = read_answer(
                    session, "water", number, amount_yuan=amount, name="", now=NOW
                )  # fmt: skip
            with pytest.raises(NotFound) as refused:
                pass_challenge(told, client="c", person_id=me, secret=SECRET, now=NOW)
            said.append((refused.value.code, str(refused.value), refused.value.facts))

        assert said[0] == said[1]
        assert seen_by(me) == set()

    def test_one_person_tries_so_often_a_day_from_however_many_addresses(self):
        me, homes = a_person(), [a_home(8_650) for _ in range(8)]

        for at in range(PERSON_TRIES):
            with pytest.raises(NotFound):
                passed(homes[at % 8], by=me, amount="1.00", client=f"address {at}")
        with pytest.raises(TooMany) as refused:
            passed(homes[0], by=me, client="one more")
        assert refused.value.facts["free_at"] == "2026-11-20T16:00:00+00:00"  # midnight here
        assert passed(homes[7], by=a_person()).account_id

    def test_a_home_has_so_many_accounts_and_no_more(self):
        home, me = a_home(8_650), a_person()
        mine, what = an_empty_home(me), passed(home, by=me)
        with transaction() as session:
            session.execute(
                text("""
                    WITH a AS (
                        INSERT INTO utility_account
                            (provider_code, account_no, holder_name, address, created_at)
                        SELECT 'gas', 'full ' || n, '', '', :now FROM generate_series(1, :most) n
                        RETURNING id)
                    INSERT INTO household_account (household_id, account_id, bound_at)
                    SELECT :home, id, :now FROM a
                """),
                {"home": mine, "most": MOST_ACCOUNTS, "now": NOW},
            )

        with pytest.raises(Conflict) as refused:
            bound(me, mine, what)
        assert refused.value.code == "home.full"


class TestNames:
    def test_a_home_calls_an_account_as_it_likes(self):
        home = a_home(8_650)

        def call(name: str) -> str:
            with transaction() as session:
                rename(session, home.owner_id, home.household_id, home.refs[0][0], name)
                return list_accounts(session, home.owner_id, now=NOW)[0].name

        assert call("  妈妈家的 水 ") == "妈妈家的 水"
        assert call(" ") == ""
        with pytest.raises(Invalid):
            call("x" * 41)

    def test_the_list_says_when_the_next_bill_comes_by_the_companys_cycle(self):
        home = a_home(8_650)
        the_terms("water", "[cycle]\nmonths = 2\nanchor_month = 2\nexpect_within_days = 10\n")

        with transaction() as session:
            one = list_accounts(session, home.owner_id, now=NOW)[0]

        assert (one.last_month, one.next_month) == (date(2026, 10, 1), date(2026, 12, 1))
        assert one.next_by_on == date(2027, 1, 10)


class TestTakingOff:
    def test_it_is_gone_from_the_home_and_stays_in_others(self):
        home, me = a_home(8_650), a_person()
        mine = an_empty_home(me)
        bound(me, mine, passed(home, by=me))

        take_off(home)

        assert seen_by(home.owner_id) == set()
        assert seen_by(me) == {home.refs[0][0]}
        assert deeds(home.household_id) == [("removed", home.owner_id)]

    def test_for_a_while_it_can_be_put_back_as_it_was(self):
        home = a_home(8_650)
        with transaction() as session:
            rename(session, home.owner_id, home.household_id, home.refs[0][0], "水")
        take_off(home)
        with transaction() as session:
            assert [one.name for one in list_removed(session, home.owner_id, now=NOW)] == ["水"]

        put_back(home, now=NOW + UNDO_FOR - timedelta(seconds=1))

        with transaction() as session:
            assert [one.name for one in list_accounts(session, home.owner_id, now=NOW)] == ["水"]
            assert list_removed(session, home.owner_id, now=NOW) == []
        put_back(home)  # there already: nothing
        assert [deed for deed, _ in deeds(home.household_id)] == ["removed", "restored"]

    def test_later_it_takes_the_proof_again(self):
        home = a_home(8_650)
        take_off(home)

        with pytest.raises(Conflict) as refused:
            put_back(home, now=NOW + UNDO_FOR)
        assert refused.value.code == "account.undo_over"
        with transaction() as session:
            forget_removed(session, now=NOW + timedelta(days=2))
        with pytest.raises(NotFound):
            put_back(home)
        assert bound(home.owner_id, home.household_id, passed(home, by=home.owner_id)).new

    def test_what_stands_open_is_said_before(self):
        home = a_home(8_650)
        account_id = home.refs[0][0]

        with transaction() as session:
            assert standings_of(session, home.household_id)[account_id] == (1, 8_650, 0)
        a_payment(home)
        with transaction() as session:
            assert standings_of(session, home.household_id)[account_id] == (0, 0, 1)


class TestManyAtOnce:
    def test_ten_bind_at_once_and_one_row_and_one_deed_come_of_it(self):
        home, me = a_home(8_650), a_person()
        mine, what = an_empty_home(me), passed(home, by=me)

        made = at_once(10, lambda _: bound(me, mine, what).new)

        assert sorted(made) == [False] * 9 + [True]
        assert deeds(mine) == [("bound", me)]

    def test_binding_while_it_is_taken_off_ends_in_one_of_the_two(self):
        home = a_home(8_650)
        what = passed(home, by=home.owner_id)

        def act(number: int) -> str:
            try:
                if number % 2:
                    take_off(home)
                else:
                    bound(home.owner_id, home.household_id, what)
            except CityBillError as refused:
                return refused.code
            return "done"

        said = at_once(8, act)

        assert set(said) <= {"done", "not_found"}
        last = deeds(home.household_id)[-1][0]
        assert seen_by(home.owner_id) == ({home.refs[0][0]} if last == "bound" else set())
        with transaction() as session:
            both = session.execute(
                text("SELECT count(*) FROM removed_account JOIN household_account"
                     " USING (household_id, account_id)")
            )  # fmt: skip
            assert both.scalar_one() == 0

    def test_many_wrong_proofs_at_once_are_so_many_tries(self):
        home, me = a_home(8_650), a_person()

        def try_one(number: int) -> str:
            try:
                passed(home, by=me, amount=f"{number}.00", client=f"address {number}")
            except CityBillError as refused:
                return refused.code
            return "passed"

        assert at_once(6, try_one) == ["challenge.no"] * 6
        with pytest.raises(NotFound):  # five tries of an account a day: the right answer is late
            passed(home, by=a_person(), client="another")


def test_no_proof_counts_that_was_known_before_somebody_left():
    home, me = a_home(8_650), a_person()
    mine = an_empty_home(me)
    late = Passed(home.refs[0][0], Proof.AMOUNT, left_on=date(2026, 11, 1))

    with pytest.raises(NotFound) as refused:
        bound(me, mine, late)

    assert refused.value.code == "challenge.no"
    assert seen_by(me) == set()
