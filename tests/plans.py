"""How many rows statements look at: what a plan costs, and no busy machine changes it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlmodel import Session

from core.db import driver, transaction


def most_looked_at(look: Callable[[Session], object]) -> int:
    """Rows the greatest statement looks at, not seconds: a busy machine changes nothing of them."""
    asked: list[tuple[str, object]] = []
    with transaction() as session:
        event.listen(
            session.connection(), "before_cursor_execute",
            lambda _c, _cursor, statement, values, *_: asked.append((statement, values)),
        )  # fmt: skip
        look(session)
        explain = driver(session).execute
        plans = [
            explain(f"EXPLAIN (ANALYZE, FORMAT JSON) {one}", values).fetchall()[0][0]
            for one, values in list(asked)
        ]
    return max(rows_looked_at(plan[0]["Plan"]) for plan in plans)


def rows_looked_at(node: dict[str, Any]) -> int:
    """What a plan's scans returned and threw away."""
    own = 0
    if "Relation Name" in node:
        lost = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        own = int((node["Actual Rows"] + lost) * node["Actual Loops"])
    return own + sum(rows_looked_at(inner) for inner in node.get("Plans", []))
