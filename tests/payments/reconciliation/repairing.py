"""Differences to repair, and the people who do it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from core.db import transaction
from identity.models import Role
from payments.models import Payment
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair import deciding as repair
from payments.reconciliation.repair.deciding import Limits, as_shown
from payments.reconciliation.repair.models import Act, BreakAct
from tests.factories import NOW, a_home, a_paid_payment, a_person
from tests.payments.reconciliation.test_matching import a_file, row_of, run

LIMITS = Limits(approval_above_fen=5_000, tolerance_fen=100)
ALONE = LIMITS._replace(approval_above_fen=10**9, refund_approval_above_fen=10**9)
LATER = NOW + timedelta(hours=5)


def staff() -> int:
    return a_person(Role.STAFF)


def a_paid() -> Payment:
    return a_paid_payment(a_home(8_650))


def differs(*, theirs: str = "86.48", payment: Payment | None = None) -> int:
    """A difference: we have 86.50 yuan, the gateway something else."""
    run(a_file([row_of(payment or a_paid(), amount=theirs)]))
    return newest()


def missing_there(how_many: int = 1) -> list[int]:
    """Differences of 86.50 yuan each: the gateway's file knows nothing of them."""
    for _ in range(how_many):
        a_paid()
    run(a_file([]))
    with transaction() as session:
        found = session.execute(text("SELECT id FROM reconciliation_break ORDER BY id"))
        return list(found.scalars())


def newest() -> int:
    with transaction() as session:
        return int(session.execute(text("SELECT max(id) FROM reconciliation_break")).scalar_one())


def the_break(break_id: int) -> ReconciliationBreak:
    with transaction() as session:
        return repair.get_break(session, break_id)


def acts_of(break_id: int) -> list[BreakAct]:
    with transaction() as session:
        return repair.list_acts(session, break_id)


def do(break_id: int, act: Act = Act.ACCEPT, *, by: int | None = None, **changes: Any) -> BreakAct:
    """Do an act about a difference as it stands, by somebody of the staff."""
    person = by or a_person(Role.STAFF)
    asked: dict[str, Any] = {
        "shown": as_shown(the_break(break_id)), "reason": "known to the bank", "limits": LIMITS,
        "now": NOW,
    }  # fmt: skip
    with transaction() as session:
        return repair.resolve(session, break_id, act, by=person, **asked | changes)
