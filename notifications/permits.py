"""How many WeChat messages somebody still allows: one yes at a prompt is one message.

A template that was approved as long-term needs one yes and has no count. WeChat keeps the books
that matter and answers 43101 when they are at an end; ours save asking in vain, and let the next
channel's turn come at once.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from core.db import HotStatement
from notifications.channels.wechat_push import Permission

_GRANT = text("""
    INSERT INTO wechat_permit AS held (person_id, template_id, left_count, long_term, granted_at)
    VALUES (:person_id, :template_id, 1, :long_term, :now)
    ON CONFLICT (person_id, template_id) DO UPDATE
    SET left_count = CASE WHEN excluded.long_term THEN 1 ELSE held.left_count + 1 END,
        long_term = excluded.long_term, granted_at = excluded.granted_at
""")
_WHOSE = text("""
    SELECT person_id FROM contact_point
    WHERE channel = 'wechat' AND gone_at IS NULL
      AND address_hash = encode(sha256(convert_to(:openid, 'UTF8')), 'hex')
""")
_TAKE = text("""
    UPDATE wechat_permit SET left_count = left_count - CASE WHEN long_term THEN 0 ELSE 1 END
    WHERE person_id = :person_id AND template_id = :template_id AND left_count > 0
    RETURNING left_count
""")
_GIVE_BACK = text("""
    UPDATE wechat_permit SET left_count = left_count + 1
    WHERE person_id = :person_id AND template_id = :template_id AND NOT long_term
""")
_NONE_LEFT = text("""
    UPDATE wechat_permit SET left_count = 0
    WHERE person_id = :person_id AND template_id = :template_id
""")


def grant(
    session: Session, person_id: int, template_id: str, *, now: datetime, long_term: bool = False
) -> None:
    """Note one more yes; of a long-term template every further yes says the same."""
    session.execute(
        _GRANT,
        {"person_id": person_id, "template_id": template_id, "long_term": long_term, "now": now},
    )


def note(session: Session, said: Iterable[Permission], *, now: datetime) -> None:
    """Note what WeChat says that people allowed or forbade; of nobody we know, nothing."""
    for one in said:
        person_id = session.execute(_WHOSE, {"openid": one.openid}).scalar_one_or_none()
        if person_id is None:
            continue
        if one.allowed:
            grant(session, person_id, one.template_id, now=now, long_term=one.long_term)
        else:
            none_left(session, person_id, one.template_id)


def take_one(session: Session, person_id: int, template_id: str) -> bool:
    """Use one permit; False: there is none, and nothing may be sent.

    However many ask at once, no permit is used twice.
    """
    whose = {"person_id": person_id, "template_id": template_id}
    return session.execute(_TAKE, whose).first() is not None


def give_back(session: Session, person_id: int, template_id: str) -> None:
    """Give back a permit that was taken for a message WeChat surely did not take."""
    session.execute(_GIVE_BACK, {"person_id": person_id, "template_id": template_id})


def none_left(session: Session, person_id: int, template_id: str) -> None:
    """Believe WeChat, which says that there is none, or that they want no more of these."""
    session.execute(_NONE_LEFT, {"person_id": person_id, "template_id": template_id})


_LEFT_BEHIND = HotStatement("""
    WITH left_behind AS (
        UPDATE notice SET permit = NULL FROM (
            SELECT id, permit FROM notice
            WHERE permit IS NOT NULL AND state <> 'created' FOR UPDATE SKIP LOCKED
        ) AS was
        WHERE notice.id = was.id RETURNING notice.person_id, was.permit
    ), counted AS (
        SELECT person_id, permit, count(*) AS how_many FROM left_behind GROUP BY 1, 2
    )
    UPDATE wechat_permit p SET left_count = left_count + how_many FROM counted
    WHERE p.person_id = counted.person_id AND p.template_id = counted.permit AND NOT p.long_term
    RETURNING p.person_id
""")


def give_back_left_behind(session: Session) -> None:
    """Give back what ended notices still have: their worker was killed with them in its hands.

    WeChat may have used it; then it says so when the next is sent, and we believe it.
    """
    _LEFT_BEHIND.rows(session, {})
