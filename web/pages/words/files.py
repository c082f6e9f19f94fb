"""What is wrong with a file or a row, in the reader's language, also as it was kept at the time.

A sentence is looked for by its words and not by trying all of them: a file may have a million rows
that nobody can read.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from providers.confirmations import said_of_rows
from web import look
from web.pages.words import (
    bill_file_sentences,
    bill_sentences,
    file_sentences,
    profile_sentences,
    proposal_sentences,
)

SENTENCES: Final = tuple(
    dict.fromkeys(
        file_sentences.SENTENCES + bill_file_sentences.SENTENCES + bill_sentences.SENTENCES
        + profile_sentences.SENTENCES + proposal_sentences.SENTENCES
    )
)  # fmt: skip
# A company's list of write-offs is read by the same readers: its rows are no bills.
_OF_A_LIST: Final = (("账单文件", "销账对账文件"), ("账单", "销账记录"))
_VALUE: Final = re.compile(r"%\(([a-f])\)s")
_PLACE: Final = re.compile(r"(?:line (\d+))?(?:, )?(?:column ([^:,]{1,60}))?: (.+)", re.DOTALL)
_KEY: Final = re.compile(r"([A-Za-z_]\w*(?:[.\[][^:]*)?): (.+)", re.DOTALL)
_ANY: Final = ".*?"
_QUOTED: Final = "'.*?'|\".*?\""
_DEEPEST: Final = 5  # what one reader says within what another says, within what we say


def said(locale: str, words: str, *, deep: int = 0) -> str:
    """Return what a reader said, in a language; what nobody has words for as it came.

    Values that are sentences themselves, as what is wrong with an amount, are said as well.
    """
    if deep > _DEEPEST or not words:
        return words
    placed = _of_a_place(locale, words, deep)
    if placed is not None or locale == "en":
        return placed or words
    keyed = _of_a_key(locale, words, deep)
    if keyed is not None:
        return keyed
    for known in _candidates(words):
        found = known.pattern.fullmatch(words)
        if found is not None:
            values = found.groupdict()
            told = {key: said(locale, one, deep=deep + 1) for key, one in values.items()}
            return _spoken(locale, known) % told
    return words


def _of_a_key(locale: str, words: str, deep: int) -> str | None:
    """Say ``columns[3].holds: …``, which is of a profile, as the key and a sentence we know."""
    found = _KEY.fullmatch(words)
    if found is None:
        return None
    why = said(locale, found[2], deep=deep + 1)
    if why == found[2]:
        return None
    return look.say(locale, "%(what)s: %(why)s", what=found[1], why=why)


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


class _Known(NamedTuple):
    """What finds a sentence again; ``rank`` is the lower, the more words of its own it has."""

    rank: tuple[int, int]
    pattern: re.Pattern[str]
    sentence: str
    of_a_list: bool


def _spoken(locale: str, known: _Known) -> str:
    spoken = look.say_known(locale, known.sentence)
    for bills, rows in _OF_A_LIST if known.of_a_list else ():
        spoken = spoken.replace(bills, rows)
    return spoken


def _candidates(words: str) -> list[_Known]:
    """Return the sentences that have a word in common with this, the longest first."""
    by_word = _by_word()
    found = [known for word in {*words.split(), ""} for known in by_word.get(word, ())]
    return sorted(found)


@cache
def _by_word() -> Mapping[str, Sequence[_Known]]:
    """Return each sentence under the rarest word that must stand in it; under "" without any.

    Where two values stand side by side, the second is looked for in quotation marks first.
    """
    forms = {said_of_rows(one): (one, True) for one in SENTENCES}
    forms |= {one: (one, False) for one in SENTENCES}
    ordered = sorted(forms, key=lambda one: -len(_VALUE.sub("", one)))
    fixed = {one: _fixed_words(one) for one in ordered}
    how_many: defaultdict[str, int] = defaultdict(int)
    for each in fixed.values():
        for word in each:
            how_many[word] += 1
    found: defaultdict[str, list[_Known]] = defaultdict(list)
    for rank, form in enumerate(ordered):
        rarest = min(fixed[form], key=lambda word: (how_many[word], word), default="")
        found[rarest] += [
            _Known((rank, at), re.compile(pattern, re.DOTALL), *forms[form])
            for at, pattern in enumerate((_pattern(_QUOTED, form), _pattern(_ANY, form)))
            if at or pattern != _pattern(_ANY, form)
        ]
    return found


def _fixed_words(sentence: str) -> set[str]:
    """Return the words of a sentence that no value touches."""
    return {word for word in sentence.split() if _VALUE.search(word) is None}


def _pattern(beside: str, sentence: str) -> str:
    """Return what matches a sentence; ``beside`` matches a value that stands after another."""
    parts = _VALUE.split(sentence)
    return "".join(
        f"(?P<{part}>{beside if parts[at - 1] == ' ' else _ANY})" if at % 2 else re.escape(part)
        for at, part in enumerate(parts)
    )
