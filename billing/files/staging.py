"""A bill file's rows on disk, read once and judged, before the first of them lands.

A wrong control total in the last line refuses the whole file, so nothing may land until that line
has been read. What was read meanwhile waits in chunks in a temporary folder: memory stays flat, and
the file is parsed once. A chunk that need not land is told of in time, and is not written at all.
"""

import json
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from types import TracebackType
from typing import Final, Self, TypeGuard

import polars as pl

from billing.files import limits
from billing.readings import reading_text
from billing.rules.payable import check_pay_terms, pay_terms_json
from core.key_columns import named_keys
from core.keys import named_key
from providers.base import BillRecord, Heading, RecordKind, Reject
from providers.bulk import FRAME, Bulk, items_text

# A row as it lands: what a reader says of a bill, and what only some rows have.
ROWS: Final = pl.Schema(
    dict(FRAME)
    | {
        "kind": pl.String,
        "id": pl.Int64,
        "original_no": pl.String,
        "original_id": pl.Int64,
        "pay_terms": pl.String,
        "reading": pl.String,  # see `billing.readings`
    }
)
NO_ROWS: Final = ROWS.to_frame()
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # or half of a character
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_IN_HAND: Final = 4  # chunks: as many as are compared at a time, and as many to go on with
_SELDOM: Final = ("original_no", "original_id", "pay_terms", "reading")
# A reject's raw text may hold anything but NUL.
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})

Look = Callable[[int, pl.DataFrame], Callable[[], bool]]


def never_spared() -> bool:
    """Have a chunk kept, as all are that nobody looks at."""
    return False


class Staged:
    """A file's rows in chunks, numbered from 0; gone when it is closed.

    Args:
        chunk_rows: in a chunk; the last may have fewer.
        landed: how many rows have landed in an earlier attempt; they are in no chunk.
    """

    def __init__(self, chunk_rows: int, landed: int = 0) -> None:
        # Without a name from the start: a killed import leaves nobody's bills lying about.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        self._places: list[tuple[int, int] | None] = []
        self._in_hand: deque[tuple[pl.DataFrame, Callable[[], bool]]] = deque()
        self._rejects = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._waiting: list[pl.DataFrame] = []
        self._skip, self.landed, self.chunk_rows = landed, landed, chunk_rows
        self.rows = self.rejected = 0
        self.heading: Heading | None = None
        self.months: dict[date, date] = {}  # of billing, each with its first day of issue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()
        self._rejects.close()

    def read(
        self, file: Iterator[Heading | Bulk], look: Look = lambda no, rows: never_spared
    ) -> None:
        """Take in a whole file.

        Args:
            look: told of each chunk; what it returns is asked a little later, chunk after chunk,
                whether that one need not be kept: it cannot be had then.

        Raises:
            BillFileError: the reader refuses the file.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="staging") as beside:
            taking: Future[None] | None = None  # the stretch before, while the next one is read
            for part in file:
                if isinstance(part, Heading):
                    self.heading = part
                    continue
                if taking is not None:
                    taking.result()
                taking = beside.submit(self._take, part, look)
            if taking is not None:
                taking.result()
        self._part(look, full_only=False)
        self._settle(in_hand=0)

    def _take(self, part: Bulk, look: Look) -> None:
        rows = self._rows(part)
        self._note_months(rows)
        self.rows += rows.height
        self._waiting.append(rows.slice(self._skip))
        self._skip = max(self._skip - rows.height, 0)
        self._part(look, full_only=True)

    def reject_lines(self) -> Iterator[str]:
        """Yield what does not land as COPY takes it in: number, line, column, reason, raw."""
        self._rejects.seek(0)
        yield from self._rejects

    def chunk(self, chunk_no: int) -> pl.DataFrame:
        """Return a chunk's rows in file order; the columns are those of ``ROWS``."""
        place = self._places[chunk_no]
        assert place is not None  # it was spared
        at, size = place
        return pl.read_ipc(os.pread(self._file.fileno(), size, at))

    @property
    def chunks(self) -> int:
        return len(self._places)

    def _note_months(self, rows: pl.DataFrame) -> None:
        months = rows.group_by("billing_month").agg(pl.col("issued_on").min())
        for month, issued_on in months.iter_rows():
            self.months[month] = min(issued_on, self.months.get(month, issued_on))

    def _part(self, look: Look, *, full_only: bool) -> None:
        """Divide what waits into chunks."""
        waiting = sum(rows.height for rows in self._waiting)
        if waiting == 0 or (full_only and waiting < self.chunk_rows):
            return
        rows, at = pl.concat(self._waiting), 0
        while rows.height - at >= (self.chunk_rows if full_only else 1):
            chunk = rows.slice(at, self.chunk_rows)
            self._in_hand.append((chunk, look(len(self._places) + len(self._in_hand), chunk)))
            self._settle(in_hand=_IN_HAND)
            at += chunk.height
        self._waiting = [rows.slice(at)]

    def _settle(self, *, in_hand: int) -> None:
        """Keep the oldest chunks, or spare them, until so many are left in hand."""
        while len(self._in_hand) > in_hand:
            chunk, is_spared = self._in_hand.popleft()
            self._places.append(None if is_spared() else self._write(chunk))

    def _write(self, chunk: pl.DataFrame) -> tuple[int, int]:
        start = self._file.tell()
        chunk.write_ipc(self._file, compression="lz4")
        self._file.flush()
        return start, self._file.tell() - start

    def _rows(self, part: Bulk) -> pl.DataFrame:
        """Return a stretch's rows in file order; those that are no rows go to the rejects."""
        frame, beyond = limits.split(part.frame)
        plain = frame.with_columns(
            pl.lit(RecordKind.BILL.value).alias("kind"),
            _ids(frame["billing_month"], frame["bill_no"]),
            *(pl.lit(None, ROWS[name]).alias(name) for name in _SELDOM),
        )
        others = sorted([*beyond, *part.others], key=_line_no) if beyond else part.others
        if not others:
            return plain
        records = [row for row in others if self._is_sound(row)]
        if not records:
            return plain
        return pl.concat([plain, _framed(records)]).sort("line_no", maintain_order=True)

    def _is_sound(self, row: BillRecord | Reject) -> TypeGuard[BillRecord]:
        """Tell a row that lands from one that does not, and keep that one aside."""
        if isinstance(row, BillRecord):
            wrong = _text_complaint(row) or limits.record_complaint(row) or _terms_complaint(row)
            if wrong is None:
                return True
            raw = f"{row.account_no} {row.billing_month} {row.bill_no}"
            row = Reject(row.line_no, "", wrong, raw)
        self.rejected += 1
        cells = (str(self.rejected), str(row.line_no), row.column, row.reason, row.raw)
        self._rejects.write("\t".join(cell.translate(_COPY_ESCAPES) for cell in cells) + "\n")
        return False


def _line_no(row: BillRecord | Reject) -> int:
    return row.line_no


def _ids(months: pl.Series, bill_nos: pl.Series) -> pl.Series:
    """Return the `named_key` of every bill number in its month: a file has millions of them."""
    if months.n_unique() == 1:
        return named_keys(months[0], bill_nos.cast(pl.Binary)).alias("id")
    return pl.Series("id", list(map(named_key, months.to_list(), bill_nos.to_list())), pl.Int64)


def _framed(records: list[BillRecord]) -> pl.DataFrame:
    """Return records as rows of ``ROWS``."""
    columns: dict[str, list[object]] = {
        name: [getattr(record, name) for record in records]
        for name in FRAME
        if name not in ("usage", "items")
    }
    columns["usage"] = [None if one.usage is None else str(one.usage) for one in records]
    columns["items"] = [items_text(one.items) for one in records]
    columns["kind"] = [one.kind.value for one in records]
    columns["id"] = [named_key(one.billing_month, one.bill_no) for one in records]
    columns["original_no"] = [one.original_no or None for one in records]
    columns["original_id"] = [
        named_key(one.billing_month, one.original_no) if one.original_no else None
        for one in records
    ]
    columns["pay_terms"] = [_terms_text(one) for one in records]
    columns["reading"] = [reading_text(one.reading) for one in records]
    return pl.DataFrame(columns, schema=ROWS)


def _terms_text(record: BillRecord) -> str | None:
    stated = pay_terms_json(record.pay_terms)
    return None if stated is None else json.dumps(stated, ensure_ascii=False, sort_keys=True)


def _text_complaint(record: BillRecord) -> str | None:
    """Refuse what would end a cell of COPY, or a line: readers should, but anyone may write one."""
    texts = (record.account_no, record.bill_no, record.original_no, record.holder_name,
             record.address, record.usage_unit)  # fmt: skip
    if _CONTROL.search("".join(texts)):
        return "a text of this row holds a control character: take it out"
    if any(_HALF.search(item.name + item.unit) for item in record.items):
        return "the name of a line holds half of a character: write it whole"
    return None


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
