"""Jobs that pay companies: what is due is worked out, people let it go, the company is told."""

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from notifications import remittance_notices
from payments.remittance.runs import propose_due
from workers.jobs import job


@job("upkeep.remit")
def remit(_period: str) -> None:
    propose_due(now=utc_now())


@job("notices.remitted")
def remitted(remittance_id: str) -> None:
    """Tell a company's people that its money has gone to our bank."""
    with transaction() as session:
        remittance_notices.tell_sent(
            session, int(remittance_id), public_url=settings().public_url, now=utc_now()
        )


@job("notices.remittance_returned")
def remittance_returned(payment_id: str) -> None:
    """Tell a company's people that the bank brought some of it back."""
    with transaction() as session:
        remittance_notices.tell_returned(
            session, int(payment_id), public_url=settings().public_url, now=utc_now()
        )
