"""The language of templates: sentences with places such as ``{amount}``, and nothing else.

Nothing is evaluated, and there is no way to write a brace: whatever stands in one and is no place
of the event is refused where it is saved, with its position.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from core.errors import Invalid

LINES: Final = "{lines}"  # the table of what it is about
LINK: Final = "{link}"  # where to go
_PLACE: Final = re.compile(r"\{([a-z][a-z_]*)\}")
_PLACE_OR_BRACE: Final = re.compile(r"\{([a-z][a-z_]*)\}|[{}]")
_LINE_END: Final = re.compile(r"\r\n?")
_BLANK_LINES: Final = re.compile(r"\n(?: *\n)+")
# What is not seen: control characters, marks that turn the direction of writing, half characters.
_UNSEEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


class Form(StrEnum):
    """In which of two forms the words of an event are written."""

    LETTER = "letter"  # e-mail and the inbox: paragraphs
    SHORT = "short"  # a text message, WeChat, a browser, a television: one line


@dataclass(frozen=True, slots=True)
class Sentence:
    """What stands between the places of a sentence, as ``%`` takes it, and the places in order."""

    between: str
    places: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> str:
        """Put the values in; one that is not given is left out."""
        return self.between % tuple([values.get(place, "") for place in self.places])


@dataclass(frozen=True, slots=True)
class Parsed:
    """A template ready to be filled; a line of a paragraph may be ``LINES`` or ``LINK``."""

    title: Sentence
    paragraphs: tuple[tuple[Sentence | str, ...], ...]

    @property
    def places(self) -> tuple[str, ...]:
        """Every place of the body once, in the order of the text."""
        lines = [line for paragraph in self.paragraphs for line in paragraph]
        named = [place for line in lines if isinstance(line, Sentence) for place in line.places]
        return tuple(dict.fromkeys(named))


@lru_cache(maxsize=4096)
def parse(title: str, body: str, form: Form, allowed: frozenset[str]) -> Parsed:
    """Read the words of one form.

    Raises:
        Invalid: something in braces is none of these places, a title or a short form has more than
            one line, or a character cannot be seen; the message says where.
    """
    title, body = tidy(title), tidy(body)
    _check("title", title, allowed, lines=1)
    _check("text", body, allowed, lines=1 if form is Form.SHORT else None)
    paragraphs = (_BLANK_LINES.split(body) if form is Form.LETTER else [body]) if body else []
    return Parsed(
        _sentence(title),
        tuple(
            tuple(
                line if line in {LINES, LINK} else _sentence(line)
                for line in map(str.strip, paragraph.split("\n"))
            )
            for paragraph in paragraphs
        ),
    )


def tidy(text: str) -> str:
    """Return what somebody typed as it is kept: line ends of one kind, no tabs, nothing around."""
    return _LINE_END.sub("\n", text).replace("\t", " ").strip()


def seen(text: str) -> str:
    """Return a text without what cannot be seen; line ends stay."""
    return text if text.isprintable() else _UNSEEN.sub(" ", _LINE_END.sub("\n", text))


def one_line(text: str) -> str:
    """Return a text on one line, without what cannot be seen."""
    return text if text.isprintable() else " ".join(seen(text).split())


def _sentence(text: str) -> Sentence:
    between = "%s".join(_PLACE.sub("\0", text).replace("%", "%%").split("\0"))
    return Sentence(between, tuple(_PLACE.findall(text)))


def _check(where: str, text: str, allowed: frozenset[str], *, lines: int | None) -> None:
    if not text:
        raise Invalid(f"the {where} is empty", code="template.empty", where=where)
    if unseen := _UNSEEN.search(text):
        raise _refused(where, text, unseen.start(), "unseen", "this character cannot be seen")
    if lines and "\n" in text:
        raise _refused(where, text, text.index("\n"), "lines", "there is one line here, no more")
    for found in _PLACE_OR_BRACE.finditer(text):
        word = found[0]
        if word in {LINES, LINK}:
            if lines:
                raise _refused(where, text, found.start(), "place", f"{word} is for letters")
            if _line_at(text, found.start()) != word:
                raise _refused(
                    where, text, found.start(), "alone", f"{word} stands on a line of its own"
                )
        elif found[1] not in allowed:
            known = ", ".join(f"{{{place}}}" for place in sorted(allowed)) or "none"
            raise _refused(
                where,
                text,
                found.start(),
                "place",
                f"there is no such place here; there is {known}",
            )


def _line_at(text: str, at: int) -> str:
    return text[text.rfind("\n", 0, at) + 1 :].partition("\n")[0].strip()


def _refused(where: str, text: str, at: int, code: str, why: str) -> Invalid:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return Invalid(
        f"{where}, line {line}, character {column}: {why}",
        code=f"template.{code}", where=where, line=line, character=column,
    )  # fmt: skip
