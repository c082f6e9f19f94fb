"""N-9: what waits for the end of quiet hours follows a change of them, and none of it is lost."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import select

from core.db import transaction
from identity.models import Person
from notifications.choice.preferences import USUALLY, Settings, change_settings, reset
from notifications.choice.quiet import opens_at
from notifications.models import Held, Notice, NoticeState
from notifications.telling import Telling, tell_all
from tests.conftest import empty_city
from tests.factories import a_person

NIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)  # eleven in the evening in Shanghai
MORNING = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.usefixtures("city")


def tells(person_id, *refs, event="write_off.refused", now=NIGHT, **changes):
    with transaction() as session:
        person = session.get_one(Person, person_id)
        tellings = [Telling(event=event, person=person, subject_ref=ref, **changes) for ref in refs]
        tell_all(session, tellings, now=now)


def sets(person_id, *, now=NIGHT, **changes):
    with transaction() as session:
        change_settings(session, person_id, USUALLY._replace(**changes), now=now)


def waiting(channel="email"):
    with transaction() as session:
        found = session.exec(select(Notice).where(Notice.channel == channel).order_by(Notice.id))
        return list(found)


def test_who_moves_east_is_told_sooner():
    person = a_person()
    tells(person, "1", "2")
    assert {one.due_at for one in waiting()} == {MORNING}

    sets(person, zone="Asia/Tokyo")

    assert {one.due_at for one in waiting()} == {MORNING - HOUR}


def test_who_wants_no_quiet_hours_any_more_is_told_now():
    person = a_person()
    tells(person, "1")

    sets(person, quiet_from=None, quiet_until=None, now=NIGHT + HOUR)

    assert [one.due_at for one in waiting()] == [NIGHT + HOUR]


def test_where_it_is_day_it_goes_now():
    person = a_person()
    tells(person, "1")

    sets(person, zone="America/New_York")

    assert [one.due_at for one in waiting()] == [NIGHT]


def test_what_would_be_too_late_by_then_goes_now():
    person = a_person()
    tells(person, "1", expires_at=MORNING + HOUR)

    sets(person, quiet_until=time(9))

    assert [one.due_at for one in waiting()] == [NIGHT]


def test_going_back_to_what_is_usual_counts_too():
    person = a_person()
    sets(person, quiet_until=time(10))
    tells(person, "1")

    with transaction() as session:
        reset(session, person, now=NIGHT)

    assert [one.due_at for one in waiting()] == [MORNING]


def test_nothing_else_is_moved():
    """Not another's, not what a worker holds, not what waits behind another channel."""
    person, other = a_person(), a_person()
    tells(person, "1", "2")
    tells(other, "3")
    with transaction() as session:
        session.execute(
            text("UPDATE notice SET attempts = 1, due_at = :lease WHERE subject_ref = '2'"
                 " AND channel = 'email'"),
            {"lease": NIGHT + timedelta(minutes=1)},
        )  # fmt: skip

    sets(person, zone="Asia/Tokyo")

    assert [one.due_at for one in waiting()] == [
        MORNING - HOUR, NIGHT + timedelta(minutes=1), MORNING,
    ]  # fmt: skip
    assert {(one.due_at, one.held) for one in waiting("sms")} == {(None, Held.CHAIN)}


CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30]))
CHANGES = st.tuples(
    st.integers(0, 20 * 60),
    st.tuples(CLOCKS, CLOCKS).filter(lambda window: window[0] != window[1]),
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "Pacific/Chatham"]),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(CHANGES, min_size=1, max_size=5))
def test_after_any_changes_all_go_when_it_opens_none_inside_and_none_is_dropped(changes):
    empty_city()
    person = a_person()
    tells(person, *"12345")
    chosen, now, gone = USUALLY, NIGHT, {}

    def send_what_is_due(until):
        for one in waiting():
            if one.subject_ref not in gone and one.due_at <= until:
                gone[one.subject_ref] = one.due_at
                assert opens_at(one.due_at, *chosen[:3]) == one.due_at, "inside the quiet hours"
        with transaction() as session:  # as a worker leaves them
            session.execute(
                text("UPDATE notice SET attempts = 1, state = 'accepted', held = NULL"
                     " WHERE channel = 'email' AND subject_ref = ANY(:gone)"),
                {"gone": list(gone)},
            )  # fmt: skip

    for minutes, (quiet_from, quiet_until), zone in sorted(changes):
        later = NIGHT + timedelta(minutes=minutes)
        send_what_is_due(later)
        now, chosen = later, Settings(quiet_from, quiet_until, zone, *USUALLY[3:])
        with transaction() as session:
            change_settings(session, person, chosen, now=now)
    opens = opens_at(now, *chosen[:3])
    send_what_is_due(opens)

    assert len(gone) == 5, "all within a minute of its opening: they are due at that moment"
    assert all(one.state is not NoticeState.DROPPED for one in waiting())
