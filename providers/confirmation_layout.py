"""A company's list of write-offs, described as the readers of bill files need it.

They find cells and prove totals; what a row means is ``providers/formats/confirming.py``.
"""

from datetime import date
from typing import Self

from providers.confirmation_checks import check_confirmation
from providers.profile_confirmation import ConfirmationTable
from providers.profile_tables import Rule
from providers.profiles import Profile


class ConfirmationLayout(Profile):
    """One company's lists; ``day`` is the day that is being read, None where none is yet."""

    table: ConfirmationTable
    day: date | None = None

    @property
    def is_plain(self) -> bool:
        return False  # the fast readers know bills only

    @property
    def states_totals(self) -> bool:
        """Whether a file must say how many rows it has, or what they add up to."""
        trailer = () if self.trailer is None or self.trailer.optional else self.trailer.fields
        fields = (*self.header.fields, *trailer)
        return any(cell.holds in ("row_count", "line_count", "amount_sum") for cell in fields)

    def of(self, day: date) -> Self:
        """Return the layout of one day's file."""
        return self.model_copy(update={"day": day})


def layout_of(
    table: ConfirmationTable, code: str, name: str, *, account_no: Rule, bill_no: Rule
) -> ConfirmationLayout:
    """Return the layout of the lists of the company ``code``, called ``name``.

    Args:
        table: its ``[confirmation]``.
        account_no: the rule of its account numbers, where the table has none of its own.
        bill_no: the rule of its bill numbers, likewise.

    Raises:
        Fault: the table does not agree with itself.
    """
    check_confirmation(table)
    return ConfirmationLayout.model_construct(
        code=code, name=name, table=table, day=None,
        account_no=table.account_no or account_no, bill_no=table.bill_no or bill_no,
        **table.like_a_bills(),
    )  # fmt: skip
