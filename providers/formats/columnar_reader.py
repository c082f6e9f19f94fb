"""Reads plain delimited files in blocks: what is beyond doubt by columns, the rest row by row."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
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


class _Block(NamedTuple):
    """Whole lines of a file, the first of which has this number."""

    first_no: int
    text: str


class _Judged(NamedTuple):
    """A block: its bills beyond doubt, and the lines to be judged one by one."""

    bills: pl.DataFrame
    rest: pl.DataFrame
    last_no: int


class ColumnarReader(DelimitedReader):
    """Reads a delimited file whose profile `is_columnar`; see `BulkReader`."""

    def read_bulk(self, stream: BinaryIO) -> Iterator[Heading | Bulk]:
        blocks = _blocks(stream, self._profile.file.codec)
        first = next(blocks, _Block(1, ""))
        opening = _numbered(first)
        line_no, line = opening.row(0) if opening.height else (1, "")
        rows, heading = self._header(line_no, line)
        if heading is not None:
            yield heading
        totals = Totals()
        ending: Ending | None = None
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="judge") as pool:
            for judged in self._in_order(pool, rows, chain([first], blocks), line_no):
                line_no = judged.last_no
                if ending is not None:
                    refuse_more([(line_no, "more")], totals)
                others: list[BillRecord | Reject] = []
                rest = _unmarked(judged.rest)
                totals.count += judged.bills.height
                totals.sum_fen += int(judged.bills["amount_fen"].sum())
                ending = _drain(self._judge(rest, rows, totals), others)
                if ending is not None:
                    self._finish(ending, rest, totals, line_no)
                yield Bulk(judged.bills, others)
        if ending is None:
            self._finish(None, (), totals, line_no)

    def _in_order(
        self, pool: ThreadPoolExecutor, rows: Rows, blocks: Iterable[_Block], header_no: int
    ) -> Iterator[_Judged]:
        """Judge blocks side by side, a few ahead of their use; an empty one is left out."""
        columnar = Columnar(self._profile, rows.places, frozenset(rows.padding))
        mark = f"{self._mark}{self._delimiter}" if self._mark else None

        def judge(block: _Block) -> _Judged | None:
            lines = _numbered(block)
            if block.first_no <= header_no:
                lines = lines.filter(pl.col("line_no") > header_no)
            if not lines.height:
                return None
            end = lines.height
            if mark is not None:
                at = lines["line"].str.starts_with(mark).arg_max() or 0
                end = at if lines["line"][at].startswith(mark) else end
            bills, rest = columnar.judge(lines[:end]) if end else (NO_BILLS, lines[:0])
            return _Judged(bills, pl.concat([rest, lines[end:]]), lines["line_no"][-1])

        making: deque[Future[_Judged | None]] = deque()
        for block in blocks:
            making.append(pool.submit(judge, block))
            if len(making) > _AHEAD:
                yield from _made(making)
        while making:
            yield from _made(making)


def _unmarked(lines: pl.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield lines without the mark that a file begins with, which files put together have."""
    return ((line_no, line.removeprefix("\ufeff")) for line_no, line in lines.iter_rows())


def _made(making: deque[Future[_Judged | None]]) -> Iterator[_Judged]:
    judged = making.popleft().result()
    if judged is not None:
        yield judged


def _drain(
    judged: Generator[BillRecord | Reject, None, Ending | None], into: list[BillRecord | Reject]
) -> Ending | None:
    while True:
        try:
            into.append(next(judged))
        except StopIteration as end:
            ending: Ending | None = end.value
            return ending


def _blocks(stream: BinaryIO, encoding: str) -> Iterator[_Block]:
    """Yield a file's lines in blocks worth the judging."""
    waiting: list[str] = []
    waiting_no, size = 1, 0
    for first_no, text in numbered_blocks(stream, encoding):
        if not waiting:
            waiting_no = first_no
        waiting.append(text)
        size += len(text)
        if size >= _BLOCK_CHARACTERS:
            yield _Block(waiting_no, "\n".join(waiting))
            waiting, size = [], 0
    if waiting:
        yield _Block(waiting_no, "\n".join(waiting))


def _numbered(block: _Block) -> pl.DataFrame:
    """Return a block's lines that are not empty (``line_no``, ``line``)."""
    lines = pl.Series("line", [block.text]).str.split("\n").explode()
    numbers = pl.int_range(block.first_no, block.first_no + lines.len(), eager=True)
    numbered = pl.DataFrame({"line_no": numbers, "line": lines})
    return numbered.filter(lines != "") if (lines == "").any() else numbered
