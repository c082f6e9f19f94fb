"""Bills in our own JSON, as companies push them one by one: docs/company-api.md.

The same promise as any company's file, so that a pushed bill goes through the same import.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, BinaryIO, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.errors import BillFileError, Invalid
from providers.base import (
    BillRecord,
    LineItem,
    MeterReading,
    ReadingKind,
    RecordKind,
    Reject,
)
from providers.formats.cells import date_reader, read_quantity, read_text
from providers.formats.converters import rule_reader
from providers.formats.numerals import json_number
from providers.formats.rows import (
    Window,
    due_complaint,
    items_complaint,
    period_complaint,
    reject,
)
from providers.profile_tables import Months, Rule
from providers.profiles import Profile

MAX_BILLS: Final = 500
_LAST_YEAR: Final = 2099
_MAX_FEN: Final = 10**12


def _told(convert: Callable[[str], Any], example: str) -> Callable[[object], Any]:
    """Make a converter of ours one of pydantic's; what is no text is refused."""

    def check(value: object) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"write it as text, such as {example}")
        try:
            return convert(value)
        except Invalid as wrong:
            raise ValueError(wrong.message) from None

    return check


def _day(layout: Literal["yyyy-mm-dd", "yyyy-mm"]) -> Callable[[str], date]:
    read = date_reader(layout)

    def convert(text: str) -> date:
        day = read(text)
        if day.year > _LAST_YEAR:
            raise Invalid(f"{text} lies after {_LAST_YEAR}: correct the date")
        return day

    return convert


def _quantity(value: object) -> Decimal | None:
    """Take a number or its text, exactly."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("write a number, such as 12.5")
    try:
        return read_quantity(str(value))
    except Invalid as wrong:
        raise ValueError(wrong.message) from None


Number = Annotated[str, Field(max_length=64)]
Day = Annotated[date, BeforeValidator(_told(_day("yyyy-mm-dd"), '"2026-11-01"'))]
Month = Annotated[date, BeforeValidator(_told(_day("yyyy-mm"), '"2026-10"'))]
Quantity = Annotated[Decimal | None, BeforeValidator(_quantity)]
Words = Annotated[str, Field(max_length=200), AfterValidator(_told(read_text, '"王珅"'))]
Fen = Annotated[int, Field(ge=-_MAX_FEN, le=_MAX_FEN)]
Version = Annotated[int, Field(ge=1, le=99)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PushedItem(_Strict):
    """One printed line of a bill."""

    name: Words = Field(min_length=1)
    amount_fen: Fen
    quantity: Quantity = None
    unit: Words = ""


class PushedReading(_Strict):
    """What the meter showed; ``kind`` says who saw it, or that nobody did."""

    before: Quantity = None
    after: Quantity = None
    read_on: Day | None = None
    kind: Literal["read", "remote", "own", "estimated"] | None = None
    meter_no: Annotated[str, Field(max_length=32), AfterValidator(_told(read_text, '"M-1"'))] = ""

    def as_said(self) -> MeterReading:
        kind = None if self.kind is None else ReadingKind(self.kind)
        return MeterReading(self.before, self.after, self.read_on, kind, self.meter_no)

    def as_kept(self) -> MeterReading | None:
        """Return it as a bill has it; None: it says nothing."""
        said = self.as_said()
        return None if said == MeterReading() else said


class PushedReadingOfBill(_Strict):
    """A reading that is told after its bill."""

    account_no: Number
    bill_no: Number
    billing_month: Month
    reading: PushedReading


class PushedBill(_Strict):
    """A bill, or a higher version of one. Amounts are whole fen; the lines add up to the amount."""

    kind: Literal["bill"] = "bill"
    account_no: Number
    bill_no: Number
    billing_month: Month
    version: Version = 1
    holder_name: Words = ""
    address: Words = ""
    period_from_on: Day
    period_to_on: Day
    issued_on: Day
    due_on: Day
    usage: Quantity = None
    usage_unit: Words = ""
    amount_fen: Fen
    items: Annotated[tuple[PushedItem, ...], Field(min_length=1, max_length=100, strict=False)]
    reading: PushedReading | None = None


class PushedCancellation(_Strict):
    """The bill it names is void; ``version`` is at least that of the bill."""

    kind: Literal["cancel"]
    account_no: Number
    bill_no: Number
    billing_month: Month
    version: Version


class PushedBills(_Strict):
    """What is pushed at once."""

    bills: Annotated[
        tuple[PushedBill | PushedCancellation, ...], Field(min_length=1, max_length=MAX_BILLS)
    ]


class Line(NamedTuple):
    """One entry of what was pushed: as it came, and what it reads as."""

    raw: Any
    read: BillRecord | Reject


class OwnSchemaReader:
    """Reads pushed bills; a line is a bill's place in the list, from 1.

    Args:
        profile: the company's, whose rules of numbers and months hold here too.
    """

    def __init__(self, profile: Profile | None = None) -> None:
        account_no = profile.account_no if profile is not None else Rule()
        bill_no = profile.bill_no if profile is not None else Rule()
        months = profile.billing_months if profile is not None else Months()
        self._account_no = rule_reader("account number", account_no)
        self._bill_no = rule_reader("bill number", bill_no)
        self._window = Window(date_reader("yyyy-mm")(months.earliest), months.months_after_issue)

    def read(self, stream: BinaryIO) -> Iterator[BillRecord | Reject]:
        """Yield each bill or what is wrong with it.

        Raises:
            BillFileError: it is no JSON of ours, or has too many bills.
        """
        for line in self.lines(stream.read()):
            yield line.read

    def lines(self, body: bytes) -> list[Line]:
        """Return each entry of what was pushed beside what it reads as.

        Raises:
            BillFileError: it is no JSON of ours, or has too many bills.
        """
        return [Line(raw, self._read(at, raw)) for at, raw in enumerate(entries(body), start=1)]

    def _read(self, line_no: int, raw: Any) -> BillRecord | Reject:
        """Turn one entry into a record, or say what is wrong with it."""
        kind = raw.get("kind", "bill") if isinstance(raw, dict) else None
        try:
            match kind:
                case "bill":
                    return self._bill(line_no, PushedBill.model_validate(raw))
                case "cancel":
                    return self._cancellation(line_no, PushedCancellation.model_validate(raw))
        except ValidationError as wrong:
            column, reason = _complaint(wrong, kind)
            return reject(line_no, column, reason, _shown(raw))
        except _Wrong as wrong:
            return reject(line_no, wrong.column, wrong.reason, _shown(raw))
        if isinstance(raw, dict):
            return reject(line_no, "kind", 'the kind is "bill" or "cancel"', _shown(raw))
        return reject(line_no, "", "a bill is an object: {…}", _shown(raw))

    def _numbers(self, named: PushedBill | PushedCancellation) -> tuple[str, str]:
        """Return the account and bill number by the company's rules."""
        found = []
        for column, read in (("account_no", self._account_no), ("bill_no", self._bill_no)):
            try:
                found.append(read(getattr(named, column)))
            except Invalid as wrong:
                raise _Wrong(column, wrong.message) from None
        return found[0], found[1]

    def _bill(self, line_no: int, bill: PushedBill) -> BillRecord:
        account_no, bill_no = self._numbers(bill)
        items_fen = sum(item.amount_fen for item in bill.items)
        adds_up = items_fen == bill.amount_fen
        complaints = (
            ("billing_month", self._window.complaint(bill.billing_month, bill.issued_on)),
            ("period_to_on", period_complaint(bill.period_from_on, bill.period_to_on)),
            ("due_on", due_complaint(bill.issued_on, bill.due_on)),
            ("amount_fen", None if adds_up else items_complaint(items_fen, bill.amount_fen)),
        )
        for column, complaint in complaints:
            if complaint is not None:
                raise _Wrong(column, complaint)
        return BillRecord(
            line_no=line_no,
            kind=RecordKind.BILL,
            account_no=account_no,
            holder_name=bill.holder_name,
            address=bill.address,
            billing_month=bill.billing_month,
            bill_no=bill_no,
            version=bill.version,
            period_from_on=bill.period_from_on,
            period_to_on=bill.period_to_on,
            issued_on=bill.issued_on,
            due_on=bill.due_on,
            usage=bill.usage,
            usage_unit=bill.usage_unit,
            amount_fen=bill.amount_fen,
            items=tuple(
                LineItem(item.name, item.quantity, item.unit, item.amount_fen)
                for item in bill.items
            ),
            reading=None if bill.reading is None else bill.reading.as_kept(),
        )

    def _cancellation(self, line_no: int, void: PushedCancellation) -> BillRecord:
        """Make the record of a cancellation: its name and version are all that is looked at."""
        account_no, bill_no = self._numbers(void)
        month = void.billing_month
        return BillRecord(
            line_no=line_no,
            kind=RecordKind.CANCEL,
            account_no=account_no,
            holder_name="",
            address="",
            billing_month=month,
            bill_no=bill_no,
            version=void.version,
            period_from_on=month,
            period_to_on=month,
            issued_on=self._window.earliest,
            due_on=self._window.earliest + timedelta(days=1),
            usage=None,
            usage_unit="",
            amount_fen=0,
            items=(),
        )


class _Wrong(Exception):
    """One entry is not a bill; caught where the entry is read."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def entries(body: bytes) -> list[Any]:
    """Return the entries of what was pushed: ``{"bills": […]}``, or one bill alone.

    Raises:
        BillFileError: it is neither, or has no bill, or more than ``MAX_BILLS``.
    """
    pushed = read_json(body)
    if isinstance(pushed, dict) and "bills" not in pushed:
        pushed = {"bills": [pushed]}
    if not isinstance(pushed, dict) or not isinstance(pushed["bills"], list) or len(pushed) > 1:
        raise BillFileError('the body is not of our form: send {"bills": [{…}, {…}]}, or one bill')
    bills: list[Any] = pushed["bills"]
    if not bills:
        raise BillFileError("the list of bills is empty: nothing was sent")
    if len(bills) > MAX_BILLS:
        raise BillFileError(
            f"{len(bills)} bills at once are too many: send {MAX_BILLS} at most, or a bill file"
        )
    return bills


def read_reading(body: bytes) -> PushedReadingOfBill:
    """Read a reading that is told after its bill.

    Raises:
        BillFileError: the body is no JSON.
        Invalid: the first field that is wrong is named.
    """
    try:
        return PushedReadingOfBill.model_validate(read_json(body))
    except ValidationError as wrong:
        error = wrong.errors()[0]
        where = ".".join(map(str, error["loc"])) or "the body"
        told = str(error["msg"]).removeprefix("Value error, ")
        raise Invalid(f"{where}: {told}", code="reading.invalid") from None


def read_json(body: bytes) -> Any:
    """Read JSON whose names are each once in their object.

    Raises:
        BillFileError: it is none, or nested too deeply.
    """
    try:
        return json.loads(
            body, parse_float=json_number, parse_constant=_no_number, object_pairs_hook=_once
        )
    except json.JSONDecodeError as wrong:
        raise BillFileError(
            f"the body is not JSON: {wrong.msg} at character {wrong.colno}", line_no=wrong.lineno
        ) from None
    except RecursionError:
        raise BillFileError("the JSON is nested too deeply: a bill has two levels") from None
    except ValueError as wrong:  # not UTF-8, a key twice, a number of thousands of digits
        raise BillFileError(f"the body cannot be read as JSON: {wrong}") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number: write digits")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice[:40]!r} stands twice in one object: write it once")
    return found


def _shown(raw: Any) -> str:
    return json.dumps(raw, ensure_ascii=False, default=str)


def _complaint(wrong: ValidationError, kind: object) -> tuple[str, str]:
    """Say the first complaint in the sender's words, with the field it is about."""
    error = wrong.errors()[0]
    column = ".".join(
        str(part + 1) if isinstance(part, int) else str(part) for part in error["loc"]
    )
    model = PushedCancellation if kind == "cancel" else PushedBill
    fields = ", ".join(PushedItem.model_fields if "items." in column else model.model_fields)
    words = {
        "missing": "is missing: add it",
        "extra_forbidden": f"is no field here: the fields are {fields}",
        "int_type": "is no whole number: write digits without quotes, amounts in fen",
        "string_type": "is no text: write it in quotes",
        "tuple_type": "is no list: write [{…}]",
        "too_short": "is empty: every bill has a line",
        "string_too_short": "is empty: every line has a name",
    }.get(error["type"])
    return column, words or str(error["msg"]).removeprefix("Value error, ")
