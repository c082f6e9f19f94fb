"""Mail that came back: what a mail server reports of the fate of a mail.

Source: RFC 3464 (the report) and RFC 6522 (what carries it). Addresses in a report are not read,
nor is what a server says in its own words, which repeats them.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message as Mail
from email.utils import parsedate_to_datetime
from typing import NamedTuple, cast

from core.errors import Invalid
from notifications.channels.base import Fate

_FATES = {"failed": Fate.FAILED, "delivered": Fate.DELIVERED}  # the rest is not the end of it
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


class Fared(NamedTuple):
    """How a mail fared with one of those it went to; ``reason`` as RFC 3463 numbers them."""

    fate: Fate
    happened_at: datetime | None
    reason: str


class Report(NamedTuple):
    message_id: str  # the header of the mail it is about
    fared: list[Fared]


def read_report(raw: bytes) -> Report:
    """Read a delivery status notification.

    Raises:
        Invalid: it is none, or does not say which mail it is about.
    """
    mail = message_from_bytes(raw)
    if mail.get_content_type() != "multipart/report":
        raise Invalid("this mail is no delivery status notification")
    parts = list(mail.walk())
    message_id = next(filter(None, map(_returned_id, parts)), "")
    statuses = [part for part in parts if part.get_content_type() == "message/delivery-status"]
    if not statuses or not message_id:
        raise Invalid("the delivery status notification does not say which mail it is about")
    fared = [told for fields in _blocks(statuses[0]) for told in _fared(fields)]
    return Report(message_id, fared)


def _returned_id(part: Mail) -> str:
    """Return the Message-ID of what is enclosed: the mail itself, or its headers alone."""
    match part.get_content_type():
        case "message/rfc822":
            [*_, enclosed] = _blocks(part)
        case "text/rfc822-headers":
            enclosed = message_from_bytes(cast(bytes, part.get_payload(decode=True)))
        case _:
            return ""
    return str(enclosed["Message-ID"] or "")


def _blocks(part: Mail) -> list[Mail]:
    """Return what the standard library makes of a part that is made of headers."""
    return cast(list[Mail], part.get_payload())


def _fared(fields: Mail) -> Iterator[Fared]:
    fate = _FATES.get(str(fields["Action"]).partition("(")[0].strip().lower())
    if fate is None:
        return
    status = _STATUS.search(str(fields["Status"]))
    yield Fared(fate, _moment(str(fields["Last-Attempt-Date"])), status[0] if status else "")


def _moment(written: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(written)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
