"""``citybill ask``: what a company says now, on a terminal and for a program."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.commands import Commands
from tests.providers.clients.companies import (
    PATHS,
    SECRET,
    FarCompany,
    free_port,
    running_company,
)


@pytest.fixture(scope="module")
def power(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarCompany]:
    with running_company("power", tmp_path_factory.mktemp("power")) as company:
        yield company


@pytest.fixture
def ask(commands: Commands, tmp_path: Path) -> Run:
    """Ask a company that is at this address."""

    def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        api = {"power": {"base_url": url + PATHS["power"], "secret": SECRET}}
        ours = {"CITYBILL_UTILITIES": json.dumps(api), "CITYBILL_DATA_DIR": str(tmp_path)}
        return commands.run("ask", *arguments, env=os.environ | ours)

    return run


def test_bills_none_and_unknown_are_three_answers(power, ask):
    account_no, bills = power.fresh_account()

    done = ask(power.url, "power", account_no, "--json")
    shown = ask(power.url, "power", account_no)
    unknown = ask(power.url, "power", power.unknown_account)
    none = ask(power.url, "power", power.closed_account, "--json")

    told = json.loads(done.stdout)
    assert (done.returncode, told["answer"]) == (0, "multiple")
    assert [one["amount_fen"] for one in told["bills"]] == [one.amount_fen for one in bills]
    assert all(bill.bill_no in shown.stdout for bill in bills)
    assert (unknown.returncode, unknown.stdout) == (0, "the company has no such account\n")
    assert json.loads(none.stdout) == {"company": "power", "answer": "none", "bills": []}


def test_a_company_that_is_down_is_the_fourth(ask):
    away = f"http://127.0.0.1:{free_port()}"

    done = ask(away, "power", "3100000000001")

    assert done.returncode == 1
    assert "down the company's system cannot be reached" in done.stdout


def test_a_company_without_an_api_is_refused(ask):
    done = ask("http://127.0.0.1:1", "water", "1")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no live API is configured for 'water'; there are: power." in done.stderr
