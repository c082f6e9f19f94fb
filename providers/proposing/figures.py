"""In which unit amounts are, and how numbers are written: a hundredfold is never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from providers.proposing.grids import Grid
from providers.proposing.guesses import ASK, MONEY_ROLES, Guess
from providers.proposing.values import Style, figure
from providers.proposing.words import OTHER_UNIT, unit_in, unit_stated

FEN: Final = "分"
_ENOUGH: Final = 5  # amounts, to wonder that none of them has a fen
_HABITS: Final = {
    "wide": "figures or signs are full-width, or a dash means minus",
    "bare_point": "0.50 is written .50",
    "binary_noise": "numbers have the noise of binary ones behind their decimals",
}


@dataclass(slots=True)
class AmountFacts:
    """``unit`` is None where the sample does not tell; ``own`` by column, where names do."""

    unit: str | None
    why: str = ""
    ask: str = ""
    own: dict[str, str] = field(default_factory=dict)


def unit_of(grid: Grid, guesses: Sequence[Guess]) -> AmountFacts:
    """Tell the unit of the amounts from decimals and from names."""
    money = [guess for guess in guesses if guess.holds in MONEY_ROLES] or [
        guess for guess in guesses
        if guess.says is not None and guess.says.role in MONEY_ROLES and guess.style is not None
    ]  # fmt: skip
    if not money:
        return AmountFacts(None, ask="yuan, fen, jiao or li?")
    own = {guess.name: unit for guess in money if (unit := unit_in(guess.name)) is not None}
    decimals = [g for g in money if g.style is not None and g.style.decimals]
    amount = next((guess for guess in money if guess.holds == "amount"), None)
    if any(own.get(guess.name) in ("fen", "li") for guess in decimals):
        return AmountFacts(None, ask="a name says fen, but there are decimals: yuan or fen?")
    if amount is not None and amount.name in own:
        if own[amount.name] == OTHER_UNIT:
            return AmountFacts(None, ask=f"in which unit is {amount.name}? Have it in yuan or fen")
        return AmountFacts(own[amount.name], f"the name {amount.name} says so", own=own)
    if amount is not None and amount.style is not None and FEN in amount.style.marks:
        return AmountFacts("fen", f"{FEN} stands behind its figures", own=own)
    stated = next((unit for text in _beside(grid) if (unit := unit_stated(text))), None)
    if stated == OTHER_UNIT or (stated in ("fen", "li") and decimals):
        ask = "the file states a unit above its bills that does not go with them: yuan or fen?"
        return AmountFacts(None, ask=ask, own=own)
    if stated is not None:
        return AmountFacts(stated, "the file says so above its bills", own=own)
    if amount is not None and amount in decimals and not _is_whole(amount):
        return AmountFacts("yuan", "amounts have decimals", own=own)
    if any(guess is not amount and not _is_whole(guess) for guess in decimals):
        return AmountFacts("yuan", "other amounts have decimals", own=own)
    return AmountFacts(
        None, ask="yuan, fen, jiao or li? All amounts are whole numbers: 8650 may be 86.50", own=own
    )


def _beside(grid: Grid) -> list[str]:
    """Return what a file says around its bills: above them, in its header and beside them."""
    return [*grid.above, *grid.header, *(f"{path}: {text}" for path, text in grid.beside.items())]


def _is_whole(guess: Guess) -> bool:
    """Tell whether amounts of a column have decimals that are all zero: 8650.00 may be fen."""
    style, cells = guess.style, guess.facts.cells
    if style is None or len(cells) < _ENOUGH:
        return False
    return not any((figure(cell, style) or 0) % 1 for cell in cells)


def numbers_of(grid: Grid, guesses: Sequence[Guess]) -> list[str]:
    """Return the lines of ``[numbers]``, none where numbers are written plainly."""
    styles = {
        guess.name: guess.style
        for guess in guesses
        if guess.holds in (*MONEY_ROLES, "quantity") and guess.style is not None
    }
    if grid.format in ("spreadsheet", "json", "json_lines"):
        styles = {
            name: style for name, style in styles.items()
            if style.marks or style.thousands or style.wide or style.signs - {"leading"}
            or style.decimal != "."
        }  # fmt: skip
    lines = _separators(list(styles.values()))
    signs = set().union(*(style.signs for style in styles.values()))
    marks = sorted(set().union(*(style.marks for style in styles.values())))
    if marks:
        lines.append("marks = [" + ", ".join(f'"{mark}"' for mark in marks) + "]")
    if signs & {"CR", "DR"}:
        lines.append(f'signs = ["?"]  {ASK}cr_is_minus or dr_is_minus: which of CR and DR is less?')
    elif signs - {"leading"}:
        lines.append("signs = [" + ", ".join(f'"{sign}"' for sign in sorted(signs)) + "]")
    for key, why in _HABITS.items():
        if any(getattr(style, key) for style in styles.values()):
            lines.append(f"{key} = true  # {why}")
    padded = any(style.leading_zeros or style.long_fraction for style in styles.values())
    money = [g for g in guesses if g.holds in MONEY_ROLES and g.style is not None]
    whole = all(g.style is not None and not g.style.decimals for g in money)
    if padded and not (whole and grid.format == "fixed_width"):
        lines.append("leading_zeros = true  # numbers are padded with zeros")
    return ["", "[numbers]", *lines] if lines else []


def _separators(styles: Sequence[Style]) -> list[str]:
    grouped = [style for style in styles if style.thousands]
    marked = [style for style in styles if style.decimal != "."]
    plain = [style for style in styles if style.decimals and style.decimal == "."]
    if any(style.ambiguous for style in styles) and not marked and not plain:
        ask = 'is 1,234 one thousand or one and a bit? Then say thousands = "," or decimal = ","'
        return [f'decimal = "?"  {ASK}{ask}']
    if marked and plain:
        return [f'decimal = "?"  {ASK}is the decimal mark a point or a comma? Both are there']
    lines = []
    if marked:
        lines.append('decimal = ","')
    if grouped:
        lines.append(f'thousands = "{grouped[0].thousands}"')
    return lines
