"""Fetching files from a company's SFTP server, whose key we know beforehand."""

import asyncio
import errno
import posixpath
from collections.abc import Coroutine, Sequence
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import unquote, urlsplit

import asyncssh

from core.errors import Upstream, UpstreamUnavailable
from providers.delivery import Credentials, Delivery, FetchFailed, RemoteFile

_CONNECT_SECONDS: Final = 20
_LOOK_SECONDS: Final = 120
_FETCH_SECONDS: Final = 2 * 3600
_BLOCK: Final = 256 * 1024
_MOST_FILES: Final = 10_000
_OUR_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # not the company's fault
_T = TypeVar("_T")


class SftpFiles:
    """One company's folders; see ``FileSource``. It connects when it is first asked something."""

    def __init__(
        self, delivery: Delivery, credentials: Credentials, *, today: date, limit_bytes: int
    ) -> None:
        self._delivery = delivery
        self._credentials = credentials
        self._folders = [unquote(urlsplit(one).path) or "." for one in delivery.addresses(today)]
        self._limit_bytes = limit_bytes
        self._runner = asyncio.Runner()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._runner.run(self._connection.wait_closed())
        self._runner.close()

    def look(self) -> Sequence[RemoteFile]:
        return self._ask(self._look(), _LOOK_SECONDS)

    def fetch(self, file: RemoteFile, into: BinaryIO) -> None:
        self._ask(self._fetch(file, into), _FETCH_SECONDS)

    def finish(self, file: RemoteFile) -> None:
        self._ask(self._finish(file), _LOOK_SECONDS)

    def _ask(self, question: Coroutine[Any, Any, _T], seconds: int) -> _T:
        try:
            return self._runner.run(asyncio.wait_for(question, seconds))
        except FetchFailed:
            raise
        except asyncssh.HostKeyNotVerifiable as stranger:
            raise UpstreamUnavailable(
                "the company's server shows another key than the one in its profile: ask the"
                " company whether it was changed, and do not connect before"
            ) from stranger
        except asyncssh.PermissionDenied as refused:
            raise UpstreamUnavailable(
                "the company's server does not let us in: check user, key and password"
            ) from refused
        except (TimeoutError, OSError, asyncssh.Error) as away:
            if getattr(away, "errno", None) in _OUR_DISK:
                raise
            raise UpstreamUnavailable(
                f"the company's server cannot be reached or broke off ({type(away).__name__})"
            ) from away

    async def _client(self) -> asyncssh.SFTPClient:
        if self._sftp is None:
            parts = urlsplit(self._delivery.address or "")
            own = self._credentials
            trusted, keys = self._keys()
            self._connection = await asyncssh.connect(
                parts.hostname or "",
                parts.port or 22,
                username=own.user,
                password=own.password or None,
                client_keys=keys,
                known_hosts=([trusted], [], []),
                server_host_key_algs=_algorithms(trusted),
                config=None,
                agent_path=None,
                connect_timeout=_CONNECT_SECONDS,
                login_timeout=_CONNECT_SECONDS,
                keepalive_interval=30,
            )
            # Whatever bytes a name has: one in GBK must not keep us from all others.
            self._sftp = await self._connection.start_sftp_client(path_errors="surrogateescape")
        return self._sftp

    def _keys(self) -> tuple[asyncssh.SSHKey, Sequence[asyncssh.SSHKeyPair] | None]:
        """Return the company's host key and ours. Raises Upstream where one cannot be used."""
        path = self._credentials.private_key
        try:
            trusted = asyncssh.import_public_key(self._delivery.host_key or "")
        except asyncssh.KeyImportError as wrong:
            raise Upstream(
                f"host_key in [delivery] of its profile is no public key ({wrong}): ask the company"
            ) from None
        try:
            return trusted, asyncssh.load_keypairs(path) if path else None
        except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as wrong:
            raise Upstream(
                f"our private key {path} cannot be used ({wrong}): see CITYBILL_DELIVERIES"
            ) from None

    async def _look(self) -> list[RemoteFile]:
        client, found = await self._client(), list[tuple[int, int, RemoteFile]]()
        flag, done = self._delivery.flag or "", self._delivery.after.partition(":")[2]
        for folder in self._folders:
            try:
                async for entry in client.scandir(folder):
                    name = str(entry.filename)
                    if entry.attrs.type != asyncssh.FILEXFER_TYPE_REGULAR:
                        continue
                    if done and name.endswith(done):
                        continue  # renamed so when it was fetched
                    bare = name[: -len(flag)] if flag and name.endswith(flag) else name
                    if fnmatchcase(name, self._delivery.files) or bare != name:
                        file = _remote(posixpath.join(folder, name), entry.attrs)
                        found.append((entry.attrs.mtime or 0, entry.attrs.mtime_ns or 0, file))
                    if len(found) > _MOST_FILES:
                        raise Upstream(f"more than {_MOST_FILES} files lie in {folder}: clear it")
            except asyncssh.SFTPNoSuchFile:
                continue  # the folder of a day on which nothing came
        return [file for _, _, file in sorted(found)]  # a cancellation may follow its bill

    async def _fetch(self, file: RemoteFile, into: BinaryIO) -> None:
        client = await self._client()
        try:
            async with client.open(file.name, "rb", block_size=None) as stream:
                position = into.tell()
                while block := await stream.read(_BLOCK, position):
                    assert isinstance(block, bytes)
                    position += len(block)
                    if position > self._limit_bytes:
                        raise FetchFailed("it is larger than we take: send it in parts", keep=False)
                    into.write(block)
                after = _remote(file.name, await stream.stat())
        except asyncssh.SFTPConnectionLost:
            raise
        except asyncssh.SFTPError as wrong:
            raise FetchFailed(f"the company's server says: {wrong.reason}", keep=False) from wrong
        if after.mark != file.mark:
            raise FetchFailed("it changed while it was fetched", keep=False)

    async def _finish(self, file: RemoteFile) -> None:
        client, after = await self._client(), self._delivery.after
        try:
            if after != "leave":
                now = await client.lstat(file.name)
                if _remote(file.name, now).mark != file.mark:
                    return  # another one by now: it is fetched the next time
            if after == "delete":
                await client.remove(file.name)
            elif after.startswith("rename:"):
                await client.posix_rename(file.name, file.name + after.partition(":")[2])
        except asyncssh.SFTPNoSuchFile:
            return  # done before, by us or by the company
        except asyncssh.SFTPConnectionLost:
            raise
        except asyncssh.SFTPError as wrong:
            raise FetchFailed(f"it was fetched, but not {after}d: {wrong.reason}", keep=True) from (
                wrong
            )


def _remote(path: str, attrs: asyncssh.SFTPAttrs) -> RemoteFile:
    return RemoteFile(path, attrs.size, f"{attrs.size}:{attrs.mtime}:{attrs.mtime_ns or 0}")


def _algorithms(key: asyncssh.SSHKey) -> list[str]:
    kind = key.get_algorithm()
    return ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
