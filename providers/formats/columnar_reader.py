"""Reads plain delimited files in blocks: what is beyond doubt by columns, the rest row by row."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final, NamedTuple

import polars as pl

from providers.base import BillRecord, Heading, Reject
from providers.bulk import NO_BILLS, Bulk
from providers.formats.columnar import Columnar
from providers.formats.delimited import DelimitedReader, Ending
from providers.formats.rows import Rows
from providers.formats.text import numbered_blocks
from providers.formats.totals import Totals, refuse_more

_BLOCK_CHARACTERS: Final = 2 << 20  # judged at a time
_AHEAD: Final = 2  # blocks in the making while one is being used
_LINES: Final = pl.Schema({"line_no": pl.Int64, "line": pl.String})


class _Judged(NamedTuple):
    """A block: its bills beyond doubt, and the lines to be judged one by one."""

    bills: pl.DataFrame
    rest: pl.DataFrame
    last_no: int


class ColumnarReader(DelimitedReader):
    """Reads a delimited file whose profile `is_columnar`; see `BulkReader`."""

    def read_bulk(self, stream: BinaryIO) -> Iterator[Heading | Bulk]:
        blocks = _blocks(stream, self._profile.file.codec)
        first = next(blocks, _LINES.to_frame())
        line_no, line = first.row(0) if first.height else (1, "")
        rows, heading = self._header(line_no, line)
        if heading is not None:
            yield heading
        totals = Totals()
        ending: Ending | None = None
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="judge") as pool:
            for judged in self._in_order(pool, rows, _chain(first[1:], blocks)):
                line_no = judged.last_no
                if ending is not None:
                    refuse_more([(line_no, "")])
                others: list[BillRecord | Reject] = []
                rest = judged.rest.iter_rows()
                totals.count += judged.bills.height
                totals.sum_fen += int(judged.bills["amount_fen"].sum())
                ending = _drain(self._judge(rest, rows, totals), others)
                if ending is not None:
                    self._finish(ending, rest, totals, line_no)
                yield Bulk(judged.bills, others)
        if ending is None:
            self._finish(None, (), totals, line_no)

    def _in_order(
        self, pool: ThreadPoolExecutor, rows: Rows, blocks: Iterable[pl.DataFrame]
    ) -> Iterator[_Judged]:
        """Judge blocks side by side, a few ahead of their use."""
        columnar = Columnar(self._profile, rows.places, frozenset(rows.padding))
        mark = f"{self._mark}{self._delimiter}" if self._mark else None

        def judge(lines: pl.DataFrame) -> _Judged:
            end = lines.height
            if mark is not None:
                at = lines["line"].str.starts_with(mark).arg_max() or 0
                end = at if lines["line"][at].startswith(mark) else end
            bills, rest = columnar.judge(lines[:end]) if end else (NO_BILLS, lines[:0])
            return _Judged(bills, pl.concat([rest, lines[end:]]), lines["line_no"][-1])

        making: deque[Future[_Judged]] = deque()
        for lines in blocks:
            making.append(pool.submit(judge, lines))
            if len(making) > _AHEAD:
                yield making.popleft().result()
        while making:
            yield making.popleft().result()


def _drain(
    judged: Generator[BillRecord | Reject, None, Ending | None], into: list[BillRecord | Reject]
) -> Ending | None:
    while True:
        try:
            into.append(next(judged))
        except StopIteration as end:
            ending: Ending | None = end.value
            return ending


def _blocks(stream: BinaryIO, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield a file's lines that are not empty, numbered, in blocks worth the judging."""
    waiting: list[str] = []
    waiting_no, size = 1, 0
    for first_no, text in numbered_blocks(stream, encoding):
        if not waiting:
            waiting_no = first_no
        waiting.append(text)
        size += len(text)
        if size >= _BLOCK_CHARACTERS:
            yield _numbered("\n".join(waiting), waiting_no)
            waiting, size = [], 0
    if waiting:
        yield _numbered("\n".join(waiting), waiting_no)


def _numbered(text: str, first_no: int) -> pl.DataFrame:
    lines = pl.DataFrame({"line": text.split("\n")}).with_row_index("line_no", offset=first_no)
    return lines.cast({"line_no": pl.Int64}).filter(pl.col("line") != "")


def _chain(first: pl.DataFrame, blocks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    if first.height:
        yield first
    yield from (block for block in blocks if block.height)
