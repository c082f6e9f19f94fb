"""A small HTTP client that asks for pages and does little else: what is measured is not itself."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple


class Wanted(NamedTuple):
    """A page, and the cookie it is asked for with."""

    path: str
    cookie: str = ""


class Loaded(NamedTuple):
    """What came back."""

    rate: float  # answers a second
    milliseconds: list[float]
    own_share: float  # of the time, how much this client was at work itself
    bytes_each: int

    def percentiles(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.milliseconds, n=100)
        return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)}


def load(
    port: int, wanted: Iterator[Wanted], *, clients: int, seconds: float, rate: float | None = None
) -> Loaded:
    """Ask for pages from so many connections at once.

    Args:
        rate: how many a second; each is timed from when it was to be asked for, so that waiting in
            line counts. None: each connection asks as soon as it is answered.
    """
    return asyncio.run(_load(port, wanted, clients, seconds, rate))


async def _load(
    port: int, wanted: Iterator[Wanted], clients: int, seconds: float, rate: float | None
) -> Loaded:
    times, size = list[float](), 0
    began, worked = time.perf_counter(), time.process_time()
    turns = (
        (began + seconds * n / count for n in range(count))
        if rate is not None and (count := int(rate * seconds))
        else None
    )

    async def work() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while (now := time.perf_counter()) < began + seconds:
            asked = now
            if turns is not None:
                asked = next(turns, 0.0)
                if not asked:
                    break
                await asyncio.sleep(asked - now)
            got = await _ask(reader, writer, next(wanted))
            size += got
            times.append((time.perf_counter() - asked) * 1000)
        writer.close()

    await asyncio.gather(*(work() for _ in range(clients)))
    took = time.perf_counter() - began
    own = (time.process_time() - worked) / took
    return Loaded(len(times) / took, times, own, size // len(times))


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: Wanted) -> int:
    cookie = f"Cookie: {wanted.cookie}\r\n" if wanted.cookie else ""
    writer.write(
        f"GET {wanted.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Language: zh-CN\r\n"
        f"Accept-Encoding: gzip\r\n{cookie}\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), (wanted.path, head)
    lengths = [one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    await reader.readexactly(length)
    return len(head) + length
