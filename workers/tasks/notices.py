"""Jobs about notices."""

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from notifications import notices
from workers.jobs import job
from workers.start import outside


@job("notices.receipt")
def receipt(payment_id: str) -> None:
    """Tell the payer that the money is here."""
    with transaction() as session:
        notices.tell_paid(
            session, int(payment_id), public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip


@job("notices.returned")
def returned(refund_no: str) -> None:
    """Tell the payer that money was sent back."""
    with transaction() as session:
        notices.tell_returned(
            session, refund_no, public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip


@job("notices.deliver")
def deliver(notice_id: str) -> None:
    """Hand a notice to its channel."""
    notices.deliver(int(notice_id), outside().channels, now=utc_now())
