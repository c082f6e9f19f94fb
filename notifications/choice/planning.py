"""Over which channels somebody is told of an event, in which order, and when.

For many at once by two questions to the database, whatever their number: what each person chose,
and how many companies' accounts their households have. The rest is decided in between.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, NamedTuple

from sqlmodel import Session

from core.db import HotStatement
from identity.models import Person, Role
from notifications.catalogue import (
    CHANNELS,
    COSTS,
    NEVER_MUTED,
    ON_TELEVISION,
    SILENCE_SECONDS,
    TELEVISION,
    USUAL,
    Event,
    Subject,
)
from notifications.channels.base import Kind
from notifications.choice.models import NoticeSettings
from notifications.choice.quiet import opens_at
from notifications.models import Held

GATHERS_FOR: Final = timedelta(hours=1)
Choices = Mapping[tuple[int | None, str], Sequence[str]]  # by household and subject


class Wanted(NamedTuple):
    """One thing to plan; ``over``: by this channel alone, because they asked for it just now."""

    person: Person
    event: Event
    household_id: int | None
    expires_at: datetime | None
    over: str | None = None


class Step(NamedTuple):
    """One channel: ``wait_seconds`` of silence, and the next one's turn comes."""

    channel: str
    address: str
    wait_seconds: int | None = None


class Plan(NamedTuple):
    """How one thing is told: ``at_once`` where the row is all, then by ``steps`` in order.

    ``due_at`` is when the first step goes: now, or at the end of quiet hours (``held``).
    ``gather_until``: it goes into a digest until then, and nothing else of the plan is done.
    ``withheld``: an offer to somebody who agreed to none; there is nothing at once and no step.
    """

    at_once: tuple[Step, ...]
    steps: tuple[Step, ...]
    due_at: datetime
    expires_at: datetime
    held: Held | None = None
    gather_until: datetime | None = None
    locale: str = "zh_CN"
    edition: str = "plain"
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one person chose; ``addresses`` are those beside phone and e-mail, by channel.

    ``consents``: the last word on offers, by channel, and under none for every one; each with a
    number that tells which is the later. ``television``: one shows their bills.
    """

    quiet_from: time | None
    quiet_until: time | None
    zone: str
    digest: bool
    elder: bool
    choices: Choices
    addresses: Mapping[str, str]
    consents: Mapping[str | None, tuple[int, bool]]
    television: bool = False

    def channels_for(self, household_id: int | None, subject: Subject) -> Sequence[str] | None:
        """Return the channels chosen: a household's own choice goes first; None: nobody chose."""
        own = self.choices.get((household_id, subject))
        return self.choices.get((None, subject)) if own is None else own

    def takes_offers(self, channel: str) -> bool:
        """Tell whether they agreed to offers over a channel, and have not taken it back since."""
        never = (0, False)
        return max(self.consents.get(None, never), self.consents.get(channel, never))[1]

    def addresses_of(self, person: Person) -> dict[str, str]:
        """Return where each channel reaches them; one that cannot is left out."""
        found = {
            channel: address for channel, address in self.addresses.items() if channel in CHANNELS
        }
        if person.email:
            found["email"] = person.email
        if person.contact and "@" not in person.contact:
            found["sms"] = person.contact
        return found

    def opens_at(self, now: datetime) -> datetime:
        """Return when they may be told; now itself, outside their quiet hours."""
        return opens_at(now, self.quiet_from, self.quiet_until, self.zone)


_CHOSEN = HotStatement("""
    SELECT p.id, s.person_id IS NOT NULL, s.quiet_from, s.quiet_until, s.zone, s.digest, s.elder,
        (SELECT jsonb_agg(jsonb_build_array(c.household_id, c.subject, to_jsonb(c.channels)))
         FROM notice_choice c WHERE c.person_id = p.id),
        (SELECT jsonb_object_agg(t.channel, t.address ORDER BY t.id)
         FROM contact_point t WHERE t.person_id = p.id AND t.gone_at IS NULL),
        (SELECT jsonb_agg(jsonb_build_array(a.channel, a.id, a.given) ORDER BY a.id)
         FROM consent a WHERE a.person_id = p.id),
        EXISTS (SELECT FROM television v WHERE v.person_id = p.id AND v.ended_at IS NULL)
    FROM unnest(CAST(:person_ids AS bigint[])) AS p (id)
    LEFT JOIN notice_settings s ON s.person_id = p.id
""")

_SEVERAL = HotStatement("""
    SELECT household_id FROM household_account WHERE household_id = ANY(:household_ids)
    GROUP BY household_id HAVING count(*) > 1
""")


def choices_of(session: Session, person_ids: Sequence[int]) -> dict[int, Chosen]:
    """Return what each of these people chose; who chose nothing has what is usual."""
    fields, found = NoticeSettings.model_fields, {}
    usual = [
        fields[name].default for name in ("quiet_from", "quiet_until", "zone", "digest", "elder")
    ]
    rows = _CHOSEN.rows(session, {"person_ids": sorted({*person_ids})})
    for person_id, has_settings, *settings, choices, addresses, consents, television in rows:
        quiet_from, quiet_until, zone, digest, elder = settings if has_settings else usual
        found[person_id] = Chosen(
            quiet_from, quiet_until, zone, digest, elder,
            choices={(home, subject): channels for home, subject, channels in choices or ()},
            addresses=addresses or {},
            consents={channel: (number, given) for channel, number, given in consents or ()},
            television=television,
        )  # fmt: skip
    return found


def plan_all(session: Session, wanted: Sequence[Wanted], *, now: datetime) -> list[Plan]:
    """Return a plan for each, in the order wanted."""
    chosen = choices_of(session, [one.person.id or 0 for one in wanted])
    gathering = {one.household_id for one in wanted if one.event.gathers} - {None}
    several: set[int] = set()
    if gathering:
        rows = _SEVERAL.rows(session, {"household_ids": sorted(home for home in gathering if home)})
        several = {household_id for (household_id,) in rows}
    return [
        _plan(one, chosen[one.person.id or 0], one.household_id in several, now=now)
        for one in wanted
    ]


def _plan(one: Wanted, chosen: Chosen, several: bool, *, now: datetime) -> Plan:
    person, event = one.person, one.event
    ends_at = now + event.keeps
    expires_at = min(ends_at, one.expires_at) if one.expires_at else ends_at
    steps, withheld = _steps(one, chosen), False
    if event.kind is Kind.COMMERCIAL:
        asked = [step.channel for step in steps] or CHANNELS
        withheld = not any(chosen.takes_offers(channel) for channel in asked)
        steps = [step for step in steps if chosen.takes_offers(step.channel)]
    inbox = person.role is not Role.GUEST and event.kind is not Kind.CODE and one.over is None
    shows = () if withheld or not _shows(one, chosen) else (Step(TELEVISION, str(person.id)),)
    opens = now if event.wakes else chosen.opens_at(now)
    held = now < opens < expires_at
    gathers = event.gathers and several and chosen.digest and now + GATHERS_FOR < expires_at
    return Plan(
        at_once=(*([Step("inbox", str(person.id))] if inbox and not withheld else ()), *shows),
        steps=_with_waits(steps),
        due_at=opens if held else now,
        expires_at=expires_at,
        held=Held.QUIET if held else None,
        gather_until=now + GATHERS_FOR if gathers else None,
        locale=person.locale,
        edition="elder" if chosen.elder else "plain",
        withheld=withheld,
    )


def _steps(one: Wanted, chosen: Chosen) -> list[Step]:
    """Return the channels that can reach somebody, in the order they are tried."""
    person = one.person
    if one.event.kind is Kind.CODE:  # to nobody but the contact it was asked from
        contact = person.contact or ""
        return [Step("email" if "@" in contact else "sms", contact)]
    addresses = chosen.addresses_of(person)
    if one.over is not None:
        channels = [one.over] if one.over in addresses else []
    else:
        wanted = chosen.channels_for(one.household_id, one.event.subject)
        channels = chain(one.event.subject, beside_television(wanted, chosen), addresses)
    return [Step(channel, addresses[channel]) for channel in channels]


def _shows(one: Wanted, chosen: Chosen) -> bool:
    """Tell whether a television shows it."""
    if not chosen.television or one.event.kind is Kind.CODE or one.over is not None:
        return chosen.television and one.over == TELEVISION
    if one.event.kind is Kind.COMMERCIAL and not chosen.takes_offers(TELEVISION):
        return False
    wanted = chosen.channels_for(one.household_id, one.event.subject)
    return one.event.subject in ON_TELEVISION if wanted is None else TELEVISION in wanted


def beside_television(wanted: Sequence[str] | None, chosen: Chosen) -> Sequence[str] | None:
    """Return the channels chosen that come one after the other.

    Who chose the television alone, and has none any more, has not chosen silence.
    """
    if wanted is None or not chosen.television:
        return wanted
    return [channel for channel in wanted if channel != TELEVISION]


def chain(subject: Subject, wanted: Sequence[str] | None, reached: Collection[str]) -> list[str]:
    """Return the channels a subject really goes over, in the order they are tried.

    Args:
        wanted: those somebody chose, in their order; none of them: they want silence; None: they
            never chose.
        reached: those that have an address of theirs.
    """
    if wanted is not None and (wanted or subject not in NEVER_MUTED):
        own = [channel for channel in wanted if channel in reached]
        if own or not wanted:
            return own  # else what they chose is gone, and silence is not what they chose
    usual = [channel for channel in USUAL[subject] if channel in reached]
    free = [channel for channel in usual if channel not in COSTS][:1]
    return free + [channel for channel in usual if channel not in free]


def _with_waits(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Let each wait for a sign of life, but for the last: nothing comes after it."""
    waiting = [step._replace(wait_seconds=SILENCE_SECONDS.get(step.channel)) for step in steps[:-1]]
    return (*waiting, *steps[-1:])
