"""What companies have to say about their service: written, sent to those it concerns, and over.

Told account by account in the order of their numbers, batch by batch; how far it has come stands on
the message, in the transaction that tells.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from babel.dates import format_datetime
from sqlmodel import Session, col, select

from core import outbox
from core.clock import BILLING_ZONE
from core.db import HotStatement
from core.errors import Conflict, Invalid, NotFound
from notifications.bill_notices import people
from notifications.models import Reach, ServiceKind, ServiceMessage
from notifications.reaching import check_reach, next_accounts
from notifications.telling import Telling, tell_all
from notifications.wording.rendering import Facts
from notifications.words import language
from providers.registry import get_provider

BATCH_ACCOUNTS = 1_000
MOST_WORDS = 500
_LOST = {
    "water": ("停水通知", "Water outage"), "power": ("停电通知", "Power outage"),
    "gas": ("停气通知", "Gas outage"), "telecom": ("通信故障通知", "Service outage"),
}  # fmt: skip
_WORK = ("检修通知", "Planned work")
_OTHER = ("服务通知", "Service message")
_MOMENT = {"zh_CN": "M月d日 HH:mm", "en": "d MMMM, HH:mm"}
_UNKNOWN_END = {"zh_CN": "恢复时间另行通知", "en": "we know more"}
_ALL = {"zh_CN": "全部用户", "en": "all customers"}
_YOURS = {"zh_CN": "您的户号", "en": "your account"}


class Draft(NamedTuple):
    """A message as somebody of the company writes it."""

    kind: ServiceKind
    words_zh: str
    words_en: str
    from_at: datetime
    until_at: datetime | None
    reach: Reach
    address_prefix: str = ""
    account_nos: Sequence[str] = ()


def write(
    session: Session, provider_code: str, draft: Draft, *, made_by: int, now: datetime
) -> ServiceMessage:
    """Keep a message that nobody is told yet.

    Raises:
        Invalid: a text is missing or too long, its end is before its beginning or over, or it says
            not whom it is for.
    """
    _check(draft, now=now)
    by_address, by_account = draft.reach is Reach.ADDRESS, draft.reach is Reach.ACCOUNTS
    message = ServiceMessage(
        provider_code=provider_code, kind=draft.kind, words_zh=draft.words_zh.strip(),
        words_en=draft.words_en.strip(), from_at=draft.from_at, until_at=draft.until_at,
        reach=draft.reach,
        address_prefix=draft.address_prefix.strip() if by_address else None,
        account_nos=list(dict.fromkeys(draft.account_nos)) if by_account else None,
        made_by=made_by, made_at=now,
    )  # fmt: skip
    session.add(message)
    session.flush()
    return message


def _check(draft: Draft, *, now: datetime) -> None:
    for words in (draft.words_zh, draft.words_en):
        if not words.strip() or len(words.strip()) > MOST_WORDS:
            raise Invalid(
                "write the message in Chinese and in English, each in at most 500 characters",
                code="service_message.words",
            )
    if draft.until_at is not None and draft.until_at <= max(draft.from_at, now):
        raise Invalid(
            "the end comes after the beginning, and is not over yet",
            code="service_message.until",
        )
    check_reach(draft.reach, draft.address_prefix, draft.account_nos)


def find_message(session: Session, message_id: int, provider_code: str) -> ServiceMessage:
    """Return a message of a company.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    message = session.get(ServiceMessage, message_id)
    if message is None or message.provider_code != provider_code:
        raise NotFound("there is no such message")
    return message


def list_messages(
    session: Session, *, provider_code: str | None = None, before: int | None = None, limit: int
) -> list[ServiceMessage]:
    """Return messages of a company or of all, the newest first."""
    wanted = select(ServiceMessage)
    if provider_code is not None:
        wanted = wanted.where(ServiceMessage.provider_code == provider_code)
    if before is not None:
        wanted = wanted.where(col(ServiceMessage.id) < before)
    return list(session.exec(wanted.order_by(col(ServiceMessage.id).desc()).limit(limit)))


def _lock(session: Session, message_id: int, provider_code: str) -> ServiceMessage:
    find_message(session, message_id, provider_code)
    return session.get_one(ServiceMessage, message_id, with_for_update=True, populate_existing=True)


def send(session: Session, message_id: int, provider_code: str, *, now: datetime) -> None:
    """Have a message told; a second time changes nothing.

    Raises:
        NotFound: there is none.
        Conflict: it was withdrawn, or what it tells of is over.
    """
    message = _lock(session, message_id, provider_code)
    if message.withdrawn_at is not None:
        raise Conflict("this message was withdrawn: write another", code="service_message.gone")
    if message.sent_at is not None:
        return
    if message.until_at is not None and message.until_at <= now:
        raise Conflict(
            "what it tells of is over: withdraw it and write another", code="service_message.past"
        )
    message.sent_at = now
    outbox.emit(session, "service_message.sent", message_id, now=now)


def withdraw(session: Session, message_id: int, provider_code: str, *, now: datetime) -> None:
    """Take a message back before it was sent; a second time changes nothing.

    Raises:
        NotFound: there is none.
        Conflict: it was sent: say that it is over.
    """
    message = _lock(session, message_id, provider_code)
    if message.sent_at is not None:
        raise Conflict("it was sent: say that it is over instead", code="service_message.sent")
    if message.withdrawn_at is None:
        message.withdrawn_at = now


def end(session: Session, message_id: int, provider_code: str, *, now: datetime) -> None:
    """Say that it is over, to those who were told of it; a second time changes nothing.

    Raises:
        NotFound: there is none.
        Conflict: nobody was told of it.
    """
    message = _lock(session, message_id, provider_code)
    if message.sent_at is None:
        raise Conflict("nobody was told of it yet: withdraw it", code="service_message.not_sent")
    if message.over_at is None:
        message.over_at = now
        outbox.emit(session, "service_message.over", message_id, now=now)


_PEOPLE = HotStatement("""
    SELECT m.person_id, min(m.household_id)
    FROM household_account h
    JOIN household_member m ON m.household_id = h.household_id
                           AND stands_today(m.from_on, m.until_on)
    JOIN person p ON p.id = m.person_id AND p.ended_at IS NULL
    WHERE h.account_id = ANY(:account_ids) AND stands_today(NULL, h.left_on)
      AND (:announced = '' OR EXISTS (
          SELECT FROM notice n WHERE n.event = 'outage.announced' AND n.person_id = m.person_id
                                 AND n.subject_ref = :announced))
    GROUP BY m.person_id ORDER BY m.person_id
""")


def tell_some(session: Session, message_id: int, *, public_url: str, now: datetime) -> int:
    """Tell the people of the next accounts it concerns; returns how many accounts.

    Once it is over, who was not reached is not told any more.
    """
    message = session.get_one(ServiceMessage, message_id, with_for_update=True)
    if message.over_at is not None:
        return 0
    account_ids = next_accounts(session, message, message.told_after, limit=BATCH_ACCOUNTS)
    if account_ids:
        message.told_after = account_ids[-1]
        _tell(session, message, account_ids, "outage.announced", public_url, now=now)
    return len(account_ids)


def tell_some_over(session: Session, message_id: int, *, public_url: str, now: datetime) -> int:
    """Tell those of the next accounts who were told of it that it is over."""
    message = session.get_one(ServiceMessage, message_id, with_for_update=True)
    account_ids = next_accounts(session, message, message.over_told_after, limit=BATCH_ACCOUNTS)
    if account_ids:
        message.over_told_after = account_ids[-1]
        _tell(session, message, account_ids, "outage.over", public_url, now=now)
    return len(account_ids)


def _tell(
    session: Session,
    message: ServiceMessage,
    account_ids: Sequence[int],
    event: str,
    public_url: str,
    *,
    now: datetime,
) -> None:
    over = event == "outage.over"
    values = {"account_ids": list(account_ids), "announced": str(message.id) if over else ""}
    rows = _PEOPLE.rows(session, values)
    persons = people(session, (person_id for person_id, _ in rows))
    tellings = [
        Telling(
            event=event, person=persons[person_id], subject_ref=str(message.id),
            household_id=household_id, expires_at=None if over else message.until_at,
            facts=Facts(
                message_values(message, persons[person_id].locale),
                link=f"{public_url}/service-messages/{message.id}",
            ),
        )
        for person_id, household_id in rows
    ]  # fmt: skip
    if tellings:
        tell_all(session, tellings, now=now)


def message_values(message: ServiceMessage, locale: str) -> Mapping[str, str]:
    """Return the places of a message's notices in the reader's language."""
    spoken = language(locale)
    company = get_provider(message.provider_code)
    return {
        "company": company.name_en if spoken == "en" else company.name,
        "what": what_words(message, spoken),
        "from": moment_words(message.from_at, spoken),
        "until": moment_words(message.until_at, spoken) if message.until_at else
        _UNKNOWN_END[spoken],
        "where": where_words(message, spoken),
        "text": message.words_en if spoken == "en" else message.words_zh,
    }  # fmt: skip


def what_words(message: ServiceMessage, locale: str) -> str:
    """Return what a message is, for its title."""
    service = get_provider(message.provider_code).service
    pairs = {
        ServiceKind.OUTAGE: _LOST[service], ServiceKind.WORK: _WORK, ServiceKind.OTHER: _OTHER,
    }  # fmt: skip
    return pairs[message.kind][locale == "en"]


def moment_words(moment: datetime, locale: str) -> str:
    """Return a moment by the city's clock: ``"21 November, 14:00"``."""
    return format_datetime(moment, _MOMENT[locale], tzinfo=BILLING_ZONE, locale=locale)


def where_words(message: ServiceMessage, locale: str) -> str:
    """Return whom it concerns; of a list of accounts each reader is told of their own."""
    if message.reach is Reach.ALL:
        return _ALL[locale]
    return message.address_prefix or _YOURS[locale]
