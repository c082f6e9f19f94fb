"""Jobs about payments: ask the outside, then call one domain function."""

from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from payments import callbacks, checkout, refunds, suspense, write_offs
from payments.gateways import gateway_named
from payments.models import Payment
from workers.jobs import NotYet, job
from workers.start import outside


@job("payments.resolve")
def resolve(payment_id: str) -> None:
    """Ask what became of a payment until its outcome is final."""
    with transaction() as session:
        code = session.get_one(Payment, int(payment_id)).gateway
    payment = checkout.resolve(
        int(payment_id),
        gateway_named(outside().gateways, code),
        notify_url=callbacks.notify_url(settings().public_url, code),
        now=utc_now(),
    )
    after_seconds = checkout.poll_again_seconds(payment, now=utc_now())
    if after_seconds is not None:
        raise NotYet(after_seconds)


@job("payments.callback")
def callback(callback_id: str) -> None:
    """Act on a gateway's callback: it says there is news, the gateway's own answer says what."""
    if not callbacks.process(int(callback_id), outside().gateways):
        raise NotYet(5)


@job("payments.write_off")
def write_off(write_off_no: str) -> None:
    """Tell a company that its bill was paid, until it has said yes or no."""
    if not write_offs.send(write_off_no, outside().utilities):
        raise NotYet(30)


@job("payments.refund")
def refund(refund_no: str) -> None:
    """Send money back, until the gateway has done so."""
    if not refunds.send(refund_no, outside().gateways):
        raise NotYet(30)


@job("payments.send_back")
def send_back(receipt_id: str) -> None:
    """Send suspended money back, until the gateway has done so."""
    if not suspense.send_back(int(receipt_id), outside().gateways):
        raise NotYet(30)
