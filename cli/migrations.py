"""Bringing a database to the newest schema."""

from datetime import date
from pathlib import Path
from pkgutil import resolve_name

import psycopg

from billing.partitions import ensure_ahead
from core import db

REVISIONS = Path(__file__).parents[1] / "migrations" / "versions"


def newest_revision() -> str:
    """Return the newest schema's number: files of revisions begin with theirs."""
    return max(path.name.partition("_")[0] for path in REVISIONS.glob("[0-9]*_*.py"))


def migrate(database_url: str, *, today: date) -> None:
    """Upgrade to the newest revision and make the months around ``today``; idempotent.

    Every command begins here, and few find anything to upgrade: Alembic is loaded for those.
    """
    if not _is_newest(database_url):
        resolve_name("cli.upgrading:upgrade")(database_url)
    db.bind(database_url)
    with db.transaction() as session:
        ensure_ahead(session, today=today)


def _is_newest(database_url: str) -> bool:
    """Ask the database, without every room's tables in memory."""
    try:
        with psycopg.connect(db.plain_url(database_url), connect_timeout=5) as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return False
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except psycopg.OperationalError:
        return False  # the upgrade will say what is wrong, in words the commands know
    return found == [(newest_revision(),)]
