"""The fonts of our PDFs, chosen character by character.

Noto Sans SC comes with the wheel ``zhplot`` (its font is under the OFL), so a bare machine needs
no system font; an operator may add a second one for what the first lacks. Both are embedded as
subsets. A font that is only named and not embedded lets every viewer guess: with STSong-Light, what
follows a rare character comes out as other characters. What no font has is printed as a visible □.
"""

import logging
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Final

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from core.errors import Invalid

MAIN: Final = "CityBill-Main"
EXTRA: Final = "CityBill-Extra"
MISSING: Final = "□"

# A TTFont keeps a cursor into its file and cannot serve two documents at once.
TYPESETTING = threading.RLock()

_log = logging.getLogger(__name__)
_fonts: dict[str, TTFont] = {}  # in the order they are asked
_plain: set[str] = set()  # characters known to be printed in the main font as they are


class _Widths(dict[str, int]):
    """How wide each character is printed, in thousandths of its size, rounded up."""

    def __missing__(self, character: str) -> int:
        font, mark = _choose(character)
        self[character] = ceil(_fonts[font].stringWidth(mark, 1000)) if mark else 0
        return self[character]


_widths = _Widths()


def register_fonts(extra: Path | None = None) -> None:
    """Load our font and, after it, ``extra``: a .ttf or .ttc with TrueType outlines.

    For a process as it starts; calling again replaces ``extra``. Whoever draws without having
    called gets the main font alone.

    Raises:
        FileNotFoundError: the package that carries the main font is not installed.
        Invalid: ``extra`` is not a font that can be embedded; nothing has changed.
    """
    second = None if extra is None else _load_extra(extra)
    with TYPESETTING:
        _fonts.pop(EXTRA, None)
        if MAIN not in _fonts:
            _add(TTFont(MAIN, str(_main_path())))
        if second is not None:
            _add(second)
        _choose.cache_clear()
        _plain.clear()
        _widths.clear()


def require_fonts() -> None:
    """Load the main font if no font was loaded yet."""
    with TYPESETTING:
        if not _fonts:
            register_fonts()


def _add(font: TTFont) -> None:
    pdfmetrics.registerFont(font)
    _fonts[font.fontName] = font


def _load_extra(path: Path) -> TTFont:
    try:
        return TTFont(EXTRA, str(path))
    except (TTFError, OSError) as wrong:
        raise Invalid(
            f"the font {path.name} cannot be embedded ({wrong}): name a .ttf or .ttc file with"
            " TrueType outlines",
            code="font.unusable",
        ) from wrong


def _main_path() -> Path:
    """Find the font without importing its package, which would ask for matplotlib."""
    package = find_spec("zhplot")
    for folder in (package and package.submodule_search_locations) or ():
        path = Path(folder, "fonts", "NotoSansSC-Regular.ttf")
        if path.is_file():
            return path
    raise FileNotFoundError("the font Noto Sans SC is missing: install the package zhplot")


def runs(text: str) -> list[tuple[str, str]]:
    """Cut ``text`` into pieces of one font each, in reading order.

    Line breaks and control characters become blanks; invisible format characters (zero width,
    right-to-left overrides, variation selectors) are dropped, so what is printed is what is read.
    """
    if _plain.issuperset(text):
        return [(MAIN, text)] if text else []
    require_fonts()
    pieces = groupby(_choices(text), key=lambda choice: choice[0])
    return [(font, "".join(mark for _, mark in marks)) for font, marks in pieces]


def width_of(text: str) -> int:
    """Return how wide ``text`` is printed, in thousandths of its size."""
    if not _fonts:
        require_fonts()
    return sum(map(_widths.__getitem__, text))


def printable(text: str) -> str:
    """Return ``text`` as it will be printed, with □ for what no font has."""
    return "".join(piece for _, piece in runs(text))


def _choices(text: str) -> Iterator[tuple[str, str]]:
    for character in text:
        font, mark = _choose(character)
        if mark:
            yield font, mark


@lru_cache(maxsize=16_384)
def _choose(character: str) -> tuple[str, str]:
    """Return the font for one character and the mark to print; the mark is "" for none."""
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return MAIN, " "
    if category == "Cf" or "VARIATION SELECTOR" in unicodedata.name(character, ""):
        return MAIN, ""
    for name, font in _fonts.items():
        if font.face.charToGlyph.get(ord(character)):
            if name == MAIN:
                _plain.add(character)
            return name, character
    _log.warning("no font has U+%04X: printed as %s", ord(character), MISSING)
    return MAIN, MISSING
