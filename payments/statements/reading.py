"""A file of bank statements, whatever its format: found out by content, read whole or refused."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from core.errors import BillFileError
from payments.packed import unpacked
from payments.statements.bai2 import read_bai2
from payments.statements.base import MAX_BYTES, Statement, StatementFileError, clean
from payments.statements.camt import read_camt
from payments.statements.mt940 import read_mt940
from payments.statements.profiles import BankProfile
from payments.statements.sheet import read_sheet
from payments.statements.totals import finish
from providers.formats.text import refuse_not_text
from providers.streams import read_fully

_OPENING: Final = 4_096
_MT940: Final = re.compile(r"^[\x01-\x04 \t]*(?:\{1:|:20:|:25:)", re.MULTILINE)
_BAI2: Final = re.compile(r"01,[^,\n]*,[^,\n]*,[0-9]{6},")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_statements(
    stream: BinaryIO, *, name: str, profile: BankProfile | None = None
) -> tuple[Statement, ...]:
    """Read a file whole: camt.052, camt.053, camt.054, MT940 and BAI2 by what is in it.

    Args:
        stream: the file's bytes, or several files in a ZIP, or gzipped.
        name: what to call it in a refusal.
        profile: how a CSV is written; a file of the other formats is read without it.

    Raises:
        StatementFileError: nothing of it counts: unknown, malformed, cut short, not in CNY, or its
            totals do not add up. It names the file, the line, the place and the remedy.
    """
    try:
        content = read_fully(stream, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise StatementFileError(
                f"it is larger than {MAX_BYTES >> 20} MB: ask the bank for one file a day"
            )
        return finish(
            statement
            for member in unpacked(content, limit_bytes=MAX_BYTES)
            for statement in _read(_with_lines(member.raw), profile)
        )
    except BillFileError as wrong:
        raise StatementFileError(
            wrong.message,
            file_name=clean(name)[:80],
            line_no=wrong.line_no,
            column=wrong.column,
        ) from wrong


def _with_lines(content: bytes) -> bytes:
    """Return a file whose lines end as we know it: some programs end them with a lone return."""
    if b"\n" in content or content.startswith(_UTF16):
        return content
    return content.replace(b"\r", b"\n")


def _read(content: bytes, profile: BankProfile | None) -> Iterator[Statement]:
    opening = content[:_OPENING]
    encoding = "utf-16" if opening.startswith(_UTF16) else "utf-8"
    seen = opening.decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    if not seen:
        raise StatementFileError("the file is empty: ask the bank for it again")
    if seen.startswith("<"):
        return read_camt(content)
    if _MT940.search(seen) is not None:
        return read_mt940(content)
    if _BAI2.match(seen) is not None:
        return read_bai2(content)
    if encoding == "utf-8":
        refuse_not_text(opening)
    if profile is not None:
        return read_sheet(content, profile)
    raise StatementFileError(
        "it is neither camt.052, camt.053, camt.054, MT940 nor BAI2: send one of them, or choose"
        " the bank's profile for its CSV",
        line_no=1,
    )
