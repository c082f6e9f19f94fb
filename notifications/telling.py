"""Telling people: each event becomes a row per channel, once, whatever is repeated.

What is told comes from the rooms before; over which channels and when is the choice of whoever is
told (``notifications.choice``), in which words is in ``notifications.wording``. All of it is done
for many at once: a night's bills and one receipt go the same way.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from core.db import HotStatement
from identity.models import Person, Role
from notifications.catalogue import EVENTS, TELEVISION
from notifications.choice.planning import Plan, Wanted, plan_all
from notifications.gathering import Entry, Key, enter, entered
from notifications.models import Held, NoticeState
from notifications.wording.letters import with_way_to_settings
from notifications.wording.rendering import Asked, Facts, Rendered, render_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One thing to tell one person; ``facts`` fill the words of the event."""

    event: str
    person: Person
    subject_ref: str
    facts: Facts = field(default_factory=Facts)
    household_id: int | None = None
    expires_at: datetime | None = None  # sooner than the event's own end, if at all
    attachment_ref: str | None = None
    over: str | None = None  # by this channel alone: they want to see whether it reaches them


# The first row of a telling decides: who finds it made leaves the whole of it to who made it, even
# where another choice of channels would make other rows.
_INSERT = HotStatement("""
    INSERT INTO notice (event, person_id, subject_ref, channel, address, kind, lane, locale, title,
                        body, body_html, link, attachment_ref, template_id, template_values, state,
                        state_at, created_at, due_at, held, expires_at, after_id, wait_seconds,
                        carrier, accepted_at, delivered_at)
    SELECT event, person_id, subject_ref, channel, address, kind, lane, locale, title,
           body, body_html, link, attachment_ref, template_id, template_values, state,
           :now, :now, due_at, held, expires_at, after_id, wait_seconds,
           CASE WHEN state <> 'created' THEN channel END,
           CASE WHEN state <> 'created' THEN CAST(:now AS timestamptz) END,
           CASE state WHEN 'delivered' THEN CAST(:now AS timestamptz) END
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (
        event text, person_id bigint, subject_ref text, channel text, address text, kind text,
        lane text, locale text, title text, body text, body_html text, link text,
        attachment_ref text, template_id bigint, template_values jsonb, state text,
        due_at timestamptz, held text, expires_at timestamptz, after_id bigint,
        wait_seconds integer)
    ON CONFLICT (event, person_id, subject_ref, channel) DO NOTHING
    RETURNING id, event, person_id, subject_ref
""")


def tell_all(session: Session, tellings: Sequence[Telling], *, now: datetime) -> int:
    """Tell each once, over the channels its reader chose; returns how many nobody had told before.

    What is gathered into a digest counts when the digest is told.
    """
    planned = _planned(session, tellings, now=now)
    gathering = [_key(one) for one in tellings if EVENTS[one.event].gathers and one.household_id]
    if gathering:
        in_digests = entered(session, gathering)
        planned = [(one, plan) for one, plan in planned if _key(one) not in in_digests]
        enter(session, [_entry(*pair) for pair in planned if pair[1].gather_until], now=now)
        planned = [(one, plan) for one, plan in planned if not plan.gather_until]
    return _tell(session, planned, now=now)


def tell_gathered(session: Session, tellings: Sequence[Telling], *, now: datetime) -> int:
    """Tell what a digest has gathered: nothing of it is gathered again."""
    return _tell(session, _planned(session, tellings, now=now), now=now)


def _planned(
    session: Session, tellings: Sequence[Telling], *, now: datetime
) -> list[tuple[Telling, Plan]]:
    wanted = [
        Wanted(one.person, EVENTS[one.event], one.household_id, one.expires_at, one.over)
        for one in tellings
    ]
    return list(zip(tellings, plan_all(session, wanted, now=now), strict=True))


def _tell(session: Session, planned: Sequence[tuple[Telling, Plan]], *, now: datetime) -> int:
    chains = _chains(session, planned)
    told = 0
    for place in range(max((len(chain.rows) for chain in chains), default=0)):
        rows = [chain.row(place) for chain in chains if place < len(chain.rows)]
        values = {"rows": json.dumps(rows, default=str), "now": now}
        made = {Key(*key): made_id for made_id, *key in _INSERT.rows(session, values)}
        if place == 0:
            chains = [chain for chain in chains if chain.key in made]
            told = len(chains)
        for chain in chains:
            chain.ids.append(made.get(chain.key))
    return told


def tell(session: Session, telling: Telling, *, now: datetime) -> bool:
    """Tell one thing once; tells whether nobody had told it before."""
    return tell_all(session, [telling], now=now) == 1


def _key(one: Telling) -> Key:
    return Key(one.event, one.person.id or 0, one.subject_ref)


def _entry(one: Telling, plan: Plan) -> Entry:
    assert one.household_id is not None  # nobody else's is gathered
    assert plan.gather_until is not None
    return Entry(_key(one), one.household_id, one.facts, one.expires_at, flush_at=plan.gather_until)


@dataclass(slots=True)
class _Chain:
    """The rows of one telling: those that are there at once, then step after step."""

    key: Key
    rows: list[dict[str, Any]]
    first_step: int
    ids: list[int | None] = field(default_factory=list)

    def row(self, place: int) -> dict[str, Any]:
        """Return the row at a place, by now behind the step before it."""
        behind = self.ids[place - 1] if place > self.first_step else None
        return self.rows[place] | {"after_id": behind}


def _chains(session: Session, alone: Sequence[tuple[Telling, Plan]]) -> list[_Chain]:
    asked = [
        Asked(one.event, step.channel, plan.locale, plan.edition, one.facts)
        for one, plan in alone
        for step in (*plan.at_once, *plan.steps)
    ]
    words = iter(render_all(session, asked))
    return [_chain(one, plan, words) for one, plan in alone]


def _chain(one: Telling, plan: Plan, words: Iterator[Rendered]) -> _Chain:
    key = _key(one)
    event, rows = EVENTS[one.event], []
    for place, step in enumerate((*plan.at_once, *plan.steps)):
        rendered, there = next(words), place < len(plan.at_once)
        body, page = _body(one, rendered, plan.locale)
        first = place == len(plan.at_once)
        rows.append({
            **key._asdict(), "channel": step.channel, "address": step.address,
            "kind": event.kind, "lane": event.lane, "locale": plan.locale,
            "title": rendered.words.title, "body": body, "body_html": page, "link": one.facts.link,
            "attachment_ref": one.attachment_ref, "template_id": rendered.template_id,
            "template_values": rendered.template_values,
            "state": _at_once(step.channel) if there else NoticeState.CREATED,
            "due_at": plan.due_at if first else None,
            "held": None if there else plan.held if first else Held.CHAIN,
            "expires_at": plan.expires_at, "wait_seconds": step.wait_seconds,
        })  # fmt: skip
    return _Chain(key, rows, len(plan.at_once))


def _at_once(channel: str) -> NoticeState:
    """Return how far a row is that needs no carrier; a television has it once it shows it."""
    return NoticeState.ACCEPTED if channel == TELEVISION else NoticeState.DELIVERED


def _body(one: Telling, rendered: Rendered, locale: str) -> tuple[str, str | None]:
    """Return the words as they go; a mail leads to the settings, unless its reader has none."""
    text, page = rendered.words.body, rendered.words.body_html
    if page is None or not one.facts.link or one.person.role is not Role.RESIDENT:
        return text, page
    return with_way_to_settings(text, page, link=one.facts.link, locale=locale)
