"""What must be true when all is quiet: our books against the far sides', and what people are told.

Each check complains to the week of what it finds. What only a person can settle is no complaint,
but it must be where staff see it: a dead job, or a break of the reconciliation.
"""

import io
from collections import Counter

from sqlalchemy import text

from core.clock import billing_date, utc_now
from core.db import looking, transaction
from payments.gateways.base import RefundState
from payments.gateways.counter import CODE as COUNTER
from payments.models import get_payment
from payments.reconciliation.breaks import list_breaks
from payments.reconciliation.gateway import matching
from payments.reconciliation.models import BreakKind
from payments.verification import verify
from payments.views import PaymentView, PublicStatus, view
from payments.write_offs import NEVER_SEEN
from tests.weeks.checks_autopay import check_autopay
from tests.weeks.checks_returns import check_cash, check_disputes, check_sums
from tests.weeks.gateway_books import GatewayBooks, Taking
from tests.weeks.week import Week

_FINAL_ITEMS = {"confirmed", "returned", "not_paid"}


def check_all(week: Week) -> None:
    """Hold everything against everything."""
    stuck = _check_jobs(week)
    unknown = {code: _unknown_takings(week, books) for code, books in week.books.items()}
    _check_verified(week)
    _check_reconciled(week, unknown)
    _check_gateways(week, unknown)
    _check_companies(week)
    _check_bills(week)
    for view_ in _views(week):
        _check_payment(week, view_, stuck)
    check_disputes(week)
    check_sums(week)
    check_cash(week)
    check_autopay(week)
    _check_notices(week)


def _rows(query: str, **values: object) -> list:
    with looking() as session:
        return list(session.execute(text(query), values).all())


def _column(query: str) -> list:
    return [row[0] for row in _rows(query)]


# --- what is left to do


def _check_jobs(week: Week) -> set[str]:
    """Every job is done; returns the numbers of returns that wait for staff.

    The world makes a person necessary in three cases only. A gateway refuses a refund for good, or
    never pays out (cash, a bank that collects), or what it had sent comes back: it is among the
    transfers that staff have to send.
    A gateway speaks of an order that nobody here knows: the callback's job is dead, with its
    reason. Both are where staff look.
    """
    waiting = set(_column("SELECT number FROM bank_transfer "
                          "WHERE sent_at IS NULL AND dropped_at IS NULL"))  # fmt: skip
    refused = {
        one.refund_no for books in week.books.values() for one in books.refunds.values()
        if one.state is RefundState.REFUSED
    }  # fmt: skip
    asked = set(
        _column("""
        SELECT coalesce(c.came_back_of, t.number)
        FROM bank_transfer t JOIN payment p ON p.id = payment_id
        LEFT JOIN receipt c ON 'S' || c.id = t.number
        WHERE p.gateway NOT IN ('counter', 'bank_debit')
        UNION SELECT came_back_of FROM receipt WHERE came_back_of IS NOT NULL""")
    )
    if asked != refused:
        week.complain(f"staff were to send {sorted(asked)}; refused are {sorted(refused)}")
    unknown_orders = 0
    for row in _rows("SELECT task, subject_id, state, last_error FROM job WHERE state <> 'done'"):
        unknown = row.task == "payments.callback" and "do not know" in (row.last_error or "")
        unknown_orders += unknown
        if row.state != "dead" or not unknown:
            week.complain(f"job {row.task} {row.subject_id} is {row.state}: {row.last_error}")
    if unknown_orders > week.unknown_orders:
        week.complain(f"{unknown_orders} callbacks are dead, {week.unknown_orders} should be")
    return waiting


# --- money


def _check_verified(week: Week) -> None:
    with looking() as session:
        for check in verify(session):
            if not check.ok:
                week.complain(f"{check.name}: {check.detail}")


def _unknown_takings(week: Week, books: GatewayBooks) -> list[Taking]:
    """Return money a gateway took that our books do not know of.

    Such is only what it never told us of: then its settlement file says so.
    """
    known = {
        row.ref for row in _rows(
            "SELECT gateway_ref AS ref FROM payment WHERE gateway = :code AND status = 'paid' "
            "UNION SELECT source_ref FROM receipt WHERE source = :code",
            code=books.code,
        )
    }  # fmt: skip
    unknown = [one for one in books.takings() if one.ref not in known]
    untold = {news.reference for news in books.untold}
    for one in unknown:
        if one.order_no not in untold:
            week.complain(f"{books.code} took {one.amount_fen} fen ({one.ref}): nobody here knows")
    return unknown


_OUR_MOMENTS = """
    SELECT paid_at AS at FROM payment WHERE gateway = :code AND paid_at IS NOT NULL
    UNION ALL SELECT received_at FROM receipt WHERE source = :code
    UNION ALL SELECT returned_at FROM receipt WHERE source = :code AND returned_at IS NOT NULL
    UNION ALL SELECT r.succeeded_at FROM refund r JOIN payment p ON p.id = r.payment_id
    WHERE p.gateway = :code AND r.succeeded_at IS NOT NULL
    UNION ALL SELECT unnest(ARRAY[opened_at, decided_at]) FROM chargeback
    WHERE gateway = :code AND state <> 'open'
"""


def _check_reconciled(week: Week, unknown: dict[str, list[Taking]]) -> None:
    """Every day's settlement file agrees, but for money never told of: that is a break."""
    for code, books in week.books.items():
        gateway = week.adapters().gateways[code]
        found: Counter[tuple[BreakKind, str]] = Counter()
        moments = [row.happened_at for row in books.settlement()]
        moments += [row.at for row in _rows(_OUR_MOMENTS, code=code)]
        for on in sorted({billing_date(moment) for moment in moments}):
            with transaction() as session:
                result = matching.reconcile(
                    session, gateway, io.BytesIO(f"{code} {on}".encode()), day=on,
                    file_name=f"{on}.csv", now=utc_now(),
                )  # fmt: skip
                if not result.balanced:
                    for one in list_breaks(session, code, on):
                        found[one.kind, one.reference] += 1
        wanted = {one.order_no for one in unknown[code]}
        for kind, reference in found:
            told = {BreakKind.MISSING_HERE, BreakKind.DUPLICATE}
            if reference not in wanted or kind not in told:
                week.complain(f"{code}'s settlement file: {kind} {reference}")
        for reference in sorted(wanted - {reference for _, reference in found}):
            week.complain(f"{code}'s settlement file says nothing of {reference}")


def _check_gateways(week: Week, unknown: dict[str, list[Taking]]) -> None:
    """What a gateway holds for us is what our ledger says it holds."""
    ours = {
        row.code.partition(":")[2]: row.fen
        for row in _rows("""
            SELECT a.code, sum(CASE WHEN t.debit_account_id = a.id THEN t.amount_fen
                                    ELSE -t.amount_fen END)::bigint AS fen
            FROM ledger_account a
            JOIN ledger_transfer t ON a.id IN (t.debit_account_id, t.credit_account_id)
            WHERE split_part(a.code, ':', 1) = 'gateway' GROUP BY 1
        """)
    }
    for code, books in week.books.items():
        taken_fen = sum(one.amount_fen for one in books.takings())
        sent_fen = sum(one.amount_fen for one in books.sent())
        untold_fen = sum(one.amount_fen for one in unknown[code])
        gone_fen = books.disputes.held_back_fen()
        if taken_fen - sent_fen - untold_fen - gone_fen != ours.get(code, 0):
            week.complain(
                f"{code} took {taken_fen} fen, sent back {sent_fen}, never told {untold_fen}, its "
                f"payers' banks took {gone_fen}; our ledger says it holds {ours.get(code, 0)}"
            )
    drawers_fen = week.drawers.total_fen()
    collected_fen = sum(one.amount_fen for one in week.bank.collected())
    for code, theirs_fen in ((COUNTER, drawers_fen), (week.bank.code, collected_fen)):
        if theirs_fen != ours.get(code, 0):
            week.complain(
                f"{code} holds {theirs_fen} fen; our ledger says it holds {ours.get(code, 0)}"
            )


def _check_companies(week: Week) -> None:
    """What companies have written off is what we say they have; only staff and banks undo it."""
    items = {
        row.write_off_no: row for row in _rows("""
            SELECT i.write_off_no, i.outcome, i.amount_fen, a.provider_code,
                   i.reason = :unconfirmed AND b.requested_at < p.status_at + interval '2 days'
                   AS given_up,
                   EXISTS (SELECT FROM chargeback_part c
                           WHERE (c.payment_id, c.account_id, c.bill_id)
                                 = (i.payment_id, i.account_id, i.bill_id))
                   OR EXISTS (SELECT FROM refund r WHERE r.proposed_by IS NOT NULL
                              AND (r.payment_id, r.account_id, r.bill_id)
                                  = (i.payment_id, i.account_id, i.bill_id)) AS taken_back
            FROM payment_item i JOIN utility_account a ON a.id = i.account_id
            JOIN payment p ON p.id = i.payment_id
            LEFT JOIN refund b
              ON (b.payment_id, b.account_id, b.bill_id) = (i.payment_id, i.account_id, i.bill_id)
             AND b.proposed_by IS NULL
        """, unconfirmed=NEVER_SEEN.reason)
    }  # fmt: skip
    for company in week.companies.values():
        accepted = company.accepted()
        for number, order in accepted.items():
            item = items[number]
            back = item.outcome in {"returning", "returned"} and item.taken_back
            if not (item.outcome == "written_off" or back) or item.amount_fen != order.amount_fen:
                week.complain(f"{company.code} wrote off {number}; here it is {item.outcome}")
        for number, item in items.items():
            ours = item.provider_code == company.code and item.outcome == "written_off"
            if ours and item.amount_fen and number not in accepted:
                week.complain(f"{number} is confirmed here, and {company.code} never did")
            if item.provider_code == company.code and item.given_up and number not in company.told:
                week.complain(f"{number} went back in time, and {company.code} never heard of it")


def _check_bills(week: Week) -> None:
    """No bill has more than it asked for, and none waits for a payment."""
    for row in _rows("""
        SELECT account_id, id, amount_fen, adjusted_fen, paid_fen, credited_fen, written_off_fen,
               held_by, cancelled_at
        FROM bill WHERE amount_fen >= 0
    """):
        name = f"bill {row.account_id}.{row.id}"
        if row.paid_fen + row.credited_fen > row.amount_fen + row.adjusted_fen:
            week.complain(f"{name} is paid twice: {row.paid_fen} of {row.amount_fen} fen")
        if row.paid_fen != row.written_off_fen:
            week.complain(f"{name}: {row.paid_fen} fen paid, {row.written_off_fen} written off")
        if row.held_by is not None:
            week.complain(f"{name} is held by payment {row.held_by}")
        if row.cancelled_at is not None and row.paid_fen:
            week.complain(f"{name} is cancelled and paid")


# --- what people are told


def _views(week: Week) -> list[tuple[PaymentView, str, str | None]]:
    """Return every payment as its payer sees it, with its order number and gateway reference."""
    found = []
    for (payment_id,) in _rows("SELECT id FROM payment ORDER BY id"):
        with looking() as session:
            payment = get_payment(session, payment_id)
            today = billing_date(utc_now())
            shown = view(session, payment, gateway_name=payment.gateway, today=today)
            found.append((shown, payment.order_no, payment.gateway_ref))
    return found


def _check_payment(week: Week, told: tuple[PaymentView, str, str | None], stuck: set[str]) -> None:
    """A payment is final, and its payer reads what the gateway's and the companies' books say."""
    shown, order_no, gateway_ref = told
    books = week.books.get(shown.gateway_name)
    if books is None:
        return  # of nothing, through no gateway
    if shown.public_status is PublicStatus.PROCESSING:
        week.complain(f"{order_no} is not final")
    order = books.orders.get(order_no)
    takings = order.takings if order else []
    paid = [one for one in takings if one.ref == gateway_ref]
    kept = shown.public_status not in {PublicStatus.FAILED, PublicStatus.EXPIRED}
    if kept and (not paid or paid[0].amount_fen != shown.amount_fen):
        week.complain(f"{order_no} is shown as {shown.public_status}; the gateway took {takings}")
    if not kept and any(item.outcome != "not_paid" for item in shown.items):
        week.complain(f"{order_no} is {shown.public_status}, its bills are not")
    waits = any(number.startswith(f"R{order_no[2:]}-") for number in stuck)
    waits |= any(one.came_back_of and one.returned_at is None for one in shown.receipts)
    for item in shown.items:
        if item.outcome not in _FINAL_ITEMS and not (item.outcome == "returning" and waits):
            week.complain(f"{order_no}: {item.bill.ref} is left {item.outcome}")
    suspended_fen = 0
    for receipt in shown.receipts:
        suspended_fen += receipt.amount_fen
        if receipt.returned_at is None and not any(one.startswith("S") for one in stuck):
            week.complain(f"{order_no}: {receipt.amount_fen} fen are not sent back")
    known = {row.ref for row in _rows(
        "SELECT source_ref AS ref FROM receipt r JOIN payment p ON p.id = r.payment_id "
        "WHERE p.order_no = :order_no", order_no=order_no,
    )}  # fmt: skip
    others_fen = sum(one.amount_fen for one in takings if one.ref in known)
    others_fen += sum(
        one.amount_fen for one in books.refunds.values()
        if one.order_no == order_no and one.back_at is not None and one.refund_no in known
    )  # fmt: skip
    if others_fen != suspended_fen:
        week.complain(f"{order_no}: {others_fen} fen came beside, {suspended_fen} are shown")


def _check_notices(week: Week) -> None:
    """Everybody who paid has a receipt; everybody whose bill came back has been told."""
    for row in _rows("""
        SELECT 'receipt of payment ' || p.id AS what
        FROM payment p WHERE p.status = 'paid' AND p.payer_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM notice n WHERE n.event = 'payment.receipt' AND n.person_id = p.payer_id
              AND n.subject_ref = p.id::text AND n.channel = 'inbox')
        UNION ALL
        SELECT 'word of refund ' || r.refund_no
        FROM refund r JOIN payment p ON p.id = r.payment_id
        WHERE r.status = 'succeeded' AND p.payer_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM notice n WHERE n.event = 'payment.returned'
              AND n.subject_ref = r.refund_no AND n.channel = 'inbox')
        UNION ALL
        SELECT 'word that ' || c.came_back_of || ' came back'
        FROM receipt c JOIN payment p ON p.id = c.payment_id
        WHERE c.came_back_of IS NOT NULL AND c.state = 'suspended' AND NOT EXISTS (
            SELECT FROM notice n WHERE n.event = 'refund.came_back'
              AND n.subject_ref = c.id::text AND n.channel = 'inbox')
        UNION ALL
        SELECT 'delivery of notice ' || n.id FROM notice n
        WHERE n.state = 'created' AND n.due_at IS NOT NULL  -- of those behind another, its turn
    """):
        week.complain(f"there is no {row.what}")
