"""What stands once for the rows below it: an account number in a merged cell, or above blank ones.

Only the columns that the profile says so of are filled, and never what could be money. A row of
sums has no account either: a row that says nothing of its own but figures is left as it is, and so
is all below it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from providers.formats.splitting import PADDING
from providers.profile_tables import Role
from providers.profiles import Profile

_SUMS: Final = re.compile(
    r"^[\s(（【]*([小合总總共累]\s*[计計]|[总總][额額]|本[页頁]"
    r"|sub-?\s*totals?\b|grand\s+totals?\b|totals?\b|sum\b|summe\b)"
    r"|([小合总總][计計]|汇总|匯總|\stotal)\s*[:：]?$",
    re.IGNORECASE,
)
_OF_A_PERSON: Final[tuple[Role, ...]] = ("holder_name", "address", "meter_no")
_OF_A_BILL: Final[tuple[Role, ...]] = (
    "account_no", "meter_no", "billing_year", "billing_month", "bill_no", "period_from",
    "period_to", "issued", "due", "item_name", "status", "read_on",
)  # fmt: skip


class FillingDown:
    """Fills the blank cells of rows, in the order of the rows.

    Args:
        columns: of each its place in a row, what it holds, and whether it is filled.
        merged: the cells over several rows below the heading, ``[top, left, bottom, right]`` from
            0. In a column that has some, a cell counts for the rows it reaches over and no others.
    """

    def __init__(
        self, columns: Iterable[tuple[int, Role, bool]], merged: Sequence[Sequence[int]] = ()
    ) -> None:
        known = sorted(columns)
        self._filled = [(at, holds) for at, holds, is_filled in known if is_filled]
        self._own = [at for at, holds, is_filled in known
                     if holds in _OF_A_BILL and not is_filled]  # fmt: skip
        self._account = next((at for at, holds in self._filled if holds == "account_no"), None)
        self._ends = {(left, top): bottom for top, left, bottom, _ in merged}
        self._merged = {left for left, _ in self._ends}
        self._said: dict[int, tuple[int, Any]] = {}
        # Whom a row is of, beside its account: a holder, or where no column has them an address.
        people = {holds: at for at, holds, _ in known if holds in _OF_A_PERSON[:2]}
        self._person = people.get("holder_name", people.get("address"))
        self._whose: Any = ""

    @classmethod
    def of(
        cls, profile: Profile, places: Mapping[str, int], merged: Sequence[Sequence[int]] = ()
    ) -> Self:
        """Return what fills the columns that a profile says so of, wherever they stand."""
        known = [column for column in profile.columns if places.get(column.name, -1) >= 0]
        return cls([(places[c.name], c.holds, c.fill_down) for c in known], merged)

    def stop(self) -> None:
        """Let nothing count beyond a row that is no bill: a sum, a heading, a blank row."""
        self._said.clear()

    def fill(self, row: int, cells: list[Any]) -> None:
        """Write what rows above say into a row's blank cells.

        Args:
            row: its place in the sheet, from 0.
            cells: its cells, as they are written or typed; they are changed.
        """
        if not self._filled:
            return
        is_new = self._account is not None and _says(cells, self._account)
        if not is_new and not (self._is_bill(cells) and self._is_same(cells)):
            self.stop()
            return
        if is_new:
            self._whose = _cell(cells, self._person)
            self._forget([at for at, holds in self._filled if holds in _OF_A_PERSON])
        for at, _ in self._filled:
            if _says(cells, at):
                self._forget([right for right, _ in self._filled if right > at])
                self._said[at] = self._ends.get((at, row), row), cells[at]
            elif at in self._said and at < len(cells) and _is_blank(cells[at]):
                last, value = self._said[at]
                if at not in self._merged or row <= last:
                    cells[at] = value

    def _forget(self, places: Sequence[int]) -> None:
        """Take what another group said for ended; a merged cell says itself where it ends."""
        for at in places:
            if at not in self._merged:
                self._said.pop(at, None)

    def _is_same(self, cells: Sequence[Any]) -> bool:
        """Tell another row of one account from the row of somebody whose account is missing."""
        if self._account is None or self._account in self._merged:
            return True
        person = _cell(cells, self._person)
        return _is_blank(person) or person == self._whose

    def _is_bill(self, cells: Sequence[Any]) -> bool:
        return any(_says(cells, at) for at in self._own) and not any(map(_is_sum, cells))


def _says(cells: Sequence[Any], at: int) -> bool:
    cell = _cell(cells, at)
    return not _is_blank(cell) and not _is_sum(cell)


def _cell(cells: Sequence[Any], at: int | None) -> Any:
    return "" if at is None or at >= len(cells) else cells[at]


def _is_blank(cell: Any) -> bool:
    return isinstance(cell, str) and not cell.strip(PADDING)


def _is_sum(cell: Any) -> bool:
    return isinstance(cell, str) and _SUMS.search(cell) is not None
