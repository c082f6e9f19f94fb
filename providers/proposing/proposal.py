"""A profile proposed from a sample file; it is text, for somebody to read, and never in force."""

from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

from core.errors import BillFileError, Invalid
from providers.formats.encodings import shown_encoding
from providers.profile_tables import STANDARDS
from providers.profiles import Profile, parse_profile
from providers.proposing.columns import guess_columns
from providers.proposing.delimited import cut_delimited
from providers.proposing.fixed import cut_fixed
from providers.proposing.grids import Grid, Row
from providers.proposing.guesses import ASK, Guess
from providers.proposing.json_documents import cut_json, cut_json_lines
from providers.proposing.mainframes import cut_records
from providers.proposing.other_kinds import refuse_other_kind
from providers.proposing.ruled import cut_ruled
from providers.proposing.sheets import cut_sheet
from providers.proposing.sniffing import Sample, take_sample
from providers.proposing.standards import Seen, look
from providers.proposing.words import meaning
from providers.proposing.writing import write
from providers.proposing.xml_documents import cut_xml

_STAND_IN = {"code": "sample", "name": "样本", "name_en": "Sample", "service": "water",
             "phone": "000", "biller_no": "0000"}  # fmt: skip
_NOTHING_SEEN = Seen()
_OF_LINES = ("delimited", "fixed_width", "json_lines")
_ABOVE = ("account_no", "holder_name", "address", "billing_month", "issued", "due")


class Company(NamedTuple):
    """What a file does not say of the company; "" where nobody has said it yet."""

    code: str = ""
    name: str = ""
    name_en: str = ""
    service: str = ""
    phone: str = ""
    biller_no: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was found, and the TOML that says so.

    Args:
        text: the TOML, with a reason beside each guess.
        sample: what kind of file it is.
        grid: the sample's rows; None of a standard, whose fields are known.
        guesses: of its columns.
        trial: the same with stand-ins for what is not known of the company, to try the sample with;
            None where more is missing than that.
        fault: why ``text`` is no profile yet; None where it is one.
        questions: the lines of ``text`` that only the company can answer.
    """

    text: str
    sample: Sample
    grid: Grid | None
    guesses: list[Guess] = field(default_factory=list)
    trial: Profile | None = None
    fault: str | None = None

    @property
    def questions(self) -> list[str]:
        return questions_of(self.text)

    def cut_rows(self, count: int) -> list[tuple[int, str, list[tuple[str, str]]]]:
        """Return the first rows as they were cut: line, raw text, and each column's cell."""
        if self.grid is None:
            return []
        lines = self.sample.text.split("\n") if self.grid.format in _OF_LINES else []
        return [
            (
                row.line_no,
                lines[row.line_no - 1].rstrip("\r") if lines else " | ".join(row.cells),
                [(name, cell) for name, cell in zip(self.grid.names, row.cells, strict=False)],
            )
            for row in self.grid.rows[:count]
        ]

    @property
    def found(self) -> str:
        """Say in a line what kind of file it is."""
        packed = f"{self.sample.packing}, " if self.sample.packing else ""
        shape = self.grid.format if self.grid is not None else self.sample.format
        said = shown_encoding(self.sample.encoding) if self.sample.encoding else ""
        encoding = "" if not said else ", plain ASCII" if said == "detect" else f", {said}"
        return f"{packed}{shape}{encoding}"


def questions_of(text: str, mark: str = ASK) -> list[str]:
    """Return what a profile's text marks as questions for the company."""
    return [line.partition(mark)[2].strip() for line in text.splitlines() if mark in line]


def propose(stream: BinaryIO, company: Company | None = None) -> Proposal:
    """Propose a profile from the beginning of a file; the stream must seek.

    Raises:
        BillFileError: it is no file that anybody reads, or holds no table.
    """
    company = company or Company()
    sample = take_sample(stream)
    if sample.format in STANDARDS:
        return _proposal(company, sample, None, [], settled=True, seen=look(sample, stream))
    if sample.format != "spreadsheet":
        refuse_other_kind(sample.text)
    grid = _grid(sample, stream)
    grid.whole = grid.whole and sample.whole
    if not grid.rows:
        raise BillFileError("no row of the file looks like a bill: send a sample with some bills")
    _add_above(grid)
    guesses, settled = guess_columns(grid)
    return _proposal(company, sample, grid, guesses, settled=settled)


def _proposal(
    company: Company, sample: Sample, grid: Grid | None, guesses: list[Guess], *, settled: bool,
    seen: Seen = _NOTHING_SEEN,
) -> Proposal:  # fmt: skip
    text = write(company, sample, grid, guesses, settled=settled, seen=seen)
    known = {key: said for key, said in company._asdict().items() if said}
    stand_in = Company(**_STAND_IN | known)
    assumed = replace(seen, currencies=())  # the sample is tried as if it were in yuan
    tried = write(stand_in, sample, grid, guesses, settled=settled, seen=assumed)
    trial = None if _fault(tried) else parse_profile(tried, "the proposal")
    return Proposal(text, sample, grid, guesses, trial, _fault(text))


def _grid(sample: Sample, stream: BinaryIO) -> Grid:
    if sample.format == "spreadsheet":
        return cut_sheet(stream)
    if sample.format == "json":
        return cut_json(sample.text, whole=sample.whole)
    if sample.format == "json_lines":
        return cut_json_lines(sample.text, whole=sample.whole)
    if sample.format == "xml":
        return cut_xml(sample.raw, sample.encoding, whole=sample.whole)
    if sample.format == "fixed_width":
        return cut_records(sample.raw, sample.encoding, whole=sample.whole)
    ruled = cut_ruled(sample.text)
    return ruled or cut_delimited(sample.text) or cut_fixed(sample.data, sample.encoding)


def _add_above(grid: Grid) -> None:
    """Make columns of what a JSON document says once for all of its bills."""
    if grid.format != "json":
        return
    known = {found.role for name in grid.names if (found := meaning(name)) is not None}
    for path, text in grid.beside.items():
        found = meaning(path.rpartition(".")[2])
        if found is not None and found.exact and found.role in _ABOVE and found.role not in known:
            known.add(found.role)
            grid.paths.append("/" + path.replace("[0]", ""))
            grid.names.append(path.rpartition(".")[2])
            grid.rows = [Row(row.line_no, [*row.cells, text]) for row in grid.rows]


def _fault(text: str) -> str | None:
    try:
        parse_profile(text, "the proposal")
    except Invalid as wrong:
        return wrong.message
    return None
