"""Jobs about bill files, and about bills as time passes."""

import io
from datetime import date, timedelta
from typing import BinaryIO, cast

from billing import credits, cycles
from billing import late_fees as lateness
from billing.files import pushed_bills, webhooks
from billing.files.bill_files import StoredFile, get_bill_file
from billing.files.importing import import_bills
from core.clock import day_bounds, utc_now
from core.db import transaction
from core.errors import BillFileError, Conflict
from providers.registry import provider_codes, reader_for
from workers.jobs import NotYet, job

PUSH_TAKES = timedelta(seconds=60)  # by then the request that brought the bills is over
LATE_FEES_AFTER = timedelta(hours=2)  # by then the payments of the day before are posted


@job("bills.import_file")
def import_file(bill_file_id: str) -> None:
    """Import an uploaded file; a refusal is an answer, written on the file's row."""
    with transaction() as session:
        provider_code = get_bill_file(session, int(bill_file_id)).provider_code

    def stored() -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(StoredFile(int(bill_file_id)), 1 << 16))

    try:
        import_bills(
            int(bill_file_id), reader_for(provider_code), stored, now=utc_now(), in_turn=True
        )
    except BillFileError:
        return
    except Conflict as busy:
        raise NotYet(5 if busy.code == "bill_file.out_of_turn" else 30) from busy


@job("bills.finish_push")
def finish_push(bill_file_id: str) -> None:
    """Import pushed bills whose request broke off: as a rule there is nothing to do."""
    with transaction() as session:
        if pushed_bills.is_done(session, int(bill_file_id)):
            return
        received_at = get_bill_file(session, int(bill_file_id)).received_at
    wait = received_at + PUSH_TAKES - utc_now()
    if wait > timedelta():
        raise NotYet(int(wait.total_seconds()) + 1)
    try:
        pushed_bills.finish(int(bill_file_id), now=utc_now())
    except Conflict as busy:
        raise NotYet(30) from busy


@job("bills.process_webhook")
def process_webhook(company_webhook_id: str) -> None:
    """Act on what a company's system announced."""
    try:
        webhooks.process(int(company_webhook_id), now=utc_now())
    except Conflict as busy:
        raise NotYet(5) from busy


@job("bills.consume_credits")
def consume_credits(bill_file_id: str) -> None:
    """Let credits cover open bills on the accounts that a file has a bill of."""
    credits.consume_file(int(bill_file_id), now=utc_now())


@job("bills.mark_arrived")
def mark_arrived(bill_file_id: str) -> None:
    """Note which missing bills came with a file after all."""
    with transaction() as session:
        cycles.mark_arrived(session, int(bill_file_id), now=utc_now())


@job("bills.late_fees")
def late_fees(day: str) -> None:
    """Count the late fees of the day before, company by company."""
    today = date.fromisoformat(day)
    wait = day_bounds(today)[0] + LATE_FEES_AFTER - utc_now()
    if wait > timedelta():
        raise NotYet(int(wait.total_seconds()) + 1)
    for provider_code in provider_codes():
        lateness.assess(provider_code, today - timedelta(days=1), now=utc_now())


@job("bills.notice_missing")
def notice_missing(day: str) -> None:
    """Notice the bills that should have come by now, company by company."""
    for provider_code in provider_codes():
        noted = None
        while noted != 0:
            with transaction() as session:
                noted = cycles.notice_missing(
                    session, provider_code, today=date.fromisoformat(day), now=utc_now()
                )
