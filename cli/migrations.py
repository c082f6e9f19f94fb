"""Bringing a database to the newest schema."""

from datetime import date
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from billing.partitions import ensure_ahead
from core import db

ROOT = Path(__file__).parents[1]


def alembic_config(database_url: str) -> Config:
    """Return Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["database_url"] = database_url
    return config


def migrate(database_url: str, *, today: date) -> None:
    """Upgrade to the newest revision and make the months around ``today``; idempotent."""
    config = alembic_config(database_url)
    if not _is_newest(database_url, config):
        command.upgrade(config, "head")
    db.bind(database_url)
    with db.transaction() as session:
        ensure_ahead(session, today=today)


def _is_newest(database_url: str, config: Config) -> bool:
    """Ask the database, without every room's tables in memory: commands start with this."""
    try:
        with psycopg.connect(db.plain_url(database_url), connect_timeout=5) as connection:
            if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
                return False
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except psycopg.OperationalError:
        return False  # the upgrade will say what is wrong, in words the commands know
    return found == [(ScriptDirectory.from_config(config).get_current_head(),)]
