"""A company's side of SFTP: keys, files, a client; and our server in the test's own loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
from sqlalchemy import text

import workers.tasks
from core.clock import utc_now
from core.db import transaction
from core.settings import Settings
from identity import company_logins
from identity.host_key import host_key
from tests.providers.files import MAKERS
from workers.jobs import run
from workers.relay import relay
from workers.sftp_server import listen

REGISTERED = workers.tasks  # importing it registers every job
T = TypeVar("T")
MAKER = {maker.code: maker for maker in MAKERS}


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_for(root: Path, **changes: Any) -> Settings:
    return Settings(
        sftp_dir=root, sftp_port=a_free_port(), sftp_settle_seconds=changes.pop("settle", 1),
        **changes,
    )  # fmt: skip


def a_file(company: str = "power", *amounts: str) -> bytes:
    """A good bill file of a company, one bill for each amount."""
    maker = MAKER[company]
    names = maker.names
    return maker.file(
        *(
            {names["amount"]: amount, names["bill"]: f"B-{at}", **_charges(company, amount)}
            for at, amount in enumerate(amounts or ("86.50",))
        )
    )


def _charges(company: str, amount: str) -> dict[str, str]:
    return {"峰电费": amount, "谷电费": "0.00"} if company == "power" else {}


def a_key(company: str = "power") -> tuple[asyncssh.SSHKey, int]:
    """A key that lets the company in, and its login's id."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    with transaction() as session:
        login = company_logins.add_key(
            session, company, key.export_public_key().decode(), label="test", now=utc_now()
        )
    assert login.id is not None
    return key, login.id


def a_password(company: str = "power") -> tuple[str, int]:
    with transaction() as session:
        login, password = company_logins.add_password(session, company, label="test", now=utc_now())
    assert login.id is not None
    return password, login.id


async def until(holds: Callable[[], Any], what: str, seconds: int = 20) -> Any:
    """Wait for something to come about, and return it."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := await asyncio.to_thread(holds)):
        assert asyncio.get_running_loop().time() < deadline, f"it never came about: {what}"
        await asyncio.sleep(0.05)
    return found


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def serving(chosen: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """Our server, listening; stopped in good order afterwards."""
    assert chosen.sftp_dir is not None
    stop = asyncio.Event()
    task = asyncio.create_task(listen(chosen, chosen.sftp_dir, stop))
    try:
        await until(lambda: task.done() or is_open(chosen.sftp_port), "the server listens")
        yield task
    finally:
        stop.set()
        await task


@asynccontextmanager
async def signed_in(
    chosen: Settings, company: str = "power", **how: Any
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    assert chosen.sftp_dir is not None
    known = host_key(chosen.sftp_dir).convert_to_public()
    own = {"client_keys": None, "password": None, "agent_path": None, "config": None} | how
    async with asyncssh.connect(
        "127.0.0.1", chosen.sftp_port, username=company, known_hosts=([known], [], []), **own
    ) as connection:
        yield connection


def on_a_server(
    root: Path,
    story: Callable[[asyncssh.SFTPClient, Settings], Awaitable[T]],
    *,
    company: str = "power",
    **changes: Any,
) -> T:
    """Tell a story of one company that is signed in with its key."""
    key, _ = a_key(company)
    chosen = settings_for(root, **changes)

    async def told() -> T:
        async with (
            serving(chosen),
            signed_in(chosen, company, client_keys=[key]) as connection,
            connection.start_sftp_client() as sftp,
        ):
            return await story(sftp, chosen)

    return asyncio.run(told())


async def put(sftp: asyncssh.SFTPClient, name: str, content: bytes) -> None:
    async with sftp.open(name, "wb") as stream:
        await stream.write(content)


async def get(sftp: asyncssh.SFTPClient, name: str) -> bytes:
    async with sftp.open(name, "rb") as stream:
        content = await stream.read()
    assert isinstance(content, bytes)
    return content


def files() -> list[Any]:
    """Every bill file there is."""
    with transaction() as session:
        return list(session.execute(text("SELECT * FROM bill_file ORDER BY id")).all())


def arrivals() -> list[Any]:
    with transaction() as session:
        return list(session.execute(text("SELECT * FROM delivery_arrival ORDER BY id")).all())


def bills() -> int:
    with transaction() as session:
        return int(session.execute(text("SELECT count(*) FROM bill")).scalar_one())


def work() -> None:
    """Do what scheduler and workers do, until nothing is due."""
    while True:
        with transaction() as session:
            relay(session, now=utc_now())
            due = session.execute(
                text("SELECT id FROM job WHERE state = 'waiting' AND due_at <= now() ORDER BY id")
            ).scalars().all()  # fmt: skip
        if not due:
            return
        for job_id in due:
            run(job_id)
