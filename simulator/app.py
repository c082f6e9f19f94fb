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
from simulator.utility_page import DEMO_SECRET

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
        smtp_port: where to catch mail; None catches none.
        public_url: how browsers reach it; None takes the address each request came to.
        company_urls: where each company's own page is, as browsers reach it.
        late_after, retry_after: as the wire notes say, shorter in tests.
    """

    data_dir: Path
    secret: str = DEMO_SECRET
    smtp_port: int | None = None
    public_url: str | None = None
    late_after: timedelta = LATE_AFTER
    retry_after: tuple[timedelta, ...] = RETRY_AFTER
    company_urls: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Open the memory and start the threads; leave nothing running and nothing half-written."""
    options: Options = app.state.options
    journal = Journal(options.data_dir / "sandbox.jsonl")
    app.state.sandbox_books = SandboxBooks(
        journal, late_after=options.late_after, retry_after=options.retry_after
    )
    app.state.inbox = mailbox.Inbox(options.data_dir / "inbox")
    catcher = None
    if options.smtp_port is not None:
        catcher = mailbox.Catcher(app.state.inbox, options.smtp_port)
        catcher.start()
    courier = Courier(app.state.sandbox_books, options.secret)
    courier.start()
    try:
        yield
    finally:
        courier.stop()
        if catcher is not None:
            catcher.stop()
        journal.close()


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer an error raised on purpose."""
    assert isinstance(error, CityBillError)
    statuses = (code for kind, code in _STATUS_OF.items() if isinstance(error, kind))
    answer = {"code": error.code, "message": error.message}
    return JSONResponse(answer, status_code=next(statuses, HTTPStatus.INTERNAL_SERVER_ERROR))


async def _index(request: Request) -> Response:
    options: Options = request.app.state.options
    return page(
        "index.html", companies=COMPANIES.values(), urls=options.company_urls,
        smtp_port=options.smtp_port,
    )  # fmt: skip


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
