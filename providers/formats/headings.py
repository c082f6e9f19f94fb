"""A heading of two or three rows, 金额 above 电费 and 合计, as one row of column names."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from providers.formats.sources import plain_name

HEADING_ROWS: Final = 3  # at most


def name_parts(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return what the rows of a heading say of each column, from the top down.

    A name above several columns stands in the first of them, as a merged cell does, or in all.
    """
    width = max(map(len, rows), default=0)
    cells = [[*(cell.strip() for cell in row), *[""] * (width - len(row))] for row in rows]
    for no, row in enumerate(cells):
        below, above = cells[no + 1 :], cells[:no]
        for at in range(1, width):
            spans = all(any(more[place] for more in below) for place in (at - 1, at))
            if not row[at] and spans and all(more[at - 1] == more[at] for more in above):
                row[at] = row[at - 1]
    columns = zip(*cells, strict=True)
    return [
        [next(same) for _, same in groupby(filter(None, column), plain_name)] for column in columns
    ]


def joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of the columns below a heading, ``金额(元) 合计``; of one row, as it is."""
    if len(rows) == 1:
        return list(rows[0])
    return [" ".join(parts) for parts in name_parts(rows)]
