"""JSON and XML into rows of cells: what is repeated are the bills, their values the columns."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, cast

import ijson  # type: ignore[import-untyped]
from lxml import etree

from core.errors import BillFileError
from providers.formats.documents import guarded_xml
from providers.formats.json_rows import listed_day
from providers.formats.json_walk import told_by_parser
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Row, Said
from providers.proposing.listed import above_of, cut_listed, tables_of
from providers.proposing.words import meaning

_DEPTH: Final = 8
_BUILT: Final = 200  # levels are enough to see that it is too deep
_LEAVES: Final = 5_000
_TELLING: Final = 2  # names that speak of bills are enough to take a list for theirs
_OF_BILLS: Final = (
    "billing_month", "bill_no", "amount", "issued", "due", "period_from", "period_to", "quantity",
)  # fmt: skip
_OF_ALL: Final = ("account_no", "holder_name", "address", "billing_month", "issued", "due")
_ENDLESS = re.compile("[0-9]{400}|[0-9.][eE][+-]?[0-9]{16}")
Leaves = dict[str, str]


def cut_json(text: str, *, whole: bool) -> Grid:
    """Cut a document into rows: the longest list of objects in it.

    Raises:
        BillFileError: it is no JSON, or holds no list of objects.
    """
    value = _built(text, whole=whole)
    grid = Grid(format="json", whole=whole)
    inner = _inner(value)
    if inner is not None:
        path, value = inner
        grid.shape["inner"] = Said(path, "a text there is JSON again")
        lists = {f"{path}.{at}" if at else path: rows for at, rows in _lists(value).items()}
    else:
        lists = _lists(value)
    at = max(
        lists, key=lambda path: (_speaks(_leaves(lists[path][0])), len(lists[path])), default=""
    )
    if not lists or _speaks(_leaves(lists[at][0])) < _TELLING:
        tables = tables_of(value) if inner is None else {}
        if tables:
            most = max(tables, key=lambda path: len(tables[path].rows))
            return cut_listed(tables[most], most, "json")
    if not lists:
        raise BillFileError("the document has no list of objects: where are its bills?", line_no=1)
    rows = lists[at][:ROWS_LIMIT]
    if at and not (inner is not None and at == inner[0]):
        grid.shape["rows"] = Said(at, f"a list of {len(rows)} objects stands there")
    if inner is None:
        grid.beside = {
            path: leaf for path, leaf in _leaves(value).items()
            if not path.startswith(f"{at}[") and not (at and path.startswith(at))
        }  # fmt: skip
    above = _told_above([] if inner is not None else above_of(value, at), len(rows))
    leaves = [_leaves(row) | said for row, said in zip(rows, above, strict=True)]
    _take(grid, list(enumerate(leaves, 1)))
    for row in rows:
        for name, members in row.items() if isinstance(row, dict) else ():
            if isinstance(members, list) and members and isinstance(members[0], dict):
                grid.lists.setdefault(name, list(members[0]))
    return grid


def _told_above(above: list[Leaves], count: int) -> list[Leaves]:
    """Return what is said above rows and differs from one to another: of one, nothing."""
    if len(above) != count or all(said == above[0] for said in above):
        return [{}] * count
    return [
        {path: text for path, text in said.items() if _is_of_all(path.replace(".", "/"))}
        for said in above
    ]


def json_rows(
    text: str, inner: str | None, rows: str | None, *, listed: bool, whole: bool
) -> list[Any]:
    """Return the rows of a document, as far as the sample holds them.

    Raises:
        BillFileError: it is no JSON.
    """
    value = _built(text, whole=whole)
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
    _take(grid, rows)
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
            raise BillFileError(f"the JSON is broken ({told})", line_no=1) from None
    last = getattr(builder, "value", None)
    return [*before, last] if before else last


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
    if depth > _DEPTH:
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
    if depth > _DEPTH:
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


def cut_xml(data: bytes, encoding: str, *, whole: bool) -> Grid:
    """Cut a document into rows: the element that is repeated and holds the most.

    Raises:
        BillFileError: it is no XML, or tries something no bill file does.
    """
    root = _parsed(data, encoding, whole=whole)
    paths: Counter[str] = Counter()
    held: Counter[str] = Counter()
    elements: dict[str, list[Any]] = {}
    for element, path in _walk(root):
        leaves = sum(not len(child) for child in element) + len(element.attrib)
        paths[path] += 1
        held[path] += leaves
        elements.setdefault(path, []).append(element)
    wide = [path for path in paths if held[path] >= 2 * paths[path] and path.count("/")]
    wide = wide or [path for path in paths if path.count("/")]
    if not wide:
        raise BillFileError("the document has no element that is a bill", line_no=1)
    most = max(
        wide,
        key=lambda path: (
            _speaks(_xml_leaves(elements[path][0])), path.count("/"), _fullness(paths, held, path)
        ),
    )  # fmt: skip
    rows = elements[most][:ROWS_LIMIT]
    grid = Grid(format="xml", whole=whole)
    grid.shape["rows"] = Said(most, f"the element stands there {paths[most]} times")
    _take(grid, [(row.sourceline or 1, _xml_leaves(row) | _above(row)) for row in rows])
    grid.beside = {
        f"{path}/{name}" if not name.startswith("=") else path: text
        for path, own in elements.items() if not most.startswith(f"{path}/{most}")
        and not path.startswith(most) and len(own) == 1
        for name, text in _own_leaves(own[0]).items()
    }  # fmt: skip
    return grid


def _speaks(leaves: Leaves) -> int:
    """Say of how much that bills have the names of some values speak."""
    found = set()
    for path in leaves:
        if "]." not in path and "]/" not in path:
            *above, last = re.split(r"[./@]+", path)
            said = (meaning(above[-1] + last) if above else None) or meaning(last)
            found |= {said.role} if said is not None and said.role in _OF_BILLS else set()
    return len(found)


def _fullness(paths: Counter[str], held: Counter[str], path: str) -> int:
    """Say how much a path looks like the bills: repeated, and with many values each."""
    below = sum(held[other] for other in paths if other.startswith(f"{path}/"))
    return min(paths[path], 2) * ((held[path] + below) // paths[path])


def _parsed(data: bytes, encoding: str, *, whole: bool) -> Any:
    parser = etree.XMLPullParser(
        events=("start",), resolve_entities=False, load_dtd=False, no_network=True,
        huge_tree=False, remove_comments=True, remove_pis=True, recover=not whole, encoding="utf-8",
    )  # fmt: skip
    guarded = guarded_xml(io.BytesIO(data), encoding or "utf-8")
    root: Any = None
    try:
        while piece := guarded.read(32_768):
            parser.feed(piece)
            for _, element in cast("Iterator[tuple[str, Any]]", parser.read_events()):
                root = element if root is None else root
                about = root.getroottree().docinfo
                if about.internalDTD is not None or about.doctype:
                    raise BillFileError("the file declares a DTD or entities: take it out")
            guarded.allow()
        if whole:
            parser.close()
    except etree.XMLSyntaxError as wrong:
        raise BillFileError(f"the XML is broken ({wrong.msg})", line_no=wrong.lineno) from None
    if root is None:
        raise BillFileError("the file holds no element", line_no=1)
    return root


def _walk(root: Any) -> Iterator[tuple[Any, str]]:
    """Yield elements with their paths, not too many and not too deep."""
    waiting = [(root, _name(root))]
    count = 0
    while waiting and count < 20 * ROWS_LIMIT:
        element, path = waiting.pop()
        count += 1
        yield element, path
        if path.count("/") < _DEPTH:
            waiting.extend((child, f"{path}/{_name(child)}") for child in reversed(element))


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _own_leaves(element: Any) -> Leaves:
    found = {f"@{name.rpartition('}')[2]}": str(text) for name, text in element.attrib.items()}
    if not len(element) and (element.text or "").strip():
        found["=text"] = element.text.strip()
    return found


def _xml_leaves(element: Any, path: str = "", depth: int = 0) -> Leaves:
    found: Leaves = {}
    for name, text in _own_leaves(element).items():
        where = path if name == "=text" else f"{path}/{name}" if path else name
        found[where or "."] = text
    if depth > _DEPTH:
        return found
    twins = Counter(_name(child) for child in element)
    seen: Counter[str] = Counter()
    for child in list(element)[:COLUMNS_LIMIT]:
        name = _name(child)
        seen[name] += 1
        if seen[name] > 3:
            continue
        step = f"{name}[{seen[name]}]" if twins[name] > 1 else name
        found |= _xml_leaves(child, f"{path}/{step}" if path else step, depth + 1)
    return found


def _above(element: Any) -> Leaves:
    """Return what stands in the elements around a row, by a path from the root."""
    found: Leaves = {}
    chain = list(element.iterancestors())
    way = "/" + "/".join(_name(one) for one in reversed(chain))
    for one in chain:
        for name, text in _own_leaves(one).items():
            if name.startswith("@"):
                found[f"{way}/{name}"] = text
        for child in list(one)[:COLUMNS_LIMIT]:
            if child not in chain and _name(child) != _name(element):
                found |= {
                    f"{way}/{_name(child)}/{path}" if path != "." else f"{way}/{_name(child)}": text
                    for path, text in _xml_leaves(child, "", _DEPTH - 1).items()
                }
        way = way.rpartition("/")[0]
    return {path: text for path, text in found.items() if _is_of_all(path)}


def _is_of_all(path: str) -> bool:
    """Tell whether a value beside rows may be said once for all of them."""
    *above, last = [part for part in re.split(r"[/@]+", path) if part] or [""]
    said = meaning("".join(above[-1:]) + last) or meaning(last)
    return said is not None and said.role in _OF_ALL


def _take(grid: Grid, rows: list[tuple[int, Leaves]]) -> None:
    """Make columns of the values' paths; a column is called as the end of its path."""
    paths: dict[str, None] = {}
    for _, leaves in rows:
        if len(paths) < COLUMNS_LIMIT:
            paths |= dict.fromkeys(leaves)
    # What lies within one of several objects is a line of the bill, not a column of it.
    grid.paths = [path for path in paths if "]." not in path and "]/" not in path]
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
    last = path.replace("/", ".").rpartition(".")[2] or path
    return last.removeprefix("@")
