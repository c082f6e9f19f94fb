"""JSON whose rows are lists of cells, or stand below what is said for several of them."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from providers.profile_tables import Format
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Row, Said
from providers.proposing.headings import names_at

_DEPTH: Final = 8
_CELLS_LEAST: Final = 3
_CALLED: Final = ("name", "field", "title", "label", "columnName", "column", "key")


class Table(NamedTuple):
    """Rows of cells, and where the names of the columns stand, if they do beside them."""

    rows: list[Any]
    names_path: str = ""
    names: tuple[str, ...] = ()


def tables_of(value: Any, path: str = "", depth: int = 0) -> dict[str, Table]:
    """Return every list of lists of plain values by its path."""
    found: dict[str, Table] = {}
    if depth > _DEPTH:
        return found
    if isinstance(value, list):
        rows = [row for row in value if _is_row(row)]
        if rows and 2 * len(rows) > len(value):
            found[path] = Table(rows)
        for below in value[:100]:
            if isinstance(below, dict):
                found = tables_of(below, path, depth + 1) | found
    elif isinstance(value, dict):
        for key, below in value.items():
            at = f"{path}.{key}" if path else str(key)
            for where, table in tables_of(below, at, depth + 1).items():
                found[where] = _named(table, value, path) if where == at else table
    return found


def _is_row(value: object) -> bool:
    if not isinstance(value, list) or not _CELLS_LEAST <= len(value) <= COLUMNS_LIMIT:
        return False
    return not any(isinstance(cell, dict | list) for cell in value)


def _named(table: Table, beside: dict[str, Any], path: str) -> Table:
    """Return a table with the names that stand beside it and before it, if they do."""
    width = len(table.rows[0])
    for key, value in beside.items():
        if value is table.rows or not isinstance(value, list) or _is_row(value[:1]):
            break
        at = f"{path}.{key}" if path else str(key)
        if len(value) != width:
            continue
        if all(isinstance(name, str) for name in value):
            return table._replace(names_path=at, names=tuple(value))
        called = [word for word in _CALLED if all(_says(one, word) for one in value)]
        if called:
            names = tuple(one[called[0]] for one in value)
            return table._replace(names_path=f"{at}.{called[0]}", names=names)
    return table


def _says(value: object, word: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(word), str)


def cut_listed(table: Table, path: str, form: Format, numbers: Sequence[int] = ()) -> Grid:
    """Cut rows that are lists into cells.

    Args:
        table: the rows.
        path: where they stand.
        form: ``json`` or ``json_lines``.
        numbers: the line of each row, where they are lines; else they are counted.
    """
    numbers = numbers or range(1, len(table.rows) + 1)
    rows = [
        Row(no, [_text(cell) for cell in cells])
        for no, cells in zip(numbers, table.rows[:ROWS_LIMIT], strict=False)
    ]
    grid = Grid(format=form)
    grid.shape["listed"] = Said(True, "each row is a list of cells")
    if path:
        grid.shape["rows"] = Said(path, f"a list of {len(rows)} lists stands there")
    if table.names:
        grid.shape["names"] = Said(table.names_path, "the names of the cells stand there")
        grid.names, grid.named = [name.strip() for name in table.names], True
    elif names_at(rows) == 0:
        grid.names, grid.named = rows[0].cells, True
        rows = rows[1:]
    else:
        grid.names = [f"column {at + 1}" for at in range(len(rows[0].cells))]
    grid.rows = [row for row in rows if row.cells != grid.names]
    return grid


def above_of(value: Any, at: str) -> list[dict[str, str]]:
    """Return of each row what the objects around it say, by paths from the root.

    ``[{"no": 1, "bills": [{…}, {…}]}]`` says no twice, once for each bill.
    """
    found: list[dict[str, str]] = []

    def walk(value: Any, keys: list[str], way: str, said: dict[str, str]) -> None:
        if isinstance(value, list):
            for below in value[:ROWS_LIMIT]:
                walk(below, keys, way, said)
        elif isinstance(value, dict) and not keys:
            found.append(said)
        elif isinstance(value, dict):
            own = {
                f"/{way}{key}": _text(below) for key, below in value.items()
                if not isinstance(below, dict | list)
            }  # fmt: skip
            walk(value.get(keys[0]), keys[1:], f"{way}{keys[0]}.", said | own)

    walk(value, at.split(".") if at else [], "", {})
    return found


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
