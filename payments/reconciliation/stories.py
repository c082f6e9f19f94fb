"""The life of what a difference is about: bill, payment, gateway's row, write-off, people."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from identity.people import get_person
from payments.reconciliation.models import ReconciliationBreak
from payments.reconciliation.repair import list_acts
from payments.reconciliation.repair_models import Act, ActState, BreakAct

_DAY_ONLY = datetime.min.replace(tzinfo=UTC)  # before whatever has an hour on its day


class Step(NamedTuple):
    """One thing that happened; ``what`` names the sentence that tells it."""

    what: str
    on: date
    at: datetime | None = None  # none: only the day is known
    fen: int | None = None
    reference: str | None = None
    who: str | None = None
    note: str | None = None


# The one payment a difference is about, whichever number names it.
_PAYMENT = text("""
    SELECT id FROM payment WHERE order_no = :reference
    UNION SELECT payment_id FROM refund WHERE refund_no = :reference
    UNION SELECT payment_id FROM payment_item WHERE write_off_no = :reference
    LIMIT 1
""")

_MONEY = text("""
    SELECT 'bill' AS what, NULL AS at, b.issued_on AS issued_on, b.amount_fen AS fen,
           b.bill_no AS reference
    FROM payment_item i JOIN bill b ON b.account_id = i.account_id AND b.id = i.bill_id
    WHERE i.payment_id = :payment_id
    UNION ALL
    SELECT 'started', created_at, NULL, amount_fen, order_no FROM payment WHERE id = :payment_id
    UNION ALL
    SELECT 'paid', paid_at, NULL, amount_fen, gateway_ref FROM payment
    WHERE id = :payment_id AND paid_at IS NOT NULL
    UNION ALL
    SELECT status, status_at, NULL, NULL, order_no FROM payment
    WHERE id = :payment_id AND status IN ('refused', 'expired')
    UNION ALL
    SELECT outcome, outcome_at, NULL, amount_fen, write_off_no FROM payment_item
    WHERE payment_id = :payment_id AND outcome IN ('written_off', 'returning', 'returned')
    UNION ALL
    SELECT 'suspended', received_at, NULL, amount_fen, source_ref FROM receipt
    WHERE payment_id = :payment_id
    UNION ALL
    SELECT 'refunded', succeeded_at, NULL, amount_fen, refund_no FROM refund
    WHERE payment_id = :payment_id AND succeeded_at IS NOT NULL
""")

# The gateway's rows of it, in files of the days around.
_ROWS = text("""
    SELECT DISTINCT r.happened_at AS at, r.amount_fen AS fen, r.gateway_ref AS reference
    FROM settlement_file f JOIN settlement_row r ON r.settlement_file_id = f.id
    WHERE f.source = :source AND f.day BETWEEN CAST(:day AS date) - 2 AND CAST(:day AS date) + 7
      AND r.kind = :row_kind AND r.reference = :reference
""")

# What its company's lists say of it.
_LISTED = text("""
    SELECT DISTINCT 'list_' || r.kind AS what, f.day, r.written_off_at AS at, r.amount_fen AS fen,
           nullif(r.receipt_no, '') AS reference
    FROM confirmation_row r JOIN confirmation_file f ON f.id = r.confirmation_file_id
    WHERE r.write_off_no IN (SELECT write_off_no FROM payment_item WHERE payment_id = :payment_id)
""")


def payment_of(session: Session, reference: str) -> int | None:
    """Return the id of the payment that a reference of a difference names; None: none of ours."""
    found: int | None = session.execute(_PAYMENT, {"reference": reference}).scalar_one_or_none()
    return found


def story_of(session: Session, found: ReconciliationBreak) -> list[Step]:
    """Return everything known about what a difference is about, in order."""
    steps = [Step("found", billing_date(found.found_at), found.found_at)]
    values = {
        "payment_id": payment_of(session, found.reference), "source": found.source,
        "day": found.day, "row_kind": found.row_kind, "reference": found.reference,
    }  # fmt: skip
    if values["payment_id"] is not None:
        for row in session.execute(_MONEY, values):
            on = row.issued_on or billing_date(row.at)
            steps.append(Step(row.what, on, row.at, row.fen, row.reference))
        for row in session.execute(_LISTED, values):
            on = row.day if row.at is None else billing_date(row.at)
            steps.append(Step(row.what, on, row.at, row.fen, row.reference))
    steps += [
        Step("their_row", billing_date(row.at), row.at, row.fen, row.reference)
        for row in session.execute(_ROWS, values)
    ]
    assert found.id is not None
    for act in list_acts(session, found.id):
        steps += _steps_of(session, act)
    if found.closed_at is not None and found.state == "explained":
        steps.append(Step("explained", billing_date(found.closed_at), found.closed_at))
    return sorted(steps, key=lambda step: (step.on, step.at or _DAY_ONLY))


def _steps_of(session: Session, act: BreakAct) -> list[Step]:
    def who(person_id: int | None) -> str | None:
        return None if person_id is None else get_person(session, person_id).name

    def step(what: str, at: datetime, by: int | None = None, note: str | None = None) -> Step:
        return Step(what, billing_date(at), at, who=who(by), note=note)

    waited = act.needs_two and act.act is not Act.UNDO
    steps = [
        step(f"{act.act}_proposed" if waited else act.act, act.proposed_at, act.proposed_by,
             act.reason)
    ]  # fmt: skip
    if act.approved_at is not None:
        steps.append(step("approved", act.approved_at, act.approved_by))
    if act.state is ActState.DECLINED and act.declined_at is not None:
        steps.append(step("declined", act.declined_at, act.declined_by))
    if act.answered_at is not None:
        steps.append(step("answered", act.answered_at, note=act.answer))
    return steps
