"""Carriers by code, ours and other people's alike: entry points of group ``citybill.channels``."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from core.errors import Invalid
from core.settings import Settings
from notifications.channels.base import Carrier


def load_carriers(settings: Settings) -> dict[str, Carrier]:
    """Make every carrier that is configured; edges call it once.

    Raises:
        Invalid: settings name a carrier nobody has installed.
    """
    made: dict[str, Carrier] = {}
    installed = {point.name: point for point in entry_points(group="citybill.channels")}
    unknown = (settings.carriers.keys() | settings.carrier_weights.keys()) - installed.keys()
    if unknown:
        raise Invalid(
            f"CITYBILL_CARRIERS names {', '.join(sorted(unknown))}; installed are"
            f" {', '.join(sorted(installed))}",
            code="carrier.unknown",
        )
    for code, point in installed.items():
        make: Callable[[Settings], Carrier | None] = point.load()
        carrier = make(settings)
        if carrier is not None:
            made[code] = carrier
    return made


def by_channel(
    carriers: Mapping[str, Carrier], weights: Mapping[str, int]
) -> dict[str, list[Carrier]]:
    """Return each channel's carriers, the heaviest first; of weight 0 are those not to be used."""
    found: dict[str, list[Carrier]] = {}
    for code in sorted(carriers, key=lambda code: (-weights.get(code, 1), code)):
        if weights.get(code, 1):
            found.setdefault(carriers[code].channel, []).append(carriers[code])
    return found
