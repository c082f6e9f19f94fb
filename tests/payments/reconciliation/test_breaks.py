"""A difference keeps its age through runs, is explained by a later one, or resolved by a person."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from core.db import transaction
from payments.reconciliation.models import BreakState, ReconciliationBreak
from tests.factories import NOW, a_home, a_paid_payment
from tests.payments.reconciliation.test_matching import a_file, breaks, row_of, run

pytestmark = pytest.mark.usefixtures("city")
LATER = NOW + timedelta(hours=5)


def the_break() -> ReconciliationBreak:
    with transaction() as session:
        row = session.execute(text("SELECT id FROM reconciliation_break")).scalar_one()
        return session.get_one(ReconciliationBreak, row)


def resolve() -> None:
    with transaction() as session:
        session.execute(
            text("UPDATE reconciliation_break SET state = 'resolved', closed_at = now()")
        )


def test_found_again_it_is_as_old_as_it_was():
    payment = a_paid_payment(a_home())
    for at, amount in ((NOW, "1.00"), (LATER, "2.00")):
        run(a_file([row_of(payment, amount=amount)]), now=at)

    found = the_break()
    assert (found.found_at, found.theirs_fen) == (NOW, 200)
    assert found.due_at == NOW + timedelta(days=1)


def test_a_later_file_explains_it():
    payment = a_paid_payment(a_home())
    run(a_file([]))
    run(a_file([row_of(payment)]), now=LATER)

    assert breaks() == []
    assert (the_break().state, the_break().closed_at) == (BreakState.EXPLAINED, LATER)


def test_explained_and_found_again_it_is_young():
    payment = a_paid_payment(a_home())
    for at, rows in ((NOW, []), (NOW, [row_of(payment)]), (LATER, [])):
        run(a_file(rows), now=at)

    assert (the_break().state, the_break().found_at) == (BreakState.OPEN, LATER)


def test_what_a_person_resolved_stays_so_until_it_is_another_difference():
    payment = a_paid_payment(a_home())
    run(a_file([row_of(payment, amount="1.00")]))
    resolve()

    run(a_file([row_of(payment, amount="1.00")]), now=LATER)
    assert (breaks(), the_break().state) == ([], BreakState.RESOLVED)

    run(a_file([row_of(payment, amount="1.01")]), now=LATER)
    assert [one.theirs_fen for one in breaks()] == [101]
    assert the_break().found_at == LATER
