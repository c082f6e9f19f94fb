r"""How long somebody waits for a notice, by itself and behind a night's bills.

The carriers answer after 100 to 1,000 ms, drawn evenly (``bench.far_carriers``). Receipts go to
people who are reached over six channels, one each: mail, text message, WeChat, Web Push, a
television and the inbox alone. The last two need no carrier and so wait for nothing: the goals are
held against the others (*carried*).

*N-1* is GOV.UK Notify's own measure: the share of notices handed over within 10 seconds of being
made. So many are told, 50 a second, whatever becomes of those before. *N-2*: the bills of a night
are told alone, then others while receipts are told, five a second, then others alone again: how
long receipts wait, and how much of their best speed alone the bills keep. A receipt nobody has
taken counts as late.

    python -m bench.notice_waits [--rows N] [--notices M] [--repeats K] [--json]

Ends with 1 where a goal is missed.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from typing import Any, Final

import psycopg

from bench.bill_import import told
from bench.notify import City, a_city, browser
from core.clock import utc_now
from core.db import transaction
from identity.models import Person
from notifications.telling import Telling, tell
from notifications.wording.rendering import Facts

DELAY_MS: Final = "100-1000"
FAR: Final = ("email", "sms", "wechat", "push")
CHANNELS: Final = (*FAR, "tv", "inbox")
A_SECOND, BESIDE_BILLS_A_SECOND = 50, 5
SOON_SECONDS: Final = 10
TELLERS: Final = 4  # as a web's threads: one alone could not keep up where the machine is busy
_STALLED_SECONDS: Final = 60
_READY_SECONDS: Final = 120
# Goals, of reliability's N-1 and N-2.
SOON_SHARE, P95_SECONDS, P99_SECONDS, KEPT_SHARE = 0.99, 2.0, 5.0, 0.7
# A payer's name is the channel that reaches them.
_PAYERS = """
    INSERT INTO person (role, name, contact, email, locale, created_at)
    SELECT 'resident', channel,
           CASE channel WHEN 'sms' THEN (18000000000 + p)::text
                        ELSE 'payer' || p || '@bench.example' END,
           CASE channel WHEN 'email' THEN 'payer' || p || '@bench.example' END, 'zh_CN', now()
    FROM generate_series(1, %(payers)s) p,
         LATERAL (SELECT (CAST(%(channels)s AS text[]))[1 + p %% %(many)s]) AS one (channel)
    ORDER BY p;
    INSERT INTO notice_settings (person_id, quiet_from, quiet_until, zone, digest, elder,
                                 texts_per_day, changed_at)
    SELECT id, NULL, NULL, 'Asia/Shanghai', true, false, 20, now()
    FROM person WHERE name = ANY(%(channels)s);
    INSERT INTO contact_point (person_id, channel, address, address_hash, label, made_at)
    SELECT id, name, CASE name WHEN 'wechat' THEN 'o' || id
                               ELSE replace(%(browser)s, '/n', '/' || id) END,
           'hash' || id, '', now()
    FROM person WHERE name IN ('wechat', 'push');
    INSERT INTO notice_choice (person_id, subject, channels, chosen_at)
    SELECT id, 'payments', ARRAY[name], now() FROM person WHERE name IN ('push', 'tv');
    INSERT INTO television (token_hash, person_id, paired_at, seen_at)
    SELECT 'hash' || id, id, now(), now() FROM person WHERE name = 'tv';
    INSERT INTO notice_template (event, form, locale, edition, version, title, body,
                                 carrier_ids, why, state, made_by, made_at, decided_by, decided_at)
    VALUES ('payment.receipt', 'short', 'zh_CN', 'plain', 1, '已收到', '已收到 {amount}',
            '{"wechat": "T2:amount1=amount"}', '',
            'approved', %(rows)s + 1, now(), %(rows)s + 2, now())
"""
_WAITED = """
    SELECT n.channel, extract(epoch FROM n.accepted_at - n.created_at)
    FROM notice n JOIN person p ON p.id = n.person_id AND p.name = n.channel
    WHERE n.event = 'payment.receipt' AND n.subject_ref LIKE %(refs)s
"""
_NOT_YET = """
    SELECT count(*) FROM notice n JOIN person p ON p.id = n.person_id AND p.name = n.channel
    WHERE n.event = 'payment.receipt' AND n.state = 'created'
"""
_REASONS = """
    SELECT channel, state, reason, held, attempts, count(*) FROM notice
    WHERE event = 'payment.receipt' AND state NOT IN ('accepted', 'delivered')
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC LIMIT 20
"""
_BILLS_SECONDS = """
    SELECT extract(epoch FROM max(accepted_at) - min(created_at)) FROM notice
    WHERE event = 'bill.ready' AND channel <> 'inbox' AND created_at > %s
"""


class Payers:
    """People who have paid, and are told so."""

    def __init__(self, city: City, how_many: int) -> None:
        self.city = city
        city.run(
            _PAYERS, payers=how_many, channels=list(CHANNELS), many=len(CHANNELS),
            browser=browser(), rows=city.rows,
        )  # fmt: skip
        found = city.run(
            "SELECT id FROM person WHERE name = ANY(%(names)s) ORDER BY id", names=list(CHANNELS)
        )
        self.ids = [person_id for (person_id,) in found]

    def told(
        self, numbers: Iterable[int], what: str, *, a_second: int, over: threading.Event
    ) -> None:
        """Tell receipts at a steady pace, whatever becomes of them.

        Args:
            what: begins their refs.
            over: set, nothing more is told.
        """
        asked: list[Future[None]] = []
        with ThreadPoolExecutor(TELLERS) as tellers:
            started = time.monotonic()
            for at, number in enumerate(numbers):
                if over.wait(max(0, started + at / a_second - time.monotonic())):
                    break
                asked.append(tellers.submit(self._tell, number, what))
                if at % (10 * a_second) == 0:
                    told(f"  {what}: {at:,} told, {self.not_yet():,} on their way")
        for one in asked:
            one.result()

    def _tell(self, number: int, what: str) -> None:
        with transaction() as session:
            person = session.get_one(Person, self.ids[number % len(self.ids)])
            values = {"amount": "¥86.50", "how": "", "greeting": "", "name": "", "count": "1"}
            facts = Facts(values, [("bench", "¥86.50")], "https://bench.example/payments/1")
            receipt = Telling(
                event="payment.receipt", person=person, subject_ref=f"{what} {number}", facts=facts
            )
            tell(session, receipt, now=utc_now())

    def not_yet(self) -> int:
        """Return how many of all receipts are on their way."""
        return int(self.city.one(_NOT_YET))

    def wait(self, *, stalled_seconds: float = _STALLED_SECONDS) -> None:
        """Wait until all are handed over; those of which none was for so long, are left as late."""
        before, since = -1, time.monotonic()
        while (left := self.not_yet()) and time.monotonic() - since < stalled_seconds:
            if left != before:
                before, since = left, time.monotonic()
            died = self.city.family.dead()
            if died is not None:
                raise SystemExit(f"{died} has stopped by itself")
            time.sleep(0.5)

    def waited(self, what: str) -> dict[str, Any]:
        """Return how long receipts waited, in all and by channel."""
        rows = self.city.run(_WAITED, refs=f"{what} %")
        found = waits([seconds for _, seconds in rows])
        found["carried"] = waits([seconds for channel, seconds in rows if channel in FAR])
        found["by_channel"] = {
            channel: waits([seconds for one, seconds in rows if one == channel])
            for channel in CHANNELS
        }
        return found


def waits(seconds: list[Any]) -> dict[str, Any]:
    """Return the share within ``SOON_SECONDS`` and what most waited; None is for ever."""
    ended = sorted(float("inf") if one is None else float(one) for one in seconds)
    soon = sum(one <= SOON_SECONDS for one in ended)

    def at(percent: int) -> float | None:
        one = ended[min(len(ended) * percent // 100, len(ended) - 1)] if ended else float("inf")
        return None if one == float("inf") else round(one, 2)

    return {
        "of": len(ended), "share": round(soon / max(len(ended), 1), 5),
        "never": ended.count(float("inf")),
        "p50": at(50), "p95": at(95), "p99": at(99), "most": at(100),
    }  # fmt: skip


def n_1(payers: Payers, notices: int) -> dict[str, Any]:
    """Tell receipts and nothing beside."""
    started = time.monotonic()
    payers.told(range(notices), "n-1", a_second=A_SECOND, over=threading.Event())
    made_a_second = notices / (time.monotonic() - started)
    payers.wait()
    found = payers.waited("n-1")
    return found | {
        "made_a_second": round(made_a_second, 1), "goal": SOON_SHARE,
        "met": found["carried"]["share"] >= SOON_SHARE,
    }  # fmt: skip


def n_2(payers: Payers, first: int, repeats: int) -> dict[str, Any]:
    """Tell bills alone and others while receipts are told, by turns."""
    alone, beside = [_bills(payers.city)], []
    for turn in range(repeats):
        told(f"bills alone: {alone[-1]:,.0f}/s")
        with _meanwhile(payers, count(first + turn * 1_000_000)):
            beside.append(_bills(payers.city))
        told(f"bills beside receipts: {beside[-1]:,.0f}/s")
        alone.append(_bills(payers.city))
    payers.wait()
    found, kept = payers.waited("n-2"), statistics.median(beside) / max(alone)
    return found | {
        "bills_a_second": {
            "alone": [round(one, 1) for one in alone], "beside": [round(one, 1) for one in beside],
            "kept": round(kept, 3),
        },
        "goals": {"p95": P95_SECONDS, "p99": P99_SECONDS, "kept": KEPT_SHARE},
        "met": _soon(found["carried"]) and kept >= KEPT_SHARE,
    }  # fmt: skip


def _soon(found: dict[str, Any]) -> bool:
    p95, p99 = found["p95"], found["p99"]
    return p95 is not None and p99 is not None and p95 <= P95_SECONDS and p99 <= P99_SECONDS


def _bills(city: City) -> float:
    """Tell everybody of a bill; returns how many a second, first made to last taken."""
    began = utc_now()
    city.publish()
    city.wait(stalled_seconds=_STALLED_SECONDS)
    return float(city.rows / city.one(_BILLS_SECONDS, began))


@contextmanager
def _meanwhile(payers: Payers, numbers: Iterator[int]) -> Iterator[None]:
    over = threading.Event()
    with ThreadPoolExecutor(1) as beside:
        telling = beside.submit(
            payers.told, numbers, "n-2", a_second=BESIDE_BILLS_A_SECOND, over=over
        )
        try:
            yield
        finally:
            over.set()
        telling.result()


def measure(rows: int, notices: int, repeats: int) -> dict[str, Any]:
    with a_city(rows, delay_ms=DELAY_MS) as city:
        payers = Payers(city, notices)
        city.start()
        told("waiting for the workers")
        payers.told(range(len(CHANNELS)), "first", a_second=A_SECOND, over=threading.Event())
        payers.wait(stalled_seconds=_READY_SECONDS)
        if payers.not_yet():
            raise SystemExit(f"the workers hand nothing over: {city.run(_REASONS)}")
        first = n_1(payers, notices)
        told(f"N-1: {json.dumps(first)}")
        second = n_2(payers, notices, repeats)
        told(f"N-2: {json.dumps(second)}")
        reasons = [list(map(str, one)) for one in city.run(_REASONS)]
        counts = city.counts()
    return {
        "name": "notice_waits", "rows": rows, "notices": notices, "delay_ms": DELAY_MS,
        "n_1": first, "n_2": second, "met": first["met"] and second["met"],
        "not_handed_over": reasons,
        "twice": {channel: one["twice"] for channel, one in counts.items()},
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,  # of one process
        "versions": {
            "python": platform.python_version(), "celery": version("celery"),
            "psycopg": psycopg.__version__,
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--notices", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=1, choices=(1, 2, 3))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.rows, chosen.notices, chosen.repeats)
    if chosen.json:
        print(json.dumps(found))
    else:
        print(_said(found))
    sys.exit(not found["met"])


def _said(found: dict[str, Any]) -> str:
    first, second = (found[one]["carried"] for one in ("n_1", "n_2"))
    bills = found["n_2"]["bills_a_second"]
    return (
        f"N-1: {first['share']:.2%} of {first['of']:,} within {SOON_SECONDS} s, told"
        f" {found['n_1']['made_a_second']} a second; 95 of 100 within {first['p95']} s, 99:"
        f" {first['p99']} s."
        f" N-2: behind {found['rows']:,} bills 95 of 100 within {second['p95']} s, 99:"
        f" {second['p99']} s; the bills kept {bills['kept']:.0%} of their speed."
        f" {'Met' if found['met'] else 'Missed'}; sent twice {found['twice']}"
    )


if __name__ == "__main__":
    main()
