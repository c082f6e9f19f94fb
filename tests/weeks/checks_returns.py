"""What must be true of money that went back, payment by payment, and of cash, drawer by drawer."""

from collections import defaultdict
from typing import Any

from sqlalchemy import text

from core.db import looking
from payments.counter.models import CashState
from payments.gateways.base import DisputeState
from tests.weeks.steps_counter import take_in_file
from tests.weeks.week import Week


def _rows(query: str, **values: object) -> list[Any]:
    with looking() as session:
        return list(session.execute(text(query), values).all())


def check_disputes(week: Week) -> None:
    """Every dispute is known here as it ended there; what it took is borne, to the fen."""
    known = {(row.gateway, row.dispute_ref): row for row in _rows("SELECT * FROM chargeback")}
    for code, books in week.books.items():
        for one in books.disputes.known.values():
            row = known.get((code, one.ref))
            if row is None or (row.state, row.amount_fen) != (one.state, one.amount_fen):
                week.complain(f"{one.ref} of {one.amount_fen} fen is {one.state}; here: {row}")
    for row in known.values():
        borne_fen = row.waiting_fen + row.bills_fen + row.borne_fen
        borne_fen += row.service_fee_fen + row.service_tax_fen
        if row.state == "lost" and borne_fen != row.amount_fen:
            week.complain(f"{row.dispute_ref} took {row.amount_fen} fen, {borne_fen} are borne")


_OURS = """
    SELECT p.id, p.order_no, p.gateway, p.status,
           CASE WHEN p.status = 'paid' THEN p.fee_fen + p.fee_tax_fen ELSE 0 END
           - (SELECT coalesce(sum(service_fee_fen + service_tax_fen), 0) FROM chargeback
              WHERE payment_id = p.id)
           - (SELECT coalesce(sum(fee_fen), 0) FROM refund
              WHERE payment_id = p.id AND status <> 'declined') AS fee_fen,
           (SELECT coalesce(sum(amount_fen - returned_fen), 0) FROM payment_item
            WHERE payment_id = p.id AND outcome NOT IN ('waiting', 'not_paid')) AS kept_fen,
           (SELECT coalesce(sum(amount_fen), 0) FROM bank_transfer
            WHERE payment_id = p.id AND sent_at IS NULL AND dropped_at IS NULL) AS waiting_fen,
           (SELECT coalesce(sum(borne_fen), 0) FROM chargeback WHERE payment_id = p.id)
               AS borne_fen
    FROM payment p ORDER BY p.id
"""


def check_sums(week: Week) -> None:
    """Of each payment: what its far side took and has not given back is kept, owed, or our loss.

    Our loss is what went back twice, by us and by the payer's bank, and no fen of anything else.
    """
    returns = _numbers_by_payment()
    there, back = _far_side(week)
    for row in _rows(_OURS):
        if row.gateway not in {*week.books, week.bank.code, "counter"}:
            continue
        wired_fen = sum(week.wired.get(number, 0) for number in returns[row.id])
        left_fen = there[row.order_no] - back[row.order_no] - wired_fen
        ours_fen = row.kept_fen + row.fee_fen + row.waiting_fen - row.borne_fen
        if left_fen != ours_fen:
            week.complain(
                f"{row.order_no}: {left_fen} fen are left there of {there[row.order_no]}; here "
                f"{row.kept_fen} are kept, {row.fee_fen} fee, {row.waiting_fen} to be sent, "
                f"{row.borne_fen} lost"
            )
        if row.borne_fen != max(0, -left_fen):
            week.complain(f"{row.order_no}: we bear {row.borne_fen} fen, {-left_fen} went twice")


def _numbers_by_payment() -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for row in _rows("SELECT payment_id, number FROM bank_transfer ORDER BY number"):
        found[row.payment_id].append(row.number)
    return found


def _far_side(week: Week) -> tuple[dict[str, int], dict[str, int]]:
    """Return what the far sides took for each order, and what they gave back or had taken."""
    there: dict[str, int] = defaultdict(int)
    back: dict[str, int] = defaultdict(int)
    for books in week.books.values():
        for taking in books.takings():
            there[taking.order_no] += taking.amount_fen
        for refund in books.sent():
            back[refund.order_no] += refund.amount_fen
        for dispute in books.disputes.known.values():
            if dispute.state is not DisputeState.WON:
                back[dispute.order_no] += dispute.amount_fen
    for entry in week.bank.collected():
        there[entry.order_no] += entry.amount_fen
    orders = {
        (row.agent, row.agent_txn_no): row.order_no for row in _rows(
            "SELECT agent, agent_txn_no, p.order_no "
            "FROM counter_payment c JOIN payment p ON p.id = c.payment_id"
        )
    }  # fmt: skip
    for cash in week.drawers.cash:
        order_no = orders.get((cash.agent, cash.agent_txn_no), "")
        there[order_no] += cash.amount_fen
        back[order_no] += cash.amount_fen if cash.back_at is not None else 0
    return there, back


def check_cash(week: Week) -> None:
    """Every agent's answer stands; what no bill took is back, or goes back; day files agree."""
    rows = {
        (row.agent, row.agent_txn_no): row
        for row in _rows("""
            SELECT c.*, p.status, r.state AS receipt, r.id AS receipt_id,
                   t.number IS NOT NULL AND t.dropped_at IS NULL AS has_transfer
            FROM counter_payment c LEFT JOIN payment p ON p.id = c.payment_id
            LEFT JOIN receipt r ON r.source = 'counter'
                               AND r.source_ref = c.agent || '-' || c.agent_txn_no
            LEFT JOIN bank_transfer t ON t.number = 'S' || r.id
        """)
    }
    for cash in week.drawers.cash:
        row = rows.pop((cash.agent, cash.agent_txn_no), None)
        if row is None or row.amount_fen != cash.amount_fen:
            week.complain(f"{cash.name} of {cash.amount_fen} fen is here {row}")
        elif row.state != cash.answer:
            week.complain(f"{cash.name} is {row.state}, and its agent was told {cash.answer}")
        elif row.state == CashState.BOOKED and (row.status != "paid" or row.receipt is not None):
            week.complain(f"{cash.name} is booked, its payment is {row.status}")
        elif row.state == CashState.SUSPENDED and not row.has_transfer:
            week.complain(f"{cash.name} is on no bill, and nobody sends it back: {row}")
        elif (row.state == CashState.RETURNED) != (cash.back_at is not None):
            week.complain(f"{cash.name} is {row.state}; it was given back at {cash.back_at}")
    if rows:
        week.complain(f"cash nobody took: {sorted(rows)}")
    for day in week.drawers.days():
        result = take_in_file(week, day)
        if not result.balanced:
            week.complain(f"the agents' file of {day}: {result}")
