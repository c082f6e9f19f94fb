"""The words that come with us: a file for each subject in ``notifications/templates``."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from notifications.catalogue import EVENTS, Subject
from notifications.wording.template import Form, tidy

FOLDER: Final = Path(__file__).parents[1] / "templates"


class Source(NamedTuple):
    """The words of one form as somebody wrote them."""

    title: str
    body: str


@cache
def _file(subject: Subject) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    return tomllib.loads((FOLDER / f"{subject}.toml").read_text(encoding="utf-8"))


@cache
def built_in(event: str, form: Form, locale: str, edition: str) -> Source | None:
    """Return the words of an event; None where this edition has none of its own.

    Raises:
        KeyError: there are none at all.
    """
    forms = _file(EVENTS[event].subject)[event][locale]
    found = forms.get(form if edition == "plain" else f"{edition}_{form}")
    if found is None:
        if edition == "plain":
            raise KeyError(f"{event} has no {form} in {locale}")
        return None
    return Source(tidy(found["title"]), tidy(found["body"]))
