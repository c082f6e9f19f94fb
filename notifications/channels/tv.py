"""A paired television on our own pages: the notice's row is what it shows, until somebody reads it.

Taken is not delivered: that it is once a page with it was asked for (``notifications.television``).
"""

from core.settings import Settings
from notifications.channels.base import Message, Taken, WithoutReceipts


class Television(WithoutReceipts):
    code = channel = "tv"
    repeats_safely = True

    def send(self, message: Message) -> Taken:
        """Nothing leaves the house."""
        return Taken()


def from_settings(_settings: Settings) -> Television:
    """Make the channel."""
    return Television()
