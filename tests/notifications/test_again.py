"""A notice goes once more to the contact on file, three times at most, and never a secret."""

import pytest
from sqlalchemy import text

from core.db import transaction
from core.errors import Conflict, NotFound, TooMany, UpstreamUnavailable
from identity.models import Person
from notifications.again import deliver_again, list_notices, send_again
from notifications.channels.base import Kind
from notifications.models import AgainState, NoticeAgain, NoticeState
from notifications.notices import send_sign_in_code
from tests.conftest import NOW
from tests.factories import Home, a_guest, a_home, a_paid_payment, topics
from tests.factories import a_person as staff
from tests.notifications.far import Far, a_notice, a_person, hand_over
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")


@pytest.fixture
def told():
    """Somebody with an address, and a notice that has gone there."""
    person = a_person(NOW, email="wang@example.com")
    notice_id = a_notice(person, NOW)
    hand_over(Far(), now=NOW)
    return person.id, notice_id


def send(person_id: int, notice_id: int, by: int | None = None) -> NoticeAgain:
    with transaction() as session:
        return send_again(session, person_id, notice_id, by=by or staff(), now=NOW)


def shown(person_id: int):
    with transaction() as session:
        return list_notices(session, person_id, limit=20)


def test_it_goes_to_the_contact_on_file_by_now_under_a_number_of_its_own(told):
    person_id, notice_id = told
    with transaction() as session:
        session.get_one(Person, person_id).email = "new@example.com"
    far = Far()

    send(person_id, notice_id)
    deliver_again(f"{notice_id}.1", {"email": [far]}, now=NOW)
    deliver_again(f"{notice_id}.1", {"email": [far]}, now=NOW)

    [message] = far.sent
    assert (message.address, message.title) == ("new@example.com", "题")
    assert message.message_id == f"notice-{notice_id}-again-1"
    assert [one.state for one in shown(person_id)[0].again] == [NoticeState.ACCEPTED]
    assert topics(like="notice.again") == ["notice.again"]


def test_three_times_and_no_more(told):
    person_id, notice_id = told
    for time in (1, 2, 3):
        assert shown(person_id)[0].may_go_again
        send(person_id, notice_id)
        deliver_again(f"{notice_id}.{time}", {"email": [Far()]}, now=NOW)

    assert not shown(person_id)[0].may_go_again
    with pytest.raises(TooMany):
        send(person_id, notice_id)


def test_what_is_on_its_way_waits_for_its_answer(told):
    person_id, notice_id = told
    send(person_id, notice_id)

    with pytest.raises(Conflict, match="on its way"):
        send(person_id, notice_id)


def test_two_at_the_same_moment_are_one(told):
    person_id, notice_id = told
    by = staff()

    def ask(_number: int) -> bool:
        try:
            send(person_id, notice_id, by)
        except Conflict:
            return False
        return True

    assert sorted(at_once(2, ask)) == [False, True]
    assert len(shown(person_id)[0].again) == 1


def test_a_code_and_the_inbox_are_never_sent_again():
    person = a_person(NOW, contact="wang@example.com", email="wang@example.com")
    with transaction() as session:
        send_sign_in_code(session, "wang@example.com", secret="s", now=NOW)
        code = session.execute(text("SELECT id FROM notice")).scalar_one()
    hand_over(Far(), now=NOW)
    inbox = a_notice(person, NOW, channel="inbox")

    for notice_id in (code, inbox):
        with pytest.raises(Conflict, match="cannot be sent again"):
            send(person.id, notice_id)
    assert not any(one.may_go_again for one in shown(person.id))


@pytest.mark.parametrize("fields", [
    {"event": "offer.made", "kind": Kind.COMMERCIAL, "state": NoticeState.ACCEPTED},
    {"event": "bill.due_soon", "state": NoticeState.DROPPED, "reason": "paid"},
    {"event": "bill.ready", "state": NoticeState.DROPPED, "reason": "expired"},
])  # fmt: skip
def test_an_offer_and_what_is_no_longer_so_are_never_sent_again(fields):
    person = a_person(NOW, email="wang@example.com")
    notice_id = a_notice(person, NOW, due_at=None, **fields)

    with pytest.raises(Conflict, match="cannot be sent again"):
        send(person.id, notice_id)
    assert not shown(person.id)[0].may_go_again


def a_bill_told() -> tuple[Home, int]:
    """A bill that its owner was told of by mail."""
    home = a_home(8_650)
    with transaction() as session:
        person = session.get_one(Person, home.owner_id)
        person.email = "wang@example.com"
    (account_id, bill_id) = home.refs[0]
    subject_ref = f"{account_id}.{bill_id}.1"
    return home, a_notice(person, NOW, event="bill.overdue", subject_ref=f"{subject_ref}.1")


def test_a_bill_that_was_paid_since_is_nobodys_to_be_reminded_of_again():
    home, notice_id = a_bill_told()
    hand_over(Far(), now=NOW)
    assert shown(home.owner_id)[0].may_go_again
    a_paid_payment(home)

    assert not shown(home.owner_id)[0].may_go_again
    with pytest.raises(Conflict, match="what is over"):
        send(home.owner_id, notice_id)


def test_nor_is_it_while_its_channel_was_away():
    home, notice_id = a_bill_told()
    hand_over(Far(), now=NOW)
    send(home.owner_id, notice_id)
    a_paid_payment(home)
    far = Far()

    deliver_again(f"{notice_id}.1", {"email": [far]}, now=NOW)

    assert far.sent == []
    assert shown(home.owner_id)[0].again[0].state is AgainState.FAILED


def test_a_channel_that_another_made_needless_is_one_to_send_it_over():
    person = a_person(NOW, email="wang@example.com")
    notice_id = a_notice(person, NOW, due_at=None, state=NoticeState.DROPPED, reason="reached")

    assert send(person.id, notice_id).time_no == 1


def test_its_file_goes_with_it():
    home = a_home(8_650)
    with transaction() as session:
        person = session.get_one(Person, home.owner_id)
        person.email = "wang@example.com"
    ref = f"statement:{home.household_id}:2026-11:zh_CN"
    notice_id = a_notice(person, NOW, event="statement.monthly", attachment_ref=ref)
    first, again = Far(), Far()
    hand_over(first, now=NOW)

    send(home.owner_id, notice_id)
    deliver_again(f"{notice_id}.1", {"email": [again]}, now=NOW)

    assert again.sent[0].attachments == first.sent[0].attachments != ()


def test_nobody_elses_notice_and_none_without_a_contact(told):
    person_id, notice_id = told
    with pytest.raises(NotFound):
        send(a_guest(), notice_id)
    with transaction() as session:
        session.get_one(Person, person_id).email = None

    with pytest.raises(Conflict):
        send(person_id, notice_id)


def test_a_channel_that_is_away_is_asked_again_and_a_no_is_kept(told):
    person_id, notice_id = told
    send(person_id, notice_id)

    with pytest.raises(UpstreamUnavailable):
        deliver_again(f"{notice_id}.1", {"email": [Far(answer=UpstreamUnavailable("x"))]}, now=NOW)
    assert shown(person_id)[0].again[0].state is AgainState.CREATED
    deliver_again(f"{notice_id}.1", {}, now=NOW)

    assert shown(person_id)[0].again[0].state is AgainState.FAILED
