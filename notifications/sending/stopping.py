"""Taking a carrier out by hand, letting it go on, and how fast it may be asked.

All three hold at once, for every worker's next batch: whoever sees a carrier misbehave must not
have to look for a colleague first. Each is in the audit log.
"""

from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from core.errors import Conflict, Invalid, NotFound
from identity import audit
from identity.audit import Deed, Subject
from notifications.sending.models import CarrierState

FASTEST: Final = 100_000  # a minute


def list_states(session: Session) -> list[CarrierState]:
    """Return all carriers there have been, by channel; nobody carries what lies in the inbox."""
    asked = select(CarrierState).where(CarrierState.channel != "inbox")
    by_channel = asked.order_by(col(CarrierState.channel), col(CarrierState.code))
    return list(session.exec(by_channel))


def stop(session: Session, code: str, *, by: int, reason: str, now: datetime) -> None:
    """Give a carrier no more messages; what it has taken stays with it.

    Raises:
        NotFound: no such carrier.
        Invalid: no reason.
        Conflict: it is stopped already.
    """
    row = _locked(session, code)
    why = _said(reason)
    if row.stopped_at is not None:
        raise Conflict("this carrier is stopped already", code="carrier.stopped")
    row.stopped_at, row.stopped_by, row.stop_reason = now, by, why
    _note(session, Deed.CARRIER_STOPPED, code, by, now, reason=why)


def resume(session: Session, code: str, *, by: int, reason: str, now: datetime) -> None:
    """Let a carrier that was stopped go on with its resting weight.

    Raises:
        NotFound: no such carrier.
        Invalid: no reason.
        Conflict: it is not stopped.
    """
    row = _locked(session, code)
    why = _said(reason)
    if row.stopped_at is None:
        raise Conflict("this carrier is not stopped", code="carrier.not_stopped")
    row.stopped_at = row.stopped_by = row.stop_reason = None
    row.weight, row.misses = row.resting_weight, 0
    row.down_since = row.paused_until = None
    _note(session, Deed.CARRIER_RESUMED, code, by, now, reason=why)


def pace(session: Session, code: str, *, per_minute: int | None, by: int, now: datetime) -> None:
    """Have a carrier asked so many times a minute at most; None: as fast as we can.

    Raises:
        NotFound: no such carrier.
        Invalid: a rate nobody can keep.
    """
    row = _locked(session, code)
    if per_minute is not None and not 1 <= per_minute <= FASTEST:
        raise Invalid(f"a rate is 1 to {FASTEST:,} messages a minute, or none", code="carrier.rate")
    row.per_minute = per_minute
    if per_minute is None:
        row.paced_until = None
    _note(session, Deed.CARRIER_PACED, code, by, now, per_minute=per_minute or 0)


def _said(reason: str) -> str:
    if not reason.strip():
        raise Invalid("say why: colleagues read it", code="carrier.no_reason")
    return reason.strip()


def _locked(session: Session, code: str) -> CarrierState:
    row = session.get(CarrierState, code, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(f"no worker has a carrier {code!r}")
    return row


def _note(
    session: Session, deed: Deed, code: str, by: int, now: datetime, **detail: str | int
) -> None:
    audit.note(session, by, deed, subject=Subject("carrier", code), detail=detail, now=now)
