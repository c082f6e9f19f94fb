"""Running weeks: one by its seed, told or not."""

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import text

from core.db import looking
from tests.weeks.checks import check_all
from tests.weeks.gateway_books import MANNERS, Manner
from tests.weeks.quiet import quiet
from tests.weeks.table import ALL
from tests.weeks.week import Broken, Plan, Week, world_of

_TAIL = 60

_COUNTS = text("""
    SELECT 'payments ' || status AS what, count(*) AS times FROM payment GROUP BY 1
    UNION ALL SELECT 'items ' || outcome, count(*) FROM payment_item GROUP BY 1
    UNION ALL SELECT 'refunds ' || status, count(*) FROM refund GROUP BY 1
    UNION ALL SELECT 'receipts ' || state, count(*) FROM receipt GROUP BY 1
    UNION ALL SELECT 'callbacks', count(*) FROM gateway_callback
    UNION ALL SELECT 'dead jobs', count(*) FROM job WHERE state = 'dead'
    UNION ALL SELECT 'transfers', count(*) FROM ledger_transfer
    UNION ALL SELECT 'disputes ' || state, count(*) FROM chargeback GROUP BY 1
    UNION ALL SELECT 'disputes borne by us', count(*) FROM chargeback WHERE borne_fen > 0
    UNION ALL SELECT 'cash ' || state || ' by ' || received_via, count(*)
              FROM counter_payment GROUP BY 1
    UNION ALL SELECT 'mandates ' || status || ' ' || coalesce(reason, ''), count(*)
              FROM mandate GROUP BY 1
    UNION ALL SELECT 'debits ' || state || ' ' || coalesce(reason, ''), count(*)
              FROM autopay_run GROUP BY 1
    UNION ALL SELECT 'debits tried again', count(*) FROM autopay_run WHERE tries > 1
    UNION ALL SELECT 'collected ' || state, count(*) FROM collection_entry GROUP BY 1
    UNION ALL SELECT 'batches ' || state, count(*) FROM collection_batch GROUP BY 1
    UNION ALL SELECT 'came back', count(*) FROM receipt WHERE came_back_of IS NOT NULL
    UNION ALL SELECT 'losses regained', count(*)
              FROM ledger_transfer WHERE entry_key LIKE 'chargeback_regained:%'
    UNION ALL SELECT 'sent by our bank', count(*) FROM bank_transfer WHERE sent_at IS NOT NULL
""")


@dataclass(frozen=True, kw_only=True)
class Told:
    """A week that is over: its story, and how often what happened in it."""

    seed: int
    story: list[str] = field(repr=False)
    counts: Counter[str]


def run(seed: int, *, plan: Plan = ALL, manners: tuple[Manner, ...] = MANNERS) -> Told:
    """Live through the week of a seed, on the database this process is bound to.

    Raises:
        Broken: it does not end as it must; the message has the end of the story.
    """
    with world_of(seed, plan, manners=manners) as week:
        for act in (Week.storm, quiet, check_all):
            lines = len(week.story)
            act(week)
            if week.wrong:
                until = lines if act is check_all else len(week.story)
                raise Broken(_message(week, until), week.story)
        with looking() as session:
            counts = Counter({row.what: row.times for row in session.execute(_COUNTS)})
        counts |= {"steps": len(week.story), "deaths": week.deaths.counted, "jobs": week.ran}
        return Told(seed=seed, story=week.story, counts=counts)


def _message(week: Week, until: int) -> str:
    lines = "\n".join(week.story[:until][-_TAIL:])
    wrong = "\n".join(f"- {line}" for line in week.wrong)
    return (
        f"seed {week.seed} is broken:\n{wrong}\n\nagain, all of it: "
        f"python -m tests.weeks --seed {week.seed} --trace\nthe end of its story:\n{lines}"
    )
