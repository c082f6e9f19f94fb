"""Many callbacks, each often and all in disorder: what they leave is what each once leaves.

    python -m tests.weeks.callbacks [--count 10000]

The same city is lived through twice. The first time every callback comes once, as things happen,
and is acted upon at once. The second time everything has happened before the first callback comes;
then they come many times over, shuffled, and are acted upon at any moment, some again and again.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from sqlalchemy import text

from core.clock import utc_now
from core.db import transaction
from payments import callbacks
from payments.routing import Way
from payments.starting import Basket
from tests.factories import as_shown, balances, violations
from tests.weeks.gateway_books import GatewayBooks, Manner
from tests.weeks.many import bind, own_servers
from tests.weeks.quiet import quiet
from tests.weeks.steps import deliver, web_request
from tests.weeks.week import Attempt, Plan, Request, Week, world_of

COPIES = 25  # of each callback, as a rule
ONE = Manner(code="wallet", tries_again=True, takes_twice=True, takes_other_amounts=True)
_NEWS_PER_HOUSEHOLD = 3.5  # about
_DAY_S_NEWS = 60  # so often a minute passes, that signatures stay fresh and time goes on

_STANDS = {
    "bills": "SELECT account_id, id, paid_fen, written_off_fen, adjusted_fen, held_by FROM bill",
    "payments": "SELECT order_no, status, amount_fen FROM payment",
    "items": "SELECT write_off_no, outcome, amount_fen FROM payment_item",
    "refunds": "SELECT refund_no, amount_fen, status FROM refund",
    "receipts": "SELECT p.order_no, r.amount_fen, r.state "
    "FROM receipt r JOIN payment p ON p.id = r.payment_id",
}


class Left(NamedTuple):
    """What a run left behind, and how much of it there was."""

    balances: dict[str, int]
    rows: dict[str, list[tuple[object, ...]]]
    received: int
    kept: int
    wrong: list[str]


def once_in_order(households: int, seed: int) -> Left:
    """Deliver each callback once, when it happens, and act upon it at once."""
    with world_of(seed, Plan({}), manners=(ONE,)) as week:
        books, received = _begin(week, households), 0
        for attempt, acts in _stories(week):
            for act in acts:
                told = len(books.news)
                _do(books, attempt, act)
                for news in books.news[told:]:
                    deliver(week, books, news)
                    received += 1
                    _act_upon(week, _kept_since(received - 1))
        return _end(week, received)


def often_and_shuffled(households: int, seed: int, copies: int = COPIES) -> Left:
    """Deliver every callback many times in no order, and act upon them at any moment."""
    with world_of(seed, Plan({}), manners=(ONE,)) as week:
        books = _begin(week, households)
        for attempt, acts in _stories(week):
            for act in acts:
                _do(books, attempt, act)
        order = Random(seed + 1)
        letters = [news for news in books.news for _ in range(copies)]
        order.shuffle(letters)
        waiting: list[int] = []
        seen = 0
        for at, news in enumerate(letters):
            if at % _DAY_S_NEWS == 0:
                week.clock.pass_seconds(1)
            deliver(week, books, news)
            if at % 7 == 0:
                fresh = _kept_since(seen)
                seen += len(fresh)
                waiting += fresh + fresh[:1]
                order.shuffle(waiting)
                _act_upon(week, waiting[: len(waiting) // 2])
                del waiting[: len(waiting) // 2]
        _act_upon(week, waiting + _kept_since(seen))
        return _end(week, len(letters))


def _begin(week: Week, households: int) -> GatewayBooks:
    """Make a city without faults in which everybody has started to pay everything."""
    week.stormy = False
    week.deaths.often = week.wire.away_often = week.wire.silent_often = 0
    for company in week.companies.values():
        company.refuses_often = 0  # it would refuse others when asked in another order
    week.city.found(households)
    for household in week.city.households:
        refs = week.city.refs_of(household)
        while refs:
            chosen, refs = refs[:2], refs[2:]
            basket, key = Basket(as_shown(*chosen)), f"key-{chosen}"
            web_request(week, Request(household.people[0], basket, Way("wallet"), key))
    return week.books[ONE.code]


def _stories(week: Week) -> Iterator[tuple[Attempt, tuple[str, ...]]]:
    """Say what becomes of each payment at the gateway: the same for the same seed."""
    dice = Random(week.seed)
    kinds = (("pay",), ("pay",), ("pay", "pay"), ("refuse", "pay"), ("refuse",), ("other",),
             ("other", "pay"), ())  # fmt: skip
    for attempt in week.attempts:
        if attempt.gateway in week.books:
            yield attempt, dice.choice(kinds)


def _do(books: GatewayBooks, attempt: Attempt, act: str) -> None:
    order = books.orders[attempt.order_no]
    if act == "refuse":
        books.refuse(order)
    else:
        books.pay(order, late_minutes=0, off_fen=-1 if act == "other" else 0)


def _kept_since(known: int) -> list[int]:
    with transaction() as session:
        rows = session.execute(
            text("SELECT id FROM gateway_callback ORDER BY id OFFSET :known"), {"known": known}
        )
        return list(rows.scalars())


def _act_upon(week: Week, callback_ids: list[int]) -> None:
    gateways = week.adapters().gateways
    for callback_id in callback_ids:
        assert callbacks.process(callback_id, gateways, now=utc_now())


def _end(week: Week, received: int) -> Left:
    """Let everything that follows be done, and write down where the books stand."""
    quiet(week)
    rows = {}
    with transaction() as session:
        for what, query in _STANDS.items():
            rows[what] = sorted((tuple(row) for row in session.execute(text(query))), key=repr)
        kept = session.execute(text("SELECT count(*) FROM gateway_callback")).scalar_one()
    return Left(balances(), rows, received, kept, week.wrong + violations())


def differences(first: Left, second: Left) -> list[str]:
    """Return how two ends differ, and what is wrong with either."""
    found = first.wrong + second.wrong
    if first.balances != second.balances:
        found.append(f"balances: {first.balances} and {second.balances}")
    for what, rows in first.rows.items():
        if rows != second.rows[what]:
            unlike = sorted(set(rows) ^ set(second.rows[what]), key=repr)
            found.append(f"{what}: {unlike[:6]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    households = int(chosen.count / COPIES / _NEWS_PER_HOUSEHOLD) + 1
    with own_servers() as servers:
        servers.create_database("callbacks")
        bind(servers.database_url("callbacks"))
        started = time.monotonic()
        first = once_in_order(households, chosen.seed)
        between = time.monotonic()
        copies = -(-chosen.count // first.received)
        second = often_and_shuffled(households, chosen.seed, copies)
        ended = time.monotonic()
    found = differences(first, second)
    sys.stdout.write(
        f"{len(first.rows['payments']):,} payments of {len(first.rows['bills']):,} bills\n"
        f"{first.received:,} callbacks, each once: {between - started:.1f} s\n"
        f"{second.received:,} callbacks, shuffled, {second.kept:,} kept: {ended - between:.1f} s\n"
        + "\n".join(found or ["the same balances, bills, payments, refunds and receipts"])
        + "\n"
    )
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
