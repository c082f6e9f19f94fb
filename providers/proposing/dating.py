"""Which columns are the period, the day of issue and the day due, and how their dates are written.

A bill begins before it ends, and is issued before it is due: where names leave a choice, that and
nothing else decides, and where it does not decide the company is asked.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import permutations
from typing import Final

from providers.formats.dates import DateFormat
from providers.profile_tables import Role
from providers.proposing.grids import Grid
from providers.proposing.guesses import DAY_ROLES, Guess
from providers.proposing.values import nearly_all
from providers.proposing.words_alone import VAGUE_DAYS

_TWINS: Final[tuple[tuple[DateFormat, DateFormat], ...]] = (
    ("dd/mm/yyyy", "mm/dd/yyyy"), ("dd/mm/yy", "mm/dd/yy"), ("dd-mm-yyyy", "mm-dd-yyyy"),
    ("ddmmyyyy", "mmddyyyy"),
)  # fmt: skip
_COLUMNS: Final = 6
_PERIOD: Final = ("period_from", "period_to")
_PLAIN: Final = 7  # letters: periodend says more than start
Days = list[date | None]
Chosen = tuple[Role | None, ...]


def settle_days(grid: Grid, guesses: Sequence[Guess]) -> bool:
    """Give the columns of days their layouts and roles; tells whether the layout is settled."""
    dated = [guess for guess in guesses if guess.day_layouts and guess.holds == "unused"]
    known = {layout for guess in dated for layout in guess.day_layouts}
    pair = next((pair for pair in _TWINS if known & set(pair)), _TWINS[0])
    twins = [guess for guess in dated if set(pair) <= set(guess.day_layouts)]
    settled = {
        layout for guess in dated for layout in pair
        if layout in guess.day_layouts and guess not in twins
    }  # fmt: skip
    for guess in dated:
        guess.layout = guess.day_layouts[0]
        if guess in twins and len(settled) == 1:
            guess.layout = next(iter(settled))
    ambiguous = bool(twins) and len(settled) != 1
    if ambiguous:
        both = [layout for layout in pair if _any_order(dated, layout)]
        ambiguous = len(both) != 1
        for guess in twins:
            guess.layout = both[0] if both else pair[0]
    _give_roles(grid, dated)
    return not ambiguous


def _any_order(dated: Sequence[Guess], layout: DateFormat) -> bool:
    """Tell whether the columns whose names are plain keep the order of a bill by a layout."""
    named: dict[Role, Days] = {}
    for guess in dated:
        if guess.says is not None and guess.says.role in DAY_ROLES:
            chosen = layout if layout in guess.day_layouts else guess.day_layouts[0]
            named[guess.says.role] = guess.facts.days(chosen)
    return _keeps_order(named)


def _give_roles(grid: Grid, dated: Sequence[Guess]) -> None:
    wanted = [
        guess for guess in dated
        if guess.says is None or guess.says.role in DAY_ROLES or not guess.says.exact
    ]  # fmt: skip
    if not grid.named and len(wanted) > _COLUMNS:
        wanted = wanted[:_COLUMNS]
    if grid.named:  # a column nobody named so is no date of the bill's, whatever it looks like
        wanted = [g for g in wanted if g.says is not None and g.says.role in DAY_ROLES][:_COLUMNS]
    days: list[Days] = [guess.facts.days(guess.layout or "yyyymmdd") for guess in wanted]
    ranked = sorted(_choices(wanted, days, named=grid.named), key=lambda one: -one[0])
    if not ranked:
        return
    best = [chosen for score, chosen in ranked if score == ranked[0][0]]
    for at, guess in enumerate(wanted):
        roles = {chosen[at] for chosen in best}
        role = roles.pop() if len(roles) == 1 else None
        if role is not None:
            exact = guess.says is not None and guess.says.exact and guess.says.role == role
            by_name = guess.says is not None and guess.says.role == role
            why = f"its name says so ({guess.name})" if by_name else "by the order of the days"
            guess.take(role, why, "sure" if exact else "likely")
    _trust_names(grid, wanted)
    if len(best) > 1 and any(guess.holds == "unused" for guess in wanted):
        told = ", ".join(guess.name for guess in wanted if guess.holds == "unused")
        grid.questions.append(f"which of these days is which: {told}?")


def _trust_names(grid: Grid, wanted: Sequence[Guess]) -> None:
    """Take days of issue and due by their plain names though no order holds: rows will say so."""
    for role in ("issued", "due"):
        named = [g for g in wanted if g.says is not None and g.says.exact and g.says.role == role]
        if len(named) == 1 and named[0].holds == "unused" and all(g.holds != role for g in wanted):
            named[0].take(role, f"its name says so ({named[0].name})", "perhaps")
            grid.questions.append(
                f"the days of {named[0].name} do not go with the others: what are they?"
            )


def _choices(
    wanted: Sequence[Guess], days: Sequence[Days], *, named: bool
) -> Iterable[tuple[int, Chosen]]:
    """Yield every way to give out the roles that keeps the order of a bill, with its score."""
    pool: list[Role | None] = [*DAY_ROLES, *[None] * max(2, len(wanted) - len(DAY_ROLES))]
    for chosen in sorted(set(permutations(pool, len(wanted))), key=str):
        if any(_swaps(guess, role) for guess, role in zip(wanted, chosen, strict=True)):
            continue
        said = {role: own for role, own in zip(chosen, days, strict=True) if role is not None}
        if not _keeps_order(said):
            continue
        score = sum(_fit(guess, role) for guess, role in zip(wanted, chosen, strict=True))
        yield score + _likeness(said), chosen


def _fit(guess: Guess, role: Role | None) -> int:
    """Say how well a role goes with a column's name."""
    if guess.says is None:
        return 0 if role is None else 1
    if role == guess.says.role:
        return (5 if guess.says.word in VAGUE_DAYS else 6) if guess.says.exact else 4
    return -2 if role is None or not guess.says.exact else -3


def _swaps(guess: Guess, role: Role | None) -> bool:
    """Tell whether a day of issue would be taken for the day due, or the end of a period for it."""
    if guess.says is None or role is None or role == guess.says.role:
        return False
    if guess.says.role in _PERIOD and len(guess.says.word) > _PLAIN:
        return role not in _PERIOD
    return guess.says.exact and {guess.says.role, role} == {"issued", "due"}


def _keeps_order(said: dict[Role, Days]) -> bool:
    return (
        _before(said, "period_from", "period_to")
        and _before(said, "issued", "due", same_day=False)
        and _before(said, "period_from", "issued")
        and _before(said, "period_to", "due")
    )


def _before(said: dict[Role, Days], first: Role, then: Role, *, same_day: bool = True) -> bool:
    if first not in said or then not in said:
        return True
    pairs = zip(said[first], said[then], strict=False)
    return nearly_all(
        [
            one is None or other is None or one < other or (same_day and one == other)
            for one, other in pairs
        ]
    )


def _likeness(said: dict[Role, Days]) -> int:
    """Say how much days are like those of a bill: a period of weeks, some days to pay."""
    points = int(_apart(said, "period_from", "period_to", 13, 190))
    points += int(_apart(said, "issued", "due", 1, 62))
    return points + int(
        "period_to" in said and "issued" in said and _before(said, "period_to", "issued")
    )


def _apart(said: dict[Role, Days], first: Role, then: Role, least: int, most: int) -> bool:
    pairs = list(zip(said.get(first, []), said.get(then, []), strict=False))
    return nearly_all(
        [
            one is not None and other is not None and least <= (other - one).days <= most
            for one, other in pairs
        ]
    )
