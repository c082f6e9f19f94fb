"""A company's folder on our SFTP server: what lies where, and when a file in it is complete.

``in`` is written by the company; ``out`` holds what we answer; ``archive`` what we have taken. Two
more are ours alone: ``.open`` has a mark for every file whose upload has begun and not ended, and
``.taken`` the files that a server has claimed by renaming them there.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from core.errors import Invalid

SHOWN: Final = ("in", "out", "archive")
LONGEST_NAME: Final = 150  # bytes; what we put before and after it must fit in a file name too
_PARTIAL: Final = (".part", ".partial", ".tmp", ".temp", ".filepart", ".upload", ".crdownload")
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')


class Waiting(NamedTuple):
    """What lies in a company's folder at this moment."""

    files: int  # complete, or complete in a moment
    unfinished: int  # uploads that began and never ended


def check_name(name: str) -> None:
    """Make sure a file may be called so.

    Raises:
        Invalid: too long, or a character that some file system or command line reads otherwise.
    """
    if (
        not name
        or name in {".", ".."}
        or len(name.encode("utf-8", "surrogateescape")) > (LONGEST_NAME)
    ):
        raise Invalid(f"a file name has 1 to {LONGEST_NAME} bytes", code="sftp.name")
    if not name.isprintable() or _FORBIDDEN & set(name) or name != name.strip():
        raise Invalid(
            'a file name has no blank at its ends, no control character and none of / \\ : * ? " <'
            " > |",
            code="sftp.name",
        )


def is_partial(name: str) -> bool:
    """Tell whether a name says that its file is not complete: hidden, or ``.part`` and the like."""
    return name.startswith(".") or name.lower().endswith(_PARTIAL)


def is_flag(name: str, flag: str | None) -> bool:
    """Tell whether a file only says that another one is complete."""
    return flag is not None and name.lower().endswith(flag.lower())


def flag_names(name: str, flag: str) -> tuple[str, str]:
    """Return what a file's flag may be called, in lower case: ``a.txt.chk`` or ``a.chk``."""
    return f"{name}{flag}".lower(), f"{name.rpartition('.')[0] or name}{flag}".lower()


@dataclass(frozen=True, slots=True)
class DropFolder:
    """One company's folder."""

    root: Path

    @property
    def incoming(self) -> Path:
        return self.root / "in"

    @property
    def outgoing(self) -> Path:
        return self.root / "out"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def open_marks(self) -> Path:
        return self.root / ".open"

    @property
    def taken(self) -> Path:
        return self.root / ".taken"

    def prepare(self) -> None:
        """Make what is missing, for nobody else to read."""
        for one in (self.root, self.incoming, self.outgoing, self.archive, self.open_marks,
                    self.taken):  # fmt: skip
            one.mkdir(mode=0o700, parents=True, exist_ok=True)

    def files(self) -> Iterator[os.DirEntry[str]]:
        """Yield the plain files in ``in``, by name; a link is nobody's bill file."""
        with os.scandir(self.incoming) as entries:
            found = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        yield from sorted(found, key=lambda entry: entry.name)

    def used_bytes(self) -> int:
        """Return how much the company has put in and we have not received yet."""
        with os.scandir(self.taken) as claimed:
            return sum(status.st_size for _, status in _there([*self.files(), *claimed]))

    def is_being_written(self, name: str) -> bool:
        """Tell whether an upload of this file has begun and not ended, even if its client died."""
        return self.open_marks.joinpath(name).exists()

    def complete(self, *, flag: str | None, settled_before: int) -> list[str]:
        """Return the files to take now, in the order in which they were completed.

        Args:
            flag: the ending of the flag files this company sends, if it does.
            settled_before: nanoseconds since 1970; a file that changed after it may change again.
        """
        found = list(self.files())
        there = {entry.name.lower() for entry in found}
        whole = [
            (status.st_ctime_ns, entry.name)
            for entry, status in _there(found)
            if not is_partial(entry.name)
            and not is_flag(entry.name, flag)
            and len(os.fsencode(entry.name)) <= LONGEST_NAME
            and not self.is_being_written(entry.name)
            and status.st_nlink == 1
            and (
                status.st_ctime_ns <= settled_before
                if flag is None
                else any(one in there for one in flag_names(entry.name, flag))
            )
        ]
        return [name for _, name in sorted(whole)]

    def waiting(self, *, flag: str | None) -> Waiting:
        """Count what lies here, for those who look after it."""
        names = [
            entry.name
            for entry in self.files()
            if not is_partial(entry.name) and not is_flag(entry.name, flag)
        ]
        taken = sum(1 for _ in self.taken.iterdir())
        unfinished = sum(1 for name in names if self.is_being_written(name))
        return Waiting(files=len(names) - unfinished + taken, unfinished=unfinished)


def _there(
    entries: Iterable[os.DirEntry[str]],
) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield how files look, without those that are taken, renamed or removed at this moment."""
    for entry in entries:
        with suppress(FileNotFoundError):
            yield entry, entry.stat(follow_symlinks=False)


def sender_folder(sftp_dir: Path, code: str) -> DropFolder:
    """Return the folder of somebody who brings books, and no bills: a bank, a gateway."""
    return DropFolder(sftp_dir.joinpath("books", code))


def drop_folder(sftp_dir: Path, provider_code: str) -> DropFolder:
    """Return a company's folder below the server's."""
    return DropFolder(sftp_dir.joinpath("companies", provider_code))
