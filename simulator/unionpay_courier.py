"""The thread that pays late orders, makes slow refunds and delivers UnionPay's notifications.

Source: docs/wire/unionpay.md, "Notifications".
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Thread

import httpx

from core.clock import utc_now
from simulator.unionpay_books import UnionPayBooks
from simulator.unionpay_keys import Keys
from simulator.unionpay_records import Delivery

_TIMEOUT_SECONDS = 5
_LANES = 4  # so that one shop that hangs does not hold the others up


class UnionPayCourier:
    """Works the agenda of ``books`` off; what is left at ``stop`` is taken up after a restart."""

    def __init__(self, books: UnionPayBooks, keys: Keys) -> None:
        self._books, self._keys = books, keys
        self._wake = Event()
        self._stopping = False
        self._under_way: set[str] = set()
        self._lock = Lock()
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._lanes = ThreadPoolExecutor(_LANES, thread_name_prefix="unionpay")
        self._thread = Thread(target=self._run, name="unionpay-courier", daemon=True)
        books.on_due = self._wake.set

    def start(self) -> None:
        """Begin delivering, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the attempts under way, five seconds at most, and begin no others."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._lanes.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._stopping:  # looked at after clearing, or a stop in between would go unheard
                return
            now = utc_now()
            self._books.settle_due(now=now)
            busy = self._busy()  # asked before the books, which then show what was booked
            for delivery in self._books.due_deliveries(now=now):
                if delivery.delivery_id not in busy:
                    with self._lock:
                        self._under_way.add(delivery.delivery_id)
                    self._lanes.submit(self._attempt, delivery)
            due_at = self._books.next_due_at(excluding=self._busy())
            wait = None if due_at is None else max(0, (due_at - utc_now()).total_seconds())
            self._wake.wait(wait)

    def _busy(self) -> set[str]:
        with self._lock:
            return set(self._under_way)

    def _attempt(self, delivery: Delivery) -> None:
        form = self._keys.signed(delivery.told)
        try:
            answer = self._client.post(delivery.url, data=form)
            taken = answer.status_code == httpx.codes.OK
        except (httpx.HTTPError, httpx.InvalidURL):
            taken = False
        self._books.book_attempt(delivery, taken=taken, now=utc_now())
        with self._lock:
            self._under_way.discard(delivery.delivery_id)
        self._wake.set()
