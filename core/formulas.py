"""Texts in files that spreadsheets open: one they would run as a formula is made plain."""

import re
from typing import Final

# What a spreadsheet takes for the start of a formula, the full-width forms included.
_FORMULA: Final = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


def as_plain(cell: str) -> str:
    """Return a cell's text with an apostrophe before it where it would be run."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
