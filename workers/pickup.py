"""Taking complete files out of companies' folders: claimed, received, archived.

1. A file is claimed by renaming it into ``.taken``: of several servers one wins, and its client
   can no longer touch it. Whoever works on it holds a lock on it, which a killed process lets go.
2. Its bytes are received and its arrival is noted, in one transaction, under the claim's name.
3. It is moved into ``archive``.

A kill between any two steps is made good by the next sweep of any server.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlmodel import Session

from billing.files.deliveries import take_in
from billing.files.drop_folders import DropFolder, flag_names, is_partial
from core import log
from core.db import transaction

_log = log.logger(__name__)
_TOKEN_CHARACTERS = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Take(Protocol):
    """Keeps a file that came, and returns what its arrival is called in the archive."""

    def __call__(
        self, session: Session, sender: str, stream: BinaryIO, *, claim: str, file_name: str,
        now: datetime,
    ) -> str: ...  # fmt: skip


def sweep(
    folder: DropFolder,
    provider_code: str,
    *,
    flag: str | None,
    settle_seconds: int,
    now: datetime,
    at_once: frozenset[str] = frozenset(),
    take: Take | None = None,
) -> int:
    """Take what is complete, and finish what a killed server began; returns how many were taken.

    Args:
        at_once: names that a client renamed into place: they need not stand still for a while.
        take: keeps a claimed file in a transaction; left out: as a bill file of the company.
    """
    for name in _complete(folder, flag=flag, settle_seconds=settle_seconds, now=now, more=at_once):
        _claim(folder, name, flag=flag)
    taken = 0
    for path in sorted(folder.taken.iterdir()):
        with _held(path) as stream:
            if stream is not None:
                _take(folder, provider_code, path, stream, take or _as_bills, now=now)
                taken += 1
    return taken


def _complete(
    folder: DropFolder,
    *,
    flag: str | None,
    settle_seconds: int,
    now: datetime,
    more: frozenset[str],
) -> list[str]:
    settled = _nanoseconds(now - timedelta(seconds=settle_seconds))
    names = folder.complete(flag=flag, settled_before=settled)
    if flag is None and more:
        renamed = folder.complete(flag=None, settled_before=_nanoseconds(now + timedelta(days=1)))
        names += [name for name in renamed if name in more and name not in names]
    return names


def _nanoseconds(moment: datetime) -> int:
    """Return a moment as file systems tell it, without passing through a float."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _claim(folder: DropFolder, name: str, *, flag: str | None) -> None:
    """Make a file ours, unless another server was quicker or its client began to write it again."""
    claimed = folder.taken / f"{_token()}.{name}"
    source = folder.incoming / name
    try:
        source.rename(claimed)
    except FileNotFoundError:
        return
    if folder.is_being_written(name) and not source.exists():
        with suppress(FileExistsError):  # the client began anew: then what we hold was whole
            os.link(claimed, source)
            claimed.unlink()
        return
    if flag is not None:
        wanted = flag_names(name, flag)
        for entry in list(folder.files()):
            if entry.name.lower() in wanted:
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)


def _token() -> str:
    """Return what a claim begins with: claims are received in the order in which they were made.

    A cancellation may lie behind the file that it cancels a bill of.
    """
    return f"{time.time_ns() // 1_000:013x}{secrets.token_hex(2)}"[:_TOKEN_CHARACTERS]


@contextmanager
def _held(path: Path) -> Iterator[BinaryIO | None]:
    """Open a claimed file and lock it; None when another process is at it, or is done with it."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield stream if path.exists() else None


def _as_bills(
    session: Session, sender: str, stream: BinaryIO, *, claim: str, file_name: str, now: datetime
) -> str:
    return str(take_in(session, sender, stream, claim=claim, file_name=file_name, now=now).id)


def _take(
    folder: DropFolder, sender: str, path: Path, stream: BinaryIO, take: Take, *, now: datetime
) -> None:
    # Somebody may have copied it here, under a name that is no UTF-8.
    claim = path.name.encode(errors="replace").decode().replace("?", "_")
    name = claim[_TOKEN_CHARACTERS + 1 :]
    with transaction() as session:
        arrival = take(session, sender, stream, claim=claim, file_name=name, now=now)
    path.rename(folder.archive / f"{arrival}-{name}")
    _log.info("file_arrived", sender=sender, file=name, arrival=arrival)


def forget_old(folder: DropFolder, *, keep: timedelta, now: datetime) -> int:
    """Remove what was archived, answered or left unfinished longer ago than ``keep``."""
    old = [*folder.archive.iterdir(), *folder.outgoing.iterdir(), *folder.root.glob(".answer-*")]
    old += [
        Path(entry.path)
        for entry in folder.files()
        if is_partial(entry.name) or folder.is_being_written(entry.name)
    ]
    before = (now - keep).timestamp()
    removed = 0
    for path in old:
        with suppress(FileNotFoundError):
            if path.lstat().st_ctime < before:
                path.unlink()
                removed += 1
    for mark in folder.open_marks.iterdir():
        if not (folder.incoming / mark.name).exists() and mark.lstat().st_ctime < before:
            mark.unlink(missing_ok=True)
    return removed
