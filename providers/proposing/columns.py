"""What each column of a sample holds: by its name, else by its cells, else nobody says."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from providers.profile_tables import REQUIRED, Role
from providers.proposing.dating import settle_days
from providers.proposing.doubts import are_counted, are_of_floats, ask_of_amounts, ask_of_floats
from providers.proposing.grids import Grid
from providers.proposing.guesses import DAY_ROLES, MONEY_ROLES, Guess
from providers.proposing.headings import meaning_of
from providers.proposing.leaves import plain_path
from providers.proposing.rules import take_turning_flags
from providers.proposing.totals import summed_column
from providers.proposing.values import Facts, figure, nearly_all
from providers.proposing.words import Meaning, bare, meaning
from providers.proposing.words_alone import COUNTERS, is_of_customer

_MANY: Final = ("charge", "quantity", "unused")
_PLACE = re.compile(
    r"[路号弄幢室街村镇区楼苑城]|street|road|avenue|lane|stra(ss|ß)e", re.IGNORECASE
)
_IDENTIFIER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{3,31}")
_DUE: Final = ("应缴", "应收", "应付", "due", "payable", "shouldpay")
_ADDENDS: Final = 6
_LONG: Final = 7  # figures
_LONGEST: Final = 15  # of an amount: more are two fields
_SEVERAL: Final = 3  # rows
_ORDINAL_DAY: Final = 7  # figures of a year and a day of the year


def guess_columns(grid: Grid) -> tuple[list[Guess], bool]:
    """Return what each column is taken for, and whether the layout of its days is settled."""
    guesses = [
        Guess(
            at=at, name=name, facts=Facts(grid.column(at)), says=_says(grid, at, name),
            trusts_weak=bool(grid.places) and grid.places[at][1] == _ORDINAL_DAY,
        )
        for at, name in enumerate(grid.names)
    ]  # fmt: skip
    if grid.mark is not None:
        guesses[0].take("row_type", f"every bill begins with {grid.mark!r}", "sure")
    by_name(grid, guesses)
    _months(grid, guesses)
    settled = settle_days(grid, guesses)
    if not grid.named:
        by_cells(grid, guesses)
    ask_of_amounts(grid, guesses)
    ask_of_floats(grid, guesses)
    grid.questions += take_turning_flags(guesses)
    for guess in guesses:
        if _should_be_dates(guess) and not (guess.day_layouts or guess.month_layouts):
            grid.questions.append(
                f"how are the dates of {guess.name} written? No layout fits {guess.facts.cells[0]}"
            )
    return guesses, settled


def _should_be_dates(guess: Guess) -> bool:
    if guess.says is None or not guess.says.exact or not guess.facts.cells:
        return False
    return guess.holds == "unused" and guess.says.role in (*DAY_ROLES, "billing_month")


_ENDS: Final = {"[0]": " from", "[1]": " to"}  # of a period written as a list of two days


def _says(grid: Grid, at: int, name: str) -> Meaning | None:
    """Return what a column's name says, in a document with the name of what it stands in."""
    if not grid.named or not name:
        return None
    if not grid.paths:
        return meaning_of(grid.name_parts[at]) if grid.heading_rows > 1 else meaning(name)
    *above, last = [part for part in re.split(r"[./@]+", plain_path(grid.paths[at])) if part] or [
        ""
    ]
    # How MongoDB says of what type a value is, and others of what currency.
    if (last.startswith("$") or last in ("value", "#text", "S", "N")) and above:
        last = above.pop()
    if not above and last in ("id", "no") and "rows" in grid.shape:  # a bill's own
        above = [re.split(r"[./]", str(grid.shape["rows"].value))[-1].removesuffix("s")]
    for ending, word in _ENDS.items():
        if last.endswith(ending):
            plain = last.removesuffix(ending)
            last = plain + word if meaning(plain + word) else plain.removesuffix("s")
    inside = meaning(above[-1] + last) if above else None
    if above and last.casefold() == "name" and not is_of_customer(above[-1]):
        return None  # of a tariff, a unit, a company
    return inside if inside is not None and inside.exact else meaning(last)


def by_name(grid: Grid, guesses: Sequence[Guess]) -> None:
    """Give out the roles that names speak of and cells do not speak against."""
    for role in dict.fromkeys(g.says.role for g in guesses if g.says is not None):
        if role in (*DAY_ROLES, "unused"):
            continue
        named = [g for g in guesses if g.says is not None and g.says.role == role and _fits(g)]
        if role in _MANY:
            for guess in named:
                _take(guess, role)
            continue
        exact = [g for g in named if g.says is not None and g.says.exact]
        chosen = exact or named
        if role == "amount":
            chosen = _due(grid, guesses, chosen, named)
        elif len(chosen) > 1:
            first = min(chosen, key=lambda guess: _rank(guess))
            others = ", ".join(guess.name for guess in chosen if guess is not first)
            grid.questions.append(f"{first.name} is taken for {role}: what is {others}?")
            chosen = [first]
        if len(chosen) == 1:
            _take(chosen[0], role)
        elif chosen:
            told = ", ".join(guess.name for guess in chosen)
            grid.questions.append(f"which of these is the amount due: {told}?")


def _due(
    grid: Grid, guesses: Sequence[Guess], chosen: list[Guess], named: Sequence[Guess]
) -> list[Guess]:
    """Return what may be the amount due: beside 金额 also 实际应缴, where the two differ."""
    rivals = [
        guess for guess in named
        if guess not in chosen and all(guess.facts.cells != one.facts.cells for one in chosen)
    ]  # fmt: skip
    is_plain = len(chosen) == 1 and _says_due(chosen[0])
    if (rivals and not is_plain) or any(_says_due(guess) for guess in rivals):
        chosen = [*chosen, *rivals]
    elif rivals:
        told = ", ".join(guess.name for guess in rivals)
        grid.questions.append(f"{chosen[0].name} is taken for amount: what is {told}?")
    return _totals_of(guesses, chosen) or chosen if len(chosen) > 1 else chosen


def _says_due(guess: Guess) -> bool:
    return any(word in bare(guess.name) for word in _DUE)


def _take(guess: Guess, role: Role) -> None:
    exact = guess.says is not None and guess.says.exact
    word = guess.says.word if guess.says is not None else ""
    why = f"its name says so ({guess.name})" if exact else f"its name has {word} in it"
    guess.take(role, why, "sure" if exact else "likely")


def _rank(guess: Guess) -> tuple[int, int, int]:
    """Prefer the name that comes first in the list of words, such as 户号 before 号码."""
    assert guess.says is not None
    return (-guess.facts.filled, guess.says.rank, guess.at)


def _fits(guess: Guess) -> bool:
    """Tell whether cells do not speak against what a column's name says."""
    assert guess.says is not None
    facts, role = guess.facts, guess.says.role
    if not facts.cells:
        return role in ("holder_name", "address", "version", "original_no", "early_amount",
                        "late_amount", "minimum_amount")  # fmt: skip
    if role in (*MONEY_ROLES, "quantity"):
        return facts.style is not None
    if role == "status":
        return len(facts.distinct) <= 8 and max(facts.lengths) <= 12
    if role == "version":
        return facts.are_digits and max(facts.lengths) <= 2
    if guess.says.word in COUNTERS and (are_counted(facts) or _has_decimals(guess)):
        return False
    if role in ("account_no", "bill_no"):
        if are_of_floats(facts):
            return False
        return 20 * (facts.all - facts.filled) <= facts.all + 19 and not facts.has_chinese
    if role == "billing_year":
        return facts.are_digits and facts.lengths == {4}
    return role != "billing_month"  # that is settled by its own layouts


def _totals_of(guesses: Sequence[Guess], amounts: Sequence[Guess]) -> list[Guess]:
    """Return those amounts that are the sum of the charges in every row."""
    charges = [g for g in guesses if g.says is not None and g.says.role == "charge" and g.style]
    return [amount for amount in amounts if charges and adds_up(charges, amount)]


def adds_up(parts: Sequence[Guess], whole: Guess) -> bool:
    """Tell whether some columns add up to another in every row."""
    return nearly_all([off == 0 for off in differences(parts, whole)])


def nearly_add_up(parts: Sequence[Guess], whole: Guess) -> bool:
    """Tell whether columns add up to another but for less than one."""
    return nearly_all([off.is_finite() and abs(off) < 1 for off in differences(parts, whole)])


def differences(parts: Sequence[Guess], whole: Guess) -> list[Decimal]:
    """Return by how much, in each row, columns miss another; nothing where one has no figure."""
    found = []
    for row in zip(*(part.facts.aligned for part in (whole, *parts)), strict=False):
        total, *others = (
            figure(cell, guess.style) if cell and guess.style is not None else None
            for cell, guess in zip(row, (whole, *parts), strict=True)
        )
        if total is None:
            found.append(Decimal("Infinity"))
            continue
        found.append(total - sum(other for other in others if other is not None))
    return found or [Decimal("Infinity")]


def _months(grid: Grid, guesses: Sequence[Guess]) -> None:
    """Find the billing month: a month by its name, or the only column of months."""
    if any(guess.holds == "billing_month" for guess in guesses):
        return
    named = [g for g in guesses if g.says is not None and g.says.role == "billing_month"]
    for guess in sorted(named, key=lambda g: not (g.says and g.says.exact)):
        layouts = guess.month_layouts
        year = next((g for g in guesses if g.holds == "billing_year"), None)
        if layouts or guess.day_layouts:
            guess.layout = (layouts or guess.day_layouts)[0]
        elif year is not None and _is_month_of_year(guess.facts):
            guess.layout = "mm" if guess.facts.lengths == {2} else "m"
        else:
            continue
        _take(guess, "billing_month")
        return
    months = [g for g in guesses if g.is_free and g.month_layouts and not g.day_layouts]
    if len(months) == 1 and not grid.named:
        months[0].layout = months[0].month_layouts[0]
        months[0].take("billing_month", "the only column of months", "likely")
    elif months and not grid.named:
        told = ", ".join(guess.name for guess in months)
        grid.questions.append(f"which of these is the billing month: {told}?")


def _is_month_of_year(facts: Facts) -> bool:
    return facts.are_digits and all(1 <= int(cell) <= 12 for cell in facts.cells if len(cell) < 3)


def by_cells(grid: Grid, guesses: Sequence[Guess]) -> None:
    """Give out what cells alone speak for; everything of it is to be asked about."""
    free: Callable[[], list[Guess]] = lambda: [  # noqa: E731
        g for g in guesses if g.is_free and g.facts.cells and g.layout is None
    ]
    _figures(grid, free())
    texts = [g for g in free() if _is_words(g.facts)]
    _names(texts)
    numbers = [
        g for g in free()
        if g not in texts and _is_identifier(g.facts) and not _is_one_for_all(g.facts)
    ]  # fmt: skip
    if numbers:
        numbers[0].take("account_no", "the first number that identifies something", "perhaps")
    others = [g for g in numbers[1:] if 10 * len(g.facts.distinct) >= 9 * len(g.facts.cells)]
    if others:
        best = next((g for g in others if not g.facts.are_digits), others[0])
        best.take("bill_no", "a number that differs in every row", "perhaps")
    for guess in free():
        if guess in numbers or guess in texts:
            continue
        if guess.facts.are_digits and guess.facts.distinct <= {"1", "01", "2", "02", "3", "03"}:
            if not any(g.holds == "version" for g in guesses):
                guess.take("version", "small whole numbers", "perhaps")
        elif _is_flag(guess) and not any(g.holds == "status" for g in guesses):
            guess.take("status", "a flag", "perhaps")
    grid.questions.append("the file names no columns: hold each against the interface note")


def _is_one_for_all(facts: Facts) -> bool:
    """Tell whether a column says the same in every row, as the name of a record's kind does."""
    return len(facts.distinct) == 1 and len(facts.cells) >= _SEVERAL


def _is_flag(guess: Guess) -> bool:
    short = len(guess.facts.distinct) <= 4 and max(guess.facts.lengths) <= 2
    return short and not _has_decimals(guess)


def _has_decimals(guess: Guess) -> bool:
    return guess.style is not None and guess.style.decimals > 0


def _is_words(facts: Facts) -> bool:
    if facts.has_chinese:
        return True
    return nearly_all([" " in cell or not cell.isascii() for cell in facts.cells]) or (
        nearly_all([cell.isalpha() for cell in facts.cells]) and max(facts.lengths) > 2
    )


def _is_identifier(facts: Facts) -> bool:
    return (
        facts.filled == facts.all
        and min(facts.lengths) >= 5
        and nearly_all([_IDENTIFIER.fullmatch(cell) is not None for cell in facts.cells])
        and nearly_all([re.search("[0-9]", cell) is not None for cell in facts.cells])
        and not (facts.style is not None and facts.style.decimals)
    )


def _names(texts: Sequence[Guess]) -> None:
    places = [g for g in texts if any(_PLACE.search(cell) for cell in g.facts.cells)]
    if places:
        places[0].take("address", "its words are those of addresses", "likely")
    others = [g for g in texts if g.holds == "unused"]
    if others:
        others[0].take("holder_name", "short words", "perhaps")


def _figures(grid: Grid, free: Sequence[Guess]) -> None:
    """Find the amount: figures with decimals, the sum of those before it if there is one."""
    figures = [g for g in free if g.style is not None]
    stated = summed_column(grid, figures)
    if stated is not None:
        stated.take("amount", "the file states its sum", "sure")
        others = [
            g for g in figures
            if g is not stated and (not _is_identifier(g.facts) or (grid.places and _is_padded(g)))
        ]  # fmt: skip
        for part in _parts_of(stated, others):
            part.take("charge", "one of those that add up to the amount", "likely")
        _quantity([g for g in others if g.holds == "unused"])
        return
    numbers = [
        g for g in figures
        if not _is_identifier(g.facts)
        or (grid.places and _is_padded(g) and max(g.facts.lengths) <= _LONGEST)
    ]  # fmt: skip
    for end in range(len(numbers) - 1, 0, -1):
        for size in range(2, min(_ADDENDS, end) + 1):
            parts = numbers[end - size : end]
            if adds_up(parts, numbers[end]) and any(_has_decimals(g) for g in parts):
                numbers[end].take("amount", f"the sum of the {size} before it", "likely")
                for part in parts:
                    part.take("charge", "one of those that add up to the amount", "likely")
                _quantity(numbers[: end - size])
                return
    kept = [g for g in numbers if g.is_punched or g.name in grid.styles]
    priced = (
        [g for g in numbers if _has_decimals(g)]
        or kept
        or (
            [g for g in numbers if g.style and g.style.leading_zeros and max(g.facts.lengths) >= 8]
            if grid.format == "fixed_width"
            else []
        )
    )
    if len(priced) == 1:
        priced[0].take("amount", "the only figures that can be amounts", "perhaps")
        _quantity([g for g in numbers if g is not priced[0]])
    elif priced:
        told = ", ".join(guess.name for guess in priced)
        grid.questions.append(f"which of these is the amount due: {told}?")


def _is_padded(guess: Guess) -> bool:
    return nearly_all([cell.startswith("00") for cell in guess.facts.cells])


def _parts_of(whole: Guess, others: Sequence[Guess]) -> Sequence[Guess]:
    """Return columns side by side that add up to the amount, or none."""
    for size in range(min(_ADDENDS, len(others)), 1, -1):
        for begin in range(len(others) - size + 1):
            if nearly_add_up(others[begin : begin + size], whole):
                return others[begin : begin + size]
    return []


def _quantity(numbers: Sequence[Guess]) -> None:
    """Take the one column of figures that vary and are no flags for the quantity."""
    varied = [
        g for g in numbers
        if any(len(cell.lstrip("0")) > 1 for cell in g.facts.cells) and not _is_long(g.facts)
    ]  # fmt: skip
    if len(varied) == 1:
        varied[0].take("quantity", "figures that add up to nothing", "perhaps")


def _is_long(facts: Facts) -> bool:
    """Tell whether figures are longer than anybody's usage: they number something."""
    lengths = sorted(len(cell.lstrip("0")) for cell in facts.cells)
    return lengths[len(lengths) // 2] >= _LONG


def missing_roles(guesses: Sequence[Guess]) -> list[Role]:
    """Return the roles that a profile must have and no column was found for."""
    held = {guess.holds for guess in guesses}
    return [role for role in REQUIRED if role not in held]
