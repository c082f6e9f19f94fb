"""Where the column names of a table stand, in one row or in two or three one above the other."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from providers.formats.headings import HEADING_ROWS, name_parts
from providers.proposing.grids import Row
from providers.proposing.words import Meaning, is_unit, meaning

_SEARCHED: Final = 50
_NAMES_LEAST: Final = 3
_NO_NAME: Final = re.compile(r"[0-9]{4}|[:：]|[0-9]\.[0-9]")
_FIGURE: Final = re.compile(  # of a cell without blanks around it: a figure, a day
    r"(?:[A-Z]{3} ?)?[-+(\u2212]? ?[^\w\s]{0,2} ?[0-9]"
)


def heading_at(rows: Sequence[Row]) -> tuple[int, int] | None:
    """Return where the heading begins and how many rows it has, or None if there is none."""
    single = names_at(rows)
    best = (0 if single is None else len(_known([rows[single].cells])), 1, single)
    for at in range(min(len(rows), _SEARCHED)):
        if single is not None and not single - HEADING_ROWS < at <= single:
            continue
        for size in range(2, HEADING_ROWS + 1):
            window = [row.cells for row in rows[at : at + size]]
            whole = len(window) == size and all(map(_may_be_names, window))
            if whole and not _is_title(window[0]):
                known = len(_known(window))
                if known >= _NAMES_LEAST and known > best[0]:
                    best = (known, size, at)
    _, size, begin = best
    if begin is None:
        return None
    below = rows[begin + size : begin + size + 1]
    if size < HEADING_ROWS and below and _goes_on(rows[begin + size - 1].cells, below[0].cells):
        size += 1
    return begin, size


def names_at(rows: Sequence[Row]) -> int | None:
    """Return where the one row of column names stands, or None if there is none."""
    best: tuple[int, int] | None = None
    for at, row in enumerate(rows[:_SEARCHED]):
        cells = [cell for cell in row.cells if cell.strip()]
        if len(cells) < _NAMES_LEAST or any(re.search(r"[0-9]{4,}", cell) for cell in cells):
            continue
        known = sum(meaning(cell) is not None for cell in cells)
        if known >= 3 and 3 * known >= len(cells) and (best is None or known > best[0]):
            best = known, at
    if best is not None:
        return best[1]
    # Names nobody knows are names too, above rows that hold figures where they hold none.
    if len(rows) > 1 and len(rows[0].cells) == len(rows[1].cells) >= _NAMES_LEAST:
        first, below = rows[0].cells, rows[1].cells
        bare = all(cell.strip() and not re.search("[0-9]", cell) for cell in first)
        if bare and len(set(first)) == len(first) and any(re.search("[0-9]", c) for c in below):
            return 0
    return _unknown_names_at(rows)


def _unknown_names_at(rows: Sequence[Row]) -> int | None:
    """Return where names nobody knows stand below a title: words above columns of figures."""
    widths = Counter(_width(row.cells) for row in rows[:_SEARCHED])
    best: tuple[int, int] | None = None
    for at, row in enumerate(rows[: min(len(rows) - 1, _SEARCHED)]):
        names, below = row.cells, [one.cells for one in rows[at + 1 : at + 1 + _SEARCHED]]
        said = [cell for cell in names if cell.strip()]
        wide = max(widths, key=lambda width: (widths[width] * width, width))
        if len(said) < max(_NAMES_LEAST, wide // 2) or any(map(_NO_NAME.search, said)):
            continue
        if any(_FIGURE.match(cell.strip()) for cell in said):
            continue
        of_figures = [
            place for place, name in enumerate(names)
            if name.strip() and _holds_figures(below, place)
        ]  # fmt: skip
        known = sum(meaning(cell) is not None for cell in said)
        if len(of_figures) > 1 and (best is None or known > best[0]):
            best = known, at
    return None if best is None else best[1]


def _width(cells: Sequence[str]) -> int:
    """Return how many cells a row has up to the last that says something."""
    return max((at for at, cell in enumerate(cells, 1) if cell.strip()), default=0)


def _holds_figures(rows: Sequence[Sequence[str]], place: int) -> bool:
    """Tell whether most of what stands in a column are figures or days."""
    cells = [row[place] for row in rows if place < len(row) and row[place].strip()]
    figures = sum(_FIGURE.match(cell.strip()) is not None for cell in cells)
    return 3 * len(cells) >= len(rows) and 5 * figures >= 4 * len(cells) > 0


def meaning_of(parts: Sequence[str]) -> Meaning | None:
    """Return what the names above a column, from the top down, say of it together.

    The last says most, 起 below 账期; a unit or the number of a column says nothing.
    """
    said = [part for part in parts if not (is_unit(part) or part.isdigit())]
    if len(said) < 2:
        return meaning(said[0]) if said else None
    whole, last = meaning(" ".join(said)), meaning(said[-1])
    for found in (whole, last):
        if found is not None and found.exact:
            return found
    if last is None and said[-1].isascii() and not said[-2].isascii():
        return meaning_of(said[:-1])  # the same in another language
    if last is None and whole is not None and whole.role == "amount":
        return Meaning("charge", False, whole.word)  # 金额 above 电费 and 附加: a part of it
    return last or whole


def _known(window: Sequence[Sequence[str]]) -> list[str]:
    """Return the names that say what they hold and stand above one column only."""
    names = {" ".join(parts): meaning_of(parts) for parts in name_parts(window)}
    counted = Counter(" ".join(parts) for parts in name_parts(window))
    return [name for name, said in names.items() if said is not None and counted[name] == 1]


def _may_be_names(cells: Sequence[str]) -> bool:
    """Tell a row of a heading from a title, from what stands beside one, and from a bill."""
    said = [cell for cell in cells if cell.strip()]
    return len(set(said)) > 1 and not any(map(_NO_NAME.search, said))


def _is_title(cells: Sequence[str]) -> bool:
    """Tell a title, which begins at the left, from the names of single columns and of groups."""
    return bool(cells[0].strip()) and sum(meaning(cell) is not None for cell in cells) < 2


def _goes_on(names: Sequence[str], below: Sequence[str]) -> bool:
    """Tell whether a row belongs to the names above it: their units, numbers, or a translation."""
    said = [cell.strip() for cell in below if cell.strip()]
    if not said:
        return False
    if all(is_unit(cell) for cell in said):
        return True
    count = len(said)
    if count > 2 and [cell for cell in said if cell.isdigit()] == [
        str(number) for number in range(1, count + 1)
    ]:
        return True
    wide = 5 * count >= 4 * sum(bool(name.strip()) for name in names) and count >= _NAMES_LEAST
    return wide and not any(re.search("[0-9]", cell) for cell in said)
