"""What must be true of autopay: announced, within the cap, not after its end, six days at most."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from core.db import looking
from payments.autopay.rules import RETRY_DAYS
from tests.weeks.agreed import Agreed
from tests.weeks.week import Week

_CLOCK_OFF = timedelta(minutes=2)  # more than a week's clock is ever set back

_DEBITS = """
    SELECT p.order_no, p.amount_fen, p.created_at, p.status, p.gateway, r.id AS run_id,
           r.amount_fen AS announced_fen, r.announced_at, r.first_debit_on, r.first,
           m.id AS mandate_id, m.status AS mandate, m.status_at, m.first_bill, m.first_factor,
           m.cap_kind, m.cap_fen, m.signed_most_fen, b.cut_at,
           (p.created_at AT TIME ZONE 'Asia/Shanghai')::date AS created_on
    FROM payment p
    JOIN payment_item i ON i.payment_id = p.id
    JOIN mandate m ON m.mandate_ref = p.mandate_ref AND m.gateway = p.gateway
    JOIN autopay_run r ON r.mandate_id = m.id AND r.account_id = i.account_id
        AND r.bill_id = i.bill_id AND r.announced_at <= p.created_at + interval '2 minutes'
    LEFT JOIN collection_entry e ON e.payment_id = p.id AND e.state <> 'dropped'
    LEFT JOIN collection_batch b ON b.id = e.batch_id
    WHERE p.mandate_ref IS NOT NULL AND r.payment_id IS NOT NULL
      AND r.version = (SELECT max(version) FROM autopay_run o WHERE o.mandate_id = m.id
                       AND (o.account_id, o.bill_id) = (i.account_id, i.bill_id)
                       AND o.announced_at <= p.created_at + interval '2 minutes'
                       AND o.payment_id IS NOT NULL)
    ORDER BY p.id
"""


def check_autopay(week: Week) -> None:
    """Hold every debit against what its payer agreed to, and every run against its end."""
    agreed = {one.mandate_id: one for one in week.agreed}
    with looking() as session:
        debits = session.execute(text(_DEBITS)).all()
    days: dict[int, list[Any]] = {}
    for row in debits:
        days.setdefault(row.run_id, []).append(row.created_on)
        _check_debit(week, row, agreed.get(row.mandate_id))
    for run_id, tried in days.items():
        if len(set(tried)) < len(tried) or max(tried) > min(tried) + timedelta(days=RETRY_DAYS):
            week.complain(f"run {run_id} was tried on {tried}")
    _check_runs(week)
    _check_ends(week)
    _check_bank(week)


def _check_debit(week: Week, row: Any, agreed: Agreed | None) -> None:
    what = f"debit {row.order_no} of {row.amount_fen} fen by mandate {row.mandate_id}"
    if row.amount_fen > row.announced_fen:
        week.complain(f"{what}: {row.announced_fen} were announced")
    if row.created_at < row.announced_at + timedelta(days=3) - _CLOCK_OFF:
        week.complain(f"{what}: announced at {row.announced_at}, debited at {row.created_at}")
    most_fen = _most_fen(agreed, row.created_at) if agreed is not None else row.signed_most_fen
    if most_fen is not None and row.first and row.first_bill == "more":
        most_fen *= row.first_factor
    if most_fen is not None and row.amount_fen > most_fen:
        week.complain(f"{what}: its payer allows {most_fen}")
    begun_at = row.cut_at or row.created_at
    if row.mandate in {"paused", "ended"} and begun_at > row.status_at + _CLOCK_OFF:
        week.complain(f"{what} began at {begun_at}: {row.mandate} since {row.status_at}")


def _most_fen(agreed: Agreed, at: datetime) -> int | None:
    """Return the highest cap that may have been in force about a moment; None: there is none."""
    stand: set[int] = set()
    highest = 0
    for set_at, cap_fen, is_sure in agreed.caps:
        if set_at > at + _CLOCK_OFF:
            break
        if set_at > at - _CLOCK_OFF:
            highest = max(highest, *stand, 0)
        stand = {cap_fen} if is_sure else stand | {cap_fen}
    return max(highest, *stand) if stand else None


def _check_runs(week: Week) -> None:
    """No bill is left between plan and end, and whoever must pay one themselves was told."""
    query = """
        SELECT r.*, m.status, p.status AS payment, i.outcome, p.gateway,
               b.version = r.version AND b.cancelled_at IS NULL AND b.paid_elsewhere_at IS NULL
               AND b.amount_fen + b.adjusted_fen - b.paid_fen - b.credited_fen > 0 AS owed,
               EXISTS (SELECT FROM notice n WHERE n.event LIKE 'autopay.%'
                       AND n.subject_ref = r.id::text AND n.channel = 'inbox') AS told
        FROM autopay_run r JOIN mandate m ON m.id = r.mandate_id
        JOIN bill b ON b.account_id = r.account_id AND b.id = r.bill_id
        LEFT JOIN payment p ON p.id = r.payment_id
        LEFT JOIN payment_item i ON i.payment_id = p.id
             AND i.account_id = r.account_id AND i.bill_id = r.bill_id
        ORDER BY r.id
    """
    with looking() as session:
        rows = session.execute(text(query)).all()
    for row in rows:
        what = f"run {row.id} of bill {row.account_id}.{row.bill_id} is {row.state} {row.reason}"
        if row.state == "debiting":
            week.complain(f"{what}: its payment is {row.payment}")
        if row.state == "done" and row.payment != "paid":
            week.complain(f"{what}: its payment is {row.payment}")
        if row.payment == "paid" and row.state not in {"done", "failed"}:
            week.complain(f"{what}: its payment is paid")
        if row.state in {"told", "failed"} and row.owed and not row.told:
            week.complain(f"{what}, and its payer knows nothing")


def _check_ends(week: Week) -> None:
    """What is ended on one side is ended on the other."""
    with looking() as session:
        rows = session.execute(text("SELECT * FROM mandate ORDER BY id")).all()
    for row in rows:
        bank = row.gateway == week.bank.code
        there = week.bank.mandates if bank else week.books[row.gateway].mandates
        far = next((one for one in there.known.values()
                    if one.mandate_no.endswith(f"{row.id:012d}")), None)  # fmt: skip
        state = far.state if far else "not_found"
        ends = {"ended", "refused", "not_found"}
        if row.status in {"ended", "refused"} and state not in ends:
            week.complain(f"mandate {row.id} is {row.status}; at {row.gateway} {state}")
        if row.status in {"active", "paused"} and state in ends and not bank:
            week.complain(f"mandate {row.id} is {row.status}; at {row.gateway} {state}")


def _check_bank(week: Week) -> None:
    """Each order of a batch ended here as it did at the bank."""
    query = """
        SELECT e.order_no, e.state, p.status, b.state AS batch,
               EXISTS (SELECT FROM chargeback c WHERE c.payment_id = p.id AND c.state = 'lost'
                       AND c.dispute_ref = e.order_no) AS lost
        FROM collection_entry e JOIN payment p ON p.id = e.payment_id
        LEFT JOIN collection_batch b ON b.id = e.batch_id ORDER BY e.order_no
    """
    with looking() as session:
        rows = session.execute(text(query)).all()
    for row in rows:
        far = week.bank.entries.get(row.order_no)
        what = f"{row.order_no} is {row.state} and {row.status}, in a batch that is {row.batch}"
        if row.state == "waiting":
            week.complain(f"{what}: it has no end")
        elif far is None and row.status == "paid":
            week.complain(f"{what}: the bank never had it")
        elif far is not None and not far.file_no and row.state != "collected":
            week.complain(f"{what}: the bank collected it")
        elif far is not None and far.file_no and row.state not in {"returned", "bounced"}:
            week.complain(f"{what}: it came back in file {far.file_no}")
        elif row.state == "bounced" and not (row.lost and row.status == "paid"):
            week.complain(f"{what}: nobody bears what came back")
