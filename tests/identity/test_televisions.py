"""Pairing a television by RFC 8628, and what a paired one may."""

from datetime import timedelta

import pytest

from core.db import transaction
from core.errors import Conflict, NotFound, NotSignedIn
from identity import televisions
from identity.televisions import MOST, Progress
from tests.factories import a_person
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")
SECOND = timedelta(seconds=1)


def begin(now):
    with transaction() as session:
        return televisions.begin_pairing(session, now=now)


def ask(device_code, now):
    with transaction() as session:
        return televisions.ask_pairing(session, device_code, now=now)


def decide(code, person_id, now, *, allow=True):
    with transaction() as session:
        televisions.decide_pairing(session, code, person_id, allow=allow, now=now)


def paired(person_id, now):
    device_code, user_code = begin(now)
    decide(user_code, person_id, now)
    return ask(device_code, now).token


def whose(token, now):
    with transaction() as session:
        person, _ = televisions.find_television(session, token, now=now)
        return person.id


def test_a_television_waits_until_its_code_is_allowed_and_then_may_look(now):
    person_id = a_person()
    device_code, user_code = begin(now)

    waits = ask(device_code, now)
    decide(f" {user_code[:4].lower()}-{user_code[4:]} ", person_id, now)
    done = ask(device_code, now + 5 * SECOND)

    assert (waits.progress, waits.token, waits.user_code) == (Progress.PENDING, None, user_code)
    assert done.progress is Progress.DONE
    assert whose(done.token, now) == person_id
    assert ask(device_code, now + 10 * SECOND).progress is Progress.EXPIRED  # its token came once


def test_who_asks_too_often_is_told_to_wait_five_seconds_longer(now):
    device_code, _ = begin(now)
    ask(device_code, now)

    hasty = ask(device_code, now + 2 * SECOND)
    hasty_still = ask(device_code, now + 9 * SECOND)
    patient = ask(device_code, now + 30 * SECOND)

    assert (hasty.progress, hasty.interval_seconds) == (Progress.SLOW_DOWN, 10)
    assert (hasty_still.progress, hasty_still.interval_seconds) == (Progress.SLOW_DOWN, 15)
    assert patient.progress is Progress.PENDING


def test_a_code_that_was_turned_away_or_is_too_old_opens_nothing(now):
    person_id = a_person()
    turned_away, old = begin(now), begin(now)
    decide(turned_away.user_code, person_id, now, allow=False)

    with pytest.raises(NotFound):
        decide(turned_away.user_code, person_id, now)
    with pytest.raises(NotFound):
        decide(old.user_code, person_id, now + timedelta(minutes=5))
    with pytest.raises(NotFound):
        decide("AAAA2222", person_id, now)

    assert ask(turned_away.device_code, now).progress is Progress.DENIED
    assert ask(old.device_code, now + timedelta(minutes=5)).progress is Progress.EXPIRED
    assert ask("nobody's", now).progress is Progress.EXPIRED


def test_of_twenty_who_allow_one_television_one_does(now):
    people = [a_person() for _ in range(20)]
    device_code, user_code = begin(now)

    def allow(at):
        try:
            decide(user_code, people[at], now)
        except NotFound:
            return None
        return people[at]

    (who,) = [one for one in at_once(20, allow) if one]
    tokens = [one.token for one in at_once(20, lambda _: ask(device_code, now)) if one.token]

    assert [whose(token, now) for token in tokens] == [who]


def test_nobody_has_more_than_five(now):
    person_id = a_person()
    tokens = [paired(person_id, now) for _ in range(MOST)]
    _, user_code = begin(now)

    with pytest.raises(Conflict):
        decide(user_code, person_id, now)
    with transaction() as session:
        newest = televisions.list_televisions(session, person_id, now=now)[0]
        televisions.end_television(session, person_id, newest.id, now=now)
    decide(user_code, person_id, now)

    with pytest.raises(NotSignedIn):
        whose(tokens[-1], now)


def test_one_is_ended_by_its_own_person_alone_and_by_not_being_used(now):
    person_id, stranger = a_person(), a_person()
    token = paired(person_id, now)
    with transaction() as session:
        (one,) = televisions.list_televisions(session, person_id, now=now)
        with pytest.raises(NotFound):
            televisions.end_television(session, stranger, one.id, now=now)

    assert whose(token, now + timedelta(days=89)) == person_id  # used: ninety days begin anew
    assert whose(token, now + timedelta(days=178)) == person_id
    with pytest.raises(NotSignedIn):
        whose(token, now + timedelta(days=268))
    with transaction() as session:
        assert televisions.list_televisions(session, person_id, now=now + timedelta(days=268)) == []


def test_codes_are_forgotten_after_a_day(now):
    begin(now)
    with transaction() as session:
        televisions.forget_pairings(session, now=now + timedelta(days=2))
        assert session.connection().exec_driver_sql(
            "SELECT count(*) FROM television_pairing"
        ).scalar_one() == 0  # fmt: skip
