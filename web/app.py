"""The web: residents' pages, the staff console and the API, one FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles

from billing.documents.fonts import register_fonts
from core import db, log
from core.garbage import spare_what_stays
from core.settings import settings
from notifications.channels import load_carriers
from payments.gateways import load_gateways
from payments.reconciliation.source_terms import agree
from providers.registry import add_folder
from web import errors
from web.api import health
from web.api.rooms import ROOMS as API
from web.bodies import SHORT_BYTES
from web.edge import Edge
from web.pages.company.rooms import ROOMS as COMPANY
from web.pages.console.rooms import ROOMS as CONSOLE
from web.pages.pay_codes import pay_origin
from web.pages.rooms import ASKED_MOST
from web.pages.rooms import ROOMS as PAGES
from web.pages.usage import usage_factors
from web.pages.words.complaints import deadlines
from web.uploads import Uploads

_HERE = Path(__file__).parent


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    db.bind(settings().database_url, pool_size=settings().database_pool_size)
    agree(settings().source_terms)
    usage_factors()
    deadlines().check()
    spare_what_stays()
    yield
    for gateway in app.state.gateways.values():
        gateway.hang_up()
    db.hang_up()


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
        max_body_size=SHORT_BYTES,
    )
    app.state.gateways = load_gateways(settings())
    app.state.carriers = load_carriers(settings())
    app.add_middleware(Uploads)
    errors.install(app)
    sandbox = {settings().sandbox_url} if "sandbox" in app.state.gateways else set[str]()
    app.state.pay_origins = frozenset(map(pay_origin, sandbox))
    app.add_middleware(
        Edge, pay_origins=sorted(app.state.pay_origins), secure=not settings().demo
    )  # fmt: skip
    app.include_router(health.router)
    for room in ASKED_MOST:
        app.include_router(room.router, include_in_schema=False)
    for room in API:
        app.include_router(room.router, prefix="/api/v1")
    for room in PAGES + COMPANY + CONSOLE:
        app.include_router(room.router, include_in_schema=False)
    # Pages go out as they are: they hold a form's token beside what a visitor chose (BREACH).
    app.mount("/static", GZipMiddleware(StaticFiles(directory=_HERE / "static")))
    return app
