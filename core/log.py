"""Structured logs: one event a line, with the request's id, and nothing that must not be kept."""

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from core.masking import mask_contact, mask_name, mask_no

_MASKS = {
    "account_no": mask_no,
    "holder_name": mask_name,
    "name": mask_name,
    "contact": mask_contact,
    "phone": mask_contact,
    "email": mask_contact,
}
_SECRET = {"code", "token", "secret", "password", "authorization", "cookie", "signature"}


# What PostgreSQL adds to its refusals, in any language: keys and lines of a copy, values and all.
_VALUES = re.compile(r"^(?!HINT)(\w{2,12}):  .*$", re.MULTILINE)


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in event.keys() - {"exc_info"}:
        event[key] = _masked(key, event[key])
    return event


def _without_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take what a database told of its rows out of an error that was put in words."""
    if "exception" in event:
        event["exception"] = _VALUES.sub(r"\1:  [hidden]", event["exception"])
    return event


def _masked(key: str, value: Any) -> Any:
    """Return what of a value may be written, however deep it lies."""
    if key in _SECRET:
        return "[hidden]"
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(key, one) for one in value]
    return _MASKS[key](str(value)) if key in _MASKS else value


def configure(*, as_json: bool) -> None:
    """Set up this process's logging; edges call it once."""
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            structlog.processors.format_exc_info,
            _without_values,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> Any:
    """Return a logger bound to a module's name; arguments are keys and values, never prose."""
    return structlog.get_logger(name)


def request_id() -> str | None:
    """Return the id of the request this thread works for, as its log lines have it."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found
