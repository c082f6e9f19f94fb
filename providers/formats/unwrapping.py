"""Files that come compressed: one file in gzip or in a zip archive, unpacked as it is read.

Whatever else is packed (7z, rar, xz, an archive in an archive) the readers refuse by name. What
unpacks into far more than it was is refused before it fills anything.
"""

import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, BinaryIO, Final

from core.errors import BillFileError
from providers.base import BillFileReader, BillRecord, Heading, Reject
from providers.bulk import Bulk, read_bulk
from providers.streams import read_fully, rejoined

_GZIP, _ZIP, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_PACKED: Final = (_GZIP, _ZIP, _EMPTY_ZIP, b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00",
                  b"BZh", b"\x28\xb5\x2f\xfd")  # fmt: skip
_PEEK: Final = 8
_NAME_AT: Final = 30  # where a zip archive calls its first member by its name
_NAMED: Final = 300  # bytes within which that name ends
_WORKBOOKS: Final = (".xlsx", ".xlsm", ".xls", ".ods")
_CHUNK: Final = 64 * 1024
_FREE_BYTES: Final = 10 * 1024 * 1024  # up to here nobody asks how well it was packed
_RATIO: Final = 200  # text of bills packs to a tenth, at best to a fiftieth
_LIMIT: Final = 8 * 1024**3
_MEMBERS: Final = 1_000
_PARTS: Final = ("[Content_Types].xml", "xl/workbook.xml", "META-INF/manifest.xml")  # of workbooks
_UNSUPPORTED = (RuntimeError, NotImplementedError)  # how zipfile says encrypted, or an odd method
# LZMA is not among them: such a member may ask for gigabytes before it gives a byte.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


class Unwrapped:
    """A reader of files that may come compressed; see `BillFileReader`."""

    def __init__(self, reader: BillFileReader, *, takes_zip: bool = False) -> None:
        self.reader = reader
        self._takes_zip = takes_zip

    def read(self, stream: BinaryIO) -> Iterator[Heading | BillRecord | Reject]:
        with unwrapped(stream, takes_zip=self._takes_zip) as plain:
            yield from self.reader.read(plain)

    def read_bulk(self, stream: BinaryIO) -> Iterator[Heading | Bulk]:
        with unwrapped(stream, takes_zip=self._takes_zip) as plain:
            yield from read_bulk(self.reader, plain)


@contextmanager
def unwrapped(stream: BinaryIO, *, takes_zip: bool = False) -> Iterator[BinaryIO]:
    """Give the stream of the file inside an archive, or the stream itself if it is none.

    Args:
        stream: the file as it came; it need not seek.
        takes_zip: whether the format itself is a zip archive, as a workbook is: left alone.

    Raises:
        BillFileError: not exactly one file, a password, a broken archive, or far too much inside.
    """
    opening = read_fully(stream, _NAMED)
    whole = rejoined(opening, stream)
    if opening.startswith(_GZIP):
        yield _buffered(_Gunzip(whole), takes_zip=takes_zip)
    elif opening.startswith(_ZIP) and (not takes_zip or _begins_with_workbook(opening)):
        with _seekable(whole) as file:
            yield from _members(file)
    else:
        yield whole


def _begins_with_workbook(opening: bytes) -> bool:
    """Tell a zip archive with a workbook in it from a workbook, which is an archive, too."""
    length = int.from_bytes(opening[26:28], "little")
    name = opening[_NAME_AT : _NAME_AT + length].lower()
    return name.endswith(tuple(end.encode() for end in _WORKBOOKS))


class _Inflating(io.RawIOBase):
    """A stream of unpacked bytes that watches how many there are."""

    def __init__(self) -> None:
        self.taken = 0  # packed bytes
        self.given = 0  # unpacked bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self.inflate(len(buffer))
        self.given += len(part)
        if self.given > _LIMIT:
            raise BillFileError(
                f"the archive unpacks into more than {_LIMIT >> 30} GiB: send it in parts"
            )
        if self.given > _FREE_BYTES and self.given > _RATIO * self.taken:
            raise BillFileError(
                f"the archive unpacks into more than {_RATIO} times its size, as no bill file"
                " does: send the file unpacked"
            )
        buffer[: len(part)] = part
        return len(part)

    def inflate(self, size: int) -> bytes:
        raise NotImplementedError


class _Gunzip(_Inflating):
    """The contents of one gzip stream after another, as `cat a.gz b.gz` makes them."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._pending = b""
        self._inflater = zlib.decompressobj(wbits=31)

    def inflate(self, size: int) -> bytes:
        while True:
            if not self._pending and not self._inflater.eof:
                self._pending = self._stream.read(_CHUNK)
                self.taken += len(self._pending)
                if not self._pending:
                    raise _damaged("gzip", "it was cut short")
            try:
                part = self._inflater.decompress(self._pending, size)
            except zlib.error:
                raise _damaged("gzip", "its check sums do not hold") from None
            self._pending = self._inflater.unconsumed_tail
            if self._inflater.eof and not part and not self._next_member():
                return b""
            if part:
                return part

    def _next_member(self) -> bool:
        """Begin the next gzip stream; zeros after the last one are padding."""
        rest = self._inflater.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._stream.read(_CHUNK)
            if not chunk:
                return False
            self.taken += len(chunk)
            rest = chunk.lstrip(b"\0")
        self._pending = rest
        self._inflater = zlib.decompressobj(wbits=31)
        return True


class _Unzip(_Inflating):
    """One member of a zip archive."""

    def __init__(self, member: IO[bytes], packed_bytes: int) -> None:
        super().__init__()
        self._member = member
        self.taken = packed_bytes

    def inflate(self, size: int) -> bytes:
        try:
            return self._member.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
            raise _damaged("zip", "its check sums do not hold") from None


def _buffered(raw: _Inflating, *, takes_zip: bool) -> BinaryIO:
    """Return the unpacked stream, having looked that it is no archive again."""
    buffered = io.BufferedReader(raw, _CHUNK)
    opening = buffered.peek(_PEEK)
    nested = opening.startswith(_PACKED)
    if nested and not (takes_zip and opening.startswith(_ZIP)):
        raise BillFileError(
            "the archive holds another archive: unpack it and send the file itself, packed once",
            line_no=1,
        )
    return buffered


@contextmanager
def _seekable(whole: BinaryIO) -> Iterator[BinaryIO]:
    """Give a stream that can seek, as a zip archive's list of contents stands at its end."""
    if whole.seekable():
        yield whole
        return
    with tempfile.TemporaryFile() as spooled:
        while part := whole.read(_CHUNK):
            spooled.write(part)
            if spooled.tell() > _LIMIT:
                raise BillFileError(f"the archive is larger than {_LIMIT >> 30} GiB")
        spooled.seek(0)
        yield spooled


def _members(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the one file of a zip archive; the archive itself where it is a workbook."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, *_UNSUPPORTED):
        raise _damaged("zip", "its list of contents cannot be read") from None
    with archive:
        names = archive.infolist()
        if any(member.filename in _PARTS for member in names):
            file.seek(0)
            yield file  # not packed but a workbook: its reader, or the refusal of it, comes next
            return
        member = _only_file(names)
        try:
            opened = archive.open(member)
        except (zipfile.BadZipFile, OSError, ValueError):
            raise _damaged("zip", "the file in it cannot be read") from None
        except _UNSUPPORTED:
            raise _odd_method() from None
        with opened:
            is_workbook = member.filename.lower().endswith(_WORKBOOKS)
            yield _buffered(_Unzip(opened, max(member.compress_size, 1)), takes_zip=is_workbook)


def _only_file(names: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    files = [member for member in names[:_MEMBERS] if not _is_litter(member)]
    if any(member.filename == "OFD.xml" for member in files):
        raise BillFileError(
            "the file is an OFD document, such as a tax invoice: have the company send its bills as"
            " CSV, JSON or XML",
            line_no=1,
        )
    if len(files) != 1:
        listed = ", ".join(repr(member.filename[:40]) for member in files[:5])
        what = f"{len(files)} files ({listed})" if files else "no file"
        raise BillFileError(
            f"the zip archive holds {what} instead of one: send each bill file by itself",
            line_no=1,
        )
    if files[0].flag_bits & 1:
        raise BillFileError(
            "the zip archive is locked with a password: send it without one", line_no=1
        )
    if files[0].compress_type not in _METHODS:
        raise _odd_method()
    return files[0]


def _odd_method() -> BillFileError:
    return BillFileError(
        "the zip archive is packed in a way other than deflate: pack it as an ordinary zip",
        line_no=1,
    )


def _is_litter(member: zipfile.ZipInfo) -> bool:
    """Whether it is a folder, or what a desktop leaves in an archive beside the files."""
    path = PurePosixPath(member.filename)
    litter = path.name in (".DS_Store", "Thumbs.db", "desktop.ini") or path.name.startswith("._")
    # Not `is_dir`: in Python 3.11 it fails over a name that is blank.
    return member.filename.endswith("/") or "__MACOSX" in path.parts or litter


def _damaged(kind: str, what: str) -> BillFileError:
    return BillFileError(f"the {kind} archive is damaged, {what}: send it again", line_no=1)
