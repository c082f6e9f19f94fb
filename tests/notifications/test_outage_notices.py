"""What a company says of its service reaches those it concerns, once, and nobody else."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.models import MemberRole
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound
from identity.models import Role
from notifications import outage_notices, reaching
from notifications.models import Reach, ServiceKind
from notifications.outage_notices import Draft
from notifications.still_so import over
from tests.conftest import NOW
from tests.factories import Home, a_home, a_person, a_record, bring_in, join, topics
from tests.notifications.events import URL, events, one_by_one, told

pytestmark = pytest.mark.usefixtures("city")
HOUR = timedelta(hours=1)


def a_draft(**changes: Any) -> Draft:
    draft = Draft(
        kind=ServiceKind.OUTAGE, words_zh="主管抢修。", words_en="A main burst.", from_at=NOW,
        until_at=NOW + 5 * HOUR, reach=Reach.ALL,
    )  # fmt: skip
    return draft._replace(**changes)


def a_message(**changes: Any) -> int:
    operator = a_person(Role.OPERATOR)
    with transaction() as session:
        message = outage_notices.write(
            session, "water", a_draft(**changes), made_by=operator, now=NOW
        )
        assert message.id is not None
        return message.id


def send(message_id: int, *, now: datetime = NOW) -> None:
    """Send a message and tell everybody."""
    with transaction() as session:
        outage_notices.send(session, message_id, "water", now=now)
    tell(message_id, now=now)


def tell(message_id: int, *, now: datetime = NOW) -> None:
    reached = 1
    while reached:
        with transaction() as session:
            reached = outage_notices.tell_some(session, message_id, public_url=URL, now=now)


def end(message_id: int) -> None:
    reached = 1
    with transaction() as session:
        outage_notices.end(session, message_id, "water", now=NOW + HOUR)
    while reached:
        with transaction() as session:
            reached = outage_notices.tell_some_over(
                session, message_id, public_url=URL, now=NOW + HOUR
            )


@pytest.fixture
def homes(monkeypatch: pytest.MonkeyPatch) -> list[Home]:
    """Three homes: two of water, of them one in the Zhongshan road; and one of gas alone."""
    monkeypatch.setattr(outage_notices, "BATCH_ACCOUNTS", 1)
    here, there = a_home(), a_home()
    bring_in("water", a_record(there.account_nos[0], bill_no="B2", address="中山路9号"))
    with transaction() as session:
        session.execute(
            text("UPDATE utility_account SET address = '中山路9号' WHERE id = :id"),
            {"id": there.refs[0][0]},
        )
    gas = a_home(1, 2, 3)
    with transaction() as session:
        session.execute(
            text("DELETE FROM household_account WHERE account_id = ANY(:ids)"),
            {"ids": [gas.refs[0][0], gas.refs[1][0]]},
        )
    one_by_one()
    return [here, there, gas]


def reached() -> set[int]:
    return {one.person_id for one in told(like="outage.announced")}


class TestWhomItReaches:
    def test_everybody_of_the_company(self, homes):
        send(a_message())

        assert reached() == {homes[0].owner_id, homes[1].owner_id}

    def test_those_whose_address_begins_like_this(self, homes):
        send(a_message(reach=Reach.ADDRESS, address_prefix="中山路"))

        assert reached() == {homes[1].owner_id}

    def test_those_whose_accounts_are_listed(self, homes):
        numbers = (*homes[0].account_nos, "0000000000", *homes[2].account_nos)
        send(a_message(reach=Reach.ACCOUNTS, account_nos=numbers))

        assert reached() == {homes[0].owner_id}

    def test_the_preview_counts_them(self, homes):
        message_id = a_message()
        with transaction() as session:
            message = outage_notices.find_message(session, message_id, "water")
            assert reaching.reached(session, message) == (2, 2)

    def test_a_person_with_two_accounts_is_told_once(self, homes):
        join(homes[1], homes[0].owner_id, MemberRole.SEE)

        send(a_message())

        assert len(told(like="outage.announced")) == 2

    def test_told_in_the_readers_language_with_the_hours_of_the_city(self, homes):
        with transaction() as session:
            session.execute(
                text("UPDATE person SET locale = 'zh_CN' WHERE id = :id"),
                {"id": homes[1].owner_id},
            )
        send(a_message())

        english, chinese = sorted(
            told(like="outage.announced"), key=lambda one: one.person_id == homes[1].owner_id
        )
        assert "A main burst." in english.body
        assert "20 November, 12:00 until 20 November, 17:00" in english.body
        assert ("主管抢修。" in chinese.body, "停水通知" in chinese.title) == (True, True)
        assert "11月20日 12:00至11月20日 17:00" in chinese.body


class TestItsLife:
    def test_a_second_sending_tells_nobody_twice(self, homes):
        message_id = a_message()
        send(message_id)
        send(message_id)

        assert len(told(like="outage.announced")) == 2
        assert topics(like="service_message.%") == ["service_message.sent"]

    def test_a_killed_run_goes_on_where_it_was(self, homes):
        message_id = a_message()
        with transaction() as session:
            outage_notices.send(session, message_id, "water", now=NOW)
            outage_notices.tell_some(session, message_id, public_url=URL, now=NOW)
        assert len(told()) == 1

        tell(message_id)

        assert len(told()) == 2

    def test_its_end_is_told_to_those_who_were_told_of_it(self, homes):
        message_id = a_message()
        send(message_id)
        newcomer = a_person()
        join(homes[0], newcomer, MemberRole.SEE)

        end(message_id)

        assert {one.person_id for one in told(like="outage.over")} == reached()
        assert newcomer not in reached()

    def test_once_it_is_over_the_announcement_is_not_told_any_more(self, homes):
        message_id = a_message()
        with transaction() as session:
            outage_notices.send(session, message_id, "water", now=NOW)
            outage_notices.tell_some(session, message_id, public_url=URL, now=NOW)
        with transaction() as session:
            outage_notices.end(session, message_id, "water", now=NOW)
        tell(message_id)

        with transaction() as session:
            assert set(over(session, told()).values()) == {"over"}
        assert events() == ["outage.announced"]

    def test_withdrawn_before_it_was_sent_it_is_never_sent(self, homes):
        message_id = a_message()
        with transaction() as session:
            outage_notices.withdraw(session, message_id, "water", now=NOW)

        with pytest.raises(Conflict, match="withdrawn"):
            send(message_id)
        assert events() == []

    def test_what_was_sent_is_not_withdrawn_and_what_was_not_is_not_over(self, homes):
        message_id = a_message()
        with pytest.raises(Conflict, match="withdraw it"):
            end(message_id)
        send(message_id)
        with transaction() as session, pytest.raises(Conflict, match="over instead"):
            outage_notices.withdraw(session, message_id, "water", now=NOW)

    def test_what_is_over_already_is_not_sent(self, homes):
        message_id = a_message()
        with pytest.raises(Conflict, match="over"):
            send(message_id, now=NOW + 6 * HOUR)

    def test_another_companys_message_is_not_found(self, homes):
        message_id = a_message()
        with transaction() as session, pytest.raises(NotFound):
            outage_notices.send(session, message_id, "power", now=NOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"words_zh": " "}, "service_message.words"),
        ({"words_en": ""}, "service_message.words"),
        ({"words_zh": "停" * 501}, "service_message.words"),
        ({"until_at": NOW}, "service_message.until"),
        ({"from_at": NOW - 9 * HOUR, "until_at": NOW - HOUR}, "service_message.until"),
        ({"reach": Reach.ADDRESS, "address_prefix": " 中 "}, "service_message.address"),
        ({"reach": Reach.ACCOUNTS}, "service_message.accounts"),
    ],
)
def test_what_is_not_whole_is_refused(session, changes, code):
    with pytest.raises(Invalid) as refused:
        outage_notices.write(session, "water", a_draft(**changes), made_by=1, now=NOW)
    assert refused.value.code == code
