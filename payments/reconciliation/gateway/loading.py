"""A settlement file's rows on their way into the books: read whole, then copied."""

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import date, datetime

from sqlmodel import Session, select

from core.db import driver
from payments.gateways.base import Gateway
from payments.gateways.bulk import COLUMNS, Bulk, Unusual, blocks
from payments.reconciliation.models import SettlementFile

_COPY = f"COPY settlement_row ({', '.join(COLUMNS)}) FROM STDIN".encode()


def keep_file(
    session: Session,
    gateway: Gateway,
    content: bytes,
    *,
    day: date,
    file_name: str,
    now: datetime,
) -> int:
    """Store a file and its rows once; the same bytes of the same day are the same file.

    Raises:
        SettlementFileError: the file is refused; nothing changed.
    """
    found, kept = _find(session, gateway.code, content, day, file_name, now)
    if found is not None:
        return found
    if isinstance(gateway, Bulk):
        try:
            with session.begin_nested():  # rows land while others are read
                file_id = _add(session, kept)
                _copy(session, gateway.read_bulk(content, day=day, file_id=file_id))
                return file_id
        except Unusual:
            kept = SettlementFile(**kept.model_dump(exclude={"id"}))
    rows = list(gateway.read_settlement(io.BytesIO(content), day=day))
    file_id = _add(session, kept)
    _copy(session, blocks(rows, file_id=file_id))
    return file_id


def keep_nothing(session: Session, source: str, *, day: date, now: datetime) -> int:
    """Store that a day has no rows, once."""
    found, kept = _find(session, source, b"", day, "", now)
    return _add(session, kept) if found is None else found


def _find(
    session: Session, source: str, content: bytes, day: date, file_name: str, now: datetime
) -> tuple[int | None, SettlementFile]:
    """Return the id these bytes have if they are here, and what to keep if they are not."""
    kept = SettlementFile(
        source=source, day=day, sha256=hashlib.sha256(content).hexdigest(),
        file_name=file_name[:200], received_at=now,
    )  # fmt: skip
    same = select(SettlementFile.id).where(
        SettlementFile.source == source,
        SettlementFile.day == day,
        SettlementFile.sha256 == kept.sha256,
    )
    return session.exec(same).one_or_none(), kept


def _add(session: Session, kept: SettlementFile) -> int:
    session.add(kept)
    session.flush()
    assert kept.id is not None
    return kept.id


def _copy(session: Session, rows: Iterator[bytes]) -> None:
    """Land rows; the next ones are read while the database takes in these."""
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        context = copy_context()
        coming = pool.submit(context.run, _next, rows)
        with driver(session).cursor().copy(_COPY) as copy:
            while (block := coming.result()) is not None:
                coming = pool.submit(context.run, _next, rows)
                copy.write(block)


def _next(rows: Iterator[bytes]) -> bytes | None:
    return next(rows, None)
