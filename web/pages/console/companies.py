"""Companies in a list of the console: found by what is typed, a page at a time."""

from collections.abc import Iterable, Sequence
from typing import Final

from providers.registry import PROVIDERS, Provider
from web import look

PAGE: Final = 50


def find_companies(words: str) -> list[Provider]:
    """Return the companies whose code or name has these words, by code; all of them without any."""
    wanted = words.strip().casefold()
    return [
        one
        for one in PROVIDERS.values()
        if any(wanted in name.casefold() for name in (one.code, one.name, one.name_en))
    ]


def page_of(found: Iterable[Provider], after: str) -> tuple[Sequence[Provider], str | None]:
    """Return a page of companies, and after which one the next page goes on, if there is one.

    Args:
        after: the code of the last company of the page before, whether it is still there or not.
    """
    rest = [one for one in found if one.code > after]
    return rest[:PAGE], rest[PAGE - 1].code if len(rest) > PAGE else None


def format_name(locale: str, format_: str) -> str:
    """Say which kind of file a company sends; ``own`` is read by a package of its own."""
    return look.macro_text(locale, "parts/profiles.html", "format_name", format_)
