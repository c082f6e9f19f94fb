"""Jobs about what gateways say of their days."""

from core.clock import utc_now
from core.db import transaction
from payments.reconciliation import arrivals
from workers.jobs import NotYet, job
from workers.start import outside


@job("payments.expect_settlements")
def expect(_day: str) -> None:
    """Note the settlement files that should come."""
    with transaction() as session:
        arrivals.expect(session, outside().gateways, now=utc_now())


@job("payments.fetch_settlement")
def fetch(subject: str) -> None:
    """Ask for a day's settlement file until it is here, and match it."""
    source, day = arrivals.read_subject(subject)
    again_seconds = arrivals.fetch(source, day, outside().gateways, now=utc_now())
    if again_seconds is not None:
        raise NotYet(again_seconds)
