"""What people answer to texts: kept as it came, each once, and taken at its word.

Who writes one of ``consents.REFUSALS`` wants no more offers by text: that is written down with
what shows it, and confirmed once. Other words nobody reads at that number, so whoever we know is
told where somebody does, once a day at most; staff see all of them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from core import outbox
from core.clock import billing_date
from core.db import HotStatement
from core.errors import NotFound
from core.masking import mask_contact
from identity.models import Person
from notifications.channels.base import BringsReplies, TextReply
from notifications.choice.consents import is_refusal, last_said, refuse
from notifications.choice.models import Consent, ConsentSource
from notifications.sending.models import ReaderReply, ReplyMeaning
from notifications.sending.receipts import note_call, plain
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts

AT_ONCE: Final = 200
KEEP_FOR: Final = timedelta(days=180)  # the law: what shows a refusal, five months at least
PAGE: Final = 50
_MOST_WORDS: Final = 500
_CHANNEL: Final = "sms"
_OFFER_LATELY: Final = timedelta(days=31)
_CHINA: Final = ("+86", "0086", "86")
_NATIONAL_DIGITS: Final = 11

_KEEP = HotStatement("""
    INSERT INTO reader_reply (call_id, carrier, ref, phone, words, said_at, received_at)
    SELECT :call_id, :carrier, ref, phone, words, said_at, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
         AS r (ref text, phone text, words text, said_at timestamptz)
    ORDER BY ref
    ON CONFLICT (carrier, ref) DO NOTHING RETURNING id
""")


def keep_call(
    session: Session,
    carrier: BringsReplies,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
) -> None:
    """Keep what a carrier called us with, and the replies in it; the same again changes nothing.

    Raises:
        NotSignedIn: it is not the carrier who calls.
        Invalid: it is not what the carrier's documentation describes.
    """
    replies = carrier.read_replies(headers, body)
    call_id = note_call(session, carrier.code, headers, body, now=now)
    if call_id is not None:
        keep_heard(session, carrier.code, replies, call_id=call_id, now=now)


def keep_heard(
    session: Session,
    carrier: str,
    replies: Sequence[TextReply],
    *,
    call_id: int | None = None,
    now: datetime,
) -> None:
    """Keep replies, to be read afterwards; ``call_id`` of those that came by a call."""
    rows = [
        {"ref": plain(one.ref), "phone": plain(one.phone), "words": plain(one.text, _MOST_WORDS),
         "said_at": one.said_at}
        for one in replies
    ]  # fmt: skip
    values = {
        "carrier": carrier, "rows": json.dumps(rows, default=str), "call_id": call_id, "now": now,
    }  # fmt: skip
    kept = _KEEP.rows(session, values) if rows else []
    if kept:
        outbox.emit(session, "replies.kept", kept[0][0], now=now)


def read_some(session: Session, *, public_url: str, now: datetime, limit: int = AT_ONCE) -> int:
    """Take replies nobody has read yet at their word; returns how many there were."""
    waiting = session.exec(
        select(ReaderReply)
        .where(col(ReaderReply.read_at).is_(None))
        .order_by(col(ReaderReply.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for one in waiting:
        person = _whose(session, one.phone)
        meaning = ReplyMeaning.STRANGER
        if person is not None:
            one.person_id, one.notice_id = person.id, _last_offer(session, person, one)
            meaning = _take(session, person, one, public_url=public_url, now=now)
        one.meaning, one.read_at = meaning, now
    session.flush()
    return len(waiting)


def _take(
    session: Session, person: Person, reply: ReaderReply, *, public_url: str, now: datetime
) -> ReplyMeaning:
    """Do what somebody wants; of other words than a refusal, tell them where they are read."""
    if is_refusal(reply.words):
        return _refused(session, person, reply, public_url=public_url, now=now)
    link = f"{public_url}/complaints/new"
    _tell(session, "reply.unread", person, str(billing_date(now)), link=link, now=now)
    return ReplyMeaning.WORDS


def _whose(session: Session, phone: str) -> Person | None:
    """Return whose number it is, locked: of two replies the later finds what the first did."""
    national = phone
    for prefix in _CHINA:
        cut = phone.removeprefix(prefix)
        if cut != phone and len(cut) == _NATIONAL_DIGITS:
            national = cut
            break
    forms = {phone, national, f"+86{national}", f"86{national}"}
    known = select(Person).where(col(Person.contact).in_(forms)).order_by(col(Person.id))
    return session.exec(known.limit(1).with_for_update(key_share=True)).first()


_LAST_OFFER = HotStatement("""
    SELECT id FROM notice
    WHERE person_id = :person_id AND kind = 'commercial' AND channel = :channel
      AND accepted_at IS NOT NULL AND created_at > :since
    ORDER BY created_at DESC, id DESC LIMIT 1
""")


def _last_offer(session: Session, person: Person, reply: ReaderReply) -> int | None:
    """Return the offer by text that somebody had last, if it was lately."""
    values = {
        "person_id": person.id, "channel": _CHANNEL, "since": reply.received_at - _OFFER_LATELY,
    }  # fmt: skip
    return next((found for (found,) in _LAST_OFFER.rows(session, values)), None)


def _refused(
    session: Session, person: Person, reply: ReaderReply, *, public_url: str, now: datetime
) -> ReplyMeaning:
    """Stop offers by text and confirm it; what somebody agreed to after they wrote it holds."""
    assert person.id is not None
    last = last_said(session, person.id, _CHANNEL)
    if last is not None and not last.given:
        return ReplyMeaning.REFUSED_BEFORE
    if last is not None and reply.said_at is not None and reply.said_at < last.said_at:
        return ReplyMeaning.OUTDATED
    about = f"notice-{reply.notice_id}, " if reply.notice_id else ""
    refuse(
        session, person.id, source=ConsentSource.TEXT_REPLY, channel=_CHANNEL,
        proof=f"{about}{reply.carrier} {reply.ref}, {mask_contact(reply.phone)}:"
        f" {reply.words[:100]}",
        now=now,
    )  # fmt: skip
    said = last_said(session, person.id, _CHANNEL)
    assert isinstance(said, Consent)
    _tell(session, "offers.stopped", person, f"consent-{said.id}",
          link=f"{public_url}/preferences", now=now)  # fmt: skip
    return ReplyMeaning.REFUSED


def _tell(
    session: Session, event: str, person: Person, subject_ref: str, *, link: str, now: datetime
) -> None:
    tell(
        session,
        Telling(
            event=event, person=person, subject_ref=subject_ref, over=_CHANNEL,
            facts=Facts(link=link),
        ),
        now=now,
    )  # fmt: skip


def list_replies(
    session: Session, *, meaning: ReplyMeaning | None = None, after: int | None = None,
    limit: int = PAGE,
) -> list[ReaderReply]:  # fmt: skip
    """Return what people answered, the newest first."""
    found = select(ReaderReply)
    if meaning is not None:
        found = found.where(ReaderReply.meaning == meaning)
    if after is not None:
        if session.get(ReaderReply, after) is None:
            raise NotFound("there is no such reply")
        found = found.where(col(ReaderReply.id) < after)
    return list(session.exec(found.order_by(col(ReaderReply.id).desc()).limit(limit)))


def forget(session: Session, *, now: datetime, limit: int = 20_000) -> None:
    """Forget replies that have served; that somebody refused stays in ``consent``."""
    session.execute(
        text("""
            DELETE FROM reader_reply WHERE received_at < :before
              AND id IN (SELECT id FROM reader_reply ORDER BY id LIMIT :limit)
        """),
        {"before": now - KEEP_FOR, "limit": limit},
    )
