"""The command line on this test's database."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.servers import Servers
from tests.commands import Commands
from tests.workers.conftest import environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


@pytest.fixture
def citybill(commands: Commands, city: str, servers: Servers, tmp_path: Path) -> Run:
    """Run a command on this test's database, away from any checkout's ``.env``."""

    def run(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        return commands.run(*arguments, env=our_own(city, servers) | settings, cwd=tmp_path)

    return run


def our_own(city: str, servers: Servers) -> dict[str, str]:
    """Return the environment of a command that works on this test's database."""
    configured = {"CITYBILL_DATABASE_URL": city, "CITYBILL_REDIS_URL": servers.redis_url}
    return environment(**configured | {"COLUMNS": "400"})
