"""What a worker process has before its first job: a database, logs, and the outside's adapters."""

from dataclasses import dataclass
from functools import cache, partial

from sqlalchemy.exc import OperationalError

from core import db, log
from core.clock import utc_now
from core.db import transaction
from core.settings import settings
from notifications import replies
from notifications.channels import by_channel, load_carriers
from notifications.channels.base import Carrier, Hears, HearsReplies, Receipt, TextReply
from notifications.sending.receipts import keep_heard
from payments.gateways import load_gateways
from payments.gateways.base import Gateway
from payments.reconciliation.source_terms import agree
from providers.base import UtilityClient
from providers.clients.loading import load_clients
from providers.registry import add_folder


@dataclass(frozen=True, slots=True)
class Outside:
    """Everybody else's systems, by code."""

    gateways: dict[str, Gateway]
    utilities: dict[str, UtilityClient]
    carriers: dict[str, list[Carrier]]  # by channel, the first to be asked first


def start() -> None:
    """Connect this process; idempotent."""
    log.configure(as_json=settings().log_json)
    folder = settings().profiles_dir
    if folder is not None:
        add_folder(folder)
    db.bind(settings().database_url, pool_size=settings().database_pool_size)
    agree(settings().source_terms)


@cache
def outside() -> Outside:
    """Make this process's adapters, once."""
    chosen = settings()
    carriers = load_carriers(chosen)
    for code, carrier in carriers.items():
        if isinstance(carrier, Hears):
            carrier.hear(partial(_keep_heard, code))
        if isinstance(carrier, HearsReplies):
            carrier.hear_replies(partial(_keep_replies, code))
    return Outside(
        gateways=load_gateways(chosen),
        utilities=dict(load_clients(chosen.utilities, utc_now)),
        carriers=by_channel(carriers, chosen.carrier_weights),
    )


def _keep_heard(carrier: str, receipts: list[Receipt]) -> bool:
    """Keep receipts that came over a carrier's own connection; not while the database is away."""
    try:
        with transaction() as session:
            keep_heard(session, carrier, receipts, now=utc_now())
    except OperationalError:
        return False
    return True


def _keep_replies(carrier: str, said: list[TextReply]) -> bool:
    """Keep what people answered over a carrier's own connection; as ``_keep_heard``."""
    try:
        with transaction() as session:
            replies.keep_heard(session, carrier, said, now=utc_now())
    except OperationalError:
        return False
    return True
