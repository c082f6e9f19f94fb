"""A notice as its carrier is handed it."""

import hashlib

from notifications.channels.base import Attachment, Message, Template
from notifications.models import Notice


def message_of(
    notice: Notice,
    *,
    address: str | None = None,
    suffix: str = "",
    template_id: str | None = None,
    unsubscribe_url: str = "",
    attachments: tuple[Attachment, ...] = (),
) -> Message:
    """Return a notice as a message.

    Args:
        suffix: behind the message's id, where one notice is several messages.
        template_id: what the carrier knows its text as.
    """
    return Message(
        message_id=f"notice-{notice.id}{suffix}",
        address=notice.address if address is None else address,
        title=notice.title,
        body=notice.body,
        body_html=notice.body_html,
        kind=notice.kind,
        locale=notice.locale,
        link=notice.link,
        topic=_topic(notice),
        created_at=notice.created_at,
        expires_at=notice.expires_at,
        unsubscribe_url=unsubscribe_url,
        template=template_of(template_id, notice),
        attachments=attachments,
    )


def template_of(template_id: str | None, notice: Notice) -> Template | None:
    """Return a carrier's own template with what fills its places; None: it has none for this."""
    return Template(template_id, notice.template_values or {}) if template_id else None


def _topic(notice: Notice) -> str:
    """Return what is the same for everything told of one thing, and tells nobody what it is."""
    about = f"{notice.person_id} {notice.event} {notice.subject_ref}"
    return hashlib.sha256(about.encode()).hexdigest()[:32]
