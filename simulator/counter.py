"""A company's counter: takes any question, and answers in the way it is switched."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from typing import TypeVar

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from core.clock import utc_now
from core.errors import Invalid
from simulator.confirmations import DayList, list_day
from simulator.faults import Fault, Operation, Switchboard
from simulator.utility_books import (
    Account,
    OpenBills,
    ReversalRequest,
    UtilityBooks,
    Verdict,
    WriteOffRequest,
)

SLOW_FOR = timedelta(seconds=8)
_DRIP_SECONDS = 0.5
_WEB_PAGE = "<!doctype html><title>502 Bad Gateway</title><h1>系统维护中 Please try again</h1>"
Said = TypeVar("Said")


class Counter:
    """What the ways of speaking share: the books, the switches, and the agreed secret."""

    def __init__(
        self, books: UtilityBooks, switches: Switchboard, secret: str, slow_for: timedelta
    ) -> None:
        self.books = books
        self.switches = switches
        self.secret = secret
        self._slow_seconds = slow_for.total_seconds()

    async def open_bills(
        self, account_no: str, render: Callable[[OpenBills], Response]
    ) -> Response:
        """Say what is open on an account."""

        def ask(fault: Fault) -> OpenBills:
            said = self.books.open_bills(account_no, now=utc_now())
            return said._replace(bills=said.bills * 2) if fault is Fault.TWICE else said

        return await self._answer(Operation.FETCH, ask, render)

    async def account(
        self, account_no: str, holder: str, render: Callable[[Account], Response]
    ) -> Response:
        """Say whether there is an account."""
        return await self._answer(
            Operation.VALIDATE, lambda _: self.books.account(account_no, holder), render
        )

    async def write_off(
        self, request: WriteOffRequest, render: Callable[[Verdict], Response]
    ) -> Response:
        """Take one write-off. Raises Conflict."""
        return await self._answer(
            Operation.WRITE_OFF,
            lambda fault: self.books.receive(request, fault, now=utc_now()),
            render,
        )

    async def reverse(
        self, request: ReversalRequest, render: Callable[[Verdict], Response]
    ) -> Response:
        """Take one write-off back. Raises Conflict."""
        return await self._answer(
            Operation.REVERSE,
            lambda fault: self.books.reverse(request, fault, now=utc_now()),
            render,
        )

    async def find(
        self, write_off_no: str, render: Callable[[Verdict | None], Response]
    ) -> Response:
        """Say what became of a write-off: the answer it was given, or would have been."""

        def ask(fault: Fault) -> Verdict | None:
            known = self.books.find(write_off_no, now=utc_now())
            if known is None or fault is not Fault.TWICE:
                return known.verdict if known else None
            return known.verdict.model_copy(update={"result": "pending", "receipt": ""})

        return await self._answer(Operation.QUERY, ask, render)

    async def confirmations(
        self, day_text: str, render: Callable[[DayList | None], Response]
    ) -> Response:
        """Tell what was written off on a day. Raises Invalid."""
        try:
            day = date.fromisoformat(day_text)
        except ValueError as wrong:
            raise Invalid("a day is written 2026-11-20", code="request.malformed") from wrong
        return await self._answer(
            Operation.CONFIRMATIONS,
            lambda fault: list_day(self.books, day, fault, now=utc_now()),
            render,
        )

    async def _answer(
        self,
        operation: Operation,
        ask: Callable[[Fault], Said],
        render: Callable[[Said], Response],
    ) -> Response:
        fault = self.switches.take(operation)
        if fault is Fault.ERROR:
            return JSONResponse({"code": "internal", "message": "switched to fail"}, 500)
        answer = render(ask(fault))
        match fault:
            case Fault.SLOW:
                await asyncio.sleep(self._slow_seconds)
            case Fault.SILENT:
                return CutShort()
            case Fault.GARBAGE:
                return HTMLResponse(_WEB_PAGE)
            case Fault.TRUNCATED:
                half = bytes(answer.body)[: len(answer.body) // 2]
                return Response(half, answer.status_code, media_type=answer.media_type)
            case Fault.DRIP:
                return Dripping(bytes(answer.body))
        return answer


class CutShort(Response):
    """An answer that begins and never ends: the server closes the connection instead."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"256")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class Dripping(Response):
    """An answer that comes byte by byte."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self.body)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(len(body)):
            await send({"type": "http.response.body", "body": body[at : at + 1], "more_body": True})
            await asyncio.sleep(_DRIP_SECONDS)
        await send({"type": "http.response.body", "body": b""})
