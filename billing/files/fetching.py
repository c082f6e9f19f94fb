"""Fetching a company's files: look, wait until a file stands still, bring it over, receive it.

No transaction is open while the company is asked. What came over is kept on disk until it is whole;
nothing but a whole file is received. A kill at any moment costs a repetition: the bytes are known
again by their hash.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection, text
from sqlmodel import Session, col, select

from billing.files.bill_files import MAX_FILE_BYTES, fingerprint, receive
from billing.files.deliveries import note_poll
from billing.files.delivery_models import DeliveryFile
from billing.files.drop_folders import flag_names, is_flag, is_partial
from core.db import connection, transaction
from core.errors import CityBillError, Invalid, Upstream, UpstreamUnavailable
from providers.delivery import FetchFailed, FileSource, RemoteFile

STILL = timedelta(seconds=30)  # a file that looks the same after this is complete
LONGEST_NAME = 500


Keep = Callable[[Session, BinaryIO, str, datetime], None]


@dataclass(slots=True)
class Haul:
    """What one look brought: names of files received, and how many are still being written."""

    received: list[str] = field(default_factory=list)
    growing: int = 0
    complaints: list[str] = field(default_factory=list)


def poll(
    provider_code: str,
    source: FileSource,
    spool: Path,
    *,
    flag: str | None,
    leaves: bool,
    now: datetime,
    keep: Keep | None = None,
) -> Haul | None:
    """Look at a company once and take what is complete; None when another worker is at it.

    Args:
        spool: a folder for files on their way; what is half there is gone on with the next time.
        flag: the ending of the company's flag files, if it sends them.
        leaves: fetched files stay where they are at the company.
        keep: keeps what came over, where it is no bill file.

    A company that is away, or a file that does not come over, is written on the poll's row: the
    schedule comes again.
    """
    haul = Haul()
    with connection() as held, _alone(held, provider_code) as ours:
        if not ours:
            return None
        try:
            listed = source.look()
            ready = _note_look(provider_code, listed, flag=flag, haul=haul, now=now)
            for file in ready:
                _take(
                    provider_code, source, file, spool, leaves=leaves, haul=haul, now=now, keep=keep
                )  # fmt: skip
        except Upstream as away:
            haul.complaints.append(str(away))
        with transaction() as session:
            note_poll(
                session, provider_code, complaint="; ".join(haul.complaints) or None,
                again_at=now + STILL if haul.growing else None, now=now,
            )  # fmt: skip
    return haul


@contextmanager
def _alone(held: Connection, provider_code: str) -> Iterator[bool]:
    values = {"code": provider_code}
    with transaction(on=held) as session:
        lock = text("SELECT pg_try_advisory_lock(hashtext('billing.fetch'), hashtext(:code))")
        ours = bool(session.execute(lock, values).scalar_one())
    try:
        yield ours
    finally:
        if ours:
            unlock = text("SELECT pg_advisory_unlock(hashtext('billing.fetch'), hashtext(:code))")
            with transaction(on=held) as session:
                session.execute(unlock, values)


def _note_look(
    provider_code: str,
    listed: Sequence[RemoteFile],
    *,
    flag: str | None,
    haul: Haul,
    now: datetime,
) -> list[RemoteFile]:
    """Remember how every file looks now; returns those to fetch, or to finish with."""
    there = {file.name.lower() for file in listed}
    ready = []
    with transaction() as session:
        known = _known(session, provider_code, listed)
        for file in listed:
            if is_partial(file.name.rpartition("/")[2]) or is_flag(file.name, flag):
                continue
            if len(file.name) > LONGEST_NAME:
                haul.complaints.append(f"a file name of {len(file.name)} characters is too long")
                continue
            if not _is_storable(file):
                shown = file.name.encode(errors="replace").decode().replace("\0", "?")
                haul.complaints.append(f"{shown}: its name is no UTF-8, or its size no size")
                continue
            row = known.get(file.name)
            if row is None:
                row = DeliveryFile(
                    provider_code=provider_code, remote_name=file.name, mark=file.mark,
                    size_bytes=file.size_bytes, seen_at=now,
                )  # fmt: skip
                session.add(row)
            elif row.mark != file.mark:
                row.mark, row.size_bytes, row.seen_at = file.mark, file.size_bytes, now
            if row.fetched_mark == file.mark and row.finished_at is not None:
                continue
            if row.fetched_mark == file.mark or _is_complete(row, there, flag=flag, now=now):
                ready.append(file)
            elif flag is None or _has_flag(row, there, flag):
                haul.growing += 1
    return ready


def _is_storable(file: RemoteFile) -> bool:
    """Tell whether what a server says of a file can be written down."""
    try:
        file.name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in file.name and (file.size_bytes or 0) < 1 << 63


def _known(
    session: Session, provider_code: str, listed: Sequence[RemoteFile]
) -> dict[str, DeliveryFile]:
    names = {file.name for file in listed if _is_storable(file)}
    rows = session.exec(
        select(DeliveryFile)
        .where(DeliveryFile.provider_code == provider_code)
        .where(col(DeliveryFile.remote_name).in_(names))
    )
    return {row.remote_name: row for row in rows}


def _is_complete(row: DeliveryFile, there: set[str], *, flag: str | None, now: datetime) -> bool:
    stands_still = row.seen_at + STILL <= now
    if flag is None:
        return stands_still
    # Where a file of this name was fetched before, the flag may be that one's.
    return _has_flag(row, there, flag) and (row.fetched_mark is None or stands_still)


def _has_flag(row: DeliveryFile, there: set[str], flag: str) -> bool:
    return any(name in there for name in flag_names(row.remote_name, flag))


def _take(
    provider_code: str,
    source: FileSource,
    file: RemoteFile,
    spool: Path,
    *,
    leaves: bool,
    haul: Haul,
    now: datetime,
    keep: Keep | None,
) -> None:
    """Bring one file over, receive it and finish with it; its trouble is not the others'."""
    with transaction() as session:
        row = _known(session, provider_code, [file])[file.name]
    try:
        if row.fetched_mark != file.mark:
            path = _bring_over(provider_code, source, file, spool)
            with path.open("rb") as stream, transaction() as session:
                _receive(session, provider_code, stream, file, keep=keep, now=now)
            path.unlink()
            haul.received.append(file.name)
        if not leaves:
            source.finish(file)
        with transaction() as session:
            _known(session, provider_code, [file])[file.name].finished_at = now
    except UpstreamUnavailable:
        raise
    except (CityBillError, OSError) as trouble:  # a disk of ours that is full, among them
        complaint = f"{file.name}: {trouble}"
        haul.complaints.append(complaint)
        with transaction() as session:
            _known(session, provider_code, [file])[file.name].complaint = complaint[:1000]


def _receive(
    session: Session,
    provider_code: str,
    stream: BinaryIO,
    file: RemoteFile,
    *,
    keep: Keep | None,
    now: datetime,
) -> None:
    """Receive what came over; one that is not taken at all is not fetched again either."""
    sha256, _ = fingerprint(stream)
    stream.seek(0)
    name = file.name.rpartition("/")[2]
    row = _known(session, provider_code, [file])[file.name]
    row.fetched_mark, row.fetched_at, row.sha256 = file.mark, now, sha256
    row.bill_file_id, row.complaint, row.finished_at = None, None, None
    try:
        if keep is not None:
            keep(session, stream, name, now)
            return
        row.bill_file_id = receive(
            session, provider_code, stream, file_name=name, received_via="fetched", now=now
        ).id
    except Invalid as refused:
        row.complaint = str(refused)


def _bring_over(provider_code: str, source: FileSource, file: RemoteFile, spool: Path) -> Path:
    """Return the whole file on our disk.

    Raises:
        FetchFailed: it did not come whole; what came is kept where it can be gone on with.
    """
    if file.size_bytes is not None and file.size_bytes > MAX_FILE_BYTES:
        raise Invalid(f"{file.size_bytes} bytes are more than the 4 GiB we take: send it in parts")
    name = hashlib.sha256(f"{provider_code}\n{file.name}".encode()).hexdigest()[:24]
    look = hashlib.sha256(file.mark.encode()).hexdigest()[:16]
    _have(spool)
    path = spool / f"{name}-{look}.part"
    for earlier in spool.glob(f"{name}-*.part"):
        if earlier != path:
            earlier.unlink()  # of a file that has changed since
    try:
        with open(path, "ab", opener=_for_us_alone) as into:
            if into.tell() != file.size_bytes:
                source.fetch(file, into)
        _check(path, file)
    except FetchFailed as broken:
        if not broken.keep:
            with suppress(FileNotFoundError):
                path.unlink()
        raise
    return path


def _have(spool: Path) -> None:
    """Make the folder, or make sure that the one that is there is ours alone."""
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = spool.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not spool.is_dir():
        raise Invalid(
            f"{spool} is not ours alone: chmod 700 it, or set CITYBILL_FETCH_DIR to another folder"
        )


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _check(path: Path, file: RemoteFile) -> None:
    size_bytes = path.stat().st_size
    if file.size_bytes is not None and size_bytes != file.size_bytes:
        raise FetchFailed(
            f"{size_bytes} bytes came and {file.size_bytes} were listed: it is fetched again",
            keep=False,
        )
    if file.sha256 is not None:
        with path.open("rb") as stream:
            found, _ = fingerprint(stream)
        if found != file.sha256.lower():
            raise FetchFailed("its SHA-256 is not the one listed: it is fetched again", keep=False)
