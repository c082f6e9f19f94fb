"""The same request again: its ``Idempotency-Key`` makes one payment, for a day (rule 30)."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from core.db import Asked, HotStatement
from core.errors import Conflict
from payments.quotes import Wanted

IDEMPOTENCY_HOURS = 24

_LOCK_KEY = HotStatement("SELECT pg_advisory_xact_lock(hashtextextended(:key, :payer_id))")
_SERVED = HotStatement("""
    SELECT request_sha256, payment_id FROM idempotent_request
    WHERE person_id = :payer_id AND key = :key AND created_at >= :since
""")


def ask_served(payer_id: int, key: str, *, now: datetime) -> list[Asked]:
    """Return what is to be asked of a key; ``served`` reads the answer to the second.

    Two requests with one key at the same moment: the second waits at the first of them.
    """
    since = now - timedelta(hours=IDEMPOTENCY_HOURS)
    values = {"payer_id": payer_id, "key": key, "since": since}
    return [Asked(_LOCK_KEY, values), Asked(_SERVED, values)]


def served(rows: Sequence[tuple[str, int]], digest: str) -> int | None:
    """Return the payment that a key has made, if any.

    Raises:
        Conflict: it made one of another request.
    """
    if not rows:
        return None
    request_sha256, payment_id = rows[0]
    if request_sha256 != digest:
        raise Conflict(
            "this Idempotency-Key was used for another request: use a new one",
            code="idempotency.other_request",
        )
    return payment_id


def request_digest(
    wanted: Sequence[Wanted],
    sum_fen: int | None,
    gateway: str,
    return_url: str,
    shown_total_fen: int | None,
) -> str:
    """Return what tells one request from another: nobody is given a total they were not shown."""
    bills = sorted(
        [*want.ref, want.shown_fen, want.option_code, want.amount_fen] for want in wanted
    )
    request = json.dumps([gateway, return_url, sum_fen, bills, shown_total_fen])
    return hashlib.sha256(request.encode()).hexdigest()
