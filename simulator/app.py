"""The simulator as one web application, with its letter box and its courier."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from core.errors import CityBillError, Conflict, Invalid, NotFound, NotSignedIn
from simulator import (
    alipay,
    bank,
    counter_agent,
    mailbox,
    sandbox,
    sandbox_debits,
    stripe,
    unionpay,
    utilities,
    wechatpay,
)
from simulator.companies import COMPANIES
from simulator.courier import delivering
from simulator.journal import Journal
from simulator.pages import page
from simulator.sandbox_books import LATE_AFTER, RETRY_AFTER, SandboxBooks
from simulator.sandbox_mandates import MandateBooks
from simulator.utility_page import DEMO_SECRET
from simulator.wechatpay_pages import pages as wechatpay_pages
from simulator.wechatpay_records import WechatpayOptions

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
        wechatpay: the merchant it knows and its key; None: no WeChat Pay.
        shop: a file with the key of a shop that takes cash; None: no shop.
        stripe_notify_url: its webhook endpoint from the start; None: added by its API.
    """

    data_dir: Path
    secret: str = DEMO_SECRET
    smtp_port: int | None = None
    public_url: str | None = None
    late_after: timedelta = LATE_AFTER
    retry_after: tuple[timedelta, ...] = RETRY_AFTER
    company_urls: Mapping[str, str] = field(default_factory=dict)
    stripe_notify_url: str | None = None
    shop: Path | None = None
    wechatpay: WechatpayOptions | None = None


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Open the memory and start the threads; leave nothing running and nothing half-written."""
    options: Options = app.state.options
    journal = Journal(options.data_dir / "sandbox.jsonl")
    app.state.sandbox_books = SandboxBooks(
        journal, late_after=options.late_after, retry_after=options.retry_after
    )
    mandate_journal = Journal(options.data_dir / "sandbox-mandates.jsonl")
    app.state.mandate_books = MandateBooks(mandate_journal, app.state.sandbox_books)
    app.state.inbox = mailbox.Inbox(options.data_dir / "inbox")
    catcher = None
    if options.smtp_port is not None:
        catcher = mailbox.Catcher(app.state.inbox, options.smtp_port)
        catcher.start()
    post = partial(sandbox.post, options.secret)
    try:
        with (
            delivering("sandbox", app.state.sandbox_books, post),
            bank.running_bank(options.data_dir) as app.state.bank,
            counter_agent.running_shop(options.shop) as app.state.till,
            alipay.alipay_running(
                options.data_dir, late_after=options.late_after, retry_after=options.retry_after
            ) as app.state.alipay,
            stripe.running_stripe(
                options.data_dir, options.secret, notify_url=options.stripe_notify_url,
                late_after=options.late_after, retry_after=options.retry_after,
            ) as app.state.stripe,
            unionpay.unionpay_running(
                options.data_dir, late_after=options.late_after, retry_after=options.retry_after
            ) as app.state.unionpay,
            wechatpay.running_wechatpay(
                options.wechatpay, options.data_dir
            ) as app.state.wechatpay,
        ):  # fmt: skip
            yield
    finally:
        if catcher is not None:
            catcher.stop()
        journal.close()
        mandate_journal.close()


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
        smtp_port=options.smtp_port, wechatpay=options.wechatpay is not None,
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
    for part in (utilities, sandbox, sandbox_debits, alipay, stripe, bank, counter_agent, mailbox):
        app.include_router(part.router)
    for router in (unionpay.router, wechatpay.api, wechatpay_pages):
        app.include_router(router)
    return app
