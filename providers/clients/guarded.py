"""One company left in peace: no more calls than agreed, and none while its system is down."""

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from threading import Lock
from typing import Final, TypeVar

from pybreaker import (
    STATE_CLOSED,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerError,
    CircuitMemoryStorage,
)
from pydantic import BaseModel, ConfigDict, Field

from core.clock import BILLING_ZONE
from core.errors import NotFound, UpstreamUnavailable
from providers.base import (
    ConfirmationFetch,
    ConfirmationSource,
    FetchReply,
    ReversalOrder,
    UtilityClient,
    ValidateReply,
    WriteOffOrder,
    WriteOffReply,
    WriteOffReverser,
)
from providers.clients.replies import NO_LISTS, TAKES_NONE_BACK

R = TypeVar("R")
_PATIENCE_NS: Final = 200_000_000  # for a free place; longer is the caller's business
_SECOND_NS: Final = 1_000_000_000
_SMOOTHED_SECONDS: Final = 10


class Limits(BaseModel):
    """What was agreed with a company, for each process of ours."""

    model_config = ConfigDict(frozen=True)

    calls_per_second: int = Field(ge=1)  # on average, over ten seconds
    burst: int = Field(ge=1)  # within any one second
    failures_to_open: int = Field(ge=1)  # in a row, before it is left alone
    seconds_to_half_open: int = Field(ge=1)  # until one call tries it again


class _CompanyDown(Exception):
    """A failure that counts; it never leaves this module."""


class GuardedClient:
    """Any client behind a rate limit and a circuit breaker; see `UtilityClient`.

    Only failures that say the company's system is down open the circuit: a refusal, an unknown
    account and even an unreadable answer are signs of life. While it is open nothing is sent and
    `UpstreamUnavailable` says when to try again; then one call tries, and the others wait for it.
    """

    def __init__(
        self, client: UtilityClient, limits: Limits, clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._limits = limits
        self._clock = clock
        self._circuit = CircuitMemoryStorage(STATE_CLOSED)
        self._breaker = CircuitBreaker(
            fail_max=limits.failures_to_open,
            reset_timeout=limits.seconds_to_half_open,
            throw_new_error_on_trip=False,
            state_storage=self._circuit,
        )
        self._windows = (
            _Window(limits.burst, 1),
            _Window(limits.calls_per_second * _SMOOTHED_SECONDS, _SMOOTHED_SECONDS),
        )
        self._counting = Lock()
        self._trying = Lock()

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def is_open(self) -> bool:
        """Tell whether the company is being left alone."""
        return self._breaker.current_state != STATE_CLOSED

    def fetch(self, account_no: str) -> FetchReply:
        return self._asked(lambda: self._client.fetch(account_no))

    def validate(self, account_no: str, holder_hint: str | None = None) -> ValidateReply:
        return self._asked(lambda: self._client.validate(account_no, holder_hint))

    def write_off(self, order: WriteOffOrder) -> WriteOffReply:
        return self._asked(lambda: self._client.write_off(order))

    def query(self, write_off_no: str) -> WriteOffReply | None:
        return self._asked(lambda: self._client.query(write_off_no))

    @property
    def takes_back(self) -> bool:
        client = self._client
        return isinstance(client, WriteOffReverser) and client.takes_back

    def reverse_write_off(self, order: ReversalOrder) -> WriteOffReply:
        client = self._client
        if not isinstance(client, WriteOffReverser):
            raise NotFound(TAKES_NONE_BACK, code="utility.no_reversal")
        return self._asked(lambda: client.reverse_write_off(order))

    @property
    def gives_confirmations(self) -> bool:
        client = self._client
        return isinstance(client, ConfirmationSource) and client.gives_confirmations

    def fetch_confirmations(self, day: date) -> ConfirmationFetch:
        client = self._client
        if not isinstance(client, ConfirmationSource):
            raise NotFound(NO_LISTS, code="utility.no_confirmations")
        return self._asked(lambda: client.fetch_confirmations(day))

    def _asked(self, ask: Callable[[], R]) -> R:
        if self._breaker.current_state == STATE_CLOSED:
            self._take_place()
            reply, failure = self._answer(ask)
            self._book(reply, failure)
        else:
            reply, failure = self._tried(ask)
        if failure is not None:
            raise failure
        assert reply is not None
        return reply[0]

    def _answer(self, ask: Callable[[], R]) -> tuple[tuple[R] | None, UpstreamUnavailable | None]:
        try:
            return (ask(),), None
        except UpstreamUnavailable as failure:
            return None, failure

    def _book(self, reply: tuple[object] | None, failure: UpstreamUnavailable | None) -> None:
        """Tell the breaker how a call went: after it, as the breaker lets in one at a time."""
        with suppress(CircuitBreakerError, _CompanyDown):  # another has opened it, or this call
            self._breaker.call(_raise_if_down, reply, failure)

    def _tried(self, ask: Callable[[], R]) -> tuple[tuple[R] | None, UpstreamUnavailable | None]:
        """Ask a company that was down, if it is time to and nobody else is asking."""
        retry_at, now = self._retry_at(), self._clock()
        if retry_at > now or not self._trying.acquire(blocking=False):
            raise self._left_alone(max(retry_at, now + timedelta(seconds=1)))
        heard: list[tuple[tuple[R] | None, UpstreamUnavailable | None]] = []

        def trial() -> None:
            heard.append(self._answer(ask))
            _raise_if_down(*heard[0])

        try:
            self._take_place()
            with suppress(_CompanyDown):
                self._breaker.call(trial)
        except CircuitBreakerError:
            raise self._left_alone(self._retry_at()) from None
        finally:
            self._trying.release()
        return heard[0]

    def _retry_at(self) -> datetime:
        opened_at = self._circuit.opened_at
        if opened_at is None or self._circuit.state != STATE_OPEN:
            return self._clock()
        return opened_at + timedelta(seconds=self._limits.seconds_to_half_open)

    def _left_alone(self, until: datetime) -> UpstreamUnavailable:
        seconds = max(1, math.ceil((until - self._clock()).total_seconds()))
        when = until.astimezone(BILLING_ZONE)
        return UpstreamUnavailable(
            f"the company's system is down and nothing was sent: try again after {when:%H:%M:%S}",
            retry_after_seconds=seconds,
        )

    def _take_place(self) -> None:
        """Count a call, after a short wait where that helps. Raises UpstreamUnavailable."""
        give_up_at = time.monotonic_ns() + _PATIENCE_NS
        while True:
            with self._counting:
                now = time.monotonic_ns()
                free_at = max(window.free_at(now) for window in self._windows)
                if free_at <= now:
                    for window in self._windows:
                        window.count(now)
                    return
            if free_at > give_up_at:
                seconds = -(-(free_at - now) // _SECOND_NS)
                raise UpstreamUnavailable(
                    f"as many questions are on their way to the company as were agreed:"
                    f" try again in {seconds} s",
                    retry_after_seconds=seconds,
                )
            time.sleep(timedelta(microseconds=(free_at - now) // 1_000 + 1).total_seconds())


class _Window:
    """So many calls at most within so many seconds, wherever these begin.

    Counted here: a library's count in memory starts a thread for a call, which costs as much as a
    whole question.
    """

    def __init__(self, most: int, seconds: int) -> None:
        self._length_ns = seconds * _SECOND_NS
        self._calls = deque[int](maxlen=most)  # when the last ones were, on the monotonic clock

    def free_at(self, now: int) -> int:
        """Return when one more may be made."""
        if len(self._calls) < (self._calls.maxlen or 0):
            return now
        return max(now, self._calls[0] + self._length_ns)

    def count(self, now: int) -> None:
        self._calls.append(now)


def _raise_if_down(reply: tuple[object] | None, failure: UpstreamUnavailable | None) -> None:
    if failure is not None and failure.code == UpstreamUnavailable.code:
        raise _CompanyDown from failure
    said = reply[0] if reply is not None else None
    if isinstance(said, WriteOffReply | ConfirmationFetch) and said.company_down:
        raise _CompanyDown
