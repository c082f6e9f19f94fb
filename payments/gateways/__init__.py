"""Gateways by code, ours and other people's alike: entry points of group ``citybill.gateways``."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from core.errors import NotFound
from core.settings import Settings
from payments.gateways.base import Gateway, Spoken

NO_GATEWAY = "none"  # of a payment of nothing
_NOTHING = Spoken("无需缴费", "Nothing to pay")


def load_gateways(settings: Settings) -> dict[str, Gateway]:
    """Make every installed gateway that is configured; edges call it once."""
    made: dict[str, Gateway] = {}
    for point in entry_points(group="citybill.gateways"):
        make: Callable[[Settings], Gateway | None] = point.load()
        gateway = make(settings)
        if gateway is not None:
            made[point.name] = gateway
    return made


def gateway_label(gateways: Mapping[str, Gateway], code: str) -> Spoken:
    """Return a gateway's name for people; one that is no longer installed has its code."""
    if code == NO_GATEWAY:
        return _NOTHING
    return gateways[code].name if code in gateways else Spoken(code, code)


def gateway_named(gateways: dict[str, Gateway], code: str) -> Gateway:
    """Return a gateway.

    Raises:
        NotFound: none of that code is installed.
    """
    if code not in gateways:
        raise NotFound(f"there is no gateway {code!r}; there are {', '.join(sorted(gateways))}")
    return gateways[code]
