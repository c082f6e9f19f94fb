"""What a company answers: JSON or XML, looked into by dotted paths.

An answer that says one thing twice says nothing: a name that comes twice in a JSON object makes
the answer unreadable, a second XML element where one is meant makes that value missing.
"""

import json
from typing import Any, Final, Literal, Protocol

from lxml import etree

AnswerFormat = Literal["json", "xml"]
_PARSER: Final = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
    remove_comments=True, remove_pis=True,
)  # fmt: skip


class Answer(Protocol):
    """One answer, or one row of a list in it. A path such as ``body.bills`` starts at its root."""

    def text(self, path: str) -> str | None:
        """Return a text as it stands there; None where there is none, or something else."""
        ...

    def word(self, path: str) -> str | None:
        """Return a text, or a number in the very digits it was written with."""
        ...

    def said(self, path: str) -> str | None:
        """Return a word, or JSON's ``true`` or ``false``: what a company says of itself."""
        ...

    def rows(self, path: str) -> "list[Answer] | None":
        """Return the rows of a list; None where there is no list."""
        ...

    def has(self, path: str) -> bool:
        """Tell whether anything stands there."""
        ...


def read_answer(body: bytes, kind: AnswerFormat) -> Answer | None:
    """Return an answer; None when it cannot be read."""
    return _read_json(body) if kind == "json" else _read_xml(body)


def read_list(body: bytes) -> "list[Answer] | None":
    """Return the objects of a JSON answer that is a list of them; None when it is anything else."""
    said = _parsed(body)
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        return None
    return [JsonAnswer(one) for one in said]


class _Number(str):
    """A JSON number as it was written: 86.50 stays 86.50."""

    __slots__ = ()


def _read_json(body: bytes) -> Answer | None:
    said = _parsed(body)
    return JsonAnswer(said) if isinstance(said, dict) else None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(
            body, object_pairs_hook=_once, parse_int=_Number, parse_float=_Number,
            parse_constant=_refused,
        )  # fmt: skip
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ValueError("a name comes twice")
    return said


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


class JsonAnswer:
    """A JSON object."""

    def __init__(self, said: Any) -> None:
        self._said = said

    def _at(self, path: str) -> Any:
        at = self._said
        for step in path.split("."):
            if not isinstance(at, dict):
                return None
            at = at.get(step)
        return at

    def text(self, path: str) -> str | None:
        value = self._at(path)
        return value if type(value) is str else None

    def word(self, path: str) -> str | None:
        value = self._at(path)
        return str(value) if isinstance(value, str) else None

    def said(self, path: str) -> str | None:
        value = self._at(path)
        return json.dumps(value) if isinstance(value, bool) else self.word(path)

    def rows(self, path: str) -> list[Answer] | None:
        value = self._at(path)
        return [JsonAnswer(one) for one in value] if isinstance(value, list) else None

    def has(self, path: str) -> bool:
        return self._at(path) is not None


def _read_xml(body: bytes) -> Answer | None:
    try:
        root = etree.fromstring(body, _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        return None
    if (
        root.getroottree().docinfo.internalDTD is not None
    ):  # nothing of ours needs one, and entities live there
        return None
    return XmlAnswer(root)


class XmlAnswer:
    """An XML element; names are looked at without their namespaces, ``@name`` is an attribute."""

    def __init__(self, element: etree._Element) -> None:
        self._element = element

    def _all(self, path: str) -> list[etree._Element | str]:
        found: list[etree._Element | str] = [self._element]
        for step in path.split("."):
            found = [one for at in found if not isinstance(at, str) for one in _children(at, step)]
        return found

    def word(self, path: str) -> str | None:
        found = self._all(path)
        if len(found) != 1:
            return None
        [one] = found
        if isinstance(one, str):
            return one
        return None if len(one) else (one.text or "").strip()

    def text(self, path: str) -> str | None:
        return self.word(path)

    def said(self, path: str) -> str | None:
        return self.word(path)

    def rows(self, path: str) -> list[Answer] | None:
        """Return the elements of this path; none of them is an empty list."""
        return [XmlAnswer(one) for one in self._all(path) if not isinstance(one, str)]

    def has(self, path: str) -> bool:
        return bool(self._all(path))


def _children(element: etree._Element, step: str) -> list[etree._Element | str]:
    if step.startswith("@"):
        value = element.get(step[1:])
        return [] if value is None else [str(value)]
    return [one for one in element if etree.QName(one).localname == step]
