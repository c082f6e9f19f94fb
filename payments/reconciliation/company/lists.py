"""What a company says it wrote off on a day against what we hold as paid there.

Set-based; may be run again at any time, with the same list or a corrected one, and converges: the
lists may come in any order. What is compared: docs/reconciling.md.
"""

import hashlib
import io
from dataclasses import dataclass
from datetime import date, datetime
from typing import BinaryIO

from sqlalchemy import text
from sqlmodel import Session, select

from core.db import driver
from core.errors import Invalid, NotFound
from payments.reconciliation.company.matching import match_touched
from payments.reconciliation.company.models import (
    ConfirmationArrival,
    ConfirmationFile,
    ConfirmationReject,
)
from payments.reconciliation.models import ArrivalState
from providers.base import Confirmation
from providers.confirmation_layout import ConfirmationLayout
from providers.confirmations import read_confirmations
from providers.registry import Provider, get_provider, provider_codes

MAX_FILE_BYTES = 256 << 20
_KINDS = ("written_off_unpaid", "paid_not_written_off", "amount_differs", "duplicate")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyResult:
    """What a run found. Amounts in fen; reversals count negative.

    Args:
        awaited: ours that the day's list does not have, and the next day's is not here.
        rejected: rows of the list that nobody could read.
        is_proven: the list states its totals.
    """

    source: str
    day: date
    file_name: str
    matched: int
    awaited: int
    written_off_unpaid: int
    paid_not_written_off: int
    amount_differs: int
    duplicate: int
    our_count: int
    their_count: int
    our_total_fen: int
    their_total_fen: int
    rejected: int
    is_proven: bool
    run_at: datetime

    @property
    def breaks(self) -> int:
        return (
            self.written_off_unpaid + self.paid_not_written_off
            + self.amount_differs + self.duplicate
        )  # fmt: skip

    @property
    def balanced(self) -> bool:
        return self.breaks + self.rejected == 0


def companies_with_lists() -> dict[str, Provider]:
    """Return the companies whose lists of write-offs can be read, by code."""
    every = {code: get_provider(code) for code in provider_codes()}
    return {code: one for code, one in every.items() if one.confirmation is not None}


def layout_of(provider_code: str) -> ConfirmationLayout:
    """Return how a company's lists are read.

    Raises:
        NotFound: there is no such company, or it describes no list.
    """
    layout = get_provider(provider_code).confirmation
    if layout is None:
        raise NotFound(f"{provider_code} has no lists of write-offs", code="utility.no_lists")
    return layout


def reconcile_company(
    session: Session,
    provider_code: str,
    stream: BinaryIO,
    *,
    day: date,
    file_name: str,
    now: datetime,
) -> CompanyResult:
    """Take in a company's list of a day and match it; the same list again gives the same result.

    Raises:
        ConfirmationFileError: the list is refused; nothing changed.
        NotFound: there is no such company, or it describes no list.
    """
    layout = layout_of(provider_code)
    content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise Invalid("the list is larger than 256 MiB", code="confirmation_file.too_large")
    listed = read_confirmations(io.BytesIO(content), layout, day=day)
    _lock(session, provider_code)
    file_id = _find(session, provider_code, day, content)
    if file_id is None:
        kept = ConfirmationFile(
            provider_code=provider_code, day=day, sha256=_sha256(content),
            file_name=file_name[:200], rows=listed.count, rejected=listed.reject_count,
            sum_fen=listed.sum_fen, is_proven=listed.is_proven, received_at=now,
        )  # fmt: skip
        file_id = _keep(session, kept)
        with driver(session).cursor().copy(_COPY) as copy:
            for row in listed:
                copy.write_row((file_id, *_cells(row)))
        session.add_all(
            ConfirmationReject(
                confirmation_file_id=file_id, place=place, line_no=one.line_no,
                column_name=one.column, reason=one.reason, raw=one.raw,
            )
            for place, one in enumerate(listed.rejects, 1)
        )  # fmt: skip
    return _match(session, provider_code, day, file_id, ArrivalState.ARRIVED, now=now)


def reconcile_none_written_off(
    session: Session, provider_code: str, *, day: date, now: datetime
) -> CompanyResult:
    """Match a day on which a company says that it wrote nothing off."""
    _lock(session, provider_code)
    file_id = _find(session, provider_code, day, b"")
    if file_id is None:
        kept = ConfirmationFile(
            provider_code=provider_code, day=day, sha256=_sha256(b""), file_name="", rows=0,
            rejected=0, sum_fen=0, is_proven=True, received_at=now,
        )  # fmt: skip
        file_id = _keep(session, kept)
    return _match(session, provider_code, day, file_id, ArrivalState.NO_DATA, now=now)


def _lock(session: Session, provider_code: str) -> None:
    """Have a company's lists come one after another: each is met by those of other days."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('confirmations'), hashtext(:what))"),
        {"what": provider_code},
    )


_COPY = (
    "COPY confirmation_row (confirmation_file_id, row_no, line_no, kind, write_off_no, account_no, "
    "bill_no, receipt_no, amount_fen, written_off_at, reason) FROM STDIN"
)


def _cells(row: Confirmation) -> tuple[object, ...]:
    return (
        row.row_no, row.line_no, row.kind.value, row.write_off_no, row.account_no, row.bill_no,
        row.receipt_no, row.amount_fen, row.written_off_at, row.reason,
    )  # fmt: skip


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _find(session: Session, provider_code: str, day: date, content: bytes) -> int | None:
    """Return the file of these bytes; the same bytes of the same day are the same file."""
    return session.exec(
        select(ConfirmationFile.id).where(
            ConfirmationFile.provider_code == provider_code,
            ConfirmationFile.day == day,
            ConfirmationFile.sha256 == _sha256(content),
        )
    ).one_or_none()


def _keep(session: Session, kept: ConfirmationFile) -> int:
    session.add(kept)
    session.flush()
    assert kept.id is not None
    return kept.id


_IN_FORCE = text("""
    SELECT confirmation_file_id FROM confirmation_arrival
    WHERE provider_code = :source AND day = :day AND confirmation_file_id IS NOT NULL
""")
_ARRIVED = text("""
    INSERT INTO confirmation_arrival (provider_code, day, state, due_at, asked_at,
        confirmation_file_id, run_at, matched, awaited, our_count, our_total_fen)
    VALUES (:source, :day, :state, :now, :now, :file_id, :now, 0, 0, 0, 0)
    ON CONFLICT (provider_code, day) DO UPDATE SET
        state = excluded.state, asked_at = excluded.asked_at, answer = NULL,
        confirmation_file_id = excluded.confirmation_file_id, run_at = excluded.run_at,
        matched = 0, awaited = 0, our_count = 0, our_total_fen = 0
""")


def _match(
    session: Session, source: str, day: date, file_id: int, state: ArrivalState, *, now: datetime
) -> CompanyResult:
    """Put a list in force, and match its day and every other day that it says something about."""
    values = {"source": source, "day": day, "file_id": file_id, "state": state, "now": now}
    before = session.execute(_IN_FORCE, values).scalars().all()
    session.execute(_ARRIVED, values)
    match_touched(session, source, day, files=[file_id, *before], now=now)
    return get_company_result(session, source, day)


def get_company_result(session: Session, provider_code: str, day: date) -> CompanyResult:
    """Return the last run of a company's day.

    Raises:
        NotFound: the day has not been reconciled: its list is not here yet.
    """
    run = session.get(ConfirmationArrival, (provider_code, day), populate_existing=True)
    if run is None or run.confirmation_file_id is None:
        raise NotFound(f"{provider_code} of {day} has not been reconciled yet")
    kept = session.get_one(ConfirmationFile, run.confirmation_file_id)
    assert run.matched is not None
    assert run.awaited is not None
    assert run.our_count is not None
    assert run.our_total_fen is not None
    assert run.run_at is not None
    kinds = session.execute(
        text(
            "SELECT kind, count(*) AS rows FROM reconciliation_break "
            "WHERE leg = 'company' AND source = :source AND day = :day AND state = 'open' "
            "GROUP BY kind"
        ),
        {"source": provider_code, "day": day},
    )
    found = dict.fromkeys(_KINDS, 0) | {row.kind: row.rows for row in kinds}
    return CompanyResult(
        source=provider_code, day=day, file_name=kept.file_name, matched=run.matched,
        awaited=run.awaited, our_count=run.our_count, their_count=kept.rows,
        our_total_fen=run.our_total_fen, their_total_fen=kept.sum_fen, rejected=kept.rejected,
        is_proven=kept.is_proven, run_at=run.run_at, **found,
    )  # fmt: skip
