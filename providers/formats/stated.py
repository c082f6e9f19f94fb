"""What a row may say beside its bill: what a reminder reminds of, other amounts, the meter.

Every one of these columns may be blank, and most are, most of the time.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any, Final, TypeVar

from core.errors import Invalid
from providers.base import MeterReading, OptionKind, PayOption, PayTerms, RecordKind
from providers.profiles import METERED, STATED, Profile, Role

Said = tuple[str, PayTerms | None, MeterReading | None]
Say = Callable[[Sequence[str], RecordKind], Said]
NOTHING: Final[Said] = ("", None, None)
V = TypeVar("V")

_AMOUNTS: Final = {
    "early_amount": ("early", OptionKind.EARLY),
    "late_amount": ("late", OptionKind.LATE),
    "minimum_amount": ("minimum", OptionKind.MINIMUM),
}


def or_blank(convert: Callable[[str], V], blank: V) -> Callable[[str], V]:
    """Return a converter that takes an empty cell for ``blank``."""
    return lambda text: convert(text) if text else blank


def original_complaint(kind: RecordKind, original_no: str) -> str | None:
    """Say what is wrong with naming, or not naming, the bill a row reminds of."""
    if kind is RecordKind.REMIND and not original_no:
        return "a reminder names the bill it reminds of: write that bill's number"
    if kind is not RecordKind.REMIND and original_no:
        return "only a reminder names another bill: leave this blank, or mark the row a reminder"
    return None


def sayer(
    profile: Profile, at: Mapping[str, int], converters: Mapping[str, Callable[[str], Any]]
) -> Say | None:
    """Return what reads these columns of a row, or None where the company has none of them.

    Raises (when called):
        Invalid: a cell is wrong, or a reminder does not name its bill.
    """
    columns = {role: profile.column(role) for role in (*STATED, *METERED)}
    cells_of = {
        role: (at[column.name], converters[column.name], column.name)
        for role, column in columns.items()
        if column is not None
    }
    if not cells_of:
        return None
    look = itemgetter(*(place for place, _, _ in cells_of.values()))
    blank = "" if len(cells_of) == 1 else ("",) * len(cells_of)
    original_at, original_of, _ = cells_of.pop("original_no", (-1, _no_number, ""))
    until_at, until_of, _ = cells_of.pop("early_until", (-1, _no_day, ""))
    read = _meter_reader(cells_of)
    amounts = [(*cells_of[role], *_AMOUNTS[role]) for role in _AMOUNTS if role in cells_of]

    def say(cells: Sequence[str], kind: RecordKind) -> Said:
        if kind is not RecordKind.REMIND and look(cells) == blank:
            return NOTHING
        original_no: str = original_of(cells[original_at])
        if original_no or kind is RecordKind.REMIND:
            complaint = original_complaint(kind, original_no)
            if complaint is not None:
                raise Invalid(complaint)
        options = tuple(
            PayOption(
                code, option, name, fen,
                until_on=until_of(cells[until_at]) if option is OptionKind.EARLY else None,
            )
            for place, amount_of, name, code, option in amounts
            if (fen := amount_of(cells[place]))
        )  # fmt: skip
        return original_no, PayTerms(options=options) if options else None, read(cells)

    return say


def _meter_reader(
    cells_of: Mapping[Role, tuple[int, Callable[[str], Any], str]],
) -> Callable[[Sequence[str]], MeterReading | None]:
    """Return what reads the columns about the meter; None of a row in which all are blank."""
    said = [
        (at, cells_of[role][0], cells_of[role][1])
        for at, role in enumerate(METERED)
        if role in cells_of
    ]
    if not said:
        return lambda cells: None

    def read(cells: Sequence[str]) -> MeterReading | None:
        values: list[Any] = [*MeterReading()]
        for at, place, convert in said:
            values[at] = convert(cells[place])
        found = MeterReading(*values)
        return None if found == _SILENT else found

    return read


_SILENT: Final = MeterReading()


def _no_number(_text: str) -> str:
    return ""


def _no_day(_text: str) -> date | None:
    return None
