"""Notice settings: where somebody is reached, about what, when and how.

Each card is a form of its own and works without script. What was saved is said at the head of the
page, with a button that puts it back as it was: the fields of before, in the address.
"""

from collections.abc import Collection, Mapping
from datetime import time
from functools import lru_cache
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from babel.dates import get_timezone_location
from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from core.clock import utc_now
from core.errors import Invalid, NotFound
from core.masking import mask_contact
from core.settings import settings
from identity.people import get_person, set_locale
from notifications.catalogue import CHANNELS, NEVER_MUTED, ON_TELEVISION, TELEVISION, Subject
from notifications.choice import consents, preferences
from notifications.choice.models import ConsentSource
from notifications.choice.planning import Chosen, beside_television, chain, choices_of
from notifications.choice.preferences import Choice, Settings
from notifications.trying import send_test
from web.access import Caller, Db, Resident
from web.browsers import push_key
from web.inputs import PLAIN, Csrf, Id
from web.look import LOCALES, say
from web.pages.page import check_form, go, locale_of, page, remember_locale
from web.pages.wechat import wechat_of

router = APIRouter()
# Where people of this city live when they are away; another zone is kept if the API has set one.
ZONES: Final = (
    "Asia/Shanghai", "Asia/Urumqi", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore",
    "Asia/Bangkok", "Asia/Tokyo", "Asia/Seoul", "Asia/Dubai", "Australia/Sydney", "Europe/Berlin",
    "Europe/London", "America/New_York", "America/Chicago", "America/Los_Angeles",
)  # fmt: skip
PLACES: Final = ("first", "second", "third", "fourth")
Short = Annotated[str, Field(max_length=40, pattern=PLAIN)]


class SubjectForm(BaseModel):
    """One subject as it stands in its form; ``how``: usual, own (in this order) or none.

    ``tv``: it shows on the television beside them.
    """

    subject: Short = ""
    home: Short = ""
    how: Short = ""
    first: Short = ""
    second: Short = ""
    third: Short = ""
    fourth: Short = ""
    tv: Short = ""

    def channels(self) -> list[str] | None:
        """Return what was chosen, as ``preferences.choose`` takes it."""
        if self.how == "usual":
            return None
        picked = [one for place in PLACES if (one := getattr(self, place))]
        if self.tv:
            picked.append(TELEVISION)
        if self.how == "own" and not picked:
            raise Invalid("no channel was picked", code="preferences.nothing_picked")
        return picked if self.how == "own" else []


class SettingsForm(BaseModel):
    """When and how, as it stands in its form."""

    quiet: Short = ""
    quiet_from: Short = ""
    quiet_until: Short = ""
    zone: Short = ""
    digest: Short = ""
    elder: Short = ""
    texts: Short = ""
    locale: Short = ""

    def settings(self) -> Settings:
        """Read it.

        Raises:
            Invalid: with the code of the field that is wrong.
        """
        if not (self.texts.isascii() and self.texts.isdecimal()) or self.locale not in LOCALES:
            raise Invalid("not a number of texts, or a language there is not", code="texts.number")
        quiet = bool(self.quiet)
        return Settings(
            _clock(self.quiet_from) if quiet else None,
            _clock(self.quiet_until) if quiet else None,
            self.zone, bool(self.digest), bool(self.elder), int(self.texts),
        )  # fmt: skip


class Saved(SubjectForm, SettingsForm):
    """What was saved just now, with the fields as they were before."""

    saved: Short = ""


class WithToken(BaseModel):
    csrf: Annotated[str, Field(max_length=200)] = ""


class SentSubject(SubjectForm, WithToken):
    pass


class SentSettings(SettingsForm, WithToken):
    pass


def _clock(text: str) -> time:
    try:
        return time.fromisoformat(text).replace(second=0, microsecond=0, tzinfo=None)
    except ValueError:
        raise Invalid("not a time of day", code="quiet.time") from None


def _home(text: str) -> int | None:
    """Return a household's number; empty: of all. Raises NotFound."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFound("there is no such household")
    return int(text)


@router.get("/preferences")
def show(request: Request, db: Db, caller: Resident, saved: Annotated[Saved, Query()]) -> Response:
    return _page(request, db, caller, home=saved.home, saved=saved)


def _page(
    request: Request, session: Session, caller: Caller, *, home: str, saved: Saved | None = None,
    wrong: str = "",
) -> Response:  # fmt: skip
    homes = preferences.homes_to_choose_for(session, caller.id)
    household_id = _home(home)
    if household_id is not None and household_id not in {one.id for one in homes}:
        raise NotFound("there is no such household")
    person, now_set = get_person(session, caller.id), preferences.settings_of(session, caller.id)
    chosen, locale = choices_of(session, [caller.id])[caller.id], locale_of(request)
    addresses = chosen.addresses_of(person)
    choices = preferences.list_choices(session, caller.id, household_id=household_id)
    return page(
        request, "preferences.html", status_code=422 if wrong else 200,
        homes=homes, home=household_id, choices=[_shown(one, addresses, chosen) for one in choices],
        television=chosen.television,
        channels=CHANNELS, places=PLACES, reached=sorted(addresses),
        points=preferences.list_points(session, caller.id),
        email_masked=_masked(addresses, "email"), phone_masked=_masked(addresses, "sms"),
        typed=settings_form(now_set, person.locale),
        zones=_zones(locale, now_set.zone), most_texts=preferences.MOST_TEXTS,
        sentence=offers_sentence(locale), offers_by=[
            channel for channel in CHANNELS if chosen.takes_offers(channel)
        ],
        said=consents.last_said(session, caller.id), saved=saved.saved if saved else "",
        saved_subject=saved.subject if saved else "", undo=_undo(saved), wrong=wrong,
        push_key=push_key(request), may_connect_wechat=wechat_of(request) is not None,
    )  # fmt: skip


def _shown(choice: Choice, reached: Collection[str], chosen: Chosen) -> dict[str, Any]:
    """Return a choice as its form shows it: ``chain`` is what happens, ``order`` what they picked.

    Who begins to pick begins with what is usual.
    """
    subject, wanted = choice.subject, beside_television(choice.wanted, chosen)
    usual, own_tv = chain(subject, None, reached), TELEVISION in choice.channels
    usual_tv = subject in ON_TELEVISION and choice.wanted is None
    picked = [channel for channel in choice.channels if channel != TELEVISION]
    return {
        "subject": subject, "own": choice.own, "muted": choice.own and not choice.channels,
        "chain": chain(subject, wanted, reached), "usual": usual,
        "order": picked if choice.own and choice.channels else usual,
        "never_muted": subject in NEVER_MUTED,
        "tv": chosen.television and (own_tv or usual_tv),
        "usual_tv": chosen.television and subject in ON_TELEVISION,
    }  # fmt: skip


def _masked(addresses: Mapping[str, str], channel: str) -> str:
    return mask_contact(addresses[channel]) if channel in addresses else ""


def settings_form(now_set: Settings, locale: str) -> SettingsForm:
    """Return settings as their form shows them; the usual hours stand there where none are kept."""
    hours = now_set if now_set.quiet_from else preferences.USUALLY
    assert hours.quiet_from is not None
    assert hours.quiet_until is not None
    return SettingsForm(
        quiet="1" if now_set.quiet_from else "", quiet_from=f"{hours.quiet_from:%H:%M}",
        quiet_until=f"{hours.quiet_until:%H:%M}", zone=now_set.zone,
        digest="1" if now_set.digest else "", elder="1" if now_set.elder else "",
        texts=str(now_set.texts_per_day), locale=locale,
    )  # fmt: skip


def _zones(locale: str, chosen: str) -> list[tuple[str, str]]:
    """Return the zones to choose from, with their names."""
    names = dict.fromkeys((*ZONES, chosen))
    return [(zone, _zone_name(zone, locale)) for zone in names]


@lru_cache(maxsize=1_000)
def _zone_name(zone: str, locale: str) -> str:
    return get_timezone_location(zone, locale=locale)


def _undo(saved: Saved | None) -> dict[str, str]:
    """Return the fields that put back what was saved just now."""
    forms: Mapping[str, type[BaseModel]] = {"subject": SubjectForm, "settings": SettingsForm}
    if saved is None or saved.saved not in forms:
        return {}
    return saved.model_dump(include=set(forms[saved.saved].model_fields))


def offers_sentence(locale: str) -> str:
    """Return the sentence somebody agrees to; it is kept with their yes."""
    return say(
        locale,
        "I agree that the city and its utility companies tell me of their offers. I can take this"
        " back here at any time, and in each message.",
    )


def _saved(what: str, **before: Any) -> RedirectResponse:
    return go(f"/preferences?{urlencode({'saved': what, **before})}")


@router.post("/preferences/subject")
def save_subject(
    request: Request, db: Db, caller: Resident, typed: Annotated[SentSubject, Form()]
) -> Response:
    """Choose the channels of a subject."""
    check_form(request, typed.csrf)
    if typed.subject not in {*Subject}:
        raise NotFound("there is no such subject")
    subject, household_id = Subject(typed.subject), _home(typed.home)
    try:
        before = preferences.choose(
            db, caller.id, subject, typed.channels(), household_id=household_id, now=utc_now()
        )
    except Invalid as refused:
        return _page(request, db, caller, home=typed.home, wrong=refused.code)
    how = "usual" if before is None else "own" if before else "none"
    was = dict(zip(PLACES, (one for one in before or () if one != TELEVISION), strict=False))
    if before and TELEVISION in before:
        was["tv"] = "1"
    return _saved("subject", subject=subject, home=typed.home, how=how, **was)


@router.post("/preferences/settings")
def save_settings(
    request: Request, db: Db, caller: Resident, typed: Annotated[SentSettings, Form()]
) -> Response:
    """Choose quiet hours, digest, language and wording."""
    check_form(request, typed.csrf)
    try:
        before = preferences.change_settings(db, caller.id, typed.settings(), now=utc_now())
    except Invalid as refused:
        return _page(request, db, caller, home="", wrong=refused.code)
    spoken = set_locale(db, caller.id, typed.locale)
    answer = _saved("settings", **settings_form(before, spoken).model_dump())
    if spoken != typed.locale:
        remember_locale(answer, typed.locale)
    return answer


@router.post("/preferences/offers")
def save_offers(
    request: Request, db: Db, caller: Resident, csrf: Csrf, agreed: Annotated[Short, Form()] = ""
) -> Response:
    """Agree to offers, or take it back."""
    check_form(request, csrf)
    if agreed:
        consents.agree(db, caller.id, proof=offers_sentence(locale_of(request)), now=utc_now())
    else:
        consents.refuse(
            db, caller.id, source=ConsentSource.PAGE, proof="taken back in the notice settings",
            now=utc_now(),
        )  # fmt: skip
    return _saved("offers" if agreed else "no_offers")


@router.post("/preferences/points/{point_id}/removal")
def remove_point(request: Request, db: Db, caller: Resident, point_id: Id, csrf: Csrf) -> Response:
    """Forget a browser, a WeChat or a television."""
    check_form(request, csrf)
    preferences.remove_point(db, caller.id, point_id, now=utc_now())
    return _saved("removed")


@router.post("/preferences/test")
def send_a_test(
    request: Request, db: Db, caller: Resident, csrf: Csrf, channel: Annotated[Short, Form()] = ""
) -> Response:
    """Send a test over one channel."""
    check_form(request, csrf)
    link = f"{settings().public_url}/preferences"
    sent = send_test(db, get_person(db, caller.id), channel, link=link, now=utc_now())
    return _saved("tested" if sent else "tested_lately")


@router.post("/preferences/reset")
def reset(request: Request, db: Db, caller: Resident, csrf: Csrf) -> Response:
    """Go back to what is usual; what was said of offers stays said."""
    check_form(request, csrf)
    preferences.reset(db, caller.id, now=utc_now())
    return _saved("reset")
