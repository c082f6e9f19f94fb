"""Which rows of a table are bills: told from a heading, column names, subtotals and a trailer."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from providers.formats.headings import joined, name_parts
from providers.formats.splitting import is_tool_line
from providers.proposing.grids import Grid, Row, Said, Segment
from providers.proposing.headings import heading_at
from providers.proposing.values import Facts

_SUMS = re.compile(
    r"^(小\s*[计計]|合\s*[计計]|[总總]\s*[计計]|共\s*[计計]|总额|本页合计"
    r"|subtotal|grand total|total|sum|summe)",
    re.IGNORECASE,
)
_REMARKS = re.compile(
    r"^(制表|製表|制单|审核|备注[:：]|注[:：]|说明[:：]|打印|导出|#|//|--|\+-"
    r"|[(（](?=[0-9]+ ?(?:rows?|行)))"
)
# As spreadsheet programs write below each group, and some below all: ``310001230 汇总``.
_GROUP_SUMS = re.compile(
    r"(?<=\S)\s+(?:小计|小計|合计|合計|汇总|彙總|计数|总计|sub-?total|total|count|ergebnis|somme)$",
    re.IGNORECASE,
)
_MARK_LENGTH: Final = 4
_KINDS: Final = 6


def arrange(grid: Grid, rows: list[Row]) -> None:
    """Sort the rows of a table into a header, the bills and a trailer, and put them in the grid."""
    said = [row for row in rows if any(cell.strip() for cell in row.cells)]
    rows = [row for row in said if not is_tool_line("|".join(row.cells))]
    if not rows:
        return
    heading = heading_at(rows)
    if heading is not None:
        _take_names(grid, rows, *heading)
        grid.search_lines = said.index(rows[heading[0]]) + 1
    elif not _take_marked(grid, rows):
        _take_plain(grid, rows)


def _take_names(grid: Grid, rows: Sequence[Row], at: int, size: int) -> None:
    heading = [row.cells for row in rows[at : at + size]]
    names, width = joined(heading), max(map(len, heading))
    grid.heading_rows = size
    grid.name_parts = name_parts(heading)
    while names and not names[-1].strip():
        names = names[:-1]
    grid.named = True
    grid.has_extra = any(not name.strip() for name in joined(heading))
    twice = [name for name, count in Counter(names).items() if name.strip() and count > 1]
    for name in twice:
        grid.questions.append(f"the name {name!r} stands above two columns: rename one of them")
    grid.names = [name.strip() for name in names]
    grid.above = [cell for row in rows[:at] for cell in row.cells if cell.strip()]
    grid.rows, ending = [], []
    skipped: set[str] = set()
    of_groups: set[str] = set()
    again = [_plain(row) for row in rows[at : at + size]]
    below = [row for row in rows[at + size :] if _plain(row) not in again]
    always = _always_filled(below)
    for row in below:
        found = _aside(row)
        if not found or (always and _says_all(row, always)):
            grid.rows.append(row)
        elif found.re is _GROUP_SUMS:
            of_groups.add(found[0])
        else:
            ending.append((row, found[0], found.re is _SUMS))
            skipped.add(found[0])
    if of_groups:
        _note_groups(grid, of_groups)
    if ending:
        _take_footer(grid, ending, skipped, width)


def _aside(row: Row) -> re.Match[str] | None:
    """Return what a row begins or ends its first cell with, if sums and remarks do so."""
    first = _first(row)
    return _SUMS.match(first) or _REMARKS.match(first) or _GROUP_SUMS.search(first)


def _note_groups(grid: Grid, endings: set[str]) -> None:
    """Have the sums below each group passed over, and ask whether no bill looks like one."""
    why = "rows whose first cell ends so are the sums of groups"
    grid.shape["skip_endings"] = Said(sorted(endings), why)
    told = ", ".join(ending.strip() for ending in sorted(endings))
    grid.questions.append(f"may the first cell of a bill end in {told}? It is no bill")


def _first(row: Row) -> str:
    return next((cell.strip() for cell in row.cells if cell.strip()), "")


def _plain(row: Row) -> list[str]:
    return [cell.strip() for cell in row.cells]


def _always_filled(rows: Sequence[Row]) -> list[int]:
    """Return the cells that hardly a row lacks of those that begin as no sum or remark does."""
    bills = [row for row in rows if not _aside(row)] or list(rows)
    filled = Counter(at for row in bills for at, cell in enumerate(row.cells) if cell.strip())
    return [at for at, count in filled.items() if 5 * count >= 4 * len(bills)]


def _says_all(row: Row, always: Sequence[int]) -> bool:
    """Tell a bill of the holder 合计达公司, or of Mr Summers, from a row of sums."""
    return all(at < len(row.cells) and row.cells[at].strip() for at in always)


def _take_footer(
    grid: Grid, ending: list[tuple[Row, str, bool]], skipped: set[str], _width: int
) -> None:
    """Take the last row of sums for a trailer, and have the others passed over."""
    last = max((row.line_no for row in grid.rows), default=0)
    sums = [row for row, _, is_sum in ending if is_sum and row.line_no > last]
    after = [row for row, _, _ in ending if row.line_no > last]
    in_text = grid.format != "spreadsheet"
    # The trailer of a text is its last line, and is told by its first cell.
    is_last = bool(sums) and not (in_text and (after[-1] is not sums[-1] or not after[-1].cells[0]))
    own = next((mark for row, mark, _ in ending if is_last and row is sums[-1]), None)
    # A sum that others are called like is that of a group, or cannot be told from one.
    if own is not None and not any(m == own and row is not sums[-1] for row, m, _ in ending):
        cells = sums[-1].cells
        grid.trailer = [cell for cell in cells if cell] if grid.format == "spreadsheet" else cells
        skipped.discard(own)
    if skipped:
        grid.shape["skip"] = Said(sorted(skipped), "rows that begin so are no bills")
        if any(re.search(r"[^\W\d_]{2}", _first(row)) for row in grid.rows):
            told = ", ".join(sorted(skipped))
            grid.questions.append(f"may the first cell of a bill begin with {told}? It is no bill")


def _take_marked(grid: Grid, rows: Sequence[Row]) -> bool:
    """Take lines whose first cell says their kind: a header, bills, their items, a trailer."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.cells[0], []).append(row)
    short = all(0 < len(mark) <= _MARK_LENGTH for mark in kinds) and not _are_counted(rows)
    if not short or len(kinds) > _KINDS or (len(kinds) == 1 and len(rows) > 1):
        return False
    single = {
        mark for mark, own in kinds.items() if len(own) == 1 and own[0] in (rows[0], rows[-1])
    }
    bills = [mark for mark in kinds if mark not in single] or [
        mark for mark, own in kinds.items() if own[0] not in (rows[0], rows[-1])
    ]
    if not bills or len(rows) < 2:
        return False
    own = max(bills, key=lambda mark: max(len(row.cells) for row in kinds[mark]))
    widths = {len(row.cells) for row in kinds[own]}
    if len(kinds) == 1 or max(widths) < 4:
        return False
    grid.mark = own
    _take_width(grid, kinds[own])
    if rows[0].cells[0] != own and len(kinds[rows[0].cells[0]]) == 1:
        grid.header = rows[0].cells
    if rows[-1].cells[0] != own and len(kinds[rows[-1].cells[0]]) == 1 and len(rows) > 2:
        grid.trailer = rows[-1].cells
    for mark in bills:
        if mark != own:
            grid.segments.append(Segment(mark=mark, rows=kinds[mark]))
    return True


def _are_counted(rows: Sequence[Row]) -> bool:
    """Tell whether rows begin with their own number, which is no kind of line."""
    firsts = [row.cells[0] for row in rows[1:]]
    numbers = [int(first) for first in firsts if first.isascii() and first.isdigit()]
    counted = range(numbers[0], numbers[0] + len(numbers)) if numbers else range(0)
    return len(numbers) > 1 and len(numbers) >= len(firsts) - 1 and numbers == list(counted)


def _take_plain(grid: Grid, rows: Sequence[Row]) -> None:
    """Take rows without names or marks: what has another width at either end is no bill."""
    widths = Counter(len(row.cells) for row in rows)
    usual = max(widths, key=lambda width: (widths[width] * width, width))
    rows = list(rows)
    if len(rows) > 1 and (len(rows[0].cells) != usual or _is_other(rows)):
        grid.header = rows.pop(0).cells
    if len(rows) > 1 and len(rows[-1].cells) < usual - 1:
        grid.questions.append(
            f"line {rows[-1].line_no}, the last, has other cells than a bill: what does it say?"
        )
        rows.pop()
    _take_width(grid, rows)


def _is_other(rows: Sequence[Row]) -> bool:
    """Tell whether the first row is of another kind: its cells are longer or shorter by far."""
    first, *others = rows
    if len(others) < 2:
        return False
    alike = [
        at for at in range(min(len(row.cells) for row in rows))
        if len({len(row.cells[at]) for row in others if at < len(row.cells)}) == 1
    ]  # fmt: skip
    differing = sum(len(first.cells[at]) != len(others[0].cells[at]) for at in alike)
    return len(alike) > 1 and 2 * differing > len(alike)


def _take_width(grid: Grid, rows: Sequence[Row]) -> None:
    """Take bill rows, and name their columns by place: the file has no names."""
    full = max(len(row.cells) for row in rows)
    usual = [row for row in rows if full - len(row.cells) <= 3]
    grid.optional = full - min(len(row.cells) for row in usual)
    grid.rows = list(usual)
    grid.names = [f"column {at + 1}" for at in range(full)]


def is_figures(cells: Sequence[str]) -> bool:
    """Tell whether all cells of a column are numbers."""
    return Facts(cells).style is not None
