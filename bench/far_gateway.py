"""The far side of the payments bench: a gateway that pays at once, a company that says yes.

It speaks docs/wire/sandbox-gateway.md and write-off.md as far as a payment that goes well needs
them, and does little, so that what is measured is ours. Orders are paid when they are opened;
``POST /hold`` keeps their callbacks back until ``POST /release``.

    python -m bench.far_gateway --port N --secret S
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import uvloop

_LENGTH = re.compile(rb"(?i)(?:^|\n)content-length: *([0-9]+)")
CALLERS = 8  # connections on which callbacks go out
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FarGateway:
    """Orders by number, and the callbacks that wait to be sent."""

    def __init__(self, secret: str) -> None:
        self.secret, self.orders = secret.encode(), dict[str, dict[str, Any]]()
        self.news: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.sending = asyncio.Event()
        self.sending.set()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Do one request."""
        if path == "/hold":
            self.sending.clear()
            return 200, {}
        if path == "/release":
            self.sending.set()
            return 200, {"waiting": self.news.qsize()}
        if method == "POST" and path == "/sandbox/orders":
            return 201, self._open(json.loads(body))
        if method == "POST" and path == "/write-offs":
            asked = json.loads(body)
            ref = f"U{asked['write_off_no']}"
            return 200, asked | {"result": "accepted", "utility_ref": ref}
        order = self.orders.get(path.rpartition("/")[2])
        if order is None:
            return 404, {}
        return 200, order | {"status": "paid"}

    def _open(self, asked: dict[str, Any]) -> dict[str, Any]:
        number, at = asked["order_no"], datetime.now(UTC).isoformat(timespec="milliseconds")
        order = {
            "order_no": number, "gateway_ref": f"F{number}", "status": "open",
            "amount_fen": asked["amount_fen"], "paid_at": None,
            "pay_url": f"http://127.0.0.1:9/pay/{number}",
        }  # fmt: skip
        self.orders[number] = order | {"paid_at": at}
        told = {"event_id": f"E{number}", "event": "order.paid", "order_no": number}
        self.news.put_nowait((asked["notify_url"], json.dumps(told).encode()))
        return order

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until it ends."""
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ", 2)
                code, told = self.answer(method, path, await read_body(reader))
                text = json.dumps(told).encode()
                writer.write(
                    f"HTTP/1.1 {code} OK\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(text)}\r\n\r\n".encode()
                    + text
                )
                await writer.drain()
        finally:
            writer.close()

    async def call_back(self) -> None:
        """Send news on one connection, one after another, as long as this runs."""
        line: Line | None = None
        while True:
            url, body = await self.news.get()
            await self.sending.wait()
            place = urlsplit(url)
            at = str(int(time.time()))
            mark = hmac.new(self.secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            sent = (
                f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n"
                f"X-Sandbox-Time: {at}\r\nX-Sandbox-Signature: {mark}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode() + body
            status = b""
            while not status:  # an idle connection was closed meanwhile: take another
                if line is None:
                    line = await asyncio.open_connection(place.hostname, place.port)
                line[1].write(sent)
                status = await line[0].readline()
                line = line if status else None
            if line is None or b" 204 " not in status:
                raise SystemExit(f"our callback was answered {status!r}")
            await read_body(line[0])


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """Read the rest of a message: its headers, and as much as they announce."""
    announced = _LENGTH.search(await reader.readuntil(b"\r\n\r\n"))
    return await reader.readexactly(int(announced[1])) if announced else b""


async def _main(port: int, secret: str) -> None:
    far = FarGateway(secret)
    server = await asyncio.start_server(far.serve, "127.0.0.1", port, backlog=256)
    async with server, asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(far.call_back())
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--secret", required=True)
    chosen = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(chosen.port, chosen.secret))
