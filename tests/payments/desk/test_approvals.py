"""One inbox for all that waits for a second person, each decided by its own room's rules."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import pytest

from core.clock import billing_date
from core.db import transaction
from core.errors import CityBillError, NotAllowed, NotFound
from identity.duties import Duty, propose_duty
from identity.models import Role
from payments.desk import approvals
from payments.desk.approvals import ROOMS, Answer, Kind, Waiting, may_decide
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair.deciding import as_shown
from payments.reconciliation.repair.models import Act
from tests.billing.test_terms import proposed as propose_terms
from tests.conftest import NOW
from tests.factories import a_home, a_paid_payment, a_person
from tests.payments.reconciliation.repairing import LIMITS, missing_there, the_break
from tests.payments.remittance import remitting
from tests.payments.returns.returning import a_confirmed_payment, a_wish, confirm, enter_payee
from tests.payments.returns.returning import propose as propose_refund
from tests.payments.returns.test_transfers import stuck

pytestmark = pytest.mark.usefixtures("city")
EVERY_DUTY = tuple(Duty)


def a_refund(by: int) -> str:
    return propose_refund(a_wish(a_confirmed_payment(8_650)), by).refund_no


def a_transfer(by: int) -> str:
    _, number = stuck(8_650)
    enter_payee(number, by)
    return number


def an_act(by: int) -> str:
    break_id = missing_there()[-1]
    with transaction() as session:
        act = repair.resolve(
            session, break_id, Act.ACCEPT, shown=as_shown(the_break(break_id)),
            reason="the bank has said so", by=by, limits=LIMITS, now=NOW,
        )  # fmt: skip
        return str(act.id)


def some_terms(by: int) -> str:
    return str(propose_terms(by, on=billing_date(NOW) + timedelta(days=3_000)))


def a_remittance(by: int) -> str:
    remitting.terms()
    return str(remitting.release(remitting.a_remittance(), by, above_fen=0).id)


def a_duty(by: int) -> str:
    person = a_person(Role.STAFF, duties=())
    with transaction() as session:
        return str(propose_duty(session, person, Duty.SERVICE, by=by, now=NOW).id)


MAKERS: dict[Kind, Callable[[int], str]] = {
    Kind.REFUND: a_refund, Kind.TRANSFER: a_transfer, Kind.BREAK_ACT: an_act,
    Kind.TERMS: some_terms, Kind.REMITTANCE: a_remittance, Kind.DUTY: a_duty,
}  # fmt: skip
WORDS = {Kind.TRANSFER: "BANK-1"}  # the bank's reference


def waiting(on_duty: Collection[Duty] = EVERY_DUTY, *, now: datetime = NOW) -> list[Waiting]:
    with transaction() as session:
        return approvals.list_waiting(session, on_duty, now=now)


def decide(kind: Kind, key: str, by: int, *, yes: bool, words: str = "") -> None:
    with transaction() as session:
        approvals.decide(session, kind, Answer(key, by, words, NOW), yes=yes)


@pytest.fixture
def people() -> tuple[int, int]:
    return a_person(Role.STAFF), a_person(Role.STAFF)


def test_every_kind_has_its_room_and_a_test():
    assert set(ROOMS) == set(MAKERS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
class TestEachKind:
    def test_it_waits_with_who_proposed_it_until_another_says_yes(self, kind, people):
        one, other = people
        key = MAKERS[kind](one)

        [found] = [each for each in waiting() if each.kind is kind]
        assert (found.key, found.by) == (key, one)
        assert may_decide(found, other)
        assert not may_decide(found, one)

        decide(kind, key, other, yes=True, words=WORDS.get(kind, ""))
        assert [each for each in waiting() if each.kind is kind] == []

    def test_its_own_proposer_is_refused_by_the_room(self, kind, people):
        one, _ = people
        key = MAKERS[kind](one)

        with pytest.raises(NotAllowed):
            decide(kind, key, one, yes=True, words=WORDS.get(kind, ""))

        assert [each.key for each in waiting() if each.kind is kind] == [key]

    def test_a_no_takes_it_out_of_the_inbox(self, kind, people):
        one, other = people
        key = MAKERS[kind](one)

        decide(kind, key, other, yes=False, words="无凭证")

        assert [each for each in waiting() if each.kind is kind] == []

    def test_only_whose_duty_it_is_sees_it(self, kind, people):
        MAKERS[kind](people[0])

        duty = ROOMS[kind].duty
        assert kind in {each.kind for each in waiting([duty])}
        assert kind not in {each.kind for each in waiting({*Duty} - {duty})}

    @pytest.mark.parametrize("key", ["0", "R0", "x", "٣", "999999999"])
    def test_what_is_not_there_is_not_found(self, kind, people, key):
        with pytest.raises(NotFound):
            decide(kind, key, people[1], yes=True, words="BANK-1")


def test_the_oldest_is_first_and_ones_own_do_not_count(people):
    one, other = people
    refund, act = a_refund(one), an_act(other)
    some_terms(one)

    found = waiting()

    assert [each.since for each in found] == sorted(each.since for each in found)
    assert {refund, act} <= {each.key for each in found}
    with transaction() as session:
        count = [approvals.count_waiting(session, EVERY_DUTY, by=by, now=NOW) for by in people]
    assert count == [1, 2]


def test_who_paid_is_no_second_person_to_their_own_refund(people):
    payer = a_person(Role.STAFF)
    payment = a_paid_payment(a_home(8_650, owner_id=payer))
    confirm(payment)
    propose_refund(a_wish(payment), people[0])

    [found] = waiting()

    assert not may_decide(found, payer)
    assert may_decide(found, people[1])


def test_what_a_room_refuses_changes_nothing(people):
    key = a_refund(people[0])

    with pytest.raises(CityBillError, match="say why"):
        decide(Kind.REFUND, key, people[1], yes=False)

    assert [each.key for each in waiting()] == [key]


def test_terms_whose_day_has_come_wait_for_nobody(people):
    some_terms(people[0])

    assert len(waiting()) == 1
    assert waiting(now=NOW + timedelta(days=3_000)) == []
