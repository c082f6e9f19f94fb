"""The key our SFTP server is known by: made once, kept for ever, read by nobody else."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import asyncssh

from core.errors import Invalid

FILE_NAME = "ssh_host_key.pem"


def host_key(folder: Path) -> asyncssh.SSHKey:
    """Return the server's key, made if there is none; several servers of one folder share it.

    Raises:
        Invalid: others may read it, or it is no key.
    """
    path = folder.joinpath(FILE_NAME)
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise Invalid(f"others may read {path}: chmod 600 it, and think of it as lost if they did")
    try:
        return asyncssh.read_private_key(path)
    except (asyncssh.KeyImportError, ValueError) as wrong:
        raise Invalid(f"{path} is not a private key: {wrong}") from None


def fingerprint(folder: Path) -> str | None:
    """Return what companies compare before they trust us, or None before the first start."""
    return host_key(folder).get_fingerprint() if folder.joinpath(FILE_NAME).exists() else None


def _make(path: Path) -> None:
    """Write a new key whole, or leave the one that another server was quicker to make."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
        stream.flush()
        os.fsync(stream.fileno())
    with suppress(FileExistsError):
        os.link(made, path)
    made.unlink()
