"""What a sample file comes to, whatever its format: rows of cells, and how they were cut."""

from dataclasses import dataclass, field
from typing import NamedTuple

from providers.profile_tables import Format

ROWS_LIMIT = 5_000
COLUMNS_LIMIT = 300


class Said(NamedTuple):
    """A value of the proposal, and what speaks for it."""

    value: object
    why: str = ""


class Row(NamedTuple):
    line_no: int
    cells: list[str]


@dataclass(slots=True, kw_only=True)
class Segment:
    """A kind of line below a bill's own."""

    mark: str
    rows: list[Row]


@dataclass(slots=True, kw_only=True)
class Grid:
    """A sample cut into cells.

    Args:
        format: the profile's word.
        shape: the keys of ``[file]``.
        names: of the columns; made up where ``named`` is false.
        heading_rows: how many rows of names stand one above the other.
        name_parts: what each of them says of a column.
        rows: the bills'.
        filled_down: the columns, and whether a merged cell says so, whose blank cells mean what
            stands above them.
        optional: how many of the last columns some rows lack.
        places: first byte and width, of a fixed-width file.
        paths: where a column is found, in JSON and XML.
        mark: what every bill row begins with, where lines are marked.
        doubtful_mark: the same where it may as well be the first figure of a number.
        above: the cells above a row of column names.
        header: the cells of a header line of its own layout.
        trailer: the cells of the last line, where it is no bill.
        search_lines: how far down the row of column names stands.
        has_extra: whether the row of names has cells that no column is made of.
        segments: further kinds of lines.
        beside: what a document says beside its bills, by path.
        lists: the paths of lists of objects within a row, and the keys of their members.
        styles: of numbers as mainframes keep them, by the name of the column.
        whole: whether all of the file was looked at.
        questions: what only the company can answer.
    """

    format: Format
    shape: dict[str, Said] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    named: bool = False
    heading_rows: int = 1
    name_parts: list[list[str]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    filled_down: dict[int, bool] = field(default_factory=dict)
    optional: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    header_places: list[tuple[int, int]] = field(default_factory=list)
    trailer_places: list[tuple[int, int]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    mark: str | None = None
    doubtful_mark: str = ""
    above: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    trailer: list[str] = field(default_factory=list)
    search_lines: int = 1
    has_extra: bool = False
    segments: list[Segment] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    styles: dict[str, str] = field(default_factory=dict)
    whole: bool = True
    questions: list[str] = field(default_factory=list)

    def column(self, at: int) -> list[str]:
        """Return the cells of one column; of a row that lacks it, blank."""
        return [row.cells[at].strip() if at < len(row.cells) else "" for row in self.rows]
