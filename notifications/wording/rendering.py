"""From facts to the words of one channel, in the reader's language and edition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlmodel import Session

from core.db import HotStatement
from notifications.catalogue import EVENTS
from notifications.channels.base import NOTHING
from notifications.wording.built_in import Source, built_in
from notifications.wording.letters import Letter
from notifications.wording.short import Short
from notifications.wording.template import Form, one_line, parse
from notifications.words import language

_LETTERS: Final = frozenset({"email", "inbox"})


class Words(NamedTuple):
    title: str
    body: str
    body_html: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the places of a template are filled with, already in the reader's language.

    ``lines`` are what it is about, each with its amount: ``("Water · May 2026", "¥86.50")``.
    """

    values: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    lines: Sequence[tuple[str, str]] = ()
    link: str = ""


class Asked(NamedTuple):
    """Words wanted for one notice."""

    event: str
    channel: str
    locale: str
    edition: str
    facts: Facts


class Rendered(NamedTuple):
    words: Words
    template_id: int | None = None
    template_values: Mapping[str, str] | None = None  # for a carrier's own template


class Key(NamedTuple):
    """Which words: of an event, in a form, a language and an edition."""

    event: str
    form: Form
    locale: str
    edition: str


class _Written(NamedTuple):
    writer: Letter | Short
    template_id: int | None = None


_APPROVED = HotStatement("""
    SELECT event, form, locale, edition, id, title, body
    FROM notice_template WHERE state = 'approved' AND event = ANY(:events)
""")


def form_of(channel: str) -> Form:
    """Return the form a channel's words have."""
    return Form.LETTER if channel in _LETTERS else Form.SHORT


def render_all(session: Session, asked: Sequence[Asked]) -> list[Rendered]:
    """Return the words of each, in the order asked for.

    What staff wrote and a second person approved comes first, in the reader's edition as in the
    plain one; then what came with us.

    Raises:
        KeyError: an event that has no words.
    """
    rows = _APPROVED.rows(session, {"events": sorted({one.event for one in asked})})
    approved = {
        Key(event, Form(form), locale, edition): (template_id, Source(title, body))
        for event, form, locale, edition, template_id, title, body in rows
    }
    written: dict[tuple[str, str, str, str], _Written] = {}
    rendered = []
    for event, channel, locale, edition, facts in asked:
        place = (event, channel, locale, edition)
        if place not in written:
            key = Key(event, form_of(channel), language(locale), edition)
            written[place] = _written(key, approved)
        rendered.append(_render(written[place], channel, facts))
    return rendered


def _written(key: Key, approved: Mapping[Key, tuple[int, Source]]) -> _Written:
    """Return what writes these words: of this edition if it has any, else of the plain one."""
    for edition in dict.fromkeys((key.edition, "plain")):
        wanted = key._replace(edition=edition)
        if wanted in approved:
            template_id, source = approved[wanted]
            return _Written(_writer(key, source), template_id)
        if ours := built_in(*wanted):
            return _Written(_writer(key, ours))
    raise KeyError(f"{key.event} has no words")


def words_of(key: Key, source: Source, channel: str, facts: Facts) -> Words:
    """Return what words say over a channel, approved or not.

    Raises:
        Invalid: they cannot be read; the message says where.
    """
    return _render(_Written(_writer(key, source)), channel, facts).words


def _writer(key: Key, source: Source) -> Letter | Short:
    parsed = parse(*source, key.form, EVENTS[key.event].places)
    if key.form is Form.LETTER:
        return Letter(parsed, locale=key.locale, edition=key.edition)
    return Short(parsed, locale=key.locale)


def _render(written: _Written, channel: str, facts: Facts) -> Rendered:
    by, template_id = written
    values, lines, link = facts.values, facts.lines, facts.link
    if isinstance(by, Letter):
        page = by.html(values, lines, link) if channel == "email" else None
        return Rendered(Words(by.title(values), by.text(values, lines, link), page), template_id)
    title = by.title(values)
    if channel == "sms":
        in_places = by.in_places(values) if template_id else None
        return Rendered(Words(title, by.text_message(values, link)), template_id, in_places)
    known = None  # of WeChat's copy, any place may be filled: also one these words do not use
    if channel == "wechat" and template_id:
        known = {place: one_line(value) for place, value in values.items()}
    return Rendered(Words(title, by.body(values)), template_id, known)
