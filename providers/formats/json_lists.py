"""Rows of JSON that are lists of cells: records by the names that stand above or beside them.

How to describe them: docs/mapped-formats.md.
"""

from typing import Final

from providers.formats.headers import Columns, columns_of
from providers.formats.json_walk import Listed, Row
from providers.profiles import Profile

NOT_A_LIST: Final = "the row is not a list of cells: write each bill as [ … ]"


class ListedRows:
    """Makes records of lists.

    Where ``[header]`` says that there are names, the columns are found by them; else they stand in
    the profile's order.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._names: Listed | None = None
        self._by_name = profile.header.kind == "names"
        self._order = {column.name: at for at, column in enumerate(profile.columns)}
        self._width = len(self._order)

    @property
    def waits(self) -> bool:
        """Whether the names are still to come."""
        return self._by_name and self._names is None

    def take_names(self, names: Listed, row_no: int) -> None:
        """Take the names of the cells, once for all rows.

        Raises:
            BillFileError: one is missing, twice there or unknown.
        """
        cells = [name if isinstance(name, str) else "" for name in names]
        columns = columns_of(self._profile, cells)
        if columns is None or columns.order is None:
            raise Columns.refusal(self._profile, cells, row_no)
        self._names, self._order, self._width = names, columns.order, len(cells)

    def says_names(self, row: Listed) -> bool:
        """Tell whether a list says the names once more, as where pages were put together."""
        return row == self._names

    def record(self, row: Listed) -> Row | str:
        """Return the cells of a row by the names of their columns, or what is wrong with it."""
        if len(row) != self._width:
            return f"the row has {len(row)} cells instead of {self._width}: add or remove cells"
        return {name: row[at] for name, at in self._order.items()}
