"""Reading and matching a file that came in: by a job, or at once for whoever waits for it."""

import io
import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core.clock import billing_date
from core.db import HotStatement, transaction
from core.errors import BillFileError, CityBillError, Conflict, Invalid
from core.progress import listening
from payments.gateways import gateway_named
from payments.gateways.base import Gateway
from payments.reconciliation.bank import matching as bank
from payments.reconciliation.bank import statements as bank_statements
from payments.reconciliation.bank.statements import Taken
from payments.reconciliation.company import lists as company
from payments.reconciliation.gateway import matching
from payments.reconciliation.intake.guess import NotClear, tell
from payments.reconciliation.intake.models import BookFile, BookState
from payments.reconciliation.intake.receiving import (
    Content,
    Given,
    Way,
    bytes_of,
    enter,
    get_book_file,
    plain_name,
)
from payments.reconciliation.models import Leg
from payments.statements.profiles import BankProfile, bank_profiles

_COMPLAINT_LETTERS = 1000
_LOOK_BACK = timedelta(days=bank.LOOK_BACK_DAYS)


class BankResult(NamedTuple):
    """What a file of statements brought."""

    statements: list[Taken]
    made: int
    undone: int
    open: int


Result = matching.ReconciliationResult | company.CompanyResult | BankResult

_READING = HotStatement("""
    UPDATE book_file SET state = 'reading', state_at = :now, rows_done = 0, rows_of = 0
    WHERE id = :id AND state IN ('waiting', 'reading', 'matching')
    RETURNING file_name
""")
# Never waits for whoever has the row: the next telling comes soon.
_PROGRESS = HotStatement("""
    UPDATE book_file SET rows_done = :done, rows_of = :of,
        state = CASE WHEN :done < :of THEN 'reading' ELSE 'matching' END
    WHERE id = (SELECT id FROM book_file WHERE id = :id AND state IN ('reading', 'matching')
                FOR UPDATE SKIP LOCKED)
    RETURNING id
""")
_KNOWN = HotStatement("""
    UPDATE book_file SET leg = :leg, source = :source, day = :day, profile = :profile
    WHERE id = :id RETURNING id
""")
_COMPLAINED = HotStatement("""
    UPDATE book_file SET state = :state, state_at = :now, complaint = :complaint,
        line_no = :line_no, told = CAST(:told AS json)
    WHERE id = :id AND state <> 'done' RETURNING id
""")
_DONE = text("""
    UPDATE book_file SET state = 'done', state_at = :now, leg = :leg, source = :source, day = :day,
        profile = :profile, told = CAST(:told AS json), complaint = NULL, line_no = NULL,
        rows_done = :rows, rows_of = :rows
    WHERE id = :id
""")


def read_file(book_file_id: int, gateways: Mapping[str, Gateway], *, now: datetime) -> None:
    """Read a file and match it, once; a refusal is an answer, written on the file's row.

    May be called again at any time: of what a killed worker did, nothing is there.
    """
    with transaction() as session:
        if not _READING.rows(session, {"id": book_file_id, "now": now}):
            return
    with transaction() as session:
        row, raw = get_book_file(session, book_file_id), bytes_of(session, book_file_id)
    given = Given.of(row)
    if not given.is_whole:
        told = tell(raw, given, gateways, file_name=row.file_name)
        if isinstance(told, NotClear):
            _ask(book_file_id, given, told, now=now)
            return
        given = told
    with transaction() as session:
        _KNOWN.rows(session, {"id": book_file_id, **_facts(given)})
    try:
        with listening(lambda done, of: _note(book_file_id, done, of)), transaction() as session:
            _match(session, book_file_id, raw, given, gateways, file_name=row.file_name, now=now)
    except CityBillError as refused:
        with transaction() as session:
            _complain(session, book_file_id, BookState.REFUSED, refused, {}, now=now)


def take_now(
    stream: BinaryIO,
    given: Given,
    way: Way,
    gateways: Mapping[str, Gateway],
    *,
    file_name: str,
    now: datetime,
) -> Result:
    """Match a file for somebody who waits, and keep it with what became of it.

    Raises:
        BillFileError: the file is refused, and nothing changed but that it is noted.
        Conflict: an entry of a bank's came again with another amount or day; the same.
        Invalid: it is larger than we take.
    """
    content = Content.read(stream)
    given, file_name = given.named(), plain_name(file_name)
    try:
        with transaction() as session:
            result = match(session, content.raw, given, gateways, file_name=file_name, now=now)
            row, _ = enter(session, content, given, way, file_name=file_name, now=now)
            _settle(session, row, given, result, now=now)
    except (Invalid, Conflict) as refused:
        with transaction() as session:
            row, _ = enter(session, content, given, way, file_name=file_name, now=now)
            assert row.id is not None
            _complain(session, row.id, BookState.REFUSED, refused, {}, now=now)
        raise
    return result


def match(
    session: Session,
    raw: bytes,
    given: Given,
    gateways: Mapping[str, Gateway],
    *,
    file_name: str,
    now: datetime,
) -> Result:
    """Match a file of which everything is known with our books.

    Raises:
        CityBillError: it is refused; the transaction must not be committed.
    """
    stream = io.BytesIO(raw)
    if given.leg is Leg.BANK:
        profile = bank_profiles().get(given.profile)
        return match_bank_file(session, stream, profile, file_name=file_name, now=now)
    assert given.day is not None
    if given.leg is Leg.COMPANY:
        return company.reconcile_company(
            session, given.source, stream, day=given.day, file_name=file_name, now=now
        )
    gateway = gateway_named(dict(gateways), given.source)
    return matching.reconcile(session, gateway, stream, day=given.day, file_name=file_name, now=now)


def match_bank_file(
    session: Session,
    stream: BinaryIO,
    profile: BankProfile | None,
    *,
    file_name: str,
    now: datetime,
) -> BankResult:
    """Take in a bank's statements and match them.

    Raises:
        StatementFileError: the file is refused.
        Conflict: an entry we have came again with another amount or day.
    """
    taken = bank_statements.take_statement(
        session, stream, name=file_name, profile=profile, now=now
    )
    days = [one.covers_to for one in taken if one.covers_to] or [billing_date(now)]
    # A run looks back from its day: of a file of months, too, it looks at every entry.
    days += [one.begins_on + _LOOK_BACK for one in taken if one.begins_on]
    done = bank.match_bank(session, min(days), now=now)
    return BankResult(taken, done.made, done.undone, done.open)


def _match(
    session: Session,
    book_file_id: int,
    raw: bytes,
    given: Given,
    gateways: Mapping[str, Gateway],
    *,
    file_name: str,
    now: datetime,
) -> None:
    result = match(session, raw, given, gateways, file_name=file_name, now=now)
    row = get_book_file(session, book_file_id, lock=True)
    if not row.told and (younger := _overtaken_by(session, row, given)) is not None:
        match(session, bytes_of(session, younger), given, gateways, file_name=file_name, now=now)
    _settle(session, row, given, result, now=now)


# Files of one day that wait together are read in any order, and the last that came is what counts.
# One that was matched before and is run again counts: a person says so.
_YOUNGER = text("""
    SELECT max(y.id) FROM book_file y
    WHERE (y.leg, y.source, y.day) = (:leg, :source, :day) AND y.id > :id AND y.state = 'done'
      AND EXISTS (SELECT FROM book_file_part p WHERE p.book_file_id = y.id)
""")


def _overtaken_by(session: Session, row: BookFile, given: Given) -> int | None:
    """Return the file that came after this one and was matched before it; of a bank's none does."""
    if given.leg is Leg.BANK:
        return None
    found: int | None = session.execute(_YOUNGER, _facts(given) | {"id": row.id}).scalar()
    return found


def _settle(
    session: Session, row: BookFile, given: Given, result: Result, *, now: datetime
) -> None:
    told = told_of(result)
    values = {"id": row.id, "now": now, "told": json.dumps(told), "rows": told["rows"]}
    day = given.day or _last_day(result)
    session.execute(_DONE, values | _facts(given._replace(day=day)))
    session.refresh(row)


def _facts(given: Given) -> dict[str, Any]:
    return {
        "leg": given.leg and given.leg.value, "source": given.source, "day": given.day,
        "profile": given.profile,
    }  # fmt: skip


def _last_day(result: Result) -> date | None:
    days = result.statements if isinstance(result, BankResult) else []
    return max((one.covers_to for one in days if one.covers_to), default=None)


def told_of(result: Result) -> dict[str, int]:
    """Return what is kept of a result beside its file."""
    if isinstance(result, BankResult):
        return {
            "rows": sum(one.entries for one in result.statements),
            "new": sum(one.new_entries for one in result.statements),
            "statements": len(result.statements), "matched": result.made, "breaks": result.open,
        }  # fmt: skip
    rejected = result.rejected if isinstance(result, company.CompanyResult) else 0
    return {
        "rows": result.their_count, "matched": result.matched, "breaks": result.breaks,
        "rejected": rejected, "total_fen": result.their_total_fen,
    }  # fmt: skip


def _note(book_file_id: int, done: int, of: int) -> None:
    with transaction() as session:
        _PROGRESS.rows(session, {"id": book_file_id, "done": done, "of": of})


def _ask(book_file_id: int, given: Given, told: NotClear, *, now: datetime) -> None:
    """Leave it to a person: several could read the file, or none.

    One that its sender said is somebody's, and that one cannot read, is refused.
    """
    if given.source and told.furthest is not None:
        with transaction() as session:
            _complain(session, book_file_id, BookState.REFUSED, told.furthest[1], {}, now=now)
        return
    choices = [[one.leg and one.leg.value, one.source, str(one.day or "")] for one in told.found]
    why = Invalid("several can read this file: say whose it is, and of which day")
    if len(told.found) == 1:
        why = Invalid("the file does not say of which day it is: say it, and it is read")
    elif told.furthest is not None:
        one, refused = told.furthest
        source = one.source if not one.profile else f"{one.source}/{one.profile}"
        choices = [[one.leg and one.leg.value, one.source, str(one.day or "")]]
        why = Invalid(
            f"nobody can read this file; {source} came furthest, and says: {refused}: say whose"
            " it is, or ask for it again"
        )
    elif not told.found:
        why = Invalid("nobody can read this file: say whose it is, or ask for it again")
    with transaction() as session:
        _complain(session, book_file_id, BookState.UNCLEAR, why, {"choices": choices}, now=now)


def _complain(
    session: Session,
    book_file_id: int,
    state: BookState,
    why: CityBillError,
    told: Mapping[str, object],
    *,
    now: datetime,
) -> None:
    line_no = why.line_no if isinstance(why, BillFileError) else None
    _COMPLAINED.rows(
        session,
        {"id": book_file_id, "state": state.value, "now": now, "line_no": line_no,
         "complaint": str(why)[:_COMPLAINT_LETTERS], "told": json.dumps(told)},
    )  # fmt: skip
