"""What every channel promises."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notice on its way. ``message_id`` is the same however often it is tried."""

    message_id: str
    address: str
    title: str
    body: str
    body_html: str | None = None


class Channel(Protocol):
    code: str

    def send(self, message: Message) -> None:
        """Hand one message over; returning means the far side took it.

        Raises:
            UpstreamUnavailable: not now; try again later.
            Upstream: refused for good: a wrong address, content that is not allowed.
        """
        ...
