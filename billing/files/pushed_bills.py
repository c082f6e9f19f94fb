"""Bills pushed one by one: a small bill file in our own JSON, imported while its sender waits."""

import hashlib
import io
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from billing.files.bill_files import StoredFile, register
from billing.files.importing import import_bills
from billing.models import BillFile, BillFilePart, BillFileStatus
from core import outbox
from core.db import transaction
from core.errors import BillFileError
from core.keys import named_key
from providers.base import BillRecord
from providers.own_schema import Line, OwnSchemaReader, entries
from providers.registry import get_provider

MAX_BODY_BYTES = 4 << 20


class Verdict(StrEnum):
    CREATED = "created"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    WAITING = "waiting"  # a payment of the bill is under way and decides
    REJECTED = "rejected"


class PushedResult(NamedTuple):
    """What became of one of the bills that were pushed together; ``line`` is its place, from 1."""

    line: int
    bill_no: str | None
    version: int | None
    verdict: Verdict
    column: str | None
    reason: str | None


class Pushed(NamedTuple):
    """What became of all of them."""

    bill_file_id: int
    bills: list[PushedResult]


def push(
    provider_code: str,
    body: bytes,
    *,
    identity: str,
    file_name: str,
    received_via: str,
    now: datetime,
) -> Pushed:
    """Take bills in and import them at once; each bill is judged by its number and version.

    Args:
        identity: names this push. Under the same name nothing is taken in twice; under another, the
            same bills are unchanged, and what was rejected before is looked at again.

    Raises:
        BillFileError: it is not of our form; nothing was taken in.
        Conflict: a worker is importing this push at this moment.
    """
    reader = reader_of(provider_code)
    lines = reader.lines(body)
    with transaction() as session:
        bill_file = _take_in(
            session, provider_code, body, identity=identity, file_name=file_name,
            received_via=received_via, now=now,
        )  # fmt: skip
    assert bill_file.id is not None
    import_bills(bill_file.id, reader, lambda: io.BytesIO(body), now=now)
    with transaction() as session:
        return Pushed(bill_file.id, _verdicts(session, bill_file, lines))


def reader_of(provider_code: str) -> OwnSchemaReader:
    """Return the reader of a company's pushed bills: our form, the company's rules of numbers."""
    return OwnSchemaReader(get_provider(provider_code).profile)


def _take_in(
    session: Session,
    provider_code: str,
    body: bytes,
    *,
    identity: str,
    file_name: str,
    received_via: str,
    now: datetime,
) -> BillFile:
    """Enter the push as a bill file and keep its bytes, in case we are stopped half-way."""
    bill_file, is_new = register(
        session, provider_code,
        sha256=hashlib.sha256(identity.encode() + b"\n" + body).hexdigest(),
        size_bytes=len(body), file_name=file_name, received_via=received_via, now=now,
    )  # fmt: skip
    if is_new:
        assert bill_file.id is not None
        session.add(BillFilePart(bill_file_id=bill_file.id, part_no=0, content=body))
        outbox.emit(session, "bills.pushed", bill_file.id, now=now)
    return bill_file


def finish(bill_file_id: int, *, now: datetime) -> None:
    """Import a push whose request broke off before its bills had landed; else do nothing.

    Raises:
        Conflict: it is being imported at this moment.
    """
    with transaction() as session:
        reader = reader_of(session.get_one(BillFile, bill_file_id).provider_code)
    stored = StoredFile(bill_file_id)
    import_bills(bill_file_id, reader, lambda: io.BufferedReader(stored), now=now)


def is_done(session: Session, bill_file_id: int) -> bool:
    """Tell whether a push has landed."""
    return session.get_one(BillFile, bill_file_id).status is BillFileStatus.IMPORTED


_STAND = text("""
    SELECT l.line_no, b.bill_file_id = :file_id AND b.file_line_no = l.line_no AS stands,
           EXISTS (SELECT FROM bill_version v WHERE v.account_id = a.id AND v.id = l.id
                   AND v.version = l.version AND v.bill_file_id = :file_id) AS stood,
           EXISTS (SELECT FROM bill_version v WHERE v.account_id = a.id AND v.id = l.id
                   AND v.version < l.version) AS had_before,
           b.cancelled_at >= :since OR b.version > l.version AND EXISTS (
               SELECT FROM bill_version v WHERE v.account_id = a.id AND v.id = l.id
               AND v.version <= l.version AND v.replaced_at >= :since) AS cancelled
    FROM unnest(CAST(:line_nos AS int[]), CAST(:account_nos AS text[]), CAST(:ids AS bigint[]),
                CAST(:versions AS int[])) AS l (line_no, account_no, id, version)
    JOIN utility_account a ON a.provider_code = :provider_code AND a.account_no = l.account_no
    JOIN bill b ON b.account_id = a.id AND b.id = l.id
""")

_REJECTED = text("""
    SELECT line_no, column_name, reason FROM bill_file_reject WHERE bill_file_id = :file_id
    UNION ALL
    SELECT (row ->> 'line_no')::int, '', reason FROM bill_correction
    WHERE bill_file_id = :file_id AND state = 'refused'
""")

_WAITING = text("""
    SELECT (row ->> 'line_no')::int FROM bill_correction
    WHERE bill_file_id = :file_id AND state = 'waiting'
""")


def _verdicts(session: Session, bill_file: BillFile, lines: list[Line]) -> list[PushedResult]:
    """Read from the books what became of each line."""
    named = {"file_id": bill_file.id}
    rejected = {row.line_no: row for row in session.execute(_REJECTED, named)}
    waiting = set(session.execute(_WAITING, named).scalars())
    landed = _landed(session, bill_file, [one.read for one in lines])
    results = []
    for line_no, line in enumerate(lines, start=1):
        refused = rejected.get(line_no)
        verdict = landed.get(line_no, Verdict.UNCHANGED)
        if refused is not None:
            verdict = Verdict.REJECTED
        elif line_no in waiting:
            verdict = Verdict.WAITING
        results.append(
            PushedResult(
                line_no, _text(line.raw, "bill_no"), _number(line.raw, "version"), verdict,
                (refused.column_name or None) if refused else None,
                refused.reason if refused else None,
            )
        )  # fmt: skip
    return results


def _landed(session: Session, bill_file: BillFile, rows: list[object]) -> dict[int, Verdict]:
    """Return the verdict of each line that changed a bill; of twins, the first one's."""
    records = [row for row in rows if isinstance(row, BillRecord)]
    by_line = {record.line_no: record for record in records}
    found: dict[int, Verdict] = {}
    seen: set[tuple[str, int, int, str]] = set()
    stands = session.execute(
        _STAND,
        {
            "file_id": bill_file.id,
            "provider_code": bill_file.provider_code,
            "since": bill_file.received_at,
            "line_nos": [one.line_no for one in records],
            "account_nos": [one.account_no for one in records],
            "ids": [named_key(one.billing_month, one.bill_no) for one in records],
            "versions": [one.version for one in records],
        },
    )
    for row in sorted(stands, key=lambda one: int(one.line_no)):
        record = by_line[row.line_no]
        name = (
            record.account_no,
            named_key(record.billing_month, record.bill_no),
            record.version,
            record.kind,
        )
        if name in seen:
            continue
        if record.kind == "cancel" and row.cancelled:
            found[row.line_no] = Verdict.CANCELLED
            seen.add(name)
        elif record.kind == "bill" and (row.stands or row.stood):
            found[row.line_no] = Verdict.SUPERSEDED if row.had_before else Verdict.CREATED
            seen.add(name)
    return found


def _text(raw: object, name: str) -> str | None:
    """Return a text as an answer can hold it: half of a character is a question mark."""
    value = raw.get(name) if isinstance(raw, dict) else None
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _number(raw: object, name: str) -> int | None:
    value = raw.get(name, 1) if isinstance(raw, dict) else None
    return value if type(value) is int else None


def check_form(body: bytes) -> None:
    """Make sure that a body is of our form, whatever its bills say.

    Raises:
        BillFileError: it is not.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BillFileError("the body is larger than 4 MiB: send fewer bills, or a bill file")
    entries(body)
