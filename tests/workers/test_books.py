"""Books that come by themselves: brought by SFTP, fetched from their senders, and read by a job."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.files.drop_folders import drop_folder, sender_folder
from core.clock import utc_now
from core.db import transaction
from core.errors import Invalid
from core.settings import BookDelivery, BookSender, settings
from payments.reconciliation.intake import receiving as intake
from payments.reconciliation.intake import work as intake_work
from payments.reconciliation.intake.models import BookFile, BookState
from payments.reconciliation.intake.receiving import Given
from payments.reconciliation.intake.senders import fetching_fails
from payments.reconciliation.models import Leg
from providers.delivery import Delivery
from tests.billing.files.test_deliveries import site  # noqa: F401
from tests.conftest import ROOT
from tests.payments.reconciliation.results import list_results
from tests.payments.reconciliation.test_intake import GATEWAYS, STATEMENT, bring
from tests.payments.reconciliation.test_matching import a_file
from tests.workers.company_side import get, on_a_server, put, settings_for, until, work
from workers.books import answer_books, as_books, delivery_of, of_a_company, senders
from workers.pickup import sweep
from workers.scheduler import schedule

pytestmark = pytest.mark.usefixtures("city")
BANK = {"mybank": BookSender(leg="bank")}


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CITYBILL_SFTP_DIR", str(tmp_path))
    monkeypatch.setenv("CITYBILL_FETCH_DIR", str(tmp_path / "fetch"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def rows() -> list[BookFile]:
    with transaction() as session:
        ids = session.execute(text("SELECT id FROM book_file ORDER BY id")).scalars().all()
        return [intake.get_book_file(session, one) for one in ids]


def read() -> bool:
    work()
    return bool(rows()) and all(one.state in ("done", "refused", "unclear") for one in rows())


class TestBrought:
    def test_a_banks_statement_is_taken_read_and_answered(self, tmp_path):
        async def story(sftp, _chosen) -> dict[str, Any]:
            await put(sftp, "/in/1120.sta.part", STATEMENT)
            await sftp.rename("/in/1120.sta.part", "/in/1120.sta")
            await until(rows, "the file is taken")
            await until(read, "it is read")
            out = sender_folder(tmp_path, "mybank").outgoing
            await until(lambda: (out / "1120.sta.ack").exists(), "it is answered")
            return json.loads(await get(sftp, "/out/1120.sta.ack"))

        told = on_a_server(tmp_path, story, company="mybank", settle=3600, book_senders=BANK)

        [row] = rows()
        assert (row.state, row.came_by, row.sender) == (BookState.DONE, "sftp", "mybank")
        assert (told["status"], told["leg"], told["rows"]) == ("done", "bank", 1)
        assert told["sha256"] == row.sha256
        archive = sender_folder(tmp_path, "mybank").archive
        assert [one.name for one in archive.iterdir()] == ["b1-1120.sta"]

    def test_one_that_is_refused_says_why(self, tmp_path):
        folder = sender_folder(tmp_path, "mybank")
        wrong = STATEMENT.replace(b"1086,50", b"1086,51")
        self._put(folder, "a.sta", wrong)
        self._put(folder, "b.sta", b"")

        self._sweep(folder, "mybank", as_books(Given(Leg.BANK, profile="two_columns")))
        work()
        answer_books(folder, "mybank", as_lines=True, now=utc_now())

        assert "status=refused" in (folder.outgoing / "a.sta.ack").read_text()
        assert "1086" in (folder.outgoing / "a.sta.refused.txt").read_text()
        assert "empty" in (folder.outgoing / "b.sta.refused.txt").read_text()
        assert answer_books(folder, "mybank", as_lines=True, now=utc_now()) == 0

    def test_a_company_s_lists_are_told_from_its_bills_by_their_names(self, tmp_path):
        folder = drop_folder(tmp_path, "power")
        self._put(folder, "confirm-20261120.txt", b"what is this?")
        self._put(folder, "bills.csv", b"what is this?")

        self._sweep(folder, "power", of_a_company(Delivery(lists="confirm-*")))

        [row] = rows()
        assert (row.leg, row.source, row.file_name) == (
            Leg.COMPANY, "power", "confirm-20261120.txt",
        )  # fmt: skip
        with transaction() as session:
            bills = session.execute(text("SELECT file_name FROM bill_file")).scalars().all()
        assert bills == ["bills.csv"]

    def test_killed_between_any_two_steps_it_is_one_file_and_one_arrival(
        self, tmp_path, monkeypatch
    ):
        class Killed(BaseException):
            pass

        def killed(*_args):
            raise Killed

        folder = sender_folder(tmp_path, "mybank")
        self._put(folder, "a.sta", STATEMENT)
        with monkeypatch.context() as at:
            at.setattr("workers.pickup.Path.rename", killed)
            with pytest.raises(Killed):
                self._sweep(folder, "mybank", as_books(Given(Leg.BANK)))
        for _ in range(2):
            self._sweep(folder, "mybank", as_books(Given(Leg.BANK)))

        with transaction() as session:
            arrivals = session.execute(text("SELECT count(*) FROM book_arrival")).scalar_one()
        assert (len(rows()), arrivals) == (1, 1)

    def test_a_sender_with_a_company_s_name_stops_the_server(self, tmp_path):
        chosen = settings_for(tmp_path, book_senders={"power": BookSender()})

        with pytest.raises(Invalid, match="power is a company"):
            senders(chosen)

    def test_nobody_else_gets_in(self, tmp_path):
        async def story(_sftp, _chosen) -> None:
            raise AssertionError("somebody got in")

        with pytest.raises(Exception, match=r"(?i)permission denied|auth"):
            on_a_server(tmp_path, story, company="stranger", book_senders=BANK)

    @staticmethod
    def _put(folder, name: str, content: bytes) -> None:
        folder.prepare()
        (folder.incoming / name).write_bytes(content)

    @staticmethod
    def _sweep(folder, sender: str, take) -> None:
        later = utc_now() + timedelta(minutes=1)
        sweep(folder, sender, flag=None, settle_seconds=0, now=later, take=take)


class TestFetched:
    def test_a_file_is_fetched_once_however_often_we_look(self, site, monkeypatch):  # noqa: F811
        self._fetching(monkeypatch, f"{site['url']}/{{yyyymmdd}}.sta")
        today = f"{utc_now() + timedelta(hours=8):%Y%m%d}"

        self._look()
        assert rows() == []  # not there yet, and no complaint
        site["files"][f"/{today}.sta"] = STATEMENT
        for _ in range(4):
            self._look()

        [row] = rows()
        assert (row.state, row.came_by, row.sender) == (BookState.DONE, "polled", "mybank")
        with transaction() as session:
            assert session.execute(text("SELECT complaint FROM delivery_poll")).scalar() is None

    def test_a_bank_that_is_away_is_told_of_and_tried_again(self, monkeypatch):
        self._fetching(monkeypatch, "http://127.0.0.1:1/x.sta")

        self._look()

        with transaction() as session:
            [(code, why)] = fetching_fails(session)
        assert (code, "cannot be reached" in why) == ("mybank", True)

    def test_settings_that_are_wrong_say_what(self):
        for changes, why in (
            ({"address": "sftp://bank.example/out"}, "host_key"),
            ({"address": "ftp://bank.example/out"}, "begin with"),
            ({"address": "https://bank.example/a", "window": "late"}, "two times of day"),
        ):
            with pytest.raises(Invalid, match=why):
                delivery_of("mybank", BookDelivery(leg="bank", **changes))

    @staticmethod
    def _fetching(monkeypatch, address: str) -> None:
        told = {"mybank": {"leg": "bank", "address": address, "flag": None, "every": 1}}
        monkeypatch.setenv("CITYBILL_BOOK_DELIVERIES", json.dumps(told))
        settings.cache_clear()

    @staticmethod
    def _look() -> None:
        """Let the minute come at which we look again, and half a minute pass for what is there."""
        with transaction() as session:
            session.execute(text("UPDATE delivery_poll SET due_at = now() - interval '1 hour'"))
            session.execute(text("UPDATE delivery_file SET seen_at = now() - interval '1 hour'"))
            session.execute(text("DELETE FROM job WHERE schedule_key IS NOT NULL"))
        schedule(now=utc_now())
        work()


VICTIM = """
import sys
from core import db
from core.clock import utc_now
from payments.reconciliation.intake import work
from tests.payments.reconciliation.test_matching import GATEWAY
db.bind(sys.argv[1])
work.read_file(int(sys.argv[2]), {"sandbox": GATEWAY}, now=utc_now())
"""


def test_a_reader_that_is_killed_leaves_nothing_and_the_next_one_finishes(database_url):
    """SIGKILL, as soon as the first rows are told of."""
    day = date(2026, 11, 20)
    line = ["payment", "", "", "", "", "1.00", "0.01", "2026-11-20T04:01:00Z"]
    content = a_file([[line[0], f"CB{at}", f"r{at}", *line[3:]] for at in range(20_000)])
    # A quoted cell is enough to have it read row by row.
    row = bring(content.replace(b"CB0,", b'"CB0",'), Given(Leg.GATEWAY, "sandbox", day))
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, database_url, str(row.id)], cwd=ROOT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and victim.poll() is None:
        [one] = rows()
        if one.rows_done:
            break
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()

    [half] = rows()
    assert half.state in (BookState.READING, BookState.MATCHING)
    assert half.rows_done > 0
    with transaction() as session:
        assert list_results(session) == []
        assert session.execute(text("SELECT count(*) FROM settlement_file")).scalar() == 0
    intake_work.read_file(row.id, GATEWAYS, now=utc_now())
    [whole] = rows()
    assert (whole.state, whole.told["rows"]) == (BookState.DONE, 20_000)
