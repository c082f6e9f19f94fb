"""What a command runs on: the configured servers, or this checkout's embedded ones."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from cli.migrations import migrate
from core import db, log
from core.clock import billing_date, utc_now
from core.settings import settings
from payments.reconciliation.source_terms import agree
from providers.registry import add_folder

if TYPE_CHECKING:  # loaded for those who have no servers of their own: a tenth of a command's start
    from cli.servers import Servers

CHECKOUT = Path(__file__).parents[1]
_NOTE = "serve.json"


def data_dir() -> Path:
    """Return the folder of the embedded servers."""
    return settings().data_dir or Path(resolve_name("cli.servers:default_data_dir")(CHECKOUT))


@contextmanager
def note_settings(folder: Path) -> Iterator[None]:
    """Let commands beside a running city know the settings its processes were started with."""
    note = folder / _NOTE
    ours = {key: value for key, value in os.environ.items() if key.startswith("CITYBILL_")}
    note.touch(mode=0o600)
    note.write_text(json.dumps(ours))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def read_note(folder: Path) -> None:
    """Take the settings of the city that is running in this folder, if one is."""
    note = folder / _NOTE
    if note.exists():
        for key, value in json.loads(note.read_text()).items():
            os.environ.setdefault(key, value)
        settings.cache_clear()


def add_companies() -> None:
    """Know the companies of the folder of profiles, if one is set.

    Raises:
        Invalid: one of them is wrong; its file and line are named.
    """
    folder = settings().profiles_dir
    if folder is not None:
        add_folder(folder)


@contextmanager
def connected() -> Iterator[None]:
    """Connect to the database, migrated; the embedded one is started if nobody has."""
    log.configure(as_json=settings().log_json)
    if settings().database_url:
        add_companies()
        migrate(
            settings().owner_database_url or settings().database_url,
            today=billing_date(utc_now()),
        )
        db.bind(settings().database_url, pool_size=settings().database_pool_size)
        agree(settings().source_terms)
        yield
        db.hang_up()
        return
    with resolve_name("cli.servers:Servers")(data_dir()) as servers:
        read_note(data_dir())
        add_companies()
        use(servers)
        agree(settings().source_terms)
        yield
        db.hang_up()


def use(servers: "Servers") -> None:
    """Point this process and its children at embedded servers, and migrate."""
    servers.create_database("citybill")
    os.environ["CITYBILL_DATABASE_URL"] = servers.database_url()
    os.environ["CITYBILL_REDIS_URL"] = servers.redis_url
    settings.cache_clear()
    migrate(servers.database_url(), today=billing_date(utc_now()))
