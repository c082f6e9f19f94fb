"""The embedded servers: first in starts them, last out stops them, whoever was killed."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis

from cli.servers import ServerError, Servers, default_data_dir

ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
_numbers = count(1)


def a_folder() -> Path:
    usual = default_data_dir(ROOT)
    return usual.with_name(f"{usual.name}-test-{os.getpid()}-{next(_numbers)}")


def answer(servers: Servers) -> tuple[bool, bool]:
    """Tell whether (PostgreSQL, Redis) are there."""
    try:
        psycopg.connect(servers.database_url("postgres"), connect_timeout=2).close()
        database = True
    except psycopg.OperationalError:
        database = False
    try:
        with redis.Redis.from_url(servers.redis_url) as client:
            cache = bool(client.ping())
    except redis.exceptions.ConnectionError:
        cache = False
    return database, cache


def away(servers: Servers) -> None:
    """Leave nothing behind: no server, no folder."""
    servers.stop()
    with Servers(servers.data_dir, fsync=False):
        pass
    shutil.rmtree(servers.data_dir, ignore_errors=True)
    shutil.rmtree(Path(servers.redis_url.removeprefix("unix://")).parent, ignore_errors=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder these tests share one after the other; between them nothing runs."""
    path = a_folder()
    yield path
    away(Servers(path, fsync=False))


def servers_in(folder: Path) -> Servers:
    return Servers(folder, fsync=False)


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


class TestSharing:
    def test_the_first_starts_both_and_the_last_stops_both(self, folder):
        with servers_in(folder) as servers:
            assert answer(servers) == (True, True)

        assert answer(servers) == (False, False)
        assert not (folder / "postgres" / "postmaster.pid").exists()

    def test_a_second_user_shares_and_leaving_does_not_stop_the_first(self, folder):
        with servers_in(folder) as first:
            pid = postmaster(folder)
            with servers_in(folder) as second:
                assert second.database_url() == first.database_url()
                assert postmaster(folder) == pid
            assert answer(first) == (True, True)

        assert answer(first) == (False, False)

    def test_the_first_may_leave_before_the_second(self, folder):
        first, second = servers_in(folder), servers_in(folder)
        first.start()
        second.start()

        first.stop()

        assert answer(second) == (True, True)
        second.stop()
        assert answer(second) == (False, False)

    def test_leaving_twice_is_leaving_once(self, folder):
        with servers_in(folder) as stays:
            leaves = servers_in(folder)
            leaves.start()
            leaves.stop()
            leaves.stop()
            assert answer(stays) == (True, True)

    def test_what_was_written_is_there_after_a_restart(self, folder):
        with servers_in(folder) as servers:
            servers.create_database("kept")
            servers.create_database("kept")

        with servers_in(folder) as servers:
            psycopg.connect(servers.database_url("kept")).close()

    def test_servers_whose_starter_was_killed_are_adopted_and_stopped(self, folder):
        script = (
            "import pathlib, sys, time; from cli.servers import Servers\n"
            "Servers(pathlib.Path(sys.argv[1]), fsync=False).start(); print('up', flush=True)\n"
            "time.sleep(60)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], cwd=ROOT, stdout=subprocess.PIPE
        ) as starter:
            assert starter.stdout is not None
            assert starter.stdout.readline() == b"up\n"
            starter.send_signal(signal.SIGKILL)
        orphaned = postmaster(folder)
        next_user = servers_in(folder)
        assert answer(next_user) == (True, True)

        next_user.start()

        assert postmaster(folder) == orphaned
        next_user.stop()
        assert answer(next_user) == (False, False)

    def test_a_server_that_was_killed_itself_is_started_anew(self, folder):
        with servers_in(folder):
            os.kill(postmaster(folder), signal.SIGKILL)
            with servers_in(folder) as again:
                assert answer(again) == (True, True)

    def test_pid_files_left_by_a_crash_of_the_machine_are_no_obstacle(self, folder):
        with servers_in(folder) as servers:
            sockets = Path(servers.redis_url.removeprefix("unix://")).parent
            places = (folder / "postgres" / "postmaster.pid", sockets / ".s.PGSQL.5432.lock")
            said = [place.read_text() for place in places]
            crashed = str(postmaster(folder))
        for left, words in zip(places, said, strict=True):
            left.parent.mkdir(mode=0o700, exist_ok=True)
            left.write_text(words.replace(crashed, str(os.getpid()), 1))  # somebody else's by now
            if AS_ROOT:
                os.chown(left, *pwd.getpwnam("nobody")[2:4])

        with servers_in(folder) as servers:
            assert answer(servers) == (True, True)

    def test_a_start_that_failed_does_not_count_as_a_user(self, folder):
        with servers_in(folder):
            pass
        version = folder / "postgres" / "PG_VERSION"
        broken, right = servers_in(folder), version.read_text()
        version.write_text("9.6\n")
        with pytest.raises(ServerError):
            broken.start()
        version.write_text(right)

        with servers_in(folder) as servers:
            assert answer(servers) == (True, True)
        assert answer(servers) == (False, False)
        broken.stop()

    def test_starting_and_stopping_leave_no_child_unattended(self, folder):
        script = (
            "import gc, pathlib, sys; from cli.servers import Servers\n"
            "servers = Servers(pathlib.Path(sys.argv[1]), fsync=False)\n"
            "servers.start(); gc.collect(); servers.stop()"
        )
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script, str(folder)],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

        assert "ResourceWarning" not in done.stderr
        assert done.returncode == 0


class TestApart:
    def test_two_folders_at_once_do_not_collide(self, folder):
        other = a_folder()
        try:
            with servers_in(folder) as one, servers_in(other) as two:
                one.create_database("only_here")
                with psycopg.connect(two.database_url("postgres")) as connection:
                    there = connection.execute("SELECT datname FROM pg_database").fetchall()
                with redis.Redis.from_url(one.redis_url) as client:
                    client.set("here", "1")
                with redis.Redis.from_url(two.redis_url) as client:
                    assert client.get("here") is None
                assert ("only_here",) not in there
            assert answer(one) == answer(two) == (False, False)
        finally:
            away(servers_in(other))

    def test_no_port_is_opened(self, folder):
        with servers_in(folder) as servers:
            with psycopg.connect(servers.database_url("postgres")) as connection:
                assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            with redis.Redis.from_url(servers.redis_url) as client:
                assert client.config_get("port") == {"port": "0"}

    def test_redis_evicts_nothing_and_keeps_nothing(self, folder):
        with servers_in(folder) as servers, redis.Redis.from_url(servers.redis_url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("save") == {"save": ""}

    def test_nobody_else_can_look_into_the_folders(self, folder):
        with servers_in(folder) as servers:
            sockets = Path(servers.redis_url.removeprefix("unix://")).parent
            for place in (folder, folder / "postgres", sockets):
                assert place.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root has somebody else's user to run as")
class TestAsRoot:
    def test_postgres_runs_as_nobody_and_the_home_is_as_it_was(self, folder):
        home = Path.home()
        places = [home, *home.parents, ROOT, *ROOT.parents]
        before = [(place, oct(place.stat().st_mode), place.stat().st_uid) for place in places]

        with servers_in(folder):
            owner = Path(f"/proc/{postmaster(folder)}").stat().st_uid

        assert pwd.getpwuid(owner).pw_name == "nobody"
        assert before == [
            (place, oct(place.stat().st_mode), place.stat().st_uid) for place in places
        ]

    def test_a_folder_its_user_cannot_reach_is_refused_with_the_remedy(self, tmp_path):
        tmp_path.chmod(0o700)

        with pytest.raises(ServerError, match="CITYBILL_DATA_DIR"):
            servers_in(tmp_path / "data").start()

        assert tmp_path.stat().st_mode & 0o777 == 0o700


class TestUnusable:
    def test_a_folder_that_is_a_file_is_refused_in_one_line(self, tmp_path):
        (tmp_path / "data").write_text("")

        with pytest.raises(ServerError) as refused:
            servers_in(tmp_path / "data").start()

        assert str(tmp_path / "data") in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_a_folder_below_a_file_is_refused_in_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(ServerError, match="cannot use the folder"):
            servers_in(tmp_path / "file" / "data").start()

    def test_what_cannot_be_used_was_not_used(self, tmp_path):
        (tmp_path / "data").write_text("mine")
        broken = servers_in(tmp_path / "data")
        with pytest.raises(ServerError):
            broken.start()

        broken.stop()

        assert (tmp_path / "data").read_text() == "mine"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    theirs = tmp_path / "photos"
    theirs.mkdir(mode=0o755)
    (theirs / "holiday.jpg").touch()
    before = theirs.stat()

    with pytest.raises(ServerError, match="holds other things"):
        Servers(theirs).start()

    assert (theirs.stat().st_mode, theirs.stat().st_uid) == (before.st_mode, before.st_uid)
    assert [place.name for place in theirs.iterdir()] == ["holiday.jpg"]
