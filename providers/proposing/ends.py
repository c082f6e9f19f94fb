"""The header and the trailer of a proposal: what a file says of itself, and control totals."""

import re
from collections.abc import Sequence

from providers.proposing.grids import Grid
from providers.proposing.guesses import ASK
from providers.proposing.toml_text import remark, text
from providers.proposing.totals import Control, Sums


def header_lines(grid: Grid, sums: Sums) -> list[str]:
    if grid.header:
        return ["", "[header]", 'kind = "record"',
                *_fields(grid.header, grid.header_places, grid, sums)]  # fmt: skip
    if grid.named and (grid.format in ("delimited", "spreadsheet") or "listed" in grid.shape):
        lines = ["", "[header]", 'kind = "names"  # a row of column names stands above the bills']
        if grid.heading_rows > 1:
            lines.append(f"rows = {grid.heading_rows}  # of names, one above the other")
        if grid.search_lines > 1:
            lines.append(f"search_lines = {grid.search_lines}  # lines above it say other things")
        if grid.has_extra:
            lines.append('extra = "ignore"  # some columns have no name')
        return lines
    if grid.format == "spreadsheet":
        return ["", "[header]", 'kind = "none"  # no row has column names']
    return []


def _fields(
    cells: Sequence[str], places: Sequence[tuple[int, int]], grid: Grid, sums: Sums
) -> list[str]:
    lines = ["fields = ["]
    marked = grid.mark is not None or grid.named
    for at, cell in enumerate(cells):
        found = sums.control(cell, first=at == 0, marked=marked)
        lines += _field(found, f"field {at + 1}", places[at] if places else None, "")
    return [*lines, "]"]


def _field(found: Control, name: str, place: tuple[int, int] | None, path: str) -> list[str]:
    keys = [f"name = {text(name)}"]
    keys += [f"path = {text(path)}"] if path and path != name else []
    keys += [f"must_be = {text(found.must_be)}"] if found.must_be else []
    keys += [f"holds = {text(found.holds)}"] if found.holds != "text" else []
    keys += [f"of = {text(found.of)}"] if found.of else []
    keys += [f"style = {text(found.style)}"] if found.style else []
    keys += [f"unit = {text(found.unit)}"] if found.unit else []
    keys += [f"format = {text(found.layout)}"] if found.layout else []
    keys += [f"at = {place[0]}, bytes = {place[1]}"] if place else []
    ask = [f"    {ASK}{name}: {remark(found.ask)}"] if found.ask else []
    why = f"  # {remark(found.why)}" if found.why else ""
    return ["    { " + ", ".join(keys) + " }," + why, *ask]


def trailer_lines(grid: Grid, sums: Sums) -> list[str]:
    if grid.trailer:
        return ["", "[trailer]", *_fields(grid.trailer, grid.trailer_places, grid, sums)]
    found = {}
    for path, cell in list(grid.beside.items())[:100]:
        control = sums.control(cell, first=False, marked=False)
        if control.holds not in ("row_count", "amount_sum"):
            called = sums.count_called(re.split(r"[./@]", path)[-1], cell)
            control = control if called is None else called
        if control.holds in ("row_count", "amount_sum"):
            found[path] = control
    if not found or grid.format == "json_lines":
        return []
    lines = ["", "[trailer]", "fields = ["]
    for path, control in found.items():
        lines += _field(control, re.split(r"[./@]", path)[-1] or path, None, path)
    return [*lines, "]", f"{ASK}do these always stand in the file, and mean what they seem to?"]
