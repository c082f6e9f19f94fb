"""The command line as a script meets it: one line, one object, one exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from core.db import transaction
from tests.cli.conftest import our_own
from tests.factories import a_home

CITYBILL = Path(sys.executable).with_name("citybill")
SAMPLES = Path(__file__).parents[1] / "data" / "providers"


@pytest.fixture
def installed(city, servers, tmp_path):
    """Run a command by the program that is installed, from its very start."""

    def run(*arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CITYBILL, *map(str, arguments)],
            cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env=our_own(city, servers) | settings,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger", "verify", "--json"),
        ("terms", "check", "nowhere.toml"),
        ("keys", "issue", "nobody"),
    ],
    ids=lambda one: one[0],
)  # fmt: skip
def test_a_command_that_is_forked_says_what_the_installed_one_says(citybill, installed, arguments):
    """Whatever else is tested here of a command is tested of what an operator starts."""
    forked, started = citybill(*arguments), installed(*arguments)

    assert forked.returncode == started.returncode
    assert forked.stdout == started.stdout
    assert forked.stderr.replace("python -m cli", "citybill") == started.stderr


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line a person reads, out of a box if there is one."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    lines = [line.strip(" │╭╮╰╯─") for line in done.stderr.splitlines()]
    told = [one for one in lines if one and not one.startswith(("Usage:", "Try ", "Error"))]
    assert len(told) == 1, done.stderr
    return told[0]


class TestRefused:
    def test_a_file_that_is_not_there_is_misuse(self, citybill):
        done = citybill("import", "nowhere.txt", "--provider", "water")

        assert done.returncode == 2
        assert "nowhere.txt" in complaint(done)

    def test_a_company_nobody_knows_is_refused_by_the_name_it_was_given(self, citybill):
        done = citybill("import", SAMPLES / "water" / "sample.txt", "--provider", "[/wasser]")

        assert done.returncode == 1
        assert "[/wasser]" in complaint(done)

    def test_a_file_that_is_no_bill_file_is_refused_and_nothing_landed(self, citybill, tmp_path):
        (tmp_path / "bad.txt").write_bytes(b"\xff\xfe nonsense\n")

        done = citybill("import", tmp_path / "bad.txt", "--provider", "water")

        assert done.returncode == 1
        assert complaint(done)
        with transaction() as session:
            assert session.execute(text("SELECT count(*) FROM bill")).scalar_one() == 0

    def test_a_day_that_is_none_is_misuse(self, citybill, tmp_path):
        (tmp_path / "s.csv").write_text("x")

        done = citybill(
            "reconcile", tmp_path / "s.csv", "--source", "sandbox", "--day", "yesterday"
        )

        assert done.returncode == 2
        assert "yesterday" in complaint(done)

    def test_a_gateway_nobody_knows_is_refused(self, citybill, tmp_path):
        (tmp_path / "s.csv").write_text("x")

        done = citybill("reconcile", tmp_path / "s.csv", "--source", "no", "--day", "2026-11-20")

        assert done.returncode == 1
        assert "no" in complaint(done)

    def test_a_settlement_file_that_is_none_is_refused(self, citybill, tmp_path):
        (tmp_path / "s.csv").write_text("nonsense\n")

        done = citybill(
            "reconcile", tmp_path / "s.csv", "--source", "sandbox", "--day", "2026-11-20"
        )

        assert done.returncode == 1
        assert complaint(done)

    def test_a_command_there_is_not_is_misuse(self, installed):
        done = installed("emport")

        assert done.returncode == 2
        assert "emport" in complaint(done)

    def test_a_database_that_cannot_be_reached_is_one_line(self, citybill):
        done = citybill("ledger", "verify", CITYBILL_DATABASE_URL="postgresql://127.0.0.1:1/x")

        assert done.returncode == 1
        assert "database" in complaint(done).lower()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"CITYBILL_ENVIRONMENT": "production"},
            {"CITYBILL_DATABASE_URL": "mysql://127.0.0.1/x"},
        ],
        ids=lambda one: next(iter(one)),
    )  # fmt: skip
    def test_a_wrong_configuration_is_told_without_a_trace(self, installed, wrong):
        done = installed("ledger", "verify", **wrong)

        assert done.returncode in {1, 2}
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()


class TestJson:
    """Exactly one object on standard output; everything else goes elsewhere."""

    def test_an_import_counts_and_the_same_file_again_changes_nothing(self, installed, citybill):
        sample = SAMPLES / "water" / "sample.txt"
        first = installed("import", sample, "--provider", "water", "--json")
        again = citybill("import", sample, "--provider", "water", "--json")

        assert (first.returncode, again.returncode) == (0, 0), first.stderr
        counted, recounted = json.loads(first.stdout), json.loads(again.stdout)
        names = {"rows", "created", "unchanged", "superseded", "cancelled", "reminded", "waiting"}
        names |= {"rejected", "seconds"}
        assert names <= counted.keys()
        assert counted["created"] > 0
        assert isinstance(counted["seconds"], int | float)
        assert recounted["bill_file_id"] == counted["bill_file_id"]
        assert first.stdout.count("\n") == 1

    def test_books_that_balance_are_told_so(self, citybill):
        done = citybill("ledger", "verify", "--json")

        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["ok"] is True
        assert all(check["ok"] for check in told["checks"])
        assert done.stdout.count("\n") == 1

    def test_books_that_do_not_are_told_so_by_the_exit_code_too(self, citybill):
        a_home(8_650)
        with transaction() as session:
            session.execute(text("SET LOCAL ROLE NONE"))  # as the owner, past append-only
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text("UPDATE ledger_transfer SET amount_fen = amount_fen + 1"))

        done = citybill("ledger", "verify", "--json")

        assert done.returncode == 1
        assert json.loads(done.stdout)["ok"] is False


def test_an_import_tells_the_first_rejected_rows_and_where_all_are(citybill):
    done = citybill(
        "import", SAMPLES / "water" / "sample.txt", "--provider", "water",
        CITYBILL_PUBLIC_URL="https://city.example", COLUMNS="40",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    with transaction() as session:
        file_id = session.execute(text("SELECT id FROM bill_file")).scalar_one()
    told = done.stdout.splitlines()
    assert "  line 6, 户号: the account number '100000000５' has full-width digits: write 10" in (
        done.stdout
    )
    where = f"https://city.example/console/bill-files/{file_id}/rejects.csv"
    assert told[-1] == f"all of them: {where}"


def test_a_check_of_the_ledger_is_one_line_on_a_narrow_terminal(citybill):
    done = citybill("ledger", "verify", COLUMNS="40")

    lines = done.stdout.splitlines()
    assert len(lines) > 5
    assert all(line.startswith("true  ") for line in lines)
    assert max(map(len, lines)) > 40


def test_a_check_of_a_profile_imports_nothing(citybill):
    profile = Path(__file__).parents[2] / "providers" / "profiles" / "water.toml"

    done = citybill("profile", "check", SAMPLES / "water" / "sample.txt", "--profile", profile)

    assert done.returncode in {0, 1}
    assert "bills would land" in done.stdout
    with transaction() as session:
        assert session.execute(text("SELECT count(*) FROM bill_file")).scalar_one() == 0


def test_the_doctor_says_what_is_reachable(citybill):
    done = citybill("doctor")

    assert "Traceback" not in done.stderr
    assert "PostgreSQL" in done.stdout
    assert "Redis" in done.stdout
