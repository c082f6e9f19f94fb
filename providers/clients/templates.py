"""What we send a company: texts with ``{places}``, filled so that no value can leave its place.

A value is put into the parsed thing (a JSON leaf, an XML text, a form field, one segment of a
path) and the whole is written afterwards. Nothing is ever pasted into finished JSON or XML.
"""

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from lxml import etree
from pydantic import JsonValue

from core.errors import Invalid

Values = Mapping[str, str | int]

_PLACE: Final = re.compile(r"\{([a-z_]+)\}")
_PARSER: Final = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
)


def places_in(template: object) -> set[str]:
    """Return the names of all places of a text, or of the texts in a table or list."""
    match template:
        case str():
            return set(_PLACE.findall(template))
        case Mapping():
            return set().union(*map(places_in, template), *map(places_in, template.values()))
        case list():
            return set().union(*map(places_in, template))
    return set()


def fill(template: str, values: Values) -> str:
    """Fill the places of a text; what it is then written into must do the escaping."""
    return _PLACE.sub(lambda found: str(values[found[1]]), template)


def fill_bytes(template: str, values: Mapping[str, bytes]) -> bytes:
    """Fill the places of a text with bytes of any kind, such as a finished body."""
    pieces = _PLACE.split(template)
    return b"".join(values[one] if at % 2 else one.encode() for at, one in enumerate(pieces))


def fill_path(template: str, values: Values) -> str:
    """Fill a path; each value stays within its one segment.

    Raises:
        Invalid: a value is blank or only dots, and would be no segment at all.
    """

    def encoded(found: re.Match[str]) -> str:
        value = str(values[found[1]])
        if not value.strip(". "):
            raise Invalid(f"{found[1]} is blank or only dots: write the whole number")
        return quote(_encoded(value), safe="")

    return _PLACE.sub(encoded, template)


def fill_json(template: JsonValue, values: Values) -> JsonValue:
    """Fill the texts of a table; one that is a single place takes its value as it is."""
    match template:
        case str():
            whole = _PLACE.fullmatch(template)
            return values[whole[1]] if whole else fill(template, values)
        case dict():
            return {name: fill_json(value, values) for name, value in template.items()}
        case list():
            return [fill_json(value, values) for value in template]
    return template


def json_body(template: JsonValue, values: Values) -> bytes:
    """Return a JSON body.

    Raises:
        Invalid: a value cannot be written in Unicode.
    """
    written = json.dumps(fill_json(template, values), ensure_ascii=False)
    return _encoded(written)


def form_body(filled: Mapping[str, str]) -> bytes:
    """Return the body of a form.

    Raises:
        Invalid: a value cannot be written in Unicode.
    """
    return urlencode({name: _encoded(value) for name, value in filled.items()}).encode()


class XmlTemplate:
    """A document whose texts and attributes have places."""

    def __init__(self, text: str) -> None:
        try:
            self._root = etree.fromstring(text.strip().encode(), _PARSER)
        except (etree.XMLSyntaxError, ValueError) as wrong:
            raise ValueError(f"is not XML: {wrong}") from None
        if self._root.getroottree().docinfo.internalDTD is not None:
            raise ValueError("must not have a DOCTYPE: leave it out")
        self.places = set().union(*(places_in(text) for text in self._texts()))

    def _texts(self) -> list[str]:
        return [
            str(text)
            for element in self._root.iter(etree.Element)
            for text in (element.text, element.tail, *element.attrib.values())
            if text
        ]

    def body(self, values: Values) -> bytes:
        """Return the document, in UTF-8.

        Raises:
            Invalid: a value holds a character that XML has no way to write.
        """
        root = etree.fromstring(etree.tostring(self._root), _PARSER)
        try:
            for element in root.iter(etree.Element):
                element.text = fill(str(element.text), values) if element.text else None
                element.tail = fill(str(element.tail), values) if element.tail else None
                for name, text in element.attrib.items():
                    element.set(name, fill(str(text), values))
        except ValueError:
            raise Invalid("a control character cannot be sent: write plain characters") from None
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid("half of a character cannot be sent: write whole characters") from None
