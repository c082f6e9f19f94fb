"""Running jobs: take the lease, do the work, write down how it went.

A job function gets the job's subject and returns None when it is done. It raises ``NotYet`` to be
called again later and ``UpstreamUnavailable`` when another system is away: neither is a failure.
Anything else it raises is a failure: tried again with growing pauses, and *dead* after
``MAX_ATTEMPTS``, with the reason on the row, for a person to see and to set going again. So is one
that its worker did not survive the last time (``workers.relay``).

Some kinds are also done as sets: all that were rung for together in one go, which costs a fraction
(docs/adr/0016). A set only does what goes well; whatever it leaves, or all of it when it fails, is
done one by one as if there were no sets.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from core import log
from core.clock import utc_now
from core.db import HotStatement, count_changed, transaction
from core.errors import UpstreamUnavailable
from workers.app import Queue, bell, celery

LEASE = timedelta(seconds=60)
TURN_SECONDS = 2  # after which what was rung for together is given back to others
HEARTBEAT_SECONDS = 20
MAX_ATTEMPTS = 12
_LONGEST_PAUSE = timedelta(hours=1)
_AWAY_PAUSE = timedelta(seconds=15)
_log = log.logger(__name__)


class NotYet(Exception):
    """Call this job again in ``after_seconds``."""

    def __init__(self, after_seconds: int) -> None:
        super().__init__(f"again in {after_seconds} s")
        self.after_seconds = after_seconds


class Taken(NamedTuple):
    """A job this worker holds. ``attempt`` fences: a later attempt makes this one's word void."""

    id: int
    task: str
    subject_id: str
    attempt: int
    request_id: str | None


class Ended(NamedTuple):
    """How a job went. ``uncount`` takes back an attempt that was none, so waiting never kills."""

    id: int
    attempt: int
    state: str
    due_at: datetime | None = None
    error: str | None = None
    uncount: int = 0


Over = Callable[[], bool]  # whether the turn is over, so that no more should be begun
# By subject: None where it is done, or in how many seconds to call again.
Ends = Mapping[str, int | None]
Set = Callable[[Sequence[str], Over], Ends]
JOBS: dict[str, Callable[[str], None]] = {}
SETS: dict[str, Set] = {}


def job(name: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Register a function as the job ``name``; the part before the dot is its queue."""

    def register(work: Callable[[str], None]) -> Callable[[str], None]:
        JOBS[name] = work
        return work

    return register


def job_set(name: str) -> Callable[[Set], Set]:
    """Register what does many jobs ``name`` at once; those it says nothing of go one by one."""

    def register(work: Set) -> Set:
        SETS[name] = work
        return work

    return register


def never() -> bool:
    """Tell that the turn is not over: who does one thing does it to its end."""
    return False


def _answer(queue: Queue) -> None:
    """Have this process run jobs of a queue when it is rung for."""

    def rung(job_ids: list[int]) -> None:
        run(*job_ids)

    celery.task(name=bell(queue))(rung)


for _queue in Queue:
    _answer(_queue)

_TAKE = HotStatement("""
    UPDATE job SET state = 'running', attempts = attempts + 1, lease_until = :lease_until
    WHERE id = ANY(:ids) AND due_at <= :now
      AND (state = 'waiting' OR (state = 'running' AND lease_until < :now))
    RETURNING id, task, subject_id, attempts, request_id
""")

_FINISH = HotStatement("""
    UPDATE job SET state = e.state, lease_until = NULL, rung_at = NULL,
        due_at = coalesce(e.due_at, job.due_at), attempts = job.attempts - e.uncount,
        finished_at = CASE WHEN e.state IN ('done', 'dead') THEN CAST(:now AS timestamptz) END,
        last_error = e.error
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS integer[]), CAST(:states AS text[]),
                CAST(:due_ats AS timestamptz[]), CAST(:errors AS text[]),
                CAST(:uncounts AS integer[]))
         AS e (id, attempt, state, due_at, error, uncount)
    WHERE job.id = e.id AND job.attempts = e.attempt AND job.state = 'running'
    RETURNING job.id
""")

_RENEW = text("""
    UPDATE job SET lease_until = :until
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempts AS integer[])) AS held (id, attempt)
    WHERE job.id = held.id AND job.attempts = held.attempt AND job.state = 'running'
""")


def run(*job_ids: int) -> int:
    """Do those jobs that are due and nobody else has, in turn; returns how many were done.

    What has not begun when the turn is over is given back, so that none waits long for a slow one.
    """
    started, now = time.monotonic(), utc_now()
    values = {"ids": list(job_ids), "now": now, "lease_until": now + LEASE}
    taken = sorted(Taken(*row) for row in _TAKE.alone(values))
    if not taken:
        return 0

    def over() -> bool:
        return time.monotonic() - started > TURN_SECONDS

    with _heartbeat() as held:
        ended = _do_sets(taken, held, over)
        met = {one.id for one in ended}
        rest = [one for one in taken if one.id not in met]
        for at, one in enumerate(rest):
            if over() and ended:
                ended += [_again(later, timedelta(0)) for later in rest[at:]]
                break
            held[:] = [one]
            ended.append(_do(one))
    _finish(ended)
    return len(ended)


def _do_sets(taken: Sequence[Taken], held: list[Taken], over: Over) -> list[Ended]:
    """Do what can be done as sets; one that failed before goes alone, and spoils nobody's set."""
    kinds: dict[str, list[Taken]] = {}
    for one in taken:
        if one.task in SETS and one.attempt == 1:
            kinds.setdefault(one.task, []).append(one)
    ended: list[Ended] = []
    for task, many in kinds.items():
        if len(many) > 1 and not over():
            held[:] = many
            ended += _do_set(task, many, over)
    return ended


def _do_set(task: str, many: Sequence[Taken], over: Over) -> list[Ended]:
    try:
        ends = SETS[task]([one.subject_id for one in many], over)
    except Exception as failure:  # noqa: BLE001  one by one it will be seen whose failure it is
        _log.warning("set_failed", task=task, jobs=len(many), exc_info=failure)
        return []
    return [_went(one, ends[one.subject_id]) for one in many if one.subject_id in ends]


def _went(taken: Taken, again_seconds: int | None) -> Ended:
    if again_seconds is not None:
        return _again(taken, timedelta(seconds=again_seconds))
    return Ended(taken.id, taken.attempt, "done")


def _do(taken: Taken) -> Ended:
    structlog.contextvars.bind_contextvars(job_id=taken.id, request_id=taken.request_id)
    try:
        JOBS[taken.task](taken.subject_id)
    except NotYet as later:
        return _went(taken, later.after_seconds)
    except UpstreamUnavailable as away:
        return _again(taken, _AWAY_PAUSE, str(away))
    except Exception as failure:  # noqa: BLE001  the edge: a failure must end on the row
        _log.error("job_failed", task=taken.task, attempt=taken.attempt, exc_info=failure)
        state = "dead" if _try_no(taken.attempt) == MAX_ATTEMPTS else "waiting"
        error = f"{type(failure).__name__}: {failure}"[:1000]
        return Ended(taken.id, taken.attempt, state, utc_now() + _pause(taken.attempt), error)
    finally:
        structlog.contextvars.clear_contextvars()
    return _went(taken, None)


def _again(taken: Taken, pause: timedelta, error: str | None = None) -> Ended:
    return Ended(taken.id, taken.attempt, "waiting", utc_now() + pause, error, uncount=1)


def _try_no(attempt: int) -> int:
    """Return which try this is since the job was made or revived: 1 to ``MAX_ATTEMPTS``."""
    return (attempt - 1) % MAX_ATTEMPTS + 1


def _pause(attempt: int) -> timedelta:
    """Return how long to wait after a failed attempt: 2 s, 4 s, 8 s … an hour."""
    return min(timedelta(seconds=2 ** _try_no(attempt)), _LONGEST_PAUSE)


def _finish(ended: Sequence[Ended]) -> None:
    """Write down how jobs went, unless another worker has taken them over."""
    ids, attempts, states, due_ats, errors, uncounts = zip(*ended, strict=True)
    values = {
        "ids": list(ids), "attempts": list(attempts), "states": list(states),
        "due_ats": list(due_ats), "errors": list(errors), "uncounts": list(uncounts),
        "now": utc_now(),
    }  # fmt: skip
    try:
        _FINISH.alone(values)
    except psycopg.OperationalError as away:  # fenced, so it may be said twice
        _log.warning("finish_missed", reason=str(away), job_ids=values["ids"])
        _FINISH.alone(values)


@contextmanager
def _heartbeat() -> Iterator[list[Taken]]:
    """Renew the leases of what is in the list, and being worked on, however long it takes."""
    done, held = threading.Event(), list[Taken]()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            now_held = tuple(held)
            values = {
                "ids": [one.id for one in now_held], "until": utc_now() + LEASE,
                "attempts": [one.attempt for one in now_held],
            }  # fmt: skip
            try:
                with transaction() as session:
                    session.execute(_RENEW, values)
            except SQLAlchemyError as away:  # the next beat is in time: a lease is three of them
                _log.warning("heartbeat_missed", reason=str(away), job_ids=values["ids"])

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        done.set()
        thread.join()


def revive(session: Session, job_id: int, *, now: datetime) -> bool:
    """Set a dead job going again for as many tries; tells whether it was dead.

    ``attempts`` counts on: counted anew, it would let in a worker lost since the first round.
    """
    revived = session.execute(
        text(
            "UPDATE job SET state = 'waiting', due_at = :now, finished_at = NULL "
            "WHERE id = :id AND state = 'dead'"
        ),
        {"id": job_id, "now": now},
    )
    return count_changed(revived) == 1
