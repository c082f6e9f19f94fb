"""JSON into rows of cells: what is repeated are the bills, their values the columns."""

import io
import json
import re
from typing import Any, Final

import ijson  # type: ignore[import-untyped]

from core.errors import BillFileError
from providers.formats.json_relaxed import without_comments
from providers.formats.json_rows import listed_day
from providers.formats.json_walk import broken, told_by_parser
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Said
from providers.proposing.leaves import DEPTH, Leaves, is_of_all, make_columns, speaks
from providers.proposing.listed import above_of, cut_listed, tables_of

_BUILT: Final = 200  # levels are enough to see that it is too deep
_TELLING: Final = 2  # names that speak of bills are enough to take a list for theirs
_ASKED: Final = 3  # other lists
_ENDLESS = re.compile("[0-9]{400}|[0-9.][eE][+-]?[0-9]{16}")


def cut_json(text: str, *, whole: bool) -> Grid:
    """Cut a document into rows: the longest list of objects in it.

    Raises:
        BillFileError: it is no JSON, or holds no list of objects.
    """
    grid = Grid(format="json", whole=whole)
    value = _relaxed(text, grid, whole=whole)
    inner = _inner(value)
    if inner is not None:
        path, value = inner
        grid.shape["inner"] = Said(path, "a text there is JSON again")
        lists = {f"{path}.{at}" if at else path: rows for at, rows in _lists(value).items()}
    else:
        lists = _lists(value)
    at = max(
        lists, key=lambda path: (speaks(_leaves(lists[path][0])), len(lists[path])), default=""
    )
    if not lists or speaks(_leaves(lists[at][0])) < _TELLING:
        tables = tables_of(value) if inner is None else {}
        if tables:
            most = max(tables, key=lambda path: len(tables[path].rows))
            return cut_listed(tables[most], most, "json")
    if not lists:
        raise BillFileError(_no_list(value), line_no=1)
    rows = lists[at][:ROWS_LIMIT]
    if at and not (inner is not None and at == inner[0]):
        grid.shape["rows"] = Said(at, f"a list of {len(rows)} objects stands there")
    if inner is None:
        grid.beside = {
            path: leaf for path, leaf in _leaves(value).items()
            if not path.startswith(f"{at}[") and not (at and path.startswith(at))
        }  # fmt: skip
    _ask_of_others(grid, lists, at)
    above = _told_above([] if inner is not None else above_of(value, at), len(rows))
    leaves = [_leaves(row) | said for row, said in zip(rows, above, strict=True)]
    make_columns(grid, list(enumerate(leaves, 1)))
    for row in rows:
        for name, members in row.items() if isinstance(row, dict) else ():
            if isinstance(members, list) and members and isinstance(members[0], dict):
                grid.lists.setdefault(name, list(members[0]))
    return grid


def _ask_of_others(grid: Grid, lists: dict[str, list[Any]], at: str) -> None:
    """Ask about lists beside the bills that may be bills as well, or what counts against them."""
    grid.questions += [
        f"are those of {path} bills as well, or credits? Only those of {at} are read"
        for path, rows in lists.items()
        if not path.startswith(at) and not at.startswith(path)
        and speaks(_leaves(rows[0])) >= _TELLING
    ][:_ASKED]  # fmt: skip


def _relaxed(text: str, grid: Grid, *, whole: bool) -> Any:
    """Build a document, if need be without its comments and last commas."""
    try:
        return _built(text, whole=whole)
    except BillFileError as wrong:
        plain = without_comments(text)
        if plain == text:
            raise
        try:
            value = _built(plain, whole=whole)
        except BillFileError:
            raise wrong from None
    why = "it has comments, or a comma before a closing bracket"
    grid.shape["relaxed"] = Said(value=True, why=why)
    return value


def _no_list(value: Any) -> str:
    """Say that a document has no list of bills, and what it has instead."""
    if isinstance(value, dict) and len(value) > 1:
        below = list(value.values())
        names = ", ".join(list(value)[:3])
        if all(isinstance(one, dict) for one in below):
            return (
                f"the document has no list of objects but objects by name ({names} …): have the"
                " bills written as a list, each an object with all that is said of it"
            )
        if all(isinstance(one, list) for one in below):
            return (
                f"the document has a list for each column ({names} …), not an object for each"
                " bill: have it written by rows (orient='records')"
            )
    return "the document has no list of objects: where are its bills?"


def _told_above(above: list[Leaves], count: int) -> list[Leaves]:
    """Return what is said above rows and differs from one to another: of one, nothing."""
    if len(above) != count or all(said == above[0] for said in above):
        return [{}] * count
    return [
        {path: text for path, text in said.items() if is_of_all(path.replace(".", "/"))}
        for said in above
    ]


def json_rows(
    text: str,
    inner: str | None,
    rows: str | None,
    *,
    listed: bool,
    whole: bool,
    relaxed: bool = False,
) -> list[Any]:
    """Return the rows of a document, as far as the sample holds them.

    Raises:
        BillFileError: it is no JSON.
    """
    value = _built(without_comments(text) if relaxed else text, whole=whole)
    if listed:
        table = tables_of(value).get(rows or "")
        return [] if table is None else table.rows
    below = value
    for key in (inner or "").split(".") if inner else ():
        below = below.get(key) if isinstance(below, dict) else None
    if inner:
        value = _built(below, whole=True) if isinstance(below, str) else []
        rows = (rows or "").removeprefix(inner).lstrip(".")
    found = _lists(value).get(rows or "", [])
    return found or ([value] if isinstance(value, dict) and not rows else [])


def cut_json_lines(text: str, *, whole: bool) -> Grid:
    """Cut lines of objects into rows; lines that are none are passed over."""
    rows: list[tuple[int, Leaves]] = []
    lists: list[tuple[int, list[Any]]] = []
    for line_no, line in enumerate(text.split("\n"), 1):
        if line.count("{") + line.count("[") > _BUILT or len(rows) >= ROWS_LIMIT:
            continue
        try:
            bare = line.strip(" \t\x1e").removesuffix(",")
            value = json.loads(bare) if bare else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            rows.append((line_no, _leaves(value)))
        elif isinstance(value, list):
            lists.append((line_no, value))
    table = tables_of([cells for _, cells in lists]).get("")
    if not rows and table is not None:
        return cut_listed(table, "", "json_lines", [no for no, cells in lists])
    grid = Grid(format="json_lines", whole=whole)
    if not rows:
        raise BillFileError("no line is an object of JSON: is this a bill file?", line_no=1)
    make_columns(grid, rows)
    return grid


def _built(text: str, *, whole: bool) -> Any:
    """Build as much of a document as the sample holds."""
    if _ENDLESS.search(text):  # the parser's own code fails on such a number, not politely
        raise BillFileError("the document has a number beyond all bounds, as no bill has")
    builder = ijson.ObjectBuilder()
    depth, begun = 0, False
    before: list[Any] = []  # documents that stand one after another are one list
    source = io.BytesIO(text.encode("utf-8", "replace"))
    try:
        for event, value in ijson.basic_parse(source, multiple_values=True):
            if not depth and begun:
                before.append(builder.value)
                builder = ijson.ObjectBuilder()
            begun = True
            depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
            if depth > _BUILT:
                raise BillFileError(
                    f"objects lie more than {_BUILT} deep in one another, as in no bill file",
                    line_no=1,
                )
            builder.event(event, value)
    except ijson.JSONError as wrong:
        if whole or not hasattr(builder, "value"):
            told = told_by_parser(wrong)
            raise BillFileError(broken(told), line_no=_line_of_fault(text)) from None
    last = getattr(builder, "value", None)
    if before and all(isinstance(one, list) for one in (*before, last)):
        return [row for one in (*before, last) for row in one]
    return [*before, last] if before else last


def _line_of_fault(text: str) -> int:
    """Return the line at which JSON breaks off, as another parser counts them."""
    try:
        json.loads(text.lstrip("\ufeff"))
    except json.JSONDecodeError as wrong:
        return wrong.lineno
    except (ValueError, RecursionError):
        pass
    return 1


def _inner(value: Any) -> tuple[str, Any] | None:
    """Return the path and the value of a text that is JSON itself."""
    if not isinstance(value, dict):
        return None
    for key, text in value.items():
        if isinstance(text, str) and text.lstrip()[:1] in ("[", "{") and len(text) > 2:
            try:
                return key, _built(text, whole=True)
            except BillFileError:
                continue
    return None


def _lists(value: Any, path: str = "", depth: int = 0) -> dict[str, list[Any]]:
    """Return every list of objects by its path; lists on the way are walked through."""
    found: dict[str, list[Any]] = {}
    if depth > DEPTH:
        return found
    if isinstance(value, list):
        objects = [row for row in value if isinstance(row, dict)]
        if objects:
            found[path] = objects
        for row in objects[:100]:
            for at, rows in _lists(row, path, depth + 1).items():
                if at != path:
                    found.setdefault(at, []).extend(rows[: ROWS_LIMIT - len(found.get(at, []))])
    elif isinstance(value, dict):
        for key, below in value.items():
            if isinstance(below, list | dict):
                found |= _lists(below, f"{path}.{key}" if path else str(key), depth + 1)
    return found


def _leaves(value: Any, path: str = "", depth: int = 0) -> Leaves:
    """Return the plain values below one, by their paths."""
    found: Leaves = {}
    if depth > DEPTH:
        return found
    pairs: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        pairs = [(f"{path}.{key}" if path else str(key), below) for key, below in value.items()]
    elif isinstance(value, list) and path:
        pairs = [(f"{path}[{at}]", below) for at, below in enumerate(value[:3])]
    for below_path, below in pairs[:COLUMNS_LIMIT]:
        day = listed_day(below)
        if day is not None:
            found[below_path] = day
        elif isinstance(below, dict | list):
            found |= _leaves(below, below_path, depth + 1)
        elif below is not None:
            found[below_path] = _text(below)
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
