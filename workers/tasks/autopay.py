"""Jobs about mandates and what is debited by them."""

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from payments import callbacks
from payments.autopay import debits, mandates, planning
from payments.autopay.models import Mandate
from payments.pauses import pause_seconds
from workers.jobs import NotYet, job
from workers.start import outside


@job("payments.plan_autopay")
def plan(_day: str) -> None:
    """Announce what will be debited, and have debited what is due."""
    with transaction() as session:
        debits.settle_late(session, now=utc_now())
    planning.plan(outside().gateways, now=utc_now())


@job("payments.settle_autopay")
def settle(_day: str) -> None:
    """Close the runs whose payment has come."""
    with transaction() as session:
        debits.settle(session, now=utc_now())


@job("payments.debit_autopay")
def debit(run_id: str) -> None:
    """Debit one announced bill."""
    url = settings().public_url
    again_seconds = debits.debit(
        int(run_id), outside().gateways, notify_url=callbacks.notify_url(url, "{gateway}"),
        return_url=f"{url}/payments/{{payment}}", now=utc_now(),
    )  # fmt: skip
    if again_seconds is not None:
        raise NotYet(again_seconds)


@job("payments.after_refusal")
def after_refusal(payment_id: str) -> None:
    """Decide what follows when a debit came to nothing."""
    if not debits.after_refusal(int(payment_id), outside().gateways, now=utc_now()):
        raise NotYet(600)


@job("payments.resolve_mandate")
def resolve_mandate(mandate_id: str) -> None:
    """Ask whether a payer has agreed until they have answered."""
    with transaction() as session:
        code = session.get_one(Mandate, int(mandate_id)).gateway
    mandate = mandates.resolve(
        int(mandate_id), mandates.debiting(outside().gateways, code),
        notify_url=callbacks.notify_url(settings().public_url, code), now=utc_now(),
    )  # fmt: skip
    after_seconds = mandates.ask_again_seconds(mandate, now=utc_now())
    if after_seconds is not None:
        raise NotYet(after_seconds)


@job("payments.end_mandate")
def end_mandate(mandate_id: str) -> None:
    """End at its gateway a mandate that has ended here."""
    with transaction() as session:
        mandate = session.get_one(Mandate, int(mandate_id))
    if not mandates.end_there(
        int(mandate_id), mandates.debiting(outside().gateways, mandate.gateway)
    ):
        raise NotYet(pause_seconds(utc_now() - mandate.status_at))
