"""Changing what somebody chose, and what then happens to notices that wait."""

from collections.abc import Sequence
from datetime import datetime, time
from typing import Final, NamedTuple
from zoneinfo import available_timezones

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from billing.homes.households import list_households
from billing.models import Household
from core.db import HotStatement
from core.errors import Invalid, NotFound
from notifications.catalogue import CHANNELS, NEVER_MUTED, TELEVISION, Subject
from notifications.choice.models import ContactPoint, NoticeChoice, NoticeSettings
from notifications.choice.quiet import opens_at

# A code goes where it was asked from: there is nothing to choose.
SUBJECTS: Final = tuple(subject for subject in Subject if subject is not Subject.SIGN_IN)
MOST_TEXTS: Final = 20


class Settings(NamedTuple):
    """How somebody wants to be told, whatever it is about."""

    quiet_from: time | None
    quiet_until: time | None
    zone: str
    digest: bool
    elder: bool
    texts_per_day: int

    def check(self) -> None:
        """Make sure that they can hold.

        Raises:
            Invalid: with the code of the field that is wrong.
        """
        if (self.quiet_from is None) != (self.quiet_until is None):
            raise Invalid("quiet hours have a beginning and an end", code="quiet.half")
        if self.quiet_from is not None and self.quiet_from == self.quiet_until:
            raise Invalid("quiet hours cannot be all day long", code="quiet.all_day")
        if self.zone not in available_timezones():
            raise Invalid("there is no such time zone", code="zone.unknown")
        if not 1 <= self.texts_per_day <= MOST_TEXTS:
            raise Invalid(f"1 to {MOST_TEXTS} texts a day", code="texts.number")


USUALLY: Final = Settings(*(NoticeSettings.model_fields[name].default for name in Settings._fields))


def settings_of(session: Session, person_id: int) -> Settings:
    """Return how somebody wants to be told; who never said has what is usual."""
    row = session.get(NoticeSettings, person_id, populate_existing=True)
    return Settings(*(getattr(row, name) for name in Settings._fields)) if row else USUALLY


def change_settings(
    session: Session, person_id: int, settings: Settings, *, now: datetime
) -> Settings:
    """Change how somebody is told; returns how it was. What waits for quiet hours waits by these.

    Raises:
        Invalid: as ``Settings.check``.
    """
    settings.check()
    before = settings_of(session, person_id)
    values = {**settings._asdict(), "changed_at": now}
    session.execute(
        insert(NoticeSettings)
        .values(person_id=person_id, **values)
        .on_conflict_do_update(index_elements=["person_id"], set_=values)
    )
    opens = opens_at(now, settings.quiet_from, settings.quiet_until, settings.zone)
    _REOPEN.rows(session, {"person_id": person_id, "opens": opens, "now": now})
    return before


# Not those a worker holds at this moment: their due_at is its lease. What would be of no use at
# the end of the quiet hours goes at once.
_REOPEN = HotStatement("""
    UPDATE notice SET due_at = CASE WHEN expires_at <= :opens THEN :now ELSE :opens END
    WHERE person_id = :person_id AND state = 'created' AND held = 'quiet' AND attempts = 0
    RETURNING id
""")


class Choice(NamedTuple):
    """What was chosen of one subject: ``wanted`` holds; ``own``: it was chosen for just this."""

    subject: Subject
    wanted: tuple[str, ...] | None
    own: bool

    @property
    def channels(self) -> tuple[str, ...]:
        return self.wanted or ()


def list_choices(
    session: Session, person_id: int, *, household_id: int | None = None
) -> list[Choice]:
    """Return the choice of every subject, as it holds for a household, or for all without own."""
    rows = session.exec(
        select(NoticeChoice.household_id, NoticeChoice.subject, NoticeChoice.channels).where(
            NoticeChoice.person_id == person_id
        )
    )
    chosen = {(home, subject): tuple(channels) for home, subject, channels in rows}
    return [
        Choice(
            subject,
            chosen.get((household_id, subject), chosen.get((None, subject))),
            (household_id, subject) in chosen,
        )
        for subject in SUBJECTS
    ]


def choose(
    session: Session,
    person_id: int,
    subject: Subject,
    channels: Sequence[str] | None,
    *,
    household_id: int | None = None,
    now: datetime,
) -> tuple[str, ...] | None:
    """Choose the channels of a subject, in their order; returns the choice before, if any.

    Args:
        channels: empty: not to be told of it but in the inbox; None: what is usual.
        household_id: it holds for this household alone.

    Raises:
        Invalid: a channel there is not, one twice, or silence about what must be told.
        NotFound: a household that is not theirs.
    """
    if subject not in SUBJECTS:
        raise Invalid("a code goes where it was asked from", code="preferences.no_choice")
    if household_id is not None and household_id not in {
        home.id for home in list_households(session, person_id)
    }:
        raise NotFound("there is no such household")
    this = (
        col(NoticeChoice.person_id) == person_id,
        col(NoticeChoice.household_id).is_not_distinct_from(household_id),
        col(NoticeChoice.subject) == subject,
    )
    before = session.exec(select(NoticeChoice.channels).where(*this)).one_or_none()
    if channels is None:
        session.exec(delete(NoticeChoice).where(*this))
    else:
        _check_channels(subject, channels)
        values = {"channels": list(channels), "chosen_at": now}
        session.execute(
            insert(NoticeChoice)
            .values(person_id=person_id, household_id=household_id, subject=subject, **values)
            .on_conflict_do_update(
                constraint="uq_notice_choice_person_id_household_id_subject", set_=values
            )
        )
    return None if before is None else tuple(before)


def _check_channels(subject: Subject, channels: Sequence[str]) -> None:
    known = (*CHANNELS, TELEVISION)
    if not {*channels} <= {*known} or len({*channels}) != len(channels):
        raise Invalid(f"channels are {', '.join(known)}, each once", code="preferences.channels")
    if not {*channels} - {TELEVISION} and subject in NEVER_MUTED:
        raise Invalid(
            "this is told whatever happens: choose where, not whether",
            code="preferences.never_muted",
        )


def reset(session: Session, person_id: int, *, now: datetime) -> None:
    """Go back to what is usual in all: channels, quiet hours, and how it reads."""
    session.exec(delete(NoticeChoice).where(col(NoticeChoice.person_id) == person_id))
    change_settings(session, person_id, USUALLY, now=now)


def homes_to_choose_for(session: Session, person_id: int) -> list[Household]:
    """Return the households somebody may choose for one by one: none, where there is one alone."""
    homes = list_households(session, person_id)
    return homes if len(homes) > 1 else []


def list_points(session: Session, person_id: int) -> list[ContactPoint]:
    """Return somebody's browsers, WeChat and televisions that are still there."""
    return list(
        session.exec(
            select(ContactPoint)
            .where(ContactPoint.person_id == person_id, col(ContactPoint.gone_at).is_(None))
            .order_by(col(ContactPoint.id))
        )
    )


def remove_point(session: Session, person_id: int, point_id: int, *, now: datetime) -> None:
    """Forget one of them; one that is gone already stays so.

    Raises:
        NotFound: it is not theirs.
    """
    point = session.get(ContactPoint, point_id, with_for_update=True, populate_existing=True)
    if point is None or point.person_id != person_id:
        raise NotFound("there is no such device")
    if point.gone_at is None:
        point.gone_at, point.gone_reason = now, "removed"
