"""Reading what comes in over HTTP and writing times the way the wire notes ask."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ValidationError
from starlette.requests import Request

from core.errors import Invalid

Model = TypeVar("Model", bound=BaseModel)


def utc_text(moment: datetime) -> str:
    """Render a moment as ``2026-11-20T04:00:03Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_utc(moment: datetime) -> datetime:
    if moment.utcoffset() != timedelta(0):
        raise ValueError("times are in UTC and end in Z")
    return moment


def _is_web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address")
    return url


UtcMoment = Annotated[AwareDatetime, AfterValidator(_is_utc)]
WebAddress = Annotated[str, AfterValidator(_is_web_address)]


def read_json(model: type[Model], body: bytes) -> Model:
    """Read a JSON body, strictly: no text where a number belongs.

    Raises:
        Invalid: not JSON, or not as the note says; the message names the first wrong member.
    """
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "body"
        raise Invalid(f"{where}: {first['msg']}", code="request.malformed") from wrong


def sent_path(request: Request) -> str:
    """Return the path exactly as sent, still percent-encoded, without the query."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii")


def is_form(request: Request) -> bool:
    """Tell whether a browser's form is speaking rather than a program."""
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
