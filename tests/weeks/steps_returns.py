"""Steps of money that goes back: payers' banks dispute, staff refund and send transfers."""

from sqlalchemy import text

from core.clock import utc_now
from core.db import looking, transaction
from core.errors import Conflict
from core.settings import settings
from payments.returns import staff_refunds, transfers
from payments.returns.models import RefundReason
from payments.returns.staff_refunds import Wish
from tests.weeks.week import Week

_NO_LIMIT_FEN = 10**9

_CONFIRMED = text("""
    SELECT i.payment_id, i.account_id, i.bill_id, i.amount_fen - i.returned_fen AS left_fen
    FROM payment_item i
    WHERE i.outcome = 'written_off' AND i.amount_fen > i.returned_fen
    ORDER BY i.write_off_no
""")

_PROPOSED = text("SELECT refund_no FROM refund WHERE status = 'proposed' ORDER BY refund_no")


def payer_disputes(week: Week) -> None:
    """A payer's bank takes money back, whole or a part; perhaps what was refunded as well."""
    dice = week.dice
    takings = [(books, one) for books in week.books.values() for one in books.takings()]
    if not takings:
        return
    books, one = dice.choice(takings)
    left_fen = one.amount_fen - books.disputes.gone_fen(one.ref)
    if left_fen <= 0:
        return
    part_fen = left_fen if dice.random() < 0.6 else dice.randint(1, left_fen)
    made = books.disputes.begin(one.order_no, one.ref, part_fen)
    week.tell(f"the bank of {one.order_no}'s payer takes {part_fen} fen back: {made.ref}")


def staff_refund(week: Week) -> None:
    """Two of the staff send part of a confirmed bill's money back, or all of it."""
    dice, (first, second) = week.dice, week.city.staff
    with transaction() as session:
        found = session.execute(_CONFIRMED).all()
    if not found:
        return
    item = dice.choice(found)
    amount_fen = item.left_fen if dice.random() < 0.5 else dice.randint(1, item.left_fen)
    wish = Wish(
        item.payment_id, (item.account_id, item.bill_id), amount_fen, item.left_fen,
        RefundReason.OTHER, "a week",
    )  # fmt: skip
    with week.process("the console"):
        try:
            with transaction() as session:
                refund = staff_refunds.propose(
                    session, wish, by=first, key=f"r-{len(week.story)}", approval_above_fen=0,
                    now=utc_now(),
                )  # fmt: skip
            week.tell(f"staff propose {refund.refund_no} of {amount_fen} fen")
            with transaction() as session:
                staff_refunds.approve(session, refund.refund_no, by=second, now=utc_now())
            week.tell(f"staff approve {refund.refund_no}")
        except Conflict as refused:
            week.tell(f"staff may not refund: {refused}")


def staff_send(week: Week) -> None:
    """Staff send a transfer at the bank, and say so: sooner or later."""
    with transaction() as session:
        waiting = transfers.list_waiting(session)
    if waiting:
        number = week.dice.choice(sorted(one.number for one in waiting))
        if number not in week.wired:
            _enter_payee(week, number)
        else:
            confirm(week, number)


def _enter_payee(week: Week, number: str) -> None:
    """Enter to whom it goes, look at how much, and have the bank send it."""
    first, _ = week.city.staff
    with week.process("the console"):
        try:
            with transaction() as session:
                one = transfers.enter_payee(
                    session, number, name="王珅", bank="city bank", account="6222000000000002",
                    by=first, secret_key=settings().secret_key.get_secret_value(),
                    approval_above_fen=_NO_LIMIT_FEN, now=utc_now(),
                )  # fmt: skip
        except Conflict as refused:
            week.tell(f"staff may not send {number}: {refused}")
            return
        week.wired[number] = one.amount_fen
        week.tell(f"our bank sends {one.amount_fen} fen: {number}")


def confirm(week: Week, number: str) -> None:
    """Say that our bank has sent a transfer, until it is written down."""
    _, second = week.city.staff
    with week.process("the console"), transaction() as session:
        staff_refunds.confirm_sent(session, number, bank_ref=f"W{number}", by=second, now=utc_now())
        week.tell(f"staff say that {number} is sent")


def staff_finish(week: Week) -> None:
    """Staff say of everything they had sent that it was, and approve what waits for it."""
    _, second = week.city.staff
    with looking() as session:
        waiting = {one.number for one in transfers.list_waiting(session)}
        proposed = session.execute(_PROPOSED).scalars().all()
    for number in week.wired:
        if number in waiting:
            confirm(week, number)
    for refund_no in proposed:
        try:
            with transaction() as session:
                staff_refunds.approve(session, refund_no, by=second, now=utc_now())
            week.tell(f"staff approve {refund_no}")
        except Conflict as refused:
            week.tell(f"staff may not refund: {refused}")
