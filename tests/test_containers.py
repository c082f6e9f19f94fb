"""The container files, as far as they can be checked without a container engine."""

import importlib
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import typer
import yaml
from sqlalchemy import text
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from cli.main import COMMANDS
from cli.migrations import migrate
from cli.servers import Servers
from core import db
from core.db import transaction
from core.settings import Settings
from simulator.__main__ import app as simulator_app
from tests.conftest import NOW, as_owner
from workers.app import Queue

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMPANIES = {f"company-{code}": code for code in ("water", "power", "gas", "telecom")}
OURS = {"web", "worker", "bulk", "scheduler", "sftp", "migrate", "simulator", *COMPANIES}
_PASSWORD = "SELECT rolpassword FROM pg_authid WHERE rolname = 'citybill_web'"
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?::([?-])([^}]*))?\}")

# What we use of the compose specification (https://github.com/compose-spec/compose-spec).
KEYS = {
    "service": {
        "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init",
        "networks", "ports", "profiles", "restart", "security_opt", "shm_size", "stop_grace_period",
        "volumes",
    },
    "healthcheck": {"disable", "interval", "retries", "start_period", "test", "timeout"},
    "build": {"context", "target"},
}  # fmt: skip


def example() -> dict[str, str]:
    """Return what .env.example sets."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value[1:-1] if value[:1] == "'" else value for name, _, value in pairs}


def variables() -> dict[str, str]:
    """Return the variables the compose file reads, with what follows the name."""
    lines = (ROOT / "docker-compose.yml").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return {name: mark for name, mark, _ in _VARIABLE.findall(text)}


def filled_in(text: str) -> str:
    """Put the example's values where the compose file reads variables."""
    return _VARIABLE.sub(lambda found: example()[found[1]], text)


def stages() -> dict[str, list[str]]:
    """Return the Dockerfile's stages by name, in order, each with its instructions."""
    found: dict[str, list[str]] = {}
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in (line for line in text.splitlines() if line and not line.startswith("#")):
        if line.startswith("FROM "):
            found[line.split()[3]] = []
        list(found.values())[-1].append(line)
    return found


def let_through() -> set[str]:
    """Return what .dockerignore leaves of the checkout, which it first leaves out whole."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line[1:] for line in lines if line.startswith("!")}


def pinned(lock: str) -> dict[str, str]:
    """Return each package of a lock file with its version, whatever system it is for."""
    lines = (line.partition(" ;")[0] for line in (ROOT / lock).read_text().splitlines())
    return dict(line.split("==") for line in lines if "==" in line)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """What a container of ours finds in its environment, with the example's values."""
    monkeypatch.chdir(tmp_path)  # away from a developer's own .env
    for name, value in SERVICES["web"]["environment"].items():
        monkeypatch.setenv(name, filled_in(value))
    return monkeypatch


class TestCompose:
    def test_it_has_the_parts_of_a_city(self) -> None:
        assert set(SERVICES) == OURS | {"postgres", "redis", "mail", "stripe-mock"}

    @pytest.mark.parametrize("name", SERVICES)
    def test_every_key_is_of_the_specification(self, name: str) -> None:
        service = SERVICES[name]

        assert service.keys() <= KEYS["service"]
        assert service["healthcheck"].keys() <= KEYS["healthcheck"]
        assert service.get("build", {}).keys() <= KEYS["build"]

    def test_every_variable_is_in_the_example_and_no_other(self) -> None:
        assert variables().keys() == example().keys() - {"COMPOSE_PROFILES"}

    def test_no_secret_has_a_default_in_the_file(self) -> None:
        secret = {name for name in variables() if re.search("SECRET|UTILITIES|POSTGRES", name)}

        assert {variables()[name] for name in secret} == {"?"}

    @pytest.mark.parametrize("name", sorted(OURS))
    def test_every_setting_is_one(self, name: str) -> None:
        names = {name for name in SERVICES[name]["environment"] if name.startswith("CITYBILL_")}

        assert {name.removeprefix("CITYBILL_").lower() for name in names} <= set(
            Settings.model_fields
        )
        assert names == set(SERVICES[name]["environment"])

    def test_the_example_makes_settings(self, environment: pytest.MonkeyPatch) -> None:
        made = Settings()

        assert made.demo
        assert set(made.utilities) == {"water", "power", "gas", "telecom"}
        secret = example()["SANDBOX_SECRET"]
        assert {one.secret.get_secret_value() for one in made.utilities.values()} == {secret}

    def test_production_refuses_the_example(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("CITYBILL_ENVIRONMENT", "production")

        with pytest.raises(ValueError, match=r"CITYBILL_SECRET_KEY.*CITYBILL_UTILITIES__water"):
            Settings()

    @pytest.mark.parametrize("name", SERVICES)
    def test_what_is_waited_for_can_come(self, name: str) -> None:
        for awaited, how in SERVICES[name].get("depends_on", {}).items():
            other = SERVICES[awaited]
            match how["condition"]:
                case "service_healthy":
                    assert "test" in other["healthcheck"]
                case "service_completed_successfully":
                    assert other["restart"] == "no"
                case condition:
                    pytest.fail(f"{name} waits for {awaited} to be {condition}")
            assert set(other.get("profiles", [])) <= set(SERVICES[name].get("profiles", []))

    def test_every_volume_is_declared_and_every_file_is_there(self) -> None:
        used = {
            place.partition(":")[0] for one in SERVICES.values() for place in one.get("volumes", [])
        }
        files = {place for place in used if place.startswith("./")}

        assert used - files == set(COMPOSE["volumes"])
        assert [name for name in files if not (ROOT / name).is_file()] == []

    def test_nothing_is_open_to_the_network(self) -> None:
        ports = [port for one in SERVICES.values() for port in one.get("ports", [])]

        assert all(port.startswith("127.0.0.1:") for port in ports)


class TestLogins:
    """The application's login may not do what the schema's owner may."""

    @pytest.mark.parametrize("name", sorted(OURS))
    def test_only_who_migrates_signs_in_as_the_owner(self, name: str) -> None:
        urls = {
            key: urlsplit(filled_in(value)).username
            for key, value in SERVICES[name]["environment"].items()
            if key.endswith("DATABASE_URL")
        }

        owner = {"CITYBILL_OWNER_DATABASE_URL": "citybill"} if name == "migrate" else {}
        assert urls == {"CITYBILL_DATABASE_URL": "citybill_web"} | owner
        assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "citybill"

    def test_it_is_made_with_the_database(self, database_url: str, servers: Servers) -> None:
        """The image runs the file with psql, as the owner; again it changes nothing."""
        [script] = [one for one in SERVICES["postgres"]["volumes"] if "docker-entrypoint" in one]
        psql = [servers.binary("psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-d", database_url]
        for _ in range(2):
            subprocess.run(
                [*psql, "-f", ROOT / script.partition(":")[0]], check=True, capture_output=True,
                env={"POSTGRES_WEB_PASSWORD": "it's \"one\""},
            )  # fmt: skip
        try:
            login = database_url.replace("//citybill@", "//citybill_web@")
            migrate(login, today=NOW.date())  # as the seed of the demo does: nothing is to do
            with transaction() as session:
                session.execute(text("SELECT count(*) FROM ledger_transfer"))
            with psycopg.connect(login) as connection:
                for forbidden in ("SET ROLE citybill", "DELETE FROM ledger_transfer"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(forbidden)
                    connection.rollback()
        finally:
            db.bind(database_url)
            with as_owner() as owner:
                kept = owner.execute(text(_PASSWORD)).scalar_one()
                owner.execute(text("DROP ROLE citybill_web"))
        assert kept.startswith("SCRAM-SHA-256$")

    def test_without_a_password_none_is_made(self, database_url: str, servers: Servers) -> None:
        done = subprocess.run(
            [servers.binary("psql"), "-v", "ON_ERROR_STOP=1", "-1", "-d", database_url,
             "-f", ROOT / "migrations" / "logins.sql"], capture_output=True, text=True, env={},
        )  # fmt: skip

        assert done.returncode != 0
        assert "syntax error" in done.stderr


class TestCommands:
    def test_the_workers_listen_to_every_queue_once(self) -> None:
        heard = []
        for name in ("worker", "bulk"):
            command = SERVICES[name]["command"]
            heard += command[command.index("--queues") + 1].split(",")

        assert sorted(heard) == sorted(Queue)

    def test_what_is_run_is_there(self) -> None:
        assert callable(importlib.import_module(SERVICES["web"]["command"][2]).main)
        assert importlib.import_module(SERVICES["worker"]["command"][3]).celery
        assert callable(importlib.import_module(SERVICES["scheduler"]["command"][2]).main)

    def test_the_database_has_room_for_all_that_our_processes_may_hold(self) -> None:
        web = SERVICES["web"]["command"]
        processes = int(web[web.index("--processes") + 1])
        processes += sum(name in SERVICES for name in ("worker", "bulk", "scheduler", "sftp"))
        pools = 3  # to act, to look, and for everything else
        said = SERVICES["postgres"]["command"][-1]

        assert int(said.removeprefix("max_connections=")) > (
            processes * pools * Settings().database_pool_size
        )

    def test_migrate_is_a_command(self) -> None:
        assert SERVICES["migrate"]["command"][1] in COMMANDS

    def test_the_simulator_takes_its_options(self) -> None:
        parameters = typer.main.get_group(simulator_app).params
        known = {name for parameter in parameters for name in parameter.opts}

        assert {word for word in SERVICES["simulator"]["command"] if word.startswith("--")} <= known

    @pytest.mark.parametrize("name", COMPANIES)
    def test_each_company_is_where_it_is_asked(
        self, name: str, environment: pytest.MonkeyPatch
    ) -> None:
        command = SERVICES[name]["command"]

        assert command[1:4] == ["-m", "simulator.utility", COMPANIES[name]]
        url = urlsplit(Settings().utilities[COMPANIES[name]].base_url)
        port = command[command.index("--port") + 1]
        assert (url.hostname, url.port) == (name, int(port))
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
        page = f"{COMPANIES[name]}=http://127.0.0.1:{port}"
        assert page in SERVICES["simulator"]["command"]


class TestImage:
    def test_what_is_copied_is_there(self) -> None:
        for name, lines in stages().items():
            for line in lines:
                if not line.startswith("COPY "):
                    continue
                words = shlex.split(line)[1:]
                source = [word for word in words if word.startswith("--from=")]
                earlier = list(stages())[: list(stages()).index(name)]
                if source:
                    assert source[0].removeprefix("--from=") in earlier
                else:
                    assert all(word == "." or word in let_through() for word in words[:-1])

    def test_what_is_let_through_is_there(self) -> None:
        assert [name for name in let_through() if not (ROOT / name).exists()] == []

    def test_every_room_is_let_through(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        rooms = project["tool"]["setuptools"]["packages"]["find"]["include"]

        assert {room.rstrip("*") for room in rooms} <= let_through()

    def test_what_compose_builds_is_a_stage(self) -> None:
        targets = {one["build"]["target"] for one in SERVICES.values() if "build" in one}

        assert targets == {"citybill", "demo"}
        assert targets <= stages().keys()

    def test_the_last_stage_is_the_city_without_the_demo(self) -> None:
        assert list(stages())[-1] == "citybill"
        assert "COPY --from=build /opt/citybill /opt/citybill" in stages()["citybill"]

    def test_it_does_not_run_as_root(self) -> None:
        users = [line.split()[1] for line in stages()["base"] if line.startswith("USER ")]

        assert users == ["citybill"]

    def test_uv_is_the_same_everywhere(self) -> None:
        in_makefile = re.search(r"^UV := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert in_makefile is not None

        assert f"uv=={in_makefile[1]}" in (ROOT / "Dockerfile").read_text()


class TestLock:
    def test_production_is_a_part_of_what_is_tested(self) -> None:
        assert pinned("requirements-prod.lock").items() <= pinned("requirements.lock").items()

    def test_production_has_what_the_code_asks_for_and_nothing_of_demo_and_dev(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]

        def names(wanted: list[str]) -> set[str]:
            return {re.split(r"[^A-Za-z0-9-]", one)[0] for one in wanted}

        there = pinned("requirements-prod.lock").keys()

        assert names(project["dependencies"]) <= there
        assert not (names(extras["demo"]) | names(extras["dev"])) & there

    def test_the_demo_image_adds_what_the_simulator_needs(self) -> None:
        added = stages()["build-demo"][1].split("requirements.lock ")[1].split()

        assert set(added) <= pinned("requirements.lock").keys()
        assert not set(added) & pinned("requirements-prod.lock").keys()


def test_the_examples_json_is_json() -> None:
    assert json.loads(example()["UTILITIES"])


async def _echo(scope: Any, _receive: Any, send: Any) -> None:
    await PlainTextResponse(scope["client"][0])(scope, _receive, send)


class TestProxies:
    """Tries are counted by address: behind the container's own network everybody has their own."""

    @pytest.mark.parametrize("command", [
        SERVICES["web"]["command"],
        json.loads((ROOT / "Dockerfile").read_text().split("CMD ")[-1].splitlines()[0]),
    ])  # fmt: skip
    def test_the_address_is_the_one_the_proxy_saw(self, command: list[str]) -> None:
        by_name = dict(itertools.pairwise(command))
        trusted = by_name.get("--forwarded-allow-ips", "127.0.0.1")  # uvicorn's own

        def seen(caller: str, said: str) -> str:
            web = ProxyHeadersMiddleware(_echo, trusted)
            browser = TestClient(web, client=(caller, 50_000))
            return browser.get("/", headers={"X-Forwarded-For": said}).text

        assert seen("172.18.0.1", "203.0.113.9") == "203.0.113.9"
        assert seen("172.18.0.1", "198.51.100.7, 203.0.113.9") == "203.0.113.9"  # made up before it
        assert seen("203.0.113.9", "198.51.100.7") == "203.0.113.9"  # nobody's proxy
