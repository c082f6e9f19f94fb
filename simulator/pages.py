"""Rendering the simulator's pages: no script, nothing from elsewhere, everything escaped."""

from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from core.clock import BILLING_ZONE
from core.money import format_yuan

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# No form-action: the cashier's form ends, by redirect, at the shop's own address.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(template: str, *, status_code: int = 200, **facts: object) -> HTMLResponse:
    """Render ``templates/<template>`` for a browser."""
    text = _TEMPLATES.get_template(template).render(**facts)
    return HTMLResponse(text, status_code=status_code, headers=_HEADERS)


def _local_time(moment: datetime) -> str:
    return moment.astimezone(BILLING_ZONE).strftime("%Y-%m-%d %H:%M:%S")


_TEMPLATES.filters["yuan"] = format_yuan
_TEMPLATES.filters["local_time"] = _local_time
