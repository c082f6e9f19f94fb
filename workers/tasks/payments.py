"""Jobs about payments: ask the outside, then call one domain function."""

from collections.abc import Sequence

from core.clock import utc_now
from core.db import looking, transaction
from core.settings import settings
from payments import callbacks, checkout, write_offs
from payments.returns import chargebacks, refunds, suspense
from workers.jobs import Ends, NotYet, Over, job, job_set
from workers.start import outside


@job("payments.resolve")
def resolve(payment_id: str) -> None:
    """Ask what became of a payment until its outcome is final."""
    with transaction() as session:
        code = checkout.waits_for(session, int(payment_id))
    if code is None:
        return
    gateway = outside().gateways.get(code)
    payment = checkout.resolve(
        int(payment_id),
        gateway,
        notify_url=callbacks.notify_url(settings().public_url, code),
        now=utc_now(),
    )
    after_seconds = checkout.poll_again_seconds(payment, gateway, now=utc_now())
    if after_seconds is not None:
        raise NotYet(after_seconds)


@job_set("payments.resolve")
def resolve_all(payment_ids: Sequence[str], _over: Over) -> Ends:
    """Leave those payments that have ended meanwhile, which is nearly all of them."""
    with looking() as session:
        ended = checkout.list_ended(session, [int(one) for one in payment_ids])
    return dict.fromkeys(map(str, ended))


@job("payments.callback")
def callback(callback_id: str) -> None:
    """Act on a gateway's callback: it says there is news, the gateway's own answer says what."""
    if not callbacks.process(int(callback_id), outside().gateways, now=utc_now()):
        with transaction() as session:
            raise NotYet(callbacks.look_again_seconds(session, int(callback_id), now=utc_now()))


@job_set("payments.callback")
def all_callbacks(callback_ids: Sequence[str], over: Over) -> Ends:
    """Act on many callbacks."""
    ids = [int(one) for one in callback_ids]
    ends = callbacks.process_all(ids, outside().gateways, now=utc_now(), over=over)
    return {str(callback_id): again for callback_id, again in ends.items()}


@job("payments.write_off")
def write_off(write_off_no: str) -> None:
    """Tell a company that its bill was paid, until it has said yes or no."""
    if not write_offs.send(write_off_no, outside().utilities, now=utc_now()):
        with transaction() as session:
            raise NotYet(write_offs.send_again_seconds(session, write_off_no, now=utc_now()))


@job_set("payments.write_off")
def write_all_off(write_off_nos: Sequence[str], over: Over) -> Ends:
    """Tell companies of many bills that were paid."""
    return write_offs.send_all(write_off_nos, outside().utilities, now=utc_now(), over=over)


@job("payments.refund")
def refund(refund_no: str) -> None:
    """Send money back, until the gateway has done so."""
    if not refunds.send(refund_no, outside().gateways, now=utc_now()):
        raise NotYet(refunds.ask_again_seconds(refund_no, now=utc_now()))


@job("payments.send_back")
def send_back(receipt_id: str) -> None:
    """Send suspended money back, until the gateway has done so."""
    if not suspense.send_back(int(receipt_id), outside().gateways, now=utc_now()):
        raise NotYet(suspense.ask_again_seconds(int(receipt_id), now=utc_now()))


@job("payments.dispute")
def dispute(chargeback_id: str) -> None:
    """Ask how a dispute stands, until it is decided."""
    if not chargebacks.ask_again(int(chargeback_id), outside().gateways, now=utc_now()):
        raise NotYet(chargebacks.ASK_EVERY_SECONDS)
