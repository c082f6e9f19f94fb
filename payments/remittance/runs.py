"""The hourly run: every company's next remittance, and accounts that its terms have changed."""

from datetime import datetime

from sqlmodel import col, select

from core.db import transaction
from payments.remittance.models import TO_RELEASE, Remittance
from payments.remittance.planning import propose
from payments.remittance.shares import refresh
from providers.registry import provider_codes


def propose_due(*, now: datetime) -> int:
    """Work out what is due by now, each company in a transaction of its own; returns how many.

    May be run at any time, by any number at once.
    """
    made = 0
    for provider_code in provider_codes():
        with transaction() as session:
            made += propose(session, provider_code, now=now) is not None
    with transaction() as session:
        to_release = select(col(Remittance.id)).where(col(Remittance.state).in_(TO_RELEASE))
        waiting = session.exec(to_release.order_by(col(Remittance.id))).all()
    for remittance_id in waiting:
        with transaction() as session:
            refresh(session, remittance_id, now=now)
    return made
