"""Whether a ``[confirmation]`` agrees with itself."""

from collections import Counter
from typing import Final

from providers.formats.dates import MONTHLY
from providers.profile_checks import Fault, check_columns, check_shape
from providers.profile_confirmation import ConfirmationRole, ConfirmationTable
from providers.profile_facts import Facts
from providers.profile_tables import STANDARDS

_MAY_LACK: Final[tuple[ConfirmationRole, ...]] = ("receipt_no", "reason", "unused")


def check_confirmation(table: ConfirmationTable) -> None:
    """Hold the parts of a table against one another.

    Raises:
        Fault: the first thing that does not fit, with the remedy; its path leads into the profile.
    """
    try:
        _check_format(table)
        _check_roles(table)
        _check_cells(table)
        alike = Facts.model_construct(**table.like_a_bills())
        check_columns(alike)
        check_shape(alike)
    except Fault as wrong:
        raise Fault(f"confirmation: {wrong}", "confirmation", *wrong.path) from None


def _check_format(table: ConfirmationTable) -> None:
    if table.file.format in STANDARDS:
        raise Fault(
            f"file: {table.file.format} is a standard of bills: a list of write-offs is"
            " 'delimited', 'fixed_width', 'spreadsheet', 'json', 'json_lines' or 'xml'",
            "file", "format",
        )  # fmt: skip


def _check_roles(table: ConfirmationTable) -> None:
    roles = Counter(column.holds for column in table.columns)
    for role in sorted(roles.keys() - {"unused"}):
        if roles[role] > 1:
            raise Fault(f"columns: {roles[role]} columns hold {role!r}; only one may", "columns")
    if not roles["amount"]:
        raise Fault("columns: no column holds 'amount'; add { holds = 'amount' } to one", "columns")
    if not (roles["write_off_no"] or (roles["account_no"] and roles["bill_no"])):
        raise Fault(
            "columns: which write-off a row is about nothing says: one column must hold"
            " 'write_off_no', or two 'account_no' and 'bill_no'", "columns",
        )  # fmt: skip
    if bool(roles["kind"]) != bool(table.kinds):
        raise Fault(
            "kinds: a column that holds 'kind' and a [confirmation.kinds] table of its flags go"
            ' together, such as "1" = "written_off", "2" = "reversed"', "kinds",
        )  # fmt: skip
    trailer = table.trailer.fields if table.trailer is not None else ()
    dated = roles["day"] or roles["written_off"]
    if not dated and all(cell.holds != "day" for cell in (*table.header.fields, *trailer)):
        raise Fault(
            "columns: which day a list is of nothing says: a column must hold 'written_off' or"
            " 'day', or a field of the header or trailer 'day'", "columns",
        )  # fmt: skip


def _check_cells(table: ConfirmationTable) -> None:
    needed = table.column("write_off_no") is not None
    named = ("account_no", "bill_no") if needed else ("write_off_no",)
    for at, column in enumerate(table.columns):
        path = ("columns", at)
        if column.optional and column.holds not in (*_MAY_LACK, *named):
            raise Fault(f"columns: {column.name!r} holds {column.holds!r}: not optional", *path)
        if (column.must_be is not None) != (column.holds in ("row_type", "company")):
            raise Fault(
                f"columns: {column.name!r}: must_be goes with 'row_type' and 'company', and they"
                " with it", *path,
            )  # fmt: skip
        written = column.format or table.dates.day
        if column.holds in ("day", "written_off") and written in (*MONTHLY, "yyyy"):
            raise Fault(f"columns: {column.name!r}: {written} names no day", *path)
    amount = table.column("amount")
    assert amount is not None
    ends = {"header": table.header.fields, "trailer": table.trailer.fields if table.trailer else ()}
    for what, fields in ends.items():
        for at, cell in enumerate(fields):
            if cell.of not in (None, amount.name):
                raise Fault(
                    f"{what}: {cell.name}: only the amounts are added up: of = {amount.name!r}, or"
                    " nothing", what, "fields", at,
                )  # fmt: skip
