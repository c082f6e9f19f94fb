"""Channels by code, ours and other people's alike: entry points of group ``citybill.channels``."""

from collections.abc import Callable
from importlib.metadata import entry_points

from core.settings import Settings
from notifications.channels.base import Channel


def load_channels(settings: Settings) -> dict[str, Channel]:
    """Make every installed channel from the configuration; edges call it once."""
    made: dict[str, Channel] = {}
    for point in entry_points(group="citybill.channels"):
        make: Callable[[Settings], Channel] = point.load()
        made[point.name] = make(settings)
    return made
