"""What all runs of gateways' days have left."""

from sqlmodel import Session, col, select

from payments.reconciliation.gateway.matching import ReconciliationResult, get_result
from payments.reconciliation.models import Reconciliation


def list_results(session: Session) -> list[ReconciliationResult]:
    """The days, newest first."""
    runs = session.exec(
        select(Reconciliation).order_by(col(Reconciliation.day).desc(), col(Reconciliation.source))
    )
    return [get_result(session, run.source, run.day) for run in runs.all()]
