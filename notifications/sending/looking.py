"""The last look before a notice is sent: whether it still is to be, and how.

For a whole batch by a few questions to the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, NamedTuple

from sqlmodel import Session

from core.clock import BILLING_ZONE, billing_date
from core.db import HotStatement
from notifications.catalogue import EVENTS, NEVER_MUTED
from notifications.channels.base import Kind
from notifications.choice.models import NoticeSettings
from notifications.choice.quiet import opens_at
from notifications.models import Notice
from notifications.sending.claiming import Claimed
from notifications.still_so import over

TEXTS = "sms"  # the channel of which nobody wants many
_ANSWERS = sorted(event.code for event in EVENTS.values() if event.answers)


class Where(NamedTuple):
    """One address of a notice, and its own number in the message's id where there are several."""

    address: str
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of one batch, by the notices' ids.

    ``not_so``: why a notice is to be dropped. ``opens``: when those may go that fall into
    somebody's quiet hours. ``behind``: with a channel behind them. ``templates``: by its number,
    what each carrier knows a text as.
    """

    not_so: Mapping[int, str]
    too_many: frozenset[int]
    opens: Mapping[int, datetime]
    behind: frozenset[int]
    wheres: Mapping[int, Sequence[Where]]
    templates: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def template(self, notice: Notice, carrier: str) -> str | None:
        """Return what a carrier knows the text of a notice as; None: it does not."""
        known = self.templates.get(notice.template_id or 0, {}).get(carrier)
        return str(known) if known else None


# A text counts from the moment it is in somebody's hands. Of two at the same moment the later made
# gives way, so that both are never one too many, and never both refused.
_TOO_MANY = HotStatement("""
    SELECT n.id FROM notice n LEFT JOIN notice_settings s USING (person_id)
    WHERE n.id = ANY(:ids) AND coalesce(s.texts_per_day, CAST(:usual AS integer)) <= (
        SELECT count(*) FROM notice o
        WHERE o.person_id = n.person_id AND o.channel = :texts AND o.kind <> 'code'
          AND o.event <> ALL(:answers)
          AND o.created_at > CAST(:today_at AS timestamptz) - interval '32 days'
          AND (o.accepted_at >= :today_at
               OR (o.state = 'created' AND o.attempts > 0 AND o.held IS NULL AND o.due_at > :now
                   AND o.id < n.id)))
""")

_REACHED = HotStatement("""
    SELECT n.id FROM notice n
    WHERE n.id = ANY(:ids) AND n.after_id IS NOT NULL AND EXISTS (
        SELECT FROM notice o
        WHERE o.event = n.event AND o.person_id = n.person_id AND o.subject_ref = n.subject_ref
          AND o.state IN ('delivered', 'read') AND o.attempts > 0)
""")

_BEHIND = HotStatement("""
    SELECT DISTINCT after_id FROM notice WHERE after_id = ANY(:ids) AND state = 'created'
""")

_BROWSERS = HotStatement("""
    SELECT person_id, address, id FROM contact_point
    WHERE person_id = ANY(:person_ids) AND channel = 'push' AND gone_at IS NULL ORDER BY id
""")

# Where a home has a choice of its own, that may be the one it was made by.
_MUTED = HotStatement("""
    SELECT person_id, subject FROM notice_choice c
    WHERE person_id = ANY(:person_ids) AND household_id IS NULL AND channels = '{}'
      AND NOT EXISTS (SELECT FROM notice_choice o WHERE o.person_id = c.person_id
                                                    AND o.subject = c.subject
                                                    AND o.household_id IS NOT NULL)
""")

# A WeChat they removed, or that is somebody else's since the notice was made.
_NOT_THEIRS = HotStatement("""
    SELECT n.id FROM notice n
    WHERE n.id = ANY(:ids) AND EXISTS (
        SELECT FROM contact_point c
        WHERE c.person_id = n.person_id AND c.channel = n.channel AND c.address = n.address)
      AND NOT EXISTS (
        SELECT FROM contact_point c
        WHERE c.person_id = n.person_id AND c.channel = n.channel AND c.address = n.address
          AND c.gone_at IS NULL)
""")

_SETTINGS = HotStatement("""
    SELECT person_id, quiet_from, quiet_until, zone FROM notice_settings
    WHERE person_id = ANY(:person_ids)
""")

_TEMPLATES = HotStatement("SELECT id, carrier_ids FROM notice_template WHERE id = ANY(:ids)")


def look(session: Session, claimed: Sequence[Claimed], *, now: datetime) -> Look:
    """Look at a batch."""
    notices = [one.notice for one in claimed]
    ids = [one.id for one in claimed]
    reached = {one: "reached" for (one,) in _REACHED.rows(session, {"ids": ids})}
    templates = [one.template_id for one in notices if one.template_id is not None]
    return Look(
        not_so=over(session, notices) | _muted(session, notices) | reached,
        too_many=_too_many(session, notices, now=now),
        opens=_opens(session, notices, now=now),
        behind=frozenset(one for (one,) in _BEHIND.rows(session, {"ids": ids})),
        wheres=_wheres(session, notices),
        templates=dict(_TEMPLATES.rows(session, {"ids": templates})) if templates else {},
    )


def _muted(session: Session, notices: Sequence[Notice]) -> dict[int, str]:
    """Return those whose subject their reader has switched off since they were made."""
    mutable = [
        (one, event.subject)
        for one in notices
        if (event := EVENTS.get(one.event)) is not None
        and not event.answers
        and event.subject not in NEVER_MUTED
    ]
    if not mutable:
        return {}
    asked = {"person_ids": sorted({one.person_id for one, _ in mutable})}
    muted = set(_MUTED.rows(session, asked))
    return {
        one.id or 0: "unsubscribed" for one, subject in mutable if (one.person_id, subject) in muted
    }


def _too_many(session: Session, notices: Sequence[Notice], *, now: datetime) -> frozenset[int]:
    texts = [
        one.id
        for one in notices
        if one.channel == TEXTS and one.kind is not Kind.CODE and one.event not in _ANSWERS
    ]
    if not texts:
        return frozenset()
    values = {
        "ids": texts, "texts": TEXTS, "answers": _ANSWERS, "now": now,
        "usual": NoticeSettings.model_fields["texts_per_day"].default,
        "today_at": datetime.combine(billing_date(now), time(), BILLING_ZONE),
    }  # fmt: skip
    return frozenset(one for (one,) in _TOO_MANY.rows(session, values))


def _opens(session: Session, notices: Sequence[Notice], *, now: datetime) -> dict[int, datetime]:
    """Return when those may go whose reader is not to be disturbed now; not past their own end."""
    heeding = [one for one in notices if one.event not in EVENTS or not EVENTS[one.event].wakes]
    if not heeding:
        return {}
    asked = {"person_ids": sorted({one.person_id for one in heeding})}
    chosen = {row[0]: row[1:] for row in _SETTINGS.rows(session, asked)}
    found = {}
    for one in heeding:
        opens = opens_at(now, *chosen.get(one.person_id, _USUAL_HOURS))
        if now < opens and (one.expires_at is None or opens < one.expires_at):
            found[one.id or 0] = opens
    return found


def _wheres(session: Session, notices: Sequence[Notice]) -> dict[int, list[Where]]:
    """Return where each goes: to all of somebody's browsers, to one address on other channels.

    To none, where what it was made for is theirs no more.
    """
    pushed = [one for one in notices if one.channel == "push"]
    browsers: dict[int, list[Where]] = {}
    if pushed:
        asked = {"person_ids": sorted({one.person_id for one in pushed})}
        for person_id, address, number in _BROWSERS.rows(session, asked):
            browsers.setdefault(person_id, []).append(Where(address, f"-{number}"))
    by_wechat = [one.id for one in notices if one.channel == "wechat"]
    gone = {one for (one,) in _NOT_THEIRS.rows(session, {"ids": by_wechat})} if by_wechat else ()
    return {
        one.id or 0: browsers.get(one.person_id, [])
        if one.channel == "push"
        else [Where(one.address)] * (one.id not in gone)
        for one in notices
    }


_FIELDS = NoticeSettings.model_fields
_USUAL_HOURS = (
    _FIELDS["quiet_from"].default, _FIELDS["quiet_until"].default, _FIELDS["zone"].default,
)  # fmt: skip
