"""Plain delimited rows judged column by column: the fast way through a city's night of files.

A row is taken here only if every cell of it is beyond doubt and all of them agree; the reader that
goes row by row judges the rest, and has the last word. So this may be as strict as it likes: being
wrong costs time, never a bill.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

from core import money_columns
from providers.bulk import FRAME, quoted
from providers.formats.rows import Window
from providers.profiles import METERED, STATED, Column, Profile, Rule

_LAYOUTS: Final = {
    "yyyymmdd": (r"^[12][0-9]{7}$", "%Y%m%d", ""),
    "yyyy-mm-dd": (r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}$", "%Y-%m-%d", ""),
    "yyyymm": (r"^[12][0-9]{5}$", "%Y%m%d", "01"),
    "yyyy-mm": (r"^[12][0-9]{3}-[0-9]{2}$", "%Y-%m-%d", "-01"),
}
_DAYS: Final = {
    "billing_month": "billing_month", "period_from": "period_from_on",
    "period_to": "period_to_on", "issued": "issued_on", "due": "due_on",
}  # fmt: skip
_NUMBERS: Final = ("account_no", "bill_no")
_TEXTS: Final = {"holder_name": "holder_name", "address": "address"}
_UNSEEN: Final = r"[\p{C}\p{Z}--\x20]"
_QUANTITY: Final = r"^(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,3})?$"
_SHORT_QUANTITY: Final = r"^(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,3})?$"  # of several to be summed
_VERSION: Final = r"^(?:[1-9][0-9]?)?$"


class Columnar:
    """What a plain profile makes of rows, a block at a time.

    Args:
        profile: one that `is_columnar`.
        at: where each column's cell stands in a row, by the column's name.
        counts: how many cells a row may have; cells beyond a shorter row's end are blank.
    """

    def __init__(self, profile: Profile, at: Mapping[str, int], counts: frozenset[int]) -> None:
        assert profile.file.delimiter is not None
        self._profile = profile
        self._delimiter = profile.file.delimiter
        self._at, self._counts = at, counts
        self._yuan = profile.amount_unit == "yuan"
        self._window = Window(
            date.fromisoformat(f"{profile.billing_months.earliest}-01"),
            profile.billing_months.months_after_issue,
        )
        # Written once: to write them takes longer than to judge a thousand rows.
        self._cells = pl.col("line").str.split_exact(self._delimiter, max(counts)).alias("cells")
        self._steps = (
            [self._whole().alias("whole"), pl.col(self._seldom()).fill_null("")],
            self._values(),
            [
                (pl.col("whole") & self._sure()).alias("sure"),
                (pl.col("amount_fen") - self._printed_fen()).alias("left_fen"),
            ],
        )
        self._bill = self._bill_columns()

    def judge(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Divide ``lines`` (``line_no``, ``line``) into the bills beyond doubt and the other lines.

        Returns:
            Bills as `FRAME` has them, and the lines that are to be judged one by one.
        """
        rows = lines.rechunk().with_columns(self._cells).unnest("cells")
        for step in self._steps:
            rows = rows.with_columns(step)
        sure = rows.select((pl.col("sure") & self._agree(rows)).fill_null(value=False))["sure"]
        if sure.all():
            return rows.select(self._bill), lines.clear()
        taken = rows.filter(sure).rechunk()  # `pl.format` fails where a column has an empty piece
        return taken.select(self._bill), lines.filter(~sure)

    def _whole(self) -> pl.Expr:
        """Return which lines have as many cells as a row may have; they are cut one later."""
        least, most = min(self._counts), max(self._counts)
        assert len(self._counts) == most - least + 1
        whole = pl.col(f"field_{least - 1}").is_not_null() & pl.col(f"field_{most}").is_null()
        if self._profile.file.quoted:
            whole &= ~pl.col("line").str.contains('"', literal=True)
        return whole

    def _cell(self, column: Column | str) -> pl.Expr:
        name = column if isinstance(column, str) else column.name
        return pl.col(f"field_{self._at[name]}")

    def _columns(self) -> list[Column]:
        """Return the columns this file has: a header row may leave optional ones out."""
        return [column for column in self._profile.columns if column.name in self._at]

    def _seldom(self) -> list[str]:
        """Return the cells that a row may have or not."""
        return [f"field_{at}" for at in range(min(self._counts), max(self._counts) + 1)]

    def _values(self) -> list[pl.Expr]:
        """Return the values of the cells; of one in doubt, anything at all."""
        found = []
        for column in self._columns():
            cell = self._cell(column)
            if column.holds in _DAYS:
                _, layout, end = _LAYOUTS[self._profile.date_format(column)]
                text = cell + end if end else cell
                day = text.str.to_date(layout, strict=False, exact=True)
                found.append(day.alias(_DAYS[column.holds]))
            elif column.holds in ("amount", "charge"):
                fen = money_columns.yuan_to_fen if self._yuan else money_columns.fen_to_fen
                name = "amount_fen" if column.holds == "amount" else f"fen_{column.name}"
                found.append(fen(cell).alias(name))
        return found

    def _sure(self) -> pl.Expr:
        """Return which rows have nothing but cells that mean one thing."""
        sure = pl.lit(value=True)
        for column in self._columns():
            cell, holds = self._cell(column), column.holds
            if holds == "row_type":
                sure &= cell == column.must_be
            elif holds in _NUMBERS:
                rule = self._profile.account_no if holds == "account_no" else self._profile.bill_no
                sure &= cell.str.contains(_whole(rule)) & ~cell.str.contains(_UNSEEN)
            elif holds in _TEXTS:
                sure &= ~cell.str.contains(_UNSEEN)
            elif holds in _DAYS:
                pattern = _LAYOUTS[self._profile.date_format(column)][0]
                sure &= cell.str.contains(pattern) & pl.col(_DAYS[holds]).is_not_null()
            elif holds in ("amount", "charge"):
                sure_of = money_columns.sure_of_yuan if self._yuan else money_columns.sure_of_fen
                sure &= sure_of(cell)
            elif holds == "quantity":
                several = len(self._profile.usage) > 1
                sure &= cell.str.contains(_SHORT_QUANTITY if several else _QUANTITY)
            elif holds == "version":
                sure &= cell.str.contains(_VERSION)
            elif holds == "status":
                bills = [flag for flag, kind in self._profile.status.items() if kind == "bill"]
                sure &= cell.is_in(bills)
            elif holds in STATED or holds in METERED:
                sure &= cell == ""
        return sure

    def _printed_fen(self) -> pl.Expr:
        amount = self._profile.column("amount")
        assert amount is not None
        names = [
            "amount_fen" if item.amount == amount.name else f"fen_{item.amount}"
            for item in self._profile.items
        ]
        return pl.sum_horizontal(names)

    def _agree(self, rows: pl.DataFrame) -> pl.Expr:
        """Return which rows agree with themselves, as `rows.Rows` would say."""
        issued = rows["issued_on"].drop_nulls().unique()
        latest = pl.Series([self._window.latest(day) for day in issued], dtype=pl.Date)
        month = pl.col("billing_month")
        agree = (
            (pl.col("period_to_on") >= pl.col("period_from_on"))
            & (pl.col("due_on") > pl.col("issued_on"))
            & (month >= self._window.earliest)
            & (month <= pl.col("issued_on").replace_strict(issued, latest, default=None))
        )
        if self._profile.rounding_item is None:
            agree &= pl.col("left_fen") == 0
        return agree

    def _bill_columns(self) -> list[pl.Expr]:
        """Return the columns of `FRAME`."""
        profile = self._profile
        by_role = {column.holds: self._cell(column) for column in self._columns()}
        said: dict[str, pl.Expr] = {
            "usage": self._usage(),
            "usage_unit": pl.lit(profile.usage_unit),
            "items": self._items(),
            "version": pl.lit(1),
        }
        said |= {name: by_role[name] for name in _NUMBERS}
        for name in _TEXTS:
            said[name] = by_role.get(name, pl.lit(""))  # type: ignore[call-overload]
        if "version" in by_role:
            version = by_role["version"]
            said["version"] = pl.when(version == "").then(pl.lit("1")).otherwise(version)
        return [said.get(name, pl.col(name)).cast(kind).alias(name) for name, kind in FRAME.items()]

    def _usage(self) -> pl.Expr:
        names = self._profile.usage
        if not names:
            return pl.lit(None, pl.String)
        return self._cell(names[0]) if len(names) == 1 else _sum([*map(self._cell, names)])

    def _items(self) -> pl.Expr:
        """Return each bill's lines as `items_text` writes them."""
        amount = self._profile.column("amount")
        assert amount is not None
        parts, values = [], []
        for item in self._profile.items:
            metered = "null"
            if item.quantity is not None:
                metered = '"{}"'
                values.append(self._cell(item.quantity))
            name, unit = quoted(item.name), quoted(item.unit)
            parts.append(f"[{name},{metered},{unit},{{}}]")
            printed = "amount_fen" if item.amount == amount.name else f"fen_{item.amount}"
            values.append(pl.col(printed))
        items = pl.format(f"[{','.join(parts)}", *values)
        rounding = self._profile.rounding_item
        if rounding is None:
            return items + "]"
        rest = pl.format(f',[{quoted(rounding)},null,"",{{}}]]', pl.col("left_fen"))
        return items + pl.when(pl.col("left_fen") == 0).then(pl.lit("]")).otherwise(rest)


def is_columnar(profile: Profile) -> bool:
    """Tell whether a profile's rows can be judged column by column."""
    if not profile.is_plain or profile.file.format != "delimited":
        return False
    printed = [quoted(text) for item in profile.items for text in (item.name, item.unit)]
    if any("{" in text or "}" in text for text in [*printed, quoted(profile.rounding_item or "")]):
        return False  # braces are what `pl.format` fills in
    layouts = {profile.date_format(column) for column in profile.columns if column.holds in _DAYS}
    return layouts <= set(_LAYOUTS) and all(map(_whole, (profile.account_no, profile.bill_no)))


def _whole(rule: Rule) -> str:
    """Return a rule's pattern for the whole cell; "" where only Python understands it alike."""
    pattern = rule.pattern
    if "\\" in pattern or "(?" in pattern or not pattern.isascii():
        return ""  # classes and groups of Python's own: \d and \w are ASCII there
    whole = f"^(?:{pattern})$"
    try:
        pl.Series([""]).str.contains(whole)
    except pl.exceptions.ComputeError:
        return ""
    return whole


def _sum(cells: list[pl.Expr]) -> pl.Expr:
    """Sum quantities of up to three decimals exactly, with as many as the finest of them."""
    places = [
        pl.when(cell.str.contains(".", literal=True))
        .then(cell.str.len_bytes().cast(pl.Int64) - cell.str.find(".", literal=True) - 1)
        .otherwise(0)
        for cell in cells
    ]
    finest = pl.max_horizontal(places)
    thousandths = pl.sum_horizontal(
        (
            cell.str.replace(".", "", literal=True) + pl.lit("0").repeat_by(3 - place).list.join("")
        ).cast(pl.Int64, strict=False)
        for cell, place in zip(cells, places, strict=True)
    )
    text = thousandths.cast(pl.String).str.zfill(4)
    whole, fraction = text.str.head(-3), text.str.tail(3)
    return pl.when(finest == 0).then(whole).otherwise(whole + "." + fraction.str.slice(0, finest))
