"""What is asked of columns whose name says one thing and whose cells say another."""

import re
from collections.abc import Sequence
from typing import Final

from providers.proposing.grids import Grid
from providers.proposing.guesses import Guess
from providers.proposing.values import Facts, is_number, nearly_all

_OF_FLOAT = re.compile(r"[0-9]+\.0")  # an account number that was taken for an amount
_NUMBERS: Final = ("account_no", "bill_no")


def are_counted(facts: Facts) -> bool:
    """Tell whether cells are 1, 2, 3 …: a row's place in its file, which is nobody's number."""
    return len(facts.cells) > 1 and facts.cells == [str(at + 1) for at in range(len(facts.cells))]


def are_of_floats(facts: Facts) -> bool:
    """Tell whether numbers were written as amounts are: 310001230.0."""
    return nearly_all([_OF_FLOAT.fullmatch(cell) is not None for cell in facts.cells])


def ask_of_amounts(grid: Grid, guesses: Sequence[Guess]) -> None:
    """Ask about a column that is called the amount and holds what cannot be read as one."""
    if any(guess.holds == "amount" for guess in guesses):
        return
    for guess in guesses:
        is_amount = guess.says is not None and guess.says.exact and guess.says.role == "amount"
        odd = next((cell for cell in guess.facts.cells if not is_number(cell)), None)
        if is_amount and guess.facts.style is None and odd is not None:
            grid.questions.append(
                f"how are the amounts of {guess.name} written? {odd} cannot be read as one"
            )


def ask_of_floats(grid: Grid, guesses: Sequence[Guess]) -> None:
    """Ask about numbers of accounts or bills that a program wrote as if they were amounts."""
    for guess in guesses:
        if guess.says is None or guess.says.role not in _NUMBERS or guess.holds != "unused":
            continue
        if guess.says.exact and are_of_floats(guess.facts):
            grid.questions.append(
                f"the cells of {guess.name} end in .0, and zeros at their front are lost: can they"
                " be written as text?"
            )
