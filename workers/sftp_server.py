"""Our SFTP server: companies bring their bill files here, and find our answers.

Run as ``python -m workers.sftp_server``. Any number may share one folder. Needs the database only;
files that come while it is away simply wait.
"""

import asyncio
import resource
import signal
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import asyncssh
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy.exc import SQLAlchemyError

from billing.files.drop_folders import DropFolder, drop_folder, sender_folder
from core import log
from core.clock import utc_now
from core.db import transaction
from core.errors import CityBillError, Invalid
from core.settings import Settings, settings
from identity import company_logins
from identity.host_key import host_key
from identity.misses import counted_as
from providers.registry import PROVIDERS, get_provider
from workers.acknowledgements import answer
from workers.books import answer_books, as_books, given_of, of_a_company, senders
from workers.pickup import forget_old, sweep
from workers.sftp_files import MOST_HANDLES, CompanyFiles, SftpChannel, SftpSession
from workers.start import start

SWEEP_SECONDS = 2
LOGIN_SECONDS = 30
ANSWER_EVERY = timedelta(seconds=20)  # what no job has answered: the folder is not on its machine
FORGET_EVERY = timedelta(hours=1)
AT_ONCE = 4  # companies; each needs two connections to the database
FAILURES = RateLimitItemPerMinute(10, 15)  # ten in fifteen minutes, from one address
MOST_CONNECTIONS = 200
MOST_OF_A_COMPANY = 20
MOST_STRANGERS = 20  # of one address, not signed in yet
MOST_OPEN = MOST_CONNECTIONS * (MOST_HANDLES + 1) + 500
_log = log.logger(__name__)
_T = TypeVar("_T")


class Door:
    """Who is in, who may come in, and who has knocked too often."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self.inside: dict[asyncssh.SSHServerConnection, tuple[str, int]] = {}
        self.connections = 0
        self.strangers: Counter[str] = Counter()  # by address: those who are not signed in

    def is_shut(self, address: str) -> bool:
        """Tell whether an address has failed to sign in too often of late."""
        return not self._limiter.test(FAILURES, address)

    def note_failure(self, address: str) -> None:
        self._limiter.hit(FAILURES, address)

    def is_crowded(self, address: str) -> bool:
        """Tell whether there is no room for one more of an address, or of anybody."""
        return self.connections > MOST_CONNECTIONS or self.strangers[address] > MOST_STRANGERS

    def lose_stranger(self, address: str) -> None:
        """Count one less of an address: signed in now, or gone."""
        self.strangers[address] -= 1
        self.strangers += Counter()  # forgets those of whom none is left

    def is_full(self, company: str) -> bool:
        """Tell whether a company has as many connections as it may."""
        own = sum(1 for code, _ in self.inside.values() if code == company)
        return own >= MOST_OF_A_COMPANY

    async def turn_out_revoked(self) -> None:
        """End the sessions of logins that were revoked since."""
        live = list(self.inside.items())
        ids = sorted({login_id for _, (_, login_id) in live})
        if not ids:
            return
        gone = await in_thread(lambda: _revoked_among(ids))
        for connection, (company, login_id) in live:
            if login_id in gone:
                _log.warning("sftp_login_revoked", company=company, login_id=login_id)
                connection.abort()


def _revoked_among(ids: list[int]) -> set[int]:
    with transaction() as session:
        return company_logins.revoked_among(session, ids)


async def in_thread(work: Callable[[], _T]) -> _T:
    """Do something that blocks, away from the loop."""
    return await asyncio.to_thread(work)


class Guard(asyncssh.SSHServer):
    """One connection: signs a company in, and then allows SFTP and nothing else."""

    def __init__(
        self,
        door: Door,
        open_folder: Callable[[str], Callable[..., CompanyFiles]],
        known: frozenset[str],
    ) -> None:
        self._door = door
        self._known = known
        self._open_folder = open_folder
        self._connection: asyncssh.SSHServerConnection | None = None
        self._address = ""
        self._company = ""
        self._login_id: int | None = None
        self._is_in = False
        self._noting: asyncio.Task[None] | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._address = counted_as(str((conn.get_extra_info("peername") or ("",))[0]))
        self._door.connections += 1
        self._door.strangers[self._address] += 1
        if self._door.is_crowded(self._address) or self._door.is_shut(self._address):
            _log.warning("sftp_turned_away", address=self._address)
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.connections -= 1
        if self._connection is not None:
            self._door.inside.pop(self._connection, None)
        if self._is_in:
            return
        self._door.lose_stranger(self._address)
        if self._company:
            self._door.note_failure(self._address)

    def begin_auth(self, username: str) -> bool:
        self._company = username[:32]
        return True

    def auth_completed(self) -> None:
        assert self._connection is not None
        assert self._login_id is not None
        self._is_in = True
        self._door.lose_stranger(self._address)
        self._noting = asyncio.create_task(self._note_use(self._login_id))
        self._door.inside[self._connection] = (self._company, self._login_id)
        _log.info("sftp_signed_in", company=self._company, login_id=self._login_id,
                  address=self._address)  # fmt: skip

    async def _note_use(self, login_id: int) -> None:
        def note() -> None:
            with transaction() as session:
                company_logins.note_use(session, login_id, now=utc_now())

        try:
            await in_thread(note)
        except SQLAlchemyError as away:
            _log.warning("database_away", reason=type(away).__name__)

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def kbdint_auth_supported(self) -> bool:
        return False

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Tell whether this key is the company's; that it has the key itself, asyncssh checks."""
        return await self._check(username, fingerprint=key.get_fingerprint())

    async def validate_password(self, username: str, password: str) -> bool:
        if self._door.is_shut(self._address):
            return False
        right = await self._check(username, password=password)
        if not right:
            self._door.note_failure(self._address)
        return right

    async def _check(
        self, username: str, *, fingerprint: str | None = None, password: str | None = None
    ) -> bool:
        def ask() -> int | None:
            with transaction() as session:
                if fingerprint is not None:
                    login = company_logins.find_key(session, username, fingerprint)
                else:
                    login = company_logins.find_password(session, username, password or "")
                return login.id if login is not None and username in self._known else None

        if self._door.is_full(username):
            _log.warning("sftp_too_many_connections", company=username[:32])
            return False
        try:
            self._login_id = await in_thread(ask)
        except SQLAlchemyError as away:
            _log.warning("database_away", reason=type(away).__name__)
            self._login_id = None
        if self._login_id is None:
            _log.info("sftp_refused", company=username[:32], address=self._address)
        return self._login_id is not None

    def session_requested(self) -> SftpSession:
        return SftpSession(self._open_folder(self._company))


class Pickup:
    """Takes files in and writes answers, company by company, whenever there is cause."""

    def __init__(self, chosen: Settings, root: Path) -> None:
        self._chosen = chosen
        self._root = root
        self._wake = asyncio.Event()
        self._renamed: dict[str, set[str]] = defaultdict(set)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._forget_at: dict[str, datetime] = {}
        self._answer_at: dict[str, datetime] = {}
        self._few = asyncio.Semaphore(AT_ONCE)
        self._senders = senders(chosen)
        self.known = frozenset({*PROVIDERS, *self._senders})

    def folder(self, company: str) -> DropFolder:
        """Return a company's folder, made if it is new."""
        where = sender_folder if company in self._senders else drop_folder
        folder = where(self._root, company)
        folder.prepare()
        return folder

    def arrived(self, company: str, name: str, at_once: bool) -> None:
        """Hear that a file was closed, or renamed into place."""
        if at_once:
            self._renamed[company].add(name)
            self._wake.set()

    async def run(self, stop: asyncio.Event, door: Door) -> None:
        """Sweep every folder until told to stop, and let what is begun come to its end."""
        while not stop.is_set():
            self._wake.clear()
            for company in self.known:
                if company not in self._busy or self._busy[company].done():
                    names = frozenset(self._renamed.pop(company, ()))
                    self._busy[company] = asyncio.create_task(self._sweep(company, names))
            try:
                await door.turn_out_revoked()
                await asyncio.wait_for(self._wake.wait(), SWEEP_SECONDS)
            except TimeoutError:
                continue
            except SQLAlchemyError as away:
                _log.warning("database_away", reason=type(away).__name__)
                await asyncio.sleep(SWEEP_SECONDS)
        await asyncio.gather(*self._busy.values())

    async def _sweep(self, company: str, renamed: frozenset[str]) -> None:
        try:
            async with self._few:
                await in_thread(lambda: self._sweep_now(company, renamed))
        except (SQLAlchemyError, CityBillError, OSError) as trouble:
            self._renamed[company] |= renamed
            _log.warning("sweep_failed", company=company, reason=f"{type(trouble).__name__}")

    def _sweep_now(self, company: str, renamed: frozenset[str]) -> None:
        sender = self._senders.get(company)
        delivery = get_provider(company).delivery if sender is None else None
        folder, now = self.folder(company), utc_now()
        taken = sweep(
            folder, company, flag=delivery.flag if delivery is not None else None,
            settle_seconds=self._chosen.sftp_settle_seconds, now=now, at_once=renamed,
            take=of_a_company(delivery) if sender is None else as_books(given_of(sender)),
        )  # fmt: skip
        if taken or sender is not None or now >= self._answer_at.get(company, now):
            if sender is None:
                answer(folder, company, delivery, now=now)
            as_lines = delivery is not None and delivery.acknowledgement == "lines"
            answer_books(folder, company, as_lines=as_lines, now=now)
            self._answer_at[company] = now + ANSWER_EVERY
        if now >= self._forget_at.get(company, now):
            forget_old(folder, keep=timedelta(days=self._chosen.sftp_keep_days), now=now)
            self._forget_at[company] = now + FORGET_EVERY


async def listen(chosen: Settings, root: Path, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set."""
    door, pickup = Door(), Pickup(chosen, root)

    def open_folder(company: str) -> Callable[..., CompanyFiles]:
        def make(session: SftpSession, channel: SftpChannel) -> CompanyFiles:
            return CompanyFiles(
                session, channel, pickup.folder(company), quota_bytes=chosen.sftp_quota_bytes,
                arrived=lambda name, at_once: pickup.arrived(company, name, at_once),
            )  # fmt: skip

        return make

    server = await asyncssh.listen(
        chosen.sftp_host,
        chosen.sftp_port,
        server_factory=lambda: Guard(door, open_folder, pickup.known),
        server_host_keys=[host_key(root)],
        server_version="CityBill",
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=60,
        agent_forwarding=False,
        x11_forwarding=False,
        allow_pty=False,
        allow_scp=False,
        compression_algs=None,
        config=None,
    )
    _log.info("sftp_listens", port=chosen.sftp_port, fingerprint=host_key(root).get_fingerprint())
    try:
        await pickup.run(stop, door)
    finally:
        server.close()
        for connection in list(door.inside):
            connection.abort()
        await server.wait_closed()


async def _until_told() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    chosen = settings()
    if chosen.sftp_dir is None:
        raise Invalid("the SFTP server needs a folder: set CITYBILL_SFTP_DIR")
    chosen.sftp_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    await listen(chosen, chosen.sftp_dir, stop)


def _have_files_enough() -> None:
    """Raise the limit of open files: many systems allow 1,024, and one company may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = MOST_OPEN if hard == resource.RLIM_INFINITY else min(MOST_OPEN, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def main() -> None:
    """Run until told to stop."""
    _have_files_enough()
    start()
    asyncssh.set_log_level("WARNING")
    asyncio.run(_until_told())


if __name__ == "__main__":
    main()
