"""What was told to somebody and what they chose, to take along or to let go."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import Session

from identity.own_data import Section

SECTIONS: Final[Sequence[Section]] = (
    Section(
        "notices",
        """SELECT event, channel, address, title,
                  CASE event WHEN 'sign_in.code' THEN '' ELSE body END AS body, link, state,
                  created_at, accepted_at, delivered_at, read_at
           FROM notice WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "notice_settings",
        """SELECT quiet_from, quiet_until, zone, digest, elder, texts_per_day, changed_at
           FROM notice_settings WHERE person_id = :person_id""",
    ),
    Section(
        "notice_choices",
        """SELECT household_id AS home_id, subject, channels, chosen_at
           FROM notice_choice WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "consents",
        """SELECT channel, given, source, proof, said_at
           FROM consent WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "answers_to_texts",
        """SELECT phone, words, said_at, received_at, meaning
           FROM reader_reply WHERE person_id = :person_id ORDER BY id""",
    ),
    Section(
        "devices",
        """SELECT channel, label, made_at, gone_at
           FROM contact_point WHERE person_id = :person_id ORDER BY id""",
    ),
)

# What was sent stays as a figure: when, over which channel, how it went. A consent and its proof
# stay too: that an offer was asked for must be shown for years.
FORGET = (
    "UPDATE notice SET state = 'dropped', state_at = :now, reason = 'unsubscribed'"
    " WHERE person_id = :person_id AND state = 'created'",
    "UPDATE notice SET address = '', title = '', body = '', body_html = NULL, link = '',"
    " attachment_ref = NULL, template_values = NULL WHERE person_id = :person_id",
    "UPDATE notice_again SET address = '', state_at = :now,"
    " state = CASE state WHEN 'created' THEN 'failed' ELSE state END"
    " WHERE notice_id IN (SELECT id FROM notice WHERE person_id = :person_id) AND address <> ''",
    "UPDATE reader_reply SET phone = '', words = '' WHERE person_id = :person_id",
    "DELETE FROM digest_entry WHERE person_id = :person_id",
    "DELETE FROM digest WHERE person_id = :person_id",
    "DELETE FROM notice_choice WHERE person_id = :person_id",
    "DELETE FROM notice_settings WHERE person_id = :person_id",
    "DELETE FROM contact_point WHERE person_id = :person_id",
    "DELETE FROM wechat_permit WHERE person_id = :person_id",
)


def forget(session: Session, person_id: int, *, now: datetime) -> None:
    """Forget what somebody was told and chose; done again it changes nothing."""
    for statement in FORGET:
        session.execute(text(statement), {"person_id": person_id, "now": now})
