"""Where an address is: its compound, street and district, as far as it says so.

The expressions are read alike by PostgreSQL, which places millions of accounts at once, and by
Python, which places one; a test holds the two together. What an address does not say stays unknown:
better fewer places than wrong ones.
"""

import re
from typing import Final

from billing.usage.models import PlaceReach

# Written without spaces and with plain digits first, so that one place has one name.
SPELT: Final = ("０１２３４５６７８９ \u3000\t", "0123456789")
PATTERNS: Final = {
    PlaceReach.COMPOUND: "^([^弄号]*[0-9]+弄|[^0-9弄号]+(?:小区|新村|花园|公寓|家园|苑))",
    PlaceReach.STREET: "^([^0-9弄号]+[路街道巷里村])[0-9]",
    PlaceReach.DISTRICT: "^((?:[^市区县0-9]{1,6}市)?[^市区县路街弄号镇0-9]{1,6}(?:区|县))",
}
# Ends of names of compounds and grounds, not of districts.
NO_DISTRICT: Final = ("小区", "社区", "园区", "校区", "厂区", "库区")
_FOUND: Final = {reach: re.compile(pattern) for reach, pattern in PATTERNS.items()}
_PLAIN: Final = {
    ord(mark): SPELT[1][at] if at < len(SPELT[1]) else None for at, mark in enumerate(SPELT[0])
}


def places_of(address: str) -> dict[PlaceReach, str]:
    """Return the places an address lies in, the nearest first; the city is always the last.

    ``places_of("上海市徐汇区梧桐里路100弄8号")`` knows all of ``上海市徐汇区梧桐里路100弄``,
    ``上海市徐汇区梧桐里路`` and ``上海市徐汇区``.
    """
    plain = address.translate(_PLAIN)
    found = {reach: match[1] for reach, one in _FOUND.items() if (match := one.search(plain))}
    if found.get(PlaceReach.DISTRICT, "").endswith(NO_DISTRICT):
        del found[PlaceReach.DISTRICT]
    return found | {PlaceReach.CITY: ""}
