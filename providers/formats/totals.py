"""Control totals: what a file says of itself, held against what was read."""

from collections.abc import Callable, Iterable

from core.errors import BillFileError, Invalid
from core.money import yuan_text
from providers.base import Heading, Reject
from providers.formats.cells import amount_reader, date_reader, shown
from providers.profiles import Cell, Profile, Trailer


class Totals:
    """Counts every bill row of a file and sums its amounts, rejected rows included."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_fen = 0
        self._unread: Reject | None = None

    def add(self, line_no: int, column: str, text: str, convert: Callable[[str], int]) -> None:
        """Count a rejected row, and its amount where ``text`` can be read."""
        try:
            self.sum_fen += convert(text)
        except Invalid as wrong:
            self.add_unread(Reject(line_no, column, wrong.message, ""))
        else:
            self.count += 1

    def add_unread(self, rejected: Reject) -> None:
        """Count a row whose amount cannot be read; the first one is kept, to be named."""
        self.count += 1
        if self._unread is None:
            self._unread = rejected

    def prove(
        self,
        line_no: int,
        *,
        count: int | None = None,
        sum_fen: int | None = None,
        column: str = "",
    ) -> None:
        """Hold the stated totals against what was read; None is a total the file does not state.

        Raises:
            BillFileError: they disagree, or an amount that could not be read forbids to tell.
        """
        if self.count == 0:
            raise BillFileError(
                "the file holds no bill: send it again with its bills in it", line_no=line_no
            )
        if count is not None and count != self.count:
            raise BillFileError(
                f"the file says it holds {count} bills but {self.count} were read:"
                " it was cut or changed on the way; send it again",
                line_no=line_no,
            )
        if sum_fen is None:
            return
        if self._unread is not None:
            raise BillFileError(
                "the control sum cannot be proven, because the amount of this row cannot be read:"
                f" {self._unread.reason}",
                line_no=self._unread.line_no,
                column=self._unread.column or None,
            )
        if sum_fen != self.sum_fen:
            raise BillFileError(
                f"the file says its amounts add up to {yuan_text(sum_fen)} yuan but they come to"
                f" {yuan_text(self.sum_fen)}: it was changed on the way; send it again",
                line_no=line_no,
                column=column or None,
            )


def check_record(profile: Profile, cells: list[str], fields: tuple[Cell, ...], what: str) -> None:
    """Hold the cells of a header or trailer against its layout; the caller knows the line.

    Raises:
        Invalid: with ``column`` among its facts.
    """
    if len(cells) != len(fields):
        names = ", ".join(field.name for field in fields)
        raise Invalid(
            f"the {what} has {len(cells)} fields instead of {len(fields)} ({names})", column=None
        )
    for field, text in zip(fields, cells, strict=True):
        try:
            _check_field(profile, field, text)
        except Invalid as wrong:
            raise Invalid(f"in the {what}, {wrong.message}", column=field.name) from None


def _check_field(profile: Profile, field: Cell, text: str) -> None:
    if field.must_be is not None and text != field.must_be:
        raise Invalid(
            f"{shown(text)} stands where {field.must_be} must:"
            f" check that this is the bill file of {profile.name} ({profile.code})"
        )
    whole = field.holds in ("digits", "sequence", "row_count")
    if whole and not (text.isascii() and text.isdigit()):
        raise Invalid(f"{shown(text)} is not a whole number: write digits 0-9")
    if field.holds == "row_count" and len(text) > 15:
        raise Invalid(f"{shown(text)} is too long for a number of rows")
    if field.holds == "day":
        date_reader(profile.dates.day)(text)
    if field.holds == "amount_sum":
        amount_reader(profile.amount_unit)(text)


def prove_trailer(
    profile: Profile, trailer: Trailer, cells: list[str], totals: Totals, line_no: int
) -> None:
    """Hold a trailer line against its layout and the totals it states.

    Raises:
        BillFileError: either does not hold.
    """
    checked(profile, cells, trailer.fields, "trailer", line_no)
    stated = {field.holds: text for field, text in zip(trailer.fields, cells, strict=True)}
    count, total = stated.get("row_count"), stated.get("amount_sum")
    sum_field = trailer.find("amount_sum")
    totals.prove(
        line_no,
        count=None if count is None else int(count),
        sum_fen=None if total is None else amount_reader(profile.amount_unit)(total),
        column="" if sum_field is None else sum_field.name,
    )


def checked(
    profile: Profile, cells: list[str], fields: tuple[Cell, ...], what: str, line_no: int
) -> None:
    """Run `check_record` and give its complaint the line.

    Raises:
        BillFileError: the record is not as its layout says.
    """
    try:
        check_record(profile, cells, fields, what)
    except Invalid as wrong:
        column = wrong.facts["column"]
        raise BillFileError(
            wrong.message, line_no=line_no, column=str(column) if column else None
        ) from None


def read_heading(cells: list[str], fields: tuple[Cell, ...]) -> Heading | None:
    """Return what a header that was checked says of its file, if it has a number."""
    for field, text in zip(fields, cells, strict=True):
        if field.holds == "sequence":
            return Heading(plain_number(text))
    return None


def plain_number(digits: str) -> str:
    """Return a number as everybody writes it: 00000042 and 42 are one."""
    return digits.lstrip("0") or "0"


def prove_without_trailer(profile: Profile, totals: Totals, line_no: int) -> None:
    """Finish a file whose last line, ``line_no``, was a bill.

    Raises:
        BillFileError: there was no bill, or a trailer should have come.
    """
    totals.prove(line_no)
    if profile.trailer is not None:
        raise BillFileError(
            f"the file ends without its trailer line ({profile.trailer.fields[0].must_be}):"
            " it was cut short; send it again",
            line_no=line_no,
        )


def refuse_more(lines: Iterable[tuple[int, object]]) -> None:
    """Refuse whatever follows the trailer.

    Raises:
        BillFileError: something does.
    """
    for line_no, _ in lines:
        raise BillFileError(
            "there is a line after the trailer: one file, one trailer, at its end", line_no=line_no
        )
