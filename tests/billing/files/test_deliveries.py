"""Fetching from a company's own SFTP server and site: whole files, once, and again if changed."""

import asyncio
import hashlib
import http.server
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial

import asyncssh
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from billing.files import fetching
from billing.files.deliveries import plan_polls, polls
from core.db import transaction
from core.errors import UpstreamUnavailable
from providers.clients.http_files import HttpFiles
from providers.clients.sftp_files import SftpFiles
from providers.delivery import Credentials, Delivery

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
LATER = timedelta(minutes=5)
LIMIT = 1 << 20
PASSWORD = "open sesame"

pytestmark = pytest.mark.usefixtures("city")


class Chrooted(asyncssh.SFTPServer):
    """A company's own server, as any is: nothing of ours in it."""

    reads = 0
    break_after = 1 << 60
    sent = 0

    def read(self, file_obj, offset, size):
        Chrooted.reads += 1
        if Chrooted.sent > Chrooted.break_after:
            Chrooted.sent = 0
            self.connection.abort()
        data = super().read(file_obj, offset, size)
        Chrooted.sent += len(data)
        return data


class CompanySftp:
    """A company's SFTP server in a thread of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        async def serve():
            class Guard(asyncssh.SSHServer):
                def begin_auth(self, username):
                    return True

                def password_auth_supported(self):
                    return True

                def validate_password(self, username, password):
                    return (username, password) == ("citybill", PASSWORD)

            self._stop = asyncio.Event()
            server = await asyncssh.listen(
                "127.0.0.1", 0, server_factory=Guard, server_host_keys=[self.key],
                sftp_factory=lambda channel: Chrooted(channel, chroot=self.folder),
            )  # fmt: skip
            self.port = server.get_port()
            self._ready.set()
            await self._stop.wait()
            server.close()
            await server.wait_closed()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        Chrooted.reads, Chrooted.break_after, Chrooted.sent = 0, 1 << 60, 0
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def delivery(self, **changes):
        values = {
            "kind": "sftp", "address": f"sftp://127.0.0.1:{self.port}/bills", "files": "*.csv",
            "host_key": self.key.export_public_key().decode().strip(),
        }  # fmt: skip
        return Delivery(**values | changes)

    def poll(self, spool, *, now=NOW, password=PASSWORD, **changes):
        """Look once, as the job does."""
        delivery = self.delivery(**changes)
        source = SftpFiles(
            delivery, Credentials(user="citybill", password=password), today=date(2026, 11, 20),
            limit_bytes=LIMIT,
        )  # fmt: skip
        return looked(source, delivery, spool, now)


def looked(source, delivery, spool, now):
    try:
        return fetching.poll(
            "power", source, spool, flag=delivery.flag, leaves=delivery.after == "leave", now=now
        )
    finally:
        source.close()


@pytest.fixture
def company(tmp_path):
    (tmp_path / "theirs" / "bills").mkdir(parents=True)
    with CompanySftp(tmp_path / "theirs") as server:
        yield server


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


def received():
    with transaction() as session:
        rows = session.execute(
            text("SELECT file_name, sha256, received_via FROM bill_file ORDER BY id")
        )
        return [tuple(row) for row in rows]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def put(company, name, content):
    path = company.folder / "bills" / name
    path.write_bytes(content)
    return path


class TestSftp:
    def test_a_file_is_taken_when_it_looked_the_same_twice_and_not_again(self, company, spool):
        put(company, "nov.csv", b"one")
        put(company, "readme.txt", b"no bill")

        counts = [company.poll(spool, now=NOW + at * LATER).received for at in range(3)]

        assert counts == [[], ["/bills/nov.csv"], []]
        assert received() == [("nov.csv", sha256(b"one"), "fetched")]
        assert list(spool.iterdir()) == []
        reads = Chrooted.reads
        company.poll(spool, now=NOW + 9 * LATER)
        assert Chrooted.reads == reads

    def test_a_file_that_grows_between_two_looks_waits(self, company, spool):
        path = put(company, "nov.csv", b"one")
        company.poll(spool)
        path.write_bytes(b"one, two")

        still = company.poll(spool, now=NOW + LATER)
        done = company.poll(spool, now=NOW + 2 * LATER)

        assert (still.received, still.growing, done.received) == ([], 1, ["/bills/nov.csv"])
        with transaction() as session:
            assert polls(session)["power"].due_at <= NOW + 2 * LATER

    def test_a_changed_file_under_the_same_name_is_fetched_again(self, company, spool):
        path = put(company, "nov.csv", b"one")
        for at in range(2):
            company.poll(spool, now=NOW + at * LATER)
        path.write_bytes(b"two")
        os.utime(path, (time.time() + 60, time.time() + 60))

        for at in range(2, 4):
            company.poll(spool, now=NOW + at * LATER)

        assert [one[1] for one in received()] == [sha256(b"one"), sha256(b"two")]

    def test_with_a_flag_the_file_waits_for_it_and_is_then_taken_at_once(self, company, spool):
        put(company, "nov.csv", b"one")
        for at in range(2):
            company.poll(spool, flag=".ok", now=NOW + at * LATER)
        before = received()
        put(company, "nov.csv.ok", b"")

        company.poll(spool, flag=".ok", now=NOW + 3 * LATER)

        assert (before, [one[0] for one in received()]) == ([], ["nov.csv"])

    @pytest.mark.parametrize(
        ("after", "left"),
        [("leave", "nov.csv"), ("delete", None), ("rename:.done", "nov.csv.done")],
    )
    def test_what_was_agreed_is_done_with_a_fetched_file(self, company, spool, after, left):
        put(company, "nov.csv", b"one")

        for at in range(3):
            company.poll(spool, after=after, now=NOW + at * LATER)

        there = [one.name for one in (company.folder / "bills").iterdir()]
        assert (there, len(received())) == ([left] if left else [], 1)

    def test_a_server_with_another_key_is_not_spoken_to(self, company, spool):
        put(company, "nov.csv", b"one")
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()

        haul = company.poll(spool, host_key=other)

        assert "shows another key" in haul.complaints[0]
        with transaction() as session:
            poll = polls(session)["power"]
        assert (poll.failures, poll.succeeded_at, poll.polled_at) == (1, None, NOW)

    def test_a_wrong_password_and_a_company_that_is_down_are_told_and_forgotten_when_it_is_well(
        self, company, spool
    ):
        wrong = company.poll(spool, password="x").complaints
        with transaction() as session:
            failed = polls(session)["power"].failures
        away = company.poll(spool, address="sftp://127.0.0.1:1/bills").complaints
        company.poll(spool, now=NOW + LATER)

        assert "does not let us in" in wrong[0]
        assert "cannot be reached" in away[0]
        with transaction() as session:
            poll = polls(session)["power"]
        assert (failed, poll.failures, poll.complaint, poll.succeeded_at) == (
            1, 0, None, NOW + LATER,
        )  # fmt: skip

    def test_a_download_that_breaks_off_is_never_received_and_gone_on_with(self, company, spool):
        content = os.urandom(900_000)
        put(company, "nov.csv", content)
        company.poll(spool)
        Chrooted.break_after = 400_000

        broken = company.poll(spool, now=NOW + LATER)
        halves = [one.stat().st_size for one in spool.iterdir()]
        Chrooted.break_after = 1 << 60
        company.poll(spool, now=NOW + 2 * LATER)

        assert (len(broken.complaints), broken.received) == (1, [])
        assert 0 < halves[0] < 900_000
        assert [one[1] for one in received()] == [sha256(content)]

    def test_killed_between_receiving_and_remembering_the_file_lands_once(
        self, company, spool, monkeypatch
    ):
        put(company, "nov.csv", b"one")
        company.poll(spool, after="delete")
        with monkeypatch.context() as at:
            at.setattr(SftpFiles, "finish", _killed)
            with pytest.raises(KeyboardInterrupt):
                company.poll(spool, after="delete", now=NOW + LATER)

        company.poll(spool, after="delete", now=NOW + 2 * LATER)

        assert len(received()) == 1
        assert list((company.folder / "bills").iterdir()) == []

    def test_two_workers_at_once_fetch_once(self, company, spool):
        put(company, "nov.csv", b"one")
        company.poll(spool)
        hauls = []
        workers = [
            threading.Thread(target=lambda: hauls.append(company.poll(spool, now=NOW + LATER)))
            for _ in range(2)
        ]
        for one in workers:
            one.start()
        for one in workers:
            one.join()

        assert sum(len(one.received) for one in hauls if one is not None) == 1

    def test_a_file_that_is_too_large_or_empty_is_told_and_the_others_come(self, company, spool):
        put(company, "a.csv", bytes(LIMIT + 1))
        put(company, "b.csv", b"")
        put(company, "c.csv", b"one")
        company.poll(spool)

        haul = company.poll(spool, now=NOW + LATER)

        assert [one[0] for one in received()] == ["c.csv"]
        assert ["larger than we take" in one for one in haul.complaints] == [True]
        with transaction() as session:
            told = session.execute(
                text("SELECT complaint FROM delivery_file WHERE remote_name = '/bills/b.csv'")
            ).scalar_one()
        assert "the file is empty" in told


def _killed(*_):
    raise KeyboardInterrupt


class Site(http.server.BaseHTTPRequestHandler):
    """A company's web server: entity tags, ranges, and faults on demand."""

    protocol_version = "HTTP/1.1"

    def __init__(self, site, *given):
        self.site = site
        super().__init__(*given)

    def log_message(self, *_):
        """Say nothing."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        site = self.site
        site["asked"].append((self.command, self.path, self.headers.get("Range")))
        content = site["files"].get(self.path)
        if site.get("token") and self.headers.get("Authorization") != f"Bearer {site['token']}":
            return self.head(401, 0)
        if content is None:
            return self.head(404, 0)
        begins = 0
        tag = f'"{sha256(content)[:12]}"'
        span = self.headers.get("Range")
        if span and self.headers.get("If-Range") == tag:
            begins = int(span.removeprefix("bytes=").rstrip("-"))
        headers = {"ETag": tag} | site.get("headers", {})
        if begins:
            headers["Content-Range"] = f"bytes {begins}-{len(content) - 1}/{len(content)}"
        self.head(206 if begins else 200, len(content) - begins, headers)
        if body:
            self.wfile.write(content[begins : begins + site.get("cut", 1 << 60)])
            if "cut" in site:
                self.close_connection = True
        return None

    def head(self, status, length, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@contextmanager
def a_site():
    site = {"files": {}, "asked": []}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield site | {"url": f"http://127.0.0.1:{server.server_port}"}, site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site():
    with a_site() as (facts, state):
        state["url"] = facts["url"]
        yield state


def ask(site, spool, *, now=NOW, bearer="", path="/nov.csv", today=20, **changes):
    delivery = Delivery(**{"kind": "http", "address": site["url"] + path} | changes)
    source = HttpFiles(
        delivery, Credentials(bearer=bearer), today=date(2026, 11, today), limit_bytes=LIMIT
    )
    return looked(source, delivery, spool, now)


class TestHttp:
    def test_a_file_comes_once_and_again_when_it_changed(self, site, spool):
        site["files"]["/nov.csv"] = b"one"
        for at in range(4):
            ask(site, spool, now=NOW + at * LATER)
        gets = [one for one in site["asked"] if one[0] == "GET"]
        site["files"]["/nov.csv"] = b"two"

        for at in range(4, 7):
            ask(site, spool, now=NOW + at * LATER)

        assert len(gets) == 1
        assert [one[1] for one in received()] == [sha256(b"one"), sha256(b"two")]

    def test_an_address_with_the_day_looks_at_yesterday_too(self, site, spool):
        site["files"] |= {"/20261119.csv": b"one", "/20261120.csv": b"two"}

        for at in range(2):
            haul = ask(site, spool, path="/{yyyymmdd}.csv", now=NOW + at * LATER)

        assert haul.complaints == []
        assert [one[0] for one in received()] == ["20261119.csv", "20261120.csv"]

    @pytest.mark.parametrize(
        ("index", "page"),
        [
            ("json", b'["a.csv", {"name": "b.csv", "sha256": "%s"}, {"url": "http://other/x.csv"}]'
             % sha256(b"b").encode()),
            ("json", b'{"files": [{"url": "/bills/a.csv"}, {"url": "b.csv"}, 7]}'),
            ("html", b'<a href="?C=N">Name</a><a href="../">Up</a><a href="a.csv">a</a>'
             b'<a href="/bills/b.csv">b</a><a href="http://other.example/x.csv">x</a>'),
        ],
    )  # fmt: skip
    def test_an_index_lists_the_files_of_its_own_host(self, site, spool, index, page):
        site["files"] |= {"/bills/": page, "/bills/a.csv": b"a", "/bills/b.csv": b"b"}

        for at in range(2):
            haul = ask(
                site, spool, path="/bills/", index=index, files="*.csv", now=NOW + at * LATER
            )

        assert haul.complaints == []
        assert [one[0] for one in received()] == ["a.csv", "b.csv"]

    def test_a_broken_download_goes_on_where_it_broke(self, site, spool):
        content = os.urandom(200_000)
        site["files"]["/nov.csv"] = content
        ask(site, spool)
        site["cut"] = 80_000
        broken = ask(site, spool, now=NOW + LATER)
        del site["cut"]

        ask(site, spool, now=NOW + 2 * LATER)

        assert "broke off" in broken.complaints[0]
        assert ("GET", "/nov.csv", "bytes=80000-") in site["asked"]
        assert [one[1] for one in received()] == [sha256(content)]

    def test_a_file_that_is_not_what_its_checksum_says_is_not_received(self, site, spool):
        site["files"]["/nov.csv"] = b"one"
        site["headers"] = {"X-Checksum-Sha256": sha256(b"two")}

        for at in range(2):
            haul = ask(site, spool, now=NOW + at * LATER)

        assert "SHA-256 is not the one the server states" in haul.complaints[0]
        assert (received(), list(spool.iterdir())) == ([], [])

    def test_a_token_is_shown_and_a_wrong_one_is_told(self, site, spool):
        site["files"]["/nov.csv"], site["token"] = b"one", "t0ken"

        wrong = ask(site, spool, bearer="x").complaints
        for at in range(2):
            ask(site, spool, bearer="t0ken", now=NOW + at * LATER)

        assert "does not let us in" in wrong[0]
        assert len(received()) == 1

    def test_more_than_we_take_is_not_brought_over(self, site, spool):
        site["files"]["/nov.csv"] = bytes(LIMIT + 1)

        for at in range(2):
            haul = ask(site, spool, now=NOW + at * LATER)

        assert "larger than we take" in haul.complaints[0]
        assert received() == []

    def test_a_site_that_is_away_is_told(self, spool):
        haul = ask({"url": "http://127.0.0.1:1"}, spool)

        assert "cannot be reached" in haul.complaints[0]


class TestPlanning:
    def test_a_company_is_due_once_in_its_time(self):
        every = [("power", timedelta(minutes=30))]
        due = []
        for minutes in (0, 1, 29, 30, 31):
            with transaction() as session:
                due.append(plan_polls(session, every, now=NOW + timedelta(minutes=minutes)))

        assert due == [1, 0, 0, 1, 0]

    @pytest.mark.parametrize(
        ("window", "hour", "is_open"),
        [(None, 3, True), ("22:00-06:00", 23, True), ("22:00-06:00", 5, True),
         ("22:00-06:00", 6, False), ("08:00-09:00", 8, True), ("08:00-09:00", 9, False)],
    )  # fmt: skip
    def test_a_company_is_only_visited_in_its_hours(self, window, hour, is_open):
        delivery = Delivery(kind="http", address="https://x.example/a", window=window)
        at = datetime(2026, 11, 20, hour, 0, tzinfo=UTC) - timedelta(hours=8)

        assert delivery.is_open(at) is is_open

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "sftp", "address": "sftp://x.example/a"},
            {"kind": "sftp", "address": "sftp://x.example/a", "host_key": "any"},
            {"kind": "http", "address": "ftp://x.example/a"},
            {"kind": "http", "address": "https://user:pass@x.example/a"},
            {"kind": "http", "address": "https://x.example/a", "after": "delete"},
            {"kind": "http"},
            {"kind": "push", "address": "https://x.example/a"},
            {"kind": "http", "address": "https://x.example/a", "window": "25:00-26:00"},
            {"kind": "http", "address": "https://x.example/a", "after": "burn"},
        ],
    )
    def test_what_could_not_work_or_would_not_be_safe_is_refused(self, wrong):
        with pytest.raises(ValidationError):
            Delivery(**wrong)


def test_an_adapter_says_who_is_away():
    source = SftpFiles(
        Delivery(
            kind="sftp", address="sftp://127.0.0.1:1/a",
            host_key=asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
            .strip(),
        ),
        Credentials(), today=date(2026, 11, 20), limit_bytes=1,
    )  # fmt: skip
    with pytest.raises(UpstreamUnavailable):
        source.look()
    source.close()
