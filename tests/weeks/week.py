"""One week: the world of one seed, and who takes the next step in it."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import structlog

from core import db
from core.clock import utc_now
from core.db import HotStatement, transaction
from notifications.models import Lane
from notifications.sending import handing
from notifications.sending.carriers import ensure_known
from notifications.sending.handing import hand_over_due
from payments.gateways.counter import CODE as COUNTER
from payments.gateways.counter import Counter
from payments.routing import Way
from payments.starting import Basket
from tests.weeks.agreed import Agreed
from tests.weeks.bank_books import BankBooks, adapter_of
from tests.weeks.city import COMPANIES, City
from tests.weeks.companies import CompanyBooks, MadeUpCarrier, MadeUpCompany
from tests.weeks.drawers import Drawers
from tests.weeks.dying import Crash, Deaths
from tests.weeks.gateway_adapter import MadeUpGateway
from tests.weeks.gateway_books import MANNERS, GatewayBooks, Manner
from tests.weeks.simclock import SimClock, simulated
from tests.weeks.wire import Wire
from workers import jobs, relay, start, tasks

LENGTH = timedelta(days=7)
REGISTERED = tasks  # importing them registers every job
DEEPEST = 2  # how many steps may be under way inside one another

# What a job may fail of, and the week goes on. Anything else is a finding.
KNOWN_FAILURES = (
    "NotFound: the gateway speaks of",  # an order, a refund: news of what we never asked for
    "are closed",  # the clock stepped back over midnight, and the day's books are closed
)

# What DISCARD ALL does, but for the plans. A lock of a process must die with it.
_FORGET = "SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; RESET ALL"
_HOW = HotStatement("SELECT id, task, subject_id, state, last_error FROM job WHERE id = ANY(:ids)")


class JobRow(NamedTuple):
    """How a job went."""

    id: int
    task: str
    subject_id: str
    state: str
    last_error: str | None


class Plan(NamedTuple):
    """What may happen in a week, how often of so many steps, and how long it may last."""

    weights: Mapping[Callable[["Week"], None], int]
    steps: int = 240
    lengths: tuple[timedelta, ...] = (LENGTH,)
    longest_night: timedelta = timedelta(hours=20)
    with_bank: bool = False  # the bank that collects may go dark as well


class Request(NamedTuple):
    """What a resident's browser sends; sent again it is the very same."""

    payer_id: int
    basket: Basket
    way: Way
    key: str
    channel: str = "web"


@dataclass(kw_only=True)
class Attempt:
    """A payment as its payer knows it."""

    payer_id: int
    payment_id: int
    order_no: str
    gateway: str
    amount_fen: int
    expires_at: datetime
    linked: bool = False  # the payer has been shown where to pay


class Broken(AssertionError):
    """A week whose end is not as it must be. The message names the seed and how to see it again."""

    def __init__(self, message: str, story: list[str]) -> None:
        super().__init__(message)
        self.story = story


class Week:
    """A world that a seed makes, and its story. Steps are functions of ``tests.weeks.steps``."""

    def __init__(
        self,
        seed: int,
        clock: SimClock,
        *,
        plan: Plan,
        manners: tuple[Manner, ...] = MANNERS,
    ) -> None:
        self.seed, self.clock, self.dice = seed, clock, Random(seed)
        self.plan = plan
        self.steps, self.weights = tuple(plan.weights), tuple(plan.weights.values())
        self.story: list[str] = []
        self.wrong: list[str] = []
        self.stormy, self.depth = True, 0
        self.deaths = Deaths(self.dice, often=self.dice.choice((0, 50, 150)))
        self.wire = Wire(self.dice, self.deaths, self)
        self.wire.away_often = self.dice.choice((0, 30, 150))
        self.wire.silent_often = self.dice.choice((0, 50, 200))
        self.books = {
            manner.code: GatewayBooks(manner, self.dice, utc_now, self.complain)
            for manner in manners
        }
        refuses_often = self.dice.choice((0, 100, 300))
        self.companies = {
            code: CompanyBooks(code, self.dice, refuses_often, self.complain) for code in COMPANIES
        }
        self.carriers = {code: MadeUpCarrier(code, self.wire) for code in ("email", "sms")}
        self.bank = BankBooks(self.dice, utc_now, self.complain)
        self.bank_debit = adapter_of(self.bank, self.wire)
        self.drawers = Drawers()
        self.city = City(self.dice)
        self.length = self.dice.choice(plan.lengths) if len(plan.lengths) > 1 else LENGTH
        self.attempts: list[Attempt] = []
        self.requests: list[Request] = []
        self.agreed: list[Agreed] = []
        self.billed = 0  # how many bills came to be debited
        self.wired: dict[str, int] = {}  # what our bank was told to send, by our number
        self.bells: list[list[int]] = []
        self.unknown_orders = 0  # callbacks we were sent about orders that are not ours
        self.ran = 0

    # --- the story

    def tell(self, line: str) -> None:
        """Note what happened, with the simulated time."""
        indent = "    " * self.depth
        self.story.append(f"{self.clock.moment:%m-%d %H:%M:%S.%f}"[:-3] + f"  {indent}{line}")

    def complain(self, line: str) -> None:
        """Note what must not be; the week is broken."""
        self.tell(f"WRONG: {line}")
        self.wrong.append(line)

    # --- processes

    def adapters(self) -> start.Outside:
        """Make what a new process has of the outside: it remembers nothing."""
        return start.Outside(
            gateways={code: MadeUpGateway(one, self.wire) for code, one in self.books.items()}
            | {self.bank.code: self.bank_debit, COUNTER: Counter()},
            utilities={code: MadeUpCompany(one, self.wire) for code, one in self.companies.items()},
            carriers={code: [one] for code, one in self.carriers.items()},
        )

    @contextmanager
    def process(self, what: str) -> Iterator[None]:
        """Let a process of ours run; it may die inside, and nothing of it is left but rows."""
        try:
            with self.deaths.process():
                yield
        except Crash as where:
            self.tell(f"{what} dies {where}")
            start.outside.cache_clear()
            _let_go()

    def run_jobs(self, job_ids: list[int]) -> None:
        """Have a worker hear a bell, and see how the jobs it is for went."""
        with self.process(f"the worker of jobs {job_ids}"):
            self.ran += jobs.run(*job_ids)
        self._look_at_jobs(job_ids)

    def hand_over(self) -> None:
        """Have a worker hand over what is due, a notice at a time: a seed knows no race."""
        for lane in Lane:
            with self.process(f"the worker of the lane {lane}"):
                while hand_over_due(
                    lane, start.outside().carriers, now=utc_now(), limit=1, draw=self.dice
                ):
                    pass

    def _look_at_jobs(self, job_ids: list[int]) -> None:
        with db.looking() as session:
            found = {row[0]: JobRow(*row) for row in _HOW.rows(session, {"ids": job_ids})}
        for job_id in job_ids:
            self.deaths.commit()  # whoever waits meanwhile may die at each
            if job_id in found:
                self._look_at_job(found[job_id])

    def _look_at_job(self, row: JobRow) -> None:
        error = row.last_error or ""
        self.tell(f"job {row.id} {row.task} {row.subject_id}: {row.state} {error[:150]}".rstrip())
        named = error.split(":")[0]
        failed = named.isidentifier() and named[:1].isupper() and row.state in {"waiting", "dead"}
        if failed and not any(known in error for known in KNOWN_FAILURES):
            self.complain(f"job {row.task} {row.subject_id} fails: {error[:500]}")

    def meanwhile(self) -> None:
        """While a call waits for its answer, the others do not."""
        if not self.stormy or self.depth >= DEEPEST or self.dice.random() > 0.25:
            return
        self.depth += 1
        try:
            self.clock.pass_seconds(self.dice.choice((0, 0, 1, 3, 90)))
            self.take()
        finally:
            self.depth -= 1

    def take(self) -> None:
        """Let somebody take a step."""
        self.dice.choices(self.steps, weights=self.weights)[0](self)

    def storm(self) -> None:
        """Let a week go by in which anything happens."""
        ends_at = self.clock.moment + self.length
        self.city.found()
        for _ in range(self.plan.steps):
            self.pass_time(ends_at)
            self.take()
            if self.wrong:
                return

    def pass_time(self, ends_at: datetime) -> None:
        """Let some time pass: as a rule little; now and then a night; or the clock is set back."""
        kind = self.dice.random()
        if kind < 0.03:
            self.clock.pass_seconds(-self.dice.choice((1, 2, 5, 60)))
            self.tell("the clock is set back")
        elif kind < 0.88:
            self.clock.pass_seconds(self.dice.randint(0, 12), milliseconds=self.dice.randrange(999))
        elif kind < 0.95:
            self.clock.pass_seconds(self.dice.randint(30, 1_500))
        elif self.clock.moment + self.plan.longest_night < ends_at:
            self.clock.pass_seconds(self.dice.randint(1_800, 60_000) * (self.length // LENGTH))


def _let_go() -> None:
    """Have the server forget what a process that died held on its connections.

    Closed, they were made anew, and every statement planned anew.
    """
    for engine in db.engines():
        with ExitStack() as held:
            for _ in range(engine.pool.checkedin()):
                one = held.enter_context(engine.connect()).connection.driver_connection
                one.execute(_FORGET)
                one.commit()  # no commit of anybody's: it is no point at which others die


class _NoBell:
    """Where the relay rings: a list, which a flush of Redis empties."""

    def __init__(self, week: Week) -> None:
        self.week = week

    def send_task(self, _task: str, args: list[list[int]]) -> None:
        self.week.bells.append(args[0])


class _NoThreads:
    """Where a worker's messages go on their way: at once, so that a death is the worker's."""

    def submit(self, send: Callable[[], Any]) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_result(send())
        return answer


@contextmanager
def world_of(
    seed: int,
    plan: Plan,
    *,
    manners: tuple[Manner, ...] = MANNERS,
) -> Iterator[Week]:
    """Make a seed's world, and put it where this process has its own: clock, bell, outside, logs.

    The database is the one this process is bound to; it is emptied first.
    """
    with ExitStack() as undo:
        clock = undo.enter_context(simulated())
        week = Week(seed, clock, plan=plan, manners=manners)
        undo.enter_context(instead(relay, "celery", _NoBell(week)))
        for name, made in _makers(week.adapters()).items():
            undo.enter_context(instead(start, name, made))
        start.outside.cache_clear()
        undo.callback(start.outside.cache_clear)
        undo.enter_context(week.deaths.watching(*db.engines()))
        undo.enter_context(instead(jobs, "TURN_SECONDS", math.inf))  # a seed knows no real time
        undo.enter_context(instead(jobs, "_heartbeat", lambda: nullcontext([])))  # a beat is 20 s
        undo.enter_context(instead(handing, "time", SimpleNamespace(monotonic=lambda: 0)))
        undo.enter_context(instead(handing, "_senders", _NoThreads()))
        with transaction() as session:
            ensure_known(session, list(week.carriers.values()), {})
        before = structlog.get_config()
        undo.callback(lambda: structlog.configure(**before))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        yield week


def _makers(made: start.Outside) -> dict[str, Callable[..., Any]]:
    """Return what the worker's start makes its outside with, answered by what was made."""
    return {
        "load_gateways": lambda *_: dict(made.gateways),
        "load_clients": lambda *_: dict(made.utilities),
        "load_carriers": lambda *_: {code: one for code, [one] in made.carriers.items()},
    }


@contextmanager
def instead(module: Any, name: str, ours: Any) -> Iterator[None]:
    real = getattr(module, name)
    setattr(module, name, ours)
    try:
        yield
    finally:
        setattr(module, name, real)
