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
from web import errors
from web.api import bill_files, bills, health, notices, payments, reconciliations, sessions
from web.edge import Edge
from web.pages import console, console_days, console_terms, household, paying, signing_in

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
    app.add_middleware(Edge, pay_origins=[settings().sandbox_url], secure=not settings().demo)
    for room in (health, sessions, bill_files, bills, payments, notices, reconciliations):
        app.include_router(room.router, prefix="/api/v1" if room is not health else "")
    for room in (signing_in, household, paying, console, console_days, console_terms):
        app.include_router(room.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    return app
