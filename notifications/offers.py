"""Offers of companies: written by their people, approved by staff, told to who agreed to offers.

Told account by account as service messages are. Whoever has had ``MOST_IN`` of them within
``WITHIN`` is left out: one resident may be a customer of five companies.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select

from core import outbox
from core.clock import billing_date, day_bounds
from core.db import HotStatement
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from notifications.bill_notices import people
from notifications.models import Offer, Reach
from notifications.reaching import CONCERNED, check_reach, concerned, next_accounts
from notifications.telling import Telling, tell_all
from notifications.wording.rendering import Facts
from notifications.words import language
from providers.registry import get_provider

BATCH_ACCOUNTS: Final = 1_000
MOST_WORDS: Final = 100  # a text message takes two parts then
MOST_DAYS: Final = 90
MOST_IN: Final = 2
WITHIN: Final = timedelta(days=30)
MANY: Final = 200


class State(StrEnum):
    WRITTEN = "written"
    PROPOSED = "proposed"  # waits for staff
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Draft(NamedTuple):
    """An offer as somebody of the company writes it; ``ends_on`` is the last day it holds."""

    words_zh: str
    words_en: str
    ends_on: date
    reach: Reach
    address_prefix: str = ""
    account_nos: Sequence[str] = ()


class Readers(NamedTuple):
    """How many people an offer is for, of those how many agreed, and how many have had enough."""

    people: int
    agreed: int
    enough: int


def state_of(offer: Offer) -> State:
    """Return how far an offer is."""
    if offer.withdrawn_at is not None:
        return State.WITHDRAWN
    if offer.decided_at is not None:
        return State.DECLINED if offer.declined_because is not None else State.APPROVED
    return State.WRITTEN if offer.proposed_at is None else State.PROPOSED


def write(
    session: Session, provider_code: str, draft: Draft, *, made_by: int, now: datetime
) -> Offer:
    """Keep an offer that nobody is told yet.

    Raises:
        Invalid: a text is missing or too long, it ends too soon or too late, or it says not whom
            it is for.
    """
    for words in (draft.words_zh, draft.words_en):
        if not 0 < len(" ".join(words.split())) <= MOST_WORDS:
            raise Invalid(
                "write the offer in Chinese and in English, each in at most 100 characters",
                code="offer.words",
            )
    today = billing_date(now)
    if not today <= draft.ends_on <= today + timedelta(days=MOST_DAYS):
        raise Invalid("an offer ends within 90 days, and is not over yet", code="offer.ends")
    check_reach(draft.reach, draft.address_prefix, draft.account_nos)
    by_address, by_account = draft.reach is Reach.ADDRESS, draft.reach is Reach.ACCOUNTS
    offer = Offer(
        provider_code=provider_code, words_zh=" ".join(draft.words_zh.split()),
        words_en=" ".join(draft.words_en.split()), ends_on=draft.ends_on, reach=draft.reach,
        address_prefix=draft.address_prefix.strip() if by_address else None,
        account_nos=list(dict.fromkeys(draft.account_nos)) if by_account else None,
        made_by=made_by, made_at=now,
    )  # fmt: skip
    session.add(offer)
    session.flush()
    return offer


def find_offer(session: Session, offer_id: int, provider_code: str | None = None) -> Offer:
    """Return an offer; with a company, one of its own.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    offer = session.get(Offer, offer_id)
    if offer is None or provider_code not in {None, offer.provider_code}:
        raise NotFound("there is no such offer")
    return offer


def list_offers(
    session: Session, *, provider_code: str | None = None, before: int | None = None, limit: int
) -> list[Offer]:
    """Return offers of a company or of all, the newest first."""
    wanted = select(Offer)
    if provider_code is not None:
        wanted = wanted.where(Offer.provider_code == provider_code)
    if before is not None:
        wanted = wanted.where(col(Offer.id) < before)
    return list(session.exec(wanted.order_by(col(Offer.id).desc()).limit(limit)))


def list_proposed(session: Session) -> list[Offer]:
    """Return what waits for staff, the oldest first."""
    waiting = select(Offer).where(
        col(Offer.proposed_at).is_not(None), col(Offer.decided_at).is_(None),
        col(Offer.withdrawn_at).is_(None),
    )  # fmt: skip
    return list(session.exec(waiting.order_by(col(Offer.proposed_at), col(Offer.id)).limit(MANY)))


def _lock(session: Session, offer_id: int, provider_code: str | None = None) -> Offer:
    find_offer(session, offer_id, provider_code)
    return session.get_one(Offer, offer_id, with_for_update=True, populate_existing=True)


def propose(session: Session, offer_id: int, provider_code: str, *, now: datetime) -> None:
    """Ask staff whether an offer may be told; a second time changes nothing.

    Raises:
        NotFound: there is none.
        Conflict: it was withdrawn, or it is over.
    """
    offer = _lock(session, offer_id, provider_code)
    if offer.withdrawn_at is not None:
        raise Conflict("this offer was withdrawn: write another", code="offer.gone")
    _check_holds(offer, now=now)
    offer.proposed_at = offer.proposed_at or now


def _check_holds(offer: Offer, *, now: datetime) -> None:
    if offer.ends_on < billing_date(now):
        raise Conflict("the offer is over: write another", code="offer.past")


def withdraw(session: Session, offer_id: int, provider_code: str, *, now: datetime) -> None:
    """Take an offer back; who was not told of it yet, is not. A second time changes nothing.

    Raises:
        NotFound: there is none.
    """
    offer = _lock(session, offer_id, provider_code)
    offer.withdrawn_at = offer.withdrawn_at or now


def approve(session: Session, offer_id: int, *, by: int, now: datetime) -> None:
    """Have an offer told.

    Raises:
        NotFound: there is none.
        NotAllowed: who wrote it does not approve it.
        Conflict: it does not wait, or it is over.
    """
    offer = _decided(session, offer_id, by=by, now=now)
    _check_holds(offer, now=now)
    offer.decided_by, offer.decided_at = by, now
    outbox.emit(session, "offer.approved", offer_id, now=now)


def decline(session: Session, offer_id: int, because: str, *, by: int, now: datetime) -> None:
    """Say no to an offer, and why.

    Raises:
        NotFound: there is none.
        Invalid: no reason.
        NotAllowed, Conflict: as of ``approve``.
    """
    if not because.strip():
        raise Invalid("say why: the company learns by it", code="offer.no_reason")
    offer = _decided(session, offer_id, by=by, now=now)
    offer.decided_by, offer.decided_at, offer.declined_because = by, now, because.strip()


def _decided(session: Session, offer_id: int, *, by: int, now: datetime) -> Offer:
    offer = _lock(session, offer_id)
    if state_of(offer) is not State.PROPOSED:
        raise Conflict("this offer does not wait to be decided", code="offer.not_proposed")
    if offer.made_by == by:
        raise NotAllowed("who wrote an offer cannot decide it", code="offer.same_person")
    return offer


# Somebody agreed if the last word on one channel at least, or on all, is a yes.
_READERS = """
    SELECT m.person_id, min(m.household_id) AS household_id,
           EXISTS (
               SELECT FROM unnest(ARRAY['push', 'wechat', 'email', 'sms']) AS way (channel)
               WHERE (SELECT c.given FROM consent c
                      WHERE c.person_id = m.person_id
                        AND (c.channel IS NULL OR c.channel = way.channel)
                      ORDER BY c.id DESC LIMIT 1)) AS agreed,
           (SELECT count(*) FROM (
               SELECT DISTINCT n.subject_ref FROM notice n
               WHERE n.person_id = m.person_id AND n.event = 'offer.made'
                 AND n.created_at > :lately) told) >= :most AS enough
    FROM household_account h
    JOIN household_member m ON m.household_id = h.household_id
    JOIN person p ON p.id = m.person_id AND p.ended_at IS NULL
    WHERE h.account_id {among}
      AND stands_today(NULL, h.left_on) AND stands_today(m.from_on, m.until_on)
    GROUP BY m.person_id
"""
_NEXT_READERS = HotStatement(f"""
    SELECT person_id, household_id FROM ({_READERS.format(among="= ANY(:account_ids)")}) r
    WHERE agreed AND NOT enough ORDER BY person_id
""")  # noqa: S608  our own text
_OF_ALL = f"IN (SELECT a.id FROM utility_account a WHERE {CONCERNED})"  # noqa: S608  our own text
_COUNT = HotStatement(f"""
    SELECT count(*), count(*) FILTER (WHERE agreed), count(*) FILTER (WHERE agreed AND enough)
    FROM ({_READERS.format(among=_OF_ALL)}) r
""")  # noqa: S608  our own text


def readers(session: Session, offer: Offer, *, now: datetime) -> Readers:
    """Count whom an offer would be told now."""
    values = concerned(offer) | {"lately": now - WITHIN, "most": MOST_IN}
    return Readers(*_COUNT.rows(session, values)[0])


def tell_some(session: Session, offer_id: int, *, public_url: str, now: datetime) -> int:
    """Tell the people of the next accounts it is for; returns how many accounts.

    One offer at a time: what two tell at once would both be the last of somebody's month.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('offer.made'))"))
    offer = session.get_one(Offer, offer_id, with_for_update=True, populate_existing=True)
    if state_of(offer) is not State.APPROVED or offer.ends_on < billing_date(now):
        return 0
    account_ids = next_accounts(session, offer, offer.told_after, limit=BATCH_ACCOUNTS)
    if account_ids:
        offer.told_after = account_ids[-1]
        _tell(session, offer, account_ids, public_url, now=now)
    return len(account_ids)


def _tell(
    session: Session, offer: Offer, account_ids: Sequence[int], public_url: str, *, now: datetime
) -> None:
    values = {"account_ids": list(account_ids), "lately": now - WITHIN, "most": MOST_IN}
    rows = _NEXT_READERS.rows(session, values)
    persons = people(session, (person_id for person_id, _ in rows))
    tellings = [
        Telling(
            event="offer.made", person=persons[person_id], subject_ref=str(offer.id),
            household_id=household_id, expires_at=day_bounds(offer.ends_on)[1],
            facts=Facts(
                offer_values(offer, persons[person_id].locale),
                link=f"{public_url}/offers/{offer.id}",
            ),
        )
        for person_id, household_id in rows
    ]  # fmt: skip
    if tellings:
        tell_all(session, tellings, now=now)


def offer_values(offer: Offer, locale: str) -> dict[str, str]:
    """Return the places of an offer's notices in the reader's language."""
    company, english = get_provider(offer.provider_code), language(locale) == "en"
    return {
        "company": company.name_en if english else company.name,
        "text": offer.words_en if english else offer.words_zh,
    }
