"""A workbook's cells, read in a process of its own that may not take much memory or time.

A few kilobytes can claim a cell in the last corner of a sheet, and the library makes room for all
that lies before it. Here that ends this process and nothing else. It is run by its path and imports
nothing of ours; ``providers/formats/workbook.py`` is the other end.

Source: arguments are the descriptor of the workbook, the bytes of memory and the seconds allowed.
Answers are JSON, one a line: first ``{"sheets": [[name, visible], …]}``, then, for every line
``INDEX ROWS`` on standard input, ``{"merged": [[top, left, bottom, right], …]}`` of that sheet's
cells over several rows, counted as the rows' cells are, pieces ``[[cell, …], …]`` and a closing
``null``. A cell is text, a number, true or false, or ``{"d": day}``, ``{"t": anything else}``.
"""

import json
import os
import resource
import sys
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

_PIECE: Final = 500
_MERGED_LIMIT: Final = 100_000
_Answer = dict[str, Any] | list[list[Any]] | None


def _say(answer: _Answer) -> None:
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, default=_other) + "\n")
    sys.stdout.flush()


def _other(cell: object) -> dict[str, str]:
    """Write a cell that JSON has no word for; only a day is of use to anybody."""
    if isinstance(cell, datetime):
        return {"d": cell.date().isoformat()}
    if isinstance(cell, date):
        return {"d": cell.isoformat()}
    return {"t": str(cell)}


def _open(descriptor: int) -> CalamineWorkbook | None:
    try:
        return CalamineWorkbook.from_filelike(os.fdopen(descriptor, "rb"))
    except PasswordError:
        _say({"refused": "password"})
    except CalamineError as wrong:
        _say({"refused": "damaged", "words": str(wrong)[:200]})
    return None


def _answer(sheet: CalamineSheet, rows: int) -> None:
    before = 0 if sheet.start is None else sheet.start[1]  # blank columns, which no row has
    tall = [
        [top, left - before, bottom, right - before]
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or []
        if bottom > top
    ]
    _say({"merged": tall[:_MERGED_LIMIT]})
    cells = islice(sheet.iter_rows(), rows)
    while piece := list(islice(cells, _PIECE)):
        _say(piece)
    _say(None)


def main(descriptor: str, memory: str, seconds: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    workbook = _open(int(descriptor))
    if workbook is None:
        return
    about = [sheet for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet]
    _say({"sheets": [[sheet.name, sheet.visible is SheetVisibleEnum.Visible] for sheet in about]})
    last: tuple[int, CalamineSheet] | None = None
    for question in sys.stdin:
        index, rows = map(int, question.split())
        try:
            if last is None or last[0] != index:
                last = None  # make room first
                last = (index, workbook.get_sheet_by_name(about[index].name))
        except CalamineError as wrong:
            _say({"refused": "damaged", "words": str(wrong)[:200]})
            return
        _answer(last[1], rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
