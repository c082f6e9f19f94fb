"""Which client each company has: from the configuration, an entry point or a declaration."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

from core.errors import Invalid
from core.settings import UtilityApi
from providers.base import UtilityClient, WriteOffReverser
from providers.clients.declarations import Declaration, load_declaration
from providers.clients.declared import APIS, OWN_PROTOCOL, Clock, DeclaredClient
from providers.clients.guarded import GuardedClient, Limits

GROUP: Final = "citybill.utility_clients"
Factory = Callable[[str, str, Clock], UtilityClient]


def load_clients(
    apis: Mapping[str, UtilityApi], clock: Clock, plugins: Iterable[EntryPoint] | None = None
) -> dict[str, GuardedClient]:
    """Make the guarded client of every configured company, by code.

    Raises:
        Invalid: a declaration is wrong, or an entry point is no client.
    """
    points = entry_points(group=GROUP) if plugins is None else plugins
    by_code = {point.name: point for point in points}
    return {
        code: GuardedClient(_client(code, api, clock, by_code.get(code)), limits_of(api), clock)
        for code, api in apis.items()
    }


def taking_back(
    apis: Mapping[str, UtilityApi], plugins: Iterable[EntryPoint] | None = None
) -> frozenset[str]:
    """Return which companies can be asked to take a write-off back; nobody is asked for it."""
    points = entry_points(group=GROUP) if plugins is None else plugins
    by_code = {point.name: point for point in points}
    return frozenset(
        code for code, api in apis.items() if _takes_back(code, api, by_code.get(code))
    )


def _takes_back(code: str, api: UtilityApi, point: EntryPoint | None) -> bool:
    if api.declaration is None and point is not None:
        return hasattr(point.load(), WriteOffReverser.reverse_write_off.__name__)
    return _declared(_declaration(code, api)).reversal is not None


@lru_cache(maxsize=32)
def _declared(path: Path) -> Declaration:
    return load_declaration(path)


def limits_of(api: UtilityApi) -> Limits:
    """Return what was agreed with a company about being called."""
    return Limits.model_validate(api.model_dump(include=set(Limits.model_fields)))


def spoken_by(code: str, api: UtilityApi, plugins: Iterable[EntryPoint] | None = None) -> str:
    """Return where a company's way of speaking is written, for people."""
    points = entry_points(group=GROUP) if plugins is None else plugins
    point = next((one for one in points if one.name == code), None)
    return point.value if api.declaration is None and point else _declaration(code, api).name


def _client(code: str, api: UtilityApi, clock: Clock, point: EntryPoint | None) -> UtilityClient:
    secret = api.secret.get_secret_value()
    if api.declaration is not None or point is None:
        return DeclaredClient(
            load_declaration(_declaration(code, api)), api.base_url, secret, clock
        )
    try:
        make: Factory = point.load()
        return make(api.base_url, secret, clock)
    except (ImportError, AttributeError, TypeError) as wrong:
        raise Invalid(
            f"the entry point {point.name} = {point.value} is no utility client: {wrong}"
        ) from wrong


def _declaration(code: str, api: UtilityApi) -> Path:
    ours = APIS / f"{code}.toml"
    return api.declaration or (ours if ours.is_file() else OWN_PROTOCOL)
