"""What payers' banks took back, in a gateway's file and in our books: laid side by side."""

import io
from datetime import date, timedelta

import pytest

from core.db import transaction
from payments.gateways.base import DisputeState, SettlementRecord
from payments.models import Payment
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway.matching import ReconciliationResult, reconcile
from tests.factories import NOW, a_home, a_paid_payment
from tests.payments.reconciliation.test_matching import DAY, NEXT, one_fen_more
from tests.payments.returns.returning import Disputed, the_chargeback

pytestmark = pytest.mark.usefixtures("city")
LOST, OPEN, WON = DisputeState.LOST, DisputeState.OPEN, DisputeState.WON


def a_row(payment: Payment, kind: str, fen: int, ref: str, **changes: object) -> SettlementRecord:
    row = SettlementRecord(
        line_no=1, kind=kind, reference=payment.order_no, gateway_ref=ref, amount_fen=fen,
        fee_fen=0, happened_at=NOW,
    )  # fmt: skip
    return row._replace(**changes)


def told(far: Disputed, *rows: SettlementRecord, day: date = DAY) -> ReconciliationResult:
    far.rows = [row._replace(line_no=at) for at, row in enumerate(rows, start=1)]
    stream = io.BytesIO(repr(rows).encode())
    with transaction() as session:
        return reconcile(session, far, stream, day=day, file_name="d.csv", now=NOW)


def found(day: date = DAY) -> list[tuple[str, str, int | None, int | None]]:
    with transaction() as session:
        return [(one.kind.value, one.row_kind, one.ours_fen, one.theirs_fen)
                for one in list_breaks(session, "sandbox", day)]  # fmt: skip


@pytest.fixture
def paid() -> tuple[Disputed, Payment, SettlementRecord]:
    """A gateway, a payment it took, and the row that says so."""
    payment = a_paid_payment(a_home(8_650))
    return Disputed(), payment, a_row(payment, "payment", 8_650, payment.gateway_ref or "")


@pytest.mark.parametrize("state", [OPEN, LOST])
def test_money_taken_back_on_both_sides_is_no_difference(paid, state):
    far, payment, taken = paid
    far.says(payment, state, decided_at=NOW)

    result = told(far, taken, a_row(payment, "chargeback", -8_650, "dp-1"))

    assert (found(), result.matched) == ([], 2)


def test_a_dispute_that_was_won_is_there_and_back_in_two_rows_of_one_number(paid):
    far, payment, taken = paid
    far.says(payment, WON, decided_at=NOW)
    there, back = (a_row(payment, "chargeback", fen, "dp-1") for fen in (-8_650, 8_650))

    assert (told(far, taken, there, back).breaks, found()) == (0, [])
    assert told(far, taken, there).breaks == 1
    assert found() == [("amount_differs", "chargeback", 0, -8_650)]
    assert told(far, taken, there, there, back).breaks == 1
    assert found() == [("duplicate", "chargeback", 0, -8_650)]


def test_won_on_another_day_it_stands_in_that_days_file(paid):
    far, payment, taken = paid
    far.says(payment, WON, decided_at=NOW + timedelta(days=1))

    told(far, taken, a_row(payment, "chargeback", -8_650, "dp-1"))
    back = a_row(payment, "chargeback", 8_650, "dp-1", happened_at=NOW + timedelta(days=1))
    told(far, back, day=NEXT)

    assert (found(), found(NEXT)) == ([], [])


def test_of_one_that_only_the_gateway_knows_we_are_told(paid):
    far, payment, taken = paid

    told(far, taken, a_row(payment, "chargeback", -8_650, "dp-1"))

    assert found() == [("missing_here", "chargeback", None, -8_650)]


def test_one_that_only_we_know_may_be_in_the_next_days_file_and_then_is_missing(paid):
    far, payment, taken = paid
    far.says(payment, OPEN)

    told(far, taken)
    told(far, day=NEXT)

    assert found() == [("missing_at_gateway", "chargeback", -8_650, None)]


def test_one_that_names_no_order_of_ours_is_found_by_its_own_number(paid):
    far, payment, taken = paid
    far.says(payment, OPEN)

    told(far, taken, a_row(payment, "chargeback", -8_650, "dp-1", reference=""))

    assert found() == []


def test_a_days_files_may_tell_of_it_a_day_late(paid):
    far, payment, taken = paid
    far.says(payment, OPEN)

    told(far, taken)
    told(far, a_row(payment, "chargeback", -8_650, "dp-1"), day=NEXT)

    assert (found(), found(NEXT)) == ([], [])


def test_a_ledger_that_says_otherwise_is_named(paid):
    far, payment, taken = paid
    far.says(payment, OPEN)
    one_fen_more(f"chargeback:{the_chargeback().id}")

    told(far, taken, a_row(payment, "chargeback", -8_650, "dp-1"))

    assert found() == [("ledger_differs", "chargeback", -8_650, -8_651)]
