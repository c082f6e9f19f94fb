"""Signing in: a code works once, soon, and not for whoever guesses."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import select

from core.db import looking, transaction
from core.errors import NotSignedIn, TooMany
from identity.models import Person, Role, SignInCode, WebSession
from identity.people import add_person
from identity.sign_in import (
    check_code,
    end_session,
    find_session,
    issue_code,
    note_seen,
    start_session,
)
from tests.threads import at_once

SECRET = "of-these-tests-only"
PHONE = "19900000001"
MOMENT = timedelta(microseconds=1)


def a_person(session, now, contact=PHONE):
    return add_person(session, role=Role.RESIDENT, name="王小明", contact=contact, now=now)


def a_code(session, now, contact=PHONE):
    issued = issue_code(session, contact, secret=SECRET, now=now)
    assert issued is not None
    return issued[1]


def other_than(code):
    return f"{(int(code) + 1) % 1_000_000:06d}"


def check(session, code, now, contact=PHONE, secret=SECRET):
    return check_code(session, contact, code, secret=secret, now=now)


class TestCodes:
    @pytest.fixture(autouse=True)
    def _somebody(self, session, now):
        self.person = a_person(session, now)

    def test_a_code_works_once(self, session, now):
        code = a_code(session, now)

        assert check(session, code, now) == self.person
        assert check(session, code, now) is None

    def test_a_code_copied_with_blanks_around_it_works(self, session, now):
        assert check(session, f" {a_code(session, now)}\n", now) == self.person

    def test_a_wrong_code_signs_nobody_in_and_four_do_no_harm(self, session, now):
        code = a_code(session, now)

        assert [check(session, other_than(code), now) for _ in range(4)] == [None] * 4
        assert check(session, code, now) == self.person

    def test_after_five_wrong_tries_the_right_code_is_dead(self, session, now):
        code = a_code(session, now)
        for _ in range(5):
            check(session, other_than(code), now)

        assert check(session, code, now) is None

    @pytest.mark.parametrize("late", [False, True], ids=["right", "wrong"])
    def test_a_sixth_try_whose_clock_was_read_before_the_fifth_is_no_try(self, session, now, late):
        code = a_code(session, now)
        for _ in range(5):
            check(session, other_than(code), now + timedelta(seconds=2))

        assert (
            check(session, other_than(code) if late else code, now + timedelta(seconds=1)) is None
        )
        session.flush()

    def test_a_code_lives_five_minutes(self, session, now):
        code = a_code(session, now)

        assert check(session, code, now + timedelta(minutes=5)) is None
        assert check(session, code, now + timedelta(minutes=5) - MOMENT) == self.person

    def test_a_new_code_voids_the_one_before(self, session, now):
        first = a_code(session, now)
        second = a_code(session, now + timedelta(seconds=1))
        if first == second:
            pytest.fail("one in a million")

        assert check(session, first, now + timedelta(seconds=2)) is None
        assert check(session, second, now + timedelta(seconds=2)) == self.person

    def test_five_codes_an_hour_and_then_no_more(self, session, now):
        for minutes in range(5):
            a_code(session, now + timedelta(minutes=minutes))

        with pytest.raises(TooMany) as refused:
            a_code(session, now + timedelta(minutes=59))

        assert refused.value.code == "sign_in.codes"
        assert a_code(session, now + timedelta(hours=1))

    def test_one_persons_codes_do_not_keep_another_out(self, session, now):
        a_person(session, now, "19900000002")
        for _ in range(5):
            a_code(session, now)

        assert a_code(session, now, "19900000002")

    def test_another_persons_code_is_a_wrong_one(self, session, now):
        a_person(session, now, "19900000002")
        code = a_code(session, now)
        theirs = a_code(session, now, "19900000002")

        assert code == theirs or check(session, theirs, now) is None

    def test_the_contact_may_be_typed_as_people_type(self, session, now):
        code = a_code(session, now, " 199-0000 0001 ")

        assert check(session, code, now, "199 0000 0001") == self.person

    def test_a_contact_nobody_has_gets_nothing_and_leaves_nothing(self, session, now):
        assert issue_code(session, "nobody@example.com", secret=SECRET, now=now) is None
        assert check(session, "000000", now, "nobody@example.com") is None
        assert session.exec(select(SignInCode)).all() == []

    @pytest.mark.parametrize("typed", ["", "１２３４５６", "12345", "1234567", "abcdef", "\x00"])
    def test_what_is_no_code_is_a_wrong_one(self, session, now, typed):
        a_code(session, now)

        assert check(session, typed, now) is None

    def test_a_code_is_stored_nowhere_in_clear_and_not_without_the_secret(self, session, now):
        code = a_code(session, now)
        row = session.exec(select(SignInCode)).one()

        assert code not in f"{row.code_hash[:6]} {row.model_dump(exclude={'code_hash'})}"
        assert check(session, code, now, secret="another") is None


@pytest.mark.usefixtures("city")
class TestManyAtOnce:
    @pytest.fixture(autouse=True)
    def _somebody(self, city, now):
        with transaction() as session:
            a_person(session, now)

    def sign_in(self, code, now):
        with transaction() as session:
            return check(session, code, now) is not None

    def test_the_right_code_from_twenty_browsers_signs_one_in(self, now):
        with transaction() as session:
            code = a_code(session, now)

        assert sum(at_once(20, lambda _: self.sign_in(code, now))) == 1

    def test_twenty_guesses_at_once_are_five_tries(self, now):
        with transaction() as session:
            code = a_code(session, now)

        at_once(20, lambda n: self.sign_in(other_than(code), now - n * MOMENT))

        assert not self.sign_in(code, now - timedelta(minutes=1))
        with transaction() as session:
            assert session.exec(select(SignInCode)).one().tries == 5

    def test_twenty_requests_at_once_make_five_codes_of_which_one_lives(self, now):
        def ask(number: int) -> bool:
            try:
                with transaction() as session:
                    a_code(session, now)
            except TooMany:
                return False
            return True

        assert sum(at_once(20, ask)) == 5
        with transaction() as session:
            living = text("SELECT count(*) FROM sign_in_code WHERE expires_at > :now")
            assert session.execute(living, {"now": now}).scalar_one() == 1


class TestSessions:
    @pytest.fixture
    def session(self, city):
        """Each statement commits by itself: who is there is noted by a transaction of its own."""
        with looking() as session:
            yield session

    @pytest.fixture(autouse=True)
    def _somebody(self, session, now):
        self.person = a_person(session, now)
        self.token, _ = start_session(session, self.person, now=now)

    def who(self, session, now, token=None):
        try:
            found = find_session(session, token or self.token, now=now)
        except NotSignedIn:
            return None
        if found.to_note:
            note_seen(token or self.token, now=now)
        return session.get(Person, found.id)

    def test_a_cookie_brings_its_person(self, session, now):
        assert self.who(session, now) == self.person

    def test_half_an_hour_of_silence_ends_it(self, session, now):
        assert self.who(session, now + timedelta(minutes=30)) is None
        assert self.who(session, now + timedelta(minutes=30) - MOMENT) == self.person

    def test_every_visit_starts_the_half_hour_anew(self, session, now):
        for minutes in (25, 50, 75):
            assert self.who(session, now + timedelta(minutes=minutes)) == self.person

        assert self.who(session, now + timedelta(minutes=105)) is None

    def test_after_twelve_hours_it_ends_however_busy(self, session, now):
        for minutes in range(20, 12 * 60, 20):
            assert self.who(session, now + timedelta(minutes=minutes)) == self.person

        assert self.who(session, now + timedelta(hours=12)) is None

    def test_signing_out_ends_it_and_may_be_repeated(self, session, now):
        for _ in range(2):
            end_session(session, self.token, now=now)

        assert self.who(session, now) is None

    def test_signing_out_of_one_browser_leaves_the_other(self, session, now):
        other, _ = start_session(session, self.person, now=now)
        end_session(session, self.token, now=now)

        assert self.who(session, now, other) == self.person

    @pytest.mark.parametrize("token", ["x", "0" * 43, "令牌"])
    def test_an_unknown_cookie_is_nobodys(self, session, now, token):
        assert self.who(session, now, token) is None
        end_session(session, token, now=now)

    def test_the_cookie_is_stored_nowhere_and_differs_from_the_form_token(self, session, now):
        row = session.exec(select(WebSession)).one()

        assert self.token not in str(row.model_dump())
        assert len(row.csrf) >= 43
