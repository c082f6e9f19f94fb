"""Alipay's bill files as they come: the ZIP, the encoding, the frame around the rows.

Source: docs/wire/alipay.md, "The business bill".
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from core.errors import Invalid, SettlementFileError
from core.progress import tell
from payments.gateways.as_written import SIMPLE, Header, decoded, plain_header, table, yuan
from payments.packed import unpacked

MAX_BYTES = 512 << 20  # of all members, unpacked
_HEAD_WITHIN = 10  # lines
_DATE = (
    r"\[?([0-9]{4})[年/-]([0-9]{1,2})[月/-]([0-9]{1,2})日?(?:([0-9]{2}):([0-9]{2}):([0-9]{2}))?\]?"
)
_ACCOUNT = re.compile(r"#账号:\[?([0-9]{16}(?:[0-9]{4})?)\]?$")
_PERIOD = re.compile(rf"#起始日期:{_DATE}[,;]?终止日期:{_DATE}$")


@dataclass(frozen=True, slots=True)
class Frame:
    """One list of a bill: its columns by name, its rows with their lines, what stands below."""

    columns: dict[str, int]
    rows: list[tuple[int, Sequence[str]]]
    below: list[tuple[int, str]]
    last_line: int

    def cell(self, row: Sequence[str], *names: str, default: str | None = None) -> str:
        """Return a row's cell by the first of these names that is a column, without blanks.

        Raises:
            KeyError: none is.
        """
        for name in names:
            if plain_header(name) in self.columns:
                return row[self.columns[plain_header(name)]]
        if default is None:
            raise KeyError(names[0])
        return default

    def tells(self, pattern: str) -> bool:
        """Tell whether there is such a total at all."""
        return any(text.startswith(pattern.partition(":")[0]) for _, text in self.below)

    def total(self, pattern: str) -> tuple[int, int, int]:
        """Return the line, the count and the fen of a total below the list.

        Args:
            pattern: matches the whole line, half width, and finds the count and the yuan.

        Raises:
            SettlementFileError: there is not exactly one such line, or it cannot be read.
        """
        found = [
            (line_no, match) for line_no, text in self.below if (match := re.match(pattern, text))
        ]
        if len(found) != 1:
            what = pattern.partition(":")[0]
            raise SettlementFileError(
                f"the total {what!r} is missing below the list, or is there twice: ask for the "
                "file again",
                line_no=self.last_line,
            )
        line_no, match = found[0]
        try:
            return line_no, int(match[1].replace(",", "")), yuan(match[2])
        except Invalid as wrong:
            raise SettlementFileError(
                f"the total cannot be read: {wrong}", line_no=line_no
            ) from wrong


def unpack(content: bytes) -> list[str]:
    """Return the texts in a bill as it was downloaded, packed or not.

    Raises:
        SettlementFileError: no text of Alipay's, or a ZIP that is built to do harm.
    """
    return [
        decoded(member.raw)
        for member in unpacked(content, limit_bytes=MAX_BYTES)
        if not member.name or member.name.lower().endswith((".csv", ".txt"))
    ]


def choose(texts: Sequence[str], marker: str) -> str | None:
    """Return the text that begins with this marker; None where none does.

    Raises:
        SettlementFileError: several do.
    """
    found = [text for text in texts if marker in _bare(text.strip().partition("\n")[0])]
    if len(found) > 1:
        raise SettlementFileError(f"{marker} is in the ZIP {len(found)} times")
    return found[0] if found else None


def _bare(line: str) -> str:
    """Return a line of the frame in half width, without blanks and what a spreadsheet added."""
    return "".join(unicodedata.normalize("NFKC", line).split()).strip('",').translate(SIMPLE)


def read_frame(text: str, name: str, *, day: date, seller_id: str) -> Frame:
    """Read the list called ``name`` in a text that begins with it.

    Raises:
        SettlementFileError: another account's or day's, or its list does not end.
    """
    numbered = list(enumerate(text.rstrip("\n").split("\n"), start=1))
    bare = [(n, _bare(line)) for n, line in numbered]
    starts = [n for n, line in bare if re.fullmatch(rf"#-+{name}列表-*", line)]
    ends = [n for n, line in bare if re.fullmatch(rf"#-+{name}列表结束-*", line)]
    _check_head(bare[: starts[0] if starts else _HEAD_WITHIN], day=day, seller_id=seller_id)
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0] + 2:
        raise SettlementFileError(
            f"the list {name} does not begin and end once: is the file cut short?",
            line_no=len(numbered),
        )
    listed = "\n".join(line for _, line in numbered[starts[0] : ends[0] - 1])
    columns, rows = _table(listed, first_line=starts[0] + 1)
    return Frame(columns, rows, bare[ends[0] :], len(numbered))


def _check_head(head: list[tuple[int, str]], *, day: date, seller_id: str) -> None:
    """Make sure that a bill is our account's, of this day and no other."""
    account = next((one for one in head if _ACCOUNT.match(one[1])), None)
    found = _ACCOUNT.match(account[1]) if account else None
    if found is None or found[1] not in (seller_id, f"{seller_id}0156"):
        raise SettlementFileError(
            f"the second line must name our account {seller_id} and 0156: is it another's bill?",
            line_no=account[0] if account else 2,
        )
    line_no, period = next(((n, _PERIOD.match(one)) for n, one in head if "起始" in one), (3, None))
    if period is None or not _is_of(period, day):
        raise SettlementFileError(
            f"the third line must say from {day} to {day + timedelta(days=1)}: is it another day's"
            " bill?",
            line_no=line_no,
        )


def _is_of(period: re.Match[str], day: date) -> bool:
    """Tell whether a period is a day: up to its last second, or to the first after it."""
    parts = [int(part) for part in period.groups() if part is not None and part.isdigit()]
    begins, from_clock, ends, to_clock = parts[:3], parts[3:6], parts[6:9], parts[9:]
    last = day + timedelta(days=1) if not any(to_clock) else day
    return (
        begins == [day.year, day.month, day.day] and not any(from_clock)
        and ends == [last.year, last.month, last.day] and to_clock in ([0, 0, 0], [23, 59, 59])
    )  # fmt: skip


def _table(
    listed: str, *, first_line: int
) -> tuple[dict[str, int], list[tuple[int, Sequence[str]]]]:
    """Split a list into its columns and rows."""
    lines = table(listed, first_line=first_line)
    head_no, cells = next(lines, (first_line, []))
    header, of = Header(cells, line_no=head_no), listed.count("\n")
    rows: list[tuple[int, Sequence[str]]] = []
    for at, (line_no, row) in enumerate(lines, start=1):
        tell(at, of)
        rows.append((line_no, header.fit(row, line_no)))
    return header.at, rows
