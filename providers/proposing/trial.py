"""A dry run: a file's first rows as they would land beside their raw text, and every complaint."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, Final, NamedTuple

from core.errors import BillFileError, Invalid
from core.money import format_yuan
from providers.base import BillRecord, Heading
from providers.formats.encodings import DETECT, shown_encoding
from providers.formats.rows import RowFault
from providers.formats.sources import ByteSource, CharacterSource, DelimitedSource
from providers.profiles import Cell, Profile
from providers.proposing.raw import RawText
from providers.proposing.sniffing import Sample, take_sample
from providers.registry import reader_from

RAW_LIMIT: Final = 600
COMPLAINTS_LIMIT: Final = 200
_CONTROLS: Final = ("row_count", "line_count", "amount_sum")
_MOST_LINES: Final = 2_000_000  # of a text file are looked through for its last


class Landed(NamedTuple):
    """One of the first rows: what it would become, or None where it was rejected."""

    line_no: int
    raw: str
    record: BillRecord | None


class Complaint(NamedTuple):
    line_no: int
    column: str
    reason: str
    raw: str


class Total(NamedTuple):
    """A control total as the file states it, and what was read."""

    name: str
    stated: str
    read: str


@dataclass(slots=True, kw_only=True)
class Trial:
    """What would become of a file.

    Args:
        found: what it is: its compression and encoding as its bytes tell.
        heading: the file's own number, where it has one.
        landed: its first rows.
        complaints: about rows, the first of them.
        refusal: why the whole file would be refused, None where it would be taken.
        bills: how many rows would land, ``rejects`` how many would not.
        amount_fen: what the bills add up to.
    """

    found: str = ""
    heading: str | None = None
    landed: list[Landed] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    refusal: BillFileError | None = None
    bills: int = 0
    rejects: int = 0
    amount_fen: int = 0
    totals: list[Total] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the file would be taken without a complaint."""
        return self.refusal is None and self.rejects == 0


def try_out(profile: Profile, stream: BinaryIO, *, rows: int) -> Trial:
    """Read a whole file by a profile and keep what its first rows come to; nothing is imported.

    The stream must seek: it is read again for the raw text.
    """
    trial, start = Trial(), stream.tell()
    try:
        for row in reader_from(profile).read(stream):
            if isinstance(row, Heading):
                trial.heading = row.sequence_no
            elif isinstance(row, BillRecord):
                trial.bills += 1
                trial.amount_fen += row.amount_fen
                if len(trial.landed) <= rows:
                    trial.landed.append(Landed(row.line_no, "", row))
            else:
                trial.rejects += 1
                if len(trial.landed) <= rows:
                    trial.landed.append(Landed(row.line_no, row.raw, None))
                if len(trial.complaints) < COMPLAINTS_LIMIT:
                    trial.complaints.append(Complaint(*row))
    except BillFileError as refused:
        trial.refusal = refused
    except Invalid as wrong:  # the reader itself does not take this profile
        trial.refusal = BillFileError(wrong.message)
    stream.seek(start)
    _add_raw(trial, profile, stream, rows)
    return trial


def _add_raw(trial: Trial, profile: Profile, stream: BinaryIO, rows: int) -> None:
    start = stream.tell()
    try:
        sample = take_sample(stream)
    except BillFileError as refused:
        trial.refusal = trial.refusal or refused
        del trial.landed[rows:]
        return
    trial.found = _found(sample, profile)
    raw = RawText(profile, sample, stream)
    lines = [one.line_no for one in trial.landed]
    ends = [*lines[1:], 0][: len(lines)]
    trial.landed = [
        one._replace(raw=(raw.of(one.line_no, end) or one.raw)[:RAW_LIMIT])
        for one, end in list(zip(trial.landed, ends, strict=True))[:rows]
    ]
    if not trial.landed and trial.refusal is not None:
        first = trial.refusal.line_no or 1
        trial.landed = [
            Landed(no, text[:RAW_LIMIT], None)
            for no in range(max(1, first - 1), first + rows)
            if (text := raw.of(no, 0))
        ]
    stream.seek(start)
    trial.totals = _totals(trial, profile, raw)


def _found(sample: Sample, profile: Profile) -> str:
    parts = [sample.packing] if sample.packing else []
    if sample.encoding:
        said = sample.encoding
        parts.append("plain ASCII" if said == DETECT else shown_encoding(said))
    return ", ".join([*parts, profile.file.format])


def _totals(trial: Trial, profile: Profile, raw: RawText) -> list[Total]:
    """Hold what the first and the last line state against what was read."""
    found = []
    plain = not (profile.rows or profile.segments or profile.repeat)
    trailer = profile.trailer.fields if profile.trailer is not None else ()
    ends = ((profile.header.fields, raw.first), (trailer, raw.last))
    for fields, line in ends:
        cells = _cut(profile, fields, line)
        for cell, text in zip(fields, cells, strict=False):
            if cell.holds in _CONTROLS:
                found.append(Total(cell.name, text, _read(trial, cell, plain=plain)))
    return found


def _cut(profile: Profile, fields: tuple[Cell, ...], line: bytes) -> list[str]:
    if not fields or not line or profile.file.format not in ("delimited", "fixed_width"):
        return []
    try:
        if profile.file.format == "fixed_width" and profile.file.widths == "bytes":
            return ByteSource(profile).cells(line, fields, 1)
        codec = "utf-8" if profile.file.codec in (DETECT, "utf-16") else profile.file.codec
        text = line.decode(codec, "replace")
        if profile.file.format == "fixed_width":
            return CharacterSource(profile).cells(text, fields, 1)
        return DelimitedSource(profile).cells(text, fields, 1)
    except (RowFault, BillFileError):
        return []


def _read(trial: Trial, cell: Cell, *, plain: bool) -> str:
    """Return what was read, where a count of rows is one of bills; else nothing."""
    if cell.holds == "row_count" and (plain or not trial.rejects):
        return str(trial.bills + trial.rejects)
    if cell.holds == "amount_sum" and cell.of is None and not trial.rejects:
        return format_yuan(trial.amount_fen)
    return ""


def first_complaints(trial: Trial, count: int) -> Iterator[Complaint]:
    """Yield the first complaints, that about the whole file before all others."""
    if trial.refusal is not None:
        refused = trial.refusal
        yield Complaint(refused.line_no or 0, refused.column or "", refused.message, "")
    yield from islice(trial.complaints, count)
