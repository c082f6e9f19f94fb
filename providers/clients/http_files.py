"""Fetching files from a company's web server: one address, or an index that lists them.

Plain HTTP as RFC 9110 has it: a conditional request does not bring what we have, a broken download
goes on with ``Range``, and a checksum the server states is held against what came.
"""

import base64
import binascii
import hashlib
import json
import posixpath
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urljoin, urlsplit

import httpx
from lxml import etree, html

from core.errors import Upstream, UpstreamUnavailable
from providers.delivery import Credentials, Delivery, FetchFailed, RemoteFile

_TIMEOUT: Final = httpx.Timeout(30, connect=10)
_LOOK_SECONDS: Final = 120
_FETCH_SECONDS: Final = 2 * 3600
_LIST_BYTES: Final = 8 << 20
_MOST_FILES: Final = 10_000
_GONE: Final = (httpx.codes.NOT_FOUND, httpx.codes.GONE)
_NO_HEAD: Final = (httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED)


class HttpFiles:
    """One company's site; see ``FileSource``. A file's name is its address."""

    def __init__(
        self, delivery: Delivery, credentials: Credentials, *, today: date, limit_bytes: int
    ) -> None:
        self._delivery = delivery
        self._addresses = delivery.addresses(today)
        self._today = today.isoformat()
        self._limit_bytes = limit_bytes
        headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes is no use
        if credentials.bearer:
            headers["Authorization"] = f"Bearer {credentials.bearer}"
        self._http = httpx.Client(
            timeout=_TIMEOUT,
            follow_redirects=False,  # our credentials are for this host and no other
            trust_env=False,
            headers=headers,
            auth=(credentials.user, credentials.password) if credentials.user else None,
        )

    def close(self) -> None:
        self._http.close()

    def look(self) -> Sequence[RemoteFile]:
        give_up_at = int(time.monotonic()) + _LOOK_SECONDS
        found: dict[str, RemoteFile] = {}
        for address in self._addresses:
            listed: dict[str, str | None] = {address: None}
            if self._delivery.index != "none":
                listed = self._index(address, give_up_at)
            for one, sha256 in listed.items():
                file = self._look_at(one, sha256)
                if file is not None:
                    found[one] = file
                if time.monotonic() > give_up_at:
                    raise UpstreamUnavailable("the company's server takes too long to list files")
        return sorted(found.values())

    def _index(self, address: str, give_up_at: int) -> dict[str, str | None]:
        """Return the addresses an index lists, on its own host only, and their SHA-256."""
        with self._asked("GET", address) as answer:
            if answer.status_code in _GONE:
                return {}
            _must_be(answer, httpx.codes.OK)
            body = bytearray()
            for part in answer.iter_raw():
                body += part
                if len(body) > _LIST_BYTES or time.monotonic() > give_up_at:
                    raise UpstreamUnavailable("the company's list of files is too long")
        kind = self._delivery.index
        read = _from_json(bytes(body)) if kind == "json" else _from_html(bytes(body))
        files: dict[str, str | None] = {}
        for link, sha256 in read:
            full = _full(address, link)
            if _origin(full) != _origin(address) or not self._is_wanted(full):
                continue
            files[full] = sha256
            if len(files) > _MOST_FILES:
                raise UpstreamUnavailable(f"the company lists more than {_MOST_FILES} files")
        return files

    def _is_wanted(self, address: str) -> bool:
        name, flag = posixpath.basename(unquote(urlsplit(address).path)), self._delivery.flag
        if not name:
            return False  # a folder
        return fnmatchcase(name, self._delivery.files) or bool(flag and name.endswith(flag))

    def _look_at(self, address: str, sha256: str | None) -> RemoteFile | None:
        """Ask how a file looks, without its content."""
        with self._asked("HEAD", address) as answer:
            status, headers = answer.status_code, answer.headers
        if status in _NO_HEAD:
            with self._asked("GET", address) as answer:  # the content is left unread
                status, headers = answer.status_code, answer.headers
        if status in _GONE:
            return None
        _must_be(answer, httpx.codes.OK)
        size = headers.get("Content-Length", "")
        size_bytes = int(size) if size.isascii() and size.isdigit() else None
        # A server that tells no content from another is asked for it once a day: nobody else knows.
        tells = _validator(headers) or sha256 or self._today
        return RemoteFile(address, size_bytes, f"{size_bytes}:{tells}", sha256)

    def fetch(self, file: RemoteFile, into: BinaryIO) -> None:
        have = into.tell()
        headers: dict[str, str] = {}
        validator = file.mark.partition(":")[2]
        if validator in (file.sha256, self._today):
            validator = ""  # of ours: the server has none
        if have and validator:
            headers = {"Range": f"bytes={have}-", "If-Range": validator}
        give_up_at = int(time.monotonic()) + _FETCH_SECONDS
        with self._asked("GET", file.name, headers, keep=True) as answer:
            if answer.status_code in _GONE:
                raise FetchFailed("it is not there any more", keep=False)
            if answer.status_code == httpx.codes.OK:
                into.truncate(0)  # the whole of it, from its beginning
            elif answer.status_code != httpx.codes.PARTIAL_CONTENT or not _begins_at(answer, have):
                raise FetchFailed(
                    f"the company's server answered with HTTP status {answer.status_code}",
                    keep=False,
                )
            came = _validator(answer.headers)
            if validator and came and came != validator:
                raise FetchFailed("it changed while it was fetched", keep=False)
            for part in answer.iter_raw():
                into.write(part)
                if into.tell() > self._limit_bytes:
                    raise FetchFailed("it is larger than we take: send it in parts", keep=False)
                if time.monotonic() > give_up_at:
                    raise FetchFailed("it takes too long: the rest comes next time", keep=True)
        into.flush()
        _check_digest(answer.headers, into)

    def finish(self, file: RemoteFile) -> None:
        """Leave it: over HTTP there is nothing else to agree."""

    @contextmanager
    def _asked(
        self, method: str, address: str, headers: Mapping[str, str] | None = None, *,
        keep: bool = False,
    ) -> Iterator[httpx.Response]:  # fmt: skip
        try:
            with self._http.stream(method, address, headers=headers) as answer:
                yield answer
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as away:
            raise UpstreamUnavailable(
                f"the company's server cannot be reached ({type(away).__name__})"
            ) from away
        except httpx.HTTPError as broken:
            message = f"the company's server broke off ({type(broken).__name__})"
            if keep:
                raise FetchFailed(message, keep=True) from broken
            raise UpstreamUnavailable(message) from broken


def _must_be(answer: httpx.Response, status: int) -> None:
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise Upstream("the company's server does not let us in: check user, password and token")
    if answer.status_code != status:
        raise Upstream(f"the company's server answered with HTTP status {answer.status_code}")


def _full(address: str, link: str) -> str:
    """Return a link of an index in full; blank where nobody could follow it."""
    try:
        full = urljoin(address, link).partition("#")[0]
        httpx.URL(full)
    except (ValueError, httpx.InvalidURL):
        return ""
    return full


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


def _validator(headers: Mapping[str, str]) -> str:
    """Return what tells two contents of one address apart; a weak entity tag does not."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _begins_at(answer: httpx.Response, have: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


_Listed = tuple[str, str | None]  # a link, and the SHA-256 if the list states it


def _from_json(body: bytes) -> Iterator[_Listed]:
    """Read a list of names, or of objects with a ``url`` or a ``name``, and maybe a ``sha256``."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Upstream("the company's list of files is not JSON") from None
    if isinstance(said, dict):
        said = said.get("files")
    if not isinstance(said, list):
        raise Upstream('the company\'s list of files is neither a list nor {"files": [...]}')
    for one in said:
        if isinstance(one, str):
            yield one, None
        elif isinstance(one, dict) and isinstance(link := one.get("url") or one.get("name"), str):
            sha256 = one.get("sha256")
            yield link, sha256 if isinstance(sha256, str) else None


def _from_html(body: bytes) -> Iterator[_Listed]:
    """Read the links of a listing as web servers make them; sizes are rounded there, so asked."""
    try:
        page = html.document_fromstring(body, parser=html.HTMLParser(no_network=True))
    except (etree.LxmlError, ValueError):
        return
    for element in page.iter("a"):
        link = element.get("href", "")
        if link and not link.startswith(("?", "#")):
            yield link, None


def _check_digest(headers: Mapping[str, str], stream: BinaryIO) -> None:
    """Hold the file against the checksum in the answer, if it has one we know.

    ``Repr-Digest`` is of the whole file (RFC 9530), also beside a part; so are the older ones.
    """
    stated = _stated_sha256(headers)
    if stated is None:
        return
    digest = hashlib.sha256()
    with open(stream.name, "rb") as whole:
        while part := whole.read(1 << 20):
            digest.update(part)
    if digest.digest() != stated:
        raise FetchFailed("its SHA-256 is not the one the server states", keep=False)


def _stated_sha256(headers: Mapping[str, str]) -> bytes | None:
    try:
        if plain := headers.get("X-Checksum-Sha256", ""):
            return bytes.fromhex(plain.strip())
        for field in (headers.get("Repr-Digest", ""), headers.get("Digest", "")):
            for one in field.split(","):
                name, _, value = one.strip().partition("=")
                if name.lower() == "sha-256":
                    return base64.b64decode(value.strip(":"), validate=True)
    except (ValueError, binascii.Error):
        raise FetchFailed("the checksum the server states cannot be read", keep=False) from None
    return None
