"""What carriers say later: kept as it came, each receipt once, and applied in whatever order.

A receipt raises a notice to what it says and never lowers it: created, accepted, failed, delivered,
read. So the end is the same in any order, and ``delivered`` beats ``failed`` even when it comes
after: what somebody has in hand is a fact. The step behind that went meanwhile stays sent; one that
has not gone is dropped. ``failed`` counts for what was accepted only, so one that comes before the
hand-over is written down waits, as does any receipt of a number nobody knows yet.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol, runtime_checkable

from sqlalchemy import text
from sqlmodel import Session

from core import outbox
from core.db import HotStatement, count_changed
from notifications import permits
from notifications.channels.base import Carrier, Receipt
from notifications.channels.wechat_push import Permission
from notifications.models import NoticeState
from notifications.sending import chains
from notifications.sending.balancing import SLOW_AFTER

FORGET_AFTER: Final = timedelta(days=3)  # what fits no notice
KEEP_FOR: Final = timedelta(days=90)
AT_ONCE: Final = 1_000
_LONGEST: Final = 200  # characters of a number or a reason
# All that is kept of a call beside its body and what its address asked: never who it proved to be.
_HEADERS: Final = frozenset({"content-type", "user-agent"})
_QUERY: Final = "x-query-"
_PROOF: Final = ("sign", "token", "secret", "key")


@runtime_checkable
class Greets(Protocol):
    """A carrier that asks for our address, by GET, before it calls it."""

    def greet(self, headers: Mapping[str, str]) -> bytes:
        """Return what it wants to hear. Raises NotSignedIn: it is not the carrier who asks."""
        ...


@runtime_checkable
class Permits(Protocol):
    """A carrier that also calls with what people allowed or forbade it."""

    def read_permissions(self, headers: Mapping[str, str], body: bytes) -> list[Permission]:
        """Read the same call as ``read_receipts`` does."""
        ...


_CALL = HotStatement("""
    INSERT INTO carrier_call (carrier, headers, body, body_hash, received_at)
    VALUES (:carrier, CAST(:headers AS jsonb), :body, :hash, :now)
    ON CONFLICT (carrier, body_hash) DO NOTHING RETURNING id
""")

_KEEP = HotStatement("""
    INSERT INTO carrier_receipt (call_id, carrier, ref, fate, happened_at, reason, received_at)
    SELECT :call_id, :carrier, ref, fate, happened_at, reason, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
         AS r (ref text, fate text, happened_at timestamptz, reason text)
    ORDER BY ref, fate
    ON CONFLICT (carrier, ref, fate) DO NOTHING RETURNING id
""")


def keep_call(
    session: Session, carrier: Carrier, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> int | None:
    """Keep what a carrier called us with, and its receipts to be applied; None: it came before.

    Args:
        headers: names in lower case; of the address's query as ``x-query-<name>``, and what stands
            at the end of its path as ``x-citybill-token``.

    Raises:
        NotSignedIn: it is not the carrier who calls.
        Invalid: it is not what the carrier's documentation describes.
    """
    receipts = carrier.read_receipts(headers, body)
    call_id = note_call(session, carrier.code, headers, body, now=now)
    if call_id is None:
        return None
    _keep(session, carrier.code, receipts, call_id, now=now)
    if isinstance(carrier, Permits):
        permits.note(session, carrier.read_permissions(headers, body), now=now)
    outbox.emit(session, "carrier_call.kept", call_id, now=now)
    return call_id


def note_call(
    session: Session, carrier: str, headers: Mapping[str, str], body: bytes, *, now: datetime
) -> int | None:
    """Keep a call as it came and return its number; None: the same came before."""
    kept = {name: plain(value) for name, value in headers.items() if _may_stay(name)}
    told = json.dumps(kept, sort_keys=True)
    rows = _CALL.rows(session, {
        "carrier": carrier, "headers": told, "body": body, "now": now,
        "hash": hashlib.sha256(body or told.encode()).hexdigest(),
    })  # fmt: skip
    return next((int(call_id) for (call_id,) in rows), None)


def _may_stay(name: str) -> bool:
    asked = name.startswith(_QUERY) and not any(word in name for word in _PROOF)
    return asked or name in _HEADERS


def plain(said: str, longest: int = _LONGEST) -> str:
    """Return text as the database can hold it."""
    return said.encode("utf-8", "replace").decode().replace("\0", "")[:longest]


def _keep(
    session: Session, carrier: str, receipts: Iterable[Receipt], call_id: int | None, *,
    now: datetime,
) -> list[int]:  # fmt: skip
    rows = [
        {"ref": plain(one.ref), "fate": one.fate, "happened_at": one.happened_at,
         "reason": plain(one.reason)}
        for one in receipts
    ]  # fmt: skip
    values = {
        "carrier": carrier, "rows": json.dumps(rows, default=str), "call_id": call_id, "now": now,
    }  # fmt: skip
    return [row[0] for row in _KEEP.rows(session, values)] if rows else []


def keep_heard(
    session: Session, carrier: str, receipts: Sequence[Receipt], *, now: datetime
) -> None:
    """Keep and apply receipts that a carrier said on a connection of its own."""
    ids = _keep(session, carrier, receipts, None, now=now)
    if ids:
        _apply(session, _APPLY_THESE, {"ids": ids}, now=now)


def read_call(session: Session, call_id: int, *, now: datetime) -> None:
    """Apply what a call brought; again does nothing."""
    _apply(session, _APPLY_CALL, {"call_id": call_id}, now=now)
    session.execute(
        text("UPDATE carrier_call SET read_at = coalesce(read_at, :now) WHERE id = :id"),
        {"id": call_id, "now": now},
    )


def apply_waiting(session: Session, *, now: datetime, limit: int = AT_ONCE) -> int:
    """Apply receipts whose notice is known by now; returns how many there were.

    What nobody knows after three days is forgotten.
    """
    session.execute(
        text("DELETE FROM carrier_receipt WHERE applied_at IS NULL AND received_at < :before"),
        {"before": now - FORGET_AFTER},
    )
    return _apply(session, _APPLY_ALL, {"limit": limit}, now=now)


# Both rows of a pair are locked, the notices in the order of their ids: of several who apply the
# same receipt, the others find it applied.
_APPLY = """
    WITH met AS MATERIALIZED (
        SELECT r.id, r.fate, r.reason, n.id AS notice_id, n.state AS was,
               greatest(n.accepted_at, least(r.happened_at, r.received_at)) AS at
        FROM carrier_receipt r JOIN notice n ON n.carrier = r.carrier AND n.carrier_ref = r.ref
        WHERE r.applied_at IS NULL AND (r.fate <> 'failed' OR n.state <> 'created') AND {which}
        ORDER BY n.id, r.id FOR UPDATE
    ), done AS (
        UPDATE carrier_receipt r SET applied_at = :now FROM met WHERE r.id = met.id
    ), said AS (
        SELECT notice_id, was,
               max(array_position({ranks}, fate)) AS rank,
               coalesce(array_position({ranks}, was), 0) AS stood,
               min(at) FILTER (WHERE fate <> 'failed') AS delivered_at,
               min(at) FILTER (WHERE fate = 'read') AS read_at,
               min(reason) FILTER (WHERE fate = 'failed') AS reason
        FROM met GROUP BY notice_id, was
    )
    UPDATE notice n SET
        state = CASE WHEN rank > stood THEN ({ranks})[rank] ELSE state END,
        state_at = CASE WHEN rank > stood THEN :now ELSE state_at END,
        reason = CASE WHEN said.delivered_at IS NOT NULL THEN NULL
                      WHEN rank > stood THEN coalesce(nullif(said.reason, ''), 'undelivered')
                      ELSE n.reason END,
        accepted_at = coalesce(n.accepted_at, said.delivered_at),
        delivered_at = least(n.delivered_at, said.delivered_at),
        read_at = least(n.read_at, said.read_at),
        due_at = NULL, held = NULL, answer_by_at = NULL,
        body = CASE WHEN kind = 'code' THEN '(wiped)' ELSE body END,
        body_html = CASE WHEN kind <> 'code' THEN body_html END,
        template_values = CASE WHEN kind <> 'code' THEN template_values END
    FROM said WHERE n.id = said.notice_id AND n.state <> 'dropped'
    RETURNING n.id, n.carrier, n.channel, said.was, n.state, n.accepted_at, n.delivered_at
"""
_RANKS = "CAST('{failed,delivered,read}' AS text[])"


def _applying(which: str) -> HotStatement:
    return HotStatement(_APPLY.format(which=which, ranks=_RANKS))


_APPLY_THESE = _applying("r.id = ANY(:ids)")
_APPLY_CALL = _applying("r.call_id = :call_id")
_APPLY_ALL = _applying("""r.id IN (
    SELECT w.id FROM carrier_receipt w
    JOIN notice k ON k.carrier = w.carrier AND k.carrier_ref = w.ref
    WHERE w.applied_at IS NULL AND (w.fate <> 'failed' OR k.state <> 'created')
    ORDER BY w.id LIMIT :limit)""")


class _Applied(NamedTuple):
    notice_id: int
    carrier: str
    channel: str
    was: str
    state: str
    accepted_at: datetime
    delivered_at: datetime | None


_THERE = frozenset({NoticeState.DELIVERED, NoticeState.READ})

_COUNT = HotStatement("""
    INSERT INTO carrier_minute AS m (code, minute_at, channel, taken, not_now, silent, refused,
                                     delivered, failed, slow, wait_ms, waits)
    SELECT code, date_trunc('minute', at), min(channel), 0, 0, 0, 0, sum(delivered), sum(failed),
           sum(slow), 0, '{}'
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
         AS r (code text, channel text, at timestamptz, delivered int, failed int, slow int)
    GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (code, minute_at) DO UPDATE SET
        delivered = m.delivered + excluded.delivered, failed = m.failed + excluded.failed,
        slow = m.slow + excluded.slow
    RETURNING code
""")


def _apply(
    session: Session, statement: HotStatement, values: Mapping[str, object], *, now: datetime
) -> int:
    applied = [_Applied(*row) for row in statement.rows(session, {**values, "now": now})]
    risen = [one for one in applied if one.was not in _THERE and one.was != one.state]
    there = [one for one in risen if one.state in _THERE]
    failed = [one for one in risen if one.state == NoticeState.FAILED]
    chains.reached(session, [one.notice_id for one in there], now=now)
    chains.go_on(session, [one.notice_id for one in failed], now=now)
    if risen:
        _COUNT.rows(session, {"rows": json.dumps([_counted(one) for one in risen], default=str)})
    return len(applied)


def _counted(one: _Applied) -> dict[str, object]:
    took = one.delivered_at - one.accepted_at if one.delivered_at else timedelta(0)
    return {
        "code": one.carrier, "channel": one.channel, "at": one.accepted_at,
        "delivered": int(one.state in _THERE), "failed": int(one.state == NoticeState.FAILED),
        "slow": int(took > SLOW_AFTER),
    }  # fmt: skip


def forget(session: Session, *, now: datetime, limit: int = 20_000) -> int:
    """Forget the oldest calls and receipts once they have served; returns how many receipts."""
    values = {"before": now - KEEP_FOR, "limit": limit}
    receipts = session.execute(
        text("""
            DELETE FROM carrier_receipt WHERE received_at < :before
              AND id IN (SELECT id FROM carrier_receipt ORDER BY id LIMIT :limit)
        """),
        values,
    )
    session.execute(
        text("""
            DELETE FROM carrier_call c WHERE received_at < :before
              AND id IN (SELECT id FROM carrier_call ORDER BY id LIMIT :limit)
              AND NOT EXISTS (SELECT FROM carrier_receipt r WHERE r.call_id = c.id)
              AND NOT EXISTS (SELECT FROM reader_reply a WHERE a.call_id = c.id)
        """),
        values,
    )
    return count_changed(receipts)
