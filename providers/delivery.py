"""How a company's files come to us: ``[delivery]`` of its profile, and what a fetching adapter is.

Secrets are never here: ``CITYBILL_DELIVERIES`` has them, by the company's code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, BinaryIO, Final, Literal, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.clock import BILLING_ZONE
from core.errors import Upstream

_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_DAY: Final = "{yyyymmdd}"
_HOST_KEY: Final = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( .*)?")


def _is_window(text: str) -> str:
    if _WINDOW.fullmatch(text) is None:
        raise ValueError("is two times of day in Shanghai, such as 22:00-06:00")
    return text


def _is_after(text: str) -> str:
    if text not in {"leave", "delete"} and not re.fullmatch(r"rename:[A-Za-z0-9._-]{1,20}", text):
        raise ValueError('is "leave", "delete", or "rename:" and an ending, such as rename:.done')
    return text


class Delivery(BaseModel):
    """``[delivery]``: who brings a company's files, and how one knows that a file is complete."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: Literal["push", "sftp", "http"] = "push"
    flag: Annotated[str, Field(pattern=r"^[.][A-Za-z0-9]{1,10}$")] | None = None
    acknowledgement: Literal["json", "lines"] = "json"
    lists: str | None = None  # which names are no bill files, but lists of what was written off
    address: str | None = None
    files: str = "*"
    index: Literal["none", "json", "html"] = "none"
    host_key: str | None = None
    every: int = Field(default=60, ge=1, le=7 * 24 * 60)
    window: Annotated[str, AfterValidator(_is_window)] | None = None
    days_back: int = Field(default=1, ge=0, le=31)
    after: Annotated[str, AfterValidator(_is_after)] = "leave"

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.kind == "push":
            if self.address is not None:
                raise ValueError('address: only where we fetch: kind = "sftp" or "http"')
            return self
        parts = urlsplit(self.address or "")
        schemes = {"sftp": {"sftp"}, "http": {"http", "https"}}[self.kind]
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(
                f"address: should begin with {' or '.join(sorted(schemes))}:// and a host"
            )
        if parts.username or parts.password:
            raise ValueError("address: no user or password here; CITYBILL_DELIVERIES has them")
        if self.kind == "sftp" and _HOST_KEY.fullmatch(self.host_key or "") is None:
            raise ValueError(
                "host_key: an SFTP server needs the public key it is known by, asked of the company"
                ' and not of the network: "ssh-ed25519 AAAA…"'
            )
        ending = self.after.partition(":")[2]
        if ending and self.files.endswith(ending):
            raise ValueError(f"after: {ending} is the ending of the bill files: choose another")
        if self.kind == "http" and self.after != "leave":
            raise ValueError('after: over HTTP a file can only be left: "leave"')
        return self

    def addresses(self, today: date) -> list[str]:
        """Return where to look: once for each of the last days if the address names the day."""
        assert self.address is not None
        if _DAY not in self.address:
            return [self.address]
        days = (today - timedelta(days=back) for back in range(self.days_back, -1, -1))
        return [self.address.replace(_DAY, f"{day:%Y%m%d}") for day in days]

    def is_open(self, now: datetime) -> bool:
        """Tell whether the company lets us in at this time of its day."""
        found = _WINDOW.fullmatch(self.window or "")
        if found is None:
            return True
        hours = [int(part) for part in found.groups()]
        begins, ends = time(hours[0], hours[1]), time(hours[2], hours[3])
        at = now.astimezone(BILLING_ZONE).time()
        if begins <= ends:
            return begins <= at < ends
        return at >= begins or at < ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How we sign in at a company."""

    user: str = ""
    password: str = ""
    private_key: str = ""  # the path of a file
    bearer: str = ""


class RemoteFile(NamedTuple):
    """A file as a company lists it. ``mark`` is another when the content is."""

    name: str
    size_bytes: int | None
    mark: str
    sha256: str | None = None  # if the company's list says it


class FetchFailed(Upstream):
    """A file could not be brought over; ``keep`` tells whether what came is worth going on from."""

    code = "delivery.fetch"

    def __init__(self, message: str, *, keep: bool) -> None:
        super().__init__(message)
        self.keep = keep


class FileSource(Protocol):
    """A company's folder or site that files are fetched from.

    Every method raises ``UpstreamUnavailable`` when the company cannot be reached.
    """

    def look(self) -> Sequence[RemoteFile]:
        """Return what lies there now, flag files included."""
        ...

    def fetch(self, file: RemoteFile, into: BinaryIO) -> None:
        """Bring a file over, going on from the end of ``into``; the whole of it or an exception.

        Raises:
            FetchFailed: it broke off, changed meanwhile, is too large, or its checksum is wrong.
        """
        ...

    def finish(self, file: RemoteFile) -> None:
        """Do with a fetched file what was agreed: leave, delete or rename it; repeatable."""
        ...

    def close(self) -> None: ...
