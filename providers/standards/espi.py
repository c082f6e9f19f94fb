"""Green Button (NAESB REQ.21, ESPI): an Atom feed whose every ``UsageSummary`` is a bill.

Source: docs/standards.md, Green Button.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import date, timedelta
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO, Final, cast

from lxml import etree

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, Heading, Reject
from providers.formats.cells import shown
from providers.formats.rows import RowFault, reject
from providers.profiles import Profile
from providers.standards.currencies import LETTERS
from providers.standards.drafts import Draft, Judge
from providers.standards.espi_links import Known, Links, Node, links_of
from providers.standards.espi_summary import (
    items_of,
    read_amount,
    read_lines,
    read_period,
    read_usage,
)
from providers.standards.espi_time import SHANGHAI, days_anywhere
from providers.standards.local_names import LocalNames
from providers.standards.xml_guard import Element, documents, every, text

_IN_MEMORY: Final = 512 * 1024  # of a feed; the rest is on disk
_COPY: Final = 64 * 1024
_ENTRIES: Final = LocalNames({"entry"})
_SUMMARIES: Final = ("UsageSummary", "ElectricPowerUsageSummary")
_SERVICES: Final = {"power": ("0",), "gas": ("1",), "water": ("2", "6"), "telecom": ("9",)}
_OUR_SERVICES: Final = {code: name for name, codes in _SERVICES.items() for code in codes}
_LATE: Final = 70  # days within which a statement follows its period
_PLACES: Final = {
    "account_no": "CustomerAccount", "bill_no": "link rel=self", "amount": "billLastPeriod",
    "currency": "currency", "issued": "Statement/issueDateTime", "period_to": "billingPeriod",
    "billing_month": "billingPeriod", "due": "due", "items": "note",
}  # fmt: skip
# Parts of a path that are followed by a number which may be the customer's.
_NUMBERED: Final = (
    "CustomerAccount", "Account", "CustomerAgreement", "Customer", "UsagePoint", "RetailCustomer",
    "User", "Subscription",
)  # fmt: skip
# A place in somebody's list, such as UsagePoint/01: every customer has one, so it names nobody.
_ORDINAL: Final = re.compile(r"0*[0-9]{1,2}")


class EspiReader:
    """Reads a company's Green Button feeds; see `BillFileReader`.

    A summary may come before the usage point and the customer it belongs to, so the feed is gone
    through twice, over a copy of its own.
    """

    def __init__(self, profile: Profile, judge: Judge | None = None) -> None:
        self._profile = profile
        self._judge = judge or Judge(profile)
        self._fits = re.compile(profile.bill_no.pattern, re.ASCII).fullmatch

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as copy:
            while block := stream.read(_COPY):
                copy.write(block)
            known = _know(copy)
            _refuse_without_summaries(known)
            for line_no, entry, content, kind in _contents(copy):
                if kind in _SUMMARIES:
                    yield self._bill(known, line_no, entry, content)

    def _bill(
        self, known: Known, line_no: int, entry: Element, summary: Element
    ) -> BillRecord | Reject:
        try:
            return self._judge(self._draft(known, line_no, entry, summary))
        except RowFault as fault:
            return reject(line_no, fault.column, fault.reason, _raw(summary))
        except Invalid as wrong:
            return reject(line_no, "amount", wrong.message, _raw(summary))

    def _draft(self, known: Known, line_no: int, entry: Element, summary: Element) -> Draft:
        links = links_of(entry)
        nodes = known.around(links)
        self._check_service(nodes)
        start, end = read_period(summary)
        stated_clock = known.local_time(links, nodes)
        local = stated_clock or SHANGHAI
        from_on, to_on = local.days(start, end) if stated_clock else days_anywhere(start, end)
        accounts = _accounts(links, nodes)
        lines = read_lines(summary)
        amount = read_amount(summary, lines)
        usage = read_usage(summary)
        chinese = self._profile.currency == "CNY"
        stated = [local.day(moment) for moment in known.issued(links, nodes)]
        return Draft(
            line_no=line_no,
            raw=_raw(summary),
            accounts=accounts,
            bill_no=self._bill_no(links, nodes, accounts, from_on),
            holder_name=next((node.name for node in reversed(nodes) if node.name), ""),
            address=next((node.address for node in nodes if node.address), ""),
            issued_on=_issued_on(stated, to_on),
            period_from_on=from_on,
            period_to_on=to_on,
            usage=usage[0],
            usage_unit=usage[1],
            currency=_currency(text(summary, "currency"), known.currencies),
            amount=amount,
            items=items_of(summary, lines, amount, usage, chinese=chinese),
            places=_PLACES,
        )

    def _check_service(self, nodes: list[Node]) -> None:
        """Refuse the gas bills of a feed that two companies' profiles may read."""
        for node in nodes:
            other = _OUR_SERVICES.get(node.service, self._profile.service)
            if node.kind == "UsagePoint" and other != self._profile.service:
                raise RowFault(
                    "ServiceCategory",
                    f"the usage point is one of {other}, and {self._profile.name} bills"
                    f" {self._profile.service}: send it to the company it belongs to",
                )

    def _bill_no(
        self, links: Links, nodes: list[Node], accounts: list[tuple[str, str]], from_on: date
    ) -> str:
        """Return a number made of the summary's own path: the same whenever it is sent again."""
        parts = links.own.split("/")
        point = parts[parts.index("UsagePoint") + 1] if "UsagePoint" in parts[:-1] else ""
        if not point:
            point = next((n.path.rpartition("/")[2] for n in nodes if n.kind == "UsagePoint"), "")
        own = links.id if links.id not in _SUMMARIES else ""
        point, own = (re.sub(r"[^0-9A-Za-z-]", "", name) for name in (point, own))
        if own == point:  # some feeds call every summary after its usage point
            own = ""
        if not point or _ORDINAL.fullmatch(point):
            whose = next((number for number, _ in accounts if number), "")
            point = "-".join(filter(None, (re.sub(r"[^0-9A-Za-z-]", "", whose), point)))
        day = f"{from_on:%Y%m%d}"
        digest = hashlib.sha256((links.own or day).encode()).hexdigest().upper()
        made = [f"{point}-{own}"] if point and own else []
        made += [own] if own and not _ORDINAL.fullmatch(own) else []
        made += [f"{point}-{day}"] if point else []
        made += [day, digest[:32], digest[:20], digest[:16], digest[:12]]
        return next((number for number in made if self._fits(number)), made[0])


def _know(copy: IO[bytes]) -> Known:
    known = Known()
    for line_no, entry, content, kind in _contents(copy):
        known.add(line_no, entry, content, kind)
    return known


def _contents(copy: IO[bytes]) -> Iterator[tuple[int, Element, Element, str]]:
    """Yield every resource of a feed from its beginning, with the entry it is in."""
    copy.seek(0)
    for line_no, entry in documents(copy, _ENTRIES):  # type: ignore[arg-type]
        for held in every(entry, "content"):
            for content in held.iterchildren("*"):
                down = cast(int, content.sourceline) - cast(int, entry.sourceline)
                yield line_no + down, entry, content, str(content.tag).rpartition("}")[2]


def _refuse_without_summaries(known: Known) -> None:
    if known.summaries:
        return
    if known.readings:
        raise BillFileError(
            "the feed holds meter readings but no UsageSummary, and so no bill: ask for the export"
            " that includes billing, or send it to where readings are taken",
            line_no=1,
        )
    raise BillFileError(
        "there is no UsageSummary in any entry: check that this is a Green Button feed with bills",
        line_no=1,
    )


def _raw(summary: Element) -> str:
    return etree.tostring(summary, encoding="unicode", with_tail=False)


def _accounts(links: Links, nodes: list[Node]) -> list[tuple[str, str]]:
    """Return what may be the customer's number: stated ones first, then those of the paths."""
    upwards = sorted(nodes, key=lambda node: _NUMBERED.index(node.kind)
                     if node.kind in _NUMBERED else len(_NUMBERED))  # fmt: skip
    found = [number for node in upwards for number in node.numbers]
    paths = [node.path.split("/") for node in upwards] + [links.own.split("/")]
    for name in _NUMBERED:
        for parts in paths:
            number = parts[parts.index(name) + 1] if name in parts[:-1] else ""
            if _ORDINAL.fullmatch(number):
                found.append(("", f"{name}/{number} in its path, a place in a list"))
            elif number:
                found.append((number, f"the {name} of its path"))
    return list(dict.fromkeys(found))


def _issued_on(stated: list[date], to_on: date) -> date:
    """Return the day of the statement that follows a period, or else the period's last."""
    latest = to_on + timedelta(days=_LATE)
    return next((day for day in stated if to_on <= day <= latest), to_on)


def _currency(words: str, others: set[str]) -> str:
    """Return the letters of a currency; where the summary has none, those of all its readings.

    Raises:
        RowFault: nobody knows it.
    """
    if not words:
        words = next(iter(others)) if len(others) == 1 else ""
    if not words.strip("0"):
        return ""
    letters = words if words in LETTERS.values() else LETTERS.get(words.zfill(3))
    if letters is None:
        raise RowFault(
            "currency", f"{shown(words)} is no currency we know: write its number of ISO 4217"
        )
    return letters
