"""What a company sees of our SFTP server: three folders of its own, and nothing else.

The folders are flat, so a path is a folder and a name, and anything else does not exist: there is
nothing to escape to. Links cannot be made and are not followed.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import asyncssh
from asyncssh.stream import SSHServerStreamSession

from billing.files.bill_files import MAX_FILE_BYTES
from billing.files.drop_folders import SHOWN, DropFolder, check_name
from core import log
from core.errors import Invalid

FXP_CLOSE = 4
_MOST_FILES = 10_000
MOST_HANDLES = 64
_COUNT_AGAIN_BYTES = 8 << 20
SftpChannel = asyncssh.SSHServerChannel[bytes]
_log = log.logger(__name__)


@dataclass(slots=True)
class Upload:
    """A file being written: ``room_bytes`` is how much more may come before we count again."""

    name: str
    stream: IO[bytes]
    writes: bool
    appends: bool = False
    room_bytes: int = 0


class SftpSession(SSHServerStreamSession[bytes]):
    """A session that may do SFTP and nothing else, and knows the kind of the request in hand.

    A client's CLOSE says that its file is whole; a connection that is lost closes the files too,
    and says no such thing.
    """

    request: int | None = None

    def __init__(self, make: Callable[["SftpSession", SftpChannel], asyncssh.SFTPServer]) -> None:
        super().__init__(None, lambda channel: make(self, cast(SftpChannel, channel)), 3, False)

    async def read(self, datatype: int | None, n: int, exact: bool) -> bytes:
        """Hand on what arrived; at the end of the connection there is no request in hand."""
        self.request = None
        data: bytes = await super().read(datatype, n, exact)
        self.request = data[0] if data else None
        return data


class CompanyFiles(asyncssh.SFTPServer):
    """The folders of one company in one session.

    Args:
        arrived: told the name of a file that its client says is complete.
    """

    def __init__(
        self,
        session: SftpSession,
        channel: SftpChannel,
        folder: DropFolder,
        *,
        quota_bytes: int,
        arrived: Callable[[str, bool], None],
    ) -> None:
        super().__init__(channel)
        self._session = session
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._arrived = arrived
        self._handles: list[Upload] = []

    def _split(self, path: bytes) -> tuple[str, str]:
        """Return the folder and the name a path means; either may be empty.

        Raises:
            SFTPNoSuchFile: it means nothing here.
        """
        parts: list[str] = []
        for part in os.fsdecode(path).split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in {"", "."}:
                parts.append(part)
        if len(parts) > 2 or (parts and parts[0] not in SHOWN):
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        folder, name = (*parts, "", "")[:2]
        if name:
            try:
                check_name(name)
            except Invalid as wrong:
                raise asyncssh.SFTPFailure(wrong.message) from None
        return folder, name

    def _place(self, path: bytes, *, to: str | None = None) -> Path:
        """Return the file on disk that a path means.

        Args:
            to: "change" asks for ``in``, "remove" for ``in`` or ``out``.
        """
        folder, name = self._split(path)
        allowed = {"change": {"in"}, "remove": {"in", "out"}}.get(to or "", set(SHOWN))
        if not name:
            raise asyncssh.SFTPFailure("this is a folder, and folders stay as they are")
        if folder not in allowed:
            raise asyncssh.SFTPPermissionDenied(
                "bill files go into /in; /archive and /out are only for reading"
            )
        place = self._folder.root / folder / name
        if place.is_symlink():
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        return place

    def map_path(self, path: bytes) -> bytes:
        """Return the place on disk, for what asyncssh does by itself."""
        folder, name = self._split(path)
        return os.fsencode(self._folder.root / folder / name)

    def realpath(self, path: bytes) -> bytes:
        folder, name = self._split(path)
        return os.fsencode("/" + "/".join(part for part in (folder, name) if part))

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if len(self._handles) >= MOST_HANDLES:
            raise asyncssh.SFTPFailure(f"more than {MOST_HANDLES} files are open: close some")
        if not pflags & (asyncssh.FXF_WRITE | asyncssh.FXF_APPEND):
            place = self._place(path)
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            upload = Upload(place.name, os.fdopen(descriptor, "rb", buffering=0), writes=False)
        else:
            upload = self._open_to_write(self._place(path, to="change"), pflags)
        self._handles.append(upload)
        return upload

    def _open_to_write(self, place: Path, pflags: int) -> Upload:
        """Open a file after its mark is made: who sees it without the mark sees it whole."""
        known = list(self._folder.files())
        if len(known) >= _MOST_FILES:
            raise asyncssh.SFTPFailure(f"more than {_MOST_FILES} files wait in /in")
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        flags |= os.O_CREAT if pflags & asyncssh.FXF_CREAT else 0
        flags |= os.O_EXCL if pflags & asyncssh.FXF_EXCL else 0
        if not pflags & asyncssh.FXF_CREAT and not place.exists():
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        if pflags & asyncssh.FXF_EXCL and place.exists():
            raise asyncssh.SFTPFailure("there is such a file already")
        mark = self._folder.open_marks / place.name
        mark.touch(mode=0o600)
        try:
            descriptor = os.open(place, flags, 0o600)
        except FileNotFoundError:
            self._unmark(place.name)  # taken at this moment
            raise
        if os.fstat(descriptor).st_nlink != 1:
            os.close(descriptor)
            raise asyncssh.SFTPPermissionDenied("this file has a second name")
        if pflags & asyncssh.FXF_TRUNC:
            os.ftruncate(descriptor, 0)
        appends = bool(pflags & asyncssh.FXF_APPEND)
        stream = os.fdopen(descriptor, "rb+", buffering=0)
        return Upload(place.name, stream, writes=True, appends=appends)

    def close(self, file_obj: object) -> None:
        assert isinstance(file_obj, Upload)
        self._handles.remove(file_obj)
        file_obj.stream.close()
        if not file_obj.writes or any(
            one.writes and one.name == file_obj.name for one in self._handles
        ):
            return
        if self._session.request == FXP_CLOSE:
            self._unmark(file_obj.name)
            self._arrived(file_obj.name, False)
        else:
            _log.warning("upload_broke_off", file=file_obj.name, folder=self._folder.root.name)

    def _unmark(self, name: str) -> None:
        with suppress(FileNotFoundError):
            (self._folder.open_marks / name).unlink()

    def read(self, file_obj: object, offset: int, size: int) -> bytes:
        assert isinstance(file_obj, Upload)
        file_obj.stream.seek(offset)
        return file_obj.stream.read(size)

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        assert isinstance(file_obj, Upload)
        if not file_obj.writes:
            raise asyncssh.SFTPPermissionDenied("this file is open for reading")
        size_bytes = os.fstat(file_obj.stream.fileno()).st_size
        begins = size_bytes if file_obj.appends else offset
        ends = begins + len(data)
        if ends > MAX_FILE_BYTES:
            raise asyncssh.SFTPFailure("the file is larger than 4 GiB: send it in parts")
        grows = max(ends - size_bytes, 0)
        if grows > file_obj.room_bytes:
            self._make_room(file_obj, grows)
        file_obj.room_bytes -= grows
        file_obj.stream.seek(begins)
        left = memoryview(data)
        while left:  # a disk that fills up takes a piece, and says so when asked for the rest
            left = left[file_obj.stream.write(left) :]
        return len(data)

    def _make_room(self, upload: Upload, grows: int) -> None:
        left = self._quota_bytes - self._folder.used_bytes()
        if grows > left:
            raise asyncssh.SFTPFailure("no room: what waits in /in has reached the agreed size")
        upload.room_bytes = min(left, max(grows, _COUNT_AGAIN_BYTES))

    def lstat(self, path: bytes) -> os.stat_result:
        folder, name = self._split(path)
        return os.lstat(self._folder.root / folder / name)

    def stat(self, path: bytes) -> os.stat_result:
        return self.lstat(path)

    def fstat(self, file_obj: object) -> os.stat_result:
        assert isinstance(file_obj, Upload)
        return os.fstat(file_obj.stream.fileno())

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Leave everything as it is: clients set times and permissions, which mean nothing here."""
        place = self._place(path)
        if attrs.size is not None and attrs.size != place.stat().st_size:
            raise asyncssh.SFTPOpUnsupported("a file gets its size by being written")

    def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        self.setstat(path, attrs)

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        assert isinstance(file_obj, Upload)
        if attrs.size is not None and file_obj.writes:
            if attrs.size > os.fstat(file_obj.stream.fileno()).st_size:
                raise asyncssh.SFTPOpUnsupported("a file gets its size by being written")
            os.ftruncate(file_obj.stream.fileno(), attrs.size)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        folder, name = self._split(path)
        if name:
            raise asyncssh.SFTPNoSuchFile("there is no such folder")
        with os.scandir(self._folder.root / folder) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.is_symlink() or (not folder and entry.name not in SHOWN):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # taken at this moment
                yield asyncssh.SFTPName(
                    os.fsencode(entry.name), attrs=asyncssh.SFTPAttrs.from_local(status)
                )

    def remove(self, path: bytes) -> None:
        place = self._place(path, to="remove")
        place.unlink()
        if place.parent == self._folder.incoming:
            self._unmark(place.name)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._rename(oldpath, newpath, over=False)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._rename(oldpath, newpath, over=True)

    def _rename(self, oldpath: bytes, newpath: bytes, *, over: bool) -> None:
        """Rename inside ``in``: the client says that the file is whole, unless it still writes."""
        old, new = self._place(oldpath, to="change"), self._place(newpath, to="change")
        if not over and new.exists():
            raise asyncssh.SFTPFailure("there is such a file already")
        writing = [one for one in self._handles if one.writes and one.name == old.name]
        if writing:
            (self._folder.open_marks / new.name).touch(mode=0o600)
        elif not old.is_file():
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        else:
            self._unmark(new.name)
        old.rename(new)
        self._unmark(old.name)
        for one in writing:
            one.name = new.name
        if not writing:
            self._arrived(new.name, True)

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        raise asyncssh.SFTPPermissionDenied("the folders are /in, /out and /archive, and no other")

    def rmdir(self, path: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("the folders are /in, /out and /archive, and stay so")

    def readlink(self, path: bytes) -> bytes:
        raise asyncssh.SFTPNoSuchFile("there are no links here")

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links cannot be made here")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPPermissionDenied("links cannot be made here")

    def statvfs(self, path: bytes) -> os.statvfs_result:
        raise asyncssh.SFTPOpUnsupported("how large our disk is means nothing here")

    def fstatvfs(self, file_obj: object) -> os.statvfs_result:
        raise asyncssh.SFTPOpUnsupported("how large our disk is means nothing here")

    def format_user(self, uid: int | None) -> str:
        return self._folder.root.name

    def format_group(self, gid: int | None) -> str:
        return "citybill"

    def fsync(self, file_obj: object) -> None:
        assert isinstance(file_obj, Upload)
        os.fsync(file_obj.stream.fileno())

    def exit(self) -> None:
        """Let go of everything that is still open."""
        for one in list(self._handles):
            self._session.request = None
            self.close(one)
