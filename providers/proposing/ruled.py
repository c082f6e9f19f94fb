"""Text below headings that are underlined with dashes, as tools for databases print a query.

The dashes say where each column stands: no other sign is needed.
"""

import re
from collections.abc import Sequence
from typing import Final

from providers.formats.splitting import is_tool_line
from providers.proposing.grids import ROWS_LIMIT, Grid, Row, Said

_RULE = re.compile(r" ?-{2,}(?: +-+){2,} *")
_PAGE = re.compile(r"(?<=[^\s0-9]) *[0-9]+(?: *(?:of|/|共) *[0-9]+)? *页?$", re.IGNORECASE)
_PROMPT: Final = "SQL>"
_SEARCHED: Final = 50
_LEAST: Final = 12


def cut_ruled(text: str) -> Grid | None:
    """Cut text by the dashes below its headings; None where there are none, or rows cross them."""
    lines = [(no, line.rstrip("\r ")) for no, line in enumerate(text.split("\n"), 1)]
    lines = [(no, line) for no, line in lines if line.strip()][:ROWS_LIMIT]
    at = next((at for at, (_, line) in enumerate(lines[:_SEARCHED]) if _RULE.fullmatch(line)), 0)
    if not at or any(len(line.strip()) < _LEAST for _, line in lines[:at]):
        return None  # a short line above would be passed over wherever a bill begins so
    heading, rule = lines[at - 1][1], lines[at][1]
    spans = [found.span() for found in re.finditer("-+", rule)]
    above = [_PROMPT if _PROMPT in line else _unnumbered(line) for _, line in lines[: at - 1]]
    skip = list(dict.fromkeys([heading.strip(), *above]))
    if any(line.startswith(_PROMPT) for _, line in lines) and _PROMPT not in skip:
        skip.append(_PROMPT)
    body = [
        (no, line) for no, line in lines
        if not is_tool_line(line) and not line.strip().startswith(tuple(skip))
    ]  # fmt: skip
    if not body or any(_crosses(line, spans) for line in [heading, *(line for _, line in body)]):
        return None
    grid = Grid(format="fixed_width", named=True)
    grid.names = [heading[begin:end].strip() for begin, end in spans]
    grid.places = [(begin, end - begin) for begin, end in spans]
    grid.rows = [Row(no, [line[begin:end].strip() for begin, end in spans]) for no, line in body]
    grid.shape = {
        "row_bytes": Said(spans[-1][1], "the dashes below the headings reach so far"),
        "widths": Said("characters", "the dashes stand below characters"),
        "short_rows": Said(True, "blanks at the end of a row may be missing"),
        "skip": Said(skip, "the headings, which may stand on every page, and what is above them"),
    }
    return grid


def _unnumbered(line: str) -> str:
    """Return a line without the number of the page at its end, which is another on the next."""
    bare = line.strip()
    return bare[: found.start()] if (found := _PAGE.search(bare)) else bare


def _crosses(line: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Tell whether something stands before, between or behind the columns."""
    ends = [0, *(end for _, end in spans)]
    begins = [*(begin for begin, _ in spans), len(line)]
    return any(line[end:begin].strip() for end, begin in zip(ends, begins, strict=True))
