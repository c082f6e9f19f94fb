"""What a worker process has before its first job: a database, logs, and the outside's adapters."""

from dataclasses import dataclass
from functools import cache

from core import db, log
from core.clock import utc_now
from core.settings import settings
from notifications.channels import load_channels
from notifications.channels.base import Channel
from payments.gateways import load_gateways
from payments.gateways.base import Gateway
from providers.base import UtilityClient
from providers.clients.loading import load_clients
from providers.registry import add_folder


@dataclass(frozen=True, slots=True)
class Outside:
    """Everybody else's systems, by code."""

    gateways: dict[str, Gateway]
    utilities: dict[str, UtilityClient]
    channels: dict[str, Channel]


def start() -> None:
    """Connect this process; idempotent."""
    log.configure(as_json=settings().log_json)
    folder = settings().profiles_dir
    if folder is not None:
        add_folder(folder)
    db.bind(settings().database_url, pool_size=settings().database_pool_size)


@cache
def outside() -> Outside:
    """Make this process's adapters, once."""
    chosen = settings()
    return Outside(
        gateways=load_gateways(chosen),
        utilities=dict(load_clients(chosen.utilities, utc_now)),
        channels=load_channels(chosen),
    )
