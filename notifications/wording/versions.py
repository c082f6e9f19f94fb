"""Staff's words: written by one person, approved by another, and in force until the next are.

A version is a draft that its writer may change, then proposed, then approved or declined; what was
approved is retired when a newer is. To go back is to write a newer version in old words.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from core.errors import Conflict, Invalid, NotAllowed, NotFound
from notifications.catalogue import EVENTS
from notifications.channels.base import NOTHING
from notifications.models import NoticeTemplate, TemplateState
from notifications.wording.built_in import Source, built_in
from notifications.wording.rendering import Key
from notifications.wording.template import Form, parse, tidy

MANY: Final = 200
CARRIERS: Final = ("aliyun", "tencent", "sms_http", "wechat")  # who approves words themselves
_MOST: Final = {Form.LETTER: 6_000, Form.SHORT: 500}
_MOST_OF_TITLE: Final = 120
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,80}(?::[a-z_]+(?:,[a-z_]+)*)?")
_WECHAT_PLACE: Final = re.compile(r"([a-z_]+[0-9]*)=([a-z_]+)")
_TOKEN: Final = re.compile(r"\{[a-z_]+\}|[A-Za-z0-9']+|\s+|.", re.DOTALL)


class Written(NamedTuple):
    """What somebody wrote: ``ids`` are the carriers' numbers of these words, as they typed them.

    ``wechat_places``: ``"thing1=company, amount2=amount"``.
    """

    source: Source
    why: str = ""
    ids: Mapping[str, str] = NOTHING
    wechat_places: str = ""


class Piece(NamedTuple):
    """A stretch of words in a comparison: ``"same"``, ``"gone"`` or ``"new"``."""

    how: str
    text: str


def key_of(row: NoticeTemplate) -> Key:
    return Key(row.event, Form(row.form), row.locale, row.edition)


def source_of(row: NoticeTemplate) -> Source:
    return Source(row.title, row.body)


def get_version(session: Session, version_id: int) -> NoticeTemplate:
    """Return a version.

    Raises:
        NotFound: there is none.
    """
    row = session.get(NoticeTemplate, version_id)
    if row is None:
        raise NotFound("there is no such version")
    return row


def history(session: Session, key: Key) -> list[NoticeTemplate]:
    """Return the versions of some words, newest first."""
    newest = _of(key).order_by(col(NoticeTemplate.version).desc())
    return list(session.exec(newest.limit(MANY)))


def in_force(session: Session, key: Key) -> NoticeTemplate | None:
    """Return the version that holds; None: the built-in words do."""
    return session.exec(_of(key).where(NoticeTemplate.state == TemplateState.APPROVED)).first()


def words_before(session: Session, row: NoticeTemplate) -> Source | None:
    """Return the words a version takes the place of, or took it of; None: there were none."""
    newest = (
        _of(key_of(row))
        .where(NoticeTemplate.version < row.version)
        .where(col(NoticeTemplate.state).in_([TemplateState.APPROVED, TemplateState.RETIRED]))
        .order_by(col(NoticeTemplate.version).desc())
    )
    before = session.exec(newest.limit(1)).first()
    return source_of(before) if before else built_in(*key_of(row))


def list_open(session: Session) -> list[NoticeTemplate]:
    """Return what holds, is written or is proposed, of all words: for a list of their states."""
    states = [TemplateState.APPROVED, TemplateState.PROPOSED, TemplateState.DRAFT]
    rows = select(NoticeTemplate).where(col(NoticeTemplate.state).in_(states))
    return list(session.exec(rows.order_by(col(NoticeTemplate.version), col(NoticeTemplate.id))))


def list_proposed(session: Session) -> list[NoticeTemplate]:
    """Return what waits for a second person, the oldest first."""
    rows = select(NoticeTemplate).where(NoticeTemplate.state == TemplateState.PROPOSED)
    oldest = rows.order_by(col(NoticeTemplate.proposed_at), col(NoticeTemplate.id))
    return list(session.exec(oldest.limit(MANY)))


def draft(session: Session, key: Key, source: Source, *, by: int, now: datetime) -> NoticeTemplate:
    """Begin a version with some words: those in force, or old ones to go back to.

    Raises:
        NotFound: there is no such event, language or edition.
        Invalid: the words cannot be read.
    """
    if key.event not in EVENTS or key.locale not in {"zh_CN", "en"}:
        raise NotFound("there are no such words")
    _check(key, source)
    _lock(session, key)
    newest = history(session, key)
    row = NoticeTemplate(
        **key._asdict(), version=newest[0].version + 1 if newest else 1, title=source.title,
        body=source.body, carrier_ids={}, made_by=by, made_at=now, why="",
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def change(
    session: Session, version_id: int, written: Written, *, by: int, now: datetime
) -> NoticeTemplate:
    """Change a draft of one's own.

    Raises:
        NotFound: no such version.
        NotAllowed: somebody else writes it.
        Conflict: it is a draft no more.
        Invalid: the words or a carrier's number cannot be read.
    """
    row = _own_draft(session, version_id, by=by)
    key, source = key_of(row), Source(tidy(written.source.title), tidy(written.source.body))
    _check(key, source)
    row.title, row.body = source
    row.carrier_ids = _carrier_ids(key, source, written)
    row.why, row.made_at = written.why.strip(), now
    return row


def propose(session: Session, version_id: int, *, by: int, now: datetime) -> NoticeTemplate:
    """Give a draft of one's own to a second person.

    Raises:
        NotFound, NotAllowed, Conflict: as ``change``.
        Invalid: it does not say why.
    """
    row = _own_draft(session, version_id, by=by)
    if not row.why:
        raise Invalid("say why: the second person decides by it", code="template.no_why")
    row.state, row.proposed_at = TemplateState.PROPOSED, now
    return row


def approve(session: Session, version_id: int, *, by: int, now: datetime) -> NoticeTemplate:
    """Put proposed words in force; those before them are retired.

    Raises:
        NotFound: no such version.
        NotAllowed: who wrote it.
        Conflict: it is not proposed, or a newer version is in force.
    """
    row = _proposed(session, version_id)
    if row.made_by == by:
        raise NotAllowed(
            "who wrote words cannot approve them: ask a colleague", code="template.same_person"
        )
    before = in_force(session, key_of(row))
    if before is not None and before.version > row.version:
        raise Conflict("a newer version is in force: write these words anew", code="template.older")
    if before is not None:
        before.state = TemplateState.RETIRED
        session.flush()
    row.state, row.decided_by, row.decided_at = TemplateState.APPROVED, by, now
    session.flush()
    return row


def decline(
    session: Session, version_id: int, *, because: str, by: int, now: datetime
) -> NoticeTemplate:
    """Refuse proposed words; their writer takes them back as a draft instead.

    Raises:
        NotFound: no such version.
        Conflict: it is not proposed.
        Invalid: without a reason.
    """
    row = _proposed(session, version_id)
    if row.made_by == by:
        row.state, row.proposed_at = TemplateState.DRAFT, None
        return row
    if not because.strip():
        raise Invalid("say why not: the writer learns by it", code="template.no_reason")
    row.state, row.decided_by, row.decided_at = TemplateState.DECLINED, by, now
    row.declined_because = because.strip()
    return row


def difference(before: str, after: str) -> list[Piece]:
    """Compare words by word, Chinese by character."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    pieces: list[Piece] = []
    for how, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if how == "equal":
            pieces.append(Piece("same", "".join(old[a:b])))
            continue
        pieces += [Piece("gone", "".join(old[a:b]))] if b > a else []
        pieces += [Piece("new", "".join(new[c:d]))] if d > c else []
    return pieces


def _of(key: Key) -> SelectOfScalar[NoticeTemplate]:
    return select(NoticeTemplate).where(
        NoticeTemplate.event == key.event, NoticeTemplate.form == key.form,
        NoticeTemplate.locale == key.locale, NoticeTemplate.edition == key.edition,
    )  # fmt: skip


def _lock(session: Session, key: Key) -> None:
    """Let one at a time number and decide the versions of some words."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('notice.words'), hashtext(:key))"),
        {"key": " ".join(key)},
    )


def _own_draft(session: Session, version_id: int, *, by: int) -> NoticeTemplate:
    row = _locked(session, version_id)
    if row.state is not TemplateState.DRAFT:
        raise Conflict("this version is no draft any more: write another", code="template.closed")
    if row.made_by != by:
        raise NotAllowed("somebody else writes this version", code="template.not_yours")
    return row


def _proposed(session: Session, version_id: int) -> NoticeTemplate:
    row = _locked(session, version_id)
    if row.state is not TemplateState.PROPOSED:
        raise Conflict("this version does not wait to be approved", code="template.not_proposed")
    return row


def _locked(session: Session, version_id: int) -> NoticeTemplate:
    row = get_version(session, version_id)
    _lock(session, key_of(row))
    session.refresh(row)
    return row


def _check(key: Key, source: Source) -> None:
    """Refuse words that cannot be read, are too long, or bring a signature of their own.

    Raises:
        Invalid: with where.
    """
    limits = {"title": _MOST_OF_TITLE, "text": _MOST[key.form]}
    for (where, most), words in zip(limits.items(), source, strict=True):
        if len(words) > most:
            raise Invalid(
                f"the {where} is too long: {most} characters at most",
                code="template.too_long", where=where, most=most,
            )  # fmt: skip
    parse(*source, key.form, EVENTS[key.event].places)
    if key.form is Form.SHORT and set("【】") & set(source.body):
        raise Invalid(
            "【】 is the signature's, which is put before by itself", code="template.signature"
        )


def _carrier_ids(key: Key, source: Source, written: Written) -> dict[str, Any]:
    """Return the carriers' numbers as their channels take them.

    Raises:
        Invalid: one is no number, or names a place that is not there.
    """
    if key.form is Form.LETTER:
        return {}
    ids: dict[str, str] = {}
    known = EVENTS[key.event].places
    used = parse(*source, key.form, known).places
    for carrier in CARRIERS:
        if not (given := written.ids.get(carrier, "").strip()):
            continue
        if not _ID.fullmatch(given):
            raise Invalid(
                f"this is no number of a template: {carrier}", code="template.carrier", who=carrier
            )
        number, _, order = given.partition(":")
        if order and set(order.split(",")) != set(used):
            raise Invalid(
                f"{carrier}: the order names other places than the words do",
                code="template.carrier", who=carrier,
            )  # fmt: skip
        in_order = carrier == "tencent" and used and not order
        ids[carrier] = f"{number}:{','.join(used)}" if in_order else given
    if "wechat" in ids:
        pairs = [one.strip() for one in written.wechat_places.split(",") if one.strip()]
        found = [_WECHAT_PLACE.fullmatch(one) for one in pairs]
        if not found or any(one is None or one[2] not in known for one in found):
            raise Invalid(
                "write WeChat's places as thing1=company, amount2=amount",
                code="template.wechat_places",
            )
        ids["wechat"] += ":" + ",".join(one[0] for one in found if one)
    return ids
