"""What a gateway keeps that collects in batches: files out, files of what came back in."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, runtime_checkable

CALENDAR: Final = "CN"  # the bank's working days
COLLECT_AFTER: Final = 1  # of them, from the cut of a batch to its collection


class Debit(NamedTuple):
    """One order in a batch."""

    order_no: str
    debtor_ref: str
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    batch_no: str
    collect_on: date
    written_at: datetime
    debits: tuple[Debit, ...]

    @property
    def total_fen(self) -> int:
        return sum(debit.amount_fen for debit in self.debits)


class HandOver(StrEnum):
    TAKEN = "taken"
    REFUSED = "refused"  # whole, for good: nothing of it is collected
    UNKNOWN = "unknown"


class HandOverReply(NamedTuple):
    outcome: HandOver
    complaint: str = ""


class Return(NamedTuple):
    """An order the bank could not collect. ``ends_mandate``: nor will it ever."""

    line_no: int
    order_no: str
    amount_fen: int
    code: str
    ends_mandate: bool


class ReturnFile(NamedTuple):
    file_no: str
    returns: tuple[Return, ...]


@runtime_checkable
class Collecting(Protocol):
    """A gateway that reports only failures: ``payments.autopay.collections`` keeps its batches."""

    code: str

    def write_batch(self, batch: Batch) -> bytes:
        """Write a batch's file; the same batch is the same bytes."""
        ...

    def hand_over(self, batch_no: str, content: bytes) -> HandOverReply:
        """Give the bank a batch's file; given again it is one batch.

        Raises:
            UpstreamUnavailable: it never left us.
        """
        ...

    def list_returns(self) -> list[str] | None:
        """Return the numbers of the bank's return files, oldest first; None: it did not say.

        Raises:
            UpstreamUnavailable: it could not be asked.
        """
        ...

    def fetch_returns(self, file_no: str) -> bytes | None:
        """Return a file of returns; None: it did not come.

        Raises:
            UpstreamUnavailable: it could not be asked.
        """
        ...

    def read_returns(self, content: bytes) -> ReturnFile:
        """Read a file of returns whole, its totals checked before the first row.

        Raises:
            SettlementFileError: malformed, or its totals do not add up.
        """
        ...
