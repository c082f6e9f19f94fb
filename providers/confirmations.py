"""A company's list of a day's write-offs (销账对账文件), read whole before it is believed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO, Final, cast

from core.errors import BillFileError, ConfirmationFileError
from providers.base import Confirmation, ConfirmationKind, Heading, Reject
from providers.confirmation_layout import ConfirmationLayout
from providers.registry import reader_from

REJECTS_KEPT: Final = 1_000
# The readers speak of bills, which is what they read otherwise.
_WORDS: Final = (
    ("bill file", "confirmation file"), ("bill rows", "rows"), ("its bills", "its rows"),
    ("the bills", "the rows"), ("hold bills", "hold rows"), ("no bill is", "no row is"),
    ("in no bill", "in no row"), ("whole bill", "whole row"), ("each bill", "each row"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationFile:
    """A day's list whose control totals hold. It may be iterated as often as needed.

    Args:
        sequence_no: the company's own number of the file; "" where it has none.
        count: the rows that can be read.
        sum_fen: what was written off less what was reversed; what was refused is not in it.
        rejects: the rows that cannot, or are of another day or company; the first of them.
        reject_count: how many there are.
        is_proven: whether the file states how many rows it has, or what they add up to. One that
            does not may have been cut at the end of a row without anybody seeing.
    """

    day: date
    sequence_no: str
    count: int
    sum_fen: int
    rejects: tuple[Reject, ...]
    reject_count: int
    is_proven: bool
    read: Callable[[], Iterator[Confirmation | Reject | Heading]] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[Confirmation]:
        """Yield the rows in file order; memory grows only by the names of the write-offs seen."""
        seen: dict[ConfirmationKind, set[str]] = {kind: set() for kind in ConfirmationKind}
        for row in self.read():
            if isinstance(row, Confirmation):
                named = _name(row)
                yield row._replace(is_repeated=True) if named in seen[row.kind] else row
                seen[row.kind].add(named)


def read_confirmations(
    stream: BinaryIO, layout: ConfirmationLayout, *, day: date
) -> ConfirmationFile:
    """Read a day's list once to its end, without keeping its rows.

    Args:
        stream: it must seek, and stay open and unchanged while the rows are iterated.
        layout: the company's: `Provider.confirmation`.
        day: the Shanghai day that was asked for.

    Raises:
        ConfirmationFileError: it is of another company or day, malformed, or its control totals do
            not hold; nothing of it may be used.
    """
    start, reader = stream.tell(), reader_from(layout.of(day))

    def read() -> Iterator[Confirmation | Reject | Heading]:
        stream.seek(start)
        try:
            yield from cast(Iterator[Confirmation | Reject | Heading], reader.read(stream))
        except BillFileError as refused:
            raise ConfirmationFileError(
                said_of_rows(refused.message), line_no=refused.line_no, column=refused.column
            ) from None

    sequence_no, count, sum_fen, reject_count = "", 0, 0, 0
    rejects: list[Reject] = []
    for row in read():
        if isinstance(row, Confirmation):
            count += 1
            sum_fen += row.amount_fen if row.kind is not ConfirmationKind.REFUSED else 0
        elif isinstance(row, Heading):
            sequence_no = row.sequence_no
        else:
            reject_count += 1
            if len(rejects) < REJECTS_KEPT:
                rejects.append(row._replace(reason=said_of_rows(row.reason)))
    return ConfirmationFile(
        day=day, sequence_no=sequence_no, count=count, sum_fen=sum_fen, rejects=tuple(rejects),
        reject_count=reject_count, is_proven=layout.states_totals, read=read,
    )  # fmt: skip


def _name(row: Confirmation) -> str:
    """Return what tells one write-off from another: two parts of one bill have two receipts."""
    return row.write_off_no or f"{row.account_no} {row.bill_no} {row.receipt_no}"


def said_of_rows(message: str) -> str:
    """Return what a reader says of bills as it is said of rows."""
    for bills, rows in _WORDS:
        message = message.replace(bills, rows)
    return message
