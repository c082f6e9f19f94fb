"""Why a file was refused, in the reader's language, also as it was kept when it was."""

import re
from functools import cache
from typing import Final

from web import look
from web.pages.words.file_sentences import SENTENCES

_VALUE: Final = re.compile(r"%\(([a-f])\)s")
_PLACE: Final = re.compile(r"(?:line (\d+))?(?:, )?(?:column ([^:]{1,60}))?: (.+)", re.DOTALL)
_DEEPEST: Final = 3  # what one reader says within what another says, within what we say


def said(locale: str, words: str, *, deep: int = 0) -> str:
    """Return what a reader said, in a language; what nobody has words for as it came.

    Values that are sentences themselves, as what is wrong with an amount, are said as well.
    """
    if deep > _DEEPEST or not words:
        return words
    if locale == "en":
        return _of_a_place(locale, words, deep) or words
    for pattern, sentence in _patterns():
        found = pattern.fullmatch(words)
        if found is not None:
            values = found.groupdict()
            told = {key: said(locale, one, deep=deep + 1) for key, one in values.items()}
            return look.say_known(locale, sentence) % told
    return _of_a_place(locale, words, deep) or words


def _of_a_place(locale: str, words: str, deep: int) -> str | None:
    """Say ``line 7, column amount: …`` as a line, a column and a sentence."""
    found = _PLACE.fullmatch(words)
    if found is None or not (found[1] or found[2]):
        return None
    why = said(locale, found[3], deep=deep + 1)
    why = f"{found[2]}: {why}" if found[2] else why
    if found[1] is None:
        return why
    return look.say(locale, "Line %(line_no)s: %(why)s", line_no=found[1], why=why)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return what finds each sentence again, the one with most words of its own first."""
    by_words = sorted(SENTENCES, key=lambda one: -len(_VALUE.sub("", one)))
    return [(re.compile(_pattern(one), re.DOTALL), one) for one in by_words]


def _pattern(sentence: str) -> str:
    parts = _VALUE.split(sentence)
    return "".join(
        f"(?P<{part}>.*?)" if at % 2 else re.escape(part) for at, part in enumerate(parts)
    )
