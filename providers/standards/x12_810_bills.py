"""One 810 transaction set: which bill it is, whose, for when, and how it may be paid."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from core.errors import BillFileError, Invalid
from providers.base import BillRecord, OptionKind, PayOption, PayTerms, RecordKind
from providers.formats.cells import shown
from providers.formats.rows import RowFault
from providers.standards.drafts import Draft, flat, read_decimal
from providers.standards.x12 import Segment, TransactionSet
from providers.standards.x12_810_money import (
    items_of,
    read_amount,
    read_day,
    read_hundredths,
    usage_of,
)

# BIG08. What takes a bill's place is its next version, and what takes it back is higher still, so
# that a copy of the first that comes late does not bring it to life again.
_ORIGINAL: Final = ("", "00", "07", "15", "20", "22", "24", "PR", "ZZ")
_CANCELS: Final = ("01", "03", "17")
_REPLACES: Final = ("02", "04", "05")
_REISSUES: Final = ("18",)
_NEXT, _VOID, _AGAIN = 2, 98, 99
_CREDITS: Final = ("CN", "CR", "CM", "C1")  # BIG07

# REF01, best first. Those of the party that is paid are its own account at its bank.
_ACCOUNTS: Final = (
    "12", "Q5", "11", "45", "14", "AJ", "CR", "IT", "MA", "EI", "ACC", "6O", "23", "1W", "18", "LU",
    "SU", "MG", "AN", "BF",
)  # fmt: skip
_NO_ACCOUNTS: Final = (
    "VN", "IV", "PO", "BM", "PK", "CN", "BLT", "PC", "TN", "GT", "DP", "9V", "NH", "RB", "PR", "QY",
    "TX", "VR", "IA", "FJ", "LO", "17",
)  # fmt: skip
_CUSTOMERS: Final = ("8R", "BT", "BY", "BS", "IT", "PR", "ST", "EN", "SO", "LY", "PY", "41", "MQ")
_HOLDERS: Final = ("8R", "BT", "BY", "BS", "PR", "IT", "LY", "PY", "SO", "ST", "MQ")
_BILL: Final = ("OI", "I5")  # REF01 of the invoice that is corrected
_STARTS, _ENDS = ("150", "186", "193", "232"), ("151", "187", "194", "233")
_DUE: Final = ("814", "863", "13A")
_FURTHEST: Final = 1_000  # days after issue
_IN_A_LOOP: Final = frozenset({"N2", "N3", "N4", "REF", "PER", "DMG"})
_PLACES: Final = {
    "account_no": "REF", "bill_no": "BIG02", "amount": "TDS01", "currency": "CUR02",
    "issued": "BIG01", "due": "ITD06", "period_to": "DTM", "billing_month": "DTM",
    "holder_name": "N102", "address": "N301", "corrected_on": "DTM", "items": "SAC15",
}  # fmt: skip


def check_totals(found: TransactionSet) -> None:
    """Hold the CTT against the lines.

    Raises:
        BillFileError: it promises another number, or another sum of quantities.
    """
    totals = next((s for s in reversed(found.segments) if s.name == "CTT"), None)
    if totals is None:
        return
    lines = [segment for segment in found.segments if segment.name == "IT1"]
    stated = totals.get(1)
    if stated and (not _is_count(stated) or int(stated) != len(lines)):
        raise BillFileError(
            f"it says {shown(stated)} lines but there are {len(lines)} IT1: the file was cut or"
            " changed on the way; send it again",
            line_no=totals.number,
            column="CTT01",
        )
    if totals.get(2):
        try:
            counted = sum((read_decimal(s.get(2) or "0") for s in lines), Decimal(0))
            differs = read_decimal(totals.get(2)) != counted
        except Invalid as wrong:
            raise BillFileError(wrong.message, line_no=totals.number, column="CTT02") from None
        if differs:
            raise BillFileError(
                f"it says the quantities come to {totals.get(2)} but they come to {counted:f}: the"
                " file was changed on the way; send it again",
                line_no=totals.number,
                column="CTT02",
            )


def draft_of(found: TransactionSet, *, chinese: bool) -> Draft:
    """Make the draft of one invoice.

    Raises:
        RowFault, Invalid: something in it cannot be read.
    """
    segments = found.segments
    big = _first(segments, "BIG")
    if big is None:
        raise RowFault("BIG", "the set has no BIG, the segment of its date and number: add it")
    issued_on = _day("BIG01", big.get(1))
    parties = _Parties(segments)
    amount = read_amount(segments)
    if big.get(7).upper() in _CREDITS:
        amount = -abs(amount)
    from_on, to_on = _period(segments)
    usage, unit = usage_of(segments)
    draft = Draft(
        line_no=found.number,
        raw="",
        accounts=parties.accounts,
        bill_no=flat(big.get(2)),
        holder_name=parties.holder_name,
        address=parties.address,
        issued_on=issued_on,
        due_on=_due_on(segments, issued_on),
        period_from_on=from_on,
        period_to_on=to_on,
        usage=usage,
        usage_unit=unit,
        currency=next((s.get(2).upper() for s in segments if s.name == "CUR"), ""),
        amount=amount,
        items=items_of(segments, amount, chinese=chinese),
        places=_PLACES,
    )
    _correct(draft, big, segments)
    return draft


def _first(segments: tuple[Segment, ...], name: str) -> Segment | None:
    return next((segment for segment in segments if segment.name == name), None)


def _day(column: str, words: str) -> date | None:
    try:
        return read_day(words)
    except Invalid as wrong:
        raise RowFault(column, wrong.message) from None


def _correct(draft: Draft, big: Segment, segments: tuple[Segment, ...]) -> None:
    """Make of the draft what BIG08 says: a bill, the next version of one, or its end.

    Raises:
        RowFault: the invoice that is meant is not named, or nobody knows the code.
    """
    purpose = big.get(8).upper()
    if purpose in _ORIGINAL:
        return
    if purpose not in (*_CANCELS, *_REPLACES, *_REISSUES):
        raise RowFault(
            "BIG08",
            f"the purpose {shown(purpose)} is none of a bill: write 00 (original), 01 (cancel) or"
            " 05 (replace)",
        )
    named = {flat(s.get(2)) for s in segments if s.name == "REF" and s.get(1) in _BILL} - {""}
    if len(named) != 1:
        said = f"names {len(named)} invoices" if named else "does not name the invoice it means"
        raise RowFault(
            "REF*OI",
            f"it is a correction (BIG08 {purpose}) and {said}, so the customer might be asked"
            " twice: write that invoice's number in one REF*OI",
        )
    draft.bill_no = named.pop()
    draft.corrects = True
    if purpose in _CANCELS:
        draft.kind, draft.version = RecordKind.CANCEL, _VOID
    elif purpose in _REISSUES:
        draft.version = _AGAIN
    else:
        order = big.get(6)
        later = int(order) if order.isascii() and order.isdigit() and len(order) < 3 else 0
        draft.version = min(_NEXT + later, _VOID - 1)


class _Parties:
    """The numbers and names of a set: those of the customer, and none of whom is paid."""

    def __init__(self, segments: tuple[Segment, ...]) -> None:
        found: list[tuple[str, str]] = []
        own: list[tuple[str, str]] = []
        self._names: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        in_line = False  # where a REF of no account we know numbers the line
        for party, segment in _with_party(segments):
            in_line = in_line or segment.name == "IT1"
            is_customer = party in ("", *_CUSTOMERS)
            if segment.name == "REF" and is_customer:
                if segment.get(1) in _ACCOUNTS or not in_line:
                    found.append((segment.get(1), flat(segment.get(2))))
            elif segment.name == "N1":
                self._names.setdefault(party, flat(segment.get(2)))
                if is_customer and segment.get(4):
                    own.append((flat(segment.get(4)), f"N1*{party}"))
            elif segment.name in ("N3", "N4"):
                self._add(party, segment)
        known = [pair for pair in found if pair[0] in _ACCOUNTS]
        known.sort(key=lambda pair: _ACCOUNTS.index(pair[0]))
        others = [pair for pair in found if pair[0] not in (*_ACCOUNTS, *_BILL, *_NO_ACCOUNTS)]
        ranked = [(value, f"REF*{code}") for code, value in known] + own
        ranked += [(value, f"REF*{code}") for code, value in others]
        self.accounts = list(dict.fromkeys(pair for pair in ranked if pair[0]))

    def _add(self, party: str, segment: Segment) -> None:
        parts = [flat(segment.get(at)) for at in range(1, 5)]
        parts = [self._addresses.get(party, ""), *(part for part in parts if part)]
        self._addresses[party] = ", ".join(part for part in parts if part)

    @property
    def holder_name(self) -> str:
        return next((self._names[p] for p in _HOLDERS if self._names.get(p)), "")

    @property
    def address(self) -> str:
        return next((self._addresses[p] for p in _HOLDERS if self._addresses.get(p)), "")


def _with_party(segments: tuple[Segment, ...]) -> Iterator[tuple[str, Segment]]:
    """Yield every segment with the code of the party whose loop it is in, "" outside of any."""
    party = ""
    for segment in segments:
        if segment.name == "N1":
            party = segment.get(1).upper()
        elif segment.name not in _IN_A_LOOP:
            party = ""
        yield party, segment


def _period(segments: tuple[Segment, ...]) -> tuple[date | None, date | None]:
    """Return the first and the last day of service: the widest of those that are said."""
    starts: list[date] = []
    ends: list[date] = []
    for segment in segments:
        if segment.name != "DTM":
            continue
        code, words = segment.get(1), segment.get(2)
        if segment.get(5) == "RD8" and code in (*_STARTS, "344", "007", "090", "472"):
            from_words, _, to_words = segment.get(6).partition("-")
            starts += _days("DTM06", from_words)
            ends += _days("DTM06", to_words)
        elif code in _STARTS:
            starts += _days("DTM02", words)
        elif code in _ENDS:
            ends += _days("DTM02", words)
    return min(starts, default=None), max(ends, default=None)


def _days(column: str, words: str) -> list[date]:
    day = _day(column, words)
    return [] if day is None else [day]


def _due_on(segments: tuple[Segment, ...], issued_on: date | None) -> date | None:
    """Return the net due date: stated, or so many days after issue; the latest of several."""
    days: list[date] = []
    for segment in segments:
        if segment.name == "DTM" and segment.get(1) in _DUE:
            days += _days("DTM02", segment.get(2))
        elif segment.name == "ITD":
            if segment.get(6):
                days += _days("ITD06", segment.get(6))
            elif issued_on is not None and _is_count(segment.get(7)):
                days += _after(issued_on, segment.get(7))
    return max(days, default=None)


def _is_count(words: str) -> bool:
    return words.isascii() and words.isdigit() and len(words) <= 6


def _after(day: date, count: str) -> list[date]:
    """Return the day so many days later; none where there is no calendar for it."""
    later = min(int(count), _FURTHEST)
    return [day + timedelta(days=later)] if day <= date.max - timedelta(days=later) else []


def terms_of(found: TransactionSet, bill: BillRecord) -> PayTerms | None:
    """Return the discount for paying early, where an ITD says its amount and its last day.

    Raises:
        RowFault: one of them cannot be read.
    """
    if bill.kind is not RecordKind.BILL or bill.amount_fen <= 0:
        return None
    for segment in found.segments:
        if segment.name != "ITD" or not segment.get(8):
            continue
        try:
            discount_fen = int(read_hundredths(segment.get(8)).scaleb(2))
        except Invalid as wrong:
            raise RowFault("ITD08", wrong.message) from None
        until_on = _day("ITD04", segment.get(4))
        if until_on is None and _is_count(segment.get(5)):
            until_on = next(iter(_after(bill.issued_on, segment.get(5))), None)
        if until_on is not None and 0 < discount_fen < bill.amount_fen:
            name = flat(segment.get(12)) or "ITD08"
            option = PayOption(
                "early", OptionKind.EARLY, name, bill.amount_fen - discount_fen, until_on=until_on
            )
            return PayTerms(options=(option,))
    return None
