"""What is done about many differences at once: accepted, asked about, made somebody's."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlmodel import Session

from core import outbox
from core.errors import Invalid
from identity.duties import Duty, duties_of
from payments.reconciliation.repair.acts import close
from payments.reconciliation.repair.deciding import HELPS, Limits, Shown, check_reason
from payments.reconciliation.repair.models import CLOSING, Act


class Accepted(NamedTuple):
    """What became of them; ``left`` had changed or were closed, and are as they were."""

    resolved: int
    proposed: int
    left: int


class Asked(NamedTuple):
    """How many were asked about, or made somebody's; ``left`` could not be."""

    done: int
    left: int


# Those that are as they were shown, locked, and about which no act stands or waits.
_SAME = """
    shown AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS text[]),
                             CAST(:ours AS bigint[]), CAST(:theirs AS bigint[]))
            AS s (id, kind, ours_fen, theirs_fen)
    ), same AS (
        SELECT b.id, b.kind, b.ours_fen, b.theirs_fen, b.leg, b.row_kind, b.reference,
               abs(coalesce(b.ours_fen, 0) - coalesce(b.theirs_fen, 0)) AS fen
        FROM reconciliation_break b JOIN shown s ON s.id = b.id
        WHERE b.state = 'open' AND (b.kind, b.ours_fen, b.theirs_fen)
              IS NOT DISTINCT FROM (s.kind, s.ours_fen, s.theirs_fen)
          AND NOT EXISTS (SELECT FROM break_act a
                          WHERE a.break_id = b.id AND a.act = ANY(:closing)
                            AND a.declined_at IS NULL AND a.undone_at IS NULL)
        ORDER BY b.id FOR UPDATE OF b
    )
"""
_ACCEPT_MANY = text(f"""
    WITH {_SAME}, total AS (
        SELECT coalesce(sum(fen), 0) > :approval_above_fen AS needs_two FROM same
    )
    INSERT INTO break_act (break_id, act, reason, amount_fen, kind, ours_fen, theirs_fen,
                           needs_two, proposed_by, proposed_at, done_at)
    SELECT id, 'accept', :reason, fen, kind, ours_fen, theirs_fen, needs_two, :by, :now,
           CASE WHEN NOT needs_two THEN CAST(:now AS timestamptz) END
    FROM same, total
    ON CONFLICT DO NOTHING
    RETURNING break_id, done_at IS NOT NULL AS done
""")  # noqa: S608  our own text

# What can be asked about of these, and what the event that follows is about.
_ORDERS = """
    SELECT s.id, NULL::text AS subject FROM same s JOIN payment p ON p.order_no = s.reference
    WHERE s.leg = 'gateway' AND s.row_kind = 'payment'
    UNION ALL
    SELECT s.id, NULL FROM same s JOIN refund r ON r.refund_no = s.reference
    WHERE s.leg = 'gateway' AND s.row_kind = 'refund'
    UNION ALL
    SELECT s.id, NULL FROM same s JOIN receipt m ON 'S' || m.id = s.reference
    WHERE s.leg = 'gateway' AND s.row_kind = 'refund'
"""
_WRITE_OFFS = """
    SELECT s.id, s.reference AS subject
    FROM same s JOIN payment_item i ON i.write_off_no = s.reference
    WHERE s.leg = 'company' AND i.outcome = 'paid'
"""
_ASK_MANY = """
    WITH {same}, able AS ({able}), made AS (
        INSERT INTO break_act (break_id, act, reason, amount_fen, kind, ours_fen, theirs_fen,
                               needs_two, proposed_by, proposed_at, done_at)
        SELECT id, :act, :reason, fen, kind, ours_fen, theirs_fen, false, :by, :now, :now
        FROM same JOIN able USING (id) WHERE kind = ANY(:helped)
        RETURNING id, break_id
    )
    SELECT coalesce(a.subject, m.id::text) FROM made m JOIN able a ON a.id = m.break_id ORDER BY 1
"""


def accept_many(
    session: Session,
    wanted: Mapping[int, Shown],
    *,
    reason: str,
    by: int,
    limits: Limits,
    now: datetime,
) -> Accepted:
    """Accept differences with one reason, each by an act of its own.

    All of them together count to the threshold, so that it cannot be passed in small steps. What
    has changed, is closed or waits for approval is left as it is.

    Raises:
        Invalid: no reason.
    """
    check_reason(reason)
    values = _values(wanted, reason=reason, by=by, now=now)
    values["approval_above_fen"] = limits.approval_above_fen
    made = session.execute(_ACCEPT_MANY, values).all()
    done = [row.break_id for row in made if row.done]
    close(session, done, now=now)
    return Accepted(len(done), len(made) - len(done), len(wanted) - len(made))


def _values(
    wanted: Mapping[int, Shown], *, reason: str, by: int, now: datetime
) -> dict[str, Any]:  # fmt: skip
    return {
        "ids": list(wanted), "kinds": [one.kind.value for one in wanted.values()],
        "ours": [one.ours_fen for one in wanted.values()],
        "theirs": [one.theirs_fen for one in wanted.values()],
        "closing": sorted(CLOSING), "reason": reason.strip(), "by": by, "now": now,
    }  # fmt: skip


def ask_many(
    session: Session, act: Act, wanted: Mapping[int, Shown], *, reason: str, by: int, now: datetime
) -> Asked:
    """Ask gateways about orders, or companies about write-offs, with one reason.

    Each is an act of its own. What it does not help with, has changed or is closed is left.

    Raises:
        Invalid: no reason, or an act that asks nobody.
    """
    check_reason(reason)
    values = _values(wanted, reason=reason, by=by, now=now)
    match act:
        case Act.QUERY_AGAIN:
            subjects = _ask(session, act, _ORDERS, values)
            for subject in subjects:
                outbox.emit(session, "break.questioned", subject, now=now)
        case Act.RESEND_WRITE_OFF:
            subjects = _ask(session, act, _WRITE_OFFS, values)
            for subject in subjects:
                outbox.emit(session, "write_off.due", subject, now=now)
        case _:
            raise Invalid("this is not done about many at once", code="break.wrong_act")
    return Asked(len(subjects), len(wanted) - len(subjects))


def _ask(session: Session, act: Act, able: str, values: dict[str, Any]) -> Sequence[str]:
    """Enter the acts, and return what the events that follow are about."""
    statement = text(_ASK_MANY.format(same=_SAME, able=able))
    told = values | {"act": act, "helped": sorted(HELPS[act])}
    return session.execute(statement, told).scalars().all()


_OWN = text("""
    UPDATE reconciliation_break SET owner_id = :owner
    WHERE id = ANY(:ids) AND state = 'open'
      AND (NOT :only_free OR owner_id IS NULL OR owner_id = :owner)
    RETURNING id
""")


def own_many(
    session: Session, break_ids: Collection[int], owner_id: int, *, by: int
) -> Asked:  # fmt: skip
    """Make open differences somebody's to explain; one's own: those that are no colleague's.

    Raises:
        Invalid: that is nobody who explains differences.
    """
    if Duty.FINANCE not in duties_of(session, owner_id):
        raise Invalid("choose a colleague of finance", code="break.no_owner")
    values = {"owner": owner_id, "ids": sorted(break_ids), "only_free": owner_id == by}
    done = len(session.execute(_OWN, values).all())
    return Asked(done, len(break_ids) - done)
