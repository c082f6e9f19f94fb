"""What pages of usage draw, each drawing with the figures it shows as a table."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from markupsafe import Markup

from billing.documents.charts import Line
from billing.documents.usage_charts import (
    ELDER,
    PAGE,
    Among,
    Measures,
    YearRow,
    among_drawing,
    drawing_svg,
    months_drawing,
    years_drawing,
)
from billing.usage.history import History, year_on_year
from billing.usage.reports import Compared
from core.clock import add_months
from web import look

Words = Callable[[int], str]


class Page(NamedTuple):
    """For whom is drawn: their language, and in large letters or not."""

    locale: str
    elder: bool

    def month(self, month: date) -> str:
        return look.short_month_text(self.locale, month)

    @property
    def measures(self) -> Measures:
        return ELDER if self.elder else PAGE


class TableRow(NamedTuple):
    """A row beside a drawing: a month, its figures, and what is to be known of it."""

    month: date
    figures: tuple[str, ...]
    estimated: bool = False


class Chart(NamedTuple):
    """A drawing, and the same as a table; ``heads`` name its columns after the month."""

    svg: Markup
    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]


def usage_words(locale: str, unit: str) -> Words:
    """Return how thousandths of a unit are said: ``8,000`` is "8 m³"."""
    spoken = look.macro_text(locale, "parts/ui.html", "unit", unit)
    return lambda milli: f"{look.decimal_text(Decimal(milli).scaleb(-3))} {spoken}"


def mass_words(locale: str) -> Words:
    """Return how grams of CO₂e are said: ``"4.5 kg"``, from ten kilograms on without a decimal."""
    unit = {"zh_CN": "千克", "en": "kg"}[locale]

    def said(grams: int) -> str:
        kg = Decimal(grams).scaleb(-3)
        step = Decimal(1) if grams >= 10_000 else Decimal("0.1")
        return f"{look.decimal_text(kg.quantize(step, ROUND_HALF_UP))} {unit}"

    return said


def months_chart(
    who: Page, values: Sequence[tuple[date, int]], words: Words, *, label: str, head: str,
    estimated: frozenset[date] = frozenset(),
) -> Chart:  # fmt: skip
    """Draw a bar a month, the newest first: what one looks for stands at the top."""
    newest = list(reversed(values))
    rows = [TableRow(month, (words(value),), month in estimated) for month, value in newest]
    mark = look.say(who.locale, "est.")
    lines = [
        Line(who.month(row.month), value, row.figures[0] + (f" {mark}" if row.estimated else ""))
        for row, (_, value) in zip(rows, newest, strict=True)
    ]
    figures = [f"{one.name} {one.text}" for one in lines]
    svg = drawing_svg(months_drawing(lines, who.measures), label=label, figures=figures)
    return Chart(look.plain_svg(svg), (head,), tuple(rows))


def years_chart(who: Page, values: Mapping[date, int], words: Words, *, label: str) -> Chart | None:
    """Draw the last twelve months beside the twelve before; None: there are no two years yet."""
    newest = max(values, default=None)
    compared = year_on_year(values, newest) if newest is not None else []
    if not any(before is not None for _, _, before in compared):
        return None
    first = add_months(newest or compared[-1][0], -11)
    names = tuple(
        f"{who.month(add_months(first, -back))} – {who.month(add_months(first, 11 - back))}"
        for back in (0, 12)
    )

    def said(value: int | None) -> str:
        return "" if value is None else words(value)

    rows = [
        YearRow(
            look.month_name(who.locale, month), now, said(now), before, said(before),
        )
        for month, now, before in reversed(compared)
    ]  # fmt: skip
    table = [
        TableRow(month, (said(now) or "–", said(before) or "–"))
        for month, now, before in reversed(compared)
    ]
    figures = [f"{row.month:%Y-%m} {' / '.join(row.figures)}" for row in table]
    drawing = years_drawing(rows, (names[0], names[1]), who.measures)
    svg = drawing_svg(drawing, label=label, figures=figures)
    heads = look.say(who.locale, "This year"), look.say(who.locale, "A year before")
    return Chart(look.plain_svg(svg), heads, tuple(table))


def among_chart(who: Page, compared: Compared, unit: str) -> Markup:
    """Draw where a home stands among those near by."""
    words, level = usage_words(who.locale, unit), compared.level
    low, middle, high = (int(one.scaleb(3)) for one in (level.p25, level.p50, level.p75))
    band = f"{look.decimal_text(level.p25)}–{words(high)}"
    own = look.say(who.locale, "You: %(usage)s", usage=words(rounded(compared.own_milli)))
    drawing = among_drawing(Among(low, middle, high, compared.own_milli, band, own), who.measures)
    label = look.say(who.locale, "Your home among homes near by")
    return look.plain_svg(drawing_svg(drawing, label=label, figures=[own, band]))


def rounded(milli: int) -> int:
    """Round what is reckoned and not metered: to tenths, and from ten on to whole units."""
    step = 1_000 if milli >= 10_000 else 100
    return (milli + step // 2) // step * step


def series(history: History, *, money: bool) -> list[tuple[date, int]]:
    """Return an account's months: amounts in fen, or usage in thousandths."""
    if money:
        return [(one.month, one.amount_fen) for one in history.months]
    return [(one.month, one.milli) for one in history.months if one.milli is not None]


def money_range(low_fen: int, high_fen: int) -> str:
    """Return a range that does not pretend to be exact: ``"¥95–120"``, outward to round yuan."""
    step = next((step for most, step in _STEPS if high_fen < most), 10_000)
    low, high = low_fen // step * step, -(-high_fen // step) * step
    return f"¥{low // 100:,}–{high // 100:,}"


_STEPS = ((3_000, 100), (30_000, 500), (100_000, 1_000), (1_000_000, 5_000))
