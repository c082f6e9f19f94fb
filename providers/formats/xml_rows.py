"""XML by mapping: one element a bill, its cells found by path.

How to describe one: docs/mapped-formats.md.
"""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final, NamedTuple, cast

from lxml import etree

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.asides import Asides, aside_paths
from providers.formats.documents import guarded_xml
from providers.formats.mapped import MappedBills, MappedRow
from providers.formats.rows import RowFault
from providers.formats.text import GuardedStream
from providers.formats.xml_paths import (
    Element,
    XmlPath,
    XmlPaths,
    follow,
    is_called,
    is_named,
    local_name,
    text_at,
)
from providers.profiles import Profile

_INCLUDE: Final = "{http://www.w3.org/2001/XInclude}*"
_DEPTH: Final = 64
_KEPT_LIMIT: Final = 1_000  # elements beside the rows that are kept for their sake


class _Cell(NamedTuple):
    """Where a column's cell is: ``above`` is how deep the element lies that ``path`` begins at."""

    name: str
    above: int | None
    path: XmlPath


class XmlReader:
    """Reads an XML document; see `BillFileReader`. The line of a bill is where it begins."""

    def __init__(self, profile: Profile) -> None:
        shape = profile.file
        if not shape.rows:
            raise Invalid("file: xml needs rows, the path of a bill: such as BillFile/Bill")
        self._profile = profile
        paths, listed = XmlPaths(shape.namespaces), profile.items_from
        rows = paths.path(shape.rows.removeprefix("/"))
        if listed is not None and not paths.path(listed.path).steps:
            raise Invalid(f"items_from: {listed.path!r} leads to no list: such as Items/Item")
        if rows.attribute or not rows.steps or any(step.place for step in rows.steps):
            raise Invalid(f"file: rows = {shape.rows!r} leads to all bills: names and / only")
        self._way = [step.tag for step in rows.steps]
        self._steps = rows.steps
        self._asides = {
            where: self._from_root(paths.path(where.removeprefix("/")))
            for where in aside_paths(profile)
        }
        self._cells = [self._cell(paths, column.name, column.where) for column in profile.columns]
        self._lines = None
        self._listed_at = "" if listed is None else listed.path
        if listed is not None:
            self._lines = (
                paths.path(listed.path),
                paths.path(listed.name),
                paths.path(listed.amount),
                None if listed.quantity is None else paths.path(listed.quantity),
            )
        self._kept = self._kept_children()

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        guarded = guarded_xml(stream, self._profile.file.codec)
        try:
            yield from self._read(guarded)
        except etree.XMLSyntaxError as wrong:
            raise BillFileError(
                f"the XML is broken ({wrong.msg}): send the file again as its system wrote it",
                line_no=wrong.lineno or None,
            ) from None

    def _read(self, guarded: GuardedStream) -> Iterator[Heading | BillRecord | Reject]:
        asides, line_no = Asides(self._profile), 1
        bills: MappedBills | None = None
        context = self._parser(guarded)
        for event, element in cast("Iterator[tuple[str, Element]]", context):
            depth = self._depth(element)
            if event == "start":
                self._check_start(element, depth)
                continue
            if not depth:
                if self._is_of_others(element):
                    guarded.allow()
                    self._forget(element, len(self._way))
                continue
            if depth < len(self._way):
                self._leave(asides, element, depth)
                continue
            line_no = _line(element)
            if bills is None:
                self._note(asides, element.getroottree().getroot(), line_no)
                heading = asides.before_bills(line_no)
                bills = MappedBills(self._profile, asides.file_day)
                if heading is not None:
                    yield heading
            yield from bills.take(self._row(element, line_no))
            guarded.allow()
            self._forget(element, depth)
        self._check_root(context.root)
        bills = bills or MappedBills(self._profile)
        yield from bills.finish()
        yield from asides.finish(bills.totals, line_no)

    def _parser(self, guarded: GuardedStream) -> Any:
        """Parse without entities, DTDs, network or depth, and without comments to pile up.

        What comes is UTF-8 whatever the document declares: it was rewritten on the way.
        """
        return etree.iterparse(
            cast(Any, guarded),
            events=("start", "end"),
            tag=[*dict.fromkeys(self._way), _INCLUDE],
            encoding="utf-8",
            remove_comments=True,
            remove_pis=True,
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
        )

    def _depth(self, element: Element) -> int:
        """Return how far along the way to the rows an element lies, from 1; 0 when it is off it."""
        chain = [element, *element.iterancestors()]
        if len(chain) > len(self._way):
            return 0
        named = zip(reversed(chain), self._way, strict=False)
        if not all(is_called(one, tag) for one, tag in named):
            return 0
        steps = zip(reversed(chain), self._steps, strict=False)
        return len(chain) if all(is_named(one, step) for one, step in steps) else 0

    def _is_of_others(self, element: Element) -> bool:
        """Tell a row of another table, which stands where the bills do but for a name."""
        if all(step.named is None for step in self._steps):
            return False
        chain = [element, *element.iterancestors()]
        named = zip(reversed(chain), self._way, strict=False)
        return len(chain) == len(self._way) and all(is_called(one, tag) for one, tag in named)

    def _check_start(self, element: Element, depth: int) -> None:
        """Refuse a document type, another root, and what another file would have to complete."""
        if element.tag.startswith(_INCLUDE[:-1]):
            raise BillFileError(
                "the file includes another (XInclude): send it whole", line_no=_line(element)
            )
        if depth <= 1:
            self._check_root(element.getroottree().getroot())

    def _check_root(self, root: Element | None) -> None:
        if root is None:
            raise BillFileError("the file holds no element: send it again with its bills")
        about = root.getroottree().docinfo
        if about.internalDTD is not None or about.doctype:
            raise BillFileError(
                "the file declares a DTD or entities: take it out", line_no=_line(root)
            )
        if not is_called(root, self._way[0]):
            wanted = local_name_of(self._way[0])
            raise BillFileError(
                f"the file begins with {local_name(root)[:32]!r}, not with {wanted}:"
                f" check that this is the bill file of {self._profile.name} ({self._profile.code})",
                line_no=_line(root),
            )

    def _row(self, element: Element, line_no: int) -> MappedRow:
        cells: list[str] = []
        faults: dict[str, str] = {}
        for name, above, path in self._cells:
            text = None
            try:
                start = element if above is None else _ancestor(element, len(self._way) - above)
                text = text_at(start, path)
            except RowFault as fault:
                faults[name] = fault.reason
            cells.append(text or "")
        if _deep(element, _DEPTH - len(self._way)):
            faults[""] = f"elements lie more than {_DEPTH} deep, as in no bill: send it plainly"
        return MappedRow(
            line_no=line_no,
            cells=cells,
            faults=faults,
            lines=[] if self._lines is None else self._listed(element, faults),
            raw=lambda: etree.tostring(element, encoding="unicode", with_tail=False),
        )

    def _listed(self, element: Element, faults: dict[str, str]) -> list[tuple[str, str, str]]:
        """Return the texts of a bill's own list of lines."""
        assert self._lines is not None
        where, name, amount, quantity = self._lines
        try:
            holder = follow(element, where.steps[:-1])
            if holder is None:
                return []
            return [
                (
                    text_at(line, name) or "",
                    text_at(line, amount) or "",
                    (text_at(line, quantity) or "") if quantity is not None else "",
                )
                for line in holder.iterchildren(where.steps[-1].tag)
            ]
        except RowFault as fault:
            faults[self._listed_at] = fault.reason
            return []

    def _from_root(self, path: XmlPath) -> XmlPath:
        """Return a path that begins at the root's own name as one that begins at the root."""
        if not path.steps or path.steps[0].tag != self._way[0]:
            raise Invalid(
                f"path: what stands beside the bills is found from the root on:"
                f" begin with {local_name_of(self._way[0])}/"
            )
        return XmlPath(path.steps[1:], path.attribute)

    def _cell(self, paths: XmlPaths, name: str, where: str) -> _Cell:
        """Read a column's path; one that begins with / is followed from an element above."""
        if not where.startswith("/"):
            return _Cell(name, None, paths.path(where))
        path = paths.path(where[1:])
        shared = 0
        for step, tag in zip(path.steps, self._way[:-1], strict=False):
            if step.tag != tag or step.place or step.named:
                break
            shared += 1
        if not shared:
            self._from_root(path)
        return _Cell(name, shared, XmlPath(path.steps[shared:], path.attribute))

    def _kept_children(self) -> dict[int, set[str]]:
        """Return, by depth, the elements beside the way that something is read from."""
        kept: dict[int, set[str]] = {}
        for _, above, path in self._cells:
            if above is not None and path.steps:
                kept.setdefault(above + 1, set()).add(path.steps[0].tag)
        for path in self._asides.values():
            depth = 1
            for step in path.steps:
                depth += 1
                kept.setdefault(depth, set()).add(step.tag)
                if depth > len(self._way) or step.tag != self._way[depth - 1]:
                    break
        return kept

    def _note(self, asides: Asides, root: Element, line_no: int) -> None:
        for where, path in self._asides.items():
            try:
                text = text_at(root, path)
            except RowFault as fault:
                raise BillFileError(f"at {where}: {fault.reason}", line_no=line_no) from None
            if text is not None:
                asides.note(where, text, line_no)

    def _leave(self, asides: Asides, element: Element, depth: int) -> None:
        """Take leave of an element above the rows that has ended."""
        if self._asides:
            self._note(asides, element.getroottree().getroot(), _line(element))
        if depth > 1:
            self._forget(element, depth)

    def _forget(self, element: Element, depth: int) -> None:
        """Free an element that was read and what stands before it: memory stays flat."""
        element.clear()
        parent = element.getparent()
        if parent is None:
            return
        kept = self._kept.get(depth, set())
        before = element.getprevious()
        count = 0
        while before is not None:
            earlier = before.getprevious()
            if before.tag == element.tag or not any(is_called(before, tag) for tag in kept):
                parent.remove(before)
            else:
                count += 1
            before = earlier
        if count > _KEPT_LIMIT:
            raise BillFileError(
                f"more than {_KEPT_LIMIT} elements stand beside the bills where one is read:"
                " check that this is the bill file",
                line_no=_line(element),
            )


def _deep(element: Element, limit: int) -> bool:
    """Tell whether elements lie deeper in one another than ``limit``."""
    level: Sequence[Element] = [element]
    for _ in range(limit):
        level = [child for parent in level for child in parent]
        if not level:
            return False
    return True


def _ancestor(element: Element, up: int) -> Element:
    for _ in range(up):
        parent = element.getparent()
        assert parent is not None, "the way to the rows was checked"
        element = parent
    return element


def _line(element: Element) -> int:
    return cast(int, element.sourceline)


def local_name_of(tag: str) -> str:
    """Return the name of a tag without its namespace."""
    return tag.rpartition("}")[2]
