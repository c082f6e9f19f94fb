"""A bill file's rows into the temporary table ``incoming``, which nobody else sees.

One COPY is kept open, so that the database takes in rows while we parse the next; memory stays
flat. Only here does Python see every row: it formats, and nothing else.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from itertools import islice

from sqlalchemy import text
from sqlmodel import Session

from billing.rules.payable import check_pay_terms, pay_terms_json
from core.db import driver
from core.keys import named_key
from providers.base import BillRecord, Heading, LineItem, RecordKind, Reject

READ_ROWS = 1_000
Row = Heading | BillRecord | Reject

_STAGE = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
        row_no int, line_no int, kind text, account_no text, holder_name text, address text,
        id bigint, bill_no text, billing_month date, version smallint, period_from_on date,
        period_to_on date, issued_on date, due_on date, usage numeric(12,3), usage_unit text,
        amount_fen bigint, items text, original_no text, original_id bigint, pay_terms text
    );
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming_reject (
        line_no int, column_name text, reason text, raw text
    );
    TRUNCATE incoming, incoming_reject
"""
_COPY_ROWS = "COPY incoming FROM STDIN (NULL '')"
_COPY_REJECTS = "COPY incoming_reject FROM STDIN"

_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})
_NOTHING_ELSE = "\t\t\t\n"


def stage(session: Session, rows: Iterator[Row]) -> Heading | None:
    """Bring a whole file into the temporary tables; returns what it said of itself.

    Raises:
        BillFileError: the reader refuses the file.
    """
    session.execute(text(_STAGE))
    cursor = driver(session).cursor()
    heading, row_no = None, 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as rejects:
        with cursor.copy(_COPY_ROWS) as copy:
            while piece := list(islice(rows, READ_ROWS)):
                records = [
                    row for row in piece if isinstance(row, BillRecord) and row.pay_terms is None
                ]
                if len(records) < len(piece):
                    heading = next((row for row in piece if isinstance(row, Heading)), heading)
                    records, refused = _sift(piece)
                    rejects.writelines(_reject_line(row) for row in refused)
                copy.write("".join(_copy_lines(records, row_no)))
                row_no += len(records)
        rejects.seek(0)
        with cursor.copy(_COPY_REJECTS) as copy:
            while part := rejects.read(1 << 20):
                copy.write(part)
    session.execute(text("CREATE UNIQUE INDEX ON incoming (row_no)"))
    session.execute(text("ANALYZE incoming"))
    return heading


def _sift(piece: Iterable[Row]) -> tuple[list[BillRecord], list[Reject]]:
    """Divide rows into those to land and those to reject, unfit terms of paying among them."""
    records, rejects = [], []
    for row in piece:
        if isinstance(row, Reject):
            rejects.append(row)
        elif isinstance(row, BillRecord):
            wrong = _terms_complaint(row)
            if wrong is None:
                records.append(row)
            else:
                raw = f"{row.account_no} {row.billing_month} {row.bill_no}"
                rejects.append(Reject(row.line_no, "", wrong, raw))
    return records, rejects


def _terms_complaint(record: BillRecord) -> str | None:
    if record.pay_terms is None:
        return None
    if record.kind is RecordKind.REMIND:
        return "a reminder asks for its fee and for the bill as it stands: leave its options out"
    return check_pay_terms(
        record.pay_terms,
        amount_fen=record.amount_fen,
        issued_on=record.issued_on,
        due_on=record.due_on,
    )


def _copy_lines(records: Iterable[BillRecord], row_no: int) -> Iterator[str]:
    """Write records as COPY reads them; readers let no control character through."""
    for record in records:
        row_no += 1
        items = ",".join([_item(item) for item in record.items])
        line = (
            f"{row_no}\t{record.line_no}\t{record.kind}\t{record.account_no}\t"
            f"{record.holder_name}\t{record.address}\t"
            f"{named_key(record.billing_month, record.bill_no)}\t{record.bill_no}\t"
            f"{_day(record.billing_month)}\t{record.version}\t{_day(record.period_from_on)}\t"
            f"{_day(record.period_to_on)}\t{_day(record.issued_on)}\t{_day(record.due_on)}\t"
            f"{'' if record.usage is None else record.usage}\t{record.usage_unit}\t"
            f"{record.amount_fen}\t[{items}]"
            f"{_rest(record) if record.original_no or record.pay_terms else _NOTHING_ELSE}"
        )
        yield line.replace("\\", "\\\\") if "\\" in line else line


def _rest(record: BillRecord) -> str:
    """Write what few rows have: the bill they remind of, or a way of paying of their own."""
    original_id = named_key(record.billing_month, record.original_no) if record.original_no else ""
    stated = pay_terms_json(record.pay_terms)
    terms = "" if stated is None else json.dumps(stated, ensure_ascii=False, sort_keys=True)
    return f"\t{record.original_no}\t{original_id}\t{terms}\n"


def _item(item: LineItem) -> str:
    """Write a line item as the JSON array ``[name, quantity, unit, fen]``."""
    quantity = "null" if item.quantity is None else f'"{item.quantity}"'
    return f"[{_quoted(item.name)},{quantity},{_quoted(item.unit)},{item.amount_fen}]"


# The bills of a file share a few days and a few names, so writing them out is remembered.
_day = lru_cache(maxsize=4096)(date.isoformat)


@lru_cache(maxsize=4096)
def _quoted(text_: str) -> str:
    return json.dumps(text_, ensure_ascii=False)


def _reject_line(reject: Reject) -> str:
    """Write a reject as COPY reads it: its raw text may hold anything but NUL."""
    cells = (str(reject.line_no), reject.column, reject.reason, reject.raw)
    return "\t".join(cell.translate(_COPY_ESCAPES) for cell in cells) + "\n"
