"""Columns whose cells are blank below what they mean: merged cells, and what is written once."""

from collections.abc import Sequence
from typing import Final

from providers.formats.filling_down import FillingDown
from providers.profile_tables import FILLED_DOWN, Role
from providers.proposing.grids import Grid
from providers.proposing.guesses import ASK, Guess
from providers.proposing.headings import meaning_of

_OF_ALL: Final = (
    "billing_year", "billing_month", "period_from", "period_to", "issued", "due",
)  # fmt: skip


def note_filled_down(grid: Grid, merged: Sequence[Sequence[int]] = ()) -> None:
    """Find the columns to be filled, and fill them so that the rows can be looked at.

    Args:
        grid: with its names and rows.
        merged: the cells over several rows, ``[top, left, bottom, right]`` from 0.
    """
    if not grid.named or not grid.rows:
        return
    roles = _roles(grid)
    below = [cells for cells in merged if cells[0] + 1 >= grid.rows[0].line_no]
    account_at = next((at for at, role in roles.items() if role == "account_no"), None)
    tall = {left for top, left, bottom, _ in below if _reaches(grid, top + 1, bottom + 1)}
    blank = set() if account_at is None else _blank(grid, account_at)
    for at, role in roles.items():
        if role not in FILLED_DOWN or (role == "bill_no" and "item_name" not in roles.values()):
            continue
        lacking = _blank(grid, at)
        once = role in _OF_ALL and 2 * len(lacking) >= len(grid.rows)
        if at in tall:
            grid.filled_down[at] = True
        elif lacking and 0 not in lacking and (once or (blank and lacking <= blank)):
            grid.filled_down[at] = False
    lacked = {at: _blank(grid, at) for at in grid.filled_down}
    if grid.filled_down:
        _fill(grid, FillingDown(
            ((at, role, at in grid.filled_down) for at, role in roles.items()), below
        ))  # fmt: skip
    for at, blank_before in lacked.items():
        if _blank(grid, at) == blank_before:  # rows that are no bills, or somebody else's
            del grid.filled_down[at]
    told = ", ".join(grid.names[at] for at, is_merged in grid.filled_down.items() if is_merged)
    if told:
        grid.questions.append(f"do the merged cells of {told} hold for all rows they reach over?")
    if account_at is not None:
        _leave_out(grid, account_at)


def _fill(grid: Grid, filling: FillingDown) -> None:
    last_no = 0
    for row in grid.rows:
        if row.line_no != last_no + 1:
            filling.stop()
        filling.fill(row.line_no - 1, row.cells)
        last_no = row.line_no


def _leave_out(grid: Grid, account_at: int) -> None:
    """Take rows without an account out of the bills where most have one: sums without a name."""
    bills = [row for row in grid.rows if "".join(row.cells[account_at : account_at + 1]).strip()]
    count = len(grid.rows) - len(bills)
    if count and 2 * len(bills) > len(grid.rows):
        grid.questions.append(
            f"{count} rows have no account number, and are rejected: what do they say?"
        )
        grid.rows = bills


def fill_down_key(grid: Grid, guess: Guess) -> tuple[list[str], str]:
    """Return what a column says of this in the proposal, and the question that belongs to it."""
    if guess.at not in grid.filled_down or guess.holds not in FILLED_DOWN:
        return [], ""
    if grid.filled_down[guess.at]:
        return ["fill_down = true"], ""
    ask = "where it is blank, does the one above hold? Say true; else false, and it is rejected"
    return ['fill_down = "?"'], ASK + ask


def _roles(grid: Grid) -> dict[int, Role]:
    """Return what columns hold by their names, the first of each role."""
    roles: dict[int, Role] = {}
    named = sorted(
        (not said.exact, at, said.role)
        for at, parts in enumerate(grid.name_parts)
        if (said := meaning_of(parts)) is not None
    )
    for _, at, role in named:
        if role not in roles.values():
            roles[at] = role
    return roles


def _blank(grid: Grid, at: int) -> set[int]:
    return {no for no, cell in enumerate(grid.column(at)) if not cell}


def _reaches(grid: Grid, first_no: int, last_no: int) -> bool:
    """Tell whether a merged cell reaches over several bills."""
    return sum(first_no <= row.line_no <= last_no for row in grid.rows) > 1
