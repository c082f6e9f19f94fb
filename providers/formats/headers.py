"""A row of column names: which column of the profile stands where in this very file."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import BillFileError
from providers.formats.sources import plain_name
from providers.profiles import Profile


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns stand; nothing is said where the profile's own order holds."""

    order: dict[str, int] | None = None
    width: int | None = None
    names: frozenset[str] = frozenset()  # as they stand in the file

    @staticmethod
    def known(profile: Profile, cells: list[str]) -> dict[str, int]:
        """Return the index of every column whose name, or another name of it, is there once."""
        names = [plain_name(cell) for cell in cells]
        found = {}
        for column in profile.columns:
            own = {plain_name(name) for name in (column.name, *column.also)}
            places = [at for at, name in enumerate(names) if name in own]
            if len(places) == 1:
                found[column.name] = places[0]
        return found

    @staticmethod
    def refusal(profile: Profile, cells: list[str], line_no: int) -> BillFileError:
        """Say why a line is not the row of column names it should be."""
        known = Columns.known(profile, cells)
        wanted = [column.name for column in profile.columns if not column.optional]
        names = [plain_name(cell) for cell in cells]
        for name in wanted:
            if name not in known:
                twice = names.count(plain_name(name)) > 1
                what = "has two columns" if twice else "has no column"
                return BillFileError(
                    f"the header {what} {name}: the columns are {', '.join(wanted)}",
                    line_no=line_no,
                    column=name,
                )
        extra = [at for at in range(len(cells)) if at not in known.values()]
        at = extra[0] if extra else 0
        return BillFileError(
            f"column {at + 1} of the header, {cells[at][:32]!r}, is not in the interface note: take"
            " it out, or say extra = 'ignore' in the profile's [header]",
            line_no=line_no,
        )


def plain_names(profile: Profile) -> frozenset[str]:
    """Return all names that a profile's columns may have, as names are compared."""
    named = [(column.name, *column.also) for column in profile.columns]
    return frozenset(plain_name(name) for names in named for name in names)


def is_repeated(profile: Profile, cells: list[str], order: Mapping[str, int], no: int) -> bool:
    """Tell whether a row says the column names again, as every page of some exports does.

    Args:
        profile: the company's.
        cells: of the row.
        order: where the columns stand by the first row of names.
        no: the row's line.

    Raises:
        BillFileError: it says them in another order: the rows below it are another table's.
    """
    again = columns_of(profile, cells)
    if again is None or again.order is None:
        return False
    if any(order.get(name) != at for name, at in again.order.items()):
        raise BillFileError(
            "the column names stand here again, in another order: send each table by itself",
            line_no=no,
        )
    return True


def columns_of(profile: Profile, cells: list[str]) -> Columns | None:
    """Return where the columns stand by a row of names, or None where it is no such row."""
    known = Columns.known(profile, cells)
    if any(column.name not in known for column in profile.columns if not column.optional):
        return None
    if profile.header.extra == "refuse" and len(known) < len(cells):
        return None
    return Columns(known, len(cells), frozenset(cells))
