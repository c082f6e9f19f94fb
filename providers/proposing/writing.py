"""The proposal as TOML: every guess with its reason, every open question as a marked line."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Final, Protocol

from providers.formats.encodings import DETECT
from providers.proposing.columns import adds_up, differences, missing_roles, nearly_add_up
from providers.proposing.figures import AmountFacts, numbers_of, unit_of
from providers.proposing.grids import Grid, Segment
from providers.proposing.guesses import ASK, DAY_ROLES, Guess
from providers.proposing.rules import constant_of, currency_lines, number_rules, status_lines
from providers.proposing.sniffing import Sample
from providers.proposing.totals import Control, Sums, split_totals
from providers.proposing.words import service_in, usage_unit_in

_OPEN: Final = "?"  # what the profile's own check refuses, so that nobody overlooks it
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
_CURRENCY = re.compile(
    r'\b(?:currencyID|Ccy)="([A-Z]{3})"|CurrencyCode>([A-Z]{3})<|\nCUR\*[^*]*\*([A-Z]{3})'
)
_MONEY: Final = ("amount", "charge", "early_amount", "late_amount", "minimum_amount")


class CompanyFacts(Protocol):
    def _asdict(self) -> dict[str, str]: ...


def write(
    company: CompanyFacts, sample: Sample, grid: Grid | None, guesses: Sequence[Guess], *,
    settled: bool,
) -> str:  # fmt: skip
    """Write the profile; ``settled`` tells whether the layout of its days is."""
    names = [] if grid is None else grid.names
    lines = _opening(sample, grid)
    lines += _company(company, service_in(names))
    if grid is None:
        lines += _currency(sample)
        lines += ["", "[file]", f"format = {text(sample.format)}  # {sample.why_format}"]
        if sample.encoding not in ("", DETECT, "utf-8") and sample.format == "x12_810":
            lines.append(f"encoding = {text(sample.encoding)}")
        return "\n".join(lines) + "\n"
    amounts = unit_of(grid, guesses)
    lines += ["", *currency_lines(guesses), *_amounts(amounts), *_usage(guesses)]
    lines += _rounding(guesses)
    lines += ["", *_columns(grid, guesses, amounts, settled=settled)]
    lines += ["", *_file(sample, grid)]
    sums = Sums(grid, guesses)
    if grid.format == "fixed_width":
        split_totals(grid.trailer, grid.trailer_places, sums)
    lines += _header(grid, sums)
    lines += _trailer(grid, sums)
    lines += _dates(guesses, settled=settled)
    lines += numbers_of(grid, guesses)
    lines += number_rules(guesses)
    lines += _defaults(guesses)
    lines += status_lines(guesses)
    lines += _several_rows(guesses)
    lines += _items(guesses)
    for segment in grid.segments:
        lines += _segment(segment)
    lines += _lists(grid)
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Write a value as TOML does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(text(one) for one in value) + "]"
    if isinstance(value, int):
        return str(value)
    sound = str(value).encode("utf-8", "replace").decode()
    return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")


def remark(words: str) -> str:
    """Write words as they may stand in a comment: on one line, with nothing unseen."""
    plain = " ".join(words.encode("utf-8", "replace").decode().split())
    return "".join(m for m in plain if unicodedata.category(m) not in ("Cc", "Cf"))[:300]


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


def _currency(sample: Sample) -> list[str]:
    """Ask about amounts of a standard's document that are in no yuan."""
    found = _CURRENCY.search(sample.text)
    code = next((code for code in found.groups() if code), "CNY") if found else "CNY"
    if code == "CNY":
        return []
    return [f'# currency = "{code}"  {ASK}are all amounts in {code}, as those of the sample are?']


def _amounts(amounts: AmountFacts) -> list[str]:
    if amounts.unit is None:
        return [f'amount_unit = "{_OPEN}"  {ASK}{remark(amounts.ask)}']
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


def _rounding(guesses: Sequence[Guess]) -> list[str]:
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
        keys.append(f"holds = {text(guess.holds)}")
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
        own = amounts.own.get(guess.name)
        if guess.holds in _MONEY and own is not None and own != amounts.unit:
            keys.append(f"unit = {text(own)}")
        if guess.at >= len(grid.names) - grid.optional and guess.holds in ("unused", "address"):
            keys.append("optional = true")
        why = f"  # {guess.sure}: {remark(guess.why)}" if guess.why else "  # of no use?"
        lines.append("    { " + ", ".join(keys) + " }," + why)
    for role in missing_roles(guesses):
        lines.append(f"    {ASK}which column holds {role!r}?")
    return [*lines, "]"]


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


def _header(grid: Grid, sums: Sums) -> list[str]:
    if grid.header:
        return ["", "[header]", 'kind = "record"',
                *_fields(grid.header, grid.header_places, grid, sums)]  # fmt: skip
    if grid.named and (grid.format in ("delimited", "spreadsheet") or "listed" in grid.shape):
        lines = ["", "[header]", 'kind = "names"  # a row of column names stands above the bills']
        if grid.search_lines > 1:
            lines.append(f"search_lines = {grid.search_lines}  # lines above it say other things")
        if grid.has_extra:
            lines.append('extra = "ignore"  # some columns have no name')
        return lines
    if grid.format == "spreadsheet":
        return ["", "[header]", 'kind = "none"  # no row has column names']
    return []


def _fields(
    cells: Sequence[str], places: Sequence[tuple[int, int]], grid: Grid, sums: Sums
) -> list[str]:
    lines = ["fields = ["]
    marked = grid.mark is not None or grid.named
    for at, cell in enumerate(cells):
        found = sums.control(cell, first=at == 0, marked=marked)
        lines += _field(found, f"field {at + 1}", places[at] if places else None, "")
    return [*lines, "]"]


def _field(found: Control, name: str, place: tuple[int, int] | None, path: str) -> list[str]:
    keys = [f"name = {text(name)}"]
    keys += [f"path = {text(path)}"] if path and path != name else []
    keys += [f"must_be = {text(found.must_be)}"] if found.must_be else []
    keys += [f"holds = {text(found.holds)}"] if found.holds != "text" else []
    keys += [f"of = {text(found.of)}"] if found.of else []
    keys += [f"unit = {text(found.unit)}"] if found.unit else []
    keys += [f"format = {text(found.layout)}"] if found.layout else []
    keys += [f"at = {place[0]}, bytes = {place[1]}"] if place else []
    ask = [f"    {ASK}{name}: {remark(found.ask)}"] if found.ask else []
    why = f"  # {remark(found.why)}" if found.why else ""
    return ["    { " + ", ".join(keys) + " }," + why, *ask]


def _trailer(grid: Grid, sums: Sums) -> list[str]:
    if grid.trailer:
        return ["", "[trailer]", *_fields(grid.trailer, grid.trailer_places, grid, sums)]
    found = {}
    for path, cell in list(grid.beside.items())[:100]:
        control = sums.control(cell, first=False, marked=False)
        if control.holds not in ("row_count", "amount_sum"):
            called = sums.count_called(re.split(r"[./@]", path)[-1], cell)
            control = control if called is None else called
        if control.holds in ("row_count", "amount_sum"):
            found[path] = control
    if not found or grid.format == "json_lines":
        return []
    lines = ["", "[trailer]", "fields = ["]
    for path, control in found.items():
        lines += _field(control, re.split(r"[./@]", path)[-1] or path, None, path)
    return [*lines, "]", f"{ASK}do these always stand in the file, and mean what they seem to?"]


def _dates(guesses: Sequence[Guess], *, settled: bool) -> list[str]:
    day, month = _usual_layouts(guesses)
    lines = ["", "[dates]"]
    if settled:
        lines.append(f"day = {text(day)}")
    else:
        ask = "is 01/02/2026 the first of February (dd/mm/yyyy) or 2 January (mm/dd/yyyy)?"
        lines.append(f'day = "{_OPEN}"  {ASK}{ask}')
    return [*lines, f"month = {text(month)}"]


def _defaults(guesses: Sequence[Guess]) -> list[str]:
    asked = [_DEFAULTS[role] for role in missing_roles(guesses) if role in _DEFAULTS]
    if not asked:
        return []
    told = [f"# {proposed}  {ASK}{question}" for proposed, question in dict.fromkeys(asked)]
    return ["", "[defaults]", *told]


def _several_rows(guesses: Sequence[Guess]) -> list[str]:
    """Gather the rows of a bill where each names one of its lines."""
    if not any(guess.holds == "item_name" for guess in guesses):
        return []
    alike = [g.name for g in guesses if g.holds in ("account_no", "bill_no", "billing_month")]
    why = "# likely: every row names one line of a bill"
    ask = f"{ASK}are the rows of a bill always together?"
    if _stand_apart(guesses):
        alike = [_OPEN]
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
    return bool(several) and all(len(set(cells)) == 1 for cells in several)


def _items(guesses: Sequence[Guess]) -> list[str]:
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


def _segment(segment: Segment) -> list[str]:
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


def _lists(grid: Grid) -> list[str]:
    lines = []
    for path, keys in grid.lists.items():
        told = remark(", ".join(keys[:10]))
        lines += ["", f"{ASK}are these the lines of a bill ({told})? Then:", "# [items_from]",
                  f"# path = {text(path)}", '# name = "name"', '# amount = "value"']  # fmt: skip
    return lines
