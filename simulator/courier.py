"""The thread of a far side that does what has become due and delivers its notifications.

Each far side has its own books, and its own way to sign and to be answered; the waiting, the lanes
and the end of it are the same.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from threading import Event, Lock, Thread
from typing import Generic, Protocol, TypeVar

import httpx

from core.clock import utc_now

TIMEOUT_SECONDS = 5
_LANES = 8  # so that one shop that hangs does not hold the others up


class Deliverable(Protocol):
    @property
    def delivery_id(self) -> str: ...


D = TypeVar("D", bound=Deliverable)


class Agenda(Protocol[D]):
    """The books of a far side, as far as time drives them; what is not done outlives a restart."""

    on_due: Callable[[], None]  # called after anything was put on the agenda

    def settle_due(self, *, now: datetime) -> None:
        """Do what has become due by itself: late payments, slow refunds."""

    def due_deliveries(self, *, now: datetime) -> list[D]:
        """Return the notifications to attempt now."""
        ...

    def book_attempt(self, delivery: D, *, taken: bool, now: datetime) -> None:
        """Enter how an attempt went, and when the next is due if there is one."""

    def next_due_at(self, *, excluding: set[str]) -> datetime | None:
        """Return when something is next to be done, leaving out deliveries under way."""
        ...


@contextmanager
def delivering(
    name: str, agenda: Agenda[D], post: Callable[[httpx.Client, D], bool]
) -> Iterator[None]:
    """Work an agenda off in the background.

    At the end the attempts under way are finished, five seconds at most, and no others begun.

    Args:
        post: makes one attempt; tells whether it was taken. An error of HTTP is a "no".
    """
    # trust_env: a proxy of the machine must not get between two processes of one demo.
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        courier = _Courier(name, agenda, lambda delivery: post(client, delivery))
        courier.start()
        try:
            yield
        finally:
            courier.stop()


class _Courier(Generic[D]):
    def __init__(self, name: str, agenda: Agenda[D], post: Callable[[D], bool]) -> None:
        self._agenda, self._post = agenda, post
        self._wake, self._stopping = Event(), False
        self._under_way: set[str] = set()
        self._lock = Lock()
        self._lanes = ThreadPoolExecutor(_LANES, thread_name_prefix=f"{name}-notify")
        self._thread = Thread(target=self._run, name=f"{name}-courier", daemon=True)
        agenda.on_due = self._wake.set

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._lanes.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._stopping:  # looked at after clearing, or a stop in between would go unheard
                return
            now = utc_now()
            self._agenda.settle_due(now=now)
            self._send_due(now)
            due_at = self._agenda.next_due_at(excluding=self._busy())
            wait = None if due_at is None else max(0, (due_at - utc_now()).total_seconds())
            self._wake.wait(wait)

    def _send_due(self, now: datetime) -> None:
        """Begin every attempt that is due and not under way."""
        # Asked before the books: only this thread begins attempts, so what is not busy now has
        # been booked, and the books cannot show it as it was before.
        busy = self._busy()
        for delivery in self._agenda.due_deliveries(now=now):
            if delivery.delivery_id not in busy:
                with self._lock:
                    self._under_way.add(delivery.delivery_id)
                self._lanes.submit(self._attempt, delivery)

    def _busy(self) -> set[str]:
        with self._lock:
            return set(self._under_way)

    def _attempt(self, delivery: D) -> None:
        try:
            taken = self._post(delivery)
        except (httpx.HTTPError, httpx.InvalidURL):
            taken = False
        self._agenda.book_attempt(delivery, taken=taken, now=utc_now())
        with self._lock:
            self._under_way.discard(delivery.delivery_id)
        self._wake.set()
