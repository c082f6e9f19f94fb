"""Jobs about notices."""

from collections.abc import Sequence

from billing.bills import parse_ref
from core.clock import utc_now
from core.db import acting, transaction
from core.settings import settings
from notifications import again, autopay_notices, complaint_notices, digests, notices, replies
from notifications.sending import chains, receipts
from support.steps import find_step
from workers.jobs import Ends, Over, job, job_set, never
from workers.start import outside

_DIGESTS_A_TURN = 500


@job("notices.receipt")
def receipt(payment_id: str) -> None:
    """Tell the payer that the money is here."""
    all_receipts([payment_id], never)


@job_set("notices.receipt")
def all_receipts(payment_ids: Sequence[str], _over: Over) -> Ends:
    """Tell the payers of many payments the same."""
    with acting() as session:
        notices.tell_paid(
            session, *map(int, payment_ids), public_url=settings().public_url, now=utc_now(),
            secret=settings().secret_key.get_secret_value(),
        )  # fmt: skip
    return dict.fromkeys(payment_ids)


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


@job("notices.owed_again")
def owed_again(bill: str) -> None:
    """Tell whose autopay once left a bill alone that it is theirs to pay."""
    with transaction() as session:
        autopay_notices.tell_owed_again(
            session, parse_ref(bill), outside().gateways, public_url=settings().public_url,
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


@job("notices.complaint")
def complaint(entry_id: str) -> None:
    """Tell whoever wrote to us how it goes on."""
    with transaction() as session:
        step = complaint_notices.Step(*find_step(session, int(entry_id)))
        complaint_notices.tell_step(session, step, public_url=settings().public_url, now=utc_now())


@job("notices.fall_silent")
def fall_silent(_day: str) -> None:
    """Have the next channel's turn come where nothing was heard of one."""
    with transaction() as session:
        chains.sweep_silence(session, now=utc_now())


@job("notices.read_call")
def read_call(call_id: str) -> None:
    """Apply the receipts a carrier called us with."""
    with transaction() as session:
        receipts.read_call(session, int(call_id), now=utc_now())


@job("notices.read_replies")
def read_replies(_reply_id: str) -> None:
    """Take what people answered to texts at its word."""
    read = replies.AT_ONCE
    while read == replies.AT_ONCE:
        with transaction() as session:
            read = replies.read_some(session, public_url=settings().public_url, now=utc_now())


@job("notices.apply_receipts")
def apply_receipts(_day: str) -> None:
    """Apply receipts that came before we knew what they are about."""
    applied = receipts.AT_ONCE
    while applied == receipts.AT_ONCE:
        with transaction() as session:
            applied = receipts.apply_waiting(session, now=utc_now())


@job("notices.deliver_again")
def deliver_again(subject: str) -> None:
    """Hand a notice to its channel once more."""
    again.deliver_again(subject, outside().carriers, now=utc_now())


@job("notices.flush_digests")
def flush_digests(_day: str) -> None:
    """Tell what several companies sent a household within the hour."""
    done = _DIGESTS_A_TURN
    while done == _DIGESTS_A_TURN:
        with transaction() as session:
            done = digests.flush_due(
                session, public_url=settings().public_url, now=utc_now(), limit=_DIGESTS_A_TURN
            )
