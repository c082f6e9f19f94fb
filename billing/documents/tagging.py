"""The structure of a PDF beside its marks: what is a heading, a table, a picture, in which order.

A reader that speaks, or that flows text anew, follows it. reportlab's canvas draws and does not
tag, so the marked content goes into the page as literal operators, and the tree into the document
as objects of our own, written as short as the format allows. Source: ISO 32000-1, 14.6 to 14.9.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from reportlab.pdfbase.pdfdoc import (
    PDFDictionary,
    PDFName,
    PDFObject,
    PDFObjectReference,
    PDFString,
)
from reportlab.pdfgen.canvas import Canvas

HEAD_OF_COLUMN: Final = "/A<</O/Table/Scope/Column>>"


class Element(PDFObject):  # type: ignore[misc]  # reportlab says no types
    """A node of the tree; ``more`` is what else stands in its dictionary, as PDF."""

    def __init__(self, role: str, parent: "Element | None", more: str = "") -> None:
        self.role, self.parent, self.more = role, parent, more
        self.kids: list[int | Element | PDFObjectReference] = []
        self.page = ""  # the name of the page that its marked content is on

    def format(self, document: Any) -> bytes:
        numbers = document.idToObjectNumberAndVersion
        kids = " ".join([_kid(numbers, kid) for kid in self.kids])
        parent = self.parent.name if self.parent else ROOT
        page = f"/Pg {numbers[self.page][0]} 0 R" if self.page else ""
        content = f"/K[{kids}]" if len(self.kids) > 1 else f"/K {kids}" if kids else ""
        of = numbers[parent][0]
        return f"<</S/{self.role}/P {of} 0 R{page}{content}{self.more}>>".encode()

    name: str = ""  # under which the document knows it


ROOT: Final = "StructTreeRoot"


def _kid(numbers: dict[str, tuple[int, int]], kid: int | Element | PDFObjectReference) -> str:
    if isinstance(kid, int):
        return str(kid)
    if isinstance(kid, Element):
        return f"{numbers[kid.name][0]} 0 R"
    return f"<</Type/OBJR/Obj {numbers[kid.name][0]} 0 R>>"


class _ParentTree(PDFObject):  # type: ignore[misc]
    """From what is on a page, and from links, back to the elements they belong to."""

    def __init__(self, owners: dict[int, list[Element] | Element]) -> None:
        self.owners = owners

    def format(self, document: Any) -> bytes:
        numbers = document.idToObjectNumberAndVersion

        def reference(one: Element) -> str:
            return f"{numbers[one.name][0]} 0 R"

        pairs = [
            f"{key}[{' '.join([reference(one) for one in owners])}]"
            if isinstance(owners, list)
            else f"{key} {reference(owners)}"
            for key, owners in sorted(self.owners.items())
        ]
        return f"<</Nums[{' '.join(pairs)}]>>".encode()


def alt(text: str) -> str:
    """Return what is said in place of something that is seen, for an element's dictionary."""
    return f"/Alt<FEFF{text.encode('utf-16-be').hex()}>"


class Tags:
    """The tree of one document, grown while its canvas is drawn on, in reading order.

    Everything drawn stands in ``content`` or in ``artifact``, and neither within the other.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._elements: list[Element] = []
        self._owners: dict[int, list[Element] | Element] = {}
        self._next_key = 0
        self._open: list[Element] = []
        self._marking = False
        self._open.append(self._grow("Document"))
        self._begin_page()

    def _begin_page(self) -> None:
        self._page_key, self._page_name = self._take_key(), self._canvas._doc.thisPageName()
        self._marked: list[Element] = []
        self._owners[self._page_key] = self._marked

    def _take_key(self) -> int:
        self._next_key += 1
        return self._next_key - 1

    def _grow(self, role: str, more: str = "") -> Element:
        parent = self._open[-1] if self._open else None
        element = Element(role, parent, more)
        element.name = f"Tag{len(self._elements)}"
        self._elements.append(element)
        if parent is not None:
            parent.kids.append(element)
        return element

    def group(self, role: str, more: str = "") -> Any:
        """Have what is drawn within be the parts of one element."""
        return self.within(self.start(role, more))

    def start(self, role: str, more: str = "") -> Element:
        """Grow an element here whose parts are drawn later, ``within`` it."""
        return self._grow(role, more)

    @contextmanager
    def within(self, element: Element) -> Iterator[None]:
        """Have what is drawn within be further parts of an element."""
        self._open.append(element)
        yield
        self._open.pop()

    @contextmanager
    def content(self, role: str, more: str = "") -> Iterator[None]:
        """Have what is drawn within be the content of one element."""
        element = self._grow(role, more)
        element.page = self._page_name
        element.kids.append(len(self._marked))
        self._open.append(element)
        with self._mark(f"/{role}<</MCID {len(self._marked)}>>BDC"):
            self._marked.append(element)
            yield
        self._open.pop()

    def figure(self, words: str) -> Any:
        """Have what is drawn within be a picture, which ``words`` stand for."""
        return self.content("Figure", alt(words))

    def artifact(self, kind: str = "Layout") -> Any:
        """Have what is drawn within be passed over: rules, colours, what each page repeats."""
        return self._mark(f"/Artifact<</Type/{kind}>>BDC")

    @contextmanager
    def _mark(self, operator: str) -> Iterator[None]:
        assert not self._marking, "content within content"
        self._canvas.addLiteral(operator)
        self._marking = True
        yield
        self._canvas.addLiteral("EMC")
        self._marking = False

    def empty(self, role: str) -> None:
        """Grow an element without content: a cell of a table that says nothing."""
        self._grow(role)

    def link(self, url: str, area: tuple[int, int, int, int], words: str) -> None:
        """Lead from an area of the page to an address; within ``content("Link")``."""
        element, key = self._open[-1], self._take_key()
        more = {"StructParent": key, "Contents": PDFString(words), "F": 4}
        self._canvas.linkURL(url, area, relative=0, **more)
        element.kids.append(self._canvas._annotationrefs[-1])
        self._owners[key] = element

    def end_page(self) -> Any:
        """Finish the page, and return it as reportlab keeps it until the document is saved."""
        name, key = self._page_name, self._page_key
        self._canvas.showPage()
        page = self._canvas._doc.idToObject[name]
        page.__NoDefault__ = [*page.__NoDefault__, "StructParents", "Tabs"]
        page.StructParents, page.Tabs = key, PDFName("S")
        self._begin_page()
        return page

    def save(self) -> None:
        """Hand the tree over to the document; nothing is drawn after it."""
        document = self._canvas._doc
        del self._owners[self._page_key]  # of the page that never came
        root = PDFDictionary({
            "Type": PDFName("StructTreeRoot"), "K": PDFObjectReference("Tag0"),
            "ParentTree": PDFObjectReference("ParentTree"), "ParentTreeNextKey": self._next_key,
        })  # fmt: skip
        document.Reference(root, ROOT)
        document.Reference(_ParentTree(self._owners), "ParentTree")
        for element in self._elements:
            document.Reference(element, element.name)
        document.Catalog.StructTreeRoot = root
        document.Catalog.MarkInfo = PDFDictionary({"Marked": "true"})
