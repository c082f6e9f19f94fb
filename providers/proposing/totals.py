"""What the cells of a header or a trailer are: counted and summed over, rather than believed."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from providers.formats.dates import DateFormat
from providers.formats.mainframe import unpunched
from providers.proposing.grids import Grid
from providers.proposing.guesses import Guess
from providers.proposing.values import WEAK, Facts, Style, figure, is_month
from providers.proposing.words import bare

_FEW: Final = 4  # bills: 2 is nearly 1, and nearly everything else
_SIGNED = re.compile(r"[0-9]{2,}[{}A-R]")
_COUNTS: Final = (
    "total", "totalcount", "totalnum", "totalrows", "totalrecords", "totalelements", "count",
    "rowcount", "recordcount", "recordnum", "总数", "总条数", "总笔数", "总记录数", "笔数",
)  # fmt: skip


class Control(NamedTuple):
    """A field of the header or the trailer; ``ask`` is what the company should say of it."""

    holds: str = "text"
    why: str = ""
    must_be: str = ""
    of: str = ""
    unit: str = ""
    layout: DateFormat | None = None
    ask: str = ""
    style: str = ""


class Sums:
    """How many bills a sample holds, and what their figures add up to."""

    def __init__(self, grid: Grid, guesses: Sequence[Guess]) -> None:
        self.count = len(grid.rows)
        self.lines = self.count + sum(len(segment.rows) for segment in grid.segments)
        self.whole = grid.whole
        self.amount = next((guess for guess in guesses if guess.holds == "amount"), None)
        self.totals = {
            guess.name: total
            for guess in guesses
            if guess.holds in ("amount", "charge", "quantity")
            and (total := _sum(grid.column(guess.at), guess)) is not None
        }

    def control(self, text: str, *, first: bool, marked: bool) -> Control:
        """Say what a cell holds."""
        if first and marked:
            return Control(must_be=text, why="the mark of this line")
        facts = Facts([text] if text else [])
        style = facts.style
        punched = self.amount is not None and self.amount.is_punched
        if punched and _SIGNED.fullmatch(text):
            style = Style(punched=True)
        number = figure(text, style) if style is not None else None
        if number is not None and self.whole and text:
            found = self._total(text, number)
            if found is not None:
                signed = style is not None and style.punched and not text.isdigit()
                return found._replace(style="overpunch") if signed else found
        off = abs(number - self.count) if number is not None else Decimal("Infinity")
        if self.whole and text.isdigit() and 0 < off <= self._odd and not first:
            ask = f"is this the number of bills? The sample holds {self.count}, not {number}"
            return Control("row_count", "nearly the number of bills", ask=ask)
        if number is not None and self._nearly(number) and not first:
            ask = f"is this the sum of the amounts? The sample's is {self._amounts}, not {number}"
            return Control("amount_sum", "nearly the sum of the amounts", ask=ask)
        days = [layout for layout in facts.layouts if not is_month(layout) and layout not in WEAK]
        if days:
            return Control("day", "a day", layout=days[0])
        if text.isascii() and text.isdigit():
            ask = "is this the file's own number, never used for another file? Then 'sequence'"
            return Control("digits", "figures", ask=ask)
        if first and text:
            return Control(must_be=text, why="the beginning of this line", ask="is it always so?")
        return Control()

    @property
    def _odd(self) -> int:
        """By how many a number of bills may be wrong and still be told from any other number."""
        return max(1, self.count // 20) if self.count >= _FEW else 0

    @property
    def _amounts(self) -> Decimal | None:
        return self.totals.get(self.amount.name) if self.amount is not None else None

    def _nearly(self, number: Decimal) -> bool:
        """Tell a sum that does not hold from a figure of another kind."""
        total = self._amounts
        if total is None or not self.whole or not number % 1:
            return False
        return 20 * abs(number - total) <= abs(total)

    def count_called(self, name: str, text: str) -> Control | None:
        """Take what is called the number of bills for it, though the sample holds others."""
        if bare(name) not in _COUNTS or not (text.isascii() and text.isdigit()) or not self.whole:
            return None
        ask = f"it says {text} and the sample holds {self.count}: is this one page of several?"
        return Control("row_count", "its name says so", ask=ask)

    def _total(self, text: str, number: Decimal) -> Control | None:
        amount = self.amount
        total = self.totals.get(amount.name) if amount is not None else None
        if total is not None and number == total and (text != str(self.count)):
            return Control("amount_sum", "the amounts of the sample add up to it")
        if number == self.count and text.isdigit():
            return Control("row_count", f"the sample holds {self.count} bills")
        if number == self.lines and text.isdigit():
            return Control("line_count", f"the sample holds {self.lines} lines")
        if total is not None and number == total * 100 and total:
            return Control("amount_sum", "the amounts add up to it in fen", unit="fen")
        for name, other in self.totals.items():
            if number == other and other and (amount is None or name != amount.name):
                return Control("amount_sum", f"{name} adds up to it", of=name)
        return None


def summed_column(grid: Grid, figures: Sequence[Guess]) -> Guess | None:
    """Return the one column whose sum the header or the trailer states, if it is one."""
    if not grid.whole or len(grid.rows) < 2:
        return None
    found = []
    for guess in figures:
        total = _sum(grid.column(guess.at), guess)
        if total and any(_states(cells, total, len(grid.rows), joined=bool(grid.places))
                         for cells in (grid.header, grid.trailer)):  # fmt: skip
            found.append(guess)
    return found[0] if len(found) == 1 else None


def _states(cells: Sequence[str], total: Decimal, count: int, *, joined: bool) -> bool:
    run = "".join(cells[1:])
    if joined and ((run.isdigit() and run.isascii()) or _SIGNED.fullmatch(run)):
        return _meet_at(run, count, total) is not None
    stated = (figure(cell, style) for cell in cells[1:] if (style := Facts([cell]).style))
    return total in list(stated)


def _sum(cells: Sequence[str], guess: Guess) -> Decimal | None:
    if guess.style is None:
        return None
    figures = [figure(cell, guess.style) for cell in cells if cell]
    return sum((one for one in figures if one is not None), Decimal(0))


def split_totals(cells: list[str], places: list[tuple[int, int]], sums: Sums) -> None:
    """Cut the fields of a fixed-width trailer where the count and the sum meet, if they do."""
    total = sums.totals.get(sums.amount.name) if sums.amount is not None else None
    if total is None or len(cells) < 2:
        return
    run = "".join(cells[1:])
    begin, end = places[1][0], places[-1][0] + places[-1][1]
    if any(len(cell) != width for cell, (_, width) in zip(cells[1:-1], places[1:-1], strict=True)):
        return  # blanks stand between them: they are apart already
    cut = _meet_at(run, sums.count, total)
    if cut is not None:
        cells[1:] = [run[:cut], run[cut:]]
        places[1:] = [(begin, cut), (begin + cut, end - begin - cut)]


def _meet_at(run: str, count: int, total: Decimal) -> int | None:
    """Return where in a run of figures the number of bills ends and their sum begins."""
    signed = _SIGNED.fullmatch(run) is not None
    if not signed and not (run.isascii() and run.isdigit()):
        return None
    for cut in range(1, len(run)):
        if int(run[:cut]) == count and Decimal(unpunched(run[cut:])) == total:
            return cut
    return None
