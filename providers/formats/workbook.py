"""A workbook (xlsx, xls, ods) as rows of cells, read by a process of its own under limits.

Formulas are never worked out: what counts is the value the workbook was saved with.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Final, NamedTuple, Self

from core.errors import BillFileError

SPREADSHEET_ML: Final = b"urn:schemas-microsoft-com:office:spreadsheet"
AS_XLSX: Final = (
    "the file is a workbook in the XML of Excel 2003, whatever its name says: open it in the"
    " spreadsheet program and save it as xlsx"
)
FLAT_ODS: Final = b"urn:oasis:names:tc:opendocument:xmlns:office"
FLAT_AS_XLSX: Final = (
    "the file is a flat workbook of OpenDocument (fods), whatever its name says: open it in the"
    " spreadsheet program and save it as xlsx"
)
CellValue = str | int | Decimal | bool | dict[str, str]

PACKED_LIMIT: Final = 128 * 1024 * 1024
UNPACKED_LIMIT: Final = 512 * 1024 * 1024
_MEMBERS_LIMIT: Final = 10_000
_MEMORY: Final = 1024 * 1024 * 1024
_SECONDS: Final = 300  # of the processor
_BLOCK: Final = 1024 * 1024
_ALL_ROWS: Final = 2_000_000  # more than any sheet has
_READER: Final = Path(__file__).with_name("sheet_process.py")
_ZIP: Final = b"PK\x03\x04"
_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_LOOK: Final = 64 * 1024
_AS_CSV: Final = "send the bills as a CSV file instead"


class Sheet(NamedTuple):
    place: int  # among the workbook's sheets, from 0
    name: str
    visible: bool


class Workbook:
    """A workbook that was opened; a context manager, for a process and a file stand behind it.

    Raises:
        BillFileError: it is no workbook, is protected or damaged, or is too large.
    """

    def __init__(self, stream: BinaryIO) -> None:
        with ExitStack() as undo:
            self._file = undo.enter_context(_spooled(stream))
            _refuse_bomb(self._file)
            self._process = _start(self._file)
            undo.pop_all()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.close)
            answer = self._hear()
            undo.pop_all()
        self.sheets = [Sheet(at, *about) for at, about in enumerate(answer["sheets"])]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        wrong: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, in the middle of a sheet too."""
        self._process.kill()
        self._process.communicate()
        self._file.close()

    def rows(self, sheet: Sheet, limit: int = _ALL_ROWS) -> Iterator[tuple[int, list[CellValue]]]:
        """Return ``(row_no, cells)`` of a sheet's rows, blank ones among them.

        A cell over several rows says something in the first of them; ``merged`` says where the
        sheet has such cells. Take all rows that were asked for, or ask for nothing else afterwards.

        Args:
            sheet: one of this workbook's.
            limit: how many rows to ask for.

        Raises:
            BillFileError: the sheet is damaged or too large.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{sheet.place} {limit}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _gave_up() from None
        self.merged: list[list[int]] = self._hear()["merged"]
        return self._pieces()

    def _pieces(self) -> Iterator[tuple[int, list[CellValue]]]:
        row_no = 0
        while (piece := self._hear()) is not None:
            for cells in piece:
                row_no += 1
                yield row_no, cells

    def _hear(self) -> Any:
        """Return the next answer; a number that is not whole comes as a `Decimal`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise _gave_up()
        answer = json.loads(line, parse_float=Decimal, parse_constant=str)
        if isinstance(answer, dict) and "refused" in answer:
            raise _refusal(answer)
        return answer


def _spooled(stream: BinaryIO) -> IO[bytes]:
    """Copy the workbook to a nameless file, for its directory stands at its end."""
    opening = stream.read(_BLOCK)
    if not opening.startswith((_ZIP, _COMPOUND)):
        raise BillFileError(_no_workbook(opening), line_no=1)
    with ExitStack() as undo:
        file = undo.enter_context(tempfile.TemporaryFile(buffering=0))
        size, block = 0, opening
        while block:
            size += len(block)
            if size > PACKED_LIMIT:
                raise BillFileError(
                    f"the workbook is larger than {PACKED_LIMIT >> 20} MB: {_AS_CSV}"
                )
            file.write(block)
            block = stream.read(_BLOCK)
        undo.pop_all()
    return file


def _no_workbook(opening: bytes) -> str:
    if not opening.strip():
        return "the file is empty: send it again with its bills"
    text = opening.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<html", b"<!doctype", b"<table")):
        return (
            "the file is a web page, whatever its name says: open it in the spreadsheet program"
            " and save it as xlsx"
        )
    if SPREADSHEET_ML in text:
        return AS_XLSX
    if FLAT_ODS in text:
        return FLAT_AS_XLSX
    return "the file is not a workbook (xlsx, xls or ods): save it as xlsx and send it again"


def _refuse_bomb(file: IO[bytes]) -> None:
    """Look at a zip's directory before anybody unpacks it.

    Raises:
        BillFileError: it holds too much, or what it holds is under a password.
    """
    file.seek(0)
    opening = file.read(_LOOK)
    if opening.startswith(_ZIP):
        try:
            members = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError):
            raise _refusal({"refused": "damaged"}) from None
        unpacked = sum(member.file_size for member in members)
        if unpacked > UNPACKED_LIMIT or len(members) > _MEMBERS_LIMIT:
            raise BillFileError(
                f"the workbook holds {unpacked >> 20} MB when unpacked, in {len(members)} parts;"
                f" {UNPACKED_LIMIT >> 20} MB are the limit: {_AS_CSV}"
            )
    elif _holds(file, _ENCRYPTED):
        raise _refusal({"refused": "password"})
    file.seek(0)


def _holds(file: IO[bytes], words: bytes) -> bool:
    file.seek(0)
    tail = b""
    while block := file.read(_BLOCK):
        if words in tail + block:
            return True
        tail = block[-len(words) :]
    return False


def _start(file: IO[bytes]) -> subprocess.Popen[str]:
    """Start the reader: of ours it gets the workbook and nothing else."""
    arguments = [str(file.fileno()), str(_MEMORY), str(_SECONDS)]
    return subprocess.Popen(  # noqa: S603 - our own program, and numbers
        [sys.executable, "-I", "-X", "utf8", str(_READER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[file.fileno()],
        env={"RUST_BACKTRACE": "0"},
        encoding="utf-8",
    )


def _refusal(answer: dict[str, str]) -> BillFileError:
    if answer["refused"] == "password":
        return BillFileError("the workbook is protected by a password: save it without one")
    words = f" ({answer['words']})" if answer.get("words") else ""
    return BillFileError(
        f"the workbook is damaged or of an unknown kind{words}: open it in the spreadsheet program,"
        " save it as xlsx and send it again"
    )


def _gave_up() -> BillFileError:
    return BillFileError(
        "the workbook cannot be read: it is damaged, or a cell far below or to the right of its"
        f" bills makes it too large; delete what lies beyond the bills, or {_AS_CSV}"
    )
