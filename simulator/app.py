"""The simulator as one web application, with its letter box and its courier."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from core.errors import CityBillError, Conflict, Invalid, NotFound, NotSignedIn
from simulator import mailbox, sandbox, utilities
from simulator.companies import COMPANIES
from simulator.courier import Courier
from simulator.journal import Journal
from simulator.pages import page
from simulator.sandbox_books import LATE_AFTER, RETRY_AFTER, SandboxBooks

DEMO_SECRET = "citybill-demo-secret"  # noqa: S105  # the demo's, printed in its guide
_STATUS_OF: Mapping[type[CityBillError], int] = {
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a simulator is set up.

    Args:
        data_dir: its memory; made if missing.
        secrets: by party (``sandbox`` or a company's code); others use ``secret``.
        smtp_port: where to catch mail; None catches none.
        public_url: how browsers reach it; None takes the address each request came to.
        late_after, retry_after, slow_for: as the wire notes say, shorter in tests.
    """

    data_dir: Path
    secret: str = DEMO_SECRET
    secrets: Mapping[str, str] = field(default_factory=dict)
    smtp_port: int | None = None
    public_url: str | None = None
    late_after: timedelta = LATE_AFTER
    retry_after: tuple[timedelta, ...] = RETRY_AFTER
    slow_for: timedelta = utilities.SLOW_FOR

    def secret_of(self, party: str) -> str:
        """Return the secret agreed with a party."""
        return self.secrets.get(party, self.secret)


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Open the memory and start the threads; leave nothing running and nothing half-written."""
    options: Options = app.state.options
    journals = [Journal(options.data_dir / f"{part}.jsonl") for part in ("utilities", "sandbox")]
    app.state.utility_books = utilities.UtilityBooks(journals[0])
    app.state.sandbox_books = SandboxBooks(
        journals[1], late_after=options.late_after, retry_after=options.retry_after
    )
    app.state.inbox = mailbox.Inbox(options.data_dir / "inbox")
    catcher = None
    if options.smtp_port is not None:
        catcher = mailbox.Catcher(app.state.inbox, options.smtp_port)
        catcher.start()
    courier = Courier(app.state.sandbox_books, options.secret_of("sandbox"))
    courier.start()
    try:
        yield
    finally:
        courier.stop()
        if catcher is not None:
            catcher.stop()
        for journal in journals:
            journal.close()


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer an error raised on purpose."""
    assert isinstance(error, CityBillError)
    statuses = (code for kind, code in _STATUS_OF.items() if isinstance(error, kind))
    answer = {"code": error.code, "message": error.message}
    return JSONResponse(answer, status_code=next(statuses, HTTPStatus.INTERNAL_SERVER_ERROR))


async def _index(request: Request) -> Response:
    options: Options = request.app.state.options
    return page("index.html", companies=COMPANIES.values(), smtp_port=options.smtp_port)


async def _health() -> dict[str, str]:
    return {"status": "ok"}


def build_app(options: Options) -> FastAPI:
    """Put the parts together; nothing is opened or started before the server runs it."""
    app = FastAPI(lifespan=_running, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.options = options
    app.add_exception_handler(CityBillError, _refuse)
    app.add_api_route("/", _index, response_model=None)
    app.add_api_route("/healthz", _health)
    for part in (utilities, sandbox, mailbox):
        app.include_router(part.router)
    return app
