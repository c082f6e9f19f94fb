"""Which companies there are, and who reads their files.

A company is a TOML profile in ``providers/profiles`` or in a folder that an edge adds at its start,
or an entry point of the group ``citybill.providers``: docs/adding-a-provider.md.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Final, Protocol

from core.errors import Invalid, NotFound
from providers.base import BillFileReader
from providers.confirmation_layout import ConfirmationLayout, layout_of
from providers.delivery import Delivery
from providers.formats.columnar import is_columnar
from providers.formats.columnar_reader import ColumnarReader
from providers.formats.delimited import DelimitedReader
from providers.formats.fixed_width import FixedWidthReader
from providers.formats.tabular import TabularReader
from providers.formats.unwrapping import Unwrapped
from providers.profile_checks import Fault
from providers.profile_confirmation import ConfirmationTable
from providers.profile_tables import Format, Rule
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
    profile: Profile | None = None  # of a company whose reader is made from one
    confirmation: ConfirmationLayout | None = None  # its day's list of write-offs, if it has one

    @property
    def delivery(self) -> Delivery | None:
        """How its files come to us, where its profile says so."""
        return self.profile.delivery if self.profile is not None else None

    @property
    def profile_sha256(self) -> str | None:
        """Tells its profile from any other; None where its reader is made of none."""
        if self.profile is None:
            return None
        return hashlib.sha256(self.profile.model_dump_json().encode()).hexdigest()


class ReaderWithFacts(BillFileReader, Protocol):
    """What an entry point's callable returns: a reader that says whose files it reads.

    It may have a ``confirmation``, too: a `ConfirmationTable` of the company's lists of write-offs.
    """

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


def text_reader(profile: Profile) -> BillFileReader:
    """Return the fastest reader of a text file that can read it; the last takes everything."""
    if is_columnar(profile):
        return ColumnarReader(profile)
    if not profile.is_plain:
        return TabularReader(profile)
    if profile.file.format == "delimited":
        return DelimitedReader(profile)
    return FixedWidthReader(profile)


# By name, so that a process loads only what its companies send: some of it takes a while.
READERS: Final[dict[Format, str]] = {
    "delimited": "providers.registry:text_reader",
    "fixed_width": "providers.registry:text_reader",
    "spreadsheet": "providers.formats.spreadsheet:SpreadsheetReader",
    "json": "providers.formats.json_rows:JsonReader",
    "json_lines": "providers.formats.json_rows:JsonLinesReader",
    "xml": "providers.formats.xml_rows:XmlReader",
    "ubl": "providers.standards.ubl:UblReader",
    "cii": "providers.standards.cii:CiiReader",
    "espi": "providers.standards.espi:EspiReader",
    "pain_013": "providers.standards.pain_013:Pain013Reader",
    "x12_810": "providers.standards.x12_810:X12Reader",
}


def reader_from(profile: Profile) -> BillFileReader:
    """Return the reader of a profile's family of formats, which takes compressed files too.

    Raises:
        Invalid: the profile asks of that reader what it cannot do.
    """
    make: Callable[[Profile], BillFileReader] = resolve_name(READERS[profile.file.format])
    return Unwrapped(make(profile), takes_zip=profile.file.format == "spreadsheet")


def load_providers(profiles: Path, plugins: Iterable[EntryPoint]) -> Mapping[str, Provider]:
    """Gather the companies of a folder of profiles and of entry points, by code.

    Raises:
        Invalid: a profile is wrong, or two companies share a code or a biller number.
    """
    found = [_from_profile(load_profile(path)) for path in sorted(profiles.glob("*.toml"))]
    found += [_from_plugin(plugin) for plugin in plugins]
    return MappingProxyType(_by_code(found))


def _by_code(found: Iterable[Provider]) -> dict[str, Provider]:
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
    return dict(sorted(by_code.items()))


def _from_profile(profile: Profile) -> Provider:
    return Provider(
        code=profile.code,
        name=profile.name,
        name_en=profile.name_en,
        service=profile.service,
        phone=profile.phone,
        biller_no=profile.biller_no,
        reader=reader_from(profile),
        profile=profile,
        confirmation=_lists_of(
            profile.confirmation, profile.code, profile.name, profile.account_no, profile.bill_no
        ),
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
            reader=Unwrapped(reader),
            confirmation=_lists_of(
                getattr(reader, "confirmation", None), reader.code, reader.name, Rule(), Rule()
            ),
        )
    except (ImportError, AttributeError, TypeError) as wrong:
        raise Invalid(
            f"the entry point {plugin.name} = {plugin.value} is not a provider: {wrong}"
        ) from wrong


def _lists_of(
    table: ConfirmationTable | None, code: str, name: str, account_no: Rule, bill_no: Rule
) -> ConfirmationLayout | None:
    """Return how a company's lists of write-offs are read, where it describes them."""
    if table is None:
        return None
    try:
        layout = layout_of(table, code, name, account_no=account_no, bill_no=bill_no)
    except Fault as wrong:
        raise Invalid(f"{code}: {wrong}", code="profile.invalid") from None
    reader_from(layout)  # which may find that it cannot
    return layout


_KNOWN: Final = dict(load_providers(PROFILES, entry_points(group=GROUP)))
_ADDED: Final[dict[str, str]] = {}  # the code of every company of an added folder: its file
PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType(_KNOWN)


def add_folder(folder: Path) -> None:
    """Add the companies of a folder of profiles to this process, once at its start.

    Again, for the same folder, changes nothing but what has changed in it.

    Raises:
        Invalid: there is no such folder, or a profile is wrong; its file and line are named.
    """
    if not folder.is_dir():
        raise Invalid(f"CITYBILL_PROFILES_DIR: there is no folder {folder}: make it")
    files = {path: load_profile(path) for path in sorted(folder.glob("*.toml"))}
    kept = [one for one in _KNOWN.values() if one.code not in _ADDED]
    added = [_from_profile(profile) for profile in files.values()]
    companies = _by_code([*kept, *added])
    _ADDED.clear()
    _ADDED.update({profile.code: str(path) for path, profile in files.items()})
    _KNOWN.clear()
    _KNOWN.update(companies)


def source_of(code: str) -> str:
    """Return where a company's profile is: an added file, ``built in``, or ``entry point``."""
    if code in _ADDED:
        return _ADDED[code]
    return "built in" if get_provider(code).profile is not None else "entry point"


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
