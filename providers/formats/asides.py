"""What a document says of itself beside its bills, found by path: its number, its control totals.

The fields of ``[header]`` and ``[trailer]`` may stand anywhere in a JSON or XML document. Only what
is needed to read the bills, the file's number and day, must stand before them.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from core.errors import BillFileError
from providers.base import Heading, Reject
from providers.formats.dates import date_reader
from providers.formats.totals import (
    Statement,
    Totals,
    checked,
    prove_statements,
    read_heading,
    statement_of,
)
from providers.profiles import Cell, Profile

_BEFORE_BILLS: Final = ("sequence", "day")


class Asides:
    """Collects the fields of the header and the trailer as a document goes by."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._texts: dict[str, str] = {}
        self.file_day: date | None = None

    def note(self, path: str, text: str, line_no: int | None = None) -> None:
        """Keep what stands at a path.

        Raises:
            BillFileError: it stands there twice, and says two things.
        """
        if self._texts.setdefault(path, text) != text:
            raise BillFileError(
                f"{path} stands in the file twice and says two things: which one holds?",
                line_no=line_no,
            )

    def before_bills(self, line_no: int) -> Heading | None:
        """Judge what was said before the first bill, and return the file's number.

        Raises:
            BillFileError: it is wrong, or the number or the day of the file is not there yet.
        """
        seen = tuple(
            field
            for field in self._profile.header.fields
            if field.where in self._texts or field.holds in _BEFORE_BILLS
        )
        cells = [self._text(field, before_bills=True) for field in seen]
        checked(self._profile, cells, seen, "header", line_no)
        for field, text in zip(seen, cells, strict=True):
            if field.holds == "day":
                self.file_day = date_reader(field.format or self._profile.dates.day)(text)
        return read_heading(cells, seen)

    def finish(self, totals: Totals, line_no: int) -> Iterator[Reject]:
        """Judge all that was said, and hold the control totals against what was read.

        Raises:
            BillFileError: something is missing, wrong, or does not add up.
        """
        statements = [self._statement(self._profile.header.fields, "header", line_no)]
        trailer = self._profile.trailer
        if trailer is not None and not (
            trailer.optional and not any(field.where in self._texts for field in trailer.fields)
        ):
            statements.append(self._statement(trailer.fields, "trailer", line_no))
        yield from prove_statements(self._profile, statements, totals, line_no)

    def _statement(self, fields: tuple[Cell, ...], what: str, line_no: int) -> Statement:
        cells = [self._text(field) for field in fields]
        checked(self._profile, cells, fields, what, line_no)
        return statement_of(line_no, fields, cells, " | ".join(cells))

    def _text(self, field: Cell, *, before_bills: bool = False) -> str:
        text = self._texts.get(field.where)
        if text is None:
            where = " before its bills" if before_bills else ""
            raise BillFileError(
                f"the file says nothing at {field.where}{where}: it was cut short, or it is not"
                f" the bill file of {self._profile.name} ({self._profile.code})",
                column=field.name,
            )
        return text


def aside_paths(profile: Profile) -> list[str]:
    """Return the paths of what a document says beside its bills."""
    trailer = () if profile.trailer is None else profile.trailer.fields
    return [field.where for field in (*profile.header.fields, *trailer)]
