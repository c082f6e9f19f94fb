"""Jobs about notices."""

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from notifications import autopay_notices, notices
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


@job("notices.not_taken")
def not_taken(write_off_no: str) -> None:
    """Tell the payer that a company did not take the money."""
    with transaction() as session:
        notices.tell_not_taken(
            session, write_off_no, public_url=settings().public_url, now=utc_now(),
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


@job("notices.declined")
def declined(refund_no: str) -> None:
    """Tell the payer that a refund was declined."""
    with transaction() as session:
        notices.tell_declined(
            session, refund_no, public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip


@job("notices.autopay")
def autopay(run_id: str) -> None:
    """Tell the payer how a bill under autopay stands."""
    with transaction() as session:
        autopay_notices.tell_run(
            session, int(run_id), outside().gateways, public_url=settings().public_url,
            now=utc_now(),
        )  # fmt: skip


@job("notices.mandate")
def mandate(mandate_id: str) -> None:
    """Tell the payer that autopay has stopped, ended or never begun."""
    with transaction() as session:
        autopay_notices.tell_mandate(
            session, int(mandate_id), outside().gateways, public_url=settings().public_url,
            now=utc_now(),
        )  # fmt: skip


@job("notices.deliver")
def deliver(notice_id: str) -> None:
    """Hand a notice to its channel."""
    notices.deliver(int(notice_id), outside().channels, now=utc_now())
