"""Running weeks: one by its seed, told or not."""

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import text

from core.db import transaction
from tests.weeks.checks import check_all
from tests.weeks.gateway_books import MANNERS, Manner
from tests.weeks.quiet import quiet
from tests.weeks.steps import ALL
from tests.weeks.week import Broken, Week, world_of

_TAIL = 60

_COUNTS = text("""
    SELECT 'payments ' || status AS what, count(*) AS times FROM payment GROUP BY 1
    UNION ALL SELECT 'items ' || outcome, count(*) FROM payment_item GROUP BY 1
    UNION ALL SELECT 'refunds ' || status, count(*) FROM refund GROUP BY 1
    UNION ALL SELECT 'receipts ' || state, count(*) FROM receipt GROUP BY 1
    UNION ALL SELECT 'callbacks', count(*) FROM gateway_callback
    UNION ALL SELECT 'dead jobs', count(*) FROM job WHERE state = 'dead'
    UNION ALL SELECT 'transfers', count(*) FROM ledger_transfer
""")


@dataclass(frozen=True, kw_only=True)
class Told:
    """A week that is over: its story, and how often what happened in it."""

    seed: int
    story: list[str] = field(repr=False)
    counts: Counter[str]


def run(seed: int, *, manners: tuple[Manner, ...] = MANNERS) -> Told:
    """Live through the week of a seed, on the database this process is bound to.

    Raises:
        Broken: it does not end as it must; the message has the end of the story.
    """
    with world_of(seed, ALL, manners=manners) as week:
        for act in (Week.storm, quiet, check_all):
            lines = len(week.story)
            act(week)
            if week.wrong:
                until = lines if act is check_all else len(week.story)
                raise Broken(_message(week, until), week.story)
        with transaction() as session:
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
