"""The proposal as TOML: every guess with its reason, every open question as a marked line."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from providers.formats.encodings import DETECT
from providers.proposing.bill_lines import (
    item_lines,
    list_lines,
    rounding_lines,
    segment_lines,
    several_rows,
)
from providers.proposing.columns import adds_up, missing_roles
from providers.proposing.ends import header_lines, trailer_lines
from providers.proposing.figures import AmountFacts, numbers_of, unit_of
from providers.proposing.filled_down import fill_down_key
from providers.proposing.grids import Grid
from providers.proposing.guesses import ASK, DAY_ROLES, Guess
from providers.proposing.rules import constant_of, currency_lines, number_rules, status_lines
from providers.proposing.sniffing import Sample
from providers.proposing.standards import Seen, standard_lines
from providers.proposing.toml_text import OPEN, remark, text
from providers.proposing.totals import Sums, split_totals
from providers.proposing.words import service_in, usage_unit_in

_FACTS: Final = (
    ("code", "how this system calls the company; never changes", "spring_water"),
    ("name", "shown to residents", "春镇自来水"),
    ("name_en", "the same in English", "Spring Town Water"),
    ("service", "water, power, gas or telecom", "water"),
    ("phone", "customer service", "000-0000-0000"),
    ("biller_no", "4 digits, the first of the barcode on a paper bill", "9999"),
)
_DEFAULTS: Final = {
    "due": ("due_days = 15", "how many days after its issue is a bill due?"),
    "period_from": ('period = "billing_month"', "which days does a bill cover?"),
    "period_to": ('period = "billing_month"', "which days does a bill cover?"),
    "issued": ('issued = "period_end"', "on which day is a bill issued?"),
    "billing_month": ('billing_month = "period_end"', "which month is a bill for?"),
    "bill_no": ('bill_no = "account_month"', "is there a bill number? Else one bill a month"),
}
_NOTHING_SEEN: Final = Seen()
_MONEY: Final = ("amount", "charge", "early_amount", "late_amount", "minimum_amount")

_STYLES: Final = {
    "overpunch": "does its last character bear the sign, { and A to I plus, } and J to R minus?",
    "packed": "is it a packed number (COMP-3)? How many decimals does it hide (scale)?",
}
_DOUBT: Final = (
    "does the first {} say that a line is a bill (then it is a column of its own, row_type), or is"
    " it a figure of the number?"
)


class CompanyFacts(Protocol):
    def _asdict(self) -> dict[str, str]: ...


def write(
    company: CompanyFacts, sample: Sample, grid: Grid | None, guesses: Sequence[Guess], *,
    settled: bool, seen: Seen = _NOTHING_SEEN,
) -> str:  # fmt: skip
    """Write the profile.

    Args:
        settled: whether the layout of its days is.
        seen: of a standard.
    """
    names = [] if grid is None else grid.names
    lines = _opening(sample, grid)
    lines += _company(company, service_in(names))
    if grid is None:
        return "\n".join([*lines, *standard_lines(sample, seen)]) + "\n"
    amounts = unit_of(grid, guesses)
    lines += ["", *currency_lines(guesses), *_amounts(amounts), *_usage(guesses)]
    lines += rounding_lines(guesses)
    lines += ["", *_columns(grid, guesses, amounts, settled=settled)]
    lines += ["", *_file(sample, grid)]
    sums = Sums(grid, guesses)
    if grid.format == "fixed_width":
        split_totals(grid.trailer, grid.trailer_places, sums)
    lines += header_lines(grid, sums)
    lines += trailer_lines(grid, sums)
    lines += _dates(guesses, settled=settled)
    lines += numbers_of(grid, guesses)
    lines += number_rules(guesses)
    lines += _defaults(guesses)
    lines += status_lines(guesses)
    lines += several_rows(guesses)
    lines += item_lines(guesses)
    for segment in grid.segments:
        lines += segment_lines(segment)
    lines += list_lines(grid)
    return "\n".join(lines) + "\n"


def _opening(sample: Sample, grid: Grid | None) -> list[str]:
    sample_of = "a sample" if grid is None else f"a sample of {len(grid.rows)} rows"
    lines = [
        f"# Proposed from {sample_of}. Nothing of it is in force.",
        "# Read every line, answer every line that says ASK THE COMPANY, and try it with"
        " citybill profile check",
    ]
    if sample.packing:
        lines.append(
            f"# The sample came packed ({sample.packing}); packed files are read as they are."
        )
    if not sample.whole:
        lines.append("# Only the beginning of the file was looked at: its end may hold a trailer.")
    questions = [] if grid is None else grid.questions
    return [*lines, *(ASK + remark(question) for question in questions), ""]


def _company(company: CompanyFacts, service: str | None) -> list[str]:
    said = company._asdict()
    lines = []
    for key, words, example in _FACTS:
        if said[key]:
            lines.append(f"{key} = {text(said[key])}")
        elif key == "service" and service is not None:
            lines.append(f"service = {text(service)}  # likely: the columns' names speak of it")
        else:
            lines.append(f"# {key} = {text(example)}  {ASK}{key}: {words}")
    return lines


def _amounts(amounts: AmountFacts) -> list[str]:
    if amounts.unit is None:
        return [f'amount_unit = "{OPEN}"  {ASK}{remark(amounts.ask)}']
    return [f"amount_unit = {text(amounts.unit)}  # {remark(amounts.why)}"]


def _usage(guesses: Sequence[Guess]) -> list[str]:
    metered = [guess for guess in guesses if guess.holds == "quantity"]
    if not metered:
        return []
    total = [
        one for one in metered
        if len(metered) > 2 and adds_up([m for m in metered if m is not one], one)
    ]  # fmt: skip
    chosen = total[:1] or metered
    unit = next((found for one in chosen if (found := usage_unit_in(one.name))), "")
    known = (
        f"usage_unit = {text(unit)}"
        if unit
        else f'# usage_unit = "m³"  {ASK}what is the usage counted in?'
    )
    why = "the columns whose sum is the usage"
    return [f"usage = {text([one.name for one in chosen])}  # {why}", known]


def _columns(
    grid: Grid, guesses: Sequence[Guess], amounts: AmountFacts, *, settled: bool
) -> list[str]:
    by_path = bool(grid.paths)
    usual_day, usual_month = _usual_layouts(guesses)
    lines = ["columns = ["]
    for guess in guesses:
        constant = constant_of(guess)
        if not guess.name or (by_path and guess.holds == "unused" and constant is None):
            continue
        keys = [f"name = {text(guess.name)}"]
        if by_path and (grid.paths[guess.at] != guess.name or re.search(r"[./@\[]", guess.name)):
            keys.append(f"path = {text(grid.paths[guess.at])}")
        doubtful = grid.doubtful_mark if guess.at == 0 else ""
        keys.append(f"holds = {text(OPEN if doubtful else guess.holds)}")
        if guess.holds == "row_type":
            keys.append(f"must_be = {text(grid.mark)}")
        elif constant is not None:
            keys.append(f"must_be = {text(constant)}")
        if grid.places:
            start, width = grid.places[guess.at]
            keys.append(f"at = {start}, bytes = {width}")
        usual = usual_month if guess.holds == "billing_month" else usual_day
        dated = guess.holds in (*DAY_ROLES, "billing_month", "early_until")
        if guess.holds == "billing_year":
            keys.append('format = "yyyy"')
        elif dated and guess.layout != usual and guess.layout is not None and settled:
            keys.append(f"format = {text(guess.layout)}")
        style = _style_of(grid, guess)
        keys += [f"style = {text(style)}"] if style else []
        own = amounts.own.get(guess.name)
        if guess.holds in _MONEY and own is not None and own != amounts.unit:
            keys.append(f"unit = {text(own)}")
        if guess.at >= len(grid.names) - grid.optional and guess.holds in ("unused", "address"):
            keys.append("optional = true")
        why = f"  # {guess.sure}: {remark(guess.why)}" if guess.why else "  # of no use?"
        filled, ask = fill_down_key(grid, guess)
        lines.append("    { " + ", ".join([*keys, *filled]) + " }," + why)
        lines += [f"    {ask}"] if ask else []
        lines += [f"    {ASK}{_DOUBT.format(remark(doubtful))}"] if doubtful else []
        lines += [f"    {ASK}{remark(guess.name)}: {_STYLES[style]}"] if style else []
    for role in missing_roles(guesses):
        lines.append(f"    {ASK}which column holds {role!r}?")
    return [*lines, "]"]


def _style_of(grid: Grid, guess: Guess) -> str:
    if guess.holds not in (*_MONEY, "quantity"):
        return ""
    return grid.styles.get(guess.name) or ("overpunch" if guess.is_punched else "")


def _usual_layouts(guesses: Sequence[Guess]) -> tuple[str, str]:
    days = Counter(g.layout for g in guesses if g.holds in DAY_ROLES and g.layout)
    months = [g.layout for g in guesses if g.holds == "billing_month" and g.layout]
    return (
        str(days.most_common(1)[0][0]) if days else "yyyymmdd",
        str(months[0]) if months else "yyyymm",
    )


def _file(sample: Sample, grid: Grid) -> list[str]:
    lines = ["[file]", f"format = {text(grid.format)}  # {remark(sample.why_format)}"]
    if sample.encoding and grid.format != "spreadsheet":
        encoding = sample.encoding
        if encoding == DETECT and grid.format not in ("delimited", "fixed_width"):
            encoding = "utf-8"
        if encoding == DETECT and grid.format == "fixed_width":
            encoding = "gb18030"
        lines.append(f"encoding = {text(encoding)}  # {remark(sample.why_encoding)}")
        if sample.question:
            lines.append(ASK + remark(sample.question))
    for key, said in grid.shape.items():
        lines.append(f"{key} = {text(said.value)}  # {remark(said.why)}")
    return lines


def _dates(guesses: Sequence[Guess], *, settled: bool) -> list[str]:
    day, month = _usual_layouts(guesses)
    lines = ["", "[dates]"]
    if settled:
        lines.append(f"day = {text(day)}")
    else:
        ask = "is 01/02/2026 the first of February (dd/mm/yyyy) or 2 January (mm/dd/yyyy)?"
        lines.append(f'day = "{OPEN}"  {ASK}{ask}')
    return [*lines, f"month = {text(month)}"]


def _defaults(guesses: Sequence[Guess]) -> list[str]:
    asked = [_DEFAULTS[role] for role in missing_roles(guesses) if role in _DEFAULTS]
    if not asked:
        return []
    told = [f"# {proposed}  {ASK}{question}" for proposed, question in dict.fromkeys(asked)]
    return ["", "[defaults]", *told]
