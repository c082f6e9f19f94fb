"""Who a Green Button feed speaks of: its entries, joined by their links and never by nesting.

An entry names itself by ``link rel=self``, whose path says where it belongs
(``…/UsagePoint/02/UsageSummary/7``), and others by ``rel=related``; ids are not unique. What a
summary belongs to is looked for along both, upwards only: to its usage point, from there to the
agreement, the account and the customer, and never down again to another's.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from core.errors import BillFileError, Invalid
from providers.standards.drafts import flat
from providers.standards.espi_time import (
    EARLIEST,
    LATEST,
    LocalTime,
    read_local_time,
    read_seconds,
)
from providers.standards.xml_guard import Element, every, first, text

_LIMIT: Final = 200_000  # entries kept in memory
_LINKS: Final = 64  # of one entry
_PATH: Final = 1_000  # characters of one path
_CROWD: Final = 8  # entries that link to one, beyond which it tells none of them apart
_SEARCH: Final = 200  # paths looked at for one bill
# How far up the way from a bill to its customer an entry stands.
_RANKS: Final = {
    "UsagePoint": 1, "Meter": 2, "EndDevice": 2, "ServiceLocation": 2, "CustomerAgreement": 3,
    "CustomerAccount": 4, "RetailCustomer": 5, "Customer": 5,
}  # fmt: skip
_SHARED: Final = ("LocalTimeParameters", "ReadingType")  # many entries link to one
_NUMBERS: Final = {
    "CustomerAccount": ("accountId", "accountNumber", "docID", "name"),
    "CustomerAgreement": ("agreementId", "docID", "name"),
    "RetailCustomer": ("accountId", "customerId", "id", "name"),
    "Customer": ("customerId", "pucNumber"),
    "Meter": ("serialNumber",),
    "EndDevice": ("serialNumber",),
    "UsagePoint": ("name", "mRID"),
}
_NAMES: Final = (
    "customerName", "Organisation/organisationName", "Organisation/name", "contactInfo/name",
    "Organisation/Names/name", "name",
)  # fmt: skip
_ADDRESSES: Final = (
    "mainAddress", "Organisation/streetAddress", "contactInfo/streetAddress", "postalAddress",
)  # fmt: skip
_ADDRESS: Final = (
    "streetDetail/number", "streetDetail/name", "streetDetail/suffix", "streetDetail/type",
    "streetDetail/addressGeneral", "streetDetail/suiteNumber", "townDetail/name",
    "townDetail/stateOrProvince", "postalCode", "townDetail/country",
)  # fmt: skip


class Node(NamedTuple):
    """An entry on the way from a bill to its customer."""

    rank: int
    kind: str
    path: str
    numbers: tuple[tuple[str, str], ...]  # with the place of each
    name: str
    address: str
    service: str  # of a usage point: ServiceCategory/kind


class Links(NamedTuple):
    """What an entry says of its place."""

    own: str
    up: str
    related: tuple[str, ...]

    @property
    def id(self) -> str:
        """The last part of the entry's own path."""
        return self.own.rpartition("/")[2]


def links_of(entry: Element) -> Links:
    """Read an entry's links."""
    found: dict[str, list[str]] = defaultdict(list)
    for link in every(entry, "link")[:_LINKS]:
        path = _path(link.get("href") or "")
        if path:
            found[(link.get("rel") or "").lower()].append(path)
    own = found["self"][0] if found["self"] else ""
    return Links(own, found["up"][0] if found["up"] else "", tuple(found["related"]))


def _path(href: str) -> str:
    """Return a link's path, without what differs between two ways to write the same."""
    try:
        parts = urlsplit(href.strip())
    except ValueError:
        return ""
    path = "/".join(part for part in parts.path.split("/") if part)
    return path if len(path) <= _PATH else ""


def _is_shared(path: str) -> bool:
    return any(part in _SHARED for part in path.split("/")[-2:])


def _above(path: str) -> Iterator[str]:
    """Yield what contains a path, the nearest first."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 0, -1):
        yield "/".join(parts[:length])


class Known:
    """The entries of a feed that bills are joined to."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._told: dict[str, tuple[str, ...]] = {}  # what an entry links to
        self._telling: defaultdict[str, list[str]] = defaultdict(list)  # and the way back
        self._alone: dict[str, Node] | None = None
        self._times: dict[str, LocalTime] = {}
        self._issued: defaultdict[str, list[int]] = defaultdict(list)
        self._read = 0
        self.currencies: set[str] = set()
        self.summaries = 0
        self.readings = 0

    def add(self, line_no: int, entry: Element, content: Element, kind: str) -> None:
        """Take note of an entry's content.

        Raises:
            BillFileError: there are more than can be kept in memory.
        """
        if kind in ("UsageSummary", "ElectricPowerUsageSummary"):
            self.summaries += 1
        elif kind in ("IntervalBlock", "MeterReading"):
            self.readings += 1
        elif kind == "ReadingType":
            self.currencies.add(text(content, "currency"))
        elif kind in _RANKS or kind in ("LocalTimeParameters", "Statement"):
            self._read += 1
            if self._read > _LIMIT:
                raise BillFileError(
                    f"the feed speaks of more than {_LIMIT} usage points and customers: send it"
                    " in several files",
                    line_no=line_no,
                )
            self._keep(links_of(entry), content, kind)

    def _keep(self, links: Links, content: Element, kind: str) -> None:
        own = links.own or f"#{self._read}"
        if kind == "LocalTimeParameters":
            local_time = read_local_time(content)
            if local_time is not None:
                self._times[own] = local_time
        elif kind == "Statement":
            self._keep_statement(links, content)
        else:
            self._nodes[own] = _node(own, kind, content)
            points = every(content, "UsagePoints/UsagePoint")[:_LINKS]
            told = [_path(point.get("href") or point.text or "") for point in points]
            self._told[own] = tuple(dict.fromkeys((*links.related, *filter(None, told))))
            for path in self._told[own]:
                if not _is_shared(path) and len(self._telling[path]) <= _CROWD:
                    self._telling[path].append(own)

    def _keep_statement(self, links: Links, content: Element) -> None:
        try:
            issued = read_seconds(
                text(content, "issueDateTime", "statementDate", "createdDateTime")
            )
        except Invalid:
            return
        if not EARLIEST <= issued <= LATEST:
            return
        for path in {*links.related, *_above(links.own)}:
            self._issued[path].append(issued)

    def around(self, links: Links) -> list[Node]:
        """Return what a summary belongs to, from its usage point upwards, one of each kind."""
        found: dict[str, Node] = {}
        todo = deque((path, 0) for path in (links.own, links.up, *links.related) if path)
        seen: set[str] = set()
        while todo and len(seen) < _SEARCH:
            path, rank = todo.popleft()
            if path in seen or _is_shared(path):
                continue
            seen.add(path)
            for near in self._near(path):
                node = self._nodes.get(near)
                if node is None:
                    todo.append((near, rank))
                elif node.rank > rank and node.kind not in found:
                    found[node.kind] = node
                    todo.append((near, node.rank))
        for kind, node in self._only().items():
            if kind != "UsagePoint" or _may_contain(node.path, links.own):
                found.setdefault(kind, node)
        return sorted(found.values())

    def _near(self, path: str) -> Iterator[str]:
        """Yield what is one step away: what contains it, is told by it, or alone tells of it."""
        yield path
        yield from (above for above in _above(path) if above in self._nodes)
        yield from self._told.get(path, ())
        telling = self._telling.get(path, ())
        kinds = Counter(self._nodes[own].kind for own in telling)
        yield from (own for own in telling if kinds[self._nodes[own].kind] == 1)

    def _only(self) -> dict[str, Node]:
        """Return the entries that are the only one of their kind: they need no link."""
        if self._alone is None:
            kinds = Counter(node.kind for node in self._nodes.values())
            self._alone = {
                node.kind: node for node in self._nodes.values() if kinds[node.kind] == 1
            }
        return self._alone

    def local_time(self, links: Links, nodes: Sequence[Node]) -> LocalTime | None:
        """Return the clock of a summary: its own, its usage point's, or the feed's only one."""
        for path in (*links.related, *(path for node in nodes for path in self._told[node.path])):
            if path in self._times:
                return self._times[path]
        clocks = set(self._times.values())
        return clocks.pop() if len(clocks) == 1 else None

    def issued(self, links: Links, nodes: Sequence[Node]) -> list[int]:
        """Return the moments at which statements were issued that may be a summary's."""
        paths = (links.own, *links.related, *(node.path for node in nodes))
        return sorted(moment for path in paths for moment in self._issued.get(path, ()))


def _may_contain(usage_point: str, own: str) -> bool:
    """Tell whether a summary's own path allows it to be of a usage point that no link names."""
    parts = own.split("/")
    if "UsagePoint" not in parts[:-1]:
        return True
    mine = parts[parts.index("UsagePoint") + 1]
    return mine.lstrip("0") == usage_point.rpartition("/")[2].lstrip("0")


def _node(own: str, kind: str, content: Element) -> Node:
    numbers = tuple(
        (value, f"{kind}/{name}")
        for name in _NUMBERS.get(kind, ())
        if (value := flat(text(content, name)))
    )
    address = first(content, *_ADDRESSES)
    parts = (flat(text(address, name)) for name in _ADDRESS)
    return Node(
        rank=_RANKS[kind],
        kind=kind,
        path=own,
        numbers=numbers,
        name=flat(text(content, *_NAMES)) if _RANKS[kind] >= _RANKS["CustomerAccount"] else "",
        address=", ".join(part for part in parts if part),
        service=text(content, "ServiceCategory/kind"),
    )
