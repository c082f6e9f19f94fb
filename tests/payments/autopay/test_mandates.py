"""A mandate's own life: given, refused, paused, ended, and what a gateway says of it."""

from datetime import timedelta

import pytest

from billing.models import HouseholdMember, MemberRole
from core.db import transaction
from core.errors import Conflict, Invalid, NotFound
from payments.autopay import mandates
from payments.autopay.mandates import Scope
from payments.autopay.models import Mandate
from payments.autopay.rules import CapKind, FirstBill, Rules
from payments.autopay.states import MandateStatus
from payments.gateways.base import MandateReply, MandateState
from tests.factories import CAN, NOW, FarGateway, Home, a_home, a_person, join, topics
from tests.payments.autopay.autopaying import (
    AGREED,
    UP_TO_200,
    FarDebits,
    a_mandate,
    the_mandate,
)
from tests.threads import at_once

pytestmark = pytest.mark.usefixtures("city")

SIGN = MandateReply(
    state=MandateState.OPEN, mandate_ref="ref-1", sign_url="https://pay.example/sign/1"
)
NOTIFY = "http://127.0.0.1:9/callbacks"


def a_new(
    home: Home, *, key: str = "k", person_id: int | None = None, at: int | None = 0,
    rules: Rules = UP_TO_200, gateway: str = "sandbox", minutes: int = 0,
) -> Mandate:  # fmt: skip
    scope = Scope(household_id=home.household_id)
    if at is not None:
        scope = Scope(account_id=home.refs[at][0])
    with transaction() as session:
        return mandates.create_mandate(
            session, person_id=person_id or home.owner_id, scope=scope, gateway=gateway,
            rules=rules, return_url="http://127.0.0.1:9/autopay/{mandate}", key=key,
            now=NOW + timedelta(minutes=minutes),
        )  # fmt: skip


def resolved(mandate: Mandate, far: FarDebits, *, hours: int = 0) -> Mandate:
    assert mandate.id is not None
    return mandates.resolve(mandate.id, far, notify_url=NOTIFY, now=NOW + timedelta(hours=hours))


class TestSetUp:
    def test_the_same_key_is_the_same_mandate_and_with_another_body_refused(self):  # rule 30
        home = a_home()

        first, again = a_new(home), a_new(home, minutes=5)

        assert first.id == again.id
        with pytest.raises(Conflict, match="another request"):
            a_new(home, rules=Rules(cap_kind=CapKind.MAX, cap_fen=1))
        assert topics(like="mandate.%") == ["mandate.created"]

    def test_a_day_later_the_key_is_free(self):  # rule 30
        home = a_home()
        first = a_new(home)

        later = a_new(home, minutes=24 * 60 + 1)

        assert later.id != first.id
        assert the_mandate(first).status is MandateStatus.ENDED

    def test_many_at_once_with_one_key_make_one(self):
        home = a_home()

        made = at_once(8, lambda _: a_new(home).id)

        assert len(set(made)) == 1

    def test_who_gives_up_at_the_gateway_may_begin_anew(self):
        home = a_home()
        first, second = a_new(home, key="a"), a_new(home, key="b")

        assert the_mandate(first).status is MandateStatus.ENDED
        assert the_mandate(second).status is MandateStatus.OPEN

    def test_bills_that_have_autopay_get_no_second(self):
        home = a_home()
        a_mandate(home)
        other = a_person()
        join(home, other, MemberRole.PAY)

        for person_id in (home.owner_id, other):
            with pytest.raises(Conflict, match="have autopay already"):
                a_new(home, person_id=person_id, key=f"k{person_id}")

    @pytest.mark.parametrize("at", [0, None])
    def test_who_may_not_pay_any_more_stands_in_nobodys_way(self, at):
        home, gone = a_home(), a_person()
        join(home, gone, MemberRole.PAY)
        with transaction() as session:
            scope = Scope(household_id=home.household_id) if at is None else Scope(home.refs[0][0])
            theirs = mandates.create_mandate(
                session, person_id=gone, scope=scope, gateway="sandbox", rules=UP_TO_200,
                return_url="http://127.0.0.1:9/autopay/{mandate}", key="theirs", now=NOW,
            )  # fmt: skip
            mandates.book_mandate(session, theirs.id or 0, AGREED, now=NOW)
        with transaction() as session:
            member = session.get_one(HouseholdMember, (home.household_id, gone))
            member.role = MemberRole.SEE

        made = a_new(home, at=at)

        ended = the_mandate(theirs)
        assert (ended.status, ended.reason) == (MandateStatus.ENDED, "not_allowed")
        assert made.status is MandateStatus.OPEN
        assert topics(like="mandate.ended") == ["mandate.ended"]

    def test_only_bills_that_somebody_may_pay(self):
        home, guest, stranger = a_home(), a_person(), a_person()
        join(home, guest, MemberRole.SEE)

        for person_id in (guest, stranger):
            for at in (0, None):
                with pytest.raises(NotFound):
                    a_new(home, person_id=person_id, at=at)

    def test_rules_that_do_not_fit_are_refused(self):
        with pytest.raises(Invalid):
            a_new(a_home(), rules=Rules(cap_kind=CapKind.MAX))

    def test_only_at_a_gateway_that_debits(self):
        can, cannot = FarDebits(), FarGateway(capabilities=CAN)

        assert mandates.debiting({"a": can}, "a") is can
        with pytest.raises(Invalid, match="can: sandbox"):
            mandates.debiting({"a": can, "b": cannot}, "b")
        with pytest.raises(Invalid):
            mandates.debiting({"a": can}, "c")


class TestAgreeing:
    def test_asked_for_once_with_what_the_first_bill_may_be(self):
        rules = Rules(cap_kind=CapKind.MAX, cap_fen=10_000, first_bill=FirstBill.MORE)
        mandate = a_new(a_home(), rules=rules)
        far = FarDebits(mandate=SIGN)

        signed = mandates.sign(mandate.id or 0, far, notify_url=NOTIFY, now=NOW)

        assert (signed.status, signed.sign_url) == (MandateStatus.OPEN, SIGN.sign_url)
        assert signed.signed_most_fen == 20_000

    @pytest.mark.parametrize(
        ("state", "status", "topic"),
        [
            (MandateState.ACTIVE, MandateStatus.ACTIVE, "mandate.active"),
            (MandateState.REFUSED, MandateStatus.REFUSED, "mandate.refused"),
            (MandateState.ENDED, MandateStatus.ENDED, "mandate.ended"),
        ],
    )
    def test_what_the_payer_did_is_asked_for_and_said_once(self, state, status, topic):
        mandate = a_new(a_home())
        far = FarDebits(mandate=MandateReply(state=state, mandate_ref="ref-1"))

        told = [resolved(mandate, far).status for _ in range(2)]

        assert told == [status, status]
        assert topics(like="mandate.%") == ["mandate.created", topic]

    def test_one_never_answered_ends_after_a_day(self):
        mandate = a_new(a_home())
        far = FarDebits(mandate=SIGN)

        assert resolved(mandate, far, hours=23).status is MandateStatus.OPEN
        assert resolved(mandate, far, hours=24).status is MandateStatus.ENDED
        assert the_mandate(mandate).reason == "not_signed"

    def test_not_knowing_changes_nothing(self):
        mandate = a_new(a_home())
        far = FarDebits(mandate=MandateReply(state=MandateState.UNKNOWN))

        assert resolved(mandate, far).status is MandateStatus.OPEN


class TestACallback:
    """It is only a question: what happened is asked."""

    def test_one_that_speaks_of_an_end_is_checked(self):
        mandate = a_mandate(a_home())
        far = FarDebits()

        assert mandates.look(mandate.mandate_no, far, NOW) is True
        assert the_mandate(mandate).status is MandateStatus.ACTIVE

        far.mandate = MandateReply(state=MandateState.ENDED)
        assert mandates.look(mandate.mandate_no, far, NOW) is True
        assert the_mandate(mandate).status is MandateStatus.ENDED

    @pytest.mark.parametrize("number", ["", "M", "M26100000000000x1", "M2610" + "9" * 30, "M26109"])
    def test_of_nothing_of_ours_is_not_found(self, number):
        a_mandate(a_home())
        with pytest.raises(NotFound):
            mandates.look(number, FarDebits(), NOW)

    def test_of_another_gateways_is_not_found(self):
        mandate = a_mandate(a_home(), gateway="other")
        with pytest.raises(NotFound):
            mandates.look(mandate.mandate_no, FarDebits(), NOW)

    def test_agreed_to_after_it_had_ended_here_is_ended_there(self):
        home = a_home()
        mandate = a_new(home)
        with transaction() as session:
            mandates.end(session, mandate.id or 0, home.owner_id, now=NOW)
        far = FarDebits()

        assert mandates.look(mandate.mandate_no, far, NOW) is True

        assert far.ended == [mandate.mandate_no]
        assert the_mandate(mandate).status is MandateStatus.ENDED


class TestOneTap:
    def test_pause_and_resume_are_said_once_each(self):
        home = a_home()
        mandate = a_mandate(home)

        for act in (mandates.pause, mandates.pause, mandates.resume, mandates.resume):
            with transaction() as session:
                told = act(session, mandate.id or 0, home.owner_id, now=NOW)

        assert told.status is MandateStatus.ACTIVE
        assert topics(like="mandate.%")[2:] == ["mandate.paused", "mandate.active"]

    def test_what_has_ended_is_neither_paused_nor_resumed(self):
        home = a_home()
        mandate = a_mandate(home)
        with transaction() as session:
            mandates.end(session, mandate.id or 0, home.owner_id, now=NOW)
            mandates.end(session, mandate.id or 0, home.owner_id, now=NOW)

        for act in (mandates.pause, mandates.resume):
            with pytest.raises(Conflict), transaction() as session:
                act(session, mandate.id or 0, home.owner_id, now=NOW)
        assert topics(like="mandate.ended") == ["mandate.ended"]

    def test_somebody_elses_is_not_found(self):
        mandate, stranger = a_mandate(a_home()), a_person()

        for act in (mandates.pause, mandates.resume, mandates.end):
            with pytest.raises(NotFound), transaction() as session:
                act(session, mandate.id or 0, stranger, now=NOW)

    def test_ended_here_it_is_ended_there_however_often(self):
        home = a_home()
        mandate, far = a_mandate(home), FarDebits()
        with transaction() as session:
            mandates.end(session, mandate.id or 0, home.owner_id, now=NOW)

        assert [mandates.end_there(mandate.id or 0, far) for _ in range(2)] == [True, True]

    @pytest.mark.parametrize(("cap_fen", "ok"), [(0, False), (1, True), (20_000, True),
                                                 (20_001, False)])  # fmt: skip
    def test_a_cap_may_change_up_to_what_was_signed(self, cap_fen, ok):
        home = a_home()
        mandate = a_mandate(home)

        def change() -> None:
            with transaction() as session:
                mandates.change_cap(session, mandate.id or 0, home.owner_id, cap_fen, now=NOW)

        if ok:
            change()
        else:
            with pytest.raises(Invalid):
                change()
        assert the_mandate(mandate).cap_fen == (cap_fen if ok else 20_000)

    def test_without_a_cap_there_is_none_to_change(self):
        home = a_home()
        mandate = a_mandate(home, Rules(cap_kind=CapKind.NONE))

        with pytest.raises(Conflict), transaction() as session:
            mandates.change_cap(session, mandate.id or 0, home.owner_id, 1, now=NOW)
