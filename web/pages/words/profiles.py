"""A profile, what is wrong with it and what it asks, in the reader's language."""

import re
from typing import Final, get_args

from providers.proposing.guesses import ASK, Sure
from providers.proposing.proposal import questions_of
from web import look
from web.pages.words.files import said

_LINES: Final = re.compile(r"^the (?:profile|proposal) (?=line )|; (?=line [0-9]+: )")
_REMARK: Final = re.compile(r'((?:[^"#]|"(?:[^"\\]|\\.)*")*)(# .*)')


def faults(locale: str, told: str) -> list[str]:
    """Return what a profile's check says as sentences, each with its line."""
    return [said(locale, part) for part in _LINES.split(told) if part]


def questions(locale: str, toml: str) -> list[str]:
    """Return what a profile's text asks the company, whichever language it asks in."""
    marks = dict.fromkeys(look.say_known(one, ASK) for one in look.LOCALES)
    return [said(locale, one) for mark in marks for one in questions_of(toml, mark)]


def with_remarks_said(locale: str, toml: str) -> str:
    """Return a proposed profile with its remarks in a language; what is no remark stays."""
    if locale == "en":
        return toml
    return "\n".join(_remark_said(locale, line) for line in toml.split("\n"))


def _remark_said(locale: str, line: str) -> str:
    found = _REMARK.fullmatch(line)
    if found is None:
        return line
    value, remark = found.groups()
    proposed, asks, question = remark.partition(ASK)
    if asks:
        return f"{value}{proposed}{look.say_known(locale, ASK)}{said(locale, question)}"
    sure, _, why = remark[2:].partition(": ")
    if sure in get_args(Sure) and why:
        sure, why = said(locale, sure), said(locale, why)
        return f"{value}# {look.say(locale, '%(what)s: %(why)s', what=sure, why=why)}"
    return f"{value}# {said(locale, remark[2:])}"
