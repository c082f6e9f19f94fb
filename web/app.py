"""The web: residents' pages, the staff console and the API, one FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from billing.documents.fonts import register_fonts
from core import db, log
from core.settings import settings
from payments.gateways import load_gateways
from providers.registry import add_folder
from web import errors
from web.api import (
    bank_statements,
    bill_files,
    bills,
    breaks,
    counter,
    health,
    mandates,
    notices,
    pay_grants,
    payments,
    provider_bills,
    reconciliations,
    refunds,
    sessions,
    webhooks,
)
from web.edge import Edge
from web.pages import (
    autopay,
    company,
    console,
    console_arrivals,
    console_breaks,
    console_chargebacks,
    console_days,
    console_files,
    console_profiles,
    console_refunds,
    console_terms,
    guest,
    household,
    paying,
    signing_in,
)
from web.pages.pay_codes import pay_origin

_HERE = Path(__file__).parent


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    db.bind(settings().database_url, pool_size=settings().database_pool_size)
    yield
    for gateway in app.state.gateways.values():
        gateway.hang_up()
    db.engine().dispose()


def create_app() -> FastAPI:
    """Make the application; it connects to its database when it starts."""
    log.configure(as_json=settings().log_json)
    register_fonts()
    folder = settings().profiles_dir
    if folder is not None:
        add_folder(folder)
    app = FastAPI(
        title="CityBill",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_connected,
    )
    app.state.gateways = load_gateways(settings())
    errors.install(app)
    app.state.pay_origins = frozenset({pay_origin(settings().sandbox_url)})
    app.add_middleware(
        Edge, pay_origins=sorted(app.state.pay_origins), secure=not settings().demo
    )  # fmt: skip
    app.include_router(health.router)
    for room in (
        sessions, bill_files, provider_bills, webhooks, bills, pay_grants, payments, mandates,
        notices, reconciliations, bank_statements, breaks, refunds, counter,
    ):  # fmt: skip
        app.include_router(room.router, prefix="/api/v1")
    for room in (
        signing_in, household, autopay, guest, paying, console, console_arrivals, console_files,
        console_profiles, console_days, console_breaks, console_terms, console_refunds,
        console_chargebacks, company,
    ):  # fmt: skip
        app.include_router(room.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    return app
