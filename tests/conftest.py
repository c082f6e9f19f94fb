"""Real servers for every test: one PostgreSQL and one Redis a run, thrown away afterwards."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, text
from sqlmodel import Session

from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db

ROOT = Path(__file__).parents[1]

# A busy machine is no fault of a law; and on a clean checkout the first draw builds tables. Who
# develops draws anew each time; CI draws the same each time: what it says is of the change alone.
settings.register_profile(
    "any_machine",
    deadline=None,
    derandomize=bool(os.environ.get("CITYBILL_REQUIRE_ALL")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any_machine")
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # noon in Shanghai


# Minutes each, in few tests: begun last, one of them would leave every other core idle at the end.
LONGEST = (
    "browser/test_every_page.py", "cli/test_days.py", "stories/test_telling.py",
    "stories/test_bill_to_reconciliation.py", "payments/test_weeks.py",
    "payments/reconciliation/test_killed_runs.py", "stories/test_morning.py",
    "browser/test_console_axe.py", "cli/test_demo.py", "workers/test_books.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the rest stays in its order."""
    first = {ROOT / "tests" / name for name in LONGEST}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    folder = default_data_dir(ROOT)
    folder = folder.with_name(f"{folder.name}-test-{os.getpid()}")
    with Servers(folder, fsync=False) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> str:
    """A migrated database."""
    servers.create_database("citybill")
    url = servers.database_url("citybill")
    migrate(url, today=NOW.date())
    db.bind(url)
    return url


_ALL_TABLES = text(
    "SELECT quote_ident(relname) FROM pg_class "
    "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace "
    "AND relname <> 'alembic_version'"
)
_RESTART_IDENTITIES = text(
    "SELECT setval(pg_get_serial_sequence(attrelid::regclass::text, attname), 1, false) "
    "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
    "WHERE attidentity <> '' AND c.relnamespace = 'public'::regnamespace"
)


@pytest.fixture
def city(database_url: str) -> Iterator[str]:
    """An empty, migrated database whose transactions really commit; emptied again afterwards."""
    yield database_url
    empty_city()


@pytest.fixture(autouse=True)
def _no_database_unasked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever asks for no database has none: nobody would empty it before the next test."""
    if "database_url" in request.fixturenames:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "_STATE", {})
        yield


@contextmanager
def as_owner(*, unguarded: bool = False) -> Iterator[Connection]:
    """Work as the schema's owner, here a superuser, and commit: what the application may not do.

    ``unguarded`` also switches off triggers and foreign keys: nothing is left to refuse anything.
    """
    with db.engine().begin() as connection:
        connection.execute(text("SET LOCAL ROLE NONE"))
        if unguarded:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        yield connection


def empty_city() -> None:
    """Forget everything in the database, what may never be deleted included."""
    with as_owner(unguarded=True) as connection:
        tables = connection.execute(_ALL_TABLES).scalars().all()
        # Not TRUNCATE: that makes every table and index anew, a hundred times the work.
        connection.execute(text("; ".join(f"DELETE FROM {table}" for table in tables)))
        connection.execute(_RESTART_IDENTITIES)


@pytest.fixture
def session(city: str) -> Iterator[Session]:
    """A session of its own transaction, rolled back at the end."""
    connection: Connection
    with db.engine().connect() as connection:
        transaction = connection.begin()
        with Session(connection, expire_on_commit=False) as opened:
            yield opened
        transaction.rollback()


@pytest.fixture
def now() -> datetime:
    return NOW


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """With CITYBILL_REQUIRE_ALL=1 a skip is a failure: nothing goes untested unseen."""
    if (
        os.environ.get("CITYBILL_REQUIRE_ALL") == "1"
        and call.excinfo is not None
        and isinstance(call.excinfo.value, pytest.skip.Exception)
    ):
        call.excinfo = pytest.ExceptionInfo.from_exc_info(
            (AssertionError, AssertionError(f"skipped: {call.excinfo.value}"), call.excinfo.tb)
        )


def have(program: str) -> bool:
    """Tell whether the system has a program."""
    return subprocess.run(["which", program], capture_output=True).returncode == 0
