"""What the staff may do: given by two people, taken by one, and kept for ever."""

from datetime import timedelta

import psycopg
import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cli.upgrading import alembic_config
from core.db import transaction
from core.errors import CityBillError, Conflict, Invalid, NotAllowed, NotFound
from identity import audit, colleagues, duties
from identity.audit import Deed, Wanted, person_subject
from identity.duties import Duty, StaffDuty
from identity.models import Role
from tests.conftest import NOW, as_owner
from tests.factories import a_person
from tests.threads import at_once

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def admins(city):
    return a_person(Role.STAFF, name="陈晓"), a_person(Role.STAFF, name="林岚")


@pytest.fixture
def clerk(city):
    return a_person(Role.STAFF, name="周敏", duties=[])


def duties_of(person_id: int) -> set[Duty]:
    with transaction() as session:
        return set(duties.duties_of(session, person_id))


def propose(person_id: int, duty: Duty, *, by: int) -> int:
    with transaction() as session:
        row = duties.propose_duty(session, person_id, duty, by=by, now=NOW)
        assert row.id is not None
        return row.id


def give(duty_id: int, *, by: int) -> StaffDuty:
    with transaction() as session:
        return duties.give_proposed(session, duty_id, by=by, now=LATER)


def take(duty_id: int, *, by: int | None) -> StaffDuty:
    with transaction() as session:
        return duties.take_duty(session, duty_id, by=by, now=LATER)


def standing(person_id: int, duty: Duty) -> int:
    with transaction() as session:
        rows = duties.duties_among(session, [person_id])[person_id]
        return next(one.id for one in rows if one.duty is duty and one.id is not None)


def deeds_about(person_id: int) -> list[tuple[str, int | None, str]]:
    with transaction() as session:
        found = audit.find_entries(session, Wanted(subject=person_subject(person_id)))
        return [(one.what, one.person_id, one.detail.get("duty", "")) for one in found]


class TestGiving:
    """ASVS 8.2.1 and 8.3.1: what somebody may do is decided here, and by more than one."""

    def test_a_proposal_alone_gives_nothing(self, admins, clerk):
        propose(clerk, Duty.FINANCE, by=admins[0])

        assert duties_of(clerk) == set()

    def test_another_admin_gives_it(self, admins, clerk):
        given = give(propose(clerk, Duty.FINANCE, by=admins[0]), by=admins[1])

        assert duties_of(clerk) == {Duty.FINANCE}
        assert (given.proposed_by, given.given_by, given.given_at) == (*admins, LATER)
        assert deeds_about(clerk)[:2] == [
            (Deed.DUTY_GIVEN, admins[1], "finance"), (Deed.DUTY_PROPOSED, admins[0], "finance"),
        ]  # fmt: skip

    def test_who_proposed_it_cannot_give_it(self, admins, clerk):
        proposed = propose(clerk, Duty.SERVICE, by=admins[0])

        with pytest.raises(NotAllowed) as refused:
            give(proposed, by=admins[0])
        assert refused.value.code == "duty.same_person"
        assert duties_of(clerk) == set()

    def test_nobody_proposes_or_gives_their_own(self, admins):
        third = a_person(Role.STAFF, duties=[Duty.ADMIN])
        with pytest.raises(NotAllowed):
            propose(third, Duty.FINANCE, by=third)

        with pytest.raises(NotAllowed):
            give(propose(third, Duty.FINANCE, by=admins[0]), by=third)

    def test_given_twice_it_is_given_once(self, admins, clerk):
        proposed = propose(clerk, Duty.SETUP, by=admins[0])
        third = a_person(Role.STAFF)

        first, again = give(proposed, by=admins[1]), give(proposed, by=third)

        assert first.given_by == again.given_by == admins[1]
        assert [what for what, *_ in deeds_about(clerk)].count(Deed.DUTY_GIVEN) == 1

    def test_what_stands_is_not_proposed_again(self, admins, clerk):
        proposed = propose(clerk, Duty.SERVICE, by=admins[0])
        for _ in range(2):
            with pytest.raises(Conflict) as refused:
                propose(clerk, Duty.SERVICE, by=admins[1])
            assert refused.value.code == "duty.stands"
            give(proposed, by=admins[1])

    def test_a_declined_proposal_is_over_and_may_be_made_anew(self, admins, clerk):
        proposed = propose(clerk, Duty.SERVICE, by=admins[0])
        take(proposed, by=admins[1])

        with pytest.raises(Conflict):
            give(proposed, by=admins[1])
        give(propose(clerk, Duty.SERVICE, by=admins[1]), by=admins[0])
        assert duties_of(clerk) == {Duty.SERVICE}
        assert [what for what, *_ in deeds_about(clerk)] == [
            Deed.DUTY_GIVEN, Deed.DUTY_DECLINED, Deed.DUTY_PROPOSED, Deed.DUTY_PROPOSED
        ]  # fmt: skip

    def test_only_staff_who_are_here_have_duties(self, admins):
        resident, operator = a_person(), a_person(Role.OPERATOR)
        left = a_person(Role.STAFF, duties=[])
        with transaction() as session:
            colleagues.end_access(session, left, by=admins[0], now=NOW)

        for person, code in ((resident, "duty.not_staff"), (operator, "duty.not_staff"),
                             (left, "person.ended")):  # fmt: skip
            with pytest.raises(Invalid) as refused:
                propose(person, Duty.SERVICE, by=admins[0])
            assert refused.value.code == code
        with pytest.raises(NotFound):
            propose(10**9, Duty.SERVICE, by=admins[0])

    def test_the_command_line_gives_alone_and_answers_a_proposal(self, admins, clerk):
        """A city of one admin has nobody else."""
        propose(clerk, Duty.FINANCE, by=admins[0])
        with transaction() as session:
            for _ in range(2):
                row = duties.give_duty(session, clerk, Duty.FINANCE, now=LATER)

        assert duties_of(clerk) == {Duty.FINANCE}
        assert (row.proposed_by, row.given_by, row.given_at) == (admins[0], None, LATER)


class TestTaking:
    def test_one_admin_takes_at_once(self, admins):
        clerk = a_person(Role.STAFF, duties=[Duty.SERVICE, Duty.FINANCE])

        take(standing(clerk, Duty.FINANCE), by=admins[0])

        assert duties_of(clerk) == {Duty.SERVICE}
        assert deeds_about(clerk)[0] == (Deed.DUTY_TAKEN, admins[0], "finance")

    def test_taken_again_nothing_changes(self, admins):
        clerk = a_person(Role.STAFF, duties=[Duty.SERVICE])
        duty = standing(clerk, Duty.SERVICE)

        assert take(duty, by=admins[0]).taken_by == take(duty, by=admins[1]).taken_by == admins[0]

    def test_nobody_takes_their_own(self, admins):
        with pytest.raises(NotAllowed):
            take(standing(admins[0], Duty.SERVICE), by=admins[0])

    def test_the_last_admin_stays(self, city):
        only = a_person(Role.STAFF, duties=[Duty.ADMIN])
        for refuse in (
            lambda: take(standing(only, Duty.ADMIN), by=None),
            lambda: end(only, by=None),
        ):
            with pytest.raises(Conflict) as refused:
                refuse()
            assert refused.value.code == "duty.last_admin"
        assert duties_of(only) == {Duty.ADMIN}

    def test_two_admins_who_take_it_from_each_other_at_one_moment_leave_one(self, admins):
        first, second = admins
        pairs = [(standing(first, Duty.ADMIN), second), (standing(second, Duty.ADMIN), first)]

        def try_to(number: int) -> bool:
            duty_id, by = pairs[number]
            try:
                take(duty_id, by=by)
            except CityBillError:
                return False
            return True

        done = at_once(2, try_to)

        assert sorted(done) == [False, True]
        assert sum(Duty.ADMIN in duties_of(one) for one in admins) == 1


def end(person_id: int, *, by: int | None) -> None:
    with transaction() as session:
        colleagues.end_access(session, person_id, by=by, now=LATER)


class TestHistory:
    def test_what_was_given_and_taken_stays(self, admins, clerk):
        for _ in range(2):
            duty = propose(clerk, Duty.SERVICE, by=admins[0])
            give(duty, by=admins[1])
            take(duty, by=admins[0])

        with transaction() as session:
            history = duties.duty_history(session, clerk)
        assert [(one.given_by, one.taken_by) for one in history] == [(admins[1], admins[0])] * 2

    @pytest.mark.parametrize(
        "change",
        [
            "DELETE FROM staff_duty",
            "TRUNCATE staff_duty",
            "UPDATE staff_duty SET given_by = :other, given_at = now()",
            "UPDATE staff_duty SET given_by = NULL, given_at = NULL",
        ],
    )
    def test_the_database_refuses_to_change_it(self, admins, clerk, change):
        """ASVS 16.4.2."""
        duty = propose(clerk, Duty.SERVICE, by=admins[0])
        give(duty, by=admins[1])
        with pytest.raises(DBAPIError, match="history"), as_owner() as connection:
            connection.execute(text(change), {"other": admins[0]} if ":other" in change else {})

    def test_what_was_taken_is_not_given_back(self, admins, clerk):
        duty = propose(clerk, Duty.SERVICE, by=admins[0])
        take(duty, by=admins[0])

        with pytest.raises(DBAPIError, match="history"), transaction() as session:
            session.execute(text("UPDATE staff_duty SET taken_at = NULL, taken_by = NULL"
                                 " WHERE id = :id"), {"id": duty})  # fmt: skip

    @pytest.mark.parametrize(
        "columns",
        [
            "proposed_by = person_id",
            "given_by = proposed_by, given_at = now()",
            "given_by = person_id, given_at = now()",
            "taken_by = person_id, taken_at = now()",
        ],
    )
    def test_the_database_knows_the_rule_of_two(self, admins, clerk, columns):
        duty = propose(clerk, Duty.SERVICE, by=admins[0])

        with pytest.raises(IntegrityError, match=r"given_by_another|nobodys_own"), \
                as_owner() as connection:  # fmt: skip
            connection.execute(
                text(f"UPDATE staff_duty SET {columns} WHERE id = :id"),
                {"id": duty},
            )


def test_an_upgrade_leaves_the_staff_all_they_had_but_who_looks_after_users(servers):
    servers.create_database("before_duties")
    url = servers.database_url("before_duties")
    command.upgrade(alembic_config(url), "0008")
    with psycopg.connect(url) as connection:
        connection.execute("""
            INSERT INTO person (role, name, contact, locale, created_at)
            VALUES ('staff', '陈晓', 'chen@city.example', 'zh_CN', now()),
                   ('resident', '王小明', '19900000001', 'zh_CN', now())
        """)

    command.upgrade(alembic_config(url), "0009")

    with psycopg.connect(url) as connection:
        rows = connection.execute("""
            SELECT p.name, d.duty, d.given_at IS NOT NULL AND d.given_by IS NULL
            FROM staff_duty d JOIN person p ON p.id = d.person_id ORDER BY d.duty
        """).fetchall()
    assert rows == [("陈晓", duty, True) for duty in ("finance", "service", "setup")]
