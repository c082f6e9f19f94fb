"""Engine, sessions, and the column types every table shares."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import (
    Connection,
    CursorResult,
    DateTime,
    Engine,
    Enum,
    Result,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import InvalidatePoolError
from sqlmodel import Session, SQLModel

from core.errors import Invalid

APP_ROLE = "citybill_app"  # what the application works as, whoever it signs in as
IDLE_SECONDS = 2  # after which a connection may have been lost unseen
_ONCE = "-c plan_cache_mode=force_generic_plan"  # docs/adr/0017 and 0018
_STATE: dict[str, Engine] = {}

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A timestamptz that refuses a naive datetime."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a naive datetime has no place in the database: {value!r}")
        return value


def text_enum(kind: type[StrEnum]) -> Enum:
    """Return a text column type that holds the enum's *values*, with a CHECK.

    Left alone, SQLModel makes a native PostgreSQL enum of the member names.
    """
    return Enum(
        kind,
        name=kind.__name__.lower(),
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def json_text() -> JSON:
    """Return the column type of line items: kept as text, because nothing queries inside."""
    return JSON()


def sqlalchemy_url(database_url: str) -> str:
    """Return ``postgresql://…`` with the driver we use, as SQLAlchemy wants it.

    Raises:
        Invalid: it is another kind of database's.
    """
    scheme, _, rest = database_url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise Invalid(f"the database must be PostgreSQL, not {scheme!r}", code="database.kind")
    return f"postgresql+psycopg://{rest}"


def plain_url(database_url: str) -> str:
    """Return a database URL as PostgreSQL's own programs and psycopg take it."""
    return sqlalchemy_url(database_url).replace("postgresql+psycopg://", "postgresql://", 1)


def bind(database_url: str, *, pool_size: int = 10) -> Engine:
    """Connect this process to its database; edges call it once, before any transaction.

    A statement that waits five seconds for a lock fails instead of hanging, and sessions speak UTC.
    They work as ``citybill_app``, a role the migrations make, which cannot change the ledger.

    Args:
        pool_size: how many connections at most; as many again for ``looking``, and for ``acting``,
            where these are used.
    """
    hang_up()
    _STATE["engine"] = _connect(database_url, pool_size)
    # Bills lie in a partition a month: to plan for each household's numbers anew takes longer than
    # to look. Nothing is begun there, so there is nothing to roll back when one is done.
    _STATE["looking"] = _connect(
        database_url, pool_size, plans=_ONCE, isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )  # fmt: skip
    _STATE["acting"] = _connect(database_url, pool_size, plans=_ONCE)
    return _STATE["engine"]


def _connect(database_url: str, pool_size: int, *, plans: str = "", **options: Any) -> Engine:
    made = create_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # the one used last knows the statements, and its memory is still near
        pool_timeout=5,
        hide_parameters=True,  # a failed statement's values are personal data: never in a log
        connect_args={
            "connect_timeout": 5,
            "options": f"-c timezone=UTC -c lock_timeout=5s -c role={APP_ROLE} {plans}",
        },
        **options,
    )
    event.listen(made, "checkin", _note_idle)
    event.listen(made, "checkout", _check_alive)
    return made


def hang_up() -> None:
    """Close what connections lie idle; the next to ask connects anew."""
    for bound in _STATE.values():
        bound.dispose()


def _note_idle(_connection: Any, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()


def _check_alive(connection: Any, record: Any, _proxy: Any) -> None:
    """Ask a connection that has lain idle whether it is still there; asked each time, all wait.

    Raises:
        InvalidatePoolError: it is not: the pool connects anew, and no caller hears of it.
    """
    if time.monotonic() - record.info.get("idle_since", time.monotonic()) < IDLE_SECONDS:
        return
    try:
        engine().dialect.do_ping(connection)
    except psycopg.Error as gone:
        raise InvalidatePoolError from gone


def engine() -> Engine:
    """Return the engine ``bind`` made."""
    assert "engine" in _STATE, "core.db.bind was not called by this process's edge"
    return _STATE["engine"]


def engines() -> list[Engine]:
    """Return every engine ``bind`` made: whoever watches transactions watches them all."""
    return list(_STATE.values())


@contextmanager
def transaction(on: Connection | None = None) -> Iterator[Session]:
    """Open a session, commit on success, roll back on error: the only commit there is.

    Args:
        on: a connection to work on, for those that need one connection through several
            transactions (temporary tables, session locks).
    """
    with Session(on or engine(), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def acting() -> Iterator[Session]:
    """Open a transaction whose statements are planned once, whatever they are asked with.

    For acts on things that are known by key: a payment, a bill, a job, or some tens of them. What
    reads or writes by the thousand, or has filters that may be absent, belongs to ``transaction``.
    """
    assert "acting" in _STATE, "core.db.bind was not called by this process's edge"
    with Session(_STATE["acting"], expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def looking() -> Iterator[Session]:
    """Open a session that only looks: each statement stands on its own, with no BEGIN and COMMIT.

    It sees what a transaction would: ours are READ COMMITTED, statement by statement.
    """
    assert "looking" in _STATE, "core.db.bind was not called by this process's edge"
    with Session(_STATE["looking"], expire_on_commit=False, autoflush=False) as session:
        yield session


@contextmanager
def connection() -> Iterator[Connection]:
    """Hold one connection for a sequence of transactions."""
    with engine().connect() as held:
        yield held


class HotStatement:
    """A statement of the money path, run on psycopg itself: SQLAlchemy's part costs as much.

    Written with ``:name`` as everywhere. What the session holds is written out first; objects it
    has loaded are not told of what the statement changes.
    """

    def __init__(self, sql: str) -> None:
        self.text = sql
        self.query = re.sub(
            r"(?<!:):([a-z_][a-z0-9_]*)", r"%(\1)s", sql.replace("%", "%%")
        ).encode()

    def rows(self, session: Session, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it in the session's transaction and return its rows."""
        session.flush()
        return driver(session).execute(self.query, values).fetchall()

    def alone(self, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run it as a transaction of its own, planned once, and committed when this returns."""
        with _borrowed() as held:
            return held.execute(self.query, values).fetchall()


class Asked(NamedTuple):
    """A hot statement and the values it is asked with."""

    statement: HotStatement
    values: Mapping[str, Any]


def together(session: Session, asked: Sequence[Asked]) -> list[list[tuple[Any, ...]]]:
    """Run statements one after another, none of which needs another's rows; returns all rows.

    Sent in one go and answered in one: the way to the database and back costs as much as many a
    statement. Each sees what was committed before it began, as if it had been sent alone.
    """
    session.flush()
    held = driver(session)
    with held.pipeline():
        cursors = [held.execute(one.statement.query, one.values) for one in asked]
    return [cursor.fetchall() for cursor in cursors]


def count_changed(done: Result[Any]) -> int:
    """Return how many rows a statement that was just run has changed."""
    assert isinstance(done, CursorResult)
    return done.rowcount


@contextmanager
def _borrowed() -> Iterator[psycopg.Connection[Any]]:
    """Hold psycopg's own connection on which every statement commits by itself."""
    assert "looking" in _STATE, "core.db.bind was not called by this process's edge"
    with _STATE["looking"].connect() as held:
        raw = held.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        try:
            yield raw
        finally:
            if raw.closed:
                held.invalidate()
                hang_up()  # one was lost: whoever lay idle beside it may be, too


def driver(session: Session) -> psycopg.Connection[Any]:
    """Return psycopg's own connection under a session: for COPY, which SQLAlchemy lacks."""
    raw = session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw
