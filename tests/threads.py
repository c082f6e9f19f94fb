"""Many at once: what every "once" is tested with."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """Call ``work(0)`` … ``work(count - 1)`` from as many threads, let go at the same moment."""
    gate = threading.Barrier(count)

    def one(number: int) -> T:
        gate.wait(timeout=30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
