"""Gateways by code, ours and other people's alike: entry points of group ``citybill.gateways``."""

from collections.abc import Callable
from importlib.metadata import entry_points

from core.errors import NotFound
from core.settings import Settings
from payments.gateways.base import Gateway


def load_gateways(settings: Settings) -> dict[str, Gateway]:
    """Make every installed gateway that is configured; edges call it once."""
    made: dict[str, Gateway] = {}
    for point in entry_points(group="citybill.gateways"):
        make: Callable[[Settings], Gateway | None] = point.load()
        gateway = make(settings)
        if gateway is not None:
            made[point.name] = gateway
    return made


def gateway_label(gateways: dict[str, Gateway], code: str) -> str:
    """Return a gateway's name for people, also of one that is no longer installed."""
    return gateways[code].name if code in gateways else code


def gateway_named(gateways: dict[str, Gateway], code: str) -> Gateway:
    """Return a gateway.

    Raises:
        NotFound: none of that code is installed.
    """
    if code not in gateways:
        raise NotFound(f"there is no gateway {code!r}; there are {', '.join(sorted(gateways))}")
    return gateways[code]
