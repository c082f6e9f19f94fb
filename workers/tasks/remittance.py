"""Jobs that pay companies: what is due is worked out, people let it go."""

from core.clock import utc_now
from payments.remittance.runs import propose_due
from workers.jobs import job


@job("upkeep.remit")
def remit(_period: str) -> None:
    propose_due(now=utc_now())
