"""One company as a process of its own: ``python -m simulator.utility water --port 8003``.

Few things are imported, so that four of them start at once on a small machine.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from core.errors import CityBillError, Conflict, Invalid, NotFound, NotSignedIn
from simulator import gas_api, power_api, telecom_api, water_api
from simulator.companies import COMPANIES
from simulator.counter import SLOW_FOR, Counter
from simulator.faults import Switchboard, read_switch
from simulator.journal import Journal
from simulator.utility_books import FORGET_AFTER, UtilityBooks
from simulator.utility_page import DEMO_SECRET, Shown, show_companies

_LOOK_SECONDS = 0.1  # how often a company looks whether it is down
_SPEAKS: dict[str, Callable[[Counter], list[Route]]] = {
    "water": water_api.routes,
    "power": power_api.routes,
    "gas": gas_api.routes,
    "telecom": telecom_api.routes,
}
_STATUS_OF = {
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
}


@dataclass(frozen=True, kw_only=True)
class UtilityOptions:
    """How a company is set up; ``data_dir`` is shared with the far side's control page."""

    code: str
    data_dir: Path
    secret: str = DEMO_SECRET
    slow_for: timedelta = SLOW_FOR
    forget_after: timedelta = FORGET_AFTER


def switchboard(data_dir: Path, code: str) -> Switchboard:
    """Return a company's switches."""
    return Switchboard(data_dir / "utilities" / f"{code}.faults.json")


def journal_path(data_dir: Path, code: str) -> Path:
    """Return where a company's memory lies."""
    return data_dir / "utilities" / f"{code}.jsonl"


def build_utility(options: UtilityOptions) -> Starlette:
    """Put a company together; its memory is opened now."""
    code = options.code
    journal = Journal(journal_path(options.data_dir, code))
    books = UtilityBooks(code, journal, options.forget_after)
    switches = switchboard(options.data_dir, code)
    counter = Counter(books, switches, options.secret, options.slow_for)

    async def show(_: Request) -> Response:
        shown = Shown(COMPANIES[code], switches.all(), books.latest(20), "/faults", None)
        return show_companies([shown], far_side=False)

    async def switch(request: Request) -> Response:
        wanted = await read_switch(request)
        switches.set(wanted)
        return switched(request, wanted.model_dump(mode="json"), "/")

    async def tell_switches(_: Request) -> Response:
        return JSONResponse(
            {place: one.model_dump(mode="json") for place, one in switches.all().items()}
        )

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    pages = [
        Route("/", show),
        Route("/healthz", health),
        Route("/faults", switch, methods=["POST"]),
        Route("/faults", tell_switches, methods=["GET"]),
    ]
    made = Starlette(
        routes=[*pages, *_SPEAKS[code](counter)], exception_handlers={CityBillError: _refuse}
    )
    made.state.journal = journal
    return made


def switched(request: Request, switch: dict[str, object], page_path: str) -> Response:
    """Answer a switch: a program with what is set now, a browser with the page it came from."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return RedirectResponse(page_path, status_code=HTTPStatus.SEE_OTHER)
    return JSONResponse(switch)


async def _refuse(_: Request, error: Exception) -> Response:
    """Answer an error raised on purpose."""
    assert isinstance(error, CityBillError)
    statuses = (code for kind, code in _STATUS_OF.items() if isinstance(error, kind))
    answer = {"code": error.code, "message": error.message}
    return JSONResponse(answer, next(statuses, HTTPStatus.INTERNAL_SERVER_ERROR))


def run_utility(options: UtilityOptions, host: str, port: int) -> None:
    """Be a company until a signal comes; while it is switched to down, nobody listens."""
    asyncio.run(_be(options, host, port))


async def _be(options: UtilityOptions, host: str, port: int) -> None:
    app, switches = build_utility(options), switchboard(options.data_dir, options.code)
    while True:
        while switches.is_down():
            await asyncio.sleep(_LOOK_SECONDS)
        config = uvicorn.Config(
            app, host=host, port=port, log_level="warning", ws="none", lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        leaving = asyncio.create_task(_leave_when_down(server, switches))
        await server.serve()
        if not leaving.done():  # it was a signal that ended it
            leaving.cancel()
            return


async def _leave_when_down(server: uvicorn.Server, switches: Switchboard) -> None:
    while not switches.is_down():
        await asyncio.sleep(_LOOK_SECONDS)
    server.should_exit = True


def main(arguments: list[str]) -> None:
    """Read the command line and be a company."""
    parser = argparse.ArgumentParser(prog="python -m simulator.utility", description=__doc__)
    parser.add_argument("code", choices=sorted(COMPANIES))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data", type=Path, default=Path(".data/simulator"))
    parser.add_argument("--secret", default=DEMO_SECRET)
    parser.add_argument("--slow-ms", type=int, default=int(SLOW_FOR.total_seconds() * 1_000))
    parser.add_argument("--forget-ms", type=int, default=int(FORGET_AFTER.total_seconds() * 1_000))
    given = parser.parse_args(arguments)
    options = UtilityOptions(
        code=given.code,
        data_dir=given.data,
        secret=given.secret,
        slow_for=timedelta(milliseconds=given.slow_ms),
        forget_after=timedelta(milliseconds=given.forget_ms),
    )
    run_utility(options, given.host, given.port)


if __name__ == "__main__":
    main(sys.argv[1:])
