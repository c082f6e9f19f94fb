"""Real servers for every test: one PostgreSQL and one Redis a run, thrown away afterwards."""

import gc
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
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


_ROOM = 8 << 30  # of which all processes of the tests together take a half, at most

# A minute each or more, in few tests: begun last, one of them would leave every other core idle at
# the end. Those that wait for processes and browsers take turns with those that only compute.
LONGEST = (
    "browser/test_every_page.py", "payments/test_weeks.py", "stories/test_telling.py",
    "payments/reconciliation/test_killed_runs.py", "stories/test_bill_to_reconciliation.py",
    "web/test_access.py", "stories/test_morning.py", "payments/reconciliation/test_company_laws.py",
    "browser/test_console_axe.py", "payments/reconciliation/test_leftovers_laws.py",
    "workers/test_worker.py", "billing/test_late_fees.py", "workers/test_sftp_server.py",
    "cli/test_days.py", "workers/test_books.py", "cli/test_demo.py",
)  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """While tests are made by the thousand, and among them later, look for nothing to let go."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; the rest stays in its order."""
    place = {ROOT / "tests" / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    folder = default_data_dir(ROOT)
    folder = _where_it_is_quickest(folder.with_name(f"{folder.name}-test-{os.getpid()}"))
    with Servers(folder, fsync=False) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


def _where_it_is_quickest(folder: Path) -> Path:
    """Return the folder's place in memory if there is room: a disk is slow to make and drop tables.

    Every run of a reconciliation makes some, for the moment.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    return memory / folder.name if roomy else folder


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
_SPENT_IDENTITIES = """
    SELECT seqrelid::int8 FROM pg_sequence JOIN pg_depend ON objid = seqrelid
    WHERE classid = 'pg_class'::regclass AND deptype = 'i'
    AND pg_sequence_last_value(seqrelid) IS NOT NULL
"""


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "IDLE_SECONDS", -1)  # a test may have cut every connection there is
        _empty_city()


def _empty_city() -> None:
    with db.looking() as session:  # where plans are kept: to let go of the guards forgets them
        asked, held = _which_have_rows(session), db.driver(session)
        with held.transaction():
            held.execute("SET LOCAL ROLE NONE")
            full = held.execute(asked, prepare=True).fetchall()
            spent = held.execute(_SPENT_IDENTITIES, prepare=True).fetchall()
    # Not TRUNCATE: that makes every table and index anew, a hundred times the work.
    acts = [f"DELETE FROM {table}" for (table,) in full]
    acts += [f"SELECT setval({identity}, 1, false)" for (identity,) in spent]
    if acts:
        with as_owner(unguarded=True) as connection:
            connection.exec_driver_sql("; ".join(acts))


_QUESTIONS: dict[str, str] = {}


def _which_have_rows(session: Session) -> str:
    """Return the statement, the same for a database each time, that names what has rows."""
    database = str(db.engine().url)
    if database not in _QUESTIONS:
        _QUESTIONS[database] = " UNION ALL ".join(
            f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})"
            for table in session.execute(_ALL_TABLES).scalars()
        )
    return _QUESTIONS[database]


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
