"""Jobs about how files come: answers to those that came by SFTP, and fetching from companies."""

from datetime import timedelta

from billing.files.bill_files import MAX_FILE_BYTES, get_bill_file
from billing.files.deliveries import plan_polls
from billing.files.drop_folders import drop_folder
from billing.files.fetching import poll
from core.clock import billing_date, utc_now
from core.db import transaction
from core.settings import settings
from payments.reconciliation.intake.senders import POLLED
from providers.clients.http_files import HttpFiles
from providers.clients.sftp_files import SftpFiles
from providers.delivery import Credentials, Delivery, FileSource
from providers.registry import PROVIDERS, get_provider
from workers.acknowledgements import answer
from workers.books import delivery_of, keeping
from workers.books import source_of as source_of_books
from workers.jobs import job


@job("bills.acknowledge")
def acknowledge(bill_file_id: str) -> None:
    """Answer a company that sent a file by SFTP, if its folder is on this machine.

    Where it is not, the SFTP server does it at its next sweep.
    """
    with transaction() as session:
        company = get_bill_file(session, int(bill_file_id)).provider_code
    root = settings().sftp_dir
    if root is None or not drop_folder(root, company).outgoing.is_dir():
        return
    answer(
        drop_folder(root, company), company, get_provider(company).delivery,
        bill_file_id=int(bill_file_id), now=utc_now(),
    )  # fmt: skip


@job("upkeep.plan_polls")
def plan(_day: str) -> None:
    """Announce the companies whose files are due to be looked for."""
    now = utc_now()
    every = [
        (code, timedelta(minutes=provider.delivery.every))
        for code, provider in PROVIDERS.items()
        if provider.delivery is not None
        and provider.delivery.kind != "push"
        and provider.delivery.is_open(now)
    ]
    for code, told in settings().book_deliveries.items():
        delivery = delivery_of(code, told)
        if delivery.is_open(now):
            every.append((f"{POLLED}{code}", timedelta(minutes=delivery.every)))
    with transaction() as session:
        plan_polls(session, every, now=now)


@job("bills.fetch_files")
def fetch_files(company: str) -> None:
    """Look at a company's SFTP server or site once, and take what is complete."""
    if company.startswith(POLLED):
        _fetch_books(company.removeprefix(POLLED))
        return
    delivery = get_provider(company).delivery
    if delivery is None or delivery.kind == "push":
        return
    now, chosen = utc_now(), settings()
    source = source_of(company, delivery)
    try:
        poll(
            company, source, chosen.fetch_dir, flag=delivery.flag,
            leaves=delivery.after == "leave", now=now,
        )  # fmt: skip
    finally:
        source.close()


def _fetch_books(code: str) -> None:
    """Look once at the server of somebody whose books we fetch; what is not there is not yet."""
    told = settings().book_deliveries.get(code)
    if told is None:
        return
    now, delivery = utc_now(), delivery_of(code, told)
    source = source_of_books(told, delivery, today=billing_date(now))
    try:
        poll(
            f"{POLLED}{code}", source, settings().fetch_dir, flag=delivery.flag,
            leaves=delivery.after == "leave", now=now, keep=keeping(code, told),
        )  # fmt: skip
    finally:
        source.close()


def source_of(company: str, delivery: Delivery) -> FileSource:
    """Return the adapter of a company's own server."""
    login = settings().deliveries.get(company)
    credentials = Credentials()
    if login is not None:
        credentials = Credentials(
            user=login.user, password=login.password.get_secret_value(),
            private_key=login.private_key, bearer=login.bearer.get_secret_value(),
        )  # fmt: skip
    kind = SftpFiles if delivery.kind == "sftp" else HttpFiles
    return kind(delivery, credentials, today=billing_date(utc_now()), limit_bytes=MAX_FILE_BYTES)
