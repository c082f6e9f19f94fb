"""Asking a carrier to take a message, and what its answer means."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from core.errors import Upstream, UpstreamUnavailable
from notifications.channels.base import AddressGone, Carrier, Message, NotPermitted, Silent


class Answer(StrEnum):
    """What a carrier said, the best first: of several browsers one is enough."""

    TAKEN = "taken"
    SILENT = "silent"  # it may have it, or not
    NOT_NOW = "not_now"
    BROKEN = "broken"  # the adapter failed, in a way nobody foresaw
    NOT_PERMITTED = "not_permitted"
    REFUSED = "refused"
    GONE = "gone"


_RANK = {answer: rank for rank, answer in enumerate(Answer)}


class Reply(NamedTuple):
    """A carrier's answer to one message; ``ref`` is what receipts will call it."""

    answer: Answer
    carrier: str
    ref: str
    reason: str | None = None
    delivered: bool = False
    gone: tuple[str, ...] = ()  # addresses where nobody is any more
    took_ms: int = 0


def ask(carrier: Carrier, message: Message) -> Reply:
    """Hand a message to a carrier once; what no carrier may raise, is raised."""

    def no(answer: Answer, reason: str) -> Reply:
        return Reply(answer, carrier.code, message.message_id, reason)

    try:
        taken = carrier.send(message)
    except UpstreamUnavailable:
        return no(Answer.NOT_NOW, "unavailable")
    except Silent:
        return no(Answer.SILENT, "silent")
    except AddressGone:
        return no(Answer.GONE, "address_gone")._replace(gone=(message.address,))
    except NotPermitted:
        return no(Answer.NOT_PERMITTED, "not_permitted")
    except Upstream as never:
        return no(Answer.REFUSED, never.code)
    return Reply(Answer.TAKEN, carrier.code, taken.ref or message.message_id, None, taken.delivered)


def broken(carrier: Carrier, message: Message) -> Reply:
    """Return what stands for an answer where the adapter failed."""
    return Reply(Answer.BROKEN, carrier.code, message.message_id, "broken")


def ask_each(carrier: Carrier, messages: Sequence[Message]) -> Reply:
    """Hand the same words to all of somebody's addresses; the best answer counts."""
    started = time.monotonic_ns()
    replies = [ask(carrier, message) for message in messages]
    best = min(replies, key=lambda one: _RANK[one.answer])
    return best._replace(
        gone=tuple(address for one in replies for address in one.gone),
        delivered=any(one.delivered for one in replies),
        took_ms=(time.monotonic_ns() - started) // 1_000_000,
    )
