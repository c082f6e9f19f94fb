"""Which notices are no longer so: asked before they are handed over, and before a digest is told.

What a notice is about stands in its ``subject_ref``; here each event's is read again and held
against the books. Set-based: a lane asks for all it has claimed at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlmodel import Session

from billing.homes.spans import seen_by
from core.db import HotStatement
from notifications.models import Notice


class Told(NamedTuple):
    """One thing told to one person, whatever the channel."""

    event: str
    person_id: int
    subject_ref: str


def over(session: Session, notices: Sequence[Notice]) -> dict[int, str]:
    """Return why notices are not to be told any more, by their ids; of those that are so, nothing.

    That it is too late for a notice stands on its row (``expires_at``) and is not asked here.
    """
    reasons = no_longer_so(session, {_told(one) for one in notices})
    return {one.id or 0: reasons[_told(one)] for one in notices if _told(one) in reasons}


def _told(notice: Notice) -> Told:
    return Told(notice.event, notice.person_id, notice.subject_ref)


def no_longer_so(session: Session, told: Iterable[Told]) -> dict[Told, str]:
    """Return which of what is told is no longer so, and why; a digest, when nothing of it is."""
    told = list(told)
    gathered = _gathered(session, [one for one in told if one.event.endswith(".many")])
    found = _ask(session, {*told, *(part for parts in gathered.values() for part in parts)})
    found |= {
        one: found[parts[0]]
        for one, parts in gathered.items()
        if all(part in found for part in parts)
    }
    return {one: found[one] for one in told if one in found}


_ENTRIES = HotStatement("""
    SELECT digest_id, event, person_id, subject_ref FROM digest_entry
    WHERE digest_id = ANY(:digest_ids) AND left_reason IS NULL ORDER BY digest_id, subject_ref
""")


def _gathered(session: Session, digests: Sequence[Told]) -> dict[Told, list[Told]]:
    """Return what each digest tells of."""
    by_id = {int(one.subject_ref.removeprefix("digest-")): one for one in digests}
    if not by_id:
        return {}
    parts: dict[Told, list[Told]] = {}
    for digest_id, *part in _ENTRIES.rows(session, {"digest_ids": list(by_id)}):
        parts.setdefault(by_id[digest_id], []).append(Told(*part))
    return parts


def _ask(session: Session, told: Iterable[Told]) -> dict[Told, str]:
    groups: dict[str, list[Told]] = {}
    for one in told:
        if one.event in _ASKED_BY:
            groups.setdefault(_ASKED_BY[one.event], []).append(one)
    found: dict[Told, str] = {}
    for name, asked in groups.items():
        values = {
            "nos": list(range(len(asked))),
            "events": [one.event for one in asked],
            "person_ids": [one.person_id for one in asked],
            "refs": [one.subject_ref for one in asked],
        }
        rows = _STATEMENTS[name].rows(session, values)
        found |= {asked[no]: reason for no, reason in rows if reason is not None}
    return found


_ASKED = """
    unnest(CAST(:nos AS int[]), CAST(:events AS text[]), CAST(:person_ids AS bigint[]),
           CAST(:refs AS text[])) AS n (no, event, person_id, ref)
"""
_MEMBER = """
    EXISTS (SELECT FROM household_account h
            JOIN household_member hm ON hm.household_id = h.household_id
            WHERE h.account_id = b.account_id AND hm.person_id = n.person_id AND {among}
              AND stands_today(hm.from_on, hm.until_on))
"""
_SEES = _MEMBER.format(among=seen_by("hm"))
_STAYS = _MEMBER.format(among="h.left_on IS NULL")
# A bill somebody's autopay will pay: no reminder may make them pay it by hand.
COVERED = """
    EXISTS (SELECT FROM autopay_run r JOIN mandate m ON m.id = r.mandate_id
            WHERE r.account_id = b.account_id AND r.bill_id = b.id AND r.version = b.version
              AND r.state IN ('planned', 'announced', 'debiting', 'retry')
              AND m.status = 'active')
"""

# "<account>.<bill>.<version>", and behind it which reminder it is.
_BILLS = f"""
    SELECT n.no, CASE
        WHEN b.paid_elsewhere_at IS NOT NULL THEN 'paid'
        WHEN b.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN b.version <> split_part(n.ref, '.', 3)::int THEN 'superseded'
        WHEN n.event <> 'usage.unusual'
             AND b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen <= 0 THEN 'paid'
        WHEN NOT {_SEES} THEN 'left'
        WHEN n.event NOT IN ('bill.ready', 'usage.unusual') AND {COVERED} THEN 'autopay'
        END
    FROM {_ASKED}
    JOIN bill b ON b.account_id = split_part(n.ref, '.', 1)::bigint
               AND b.id = split_part(n.ref, '.', 2)::bigint
"""  # noqa: S608  our own texts
_MISSING = f"""
    SELECT n.no, CASE WHEN b.arrived_at IS NOT NULL THEN 'arrived'
                      WHEN NOT {_STAYS} THEN 'left' END
    FROM {_ASKED}
    JOIN missing_bill b ON b.account_id = split_part(n.ref, '.', 1)::bigint
                       AND b.billing_month = (split_part(n.ref, '.', 2) || '-01')::date
"""  # noqa: S608  our own texts
_CODES = f"""
    SELECT n.no, CASE WHEN c.used_at IS NOT NULL THEN 'used'
                      WHEN EXISTS (SELECT FROM sign_in_code o
                                   WHERE o.person_id = c.person_id AND o.id > c.id)
                      THEN 'superseded' END
    FROM {_ASKED} JOIN sign_in_code c ON c.id = n.ref::bigint
"""  # noqa: S608  our own text
_RUNS = f"""
    SELECT n.no, 'superseded'
    FROM {_ASKED} JOIN autopay_run r ON r.id = n.ref::bigint
    WHERE r.state <> CASE n.event WHEN 'autopay.called_off' THEN 'skipped'
                     ELSE split_part(n.event, '.', 2) END
"""  # noqa: S608  our own text
_FROZEN = f"""
    SELECT n.no, 'superseded'
    FROM {_ASKED} JOIN mandate m ON m.id = split_part(n.ref, ' ', 1)::bigint
    WHERE m.status <> 'paused'
"""  # noqa: S608  our own text
_ON_ITS_WAY = f"""
    SELECT n.no, 'superseded'
    FROM {_ASKED} JOIN refund r ON r.refund_no = n.ref
    WHERE r.status IN ('succeeded', 'charged_back')
"""  # noqa: S608  our own text
_CAME_BACK = f"""
    SELECT n.no, 'superseded'
    FROM {_ASKED} JOIN receipt c ON c.id = n.ref::bigint
    WHERE c.state = 'returned'
"""  # noqa: S608  our own text
_NOT_TAKEN = f"""
    SELECT n.no, 'superseded'
    FROM {_ASKED} JOIN payment_item i ON i.write_off_no = n.ref
    WHERE i.outcome = 'returned'
"""  # noqa: S608  our own text
_OUTAGES = f"""
    SELECT n.no, CASE WHEN m.over_at IS NOT NULL THEN 'over' ELSE 'withdrawn' END
    FROM {_ASKED} JOIN service_message m ON m.id = n.ref::bigint
    WHERE m.over_at IS NOT NULL OR m.withdrawn_at IS NOT NULL
"""  # noqa: S608  our own text
_OFFERS = f"""
    SELECT n.no, 'withdrawn'
    FROM {_ASKED} JOIN offer o ON o.id = n.ref::bigint WHERE o.withdrawn_at IS NOT NULL
"""  # noqa: S608  our own text

_STATEMENTS: Mapping[str, HotStatement] = {
    "bills": HotStatement(_BILLS),
    "missing": HotStatement(_MISSING),
    "codes": HotStatement(_CODES),
    "runs": HotStatement(_RUNS),
    "frozen": HotStatement(_FROZEN),
    "on_its_way": HotStatement(_ON_ITS_WAY),
    "came_back": HotStatement(_CAME_BACK),
    "not_taken": HotStatement(_NOT_TAKEN),
    "outages": HotStatement(_OUTAGES),
    "offers": HotStatement(_OFFERS),
}
_ASKED_BY: Mapping[str, str] = {
    **dict.fromkeys(
        ("bill.ready", "bill.due_soon", "bill.due_today", "bill.overdue", "usage.unusual"), "bills"
    ),
    **dict.fromkeys(
        ("autopay.announced", "autopay.told", "autopay.skipped", "autopay.called_off",
         "autopay.retry", "autopay.done", "autopay.failed"), "runs",
    ),
    "bill.missing": "missing",
    "sign_in.code": "codes",
    "mandate.frozen": "frozen",
    "refund.requested": "on_its_way",
    "refund.came_back": "came_back",
    "write_off.refused": "not_taken",
    "outage.announced": "outages",
    "offer.made": "offers",
}  # fmt: skip
