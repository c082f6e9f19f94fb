"""Weeks that a seed decides: whatever goes wrong in them, every fen is found at the end.

``make weeks SEEDS=1000`` lives through more; ``tests/weeks`` says how one is made.
"""

from functools import cache

import pytest

from payments.gateways.base import RefundOrder, RefundReply
from payments.returns import suspense
from tests.weeks.gateway_books import GatewayBooks, Manner
from tests.weeks.run import run
from tests.weeks.steps import ONLINE
from tests.weeks.week import Broken
from workers import jobs

pytestmark = pytest.mark.usefixtures("city")

SEEDS = range(1, 9)
# Weeks in which money goes back more than once; first the one whose end says so.
WITH_RETURNS = (3, 12, 13, 2, 16, 59)
EAGER = (Manner(code="wallet", takes_twice=True, takes_late=True),)

lived = cache(run)  # a week that was told by its seed is told the same again

# What has to happen in some week before they are enough: four are, as weeks are now.
LIVED_THROUGH = (
    "disputes won", "disputes lost", "cash booked by api", "cash suspended by api", "debits done",
    "collected",
)  # fmt: skip


@pytest.mark.timeout(900)
def test_after_random_weeks_in_which_everything_happens_every_fen_is_accounted_for():
    missing = set(LIVED_THROUGH)
    for seed in SEEDS:
        happened = lived(seed).counts
        missing = {kind for kind in missing if not any(one.startswith(kind) for one in happened)}
        if not missing:
            break

    assert not missing, f"no week of {SEEDS} has {missing}: choose other seeds"


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_a_week_of_payments_alone_accounts_for_every_fen_as_well(seed):
    run(seed, plan=ONLINE)


def test_the_same_seed_is_the_same_week():
    told = zip(lived(SEEDS[0]).story, run(SEEDS[0]).story, strict=True)
    apart = [pair for pair in told if len(set(pair)) > 1]

    assert not apart, apart[:3]


def first_broken(*seeds: int, manners: tuple[Manner, ...]) -> str:
    """Live through some weeks until one breaks; return what it says."""
    for seed in seeds:
        try:
            run(seed, plan=ONLINE, manners=manners)
        except Broken as broken:
            return str(broken)
    return ""


class TestWhatIsWrongIsFound:
    """A proof that cannot fail proves nothing: each of these is broken on purpose."""

    def test_a_second_payment_that_nobody_keeps(self, monkeypatch):
        monkeypatch.setattr("payments.settlement.suspend", lambda *_, **__: None)

        found = first_broken(*SEEDS, manners=EAGER)

        assert "nobody here knows" in found
        assert "python -m tests.weeks --seed" in found

    def test_money_that_goes_back_under_other_numbers_than_we_say(self, monkeypatch):
        told = iter(range(10**6))
        monkeypatch.setattr(suspense, "return_no", lambda receipt: f"S{receipt.id}{next(told)}")

        assert "sends back more than" in first_broken(*WITH_RETURNS, manners=EAGER)

    def test_a_gateway_that_keeps_what_it_says_it_sent(self, monkeypatch):
        def keep(books: GatewayBooks, asked: RefundOrder) -> RefundReply:
            reply = real(books, asked)
            books.refunds.pop(asked.refund_no)
            return reply

        real = GatewayBooks.refund
        monkeypatch.setattr(GatewayBooks, "refund", keep)

        assert "our ledger says it holds" in first_broken(*SEEDS, manners=EAGER)

    def test_a_job_that_is_said_to_be_done_and_was_not(self, monkeypatch):
        monkeypatch.setitem(jobs.JOBS, "payments.write_off", lambda _number: None)

        assert "is left paid" in first_broken(*SEEDS, manners=EAGER)
