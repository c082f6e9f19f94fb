"""Which gateways may collect a payment, and which is asked first.

Pure: what a gateway can do, what the companies take, an amount and who is down come as arguments,
and the same arguments give the same answer. ``payments.opening`` acts upon it.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from billing.rules.fees import check_limit
from billing.rules.terms import Channel, Mode, Terms
from core.errors import Invalid, NotFound
from payments.gateways import gateway_named
from payments.gateways.base import Capabilities, Gateway, Spoken

_WHOLE_PPM = 10**6
_ANY = "mode:"


class Way(NamedTuple):
    """How somebody wants to pay: by a named gateway, or by whichever serves a mode best."""

    mode: str
    gateway: str | None = None

    @property
    def text(self) -> str:
        """What names it in a form: ``read_way`` reads it back."""
        return f"{_ANY}{self.mode}" if self.gateway is None else f"{self.gateway}:{self.mode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WayToPay:
    """A way that is offered. ``names`` and ``down`` are of the gateways behind it, best first."""

    way: Way
    names: tuple[Spoken, ...]
    description: Spoken | None
    down: bool  # none of them can be reached at the moment


def read_way(text: str, gateways: Mapping[str, Gateway]) -> Way:
    """Read a way: ``alipay``, ``stripe:card`` or ``mode:card``.

    Raises:
        NotFound: no such gateway, or nobody who takes money that way.
    """
    if text.startswith(_ANY):
        mode = text.removeprefix(_ANY)
        if any(mode in one.capabilities.modes for one in gateways.values()):
            return Way(mode)
        raise NotFound(f"no gateway takes money by {mode!r}", code="gateway.no_mode")
    code, _, mode = text.partition(":")
    modes = gateway_named(dict(gateways), code).capabilities.modes
    if mode and mode not in modes:
        raise NotFound(
            f"the gateway {code!r} does not take money by {mode!r}; it does by {', '.join(modes)}",
            code="gateway.no_mode",
        )
    return Way(mode or modes[0], code)


def route(
    gateways: Mapping[str, Gateway],
    way: Way,
    *,
    channel: str,
    amount_fen: int,
    down: Container[str] = frozenset(),
) -> tuple[str, ...]:
    """Return the gateways that may collect an amount this way, in the order they are asked.

    Those that can be reached come first, then the cheapest for this amount, then by code.

    Raises:
        Invalid: none may.
    """
    fit = [
        (code in down, cost_fen(one.capabilities, amount_fen), code)
        for code, one in gateways.items()
        if way.gateway in (None, code)
        and takes(one.capabilities, mode=way.mode, channel=channel, amount_fen=amount_fen)
    ]
    if not fit:
        raise Invalid(
            "this amount cannot be paid this way here: choose another way to pay",
            code="gateway.none_fits", asked_fen=amount_fen,
        )  # fmt: skip
    return tuple(code for _, _, code in sorted(fit))


def where_paid(mode: str, channel: str) -> str:
    """Return where money is laid down: cash at a counter, wherever its payer chose it (rule 5)."""
    return Channel.COUNTER if mode == Mode.CASH else channel


def takes(can: Capabilities, *, mode: str, channel: str, amount_fen: int) -> bool:
    """Tell whether a gateway takes an amount by a mode on a channel."""
    return (
        mode in can.modes
        and where_paid(mode, channel) in can.channels
        and can.minimum_fen <= amount_fen
        and (can.maximum_fen is None or amount_fen <= can.maximum_fen)
    )


def cost_fen(can: Capabilities, amount_fen: int) -> int:
    """Return what an order costs the city at a gateway, half a fen rounded up."""
    return can.cost_fen + (amount_fen * can.cost_ppm + _WHOLE_PPM // 2) // _WHOLE_PPM


def companies_take(
    terms: Mapping[str, Terms], by_company: Mapping[str, int], *, mode: str, channel: str
) -> bool:
    """Tell whether every company of a payment is paid this way, so much at once (rule 5)."""
    where = where_paid(mode, channel)
    try:
        for code, amount_fen in by_company.items():
            check_limit(terms[code], mode=mode, channel=where, amount_fen=amount_fen)
    except Invalid:
        return False
    return True


def ways_to_pay(
    gateways: Mapping[str, Gateway],
    terms: Mapping[str, Terms],
    by_company: Mapping[str, int],
    *,
    channel: str,
    amount_fen: int,
    down: Container[str] = frozenset(),
) -> list[WayToPay]:
    """Return how a payment can be made, the best first, those that are down last.

    A mode that several gateways serve is a way of its own, beside each of them by name.

    Args:
        by_company: company code → all that is paid to it.
        amount_fen: everything, the fee included.
    """
    ways: list[WayToPay] = []
    for mode in Mode:
        if not companies_take(terms, by_company, mode=mode, channel=channel):
            continue
        try:
            codes = route(
                gateways, Way(mode), channel=channel, amount_fen=amount_fen, down=down
            )  # fmt: skip
        except Invalid:
            continue
        brands = [_way(gateways, Way(mode, code), (code,), down) for code in codes]
        several = [_way(gateways, Way(mode), codes, down)] if len(codes) > 1 else []
        # A card works at any of them; a wallet is one's own, so nobody is sent to another unasked.
        ways += [*brands, *several] if mode is Mode.WALLET else [*several, *brands]
    return sorted(ways, key=lambda one: one.down)


def _way(
    gateways: Mapping[str, Gateway], way: Way, codes: tuple[str, ...], down: Container[str]
) -> WayToPay:
    return WayToPay(
        way=way,
        names=tuple(gateways[code].name for code in codes),
        description=None if way.gateway is None else gateways[way.gateway].description,
        down=all(code in down for code in codes),
    )
