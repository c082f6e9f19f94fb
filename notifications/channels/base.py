"""What carries messages, and what every carrier promises.

A *channel* is a way to reach somebody (e-mail, a text message, a browser); a *carrier* takes
messages of one channel: a mail server, one of two SMS companies. Third parties add theirs by an
entry point of group ``citybill.channels``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from core.errors import Upstream

NOTHING: Mapping[str, str] = MappingProxyType({})


class Kind(StrEnum):
    """Why somebody is told: the law, and what they chose, treat each kind otherwise."""

    CODE = "code"  # they asked for it a moment ago, and wait
    SERVICE = "service"  # their bills and their money
    COMMERCIAL = "commercial"  # only with consent, and with a way out in each message


@dataclass(frozen=True, slots=True)
class Template:
    """A text a carrier has approved: its number there, and what fills its places."""

    id: str
    values: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Attachment:
    file_name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notice on its way.

    ``message_id`` is the same however often it is tried. ``address`` is the channel's own: an
    e-mail address, a phone number, a browser's subscription as JSON, an openid. ``topic``: a newer
    message of a topic replaces an older one that was not shown yet. ``unsubscribe_url`` takes a
    bare POST (RFC 8058); commercial messages have one.
    """

    message_id: str
    address: str
    title: str
    body: str
    body_html: str | None = None
    kind: Kind = Kind.SERVICE
    locale: str = "zh_CN"
    link: str = ""
    topic: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    unsubscribe_url: str = ""
    template: Template | None = None
    attachments: tuple[Attachment, ...] = ()


class Taken(NamedTuple):
    """A carrier's yes: that it took a message, not that anybody has it.

    ``ref`` is its number there, by which receipts name it; empty: the message's own id.
    """

    ref: str = ""
    delivered: bool = False  # it was shown to somebody before we got the answer


class Fate(StrEnum):
    """What a receipt says became of a message."""

    DELIVERED = "delivered"
    FAILED = "failed"
    READ = "read"


class Receipt(NamedTuple):
    """What a carrier says later; ``reason`` is its own word for a failure."""

    ref: str
    fate: Fate
    happened_at: datetime | None = None
    reason: str = ""


class TextReply(NamedTuple):
    """What somebody answered to a text; ``ref`` is the carrier's number of it, unique there."""

    ref: str
    phone: str
    text: str
    said_at: datetime | None = None


class Silent(Upstream):
    """The carrier was asked and did not answer: it may have taken the message, or not."""

    code = "carrier.silent"


class AddressGone(Upstream):
    """Nobody is at this address any more: forget it."""

    code = "address.gone"


class NotPermitted(Upstream):
    """The person has not allowed this message, or no longer does."""

    code = "address.not_permitted"


class Carrier(Protocol):
    """What takes messages of one channel.

    ``code`` is the carrier's own, ``channel`` what it is one of: ``email``, ``sms``, ``wechat``,
    ``push``, ``inbox``, ``tv``, ``webhook``, ``operators``. ``repeats_safely``: the same
    ``message_id`` sent twice is one message there.
    """

    code: str
    channel: str
    repeats_safely: bool

    def send(self, message: Message) -> Taken:
        """Hand one message over; returning means the far side took it.

        Never waits for longer than ten seconds. What it raises names no address and no secret.

        Raises:
            UpstreamUnavailable: it was not taken, and may be tried again later.
            Silent: nobody knows whether it was taken.
            AddressGone, NotPermitted: refused for good, and so is whatever else goes there.
            Upstream: refused for good: a wrong address, content that is not allowed.
        """
        ...

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        """Read what the carrier called us with; a carrier without receipts returns none.

        Args:
            headers: names in lower case.

        Raises:
            NotSignedIn: it is not the carrier who calls.
            Invalid: it is not what the carrier's documentation describes.
        """
        ...

    def acknowledge(self) -> tuple[str, bytes]:
        """Return the content type and body a carrier wants to hear when its call was kept."""
        ...


@runtime_checkable
class Hears(Protocol):
    """A carrier whose receipts come over the connection it is handed messages by."""

    code: str

    def hear(self, keep: Callable[[list[Receipt]], bool]) -> None:
        """Say who keeps receipts, before the first message is sent.

        ``keep`` is called by a thread of the carrier's own and returns whether they are kept for
        good; what was not, is said again later. What was kept may be said again, too.
        """
        ...


@runtime_checkable
class BringsReplies(Protocol):
    """A carrier that calls us with what people answered to texts."""

    code: str

    def read_replies(self, headers: Mapping[str, str], body: bytes) -> list[TextReply]:
        """Read what the carrier called us with; headers and errors as of ``read_receipts``."""
        ...

    def acknowledge_replies(self) -> tuple[str, bytes]:
        """Return the content type and body it wants to hear when its call was kept."""
        ...


@runtime_checkable
class HearsReplies(Protocol):
    """A carrier that hears what people answered over the connection it hands messages over."""

    code: str

    def hear_replies(self, keep: Callable[[list[TextReply]], bool]) -> None:
        """Say who keeps replies, before the first message is sent; ``keep`` as of ``Hears``."""
        ...


class WithoutReceipts:
    """What a carrier that never calls back says of receipts."""

    def read_receipts(self, headers: Mapping[str, str], body: bytes) -> list[Receipt]:
        return []

    def acknowledge(self) -> tuple[str, bytes]:
        return "text/plain", b""
