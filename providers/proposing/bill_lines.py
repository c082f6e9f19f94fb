"""The lines and rows that one bill consists of, in a proposal."""

from collections.abc import Sequence
from itertools import groupby

from providers.proposing.columns import differences, nearly_add_up
from providers.proposing.grids import Grid, Segment
from providers.proposing.guesses import ASK, Guess
from providers.proposing.toml_text import OPEN, remark, text


def rounding_lines(guesses: Sequence[Guess]) -> list[str]:
    charges, amount = _charges(guesses)
    if amount is None or not charges:
        return []
    off = differences(charges, amount)
    if any(off) and nearly_add_up(charges, amount):
        return ['rounding_item = "尾差"  # likely: the charges miss the amount by less than one']
    return []


def _charges(guesses: Sequence[Guess]) -> tuple[list[Guess], Guess | None]:
    amount = next((guess for guess in guesses if guess.holds == "amount"), None)
    return [guess for guess in guesses if guess.holds == "charge" and guess.style], amount


def several_rows(guesses: Sequence[Guess]) -> list[str]:
    """Gather the rows of a bill where each names one of its lines."""
    if not any(guess.holds == "item_name" for guess in guesses):
        return []
    alike = [g.name for g in guesses if g.holds in ("account_no", "bill_no", "billing_month")]
    why = "# likely: every row names one line of a bill"
    ask = f"{ASK}are the rows of a bill always together?"
    if _stand_apart(guesses):
        alike = [OPEN]
        ask = f"{ASK}in the sample they stand apart: can the file be sorted by account and bill?"
    lines = ["", f"[rows]  {why}", f"group_by = {text(alike)}", ask]
    if _repeats_amount(guesses):
        lines.append('amount = "first"  # every row of a bill repeats its amount')
        lines.append(f"{ASK}is that the amount of the whole bill, and not of each row?")
    return lines


def _bills_of(guesses: Sequence[Guess]) -> list[tuple[str, ...]]:
    """Return of each row what names its bill."""
    keys = [g for g in guesses if g.holds in ("account_no", "bill_no", "billing_month")]
    return list(zip(*(guess.facts.aligned for guess in keys), strict=False))


def _stand_apart(guesses: Sequence[Guess]) -> bool:
    """Tell whether rows of another bill stand between those of one: they would be two bills."""
    runs = [bill for bill, _ in groupby(_bills_of(guesses))]
    return len(set(runs)) < len(runs)


def _repeats_amount(guesses: Sequence[Guess]) -> bool:
    """Tell whether the rows of a bill say one amount: then it must not be added up."""
    amount = next((guess for guess in guesses if guess.holds == "amount"), None)
    if amount is None:
        return False
    bills: dict[tuple[str, ...], list[str]] = {}
    for bill, cell in zip(_bills_of(guesses), amount.facts.aligned, strict=False):
        bills.setdefault(bill, []).append(cell)
    several = [cells for cells in bills.values() if len(cells) > 1]
    return bool(several) and all(cells[0] and set(cells) <= {cells[0], ""} for cells in several)


def item_lines(guesses: Sequence[Guess]) -> list[str]:
    charges, amount = _charges(guesses)
    if amount is None or not charges:
        return []
    if not nearly_add_up(charges, amount):
        told = ", ".join(guess.name for guess in charges)
        return ["", f"# The charges ({remark(told)}) miss the amount: bills do not show them.",
                f"{ASK}what else is in the amount?"]  # fmt: skip
    lines = []
    for charge in charges:
        lines += ["", "[[items]]", f"name = {text(charge.name)}", f"amount = {text(charge.name)}"]
    return lines


def segment_lines(segment: Segment) -> list[str]:
    cells = max((row.cells for row in segment.rows), key=len)
    kind = "item" if len(cells) > 2 else "subtotal"
    wanted = "charge" if kind == "item" else "amount"
    columns = [f'{{ name = "mark", holds = "row_type", must_be = {text(segment.mark)} }}']
    for at in range(1, len(cells)):
        holds = wanted if at == len(cells) - 1 else "item_name" if at == 1 else "unused"
        columns.append(f'{{ name = "{kind} {at + 1}", holds = "{holds}" }}')
    return ["", "[[segments]]", f"mark = {text(segment.mark)}", f"is_a = {text(kind)}",
            f"{ASK}what do the lines that begin with {remark(segment.mark)} say?",
            "columns = [", *(f"    {column}," for column in columns), "]"]  # fmt: skip


def list_lines(grid: Grid) -> list[str]:
    lines = []
    for path, keys in grid.lists.items():
        told = remark(", ".join(keys[:10]))
        lines += ["", f"{ASK}are these the lines of a bill ({told})? Then:", "# [items_from]",
                  f"# path = {text(path)}", '# name = "name"', '# amount = "value"']  # fmt: skip
    return lines
