"""Kill runs of every leg at every statement, and start them again: ``make runs``.

A process reads a day's file and matches it, and is killed (SIGKILL) before its first statement,
its second, and so on to the last; in the middle of its rows' way into the books; and at random
moments. After each kill the books are what they were, or all of what the run leaves: nothing is
half done. The run that is let through leaves what one leaves that nobody disturbed.

    python -m tests.kill_runs [--rows N] [--random K]
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import event

from bench.reconcile_city import DAY
from cli.migrations import migrate
from cli.servers import Servers, default_data_dir
from core import db
from payments.gateways import sandbox_bulk
from payments.gateways.sandbox import Sandbox
from tests.conftest import ROOT
from tests.payments.reconciliation.banking import ACCOUNT
from tests.planted import LEGS, BankLeg, GatewayLeg, LegOf, spoilt

ROWS, EACH = 400, 3
_PATIENCE_SECONDS = 120
# Most of a start: whatever does not import polars, whose threads do not outlive a fork.
_PRELOADED = [
    "tests.conftest", "tests.planting", "openpyxl", "httpcore",
    "reportlab.graphics.barcode.code128", "identity.duties", "billing.homes.spans",
    "billing.rules.terms", "providers.formats.xml_rows", "payments.counter.models",
    "payments.gateways.stripe", "payments.remittance.models", "payments.returns.suspense",
    "payments.reconciliation.bank.by_hand", "payments.reconciliation.company.models",
]  # fmt: skip
_VICTIM = "a-run-to-be-killed"
IN_THE_COPY = -2  # the place after some of a file's rows and before others
Kept = dict[str, list[str]]


class Halting(Sandbox):
    """A gateway in whose file the process dies."""

    def read_bulk(self, content: bytes, *, day: date, file_id: int) -> Iterator[bytes]:
        for at, block in enumerate(super().read_bulk(content, day=day, file_id=file_id)):
            if at == 2:
                die()
            yield block


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_and_die(url: str, leg_at: int, path: str, place: int) -> None:
    """Run a leg, and be killed before the statement of this place; notes how many there were."""
    sandbox_bulk._BLOCK_BYTES = 4_096
    leg, count = LEGS[leg_at], 0
    sys.stderr = Path(path).with_suffix(".error").open("w")
    db.bind(url + ("&" if "?" in url else "?") + f"application_name={_VICTIM}")

    def each(*_: Any) -> None:
        nonlocal count
        if count == place:
            die()
        count += 1

    for engine in db.engines():
        event.listen(engine, "before_cursor_execute", each)
        event.listen(engine, "commit", each)
    content = Path(path).read_bytes()
    if leg is GatewayLeg and place == IN_THE_COPY:
        leg.run(content, Halting("http://127.0.0.1:9", "no secret is needed to read a file"))
    else:
        leg.run(content)
    Path(path).with_suffix(".count").write_text(str(count))


class Story:
    """One leg's day in a database, which runs are killed in."""

    def __init__(self, url: str, leg: LegOf, path: Path) -> None:
        self.url, self.leg, self._path = url, leg, path
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(_PRELOADED)

    def let_through(self) -> int:
        """Run undisturbed; returns how many statements that took."""
        process = self._start(-1)
        process.join(_PATIENCE_SECONDS)
        assert process.exitcode == 0, self._why(process)
        return int(self._path.with_suffix(".count").read_text())

    def killed_at(self, place: int) -> bool:
        """Run and be killed before a statement; False: there are not so many."""
        process = self._start(place)
        process.join(_PATIENCE_SECONDS)
        assert process.exitcode in (0, -signal.SIGKILL), self._why(process)
        return process.exitcode != 0

    def killed_after(self, seconds: float) -> bool:
        """Run and be killed at a moment; False: it was through by then."""
        process = self._start(-1)
        process.join(seconds)
        process.kill()
        process.join(_PATIENCE_SECONDS)
        return process.exitcode != 0

    def _start(self, place: int) -> Any:
        arguments = (self.url, LEGS.index(self.leg), str(self._path), place)
        process = self._processes.Process(target=run_and_die, args=arguments)
        process.start()
        return process

    def _why(self, process: Any) -> str:
        return f"exit code {process.exitcode}: {self._path.with_suffix('.error').read_text()}"

    def kept(self) -> Kept:
        """Everything a run can leave, without what numbers it happened to draw."""
        # In a transaction, who is connected is asked once: the dead would be seen for ever.
        with psycopg.connect(self.url, autocommit=True) as connection:
            _wait_for_the_dead(connection)
            return {
                name: sorted(str(row) for row in connection.execute(query.encode()))
                for name, query in _KEPT.items()
            }


def _wait_for_the_dead(connection: psycopg.Connection[Any]) -> None:
    """Let the server notice who is gone: until then their locks stand."""
    for _ in range(50 * _PATIENCE_SECONDS):
        alive = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND application_name = '{_VICTIM}'"
        ).fetchone()
        if alive == (0,):
            return
        time.sleep(0.02)
    at = connection.execute(
        "SELECT state, wait_event, left(query, 100) FROM pg_stat_activity"
        f" WHERE application_name = '{_VICTIM}'"
    ).fetchall()
    raise TimeoutError(f"a killed run's session is still there: {at}")


_FILE = "(SELECT sha256 FROM settlement_file f WHERE f.id = settlement_file_id)"
_LIST = "(SELECT sha256 FROM confirmation_file f WHERE f.id = confirmation_file_id)"
_KEPT = {
    "files": "SELECT source, day, sha256 FROM settlement_file",
    "rows": f"SELECT {_FILE}, line_no, kind, reference, amount_fen, fee_fen FROM settlement_row",
    "arrivals": f"SELECT source, day, state, {_FILE} FROM settlement_arrival",
    "runs": f"SELECT source, day, {_FILE}, matched, matched_elsewhere, our_count, their_count,"
    " our_total_fen, their_total_fen, fee_total_fen FROM reconciliation",
    "left": "SELECT * FROM settlement_left",
    "differences": "SELECT leg, regexp_replace(source, '^account-.*', 'ours'), day, kind,"
    " row_kind, reference, their_ref, ours_fen, theirs_fen, found_at, state"
    " FROM reconciliation_break",
    "lists": "SELECT provider_code, day, sha256, rows, rejected, sum_fen FROM confirmation_file",
    "list rows": f"SELECT {_LIST}, row_no, write_off_no, amount_fen FROM confirmation_row",
    "list arrivals": f"SELECT provider_code, day, state, {_LIST}, matched, awaited, our_count,"
    " our_total_fen FROM confirmation_arrival",
    "statements": "SELECT digest, entries, covers_to FROM bank_statement",
    "entries": "SELECT entry_no, booked_on, amount_fen, match_id IS NULL FROM bank_entry",
    "dues": "SELECT source, kind, day, reference, amount_fen, fee_fen, match_id IS NULL"
    " FROM bank_due",
    "matches": "SELECT source, matched_by, first_on, amount_fen, fee_fen, undone_at"
    " FROM bank_match",
    "transfers": "SELECT split_part(entry_key, ':', 1), d.code, c.code, amount_fen, posted_on"
    " FROM ledger_transfer t JOIN ledger_account d ON d.id = t.debit_account_id"
    " JOIN ledger_account c ON c.id = t.credit_account_id",
}  # fmt: skip


def spoil(url: str, leg: LegOf, path: Path, *, rows: int, seed: int) -> None:
    """Make a leg's day in an empty city, with differences in it, and what is told of it."""
    with psycopg.connect(url, autocommit=True) as owner:
        if leg is BankLeg:  # what a gateway pays out is posted when it comes
            owner.execute(_A_PAYOUT)
        planted = spoilt(owner, leg, rows, EACH, seed)
    content = leg.file(planted.told)
    if leg is BankLeg:
        content += f"{DAY},N-net,123.45,,,,{ACCOUNT}\r\n".encode()
    path.write_bytes(content)


_A_PAYOUT = f"""
    WITH file AS (
        INSERT INTO settlement_file (source, day, sha256, file_name, received_at)
        VALUES ('sandbox', '{DAY}', 'x', 'f', now()) RETURNING id
    ), line AS (
        INSERT INTO settlement_row (settlement_file_id, line_no, kind, reference, gateway_ref,
                                    amount_fen, fee_fen, happened_at)
        SELECT id, 1, 'payment', 'x', 'x', 12360, 15, '{DAY} 04:00+00' FROM file
    )
    INSERT INTO reconciliation (source, day, settlement_file_id, matched, our_count, their_count,
                                our_total_fen, their_total_fen, fee_total_fen, run_at)
    SELECT 'sandbox', '{DAY}', id, 0, 0, 0, 0, 0, 0, '{DAY} 04:00+00' FROM file
"""


def differences(before: Kept, after: Kept) -> list[str]:
    """Return which tables differ, and by what first."""
    return [
        f"{name}: {sorted(set(before[name]) ^ set(after[name]))[:2]}, "
        f"{len(before[name])} and {len(after[name])} rows"
        for name in before
        if before[name] != after[name]
    ]


def kill_everywhere(story: Story, before: Kept, wanted: Kept, *, step: int = 1) -> int:
    """Kill at every ``step``-th statement in turn, then let one through; returns how many kills.

    A run is one transaction or two, so the books were in two states or three, the last as wanted.
    """
    kills, states, place = 0, [before], 0
    if story.leg is GatewayLeg:
        assert story.killed_at(IN_THE_COPY), "its rows were through in one piece"
        assert story.kept() == before
        kills += 1
    while story.killed_at(place):
        kills, place = kills + 1, place + step
        if (now := story.kept()) != states[-1]:
            states.append(now)
            assert len(states) <= 3, f"half done: {differences(states[-2], now)}"
    if story.kept() != states[-1]:
        states.append(story.kept())
    story.let_through()
    told = differences(story.kept(), wanted)
    assert not told, told
    transactions = 1 if story.leg is GatewayLeg else 2
    assert len(states) <= transactions + 1, [differences(before, one) for one in states]
    return kills


def prove(servers: Servers, folder: Path, leg: LegOf, *, rows: int, moments: int) -> str:
    """Kill a leg everywhere, and at so many random moments; says how often."""
    path = folder / f"{leg.leg}.csv"
    servers.create_database("start")
    migrate(servers.database_url("start"), today=DAY)
    spoil(servers.database_url("start"), leg, path, rows=rows, seed=1)
    with a_copy(servers, "calm") as url:
        story = Story(url, leg, path)
        before = story.kept()
        began = time.monotonic()
        statements = story.let_through()
        seconds, wanted = time.monotonic() - began, story.kept()
    with a_copy(servers, "killed") as url:
        kills = kill_everywhere(Story(url, leg, path), before, wanted)
    struck = 0
    for _ in range(moments):
        with a_copy(servers, "struck") as url:
            story = Story(url, leg, path)
            struck += story.killed_after(random.uniform(0, seconds))
            story.let_through()
            told = differences(story.kept(), wanted)
            assert not told, told
    _server(servers, "DROP DATABASE start")
    return f"{leg.leg}: {statements} statements, {kills} kills at them, {struck} at any moment"


@contextmanager
def a_copy(servers: Servers, name: str) -> Iterator[str]:
    _server(servers, _ALONE)
    _server(servers, f"CREATE DATABASE {name} TEMPLATE start")
    yield servers.database_url(name)
    _server(servers, f"DROP DATABASE {name} WITH (FORCE)")


# Who copies a database must be alone with it: a vacuum that began by itself is not waited for.
_ALONE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'start'"


def _server(servers: Servers, statement: str) -> None:
    with psycopg.connect(servers.database_url("postgres"), autocommit=True) as server:
        server.execute(statement.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--random", type=int, default=20, help="kills at any moment, of each leg")
    chosen = parser.parse_args()
    base = default_data_dir(ROOT)
    folder = base.with_name(f"{base.name}-runs-{os.getpid()}")
    try:
        with Servers(folder) as servers, tempfile.TemporaryDirectory() as files:
            for leg in LEGS:
                told = prove(servers, Path(files), leg, rows=chosen.rows, moments=chosen.random)
                sys.stdout.write(f"{told}: the books are the same\n")
                sys.stdout.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
