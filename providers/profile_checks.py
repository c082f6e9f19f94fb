"""Whether the tables of a profile agree with one another."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from providers.profile_facts import Facts
from providers.profile_shapes import Fault as Fault
from providers.profile_shapes import check_shape as check_shape
from providers.profile_tables import FILLED_DOWN, REQUIRED, STANDARDS, Column, Role

_MANY: Final = ("charge", "quantity", "unused")
_BY_NAME: Final = ("delimited", "spreadsheet")  # whose columns may be found by a row of names
_MONTHS: Final = ("m", "mm")


def check_profile(profile: Facts) -> None:
    """Hold the tables of a profile against one another.

    Raises:
        Fault: the first thing that does not fit, with the remedy.
    """
    if profile.file.format in STANDARDS:
        return
    if not profile.columns:
        raise Fault("columns: is missing; add it")
    check_columns(profile)
    _check_roles(profile)
    _check_items(profile)
    _check_gathering(profile)
    _check_filled_down(profile)
    check_shape(profile)


def check_columns(profile: Facts) -> None:
    """Hold each column's name, format, unit and scale against what it holds.

    Raises:
        Fault: the first thing that does not fit.
    """
    seen: dict[str, int] = {}
    for at, column in enumerate(profile.columns):
        for name in (column.name, *column.also):
            if name in seen:
                raise Fault(
                    f"columns: {name!r} is named twice; every column needs its own name",
                    "columns",
                    at,
                )
            seen[name] = at
    for at, column in enumerate(profile.columns):
        dated = column.holds in ("billing_month", "billing_year", "early_until", "read_on") or (
            column.holds in ("period_from", "period_to", "issued", "due")
        )
        money = column.holds in ("amount", "charge", "early_amount", "late_amount") or (
            column.holds == "minimum_amount"
        )
        if column.format is not None and not dated:
            raise Fault(f"columns: {column.name!r} holds no date: leave format out", "columns", at)
        if column.unit is not None and not money:
            raise Fault(f"columns: {column.name!r} holds no amount: leave unit out", "columns", at)
        counted = column.holds in ("quantity", "reading_before", "reading_after")
        if column.scale is not None and not (money or counted):
            raise Fault(
                f"columns: {column.name!r} holds no amount and no quantity: leave scale out",
                "columns",
                at,
            )
        if column.style is not None and not (money or counted):
            raise Fault(
                f"columns: {column.name!r} holds no amount and no quantity: leave style out",
                "columns", at,
            )  # fmt: skip


def _check_roles(profile: Facts) -> None:
    roles = Counter(column.holds for column in _first_of_repeats(profile))
    supplied = set(profile.defaults.supplies)
    if any(segment.is_a == "item" for segment in profile.segments):
        supplied.add("amount")
    for role in REQUIRED:
        if not roles[role] and role not in supplied:
            raise Fault(
                f"columns: no column holds {role!r}; add {{ holds = {role!r} }} to one", "columns"
            )
    for role in sorted(roles.keys() - set(_MANY)):
        if roles[role] > 1:
            raise Fault(f"columns: {roles[role]} columns hold {role!r}; only one may", "columns")
    _check_defaults(profile, roles)
    if bool(roles["status"]) != bool(profile.status):
        raise Fault(
            "status: a column that holds 'status' and a [status] table of its flags go together,"
            ' such as "N" = "bill", "C" = "cancel"',
            "status",
        )
    if "credit" in profile.status.values():
        if profile.segments or profile.items_from is not None:
            raise Fault(
                "status: 'credit' goes with amounts that stand in columns: not with [[segments]]"
                " or [items_from]", "status",
            )  # fmt: skip
        if profile.corrections.negative == "cancel":
            raise Fault(
                "status: 'credit' makes amounts negative, and [corrections] negative = 'cancel'"
                " would cancel them: keep one", "status",
            )  # fmt: skip
    if bool(roles["reading_kind"]) != bool(profile.reading_kinds):
        raise Fault(
            "reading_kinds: a column that holds 'reading_kind' and a [reading_kinds] table of its"
            ' words go together, such as "估抄" = "estimated", "正常" = "read"',
            "reading_kinds",
        )
    if bool(roles["original_no"]) != ("remind" in profile.status.values()):
        raise Fault(
            "status: a flag that means 'remind' and a column that holds 'original_no', the bill"
            " it reminds of, go together",
            "status",
        )
    if roles["early_amount"] != roles["early_until"]:
        raise Fault(
            "columns: 'early_amount' and 'early_until', its last day, go together", "columns"
        )


def _check_defaults(profile: Facts, roles: Counter[Role]) -> None:
    defaults = profile.defaults
    lacks_issued, lacks_end = not roles["issued"], not roles["period_to"]
    if lacks_issued and defaults.issued == "file_day" and profile.file.format not in STANDARDS:
        days = [cell for cell in profile.header.fields if cell.holds == "day"]
        if len(days) != 1:
            raise Fault(
                "defaults: issued = 'file_day' needs one field of the header that holds 'day'",
                "defaults", "issued",
            )  # fmt: skip
    if (
        lacks_issued
        and defaults.issued == "period_end"
        and lacks_end
        and not (roles["billing_month"])
    ):
        raise Fault(
            "defaults: issued = 'period_end' needs a column that holds 'period_to' or"
            " 'billing_month'", "defaults", "issued",
        )  # fmt: skip
    if defaults.billing_month == "period_end" and not roles["billing_month"] and lacks_end:
        raise Fault(
            "defaults: billing_month = 'period_end' needs a column that holds 'period_to'",
            "defaults", "billing_month",
        )  # fmt: skip
    month = profile.column("billing_month")
    in_two = month is not None and profile.date_format(month) in _MONTHS
    if bool(roles["billing_year"]) != in_two:
        raise Fault(
            "columns: a column that holds 'billing_year' and a billing_month with format 'm' or"
            " 'mm' go together",
            "columns",
        )


def _first_of_repeats(profile: Facts) -> list[Column]:
    """Return the columns that make the first bill of a row."""
    others = {name for group in profile.repeat[1:] for name in group.columns}
    return [column for column in profile.columns if column.name not in others]


def _check_items(profile: Facts) -> None:
    money = {c.name for c in profile.columns if c.holds in ("charge", "amount")}
    metered = {c.name for c in profile.columns if c.holds == "quantity"}
    for at, item in enumerate(profile.items):
        if item.amount not in money:
            raise Fault(
                f"items: {item.name}: amount {item.amount!r} must be a column that holds"
                f" 'charge' or 'amount': {_listed(money)}", "items", at, "amount",
            )  # fmt: skip
        if item.quantity is not None and item.quantity not in metered:
            raise Fault(
                f"items: {item.name}: quantity {item.quantity!r} must be a column that holds"
                f" 'quantity': {_listed(metered)}", "items", at, "quantity",
            )  # fmt: skip
    for name in profile.usage:
        if name not in metered:
            raise Fault(
                f"usage: {name!r} must be a column that holds 'quantity': {_listed(metered)}",
                "usage",
            )
    for at, cell in enumerate(profile.trailer.fields if profile.trailer else ()):
        if cell.of is not None and cell.of not in money | metered:
            raise Fault(
                f"trailer: {cell.name}: of = {cell.of!r} must be a column that holds an amount,"
                f" a charge or a quantity: {_listed(money | metered)}", "trailer", "fields", at,
            )  # fmt: skip


def _check_gathering(profile: Facts) -> None:
    """Only one of the ways in which rows and bills may not be one to one, and of known columns."""
    ways = [bool(profile.rows), bool(profile.segments), bool(profile.repeat)]
    if sum(ways) > 1:
        raise Fault(
            "rows: [rows], [[segments]] and [[repeat]] do not go together: keep one", "rows"
        )
    names = {column.name for column in profile.columns}
    for at, group in enumerate(profile.repeat):
        for name in group.columns:
            if name not in names:
                raise Fault(f"repeat: {name!r} is no column", "repeat", at, "columns")
    for name in profile.rows.group_by if profile.rows else ():
        if name not in names:
            raise Fault(f"rows: group_by: {name!r} is no column", "rows", "group_by")
    if profile.column("item_name") is not None and profile.rows is None:
        raise Fault(
            "columns: a column that holds 'item_name' needs [rows] group_by, the columns whose"
            " cells are the same in all rows of a bill", "columns",
        )  # fmt: skip
    _check_segments(profile)


def _check_segments(profile: Facts) -> None:
    if profile.segments and profile.column("row_type") is None:
        raise Fault(
            "segments: the bill's own line needs a first column that holds 'row_type'", "segments"
        )
    for at, segment in enumerate(profile.segments):
        roles = Counter(column.holds for column in segment.columns)
        wanted = {"item": "charge", "subtotal": "amount"}.get(segment.is_a)
        if wanted is not None and roles[wanted] != 1:  # type: ignore[index]
            raise Fault(
                f"segments: {segment.mark}: one column of it must hold {wanted!r}", "segments", at
            )
        fit = {"row_type", "item_name", "charge", "quantity", "amount", "unused"}
        if not roles.keys() <= fit:
            raise Fault(
                f"segments: {segment.mark}: its columns hold {', '.join(sorted(fit))}",
                "segments", at,
            )  # fmt: skip


def _check_filled_down(profile: Facts) -> None:
    fit = set(FILLED_DOWN) - (set() if profile.rows else {"bill_no"})
    in_rows = profile.file.format in _BY_NAME and not profile.segments
    for at, column in enumerate(profile.columns):
        if column.fill_down and (column.holds not in fit or not in_rows):
            raise Fault(
                f"columns: {column.name!r} cannot say fill_down, which may be said in plain rows of"
                f" a workbook or delimited text, of {_listed(fit)}",
                "columns", at,
            )  # fmt: skip


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "there is none"
