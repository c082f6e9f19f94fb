"""Notice settings by API: all of them at once, as they are and as they are to be."""

from datetime import datetime, time
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from core.clock import utc_now
from core.errors import Invalid
from identity.people import get_person, set_locale
from notifications.catalogue import CHANNELS, NEVER_MUTED, USUAL, Subject
from notifications.choice import consents, preferences
from notifications.choice.models import ConsentSource
from notifications.choice.planning import choices_of
from notifications.choice.preferences import SUBJECTS, Settings
from web.access import Caller, Db, Resident
from web.inputs import PLAIN

router = APIRouter(tags=["preferences"])
Channel = Literal["push", "wechat", "email", "sms", "tv"]


class ChoiceIn(BaseModel):
    """The channels of a subject, in the order they are tried; none: only in the inbox.

    `tv` has no place in the order: a paired television shows it beside the others.
    """

    subject: Subject
    household_id: int | None = Field(
        default=None, ge=1, lt=1 << 63, description="left out: for all of the caller's"
    )
    channels: list[Channel] = Field(max_length=5)


class PreferencesIn(BaseModel):
    """All settings. What is not among `choices` is as usual; `offers` left out stays as it is."""

    locale: Literal["zh_CN", "en"]
    quiet_from: time | None
    quiet_until: time | None
    zone: str = Field(max_length=60, pattern=PLAIN, examples=["Asia/Shanghai"])
    digest: bool
    elder: bool
    texts_per_day: Annotated[int, Field(strict=True, ge=1, le=preferences.MOST_TEXTS)]
    choices: list[ChoiceIn] = Field(max_length=200)
    offers: bool | None = None
    offers_sentence: str = Field(
        default="", max_length=500, pattern=PLAIN,
        description="what the person agreed to, word for word; with `offers: true`",
    )  # fmt: skip


class ChoiceOut(BaseModel):
    subject: Subject
    household_id: int | None
    channels: list[str]


class SubjectOut(BaseModel):
    """What a subject has where nobody chose, and whether it can be muted."""

    subject: Subject
    usual: list[str]
    never_muted: bool


class DeviceOut(BaseModel):
    id: int
    channel: str
    label: str
    made_at: datetime


class PreferencesOut(BaseModel):
    locale: str
    quiet_from: time | None
    quiet_until: time | None
    zone: str
    digest: bool
    elder: bool
    texts_per_day: int
    choices: list[ChoiceOut]
    offers: bool
    subjects: list[SubjectOut]
    reached_by: list[str]
    devices: list[DeviceOut]


@router.get("/preferences")
def read(db: Db, caller: Resident) -> PreferencesOut:
    """Return how the caller is told: their own choices, and what is usual."""
    return _out(db, caller)


@router.put("/preferences")
def change(body: PreferencesIn, db: Db, caller: Resident) -> PreferencesOut:
    """Replace all settings; the same body again changes nothing."""
    now = utc_now()
    if any(
        one is not None and one.tzinfo is not None for one in (body.quiet_from, body.quiet_until)
    ):
        raise Invalid("quiet hours are of the person's own clock: no offset", code="quiet.time")
    preferences.reset(db, caller.id, now=now)
    chosen = Settings(
        body.quiet_from, body.quiet_until, body.zone, body.digest, body.elder, body.texts_per_day
    )
    preferences.change_settings(db, caller.id, chosen, now=now)
    for one in body.choices:
        preferences.choose(
            db, caller.id, one.subject, one.channels, household_id=one.household_id, now=now
        )
    set_locale(db, caller.id, body.locale)
    if body.offers is not None:
        _say_offers(db, caller, body, now=now)
    return _out(db, caller)


def _say_offers(db: Db, caller: Caller, body: PreferencesIn, *, now: datetime) -> None:
    said = consents.last_said(db, caller.id)
    if body.offers and not (said is not None and said.given):
        consents.agree(db, caller.id, proof=body.offers_sentence, now=now)
    if not body.offers:
        consents.refuse(
            db, caller.id, source=ConsentSource.PAGE, proof="taken back by API", now=now
        )


def _out(db: Db, caller: Caller) -> PreferencesOut:
    person, chosen = get_person(db, caller.id), choices_of(db, [caller.id])[caller.id]
    return PreferencesOut(
        locale=person.locale,
        **preferences.settings_of(db, caller.id)._asdict(),
        choices=[
            ChoiceOut(subject=Subject(subject), household_id=household_id, channels=list(channels))
            for (household_id, subject), channels in sorted(
                chosen.choices.items(), key=lambda one: (one[0][0] or 0, one[0][1])
            )
        ],
        offers=any(chosen.takes_offers(channel) for channel in CHANNELS),
        subjects=[
            SubjectOut(subject=one, usual=list(USUAL[one]), never_muted=one in NEVER_MUTED)
            for one in SUBJECTS
        ],
        reached_by=sorted(chosen.addresses_of(person)),
        devices=[
            DeviceOut(id=one.id or 0, channel=one.channel, label=one.label, made_at=one.made_at)
            for one in preferences.list_points(db, caller.id)
        ],
    )
