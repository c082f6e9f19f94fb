"""Files as they are handed in: bare, gzipped, or in a ZIP with whatever else was put there.

Nothing is written to any disk, and nothing unpacks to more than a file of a day can have.
"""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from core.errors import SettlementFileError

ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
GZIP: Final = b"\x1f\x8b"
MAX_MEMBERS: Final = 100
MAX_BYTES: Final = 512 << 20  # of all members, unpacked
_WORKBOOK, _NEAR = (b"[Content_Types].xml", b"xl/workbook"), 4_096  # of its first bytes
_CHUNK_BYTES = 4_096  # of what follows a part, each part's reader makes a copy: let it be little
_ENTRY: Final = b"PK\x01\x02"  # before each member in the list at a ZIP's end
_DEEPEST = 2  # a ZIP of gzipped files; what is packed thrice is no bank's
# What the standard library raises of a ZIP that is damaged, locked, or packed in a rare way.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
    ValueError, OverflowError, LookupError,
)  # fmt: skip
# What programs put beside the files: of macOS, of Windows.
_LITTER = ("__macosx/", ".ds_store", "thumbs.db", "desktop.ini")


class Member(NamedTuple):
    name: str  # "" of a file that was not in any archive
    raw: bytes


def is_zip(content: bytes) -> bool:
    return content.startswith(ZIP)


def unpacked(content: bytes, *, limit_bytes: int = MAX_BYTES) -> list[Member]:
    """Return the files in what was handed in; a bare one is itself.

    Raises:
        SettlementFileError: damaged, locked, or built to do harm.
    """
    return _open(Member("", content), limit_bytes, depth=0)


def _open(member: Member, limit_bytes: int, *, depth: int) -> list[Member]:
    if depth > _DEEPEST:
        raise SettlementFileError("it is packed within packed files: send it unpacked")
    if member.raw.startswith(GZIP):
        name = member.name.removesuffix(".gz")
        return _open(Member(name, _gunzip(member.raw, limit_bytes)), limit_bytes, depth=depth + 1)
    if not is_zip(member.raw):
        return [member]
    if any(mark in member.raw[:_NEAR] for mark in _WORKBOOK):
        raise SettlementFileError(
            "it is an Excel workbook, not the agreed file: send the file as it was downloaded, or"
            " save the workbook as CSV"
        )
    found: list[Member] = []
    for one in _members(member.raw, limit_bytes):
        opened = _open(one, limit_bytes, depth=depth + 1)
        limit_bytes -= sum(len(each.raw) for each in opened)  # of all together, however deep
        found += opened
    if limit_bytes < 0:
        raise SettlementFileError("the ZIP unpacks to more than a file of a day can have")
    return found


def _gunzip(content: bytes, limit_bytes: int) -> bytes:
    """Unpack a gzip file, which may be several behind one another."""
    parts: list[bytes] = []
    left, at = limit_bytes, 0
    try:
        while content.startswith(GZIP, at):
            unpack = zlib.decompressobj(wbits=31)
            while not unpack.eof:
                chunk = content[at : at + _CHUNK_BYTES]
                parts.append(unpack.decompress(chunk, left + 1))
                left -= len(parts[-1])
                at += len(chunk) - len(unpack.unused_data)
                if left < 0 or not (chunk or unpack.eof):
                    raise SettlementFileError(
                        "the gzip file is cut short or too long: fetch it again"
                    )
    except zlib.error as wrong:
        raise SettlementFileError("the gzip file is damaged: fetch it again") from wrong
    return b"".join(parts)


def _members(content: bytes, limit_bytes: int) -> list[Member]:
    if content.count(_ENTRY) > MAX_MEMBERS**2:  # those of a ZIP within are seen as well
        raise SettlementFileError(f"the ZIP has more than {MAX_MEMBERS} files in it")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return list(_each(archive, limit_bytes))
    except _BROKEN as wrong:
        raise SettlementFileError(
            f"the ZIP cannot be unpacked ({wrong}): fetch it again"
        ) from wrong


def _each(archive: zipfile.ZipFile, limit_bytes: int) -> Iterator[Member]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise SettlementFileError(f"the ZIP has more than {MAX_MEMBERS} files in it")
    left = limit_bytes
    for info in infos:
        name = _name(info)
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name:
            raise SettlementFileError("the ZIP holds a file that would land outside its folder")
        if any(litter in name.lower() for litter in _LITTER):
            continue
        with archive.open(info) as member:
            raw = member.read(left + 1)  # what it really unpacks to, whatever it says of itself
        left -= len(raw)
        if left < 0:
            raise SettlementFileError(f"the ZIP unpacks to more than {limit_bytes >> 20} MB")
        yield Member(name, raw)


def _name(info: zipfile.ZipInfo) -> str:
    """Return a member's name; one in GBK the format takes for cp437."""
    if info.flag_bits & 0x800:
        return info.filename
    return info.filename.encode("cp437", "replace").decode("gb18030", "replace")
