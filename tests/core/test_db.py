"""Transactions, moments, and columns that hold what they say."""

import re
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Enum, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlmodel import SQLModel, select

import billing.models
import identity.models
import notifications.models
import payments.models
from core import db
from core.db import (
    Asked,
    HotStatement,
    acting,
    connection,
    looking,
    sqlalchemy_url,
    together,
    transaction,
)
from core.errors import Invalid
from core.jobs import Job
from core.outbox import OutboxEvent
from tests.conftest import as_owner

ROOMS = (identity.models, billing.models, payments.models, notifications.models)  # their tables
ENUM_COLUMNS = [
    (table.name, column.name, column.type.enums)
    for table in SQLModel.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Enum)
]


CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
EMIT = HotStatement("""
    INSERT INTO outbox_event (topic, subject_id, emitted_at) VALUES (:topic, '1', :now)
    RETURNING id
""")


def an_event(moment: datetime) -> OutboxEvent:
    return OutboxEvent(topic="t", subject_id="1", emitted_at=moment)


class TestMoments:
    def test_a_naive_moment_is_refused(self, session):
        naive = an_event(datetime(2026, 11, 20))  # noqa: DTZ001

        with pytest.raises(StatementError, match="naive datetime"), session.begin_nested():
            session.add(naive)

    def test_a_moment_of_any_zone_is_the_same_moment_and_comes_back_aware(self, session):
        shanghai = datetime(2026, 11, 20, 12, 0, tzinfo=timezone(timedelta(hours=8)))
        session.add(an_event(shanghai))
        session.flush()
        session.expire_all()

        back = session.exec(select(OutboxEvent)).one().emitted_at

        assert back == shanghai
        assert back.utcoffset() == timedelta(0)

    def test_the_database_speaks_utc_whatever_the_machine_does(self, session):
        assert session.execute(text("SHOW timezone")).scalar_one() == "UTC"

    def test_a_lock_is_waited_for_but_not_for_ever(self, session):
        assert session.execute(text("SHOW lock_timeout")).scalar_one() == "5s"


@pytest.mark.usefixtures("city")
class TestTransactions:
    def test_success_commits(self, now):
        with transaction() as session:
            session.add(an_event(now))

        with transaction() as session:
            assert session.exec(select(OutboxEvent)).one().topic == "t"

    def test_an_error_rolls_back_and_goes_on_up(self, now):
        def fail() -> None:
            with transaction() as session:
                session.add(an_event(now))
                session.flush()
                raise KeyError

        with pytest.raises(KeyError):
            fail()

        with transaction() as session:
            assert session.exec(select(OutboxEvent)).all() == []

    def test_rows_stay_readable_after_the_commit(self, now):
        with transaction() as session:
            event = an_event(now)
            session.add(event)

        assert event.topic == "t"

    def test_one_connection_serves_a_sequence_of_transactions(self, now):
        with connection() as held:
            with transaction(held) as session:
                session.execute(text("CREATE TEMP TABLE mine (n int)"))
            with transaction(held) as session:
                session.add(an_event(now))
                assert session.execute(text("SELECT count(*) FROM mine")).scalar_one() == 0

        with transaction() as session:
            assert len(session.exec(select(OutboxEvent)).all()) == 1

    def test_who_only_looks_holds_no_transaction_and_leaves_the_connection_as_it_was(self, now):
        with looking() as session:
            assert session.exec(select(OutboxEvent)).all() == []
            with transaction() as other:
                other.add(an_event(now))
            assert len(session.exec(select(OutboxEvent)).all()) == 1
            assert db.driver(session).info.transaction_status is TransactionStatus.IDLE

        with transaction() as session:
            assert not db.driver(session).autocommit

    def test_what_is_looked_at_is_planned_once_and_not_for_each_number(self):
        with looking() as session:
            raw = db.driver(session)
            for number in range(12):
                raw.execute("SELECT FROM outbox_event WHERE id = %s", [number])
            planned = raw.execute(
                "SELECT generic_plans > 0, custom_plans FROM pg_prepared_statements"
                " WHERE statement LIKE 'SELECT FROM outbox_event%'"
            ).fetchall()

        assert planned == [(True, 0)]

    def test_an_act_is_planned_once(self):
        with acting() as session:
            setting = session.execute(text("SHOW plan_cache_mode")).scalar_one()

        assert setting == "force_generic_plan"

    def test_a_statement_alone_is_there_for_everybody_when_it_returns(self, now):
        assert EMIT.alone({"topic": "t", "now": now})

        with transaction() as session:
            assert len(session.exec(select(OutboxEvent)).all()) == 1

    def test_a_lost_connection_fails_one_statement_alone_and_not_the_next(self, now):
        assert HotStatement("SELECT 1").alone({}) == [(1,)]
        with as_owner() as other:
            other.execute(CUT)

        with pytest.raises(psycopg.OperationalError):
            EMIT.alone({"topic": "lost", "now": now})
        assert EMIT.alone({"topic": "kept", "now": now})

    def test_statements_together_see_what_those_before_them_wrote(self, now):
        count = Asked(HotStatement("SELECT count(*) FROM outbox_event"), {})
        emit = Asked(EMIT, {"topic": "t", "now": now})

        with acting() as session:
            before, _, after = together(session, [count, emit, count])

        assert (before, after) == ([(0,)], [(1,)])

    def test_one_of_several_together_that_fails_undoes_them_all(self, now):
        emit = Asked(EMIT, {"topic": "t", "now": now})
        wrong = Asked(HotStatement("SELECT 1 / CAST(:by AS int)"), {"by": 0})

        with pytest.raises(psycopg.errors.DivisionByZero), acting() as session:
            together(session, [emit, wrong, emit])

        with transaction() as session:
            assert session.exec(select(OutboxEvent)).all() == []

    def test_a_connection_the_server_cut_is_replaced(self, monkeypatch):
        monkeypatch.setattr(db, "IDLE_SECONDS", 0)
        with transaction(), transaction() as session:  # two, so that one is left to be cut
            pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with as_owner() as other:
            other.execute(CUT)

        with transaction() as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
        assert pid


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_the_driver_is_ours_whatever_the_url_says(scheme):
    assert sqlalchemy_url(f"{scheme}://a@b/c?d=e") == "postgresql+psycopg://a@b/c?d=e"


@pytest.mark.parametrize("url", ["sqlite:///x", "mysql://a/b", "", "postgresql+asyncpg://x"])
def test_no_other_database_will_do(url):
    with pytest.raises(Invalid, match="must be PostgreSQL"):
        sqlalchemy_url(url)


class TestEnumColumns:
    @pytest.mark.parametrize(
        ("table", "column", "values"), ENUM_COLUMNS, ids=[f"{t}.{c}" for t, c, _ in ENUM_COLUMNS]
    )
    def test_each_holds_exactly_the_enums_values_by_a_check(self, session, table, column, values):
        checks = session.execute(
            text(
                "SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c "
                "JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum] "
                "WHERE c.conrelid = CAST(:table AS regclass) AND c.contype = 'c' "
                "AND a.attname = :column"
            ),
            {"table": table, "column": column},
        ).scalars()

        held = [re.findall(r"'([^']*)'", check) for check in checks]

        assert sorted(values) in [sorted(one) for one in held]

    def test_a_members_name_is_refused(self, session, now):
        insert = text(
            "INSERT INTO job (task, subject_id, state, attempts, due_at) "
            "VALUES ('t', '1', 'WAITING', 0, :now)"
        )

        with pytest.raises(IntegrityError, match="ck_job_jobstate"):
            session.execute(insert, {"now": now})

    def test_a_value_comes_back_as_the_member(self, session, now):
        session.add(Job(task="t", subject_id="1", due_at=now))
        session.flush()
        session.expire_all()

        assert session.exec(select(Job)).one().state.name == "WAITING"
        assert session.execute(text("SELECT state FROM job")).scalar_one() == "waiting"


def test_before_anybody_has_bound_it_there_is_no_engine(monkeypatch):
    monkeypatch.setattr(db, "_STATE", {})

    with pytest.raises(AssertionError, match=r"core\.db\.bind"):
        db.engine()
