"""XML into rows of cells: what is repeated are the bills, their values the columns."""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final, cast

from lxml import etree

from core.errors import BillFileError
from providers.formats.documents import guarded_xml
from providers.proposing.grids import COLUMNS_LIMIT, ROWS_LIMIT, Grid, Said
from providers.proposing.leaves import DEPTH, Leaves, is_of_all, make_columns, speaks

_NAMES: Final = ("name", "Name", "NAME", "key", "field", "column", "col", "id", "code", "label")
_VALUES: Final = ("value", "Value", "VALUE", "val", "v")
_TELLING: Final = 2  # names that speak of bills
_ASKED: Final = 3  # other lists
_SOUND = re.compile(r"[^\W\d][^'\[\]/\r\n]{0,63}")
_TABLES: Final = ("table", "table_data")  # as tools for databases write: one after another
_OF_TABLES: Final = ("database", *_TABLES)


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
            speaks(_xml_leaves(elements[path][0])), path.count("/"), _fullness(paths, held, path)
        ),
    )  # fmt: skip
    rows = elements[most][:ROWS_LIMIT]
    grid = Grid(format="xml", whole=whole)
    grid.shape["rows"] = Said(most, f"the element stands there {paths[most]} times")
    make_columns(grid, [(row.sourceline or 1, _xml_leaves(row) | _above(row)) for row in rows])
    grid.questions += [
        f"are those of {path} bills as well, or credits? Only those of {most} are read"
        for path in wide
        if path not in (most, most.rpartition("/")[0])
        and not path.startswith(f"{most}/") and not most.startswith(f"{path}/")
        and path.count("/") == most.count("/")
        and speaks(_xml_leaves(elements[path][0])) >= _TELLING
    ][:_ASKED]  # fmt: skip
    grid.beside = {
        f"{path}/{name}" if not name.startswith("=") else path: text
        for path, own in elements.items() if not most.startswith(f"{path}/{most}")
        and not path.startswith(most) and len(own) == 1
        for name, text in _own_leaves(own[0]).items()
    }  # fmt: skip
    return grid


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
        if path.count("/") < DEPTH:
            waiting.extend((child, f"{path}/{step}") for child, step in reversed(_steps(element)))


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _steps(parent: Any) -> list[tuple[Any, str]]:
    """Return the elements of one with their names; a table among several has its own, too."""
    named = [(child, _name(child)) for child in parent]
    tables: defaultdict[str, set[str]] = defaultdict(set)
    for child, name in named:
        if name.lower() in _TABLES:
            tables[name].add(_said(child, "name"))
    steps = []
    for child, name in named:
        said = _said(child, "name") if len(tables.get(name, ())) > 1 else ""
        own = bool(len(child)) and _SOUND.fullmatch(said) is not None
        steps.append((child, f"{name}[@name='{said}']" if own else name))
    return steps


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
    if depth > DEPTH:
        return found
    twins = Counter(_name(child) for child in element)
    seen: Counter[str] = Counter()
    naming = _naming(element)
    for child in list(element)[:COLUMNS_LIMIT]:
        name = _name(child)
        if naming:
            where = f"{path}/{name}" if path else name
            found |= _named_leaf(child, f"{where}[@{naming}='{_said(child, naming)}']")
            continue
        seen[name] += 1
        if seen[name] > 3:
            continue
        step = f"{name}[{seen[name]}]" if twins[name] > 1 else name
        found |= _xml_leaves(child, f"{path}/{step}" if path else step, depth + 1)
    return found


def _naming(element: Any) -> str:
    """Return the attribute by which the children of an element are told apart, "" if by none."""
    children = list(element)[:COLUMNS_LIMIT]
    if len(children) < 2 or len({_name(child) for child in children}) > 1:
        return ""
    for attribute in _NAMES:
        said = [_said(child, attribute) for child in children]
        if all(_SOUND.fullmatch(one) for one in said) and len(set(said)) == len(said):
            return attribute
    return ""


def _said(element: Any, attribute: str) -> str:
    own = {name.rpartition("}")[2]: str(text) for name, text in element.attrib.items()}
    return own.get(attribute, "")


def _named_leaf(element: Any, path: str) -> Leaves:
    """Return what an element says whose attribute names it: its text, or another attribute."""
    text = (element.text or "").strip()
    if text and not len(element):
        return {path: text}
    return {f"{path}/@{name}": said for name in _VALUES if (said := _said(element, name))}


def _above(element: Any) -> Leaves:
    """Return what stands in the elements around a row, by a path from the root."""
    found: Leaves = {}
    chain = list(element.iterancestors())
    way = "/" + "/".join(_name(one) for one in reversed(chain))
    around = {_name(one) for one in (element, *chain)}  # others of these are of other rows
    for one in chain:
        for name, text in _own_leaves(one).items():
            if name.startswith("@") and not (name == "@name" and _name(one).lower() in _OF_TABLES):
                found[f"{way}/{name}"] = text
        for child in list(one)[:COLUMNS_LIMIT]:
            if _name(child) not in around:
                found |= {
                    f"{way}/{_name(child)}/{path}" if path != "." else f"{way}/{_name(child)}": text
                    for path, text in _xml_leaves(child, "", DEPTH - 1).items()
                }
        way = way.rpartition("/")[0]
    return {path: text for path, text in found.items() if is_of_all(path)}
