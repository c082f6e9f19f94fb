"""Bringing a database to the newest schema."""

from datetime import date
from pathlib import Path

from alembic import command
from alembic.config import Config

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
    command.upgrade(alembic_config(database_url), "head")
    db.bind(database_url)
    with db.transaction() as session:
        ensure_ahead(session, today=today)
