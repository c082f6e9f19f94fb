"""What every utility's adapter promises: bytes in, records out, no database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable


class RecordKind(StrEnum):
    BILL = "bill"  # a bill, or a higher version of one
    CORRECT = "correct"  # a higher version of a bill that must be there: never a bill by itself
    CANCEL = "cancel"  # the bill it names is void
    REMIND = "remind"  # another paper for the bill ``original_no``: one claim, two names


class LineItem(NamedTuple):
    """One line of a bill as the company prints it; ``amount_fen`` may be negative."""

    name: str
    quantity: Decimal | None
    unit: str  # "m³", "kWh" or "" where a line has no quantity
    amount_fen: int


class Exactness(StrEnum):
    """Which amounts a company takes for a bill."""

    EXACT = "exact"
    EXACT_AND_ABOVE = "exact_and_above"
    EXACT_AND_BELOW = "exact_and_below"
    RANGE = "range"
    ANY = "any"
    MULTIPLE_OF = "multiple_of"


class AmountRule(NamedTuple):
    """Which amounts are taken; the three figures where the mode wants them."""

    mode: Exactness
    minimum_fen: int | None = None
    maximum_fen: int | None = None
    multiple_fen: int | None = None


class OptionKind(StrEnum):
    """An amount other than the bill's own that may be paid for it."""

    EARLY = "early"  # less, until a day: it settles the bill
    LATE = "late"  # more, after the due date: it settles the bill
    MINIMUM = "minimum"  # a part; the rest stays open
    INSTALMENT = "instalment"  # one of several equal in right; they add up to the bill


class PayOption(NamedTuple):
    """One of a bill's alternatives. ``code`` is unique in the bill: ``early``, ``instalment-2``."""

    code: str
    kind: OptionKind
    name: str
    amount_fen: int
    from_on: date | None = None
    until_on: date | None = None
    rule: AmountRule | None = None


class PayTerms(NamedTuple):
    """A bill's own way of being paid, where it differs from the company's."""

    rule: AmountRule | None = None
    options: tuple[PayOption, ...] = ()


class ReadingKind(StrEnum):
    """How a company came by the figure of a meter."""

    READ = "read"  # somebody of theirs stood before it
    REMOTE = "remote"  # the meter sent it
    OWN = "own"  # the resident told them
    ESTIMATED = "estimated"  # nobody saw the meter


class MeterReading(NamedTuple):
    """What a bill says of the meter. Usage is never derived from it: meters get replaced."""

    before: Decimal | None = None
    after: Decimal | None = None
    read_on: date | None = None
    kind: ReadingKind | None = None
    meter_no: str = ""


class BillRecord(NamedTuple):
    """One bill as the company stated it, in our units.

    ``(company, account_no, billing_month, bill_no)`` is the bill and ``version`` its edition.
    ``amount_fen`` is the company's own total, never recomputed: its lines are for reading.
    """

    line_no: int  # where in the file, from 1
    kind: RecordKind
    account_no: str
    holder_name: str
    address: str
    billing_month: date  # first day of the company's 账期
    bill_no: str
    version: int
    period_from_on: date
    period_to_on: date
    issued_on: date
    due_on: date
    usage: Decimal | None
    usage_unit: str
    amount_fen: int  # negative is a credit; of a reminder, the fee asked for it
    items: tuple[LineItem, ...]
    original_no: str = ""  # of a reminder: the bill it reminds of, in the same billing month
    pay_terms: PayTerms | None = None
    reading: MeterReading | None = None


class Heading(NamedTuple):
    """What a file says of itself before its rows; yielded first, by files that have it."""

    sequence_no: str  # the company's number of this file


class Reject(NamedTuple):
    """One row that did not become a bill, and why, for the company's own eyes."""

    line_no: int
    column: str  # the column's name in the interface note; "" when the row as a whole is wrong
    reason: str  # a sentence that says what is wrong and how to mend it
    raw: str  # the row as it came, cut to 500 characters


class BillFileReader(Protocol):
    """Reads one company's bill file."""

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        """Yield the heading, if the file has one, then every row in file order.

        Memory does not grow with the file. The reader judges what one row can tell; whether a bill
        is new is the importer's business. **Nothing yielded may be kept unless the iterator ends
        without raising**: control totals are often known only at the end.

        Raises:
            BillFileError: the file as a whole is refused (empty, not this format, wrong encoding,
                control totals that do not add up …), with the line where that shows.
        """
        ...


class ConfirmationKind(StrEnum):
    """What a company says of one of our write-offs in its day's list."""

    WRITTEN_OFF = "written_off"
    REVERSED = "reversed"  # it was written off, that day or before, and is not any more
    REFUSED = "refused"  # it never was


class Confirmation(NamedTuple):
    """One row of a company's list of what it wrote off on a day, in our units.

    ``write_off_no`` is blank where the company names only account and bill. ``amount_fen`` is
    negative if and only if the row is a reversal (of more than nothing); of a refusal it is what
    was refused.
    """

    row_no: int  # the how-manieth row, from 1: no two of a file have the same
    line_no: int  # where it stands, for people; in XML several may stand in one line
    kind: ConfirmationKind
    write_off_no: str  # ours, as it was sent
    account_no: str
    bill_no: str
    receipt_no: str  # theirs
    amount_fen: int
    written_off_on: date  # the company's own day of the row
    written_off_at: datetime | None  # where it tells a time of day
    reason: str  # of a refusal or reversal, in the company's words
    is_repeated: bool  # an earlier row of this file says the same of the same write-off


class ConfirmationState(StrEnum):
    """Whether a company has a day's list; no answer is ever taken for another."""

    READY = "ready"
    NOT_YET = "not_yet"
    NO_DATA = "no_data"  # the company says that it wrote nothing off
    UNKNOWN = "unknown"  # a timeout, a 500, garbage: ask again


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationFetch:
    """A company's answer to being asked for a day's list; ``content`` if it is READY.

    Args:
        reason: why it is UNKNOWN.
        company_down: UNKNOWN because the company's system fails, not because of what it said.
    """

    state: ConfirmationState
    content: bytes = b""
    reason: str | None = None
    company_down: bool = False


@runtime_checkable
class ConfirmationSource(Protocol):
    """A client of a company that gives its day's list over the same API."""

    @property
    def gives_confirmations(self) -> bool:
        """Whether this company does; if not, its list comes another way or never."""
        ...

    def fetch_confirmations(self, day: date) -> ConfirmationFetch:
        """Ask for a Shanghai day's list; safe to repeat.

        Raises:
            UpstreamUnavailable: the company could not be reached.
            NotFound: it gives none.
        """
        ...


class WriteOffOutcome(StrEnum):
    ACCEPTED = "accepted"  # the company closed the bill in its books
    REFUSED = "refused"  # the company will not take this payment: final
    UNKNOWN = "unknown"  # anything else: a timeout, a 500, garbage


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOffOrder:
    """What a company is told about a bill that was paid."""

    write_off_no: str  # ours, the idempotency key
    account_no: str
    bill_no: str
    billing_month: date
    amount_fen: int
    paid_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOffReply:
    """What a company said, or did not.

    Args:
        reason: of REFUSED, what the payer is told: our words (``because``), which pages translate,
            or the company's as they came; never a code. Of UNKNOWN, why.
        amount_fen: what the company says it took, where it says so.
        company_down: UNKNOWN because the company's system fails, not because of what it said.
        paid_elsewhere: REFUSED because the bill was paid another way (rule 37).
    """

    outcome: WriteOffOutcome
    utility_ref: str | None = None
    reason: str | None = None
    amount_fen: int | None = None
    company_down: bool = False
    paid_elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalOrder:
    """What a company is told about a write-off of its list that it should take back (冲正).

    Account, bill and amount are as its list has them: one that knows the number otherwise refuses.
    """

    reversal_no: str  # ours, the idempotency key
    write_off_no: str
    account_no: str
    bill_no: str
    amount_fen: int


@runtime_checkable
class WriteOffReverser(Protocol):
    """A client of a company that can be asked to take a write-off back."""

    @property
    def takes_back(self) -> bool:
        """Whether this company does; if not, it is written a letter."""
        ...

    def reverse_write_off(self, order: ReversalOrder) -> WriteOffReply:
        """Ask the company to open a bill again; the same ``reversal_no`` may be told again.

        Returns ACCEPTED once its books have taken it back, REFUSED when they will not, and UNKNOWN
        after a timeout or an answer we cannot read: tell it again under the same number.

        Raises:
            UpstreamUnavailable: the request never left us; safe to retry.
            NotFound: it takes none back.
        """
        ...


class FetchOutcome(StrEnum):
    """The answers of a company that is there (rule 18); one that is not raises."""

    SINGLE = "single"  # one bill is open
    MULTIPLE = "multiple"  # several are
    NONE = "none"  # the account is known and nothing is open on it: a success
    UNKNOWN_ACCOUNT = "unknown_account"
    SEVERAL_ACCOUNTS = "several_accounts"  # the number is that of more than one: nothing is told


class ValidateOutcome(StrEnum):
    """Whether a company has an account."""

    KNOWN = "known"
    CLOSED = "closed"  # it was one; nothing is billed on it any more
    UNKNOWN_ACCOUNT = "unknown_account"
    SEVERAL_ACCOUNTS = "several_accounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateReply:
    """``holder_masked`` is the holder's name as far as it may be shown: ``王**``."""

    outcome: ValidateOutcome
    holder_masked: str | None = None


class OpenBill(NamedTuple):
    """A bill that is open in the company's own books at this moment."""

    billing_month: date
    bill_no: str
    version: int
    issued_on: date
    due_on: date
    amount_fen: int  # what is still open


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReply:
    outcome: FetchOutcome
    bills: tuple[OpenBill, ...] = ()


class UtilityClient(Protocol):
    """A company's live API."""

    def fetch(self, account_no: str) -> FetchReply:
        """Ask what is open on an account; safe to repeat.

        Raises:
            UpstreamUnavailable: the company cannot be reached; or it says nothing we can read,
                with the code ``upstream.unreadable``.
            Invalid: no account has such a number, and it cannot even be asked about.
        """
        ...

    def validate(self, account_no: str, holder_hint: str | None = None) -> ValidateReply:
        """Ask whether an account is there; safe to repeat.

        Args:
            account_no: the number as the resident wrote it.
            holder_hint: the holder's name as the resident wrote it; it can tell two accounts of
                one number apart at a company that looks at it.

        Raises:
            UpstreamUnavailable, Invalid: as `fetch` does.
        """
        ...

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        """Tell the company once; the same ``write_off_no`` may be told again.

        Returns UNKNOWN after a timeout or an answer we cannot read: ask with ``query``.

        Raises:
            UpstreamUnavailable: the request never left us; safe to retry.
        """
        ...

    def query(self, write_off_no: str) -> WriteOffReply | None:
        """Return what became of a write-off, or None when the company has never seen it.

        Raises:
            UpstreamUnavailable: the company could not be reached.
        """
        ...
