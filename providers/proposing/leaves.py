"""The named values of a document's rows: which of them speak of bills, and columns made of them."""

import re
from collections import Counter
from typing import Final

from core.errors import BillFileError
from providers.proposing.grids import COLUMNS_LIMIT, Grid, Row
from providers.proposing.words import meaning

_OF_BILLS: Final = (
    "billing_month", "bill_no", "amount", "issued", "due", "period_from", "period_to", "quantity",
)  # fmt: skip
_OF_ALL: Final = ("account_no", "holder_name", "address", "billing_month", "issued", "due")
DEPTH: Final = 8  # levels below a row that are looked at
_NAMED = re.compile(r"[^/]*\[@[^=\]]+='([^']*)'\](?:/@(?:value|val|v)$)?", re.IGNORECASE)
_OF_SEVERAL = re.compile(r"[0-9]\][./]")
Leaves = dict[str, str]


def plain_path(path: str) -> str:
    """Return a path in which what an attribute is called so, field[@name='no'], is called no."""
    return _NAMED.sub(r"\1", path)


def speaks(leaves: Leaves) -> int:
    """Say of how much that bills have the names of some values speak."""
    found = set()
    for path in leaves:
        if not _OF_SEVERAL.search(path):
            *above, last = re.split(r"[./@]+", plain_path(path))
            said = (meaning(above[-1] + last) if above else None) or meaning(last)
            found |= {said.role} if said is not None and said.role in _OF_BILLS else set()
    return len(found)


def is_of_all(path: str) -> bool:
    """Tell whether a value beside rows may be said once for all of them."""
    *above, last = [part for part in re.split(r"[/@]+", path) if part] or [""]
    said = meaning("".join(above[-1:]) + last) or meaning(last)
    return said is not None and said.role in _OF_ALL


def make_columns(grid: Grid, rows: list[tuple[int, Leaves]]) -> None:
    """Make columns of the values' paths; a column is called as the end of its path."""
    paths: dict[str, None] = {}
    for _, leaves in rows:
        if len(paths) < COLUMNS_LIMIT:
            paths |= dict.fromkeys(leaves)
    # What lies within one of several objects is a line of the bill, not a column of it.
    grid.paths = [path for path in paths if not _OF_SEVERAL.search(path)]
    if not grid.paths:
        raise BillFileError(
            "no value of a bill has a name of its own: write each as an element, an attribute or"
            " a key that is called after what it holds",
            line_no=rows[0][0],
        )
    ends = Counter(_end(path) for path in grid.paths)
    grid.names = [_end(path) if ends[_end(path)] == 1 else path for path in grid.paths]
    grid.named = True
    grid.rows = [Row(no, [leaves.get(path, "") for path in grid.paths]) for no, leaves in rows]


def _end(path: str) -> str:
    last = plain_path(path).replace("/", ".").rpartition(".")[2] or path
    return last.removeprefix("@")
