"""The role the application works as, on servers whose owners are no superusers."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cli.migrations import migrate
from cli.servers import Servers
from core import db
from core.errors import NotAllowed
from tests.conftest import NOW

OWNER, LOGIN, TOWN = "citybill_test_owner", "citybill_test_login", "citybill_test_town"
ASIDE = "citybill_app_aside"


def superuser(servers: Servers, *statements: str) -> None:
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as server:
        for statement in statements:
            server.execute(sql.SQL(statement))


def url_of(servers: Servers, login: str) -> str:
    return servers.database_url(TOWN).replace("//citybill@", f"//{login}@")


@contextmanager
def working_in(url: str) -> Iterator[None]:
    """Bind this process to another database, and afterwards to the one of all tests again."""
    before = db.engine().url.render_as_string(hide_password=False)
    try:
        db.bind(url, pool_size=1)
        yield
    finally:
        db.bind(before.replace("+psycopg", ""))


@pytest.fixture
def town(servers: Servers, database_url: str) -> Iterator[str]:
    """A new database and its owner, a login that may do nothing else; both are gone afterwards."""
    superuser(servers, f"CREATE ROLE {OWNER} LOGIN", f"CREATE DATABASE {TOWN} OWNER {OWNER}")
    try:
        yield url_of(servers, OWNER)
    finally:
        db.bind(database_url)
        superuser(servers, f"DROP DATABASE {TOWN} WITH (FORCE)")
        with psycopg.connect(servers.database_url("postgres"), autocommit=True) as server:
            aside = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ASIDE]).fetchone()
        if aside:
            superuser(servers, "DROP ROLE IF EXISTS citybill_app")
            superuser(servers, f"ALTER ROLE {ASIDE} RENAME TO citybill_app")
        superuser(servers, f"DROP ROLE IF EXISTS {LOGIN}", f"DROP ROLE {OWNER}")


@pytest.fixture
def no_role(town: str, servers: Servers) -> None:
    """The server of somebody who installs CityBill for the first time."""
    superuser(servers, f"ALTER ROLE citybill_app RENAME TO {ASIDE}")


def works(url: str) -> None:
    """Work in a database as the application does."""
    with working_in(url):
        with db.transaction() as session:
            session.execute(text("INSERT INTO ledger_account (code) VALUES ('bank:test')"))
            assert session.execute(text("SELECT current_user")).scalar_one() == db.APP_ROLE
        for forbidden in ("DELETE FROM ledger_account", "UPDATE ledger_account SET code = 'x'",
                          "CREATE TABLE mine (id int)"):  # fmt: skip
            with pytest.raises(DBAPIError, match="permission denied"), db.transaction() as session:
                session.execute(text(forbidden))


@pytest.mark.usefixtures("no_role")
class TestNobodyHasMadeTheRole:
    def test_an_owner_who_may_makes_it_and_works_as_it(self, town, servers):
        superuser(servers, f"ALTER ROLE {OWNER} CREATEROLE")

        migrate(town, today=NOW.date())

        works(town)

    def test_an_owner_who_may_not_is_told_what_to_ask_for(self, town, servers):
        with pytest.raises(NotAllowed) as told:
            migrate(town, today=NOW.date())

        assert "CREATE ROLE citybill_app NOLOGIN" in told.value.message
        assert f"GRANT citybill_app TO {OWNER}" in told.value.message
        superuser(servers, "CREATE ROLE citybill_app NOLOGIN", f"GRANT citybill_app TO {OWNER}")
        migrate(town, today=NOW.date())
        works(town)


class TestTheRoleIsThere:
    @pytest.mark.parametrize("attribute", ["NOCREATEROLE", "CREATEROLE"])
    def test_an_owner_who_is_a_member_needs_nothing_else(self, town, servers, attribute):
        superuser(servers, f"ALTER ROLE {OWNER} {attribute}", f"GRANT citybill_app TO {OWNER}")

        migrate(town, today=NOW.date())

        works(town)

    def test_a_member_who_may_not_become_it_but_give_it_gives_it_to_himself(self, town, servers):
        """What PostgreSQL 16 and later make of whoever creates a role."""
        grant = f"GRANT citybill_app TO {OWNER} WITH ADMIN TRUE, SET FALSE, INHERIT FALSE"
        superuser(servers, grant)

        migrate(town, today=NOW.date())

        works(town)

    def test_an_owner_who_is_no_member_is_told_what_to_ask_for(self, town):
        with pytest.raises(NotAllowed, match=f"GRANT citybill_app TO {OWNER}"):
            migrate(town, today=NOW.date())


class TestTheApplicationsOwnLogin:
    @pytest.fixture
    def login(self, town, servers) -> str:
        """A login that is a member of the role, and of nothing else, on a migrated database."""
        superuser(servers, f"GRANT citybill_app TO {OWNER}")
        migrate(town, today=NOW.date())
        superuser(servers, f"CREATE ROLE {LOGIN} LOGIN IN ROLE citybill_app")
        return url_of(servers, LOGIN)

    def test_works_and_can_neither_change_nor_delete(self, login):
        works(login)

    def test_migrating_with_it_at_the_head_changes_nothing(self, login, town):
        def tables() -> object:
            with working_in(town), db.transaction() as session:
                return session.execute(text("SELECT oid, relname FROM pg_class ORDER BY 1")).all()

        before = tables()

        migrate(login, today=NOW.date())

        assert tables() == before
        works(login)
