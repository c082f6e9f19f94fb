"""One's own data: all of it to take along, and what is left of somebody who has gone."""

import asyncio
import json
from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from billing.homes import invitations
from billing.homes.challenges import forget_guests
from billing.homes.households import visible_accounts
from billing.homes.models import HouseholdAccount
from billing.models import Household, HouseholdMember, MemberRole, UtilityAccount
from core.clock import utc_now
from core.db import transaction
from core.errors import Conflict, NotAllowed, TooMany
from identity import leaving, sign_in
from identity.calendar_links import make_link
from identity.models import Person, Role
from identity.people import find_person, get_person
from notifications import own_data as told
from notifications.choice import consents, preferences
from notifications.telling import Telling, tell
from payments.autopay.models import Mandate
from payments.autopay.states import MandateStatus
from payments.models import Payment
from support import own_data
from tests.factories import NOW, Home, a_home, a_paid_payment, a_payment, a_person, join, violations
from tests.payments.autopay.autopaying import a_mandate
from tests.support.complaining import ask
from web.own_data import SECTIONS, export
from workers.tasks import homes

pytestmark = pytest.mark.usefixtures("city")
WEEK = leaving.THINK_IT_OVER


def copy_of(person_id: int) -> dict[str, list[dict[str, object]]]:
    """All we hold of somebody, as they get it."""

    async def whole() -> bytes:
        return b"".join([chunk async for chunk in export(person_id, now=NOW).body_iterator])

    return json.loads(asyncio.run(whole()))


def erase(person_id: int, *, now=NOW) -> None:
    with transaction() as session:
        own_data.erase(session, person_id, now=now)
        told.forget(session, person_id, now=now)


def a_full_life() -> Home:
    """Somebody with everything that is kept of people."""
    home = a_home(8_650, 100)
    a_mandate(home)
    a_paid_payment(home)
    ask(home.owner_id, about=f"bill:{home.refs[0][0]}.{home.refs[0][1]}")
    with transaction() as session:
        person = get_person(session, home.owner_id)
        sign_in.start_session(session, person, now=NOW)
        make_link(session, home.owner_id, locale="en", shows_amounts=True, now=NOW)
        consents.agree(session, home.owner_id, proof="yes, tell me", now=NOW)
        preferences.change_settings(
            session, home.owner_id, preferences.USUALLY._replace(texts_per_day=5), now=NOW
        )
        invitations.invite(
            session, home.owner_id, home.household_id, contact="+8613700000001",
            role=MemberRole.SEE, now=NOW,
        )  # fmt: skip
        tell(session, Telling(event="notice.tried", person=person, subject_ref="1"), now=NOW)
        session.execute(_SENT_AGAIN, {"by": a_person(Role.STAFF), "to": person.contact, "now": NOW})
    return home


_SENT_AGAIN = text("""
    INSERT INTO notice_again (notice_id, time_no, address, asked_by, asked_at, state, state_at)
    SELECT max(id), 1, :to, :by, :now, 'created', :now FROM notice
""")


class TestTakingAlong:
    def test_all_of_it_is_there(self):
        home = a_full_life()
        found = copy_of(home.owner_id)

        assert set(found) == {"made_at", *(one.name for one in SECTIONS)}
        with transaction() as session:
            person = get_person(session, home.owner_id)
        assert found["person"][0]["contact"] == person.contact
        assert [one["name"] for one in found["homes"]] == ["汉口路"]
        assert [one["account_no"] for one in found["accounts"]] == list(home.account_nos)
        assert {one["amount_fen"] for one in found["bills"]} == {8_650, 100}
        assert found["bills"][0]["items"]
        for name in (
            "payments", "paid_bills", "autopay", "complaints", "complaint_words", "sessions",
            "consents", "notices", "notice_settings", "invitations",
        ):  # fmt: skip
            assert found[name], name

    def test_nothing_of_anybody_else_is_there(self):
        home, other = a_full_life(), a_full_life()
        text_of_it = json.dumps(copy_of(home.owner_id))
        with transaction() as session:
            assert get_person(session, other.owner_id).contact not in text_of_it
        assert not any(number in text_of_it for number in other.account_nos)
        assert "+8613700000001" not in text_of_it  # whom they invited

    def test_who_only_sees_a_home_gets_its_numbers_masked(self):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.SEE)
        (account,) = copy_of(member_id)["accounts"]
        assert account["account_no"] == "******" + home.account_nos[0][-4:]
        assert account["holder_name"] == "王*"
        assert copy_of(member_id)["payments"] == []

    def test_of_an_account_that_was_left_nobody_learns_who_came_after(self):
        home = a_home(100)
        with transaction() as session:
            row = session.exec(select(HouseholdAccount)).one()
            row.left_on = date(2026, 1, 31)
            account = session.get_one(UtilityAccount, row.account_id)
            account.holder_name = "欧阳后来"
        (account_told,) = copy_of(home.owner_id)["accounts"]
        assert account_told["holder_name"] == "欧***"

    def test_three_copies_a_day_are_the_most(self):
        person_id = a_person()
        with transaction() as session:
            for _ in range(leaving.EXPORTS_A_DAY):
                leaving.take_turn(session, person_id, now=NOW)
            with pytest.raises(TooMany):
                leaving.take_turn(session, person_id, now=NOW)
            leaving.take_turn(session, person_id, now=NOW + timedelta(days=1))


class TestLeaving:
    def test_a_week_is_left_to_think_it_over(self):
        person_id = a_person()
        with transaction() as session:
            asked = own_data.ask_to_leave(session, person_id, now=NOW)
            again = own_data.ask_to_leave(session, person_id, now=NOW + timedelta(days=2))
            assert asked.erase_at == again.erase_at == NOW + WEEK
            assert leaving.list_due(session, limit=9, now=NOW + WEEK - timedelta(seconds=1)) == []
            assert leaving.list_due(session, limit=9, now=NOW + WEEK) == [person_id]
            assert leaving.is_due(session, person_id, now=NOW + WEEK)
            leaving.stay(session, person_id)
            assert leaving.list_due(session, limit=9, now=NOW + WEEK) == []
            assert not leaving.is_due(session, person_id, now=NOW + WEEK)

    def test_who_works_here_is_let_go_by_an_admin(self):
        for role in (Role.STAFF, Role.OPERATOR):
            with transaction() as session, pytest.raises(NotAllowed):
                own_data.ask_to_leave(session, a_person(role), now=NOW)

    def test_not_while_a_payment_is_under_way(self):
        home = a_home(100)
        a_payment(home)
        with transaction() as session, pytest.raises(Conflict) as refused:
            own_data.ask_to_leave(session, home.owner_id, now=NOW)
        assert refused.value.code == "me.payment_under_way"

    def test_not_who_alone_manages_a_home_of_others(self):
        home, member_id = a_home(100), a_person()
        join(home, member_id, MemberRole.PAY)
        with transaction() as session, pytest.raises(Conflict) as refused:
            own_data.ask_to_leave(session, home.owner_id, now=NOW)
        assert refused.value.code == "me.last_manager"
        assert refused.value.facts == {"homes": [home.household_id]}
        with transaction() as session:
            own_data.ask_to_leave(session, member_id, now=NOW)

    def test_a_payment_that_began_since_puts_it_off(self):
        home = a_home(100)
        with transaction() as session:
            own_data.ask_to_leave(session, home.owner_id, now=NOW)
        a_payment(home)
        with pytest.raises(Conflict):
            erase(home.owner_id, now=NOW + WEEK)
        with transaction() as session:
            assert get_person(session, home.owner_id).contact is not None


class TestErased:
    def test_nothing_is_left_to_know_them_by(self):
        home = a_full_life()
        with transaction() as session:
            person = get_person(session, home.owner_id)
            known_by = [person.name, person.contact or "", person.email or ""]

        erase(home.owner_id)

        with transaction() as session:
            gone = session.get_one(Person, home.owner_id)
            assert (gone.role, gone.name, gone.contact, gone.email) == (Role.GUEST, "", None, None)
            assert gone.ended_at == NOW
            assert find_person(session, known_by[1]) is None
            tables = session.execute(
                text("SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relispartition"
                     " AND relnamespace = 'public'::regnamespace ORDER BY relname")
            ).scalars().all()  # fmt: skip
            for table in tables:
                for value in known_by[1:]:
                    found = session.execute(
                        text(f"SELECT count(*) FROM {table} t WHERE t::text LIKE :value"),
                        {"value": f"%{value}%"},
                    ).scalar_one()
                    assert found == 0, f"{table} still has {value}"

    def test_the_books_still_hold(self):
        home = a_full_life()
        erase(home.owner_id)
        with transaction() as session:
            assert session.exec(select(Payment.payer_id)).all() == [home.owner_id]
            assert session.execute(text("SELECT count(*) FROM consent")).scalar_one() == 1
        assert violations() == []

    def test_autopay_ends_and_homes_go(self):
        home = a_full_life()
        erase(home.owner_id)
        with transaction() as session:
            assert session.exec(select(Mandate.status)).one() is MandateStatus.ENDED
            assert not visible_accounts(session, home.owner_id)
            assert session.get_one(Household, home.household_id).name == ""
            assert session.exec(select(HouseholdMember)).all() == []

    def test_a_home_with_somebody_else_who_manages_goes_on(self):
        home, second_id = a_home(100), a_person()
        join(home, second_id, MemberRole.MANAGE)
        erase(home.owner_id)
        with transaction() as session:
            assert set(visible_accounts(session, second_id)) == {home.refs[0][0]}

    def test_their_row_is_no_guests_to_be_forgotten(self):
        home = a_home(100)
        with transaction() as session:
            own_data.ask_to_leave(session, home.owner_id, now=NOW - WEEK)
        erase(home.owner_id)
        with transaction() as session:
            forget_guests(session, now=NOW + timedelta(days=30))
            assert session.get(Person, home.owner_id) is not None

    def test_the_job_erases_whose_week_is_over_and_nobody_who_stayed(self):
        going_id, staying_id = a_person(), a_person()
        with transaction() as session:
            for person_id in (going_id, staying_id):
                own_data.ask_to_leave(session, person_id, now=utc_now() - WEEK)
            leaving.stay(session, staying_id)
        homes.leave("")
        with transaction() as session:
            assert get_person(session, going_id).contact is None
            assert get_person(session, staying_id).contact is not None

    def test_erased_twice_changes_nothing(self):
        home = a_full_life()
        erase(home.owner_id)
        erase(home.owner_id, now=NOW + WEEK)
        with transaction() as session:
            assert session.get_one(Person, home.owner_id).ended_at == NOW

    def test_they_may_come_back_as_somebody_new(self):
        home = a_home(100)
        with transaction() as session:
            contact = get_person(session, home.owner_id).contact
        erase(home.owner_id)
        other = a_home(200)
        with transaction() as session:
            made = invitations.invite(
                session, other.owner_id, other.household_id, contact=contact or "",
                role=MemberRole.SEE, now=NOW,
            )  # fmt: skip
            assert made.person_id != home.owner_id


# What refers to a person and is neither given along nor let go: it is about the work of staff, or
# is gone by itself within days, or the law wants it kept. docs/privacy.md says which.
OF_STAFF_OR_KEPT = {
    "audit_entry", "staff_duty", "provider_terms", "notice_template", "service_message",
    "looking", "notice_again", "refund", "bank_match", "bank_transfer", "remittance",
}  # fmt: skip


def test_a_new_table_about_people_is_thought_of(session):
    """Every table of residents' own is in the copy, is let go of, or stands above with a reason."""
    told_of = " ".join(one.sql for one in SECTIONS)
    rows = session.execute(
        text("""
            SELECT DISTINCT c.conrelid::regclass::text AS name
            FROM pg_constraint c JOIN pg_attribute a
              ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.contype = 'f' AND c.confrelid = 'person'::regclass
              AND a.attname IN ('person_id', 'payer_id') ORDER BY name
        """)
    ).scalars()
    let_go = " ".join([*own_data.LET_GO, *told.FORGET, *leaving.WAYS_IN])
    assert [
        name
        for name in rows
        if name not in OF_STAFF_OR_KEPT and name not in told_of and name not in let_go
    ] == []
