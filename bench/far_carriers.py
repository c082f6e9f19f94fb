"""The other side of four carriers in one process: each takes what it is given after so long.

It counts by what it would know a message again by, so that what was sent twice is seen: ``GET
/counts`` tells of each channel how many came, and how many of them more than once.

    python -m bench.far_carriers --port P --smtp-port S --delay-ms 3

``--delay-ms 100-1000`` draws each answer's delay evenly between the two.
"""

import argparse
import asyncio
import random
import re
from collections import Counter
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_MESSAGE_ID = re.compile(rb"^message-id: *<([^@>]+)", re.IGNORECASE | re.MULTILINE)


class Far:
    """What came, by channel and by what names it."""

    def __init__(self, delays_ms: tuple[int, int]) -> None:
        self._delays_ms, self._chance = delays_ms, random.Random(1)  # noqa: S311
        self.came: dict[str, Counter[str]] = {}

    async def take(self, channel: str, name: str) -> None:
        await asyncio.sleep(self._chance.uniform(*self._delays_ms) / 1000)
        self.came.setdefault(channel, Counter())[name] += 1

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        found = _MESSAGE_ID.search(envelope.content)
        await self.take("email", found[1].decode() if found else "")
        return "250 taken"

    async def text_message(self, request: Request) -> Response:
        said = await request.json()
        await self.take("sms", said["id"])
        return JSONResponse({"code": "0"})

    async def wechat_token(self, _request: Request) -> Response:
        return JSONResponse({"access_token": "of this bench", "expires_in": 7200})

    async def wechat(self, request: Request) -> Response:
        said = await request.json()
        await self.take("wechat", said["client_msg_id"])
        return JSONResponse({"errcode": 0, "errmsg": "ok", "msgid": 1})

    async def push(self, request: Request) -> Response:
        await request.body()
        await self.take("push", f"{request.url.path} {request.headers.get('topic')}")
        return Response(status_code=201)

    async def counts(self, _request: Request) -> Response:
        return JSONResponse({
            channel: {
                "came": came.total(), "messages": len(came),
                "twice": sum(one > 1 for one in came.values()), "most": max(came.values()),
            }
            for channel, came in self.came.items()
        })  # fmt: skip

    async def forget(self, _request: Request) -> Response:
        self.came.clear()
        return Response()


async def serve(port: int, smtp_port: int, delays_ms: tuple[int, int]) -> None:
    far = Far(delays_ms)
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(
        lambda: SMTP(far, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", smtp_port
    )
    app = Starlette(routes=[
        Route("/sms", far.text_message, methods=["POST"]),
        Route("/cgi-bin/stable_token", far.wechat_token, methods=["POST"]),
        Route("/cgi-bin/message/template/send", far.wechat, methods=["POST"]),
        Route("/push/{n}", far.push, methods=["POST"]),
        Route("/counts", far.counts), Route("/forget", far.forget, methods=["POST"]),
    ])  # fmt: skip
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False
    )  # fmt: skip
    async with mail:
        await uvicorn.Server(config).serve()


def delays(said: str) -> tuple[int, int]:
    """Return the shortest and the longest delay of ``3`` or ``100-1000``."""
    least, _, most = said.partition("-")
    if int(most or least) < int(least):
        raise ValueError(f"{said} begins with the longer one")
    return int(least), int(most or least)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--delay-ms", type=delays, default="3")
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.port, chosen.smtp_port, chosen.delay_ms))


if __name__ == "__main__":
    main()
