"""Whose file somebody holds in their hands, and of which day: who can read it, has written it.

A file names its day in its rows, in a line of its frame, or in its name. Each day found is tried
with each reader; every reader refuses another's file and another day's.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import NamedTuple

from core.errors import BillFileError, SettlementFileError
from payments.gateways.base import Gateway
from payments.packed import unpacked
from payments.reconciliation.company.lists import companies_with_lists
from payments.reconciliation.gateway.sources import with_files
from payments.reconciliation.intake.receiving import BANK, Given
from payments.reconciliation.models import Leg
from payments.statements.profiles import BankProfile, bank_profiles
from payments.statements.reading import read_statements
from providers.confirmations import read_confirmations

_MOST_DAYS = 12
_LOOKED_AT = 4 << 20  # of what is in the file: its days stand in every row
_DAYS = tuple(map(re.compile, (
    r"(?<![0-9])(20[0-9]{2})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?![0-9])",
    r"(?<![0-9])(20[0-9]{2})年([0-9]{1,2})月([0-9]{1,2})日",
    r"(?<![0-9])(20[0-9]{2})([01][0-9])([0-3][0-9])(?:(?=[0-9]{6})|(?![0-9]))",
    r"(?<![0-9])([0-9]{2})([01][0-9])([0-3][0-9])(?=88ZM)",
)))  # fmt: skip


class NotClear(NamedTuple):
    """Nobody, or more than one, can read it; ``furthest`` is who came furthest, and why no more."""

    found: list[Given]
    furthest: tuple[Given, BillFileError] | None


def tell(
    content: bytes, given: Given, gateways: Mapping[str, Gateway], *, file_name: str
) -> Given | NotClear:
    """Return what a file is, as far as what was said of it lets it be."""
    named, days = _days_of(content, given, file_name)
    found: list[Given] = []
    wrong: list[tuple[Given, BillFileError]] = []
    for one, reads in _readers(content, given, gateways):
        fits: list[tuple[date | None, int]] = []
        for day in days if one.leg is not Leg.BANK else [None]:
            try:
                rows = reads(day)
            except BillFileError as refused:
                wrong.append((one._replace(day=day), refused))
                continue
            fits.append((day, rows))
            if rows:
                break
        found += _of_a_day(one, fits, named)
    if len(found) == 1 and (found[0].day is not None or found[0].leg is Leg.BANK):
        return found[0]
    # A CSV is read to its end for a header that is not there: that is not far.
    came = [one for one in wrong if one[0].leg is not Leg.COMPANY and not one[0].profile]
    furthest = max(came, key=lambda one: one[1].line_no or 0, default=None)
    return NotClear(found, furthest if not found else None)


def _of_a_day(one: Given, fits: list[tuple[date | None, int]], named: list[date]) -> list[Given]:
    """Return what a file is for a reader: without a row, only its name can say of which day."""
    if not fits:
        return []
    if fits[-1][1] or len(fits) == 1:
        return [one._replace(day=fits[-1][0])]
    by_name = [day for day, _ in fits if day in named]
    return [one._replace(day=by_name[0] if len(by_name) == 1 else None)]


class _Reads(NamedTuple):
    """One way of reading a file; called, it returns how many rows there are."""

    what: Given
    content: bytes
    gateway: Gateway | None = None
    profile: BankProfile | None = None

    def __call__(self, day: date | None) -> int:
        stream = io.BytesIO(self.content)
        if self.what.leg is Leg.BANK:
            told = read_statements(stream, name="", profile=self.profile)
            return sum(len(one.entries) for one in told)
        assert day is not None
        if self.gateway is not None:
            return sum(1 for _ in self.gateway.read_settlement(stream, day=day))
        layout = companies_with_lists()[self.what.source].confirmation
        assert layout is not None
        listed = read_confirmations(stream, layout, day=day)
        if listed.reject_count or not listed.count:
            raise BillFileError("no list of this company and day", line_no=1)
        return listed.count


def _readers(
    content: bytes, given: Given, gateways: Mapping[str, Gateway]
) -> Iterator[tuple[Given, _Reads]]:
    """Yield who may have written a file, with how it is read."""
    if given.leg in (None, Leg.GATEWAY):
        for code, gateway in sorted(with_files(gateways).items()):
            if given.source in ("", code):
                what = Given(Leg.GATEWAY, code)
                yield what, _Reads(what, content, gateway=gateway)
    if given.leg in (None, Leg.BANK):
        for profile in (None, *_profiles(content, given)):
            what = Given(Leg.BANK, BANK, None, profile.code if profile else "")
            yield what, _Reads(what, content, profile=profile)
    if given.leg in (None, Leg.COMPANY):
        for code in sorted(companies_with_lists()):
            if given.source in ("", code):
                what = Given(Leg.COMPANY, code)
                yield what, _Reads(what, content)


def _profiles(content: bytes, given: Given) -> list[BankProfile]:
    """Return the layouts a bank's CSV may have; the other formats need none, and take none."""
    with suppress(BillFileError):
        read_statements(io.BytesIO(content), name="")
        return []
    known = bank_profiles()
    return [known[given.profile]] if given.profile in known else list(known.values())


def _days_of(content: bytes, given: Given, file_name: str) -> tuple[list[date], list[date]]:
    """Return the days a file's name says, and all that may be its own, the likeliest first."""
    if given.day is not None:
        return [given.day], [given.day]
    named = list(dict.fromkeys(_days_in(file_name)))
    within = Counter(day for text in _texts(content) for day in _days_in(text))
    days = dict.fromkeys(named + [day for day, _ in within.most_common(_MOST_DAYS)])
    # A moment of Greenwich is on the next day in Shanghai for a third of its day.
    beside = [day + timedelta(days=1) for day, _ in within.most_common(2)]
    before = [day - timedelta(days=1) for day, _ in within.most_common(1)]
    return named, list(dict.fromkeys([*days, *beside, *before]))


def _days_in(words: str) -> Iterator[date]:
    for pattern in _DAYS:
        for match in pattern.finditer(words):
            year, month, day = map(int, match.groups())
            with suppress(ValueError):
                yield date(year if year > 99 else 2000 + year, month, day)


def _texts(content: bytes) -> Iterator[str]:
    """Yield what can be read in a file without knowing its format, packed ones too."""
    with suppress(SettlementFileError):
        for name, raw in unpacked(content):
            yield name
            yield _plain(raw[:_LOOKED_AT])


def _plain(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("gb18030", "replace")
