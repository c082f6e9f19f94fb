"""Which companies there are, and who reads their files.

A company is a TOML profile in ``providers/profiles`` or an entry point of the group
``citybill.providers``: docs/adding-a-provider.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from core.errors import Invalid, NotFound
from providers.base import BillFileReader
from providers.formats.delimited import DelimitedReader
from providers.formats.fixed_width import FixedWidthReader
from providers.profiles import Profile, Service, load_profile

GROUP: Final = "citybill.providers"
PROFILES: Final = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A company whose bills we show and take money for."""

    code: str
    name: str  # as residents know it, in Chinese
    name_en: str
    service: Service
    phone: str  # customer service
    biller_no: str  # four digits: the first of the barcode on a paper bill
    reader: BillFileReader


class ReaderWithFacts(BillFileReader, Protocol):
    """What an entry point's callable returns: a reader that says whose files it reads."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def name_en(self) -> str: ...
    @property
    def service(self) -> Service: ...
    @property
    def phone(self) -> str: ...
    @property
    def biller_no(self) -> str: ...


def reader_from(profile: Profile) -> BillFileReader:
    """Return the reader of a profile's family of formats."""
    if profile.file.format == "delimited":
        return DelimitedReader(profile)
    return FixedWidthReader(profile)


def load_providers(profiles: Path, plugins: Iterable[EntryPoint]) -> Mapping[str, Provider]:
    """Gather the companies of a folder of profiles and of entry points, by code.

    Raises:
        Invalid: a profile is wrong, or two companies share a code or a biller number.
    """
    found = [_from_profile(load_profile(path)) for path in sorted(profiles.glob("*.toml"))]
    found += [_from_plugin(plugin) for plugin in plugins]
    by_code: dict[str, Provider] = {}
    billers: dict[str, str] = {}
    for provider in found:
        if provider.code in by_code:
            raise Invalid(f"two providers are called {provider.code!r}: give one another code")
        if provider.biller_no in billers:
            raise Invalid(
                f"{provider.code!r} and {billers[provider.biller_no]!r} share the biller_no"
                f" {provider.biller_no}: give one another"
            )
        by_code[provider.code] = provider
        billers[provider.biller_no] = provider.code
    return MappingProxyType(dict(sorted(by_code.items())))


def _from_profile(profile: Profile) -> Provider:
    return Provider(
        code=profile.code,
        name=profile.name,
        name_en=profile.name_en,
        service=profile.service,
        phone=profile.phone,
        biller_no=profile.biller_no,
        reader=reader_from(profile),
    )


def _from_plugin(plugin: EntryPoint) -> Provider:
    try:
        reader: ReaderWithFacts = plugin.load()()
        return Provider(
            code=reader.code,
            name=reader.name,
            name_en=reader.name_en,
            service=reader.service,
            phone=reader.phone,
            biller_no=reader.biller_no,
            reader=reader,
        )
    except (ImportError, AttributeError, TypeError) as wrong:
        raise Invalid(
            f"the entry point {plugin.name} = {plugin.value} is not a provider: {wrong}"
        ) from wrong


PROVIDERS: Final = load_providers(PROFILES, entry_points(group=GROUP))


def provider_codes() -> tuple[str, ...]:
    """Return the code of every company, in alphabetical order."""
    return tuple(PROVIDERS)


def get_provider(code: str) -> Provider:
    """Return a company by its code.

    Raises:
        NotFound: there is none; the message names those there are.
    """
    provider = PROVIDERS.get(code)
    if provider is None:
        known = ", ".join(PROVIDERS)
        raise NotFound(f"there is no provider {code[:32]!r}: the providers are {known}")
    return provider


def reader_for(code: str) -> BillFileReader:
    """Return the reader of a company's bill files.

    Raises:
        NotFound: there is no such company.
    """
    return get_provider(code).reader
