"""Why somebody looks: asked once in a session, about one resident, and never another's answer."""

import pytest

from core.db import transaction
from core.errors import Invalid
from identity import sign_in
from identity.looking import find_reason, state_reason
from identity.models import Role
from identity.people import get_person
from tests.conftest import NOW
from tests.factories import a_person

pytestmark = pytest.mark.usefixtures("city")


def a_session() -> str:
    with transaction() as session:
        person = get_person(session, a_person(Role.STAFF))
        return sign_in.start_session(session, person, now=NOW)[0]


def state(token: str, subject: str = "person:1", reason: str = "asked", words: str = "") -> None:
    with transaction() as session:
        state_reason(session, token, subject, reason=reason, words=words, now=NOW)


def reason_of(token: str, *subjects: str) -> str | None:
    with transaction() as session:
        found = find_reason(session, token, subjects)
        return None if found is None else found.said


def test_a_reason_holds_for_its_subject_in_its_session_alone():
    token, other = a_session(), a_session()

    state(token, reason="refund", words=" R26110001 ")

    assert reason_of(token, "person:1") == "refund: R26110001"
    assert reason_of(token, "account:9", "person:1") == "refund: R26110001"
    assert reason_of(token, "person:2") is None
    assert reason_of(other, "person:1") is None


def test_the_first_reason_stands():
    token = a_session()

    state(token, reason="complaint")
    state(token, reason="fraud")

    assert reason_of(token, "person:1") == "complaint"


@pytest.mark.parametrize(("reason", "words"), [("", "x"), ("because", ""), ("other", "  ")])
def test_no_reason_is_none(reason, words):
    token = a_session()

    with pytest.raises(Invalid):
        state(token, reason=reason, words=words)

    assert reason_of(token, "person:1") is None


def test_reasons_go_with_their_session():
    token = a_session()
    state(token)

    with transaction() as session:
        session.delete(session.get_one(sign_in.WebSession, sign_in.crypto.fingerprint(token)))

    assert reason_of(token, "person:1") is None
