"""Serve the web: ``python -m web.serving --port 8000 --processes 2``.

Processes that share a listening socket race for callers, and who wakes first takes all that wait.
Whoever keeps a connection, a proxy or a gateway, stays with that one while the others idle. So
each process listens for itself on the same port, and the kernel deals the callers out.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import sys
import threading
from multiprocessing.connection import wait
from types import FrameType
from typing import NamedTuple

import uvicorn

_WAITING = 2_048  # callers that a process has not taken yet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--forwarded-allow-ips", help="whose X-Forwarded-For is believed")
    chosen = parser.parse_args()
    place = Place(chosen.host, chosen.port, chosen.forwarded_allow_ips)
    if chosen.processes == 1:
        serve(place, shared=False)
        return
    sys.exit(_serve_in_many(place, chosen.processes))


class Place(NamedTuple):
    """Where we listen; ``proxies`` are believed whom they speak for (None: as uvicorn does)."""

    host: str
    port: int
    proxies: str | None


def serve(place: Place, *, shared: bool) -> None:
    """Serve in this process until a signal ends it.

    Args:
        shared: others of us listen on the same port; without who started us we end.

    Raises:
        OSError: somebody else listens there.
    """
    if shared:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    config = uvicorn.Config(
        "web.app:create_app", factory=True, log_level="warning", access_log=False,
        forwarded_allow_ips=place.proxies,
    )  # fmt: skip
    config.load()  # before we listen: the kernel deals callers to whoever does, ready or not
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.create_server(
        (place.host, place.port), family=family, backlog=_WAITING, reuse_port=shared
    )
    uvicorn.Server(config).run(sockets=[listener])


def _end_with_parent() -> None:
    """Leave the port to who comes after our parent: else both would be dealt callers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _serve_in_many(place: Place, processes: int) -> int:
    """Serve until a signal comes or one of the processes ends; then all end.

    Returns:
        The exit status: 1 when a process ended by itself, and whoever started us starts us anew.
    """
    apart = multiprocessing.get_context("spawn")  # nothing of ours survives a fork
    family = [
        apart.Process(target=serve, args=(place,), kwargs={"shared": True})
        for _ in range(processes)
    ]
    told_to_stop = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal told_to_stop
        told_to_stop = True
        for one in family:
            one.terminate()

    for one in family:
        one.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    wait([one.sentinel for one in family])
    for one in family:
        one.terminate()
    for one in family:
        one.join()
    return 0 if told_to_stop else 1


if __name__ == "__main__":
    main()
