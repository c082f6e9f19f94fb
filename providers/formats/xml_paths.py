"""Paths through XML as a profile writes them: ``Fees/Fee[2]/@fen``, ``field[@name='no']``, ``.``.

Where the profile names no namespaces, names are compared without theirs.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from lxml import etree

from core.errors import Invalid
from providers.formats.rows import RowFault

Element = etree._Element

_STEP = re.compile(
    r"(?:([^\W\d][\w.-]*):)?([^\W\d][\w.-]*)"
    r"(?:\[([1-9][0-9]{0,3})\]|\[@([^\W\d][\w.-]*)='([^']{1,64})'\])?"
)
_PARTS = re.compile(r"(?:\[[^\]]*\]|[^/\[])+|(?<=/)(?=/)")
_BLANKS: Final = " \t\r\n"


class Step(NamedTuple):
    """One element on a path; ``place`` counts from 1 among its namesakes, 0 for the only one.

    Where an attribute tells namesakes apart, ``named`` is its name and what it says.
    """

    tag: str
    place: int
    named: tuple[str, str] | None = None


class XmlPath(NamedTuple):
    """Steps from one element to another, and an attribute of that, or "" for its text."""

    steps: tuple[Step, ...]
    attribute: str


class XmlPaths:
    """Reads the paths of one profile."""

    def __init__(self, namespaces: Mapping[str, str]) -> None:
        self._namespaces = namespaces

    def path(self, text: str) -> XmlPath:
        """Read a path.

        Raises:
            Invalid: it is none.
        """
        parts = _PARTS.findall(text) or [text]
        attribute = ""
        if parts[-1].startswith("@"):
            attribute = self._name(parts.pop()[1:], text, attribute=True)
        if parts == ["."]:
            parts = []
        return XmlPath(tuple(self._step(part, text) for part in parts), attribute)

    def _step(self, part: str, text: str) -> Step:
        match = _STEP.fullmatch(part)
        if match is None:
            raise Invalid(
                f"path: {text!r} is no path in XML: write such as Fees/Fee[2]/@amount, without .."
            )
        name = part.partition("[")[0]
        named = (match.group(4), match.group(5)) if match.group(4) else None
        return Step(self._name(name, text), int(match.group(3) or 0), named)

    def _name(self, name: str, text: str, *, attribute: bool = False) -> str:
        prefix, colon, local = name.rpartition(":")
        if _STEP.fullmatch(name) is None:
            raise Invalid(f"path: {text!r} is no path in XML: write such as Fees/Fee[2]/@amount")
        if not self._namespaces:
            return f"{{*}}{local}"
        if prefix not in self._namespaces:
            if colon:
                raise Invalid(f"path: {text!r}: namespaces says nothing of the prefix {prefix}")
            return local
        if attribute and not colon:
            return local  # an attribute without a prefix is in no namespace
        return f"{{{self._namespaces[prefix]}}}{local}"


def follow(element: Element, steps: tuple[Step, ...]) -> Element | None:
    """Return the element at the end of some steps, or None.

    Raises:
        RowFault: two stand there and the path does not say which.
    """
    for tag, place, named in steps:
        found: Iterator[Element] = element.iterchildren(tag)
        if named is not None:
            found = _named(found, named)
        for _ in range(place - 1):
            next(found, None)
        chosen = next(found, None)
        if chosen is None:
            return None
        if not place and next(found, None) is not None:
            name = local_name(chosen)
            raise RowFault("", f"{name} stands there twice: which one holds?")
        element = chosen
    return element


def text_at(element: Element, path: XmlPath) -> str | None:
    """Return the text at the end of a path, without the blanks around it; None where nothing is.

    Raises:
        RowFault: two stand there, or further elements instead of text.
    """
    found = follow(element, path.steps)
    if found is None:
        return None
    if path.attribute:
        return _attribute(found, path.attribute)
    if len(found):
        raise RowFault("", f"{local_name(found)} holds further elements: it must be plain text")
    return (found.text or "").strip(_BLANKS)


def _attribute(element: Element, name: str) -> str | None:
    if not name.startswith("{*}"):
        return element.get(name)
    local = name[3:]
    plain = element.get(local)
    if plain is not None:
        return plain
    return next(
        (
            str(value)
            for key, value in element.attrib.items()
            if str(key).rpartition("}")[2] == local
        ),
        None,
    )


def _named(elements: Iterator[Element], named: tuple[str, str]) -> Iterator[Element]:
    name, said = named
    return (one for one in elements if _attribute(one, f"{{*}}{name}") == said)


def is_called(element: Element, tag: str) -> bool:
    """Tell whether an element has a tag of a path."""
    return local_name(element) == tag[3:] if tag.startswith("{*}") else element.tag == tag


def is_named(element: Element, step: Step) -> bool:
    """Tell whether an element's attribute says what a step of a path asks, if it asks."""
    return step.named is None or _attribute(element, f"{{*}}{step.named[0]}") == step.named[1]


def local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
